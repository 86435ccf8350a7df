-- P3: verify finds what is wrong with the counters, and rebuild mends it.  P10: the
-- functions that users call have the signatures and comments that they are to have,
-- and trigger functions refuse to be used in another way.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(63);

CREATE SCHEMA f;
SET LOCAL search_path = f, public;
SET LOCAL client_min_messages = warning;

--
-- What there is
--

SELECT set_eq(
    $$SELECT format('%s(%s) returns %s', proname, pg_get_function_arguments(oid), pg_get_function_result(oid))
        FROM pg_proc
       WHERE pronamespace = 'playevent'::regnamespace
         AND proname IN ('create_log', 'attach_log', 'verify', 'rebuild', 'compact',
                         'add_counter', 'add_listener_sketch', 'drop_counter', 'top', 'series')$$,
    $$VALUES ('add_counter(event regclass, counter name, columns name[], amount name DEFAULT NULL::name) returns regclass'),
             ('add_listener_sketch(event regclass, listener_column name DEFAULT ''anon_id''::name, '
              'day_column name DEFAULT ''day''::name) returns regclass'),
             ('drop_counter(event regclass, counter name) returns void'),
             ('series(event regclass, since date DEFAULT NULL::date, until date DEFAULT NULL::date, '
              'track_entry_key text DEFAULT NULL::text, '
              'release_id text DEFAULT NULL::text, step text DEFAULT ''day''::text) '
              'returns TABLE(period date, plays bigint)'),
             ('top(event regclass, since date DEFAULT NULL::date, until date DEFAULT NULL::date, '
              'by text DEFAULT ''track''::text, lim integer DEFAULT 100) '
              'returns TABLE(rank bigint, key text, plays bigint)'),
             ('attach_log(event regclass, track regclass, track_key name DEFAULT ''entry_key''::name, '
              'track_release name DEFAULT ''release_id''::name, track_deleted name DEFAULT NULL::name, '
              'unknown_track text DEFAULT ''record''::text, count_replicated boolean DEFAULT true, '
              'ingest_role regrole DEFAULT NULL::regrole, key_column name DEFAULT ''track_entry_key''::name, '
              'release_column name DEFAULT ''release_id''::name, kind_column name DEFAULT ''bucket''::name, '
              'kinds text[] DEFAULT NULL::text[], release regclass DEFAULT NULL::regclass, '
              'release_key name DEFAULT ''id''::name, name name DEFAULT NULL::name, kind_names text[] DEFAULT NULL::text[], '
              'thresholds double precision[] DEFAULT NULL::double precision[], id_column name DEFAULT NULL::name, '
              'event_id_column name DEFAULT NULL::name, listener_column name DEFAULT NULL::name, '
              'heard_column name DEFAULT NULL::name, time_column name DEFAULT NULL::name, '
              'created_column name DEFAULT NULL::name, day_column name DEFAULT ''day''::name, '
              'daily boolean DEFAULT true, day_zone text DEFAULT NULL::text, check_kinds boolean DEFAULT true, '
              'reader_role regrole DEFAULT NULL::regrole, partition_by text DEFAULT NULL::text, '
              'dedupe_for interval DEFAULT ''30 days''::interval, retain interval DEFAULT NULL::interval) returns regclass'),
             ('create_log(log name, track regclass, track_key name DEFAULT ''entry_key''::name, '
              'track_release name DEFAULT ''release_id''::name, track_deleted name DEFAULT NULL::name, '
              'kind name DEFAULT ''bucket''::name, kinds text[] DEFAULT ''{partial,most,complete}''::text[], '
              'unknown_track text DEFAULT ''record''::text, count_replicated boolean DEFAULT true, '
              'ingest_role regrole DEFAULT NULL::regrole, reader_role regrole DEFAULT NULL::regrole, '
              'thresholds double precision[] DEFAULT NULL::double precision[], release regclass DEFAULT NULL::regclass, '
              'release_key name DEFAULT ''id''::name, daily boolean DEFAULT true, '
              'day_zone text DEFAULT ''UTC''::text, heard boolean DEFAULT false, partition_by text DEFAULT NULL::text, '
              'dedupe_for interval DEFAULT ''30 days''::interval, retain interval DEFAULT NULL::interval) returns regclass'),
             ('compact(event regclass) returns bigint'),
             ('rebuild(event regclass) returns bigint'),
             ('verify(event regclass) returns TABLE(track_entry_key text, release_id text, kind text, '
              'counted bigint, logged bigint, counter text, further_key text)')$$,
    'the signatures that the manual promises');
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
       WHERE pronamespace = 'playevent'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL$$,
    'every function has a comment');
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class
       WHERE relnamespace = 'playevent'::regnamespace AND relkind <> 'c' AND obj_description(oid, 'pg_class') IS NULL$$,
    'every view has a comment');
SELECT is_empty(
    $$SELECT oid::regprocedure FROM pg_proc
       WHERE pronamespace = 'playevent'::regnamespace AND prosecdef$$,
    'no function acts with other rights than its caller''s');
SELECT is_empty(
    $$SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
       WHERE p.pronamespace = 'playevent'::regnamespace AND l.lanname <> 'c' AND p.prosqlbody IS NULL AND p.prokind <> 'a'
         AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)$$,
    'every function with a body pins search_path, or was parsed when it was created');
SELECT is((SELECT extrelocatable FROM pg_extension WHERE extname = 'playevent'), false,
          'the extension stays in its schema');
SELECT is_empty(
    $$SELECT d.classid::regclass, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
       WHERE d.deptype = 'e' AND e.extname = 'playevent' AND d.refclassid = 'pg_extension'::regclass
         AND d.classid = 'pg_class'::regclass
         AND (SELECT relkind FROM pg_class WHERE oid = d.objid) <> 'v'$$,
    'the extension owns no table');

--
-- The view playevent.log
--

CREATE SCHEMA f_catalogue;
CREATE TABLE f_catalogue.track (entry_key text PRIMARY KEY, release_id int, gone_at timestamptz);
CREATE TABLE own_track (slug uuid PRIMARY KEY, album bigint);
SELECT playevent.create_log('play', track => 'f_catalogue.track', track_deleted => 'gone_at') AS log \gset
CREATE TABLE "Shares" (song uuid NOT NULL, "of" bigint, via text NOT NULL) PARTITION BY LIST (via);
CREATE TABLE shares_link PARTITION OF "Shares" FOR VALUES IN ('link');
SELECT playevent.attach_log('"Shares"', track => 'own_track', track_key => 'slug', track_release => 'album',
                            unknown_track => 'reject', count_replicated => false,
                            key_column => 'song', release_column => 'of', kind_column => 'via') AS log \gset
SELECT set_eq(
    $$SELECT event::text, counter_slot::text, count_column, key_column, release_column, kind_column,
             track::text, track_key, track_release, track_deleted, unknown_track, count_replicated, intact
        FROM playevent.log
       WHERE event IN ('play_event'::regclass, '"Shares"', 'shares_link')$$,
    $$VALUES ('"Shares"', '"Shares_counter_slot"', 'Shares', 'song', 'of', 'via',
              'own_track', 'slug', 'album', NULL, 'reject', false, true),
             ('play_event', 'play_counter_slot', 'plays', 'track_entry_key', 'release_id', 'bucket',
              'f_catalogue.track', 'entry_key', 'release_id', 'gone_at', 'record', true, true)$$,
    'playevent.log tells what each log was made with, partitions not apart');

--
-- verify and rebuild
--

INSERT INTO f_catalogue.track VALUES ('k1', 1), ('k2', NULL);
INSERT INTO play_event (track_entry_key, bucket)
SELECT 'k' || n % 3, 'most' FROM generate_series(1, 9) n;
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'verify has nothing to say of exact counters');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'rebuild changes none of them');

-- counters that someone wrote to behind the guard's back: too high, too low,
-- of a key that was never played, and none at all
ALTER TABLE play_counter_slot DISABLE TRIGGER USER;
UPDATE play_counter_slot SET plays = plays + 5 WHERE track_entry_key = 'k0';
UPDATE play_counter_slot SET plays = 1 WHERE track_entry_key = 'k1';
DELETE FROM play_counter_slot WHERE track_entry_key = 'k2';
INSERT INTO play_counter_slot (track_entry_key, release_id, bucket, plays) VALUES ('never', NULL, 'partial', 7);
ALTER TABLE play_counter_slot ENABLE ALWAYS TRIGGER playevent_slot_guard, ENABLE ALWAYS TRIGGER playevent_slot_guard_row;
SELECT set_eq($$SELECT track_entry_key, release_id, kind, counted, logged FROM playevent.verify('play_event') WHERE counter = 'play_counter'$$,
              $$VALUES ('k0', NULL, 'most', 8::bigint, 3::bigint), ('k1', '1', 'most', 1, 3),
                       ('k2', NULL, 'most', 0, 3), ('never', NULL, 'partial', 7, 0)$$,
              'verify finds counters that are too high, too low, missing and of no row');
SELECT is(playevent.rebuild('play_event'), 4::bigint, 'rebuild says how many were wrong');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'and mends them');
SELECT set_eq('SELECT track_entry_key::text, release_id, plays FROM play_counter',
              $$VALUES ('k0', NULL::int, 3::bigint), ('k1', 1, 3), ('k2', NULL, 3)$$,
              'a counter that is zero is not shown');

-- plays that were not counted
ALTER TABLE play_event DISABLE TRIGGER playevent_count;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('missed', 'partial'), ('missed', 'partial');
ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_count;
SELECT set_eq($$SELECT track_entry_key, release_id, kind, counted, logged FROM playevent.verify('play_event') WHERE counter = 'play_counter'$$,
              $$VALUES ('k1', '1', 'most', 3::bigint, 4::bigint), ('missed', NULL, 'partial', 0, 2)$$,
              'verify finds plays that were not counted');
SELECT is(playevent.rebuild('play_event'), 2::bigint, 'rebuild counts them');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'once');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'and all is exact');

-- more keys than verify fetches at a time
ALTER TABLE play_event DISABLE TRIGGER playevent_count;
INSERT INTO play_event (track_entry_key, bucket) SELECT 'many' || n, 'most' FROM generate_series(1, 2500) n;
ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_count;
SELECT is((SELECT sum(logged - counted) FROM playevent.verify('play_event')), 2500::numeric, 'verify finds thousands of differences');
SELECT is(playevent.rebuild('play_event'), 2500::bigint, 'rebuild mends thousands');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'each of them');

-- a log with columns of its own names and types
INSERT INTO own_track VALUES ('00000000-0000-0000-0000-00000000000a', 4294967296), ('00000000-0000-0000-0000-00000000000b', NULL);
INSERT INTO "Shares" VALUES ('00000000-0000-0000-0000-00000000000b', NULL, 'link');
ALTER TABLE "Shares" DISABLE TRIGGER playevent_count;
INSERT INTO "Shares" VALUES ('00000000-0000-0000-0000-00000000000a', NULL, 'link');
ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;
ALTER TABLE "Shares" ENABLE TRIGGER playevent_count;
ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;
SELECT results_eq($$SELECT track_entry_key, release_id, kind, counted, logged FROM playevent.verify('"Shares"')$$,
                  $$VALUES ('00000000-0000-0000-0000-00000000000a', '4294967296', 'link', 0::bigint, 1::bigint)$$,
                  'verify of a partitioned log whose columns have other names');
SELECT is(playevent.rebuild('"Shares"'), 1::bigint, 'rebuild of it');
SELECT results_eq('SELECT song, "of", via, "Shares" FROM "Shares_counter" WHERE "of" IS NOT NULL',
                  $$VALUES ('00000000-0000-0000-0000-00000000000a'::uuid, 4294967296, 'link', 1::bigint)$$,
                  'its counter has the log''s column names');

-- rebuild in a transaction that has plays of its own, some of them straight in
-- a partition and so not written yet
INSERT INTO shares_link VALUES ('00000000-0000-0000-0000-00000000000a', NULL, 'link');
SELECT is(playevent.rebuild('"Shares"'), 0::bigint, 'rebuild does not count twice what is pending');
SELECT results_eq('SELECT "Shares" FROM "Shares_counter" WHERE "of" IS NOT NULL', 'VALUES (2::bigint)', 'but writes it');

-- what is no log
SELECT throws_ok($$SELECT playevent.compact('own_track')$$, '55000', 'table "own_track" is not a log', 'compact of a table that is no log');
SELECT is(playevent.compact('play_event'), 0::bigint, 'compact where there is nothing to merge');
CREATE ROLE f_stranger;
GRANT USAGE ON SCHEMA f TO f_stranger;
SET ROLE f_stranger;
SELECT throws_ok($$SELECT playevent.compact('f.play_event')$$, '42501', 'must be owner of table play_event', 'compact is the owner''s');
SELECT throws_ok($$SELECT playevent.rebuild('f.play_event')$$, '42501', 'must be owner of table play_event', 'so is rebuild');
RESET ROLE;
SELECT throws_ok($$SELECT playevent.rebuild('own_track')$$, '55000', 'table "own_track" is not a log', 'rebuild of a table that is no log');
SELECT throws_ok($$SELECT * FROM playevent.verify('own_track')$$, '55000', 'table "own_track" is not a log', 'verify of a table that is no log');
SELECT throws_ok('SELECT * FROM playevent.verify(1)', '42P01', 'argument "event" is 1, which is no table', 'verify of no table at all');
SELECT throws_ok($$SELECT * FROM playevent.verify('play_counter')$$, '55000', 'table "play_counter" is not a log', 'verify of a view');
SELECT throws_ok($$SELECT * FROM playevent.verify('shares_link')$$, '55000', 'table "shares_link" is not a log', 'verify of a partition');
SELECT is((SELECT count(*) FROM playevent.verify(NULL)), 0::bigint, 'verify of null is empty');
SELECT is(playevent.rebuild(NULL), NULL, 'rebuild of null is null');

-- attach_log counts the rows that are there, and only once
CREATE TABLE old_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
INSERT INTO old_event VALUES ('k1', 9, 'most'), ('k1', 9, 'most'), ('k1', NULL, 'most'), ('k2', 2, 'rare');
SELECT is(playevent.attach_log('old_event', track => 'f_catalogue.track', kinds => '{most}', check_kinds => false)::text, 'old_event',
          'attach_log returns the table');
SELECT set_eq('SELECT track_entry_key, release_id, bucket, olds FROM old_counter',
              $$VALUES ('k1', 9, 'most', 2::bigint), ('k1', NULL, 'most', 1), ('k2', 2, 'rare', 1)$$,
              'attach_log counts rows as they are');
SELECT set_eq('SELECT * FROM old_by_track', $$VALUES ('k1', 3::bigint, 3::bigint), ('k2', 0, 1)$$,
              'kinds that are not named have no column, but count');
SELECT set_eq('SELECT * FROM old_by_release', $$VALUES (9, 2::bigint, 2::bigint), (2, 0, 1)$$,
              'by release too');

--
-- Trigger functions that are not used as they are meant to be
--

CREATE FUNCTION made_by_hand(definition text, statement text DEFAULT $$INSERT INTO scrap VALUES ('k1', 1, 'x')$$)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE scrap (track_entry_key text, release_id int, bucket text);
    EXECUTE 'CREATE TRIGGER by_hand ' || definition;
    EXECUTE statement;
END
$$;
SELECT throws_ok(format('SELECT made_by_hand(%L, %L)', definition, statement), '39P01',
                 format('trigger "by_hand" on table "scrap" fires function "playevent.%s" at the wrong event', name),
                 format('playevent.%s as a trigger %s', name, left(definition, 20)))
  FROM (VALUES
    ('append_only', 'AFTER UPDATE ON scrap EXECUTE FUNCTION playevent.append_only()', 'UPDATE scrap SET release_id = 1'),
    ('append_only', 'BEFORE INSERT ON scrap EXECUTE FUNCTION playevent.append_only()', 'INSERT INTO scrap DEFAULT VALUES'),
    ('slot_guard', 'AFTER DELETE ON scrap EXECUTE FUNCTION playevent.slot_guard()', 'DELETE FROM scrap'),
    ('resolve', 'AFTER INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.resolve()', 'INSERT INTO scrap DEFAULT VALUES'),
    ('resolve', 'BEFORE INSERT ON scrap EXECUTE FUNCTION playevent.resolve()', 'INSERT INTO scrap DEFAULT VALUES'),
    ('count', 'BEFORE INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.count()', 'INSERT INTO scrap DEFAULT VALUES'),
    ('count', 'AFTER UPDATE ON scrap EXECUTE FUNCTION playevent.count()', 'UPDATE scrap SET release_id = 1'),
    ('sum', 'BEFORE INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.sum()', 'INSERT INTO scrap DEFAULT VALUES'),
    ('flush', 'AFTER INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.flush()', 'INSERT INTO scrap DEFAULT VALUES'),
    ('flush', 'BEFORE INSERT ON scrap EXECUTE FUNCTION playevent.flush()', 'INSERT INTO scrap DEFAULT VALUES'))
    AS t (name, definition, statement);
SELECT throws_ok($$SELECT made_by_hand('BEFORE INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.resolve(''track'')')$$,
                 '39P01', NULL,
                 'playevent.resolve with too few arguments');
SELECT throws_ok($$SELECT made_by_hand('AFTER INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.count(''slot'', ''plays'')')$$,
                 '39P01', NULL,
                 'playevent.count with too few arguments');
SELECT throws_ok($$SELECT made_by_hand('AFTER INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.sum(''slot'', ''seconds'', ''seconds'')')$$,
                 '39P01', NULL,
                 'playevent.sum with too few arguments');
SELECT throws_ok($$SELECT made_by_hand('BEFORE INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.resolve(''f_catalogue.track'', ''entry_key'', ''release_id'', '''', ''ignore'', ''track_entry_key'', ''release_id'')')$$,
                 '22023', 'unrecognized way to treat unknown tracks: "ignore"',
                 'playevent.resolve with a way to treat unknown tracks that is none');
SELECT throws_ok($$SELECT made_by_hand('BEFORE INSERT ON scrap FOR EACH ROW EXECUTE FUNCTION playevent.resolve(''a.b.c'', ''entry_key'', ''release_id'', '''', ''record'', ''track_entry_key'', ''release_id'')')$$,
                 '42P01', 'track table "a.b.c" does not exist',
                 'playevent.resolve with a track table that is none');
SELECT throws_ok(format('SELECT playevent.%s()', name), '39P01',
                 format('function "playevent.%s" was not called by trigger manager', name),
                 format('playevent.%s called as a function', name))
  FROM (VALUES ('append_only'), ('slot_guard'), ('resolve'), ('count'), ('sum'), ('sketch'), ('flush')) AS f (name);

SELECT * FROM finish();
ROLLBACK;
