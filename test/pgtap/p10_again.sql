-- P10 and P3: what a second look at ordinary DDL found.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(23);

CREATE SCHEMA again;
SET search_path = again, public;
SET client_min_messages = error;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1), ('b', 2);

-- A table of a type has its columns from there.
CREATE TYPE play AS (song text, album bigint, kind text, seconds int, note int);
CREATE TABLE typed OF play (song NOT NULL, kind NOT NULL);
CREATE TABLE parted OF play (song NOT NULL, kind NOT NULL) PARTITION BY LIST (kind);
CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
SELECT playevent.attach_log(rel, track => 'track', key_column => 'song', release_column => 'album', kind_column => 'kind', kinds => '{most}')
  FROM unnest('{typed,parted}'::regclass[]) AS rel;
SELECT playevent.add_counter(rel, rel || '_seconds', '{seconds}') FROM unnest('{typed,parted}'::text[]) AS rel;
INSERT INTO typed VALUES ('a', NULL, 'most', 5, 6), ('b', NULL, 'most', 5, 7);
INSERT INTO parted SELECT * FROM typed;
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM playevent.verify('typed')) + (SELECT count(*) FROM playevent.verify('parted'))
$$;
SELECT is(wrong(), 0::bigint, 'P3: tables of a type are counted');
ALTER TYPE play DROP ATTRIBUTE seconds CASCADE;
SELECT throws_ok($$INSERT INTO typed VALUES ('a', NULL, 'most', 8)$$, '42703', NULL, 'P10: an attribute dropped');
ALTER TYPE play ADD ATTRIBUTE seconds int CASCADE;
SELECT is(wrong(), 0::bigint, 'P10: and made again, with no values');
ALTER TYPE play RENAME ATTRIBUTE seconds TO other CASCADE;
SELECT throws_ok($$INSERT INTO typed VALUES ('a', NULL, 'most', 8)$$, '42703', NULL, 'P10: an attribute renamed');
ALTER TYPE play RENAME ATTRIBUTE note TO seconds CASCADE;
SELECT is(wrong(), 0::bigint, 'P10: another gets its name');
ALTER TYPE play DROP ATTRIBUTE album CASCADE, ADD ATTRIBUTE album bigint CASCADE;
SELECT is(wrong(), 0::bigint, 'P10: the release''s attribute');
INSERT INTO typed (song, kind, seconds) VALUES ('a', 'most', 9);
SELECT results_eq('SELECT seconds, typeds FROM typed_seconds ORDER BY 1', 'VALUES (6, 1::bigint), (7, 1), (9, 1)',
    'P3: and counts go on by what the attributes are called');
ALTER TYPE play RENAME ATTRIBUTE kind TO k CASCADE;
SELECT lives_ok('ALTER TYPE play RENAME ATTRIBUTE k TO kind CASCADE', 'P10: an attribute gets its name back');
SELECT is(wrong(), 0::bigint, 'P3: and nothing is wrong');
CREATE TYPE bystander AS (seconds int, other int);
SELECT lives_ok('ALTER TYPE bystander DROP ATTRIBUTE seconds, ADD ATTRIBUTE song int; ALTER TYPE bystander RENAME ATTRIBUTE other TO seconds',
    'P10: types that no table is of');

-- A slot table's views show its children's rows.
SELECT throws_ok('CREATE TABLE more () INHERITS (typed_counter_slot)', '0A000',
    'table "more" cannot inherit from slot table "typed_counter_slot"', 'P3: a table that inherits from a slot table');
CREATE TABLE more (LIKE typed_counter_slot);
SELECT throws_ok('ALTER TABLE more INHERIT typed_counter_slot', '0A000',
    'table "more" cannot inherit from slot table "typed_counter_slot"', 'P3: that comes to do so');
CREATE TABLE other (seconds int);
SELECT lives_ok('ALTER TABLE more ADD seconds int; ALTER TABLE more INHERIT other', 'P10: other tables may inherit');
SELECT is(wrong(), 0::bigint, 'P3: after all that');

-- A counter that does not work keeps no other from being set right.
CREATE TABLE plain (song text NOT NULL, album bigint, kind text NOT NULL, seconds int);
SELECT playevent.attach_log('plain', track => 'track', key_column => 'song', release_column => 'album', kind_column => 'kind', kinds => '{most}');
SELECT playevent.add_counter('plain', 'plain_seconds', '{seconds}');
INSERT INTO plain VALUES ('a', NULL, 'most', 5);
CREATE INDEX bad ON plain_counter_slot (song) WHERE plains > 3;
ALTER TABLE plain DROP seconds, ADD seconds int NOT NULL DEFAULT 7;
DROP INDEX bad;
SELECT is_empty($$SELECT * FROM playevent.verify('plain')$$, 'P10: a column made again while another counter did not work');
CREATE INDEX bad ON plain_counter_slot (song) WHERE plains > 3;
ALTER TABLE plain_seconds_slot DROP plains CASCADE, ADD plains bigint NOT NULL DEFAULT 0;
DROP INDEX bad;
SELECT is_empty($$SELECT * FROM playevent.verify('plain')$$, 'P10: and one of a slot table');

-- How a session has names quoted makes no log another.
CREATE TABLE album (id bigint PRIMARY KEY);
SELECT playevent.create_log('share', track => 'track', kind => 'channel', kinds => '{link}', release => 'album');
SET quote_all_identifiers = on;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'share_event'::regclass), true, 'P10: a log of releases alone is intact where all names are quoted');

-- And its functions follow renames, as does what was made meanwhile.
SELECT playevent.create_log('quoted', track => 'track');
DROP TRIGGER playevent_count ON quoted_event;
SELECT lives_ok($$SELECT playevent.attach_log('quoted_event', track => 'track')$$, 'P10: and mended there');
ALTER TABLE share_event RENAME TO shares;
RESET quote_all_identifiers;
ALTER TABLE quoted_event RENAME TO quotes;
SELECT ok(record_share('a', 'link') > 0, 'P10: a log renamed where all names are quoted');
SELECT ok(record_quoted('a', 'most') > 0, 'P10: one that was made there');

-- A trigger that renames its log, then records, too, and fails at it: what is known of
-- the log is looked up again while an INSERT by what was known before is under way.
CREATE FUNCTION rename_and_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.anon_id = 'rename' THEN
        ALTER TABLE again.quotes RENAME TO quotations;
        BEGIN
            PERFORM again.record_quoted('', 'most', gen_random_uuid(), 'a');
        EXCEPTION WHEN check_violation OR not_null_violation THEN
            RETURN NULL;
        END;
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER a BEFORE INSERT ON quotes FOR EACH ROW EXECUTE FUNCTION rename_and_record();
SELECT record_quoted('a', 'most', gen_random_uuid(), 'a');
SELECT throws_ok($$SELECT record_quoted('a', 'most', gen_random_uuid(), 'rename')$$, '42P01', NULL, 'P10: a trigger that renames its log, and records');

-- And a rule that sends a log's plays to a table whose trigger drops the log
SELECT playevent.create_log('ruled', track => 'track', partition_by => 'month');
CREATE TABLE other_plays (LIKE ruled_event);
CREATE FUNCTION drop_ruled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DROP TABLE again.ruled_event CASCADE;
    RETURN NULL;
END
$$;
CREATE TRIGGER a BEFORE INSERT ON other_plays FOR EACH ROW EXECUTE FUNCTION drop_ruled();
CREATE RULE elsewhere AS ON INSERT TO ruled_event DO INSTEAD
    INSERT INTO other_plays (track_entry_key, bucket) VALUES (new.track_entry_key, new.bucket) RETURNING *;
SELECT is(record_ruled('a', 'most', gen_random_uuid()), NULL, 'P10: a log that is dropped while it is played to');

-- A table without columns is none of a log's.
CREATE TABLE bare_event (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
CREATE TABLE bare_verdict ();
SELECT throws_ok($$SELECT playevent.attach_log('bare_event', 'track', kinds => '{most}')$$, '55000', 'table "bare_verdict" is there already, and does not fit table "bare_event"', 'P10: a table of verdicts without columns');

SELECT * FROM finish();
ROLLBACK;
