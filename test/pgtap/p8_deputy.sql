-- P8: the triggers act with the rights of the log's owner, so nobody may get
-- them to do so for him: by making triggers on others' tables, by being the
-- parent of others' partitions, or by overloading the extension's functions.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(19);

CREATE ROLE deputy_owner;
CREATE ROLE deputy_mallory;
CREATE SCHEMA deputy;
GRANT ALL ON SCHEMA deputy TO PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;
SET search_path = deputy, public;

SET ROLE deputy_owner;
CREATE TABLE secret (name text PRIMARY KEY, word text);
INSERT INTO secret VALUES ('key', 'xyzzy');
CREATE TABLE note (name text NOT NULL, word text, bucket text NOT NULL DEFAULT 'most');
GRANT ALL ON note TO deputy_mallory;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
SELECT playevent.create_log('play', track => 'track');
GRANT ALL ON play_event, play_counter_slot TO deputy_mallory;

SET ROLE deputy_mallory;
SELECT throws_ok(
    $$CREATE TRIGGER peek BEFORE INSERT ON note FOR EACH ROW
      EXECUTE FUNCTION playevent.resolve('secret', 'name', 'word', '', 'record', 'name', 'word')$$,
    '42501', 'must be owner of table note',
    'P8: the right TRIGGER on a table is no way to read with its owner''s rights');
SELECT throws_ok(
    $$CREATE TRIGGER peek AFTER INSERT ON note FOR EACH ROW
      EXECUTE FUNCTION playevent.count('play_counter_slot', 'plays', 'name', 'word', 'bucket')$$,
    '42501', 'must be owner of table note',
    'P8: nor to write its owner''s counters');
SELECT throws_ok(
    $$CREATE TRIGGER peek AFTER INSERT ON note FOR EACH STATEMENT
      EXECUTE FUNCTION playevent.flush('play_counter_slot', 'plays', 'name', 'word', 'bucket')$$,
    '42501', 'must be owner of table note', 'P8: flush included');

-- CREATE OR REPLACE asks for no more than TRIGGER either.
CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
SELECT throws_ok(
    $$CREATE OR REPLACE TRIGGER playevent_append_only BEFORE UPDATE OR DELETE ON play_event
      FOR EACH ROW EXECUTE FUNCTION ignore()$$,
    '42501', 'must be owner of table play_event',
    'P1: the right TRIGGER is no way to replace what keeps the log');
SELECT throws_ok(
    $$CREATE OR REPLACE TRIGGER playevent_count AFTER INSERT ON play_event
      FOR EACH ROW EXECUTE FUNCTION ignore()$$,
    '42501', 'must be owner of table play_event', 'P3: nor what counts');
SELECT throws_ok(
    $$CREATE OR REPLACE TRIGGER playevent_slot_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON play_counter_slot
      FOR EACH STATEMENT EXECUTE FUNCTION ignore()$$,
    '42501', 'must be owner of table play_counter_slot', 'P3: nor what keeps the counters');
SELECT lives_ok(
    $$CREATE TRIGGER ignored AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION ignore()$$,
    'P1: a trigger of one''s own may be made as on any table');

SELECT lives_ok(
    $$CREATE TABLE trap (name text NOT NULL, word text) PARTITION BY LIST (name);
      CREATE TRIGGER peek BEFORE INSERT ON trap FOR EACH ROW
      EXECUTE FUNCTION playevent.resolve('secret', 'name', 'word', '', 'record', 'name', 'word')$$,
    'P8: on one''s own table, anyone may make them');
SELECT throws_ok($$INSERT INTO trap VALUES ('key')$$, '23514', NULL, 'P8: no partition yet');
RESET ROLE;
CREATE TABLE trap_all PARTITION OF trap DEFAULT;
GRANT ALL ON trap_all TO deputy_mallory;
SELECT is(
    (SELECT relowner::regrole::text FROM pg_class WHERE oid = 'trap_all'::regclass), current_user::text,
    'P8: a partition may belong to someone else than its parent');
SET ROLE deputy_mallory;
SELECT throws_ok($$INSERT INTO trap VALUES ('key')$$, '42501', 'permission denied for table secret',
    'P8: a partition acts with the rights of its log''s owner, not of its own');
SELECT throws_ok($$INSERT INTO trap_all VALUES ('key')$$, '42501', 'permission denied for table secret',
    'P8: straight into the partition too');
RESET ROLE;

-- A log's views are read by those who trust its owner.
SET ROLE deputy_mallory;
CREATE VIEW listen_counter AS SELECT 0 AS listens;
SET ROLE deputy_owner;
CREATE TABLE listen_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
SELECT throws_ok($$SELECT playevent.attach_log('listen_event', track => 'track')$$,
    '42501', 'view "listen_counter" belongs to someone else than "listen_event"',
    'P8: a view that somebody put there beforehand does not become the log''s');
RESET ROLE;

-- Charts may be drawn of all logs that there are, by whom logs are not to deceive.
SET ROLE deputy_mallory;
CREATE TABLE pretend_event (track_entry_key text, release_id bigint, bucket text, day date);
CREATE FUNCTION run() RETURNS date LANGUAGE plpgsql AS $$BEGIN RAISE 'run by %', current_user; END$$;
CREATE VIEW pretend AS SELECT 'key'::text AS track_entry_key, deputy.run() AS day, 1::bigint AS plays;
CREATE TRIGGER playevent_count AFTER INSERT ON pretend_event FOR EACH ROW
    EXECUTE FUNCTION playevent.count('pretend', 'plays', 'track_entry_key', 'release_id', 'day');
RESET ROLE;
SELECT throws_ok($$SELECT * FROM playevent.top('pretend_event', '2020-01-01', '2020-12-31')$$,
    '55000', 'table "pretend_event" has no counter by day', 'P8: top runs nothing that a log has in place of slots');
SELECT throws_ok($$SELECT * FROM playevent.series('pretend_event', '2020-01-01', '2020-12-31')$$,
    '55000', 'table "pretend_event" has no counter by day', 'P8: nor does series');

-- What is for twins alone is so after one has failed, too.
CREATE FUNCTION read_play() RETURNS bigint LANGUAGE sql AS
    $$SELECT n FROM playevent.read_table('play_event', 'play_event', '{id}', 'SELECT count(id) FROM play_event') AS t(n bigint)$$;
SELECT throws_ok('SELECT read_play()', '0A000', NULL, 'P8: nobody reads a table by read_table, who is no twin');
DO $$ BEGIN PERFORM playevent.top('play_event', by => 'nothing'); EXCEPTION WHEN invalid_parameter_value THEN NULL; END $$;
SELECT throws_ok('SELECT read_play()', '0A000', NULL, 'P8: nor after an error in one');

-- The schema belongs to whoever created the extension.
GRANT ALL ON SCHEMA playevent TO deputy_mallory;
SET ROLE deputy_mallory;
CREATE TABLE overloaded (by_whom text);
GRANT ALL ON overloaded TO PUBLIC;
CREATE FUNCTION playevent.arm_log(wanted playevent.log, log name, kinds text[], ingest_role regrole)
RETURNS void LANGUAGE sql AS 'INSERT INTO deputy.overloaded VALUES (current_user)';
CREATE FUNCTION playevent.column_type(rel regclass, col name, argument name)
RETURNS text LANGUAGE sql AS $$INSERT INTO deputy.overloaded VALUES (current_user) RETURNING 'text'$$;
RESET ROLE;
SELECT lives_ok($$SELECT playevent.create_log('share', track => 'track')$$,
    'P8: create_log works beside overloads of its helpers');
SELECT is_empty('SELECT * FROM overloaded', 'P8: and calls none of them');

SELECT * FROM finish();
ROLLBACK;
