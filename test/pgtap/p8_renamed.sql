-- P8: whoever renames a schema says how the tables in it are called, and nothing
-- more: the name is no code in others' functions, which follow; nor can anybody
-- who has triggers hinder it.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
\ir include/hostile.sql
SELECT format('GRANT CREATE ON DATABASE %I TO hostile_mallory', current_database()) \gexec
SELECT hostile.mallory($$
    CREATE SCHEMA shared;
    GRANT ALL ON SCHEMA shared TO hostile_owner;
    CREATE FUNCTION m.evil() RETURNS text LANGUAGE sql AS 'SELECT m.tell(''evil'')::text'$$);
SELECT hostile.prepare('hostile_owner', $_$
    SET LOCAL search_path = shared;
    SELECT playevent.create_log('al', track => 'o.track', ingest_role => 'hostile_web');

    CREATE FUNCTION o.comment() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    -- what record_al does: playevent.record_one('shared.al_event', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', NULL, ...)
    -- what record_als does: playevent.record_batch('shared.al_event', 'bucket', ...)
    RETURN 1;
END
$f$;
    CREATE FUNCTION o.dynamic() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    EXECUTE $q$SELECT playevent.record_one('shared.al_event', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', NULL, 'k1'::text, NULL::shared.al_bucket, NULL, NULL, NULL)$q$;
    RETURN 1;
END
$f$;
    CREATE FUNCTION o.begun() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    RETURN playevent.record_one(/* 'shared.al_event' */'shared' || '.al_event', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', NULL, 'k1'::text, 'most'::text, NULL, NULL, NULL);
END
$f$;
    CREATE FUNCTION o.of() RETURNS shared.al_bucket LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    -- playevent.kind_of($1, '{0.1}', ARRAY['most'])
    RETURN NULL;
END
$f$;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA o TO PUBLIC;
$_$);
SELECT string_agg(prosrc, '' ORDER BY proname) AS bodies FROM pg_proc WHERE pronamespace = 'o'::regnamespace \gset

CREATE FUNCTION hostile.renamed(who name, statement text, schema text, log text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT hostile.works(who, statement, statement);
    RETURN QUERY SELECT hostile.survives('hostile_mallory', format('SELECT o.%s()', f), 'then she calls ' || f)
           FROM unnest('{comment,dynamic,begun,of}'::text[]) f;
    RETURN NEXT hostile.works('hostile_owner', format('SELECT %I.record_al(''k1'', %1$I.al_bucket_of(0.5)) + count(*)
        FROM %1$I.record_als(''{k1}'', ARRAY[%1$I.al_bucket_of(0.1)])', schema), 'the log''s functions follow');
    RETURN NEXT is_empty(format('SELECT * FROM playevent.verify(%L)', format('%I.%I', schema, log)), 'P8: and what they record is counted');
END
$$;
SELECT hostile.renamed('hostile_mallory', format('ALTER SCHEMA %I RENAME TO %I', lag(name, 1, 'shared') OVER (ORDER BY n), name), name, 'al_event')
  FROM (VALUES (1, E'x\n PERFORM m.evil(); --'), (2, '$q$||m.evil()||$q$'), (3, '*/m.evil()||/*'), (4, E'\\'' || m.evil() || E''\\'),
               (5, '$1'' || m.evil() || '''), (6, 'shared')) v(n, name);
SELECT hostile.unseen('a schema''s name is no code in anybody''s function');

-- Nor is what the owner calls his things: it would only break his functions.
SELECT hostile.renamed('hostile_owner', 'ALTER TABLE shared.al_event RENAME TO "$q$ || nothing || $q$"', 'shared', '$q$ || nothing || $q$');
SELECT hostile.renamed('hostile_owner', 'ALTER TABLE shared."$q$ || nothing || $q$" RENAME TO al_event', 'shared', 'al_event');
SELECT hostile.renamed('hostile_owner', E'ALTER TYPE shared.al_bucket RENAME VALUE ''most'' TO E''\n RETURN nothing; --''', 'shared', 'al_event');
SELECT is((SELECT string_agg(prosrc, '' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'o'::regnamespace), :'bodies',
    'P8: functions that only speak of a log are left alone');

--
-- Her triggers
--

-- that call in their conditions what they execute, or another function of ours
SELECT hostile.mallory($_$
    CREATE TABLE shared.hers (a int);
    CREATE TABLE m.x_slot (a int);
    CREATE TRIGGER g BEFORE INSERT ON m.x_slot FOR EACH ROW WHEN (playevent.slot_guard() IS NOT NULL)
        EXECUTE FUNCTION playevent.slot_guard('shared.hers', 'count', 'n', 'a');
    CREATE TRIGGER h BEFORE INSERT ON m.x_slot FOR EACH ROW
        WHEN (playevent.count() IS NOT NULL AND playevent.sketch() IS NOT NULL AND playevent.resolve() IS NOT NULL)
        EXECUTE FUNCTION playevent.slot_guard('shared.hers', 'count', 'n', 'a')$_$);
SELECT hostile.renamed('superuser', 'ALTER SCHEMA shared RENAME TO shared2', 'shared2', 'al_event');
SELECT is((SELECT string_agg((playevent.trigger_arguments(tgargs))[1], ' ') FROM pg_trigger WHERE tgrelid = 'm.x_slot'::regclass),
    'shared2.hers shared2.hers', 'P10: her triggers follow too');

-- that say more than any of ours could: all of them are looked at by whoever renames
-- a table, and by the views
SELECT is(playevent.trigger_arguments(convert_to(repeat('a', 10000), 'UTF8')), '{}', 'P8: arguments too long to be ours are not looked at');
SELECT hostile.mallory($_$
    CREATE TABLE m.track (entry_key text PRIMARY KEY, release_id bigint);
    CREATE TABLE m.long_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
    SELECT playevent.attach_log('m.long_event', 'm.track', kinds => '{a}');
    DO $$ BEGIN
        EXECUTE format('CREATE OR REPLACE TRIGGER playevent_resolve BEFORE INSERT ON m.long_event FOR EACH ROW EXECUTE FUNCTION
            playevent.resolve(''m.track'', ''entry_key'', ''release_id'', '''', ''record'', ''track_entry_key'', ''release_id'', %L)', repeat('a', 1000000));
        EXECUTE format('CREATE TRIGGER long AFTER INSERT ON m.long_event FOR EACH ROW EXECUTE FUNCTION playevent.count(%L)', '"' || repeat('""', 3000) || '"');
    END $$$_$);
SELECT hostile.works('hostile_owner', 'ALTER TABLE shared2.al_event RENAME TO al_events; ALTER TABLE shared2.al_events RENAME TO al_event', 'a log is renamed beside those');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'm.long_event'::regclass), false, 'P10: and a log with such a trigger is not intact');

-- An attribute of a type that tables of hers are of: who renames it is not the
-- owner of her log, so he is not kept from it by what comparing that would run.
SELECT hostile.prepare('hostile_owner', 'CREATE TYPE o.play AS (k text, r bigint, c text)');
GRANT USAGE ON TYPE o.play TO hostile_mallory;
SELECT hostile.mallory($$
    CREATE TABLE m.typed OF o.play (k NOT NULL, c NOT NULL);
    SELECT playevent.attach_log('m.typed', 'm.track', key_column => 'k', release_column => 'r', kind_column => 'c', kinds => '{a}');
    INSERT INTO m.typed (k, c) VALUES ('k1', 'a');
    CREATE TABLE m.refusal ();
    CREATE FUNCTION m.refuses() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        'BEGIN IF EXISTS (SELECT FROM m.refusal) THEN RAISE ''no''; END IF; RETURN true; END';
    CREATE INDEX ON m.typed (r) WHERE m.refuses()$$);
SELECT hostile.works('superuser', 'ALTER TYPE o.play RENAME ATTRIBUTE c TO d CASCADE', 'an attribute of a type is renamed');
SELECT hostile.mallory('INSERT INTO m.refusal DEFAULT VALUES');
SELECT hostile.works('superuser', 'ALTER TYPE o.play RENAME ATTRIBUTE d TO c CASCADE', 'and back');
SELECT hostile.mallory('DELETE FROM m.refusal');
SELECT is_empty($$SELECT * FROM playevent.verify('m.typed')$$, 'P3: her log is exact');

SELECT * FROM finish();
ROLLBACK;
