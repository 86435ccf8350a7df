-- P8: no function of the extension, documented or internal, does for anybody what
-- he may not do himself; and what others' tables say of a log, counts for nothing.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
\ir include/hostile.sql

SELECT hostile.prepare('hostile_owner', $$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('play', track => 'o.track', ingest_role => 'hostile_web', reader_role => 'hostile_web');
    SELECT playevent.add_counter('o.play_event', 'further', '{day}');
    INSERT INTO o.play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'a'), ('k2', 'most', 'b');
    CREATE TABLE o.listens (k text NOT NULL, r bigint, b text NOT NULL, day date NOT NULL) PARTITION BY LIST (b);
    CREATE TABLE o.listens_a PARTITION OF o.listens FOR VALUES IN ('a');
    SELECT playevent.attach_log('o.listens', 'o.track', key_column => 'k', release_column => 'r', kind_column => 'b');
    INSERT INTO o.listens VALUES ('k1', NULL, 'a', '2020-01-01');
    -- guarded by itself, and no log's
    CREATE TABLE o.kept (k text);
    CREATE TRIGGER kept BEFORE TRUNCATE ON o.kept FOR EACH STATEMENT EXECUTE FUNCTION playevent.append_only();
    CREATE TABLE o.plain (k text)$$);
SELECT hostile.mallory($$
    CREATE TABLE m.track (entry_key text PRIMARY KEY, release_id bigint);
    SET LOCAL search_path = m;
    SELECT playevent.create_log('hit', track => 'm.track');$$);

-- All that catalogs and tables say of what is the owner's
CREATE FUNCTION hostile.state() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(E'\n',
        (SELECT string_agg(concat_ws(' ', c.oid::regclass, c.relowner::regrole, c.relacl, c.reloptions, c.relkind), E'\n' ORDER BY c.oid) FROM pg_class c WHERE c.relnamespace = 'o'::regnamespace),
        (SELECT string_agg(concat_ws(' ', a.attrelid::regclass, a.attname, a.atttypid::regtype, a.attacl), E'\n' ORDER BY a.attrelid, a.attnum)
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'o'::regnamespace AND a.attnum > 0),
        (SELECT string_agg(concat_ws(' ', t.oid, t.tgrelid::regclass, t.tgname, t.tgfoid::regproc, t.tgenabled, encode(t.tgargs, 'escape')), E'\n' ORDER BY t.oid)
           FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'o'::regnamespace),
        (SELECT string_agg(concat_ws(' ', p.oid::regprocedure, p.proowner::regrole, p.proacl, md5(p.prosrc)), E'\n' ORDER BY p.oid) FROM pg_proc p WHERE p.pronamespace = 'o'::regnamespace),
        (SELECT string_agg(concat_ws(' ', n.nspname, n.nspowner::regrole, n.nspacl), E'\n' ORDER BY n.oid) FROM pg_namespace n WHERE n.nspname IN ('o', 'playevent', 'public')),
        (SELECT string_agg(d.description, E'\n' ORDER BY d.objoid, d.objsubid) FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass WHERE c.relnamespace = 'o'::regnamespace),
        (SELECT string_agg(c::text, E'\n' ORDER BY c::text) FROM playevent.counter c WHERE c.event::text ~ '^o\.'),
        (SELECT string_agg(l::text, E'\n' ORDER BY l::text) FROM playevent.log l WHERE l.event::text ~ '^o\.'),
        hostile.contents('o.track', 'o.payroll', 'o.play_event', 'o.play_counter_slot', 'o.play_daily_slot', 'o.further_slot', 'o.listens', 'o.listens_counter_slot', 'o.kept'))
$$;

--
-- Every function of the schema, with the owner's tables
--

-- An argument of a type; in an array of others' things, the one of that number
CREATE FUNCTION hostile.argument(type regtype, rel text, word text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE type::text
        WHEN 'regclass' THEN quote_literal(rel) || '::regclass'
        WHEN 'oid' THEN format('(SELECT max(oid) FROM pg_trigger WHERE tgrelid = %L::regclass)', rel)
        WHEN 'name' THEN quote_literal(word) || '::name'
        WHEN 'text' THEN quote_literal(word) || '::text'
        WHEN 'name[]' THEN format('ARRAY[%L]::name[]', word)
        WHEN 'text[]' THEN format('ARRAY[%L]::text[]', word)
        WHEN '"any"' THEN format('ARRAY[%L]::text[]', word)
        WHEN 'boolean' THEN 'true'
        WHEN 'integer' THEN '1'
        WHEN 'date' THEN '''2020-01-01''::date'
        WHEN 'bytea' THEN '''x\000o.track\000''::bytea'
        WHEN 'regrole' THEN '''hostile_mallory''::regrole'
        ELSE 'NULL::' || type::text END
$$;
CREATE FUNCTION hostile.call_all(OUT calls bigint, OUT worked text, OUT internal text) LANGUAGE plpgsql AS $$
DECLARE
    p record;
    rel text;
    word text;
    statement text;
    result text;
BEGIN
    calls := 0;
    FOR p IN SELECT f.oid, f.proname, f.proargtypes::regtype[] AS types FROM pg_proc f
              WHERE f.pronamespace = 'playevent'::regnamespace AND f.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
              ORDER BY f.proname
    LOOP
        FOREACH rel IN ARRAY '{o.play_event,o.payroll,o.plain,o.kept,o.play_counter_slot,o.further_slot,o.listens,o.listens_a,o.track,o.play_daily,pg_class}'::text[] LOOP
            CONTINUE WHEN NOT '{regclass,oid}'::regtype[] && p.types AND rel <> 'o.play_event';
            FOREACH word IN ARRAY '{play,further,day,plays,o,track_entry_key,further_slot,playevent_flush,release,record}'::text[] LOOP
                CONTINUE WHEN NOT '{name,text,name[],text[],"\"any\""}'::regtype[] && p.types AND word <> 'play';
                statement := format('SELECT * FROM playevent.%I(%s)', p.proname,
                    (SELECT string_agg(hostile.argument(t, rel, word), ', ' ORDER BY ord) FROM unnest(p.types) WITH ORDINALITY AS u(t, ord)));
                result := hostile.attempt('hostile_mallory', statement);
                calls := calls + 1;
                IF result = 'ok' AND worked IS DISTINCT FROM concat_ws(E'\n', worked, p.proname) AND coalesce(worked, '') !~ ('\m' || p.proname || '\M') THEN
                    worked := concat_ws(E'\n', worked, p.proname);
                END IF;
                IF result LIKE 'XX%' THEN
                    internal := concat_ws(E'\n', internal, statement || ': ' || result);
                END IF;
            END LOOP;
        END LOOP;
    END LOOP;
END
$$;
SELECT hostile.state() AS state \gset before_
SELECT calls, coalesce(worked, '') AS worked, coalesce(internal, '') AS internal FROM hostile.call_all() \gset
SELECT cmp_ok(:'calls'::int, '>', 1000, 'P8: Mallory has called all functions with others'' tables');
SELECT diag('worked: ' || replace(:'worked', E'\n', ', '));
SELECT is(hostile.state(), :'before_state', 'P8: and nothing of others is different');
SELECT is(:'internal'::text, '', 'P9: nor was there an internal error');
SELECT is_empty($$SELECT has FROM unnest('{o.play_event,o.play_counter_slot,o.play_daily_slot,o.further_slot,o.listens,o.payroll,o.track,o.play_counter}'::regclass[]) has
                   WHERE has_table_privilege('hostile_mallory', has, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                      OR has_any_column_privilege('hostile_mallory', has, 'SELECT, INSERT, UPDATE, REFERENCES')$$, 'P8: she has no right that she hadn''t');
SELECT hostile.unseen('nothing of hers has run');

--
-- What reads slots for those who may, reads nothing else: views show what their
-- reader may see, and run functions as him
--

SELECT hostile.mallory($$
    CREATE VIEW m.bait AS SELECT 'bait'::text AS name, 1::bigint AS salary, date '2020-01-01' AS day WHERE m.tell('view');
    GRANT SELECT ON m.bait TO PUBLIC$$);
SELECT hostile.prepare('hostile_owner', $$
    CREATE VIEW o.mine AS SELECT name, salary, date '2020-01-01' AS day FROM o.payroll WHERE current_user = 'hostile_owner';
    CREATE VIEW o.hers AS SELECT * FROM m.bait;
    CREATE TABLE o.readable (name text, salary bigint, day date);
    INSERT INTO o.readable VALUES ('alice', 100, '2020-01-01');
    GRANT SELECT ON o.mine, o.hers, o.readable TO PUBLIC$$);
SELECT hostile.prepare('superuser', $$
    CREATE VIEW o.royal AS SELECT * FROM m.bait;
    CREATE TABLE m.royal_child () INHERITS (o.readable);
    ALTER TABLE m.royal_child OWNER TO hostile_mallory;
    GRANT SELECT ON o.royal TO PUBLIC$$);
SELECT hostile.mallory($$
    CREATE INDEX ON m.royal_child (name) WHERE m.yes('pred');
    CREATE STATISTICS m.child_stat ON (m.same('stat', 'a') || name), (m.same('stat', 'b') || name) FROM m.royal_child$$);
CREATE FUNCTION hostile.reads(relation text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    SET LOCAL ROLE hostile_mallory;
    SELECT string_agg(t::text, ' ') INTO result FROM playevent.top_as_owner(relation::regclass, '2000-01-01', '2100-01-01', 'track', 10) t;
    RESET ROLE;
    RETURN coalesce(result, 'nothing');
EXCEPTION WHEN OTHERS THEN
    RESET ROLE;
    RETURN 'nothing: ' || SQLERRM;
END
$$;
SELECT unalike(hostile.reads(relation), '%alice%', 'P8: she reads nothing of ' || relation || ' that is for its owner alone')
  FROM unnest('{o.mine,o.payroll}'::text[]) relation;
SELECT hostile.attempt('hostile_mallory', format($$SELECT * FROM playevent.top_as_owner('%s', '2000-01-01', '2100-01-01', 'track', 10)$$, relation)) AS done
  FROM unnest('{o.hers,o.royal,o.readable}'::text[]) relation \g /dev/null
SELECT hostile.unseen('no view or child is read as its owner');
SELECT hostile.attempt('hostile_mallory', $$SET LOCAL compute_query_id = on; SELECT * FROM playevent.top_as_owner('pg_stat_activity', '2000-01-01', '2100-01-01', 'track', 100)$$) AS result \gset
SELECT isnt(:'result'::text, 'ok', 'P8: nor what a superuser sees of others'' sessions');

--
-- The right TRIGGER on a table is no way to say that it is a slot table, or to keep
-- its owner from writing to it by playevent's guards
--

SELECT hostile.prepare('hostile_owner', $$
    CREATE TABLE o.budget (day date, plays bigint NOT NULL);
    CREATE INDEX ON o.budget (day);
    INSERT INTO o.budget VALUES ('2020-01-01', 1000);
    GRANT SELECT, TRIGGER ON o.budget TO hostile_mallory;
    GRANT TRIGGER ON o.play_counter_slot, o.play_event TO hostile_mallory$$);
SELECT hostile.fails('hostile_mallory', statement, '42501', 'she may not: ' || statement)
  FROM (VALUES ('CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON o.budget FOR EACH STATEMENT EXECUTE FUNCTION playevent.slot_guard(''play_event'', ''count'', ''plays'', ''day'')'),
               ('CREATE TRIGGER guard_row BEFORE INSERT OR UPDATE OR DELETE ON o.budget FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(''play_event'', ''count'', ''plays'', ''day'')'),
               ('CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON o.play_counter_slot FOR EACH STATEMENT EXECUTE FUNCTION playevent.slot_guard(''m.hit_event'', ''count'', ''plays'', ''day'')'),
               ('CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON o.budget FOR EACH ROW EXECUTE FUNCTION playevent.append_only()'),
               ('CREATE TRIGGER count AFTER INSERT ON o.budget FOR EACH ROW EXECUTE FUNCTION playevent.count(''further_slot'', ''plays'', ''day'')')) s(statement);
SELECT is((SELECT intact FROM playevent.log WHERE event = 'o.play_event'::regclass), true, 'P8: the log is intact');
SELECT hostile.works('hostile_web', $$SELECT o.record_play('k1', 'most')$$, 'and records');
SELECT hostile.survives('hostile_owner', $$SELECT playevent.attach_log('o.play_event', track => 'o.track')$$, 'its owner attaches it');
SELECT is_empty($$SELECT k FROM playevent.counter k WHERE k.counter_slot = 'o.budget'::regclass$$, 'P8: no other table of his becomes a slot table');
SELECT is(hostile.contents('o.budget'), E'o.budget: (2020-01-01,1000)\n', 'P8: nor is it written to');
DROP TRIGGER IF EXISTS guard ON o.budget;
DROP TRIGGER IF EXISTS guard_row ON o.budget;
DROP TRIGGER IF EXISTS keep ON o.budget;
SELECT hostile.attempt('superuser', 'DROP TRIGGER IF EXISTS guard ON o.play_counter_slot; DROP TRIGGER IF EXISTS playevent_count_budget ON o.play_event') AS done \g /dev/null

--
-- Names that move: theirs, while triggers of hers name them, and hers
--

SELECT hostile.mallory($_$
    CREATE TABLE m.squat (k text NOT NULL, r bigint, b text NOT NULL, day date);
    CREATE TRIGGER playevent_count AFTER INSERT ON m.squat FOR EACH ROW EXECUTE FUNCTION playevent.count('o.further_slot', 'plays', 'day');
    CREATE TRIGGER resolve BEFORE INSERT ON m.squat FOR EACH ROW EXECUTE FUNCTION playevent.resolve('o.track', 'entry_key', 'release_id', '', 'record', 'k', 'r');
    CREATE TABLE m.further_slot (day date, plays bigint NOT NULL);
    CREATE INDEX ON m.further_slot (day);
    CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.further_slot FOR EACH STATEMENT
        EXECUTE FUNCTION playevent.slot_guard('o.play_event', 'count', 'plays', 'day');
    CREATE TRIGGER guard_row BEFORE INSERT OR UPDATE OR DELETE ON m.further_slot FOR EACH ROW
        EXECUTE FUNCTION playevent.slot_guard('o.play_event', 'count', 'plays', 'day');
$_$);
SELECT hostile.works('superuser', 'GRANT CREATE ON SCHEMA m TO hostile_owner', 'the owner may create in her schema');
SELECT hostile.works(role, statement, role || ': ' || statement)
  FROM (VALUES ('hostile_owner', 'ALTER TABLE o.further_slot RENAME TO farther_slot'),
               ('hostile_mallory', 'ALTER TABLE m.further_slot RENAME TO farther_slot'),
               ('hostile_owner', 'ALTER TABLE o.play_event RENAME TO heard'),
               ('hostile_mallory', 'CREATE TABLE m.heard (day date)'),
               ('hostile_owner', 'ALTER TABLE o.heard RENAME TO play_event'),
               ('superuser', 'ALTER SCHEMA o RENAME TO p'),
               ('superuser', 'ALTER SCHEMA p RENAME TO o'),
               ('hostile_mallory', 'ALTER TABLE m.squat RENAME TO "sq""uat''"'),
               ('hostile_owner', 'ALTER TABLE o.farther_slot RENAME TO further_slot')) s(role, statement);
SELECT hostile.attempt('hostile_mallory', $$INSERT INTO m."sq""uat'" VALUES ('k1', 1, 'x', '2020-01-01')$$) AS result \gset
SELECT isnt(:'result'::text, 'ok', 'P8: her claims are void, whatever is renamed');
SELECT results_eq($$SELECT counter::text COLLATE "default", counter_slot::text COLLATE "default" FROM playevent.counter WHERE event = 'o.play_event'::regclass ORDER BY 1$$,
    $$VALUES ('further', 'o.further_slot'), ('play_counter', 'o.play_counter_slot'), ('play_daily', 'o.play_daily_slot')$$, 'P8: the log has its counters');
SELECT hostile.works('hostile_web', $$SELECT o.record_play('k1', 'most')$$, 'and records');
SELECT is_empty($$SELECT * FROM playevent.verify('o.play_event')$$, 'P8: exactly');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'o.play_event'::regclass), true, 'P8: it is intact');
-- A log that is moved into her schema is still his, with his counters.
SELECT hostile.works('hostile_owner', 'ALTER TABLE o.play_event SET SCHEMA m', 'the owner moves his log to her schema');
SELECT hostile.works('hostile_owner', $$INSERT INTO m.play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, 'and inserts into it');
SELECT is_empty($$SELECT * FROM playevent.counter WHERE event = 'm.play_event'::regclass AND counter_slot::text ~ '^m\.'$$, 'P8: no table of hers counts for it');
SELECT is_empty($$SELECT * FROM playevent.verify('m.play_event')$$, 'P8: it is exact');
SELECT hostile.unseen('nothing of hers has run');

SELECT * FROM finish();
ROLLBACK;
