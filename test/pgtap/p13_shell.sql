-- P13: a table that Citus manages is a shell, whose rows are elsewhere.  A log
-- neither reads nor writes one.  A catalog like that of Citus stands in for it.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(60);

CREATE ROLE shell_mallory;
CREATE SCHEMA shell;
SET LOCAL search_path = shell, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1), ('b', 2);
CREATE TABLE release (id bigint PRIMARY KEY);
INSERT INTO release VALUES (1), (2);
SELECT playevent.create_log('play', track => 'track', release => 'release');

CREATE TABLE part_event (
    track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, month int NOT NULL
) PARTITION BY LIST (month);
CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
SELECT playevent.attach_log('part_event', track => 'track');

CREATE TABLE bare_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
INSERT INTO bare_event VALUES ('a', 1, 'most');

-- Each way to use a log.
CREATE FUNCTION insert_one() RETURNS void LANGUAGE sql AS
$$INSERT INTO shell.play_event (track_entry_key, bucket) VALUES ('a', 'most')$$;
CREATE FUNCTION insert_parted() RETURNS void LANGUAGE sql AS
$$INSERT INTO shell.part_event VALUES ('a', NULL, 'most', 1)$$;
CREATE FUNCTION insert_straight() RETURNS void LANGUAGE sql AS
$$INSERT INTO shell.part_1 VALUES ('a', NULL, 'most', 1)$$;
CREATE FUNCTION insert_released() RETURNS void LANGUAGE sql AS
$$INSERT INTO shell.play_event (release_id, bucket) VALUES (1, 'most')$$;
CREATE FUNCTION record_batch() RETURNS SETOF text LANGUAGE sql AS
$$SELECT status FROM shell.record_plays(ARRAY['a', 'b'], '{most,most}'::shell.play_bucket[])$$;
CREATE FUNCTION copy() RETURNS void LANGUAGE sql AS
$$COPY shell.play_event (track_entry_key, bucket) FROM PROGRAM 'printf "a\tmost\nb\tmost\n"'$$;

-- As create_reference_table('track') and its like would: a row, and whoever
-- knows the table hears of it.
CREATE FUNCTION invalidate(rel regclass) RETURNS void LANGUAGE plpgsql AS
$$BEGIN EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 50', rel,
    (SELECT attname FROM pg_attribute WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped LIMIT 1)); END$$;
CREATE FUNCTION manage(rel regclass, partmethod "char", repmodel "char") RETURNS void LANGUAGE plpgsql AS
$$BEGIN
    INSERT INTO pg_catalog.pg_dist_partition (logicalrelid, partmethod, repmodel) VALUES (rel, partmethod, repmodel);
    PERFORM shell.invalidate(rel);
END$$;
CREATE FUNCTION release(rel regclass) RETURNS void LANGUAGE plpgsql AS
$$BEGIN
    DELETE FROM pg_catalog.pg_dist_partition WHERE logicalrelid = rel;
    PERFORM shell.invalidate(rel);
END$$;
CREATE FUNCTION refused(call text, rel text, why text) RETURNS SETOF text LANGUAGE sql AS
$$SELECT public.throws_ok(call, '55000', format('table "%s" is managed by Citus', rel), 'P13: ' || why)$$;

-- Everything is bound before Citus comes.
SELECT insert_one(), insert_parted(), insert_straight(), insert_released(), record_batch(), record_play('a', 'most'), copy();

\ir include/pg_dist_partition.sql

CREATE TABLE elsewhere (a int);
SELECT manage('elsewhere', 'h', 's');
SELECT lives_ok('SELECT insert_one()', 'P13: where Citus manages other tables, a log works');
SELECT results_eq('SELECT record_batch()', $$VALUES ('recorded'), ('recorded')$$, 'P13: so do batches');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P13: and verify');

--
-- The track table, a reference table
--

SELECT manage('track', 'n', 't');
SELECT refused('SELECT insert_one()', 'track', 'no release is read from a shell');
SELECT throws_like($$SELECT insert_one()$$, '%managed by Citus%', 'P13: nor the next time');
SELECT refused('SELECT insert_parted()', 'track', 'nor for a partitioned log');
SELECT refused('SELECT insert_straight()', 'track', 'nor straight into its partition');
SELECT refused('SELECT copy()', 'track', 'nor by COPY');
SELECT refused('SELECT record_batch()', 'track', 'nor by a batch');
SELECT refused($$SELECT record_play('a', 'most')$$, 'track', 'nor by record_play');
SELECT refused($$SELECT playevent.check_log('play_event')$$, 'track', 'check_log says so');
SELECT refused($$SELECT playevent.create_log('share', track => 'track')$$, 'track', 'create_log refuses');
SELECT hasnt_table('shell', 'share_event', 'P13: and makes nothing');
SELECT refused($$SELECT playevent.attach_log('bare_event', track => 'track')$$, 'track', 'attach_log refuses');
SELECT hasnt_table('shell', 'bare_counter_slot', 'P13: and makes nothing');

-- the reason and the remedy
CREATE FUNCTION words(call text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS
$$BEGIN
    EXECUTE call;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END$$;
SELECT results_eq($$SELECT * FROM words('SELECT insert_one()')$$,
    $$VALUES ('Its rows are in shards, and log "play_event" would read or write its shell instead.',
              'Make it a local table again: SELECT undistribute_table(''shell.track''); or, of a distributed schema: SELECT citus_schema_undistribute(''shell'');')$$,
    'P13: the error says why, and what to do');

SELECT release('track');
SELECT lives_ok('SELECT insert_one()', 'P13: a track table that is local again is read again');
SELECT results_eq($$SELECT release_id FROM play_event ORDER BY id DESC LIMIT 1$$, 'VALUES (1::bigint)', 'P13: with its releases');

-- without word of it, an error is not remembered
SELECT manage('track', 'n', 't');
SELECT refused('SELECT insert_one()', 'track', 'a shell again');
DELETE FROM pg_catalog.pg_dist_partition WHERE logicalrelid = 'track'::regclass;
SELECT lives_ok('SELECT insert_one()', 'P13: and none at once when it is none');

SELECT manage('release', 'n', 't');
SELECT refused('SELECT insert_released()', 'release', 'the release table may be no shell either');
SELECT refused($$SELECT playevent.create_log('share', track => 'track', release => 'release')$$, 'release', 'create_log refuses it');
SELECT release('release');

--
-- The log itself, as after citus_add_local_table_to_metadata
--

SELECT manage('play_event', 'n', 's');
SELECT refused('SELECT insert_one()', 'play_event', 'no row goes into a shell');
SELECT refused('SELECT copy()', 'play_event', 'nor do those of COPY');
SELECT refused('SELECT record_batch()', 'play_event', 'nor does a batch');
SELECT refused($$SELECT * FROM record_plays('{}'::text[], '{}'::play_bucket[])$$, 'play_event', 'nor an empty one');
SELECT refused($$SELECT record_play('a', 'most')$$, 'play_event', 'nor one by record_play');
SELECT refused($$SELECT * FROM playevent.verify('play_event')$$, 'play_event', 'verify refuses');
SELECT refused($$SELECT playevent.rebuild('play_event')$$, 'play_event', 'rebuild refuses');
SELECT refused($$SELECT playevent.compact('play_event')$$, 'play_event', 'compact refuses');
SELECT refused($$SELECT playevent.add_counter('play_event', 'by_anon', '{anon_id}')$$, 'play_event', 'add_counter refuses');
SELECT refused($$SELECT playevent.attach_log('play_event', track => 'track')$$, 'play_event', 'attach_log refuses');
SELECT release('play_event');
SELECT lives_ok('SELECT insert_one()', 'P13: a log that is local again works');

SELECT manage('bare_event', 'h', 's');
SELECT refused($$SELECT playevent.attach_log('bare_event', track => 'track')$$, 'bare_event', 'a distributed table is not attached');
SELECT hasnt_table('shell', 'bare_counter_slot', 'P13: and nothing made for it');
SELECT release('bare_event');

-- The table that was the log is the shard then, by another name, and where it is
-- its triggers find the counters: so counts stay exact.
SAVEPOINT renamed;
ALTER TABLE play_event RENAME TO play_event_102008;
CREATE TABLE play_event (LIKE play_event_102008 INCLUDING ALL);
SELECT manage('play_event', 'n', 's');
SELECT refused('SELECT record_batch()', 'play_event', 'record_plays, which knows the log by its name, puts no row into the shell');
SELECT refused($$SELECT record_play('a', 'most')$$, 'play_event', 'nor does record_play');
SELECT lives_ok($$INSERT INTO play_event_102008 (track_entry_key, bucket) VALUES ('a', 'most')$$, 'P13: what Citus sends to the shard is recorded');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event_102008')$$, 'P13: and counted');
SELECT manage('track', 'n', 's');
SELECT refused($$INSERT INTO play_event_102008 (track_entry_key, bucket) VALUES ('a', 'most')$$, 'track', 'a shard whose triggers name a shell is refused, as in a distributed schema');
ROLLBACK TO renamed;

-- partitioned: Citus lists the root and its partitions
SELECT manage('part_1', 'h', 's');
SELECT refused('SELECT insert_parted()', 'part_1', 'no row goes into a partition that is a shell');
SELECT refused('SELECT insert_straight()', 'part_1', 'nor straight');
SELECT release('part_1');
SELECT manage('part_event', 'h', 's');
SELECT refused('SELECT insert_parted()', 'part_event', 'nor into one whose log is a shell');
SELECT refused('SELECT insert_straight()', 'part_event', 'nor straight');
SELECT refused($$SELECT playevent.rebuild('part_event')$$, 'part_event', 'whose counters nobody rebuilds');
SELECT release('part_event');
SELECT lives_ok('SELECT insert_straight()', 'P13: a partition works again');

-- A table made in a distributed schema is a shell from the beginning.
CREATE FUNCTION manage_new() RETURNS event_trigger LANGUAGE plpgsql AS
$$BEGIN
    PERFORM shell.manage(objid, 'n', 's') FROM pg_event_trigger_ddl_commands()
     WHERE object_identity = 'shell.share_event' AND command_tag = 'CREATE TABLE';
END$$;
CREATE EVENT TRIGGER shell_manage_new ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION manage_new();
SELECT refused($$SELECT playevent.create_log('share', track => 'track')$$, 'share_event', 'create_log refuses a distributed schema');
DROP EVENT TRIGGER shell_manage_new;

--
-- Slots
--

SELECT manage('play_daily_slot', 'h', 's');
SELECT refused('SELECT insert_one()', 'play_daily_slot', 'no count goes into a shell');
SELECT refused('SELECT record_batch()', 'play_daily_slot', 'nor those of a batch');
SELECT refused($$SELECT * FROM playevent.verify('play_event')$$, 'play_daily_slot', 'verify reads no counts from one');
SELECT refused($$SELECT playevent.rebuild('play_event')$$, 'play_daily_slot', 'rebuild writes none to one');
SELECT refused($$SELECT playevent.compact('play_event')$$, 'play_daily_slot', 'compact merges none of one');
SELECT refused($$SELECT playevent.add_counter('play_event', 'by_anon', '{anon_id}')$$, 'play_daily_slot', 'add_counter adds none beside one');
SELECT release('play_daily_slot');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: nothing that was refused was counted');

--
-- What only looks like the catalog of Citus
--

-- somebody else's
SELECT manage('track', 'n', 't');
ALTER TABLE pg_catalog.pg_dist_partition OWNER TO shell_mallory;
SELECT invalidate('track');
SELECT lives_ok('SELECT insert_one()', 'P8: a catalog that no superuser owns hinders nobody');
ALTER TABLE pg_catalog.pg_dist_partition OWNER TO CURRENT_USER;
SELECT invalidate('track');
SELECT refused('SELECT insert_one()', 'track', 'one that a superuser owns does');

-- no index
DROP INDEX pg_catalog.pg_dist_partition_logical_relid_index;
SELECT refused('SELECT insert_one()', 'track', 'with its index or without');
CREATE INDEX ON pg_catalog.pg_dist_partition (logicalrelid) WHERE repmodel = 'c';
CREATE INDEX ON pg_catalog.pg_dist_partition USING hash (logicalrelid);
SELECT refused('SELECT insert_one()', 'track', 'or with one of some of its rows');

-- another schema, or other columns
CREATE SCHEMA lookalike;
ALTER TABLE pg_catalog.pg_dist_partition SET SCHEMA lookalike;
SET LOCAL search_path = lookalike, shell, public, pg_catalog;
SELECT lives_ok('SELECT insert_one()', 'P8: a table of that name elsewhere is none');
ALTER TABLE lookalike.pg_dist_partition RENAME logicalrelid TO relid;
ALTER TABLE lookalike.pg_dist_partition SET SCHEMA pg_catalog;
SELECT invalidate('track');
SELECT lives_ok('SELECT insert_one()', 'P8: nor is one with other columns');

SELECT * FROM finish();
ROLLBACK;
