-- P7: what a restore does with triggers, by hand.  Rows come while the triggers
-- are disabled, of log, partitions and slot tables in any order, some of them
-- twice, or not at all; when the last ones are enabled again, the counters are
-- exact, and the triggers as they were.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hll') AS no_hll \gset
SELECT no_plan();
SET client_min_messages = error;

CREATE ROLE restorer;
CREATE SCHEMA r AUTHORIZATION restorer;
SET search_path = r, public;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO restorer;
SET ROLE restorer;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track SELECT 'k' || i, i % 3 FROM generate_series(1, 9) i;
CREATE TABLE release (id bigint PRIMARY KEY);
INSERT INTO release SELECT generate_series(0, 9);
SELECT playevent.create_log('play', track => 'track') IS NOT NULL AS made \gset
CREATE TABLE tied (id bigserial PRIMARY KEY, track_entry_key text NOT NULL,
    release_id bigint REFERENCES release, bucket play_bucket NOT NULL);
SELECT playevent.attach_log('tied', track => 'track') IS NOT NULL AS made \gset
CREATE TABLE parted (id bigserial, track_entry_key text NOT NULL, release_id bigint, bucket play_bucket NOT NULL)
    PARTITION BY LIST (bucket);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('partial') PARTITION BY HASH (track_entry_key);
CREATE TABLE parted_a_0 PARTITION OF parted_a FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_a_1 PARTITION OF parted_a FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE parted_z PARTITION OF parted FOR VALUES IN ('most');
CREATE TABLE parted_none PARTITION OF parted DEFAULT;
SELECT playevent.attach_log('parted', track => 'track') IS NOT NULL AS made \gset
SELECT playevent.add_counter('parted', 'by_song', '{track_entry_key}') IS NOT NULL AS made \gset
RESET ROLE;
\if :no_hll
\else
CREATE EXTENSION IF NOT EXISTS hll SCHEMA public;
SET ROLE restorer;
SELECT playevent.add_listener_sketch('play_event') IS NOT NULL AS made \gset
RESET ROLE;
\endif

-- What a dump has: plays whose tracks have other releases by now.
INSERT INTO play_event (track_entry_key, bucket, anon_id)
SELECT 'k' || 1 + i % 9, CASE i % 2 WHEN 0 THEN 'most' ELSE 'partial' END::play_bucket, 'l' || i % 5 FROM generate_series(1, 60) i;
INSERT INTO tied (track_entry_key, bucket) SELECT track_entry_key, bucket FROM play_event ORDER BY id;
INSERT INTO parted (track_entry_key, bucket) SELECT track_entry_key, bucket FROM play_event ORDER BY id;
CREATE TABLE names AS
SELECT c.relname AS name FROM pg_class c
 WHERE c.relnamespace = 'r'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^(play_event|tied|parted.*|.*_slot)$';
SELECT format('CREATE SCHEMA d; %s', string_agg(format('CREATE TABLE d.%1$I AS TABLE r.%1$I', name), ';')) FROM names \gexec
CREATE TABLE before AS
SELECT 'play' AS log, p.* FROM play_counter p
UNION ALL SELECT 'tied', t.* FROM tied_counter t
UNION ALL SELECT 'parted', t.* FROM parted_counter t;
UPDATE track SET release_id = release_id + 5;
GRANT ALL ON ALL TABLES IN SCHEMA d TO restorer;
GRANT ALL ON SCHEMA d, r TO restorer;
GRANT ALL ON names, before TO restorer;

-- Empties the logs and their slots.
CREATE FUNCTION emptied() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name name;
BEGIN
    FOR name IN SELECT n.name FROM names n LOOP
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER ALL', name);
    END LOOP;
    EXECUTE (SELECT format('TRUNCATE %s', string_agg(quote_ident(n.name), ', ')) FROM names n);
    FOR name IN SELECT n.name FROM names n LOOP
        EXECUTE format('ALTER TABLE %I ENABLE TRIGGER ALL', name);
    END LOOP;
END
$$;

-- Restores the data of a table as pg_restore does without --exit-on-error, and
-- returns the errors' codes.
CREATE FUNCTION restored(name name) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    statement text;
    errors text[] := '{}';
BEGIN
    FOREACH statement IN ARRAY ARRAY[
        'ALTER TABLE %1$I DISABLE TRIGGER ALL',
        'INSERT INTO %1$I OVERRIDING SYSTEM VALUE SELECT * FROM d.%1$I',
        'ALTER TABLE %1$I ENABLE TRIGGER ALL']
    LOOP
        BEGIN
            EXECUTE format(replace(statement, CASE WHEN name = 'play_event' THEN '' ELSE 'OVERRIDING SYSTEM VALUE ' END, ''), name);
        EXCEPTION WHEN OTHERS THEN
            errors := errors || SQLSTATE::text;
        END;
    END LOOP;
    RETURN array_to_string(errors, ' ');
END
$$;

-- What is not as it should be.
CREATE FUNCTION faults() RETURNS SETOF text LANGUAGE sql AS $$
SELECT format('%s: %s', l.event, v) FROM playevent.log l, playevent.verify(l.event) v
UNION ALL
SELECT format('%s is not intact', l.event) FROM playevent.log l WHERE NOT l.intact
$$;

CREATE FUNCTION as_before() RETURNS SETOF text LANGUAGE sql AS $$
SELECT format('%s %s', b, a) FROM before b
  FULL JOIN (SELECT 'play' AS log, p.* FROM play_counter p
             UNION ALL SELECT 'tied', t.* FROM tied_counter t
             UNION ALL SELECT 'parted', t.* FROM parted_counter t) AS a
         ON b = a
 WHERE b IS NULL OR a IS NULL
$$;

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA r TO restorer;
SELECT is_empty('SELECT * FROM faults()', 'exact before');

-- An order of tables, with some left out or twice.
CREATE FUNCTION in_order(names text[]) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(u.name || ' ' || restored(u.name::name), E'\n') FROM unnest(names) WITH ORDINALITY AS u(name, ord)
$$;
GRANT EXECUTE ON FUNCTION in_order TO restorer;

--
-- All orders, as superuser: every table's releases are those of the dump.
--
SELECT setseed(0.7);
CREATE TABLE orders AS
SELECT 'by name' AS way, array_agg(name::text ORDER BY name) AS names FROM names
UNION ALL
SELECT 'by name, backwards', array_agg(name::text ORDER BY name DESC) FROM names
UNION ALL
SELECT 'slots first', array_agg(name::text ORDER BY name NOT LIKE '%slot', name) FROM names
UNION ALL
SELECT 'slots last', array_agg(name::text ORDER BY name LIKE '%slot', name) FROM names
UNION ALL
SELECT 'order ' || i, array_agg(name::text ORDER BY random()) FROM names, generate_series(1, 2) i GROUP BY i;
GRANT SELECT ON orders TO restorer;

CREATE FUNCTION all_orders(change text, role text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    o record;
    names text[];
BEGIN
    FOR o IN SELECT * FROM orders LOOP
        PERFORM set_config('role', 'postgres', true);
        PERFORM emptied();
        PERFORM set_config('role', role, true);
        names := o.names;
        CASE change
            WHEN 'none' THEN NULL;
            WHEN 'slots twice' THEN
                names := ARRAY(SELECT u.name FROM unnest(names) WITH ORDINALITY AS u(name, ord),
                                 generate_series(1, CASE WHEN u.name LIKE '%slot' THEN 2 ELSE 1 END) ORDER BY ord);
            WHEN 'all twice' THEN
                names := names || names;
            WHEN 'no slots' THEN
                names := ARRAY(SELECT u.name FROM unnest(names) WITH ORDINALITY AS u(name, ord) WHERE u.name NOT LIKE '%slot' ORDER BY ord);
            WHEN 'no rows' THEN
                names := ARRAY(SELECT u.name FROM unnest(names) WITH ORDINALITY AS u(name, ord) WHERE u.name LIKE '%slot' ORDER BY ord);
            WHEN 'a partition less' THEN
                names := array_remove(names, 'parted_z');
        END CASE;
        PERFORM in_order(names);
        RETURN QUERY SELECT format('%s, %s: %s', change, o.way, f) FROM faults() f;
        IF role = 'postgres' AND change IN ('none', 'slots twice', 'no slots') THEN
            RETURN QUERY SELECT format('%s, %s: %s', change, o.way, f) FROM as_before() f;
        END IF;
    END LOOP;
    PERFORM set_config('role', 'postgres', true);
END
$$;

SELECT is_empty(format('SELECT * FROM all_orders(%L, %L)', change, role),
    format('P7: data restored by %s, %s: exact in every order', CASE role WHEN 'postgres' THEN 'a superuser' ELSE 'the owner' END,
           CASE change WHEN 'none' THEN 'all of it' ELSE change END))
  FROM unnest(ARRAY['none', 'slots twice', 'all twice', 'no slots', 'no rows', 'a partition less']) change,
       unnest(ARRAY['postgres', 'restorer']) role;

-- What is refused to whoever is no superuser: the triggers of a foreign key, and
-- so all of that table.
SELECT emptied();
SET ROLE restorer;
SELECT is(in_order(ARRAY['tied', 'play_event', 'parted_z', 'tied_counter_slot']),
    E'tied 42501 42501\nplay_event \nparted_z \ntied_counter_slot ', 'P7: the owner can''t disable the triggers of a log that has foreign keys');
SELECT is_empty('SELECT * FROM faults()', 'P7: that it counts by its triggers makes nothing wrong');
RESET ROLE;

--
-- Who does it
--

-- A partition's owner
CREATE ROLE part_owner;
GRANT ALL ON SCHEMA r, d TO part_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA d TO part_owner;
SELECT emptied();
ALTER TABLE parted_z OWNER TO part_owner;
SET ROLE part_owner;
SELECT is(restored('parted_z'), '', 'P7: a partition''s owner, who can''t read the log, restores it');
RESET ROLE;
SELECT playevent.rebuild('parted') \g /dev/null
SELECT is_empty('SELECT * FROM faults()', 'P7: and it is counted when the log''s owner calls rebuild, as a warning says');
ALTER TABLE parted_z OWNER TO restorer;

-- Another superuser, under row security
ALTER TABLE play_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE play_counter_slot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT emptied();
SELECT is(in_order(ARRAY['play_event', 'play_counter_slot']), E'play_event \nplay_counter_slot ', 'P7: policies hide nothing from it');
ALTER TABLE play_event DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
ALTER TABLE play_counter_slot DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
SELECT is_empty('SELECT * FROM faults()', 'P7: with row security forced: exact');

--
-- What else is under way
--

-- Plays that are counted at the transaction's end, or the subtransaction's
SELECT emptied();
INSERT INTO parted_z (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most');
ALTER TABLE parted_a_0 DISABLE TRIGGER ALL;
INSERT INTO parted_a_0 TABLE d.parted_a_0;
ALTER TABLE parted_a_0 ENABLE TRIGGER ALL;
SELECT is_empty('SELECT * FROM faults()', 'P7: with plays that are not counted yet: exact');
SAVEPOINT s;
INSERT INTO parted_z (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most');
ALTER TABLE parted_a_1 DISABLE TRIGGER ALL;
INSERT INTO parted_a_1 TABLE d.parted_a_1;
ALTER TABLE parted_a_1 ENABLE TRIGGER ALL;
RELEASE s;
SELECT is_empty('SELECT * FROM faults()', 'P7: with plays that were not counted yet, in a subtransaction: exact');
SAVEPOINT around;
INSERT INTO parted_z (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'most');
SAVEPOINT s;
SELECT is(restored('parted_counter_slot'), '', 'P7: with plays that are not counted yet, around the subtransaction: succeeds');
ROLLBACK TO s;
RELEASE around;
SELECT is_empty('SELECT * FROM faults()', 'P7: and taken back: exact');

-- Several commands in one, and triggers of others
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION lost() RETURNS trigger LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRIGGER a_lost_one AFTER UPDATE ON play_event FOR EACH ROW EXECUTE FUNCTION lost('play_counter_slot', 'plays');
CREATE TRIGGER a_lost_one AFTER UPDATE ON play_counter_slot FOR EACH ROW EXECUTE FUNCTION lost('play_counter_slot', 'plays');
CREATE TRIGGER another AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION nothing();
UPDATE pg_proc SET probin = '$libdir/no_such_library' WHERE oid = 'lost'::regproc;
SELECT emptied();
SELECT is(in_order(ARRAY['play_counter_slot', 'play_event', 'play_counter_slot']), E'play_counter_slot \nplay_event \nplay_counter_slot ',
    'P7: beside a trigger whose library is gone');
SELECT is_empty('SELECT * FROM faults()', 'P7: beside it: exact');
DROP TRIGGER a_lost_one ON play_event;
DROP TRIGGER a_lost_one ON play_counter_slot;
SELECT emptied();
ALTER TABLE play_event DISABLE TRIGGER ALL, ADD COLUMN note text;
INSERT INTO play_event OVERRIDING SYSTEM VALUE SELECT *, 'noted' FROM d.play_event;
ALTER TABLE play_event DROP COLUMN note, ENABLE TRIGGER USER;
SELECT is_empty('SELECT * FROM faults()', 'P7: ENABLE TRIGGER beside other commands: exact');

-- A root's triggers, with all below it
SELECT emptied();
ALTER TABLE parted DISABLE TRIGGER ALL;
INSERT INTO parted SELECT * FROM d.parted_a_0 UNION ALL SELECT * FROM d.parted_z;
SELECT isnt_empty('SELECT * FROM faults()', 'P1: disabled triggers show');
ALTER TABLE parted ENABLE TRIGGER ALL;
SELECT is_empty('SELECT * FROM faults()', 'P7: a root''s triggers enabled again: exact');

-- As long as anything is disabled, it shows; what is enabled last sets all right.
SELECT emptied();
ALTER TABLE parted_a_0 DISABLE TRIGGER ALL;
ALTER TABLE parted_z DISABLE TRIGGER ALL;
ALTER TABLE parted_counter_slot DISABLE TRIGGER ALL;
INSERT INTO parted_a_0 SELECT * FROM d.parted_a_0;
INSERT INTO parted_z SELECT * FROM d.parted_z;
INSERT INTO parted_counter_slot SELECT * FROM d.parted_counter_slot;
ALTER TABLE parted_z ENABLE TRIGGER ALL;
SELECT isnt_empty($$SELECT * FROM faults() f WHERE f LIKE '%not intact'$$, 'P7: a log that waits for others is not intact');
ALTER TABLE parted_counter_slot ENABLE TRIGGER ALL;
SELECT isnt_empty($$SELECT * FROM faults() f WHERE f LIKE '%not intact'$$, 'P7: nor with its slots');
ALTER TABLE parted_a_0 ENABLE TRIGGER ALL;
SELECT is_empty('SELECT * FROM faults()', 'P7: the last one sets it right');

--
-- What can't be set right must not end the command
--
CREATE FUNCTION said(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END
$$;
SELECT emptied();
SELECT restored('play_event') AS errors \gset
ALTER TABLE play_counter_slot DISABLE TRIGGER ALL;
INSERT INTO play_counter_slot TABLE d.play_counter_slot;
SELECT said($$CREATE UNIQUE INDEX not_allowed ON play_counter_slot (track_entry_key, release_id, bucket, ctid)$$) AS made \gset
CREATE INDEX not_allowed ON play_counter_slot (track_entry_key) WHERE plays > 0;
SELECT is(said('ALTER TABLE play_counter_slot ENABLE TRIGGER ALL'), 'done', 'P10: slots that can''t be written don''t keep triggers from being enabled');
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, '55000',
    'index "not_allowed" is not allowed on slot table "play_counter_slot"', 'P10: nobody counts on');
SELECT throws_ok($$SELECT playevent.rebuild('play_event')$$, '55000', NULL, 'P10: nor can rebuild');
DROP INDEX not_allowed;
SELECT playevent.rebuild('play_event') AS mended \gset
SELECT is_empty('SELECT * FROM faults()', 'P10: once that is mended, rebuild sets it right');

-- A counter that is not agreed upon is left alone.
SELECT emptied();
CREATE TABLE squat (LIKE play_counter_slot);
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON squat FOR EACH ROW
    EXECUTE FUNCTION playevent.slot_guard('play_event', 'count', 'plays', 'track_entry_key', 'release_id', 'bucket');
ALTER TABLE squat DISABLE TRIGGER ALL;
INSERT INTO squat TABLE d.play_counter_slot;
SELECT is(said('ALTER TABLE squat ENABLE TRIGGER ALL'), 'done', 'P10: a table that only says to be a log''s');
SELECT is((SELECT count(*) FROM squat), (SELECT count(*) FROM d.play_counter_slot), 'P10: is left as it is');
DROP TABLE squat;

--
-- A trigger made when the data is there
--
SELECT emptied();
SELECT in_order(ARRAY['play_event', 'play_counter_slot']) AS errors \gset
SELECT string_agg(format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass), ';') AS drops,
       string_agg(format('%s; ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', pg_get_triggerdef(oid), tgrelid::regclass, tgname), ';'
                  ORDER BY tgrelid::regclass::text DESC, tgname) AS makes
  FROM pg_trigger
 WHERE tgrelid = 'play_counter_slot'::regclass OR tgrelid = 'play_event'::regclass AND tgname = 'playevent_count' \gset
:drops;
DELETE FROM play_counter_slot;
:makes;
SELECT is_empty('SELECT * FROM faults()', 'P7: triggers made where nothing is counted: exact');
:drops;
ALTER TABLE play_event DISABLE TRIGGER ALL;
DELETE FROM play_event;
ALTER TABLE play_event ENABLE TRIGGER ALL;
:makes;
SELECT is_empty('SELECT * FROM faults()', 'P7: triggers made where nothing is logged: exact');

-- pg_restore may make the slots' index last of all, as that of 19 does.
SELECT emptied();
SELECT in_order(ARRAY['play_event', 'play_counter_slot']) AS errors \gset
SELECT string_agg(format('DROP INDEX %s', indexrelid::regclass), ';') AS drops_indexes,
       string_agg(pg_get_indexdef(indexrelid), ';') AS makes_indexes
  FROM pg_index WHERE indrelid = 'play_counter_slot'::regclass \gset
:drops;
:drops_indexes;
DELETE FROM play_counter_slot;
SET client_min_messages = warning;
:makes;
SET client_min_messages = error;
SELECT is((SELECT count(*) FROM play_counter_slot), 0::bigint, 'P7: slots without an index can''t be counted in');
:makes_indexes;
SELECT is_empty('SELECT * FROM faults()', 'P7: the index made last, where nothing is counted: exact');

-- A function that makes triggers counts by itself, once.
SELECT restored('play_event') AS errors \gset
DROP TRIGGER playevent_count ON play_event;
SELECT playevent.attach_log('play_event', track => 'track') IS NOT NULL AS made \gset
SELECT is_empty('SELECT * FROM faults()', 'P7: attach_log after a restore: exact');

-- Without the event triggers nothing is looked at, and that shows.
ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;
SELECT in_order(ARRAY['play_event', 'play_counter_slot']) AS errors \gset
SELECT isnt_empty($$SELECT * FROM faults() f WHERE f LIKE '%not intact'$$, 'P7: without the event trigger: not intact');
ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;

SELECT * FROM finish();
ROLLBACK;
