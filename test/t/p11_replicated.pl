# P11 and P6: logs with sealed and retired partitions, on a standby and on hubs.  A
# standby reads all, and refuses what would change; promoted, it goes on.  What is
# retired on an ingest server stays on the hub, which is partitioned in its own way or
# not at all; and what comes for a sealed partition stops loudly, and is let in.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use LogState;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $ingest = PostgreSQL::Test::Cluster->new('ingest');
$ingest->init(allows_streaming => 'logical');
$ingest->append_conf('postgresql.conf', "wal_level = logical\n");
$ingest->start;

# With partitions for three months of 2020, or for the year, and for now
sub schema
{
	my ($partition_by) = @_;
	my %parts = (
		'' => '',
		year => q{SELECT playevent.make_partition('play_event', 'play_event_p2020', '''2020-01-01Z''', '''2021-01-01Z''')},
		month => q{SELECT playevent.make_partition('play_event', format('play_event_p20200%s', i), format('''2020-0%s-01Z''', i), format('''2020-0%s-01Z''', i + 1))
			FROM generate_series(1, 3) i});
	return q{
		CREATE EXTENSION playevent;
		CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
		SELECT playevent.create_log('play', track => 'track', partition_by => } . ($partition_by ? "'$partition_by'" : 'NULL') . "); $parts{$partition_by};";
}

sub plays_of
{
	my ($month, $n) = @_;

	return qq{
		INSERT INTO play_event (track_entry_key, bucket, created_at, event_id)
		SELECT 'k' || i % 7, 'most', '2020-0$month-02 12:00Z', gen_random_uuid() FROM generate_series(1, $n) i};
}

my $totals = 'SELECT track_entry_key, release_id, bucket, plays FROM play_counter ORDER BY 1, 2, 3';
my $rows = 'SELECT count(*) FROM play_event';

sub is_as
{
	my ($node, $db, $expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($db, $totals), $expected, "P11: $name: the totals");
	is(not_exact($node, $db), '', "P3: $name: exact");
	is(not_kept($node, $db), '', "P11: $name: what was sealed and retired is as it was");
	is($node->safe_psql($db, 'SELECT intact FROM playevent.log'), 't', "P11: $name: intact");
	return;
}

sub fails
{
	my ($node, $db, $statement, $message, $name) = @_;
	my (undef, undef, $err) = $node->psql($db, "\\set VERBOSITY verbose\n$statement");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($err, $message, $name);
	return;
}

$ingest->safe_psql('postgres', schema('month') . q{
	INSERT INTO track SELECT 'k' || i, i % 3 FROM generate_series(0, 9) i;} . plays_of(1, 30) . ';' . plays_of(2, 40) . q{;
	INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || i % 7, 'partial' FROM generate_series(1, 50) i;
	SELECT playevent.seal('play_event', '2020-03-01 00:00Z');
	SELECT playevent.retire('play_event', '2020-02-01 00:00Z')});
my $expected = $ingest->safe_psql('postgres', $totals);
is($ingest->safe_psql('postgres', $rows), '90', 'a partition is retired');
is_as($ingest, 'postgres', $expected, 'to begin with');

#
# A standby
#
my $standby = PostgreSQL::Test::Cluster->new('standby');
$ingest->backup('base');
$standby->init_from_backup($ingest, 'base', has_streaming => 1);
$standby->start;
$ingest->wait_for_catchup($standby, 'replay', $ingest->lsn('write'));

is($standby->safe_psql('postgres', $totals), $expected, 'P11: a standby: the totals');
is($standby->safe_psql('postgres', q{SELECT sum(plays) FROM playevent.top('play_event', '2020-01-01', now()::date)}), '120', 'P11: a standby: top');
is($standby->safe_psql('postgres', q{SELECT sum(plays) FROM playevent.series('play_event', '2020-01-01', now()::date)}), '120', 'P11: a standby: series');
is($standby->safe_psql('postgres', q{SELECT count(*), bool_or(is_sealed) FROM playevent.partitions('play_event')}),
	$ingest->safe_psql('postgres', q{SELECT count(*), bool_or(is_sealed) FROM playevent.partitions('play_event')}), 'P11: a standby: partitions');
is($standby->safe_psql('postgres', q{SELECT * FROM playevent.verify('play_event')}), '', 'P11: a standby: verify');
is($standby->safe_psql('postgres', qq{SELECT * FROM playevent.verify_archive('play_event'$_)}), '', "P11: a standby: verify_archive$_")
  foreach ('', ", 'play_event_p202001'", ", 'play_event_p202002'");
fails($standby, 'postgres', "SELECT playevent.$_", qr/ERROR:  25006: cannot execute .* (?:during recovery|in a read-only transaction)/, "P11: a standby refuses $_")
  foreach (q{extend('play_event')}, q{seal('play_event', '2020-04-01')}, q{retire('play_event', '2020-03-01')},
	q{set_retain('play_event', '1 year')}, q{maintain('play_event')}, q{rebuild('play_event')}, q{compact('play_event')});

# The primary retires, the standby follows; promoted, it goes on.
$ingest->safe_psql('postgres', q{SELECT playevent.retire('play_event', '2020-03-01 00:00Z')});
$ingest->wait_for_catchup($standby, 'replay', $ingest->lsn('write'));
is($standby->safe_psql('postgres', "$totals;"), $expected, 'P11: a standby follows: the totals');
is($standby->safe_psql('postgres', $rows), '50', 'P11: a standby follows: what was retired has gone');
$standby->promote;
is_as($standby, 'postgres', $expected, 'promoted');
$standby->safe_psql('postgres', plays_of(3, 10) . q{; SELECT playevent.seal('play_event', '2020-04-01 00:00Z'); SELECT playevent.retire('play_event', '2020-04-01 00:00Z')});
is($standby->safe_psql('postgres', "SELECT sum(plays) FROM play_counter; $rows"), "130\n50", 'P11: promoted: it retires on');
is(not_exact($standby, 'postgres') . not_kept($standby, 'postgres'), '', 'P11: promoted: and all is as it was');
$standby->stop;

#
# Hubs: partitioned by month as the ingest server is, or by year, or not; by way of
# the root of partitions.  Partition by partition needs all of those names, that of what
# is in place of those that were retired too.
#
$ingest->safe_psql('postgres', q{
	CREATE PUBLICATION plays FOR TABLE play_event WITH (publish = 'insert', publish_via_partition_root = true);
	CREATE PUBLICATION leaves FOR TABLE play_event WITH (publish = 'insert')});
my $hub = PostgreSQL::Test::Cluster->new('hub');
$hub->init;
$hub->append_conf('postgresql.conf', "wal_retrieve_retry_interval = 100ms\nmax_logical_replication_workers = 16\nmax_worker_processes = 24\n");
$hub->start;

my %hubs = (by_month => 'month', by_year => 'year', in_one => '');
foreach my $db (sort keys %hubs)
{
	$hub->safe_psql('postgres', "CREATE DATABASE $db");
	$hub->safe_psql($db, schema($hubs{$db}));
	$hub->safe_psql($db, "CREATE SUBSCRIPTION $db CONNECTION '" . $ingest->connstr . " dbname=postgres' PUBLICATION plays");
}
foreach my $partition_by ('', 'month')
{
	my $db = "leaves$partition_by";

	$hub->safe_psql('postgres', "CREATE DATABASE $db");
	$hub->safe_psql($db, schema($partition_by));
	fails($hub, $db, "CREATE SUBSCRIPTION $db CONNECTION '" . $ingest->connstr . " dbname=postgres' PUBLICATION leaves",
		qr/relation "public\.play_event_\w+" does not exist/, "P11: without publish_via_partition_root, hub $db is refused");
}

sub catch_up
{
	foreach my $db (@_)
	{
		$hub->poll_query_until($db, q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel}) or die 'not synchronised';
		$ingest->wait_for_catchup($db);
	}
	return;
}

# What had been retired before the hub was there, it never gets.
catch_up(sort keys %hubs);
is($hub->safe_psql($_, $rows), '50', "P11: hub $_ has what was there to copy") foreach (sort keys %hubs);

$ingest->safe_psql('postgres', plays_of(3, 20));
catch_up(sort keys %hubs);
my $on_hubs = $hub->safe_psql('in_one', $totals);
is($hub->safe_psql('in_one', 'SELECT sum(plays) FROM play_counter'), '70', 'P11: plays arrive');
is_as($hub, $_, $on_hubs, "hub $_") foreach (sort keys %hubs);

# Retired there
$ingest->safe_psql('postgres', q{SELECT playevent.seal('play_event', '2020-04-01 00:00Z'); SELECT playevent.retire('play_event', '2020-04-01 00:00Z', keep => false)});
$ingest->safe_psql('postgres', q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')});
catch_up(sort keys %hubs);
is($ingest->safe_psql('postgres', "SELECT sum(plays) FROM play_counter; $rows"), "141\n51", 'P11: an ingest server retires');
is($hub->safe_psql($_, "SELECT sum(plays) FROM play_counter; $rows"), "71\n71", "P11: hub $_ keeps what it has") foreach (sort keys %hubs);

# Retired here
$on_hubs = $hub->safe_psql('in_one', $totals);
foreach my $db (qw(by_month by_year))
{
	is($hub->safe_psql($db, q{
			SELECT playevent.seal('play_event', '2021-01-01 00:00Z') > 0;
			SELECT playevent.retire('play_event', '2021-01-01 00:00Z') > 0;} . $rows),
		"t\nt\n51", "P11: hub $db retires for itself");
	is_as($hub, $db, $on_hubs, "hub $db");
}

# A new partition of the ingest server's: by way of the root, it is a matter of its
# own.
$ingest->safe_psql('postgres', q{
	SELECT playevent.make_partition('play_event', 'play_event_p202101', '''2021-01-01Z''', '''2021-02-01Z''');
	SELECT playevent.make_partition('play_event', 'play_event_p202102', '''2021-02-01Z''', '''2021-03-01Z''')});
$hub->safe_psql('by_month', q{
	SELECT playevent.make_partition('play_event', 'play_event_p202101', '''2021-01-01Z''', '''2021-02-01Z''')});
$hub->safe_psql('by_year', q{SELECT playevent.make_partition('play_event', 'play_event_p2021', '''2021-01-01Z''', '''2022-01-01Z''')});
$ingest->safe_psql('postgres', q{INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', '2021-01-07')});
catch_up(sort keys %hubs);
is($hub->safe_psql($_, 'SELECT sum(plays) FROM play_counter'), '72', "P11: hub $_: a new partition")
  foreach (sort keys %hubs);

# What comes too late, or has no place, stops the subscription; and goes on once that
# is mended.
sub stops
{
	my ($db, $offset, $message) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($hub->wait_for_log($message, $offset), "P11: hub $db: it stops, and says why");
	is($hub->safe_psql($db, 'SELECT sum(plays) FROM play_counter'), '72', "P11: hub $db: nothing of it is counted");
	is(not_exact($hub, $db) . not_kept($hub, $db), '', "P11: hub $db: all is as it was");
	return;
}
$hub->safe_psql('by_month', q{SELECT playevent.seal('play_event', '2021-02-01 00:00Z')});
my $offset = -s $hub->logfile;
$ingest->safe_psql('postgres', q{INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', '2021-01-08')});
stops('by_month', $offset, qr/ERROR:  table "play_event_p202101" is sealed/);
$hub->safe_psql('by_month', 'DROP TRIGGER playevent_sealed ON play_event_p202101');
catch_up('by_month', 'by_year');
is($hub->safe_psql($_, 'SELECT sum(plays) FROM play_counter'), '73', "P11: hub $_: unsealed, it goes on") foreach ('by_month', 'by_year');
is($hub->safe_psql('by_month', q{
		SELECT playevent.seal('play_event', '2021-02-01 00:00Z');
		SELECT playevent.retire('play_event', '2021-02-01 00:00Z')}), "1\n1", 'P11: hub by_month: it is sealed again, and retired');
is(not_exact($hub, 'by_month') . not_kept($hub, 'by_month'), '', "P11: hub by_month: all is as it was");

$offset = -s $hub->logfile;
$ingest->safe_psql('postgres', q{INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', '2021-02-08')});
ok($hub->wait_for_log(qr/ERROR:  no partition of relation "play_event" found for row/, $offset), 'P11: hub by_month: no partition, and it says so');
$hub->safe_psql('by_month', q{SELECT playevent.make_partition('play_event', 'play_event_p202102', '''2021-02-01Z''', '''2021-03-01Z''')});
catch_up(sort keys %hubs);
is($hub->safe_psql($_, 'SELECT sum(plays) FROM play_counter'), '74', "P11: hub $_: it goes on") foreach (sort keys %hubs);
is_as($hub, $_, $hub->safe_psql('in_one', $totals), "hub $_, at last") foreach (sort keys %hubs);

# A range that has been retired takes nothing for ever.
$offset = -s $hub->logfile;
$ingest->safe_psql('postgres', q{
	SELECT playevent.make_partition('play_event', 'late', '''2020-05-01Z''', '''2020-06-01Z''');
	INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', '2020-05-08')});
ok($hub->wait_for_log(qr/ERROR:  table "play_event_retired" is sealed/, $offset), 'P11: hub by_month: what was retired takes nothing');

# Some minor releases (16.15, 18.6) warn of a leak, on a hub, for each row of a partition
# with an AFTER trigger, whosever; nothing outlives the transaction.  Whether this one
# does, a table without playevent tells.
$ingest->safe_psql('postgres', 'CREATE TABLE plain (id int PRIMARY KEY); CREATE PUBLICATION plain FOR TABLE plain');
$hub->safe_psql('postgres', q{
	CREATE TABLE plain (id int PRIMARY KEY) PARTITION BY RANGE (id);
	CREATE TABLE plain_part PARTITION OF plain DEFAULT;
	CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER after AFTER INSERT ON plain_part FOR EACH ROW EXECUTE FUNCTION nothing();
	ALTER TABLE plain_part ENABLE ALWAYS TRIGGER after});
$hub->safe_psql('postgres', "CREATE SUBSCRIPTION plain CONNECTION '" . $ingest->connstr . " dbname=postgres' PUBLICATION plain");
$hub->wait_for_subscription_sync($ingest, 'plain');
$ingest->safe_psql('postgres', 'INSERT INTO plain VALUES (1)');
$ingest->wait_for_catchup('plain');

$_->stop('immediate') foreach ($ingest, $hub);

my ($plain, $own) = map {
	qr/WARNING:  (?:relcache reference leak: relation "$_" not closed|resource was not closed: relation "$_")\n.*CONTEXT:  processing remote data for .*message type "COMMIT".*\n/
} ('plain_part', 'play_event_p\d+');
my %log = map { $_->name => slurp_file($_->logfile) } ($ingest, $standby, $hub);
$log{hub} =~ s/$plain|$own//g if $log{hub} =~ $plain;
unlike($log{$_}, qr/WARNING: .*(?:leak|not closed)|TRAP:|PANIC:|terminated by signal/, "nothing bad in the log of $_") foreach (sort keys %log);
done_testing();
