-- P13, P9 and P3: what a batch in a distributed log makes of the errors of shards, of
-- which Citus brings SQLSTATE and message alone: the receipts of one server, or an
-- error.  Catalogs like those of Citus stand in for it, and a trigger for its errors.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(23);

CREATE SCHEMA shard;
SET LOCAL search_path = shard, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
CREATE TABLE place (place int PRIMARY KEY);
SELECT playevent.create_log('play', track => 'track');
ALTER TABLE play_event ADD CONSTRAINT no_spaces CHECK (anon_id NOT LIKE '% %');
ALTER TABLE play_event ADD COLUMN place int REFERENCES place;
ALTER TABLE play_event ADD COLUMN must int;
CREATE UNIQUE INDEX once ON play_event (track_entry_key, anon_id);
DROP INDEX play_event_event_id_idx;
CREATE UNIQUE INDEX ON play_event (track_entry_key, event_id) WHERE event_id IS NOT NULL;
CREATE TABLE other (a int, CONSTRAINT no_spaces CHECK (a > 0));

\ir include/pg_dist_partition.sql
SET LOCAL allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_shard (logicalrelid regclass NOT NULL, shardid bigint NOT NULL, shardminvalue text);
-- as if each key had a shard, and these had an order of their own
CREATE FUNCTION pg_catalog.get_shard_id_for_distribution_column(regclass, text) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$SELECT 102100 - ascii($2)::bigint$$;
RESET allow_system_table_mods;
INSERT INTO pg_catalog.pg_dist_partition (logicalrelid, partmethod, colocationid) VALUES
    ('play_event', 'h', 4), ('play_counter_slot', 'h', 4), ('other', 'h', 4);
INSERT INTO pg_catalog.pg_dist_shard (logicalrelid, shardid) VALUES
    ('play_event', 102009), ('play_counter_slot', 102010), ('other', 102011);

SELECT throws_ok($$SELECT * FROM record_plays('{a,b}', '{most,most}')$$, '55000', 'table "play_event" is managed by Citus',
    'P13: where Citus takes no row elsewhere, none goes into the shell');

-- Now it is as if rows went to a shard; and what is in place of it raises errors.
ALTER TABLE play_event DISABLE TRIGGER USER;
CREATE TABLE fault (code text, message text);
CREATE FUNCTION of_shard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fault shard.fault;
BEGIN
    SELECT * INTO fault FROM shard.fault;
    IF FOUND AND NEW.anon_id = 'bad' THEN
        RAISE EXCEPTION USING ERRCODE = fault.code, MESSAGE = fault.message;
    END IF;
    RETURN NEW;
END$$;
CREATE TRIGGER of_shard BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION of_shard();

-- What becomes of the middle one of three rows that a shard meets this error of.
CREATE FUNCTION outcome(code text, message text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    receipts text;
    said text;
BEGIN
    DELETE FROM fault;
    INSERT INTO fault VALUES ($1, $2);
    SELECT string_agg(r.status, ' ' ORDER BY ord), max(r.reason) INTO STRICT receipts, said
      FROM record_plays('{a,b,c}', '{most,most,most}', NULL, ARRAY[NULL, 'bad', NULL]) AS r;
    RETURN CASE receipts WHEN 'recorded rejected recorded' THEN said ELSE receipts END;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END$$;

SELECT is(outcome('23514', 'new row for relation "play_event_102009" violates check constraint "no_spaces_102009"'),
    'new row for relation "play_event" violates check constraint "no_spaces"', 'P9: a CHECK refuses the row, by the log''s names');
SELECT is(outcome('23514', 'new row for relation "play_event_102009" violates check constraint "no_spaces"'),
    'new row for relation "play_event" violates check constraint "no_spaces"', 'P9: so does one that has its own name there');
SELECT is(outcome('23514', 'new row for relation "other_102011" violates check constraint "no_spaces"'),
    '23514 new row for relation "other_102011" violates check constraint "no_spaces"', 'P9: one of that name of another table is an error');
SELECT is(outcome('23505', 'duplicate key value violates unique constraint "once_102009"'),
    'duplicate key value violates unique constraint "once"', 'P9: a unique index of what is sent refuses the row');
SELECT is(outcome('23505', 'duplicate key value violates unique constraint "play_event_pkey_102009"'),
    '23505 duplicate key value violates unique constraint "play_event_pkey"', 'P9: that of ids is an error');
SELECT is(outcome('23505', 'duplicate key value violates unique constraint "once_102011"'),
    '23505 duplicate key value violates unique constraint "once_102011"', 'P9: so is one that has the number of another table''s shard');
SELECT is(outcome('23505', 'duplicate key value violates unique constraint "once"'),
    '23505 duplicate key value violates unique constraint "once"', 'P9: and one of a table that is no shard');
SELECT is(outcome('23505', 'doppelter Schlüsselwert verletzt Unique-Constraint »once_102009«'),
    '23505 doppelter Schlüsselwert verletzt Unique-Constraint »once_102009«', 'P9: what is in doubt is an error');
SELECT is(outcome('23503', 'insert or update on table "play_event_102009" violates foreign key constraint "play_event_place_fkey_102009"'),
    '23503 insert or update on table "play_event" violates foreign key constraint "play_event_place_fkey"', 'P9: a foreign key of what is not sent is an error');
SELECT is(outcome('23503', 'unknown track in column "track_entry_key" of table "play_event_102009"'), 'unknown track', 'P9: an unknown track is the row''s');
SELECT is(outcome('23502', 'null value in column "must" of relation "play_event_102009" violates not-null constraint'),
    '23502 null value in column "must" of relation "play_event" violates not-null constraint', 'P9: a column that nobody fills in is an error');
SELECT is(outcome('23514', 'by hand'), '23514 by hand', 'P9: an error without names is in doubt');
SELECT is(outcome('23001', 'rows of table "play_event_102009" cannot be changed'),
    '23001 rows of table "play_event" cannot be changed', 'P9: what is there is never a row''s fault');
SELECT is(outcome('P0001', 'not "this" one'), 'not "this" one', 'P9: what the app''s trigger refuses is the row''s');
SELECT is(outcome('22003', 'plays in table "play_counter_slot_102010" out of range'),
    '22003 plays in table "play_counter_slot" out of range', 'P9: a counter that is full is the server''s fault');
SELECT is(outcome('22P02', 'invalid input syntax for type integer: "play_counter_slot_102010"'),
    'invalid input syntax for type integer: "play_counter_slot_102010"', 'P9: a value that has the name of a shard is a value');
SELECT is(outcome('54000', 'index row size 2800 exceeds btree version 4 maximum 2704 for index "once_102009"'),
    'index row size 2800 exceeds btree version 4 maximum 2704 for index "once"', 'P9: a row that is too large is the row''s');
SELECT is(outcome('54000', 'database is not accepting commands to avoid wraparound'), '54000 database is not accepting commands to avoid wraparound',
    'P9: ids that have run out are not');
SELECT is(outcome('40P01', 'deadlock detected'), '40P01 deadlock detected', 'P9: nor is a deadlock');

-- Order, and event_ids
DELETE FROM fault;
CREATE FUNCTION e(n int) RETURNS uuid LANGUAGE sql AS $$SELECT lpad(n::text, 32, '0')::uuid$$;
SELECT results_eq($$SELECT ord, status, reason FROM record_plays('{a,b,c,b,a,"",b}'::text[], '{most,most,most,most,partial,most,complete}', ARRAY[e(2), e(1), e(1), e(1), e(1), e(1), NULL])$$,
    $$VALUES (1, 'recorded', NULL), (2, 'recorded', NULL), (3, 'recorded', NULL), (4, 'duplicate', NULL), (5, 'recorded', NULL), (6, 'rejected', 'empty key'), (7, 'recorded', NULL)$$,
    'P13: receipts are in the order of the rows; an event_id is one track''s');
SELECT results_eq($$SELECT track_entry_key::text, event_id FROM play_event WHERE event_id IS NOT NULL ORDER BY id$$,
    $$VALUES ('c', e(1)), ('b', e(1)), ('a', e(1)), ('a', e(2))$$, 'P4: rows go in the order of shards, and of event_ids, whatever theirs is');
SELECT is_empty($$SELECT r.ord FROM record_plays('{a,b,c,b,a}'::text[], '{most,most,most,most,partial}', ARRAY[e(2), e(1), e(1), e(1), e(1)]) r
     LEFT JOIN play_event p ON p.id = r.id AND p.track_entry_key = (ARRAY['a', 'b', 'c', 'b', 'a'])[r.ord] AND r.status = 'duplicate' WHERE p.id IS NULL$$,
    'P3: a retry gets the ids of the first, of each track');

SELECT * FROM finish();
ROLLBACK;
