# P11: kill -9 in the middle of retire, and a standby that is promoted there: either
# a partition is retired or it is not, totals are the same, and counters equal the
# log.  And 16 clients insert beside seal and retire, without an error; how long the
# longest of them waited is printed.
#
# PLAYEVENT_SEED repeats when kills come, if not what they meet.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use PlayEvent;
use Test::More;
use Time::HiRes qw(time usleep);

random_seed();
my $rounds = 10;
my $clients = 16;
my $rows = int(30_000 / slowdown());
my $dir = PostgreSQL::Test::Utils::tempdir();

# A log with this many months of the past, some keys in all of them, and counters
# by more; what its totals are lies in a table of the log's database.
my $log = q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(0, 49) i;
	CREATE FUNCTION month(n int) RETURNS timestamptz LANGUAGE sql STABLE AS
		$$SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC'$$;
	SELECT playevent.create_log('play', track => 'track', partition_by => 'month', day_zone => 'Pacific/Auckland');
	SELECT playevent.add_counter('play_event', 'by_listener', '{anon_id,bucket}');
	DO $$BEGIN
		FOR i IN 1..MONTHS LOOP
			EXECUTE format('CREATE TABLE play_event_m%s PARTITION OF play_event FOR VALUES FROM (%L) TO (%L)', i, month(-i), month(1 - i));
		END LOOP;
	END$$;
	INSERT INTO play_event (track_entry_key, bucket, created_at, anon_id)
		SELECT 'k' || floor(50 * power(random(), 3)), (enum_range(NULL::play_bucket))[1 + n % 3],
			   month(-MONTHS) + random() * (month(0) - month(-MONTHS)), 'l' || n % 997
		  FROM generate_series(1, ROWS) n;
	CREATE VIEW total AS
		SELECT 'play_counter' AS counter, to_jsonb(v) AS total FROM play_counter v
		UNION ALL SELECT 'play_daily', to_jsonb(v) FROM play_daily v
		UNION ALL SELECT 'by_listener', to_jsonb(v) FROM by_listener v;
	CREATE TABLE before AS TABLE total;
};

# How many totals differ from those before, how many keys from the log, and how
# many of its things are not as they should be.
my $wrong = q{
	SELECT (SELECT count(*) FROM ((TABLE total EXCEPT ALL TABLE before) UNION ALL (TABLE before EXCEPT ALL TABLE total)) d),
		   (SELECT count(*) FROM playevent.verify('play_event')),
		   (SELECT count(*) FROM playevent.log WHERE NOT intact)};

sub make_log
{
	my ($node, $months) = @_;
	$node->safe_psql('postgres', $log =~ s/MONTHS/$months/gr =~ s/ROWS/$rows/gr);
	return;
}

# Is this month's partition in the log, retired, and what does the manifest say?
sub state_of
{
	my ($node, $month) = @_;
	return $node->safe_psql('postgres', qq{
		SELECT (SELECT count(*) FROM playevent.partitions('play_event') WHERE part::text = 'play_event_m$month'),
			   (SELECT count(*) FROM pg_class WHERE relname = 'play_event_m$month' AND NOT relispartition),
			   (SELECT count(*) FROM play_manifest WHERE action = 'retire' AND part = 'play_event_m$month')});
}

# Statements that go on in the background, one after the other; what they say is of
# no interest.
sub begin
{
	my ($node, @statements) = @_;
	my %session = (out => '', err => '');
	$session{run} = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements ],
		'<', '/dev/null', '>', \$session{out}, '2>', \$session{err});
	return \%session;
}

sub await
{
	my ($node, $query, $what) = @_;
	$node->poll_query_until('postgres', $query) or die "never: $what";
	return;
}

# Processes that were killed may hold on to the server's shared memory until someone
# reaps them.
sub start_again
{
	my ($node) = @_;
	foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		usleep(100_000);
	}
	die 'the server does not start again';
}

#
# Kills
#
my $node = PostgreSQL::Test::Cluster->new('killed');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 60\nautovacuum_naptime = 1s\nlog_statement = none\n");
$node->start;
my $months = $rounds + 2;
make_log($node, $months);

my $began = time;
$node->safe_psql('postgres', "SELECT playevent.seal('play_event', month(1 - $months)); SELECT playevent.retire('play_event', month(1 - $months))");
my $takes = time - $began;
is($node->safe_psql('postgres', $wrong), '0|0|0', 'P11: totals are kept');
my %ends;
my $kills = 0;
foreach my $round (1 .. $rounds)
{
	my $month = $months - $round;
	my $offset = -s $node->logfile;
	$node->safe_psql('postgres', "SELECT playevent.seal('play_event', month(1 - $month))");

	# Somebody reads the log, so that retire has counted, and waits to the end; or
	# it is met anywhere.
	my $reader = $round % 3 == 0
	  && begin($node, 'BEGIN', 'SELECT count(*) FROM play_event', 'SELECT pg_sleep(600)');
	await($node, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND wait_event = 'PgSleep'}, 'a reader') if $reader;
	my $retire = begin($node, "SELECT playevent.retire('play_event', month(1 - $month), " . ($round % 2 ? 'true' : 'false') . ')');
	if ($reader)
	{
		await($node, q{SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted AND relation = 'play_event'::regclass}, 'retire waits');
	}
	else { usleep(rand(1.2 * $takes * 1_000_000)); }
	my @killed;
	if ($round % 2) { @killed = kill_server($node); }
	else { $node->stop('immediate'); }
	$kills++;
	foreach my $session (grep { $_ } $retire, $reader) { $session->{run}->finish; }
	start_again($node);

	my $state = state_of($node, $month);
	my $end = $state eq '1|0|0' ? 'nothing' : $state eq ($round % 2 ? '0|1|1' : '0|0|1') ? 'all' : $state;
	$ends{$end}++;
	ok($end eq 'all' || $end eq 'nothing', "P11: killed, either all or nothing is retired: $end");
	is($node->safe_psql('postgres', $wrong), '0|0|0', 'P11: totals are as before, and counters equal the log');
	is($node->safe_psql('postgres', "SELECT playevent.retire('play_event', month(1 - $month))"), $end eq 'all' ? 0 : 1, 'P11: it goes on where it was');
	is($node->safe_psql('postgres', $wrong), '0|0|0', 'P11: and totals are the same');
	is(complaints($node, $offset, @killed), '', 'P11: nothing leaked or crashed');
}
note join ', ', map { "$ends{$_} times $_" } sort keys %ends;
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (SELECT part FROM play_manifest m WHERE action = 'retire' AND reason = 'kept') m,
		LATERAL playevent.verify_archive('play_event', m.part)}), '0', 'P11: all archives are as the manifest says');
is($node->safe_psql('postgres', q{SELECT playevent.rebuild('play_event')}), '0', 'P11: rebuild finds nothing wrong');
$node->stop;

#
# A standby is promoted
#
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "max_connections = 60\nautovacuum = off\n");
$primary->start;
make_log($primary, 4);
$primary->safe_psql('postgres', q{SELECT playevent.seal('play_event', month(-1)); SELECT playevent.retire('play_event', month(-3))});
$primary->backup('base');
foreach my $committed (0, 1)
{
	my $standby = PostgreSQL::Test::Cluster->new("standby$committed");
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->start;
	my $session = begin($primary, 'BEGIN', "SELECT playevent.retire('play_event', month(-2))", 'SELECT pg_switch_wal()',
		$committed ? 'COMMIT' : 'SELECT', 'SELECT pg_sleep(600)');
	await($primary, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND wait_event = 'PgSleep'}, 'retired');
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	is($standby->safe_psql('postgres', 'SELECT count(*) FROM ((TABLE total EXCEPT ALL TABLE before) UNION ALL (TABLE before EXCEPT ALL TABLE total)) d'),
		'0', 'P11: a standby shows the same totals');
	$standby->promote;
	is(state_of($standby, 3), $committed ? '0|1|1' : '1|0|0', 'P11: promoted, it has ' . ($committed ? 'all' : 'nothing') . ' of what was under way');
	is($standby->safe_psql('postgres', $wrong), '0|0|0', 'P11: with the same totals, and counters equal the log');
	is($standby->safe_psql('postgres', q{SELECT playevent.retire('play_event', month(-1))}), $committed ? 1 : 2, 'P11: and goes on');
	is($standby->safe_psql('postgres', $wrong), '0|0|0', 'P11: with the same totals');
	is($standby->safe_psql('postgres', q{SELECT count(*) FROM playevent.verify_archive('play_event', 'play_event_m3')}), '0', 'P11: its archive is as the manifest says');
	$standby->stop;
	$primary->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'});
	$session->{run}->finish;
}
is($primary->safe_psql('postgres', $wrong), '0|0|0', 'P11: on the primary, too');
$primary->stop;

#
# Clients that insert
#
$node = PostgreSQL::Test::Cluster->new('busy');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 60\nautovacuum_naptime = 1s\n");
$node->start;
make_log($node, $months);
my $before = $node->safe_psql('postgres', 'SELECT sum(plays) FROM play_counter');
my $transactions = int(600 / slowdown());
my @options = traffic_options($dir,
	plain => [ 4, "INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k:k', 'most', 'l:n');" ],
	record => [ 2, "SELECT record_play('k:k', 'complete', NULL, 'l:l');" ],
	late => [ 1, "INSERT INTO play_event (track_entry_key, bucket, played_at) VALUES ('k:k', 'most', now() - interval '1 month' * (:n % 11));" ],
	hot => [ 3, "BEGIN;\nINSERT INTO play_event (track_entry_key, bucket) VALUES ('k0', 'most');\nINSERT INTO play_event (track_entry_key, bucket) VALUES ('k0', 'most');\nEND;" ]);
# into files, for nobody empties a pipe meanwhile
my $pgbench = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-j', '2', '-t', $transactions, '-l', "--log-prefix=$dir/latency",
		@options, '-d', $node->connstr('postgres') . ' application_name=traffic' ], '>', "$dir/pgbench.out", '2>', "$dir/pgbench.err");
await($node, q{SELECT count(*) > 1 FROM pg_stat_activity WHERE application_name = 'traffic'}, 'clients are there');
my ($retired, $gave_up) = (0, 0);
foreach my $month (reverse 2 .. $months)
{
	foreach my $what ('seal', 'retire')
	{
		my ($stdout, $stderr);
		my $code = $node->psql('postgres', "SELECT playevent.$what('play_event', month(1 - $month))", stdout => \$stdout, stderr => \$stderr);
		if ($code == 0) { $retired += $stdout if $what eq 'retire'; next; }
		$gave_up++;
		like($stderr, qr/was in use all the time|lock timeout/, "P11: $what gives up, if at all, for it had no lock");
		redo;
	}
	$node->safe_psql('postgres', q{SELECT playevent.compact('play_event')});
}
$pgbench->finish;
my ($out, $err) = map { slurp_file("$dir/pgbench.$_") } ('out', 'err');
is(join('', grep { /error|aborted|failed/i } split /^/, $err), '', 'P11: no client met an error');
diag(substr $err, 0, 500) if length $err > 2000;
my ($done) = $out =~ m{number of transactions actually processed: (\d+)/};
is($done, $clients * $transactions, 'P11: all that was sent was recorded');
is($retired, $months - 1, 'P11: while months were retired');
my @latencies = sort { $b <=> $a } map { (split / /)[2] } map { split /\n/, slurp_file($_) } glob "$dir/latency.*";
note sprintf 'of %d transactions by %d clients beside %d partitions sealed and retired, the longest took %d ms, one in 1000 more than %d ms; %d calls gave up',
  scalar @latencies, $clients, $retired, $latencies[0] / 1000, $latencies[ @latencies / 1000 ] / 1000, $gave_up;
is($node->safe_psql('postgres', q{SELECT count(*) FROM playevent.verify('play_event')}), '0', 'P11: counters equal the log');
is($node->safe_psql('postgres', q{
	SELECT (SELECT sum(plays) FROM play_counter) = } . ($before + 0) . q{ + now.n, (SELECT sum(plays) FROM play_daily) = } . ($before + 0) . q{ + now.n
	  FROM (SELECT count(*) AS n FROM play_event WHERE created_at >= month(0)) AS now}), 't|t', 'P11: and totals are what there was and what has come');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM play_event WHERE created_at >= month(0)'), '>=', $done, 'P11: which is all of it');

# What was counted in several slots at once leaves none behind.
$node->safe_psql('postgres', q{SELECT playevent.compact('play_event')});
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM (SELECT FROM play_counter_slot GROUP BY track_entry_key, release_id, bucket HAVING sum(plays) = 0) d),
		   (SELECT count(*) FROM (SELECT FROM play_daily_slot GROUP BY track_entry_key, release_id, day HAVING sum(plays) = 0) d),
		   (SELECT count(*) FROM (SELECT FROM by_listener_slot GROUP BY anon_id, bucket HAVING sum(plays) = 0) d)}), '0|0|0', 'P11: no slot is left of what is gone');
is($node->safe_psql('postgres', q{SELECT playevent.rebuild('play_event')}), '0', 'P11: rebuild finds nothing wrong');
is(complaints($node, 0), '', 'P11: nothing leaked');
$node->stop;

done_testing();
