# P3: whatever stops a statement in the middle of counting, a cancel, a timeout,
# the end of its backend, a full disk or a lack of memory, the counters equal
# the log, nothing is recorded by half, and no lock, pin, snapshot or memory is
# left behind.  And the memory of a backend is bounded, however many tracks it
# plays.
#
# Statements carry a name in a comment, by which the server's log tells how often
# each was stopped; they go on until each was.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Interrupt;
use List::Util qw(shuffle);
use PlayEvent;
use Test::More;

random_seed();
start_node('interrupted');
@logs = ('play', 'part');

# Keys k… are of tracks; of the others there are any number.  The log "brim" has
# a counter that is full, so that writing it fails, in the middle of the keys'
# order.  That of "old" may be set wrong for rebuild to set right.
$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 100000) i;
	SELECT playevent.create_log('play', track => 'track');
	SELECT playevent.create_log('old', track => 'track', kinds => '{most}');
	INSERT INTO old_event (track_entry_key, bucket) SELECT 'k' || i, 'most' FROM generate_series(1, 2000) i;
	ALTER TABLE old_counter_slot DISABLE TRIGGER USER;

	CREATE TABLE part_event (track_entry_key text NOT NULL, release_id bigint,
		bucket play_bucket NOT NULL, anon_id text, part int) PARTITION BY LIST (part);
	CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
	CREATE TABLE part_2 PARTITION OF part_event FOR VALUES IN (2);
	CREATE TABLE part_3 PARTITION OF part_event FOR VALUES IN (3);
	SELECT playevent.attach_log('part_event', track => 'track');

	CREATE TABLE brim_event (track_entry_key text NOT NULL, release_id bigint,
		bucket play_bucket NOT NULL, part int) PARTITION BY LIST (part);
	CREATE TABLE brim_1 PARTITION OF brim_event FOR VALUES IN (1);
	SELECT playevent.attach_log('brim_event', track => 'track');
	INSERT INTO brim_event VALUES ('k50', NULL, 'most', 1);
	ALTER TABLE brim_counter_slot DISABLE TRIGGER USER;
	UPDATE brim_counter_slot SET brims = 9223372036854775807;
	ALTER TABLE brim_counter_slot ENABLE ALWAYS TRIGGER playevent_slot_guard, ENABLE ALWAYS TRIGGER playevent_slot_guard_row;

	-- Rows that tell which statement they are of, and how many that has.
	CREATE FUNCTION rows_of(n int, OUT key text, OUT bucket play_bucket, OUT statement text)
	RETURNS SETOF record LANGUAGE sql AS $$
		SELECT 'k' || (i * 7919) % 10007, 'most'::play_bucket, s
		FROM generate_series(1, n) i, (SELECT gen_random_uuid() || '/' || n OFFSET 0) q (s)
	$$;
	CREATE VIEW half_recorded AS
		SELECT anon_id FROM (SELECT anon_id FROM play_event UNION ALL SELECT anon_id FROM part_event) e
		WHERE anon_id IS NOT NULL
		GROUP BY 1 HAVING count(*) <> split_part(anon_id, '/', 2)::int;

	-- All memory of this session.
	CREATE FUNCTION memory() RETURNS bigint LANGUAGE sql AS
		'SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts';
	-- That of it in which playevent keeps what grows with tracks.
	CREATE FUNCTION our_memory() RETURNS bigint LANGUAGE sql AS $$
		SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts
		WHERE name LIKE 'playevent%' OR name IN ('TopMemoryContext', 'TopTransactionContext', 'CurTransactionContext')
	$$;
});

append_to_file("$dir/plays.txt", join '', map { 'k' . $_ * 5 . "\tcomplete\n" } 1 .. 2000);

my $into_play = 'INSERT INTO play_event (track_entry_key, bucket, anon_id)';
my $into_part = 'INSERT INTO part_event (track_entry_key, bucket, anon_id, part)';

%statements = (
	insert => "$into_play SELECT * FROM rows_of(2000) /* insert */;\n",
	copy => "COPY play_event (track_entry_key, bucket) FROM '$dir/plays.txt' /* copy */;\n",
	root => "$into_part SELECT *, 1 + random()::int FROM rows_of(2000) /* root */;\n",
	commit => q{
BEGIN;
INSERT INTO part_1 (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(1500);
INSERT INTO part_2 (track_entry_key, bucket, anon_id, part) SELECT *, 2 FROM rows_of(1500);
COMMIT /* commit */;
},
	release => q{
BEGIN;
INSERT INTO part_1 (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(300);
SAVEPOINT a;
INSERT INTO part_1 (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(2000);
RELEASE a /* release */;
COMMIT;
},
	prepare => q{
BEGIN;
INSERT INTO part_2 (track_entry_key, bucket, anon_id, part) SELECT *, 2 FROM rows_of(2000);
PREPARE TRANSACTION 'victim' /* prepare */;
COMMIT PREPARED 'victim';
},
	# The transaction goes on after what was stopped.
	caught => q{
DO $$
BEGIN
	INSERT INTO part_1 (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(100);
	BEGIN
		INSERT INTO part_event (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(1000);
		INSERT INTO part_1 (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(1000);
	EXCEPTION WHEN query_canceled OR out_of_memory OR OTHERS THEN
		RAISE LOG 'stopped: /* caught */';
	END;
	INSERT INTO part_1 (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(10);
END
$$ /* block */;
},
	compact => "SELECT 'compacted', playevent.compact('play_event') /* compact */;\n",
	# The last statement shows whether part of the counters was set right.
	rebuild => q{
UPDATE old_counter_slot SET olds = olds + 1;
SELECT 'rebuilt', playevent.rebuild('old_event') /* rebuild */;
SELECT 'wrong', count(*) FROM playevent.verify('old_event');
});

# Clients must not disturb each other more than a play would: so one alone
# prepares, and one alone rebuilds.
%only_client = (prepare => 1, rebuild => 2);

my @all = sort keys %statements;
my ($errors, $ended);

# Stop statements, as by stop_all.
sub stop_these
{
	my ($name, @arguments) = @_;
	($errors, $ended, my $output) = stop_all($name, @arguments);
	is(join('', grep { !/\|(?:0|2000)\n/ } $output =~ /^(wrong.*\n)/mg), '',
		"P3: $name: rebuild sets all right or nothing");
	return;
}

#
# Cancel
#
stop_these('cancel', qr/canceling statement due to user request/, 3,
	"'cancel', " . 0.03 * slowdown(), sub { '' }, @all);
cmp_ok($ended, '>', 0, 'cancel: the sessions go on');
# Apart from what follows from it, nothing else fails.
is(join('', grep { !/user request|current transaction is aborted|prepared transaction with identifier "victim" does not exist/ }
		$errors =~ /^(.*ERROR:.*\n)/mg),
	'', 'P3: cancel: no other error');

#
# statement_timeout, which does not hold for what is done at the end of a
# transaction
#
stop_these('statement_timeout', qr/canceling statement due to statement timeout/, 3,
	undef, sub { 'SET statement_timeout = ' . int(slowdown() * (1 + rand 60)) . ";\n" },
	'insert', 'copy', 'root', 'caught', 'compact', 'rebuild');
cmp_ok($ended, '>', 0, 'statement_timeout: the sessions go on');
is(join('', grep { !/statement timeout|current transaction is aborted/ } $errors =~ /^(.*ERROR:.*\n)/mg),
	'', 'P3: statement_timeout: no other error');

#
# Terminate
#
stop_these('terminate', qr/terminating connection due to administrator command/, 1,
	"'terminate', " . 0.1 * slowdown(), sub { '' }, 'insert', 'copy', 'commit', 'release', 'prepare', 'rebuild');

$node->safe_psql('postgres', "SELECT playevent.rebuild('old_event')");
exact($node, 'P3: a rebuild that nobody stops ends well', 'old');
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM pg_locks WHERE relation IN ('play_event'::regclass, 'play_counter_slot'::regclass,
			'part_event'::regclass, 'part_counter_slot'::regclass, 'track'::regclass)}),
	0, 'P3: no session that was terminated left a lock');

#
# lock_timeout: what is locked makes statements fail that need it, and no others.
#
sub rows
{
	return $node->safe_psql('postgres', q{
		SELECT (SELECT count(*) FROM play_event) || ' ' || (SELECT count(*) FROM part_event)});
}

foreach my $locked ('play_counter_slot', 'part_counter_slot', 'track')
{
	my $offset = -s $node->logfile;
	my ($plays, $parts) = split / /, rows();
	my ($play_fails, $part_fails) = ($locked ne 'part_counter_slot', $locked ne 'play_counter_slot');
	my $holder = $node->background_psql('postgres');
	$holder->query_safe("BEGIN; LOCK TABLE $locked IN ACCESS EXCLUSIVE MODE");

	my ($out, $err) = finish_psql(start_psql("lock$locked", qq{
		SET lock_timeout = '20ms';
		$into_play SELECT * FROM rows_of(5);
		COPY play_event (track_entry_key, bucket) FROM '$dir/plays.txt';
		BEGIN;
		$into_part SELECT *, 1 FROM rows_of(7);
		COMMIT;
		BEGIN;
		SAVEPOINT a;
		INSERT INTO part_1 (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(11);
		SAVEPOINT b;
		$into_play SELECT * FROM rows_of(13);
		ROLLBACK TO b;
		INSERT INTO part_1 (track_entry_key, bucket, anon_id, part) SELECT *, 1 FROM rows_of(17);
		COMMIT;
		SELECT 'left behind', what FROM left_behind;
	}));
	my %errors;
	$errors{$_}++ foreach ($err =~ /ERROR:  (.*)/g);
	my $timeouts = delete $errors{'canceling statement due to lock timeout'};
	# These follow from it.
	delete @errors{'current transaction is aborted, commands ignored until end of transaction block',
		'savepoint "b" does not exist'};
	is($timeouts, 3 * $play_fails + 2 * $part_fails - ($locked eq 'track'),
		"P3: $locked locked: statements that need it time out");
	is(join(' ', keys %errors), '', "P3: $locked locked: no other error");
	is($out, '', "P3: $locked locked: no lock and no memory left");

	$holder->query_safe('ROLLBACK');
	$holder->quit;
	is(rows(), ($plays + ($play_fails ? 0 : 2005)) . ' ' . ($parts + ($part_fails ? 0 : 7 + 11 + 17)),
		"P3: $locked locked: the others are recorded");
	whole_and_exact("$locked locked");
	is(complaints($node, $offset), '', "$locked locked: the server's log has no complaint");
}

#
# No disk and no memory: limits that are put on a session, while it waits for
# its next statement.
#
# The slot table can't grow, but all else that has to can, since it is smaller.
# New keys need new slots.
$node->safe_psql('postgres', q{
	INSERT INTO part_event (track_entry_key, bucket, part)
	SELECT 'new-' || i, 'most', i % 3 + 1 FROM generate_series(1, 60000) i;
	CREATE TABLE part_4 PARTITION OF part_event FOR VALUES IN (4);
});
my $before = rows();

# So that the session need not write pages of larger tables to have room for its
# own: reading rows for the first time has changed them.
$node->safe_psql('postgres', 'CHECKPOINT');
my $size = $node->safe_psql('postgres', q{SELECT pg_relation_size('part_counter_slot')});

my $new = 0;
sub new_rows
{
	my ($n, $part) = @_;
	$new++;
	return "SELECT 'disk-$new-' || i, 'most', '$new-disk/$n', $part FROM generate_series(1, $n) i";
}
sub directly
{
	return 'INSERT INTO part_4 (track_entry_key, bucket, anon_id, part) ' . new_rows(shift, 4);
}

my %full = (
	insert => $into_part . ' ' . new_rows(3000, 4) . " /* insert */;\n",
	commit => "BEGIN;\n" . directly(3000) . ";\nCOMMIT /* commit */;\n",
	release => "BEGIN;\n" . directly(3000) . ";\nSAVEPOINT a;\n" . directly(3000) . ";\nRELEASE a /* release */;\nCOMMIT;\n",
	prepare => "BEGIN;\n" . directly(3000) . ";\nPREPARE TRANSACTION 'full' /* prepare */;\n",
	caught => 'DO $$ BEGIN BEGIN ' . directly(3000) . '; EXCEPTION WHEN OTHERS THEN '
	  . "RAISE LOG 'stopped: /* caught */'; END; END \$\$ /* block */;\n",
	rebuild => "SELECT 'rebuilt', playevent.rebuild('part_event') /* rebuild */;\n");

# For rebuild: plays of new tracks that were not counted.
my $uncounted = q{
ALTER TABLE part_event DISABLE TRIGGER playevent_count;
INSERT INTO part_4 (track_entry_key, bucket, part) SELECT 'uncounted-' || i, 'most', 4 FROM generate_series(1, 3000) i;
ALTER TABLE part_event ENABLE ALWAYS TRIGGER playevent_count;
};

{
	my $offset = -s $node->logfile;
	my ($plays, $parts) = split / /, $before;
	my $sql = $meet;
	$sql .= limited('fsize', $size, $full{$_}) foreach ('insert', 'commit', 'release', 'prepare', 'caught');
	$sql .= $uncounted . limited('fsize', $size, $full{rebuild});
	$sql .= "SELECT 'wrong', count(*) FROM playevent.verify('part_event');\n";
	$sql .= "SELECT 'left behind', what FROM left_behind;\n";
	# Then there is space again.
	$sql .= $full{rebuild} . $full{insert} . $full{commit};
	my ($out, $err) = finish_psql(start_psql('disk', $sql));
	my %stops = stops($offset, qr/could not (?:extend|write)/);

	is($stops{$_} // 0, 1, "no disk: stopped $_") or diag($err . slurp_file($node->logfile, $offset))
	  foreach (sort keys %full);
	is($out, "wrong|3000\nrebuilt|3000\n",
		'P3: no disk: rebuild sets nothing right, and all when it can; no lock and no memory left');
	is(join("\n", grep { !/could not|current transaction is aborted/ } $err =~ /ERROR:  (.*)/g),
		'', 'P3: no disk: no other error');
	is(rows(), $plays . ' ' . ($parts + 9000), 'P3: no disk: just what could be counted is recorded');
	cmp_ok($node->safe_psql('postgres', q{SELECT pg_relation_size('part_4')}), '<', $size,
		'no disk: it was for the slot table');
	whole_and_exact('no disk');
	is(complaints($node, $offset), '', "no disk: the server's log has no complaint");
}

# Memory may fail anywhere, so: with more and more of it, in a fresh session each.
my $rows_for = sub {
	return "(track_entry_key, bucket, anon_id, part) SELECT 'k' || i, 'most', s, 1 "
	  . "FROM generate_series(1, $_[0]) i, (SELECT gen_random_uuid() || '/$_[0]' OFFSET 0) q (s)";
};
my %hungry = (
	insert => "INSERT INTO part_event ROWS /* insert */;\n",
	direct => "BEGIN;\nINSERT INTO part_1 ROWS /* direct */;\nCOMMIT /* direct */;\n",
	caught => q{
DO $$
BEGIN
	INSERT INTO part_1 FEW;
	BEGIN
		INSERT INTO part_1 ROWS;
	EXCEPTION WHEN out_of_memory THEN
		RAISE LOG 'stopped: /* caught */';
	END;
	INSERT INTO part_1 FEW;
END
$$ /* block */;
});

# Those statements with so many rows.
sub hungry
{
	my ($name, $n) = @_;
	return $hungry{$name} =~ s/ROWS/$rows_for->($n)/gre =~ s/FEW/$rows_for->(100)/gre;
}

SKIP:
{
	skip "the limit would be valgrind's", 1 if $ENV{VALGRIND_LOGS};
	my $offset = -s $node->logfile;
	my $counting = qr/^playevent|^TopTransactionContext/;
	my ($output, $failed, %stops, %where) = ('', '');
	foreach my $try (1 .. 500)
	{
		my $sql = $meet . $deep;
		foreach my $name (shuffle keys %hungry)
		{
			$sql .= hungry($name, 10) . limited_memory(800_000, hungry($name, 5000));
		}
		$sql .= "SELECT 'left behind', what FROM left_behind;\nSELECT 'end';\n";
		my ($out, $err) = finish_psql(start_psql("memory$try", $sql));
		$output .= $out;
		$failed .= $err;
		next if $try < 12;
		%stops = stops($offset, qr/out of memory/);
		%where = memory_contexts($offset);
		last if keys(%hungry) == grep({ $stops{$_} } keys %hungry) && grep { $_ =~ $counting } keys %where;
	}
	note(join ', ', map { "$_: $where{$_}" } sort keys %where);

	cmp_ok($stops{$_} // 0, '>', 0, "no memory: stopped $_") foreach (sort keys %hungry);
	cmp_ok(scalar(grep { $_ =~ $counting } keys %where),
		'>', 0, 'no memory: in the middle of counting, too');
	is(join('', grep { !/^(?:deep.array|end)$/ } $output =~ /^(.*\n)/mg), '',
		'P3: no memory: sessions have no lock and no memory left');
	is(join('', grep { !/out of memory|current transaction is aborted/ } $failed =~ /^(.*(?:ERROR|FATAL|connection).*\n)/mg),
		'', 'P3: no memory: no other error');
	whole_and_exact('no memory');
	is(complaints($node, $offset), '', "no memory: the server's log has no complaint");
}

#
# Memory of one session.  Statements that fail in the middle leave none.
#
my $failing = q{
INSERT INTO brim_event (track_entry_key, bucket, part) SELECT 'k' || i, 'most', 1 FROM generate_series(1, 90) i;
BEGIN;
INSERT INTO brim_1 (track_entry_key, bucket, part) SELECT 'k' || i, 'most', 1 FROM generate_series(1, 90) i;
COMMIT;
BEGIN;
INSERT INTO brim_1 (track_entry_key, bucket, part) SELECT 'k' || i, 'most', 1 FROM generate_series(1, 5) i;
SAVEPOINT a;
INSERT INTO brim_1 (track_entry_key, bucket, part) SELECT 'k' || i, 'most', 1 FROM generate_series(1, 90) i;
RELEASE a;
ROLLBACK;
INSERT INTO play_event (track_entry_key, bucket)
SELECT 'k' || i, CASE i WHEN 90 THEN 'sideways' ELSE 'most' END::play_bucket FROM generate_series(1, 90) i;
COPY brim_event (track_entry_key, bucket, part) FROM stdin;
k49	most	1
k50	most	1
k51	most	1
\.
};
{
	my $offset = -s $node->logfile;
	my ($out, $err) = finish_psql(start_psql('failing',
			$failing x 100 . "SELECT memory();\n" . $failing x 800
			  . "SELECT memory();\nSELECT 'left behind', what FROM left_behind;\n"));
	my ($before, $after, @rest) = split /\n/, $out;
	my %errors;
	$errors{$_}++ foreach ($err =~ /ERROR:  (.*)/g);
	note(join ', ', map { "$_: $errors{$_}" } sort keys %errors);

	is(($errors{'count in table "brim_counter_slot" out of range'} // 0)
		+ ($errors{'invalid input value for enum play_bucket: "sideways"'} // 0),
		900 * 5, 'statements fail in the middle');
	is("@rest", '', 'P3: they leave no lock and no memory');
	cmp_ok($after - $before, '<=', 65536, "memory does not grow with them ($before, then $after bytes)");
	is(complaints($node, $offset), '', "failing statements: the server's log has no complaint");
}

# Nor do subtransactions of one transaction that fail.
{
	my ($before, $after) = split /\|/, $node->safe_psql('postgres', q{
		CREATE TABLE looked (after int, bytes bigint);
		DO $$
		DECLARE
			failed int := 0;
		BEGIN
			FOR i IN 1 .. 5000 LOOP
				BEGIN
					IF i % 2 = 0 THEN
						INSERT INTO brim_event (track_entry_key, bucket, part)
						SELECT 'k' || k, 'most', 1 FROM generate_series(45, 55) k;
					ELSE
						INSERT INTO brim_1 (track_entry_key, bucket, part)
						SELECT 'k' || k, 'most', 1 FROM generate_series(45, 55) k;
					END IF;
				EXCEPTION WHEN numeric_value_out_of_range THEN
					failed := failed + 1;
				END;
				IF i % 500 = 0 AND failed = i THEN
					INSERT INTO looked VALUES (i, memory());
				END IF;
			END LOOP;
		END
		$$;
		SELECT (SELECT bytes FROM looked WHERE after = 500), (SELECT bytes FROM looked WHERE after = 5000);
		DROP TABLE looked});
	cmp_ok($after - $before, '<=', 65536,
		"memory does not grow with subtransactions that fail ($before, then $after bytes)");
}

# One statement with many tracks, half of them unknown, over partitions.  Memory
# is looked at when the rows are counted, so with all that keeps keys in use.
{
	my ($tracks, $bound) = (200_000, 32 * 1024 * 1024);
	my ($before, $most, $looks) = split /\|/, $node->safe_psql('postgres', qq{
		CREATE TABLE looked (bytes bigint);
		CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN INSERT INTO looked VALUES (our_memory()); RETURN NULL; END';
		CREATE TRIGGER zz_look AFTER INSERT ON part_event FOR EACH ROW
			WHEN (NEW.anon_id IS NOT NULL) EXECUTE FUNCTION look();
		INSERT INTO part_1 VALUES ('k1', NULL, 'most', NULL, 1);
		CREATE TABLE first_look AS SELECT our_memory() AS bytes;
		INSERT INTO part_event
			SELECT CASE WHEN i % 2 = 0 THEN 'k' || i / 2 ELSE 'many-' || i END, NULL, 'most',
				   CASE WHEN i % 5000 < 3 THEN i || '/1' END, i % 3 + 1
			FROM generate_series(1, $tracks) i;
		SELECT (SELECT bytes FROM first_look), max(bytes), count(*) FROM looked;
		DROP TRIGGER zz_look ON part_event;
		DROP FUNCTION look;
		DROP TABLE looked, first_look});
	cmp_ok($looks, '>=', 100, 'one statement: memory is looked at');
	cmp_ok($most - $before, '<=', $bound,
		"memory of a statement that plays $tracks tracks is bounded (up to " . ($most - $before) . ' bytes)');
}

# Tracks one by one: what is remembered of them has its limit.
{
	my $sql = q{
		CREATE PROCEDURE play_one_by_one(first int, last int) LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN first .. last LOOP
				INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || i, 'complete');
				IF i % 10 = 0 THEN
					COMMIT;
				END IF;
			END LOOP;
		END
		$$;
		SELECT memory();
		CALL play_one_by_one(1, 25000);
		SELECT memory();
		CALL play_one_by_one(25001, 60000);
		SELECT memory();
		DROP PROCEDURE play_one_by_one};
	my ($before, $then, $after) = split /\n/, $node->safe_psql('postgres', $sql);
	cmp_ok($then - $before, '<=', 4 * 1024 * 1024,
		"memory is bounded for 25,000 tracks one by one (" . ($then - $before) . ' bytes)');
	cmp_ok($after - $then, '<=', 65536,
		"and does not grow with 35,000 more (by " . ($after - $then) . ' bytes)');
}

# Tracks one by one in one transaction, a subtransaction each, straight into a
# partition: their counts must not all wait for the commit.
{
	my ($before, $after) = split /\|/, $node->safe_psql('postgres', q{
		CREATE TABLE looked (after int, bytes bigint);
		DO $$
		BEGIN
			FOR i IN 1 .. 60000 LOOP
				BEGIN
					INSERT INTO part_1 (track_entry_key, bucket, part) VALUES ('sub-' || i, 'complete', 1);
				EXCEPTION WHEN division_by_zero THEN
					RAISE;
				END;
				IF i IN (5000, 60000) THEN
					INSERT INTO looked VALUES (i, our_memory());
				END IF;
			END LOOP;
		END
		$$;
		SELECT (SELECT bytes FROM looked WHERE after = 5000), (SELECT bytes FROM looked WHERE after = 60000);
		DROP TABLE looked});
	cmp_ok($after - $before, '<=', 2 * 1024 * 1024,
		'memory does not grow with the tracks of 55,000 subtransactions (by ' . ($after - $before) . ' bytes)');
}
whole_and_exact('many tracks');

is(complaints($node, 0), '', "the server's log has no complaint");
$node->stop;
done_testing();
