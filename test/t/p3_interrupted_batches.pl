# P3: whatever stops record_play and record_plays in the middle, a cancel, a
# timeout, the end of their backend, a full disk or a lack of memory, a batch is
# recorded as a whole or not at all, also one that waits for another with its
# event_ids; counters and sketches equal the log, and no lock, pin, snapshot or
# memory is left behind.  An acknowledged batch is there, and a retry of another
# records it once.
#
# Each is done to a log whose batches go in directly, and to one where a trigger of
# the app's own makes an INSERT of them.

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
start_node('batches');
@logs = ('quick', 'slow');

$node->safe_psql('postgres', q{
	SET client_min_messages = warning;
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 10007) i;
	CREATE FUNCTION the_app() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE PROCEDURE make_logs(quick name, slow name) LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM playevent.create_log(quick, track => 'track'), playevent.create_log(slow, track => 'track');
		EXECUTE format('CREATE TRIGGER the_app BEFORE INSERT ON %I FOR EACH ROW EXECUTE FUNCTION the_app()', slow || '_event');
		IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hll') THEN
			CREATE EXTENSION IF NOT EXISTS hll;
			PERFORM playevent.add_listener_sketch(quick || '_event'), playevent.add_listener_sketch(slow || '_event');
		END IF;
	END
	$$;
	CALL make_logs('quick', 'slow');

	-- A batch, whose rows tell which one they are of, and how many that has.
	CREATE FUNCTION named_batch(n int, name text, prefix text,
		OUT keys text[], OUT kinds text[], OUT ids uuid[], OUT names text[]) LANGUAGE sql AS $$
		SELECT array_agg(prefix || (i * 7919) % 10007), array_agg('most'::text), array_agg(md5(name || '/' || i)::uuid),
			   array_agg(name || '/' || n)
		FROM generate_series(1, n) i
	$$;
	CREATE FUNCTION batch_of(n int, OUT keys text[], OUT kinds text[], OUT ids uuid[], OUT names text[]) LANGUAGE sql AS
		$$ SELECT b.* FROM (SELECT gen_random_uuid()::text OFFSET 0) q (name), named_batch(n, name, 'k') b $$;
	-- One that others send too, for it is the same four times in a row.
	CREATE SEQUENCE turns;
	CREATE FUNCTION contested(n int, OUT keys text[], OUT kinds text[], OUT ids uuid[], OUT names text[]) LANGUAGE sql AS
		$$ SELECT b.* FROM (SELECT 'turn ' || nextval('turns') / 4 OFFSET 0) q (name), named_batch(n, name, 'k') b $$;
	CREATE VIEW half_recorded AS
		SELECT anon_id FROM (SELECT 1 AS log, anon_id FROM quick_event UNION ALL SELECT 2, anon_id FROM slow_event) e
		GROUP BY log, anon_id HAVING count(*) <> split_part(anon_id, '/', 2)::int;
});

sub batch
{
	my ($log, $of) = @_;
	return "$of b, record_${log}s(b.keys, b.kinds::${log}_bucket[], b.ids, b.names) r";
}

foreach my $log (@logs)
{
	%statements = (%statements,
		"batch_$log" => "SELECT 'done', '$log', names[1], count(*), count(*) FILTER (WHERE status = 'recorded') FROM "
		  . batch($log, 'batch_of(2000)') . " GROUP BY names /* batch_$log */;\n",
		"contested_$log" => "SELECT 'done', '$log', names[1], count(*), count(DISTINCT id) FROM "
		  . batch($log, 'contested(1000)') . " GROUP BY names /* contested_$log */;\n",
		"one_$log" => "SELECT 'done', '$log', min(name), count(*), count(record_$log(key, 'most', id, name))"
		  . " FROM (SELECT unnest(keys), unnest(ids), unnest(names) FROM batch_of(300)) b (key, id, name) /* one_$log */;\n",
		"insert_$log" => "INSERT INTO ${log}_event (track_entry_key, bucket, anon_id)"
		  . " SELECT unnest(keys), 'most', unnest(names) FROM batch_of(2000) /* insert_$log */;\n",

		# The transaction goes on after what was stopped.
		"caught_$log" => "DO \$\$ BEGIN PERFORM r FROM " . batch($log, 'batch_of(50)') . ";\n"
		  . "BEGIN PERFORM r FROM " . batch($log, 'batch_of(2000)') . ";\n"
		  . "EXCEPTION WHEN query_canceled OR out_of_memory OR OTHERS THEN RAISE LOG 'stopped: /* caught_$log */'; END;\n"
		  . "PERFORM r FROM " . batch($log, 'batch_of(50)') . "; END \$\$ /* block */;\n");
}

# Those that were acknowledged are there.
my $acknowledged = 0;
sub acknowledged
{
	my ($name, $output) = @_;
	my @missing;
	my %there = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', join ' UNION ', map {
		"SELECT DISTINCT '$_|' || anon_id FROM ${_}_event"
	} @logs);
	while ($output =~ /^done\|(.*?)\|(\d+)\|(\d+)$/mg)
	{
		$acknowledged++;
		push @missing, "$1: $3 of $2" if !$there{$1} || $2 != $3;
	}
	is(join("\n", @missing), '', "P3: $name: what was acknowledged is there, with receipts for all of it");
	return;
}

my @all = sort keys %statements;
my ($errors, $ended, $output);

($errors, $ended, $output) = stop_all('cancel', qr/canceling statement due to user request/, 2,
	"'cancel', " . 0.15 * slowdown(), sub { '' }, @all);
cmp_ok($ended, '>', 0, 'cancel: the sessions go on');
is(join('', grep { !/user request/ } $errors =~ /^(.*ERROR:.*\n)/mg), '', 'P3: cancel: no other error');
acknowledged('cancel', $output);

($errors, $ended, $output) = stop_all('statement_timeout', qr/canceling statement due to statement timeout/, 2,
	undef, sub { 'SET statement_timeout = ' . int(slowdown() * (1 + rand 150)) . ";\n" }, @all);
cmp_ok($ended, '>', 0, 'statement_timeout: the sessions go on');
is(join('', grep { !/statement timeout/ } $errors =~ /^(.*ERROR:.*\n)/mg), '', 'P3: statement_timeout: no other error');
acknowledged('statement_timeout', $output);

($errors, $ended, $output) = stop_all('terminate', qr/terminating connection due to administrator command/, 1,
	"'terminate', " . 0.3 * slowdown(), sub { '' }, grep { !/caught/ } @all);
acknowledged('terminate', $output);

#
# lock_timeout: of who waits for another's event_id, nothing is recorded, but it can
# be afterwards.
#
foreach my $log (@logs)
{
	my $offset = -s $node->logfile;
	my $count = "SELECT count(*) FROM ${log}_event";
	my $before = $node->safe_psql('postgres', $count);
	my $holder = $node->background_psql('postgres');
	$holder->query_safe("BEGIN; SELECT record_$log('k1', 'most', md5('waited for /3')::uuid, 'waited for /5')");

	my $batch = "SELECT status, count(*), count(DISTINCT id) FROM "
	  . batch($log, "named_batch(5, 'waited for ', 'k')") . " GROUP BY 1 ORDER BY 1;\n";
	my $one = "SELECT record_$log('k2', 'most', md5('waited for /3')::uuid);\n";
	my $same = "SELECT count(*) FROM ${log}_event WHERE event_id = md5('waited for /3')::uuid;\n";
	my ($out, $err) = finish_psql(start_psql("lock$log", qq{
		SET lock_timeout = '20ms';
		$batch $one
		BEGIN;
		SELECT status FROM record_${log}s('{k3}', '{most}', ARRAY[md5('not waited for')::uuid], '{two/1}');
		SAVEPOINT a;
		$batch
		ROLLBACK TO a;
		$one
		ROLLBACK TO a;
		COMMIT;
		SELECT 'left behind', what FROM left_behind;
	}));
	is($out, "recorded\n", "P3: $log: of who times out while he waits, nothing is recorded, but what he did before");
	is(join("\n", $err =~ /ERROR:  (.*)/g), join("\n", ('canceling statement due to lock timeout') x 4),
		"P3: $log: no other error");
	is($node->safe_psql('postgres', $count), $before + 1, "P3: $log: so says the log");

	$holder->query_safe('COMMIT');
	$holder->quit;
	is($node->safe_psql('postgres', "SET lock_timeout = '20ms'; $batch $same $batch"),
		"duplicate|1|1\nrecorded|4|4\n1\nduplicate|5|5", "P3: $log: a retry records the others");
	is($node->safe_psql('postgres', "SELECT count(*) FROM ${log}_event WHERE anon_id = 'waited for /5'"), 5,
		"P3: $log: once each");
	is(complaints($node, $offset), '', "$log: the server's log has no complaint");
}
exact($node, 'P3: lock_timeout: counters equal the log', @logs);

#
# No disk: slot tables that can't grow.  All else can, for they are filled up with
# slots of nothing, and copies of one sketch.
#
$node->safe_psql('postgres', q{
	CALL make_logs('quick_disk', 'slow_disk');
	SELECT record_quick_disk('k1', 'most', NULL, 'x'), record_slow_disk('k1', 'most', NULL, 'x');
});
my $hll = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_extension WHERE extname = 'hll'});
foreach my $log ('quick_disk', 'slow_disk')
{
	my %filling = (
		counter => "SELECT 'none-' || lpad(i::text, 6, '0'), NULL, 'most'::${log}_bucket, 0 FROM generate_series(1, 40000) i",
		listeners => "SELECT s.* FROM ${log}_listeners_slot s, generate_series(1, 60000) WHERE track_entry_key = 'k1'");
	foreach my $counter ('counter', $hll ? 'listeners' : ())
	{
		my $offset = -s $node->logfile;
		my $slots = "${log}_${counter}_slot";
		my $size = $node->safe_psql('postgres', qq{
			ALTER TABLE $slots DISABLE TRIGGER USER;
			INSERT INTO $slots $filling{$counter};
			CHECKPOINT;
			SELECT pg_relation_size('$slots')});
		my $count = "SELECT count(*) FROM ${log}_event;\n";
		my $before = $node->safe_psql('postgres', $count);
		my $batch = "SELECT status, count(*) FROM " . batch($log, "named_batch(3000, '$counter', 'new $counter ')")
		  . " GROUP BY 1 /* $counter */;\n";
		my ($out, $err) = finish_psql(start_psql("disk$slots", $meet
				. limited('fsize', $size, $batch) . $count
				. "SELECT 'left behind', what FROM left_behind;\n" . $batch . $batch));
		my %stops = stops($offset, qr/could not (?:extend|write)/);
		is($stops{$counter}, 1, "no disk: stopped a batch in $slots");
		is($out, "$before\nrecorded|3000\nduplicate|3000\n",
			"P3: no disk, $slots: nothing is recorded, and no lock and no memory left; a retry records it once");
		cmp_ok($node->safe_psql('postgres', qq{
				SELECT max(pg_relation_size(c.oid)) FROM pg_class c
				WHERE c.relname LIKE '${log}%' AND c.relname <> '$slots'}),
			'<', $size, 'no disk: it was for this table');
		is(complaints($node, $offset), '', "no disk, $slots: the server's log has no complaint");
	}
}
exact($node, 'P3: no disk: counters equal the log', 'quick_disk', 'slow_disk');

#
# No memory, in a fresh session each
#
SKIP:
{
	skip "the limit would be valgrind's", 1 if $ENV{VALGRIND_LOGS};
	my $offset = -s $node->logfile;
	my ($printed, $failed, %stops, %where) = ('', '');
	my @hungry = grep { !/contested|insert/ } @all;
	foreach my $try (1 .. 500)
	{
		my $sql = $meet . $deep;
		foreach my $name (shuffle @hungry)
		{
			my $few = $statements{$name} =~ s/(?<=batch_of\()\d+/10/gr;
			$sql .= $few . limited_memory($name =~ /one/ ? 400_000 : 4_000_000, $statements{$name});
		}
		$sql .= "SELECT 'left behind', what FROM left_behind;\nSELECT 'end';\n";
		my ($out, $err) = finish_psql(start_psql("memory$try", $sql));
		$printed .= $out;
		$failed .= $err;
		next if $try < 12;
		%stops = stops($offset, qr/out of memory/);
		%where = memory_contexts($offset);
		last if @hungry == grep({ $stops{$_} } @hungry) && grep { /^playevent/ } keys %where;
	}
	note(join ', ', map { "$_: $where{$_}" } sort keys %where);

	cmp_ok($stops{$_} // 0, '>', 0, "no memory: stopped $_") foreach (@hungry);
	cmp_ok(scalar(grep { /^playevent/ } keys %where), '>', 0, 'no memory: in the middle of recording, too');
	is(join('', $printed =~ /^(left behind.*\n)/mg), '', 'P3: no memory: sessions have no lock and no memory left');
	is(join('', grep { !/out of memory/ } $failed =~ /^(.*(?:ERROR|FATAL|connection).*\n)/mg),
		'', 'P3: no memory: no other error');
	acknowledged('no memory', $printed);
	whole_and_exact('no memory');
	is(complaints($node, $offset), '', "no memory: the server's log has no complaint");
}

cmp_ok($acknowledged, '>', 0, "some were acknowledged ($acknowledged)");
is(complaints($node, 0), '', "the server's log has no complaint");
$node->stop;
done_testing();
