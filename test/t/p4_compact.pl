# P3 and P4: compact beside traffic.  No insert fails, every snapshot is exact,
# and in the end each key has one slot.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use PlayEvent;
use Test::More;

my $clients = 8;
my $transactions = int(400 / slowdown());

my $node = PostgreSQL::Test::Cluster->new('compact');
$node->init;
$node->append_conf('postgresql.conf', 'max_connections = 50');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i FROM generate_series(1, 20) i;
	SELECT playevent.create_log('play', track => 'track');
	CREATE TABLE done ();
	CREATE TABLE seen (calls bigint, removed bigint, inexact bigint);

	-- Compacts over and over, each time in a transaction of its own.
	CREATE PROCEDURE compact_on() LANGUAGE plpgsql AS $$
	DECLARE
		calls bigint := 0;
		removed bigint := 0;
		inexact bigint := 0;
		difference bigint;
	BEGIN
		LOOP
			removed := removed + playevent.compact('play_event');
			calls := calls + 1;
			COMMIT;
			SELECT (SELECT count(*) FROM play_event) - (SELECT coalesce(sum(plays), 0) FROM play_counter)
			  INTO difference;
			inexact := inexact + (difference <> 0)::int;
			COMMIT;
			EXIT WHEN EXISTS (SELECT FROM done);
		END LOOP;
		INSERT INTO seen VALUES (calls, removed, inexact);
	END
	$$;
});

my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/play.sql", q{
	\set n random_zipfian(1, 20, 1.2)
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :n, 'complete');
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
	COMMIT;
});

my $played = 0;
foreach my $level ('read committed', 'repeatable read', 'serializable')
{
	$node->safe_psql('postgres', 'TRUNCATE done, seen');
	my ($compact_out, $compact_err) = ('', '');
	my $compacter = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'CALL compact_on()' ],
		'>', \$compact_out, '2>', \$compact_err);

	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . $level =~ s/ /\\ /gr;
	my ($out, $err) = ('', '');
	IPC::Run::run(
		[ 'pgbench', '--no-vacuum', '--client', $clients, '--jobs', 2,
		  '--transactions', $transactions, '--file', "$dir/play.sql", $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	my $status = $?;
	delete $ENV{PGOPTIONS};
	$node->safe_psql('postgres', 'INSERT INTO done DEFAULT VALUES');
	$compacter->finish;

	is($status, 0, "P4: pgbench ends well beside compact ($level)") or diag($err);
	like($out, qr/failed transactions: 0 \(/, "P4: no insert failed ($level)");
	is($compact_err, '', "P4: compact reports no error ($level)");
	my ($calls, $removed, $inexact) = split /\|/, $node->safe_psql('postgres', 'TABLE seen');
	cmp_ok($removed, '>', 0, "compact had something to do ($level, $calls calls)");
	is($inexact, 0, "P3: counters equal the log after each call ($level)");

	$played += 2 * $clients * $transactions;
	is($node->safe_psql('postgres', q{
			SELECT (SELECT count(*) FROM play_event), (SELECT sum(plays) FROM play_counter),
				   (SELECT count(*) FROM playevent.verify('play_event'))}),
		"$played|$played|0", "P3: totals are exact ($level)");
}

$node->safe_psql('postgres', q{SELECT playevent.compact('play_event')});
is($node->safe_psql('postgres', q{SELECT playevent.compact('play_event')}), 0,
	'a second call finds nothing to merge');
is($node->safe_psql('postgres', q{
		SELECT count(*) - count(DISTINCT (track_entry_key, bucket)) FROM play_counter_slot}),
	0, 'each key has one slot');
is($node->safe_psql('postgres', q{SELECT count(*) FROM playevent.verify('play_event')}),
	0, 'P3: and is exact');

# A slot table that is compacted and vacuumed is read by its index alike.
$node->safe_psql('postgres', 'VACUUM play_counter_slot');
is($node->safe_psql('postgres', q{
		SET enable_seqscan = off; SET enable_bitmapscan = off;
		SELECT sum(plays) = (SELECT count(*) FROM play_event WHERE track_entry_key = 'k1')
		FROM play_counter_slot WHERE track_entry_key = 'k1'}),
	't', 'P3: by the index too');

$node->stop;
done_testing();
