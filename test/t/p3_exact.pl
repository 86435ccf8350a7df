# P3: the counters equal the log, for what needs commits or COPY: COPY, PREPARE
# TRANSACTION, rows straight into a partition, logical replication.
#
# What fits in one transaction is in test/pgtap/p3_exact.sql.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PlayEvent;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('exact');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "max_prepared_transactions = 10");
$node->start;

# A partitioned log made by the app, with the columns of one made by create_log.
my $schema = q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track VALUES ('k1', 7), ('k2', 7), ('k3', 8), ('loose', NULL);
	SELECT playevent.create_log('play', track => 'track');
	CREATE TABLE part_event (track_entry_key text NOT NULL, release_id bigint,
		bucket play_bucket NOT NULL, month int NOT NULL) PARTITION BY LIST (month);
	CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
	CREATE TABLE part_2 PARTITION OF part_event FOR VALUES IN (2);
	CREATE TABLE part_3 PARTITION OF part_event FOR VALUES IN (3);
	SELECT playevent.attach_log('part_event', track => 'track');
};
$node->safe_psql('postgres', $schema);

# Check the number of rows in the log, and that its counters equal it.
sub exact_with
{
	my ($on, $log, $rows, $name) = @_;
	is($on->safe_psql('postgres', "SELECT (SELECT count(*) FROM ${log}_event), d.* FROM ("
			  . differences($log) . ') d (by_group, by_verify)'),
		"$rows|0|0", "P3: $name");
	return;
}

#
# COPY
#
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/plays.txt",
	join('', map { 'k' . ($_ % 4) . "\tcomplete\n" } 1 .. 2000));
append_to_file("$dir/plays.csv",
	join('', map { "\"k" . ($_ % 4) . "\",most\n" } 1 .. 2000));
append_to_file("$dir/unknown_bucket.txt",
	join('', map { "k1\t" . ($_ == 2000 ? 'sideways' : 'most') . "\n" } 1 .. 2000));

my $columns = 'play_event (track_entry_key, bucket)';
$node->safe_psql('postgres', "COPY $columns FROM '$dir/plays.txt'");
exact_with($node, 'play', 2000, 'COPY in text format');
$node->safe_psql('postgres', "COPY $columns FROM '$dir/plays.csv' (FORMAT csv)");
exact_with($node, 'play', 4000, 'COPY in csv format');

my ($ret, $stdout, $stderr) =
  $node->psql('postgres', "COPY $columns FROM '$dir/unknown_bucket.txt'");
like($stderr, qr/invalid input value for enum play_bucket: "sideways"/,
	'P3: COPY fails at its last row');
exact_with($node, 'play', 4000, 'COPY with a failing row');

$node->psql('postgres', qq{
	BEGIN;
	INSERT INTO $columns VALUES ('k1', 'most'), ('k2', 'most');
	SAVEPOINT s;
	COPY $columns FROM '$dir/unknown_bucket.txt';
	ROLLBACK TO s;
	COPY $columns FROM '$dir/plays.txt';
	COMMIT;}, on_error_stop => 0);
exact_with($node, 'play', 6002,
	'COPY after one that failed, in one transaction with INSERT');

$node->safe_psql('postgres', qq{
	COPY part_event (track_entry_key, bucket, month) FROM stdin;
k1	most	1
k1	most	2
k2	complete	2
\\.
});
exact_with($node, 'part', 3, 'COPY into a partitioned log');

#
# PREPARE TRANSACTION with counts written by the statement
#
$node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k3', 'most');
	PREPARE TRANSACTION 'kept';
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('new', 'most');
	PREPARE TRANSACTION 'undone';
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');});
exact_with($node, 'play', 6003, 'two transactions prepared, a third committed');
$node->safe_psql('postgres', "COMMIT PREPARED 'kept'");
exact_with($node, 'play', 6005, 'prepared transaction committed');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'undone'");
exact_with($node, 'play', 6005, 'prepared transaction rolled back');

#
# Straight into a partition: no statement trigger, so counts wait for the end
# of the transaction.
#
my $into_1 = 'INSERT INTO part_1 (track_entry_key, bucket, month) VALUES';
my $into_2 = 'INSERT INTO part_2 (track_entry_key, bucket, month) VALUES';

$node->safe_psql('postgres', "$into_1 ('k1', 'most', 1), ('k2', 'most', 1)");
exact_with($node, 'part', 5, 'straight into a partition');

$node->safe_psql('postgres', qq{
	BEGIN;
	$into_1 ('k1', 'most', 1);
	$into_2 ('k1', 'most', 2);
	INSERT INTO part_event (track_entry_key, bucket, month) VALUES ('k1', 'most', 2);
	$into_2 ('k3', 'complete', 2);
	COMMIT;});
exact_with($node, 'part', 9, 'straight into partitions and by the root');

$node->safe_psql('postgres', "BEGIN; $into_1 ('k1', 'most', 1); ROLLBACK;");
exact_with($node, 'part', 9, 'straight into a partition, rolled back');

$node->safe_psql('postgres', qq{
	BEGIN;
	SAVEPOINT a;
	$into_1 ('k1', 'most', 1), ('a', 'most', 1);
	ROLLBACK TO a;
	COMMIT;});
exact_with($node, 'part', 9, 'straight into a partition, only savepoint rolled back');

$node->safe_psql('postgres', qq{
	BEGIN;
	$into_1 ('k1', 'most', 1), ('k2', 'most', 1);
	SAVEPOINT a;
	$into_1 ('k1', 'most', 1), ('a', 'most', 1);
	SAVEPOINT b;
	$into_2 ('k1', 'most', 2), ('b', 'most', 2);
	RELEASE b;
	SAVEPOINT c;
	$into_2 ('k1', 'most', 2), ('c', 'most', 2);
	ROLLBACK TO c;
	RELEASE a;
	SAVEPOINT d;
	$into_1 ('k2', 'most', 1);
	SAVEPOINT e;
	$into_1 ('k2', 'most', 1);
	RELEASE e;
	ROLLBACK TO d;
	COMMIT;});
exact_with($node, 'part', 15,
	'straight into partitions, in savepoints kept and rolled back');

# The inner level writes its own counts only; the outer's stay pending when it
# is rolled back.
$node->safe_psql('postgres', qq{
	BEGIN;
	$into_1 ('k1', 'most', 1);
	SAVEPOINT a;
	$into_1 ('k1', 'most', 1);
	INSERT INTO part_event (track_entry_key, bucket, month) VALUES ('k1', 'most', 1);
	ROLLBACK TO a;
	COMMIT;});
exact_with($node, 'part', 16, 'flush in a savepoint that is rolled back');

# Deep nesting: levels that have nothing pending between levels that have.
$node->safe_psql('postgres', qq{
	BEGIN;
	SAVEPOINT a; SAVEPOINT b; SAVEPOINT c;
	$into_1 ('k1', 'most', 1);
	RELEASE c;
	SAVEPOINT c;
	ROLLBACK TO c;
	RELEASE b;
	$into_1 ('k1', 'most', 1);
	SAVEPOINT b; SAVEPOINT c; SAVEPOINT d;
	$into_1 ('k1', 'most', 1);
	RELEASE b;
	COMMIT;});
exact_with($node, 'part', 19, 'counts handed up through empty levels');

$node->safe_psql('postgres', qq{
	BEGIN;
	$into_1 ('k1', 'most', 1), ('k2', 'most', 1);
	SAVEPOINT a;
	$into_2 ('k1', 'most', 2);
	RELEASE a;
	PREPARE TRANSACTION 'kept';
	BEGIN;
	$into_1 ('k1', 'most', 1), ('new', 'most', 1);
	PREPARE TRANSACTION 'undone';
	$into_1 ('k1', 'most', 1);});
exact_with($node, 'part', 20, 'pending counts prepared');
$node->safe_psql('postgres', "COMMIT PREPARED 'kept'");
exact_with($node, 'part', 23, 'pending counts prepared, then committed');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'undone'");
exact_with($node, 'part', 23, 'pending counts prepared, then rolled back');

foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my $rows = $level eq 'SERIALIZABLE' ? 29 : 26;
	$node->safe_psql('postgres', qq{
		BEGIN ISOLATION LEVEL $level;
		$into_1 ('k1', 'most', 1), ('k2', 'most', 1);
		$into_2 ('k1', 'most', 2);
		COMMIT;});
	exact_with($node, 'part', $rows, "straight into partitions, $level");
}

# COPY straight into a partition; replica role; a batch with more keys than
# are kept pending.
$node->safe_psql('postgres', qq{
	COPY part_1 (track_entry_key, bucket, month) FROM stdin;
k1	most	1
k2	complete	1
\\.
	SET session_replication_role = replica;
	$into_1 ('k1', 'most', 1);
	RESET session_replication_role;
	INSERT INTO part_1 (track_entry_key, bucket, month)
	SELECT 'many-' || i % 70000, 'most', 1 FROM generate_series(1, 140000) i;});
exact_with($node, 'part', 140032,
	'COPY, replica role and many keys straight into a partition');

# The partition goes in the transaction that inserted into it, which takes
# somebody who disables event triggers: its rows never were in the log.
$node->safe_psql('postgres', qq{
	BEGIN;
	ALTER EVENT TRIGGER playevent_watch_drops DISABLE;
	CREATE TABLE part_4 PARTITION OF part_event FOR VALUES IN (4);
	INSERT INTO part_4 (track_entry_key, bucket, month) VALUES ('k1', 'most', 4);
	DROP TABLE part_4;
	ALTER EVENT TRIGGER playevent_watch_drops ENABLE ALWAYS;
	$into_1 ('k1', 'most', 1);
	COMMIT;});
exact_with($node, 'part', 140033, 'partition dropped by the transaction that filled it');
$node->safe_psql('postgres', qq{
	BEGIN;
	INSERT INTO part_3 (track_entry_key, bucket, month) VALUES ('k1', 'most', 3), ('k2', 'most', 3);
	ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;
	ALTER TABLE part_event DETACH PARTITION part_3;
	ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;
	$into_1 ('k1', 'most', 1);
	COMMIT;});
exact_with($node, 'part', 140034, 'partition detached by the transaction that filled it');

#
# Logical replication into logs: apply fires no statement triggers.
#
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', "max_prepared_transactions = 10");
$subscriber->start;
$subscriber->safe_psql('postgres', $schema);

# Large transactions are sent before they end, so that the subscriber sees
# their subtransactions, and prepared ones when they are prepared.
$node->append_conf('postgresql.conf', 'logical_decoding_work_mem = 64kB');
$node->reload;
$node->safe_psql('postgres', 'CREATE PUBLICATION plays FOR TABLE play_event, part_event');
my $connstr = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', qq{
	CREATE SUBSCRIPTION plays CONNECTION '$connstr' PUBLICATION plays
	WITH (two_phase = true, streaming = on)});
$node->wait_for_catchup('plays');
$subscriber->poll_query_until('postgres',
	q{SELECT count(*) > 0 AND count(*) = count(*) FILTER (WHERE srsubstate = 'r') FROM pg_subscription_rel})
  or die 'tables were not synchronised';
my $in_part = $node->safe_psql('postgres', 'SELECT count(*) FROM part_event');
exact_with($subscriber, 'play', 6005, 'subscriber: initial copy');
exact_with($subscriber, 'part', $in_part, 'subscriber: initial copy of partitions');

$node->safe_psql('postgres', q{
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k1', 'most'), ('loose', 'most');
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k2', 'most');
	SAVEPOINT a;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete');
	ROLLBACK TO a;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k3', 'complete');
	INSERT INTO part_event (track_entry_key, bucket, month) VALUES ('k3', 'complete', 1), ('k3', 'most', 2);
	COMMIT;});
$node->wait_for_catchup('plays');
$in_part += 2;
exact_with($subscriber, 'play', 6010, 'subscriber: applied');
exact_with($subscriber, 'part', $in_part, 'subscriber: applied to partitions');

$node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || i % 9, 'most' FROM generate_series(1, 3000) i;
	SAVEPOINT a;
	INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || i % 9, 'most' FROM generate_series(1, 3000) i;
	ROLLBACK TO a;
	SAVEPOINT b;
	INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || i % 9, 'most' FROM generate_series(1, 3000) i;
	RELEASE b;
	COMMIT;});
$node->wait_for_catchup('plays');
exact_with($subscriber, 'play', 12010, 'subscriber: large transaction, streamed');

$node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most');
	PREPARE TRANSACTION 'kept';
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('new', 'most');
	PREPARE TRANSACTION 'undone';});
$node->wait_for_catchup('plays');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'),
	2, 'P3: subscriber: both transactions are prepared there');
exact_with($subscriber, 'play', 12010, 'subscriber: prepared');
$node->safe_psql('postgres', "COMMIT PREPARED 'kept'");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'undone'");
$node->wait_for_catchup('plays');
exact_with($subscriber, 'play', 12012, 'subscriber: prepared, then ended');
is($subscriber->safe_psql('postgres', 'TABLE play_counter ORDER BY 1, 2, 3'),
	$node->safe_psql('postgres', 'TABLE play_counter ORDER BY 1, 2, 3'),
	'P3: subscriber and publisher have the same counters');

$subscriber->stop;
$node->stop;
done_testing();
