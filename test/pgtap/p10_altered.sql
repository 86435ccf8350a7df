-- P10 and P3: a slot table that is altered between the count and its writing,
-- in the transaction that counts, gives an error or the right counts.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(25);

CREATE SCHEMA altered;
SET search_path = altered, public;
SET client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1), ('b', 2);

-- A statement that alters the table itself: by a trigger that fires between
-- the two of ours.
SELECT playevent.create_log('play', track => 'track') AS log \gset
DROP VIEW play_counter, play_by_track, play_by_release;
CREATE TABLE migration (step text);
CREATE FUNCTION migrate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    step text;
BEGIN
    FOR step IN DELETE FROM altered.migration RETURNING migration.step LOOP
        EXECUTE step;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER migrate AFTER INSERT ON play_event FOR EACH STATEMENT EXECUTE FUNCTION migrate();
CREATE FUNCTION play(step text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO altered.migration SELECT step WHERE step <> '';
    INSERT INTO altered.play_event (track_entry_key, bucket) VALUES ('a', 'most');
$$;
SELECT lives_ok($$SELECT play('')$$, 'P10: nothing altered');
SELECT throws_ok($$SELECT play('ALTER TABLE altered.play_counter_slot DISABLE TRIGGER USER, ALTER plays TYPE numeric')$$, '42804',
    'column "plays" of slot table "play_counter_slot" is not bigint and not null', 'P10: the count''s type');
SELECT throws_ok($$SELECT play('ALTER TABLE altered.play_counter_slot ALTER track_entry_key TYPE text')$$, '42804', NULL,
    'P10: a key''s type');
SELECT throws_ok($$SELECT play('DROP TABLE altered.play_counter_slot')$$, '42P01',
    'slot table "play_counter_slot" does not exist', 'P10: the table dropped');
SELECT throws_ok($$SELECT play('ALTER TABLE altered.play_counter_slot RENAME plays TO n')$$, '42703', NULL,
    'P10: the count renamed');
SELECT throws_ok($$SELECT play('CREATE UNIQUE INDEX ON altered.play_counter_slot (track_entry_key)')$$, '55000', NULL,
    'P4: a unique index');
SELECT lives_ok($$SELECT play('DROP INDEX altered.play_counter_slot_release_id_track_entry_key_bucket_idx')$$,
    'P10: the index dropped that would have been searched');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: counts on');
SELECT throws_ok($$SELECT play('ALTER TABLE altered.play_counter_slot DROP plays,
    ADD plays bigint NOT NULL DEFAULT 0')$$, '55006', NULL, 'P10: another column of the same name');
SELECT results_eq('SELECT sum(plays)::bigint FROM play_counter_slot', ARRAY[2::bigint], 'P3: and all is as it was');
-- Columns that are in another place than playevent puts them
SELECT lives_ok($$ALTER TABLE play_counter_slot DROP plays, ADD plays bigint NOT NULL DEFAULT 0;
    ALTER TABLE play_counter_slot DROP bucket CASCADE, ADD bucket play_bucket$$, 'P10: other columns of the same names');
SELECT play('') FROM generate_series(1, 2);
SELECT results_eq('SELECT bucket, plays FROM play_counter_slot WHERE plays <> 0', $$VALUES ('most'::play_bucket, 4::bigint)$$,
    'P3: are filled in anew, and count from then on');
SELECT lives_ok($$SELECT play('DROP TRIGGER playevent_count ON altered.play_event')$$, 'P10: the log is none any more');
SELECT results_eq('SELECT sum(plays)::bigint FROM play_counter_slot', ARRAY[4::bigint], 'P3: and counts no more');
DROP TABLE play_event, play_counter_slot;
DROP TYPE play_bucket CASCADE;
CREATE TABLE play_event (track_entry_key varchar(100) NOT NULL, release_id bigint, bucket text NOT NULL);
SELECT throws_ok($$SELECT playevent.attach_log('play_event', track => 'track')$$, '55000',
    'table "play_daily_slot" is there already, and does not fit table "play_event"', 'P10: slots that say they are this log''s, by a column that it has not');
DROP TABLE play_event, play_daily_slot CASCADE;

-- Counts that wait for the commit, of a row straight into a partition.
CREATE TABLE play_event (track_entry_key varchar(100) NOT NULL, release_id bigint, bucket text NOT NULL, part int)
    PARTITION BY LIST (part);
CREATE TABLE play_1 PARTITION OF play_event FOR VALUES IN (1);
SELECT playevent.attach_log('play_event', track => 'track', kinds => '{partial,most,complete}') AS log \gset
INSERT INTO play_1 VALUES ('a', NULL, 'most', 1);
DROP TABLE play_counter_slot CASCADE;
SELECT lives_ok($$SELECT playevent.attach_log('play_event', track => 'track', kinds => '{partial,most,complete}')$$,
    'P10: a log can be attached again meanwhile');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: which counts the row');
INSERT INTO play_event SELECT 'b', NULL, 'most', 1 WHERE false;
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: once');

-- Keys that wait were made of other types than those that follow, or than the
-- table they are to be written to.
DROP VIEW play_counter, play_by_track, play_by_release;
CREATE FUNCTION retype() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO altered.play_1 VALUES ('a', NULL, 'most', 1);
    ALTER TABLE altered.play_event ALTER track_entry_key TYPE text;
    ALTER TABLE altered.play_counter_slot ALTER track_entry_key TYPE text;
END
$$;
SELECT throws_ok($$SELECT retype(); INSERT INTO play_event VALUES ('a', NULL, 'most', 1)$$, '55000',
    'slot table "play_counter_slot" was altered in the transaction that counts for it', 'P10: a key''s type, then an insert');
SELECT throws_ok($$DO 'BEGIN BEGIN PERFORM retype(); EXCEPTION WHEN division_by_zero THEN END; END'$$, '55000',
    'slot table "play_counter_slot" was altered in the transaction that counts for it', 'P10: a key''s type, then the end of the subtransaction');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: nothing of it is left');
SELECT lives_ok($$INSERT INTO play_1 VALUES ('a', NULL, 'most', 1);
    INSERT INTO play_event SELECT 'b', NULL, 'most', 1 WHERE false;
    ALTER TABLE play_event ALTER track_entry_key TYPE text;
    ALTER TABLE play_counter_slot ALTER track_entry_key TYPE text;
    INSERT INTO play_event VALUES ('a', NULL, 'most', 1)$$, 'P10: once they are written, any type will do');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: and counts are right');

-- The day's column
SELECT playevent.create_log('listen', track => 'track') AS log \gset
ALTER TABLE listen_event RENAME day TO date;
SELECT throws_ok($$INSERT INTO listen_event (track_entry_key, bucket) VALUES ('a', 'most')$$, '42703',
    'column "day" of table "listen_event" does not exist', 'P10: the day renamed');
ALTER TABLE listen_event RENAME date TO day;
ALTER TABLE listen_event ALTER day TYPE timestamp;
SELECT throws_ok($$INSERT INTO listen_event (track_entry_key, bucket) VALUES ('a', 'most')$$, '42804', NULL,
    'P10: the day of another type');

SELECT * FROM finish();
ROLLBACK;
