-- P3 and P1: partitions that come to a log and leave it.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(68);

CREATE SCHEMA parts;
CREATE SCHEMA elsewhere;
SET search_path = parts, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1), ('b', 2);
CREATE TABLE play_event (
    track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, month int NOT NULL
) PARTITION BY LIST (month);
CREATE TABLE play_1 PARTITION OF play_event FOR VALUES IN (1);
INSERT INTO play_event VALUES ('a', 1, 'most', 1);
SELECT playevent.attach_log('play_event', track => 'track');

\ir include/differences.sql
SELECT is_empty('SELECT differences()', 'P3: rows that were there are counted');

-- What pg_dump restores with a partitioned table must not fire, or rows that
-- come later would count twice.
CREATE FUNCTION may_fire_early() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s of %s', t.tgname, t.tgrelid::regclass)
      FROM pg_partition_tree('parts.play_event') JOIN pg_trigger t ON t.tgrelid = relid
     WHERE NOT isleaf AND t.tgenabled IN ('O', 'A') AND t.tgtype & 5 = 5  -- rows, INSERT
$$;
SELECT is_empty('SELECT may_fire_early()', 'P7: a partitioned log has its partitions'' triggers fire');

-- columns in another order, another schema, and rows
CREATE TABLE elsewhere.play_2 (month int NOT NULL, bucket text NOT NULL, gone int, release_id bigint, track_entry_key text NOT NULL);
ALTER TABLE elsewhere.play_2 DROP COLUMN gone;
INSERT INTO elsewhere.play_2 VALUES (2, 'most', 9, 'a'), (2, 'all', NULL, 'b');
ALTER TABLE play_event ATTACH PARTITION elsewhere.play_2 FOR VALUES IN (2);
SELECT is_empty('SELECT differences()', 'P3: rows of an attached partition are counted');
SELECT throws_ok('TRUNCATE elsewhere.play_2', '23001', 'table "play_2" is append-only', 'P1: an attached partition refuses TRUNCATE');
SELECT throws_ok('DELETE FROM play_event WHERE month = 2', '23001', 'table "play_2" is append-only', 'P1: and DELETE');

INSERT INTO play_event VALUES ('a', NULL, 'most', 2), ('b', NULL, 'most', 1);
SELECT is_empty('SELECT differences()', 'P3: columns in another order are counted right');
SELECT is((SELECT count(*) FROM play_event WHERE track_entry_key = 'a' AND release_id = 1 AND month = 2), 1::bigint,
    'P2: a partition elsewhere finds the track table of its log''s schema');

-- Rows leave a log by retire alone (p11_partitions_leave), but for somebody who
-- disables event triggers.
ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;
ALTER TABLE play_event DETACH PARTITION elsewhere.play_2;
ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;
SELECT is((SELECT count(*) FROM playevent.verify('play_event')), 3::bigint, 'P3: verify shows what left with a partition');
SELECT lives_ok('UPDATE elsewhere.play_2 SET bucket = bucket', 'P1: a table that left the log is no log');
SELECT lives_ok($$DELETE FROM elsewhere.play_2 WHERE track_entry_key = 'b'$$, 'P1: and lets rows go');
INSERT INTO elsewhere.play_2 VALUES (2, 'most', 1, 'a');
ALTER TABLE play_event ATTACH PARTITION elsewhere.play_2 FOR VALUES IN (2);
SELECT is_empty('SELECT differences()', 'P3: a partition that comes back is counted as it is now');
CREATE TABLE play_20 PARTITION OF play_event FOR VALUES IN (20);
ALTER TABLE play_event DETACH PARTITION play_20;
INSERT INTO play_20 VALUES ('a', 1, 'most', 20);
SELECT lives_ok('UPDATE play_20 SET bucket = bucket', 'P1: an empty table that left the log is no log');
SELECT lives_ok('TRUNCATE play_20', 'P1: nor for TRUNCATE');
INSERT INTO play_20 VALUES ('b', 1, 'most', 20);
ALTER TABLE play_event ATTACH PARTITION play_20 FOR VALUES IN (20);
SELECT is_empty('SELECT differences()', 'P3: and is counted when it comes back');

-- a subtree
CREATE TABLE play_3 (LIKE play_event) PARTITION BY LIST (bucket);
CREATE TABLE play_3_most PARTITION OF play_3 FOR VALUES IN ('most');
INSERT INTO play_3 VALUES ('a', 1, 'most', 3);
ALTER TABLE play_event ATTACH PARTITION play_3 FOR VALUES IN (3);
SELECT is_empty('SELECT differences()', 'P3: rows of an attached subtree are counted');
SELECT throws_ok('TRUNCATE play_3_most', '23001', NULL, 'P1: its leaves refuse TRUNCATE');
CREATE TABLE play_3_rest PARTITION OF play_3 DEFAULT;
INSERT INTO play_event VALUES ('a', 9, 'most', 3), ('b', 9, 'half', 3);
SELECT is_empty('SELECT differences()', 'P3: rows of a subtree''s leaves are counted, also of one made since');
SELECT is((SELECT count(*) FROM play_event WHERE release_id = 9 AND month = 3), 0::bigint, 'P2: and get their release');
SELECT throws_ok('UPDATE play_3 SET month = 3', '23001', NULL, 'P1: and refuse UPDATE');
SELECT is_empty('SELECT may_fire_early()', 'P7: a subtree has its leaves'' triggers fire');

-- created in passing
CREATE SCHEMA made_with CREATE VIEW nothing AS SELECT CREATE TABLE other (i int) CREATE TABLE play_4 PARTITION OF parts.play_event FOR VALUES IN (4);
SELECT throws_ok('TRUNCATE made_with.play_4', '23001', NULL, 'P1: a partition made by CREATE SCHEMA refuses TRUNCATE');

-- Partitions that another event trigger renames as they come and go, and puts
-- others in their places
CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    part name := nullif(current_setting('test.meddle', true), '');
BEGIN
    IF part IS NOT NULL THEN
        PERFORM set_config('test.meddle', '', true);
        EXECUTE format('ALTER TABLE %I RENAME TO %I', part, part || '_renamed');
        EXECUTE format('CREATE TABLE %I (LIKE play_event)', part);
    END IF;
END
$$;
CREATE EVENT TRIGGER a_meddler ON ddl_command_end EXECUTE FUNCTION meddle();
SET test.meddle = 'play_8';
CREATE TABLE play_8 PARTITION OF play_event FOR VALUES IN (8);
SELECT throws_ok('TRUNCATE play_8_renamed', '23001', NULL, 'P1: a partition that was renamed as it was made refuses TRUNCATE');
SELECT lives_ok('TRUNCATE play_8', 'P1: and not the table that got its name');
CREATE TABLE play_9 (LIKE play_event);
INSERT INTO play_9 VALUES ('a', 1, 'most', 9);
SET test.meddle = 'play_9';
ALTER TABLE play_event ATTACH PARTITION play_9 FOR VALUES IN (9);
INSERT INTO play_event VALUES ('a', NULL, 'most', 9);
SELECT is_empty('SELECT differences()', 'P3: one that was renamed as it was attached is counted');
SELECT throws_ok('TRUNCATE play_9_renamed', '23001', NULL, 'P1: and refuses TRUNCATE');
SET test.meddle = 'play_9_renamed';
SELECT throws_ok('ALTER TABLE play_event DETACH PARTITION play_9_renamed', '55000',
    'partition "play_9_renamed_renamed" of log "play_event" has rows that are counted', 'P11: it is refused as it leaves, whatever it is called');
SET test.meddle = 'play_8_renamed';
ALTER TABLE play_event DETACH PARTITION play_8_renamed;
SELECT lives_ok('TRUNCATE play_8_renamed_renamed', 'P1: one that was renamed as it left is no log');
SET test.meddle = 'play_1';
ALTER TABLE play_event DISABLE TRIGGER USER;
ALTER TABLE play_1_renamed DISABLE TRIGGER USER;
SET test.meddle = 'play_1_renamed';
ALTER TABLE play_1_renamed ENABLE TRIGGER USER;
SELECT is_empty($$SELECT tgname FROM pg_trigger
    WHERE tgrelid = 'play_1_renamed_renamed'::regclass AND tgenabled <> playevent.enabled_as_made(oid)$$,
    'P1: one that was renamed as its triggers were enabled has them as they were made');
DROP EVENT TRIGGER a_meddler;
DROP TABLE play_1, play_1_renamed, play_8, play_8_renamed, play_8_renamed_renamed, play_9;
ALTER TABLE play_1_renamed_renamed RENAME TO play_1;
ALTER TABLE play_event ENABLE TRIGGER USER;
SELECT playevent.rebuild('play_event');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: and all is as it was made');

-- what the event trigger has nothing to do with
SELECT lives_ok('ALTER TABLE IF EXISTS no_such_table ENABLE TRIGGER ALL', 'P10: a table that is not there');
SELECT throws_ok('SELECT playevent.watch_partitions()', '39P03', NULL, 'P10: the event trigger''s function called by hand');

-- as the owner erases a row, at the root
ALTER TABLE play_event DISABLE TRIGGER playevent_append_only;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P1: DISABLE at the root shows');
ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_append_only;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: ENABLE ALWAYS at the root undoes it');
SELECT throws_ok('DELETE FROM play_event', '23001', NULL, 'P1: DELETE is refused again');
ALTER TABLE ONLY play_3 ENABLE TRIGGER playevent_count;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: ENABLE of a trigger that partitions inherit is no harm');
SELECT is_empty('SELECT may_fire_early()', 'P7: whatever is enabled, partitions'' triggers fire');

-- Triggers have the names that they are given.
ALTER TRIGGER playevent_append_only_truncate ON play_event RENAME TO no_truncate;
CREATE TABLE play_6 PARTITION OF play_event FOR VALUES IN (6);
INSERT INTO play_event VALUES ('a', 9, 'most', 6);
SELECT is_empty('SELECT differences()', 'P3: a partition of a log whose trigger against TRUNCATE has another name counts');
SELECT throws_ok('UPDATE play_6 SET month = 6', '23001', NULL, 'P1: and refuses UPDATE');
SELECT throws_ok('TRUNCATE play_6', '23001', NULL, 'P1: and TRUNCATE');
ALTER TRIGGER no_truncate ON play_event RENAME TO playevent_append_only_truncate;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: nothing is wrong with that');

-- what can't keep a log's promises
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
SELECT throws_ok('CREATE FOREIGN TABLE far_7 PARTITION OF play_event FOR VALUES IN (7) SERVER nowhere', '0A000',
    'foreign table "far_7" cannot be a partition of log "play_event"', 'P1: a foreign table as a partition');
CREATE FOREIGN TABLE far_7 (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, month int NOT NULL) SERVER nowhere;
SELECT throws_ok('ALTER TABLE play_event ATTACH PARTITION far_7 FOR VALUES IN (7)', '0A000',
    'foreign table "far_7" cannot be a partition of log "play_event"', 'P1: one that is attached');
CREATE TABLE fleeting (LIKE play_event) PARTITION BY LIST (month);
CREATE UNLOGGED TABLE fleeting_7 PARTITION OF fleeting FOR VALUES IN (7);
SELECT throws_ok('ALTER TABLE play_event ATTACH PARTITION fleeting FOR VALUES IN (7)', '0A000',
    'unlogged table "fleeting_7" cannot be a partition of log "play_event"', 'P6: an unlogged table that is attached');
SELECT throws_ok('CREATE UNLOGGED TABLE play_7 PARTITION OF play_event FOR VALUES IN (7)', '0A000',
    'unlogged table "play_7" cannot be a partition of log "play_event"', 'P6: one that is made as a partition');
CREATE TABLE beyond (LIKE play_event) PARTITION BY LIST (month);
ALTER TABLE beyond ATTACH PARTITION far_7 FOR VALUES IN (7);
SELECT throws_ok($$SELECT playevent.attach_log('beyond', track => 'track')$$, '0A000',
    'table "beyond" has a partition "far_7" that is not an ordinary, logged table', 'P1: a table with a foreign partition as a log');
ALTER TABLE play_6 SET UNLOGGED;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P6: a partition that was set unlogged shows');
ALTER TABLE play_6 SET LOGGED;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P6: and that it is no more');
CREATE TABLE all_plays (LIKE play_event) PARTITION BY RANGE (month);
SELECT throws_ok('ALTER TABLE all_plays ATTACH PARTITION play_event FOR VALUES FROM (0) TO (100)', '0A000',
    'table "play_event" is a log, or has one among its partitions, and cannot be a part of another table',
    'P3: a log as another table''s partition');
CREATE TABLE plain_event (LIKE play_event);
SELECT playevent.attach_log('plain_event', track => 'track');
SELECT throws_ok('CREATE FOREIGN TABLE heir () INHERITS (plain_event) SERVER nowhere', '0A000', NULL, 'P1: a foreign table that inherits from a log');
SELECT throws_ok('ALTER FOREIGN TABLE far_7 DISABLE TRIGGER ALL, INHERIT plain_event', '42809', NULL, 'P1: nor a partition of another table');

-- what is none of the log's business
CREATE TEMP TABLE temporary (i int) PARTITION BY LIST (i);
CREATE TEMP TABLE temporary_1 (i int);
SELECT lives_ok('ALTER TABLE pg_temp.temporary ATTACH PARTITION pg_temp.temporary_1 FOR VALUES IN (1)', 'P10: a temporary partition');
SELECT lives_ok('ALTER TABLE pg_temp.temporary ENABLE TRIGGER ALL', 'P10: triggers of a temporary table');
SELECT lives_ok('ALTER TABLE pg_temp.temporary ADD j int', 'P10: a temporary table''s columns');
SELECT lives_ok('CREATE TABLE IF NOT EXISTS plain_event () INHERITS (all_plays)', 'P10: a log that is there, and is not made anew');

-- partitions of others
CREATE ROLE alice;
CREATE ROLE bob;
GRANT CREATE, USAGE ON SCHEMA parts TO alice, bob;
GRANT SELECT ON track TO alice;
ALTER TABLE play_event OWNER TO alice;
ALTER TABLE play_counter_slot OWNER TO alice;
ALTER TABLE play_3 OWNER TO bob;
ALTER TABLE play_3_most OWNER TO bob;
ALTER TABLE play_1 OWNER TO bob;
SET ROLE alice;
ALTER TABLE play_event DISABLE TRIGGER playevent_append_only;
SELECT lives_ok('ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_append_only', 'P1: the log''s owner enables what others'' partitions inherit');
ALTER TABLE play_event DISABLE TRIGGER USER;
SELECT lives_ok('ALTER TABLE play_event ENABLE TRIGGER USER', 'P1: all of it');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: and all is as it was made');
RESET ROLE;
SET ROLE bob;
ALTER TABLE play_3 DISABLE TRIGGER USER;
SELECT lives_ok('ALTER TABLE play_3 ENABLE TRIGGER USER', 'P1: so does a partition''s owner, in his part');
RESET ROLE;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: and all is as it was made again');
SELECT is_empty('SELECT may_fire_early()', 'P7: partitions'' triggers fire still');

-- a schema that one may create in but not use is nobody's business
CREATE SCHEMA dim;
GRANT CREATE ON SCHEMA dim TO bob;
CREATE TABLE other_parts (i int) PARTITION BY LIST (i);
ALTER TABLE other_parts OWNER TO bob;
SET ROLE bob;
SELECT lives_ok('CREATE TABLE dim.other_1 PARTITION OF other_parts FOR VALUES IN (1)', 'P8: partitions of tables that are no logs need no more rights');
RESET ROLE;
SELECT is_empty('SELECT differences()', 'P3: after all that');

-- a job that makes sure of a partition that is there does nothing to it
ALTER TABLE play_1 DISABLE TRIGGER playevent_count;
INSERT INTO play_1 VALUES ('b', NULL, 'most', 1);
ALTER TABLE play_1 ENABLE ALWAYS TRIGGER playevent_count;
CREATE TABLE IF NOT EXISTS play_1 PARTITION OF play_event FOR VALUES IN (1);
SELECT is((SELECT count(*) FROM differences()), 2::bigint, 'P4: CREATE TABLE IF NOT EXISTS of a partition that is there does not recount the log');
SELECT is(playevent.rebuild('play_event'), 1::bigint, 'P3: which rebuild does');

-- pending counts when a partition goes and comes in one transaction
INSERT INTO play_1 VALUES ('b', NULL, 'most', 1);
SELECT throws_ok('ALTER TABLE play_event DETACH PARTITION play_1', '55000', NULL, 'P11: rows that are still to be counted keep a partition there');
ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;
ALTER TABLE play_event DETACH PARTITION play_1;
ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;
ALTER TABLE play_event ATTACH PARTITION play_1 FOR VALUES IN (1);
SELECT is_empty('SELECT differences()', 'P3: rows straight into a partition that leaves and comes back are counted');

-- and when it goes for good
CREATE TABLE play_5 PARTITION OF play_event FOR VALUES IN (5);
ALTER EVENT TRIGGER playevent_watch_drops DISABLE;
SELECT lives_ok($$DO 'BEGIN
    BEGIN
        INSERT INTO play_1 VALUES (''b'', NULL, ''most'', 1);
        INSERT INTO play_5 VALUES (''b'', NULL, ''most'', 5);
        DROP TABLE play_5;
    EXCEPTION WHEN division_by_zero THEN
    END;
END'$$, 'P3: rows go with their partition before they are counted');
ALTER EVENT TRIGGER playevent_watch_drops ENABLE ALWAYS;
SELECT is_empty('SELECT differences()', 'P3: and others are counted');

SELECT * FROM finish();
ROLLBACK;
