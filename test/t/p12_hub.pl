# P12, P4: a hub's sketches follow the verdicts of its ingest server, whatever that has
# open: savepoints that are applied in parallel, and a prepared transaction, which is
# refused where the two would wait for each other.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use PlayEvent qw(complaints);

sub start
{
	my ($name, $settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\n$settings");
	$node->start;
	return $node;
}

my $ingest = start('ingest', '');
if ($ingest->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hll'}) == 0)
{
	$ingest->stop;
	plan skip_all => 'extension hll is not available';
}
my $hub = start('hub', "max_logical_replication_workers = 8\nwal_retrieve_retry_interval = 100ms\nlog_line_prefix = '%m [%p] %e %q%a '\n");
$_->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE EXTENSION hll;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	SELECT playevent.create_log('play', track => 'track');
	SELECT playevent.add_listener_sketch('play_event');}) foreach ($ingest, $hub);
my $parallel = $hub->pg_version >= 16;

my $into = 'INSERT INTO play_event (track_entry_key, bucket, anon_id)';
$ingest->safe_psql('postgres', q{CREATE PUBLICATION plays FOR TABLE play_event, play_verdict WITH (publish = 'insert')});

sub subscribe
{
	my ($options) = @_;
	my $connection = $ingest->connstr . ' dbname=postgres';
	$hub->safe_psql('postgres', "CREATE SUBSCRIPTION hub CONNECTION '$connection' PUBLICATION plays WITH ($options)");
	$hub->poll_query_until('postgres', q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel})
	  or die 'tables are not synchronised';
	return;
}

sub has_come
{
	my ($what) = @_;
	my $wanted = 'SELECT (SELECT count(*) FROM play_event) || $$ $$ || (SELECT count(*) FROM play_verdict)';
	ok($hub->poll_query_until('postgres', $wanted, $ingest->safe_psql('postgres', $wanted)), "$what: all has come");
	return;
}

sub is_exact
{
	my ($what) = @_;
	foreach my $node ($ingest, $hub)
	{
		is($node->safe_psql('postgres', q{SELECT * FROM playevent.verify('play_event')}), '', "P12: $what: " . $node->name . ' is exact');
	}
	return;
}

my $listeners = q{SELECT track_entry_key, hll_cardinality(hll_union_agg(listeners)) FROM play_listeners GROUP BY 1 ORDER BY 1};

#
# Savepoints of one transaction
#
$ingest->append_conf('postgresql.conf', 'debug_logical_replication_streaming = immediate') if $parallel;
$ingest->reload;
subscribe('streaming = ' . ($parallel ? 'parallel' : 'on'));
$ingest->safe_psql('postgres', qq{
	$into VALUES ('k1', 'most', 'ann'), ('k1', 'most', 'bob');
	BEGIN;
	$into VALUES ('k1', 'most', 'eve'), ('k2', 'most', 'eve');
	SAVEPOINT a;
	$into VALUES ('k2', 'most', 'dan');
	RELEASE a;
	SELECT playevent.void('play_event', ARRAY[1, 3], 'a bot''s');
	$into VALUES ('k2', 'most', 'zoe');
	SAVEPOINT b;
	SELECT playevent.void('play_event', ARRAY[4], 'a bot''s');
	ROLLBACK TO b;
	SELECT playevent.void('play_event', ARRAY[5], 'a bot''s');
	COMMIT;});
has_come('savepoints');
is_exact('savepoints');
if ($parallel)
{
	ok($ingest->poll_query_until('postgres', 'SELECT stream_txns > 0 FROM pg_stat_replication_slots'), 'savepoints: they came while they were open');
}
is($hub->safe_psql('postgres', $listeners),
	"k1|1\nk2|2", 'P12: savepoints: listeners of plays that were voided are not in its sketches');
$hub->safe_psql('postgres', 'DROP SUBSCRIPTION hub');
if ($parallel)
{
	$ingest->append_conf('postgresql.conf', 'debug_logical_replication_streaming = buffered');
	$ingest->reload;
}

#
# A verdict commits while plays are prepared, whose own COMMIT comes behind it.
#
subscribe('two_phase = true, streaming = on, copy_data = false');
my $offset = -s $hub->logfile;
my $judge = $ingest->background_psql('postgres');
$judge->query_safe(q{BEGIN; SELECT playevent.void('play_event', ARRAY[2], 'a bot''s')});
$ingest->safe_psql('postgres', qq{BEGIN; $into VALUES ('k1', 'most', 'ida'); PREPARE TRANSACTION 'plays'});
$hub->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_prepared_xacts') or die 'it was not prepared';
$judge->query_safe('COMMIT');
$judge->quit;
$ingest->safe_psql('postgres', q{COMMIT PREPARED 'plays'});
$hub->wait_for_log(qr/55000 .*sketches in table "play_listeners_slot" cannot be made anew while a prepared transaction/, $offset);
pass('P12: a prepared transaction: the subscription says so');
is($hub->safe_psql('postgres', q{SELECT * FROM playevent.verify('play_event')}), '', 'P12: a prepared transaction: nothing is half counted');

# The way out, as sql/OPERATIONS.md has it
$hub->safe_psql('postgres', 'ALTER TABLE play_verdict DISABLE TRIGGER playevent_judge');
has_come('a prepared transaction');
$hub->safe_psql('postgres', q{
	ALTER TABLE play_verdict ENABLE ALWAYS TRIGGER playevent_judge;
	SELECT playevent.drop_counter('play_event', 'play_listeners');
	SELECT playevent.rebuild('play_event');
	SELECT playevent.add_listener_sketch('play_event');});
is_exact('a prepared transaction');
is($hub->safe_psql('postgres', $listeners), "k1|1\nk2|2", 'P12: a prepared transaction: nor are those here');
is($hub->safe_psql('postgres', q{SELECT intact FROM playevent.log}), 't', 'P12: a prepared transaction: the log is intact');
is(complaints($hub, 0), '', "the hub's log has no complaint");

$hub->safe_psql('postgres', 'DROP SUBSCRIPTION hub');
$_->stop foreach ($hub, $ingest);
done_testing();
