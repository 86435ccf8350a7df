# P13, P3 and P2: a log that is spread over the nodes of a Citus cluster is as exact
# on each as on one server, whichever way plays come; and what can't be done with it
# is refused, with the reason and the way that works.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Citus;

my @nodes = new_cluster(2);
my ($coordinator, @workers) = @nodes;

sub as
{
	my ($role, $node, $query) = @_;
	return $node->safe_psql('postgres', $query, extra_params => [ '-U', $role ]);
}

# SQLSTATE, message, detail and hint of an error; or what it returned.
sub error_of
{
	my ($role, $node, $query) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$query", extra_params => [ '-U', $role ]);
	return $out if $status == 0;
	my ($state, $message) = $err =~ /(?:ERROR|FATAL):  (\w{5}): (.*)/;
	my ($detail) = $err =~ /^DETAIL:  (.*)/m;
	my ($hint) = $err =~ /^HINT:  (.*)/m;
	return join "\n", map { $_ // '' } $state, $message, $detail, $hint;
}

sub refused
{
	my ($query, $message, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $error = error_of('site', $coordinator, $query);
	my ($state, $said, $detail, $hint) = split /\n/, $error;
	return ok($state eq '55000' && $said eq $message && $detail && $hint, "P13: $name") || diag $error;
}

#
# A log with rows
#

as('site', $coordinator, q{
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint, is_deleted boolean NOT NULL DEFAULT false);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 50) i;
	SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted', ingest_role => 'web');
	INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || 1 + i % 40, 'most' FROM generate_series(1, 200) i;
	INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'complete', '00000000-0000-0000-0000-000000000001')});
my $rows = 201;

refused(q{SELECT playevent.distribute_log('play_event')}, 'log "play_event" cannot be distributed',
	'a track table that is on one node only');
like(error_of('web', $coordinator, q{SELECT playevent.distribute_log('play_event')}), qr/^42501\n/, 'P8: for the owner alone');
is((split /\n/, error_of('site', $coordinator, q{SELECT playevent.distribute_log('play_event', 0)}))[0], '22023', 'P9: shard_count');

as('site', $coordinator, q{
	BEGIN;
	SELECT create_reference_table('track');
	SELECT playevent.distribute_log('play_event', 6);
	COMMIT});
shards_are_exact(\@nodes, 'P3: rows that were there are', $rows);
shells_are_empty(\@nodes, 'P13: and are not in the shell any more');
is(as('site', $coordinator, q{SELECT intact, count_replicated FROM playevent.log}), 't|f', 'P10: the log is intact');
refused(q{SELECT playevent.distribute_log('play_event')}, 'log "play_event" is distributed by Citus', 'it is once');

#
# Ways to insert
#

# How many rows each adds
my @ways = (
	[ 'a single row', 1, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')} ],
	[ 'several rows', 4, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'partial'), ('k3', 'most'), ('unknown', 'complete')} ],
	[ 'INSERT ... SELECT', 500, q{INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || 1 + i % 60, 'most' FROM generate_series(1, 500) i} ],
	[ 'INSERT ... SELECT of itself', 7, q{INSERT INTO play_event (track_entry_key, bucket) SELECT track_entry_key, 'partial' FROM play_event WHERE track_entry_key = 'k1' LIMIT 7} ],
	[ 'COPY', 300, qq{COPY play_event (track_entry_key, bucket) FROM STDIN;\n} . join('', map { 'k' . ($_ % 50) . "\tmost\n" } 1 .. 300) . "\\.\n" ],
	[ 'savepoints', 2, q{BEGIN; INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'); SAVEPOINT s;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most'); ROLLBACK TO s;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('k3', 'most'); COMMIT} ],
	[ 'ROLLBACK', 0, q{BEGIN; INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most'); ROLLBACK} ],
	[ 'REPEATABLE READ', 1, q{BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'); COMMIT} ],
	[ 'SERIALIZABLE', 1, q{BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO play_event (track_entry_key, bucket) VALUES ('k4', 'most'); COMMIT} ],
	[ 'ON CONFLICT, once', 1, q{INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', '00000000-0000-0000-0000-000000000001'), ('k2', 'most', '00000000-0000-0000-0000-000000000002')
		ON CONFLICT (track_entry_key, event_id) WHERE event_id IS NOT NULL DO NOTHING} ],
	[ 'a prepared statement', 8, q{PREPARE p (text) AS INSERT INTO play_event (track_entry_key, bucket) VALUES ($1, 'most');} .
		join '', map { "EXECUTE p ('k$_');" } 1 .. 8 ],
);
foreach my $way (@ways)
{
	my ($name, $n, $query) = @$way;
	as('site', $coordinator, $query);
	$rows += $n;
	is($coordinator->safe_psql('postgres', 'SELECT count(*) FROM play_event'), $rows, "P13: $name");
}
as('site', $workers[0], $ways[1][2]);
$rows += 4;
shards_are_exact(\@nodes, 'P3: all of them are exact', $rows);
is($coordinator->safe_psql('postgres', q{
	SELECT count(*) FROM play_event p LEFT JOIN track t ON t.entry_key = p.track_entry_key
	 WHERE p.release_id IS DISTINCT FROM t.release_id}), '0', 'P2: releases are the track table\'s');

# A release that moves
as('site', $coordinator, q{UPDATE track SET release_id = 100 WHERE entry_key = 'k1'; UPDATE track SET is_deleted = true WHERE entry_key = 'k2';
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete'), ('k2', 'complete')});
$rows += 2;
is($coordinator->safe_psql('postgres', q{SELECT track_entry_key, release_id FROM play_event WHERE bucket = 'complete' AND event_id IS NULL AND track_entry_key IN ('k1', 'k2') ORDER BY id DESC, 1 LIMIT 2}) =~ s/\n/ /r,
	'k2| k1|100', 'P2: and of now, on all nodes');

# What the same transaction has changed, too, once it does one thing after another
as('site', $coordinator, q{BEGIN; SET LOCAL citus.multi_shard_modify_mode = 'sequential';
	INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || i, 'partial' FROM generate_series(1, 50) i;
	UPDATE track SET release_id = 101 WHERE entry_key IN ('k20', 'k21', 'k22');
	INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k20', 'most', 'same'), ('k21', 'most', 'same'), ('k22', 'most', 'same');
	COMMIT});
$rows += 53;
is($coordinator->safe_psql('postgres', q{SELECT release_id, count(*) FROM play_event WHERE anon_id = 'same' GROUP BY 1}), '101|3',
	'P2: and of the same transaction');

#
# Record functions
#

my %id;
foreach my $node (@nodes)
{
	my $name = $node->name;
	like(as('web', $node, q{SELECT record_play('k1', 'most')}), qr/^\d+$/, "P13: record_play, on $name");
	$id{$name} = as('web', $node, q{SELECT record_play_heard('k5', 0.97, event_id => '00000000-0000-0000-0000-000000000005')});
	is(as('web', $node, q{SELECT record_play_heard('k5', 0.01)}), '', "P13: under the floor, on $name");
	$rows += 1;
}
$rows += 1;
is(scalar(keys %{ { reverse %id } }), 1, 'P3: a retry finds the first id, on whatever node');
isnt(as('web', $coordinator, q{SELECT record_play('k6', 'most', '00000000-0000-0000-0000-000000000005')}), $id{coordinator},
	'P13: an event_id is one track\'s');
$rows += 1;
like(error_of('web', $coordinator, q{SELECT record_play(NULL, 'most')}), qr/^23502\nnull value in column "track_entry_key"/, 'P9: a null key');
like(error_of('web', $coordinator, q{SELECT record_play('', 'most')}), qr/^23514\n/, 'P9: an empty key');
like(error_of('web', $coordinator, q{SELECT * FROM play_event}), qr/^42501\n/, 'P8: whoever records reads nothing');
is(as('web', $coordinator, q{SELECT ord, status, reason FROM record_plays('{k1,k2,"",k3}', '{most,most,most,partial}')}),
	"1|recorded|\n2|recorded|\n3|rejected|empty key\n4|recorded|", 'P13: batches, see p13_batches.pl');
is(as('web', $coordinator, q{SELECT ord, status, reason FROM record_plays_heard('{k1,k2}', '{1,0.001}')}),
	"1|recorded|\n2|rejected|heard too little", 'P13: and those by how much was heard');
$rows += 4;
shards_are_exact(\@nodes, 'P3: what was recorded is exact', $rows);

#
# Append-only
#

foreach my $change ('UPDATE play_event SET bucket = \'most\'', 'DELETE FROM play_event', 'TRUNCATE play_event',
	q{UPDATE play_event SET bucket = 'most' WHERE track_entry_key = 'k1'},
	'UPDATE play_counter_slot SET plays = 0', 'DELETE FROM play_daily_slot', 'TRUNCATE play_daily_slot',
	q{INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', '00000000-0000-0000-0000-000000000001')
	  ON CONFLICT (track_entry_key, event_id) WHERE event_id IS NOT NULL DO UPDATE SET bucket = 'most'})
{
	like(error_of('postgres', $coordinator, $change), qr/^23001\n/, "P1: $change");
}

#
# Charts and checks
#

is(as('site', $coordinator, q{SELECT sum(plays) FROM play_counter}), $rows, 'P3: the view adds all nodes up');
is(as('site', $workers[1], q{SELECT sum(plays) FROM play_by_track}), $rows, 'P3: on a worker, too');
is(as('site', $coordinator, q{SELECT key, plays FROM playevent.top('play_event', lim => 3) ORDER BY 2 DESC, 1}),
	as('site', $coordinator, q{SELECT track_entry_key, count(*) FROM play_event GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3}), 'P3: top');
is(as('site', $coordinator, q{SELECT sum(plays) FROM playevent.series('play_event')}), $rows, 'P3: series of all');
is(as('site', $coordinator, q{SELECT sum(plays) FROM playevent.series('play_event', track_entry_key => 'k1')}),
	as('site', $coordinator, q{SELECT count(*) FROM play_event WHERE track_entry_key = 'k1'}), 'P3: series of a track');
is(as('site', $coordinator, q{SELECT sum(plays) FROM playevent.series('play_event', release_id => '3')}),
	as('site', $coordinator, q{SELECT count(*) FROM play_event WHERE release_id = 3}), 'P3: series of a release');

# Somebody with all rights on a worker falsifies a counter there.
$workers[0]->safe_psql('postgres', q{
	SET citus.show_shards_for_app_name_prefixes = '*';
	SET citus.enable_manual_changes_to_shards = on;
	SET session_replication_role = replica;
	DO $$ DECLARE r regclass; BEGIN
		SELECT c.oid INTO r FROM pg_class c WHERE relname ~ '^play_counter_slot_\d+$' AND pg_relation_size(c.oid) > 0 LIMIT 1;
		EXECUTE format('UPDATE %s SET plays = plays + 5', r);
	END $$});
my $wrong = as('site', $coordinator, q{SELECT count(*) FROM playevent.verify('play_event')});
cmp_ok($wrong, '>', 0, 'P3: verify finds what is wrong on a worker');
is(as('site', $coordinator, q{SELECT DISTINCT counter FROM playevent.verify('play_event')}), 'play_counter', 'P13: by the counter\'s name');
is(as('site', $coordinator, q{SELECT playevent.rebuild('play_event')}), $wrong, 'P3: rebuild sets all of it right');
shards_are_exact(\@nodes, 'P3: which it was', $rows);
like(error_of('web', $coordinator, q{SELECT * FROM playevent.verify('play_event')}), qr/^42501\n/, 'P8: verify is for whoever may read');
like(error_of('web', $coordinator, q{SELECT playevent.rebuild('play_event')}), qr/^42501\n/, 'P8: rebuild for the owner');
like(as('site', $coordinator, q{SELECT playevent.compact('play_event')}), qr/^\d+$/, 'P13: compact');
like(as('site', $coordinator, q{SELECT * FROM playevent.maintain('play_event')}), qr/^slots removed\|\d+$/, 'P13: maintain compacts');
shards_are_exact(\@nodes, 'P3: and changes nothing', $rows);

#
# What is refused
#

my $distributed = 'log "play_event" is distributed by Citus';
refused(q{SELECT playevent.add_counter('play_event', 'by_anon', '{anon_id}')}, $distributed, 'a counter whose keys would be on several nodes');
refused(q{SELECT playevent.void('play_event', '{1}', 'why')}, $distributed, 'void');
refused(q{SELECT playevent.reinstate('play_event', '{1}', 'why')}, $distributed, 'reinstate');
refused(q{SELECT playevent.forget_listener('play_event', 'who')}, $distributed, 'forget_listener');
refused(q{SELECT playevent.seal('play_event', now())}, $distributed, 'seal');
refused(q{SELECT playevent.retire('play_event', now())}, $distributed, 'retire');
refused(q{SELECT playevent.extend('play_event')}, $distributed, 'extend');
refused(q{SELECT playevent.set_retain('play_event', '1 year')}, $distributed, 'set_retain');
refused(q{SELECT playevent.check_log('play_event')}, $distributed, 'check_log');
refused(q{SELECT playevent.attach_log('play_event', track => 'track')}, $distributed, 'attach_log');

# Logs that can't be
as('site', $coordinator, q{
	CREATE TABLE song (entry_key text PRIMARY KEY, release_id bigint);
	CREATE TABLE album (id bigint PRIMARY KEY);
	SELECT playevent.create_log('hear', track => 'song', release => 'album');
	SELECT playevent.create_log('month', track => 'song', partition_by => 'month');
	SELECT playevent.create_log('keyless', track => 'song');
	SELECT playevent.add_counter('keyless_event', 'by_anon', '{anon_id}');
	SELECT playevent.create_log('voided', track => 'song');
	INSERT INTO voided_event (track_entry_key, bucket) VALUES ('k1', 'most');
	SELECT playevent.void('voided_event', '{1}', 'why')});
refused(qq{SELECT playevent.distribute_log('${_}_event')}, qq{log "${_}_event" cannot be distributed}, "a log that is $_")
  foreach qw(hear month keyless voided);
is(as('site', $coordinator, q{SELECT bool_and(intact) FROM playevent.log}), 't', 'P13: what was refused is as it was');

# What is refused on a shell of some other kind
as('site', $coordinator, q{SELECT playevent.create_log('lonely', track => 'song'); SELECT create_reference_table('song')});
refused(q{INSERT INTO lonely_event (track_entry_key, bucket) VALUES ('k1', 'most')}, 'table "song" is managed by Citus',
	'a local log with a reference table of tracks');
as('site', $coordinator, q{SELECT playevent.distribute_log('lonely_event', 4);
	INSERT INTO lonely_event (track_entry_key, bucket) VALUES ('k1', 'most')});
is(as('site', $coordinator, q{SELECT count(*) FROM lonely_event; SELECT count(*) FROM playevent.verify('lonely_event')}), "1\n0",
	'P13: an empty log, distributed');

# A counter goes, with its shards.
as('site', $coordinator, q{SELECT playevent.drop_counter('play_event', 'play_daily');
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most')});
is(as('site', $coordinator, q{SELECT count(*) FROM playevent.verify('play_event')}), '0', 'P13: drop_counter');
is(as('site', $coordinator, q{SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass}), 't', 'P10: and the log is intact');
shells_are_empty(\@nodes, 'P13: nothing has ever gone into a shell');

#
# A track table that is distributed, too, and names that are long and odd
#

as('site', $coordinator, q{
	CREATE SCHEMA odd;
	CREATE TABLE odd."Tracks" ("Key" varchar(100) PRIMARY KEY, "Release" bigint);
	INSERT INTO odd."Tracks" SELECT 'k' || i, i % 7 FROM generate_series(1, 50) i;
	CREATE TABLE odd."a table whose name is as long as a name may be, 48 ü" (
		"Id" bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "TrackKey" varchar(100) NOT NULL, "ReleaseId" bigint, "Bucket" int NOT NULL,
		"EventId" uuid, "CreatedAt" timestamptz NOT NULL DEFAULT now());
	CREATE UNIQUE INDEX ON odd."a table whose name is as long as a name may be, 48 ü" ("EventId") WHERE "EventId" IS NOT NULL;
	SELECT playevent.attach_log('odd."a table whose name is as long as a name may be, 48 ü"', name => 'odd', key_column => 'TrackKey',
		release_column => 'ReleaseId', kind_column => 'Bucket', kinds => '{0,1,2}', kind_names => '{partial,most,complete}',
		event_id_column => 'EventId', created_column => 'CreatedAt', thresholds => '{0.05,0.5,0.95}',
		track => 'odd."Tracks"', track_key => 'Key', track_release => 'Release');
	INSERT INTO odd."a table whose name is as long as a name may be, 48 ü" ("TrackKey", "Bucket") SELECT 'k' || 1 + i % 60, i % 3 FROM generate_series(1, 200) i;
	BEGIN;
	SET LOCAL citus.multi_shard_modify_mode = 'sequential';
	SELECT create_distributed_table('odd."Tracks"', 'Key', shard_count => 5);
	SELECT playevent.distribute_log('odd."a table whose name is as long as a name may be, 48 ü"');
	COMMIT;
	INSERT INTO odd."a table whose name is as long as a name may be, 48 ü" ("TrackKey", "Bucket") SELECT 'k' || 1 + i % 60, i % 3 FROM generate_series(1, 200) i;
	SELECT odd.record_odd_heard('k1', 0.9)});
is(as('site', $coordinator, q{
	SELECT count(*) FROM odd."a table whose name is as long as a name may be, 48 ü" p
	  LEFT JOIN odd."Tracks" t ON t."Key" = p."TrackKey" WHERE p."ReleaseId" IS NOT DISTINCT FROM t."Release";
	SELECT sum(odds) FROM odd.odd_counter;
	SELECT count(*) FROM playevent.verify('odd."a table whose name is as long as a name may be, 48 ü"')}),
	"401\n401\n0", 'P2, P3: a track table that is distributed by its key');

# Keys of another type, or by another collation, would be elsewhere.
as('site', $coordinator, q{
	CREATE TABLE tune (entry_key text PRIMARY KEY, release_id bigint);
	INSERT INTO tune VALUES ('k1', 1), ('k2', 2);
	SELECT playevent.create_log('tune', track => 'tune');
	CREATE TABLE ordered (entry_key varchar(100) COLLATE "C" PRIMARY KEY, release_id bigint);
	CREATE TABLE ordered_event (LIKE tune_event INCLUDING DEFAULTS INCLUDING IDENTITY, PRIMARY KEY (id));
	SELECT playevent.attach_log('ordered_event', name => 'ordered', kind_column => 'bucket', event_id_column => NULL,
		thresholds => '{0.05,0.5,0.95}', track => 'ordered')});
foreach my $table ('tune', 'ordered')
{
	my $distribute = qq{SET client_min_messages = error; BEGIN; SET LOCAL citus.multi_shard_modify_mode = 'sequential';
		SELECT create_distributed_table('$table', 'entry_key', shard_count => 3, colocate_with => 'none'); SELECT playevent.distribute_log('${table}_event'); COMMIT};
	refused($distribute, qq{log "${table}_event" cannot be distributed}, "a key that is not as that of $table");
	my ($way) = error_of('site', $coordinator, $distribute) =~ /^Before the track table is distributed: (ALTER TABLE .*);/m;
	as('site', $coordinator, qq{$way; $distribute; INSERT INTO ${table}_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most')});
	is(as('site', $coordinator, qq{SELECT count(*) FROM ${table}_event; SELECT count(*) FROM playevent.verify('${table}_event')}), "2\n0",
		'P13: the way that the hint says works');
}

#
# A tenant: the schema is distributed, and all of it is on one node.
#

my @tables = map { "tenant.play_$_" } qw(event counter_slot daily_slot verdict);
as('site', $coordinator, q{
	CREATE SCHEMA tenant;
	SET search_path = tenant, public;
	CREATE TABLE tenant.track (entry_key text PRIMARY KEY, release_id bigint);
	INSERT INTO tenant.track SELECT 'k' || i, i % 7 FROM generate_series(1, 50) i;
	SELECT playevent.create_log('play', track => 'tenant.track');
	INSERT INTO tenant.play_event (track_entry_key, bucket) SELECT 'k' || 1 + i % 60, 'most' FROM generate_series(1, 200) i});
like(error_of('site', $coordinator, q{SET citus.enable_unsafe_triggers = on; SELECT citus_schema_distribute('tenant')}), qr/is written by playevent alone/,
	'P13: slots are not copied behind our back');
as('site', $coordinator, join ';', 'BEGIN', 'SET LOCAL citus.enable_unsafe_triggers = on', q{SET LOCAL citus.multi_shard_modify_mode = 'sequential'},
	(map { "ALTER TABLE $_ DISABLE TRIGGER USER" } @tables), q{SELECT citus_schema_distribute('tenant')},
	(map { "ALTER TABLE $_ REPLICA IDENTITY FULL" } @tables[ 1, 2 ]),
	(map { "SELECT truncate_local_data_after_distributing_table('$_')" } @tables),
	(map { "ALTER TABLE $_ ENABLE TRIGGER USER" } @tables), 'COMMIT');
as('site', $coordinator, q{INSERT INTO tenant.play_event (track_entry_key, bucket) SELECT 'k' || 1 + i % 60, 'most' FROM generate_series(1, 200) i;
	SELECT tenant.record_play('k1', 'most', '00000000-0000-0000-0000-000000000001');
	SELECT tenant.record_play('k1', 'most', '00000000-0000-0000-0000-000000000001')});
is(as('site', $coordinator, q{SELECT ord, status, reason FROM tenant.record_plays('{k2,k3,"",k4}', '{most,most,most,partial}',
	(SELECT array_agg(('00000000-0000-0000-0000-00000000000' || i)::uuid) FROM unnest('{1,2,3,2}'::int[]) i))}),
	"1|duplicate|\n2|recorded|\n3|rejected|empty key\n4|duplicate|", 'P13: a batch of a tenant, whose event_ids are unique in the log');
is(as('site', $coordinator, q{
	SELECT count(*) FROM tenant.play_event p LEFT JOIN tenant.track t ON t.entry_key = p.track_entry_key WHERE p.release_id IS NOT DISTINCT FROM t.release_id;
	SELECT sum(plays) FROM tenant.play_counter;
	SELECT sum(plays) FROM tenant.play_daily;
	SELECT count(*) FROM playevent.verify('tenant.play_event');
	SELECT intact, count_replicated FROM playevent.log WHERE event = 'tenant.play_event'::regclass;
	SELECT sum(pg_relation_size(logicalrelid)) FROM pg_dist_partition WHERE logicalrelid::text ~ '^tenant.play_(event|.*slot)$'}),
	"402\n402\n402\n0\nt|f\n0", 'P2, P3: a log of a tenant');
refused(q{SELECT playevent.void('tenant.play_event', '{1}', 'why')}, $distributed, 'its verdicts');
as('site', $coordinator, q{SELECT playevent.add_counter('tenant.play_event', 'by_kind', '{bucket}');
	INSERT INTO tenant.play_event (track_entry_key, bucket) VALUES ('k1', 'partial');
	SELECT playevent.drop_counter('tenant.play_event', 'play_daily')});
is(as('site', $coordinator, q{SELECT bucket, plays FROM tenant.by_kind ORDER BY 1; SELECT count(*) FROM playevent.verify('tenant.play_event');
	SELECT sum(pg_relation_size(logicalrelid)) FROM pg_dist_partition WHERE logicalrelid = 'tenant.by_kind_slot'::regclass}),
	"partial|1\nmost|402\n0\n0", 'P3: a counter that is added, by any column');
my ($host, $port) = map { $_->host, $_->port } grep {
	$_->safe_psql('postgres', q{SET citus.show_shards_for_app_name_prefixes = '*'; SELECT count(*) FROM pg_class WHERE relname ~ '^play_event_\d+$' AND relnamespace = 'tenant'::regnamespace}) > 0 } @workers;
my ($other) = grep { $_->port != $port } @workers;
$coordinator->safe_psql('postgres', sprintf q{SELECT citus_schema_move('tenant', '%s', %d, 'force_logical')}, $other->host, $other->port);
as('site', $coordinator, q{INSERT INTO tenant.play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most')});
is(as('site', $coordinator, q{SELECT count(*) FROM tenant.play_event; SELECT sum(plays) FROM tenant.play_counter;
	SELECT count(*) FROM playevent.verify('tenant.play_event')}), "405\n405\n0", 'P3: and one that has moved');

#
# A listener is forgotten, as the refusal says.
#

as('site', $coordinator, q{INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'who'), ('k2', 'most', 'who');
	BEGIN; SET LOCAL citus.enable_unsafe_triggers = on;
	ALTER TABLE play_event DISABLE TRIGGER playevent_append_only;
	UPDATE play_event SET anon_id = NULL WHERE anon_id = 'who';
	ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_append_only;
	COMMIT});
is(as('site', $coordinator, q{SELECT count(*) FROM play_event WHERE anon_id = 'who'; SELECT count(*) FROM playevent.verify('play_event');
	SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass}), "0\n0\nt", 'P12: a listener is forgotten');
like(error_of('site', $coordinator, q{UPDATE play_event SET anon_id = NULL}), qr/^23001\n/, 'P1: and rows are as they were before');

$_->stop foreach @nodes;
done_testing();
