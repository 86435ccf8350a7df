-- P13: a log's shard counts in the shards beside it, and finds releases there.
-- Catalogs like those of Citus stand in for it.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(42);

CREATE ROLE shard_mallory;
CREATE SCHEMA shard;
GRANT ALL ON SCHEMA shard TO shard_mallory;
SET LOCAL search_path = shard, public;

\ir include/pg_dist_partition.sql
SET LOCAL allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_shard (
    logicalrelid regclass NOT NULL, shardid bigint NOT NULL, shardstorage "char" NOT NULL DEFAULT 't',
    shardminvalue text, shardmaxvalue text);
CREATE UNIQUE INDEX pg_dist_shard_shardid_index ON pg_catalog.pg_dist_shard (shardid);
CREATE INDEX pg_dist_shard_logical_relid_index ON pg_catalog.pg_dist_shard (logicalrelid);
RESET allow_system_table_mods;

-- The shells, and a long name, which Citus shortens for its shards.
CREATE TABLE play_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
CREATE TABLE play_slot (track_entry_key text, release_id bigint, bucket text, plays bigint NOT NULL);
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 666);
INSERT INTO pg_catalog.pg_dist_partition (logicalrelid, partmethod, colocationid, repmodel) VALUES
    ('play_event', 'h', 4, 's'), ('play_slot', 'h', 4, 's'), ('track', 'n', 2, 't');
INSERT INTO pg_catalog.pg_dist_shard (logicalrelid, shardid, shardminvalue, shardmaxvalue) VALUES
    ('track', 102008, NULL, NULL),
    ('play_event', 102009, '-2147483648', '-1'), ('play_event', 102010, '0', '2147483647'),
    -- as after a split, not in the order of the others
    ('play_slot', 102031, '-2147483648', '-1'), ('play_slot', 102012, '0', '2147483647');

-- A shard of the log, of slots and of the track table, as Citus makes them.
CREATE FUNCTION make_shard(name text, number int) RETURNS void LANGUAGE plpgsql AS
$$BEGIN
    EXECUTE format('CREATE TABLE shard.%I (LIKE shard.%I INCLUDING ALL)', name || '_' || number, name);
    IF name = 'play_event' THEN
        EXECUTE format($f$
            CREATE TRIGGER resolve_%2$s BEFORE INSERT ON shard.%1$I FOR EACH ROW
            EXECUTE FUNCTION playevent.resolve('track', 'entry_key', 'release_id', '', 'record', 'track_entry_key', 'release_id');
            CREATE TRIGGER count_%2$s AFTER INSERT ON shard.%1$I FOR EACH ROW
            EXECUTE FUNCTION playevent.count('play_slot', 'plays', 'track_entry_key', 'release_id', 'bucket');
            CREATE TRIGGER flush_%2$s AFTER INSERT ON shard.%1$I FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush('origin')
        $f$, name || '_' || number, number);
    ELSIF name = 'play_slot' THEN
        EXECUTE format($f$
            CREATE INDEX ON shard.%1$I (track_entry_key);
            CREATE TRIGGER guard_%2$s BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON shard.%1$I FOR EACH STATEMENT
            EXECUTE FUNCTION playevent.slot_guard('play_event', 'count', 'plays', 'track_entry_key', 'release_id', 'bucket')
        $f$, name || '_' || number, number);
    ELSE
        EXECUTE format('INSERT INTO shard.%I VALUES (''a'', 1), (''b'', 2)', name || '_' || number);
    END IF;
END$$;
CREATE FUNCTION invalidate(rel regclass) RETURNS void LANGUAGE plpgsql AS
$$BEGIN EXECUTE format('ALTER TABLE %s ALTER COLUMN track_entry_key SET STATISTICS 50', rel); END$$;
CREATE FUNCTION refused(call text, message text, why text) RETURNS SETOF text LANGUAGE sql AS
$$SELECT public.throws_ok(call, '55000', message, 'P13: ' || why)$$;

SELECT make_shard('play_slot', 102031), make_shard('play_slot', 102012), make_shard('track', 102008);
SELECT make_shard('play_event', 102009), make_shard('play_event', 102010);

SELECT lives_ok($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most'), ('a', 5, 'most'), ('b', NULL, 'partial')$$, 'P13: a shard takes rows');
SELECT results_eq('SELECT track_entry_key, release_id, plays FROM play_slot_102031 ORDER BY 1', $$VALUES ('a', 1::bigint, 2::bigint), ('b', 2, 1)$$,
    'P2, P3: with releases of the track table''s shard, counted in the shard of the same hash values');
SELECT lives_ok($$INSERT INTO play_event_102010 VALUES ('a', 5, 'most')$$, 'P13: so does another');
SELECT results_eq('SELECT track_entry_key, plays FROM play_slot_102012', $$VALUES ('a', 1::bigint)$$, 'P3: and counts in its own');
SELECT is_empty('SELECT * FROM ONLY play_event', 'P13: no row in a shell');
SELECT is_empty('SELECT * FROM ONLY play_slot', 'P13: no count in a shell');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event_102009')$$, 'P3: verify compares the two');
SELECT is(playevent.rebuild('play_event_102010'), 0::bigint, 'P3: and rebuild has nothing to add');
SELECT ok(playevent.compact('play_event_102010') >= 0, 'P13: compact takes its slots');
SELECT refused($$SELECT playevent.rebuild('play_event')$$, 'table "play_event" is not a log', 'a shell without triggers is no log');
SELECT results_eq($$SELECT event, counter_slot FROM playevent.counter WHERE event::oid IN ('play_event_102009'::regclass, 'play_event_102010'::regclass) ORDER BY 1::text$$,
    $$VALUES ('play_event_102009'::regclass, 'play_slot_102031'::regclass), ('play_event_102010'::regclass, 'play_slot_102012'::regclass)$$,
    'P13: the view counter says which are beside each other');
SELECT throws_ok('DELETE FROM play_slot_102012', '23001', NULL, 'P13: slots are guarded');

-- bound, and then
SAVEPOINT bound;
UPDATE pg_catalog.pg_dist_partition SET colocationid = 5 WHERE logicalrelid = 'play_slot'::regclass;
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "play_slot" is managed by Citus', 'slots that are not colocated are not beside');
ROLLBACK TO bound;
UPDATE pg_catalog.pg_dist_partition SET colocationid = 0 WHERE logicalrelid IN ('play_event'::regclass, 'play_slot'::regclass);
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "play_slot" is managed by Citus', 'nor two that are with nobody');
ROLLBACK TO bound;
UPDATE pg_catalog.pg_dist_shard SET shardminvalue = '-7' WHERE shardid = 102031;
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "play_slot" is managed by Citus', 'nor one of other hash values');
ROLLBACK TO bound;
DROP TABLE track_102008;
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "track" is managed by Citus', 'no release is read from a shell');
ROLLBACK TO bound;
UPDATE pg_catalog.pg_dist_partition SET repmodel = 's', colocationid = 9 WHERE logicalrelid = 'track'::regclass;
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "track" is managed by Citus', 'nor from the only shard of a table that is elsewhere');
ROLLBACK TO bound;
UPDATE pg_catalog.pg_dist_partition SET repmodel = 't', colocationid = 2, partmethod = 'n' WHERE logicalrelid = 'play_event'::regclass;
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'log "play_event" is a reference table', 'a log is no reference table');
ROLLBACK TO bound;
DELETE FROM pg_catalog.pg_dist_partition WHERE logicalrelid = 'track'::regclass;
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "track" is not distributed as log "play_event" is', 'a table of this node alone is none of a shard''s');
ROLLBACK TO bound;

-- the words
CREATE FUNCTION words(call text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS
$$BEGIN
    EXECUTE call;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END$$;
SAVEPOINT words;
DROP TABLE track_102008;
SELECT results_eq($$SELECT * FROM words($w$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$w$)$$,
    $$VALUES ('It has no shard beside table "play_event_102009", which is one itself.',
              'Distribute it by the same column as the log, colocated with it, or make it a reference table.')$$,
    'P13: the error says why, and what to do');
ROLLBACK TO words;

-- a track table that is distributed by its key
INSERT INTO pg_catalog.pg_dist_shard (logicalrelid, shardid, shardminvalue, shardmaxvalue) VALUES ('track', 102041, '-2147483648', '-1'), ('track', 102042, '0', '2147483647');
DELETE FROM pg_catalog.pg_dist_shard WHERE shardid = 102008;
UPDATE pg_catalog.pg_dist_partition SET partmethod = 'h', repmodel = 's', colocationid = 4 WHERE logicalrelid = 'track'::regclass;
SELECT make_shard('track', 102042), invalidate('play_event_102009'), invalidate('play_event_102010');
UPDATE track_102042 SET release_id = 3;
INSERT INTO play_event_102010 VALUES ('b', NULL, 'most');
SELECT results_eq('SELECT plays FROM play_slot_102012 WHERE release_id = 3', 'VALUES (1::bigint)', 'P2: a track table''s shard with the same hash values');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "track" is managed by Citus', 'or none that is there');
ROLLBACK TO words;

-- a distributed schema: one shard each, on one node
UPDATE pg_catalog.pg_dist_partition SET partmethod = 'n', repmodel = 's', colocationid = 6;
DELETE FROM pg_catalog.pg_dist_shard WHERE shardid IN (102010, 102012);
UPDATE pg_catalog.pg_dist_shard SET shardminvalue = NULL, shardmaxvalue = NULL;
SELECT invalidate('play_event_102009');
SELECT lives_ok($$INSERT INTO play_event_102009 VALUES ('b', 5, 'complete')$$, 'P13: in a distributed schema, a table''s only shard');
SELECT results_eq($$SELECT release_id, plays FROM play_slot_102031 WHERE bucket = 'complete'$$, 'VALUES (2::bigint, 1::bigint)', 'P2, P3: is the one beside');
ROLLBACK TO words;

-- as after citus_add_local_table_to_metadata('play_event')
UPDATE pg_catalog.pg_dist_partition SET partmethod = 'n', repmodel = 's', colocationid = 0 WHERE logicalrelid = 'play_event'::regclass;
DELETE FROM pg_catalog.pg_dist_shard WHERE shardid IN (102010, 102031, 102012);
UPDATE pg_catalog.pg_dist_shard SET shardminvalue = NULL, shardmaxvalue = NULL;
DELETE FROM pg_catalog.pg_dist_partition WHERE logicalrelid = 'play_slot'::regclass;
DROP TABLE play_slot;
ALTER TABLE play_slot_102031 DISABLE TRIGGER USER;
ALTER TABLE play_slot_102031 RENAME TO play_slot;
ALTER TABLE play_slot ENABLE TRIGGER USER;
DROP TRIGGER guard_102031 ON play_slot;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON play_slot FOR EACH STATEMENT
EXECUTE FUNCTION playevent.slot_guard('play_event_102009', 'count', 'plays', 'track_entry_key', 'release_id', 'bucket');
SELECT lives_ok($$INSERT INTO play_event_102009 VALUES ('b', 5, 'complete')$$, 'P13: a local log counts in a local table, and reads a reference table');
SELECT results_eq($$SELECT release_id, plays FROM play_slot WHERE bucket = 'complete'$$, 'VALUES (2::bigint, 1::bigint)', 'P2, P3: as ever');
ROLLBACK TO words;

-- names that are long, and of several bytes a character
CREATE FUNCTION shard_of(name text, number bigint, shard text) RETURNS SETOF text LANGUAGE plpgsql AS
$$BEGIN
    EXECUTE format('CREATE TABLE shard.%I (track_entry_key text)', name);
    EXECUTE format('CREATE TABLE shard.%I (track_entry_key text)', shard);
    INSERT INTO pg_catalog.pg_dist_partition (logicalrelid, partmethod, colocationid) VALUES (format('shard.%I', name)::regclass, 'h', 4);
    INSERT INTO pg_catalog.pg_dist_shard (logicalrelid, shardid, shardminvalue, shardmaxvalue) VALUES (format('shard.%I', name)::regclass, number, '0', '1');
    INSERT INTO pg_catalog.pg_dist_shard (logicalrelid, shardid, shardminvalue, shardmaxvalue)
    SELECT 'shard.play_event'::regclass, 102010, '0', '1' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_dist_shard WHERE shardid = 102010);
    RETURN NEXT public.is(playevent.named_by('shard.play_event_102010'::regclass, quote_ident(name)), format('shard.%I', shard)::regclass, 'P13: as Citus calls it: ' || shard);
END$$;
SELECT shard_of(repeat('n', 56), 102100, repeat('n', 56) || '_102100');
SELECT shard_of(repeat('ü', 31), 102101, repeat('ü', 23) || '_11014007_102101');  -- as Citus 13.2 has it
SELECT shard_of('It''s "quoted"', 102102, 'It''s "quoted"_102102');

--
-- What only looks like a shard
--

-- a number that Citus doesn't know, and one of another table's
CREATE TABLE play_event_102099 (LIKE play_event);
CREATE TABLE other_102009 (LIKE play_event);
SELECT is(playevent.named_by('play_event_102099'::regclass, 'play_slot'), 'play_slot'::regclass, 'P13: a number that Citus does not know');
SELECT is(playevent.named_by('other_102009'::regclass, 'play_slot'), 'play_slot'::regclass, 'P13: one of another table');
CREATE TABLE "play_event_0102009" (LIKE play_event);
SELECT is(playevent.named_by('"play_event_0102009"'::regclass, 'play_slot'), 'play_slot'::regclass, 'P13: another way to write it');
CREATE TABLE "play_event_99999999999999999999" (LIKE play_event);
SELECT is(playevent.named_by('"play_event_99999999999999999999"'::regclass, 'play_slot'), 'play_slot'::regclass, 'P13: one that is too large');
CREATE TABLE "_102009" (LIKE play_event);
SELECT is(playevent.named_by('"_102009"'::regclass, 'play_slot'), 'play_slot'::regclass, 'P13: or nothing else');
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.play_event_102009 (LIKE play_event);
SELECT is(playevent.named_by('elsewhere.play_event_102009'::regclass, 'shard.play_slot'), 'play_slot'::regclass, 'P13: one in another schema');

-- one that somebody has put in a shard's place: his own log, whose slots are another's
SAVEPOINT mallory;
DROP TABLE play_event_102010;
SET LOCAL ROLE shard_mallory;
CREATE TABLE shard.play_event_102010 (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
CREATE TRIGGER count_102010 AFTER INSERT ON shard.play_event_102010 FOR EACH ROW
EXECUTE FUNCTION playevent.count('play_slot', 'plays', 'track_entry_key', 'release_id', 'bucket');
SELECT throws_ok($$INSERT INTO shard.play_event_102010 VALUES ('a', 5, 'most')$$, '42501', NULL, 'P8: a stranger''s table in a shard''s place counts in nobody''s slots');
RESET ROLE;
DROP TABLE shard.play_event_102010;
SET LOCAL ROLE shard_mallory;
CREATE TABLE shard.play_event_102010 (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
CREATE TRIGGER resolve_102010 BEFORE INSERT ON shard.play_event_102010 FOR EACH ROW
EXECUTE FUNCTION playevent.resolve('track', 'entry_key', 'release_id', '', 'record', 'track_entry_key', 'release_id');
SELECT throws_ok($$INSERT INTO shard.play_event_102010 VALUES ('a', 5, 'most')$$, '42501', NULL, 'P8: and reads nobody''s tracks');
RESET ROLE;
ROLLBACK TO mallory;

-- somebody else's catalog
ALTER TABLE pg_catalog.pg_dist_shard OWNER TO shard_mallory;
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "track" is managed by Citus', 'a catalog that no superuser owns says nothing of shards');
ALTER TABLE pg_catalog.pg_dist_shard OWNER TO CURRENT_USER;
DROP INDEX pg_catalog.pg_dist_shard_shardid_index, pg_catalog.pg_dist_shard_logical_relid_index;
SELECT invalidate('play_event_102009');
SELECT lives_ok($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'P13: one without indexes does');
ALTER TABLE pg_catalog.pg_dist_shard RENAME shardminvalue TO lowest;
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "track" is managed by Citus', 'nor one with other columns, of hash values');
ALTER TABLE pg_catalog.pg_dist_shard RENAME shardid TO number;
SELECT invalidate('play_event_102009');
SELECT refused($$INSERT INTO play_event_102009 VALUES ('a', 5, 'most')$$, 'table "track" is managed by Citus', 'or of numbers');

SELECT is_empty('SELECT * FROM ONLY play_event UNION ALL SELECT track_entry_key, release_id, bucket FROM ONLY play_slot', 'P13: the shells are empty still');

SELECT * FROM finish();
ROLLBACK;
