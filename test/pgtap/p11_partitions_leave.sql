-- P11, P1 and P8: a partition with rows leaves a log by playevent.retire alone; DETACH and DROP
-- by hand are refused, whoever tries and by whichever way, unless it is empty or the log goes too.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();

CREATE SCHEMA leave;
CREATE SCHEMA elsewhere;
SET search_path = leave, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1), ('b', 2);
CREATE TABLE play_event (
    track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, month int NOT NULL
) PARTITION BY LIST (month);
CREATE TABLE play_1 PARTITION OF play_event FOR VALUES IN (1);
CREATE TABLE play_2 PARTITION OF play_event FOR VALUES IN (2);
CREATE TABLE play_3 PARTITION OF play_event FOR VALUES IN (3) PARTITION BY LIST (bucket);
CREATE TABLE play_3_most PARTITION OF play_3 FOR VALUES IN ('most');
CREATE TABLE play_3_rest PARTITION OF play_3 DEFAULT;
CREATE TABLE elsewhere.play_4 PARTITION OF play_event FOR VALUES IN (4);
CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE play_5 PARTITION OF play_event FOR VALUES IN (5) USING heap_too;
CREATE TABLE "Play 6" PARTITION OF play_event DEFAULT;
SELECT playevent.attach_log('play_event', track => 'track');
INSERT INTO play_event SELECT k, NULL, 'most', m FROM unnest('{a,b}'::text[]) k, unnest('{1,3,4,5,6}'::int[]) m;

CREATE TABLE parted (i int) PARTITION BY LIST (i);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
INSERT INTO parted VALUES (1), (2);

\ir include/differences.sql
CREATE FUNCTION refused(statement text, part text, why text) RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(statement, '55000', format('partition "%s" of log "play_event" has rows that are counted', part), 'P11: ' || why)
$$;
CREATE FUNCTION is_whole(why text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT is((SELECT count(*) FROM leave.play_event), 10::bigint, 'P11: all rows are there ' || why)
     UNION ALL
    SELECT is_empty('SELECT differences()', 'P3: and counted ' || why)
     UNION ALL
    SELECT is((SELECT intact FROM playevent.log WHERE event = 'leave.play_event'::regclass), true, 'P1: and the log is intact ' || why)
$$;

-- DETACH
SELECT refused('ALTER TABLE play_event DETACH PARTITION play_1', 'play_1', 'DETACH');
SELECT refused('ALTER TABLE play_event DETACH PARTITION elsewhere.play_4', 'play_4', 'of a partition in another schema');
SELECT refused('ALTER TABLE play_event DETACH PARTITION "Play 6"', 'Play 6', 'of the default partition');
SELECT refused('ALTER TABLE play_event DETACH PARTITION play_3', 'play_3_most', 'of one with partitions, of which one has rows');
SELECT refused('ALTER TABLE play_3 DETACH PARTITION play_3_most', 'play_3_most', 'of a partition''s partition');
SELECT refused('ALTER TABLE IF EXISTS ONLY play_event DETACH PARTITION play_1', 'play_1', 'ONLY');
SELECT refused($$DO 'BEGIN EXECUTE ''ALTER TABLE play_event DETACH PARTITION play_1''; END'$$, 'play_1', 'within a function');
SELECT is_whole('after DETACH was refused');

-- An empty one may go, and come back
SELECT lives_ok('ALTER TABLE play_event DETACH PARTITION play_2', 'P11: an empty partition is detached');
SELECT lives_ok('ALTER TABLE play_3 DETACH PARTITION play_3_rest', 'P11: so is a partition''s');
SELECT lives_ok('TRUNCATE play_2, play_3_rest', 'P1: they are tables like others then');
INSERT INTO play_2 VALUES ('a', 1, 'most', 2);
ALTER TABLE play_event ATTACH PARTITION play_2 FOR VALUES IN (2);
ALTER TABLE play_3 ATTACH PARTITION play_3_rest DEFAULT;
SELECT is_empty('SELECT differences()', 'P3: what comes back is counted as it is');
SELECT refused('ALTER TABLE play_event DETACH PARTITION play_2', 'play_2', 'DETACH of rows that the transaction itself has brought');
ALTER TABLE play_event DISABLE TRIGGER USER;
SELECT refused('ALTER TABLE play_event DETACH PARTITION play_2', 'play_2', 'DETACH while triggers are disabled');
SELECT refused('DROP TABLE play_2', 'play_2', 'and DROP');
DELETE FROM play_2;
ALTER TABLE play_event ENABLE TRIGGER USER;
SELECT playevent.rebuild('play_event');
SELECT refused('ALTER TABLE play_event DETACH PARTITION play_2', 'play_2', 'DETACH of rows that are deleted, as long as others see them, and see them counted');

-- Rows that never came to be
CREATE TABLE play_7 PARTITION OF play_event FOR VALUES IN (7) PARTITION BY LIST (bucket);
CREATE TABLE play_7_most PARTITION OF play_7 FOR VALUES IN ('most');
CREATE TABLE play_8 PARTITION OF play_event FOR VALUES IN (8);
SAVEPOINT rows_come;
INSERT INTO play_event VALUES ('a', 1, 'most', 7), ('a', 1, 'most', 8);
ROLLBACK TO rows_come;
SELECT lives_ok('ALTER TABLE play_event DETACH PARTITION play_7; DROP TABLE play_7', 'P11: a partition is empty whose rows were rolled back');
SELECT refused('DROP TABLE play_8', 'play_8', 'DROP only sees that it was in use');
SELECT lives_ok('ALTER TABLE play_event DETACH PARTITION play_8; DROP TABLE play_8', 'P11: the way that it names');

-- DROP
SELECT refused('DROP TABLE play_1', 'play_1', 'DROP TABLE');
SELECT refused('DROP TABLE IF EXISTS parted, play_1 CASCADE', 'play_1', 'CASCADE, and others with it');
SELECT refused('DROP TABLE play_3', 'play_3_most', 'of one with partitions');
SELECT refused('DROP TABLE play_3_most', 'play_3_most', 'of a partition''s partition');
SELECT refused('DROP TABLE "Play 6"', 'Play 6', 'of the default partition');
SELECT refused('DROP SCHEMA elsewhere CASCADE', 'play_4', 'DROP SCHEMA');
SELECT refused('DROP ACCESS METHOD heap_too CASCADE', 'play_5', 'DROP ACCESS METHOD');
SELECT refused($$DO 'BEGIN EXECUTE ''DROP TABLE play_1''; END'$$, 'play_1', 'within a function');
SELECT refused($$DO 'BEGIN BEGIN INSERT INTO play_1 VALUES (''a'', 1, ''most'', 1); DROP TABLE play_1; EXCEPTION WHEN no_data_found THEN END; END'$$,
    'play_1', 'with rows that are not counted yet');
SET session_replication_role = replica;
SELECT refused('DROP TABLE play_1', 'play_1', 'as a replica');
SELECT refused('ALTER TABLE play_event DETACH PARTITION play_1', 'play_1', 'and DETACH');
RESET session_replication_role;
SELECT is_whole('after DROP was refused');
SELECT lives_ok('DROP TABLE play_3_rest', 'P11: an empty partition of a partition is dropped');
CREATE TABLE play_9 PARTITION OF play_event FOR VALUES IN (9);
SELECT lives_ok('DROP TABLE play_9', 'P11: so is another');
CREATE SCHEMA gone CREATE TABLE play_9 PARTITION OF leave.play_event FOR VALUES IN (9);
SELECT lives_ok('DROP SCHEMA gone CASCADE', 'P11: so is a schema that has one');
SELECT is_whole('after empty ones were dropped');

-- CONCURRENTLY, for which the others here are refused as well: not in a transaction
SELECT throws_ok(statement, '0A000', 'partitions of log "play_event" cannot be detached concurrently', 'P11: ' || statement)
  FROM unnest(ARRAY['ALTER TABLE play_event DETACH PARTITION play_1 CONCURRENTLY',
                    'ALTER TABLE leave.play_event DETACH PARTITION leave.play_2 CONCURRENTLY',
                    'ALTER TABLE IF EXISTS play_event DETACH PARTITION no_such CONCURRENTLY',
                    'ALTER TABLE play_3 DETACH PARTITION play_3_most CONCURRENTLY']) statement;
SELECT throws_ok('ALTER TABLE parted DETACH PARTITION parted_1 CONCURRENTLY', '25001', NULL, 'P10: other tables'' partitions are as without us');
SELECT throws_ok('ALTER TABLE IF EXISTS no_such DETACH PARTITION parted_1 CONCURRENTLY', '25001', NULL, 'P10: and tables that are not there');
SELECT throws_ok('ALTER TABLE no_such.no_such DETACH PARTITION parted_1 CONCURRENTLY', '25001', NULL, 'P10: and schemas');
SELECT throws_ok('ALTER TABLE play_event DETACH PARTITION play_1 FINALIZE', '55000', NULL, 'P11: FINALIZE of what has not begun');

-- TRUNCATE, which is refused as ever
CREATE TABLE month (month int PRIMARY KEY);
INSERT INTO month SELECT generate_series(1, 9);
ALTER TABLE play_event ADD FOREIGN KEY (month) REFERENCES month;
SELECT throws_ok(statement, '23001', NULL, 'P1: ' || statement)
  FROM unnest(ARRAY['TRUNCATE play_1', 'TRUNCATE ONLY play_1', 'TRUNCATE play_1 RESTART IDENTITY CASCADE', 'TRUNCATE play_3',
                    'TRUNCATE play_3_most', 'TRUNCATE play_event', 'TRUNCATE parted, elsewhere.play_4', 'TRUNCATE month CASCADE',
                    'TRUNCATE play_2', 'TRUNCATE play_5']) statement;
SET session_replication_role = replica;
SELECT throws_ok('TRUNCATE play_1', '23001', NULL, 'P1: TRUNCATE as a replica');
RESET session_replication_role;
ALTER TABLE play_event DROP CONSTRAINT play_event_month_fkey;

-- A partition under another name, or elsewhere, is the same
ALTER TABLE play_1 RENAME TO january;
ALTER TABLE january SET SCHEMA elsewhere;
ALTER TABLE play_3 SET SCHEMA elsewhere;
INSERT INTO play_event VALUES ('a', NULL, 'most', 1), ('b', NULL, 'most', 3);
SELECT is_empty('SELECT differences()', 'P3: a partition that was renamed and moved is counted');
SELECT refused('ALTER TABLE play_event DETACH PARTITION elsewhere.january', 'january', 'and may not leave');
SELECT refused('DROP TABLE elsewhere.january', 'january', 'nor be dropped');
SELECT throws_ok('TRUNCATE elsewhere.january', '23001', NULL, 'P1: nor be truncated');

-- Tables that were retired are no parts of others.
CREATE TABLE archive (LIKE play_event);
CREATE TRIGGER playevent_append_only BEFORE UPDATE OR DELETE ON archive FOR EACH ROW EXECUTE FUNCTION playevent.append_only();
CREATE TRIGGER playevent_append_only_truncate BEFORE TRUNCATE ON archive FOR EACH STATEMENT EXECUTE FUNCTION playevent.append_only();
CREATE TRIGGER playevent_seal BEFORE INSERT ON archive FOR EACH ROW EXECUTE FUNCTION playevent.sealed();
SELECT throws_ok('ALTER TABLE play_event ATTACH PARTITION archive FOR VALUES IN (12)', '0A000',
    'table "archive" has been retired from a log, and cannot be a part of another table', 'P11: an archive comes back to no log');
SELECT throws_ok('ALTER TABLE parted ATTACH PARTITION archive FOR VALUES IN (12)', '0A000', NULL, 'P11: nor to another table');
SELECT throws_ok('ALTER TABLE parted ATTACH PARTITION no_such FOR VALUES IN (12)', '42P01', NULL, 'P10: nor does what is not there');
-- Others come and are counted while one is sealed.
CREATE TRIGGER playevent_seal BEFORE INSERT ON play_5 FOR EACH ROW EXECUTE FUNCTION playevent.sealed();
CREATE TABLE play_11 PARTITION OF play_event FOR VALUES IN (11);
CREATE TRIGGER playevent_seal BEFORE INSERT ON play_11 FOR EACH ROW EXECUTE FUNCTION playevent.sealed();
CREATE TABLE play_10 (LIKE play_event);
INSERT INTO play_10 VALUES ('b', 2, 'most', 10);
SELECT lives_ok('ALTER TABLE play_event ATTACH PARTITION play_10 FOR VALUES IN (10)', 'P11: a table with rows becomes a partition beside a sealed one');
SELECT is_empty('SELECT differences()', 'P3: and is counted');
SELECT throws_ok(format(statement, part), '55000', format('partition "%s" of log "play_event" is sealed', part), 'P11: ' || format(statement, part))
  FROM unnest('{play_5,play_11}'::text[]) part, unnest('{ALTER TABLE play_event DETACH PARTITION %s,DROP TABLE %s}'::text[]) statement;
DROP TRIGGER playevent_seal ON play_5;
DROP TRIGGER playevent_seal ON play_11;
SELECT lives_ok('DROP TABLE play_11', 'P11: an empty partition that is not sealed any more is dropped');

-- Others' partitions (P8)
CREATE ROLE leave_alice;
CREATE ROLE leave_bob;
CREATE ROLE leave_carol;
GRANT ALL ON SCHEMA leave, elsewhere TO leave_alice, leave_bob, leave_carol;
GRANT SELECT ON track TO leave_alice, leave_bob;
ALTER TABLE play_event OWNER TO leave_alice;
ALTER TABLE play_counter_slot OWNER TO leave_alice;
ALTER TABLE play_2 OWNER TO leave_bob;
ALTER TABLE play_10 OWNER TO leave_bob;
ALTER SCHEMA elsewhere OWNER TO leave_carol;
SET ROLE leave_bob;
SELECT refused('DROP TABLE play_10', 'play_10', 'a partition''s owner drops it');
SELECT throws_ok('DROP OWNED BY leave_bob CASCADE', '55000', NULL, 'P11: with all that he has');
SELECT throws_ok('ALTER TABLE play_event DETACH PARTITION play_10', '42501', NULL, 'P8: nor may he detach it');
SELECT throws_ok('ALTER TABLE play_event DETACH PARTITION play_10 CONCURRENTLY', '42501', 'must be owner of table play_event',
    'P8: nor lock the log, which that would do');
-- not even by what retire does, in his own twin
SELECT throws_ok($$SELECT playevent.let_go('play_10')$$, '0A000', NULL, 'P8: he does not say that it is retired');
CREATE TABLE sly_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
SELECT playevent.attach_log('sly_event', track => 'track', daily => false);
CREATE FUNCTION sly(key text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE INDEX ON sly_event (bucket) WHERE leave.sly('x');
CREATE OR REPLACE FUNCTION sly(key text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$BEGIN
    PERFORM playevent.let_go('leave.play_10');
    RETURN true;
END$$;
SELECT throws_ok($$SELECT playevent.add_counter('sly_event', 'more', '{bucket}')$$, '0A000', NULL, 'P8: nor by code that playevent runs as him');
SELECT refused('DROP TABLE play_10', 'play_10', 'so he may not drop it');
DROP TABLE sly_event, sly_counter_slot CASCADE;
SET ROLE leave_carol;
SELECT refused('DROP SCHEMA elsewhere CASCADE', 'january', 'a schema''s owner drops it with a part of the log');
SET ROLE leave_alice;
SELECT refused('ALTER TABLE play_event DETACH PARTITION "Play 6"', 'Play 6', 'the log''s owner') WHERE pg_has_role('leave_alice', 'leave_bob', 'USAGE');
RESET ROLE;
-- What nobody asks about without us
CREATE SCHEMA hidden CREATE TABLE part (i int);
SET ROLE leave_bob;
SELECT lives_ok('ALTER TABLE IF EXISTS no_such ATTACH PARTITION hidden.part DEFAULT', 'P10: a table that is not there, and a partition that is hidden');
RESET ROLE;
-- His triggers on a table of his make nothing his, and keep nobody from hers.
SET ROLE leave_bob;
CREATE TABLE claim (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
CREATE TRIGGER playevent_count AFTER INSERT ON claim FOR EACH ROW
    EXECUTE FUNCTION playevent.count('leave.play_counter_slot', 'plays', 'track_entry_key', 'release_id', 'bucket');
RESET ROLE;
SELECT lives_ok('DROP TABLE claim', 'P8: a table that claims a log''s slots is dropped');
SELECT is_empty('SELECT differences()', 'P3: all is exact at the end');
SELECT isnt((SELECT count(*) FROM play_event), 0::bigint, 'P3: and has rows');

-- What is none of a log's business
SELECT lives_ok(statement, 'P10: ' || statement)
  FROM unnest(ARRAY['ALTER TABLE parted DETACH PARTITION parted_1', 'DROP TABLE parted_2', 'DROP TABLE parted_1', 'DROP TABLE parted',
                    'CREATE TEMP TABLE t (i int) PARTITION BY LIST (i); CREATE TEMP TABLE t_1 PARTITION OF t DEFAULT; INSERT INTO t VALUES (1); DROP TABLE t_1; DROP TABLE t',
                    'DROP TABLE IF EXISTS no_such', 'DROP TABLE archive']) statement;

-- A log that is partitioned by time, with what retire takes out of it, and leaves there
CREATE TABLE listen_event (id bigint GENERATED BY DEFAULT AS IDENTITY, track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE TABLE listen_2020 PARTITION OF listen_event FOR VALUES FROM ('2020-01-01Z') TO ('2021-01-01Z');
CREATE TABLE listen_2021 PARTITION OF listen_event FOR VALUES FROM ('2021-01-01Z') TO ('2022-01-01Z');
CREATE TABLE listen_2022 PARTITION OF listen_event FOR VALUES FROM ('2022-01-01Z') TO ('2023-01-01Z');
CREATE TABLE listen_now PARTITION OF listen_event FOR VALUES FROM ('2023-01-01Z') TO (MAXVALUE);
SELECT playevent.attach_log('listen_event', track => 'track', created_column => 'created_at');
INSERT INTO listen_event (track_entry_key, bucket, created_at)
SELECT 'a', 'most', moment FROM unnest('{2020-05-01Z,2021-05-01Z,2022-05-01Z,2025-05-01Z}'::timestamptz[]) moment;
SELECT playevent.seal('listen_event', '2022-01-01Z');
SELECT throws_ok('ALTER TABLE listen_event DETACH PARTITION listen_2020', '55000', 'partition "listen_2020" of log "listen_event" is sealed', 'P11: not out of order');
SELECT is(playevent.retire('listen_event', '2021-01-01Z'), 1, 'P11: retire takes a partition out');
SELECT is(playevent.retire('listen_event', '2022-01-01Z', keep => false), 1, 'P11: and drops it');
SELECT throws_ok(format(statement, playevent.retired_partition('listen_event')), '55000', NULL, 'P11: what keeps its place: ' || statement)
  FROM unnest('{ALTER TABLE listen_event DETACH PARTITION %s,DROP TABLE %s}'::text[]) statement;
SELECT throws_ok('ALTER TABLE listen_event DETACH PARTITION listen_2022', '55000', 'partition "listen_2022" of log "listen_event" has rows that are counted',
    'P11: what retire may do, it does not leave to others');
SELECT throws_ok('DROP TABLE listen_2022', '55000', 'partition "listen_2022" of log "listen_event" has rows that are counted', 'P11: DROP neither');
SELECT throws_ok('ALTER TABLE listen_event ATTACH PARTITION listen_2020 FOR VALUES FROM (''2020-01-01Z'') TO (''2021-01-01Z'')', '0A000',
    'table "listen_2020" has been retired from a log, and cannot be a part of another table', 'P11: an archive does not come back');
SELECT lives_ok('DROP TABLE listen_2020', 'P11: an archive is dropped');
SELECT is((SELECT sum(listens) FROM listen_counter WHERE track_entry_key = 'a'), 4::numeric, 'P11: all plays are counted still');
SELECT is_empty($$SELECT * FROM playevent.verify('listen_event')$$, 'P3: exactly');

-- A log that has no counters any more, or goes as a whole
SAVEPOINT whole;
DROP TRIGGER playevent_count ON play_event;
SELECT lives_ok('ALTER TABLE play_event DETACH PARTITION play_10', 'P11: without its counter, nothing is kept: DETACH');
SELECT lives_ok('DROP TABLE elsewhere.january', 'P11: DROP');
DO $$DECLARE part regclass; BEGIN
    FOR part IN SELECT relid FROM pg_partition_tree('play_event') LOOP EXECUTE format('ALTER TABLE %s OWNER TO leave_alice', part); END LOOP;
END$$;
ALTER VIEW play_counter OWNER TO leave_alice;
ALTER VIEW play_by_track OWNER TO leave_alice;
ALTER VIEW play_by_release OWNER TO leave_alice;
SELECT lives_ok($$SELECT playevent.attach_log('play_event', track => 'track')$$, 'P11: and the counter comes back');
SELECT is_empty('SELECT differences()', 'P3: with the rows that are there');
SELECT isnt((SELECT count(*) FROM play_event), 0::bigint, 'P3: which are some');
ROLLBACK TO whole;
SELECT lives_ok('DROP TABLE play_event', 'P10: a log goes with its partitions');
ROLLBACK TO whole;
SELECT lives_ok('DROP TABLE play_event, elsewhere.january, play_2 CASCADE', 'P10: whatever else of it is named');
ROLLBACK TO whole;
SELECT lives_ok('DROP OWNED BY leave_alice CASCADE', 'P10: with what its owner has');
ROLLBACK TO whole;
SELECT lives_ok('DROP SCHEMA leave, elsewhere CASCADE', 'P10: with its schema');
ROLLBACK TO whole;
SELECT lives_ok('DROP SCHEMA leave CASCADE', 'P10: also partitions in another schema');
ROLLBACK TO whole;
SELECT lives_ok('DROP EXTENSION playevent CASCADE', 'P10: the extension goes');
SELECT lives_ok('DROP TABLE leave.play_10', 'P10: and what was a partition then');
ROLLBACK TO whole;
SELECT is_empty('SELECT differences()', 'P3: all is exact where that was taken back');

SELECT * FROM finish();
ROLLBACK;
