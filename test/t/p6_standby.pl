# P6: streaming replication, promotion and point-in-time recovery, all under
# load.  And P3 on the hot standby: in every snapshot that is looked at while
# replay goes on, and over the promotion, counters equal the log.
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
use Time::HiRes qw(usleep);

use PlayEvent qw(slowdown differences traffic_options kill_server clear_up_after complaints);

# pg_waldump prints local time.
$ENV{TZ} = 'UTC';

my $seed = $ENV{PLAYEVENT_SEED} // time;
note "PLAYEVENT_SEED=$seed";

my $ack_clients = 8;
my $watchers = 2;
my $dir = PostgreSQL::Test::Utils::tempdir();

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(has_archiving => 1, allows_streaming => 1);

# The standby delays replay rather than cancel a reader.
$primary->append_conf('postgresql.conf', q{
max_connections = 60
max_prepared_transactions = 40
shared_buffers = 32MB
wal_keep_size = 256MB
hot_standby_feedback = on
max_standby_streaming_delay = -1
autovacuum_naptime = 1s
checkpoint_timeout = 30s
log_statement = none
});
$primary->start;

# differences() is 0 if both logs are exact, by verify and by a GROUP BY of our
# own, in the caller's snapshot.  watch() looks again and again, each time in a
# snapshot of its own, until the server is no standby any more and its table
# "done" has a row; it returns how often it looked, how often the log had grown
# since, how often anything was wrong, and how often it looked at a standby.
$primary->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(0, 49) i;
	SELECT playevent.create_log('play', track => 'track');
	CREATE SEQUENCE part_id;
	CREATE TABLE part_event (id bigint NOT NULL DEFAULT nextval('part_id'),
		track_entry_key text NOT NULL, release_id bigint,
		bucket play_bucket NOT NULL, month int NOT NULL) PARTITION BY LIST (month);
	CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
	CREATE TABLE part_2 PARTITION OF part_event FOR VALUES IN (2);
	SELECT playevent.attach_log('part_event', track => 'track');
	CREATE TABLE done ();

	CREATE FUNCTION differences() RETURNS bigint STABLE LANGUAGE sql AS $$
		SELECT sum(by_group + by_verify) FROM ((} . differences('play') . q{) UNION ALL
			(} . differences('part') . q{)) d (by_group, by_verify)
	$$;

	CREATE PROCEDURE watch(INOUT looks bigint, INOUT grown bigint,
						   INOUT wrong bigint, INOUT on_standby bigint)
	LANGUAGE plpgsql AS $$
	DECLARE
		before bigint := -1;
		plays bigint;
		counted bigint;
		by_track bigint;
	BEGIN
		LOOP
			COMMIT;
			SELECT count(*) INTO plays FROM play_event;
			SELECT sum(c.plays) INTO counted FROM play_counter c;
			IF plays <> counted OR differences() <> 0 THEN
				wrong := wrong + 1;
			END IF;
			SELECT sum(t.plays) INTO by_track FROM play_by_track t;
			IF plays <> by_track THEN
				wrong := wrong + 1;
			END IF;
			looks := looks + 1;
			grown := grown + (plays > before)::int;
			on_standby := on_standby + pg_is_in_recovery()::int;
			before := plays;
			PERFORM set_config('application_name', 'watched ' || on_standby, false);
			EXIT WHEN NOT pg_is_in_recovery() AND EXISTS (SELECT FROM done);
		END LOOP;
	END
	$$;
});

# What pgbench sends: tracks by Zipf, of which some move to another release now
# and then.
append_to_file("$dir/plays.txt",
	join('', map { 'k' . ($_ % 9) . "\tcomplete\n" } 1 .. 60));
my $into = 'INSERT INTO play_event (track_entry_key, bucket) VALUES';
my $into_part = 'INSERT INTO part_event (track_entry_key, bucket, month) VALUES';
my $into_1 = 'INSERT INTO part_1 (track_entry_key, bucket, month) VALUES';
my %traffic = (
	single => [ 10, "$into ('k:k', 'complete');" ],
	batch => [ 3, "$into ('k:k', 'most'), ('k:l', 'complete'), ('new:k', 'partial');
		$into_part ('k:k', 'most', 1), ('k:l', 'most', 2);" ],
	savepoints => [ 3, "BEGIN;
		$into ('k:k', 'most');
		SAVEPOINT a;
		$into ('k:l', 'most'), ('k:k', 'partial');
		$into_1 ('k:k', 'most', 1);
		ROLLBACK TO a;
		$into ('k:l', 'complete');
		SAVEPOINT b;
		$into_1 ('k:k', 'most', 1), ('k:l', 'most', 1);
		SAVEPOINT c;
		$into ('k:k', 'complete');
		RELEASE b;
		COMMIT;" ],
	copy => [ 1, "COPY play_event (track_entry_key, bucket) FROM '$dir/plays.txt';" ],
	prepared => [ 2, "BEGIN;
		$into ('k:k', 'most'), ('k:l', 'most');
		$into_1 ('k:k', 'most', 1);
		PREPARE TRANSACTION 'load-:client_id-:n';
		COMMIT PREPARED 'load-:client_id-:n';" ],
	undone => [ 1, "BEGIN;
		$into ('k:k', 'most'), ('gone:n', 'most');
		$into_1 ('k:k', 'most', 1);
		PREPARE TRANSACTION 'load-:client_id-:n';
		ROLLBACK PREPARED 'load-:client_id-:n';" ],
	own_snapshot => [ 1, "BEGIN ISOLATION LEVEL REPEATABLE READ;
		$into ('k:k', 'most');
		$into_1 ('k:k', 'most', 1);
		$into ('k:k', 'most'), ('k:l', 'most');
		COMMIT;" ],
	moved => [ 1, "UPDATE track SET release_id = :k WHERE entry_key = 'k:l';" ],
);
my @traffic = traffic_options($dir, %traffic);
append_to_file("$dir/upkeep.pgbench",
	"SELECT playevent.compact('play_event');\nVACUUM play_counter_slot;\n" .
	"SELECT playevent.compact('part_event');\nVACUUM part_counter_slot, track;\n\\sleep 100 ms\n");

# Run in the background, until it is stopped or loses its server.
sub start_pgbench
{
	my ($name, @arguments) = @_;
	return IPC::Run::start(
		[ 'pgbench', '-n', '-T', 10 * $PostgreSQL::Test::Utils::timeout_default,
		  "--random-seed=$seed", @arguments, $primary->connstr('postgres') ],
		'>', "$dir/$name.out", '2>', "$dir/$name.err");
}

sub plays
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT count(*) FROM play_event');
}

sub wait_for_plays
{
	my ($more) = @_;
	my $before = plays($primary);
	$primary->poll_query_until('postgres',
		"SELECT count(*) >= $before + $more FROM play_event")
	  or die 'no traffic';
	return;
}

# Transactions that are left prepared, on hot tracks, counts of all kinds.
sub prepare
{
	my ($name) = @_;
	$primary->safe_psql('postgres', qq{
		BEGIN;
		$into ('k0', 'most'), ('k1', 'most'), ('$name', 'most');
		SAVEPOINT a;
		$into_1 ('k0', 'most', 1), ('$name', 'most', 1);
		RELEASE a;
		PREPARE TRANSACTION '$name';});
	return;
}

sub exact
{
	my ($node, $name) = @_;
	is($node->safe_psql('postgres', 'SELECT differences()'), 0, "P6: $name: exact");
	is($node->safe_psql('postgres', q{
			SET enable_seqscan = off; SET enable_bitmapscan = off;
			SELECT sum(plays) = (SELECT count(*) FROM play_event WHERE track_entry_key = 'k0')
			FROM play_counter_slot WHERE track_entry_key = 'k0'}),
		't', "P6: $name: so it is by the index");
	return;
}

# A server that took another one's place: what it took over is exact, its
# prepared transactions can be finished, and plays go on.
sub takes_over
{
	my ($node, $name, @carried) = @_;
	exact($node, $name);
	is($node->safe_psql('postgres',
			"SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'carried%' ORDER BY 1"),
		join("\n", @carried), "P6: $name: prepared transactions were carried over");

	# The load's are finished too, or they would stand in the way of more.
	my $committed = $carried[0];
	my @rest = split /\n/, $node->safe_psql('postgres',
		"SELECT gid FROM pg_prepared_xacts WHERE gid <> '$committed'");
	$node->safe_psql('postgres', "COMMIT PREPARED '$committed'");
	$node->safe_psql('postgres',
		join('', map { "ROLLBACK PREPARED '$_';\n" } @rest));
	is($node->safe_psql('postgres', "
			SELECT (SELECT count(*) FROM play_event WHERE track_entry_key LIKE 'carried%'),
				   (SELECT sum(plays) FROM play_counter WHERE track_entry_key = '$committed'),
				   (SELECT sum(parts) FROM part_counter WHERE track_entry_key = '$committed')"),
		($name eq 'restore point' ? 1 : 2) . '|1|1',
		"P6: $name: what is committed of them counts, and nothing else");
	exact($node, "$name, prepared transactions finished");

	my $before = plays($node);
	my $failed = !run_log([ 'pgbench', '-n', '-c', 8, '-t', 40, "--random-seed=$seed",
		  @traffic, $node->connstr('postgres') ]);
	ok(!$failed, "P6: $name: traffic goes on");
	cmp_ok(plays($node), '>=', $before + 320 / 2, "P6: $name: with plays");
	exact($node, "$name, after more traffic");
	is($node->safe_psql('postgres', "SELECT playevent.rebuild('play_event'), playevent.rebuild('part_event')"),
		'0|0', "P6: $name: there is nothing to rebuild");
	return;
}

#
# Load, and in the midst of it a base backup, from which a standby starts
#
prepare("carried-$_") foreach (1 .. 3);
my $load = start_pgbench('load', '-c', 12, '-j', 2, '-R', 350 / slowdown(), @traffic);
my $upkeep = start_pgbench('upkeep', '-f', "$dir/upkeep.pgbench");
wait_for_plays(500);
$primary->backup('under_load');
prepare("carried-$_") foreach (4 .. 6);

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'under_load', has_streaming => 1);
$standby->append_conf('postgresql.conf', "archive_mode = off\n");
$standby->start;

my @watchers;
foreach my $watcher (1 .. $watchers)
{
	push @watchers, IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $standby->connstr('postgres'),
		  '-c', "SET default_transaction_isolation = 'repeatable read'",
		  '-c', 'CALL watch(0, 0, 0, 0)' ],
		'>', "$dir/watched$watcher", '2>', "$dir/watched$watcher.err");
}

my ($ret, $stdout, $stderr);
foreach my $function ('compact', 'rebuild')
{
	($ret, $stdout, $stderr) =
	  $standby->psql('postgres', "SELECT playevent.$function('play_event')");
	like($stderr, qr/cannot execute playevent\.$function\(\) during recovery|cannot execute playevent\.$function\(\) in a read-only transaction/,
		"P6: $function is refused on a standby");
}

# Two points to go back to.  At the first all six transactions were prepared,
# at the second four.
wait_for_plays(500);
$primary->safe_psql('postgres', "SELECT pg_create_restore_point('midway')");
$primary->safe_psql('postgres', "COMMIT PREPARED 'carried-1'");
$primary->safe_psql('postgres', "ROLLBACK PREPARED 'carried-4'");
wait_for_plays(500);
my $time = $primary->safe_psql('postgres',
	q{SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || ' UTC'});
wait_for_plays(500);

# All plays of either point, and the transactions they are of.
my %transaction_of =
  map { my ($play, $xid) = split /\|/; $play => $xid } split /\n/, $primary->safe_psql('postgres', q{
	SELECT 'play ' || id, xmin FROM play_event
	UNION ALL SELECT 'part ' || id, xmin FROM part_event});
my $last_segment = $primary->safe_psql('postgres', 'SELECT pg_walfile_name(pg_switch_wal())');
$primary->poll_query_until('postgres',
	"SELECT last_archived_wal >= '$last_segment' FROM pg_stat_archiver")
  or die 'the log is not archived';

$standby->poll_query_until('postgres', qq{
	SELECT count(*) = $watchers FROM pg_stat_activity
	WHERE application_name ~ '^watched \\d{2,}\$'})
  or die 'nothing is watched';

#
# Fail over: the standby has all that was acknowledged.
#
$primary->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
$primary->reload;
$primary->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
  or die 'the standby is not synchronous';

# What each client sends: statements that commit by themselves and return the
# ids of what they recorded, so that an id in a client's output was committed.
my @clients;
foreach my $client (1 .. $ack_clients)
{
	append_to_file("$dir/client$client.sql", join('', map {
		my $cold = 'k' . (($_ * $client) % 50);
		my $second = $_ % 3 ? '' : ", ('$cold', 'most', gen_random_uuid(), 'acknowledged')";
		'INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id) VALUES ' .
		"('k0', 'complete', gen_random_uuid(), 'acknowledged')$second RETURNING event_id;\n";
	} 1 .. 20000));
	push @clients, IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $primary->connstr('postgres'),
		  '-f', "$dir/client$client.sql" ],
		'>', "$dir/acknowledged$client", '2>', "$dir/client$client.err");
}
wait_for_plays(1500);

my $errors = join '', map { slurp_file("$dir/$_.err") } qw(load upkeep);
unlike($errors, qr/ERROR|abort/, 'P6: the load ran without errors') or diag $errors;

# Promoted at work.  The old primary acknowledges nothing from then on, since
# nobody has flushed it; then it is killed.
$standby->promote;
$standby->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
  or die 'the standby is not promoted';
kill_server($primary);
$_->finish foreach (@clients, $load, $upkeep);
clear_up_after($primary);

my $lost = grep { slurp_file("$dir/client$_.err") =~ /connection|terminated/ } 1 .. $ack_clients;
is($lost, $ack_clients, 'P6: all clients were cut off at work');

$standby->safe_psql('postgres', 'CREATE TABLE acknowledged (event_id uuid NOT NULL);' .
	join '', map { "\n\\copy acknowledged FROM '$dir/acknowledged$_'" } 1 .. $ack_clients);
cmp_ok($standby->safe_psql('postgres', 'SELECT count(*) FROM acknowledged'),
	'>', 500, 'P6: plays were acknowledged');
is($standby->safe_psql('postgres', q{
		SELECT count(*) FROM acknowledged a
		WHERE NOT EXISTS (SELECT FROM play_event p WHERE p.event_id = a.event_id)}),
	0, 'P6: every acknowledged play is on the promoted standby');
cmp_ok($standby->safe_psql('postgres', q{
		SELECT count(*) FROM play_event p WHERE p.anon_id = 'acknowledged'
		AND NOT EXISTS (SELECT FROM acknowledged a WHERE a.event_id = p.event_id)}),
	'<=', 2 * $ack_clients,
	'P6: plays that nobody was told of are no more than were under way');

takes_over($standby, 'promoted standby', map { "carried-$_" } 2, 3, 5, 6);

$standby->safe_psql('postgres', 'INSERT INTO done DEFAULT VALUES');
foreach my $watcher (1 .. $watchers)
{
	$watchers[$watcher - 1]->finish;
	my $output = slurp_file("$dir/watched$watcher");
	chomp $output;
	note "looks|grown|wrong|on standby: $output";
	is(slurp_file("$dir/watched$watcher.err"), '', "P3: watcher $watcher had no error");
	my ($looks, $grown, $wrong, $on_standby) = split /\|/, $output;
	is($wrong, 0, "P3: watcher $watcher saw exact counters in every snapshot");
	cmp_ok($on_standby, '>=', 10, "P3: watcher $watcher looked at a standby");
	cmp_ok($looks, '>', $on_standby, "P3: watcher $watcher looked after the promotion");
	cmp_ok($grown, '>=', 10, "P3: watcher $watcher looked while replay went on");
}
$standby->stop;

#
# Points in time.  What had been committed by then, the write-ahead log tells.
#
my $wal;
IPC::Run::run([ 'pg_waldump', '-p', $primary->archive_dir, '-r', 'Transaction', '-r', 'XLOG',
	'000000010000000000000001', $last_segment ], '>', \$wal, '2>', \my $ignored);
my @committed;		# in order, with "midway" among them
foreach my $line (split /\n/, $wal)
{
	if ($line =~ /RESTORE_POINT midway/)
	{
		push @committed, { midway => 1, time => '' };
	}
	elsif ($line =~ /tx: +(\d+),.*desc: (COMMIT|ABORT)(?:_PREPARED)? (?:(\d+): )?(\d{4}-[^;]*? UTC)/)
	{
		my ($xid, $what, $prepared, $at) = ($1, $2, $3, $4);
		my $subxacts = $line =~ /; subxacts:((?: \d+)+)/ ? $1 : '';
		push @committed, { time => $at,
			xids => $what eq 'COMMIT' ? [ $prepared // $xid, split ' ', $subxacts ] : [] };
	}
}

# Recovery stops behind the restore point, and before the first transaction that
# ended later than the time.
my %targets = (
	'restore point' => {
		setting => "recovery_target_name = 'midway'",
		passed => sub { $_[0]->{midway} },
		carried => [ 1 .. 6 ] },
	'time' => {
		setting => "recovery_target_time = '$time'",
		passed => sub { $_[0]->{time} gt $time },
		carried => [ 2, 3, 5, 6 ] });

foreach my $target (sort keys %targets)
{
	my %by_then;
	my $passed;
	foreach my $end (@committed)
	{
		$passed = $targets{$target}->{passed}->($end);
		last if $passed;
		$by_then{$_} = 1 foreach (@{ $end->{xids} // [] });
	}
	ok($passed, "P6: $target: it is in the archive");
	my %expected = map { $_ => 1 } grep { $by_then{ $transaction_of{$_} } } keys %transaction_of;
	cmp_ok(scalar keys %expected, '>', 1000, "P6: $target: there had been plays");
	cmp_ok(scalar keys %expected, '<=', (keys %transaction_of) - 250, "P6: $target: and more came");

	my $restored = PostgreSQL::Test::Cluster->new('restored_' . ($target =~ s/ /_/r));
	$restored->init_from_backup($primary, 'under_load', has_restoring => 1, standby => 0);
	$restored->append_conf('postgresql.conf', qq{
archive_mode = off
$targets{$target}->{setting}
recovery_target_action = 'promote'
});
	$restored->start;
	$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die 'recovery does not end';

	my %there = map { $_ => 1 } split /\n/, $restored->safe_psql('postgres',
		"SELECT 'play ' || id FROM play_event UNION ALL SELECT 'part ' || id FROM part_event");
	my @missing = grep { !$there{$_} } keys %expected;
	my @extra = grep { !$expected{$_} } keys %there;
	is("@missing", '', "P6: $target: all plays of that point are there");
	is("@extra", '', "P6: $target: and none that came later");
	takes_over($restored, $target, map { "carried-$_" } @{ $targets{$target}->{carried} });
	$restored->stop;
	is(complaints($restored, 0), '',
		"P6: $target: nothing leaked or crashed");
}

foreach my $node ($primary, $standby)
{
	is(complaints($node, 0), '',
		'P6: ' . $node->name . ': nothing leaked or crashed');
}

done_testing();
