-- P8: code of a table's owner that runs while playevent is at work, in a default or
-- an index that is looked at, and alters the triggers and tables it is at work with.
-- Each of these has crashed the server.  They are the owner's own, and he may get an
-- error; but what a superuser calls on them tells him the truth, or one too.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(22);
SET LOCAL client_min_messages = error;

CREATE ROLE altered_mallory;
CREATE SCHEMA m AUTHORIZATION altered_mallory;
SET ROLE altered_mallory;
SET search_path = m, public;

-- Runs a statement as the test says, and once.
CREATE TABLE trick (statement text);
CREATE FUNCTION spring() RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    statement text;
BEGIN
    DELETE FROM m.trick RETURNING trick.statement INTO statement;
    IF statement IS NOT NULL THEN
        EXECUTE statement;
    END IF;
    RETURN true;
END
$$;
CREATE FUNCTION spring_in_index(int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT m.spring()); END';
CREATE FUNCTION spring_in_default() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN PERFORM m.spring(); RETURN now(); END';
GRANT USAGE ON SCHEMA m TO PUBLIC;

-- Has an index look at its predicate anew.
CREATE FUNCTION set_trick(index_name regclass, new_statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF index_name IS NOT NULL THEN
        EXECUTE format('ALTER INDEX %s SET (fillfactor = 80)', index_name);
    END IF;
    INSERT INTO trick VALUES (new_statement);
END
$$;
CREATE FUNCTION is_sprung(title text) RETURNS text LANGUAGE sql AS $$SELECT is_empty('TABLE m.trick', title)$$;

-- Releases are looked up by a bigint, and by a text from the third row on.
CREATE TABLE number_track (k bigint PRIMARY KEY, r bigint);
INSERT INTO number_track VALUES (x'4141414141414141'::bigint, 7), (1, 7);
CREATE TABLE word_track (k text PRIMARY KEY, r text);
INSERT INTO word_track VALUES ('a', 'b');
CREATE TABLE rows (id bigint, k1 bigint, k2 text, r1 bigint, r2 text);
CREATE FUNCTION alter_at_third() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 3 THEN
        EXECUTE $q$CREATE OR REPLACE TRIGGER re BEFORE INSERT ON m.rows FOR EACH ROW
            EXECUTE FUNCTION playevent.resolve('word_track', 'k', 'r', '', 'record', 'k2', 'r2')$q$;
        INSERT INTO m.rows VALUES (1000, 1, 'a');
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER a BEFORE INSERT ON rows FOR EACH ROW EXECUTE FUNCTION alter_at_third();
CREATE TRIGGER re BEFORE INSERT ON rows FOR EACH ROW
    EXECUTE FUNCTION playevent.resolve('number_track', 'k', 'r', '', 'record', 'k1', 'r1');
SELECT lives_ok($$INSERT INTO rows SELECT i, x'4141414141414141'::bigint, 'a' FROM generate_series(1, 5) i$$,
    'P2: a trigger that is replaced in the middle of a statement');
SELECT results_eq('SELECT id, r1, r2 FROM rows ORDER BY id', $$VALUES (1::bigint, 7::bigint, NULL), (2, 7, NULL), (3, NULL, 'b'),
    (4, NULL, 'b'), (5, NULL, 'b'), (1000, NULL, 'b')$$, 'P2: finds releases as it says from then on');

-- A batch, whose default alters its trigger; or the track table
CREATE TABLE batch (id bigint GENERATED ALWAYS AS IDENTITY, k1 bigint, k2 text, kind text, r1 bigint, r2 text,
    at timestamptz DEFAULT spring_in_default(), played timestamptz, d date);
CREATE TRIGGER re BEFORE INSERT ON batch FOR EACH ROW
    EXECUTE FUNCTION playevent.resolve('number_track', 'k', 'r', '', 'record', 'k1', 'r1');
CREATE TRIGGER da BEFORE INSERT ON batch FOR EACH ROW EXECUTE FUNCTION playevent.day('d', 'played', 'at');
CREATE FUNCTION send() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT status FROM playevent.record_batch('m.batch', '{id,k1,kind,"","",played,r1,""}'::name[], NULL, '{1,2}'::bigint[], '{x,x}'::text[],
        NULL::uuid[], NULL, '{2020-01-01,2020-01-01}'::timestamptz[], NULL)$$;
SAVEPOINT before;
SELECT set_trick(NULL, $$CREATE OR REPLACE TRIGGER re BEFORE INSERT ON m.batch FOR EACH ROW
    EXECUTE FUNCTION playevent.resolve('word_track', 'k', 'r', '', 'record', 'k2', 'r2');
    INSERT INTO m.batch (k1, k2, kind) VALUES (1, 'a', 'x')$$);
SELECT throws_ok('SELECT send()', '55006', 'trigger "re" of table "batch" was altered while a batch was recorded',
    'P8: a batch whose default alters the trigger that it looks up releases for');
ROLLBACK TO before;
SELECT set_trick(NULL, 'ALTER TABLE m.number_track ALTER k TYPE text; INSERT INTO m.batch (k1, k2, kind) VALUES (1, ''a'', ''x'')');
SELECT throws_ok('SELECT send()', '42804', NULL, 'P8: and one that alters the track table');
ROLLBACK TO before;

-- The same by an index of the log
CREATE INDEX batch_i ON batch (kind) WHERE spring_in_index(1);
SELECT set_trick('batch_i', $$CREATE OR REPLACE TRIGGER re BEFORE INSERT ON m.batch FOR EACH ROW
    EXECUTE FUNCTION playevent.resolve('word_track', 'k', 'r', '', 'record', 'k2', 'r2');
    INSERT INTO m.batch (k1, k2, kind) VALUES (1, 'a', 'x')$$);
SELECT set_eq('SELECT send()', ARRAY['recorded'], 'P9: a batch whose trigger is another by the time it is bound');
SELECT is_sprung('P8: as it was');

-- A counter that is bound with more keys while rebuild's query is planned
CREATE TABLE counted (k text, k2 text, k3 text);
CREATE TABLE counted_slot (k text, n bigint NOT NULL);
CREATE INDEX ON counted_slot (k);
CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON counted_slot FOR EACH ROW
    EXECUTE FUNCTION playevent.slot_guard('counted', 'count', 'n', 'k');
INSERT INTO counted SELECT 'x' || i, 'y', 'z' FROM generate_series(1, 100) i;
-- In a function, so that they are not counted yet
DO $$ BEGIN CREATE TRIGGER c AFTER INSERT ON counted FOR EACH ROW EXECUTE FUNCTION playevent.count('counted_slot', 'n', 'k'); END $$;
CREATE TRIGGER f AFTER INSERT ON counted FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush();
CREATE INDEX counted_i ON counted (k) WHERE spring_in_index(1);
SAVEPOINT before;
SELECT set_trick('counted_i', $$ALTER TABLE m.counted_slot ADD COLUMN k2 text, ADD COLUMN k3 text;
    CREATE OR REPLACE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON m.counted_slot FOR EACH ROW
        EXECUTE FUNCTION playevent.slot_guard('counted', 'count', 'n', 'k', 'k2', 'k3');
    CREATE OR REPLACE TRIGGER c AFTER INSERT ON m.counted FOR EACH ROW EXECUTE FUNCTION playevent.count('counted_slot', 'n', 'k', 'k2', 'k3');
    INSERT INTO m.counted VALUES ('p', 'q', 'r')$$);
SELECT throws_ok($$SELECT playevent.rebuild('m.counted')$$, '55000', NULL, 'P3: rebuild of a counter that gets other keys meanwhile');
ROLLBACK TO before;

-- A counter that goes into another slot table, which is dropped, while a superuser
-- compares it; or when he is done with a restore
CREATE TABLE other_slot (k text, n bigint NOT NULL);
CREATE INDEX ON other_slot (k);
CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON other_slot FOR EACH ROW
    EXECUTE FUNCTION playevent.slot_guard('counted', 'count', 'n', 'k');
SELECT set_trick('counted_i', $$CREATE OR REPLACE TRIGGER c AFTER INSERT ON m.counted FOR EACH ROW
        EXECUTE FUNCTION playevent.count('other_slot', 'n', 'k');
    INSERT INTO m.counted VALUES ('p');
    DROP TABLE m.other_slot$$);
RESET ROLE;
SELECT lives_ok($$SELECT * FROM playevent.verify('m.counted')$$, 'P8: verify, of a counter whose trigger is replaced meanwhile');
SELECT is_sprung('P8: as it was');
ROLLBACK TO before;
SELECT set_trick('counted_i', 'DROP TABLE m.counted_slot');
RESET ROLE;
ALTER TABLE counted ENABLE ALWAYS TRIGGER c, ENABLE ALWAYS TRIGGER f;
ALTER TABLE counted_slot ENABLE ALWAYS TRIGGER g;
ALTER TABLE counted DISABLE TRIGGER ALL;
SELECT lives_ok('ALTER TABLE m.counted ENABLE TRIGGER ALL', 'P8: the end of a restore, where the slots are dropped when one looks');
ROLLBACK TO before;

-- Keys that change places while a count of them is pending
CREATE TABLE paired (a text, b text, part int) PARTITION BY LIST (part);
CREATE TABLE paired_1 PARTITION OF paired FOR VALUES IN (1);
CREATE TABLE paired_slot (a text, b text, n bigint NOT NULL);
CREATE INDEX ON paired_slot (a, b);
CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON paired_slot FOR EACH ROW
    EXECUTE FUNCTION playevent.slot_guard('paired', 'count', 'n', 'a', 'b');
CREATE TRIGGER c AFTER INSERT ON paired FOR EACH ROW EXECUTE FUNCTION playevent.count('paired_slot', 'n', 'a', 'b');
CREATE TRIGGER f AFTER INSERT ON paired FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush();
ALTER TABLE paired_1 ENABLE ALWAYS TRIGGER c;
CREATE FUNCTION outcome(statements text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statements;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;
SELECT is(outcome($$
    INSERT INTO m.paired_1 VALUES ('P', 'Q', 1);
    CREATE OR REPLACE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON m.paired_slot FOR EACH ROW
        EXECUTE FUNCTION playevent.slot_guard('paired', 'count', 'n', 'b', 'a');
    CREATE OR REPLACE TRIGGER c AFTER INSERT ON m.paired FOR EACH ROW EXECUTE FUNCTION playevent.count('paired_slot', 'n', 'b', 'a')$$),
    '55000: slot table "paired_slot" was altered in the transaction that counts for it', 'P3: keys change places while a count is pending');

-- A batch whose default has triggers replaced: what comes later goes by the new ones.
CREATE TABLE first_track (k text PRIMARY KEY, r bigint);
INSERT INTO first_track VALUES ('a', 1);
CREATE TABLE second_track (k text PRIMARY KEY, r bigint);
INSERT INTO second_track VALUES ('a', 2);
CREATE TABLE stale (id bigint GENERATED ALWAYS AS IDENTITY, k text, kind text, r bigint, at timestamptz DEFAULT spring_in_default());
CREATE TABLE stale_slot (k text, n bigint NOT NULL);
CREATE INDEX ON stale_slot (k);
CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON stale_slot FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard('stale', 'count', 'n', 'k');
CREATE TABLE new_slot (k text, n bigint NOT NULL);
CREATE INDEX ON new_slot (k);
CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON new_slot FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard('stale', 'count', 'n', 'k');
CREATE TRIGGER re BEFORE INSERT ON stale FOR EACH ROW EXECUTE FUNCTION playevent.resolve('first_track', 'k', 'r', '', 'record', 'k', 'r');
CREATE TRIGGER c AFTER INSERT ON stale FOR EACH ROW EXECUTE FUNCTION playevent.count('stale_slot', 'n', 'k');
CREATE TRIGGER f AFTER INSERT ON stale FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush();
SELECT set_trick(NULL, $$CREATE OR REPLACE TRIGGER re BEFORE INSERT ON m.stale FOR EACH ROW
        EXECUTE FUNCTION playevent.resolve('second_track', 'k', 'r', '', 'record', 'k', 'r');
    CREATE OR REPLACE TRIGGER c AFTER INSERT ON m.stale FOR EACH ROW EXECUTE FUNCTION playevent.count('new_slot', 'n', 'k')$$);
SELECT throws_ok($$SELECT status FROM playevent.record_batch('m.stale', '{id,k,kind,"","","",r,""}'::name[], NULL, '{a}'::text[], '{x}'::text[],
    NULL::uuid[], NULL, NULL, NULL)$$, '55006', 'trigger "c" of table "stale" was altered in the middle of a statement',
    'P3: a batch whose default replaces the trigger that counts');
SELECT throws_ok($$INSERT INTO m.stale (k, kind) VALUES ('a', 'x')$$, '55006', NULL, 'P3: and an INSERT');
DELETE FROM trick;
INSERT INTO stale (k, kind) VALUES ('a', 'later');
SELECT is_empty($$SELECT * FROM playevent.verify('m.stale')$$, 'P3: what goes in is counted');

-- A type that calls its owner, by an index that calls the type
CREATE FUNCTION tell(bigint, bigint) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'ran as %', current_user USING ERRCODE = 'PE001'; END$$;
CREATE TYPE told AS RANGE (subtype = bigint, subtype_diff = tell);
CREATE TABLE ranged (k told);
CREATE TABLE ranged_slot (k told, n bigint NOT NULL);
CREATE INDEX ON ranged_slot (k);
CREATE INDEX told_i ON ranged_slot USING gist (k);
CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON ranged_slot FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard('ranged', 'count', 'n', 'k');
CREATE TRIGGER c AFTER INSERT ON ranged FOR EACH ROW EXECUTE FUNCTION playevent.count('ranged_slot', 'n', 'k');
CREATE TRIGGER f AFTER INSERT ON ranged FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush();
RESET ROLE;
SELECT throws_ok($$INSERT INTO m.ranged SELECT m.told(i, i + 10) FROM generate_series(1, 1000) i$$, '55000',
    'index "told_i" is not allowed on slot table "ranged_slot"', 'P8: an index of another access method, which calls the type''s owner');
SET ROLE altered_mallory;

-- A key table that gets a column of another type while the query that fills it is
-- planned: times would be taken for where texts lie in memory
CREATE TABLE keyed (id bigint GENERATED ALWAYS AS IDENTITY, track_entry_key text NOT NULL, release_id text, bucket text NOT NULL,
    event_id uuid, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE TABLE keyed_all PARTITION OF keyed DEFAULT;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id text);
INSERT INTO track VALUES ('a', 'b');
SELECT playevent.attach_log('keyed', track => 'm.track', kinds => '{x}');
ALTER TABLE keyed_all DISABLE TRIGGER playevent_dedupe;
INSERT INTO keyed (track_entry_key, bucket, event_id) VALUES ('a', 'x', gen_random_uuid());
ALTER TABLE keyed_all ENABLE TRIGGER playevent_dedupe;
CREATE INDEX keyed_i ON keyed_all (id) WHERE m.spring_in_index(1);
SELECT set_trick('keyed_i', 'ALTER TABLE m.keyed_event_key ALTER created_at TYPE text');
SELECT throws_ok($$SELECT playevent.fill_event_keys('m.keyed', false)$$, '55000', NULL, 'P8: a key table that is altered while it is about to be filled');

-- A slot table whose keys get another type while a partition is taken off it, which
-- has no rows, so that nothing else is written there: numbers would be taken for where
-- texts lie in memory
SELECT playevent.create_log('play', track => 'm.track', partition_by => 'month');
\ir include/months.sql
SELECT make_months('play_event', 2);
SELECT spread($$INSERT INTO m.play_event (track_entry_key, bucket, created_at, played_at) VALUES ('a', 'most', m.month(-1), m.month(-2))$$, 3);
DO $$
DECLARE
    index regclass;
BEGIN
    FOR index IN SELECT indexrelid FROM pg_index WHERE indrelid = 'm.play_daily_slot'::regclass LOOP
        EXECUTE format('DROP INDEX %s', index);
    END LOOP;
END
$$;
CREATE INDEX ON play_daily_slot (day, track_entry_key);
SELECT playevent.seal('play_event', month(-1));
-- The first of the counters is another.
CREATE SEQUENCE taken_off;
CREATE FUNCTION spring_at_second() RETURNS void VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    GET DIAGNOSTICS context = PG_CONTEXT;
    IF context LIKE '%take_off%' AND nextval('m.taken_off') = 2 THEN
        PERFORM m.spring();
    END IF;
END
$$;
CREATE FUNCTION spring_late(int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM m.spring_at_second(); RETURN true; END';
CREATE INDEX ON play_event_m2 (id) WHERE m.spring_late(1);
DELETE FROM trick;
SELECT set_trick(NULL, $$DROP VIEW m.play_daily; ALTER TABLE m.play_daily_slot DISABLE TRIGGER USER;
    ALTER TABLE m.play_daily_slot ALTER release_id TYPE bigint USING 1234567$$);
SELECT throws_ok($$SELECT playevent.retire('play_event', m.month(-1))$$, '42804', NULL, 'P8: a slot table that is altered while a partition is taken off it');
SELECT is((SELECT last_value FROM taken_off), 2::bigint, 'P8: as it was');

-- Triggers for UPDATE are none of INSERT's
CREATE TABLE updated (id bigint GENERATED ALWAYS AS IDENTITY, k bigint, kind text, r bigint, y text);
CREATE TRIGGER r BEFORE UPDATE ON updated FOR EACH ROW
    EXECUTE FUNCTION playevent.resolve('number_track', 'k', 'r', '', 'record', 'k', 'r');
SELECT set_eq($$SELECT status FROM playevent.record_batch('m.updated', '{id,k,kind,"","","",y,""}'::name[], NULL, '{1,2}'::bigint[], '{x,x}'::text[],
    NULL::uuid[], NULL, NULL, NULL)$$, ARRAY['recorded'], 'P2: a batch for a table whose trigger resolves updates alone');
SELECT results_eq('SELECT k, r, y FROM updated ORDER BY id', 'VALUES (1::bigint, NULL::bigint, NULL), (2, NULL, NULL)', 'P2: none is resolved');

-- A default of PL/pgSQL's, which a check in PL/pgSQL takes over and frees
CREATE FUNCTION many() RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
    a int[] := ARRAY[1, 2, 3];
BEGIN
    FOR i IN 1..3000 LOOP
        a[i] := i;
    END LOOP;
    RETURN a;
END
$$;
CREATE FUNCTION taken_over(a int[]) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN a[1] := 99; RETURN cardinality(a); END';
CREATE TABLE expanded (id bigint GENERATED ALWAYS AS IDENTITY, k text, kind text, r bigint, d int[] DEFAULT many(),
    g int GENERATED ALWAYS AS (taken_over(d)) STORED, CHECK (taken_over(d) > 0));
SELECT set_eq($$SELECT status FROM playevent.record_batch('m.expanded', '{id,k,kind,"","","",r,""}'::name[], NULL, '{a,b}'::text[], '{x,x}'::text[],
    NULL::uuid[], NULL, NULL, NULL)$$, ARRAY['recorded'], 'P9: a batch with defaults that functions take over');
SELECT set_eq('SELECT cardinality(d), d[1:3]::text, g FROM expanded', $$VALUES (3000, '{1,2,3}', 3000)$$, 'P9: goes in as it was');

RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
