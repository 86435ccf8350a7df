-- P1: no ALTER TABLE says something else in rows that are recorded.  What would
-- write other values is refused with 23001 and the table's name, for the owner,
-- for a superuser and under session_replication_role = replica; what keeps them
-- is not.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(59);

CREATE ROLE rewriter;
CREATE SCHEMA r AUTHORIZATION rewriter;
GRANT USAGE ON SCHEMA public TO rewriter;
SET search_path = r, public;
SET client_min_messages = warning;
SET ROLE rewriter;
CREATE TABLE track (entry_key varchar(20) PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('a', 1), ('b', 2);
SELECT playevent.create_log('play', track => 'track') AS log \gset
CREATE TABLE listens (
    id serial, song varchar(20) NOT NULL, album int, heard text NOT NULL, length int DEFAULT 3, wide bigint DEFAULT 4,
    at timestamptz DEFAULT '2026-01-01 12:00Z', half bool GENERATED ALWAYS AS (heard = 'half') STORED
) PARTITION BY LIST (heard);
CREATE TABLE listens_half PARTITION OF listens FOR VALUES IN ('half');
CREATE TABLE listens_rest PARTITION OF listens DEFAULT PARTITION BY LIST (heard);
CREATE TABLE listens_all PARTITION OF listens_rest FOR VALUES IN ('all');
SELECT playevent.attach_log('listens', track => 'track', key_column => 'song', release_column => 'album',
                            kind_column => 'heard', kinds => '{half,all}') AS log \gset
INSERT INTO play_event (track_entry_key, bucket) VALUES ('a', 'most'), ('b', 'most'), ('b', 'complete');
INSERT INTO listens (song, heard) VALUES ('a', 'half'), ('b', 'all');
CREATE TABLE plays_before AS SELECT * FROM play_event;
CREATE TABLE listens_before AS SELECT * FROM listens;

-- One of these that goes through is undone.
CREATE FUNCTION lasting(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
END
$$;
CREATE FUNCTION refused(what text, statement text, refusing text) RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(format('SELECT r.lasting(%L)', statement), '23001', format('table "%s" is append-only', refusing),
                     'P1: ' || what);
$$;
CREATE FUNCTION allowed(what text, statement text) RETURNS text LANGUAGE sql AS $$
    SELECT lives_ok(format('SELECT r.lasting(%L)', statement), 'P1: ' || what || ' is allowed');
$$;

--
-- Other values
--
SELECT refused('USING another value', $$ALTER TABLE play_event ALTER bucket TYPE play_bucket USING 'complete'$$, 'play_event');
SELECT refused('of another type', $$ALTER TABLE play_event ALTER bucket TYPE text USING 'complete'$$, 'play_event');
SELECT refused('the same in another type', 'ALTER TABLE play_event ALTER bucket TYPE text', 'play_event');
SELECT refused('another column''s value', 'ALTER TABLE play_event ALTER release_id TYPE bigint USING id', 'play_event');
SELECT refused('the negative', 'ALTER TABLE play_event ALTER release_id TYPE bigint USING -release_id', 'play_event');
SELECT refused('a cast that rounds', 'ALTER TABLE play_event ALTER release_id TYPE bigint USING release_id::numeric(2,-1)', 'play_event');
SELECT refused('a cast by way of another type', 'ALTER TABLE play_event ALTER id TYPE int USING id::text::int', 'play_event');
SELECT refused('a time that loses its zone', 'ALTER TABLE play_event ALTER created_at TYPE text', 'play_event');
SELECT refused('a time that is rounded', 'ALTER TABLE play_event ALTER created_at TYPE timestamptz(0)', 'play_event');
SELECT refused('a listener that is cut', 'ALTER TABLE play_event ALTER anon_id TYPE varchar(3) USING anon_id::varchar(3)', 'play_event');
SELECT refused('a key that may lose blanks', 'ALTER TABLE play_event ALTER track_entry_key TYPE varchar(5)', 'play_event');
SELECT refused('one of several', $$ALTER TABLE play_event ADD note text, ALTER id TYPE int, ALTER bucket TYPE text USING 'x', SET (fillfactor = 90)$$,
    'play_event');
SELECT refused('moved as well', $$ALTER TABLE play_event ALTER bucket TYPE text USING 'x', SET UNLOGGED$$, 'play_event');
SELECT refused('in partitions', 'ALTER TABLE listens ALTER song TYPE varchar(20) USING ''x''', 'listens_half');
SELECT refused('in a subtree', 'ALTER TABLE listens ALTER length TYPE text', 'listens_half');
SELECT lives_ok('TRUNCATE plays_before; INSERT INTO plays_before SELECT * FROM play_event', 'P1: other tables are not guarded');
SELECT throws_ok($$ALTER TABLE listens_all ALTER song TYPE text USING 'x'$$, '42P16', NULL, 'P1: a partition''s column alone can''t be altered');

-- What the error says
CREATE FUNCTION detail(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
    at_table text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN restrict_violation THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, at_table = TABLE_NAME;
    RETURN concat_ws(' ', detail, hint, at_table);
END
$$;
SELECT is(detail('ALTER TABLE play_event ALTER id TYPE int, ALTER bucket TYPE text'),
    'ALTER COLUMN TYPE would rewrite column "bucket": what has been played stays as it was recorded. '
    'Add another column.  To rewrite this one all the same, disable trigger "playevent_append_only" first. play_event',
    'P1: the error names the column, and the trigger that lets it pass');

-- Whoever it is, and whatever the trigger is called
RESET ROLE;
SELECT refused('by a superuser', 'ALTER TABLE play_event ALTER bucket TYPE text', 'play_event');
SET session_replication_role = replica;
SELECT refused('under the replica role', 'ALTER TABLE play_event ALTER bucket TYPE text', 'play_event');
SET session_replication_role = origin;
SET ROLE rewriter;
ALTER TRIGGER playevent_append_only ON play_event RENAME TO guard;
SELECT refused('with a guard of another name', 'ALTER TABLE play_event ALTER bucket TYPE text', 'play_event');
ALTER TRIGGER guard ON play_event RENAME TO playevent_append_only;

-- A table made of a type
CREATE TYPE listen AS (song varchar(20), album int, heard text, note text);
CREATE TABLE typed OF listen (song NOT NULL, heard NOT NULL);
SELECT playevent.attach_log('typed', track => 'track', key_column => 'song', release_column => 'album', kind_column => 'heard') AS log \gset
INSERT INTO typed VALUES ('a', 1, 'half');
SELECT refused('through the table''s type', 'ALTER TYPE listen ALTER ATTRIBUTE note TYPE varchar(3) CASCADE', 'typed');
SELECT is(detail('ALTER TYPE listen ALTER ATTRIBUTE note TYPE varchar(3) CASCADE') LIKE 'ALTER ATTRIBUTE TYPE would rewrite column "note"%',
    true, 'P1: which the error says');
SELECT allowed('an attribute that is widened', 'ALTER TYPE listen ALTER ATTRIBUTE album TYPE bigint CASCADE');
SELECT allowed('one that is added', 'ALTER TYPE listen ADD ATTRIBUTE more text CASCADE');

-- A log below a foreign table
RESET ROLE;
CREATE FOREIGN DATA WRAPPER rewritten;
CREATE SERVER rewritten FOREIGN DATA WRAPPER rewritten;
CREATE FOREIGN TABLE above (song varchar(20) NOT NULL, album bigint, heard text NOT NULL, note text) SERVER rewritten;
CREATE TABLE below () INHERITS (above);
CREATE TRIGGER playevent_append_only BEFORE UPDATE ON below FOR EACH ROW EXECUTE FUNCTION playevent.append_only();
INSERT INTO below VALUES ('a', 1, 'half');
-- Built with assertions, Postgres itself stops a rewrite by ALTER FOREIGN TABLE:
-- its list of commands that rewrite tables doesn't have that one.
SELECT refused('by way of a foreign table',
               CASE WHEN current_setting('debug_assertions')::bool THEN 'ALTER TABLE' ELSE 'ALTER FOREIGN TABLE' END ||
               ' above ALTER note TYPE varchar(3)', 'below');
SET ROLE rewriter;

-- A generated column with another expression, since 17
SELECT CASE WHEN current_setting('server_version_num')::int >= 170000 THEN
    refused('another expression', 'ALTER TABLE listens ALTER half SET EXPRESSION AS (true)', 'listens_half')
    ELSE pass('P1: another expression') END;

--
-- The same values
--
SELECT allowed('an integer that is widened', 'ALTER TABLE listens ALTER length TYPE bigint');
SELECT allowed('one that is narrowed', 'ALTER TABLE listens ALTER wide TYPE smallint');
SELECT allowed('widened and narrowed', 'ALTER TABLE listens ALTER wide TYPE int, ALTER length TYPE int8');
SELECT allowed('widened as tools write it', 'ALTER TABLE listens ALTER length TYPE bigint USING length::bigint');
SELECT allowed('or with CAST', 'ALTER TABLE listens ALTER length TYPE bigint USING (CAST("length" AS int8))');
SELECT allowed('or by its name', 'ALTER TABLE listens ALTER length TYPE bigint USING length');
SELECT refused('another cast', 'ALTER TABLE listens ALTER wide TYPE int USING wide::smallint', 'listens_half');
SELECT allowed('the id', 'ALTER TABLE listens ALTER id TYPE bigint');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN wide_positive AS bigint CHECK (VALUE > 0);
CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> '');
CREATE DOMAIN worded AS text CHECK (VALUE <> '');
SELECT allowed('a domain that checks', 'ALTER TABLE listens ALTER length TYPE positive');
SELECT allowed('one that is wider', 'ALTER TABLE listens ALTER length TYPE wide_positive');
SELECT allowed('one that is text', 'ALTER TABLE play_event ALTER anon_id TYPE worded');
SELECT refused('a domain that may cut blanks', 'ALTER TABLE play_event ALTER anon_id TYPE short', 'play_event');
SELECT throws_ok($$SELECT lasting('ALTER TABLE listens ALTER length TYPE positive USING -length')$$, '23001', NULL,
    'P1: but not USING another value');
SELECT allowed('a longer varchar', 'ALTER TABLE play_event ALTER track_entry_key TYPE varchar(200)');
SELECT allowed('text', 'ALTER TABLE play_event ALTER track_entry_key TYPE text');
SELECT allowed('beside an integer', 'ALTER TABLE listens ALTER length TYPE bigint, ALTER song TYPE varchar(40)');
SELECT allowed('the column itself', 'ALTER TABLE play_event ALTER anon_id TYPE text USING anon_id');
SET LOCAL timezone = 'UTC';
SELECT allowed('what Postgres writes nothing for', 'ALTER TABLE listens ALTER at TYPE timestamp');
SET LOCAL timezone = 'Asia/Tokyo';
SELECT refused('but what it does', 'ALTER TABLE listens ALTER at TYPE timestamp', 'listens_half');

-- Not about values that are there
SELECT allowed('a column with random defaults', 'ALTER TABLE play_event ADD luck float DEFAULT random(), ADD more serial');
SELECT allowed('a generated column', 'ALTER TABLE listens ADD twice int GENERATED ALWAYS AS (length * 2) STORED');
SELECT allowed('SET UNLOGGED', 'ALTER TABLE play_event SET UNLOGGED');
SELECT allowed('SET ACCESS METHOD', 'ALTER TABLE play_event SET ACCESS METHOD heap');
SELECT allowed('SET TABLESPACE', 'ALTER TABLE play_event SET TABLESPACE pg_default');
CREATE TABLE none_yet (song text NOT NULL, album int, heard int NOT NULL);
SELECT playevent.attach_log('none_yet', track => 'track', key_column => 'song', release_column => 'album', kind_column => 'heard') AS log \gset
SELECT allowed('a table without rows', 'ALTER TABLE none_yet ALTER heard TYPE text');

-- Nobody else's
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE theirs AS SELECT 1 AS i;
CREATE TRIGGER playevent_append_only BEFORE UPDATE OR DELETE ON theirs FOR EACH ROW EXECUTE FUNCTION append_only();
SELECT allowed('a table that is no log', 'ALTER TABLE theirs ALTER i TYPE text USING ''other''');

-- Slots
DROP VIEW play_counter, play_by_track, play_by_release;
SELECT throws_ok($$ALTER TABLE play_counter_slot ALTER plays TYPE numeric USING plays + 1$$, '23001',
    'table "play_counter_slot" is written by playevent alone', 'P1: a slot table''s counts stay as they are');
DROP VIEW listens_counter, listens_by_track, listens_by_release;
SELECT allowed('a release that is widened there too', 'ALTER TABLE listens_counter_slot ALTER album TYPE bigint');

SELECT throws_ok('SELECT playevent.watch_rewrites()', '39P03', NULL, 'P1: the event trigger''s function called by hand');

-- All that was refused left the rows as they were; what disables the guard shows.
SELECT results_eq('SELECT * FROM play_event ORDER BY id', 'SELECT * FROM plays_before ORDER BY id', 'P1: plays are as they were');
SELECT results_eq('SELECT * FROM listens ORDER BY id', 'SELECT * FROM listens_before ORDER BY id', 'P1: and listens');
ALTER TABLE play_event DISABLE TRIGGER playevent_append_only, ALTER anon_id TYPE varchar(9);
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P1: the owner''s way around shows');

SELECT * FROM finish();
ROLLBACK;
