# P2, P3, P4, P5, P9, P10, P11 and P12 against a model: random histories of several
# sessions, whose every step is compared with plain Perl data (Model.pm).
#
# In each history two to five logs are played to in every way there is, by
# functions that give receipts too, while tracks are edited, tables rewritten,
# slots merged, counters and sketches made and dropped, partitions added, things
# renamed, triggers lost, doubled and enabled again (Model/Alterations.pm), months
# sealed and retired (Model/Life.pm), rows voided and reinstated, listeners forgotten
# (Model/Verdicts.pm), transactions prepared, and things go wrong.  After each statement the log must
# hold the model's rows, with the release that the track table had in the
# statement's snapshot, and the counters must equal them, in the snapshot of the
# transaction that asks; each event_id is there once, under the id that all who
# sent it were told.  No statement may fail but as the model says, nor wait:
# lock_timeout turns a wait into a failure.  Only who sends an event_id that
# another session is about to record waits for it, in a session of its own.
#
# Statements take turns, so that a history can be replayed; but for bursts,
# where all sessions play at once.
#
#	PLAYEVENT_HISTORIES		how many, 2000
#	PLAYEVENT_SEED			of the random numbers, printed
#	PLAYEVENT_HISTORY		only this one (17) or these (1-17), and show the
#							statements

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Digest::MD5 qw(md5);
use JSON::PP;
use Model;
use Model::Alterations;
use Model::Batches;
use Model::Blocks;
use Model::Counters;
use Model::History;
use Model::Life;
use Model::Looks;
use Model::Plays;
use Model::Tracks;
use Model::Transactions;
use Model::Verdicts;
use Model::Works;
use PlayEvent;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

my $histories = $ENV{PLAYEVENT_HISTORIES} // 2000;
my $seed = $ENV{PLAYEVENT_SEED} // int(rand(1_000_000_000));
my $only = $ENV{PLAYEVENT_HISTORY};

# Sessions stay for so many histories, each of which makes its tables anew.
my $batch = 20;
my $steps = 36;
my $workers = $only ? 1 : 2;

my $lock_timeout = 5 * slowdown() . 's';
my $deadlock_timeout = slowdown() . 's';
my $schema = q{
	CREATE SCHEMA history;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint,
		is_deleted boolean NOT NULL DEFAULT false, note int);
	SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted');
	ALTER TABLE play_event ADD seconds int DEFAULT nullif(floor(random() * 8)::int, 7) - 3;
	CREATE TABLE part_event (track_entry_key text NOT NULL CHECK (track_entry_key <> ''),
		release_id bigint, bucket play_bucket NOT NULL, month int NOT NULL,
		seconds int DEFAULT nullif(floor(random() * 8)::int, 7) - 3)
		PARTITION BY LIST (month);
	CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
	CREATE TABLE part_2 PARTITION OF part_event FOR VALUES IN (2);
	SELECT playevent.attach_log('part_event', track => 'track', track_deleted => 'is_deleted',
		unknown_track => 'reject');

	-- The app's own triggers: they leave a play out; fail after it was counted in
	-- memory, or at commit; or record another one at commit.
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM 1 / 0; RETURN NULL; END';
	CREATE FUNCTION play_again() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN INSERT INTO part_1 (track_entry_key, bucket, month)
			VALUES (NEW.track_entry_key, NEW.bucket, 1); RETURN NULL; END';
	CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER aa_skip BEFORE INSERT ON play_event
		FOR EACH ROW WHEN (NEW.anon_id = 'skip') EXECUTE FUNCTION skip();
	CREATE TRIGGER zz_fail AFTER INSERT ON play_event
		FOR EACH ROW WHEN (NEW.anon_id = 'fail') EXECUTE FUNCTION fail();
	CREATE CONSTRAINT TRIGGER zz_late AFTER INSERT ON play_event DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.anon_id = 'late') EXECUTE FUNCTION fail();
	CREATE CONSTRAINT TRIGGER zz_again AFTER INSERT ON play_event DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.anon_id = 'again') EXECUTE FUNCTION play_again();

	-- Record a play, from within another statement; the second keeps an error
	-- to itself.
	CREATE FUNCTION played(key text, kind text) RETURNS text LANGUAGE plpgsql AS
		'BEGIN INSERT INTO play_event (track_entry_key, bucket) VALUES (key, kind::play_bucket);
			RETURN key; END';
	CREATE FUNCTION tried(key text, kind text) RETURNS text LANGUAGE plpgsql AS
		'BEGIN INSERT INTO play_event (track_entry_key, bucket) VALUES (key, kind::play_bucket);
			PERFORM 1 / (kind <> ''partial'')::int; RETURN key;
		EXCEPTION WHEN division_by_zero THEN RETURN key; END';
} . look_view('play') . look_view('part');

# A log that also takes events of a release alone, and turns unknown tracks away.
my $share_schema = q{
	CREATE TABLE release (id bigint PRIMARY KEY);
	INSERT INTO release VALUES (5), (6);
	SELECT playevent.create_log('share', track => 'track', track_deleted => 'is_deleted', kind => 'channel',
		kinds => '{partial,most,complete}', release => 'release', unknown_track => 'reject');
	ALTER TABLE share_event ADD seconds int DEFAULT nullif(floor(random() * 8)::int, 7) - 3;
} . look_view('share');

#
# Steps
#
sub play_way
{
	return pick(values => 5, execute => 2, copy => 4, partition => 5, replica => 2, conflict => 3,
		from_track => 1, cte => 2, edit_cte => 1, function => 2, plpgsql => 5, many => 0.5, refused => 1,
		record_many => 8, record_one => 4, void => 4, forget => 1, snapshot => $history->{life} ? 1 : 0);
}

sub play_step
{
	my ($session) = @_;
	my $way = play_way();
	my $plan = begin_plan($session, $way, $ways{$way}) // return;
	end_plan($plan);
	return;
}

sub edit_step
{
	my ($session) = @_;
	my $plan = begin_plan($session, 'edit', \&track_edit) // return;
	end_plan($plan);
	return;
}

# All who can play do so at once.
sub burst
{
	my @plans;
	foreach my $session (grep { !$_->{tx} || !$_->{tx}{failed} } @sessions)
	{
		my $way = pick(values => 5, copy => 3, partition => 3, from_track => 2, execute => 2);
		push @plans, begin_plan($session, "burst of $way", $ways{$way}) // ();
	}
	end_plan($_) foreach (@plans);
	return;
}

sub step
{
	my $session = any(@sessions);
	my $tx = $session->{tx};
	if ($tx && $tx->{failed})
	{
		my $savepoints = @{ $tx->{savepoints} };
		my $what = pick(rollback_to => $savepoints ? 6 : 0, end => 3, play => 1);
		if ($what eq 'rollback_to') { rollback_to_step($session); look($session); }
		elsif ($what eq 'end') { end_step($session); }
		else { run($session, "INSERT INTO play_event (track_entry_key, bucket) VALUES ('t1', 'most')", '25P02', 'in failed'); }
		return;
	}
	my $what;
	if ($tx)
	{
		my $savepoints = @{ $tx->{savepoints} };
		$what = pick(play => 40, edit => 10, burst => 4,
			savepoint => $savepoints < 5 ? 14 : 0, rollback_to => $savepoints ? 6 : 0, release => $savepoints ? 8 : 0,
			wait => 10, declare => 3, fetch => $tx->{cursors} && %{ $tx->{cursors} } ? 8 : 0,
			verify => 2, compact => 3, rebuild => 2, end => 14);
	}
	else
	{
		$what = pick(begin => 40, play => 18, edit => 6, burst => 4, end_prepared => @prepared ? 8 : 0,
			verify => 2, compact => 4, rebuild => 3, work => 22, race => 2, end_all => 4, live => may_live() ? 12 : 0);
	}
	if ($what eq 'burst') { burst(); }
	elsif ($what eq 'race') { race_step(); }
	elsif ($what eq 'end_all') { end_all(); work_step($session); }
	else
	{
		my %step = (play => \&play_step, edit => \&edit_step, savepoint => \&savepoint_step,
			rollback_to => \&rollback_to_step, release => \&release_step, declare => \&declare_step,
			fetch => \&fetch_step, verify => \&verify_step, compact => \&compact_step,
			rebuild => \&rebuild_step, end => \&end_step, begin => \&begin_step, wait => \&wait_step,
			end_prepared => \&end_prepared, work => \&work_step, live => \&live);
		$step{$what}->($session);
	}
	look($session) if !$session->{tx} || !$session->{tx}{failed} && %{ $session->{tx}{locks} // {} };
	return;
}

#
# A history
#
sub begin_history
{
	my ($number, $hll) = @_;
	$history = { number => $number, said => [], other_made => 0, counters_made => 0, counters => {}, app => 1, hll => $hll };
	srand(unpack 'N', md5("$seed $number"));
	$history->{serializable} = pick(reads => 3, edits => 2, plays => 5);
	$history->{share_serializable} = pick(2 => 3, 20 => 1);
	$history->{share} = chance(50);
	$history->{retires} = 0;
	$history->{life} = life_begins() if chance(33);
	$model = Model->new;
	@prepared = ();
	@partitions = (1, 2);
	$other = undef;
	$model->{counts}{$_} = {} foreach (logs_there());
	delete $_->{tx} foreach (@sessions, $waiter);

	run($sessions[0], $schema);
	run($sessions[0], $share_schema) if $history->{share};
	run($sessions[0], life_schema()) if $history->{life};
	app_triggers($sessions[0]) if chance(50);
	my $tx = $model->begin('READ COMMITTED');
	my @tracks = (
		[ 't1', 1, 0 ], [ 't2', 2, 0 ], [ 't3', 1, 0 ], [ 't4', 3, 0 ], [ 'loose', undef, 0 ], [ 'gone', 4, 1 ]);
	foreach (@tracks)
	{
		my ($key, $release, $deleted) = @$_;
		$model->edit_track($tx, $model->{next_track}++, { key => $key, release => $release, deleted => $deleted });
	}
	run($sessions[0], 'INSERT INTO track (entry_key, release_id, is_deleted) VALUES ' . values_list(\@tracks));
	$model->commit($tx);
	run($_, 'PREPARE play AS INSERT INTO play_event (track_entry_key, bucket) VALUES ($1, $2)') foreach (@sessions);
	return;
}

# Everything ends, and all is exact, by the indexes too, and after the last
# spare slot is gone.
sub end_history
{
	my ($amcheck) = @_;
	my $session = $sessions[0];
	end_all();
	live($session) if $history->{life};
	look($session);
	check_ids($session);
	life_ends($session) if $history->{life};
	foreach my $log (logs_there())
	{
		my $l = $logs{$log};
		my $slots = "$l->{counter}_slot";
		my $result = run($session, "SELECT * FROM playevent.verify('$l->{table}')");
		discrepancy("verify of $l->{table} finds differences") if @{ $result->{rows} };
		$result = run($session, "SELECT playevent.rebuild('$l->{table}')");
		discrepancy("rebuild of $l->{table} finds differences") if $result->{rows}[0][0];
		if ($amcheck)
		{
			my $all = "FROM playevent.counter c";
			my $of = "WHERE c.event = '$l->{table}'::regclass";
			run($session, "SELECT bt_index_check(i.indexrelid, true) $all JOIN pg_index i ON i.indrelid = c.counter_slot $of");
			$result = run($session, "SELECT counter, msg $all, verify_heapam(c.counter_slot) $of");
			discrepancy("slots of $result->{rows}[0][0]: $result->{rows}[0][1]") if @{ $result->{rows} };
		}
		$result = run($session, "SELECT playevent.compact('$l->{table}'); SELECT count(*) = count(DISTINCT ($l->{key}, $l->{release}, $l->{kind})) FROM $slots");
		discrepancy("compact leaves spare slots in $slots") if $result->{rows}[1][0] ne 't';
	}
	look($session);
	run($_, 'DEALLOCATE ALL') foreach (@sessions);
	run($session, 'DROP SCHEMA history CASCADE');
	return;
}

sub transcript
{
	return join '', map {
		my $line = "$_->{by}: $_->{sql}";
		$line .= "\n$_->{copy}\\." if defined $_->{copy};
		"$line\n    -> " . ($_->{answer} // 'no answer') . "\n";
	} @{ $history->{said} };
}

sub new_session
{
	my ($node, $database, $name, $setting) = @_;
	my $wire = Wire->connect($node, $database);
	my $result = $wire->query(
		"SET search_path = history, public; SET client_min_messages = warning; $setting; SELECT pg_backend_pid()");
	die $result->{error}{M} if $result->{error};
	return { name => $name, wire => $wire, pid => $result->{rows}[0][0] };
}

# Run these histories; returns what came of them.
sub run_histories
{
	my ($node, $database, @numbers) = @_;
	my $ran = 0;
	my $statements = 0;
	my %extensions = map { $_ => 1 } split /\n/, $node->safe_psql($database, 'SELECT extname FROM pg_extension');
	my $failure;
	foreach my $number (@numbers)
	{
		eval {
			if (!@sessions || ($number - 1) % $batch == 0)
			{
				$_->{wire}->close foreach (@sessions, $waiter // ());
				@sessions = map { new_session($node, $database, $_, "SET lock_timeout = '$lock_timeout'") } 'A' .. 'D';
				$waiter = new_session($node, $database, 'W', 'SET log_lock_waits = off');
				# The catalogs hold what was dropped.
				my $vacuumed = $waiter->{wire}->query('VACUUM');
				die $vacuumed->{error}{M} if $vacuumed->{error};
			}
			begin_history($number, $extensions{hll});
			step() foreach (1 .. $steps);
			end_history($extensions{amcheck});
			1;
		} or do
		{
			my $error = $@;
			my $first = $number - ($number - 1) % $batch;
			$failure = transcript() . "seed $seed, history $number: "
			  . (ref $error ? $error->{discrepancy} : $error)
			  . "\nTo replay: PLAYEVENT_SEED=$seed PLAYEVENT_HISTORY=$number; or, with what the sessions remembered, $first-$number\n";
		};
		last if defined $failure;
		$ran++;
		$statements += @{ $history->{said} };
		diag("history $number\n" . transcript()) if $only;
	}
	return { ran => $ran, statements => $statements, failure => $failure, covered => \%covered };
}

#
# The server, and a process for each processor
#
my $node = PostgreSQL::Test::Cluster->new('model');
$node->init;
$node->append_conf('postgresql.conf', qq{
max_prepared_transactions = 50
autovacuum = off
log_min_messages = log
log_statement = none
jit = off
log_lock_waits = on
deadlock_timeout = $deadlock_timeout
});

# Preloaded or not is a matter of the seed too, and of the major, for CI has one
# seed for all.
my ($major) = $node->pg_version =~ /^(\d+)/;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'playevent'")
  if ($seed + $major) % 2;
$node->start;
note("PLAYEVENT_SEED=$seed");

my @wanted = 1 .. $histories;
@wanted = $only =~ /^(\d+)-(\d+)$/ ? ($1 .. $2) : ($only) if $only;

my $dir = PostgreSQL::Test::Utils::tempdir();
my @children;
foreach my $worker (0 .. $workers - 1)
{
	$node->safe_psql('postgres', "CREATE DATABASE model$worker");
	$node->safe_psql("model$worker", 'CREATE EXTENSION playevent');
	$node->psql("model$worker", "CREATE EXTENSION $_") foreach (qw(amcheck hll));
	my @mine = grep { int(($_ - 1) / $batch) % $workers == $worker } @wanted;
	my $child = fork() // die "fork failed: $!";
	if ($child == 0)
	{
		my $result = eval { run_histories($node, "model$worker", @mine) }
		  // { ran => 0, statements => 0, covered => {}, failure => "worker died: $@" };
		my $written = eval { append_to_file("$dir/worker$worker", encode_json($result)); 1 };
		POSIX::_exit($written ? 0 : 1);
	}
	push @children, $child;
}
waitpid($_, 0) foreach (@children);

my ($ran, $statements) = (0, 0);
%covered = ();
foreach my $worker (0 .. $workers - 1)
{
	my $result = decode_json(slurp_file("$dir/worker$worker"));
	ok(!defined $result->{failure}, "P2 to P5, P11, P12: process $worker: every step is as the model says")
	  or diag($result->{failure});
	$ran += $result->{ran};
	$statements += $result->{statements};
	$covered{$_} += $result->{covered}{$_} foreach (keys %{ $result->{covered} });
}
is($ran, scalar @wanted, 'P3: all histories were run');
note("seed $seed: $ran histories, $statements statements");
note("$_: $covered{$_}") foreach (sort keys %covered);

# The histories are what they claim to be, as far as there is hll for sketches.
my $hll = $node->safe_psql('model0', q{SELECT count(*) FROM pg_extension WHERE extname = 'hll'});
if ($ran >= 1500)
{
	my @must = ((grep { $_ ne 'snapshot' } keys %ways), keys %works, 'edit', 'declare', 'fetch', 'verify', 'compact', 'rebuild', 'prepare',
		'commit', 'rollback', 'commit prepared', 'rollback prepared', 'savepoint', 'rollback to', 'release',
		'burst of values', 'burst of copy', 'burst of partition', 'begin REPEATABLE READ', 'begin SERIALIZABLE',
		'key of old', 'copy 22P02', 'values 23502', 'values 22012', 'values 23503', 'values 22P02', 'values 23514',
		'conflict 40001', 'edit 40001', 'edit 23505', 'commit 22012', 'plpgsql 22012', 'refused 23001', 'in failed 25P02',
		'wait', 'wait 40001', 'ahead of a batch', 'race', 'record_many 40001', 'record_one 23502', 'record_one 23514',
		'void 25001', 'void P0002', 'forget 25001', 'snapshot 25001', (map { "life: $_" } life_steps(), 'refused 55000'),
		map { "receipt: $_" } 'recorded', 'duplicate', map { "rejected $_" } 'no key', 'empty key', 'key too long',
		'no kind', 'time not finite', 'time in the future', 'unknown track', 'unknown release',
		'left out by a trigger', 'division by zero');
	my @missing = grep { !$covered{$_} && ($_ ne 'sketch added' || $hll) } sort @must;
	is_deeply(\@missing, [], 'P3: nothing that a history can hold was left out');
}

$node->stop;
unlike(slurp_file($node->logfile), qr/leak|not closed|TRAP:|PANIC:|terminated by signal|still waiting for/,
	'P4: the server has nothing to complain of');
done_testing();
