# P3, P6 and P12: two ingest servers publish their plays to one hub, by the recipe in
# sql/OPERATIONS.md, whose commands are those below.  The hub's counters are the sum of
# the ingest servers', whichever way the plays came there and whatever was killed
# on the way; and what must not come there (changes of the log, slots, a play
# twice) stops loudly, with nothing half counted.
#
# PLAYEVENT_SEED repeats what the load's clients send, if not how they meet.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use Test::More;

use PlayEvent qw(slowdown differences traffic_options is_back complaints);

my $seed = $ENV{PLAYEVENT_SEED} // time;
note "PLAYEVENT_SEED=$seed";
my $dir = PostgreSQL::Test::Utils::tempdir();

# The site's schema, the same on every node, owned by an ordinary role.  The
# tracks are the ingest servers'; what the hub has of them differs.
sub schema
{
	my ($release, $arguments) = @_;
	return qq{
		CREATE EXTENSION playevent;
		GRANT CREATE ON SCHEMA public TO site;
		SET ROLE site;
		CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
		INSERT INTO track SELECT 'k' || i, $release FROM generate_series(0, 49) i;
		SELECT playevent.create_log('play', track => 'track' $arguments);
		SELECT playevent.create_log('share', track => 'track',
			kind => 'channel', kinds => '{link,embed}' $arguments);
		RESET ROLE;};
}

my @ingest;
foreach my $number (1, 2)
{
	my $node = PostgreSQL::Test::Cluster->new("ingest_$number");
	$node->init(allows_streaming => 'logical');

	# So small that transactions of some hundred rows are streamed.
	$node->append_conf('postgresql.conf', q{
max_connections = 30
max_prepared_transactions = 20
max_wal_senders = 20
max_replication_slots = 20
shared_buffers = 32MB
logical_decoding_work_mem = 64kB
log_statement = none
});
	$node->start;
	$node->safe_psql('postgres', 'CREATE ROLE site; ' . schema("$number + i % 7", ''));
	push @ingest, $node;
}
my $hub = PostgreSQL::Test::Cluster->new('hub');
$hub->init;
$hub->append_conf('postgresql.conf', q{
max_prepared_transactions = 20
max_logical_replication_workers = 16
max_worker_processes = 24
max_replication_slots = 20
wal_retrieve_retry_interval = 100ms
restart_after_crash = on
log_statement = none
log_line_prefix = '%m [%p] %e %q%a '
});
$hub->append_conf('postgresql.conf', "max_active_replication_origins = 20\n")
  if $hub->pg_version >= 18;
$hub->start;
my $parallel = $hub->pg_version >= 16;
$hub->safe_psql('postgres', 'CREATE ROLE site; ' . schema(999, ''));

#
# Questions to ask
#
my $log_query = q{
	SELECT 'play', id, track_entry_key, release_id, bucket, event_id, anon_id, created_at FROM play_event};
my $counter_query = 'SELECT track_entry_key, release_id, bucket, plays FROM play_counter';

sub lines
{
	my ($node, $query, $database) = @_;
	return split /\n/, $node->safe_psql($database // 'postgres', $query);
}

sub number
{
	my ($node, $query, $database) = @_;
	return $node->safe_psql($database // 'postgres', "SELECT count(*) FROM $query");
}

# By verify, and by a GROUP BY of our own.
sub exact
{
	my ($node, $name, $database) = @_;
	is($node->safe_psql($database // 'postgres',
			'(' . differences('play') . ') UNION ALL (' . differences('share', 'channel') . ')'),
		"0|0
0|0", "P3: $name: exact");
	return;
}

sub catch_up
{
	my (@numbers) = @_ ? @_ : (1, 2);
	$ingest[$_ - 1]->wait_for_catchup("ingest_$_") foreach (@numbers);
	return;
}

# The hub has the rows of both, and the sum of their counters.
sub hub_is_sum
{
	my ($name) = @_;
	my %difference;
	$difference{$_}++ foreach (map { lines($_, $log_query) } @ingest);
	$difference{$_}-- foreach (lines($hub, $log_query));
	my @different = grep { $difference{$_} != 0 } sort keys %difference;
	is(scalar @different, 0, "P3: $name: the hub has the plays of both")
	  or diag join "\n", @different[0 .. ($#different > 9 ? 9 : $#different)];

	my %sum;
	foreach my $line (map { lines($_, $counter_query) } @ingest)
	{
		my ($key, $plays) = $line =~ /^(.*)\|(\d+)$/;
		$sum{$key} += $plays;
	}
	is(join("\n", sort(lines($hub, $counter_query))),
		join("\n", sort map { "$_|$sum{$_}" } keys %sum),
		"P3: $name: the hub's counters are the sum of theirs");
	exact($_, "$name: " . $_->name) foreach (@ingest, $hub);
	return;
}

#
# The recipe: each node gives out ids of its own, beyond those there are.  Then
# load comes, before there is any replication.
#
$ingest[0]->safe_psql('postgres',
	"INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most'), ('k3', 'most')");
my $own_ids = 'ALTER TABLE play_event ALTER COLUMN id SET INCREMENT BY 10 RESTART WITH';
$ingest[0]->safe_psql('postgres', "$own_ids 1001");
$ingest[1]->safe_psql('postgres', "$own_ids 1002");
$hub->safe_psql('postgres', "$own_ids 1010");

append_to_file("$dir/plays.txt", join('', map { 'k' . ($_ % 9) . "\tcomplete\n" } 1 .. 60));
my $into = 'INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES';
my $some = 'INSERT INTO play_event (track_entry_key, bucket) SELECT';
my $id = 'gen_random_uuid()';
my %traffic = (
	single => [ 20, "$into ('k:k', 'complete', $id);" ],
	batch => [ 6, "$into ('k:k', 'most', $id), ('k:l', 'complete', $id), ('new:k', 'partial', $id);" ],
	savepoints => [ 6, "BEGIN;
		$into ('k:k', 'most', $id);
		SAVEPOINT a;
		$into ('k:l', 'most', $id), ('k:k', 'partial', $id);
		ROLLBACK TO a;
		$into ('k:l', 'complete', $id);
		SAVEPOINT b;
		$into ('k:k', 'complete', $id);
		RELEASE b;
		COMMIT;" ],
	copy => [ 2, "COPY play_event (track_entry_key, bucket) FROM '$dir/plays.txt';" ],
	prepared => [ 4, "BEGIN;
		$into ('k:k', 'most', $id), ('k:l', 'most', $id);
		PREPARE TRANSACTION 'load-:client_id-:n';
		COMMIT PREPARED 'load-:client_id-:n';" ],
	undone => [ 2, "BEGIN;
		$into ('k:k', 'most', $id), ('gone:n', 'most', $id);
		PREPARE TRANSACTION 'load-:client_id-:n';
		ROLLBACK PREPARED 'load-:client_id-:n';" ],
	large => [ 1, "BEGIN;
		$some 'k' || i % 9, 'most' FROM generate_series(1, 500) i;
		SAVEPOINT a;
		$some 'gone' || i % 9, 'most' FROM generate_series(1, 500) i;
		ROLLBACK TO a;
		$some 'k' || i % 50, 'partial' FROM generate_series(1, 500) i;
		COMMIT;" ],
	large_prepared => [ 1, "BEGIN;
		$some 'k' || i % 9, 'complete' FROM generate_series(1, 700) i;
		PREPARE TRANSACTION 'load-:client_id-:n';
		COMMIT PREPARED 'load-:client_id-:n';" ],
	moved => [ 2, "UPDATE track SET release_id = :k WHERE entry_key = 'k:l';" ],
);
my @traffic = traffic_options($dir, %traffic);
my @loads = map {
	IPC::Run::start(
		[ 'pgbench', '-n', '-c', 6, '-R', 80 / slowdown(), '-T', 10 * $PostgreSQL::Test::Utils::timeout_default,
		  '--random-seed=' . ($seed + $_), @traffic, $ingest[$_]->connstr('postgres') ],
		'>', "$dir/load$_.out", '2>', "$dir/load$_.err")
} (0, 1);
foreach my $node (@ingest)
{
	$node->poll_query_until('postgres', 'SELECT count(*) > 300 FROM play_event')
	  or die 'no traffic';
}

#
# The recipe, on: what to publish and to subscribe to, with the log attached as
# by default; and with what it allows without sketches
#
my @connstr = map { $_->connstr . ' dbname=postgres user=hub' } @ingest;
$_->safe_psql('postgres', q{
	CREATE ROLE hub LOGIN REPLICATION;
	GRANT SELECT ON play_event, share_event TO hub;
	CREATE PUBLICATION plays FOR TABLE play_event WITH (publish = 'insert');}) foreach (@ingest);
$hub->safe_psql('postgres', "CREATE SUBSCRIPTION ingest_1 CONNECTION '$connstr[0]' PUBLICATION plays
	WITH (two_phase = true, streaming = on)");
$hub->safe_psql('postgres', "CREATE SUBSCRIPTION ingest_2 CONNECTION '$connstr[1]' PUBLICATION plays
	WITH (two_phase = true, streaming = " . ($parallel ? 'parallel' : 'on') . ')');

# Where the ids are the hub's own, they are not published.  Not two_phase: a
# subscription that is prepares every prepared transaction of its publisher,
# even those that have nothing for it.
my $share_columns = 'track_entry_key, release_id, channel, anon_id, event_id, created_at';
foreach my $number (1, 2)
{
	$ingest[$number - 1]->safe_psql('postgres', qq{
		INSERT INTO share_event (track_entry_key, channel) VALUES ('k1', 'link'), ('k$number', 'embed');
		CREATE PUBLICATION shares FOR TABLE share_event ($share_columns) WITH (publish = 'insert')});
	$hub->safe_psql('postgres', "CREATE SUBSCRIPTION shares_$number
		CONNECTION '$connstr[$number - 1]' PUBLICATION shares");
}

#
# Apply workers are killed, and with kill -9 the whole hub restarts, while the
# initial copy and then the load are under way.
#
my @killed;
foreach my $round (1 .. 8)
{
	my $before = number($hub, 'play_event');
	$hub->poll_query_until('postgres', qq{
		SELECT (SELECT count(*) > $before + 100 FROM play_event) AND
			   (SELECT count(*) >= 2 FROM pg_stat_subscription WHERE pid IS NOT NULL AND subname LIKE 'ingest%')})
	  or die 'nothing is applied';
	if ($round % 3)
	{
		my $ended = $hub->safe_psql('postgres', q{
			SELECT count(pg_terminate_backend(pid)) FROM pg_stat_subscription WHERE subname LIKE 'ingest%'});
		cmp_ok($ended, '>=', 1, "P6: round $round: $ended apply workers were terminated");
	}
	else
	{
		my $offset = -s $hub->logfile;
		my $pid;
		do
		{
			($pid) = lines($hub, q{
				SELECT pid FROM pg_stat_subscription
				WHERE pid IS NOT NULL AND subname LIKE 'ingest%' ORDER BY random() LIMIT 1});
		} until defined $pid && kill 'KILL', $pid;
		push @killed, $pid;
		$hub->wait_for_log(qr/terminated by signal 9/, $offset);
		is_back($hub) or die 'the hub is not back';
	}
	exact($hub, "round $round, in the midst of it");
}

foreach my $i (0, 1)
{
	my $errors = slurp_file("$dir/load$i.err");
	unlike($errors, qr/ERROR|abort/, 'P6: the load ran without errors') or diag $errors;
	$loads[$i]->signal('TERM');
	$loads[$i]->finish;
}
foreach my $node (@ingest)
{
	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'");
	my $finish = 'COMMIT';
	foreach my $prepared (lines($node, 'SELECT gid FROM pg_prepared_xacts'))
	{
		$node->safe_psql('postgres', "$finish PREPARED '$prepared'");
		$finish = $finish eq 'COMMIT' ? 'ROLLBACK' : 'COMMIT';
	}
}
$hub->poll_query_until('postgres', q{
	SELECT (SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel) AND
		   (SELECT count(*) = 2 FROM pg_subscription WHERE subtwophasestate = 'e')})
  or die 'tables are not synchronised';
catch_up();
hub_is_sum('after load and kills');
cmp_ok(number($hub, 'play_event'), '>', 2000, 'P6: there was load');
is(number($hub, 'play_event WHERE release_id = 999'), 0,
	'P2: plays keep the release of where they were recorded');

#
# Without load: large transactions, streamed while they are under way, with
# subtransactions; applied in parallel where that exists.
#
foreach my $node (@ingest)
{
	$node->safe_psql('postgres', qq{
		BEGIN;
		$some 'k' || i % 9, 'most' FROM generate_series(1, 2000) i;
		SAVEPOINT a;
		$some 'gone' || i % 9, 'most' FROM generate_series(1, 2000) i;
		SAVEPOINT b;
		$some 'gone' || i % 9, 'most' FROM generate_series(1, 2000) i;
		RELEASE b;
		ROLLBACK TO a;
		SAVEPOINT c;
		$some 'k' || i % 9, 'complete' FROM generate_series(1, 2000) i;
		RELEASE c;
		$some 'large', 'complete' FROM generate_series(1, 2000) i;
		COMMIT;
		BEGIN;
		$some 'gone', 'complete' FROM generate_series(1, 3000) i;
		ROLLBACK;});
}
catch_up();
foreach my $node (@ingest)
{
	ok($node->poll_query_until('postgres',
			"SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = '"
			  . $node->name . "'"),
		'P3: ' . $node->name . ': transactions were streamed');
}
if ($parallel)
{
	cmp_ok(number($hub, "pg_stat_subscription WHERE subname = 'ingest_2' AND leader_pid IS NOT NULL"),
		'>', 0, 'P3: and applied in parallel');
}
hub_is_sum('large transactions');

#
# The same name prepared on both, on the hub over a restart, and ended
# differently
#
$_->safe_psql('postgres', qq{
		BEGIN;
		$into ('k0', 'most', $id), ('same', 'most', $id);
		SAVEPOINT a;
		$into ('k0', 'most', $id);
		RELEASE a;
		PREPARE TRANSACTION 'same';
		BEGIN;
		$some 'k0', 'most' FROM generate_series(1, 3000) i;
		PREPARE TRANSACTION 'large';}) foreach (@ingest);
catch_up();
is(number($hub, 'pg_prepared_xacts'), 4, 'P3: the hub has prepared them too');
exact($hub, 'prepared');
$hub->restart;
$ingest[0]->safe_psql('postgres', "COMMIT PREPARED 'same'; ROLLBACK PREPARED 'large';");
$ingest[1]->safe_psql('postgres', "ROLLBACK PREPARED 'same'; COMMIT PREPARED 'large';");
catch_up();
is(number($hub, 'pg_prepared_xacts'), 0, 'P3: and ended them');
hub_is_sum('prepared and ended');

#
# Shares, with ids of the hub's own
#
foreach my $number (1, 2)
{
	$ingest[$number - 1]->safe_psql('postgres', qq{
		INSERT INTO share_event (track_entry_key, channel) VALUES ('k1', 'link'), ('k7', 'embed')});
	$ingest[$number - 1]->wait_for_catchup("shares_$number");
}
$hub->safe_psql('postgres', "INSERT INTO share_event (track_entry_key, channel) VALUES ('k1', 'link')");
is($hub->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM share_event'),
	'9|9', 'P3: shares have got ids of the hub');
is($hub->safe_psql('postgres',
		"SELECT sum(shares) FROM share_counter WHERE track_entry_key = 'k1' AND channel = 'link'"),
	5, 'P3: shares are counted');
exact($hub, 'shares');

#
# count_replicated => false: rows arrive uncounted, and rebuild counts them
#
$hub->safe_psql('postgres', 'CREATE DATABASE uncounted');
$hub->safe_psql('uncounted', schema(999, ', count_replicated => false'));
$hub->safe_psql('uncounted', "CREATE SUBSCRIPTION uncounted CONNECTION '$connstr[0]' PUBLICATION plays");
$hub->wait_for_subscription_sync($ingest[0], 'uncounted', 'uncounted');
my $keys = number($ingest[0], 'play_counter') + number($ingest[0], 'play_daily');
is($hub->safe_psql('uncounted', 'SELECT (SELECT count(*) FROM play_event), (SELECT count(*) FROM play_counter)'),
	number($ingest[0], 'play_event') . '|0', 'P3: count_replicated => false: the initial copy is not counted');
is(number($hub, "playevent.verify('play_event')", 'uncounted'), $keys, 'P3: count_replicated => false: verify shows it');
is($hub->safe_psql('uncounted', "SELECT playevent.rebuild('play_event')"), $keys, 'P3: count_replicated => false: rebuild mends it');
exact($hub, 'count_replicated => false, rebuilt', 'uncounted');
$ingest[0]->safe_psql('postgres', "$into ('uncounted', 'most', $id), ('uncounted', 'most', $id)");
$ingest[0]->wait_for_catchup('uncounted');
is($hub->safe_psql('uncounted', "SELECT counter, track_entry_key, kind, counted, logged FROM playevent.verify('play_event')"),
	"play_counter|uncounted|most|0|2\nplay_daily|uncounted||0|2", 'P3: count_replicated => false: nor is what is streamed');

# A log that is attached anew counts what is there and what comes.
$hub->safe_psql('uncounted', q{
	DROP TRIGGER playevent_count ON play_event;
	SELECT playevent.attach_log('play_event', track => 'track');});
$ingest[0]->safe_psql('postgres', "$into ('uncounted', 'most', $id)");
$ingest[0]->wait_for_catchup('uncounted');
is($hub->safe_psql('uncounted', "SELECT plays FROM play_counter WHERE track_entry_key = 'uncounted'"),
	3, 'P3: count_replicated => false: attached anew without it');
exact($hub, 'attached anew', 'uncounted');
$hub->safe_psql('uncounted', 'DROP SUBSCRIPTION uncounted');

#
# Everything published by mistake, slots included: they are refused where they
# arrive, and the right publication mends it, with nothing to be skipped.
#
$hub->safe_psql('postgres', 'CREATE DATABASE mistaken');
$hub->safe_psql('mistaken', schema(999, '') . ' DELETE FROM track;');
$ingest[0]->safe_psql('postgres', q{
	CREATE PUBLICATION everything FOR ALL TABLES;
	GRANT SELECT ON ALL TABLES IN SCHEMA public TO hub;});
my $slot_refused = qr/ 23001 ERROR:  table "play_(?:counter|daily)_slot" is written by playevent alone/;

my $offset = -s $hub->logfile;
$hub->safe_psql('mistaken', "CREATE SUBSCRIPTION mistaken CONNECTION '$connstr[0]' PUBLICATION everything");
$hub->wait_for_log($slot_refused, $offset);
pass('P3: slots published: their initial copy is refused');
$hub->poll_query_until('mistaken', q{
	SELECT srsubstate = 'r' FROM pg_subscription_rel WHERE srrelid = 'play_event'::regclass})
  or die 'the log is not synchronised';
exact($hub, 'slots published, initial copy', 'mistaken');
$hub->safe_psql('mistaken', 'ALTER SUBSCRIPTION mistaken SET PUBLICATION plays');
$ingest[0]->safe_psql('postgres', "$into ('mended', 'most', $id)");
$hub->wait_for_subscription_sync($ingest[0], 'mistaken', 'mistaken');
is(number($hub, 'play_event', 'mistaken'), number($ingest[0], 'play_event'),
	'P3: slots published no more: plays arrive');
exact($hub, 'slots published no more', 'mistaken');

$hub->safe_psql('mistaken', 'DROP SUBSCRIPTION mistaken');
$hub->safe_psql('mistaken', "CREATE SUBSCRIPTION mistaken CONNECTION '$connstr[0]' PUBLICATION everything
	WITH (copy_data = false)");
$offset = -s $hub->logfile;
$ingest[0]->safe_psql('postgres', "$into ('slot published', 'most', $id)");
$hub->wait_for_log($slot_refused, $offset);
is(number($hub, "play_event WHERE track_entry_key = 'slot published'", 'mistaken'), 0,
	'P3: slots published: a play does not arrive without its refused slot');
exact($hub, 'slots published, streamed', 'mistaken');
$hub->safe_psql('mistaken', 'ALTER SUBSCRIPTION mistaken SET PUBLICATION plays');
$ingest[0]->wait_for_catchup('mistaken');
is(number($hub, 'play_event', 'mistaken'), number($ingest[0], 'play_event'),
	'P3: slots published no more: that play arrives too');
exact($hub, 'slots published no more, streamed', 'mistaken');
$hub->safe_psql('mistaken', 'DROP SUBSCRIPTION mistaken');
$ingest[0]->safe_psql('postgres', 'DROP PUBLICATION everything');

my ($ret, $stdout, $stderr) =
  $ingest[0]->psql('postgres', 'CREATE PUBLICATION counters FOR TABLE play_counter');
like($stderr, qr/cannot add relation "play_counter" to publication/, 'P3: views of counters cannot be published');

catch_up();
hub_is_sum('before conflicts');

#
# Verdicts, which are published too: the hub's counters follow, those that were
# copied as those that are streamed, of both servers under the same numbers.
#
sub decide
{
	my ($number, $call) = @_;
	return $ingest[ $number - 1 ]->safe_psql('postgres', "SELECT playevent.$call");
}

# Of the plays that count, by verify and by a GROUP BY of our own
sub valid_exact
{
	my ($node, $name, $database) = @_;
	is($node->safe_psql($database // 'postgres', q{
			WITH valid AS (SELECT track_entry_key, release_id, bucket, count(*) FROM play_valid GROUP BY 1, 2, 3)
			SELECT (SELECT count(*) FROM ((TABLE valid EXCEPT TABLE play_counter) UNION ALL
										  (TABLE play_counter EXCEPT TABLE valid)) d),
				   (SELECT count(*) FROM playevent.verify('play_event'))}), '0|0', "P12: $name: exact");
	return;
}
my $some_ids = 'ARRAY(SELECT id FROM play_event ORDER BY id LIMIT';
is(decide($_, "void('play_event', $some_ids 40), 'before')"), 40, "P12: plays are voided on server $_") foreach (1, 2);
$hub->safe_psql('postgres', "SELECT playevent.void('play_event', '{}', 'for the view')");
foreach my $number (1, 2)
{
	$ingest[ $number - 1 ]->safe_psql('postgres', 'GRANT SELECT ON play_verdict TO hub; ALTER PUBLICATION plays ADD TABLE play_verdict');
	$hub->safe_psql('postgres', "ALTER SUBSCRIPTION ingest_$number REFRESH PUBLICATION WITH (copy_data = false)");
}
decide($_, "reinstate('play_event', $some_ids 40), 'before')") foreach (1, 2);
is(decide(1, "void('play_event', $some_ids 30), 'bots v1')"), 30, 'P12: plays are voided on one server');
is(decide(2, "void('play_event', $some_ids 50), 'bots v1')"), 50, 'P12: and on the other');
is(decide(2, "reinstate('play_event', $some_ids 20), 'bots v2')"), 20, 'P12: and some reinstated');
$ingest[0]->safe_psql('postgres', qq{
	BEGIN;
	$into ('judged', 'most', $id), ('judged', 'most', $id);
	SELECT playevent.void('play_event', ARRAY(SELECT id FROM play_event WHERE track_entry_key = 'judged' LIMIT 1), 'at once');
	COMMIT;});
catch_up();
valid_exact($_, 'verdicts: ' . $_->name) foreach (@ingest, $hub);
is($hub->safe_psql('postgres', "SELECT sum(plays) FROM play_counter WHERE track_entry_key = 'judged'"), 1,
	'P12: a play and its verdict of one transaction');
is($hub->safe_psql('postgres', "SELECT count(*) FROM play_verdict WHERE counts IS FALSE AND reason = 'bots v1'"), 80,
	'P12: verdicts of both are there');
cmp_ok($hub->safe_psql('postgres', 'SELECT count(*) FROM (SELECT id FROM play_verdict GROUP BY id HAVING count(*) > 1) AS same'), '>', 0,
	'P12: some under the same number');

# Where rows are recorded without counting, rebuild counts those that count.
$hub->safe_psql('postgres', 'CREATE DATABASE judged');
$hub->safe_psql('judged', schema(999, ', count_replicated => false') . "SELECT playevent.void('play_event', '{}', 'for the view')");
$hub->safe_psql('judged', "CREATE SUBSCRIPTION judged CONNECTION '$connstr[1]' PUBLICATION plays");
$hub->wait_for_subscription_sync($ingest[1], 'judged', 'judged');
decide(2, "reinstate('play_event', $some_ids 25), 'bots v3')");
$ingest[1]->wait_for_catchup('judged');
is(number($hub, 'play_counter', 'judged'), 0, 'P12: count_replicated => false: verdicts take nothing off, either');
$hub->safe_psql('judged', "SELECT playevent.rebuild('play_event')");
valid_exact($hub, 'count_replicated => false, rebuilt', 'judged');
is(join("\n", sort(lines($hub, $counter_query, 'judged'))), join("\n", sort(lines($ingest[1], $counter_query))),
	'P12: count_replicated => false, rebuilt: the counters of the other server');
$hub->safe_psql('judged', 'DROP SUBSCRIPTION judged');

# The initial copy brings tables in any order: rebuild sets it right.
$hub->safe_psql('postgres', 'CREATE DATABASE copied');
$hub->safe_psql('copied', schema(999, '') . "SELECT playevent.void('play_event', '{}', 'for the view')");
$hub->safe_psql('copied', "CREATE SUBSCRIPTION copied CONNECTION '$connstr[1]' PUBLICATION plays");
$hub->wait_for_subscription_sync($ingest[1], 'copied', 'copied');
$hub->safe_psql('copied', "SELECT playevent.rebuild('play_event')");
valid_exact($hub, 'copied, rebuilt', 'copied');
$hub->safe_psql('copied', 'DROP SUBSCRIPTION copied');
$ingest[ $_ - 1 ]->safe_psql('postgres', q{
	SELECT playevent.reinstate('play_event', ARRAY(SELECT DISTINCT event FROM play_verdict), 'for the rest');
	}) foreach (1, 2);
catch_up();
hub_is_sum('all reinstated');
foreach my $number (1, 2)
{
	$ingest[ $number - 1 ]->safe_psql('postgres', 'ALTER PUBLICATION plays DROP TABLE play_verdict');
	$hub->safe_psql('postgres', "ALTER SUBSCRIPTION ingest_$number REFRESH PUBLICATION WITH (copy_data = false)");
}

#
# The same id, or event_id, from both: loud, nothing counted twice; and how to
# go on.
#

# Wait for an error of the apply worker, and until it has tried again; returns
# the end of the transaction that is to blame.
sub stopped
{
	my ($error, $from) = @_;
	my $said = qr/ $error.*?finished at ([0-9A-F]+\/[0-9A-F]+)/s;
	$hub->wait_for_log(qr/$said.* $error/s, $from);
	my ($lsn) = slurp_file($hub->logfile, $from) =~ $said;
	return $lsn;
}

sub skip_transaction
{
	my ($number, $lsn) = @_;
	$hub->safe_psql('postgres', "ALTER SUBSCRIPTION ingest_$number SKIP (lsn = '$lsn')");
	catch_up($number);
	return;
}

$ingest[0]->safe_psql('postgres', "INSERT INTO play_event (id, track_entry_key, bucket) VALUES (1000000000, 'taken', 'most')");
catch_up(1);
$offset = -s $hub->logfile;
$ingest[1]->safe_psql('postgres', "
	INSERT INTO play_event (id, track_entry_key, bucket) VALUES (1000000001, 'taken', 'most'), (1000000000, 'taken', 'most');
	$into ('taken', 'most', $id)");
my $lsn = stopped(qr/23505 ERROR:.*?"play_event_pkey"/s, $offset);
$ingest[0]->safe_psql('postgres', "$into ('not held up', 'most', $id)");
catch_up(1);
is($hub->safe_psql('postgres', q{
		SELECT track_entry_key, sum(plays) FROM play_counter
		WHERE track_entry_key IN ('taken', 'not held up') GROUP BY 1 ORDER BY 1}),
	"not held up|1\ntaken|1", 'P3: id taken: nothing of that transaction is counted, and the other server is not held up');
exact($hub, 'id taken');

# Skipped, and its rows recorded by hand, with the hub's ids and the ingest
# server's release.
skip_transaction(2, $lsn);
$hub->safe_psql('postgres', q{
	SET session_replication_role = replica;
	INSERT INTO play_event (track_entry_key, release_id, bucket) VALUES ('taken', 42, 'most'), ('taken', 42, 'most');});
is($hub->safe_psql('postgres', q{
		SELECT release_id, plays FROM play_counter WHERE track_entry_key = 'taken' ORDER BY 1}),
	"42|2\n|2", 'P3: id taken: skipped, and recorded by hand');
is(number($hub, 'play_event WHERE release_id = 42 AND id % 10 = 0'), 2, 'P3: with ids of the hub');
exact($hub, 'id taken, mended');

$ingest[0]->safe_psql('postgres', "$into ('retried', 'most', md5('0')::uuid)");
catch_up(1);
$offset = -s $hub->logfile;
$ingest[1]->safe_psql('postgres', "$into ('retried', 'most', md5('0')::uuid)");
stopped(qr/23505 ERROR:.*?"play_event_event_id_idx"/s, $offset);
exact($hub, 'event_id taken');

# A client's retry that reached the other server: the hub can leave it out.
$hub->safe_psql('postgres', q{
	CREATE FUNCTION skip_retry() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.play_event WHERE event_id = NEW.event_id) THEN
			RETURN NULL;
		END IF;
		RETURN NEW;
	END
	$$;
	CREATE TRIGGER skip_retry BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION skip_retry();
	ALTER TABLE play_event ENABLE REPLICA TRIGGER skip_retry;
});
catch_up(2);
is($hub->safe_psql('postgres', "SELECT sum(plays) FROM play_counter WHERE track_entry_key = 'retried'"),
	1, 'P3: event_id taken: the hub leaves the retry out');
exact($hub, 'event_id taken, left out');

# At the same time on both: whichever worker comes second fails, tries again,
# and leaves it out.
append_to_file("$dir/retries.sql", join '', map { "$into ('retried', 'most', md5('$_')::uuid);\n" } 1 .. 300);
my @retries = map {
	IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $_->connstr('postgres'),
		'-f', "$dir/retries.sql" ])
} @ingest;
ok($_->finish, 'P3: retries are recorded on both servers') foreach (@retries);
catch_up();
is($hub->safe_psql('postgres', "SELECT sum(plays) FROM play_counter WHERE track_entry_key = 'retried'"),
	301, 'P3: retries at the same time are counted once on the hub');
exact($hub, 'retries at the same time');

#
# The hub needs no tracks.
#
$hub->safe_psql('postgres', 'DROP TABLE track');
$ingest[0]->safe_psql('postgres', q{
	UPDATE track SET release_id = 77 WHERE entry_key = 'k1';
	INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'no tracks');});
catch_up();
is($hub->safe_psql('postgres', "SELECT release_id FROM play_event WHERE anon_id = 'no tracks'"), 77,
	'P2: a hub without tracks keeps the release of where a play was recorded');
exact($hub, 'without tracks');

#
# Changes of the log.  Published, they are refused (23001) and the subscription
# stops until they are skipped; as the recipe has it, they are not even sent.
#
my %change = (
	UPDATE => "UPDATE play_event SET anon_id = 'someone' WHERE id = (SELECT min(id) FROM play_event)",
	DELETE => "DELETE FROM play_event WHERE id = (SELECT min(id) FROM play_event)",
	TRUNCATE => 'TRUNCATE play_event');

sub change
{
	my ($kind) = @_;
	$ingest[0]->safe_psql('postgres', qq{
		BEGIN;
		$into ('with $kind', 'most', $id);
		ALTER TABLE play_event DISABLE TRIGGER playevent_append_only;
		ALTER TABLE play_event DISABLE TRIGGER playevent_append_only_truncate;
		$change{$kind};
		ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_append_only;
		ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_append_only_truncate;
		COMMIT;});
	is($ingest[0]->safe_psql('postgres', 'SELECT bool_and(intact) FROM playevent.log'), 't',
		"P1: $kind: done at its origin");
	return;
}

$ingest[0]->safe_psql('postgres', "ALTER PUBLICATION plays SET (publish = 'insert, update, delete, truncate')");
foreach my $kind ('UPDATE', 'DELETE', 'TRUNCATE')
{
	my $rows = number($hub, 'play_event');
	$offset = -s $hub->logfile;
	change($kind);
	$lsn = stopped(qr/23001 ERROR:  table "play_event" is append-only/, $offset);
	pass("P1: $kind published: refused with 23001");
	$ingest[0]->safe_psql('postgres', "$into ('after $kind', 'most', $id)");
	$ingest[1]->safe_psql('postgres', "$into ('beside $kind', 'most', $id)");
	catch_up(2);
	is(number($hub, 'play_event'), $rows + 1,
		"P1: $kind published: the subscription stops there, the other goes on");
	cmp_ok($hub->safe_psql('postgres',
			"SELECT apply_error_count FROM pg_stat_subscription_stats WHERE subname = 'ingest_1'"),
		'>', 0, "P1: $kind published: which is there to be monitored");
	exact($hub, "$kind published");
	skip_transaction(1, $lsn);
	is(number($hub, 'play_event'), $rows + 2, "P1: $kind published: skipped, then it goes on");
	exact($hub, "$kind published and skipped");
}

$ingest[0]->safe_psql('postgres', "ALTER PUBLICATION plays SET (publish = 'insert')");
foreach my $kind ('UPDATE', 'DELETE', 'TRUNCATE')
{
	my $rows = number($hub, 'play_event');
	change($kind);
	catch_up(1);
	is(number($hub, "play_event WHERE anon_id = 'someone'"), 0, "P1: $kind not published: not sent");
	is(number($hub, 'play_event'), $rows + 1, "P1: $kind not published: the plays beside it are");
	exact($hub, "$kind not published");
}
$ingest[0]->safe_psql('postgres', "SELECT playevent.rebuild('play_event')");
exact($_, 'in the end: ' . $_->name) foreach (@ingest, $hub);

$_->stop foreach ($hub, @ingest);
foreach my $node ($hub, @ingest)
{
	my @signals = slurp_file($node->logfile) =~ /terminated by signal/g;
	is(complaints($node, 0, @killed), '', 'P6: ' . $node->name . ': nothing leaked or crashed');
	is(scalar @signals, $node == $hub ? scalar @killed : 0,
		'P6: ' . $node->name . ': no process ended that was not killed');
}

done_testing();
