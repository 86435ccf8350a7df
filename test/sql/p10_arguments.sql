-- P10, P8: create_log and attach_log refuse what can't work, at once, with an error
-- that names the argument or the thing, and the remedy.

CREATE EXTENSION playevent;
CREATE SCHEMA args;
SET search_path = args;
\pset tuples_only on
\pset format unaligned

-- What a statement fails with, without CONTEXT.  If it doesn't, what it returns.
CREATE FUNCTION try(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement INTO message;
    RETURN NEXT 'no error: ' || message;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT state || ': ' || message;
    IF detail <> '' THEN
        RETURN NEXT 'DETAIL: ' || detail;
    END IF;
    IF hint <> '' THEN
        RETURN NEXT 'HINT: ' || hint;
    END IF;
END
$$;
-- The same for calls, given what stands between the parentheses
CREATE FUNCTION create_log(arguments text) RETURNS SETOF text LANGUAGE sql AS
    $$SELECT try('SELECT playevent.create_log(' || $1 || ')')$$;
CREATE FUNCTION attach_log(arguments text) RETURNS SETOF text LANGUAGE sql AS
    $$SELECT try('SELECT playevent.attach_log(' || $1 || ')')$$;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int, is_deleted bool, title text);

--
-- create_log: the log's name
--

SELECT create_log($$NULL, 'track'$$);
SELECT create_log($$'', 'track'$$);
SELECT create_log($$repeat('x', 49), 'track'$$);
SELECT create_log($$repeat('ü', 25), 'track'$$);

-- names that are taken, by a table, a type or a view
CREATE TABLE a_event ();
CREATE TYPE b_bucket AS ENUM ();
CREATE VIEW c_by_release AS SELECT 1;
CREATE TABLE d_counter_slot ();
SELECT create_log($$'a', 'track'$$);
SELECT create_log($$'b', 'track'$$);
SELECT create_log($$'c', 'track'$$);
SELECT create_log($$'d', 'track'$$);

-- nowhere to create it
SET search_path = '';
\set SHOW_CONTEXT never
SELECT playevent.create_log('play', 'args.track');
SET search_path = args;

--
-- create_log: kind and kinds
--

SELECT create_log($$'play', 'track', kind => NULL$$);
SELECT create_log($$'play', 'track', kind => ''$$);
SELECT create_log($$'play', 'track', kind => 'release_id'$$);
SELECT create_log($$'play', 'track', kind => 'plays'$$);
SELECT create_log($$'play', 'track', kinds => NULL$$);
SELECT create_log($$'play', 'track', kinds => '{}'$$);
SELECT create_log($$'play', 'track', kinds => '{partial,NULL}'$$);
SELECT create_log($$'play', 'track', kinds => '{partial,""}'$$);
SELECT create_log($$'play', 'track', kinds => '{partial,plays}'$$);
SELECT create_log($$'play', 'track', kinds => '{partial,release_id}'$$);
SELECT create_log($$'play', 'track', kinds => '{a,b,a}'$$);
SELECT create_log($$'play', 'track', kinds => ARRAY['a', repeat('b', 64)]$$);
SELECT create_log($$'play', 'track', kinds => '{{a,b},{c,d}}'$$);
SELECT create_log($$repeat('p', 48), 'track', kind => repeat('k', 15)$$);

-- a log called again is told of by its event table
CREATE SCHEMA again;
SET search_path = again, args;
SELECT create_log($$'play', 'track'$$);
SELECT create_log($$'play', 'track'$$);
SET search_path = args;
SET client_min_messages = warning;
DROP SCHEMA again CASCADE;
RESET client_min_messages;

--
-- create_log: the track table and its columns
--

SELECT create_log($$'play', 'no_such_table'$$);
SELECT create_log($$'play', NULL$$);
CREATE VIEW track_view AS SELECT * FROM track;
SELECT create_log($$'play', 'track_view'$$);
CREATE TABLE track_tree (entry_key text PRIMARY KEY, release_id int) PARTITION BY HASH (entry_key);
SELECT create_log($$'play', 'track_tree'$$);
CREATE SEQUENCE track_seq;
SELECT create_log($$'play', 'track_seq'$$);
SELECT create_log($$'play', 'track', track_key => 'slug'$$);
SELECT create_log($$'play', 'track', track_key => NULL$$);
SELECT create_log($$'play', 'track', track_key => 'ctid'$$);
SELECT create_log($$'play', 'track', track_release => 'album'$$);
SELECT create_log($$'play', 'track', track_release => NULL$$);
SELECT create_log($$'play', 'track', track_deleted => 'gone'$$);
SELECT create_log($$'play', 'track', track_deleted => 'title'$$);
ALTER TABLE track ADD dropped int;
ALTER TABLE track DROP dropped;
SELECT create_log($$'play', 'track', track_release => 'dropped'$$);

-- no usable unique index
CREATE TABLE plain (entry_key text, release_id int, "Other Key" text, late text UNIQUE DEFERRABLE);
SELECT create_log($$'play', 'plain'$$);
CREATE INDEX ON plain (entry_key);
CREATE UNIQUE INDEX ON plain (entry_key) WHERE release_id > 0;
CREATE UNIQUE INDEX ON plain (lower(entry_key));
CREATE UNIQUE INDEX ON plain (entry_key, release_id);
CREATE UNIQUE INDEX ON plain (release_id, entry_key);
ALTER TABLE plain ADD EXCLUDE USING btree (entry_key WITH =);
SELECT create_log($$'play', 'plain'$$);
SELECT create_log($$'play', 'plain', track_key => 'late'$$);
SELECT create_log($$'play', 'plain', track_key => 'Other Key'$$);
-- what the hint says will do; so will an index that includes more
CREATE UNIQUE INDEX ON args.plain ("Other Key");
SELECT create_log($$'other_key', 'plain', track_key => 'Other Key'$$);
CREATE UNIQUE INDEX ON plain (entry_key) INCLUDE (release_id);
SELECT create_log($$'entry_key', 'plain'$$);

--
-- create_log: the rest
--

SELECT create_log($$'play', 'track', unknown_track => 'ignore'$$);
SELECT create_log($$'play', 'track', unknown_track => NULL$$);
SELECT create_log($$'play', 'track', count_replicated => NULL$$);
SELECT create_log($$'play', 'track', ingest_role => 'no_such_role'$$);
-- what else Postgres says of this differs by major
SELECT create_log($$'play', 'track', nonsense => 1$$) LIMIT 1;

-- nothing of a call that failed is left behind
SELECT relname FROM pg_class WHERE relnamespace = 'args'::regnamespace AND relname LIKE 'play%';
SELECT typname FROM pg_type WHERE typnamespace = 'args'::regnamespace AND typname LIKE 'play%';

-- twice: which of the names is taken first is all the same
SELECT create_log($$'play', 'track'$$);
SELECT left(error, 5) FROM create_log($$'play', 'track'$$) AS error LIMIT 1;

--
-- attach_log: the event table
--

SELECT attach_log($$NULL, 'track'$$);
SELECT attach_log($$'no_such_table', 'track'$$);
SELECT attach_log($$'track_view', 'track'$$);
SELECT attach_log($$'play_event', 'track'$$);
CREATE UNLOGGED TABLE fast_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT attach_log($$'fast_event', 'track'$$);
CREATE TEMP TABLE temp_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT attach_log($$'temp_event', 'track'$$);
CREATE TABLE tree_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL) PARTITION BY LIST (bucket);
CREATE TABLE tree_event_most PARTITION OF tree_event FOR VALUES IN ('most');
SELECT attach_log($$'tree_event_most', 'track'$$);
CREATE TABLE base_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
CREATE TABLE child_event () INHERITS (base_event);
SELECT attach_log($$'base_event', 'track'$$);
SELECT attach_log($$'child_event', 'track'$$);
CREATE TABLE this_is_the_name_of_a_table_that_is_way_too_long_for_a_log (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT attach_log($$'this_is_the_name_of_a_table_that_is_way_too_long_for_a_log', 'track'$$);

-- not the owner of the event table; no right to read the track table
CREATE ROLE regress_playevent_args;
GRANT USAGE, CREATE ON SCHEMA args TO regress_playevent_args;
SET ROLE regress_playevent_args;
SELECT attach_log($$'base_event', 'track'$$);
SELECT create_log($$'spy', 'track'$$);
CREATE TABLE spy_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT attach_log($$'spy_event', 'track'$$);
RESET ROLE;

--
-- attach_log: its columns
--

CREATE TABLE hear_event (id int, track_entry_key text, release_id int, bucket text NOT NULL, "Album" bigint, number int NOT NULL);
SELECT attach_log($$'hear_event', 'track', key_column => 'song'$$);
SELECT attach_log($$'hear_event', 'track', release_column => 'album'$$);
SELECT attach_log($$'hear_event', 'track', kind_column => 'kind'$$);
SELECT attach_log($$'hear_event', 'track', key_column => NULL$$);
SELECT attach_log($$'hear_event', 'track', release_column => NULL$$);
SELECT attach_log($$'hear_event', 'track', kind_column => NULL$$);
SELECT attach_log($$'hear_event', 'track', kind_column => 'track_entry_key'$$);
SELECT attach_log($$'hear_event', 'track', kind_column => 'release_id'$$);
-- keys and kinds that may be null
SELECT attach_log($$'hear_event', 'track'$$);
ALTER TABLE args.hear_event ALTER COLUMN track_entry_key SET NOT NULL;
SELECT attach_log($$'hear_event', 'track', kind_column => 'id'$$);
-- types that don't fit the track table's
SELECT attach_log($$'hear_event', 'track', release_column => 'Album'$$);
SELECT attach_log($$'hear_event', 'track', key_column => 'number'$$);
-- a column that the count's would collide with
CREATE TABLE song_event (songs text NOT NULL, release_id int, bucket text NOT NULL);
SELECT attach_log($$'song_event', 'track', key_column => 'songs'$$);
-- kinds that can't be columns
SELECT attach_log($$'hear_event', 'track', kinds => '{a,a}'$$);
SELECT attach_log($$'hear_event', 'track', kinds => ARRAY['a', repeat('b', 64)]$$);
SELECT attach_log($$'hear_event', 'track', kinds => '{a,NULL}'$$);
SELECT attach_log($$'hear_event', 'track', kinds => '{hears}'$$);
-- the track table's arguments, as for create_log
SELECT attach_log($$'hear_event', 'plain', track_key => 'late'$$);
SELECT attach_log($$'hear_event', 'track', track_deleted => 'title'$$);
SELECT attach_log($$'hear_event', 'track', unknown_track => ''$$);

-- nothing of all that is left behind
SELECT tgname FROM pg_trigger WHERE tgrelid = 'hear_event'::regclass;
SELECT to_regclass('hear_counter_slot') IS NULL;
-- and then it works
SELECT attach_log($$'hear_event', 'track'$$);
SELECT attach_log($$'hear_event', 'track'$$);

--
-- what can't be permanent, or isn't there
--

CREATE TEMP TABLE session_track (entry_key text PRIMARY KEY, release_id int);
SELECT create_log($$'play', 'session_track'$$);
SET search_path = pg_temp, args;
SELECT args.create_log($$'play', 'track'$$);
SET search_path = args;
SELECT create_log($$'play', '424242'$$);
SELECT attach_log($$'424242', 'track'$$);
SELECT create_log($$'ir', 'track', ingest_role => '424242'$$);

--
-- the event's key follows the track's
--

CREATE DOMAIN long_key AS varchar(200);
CREATE TABLE track_domain (entry_key long_key PRIMARY KEY, release_id int);
CREATE TABLE track_name (entry_key name PRIMARY KEY, release_id int);
CREATE TABLE track_varchar (entry_key varchar(20) COLLATE "C" PRIMARY KEY, release_id int);
SELECT create_log($$'kd', 'track_domain'$$);
SELECT create_log($$'kn', 'track_name'$$);
SELECT create_log($$'kv', 'track_varchar'$$);
SELECT attrelid::regclass, format_type(atttypid, atttypmod), collname
  FROM pg_attribute LEFT JOIN pg_collation c ON c.oid = attcollation
 WHERE attname = 'track_entry_key' AND attrelid IN ('kd_event'::regclass, 'kn_event'::regclass, 'kv_event'::regclass)
 ORDER BY attrelid::regclass::text;

--
-- a slot table that is there already and does not fit
--

CREATE TABLE left_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
CREATE TABLE left_counter_slot (track_entry_key text, release_id bigint, bucket text, lefts bigint NOT NULL);
SELECT attach_log($$'left_event', 'track'$$);
DROP TABLE left_counter_slot CASCADE;
SELECT attach_log($$'left_event', 'track'$$);

--
-- a log that is one already is mended if it needs to be, and its views are left
-- as they are
--

SELECT attach_log($$'left_event', 'track'$$);
ALTER TABLE left_event DISABLE TRIGGER USER;
INSERT INTO left_event VALUES ('k1', 1, 'most');
SELECT intact FROM playevent.log WHERE event = 'left_event'::regclass;
SELECT * FROM playevent.verify('left_event');
CREATE OR REPLACE VIEW left_by_track AS SELECT track_entry_key, sum(lefts)::bigint AS lefts, 'mine' AS added FROM left_counter_slot GROUP BY 1;
SELECT attach_log($$'left_event', 'track'$$);
SELECT intact FROM playevent.log WHERE event = 'left_event'::regclass;
SELECT * FROM playevent.verify('left_event');
SELECT * FROM left_by_track;

-- a role that may insert may draw from the sequence of a serial column
CREATE TABLE serial_event (id serial PRIMARY KEY, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT attach_log($$'serial_event', 'track', ingest_role => 'regress_playevent_args'$$);
SET ROLE regress_playevent_args;
INSERT INTO args.serial_event (track_entry_key, bucket) VALUES ('k1', 'most');
RESET ROLE;
SELECT * FROM serial_counter;

--
-- children other than partitions
--

\set SHOW_CONTEXT never
CREATE TABLE kid () INHERITS (left_event);
CREATE TABLE kid (LIKE left_event);
ALTER TABLE kid INHERIT left_event;

SET client_min_messages = warning;
DROP SCHEMA args CASCADE;
DROP ROLE regress_playevent_args;
DROP EXTENSION playevent;
