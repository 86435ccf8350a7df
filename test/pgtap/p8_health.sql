-- P8: playevent.health runs nothing of the logs' owners, whoever asks; it tells whoever
-- may not read a log nothing of its rows, pg_monitor how many there are, and never fails
-- for all logs because of one.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
\ir include/hostile.sql

--
-- Who is told what
--

CREATE ROLE hostile_monitor;
GRANT pg_monitor TO hostile_monitor;
CREATE ROLE hostile_reader;
SELECT hostile.prepare('hostile_owner', $$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('play', track => 'o.track');
    INSERT INTO o.play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k1', 'most'), ('k2', 'most');
    SELECT playevent.void('o.play_event', '{1}', 'a test');
    GRANT SELECT ON o.play_counter_slot, o.play_daily_slot TO hostile_reader$$);

-- What a role is told of a log: slots, keys, verdicts; and of what anybody may know
CREATE FUNCTION hostile.told(role name, log regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM pg_catalog.set_config('role', role, true);
    SELECT concat_ws(' ', 'slots ' || most_slots, 'keys ' || (SELECT string_agg(DISTINCT k->'key'->>0, ',') FROM jsonb_array_elements(worst_keys) k),
               'verdicts ' || verdicts_of_a_day, CASE WHEN last_verdict_at IS NOT NULL THEN 'last' END,
               CASE WHEN intact THEN 'intact' END, CASE WHEN log_bytes > 0 AND slot_bytes > 0 THEN 'bytes' END)
      INTO result FROM playevent.health WHERE event = log;
    PERFORM pg_catalog.set_config('role', 'none', true);
    RETURN result;
END
$$;
SELECT is(hostile.told('none', 'o.play_event'), 'slots 1 keys k1,k2 verdicts 1 last intact bytes', 'P8: a superuser is told all');
SELECT is(hostile.told('hostile_owner', 'o.play_event'), 'slots 1 keys k1,k2 verdicts 1 last intact bytes', 'P8: the owner is told all');
SELECT is(hostile.told('hostile_monitor', 'o.play_event'), 'slots 1 verdicts 1 last intact bytes',
    'P8: a member of pg_monitor is told how many, and not of which keys');
SELECT is(hostile.told('hostile_reader', 'o.play_event'), 'slots 1 keys k1,k2 intact bytes', 'P8: who may read the slots is told of them');
SELECT is(hostile.told('hostile_mallory', 'o.play_event'), 'intact bytes', 'P8: others are told what catalogs tell all');
SELECT is((SELECT count(*) FROM playevent.worst_keys('o.play_event') WHERE key[1] IS NOT NULL), 4::bigint, 'P8: keys are there to be told');
SELECT hostile.works('hostile_monitor', $$DO 'BEGIN ASSERT (SELECT count(*) = 4 AND bool_and(key[1] IS NULL) FROM playevent.worst_keys(''o.play_event'')); END'$$,
    'nor does worst_keys tell a member of pg_monitor keys');

-- Policies apply to slots, though nobody has a use for them there.
SELECT hostile.prepare('hostile_owner', $$ALTER TABLE o.play_counter_slot ENABLE ROW LEVEL SECURITY;
    ALTER TABLE o.play_daily_slot ENABLE ROW LEVEL SECURITY$$);
SELECT is(hostile.told('hostile_reader', 'o.play_event'), 'intact bytes', 'P8: who may not read all slots is told of none');
SELECT is(hostile.told('hostile_monitor', 'o.play_event'), 'slots 1 verdicts 1 last intact bytes', 'P8: pg_monitor is told as before');
SELECT hostile.prepare('hostile_owner', $$ALTER TABLE o.play_counter_slot DISABLE ROW LEVEL SECURITY;
    ALTER TABLE o.play_daily_slot DISABLE ROW LEVEL SECURITY$$);

--
-- Logs of Mallory's
--

-- Whoever asks, her code does not run; and the owner's log is told of as ever.
CREATE FUNCTION hostile.asked(title text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    role name;
BEGIN
    FOREACH role IN ARRAY '{superuser,hostile_monitor,hostile_owner,hostile_web}'::name[] LOOP
        RETURN NEXT hostile.works(role, 'DO ''BEGIN PERFORM * FROM playevent.health; PERFORM w FROM playevent.log l, playevent.worst_keys(l.event, NULL) w; END''',
            format('%s: %s can ask for all logs', title, role));
    END LOOP;
    RETURN NEXT hostile.unseen(title || ': and her code does not run');
    RETURN NEXT is(hostile.told('none', 'o.play_event'), 'slots 1 keys k1,k2 verdicts 1 last intact bytes', 'P8: ' || title || ': other logs are told of');
END
$$;

SELECT hostile.mallory($_$SELECT m.make_log('plain', 'i (r, k, b)');
    CREATE TABLE m.track (entry_key text PRIMARY KEY, release_id bigint);
    INSERT INTO m.track VALUES ('m1', 1);
    SET LOCAL search_path = m;
    SELECT playevent.create_log('hit', track => 'm.track', partition_by => 'month');
    INSERT INTO m.hit_event (track_entry_key, bucket, event_id) VALUES ('m1', 'most', gen_random_uuid()), ('m1', 'most', gen_random_uuid());
    SELECT playevent.void('m.hit_event', '{1}', 'x');$_$);
SELECT is((SELECT count(*) FROM playevent.health WHERE event::text ~ '^m\.'), 2::bigint, 'P8: her logs are there');
SELECT is(hostile.told('none', 'm.hit_event'), 'slots 1 keys m1 verdicts 1 last intact bytes', 'P8: her log is told of');

SELECT hostile.mallory($_$SELECT m.make_log('wicked', 'i1 (m.same(''idx1'', k), r, b)', 'i2 (r, k, b) WHERE m.yes(''pred'')', 'i3 (r, m.same(''idx3'', b), k)', 'i4 (k)')$_$);
SELECT hostile.asked('indexes of slots');

SELECT hostile.mallory($_$
    CREATE INDEX ON m.hit_verdict (id, m.same('vidx', reason));
    CREATE INDEX ON m.hit_verdict (id) WHERE m.yes('vprd');
    CREATE INDEX ON m.hit_event_key (m.same('kidx', event_id::text));
    CREATE INDEX ON m.hit_event (m.same('eidx', track_entry_key));
    CREATE INDEX ON m.hit_manifest (m.same('midx', action))$_$);
SELECT hostile.asked('indexes of all tables');

SELECT hostile.mallory($_$
    CREATE POLICY p ON m.hit_verdict USING (m.yes('vpol'));
    CREATE POLICY p ON m.hit_counter_slot USING (m.yes('cpol'));
    CREATE POLICY p ON m.hit_event USING (m.yes('epol'));
    ALTER TABLE m.hit_verdict ENABLE ROW LEVEL SECURITY;
    ALTER TABLE m.hit_verdict FORCE ROW LEVEL SECURITY;
    ALTER TABLE m.hit_counter_slot ENABLE ROW LEVEL SECURITY;
    ALTER TABLE m.hit_counter_slot FORCE ROW LEVEL SECURITY;
    ALTER TABLE m.hit_event ENABLE ROW LEVEL SECURITY;
    ALTER TABLE m.hit_event FORCE ROW LEVEL SECURITY;$_$);
SELECT hostile.asked('policies');

SELECT hostile.mallory($_$
    CREATE FUNCTION m.count_in(log text) RETURNS void LANGUAGE plpgsql AS $f$
    BEGIN
        EXECUTE format('CREATE TRIGGER g1 BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION playevent.slot_guard(%L, ''count'', ''plays'', ''k'', ''r'', ''b'')', log || '_slot', log);
        EXECUTE format('CREATE TRIGGER g2 BEFORE INSERT OR UPDATE OR DELETE ON m.%I '
            'FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(%L, ''count'', ''plays'', ''k'', ''r'', ''b'')', log || '_slot', log);
        EXECUTE format('CREATE TRIGGER c AFTER INSERT ON m.%I '
            'FOR EACH ROW EXECUTE FUNCTION playevent.count(%L, ''plays'', ''k'', ''r'', ''b'')', log, log || '_slot');
        EXECUTE format('CREATE TRIGGER f AFTER INSERT ON m.%I FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush()', log);
    END
    $f$$_$);

-- A key of types of hers: no operator of theirs is called, and output is C's.
SELECT hostile.mallory($_$
    CREATE DOMAIN m.dom AS text CHECK (m.yes('domn'));
    CREATE TYPE m.comp AS (d m.dom, e text);
    CREATE FUNCTION m.diff(text, text) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM m.tell(''diff''); RETURN 1; END';
    CREATE TYPE m.rng AS RANGE (subtype = text, subtype_diff = m.diff);
    CREATE FUNCTION m.cast_comp(m.comp) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM m.tell(''cast''); RETURN ''x''; END';
    CREATE CAST (m.comp AS text) WITH FUNCTION m.cast_comp(m.comp) AS IMPLICIT;
    CREATE TABLE m.typed_slot (k m.dom, r m.rng, b m.comp, plays bigint NOT NULL);
    INSERT INTO m.typed_slot VALUES ('d', '[a,b)', ROW('d', 'e')::m.comp, 1), ('d', '[a,b)', ROW('d', 'e')::m.comp, 1);
    CREATE INDEX ON m.typed_slot (r, k, b);
    CREATE TABLE m.typed (k m.dom, r m.rng, b m.comp);
    SELECT m.count_in('typed');$_$);
-- What making it ran, as herself, is no matter.
SELECT pg_advisory_unlock_all(), set_config('hostile.left', '', false);
SELECT hostile.asked('types');
SELECT is((SELECT worst_keys->0 FROM playevent.health WHERE event = 'm.typed'::regclass),
    '{"counter": "typed", "key": ["d", null, null], "slots": 2}', 'P8: types: what scalars look like is told; of others, a few bytes may be gigabytes of text');
-- A jsonb's numbers may have 130,000 digits each, and what is compressed may be much, too.
SELECT hostile.mallory($_$
    CREATE TABLE m.wide_slot (k jsonb, r text, b int, plays bigint NOT NULL);
    INSERT INTO m.wide_slot VALUES ('[1e131000]', repeat('x', 100000), 1, 1);
    CREATE INDEX ON m.wide_slot (r, k, b);
    CREATE TABLE m.wide (k jsonb, r text, b int);
    SELECT m.count_in('wide');$_$);
SELECT is((SELECT worst_keys->0 FROM playevent.health WHERE event = 'm.wide'::regclass),
    '{"counter": "wide", "key": [null, null, "1"], "slots": 1}', 'P8: types: nor is a jsonb told, nor what is long');
CREATE TABLE hostile.person (salary int, born timestamptz);
CREATE INDEX ON hostile.person (salary);
INSERT INTO hostile.person VALUES (1, now());
SELECT 'hostile.person'::regclass::oid AS person \gset
SET LOCAL ROLE hostile_monitor;
SELECT coalesce((playevent.newest(:person, 'salary', 'born', '-infinity', 10)).newest::text, 'nothing') AS born \gset
RESET ROLE;
SELECT is(:'born'::text, 'nothing', 'P8: pg_monitor is told nothing of what playevent does not guard');
SELECT hostile.unseen('types: and her code does not run for it');

-- What a comment says may be anything.
CREATE FUNCTION hostile.noted(comment text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hostile.mallory(format('COMMENT ON TRIGGER playevent_flush ON m.hit_event IS %L', comment));
    RETURN (SELECT concat_ws(' ', maintained_at, maintain_undone) FROM playevent.health WHERE event = 'm.hit_event'::regclass);
END
$$;
SET LOCAL TimeZone = 'UTC';
SELECT is(hostile.noted('playevent.maintain: 2026-11-30 03:17:00+00, 2 undone'), '2026-11-30 03:17:00+00 2', 'P8: a comment: as maintain writes it');
SELECT is(hostile.noted(said), '', 'P8: a comment: nonsense is no moment: ' || left(said, 40))
  FROM (VALUES ('playevent.maintain: 2026-13-45 99:99:99+00, x undone'), ('playevent.maintain: 9999-02-30 00:00:00+00, 99999999999 undone'),
               ('playevent.maintain: infinity, undone'), ('nothing'), (repeat('x', 100000)), ('playevent.maintain: 2026-11-30 03:17:00+00' || repeat(' ', 100000))) AS v(said);
SELECT hostile.asked('comments');

-- Tables that are not what they say
SELECT hostile.mallory($_$
    SELECT m.make_log('viewed', 'i (r, k, b)');
    ALTER TABLE m.viewed_slot RENAME TO viewed_slot_was;
    CREATE VIEW m.viewed_slot AS SELECT k, r, b, plays FROM m.viewed_slot_was WHERE m.yes('view');
    SELECT m.make_log('few', 'i (r, k, b)');
    ALTER TABLE m.few_slot DROP COLUMN b;
    SELECT m.make_log('unlogged', 'i (r, k, b)');
    ALTER TABLE m.unlogged_slot SET UNLOGGED;
    ALTER TABLE m.hit_verdict DROP COLUMN decided_at;
    DROP TABLE m.hit_counter_slot CASCADE;
    DROP TABLE m.hit_event_key CASCADE;$_$);
SELECT hostile.asked('broken logs');
SELECT is((SELECT array_agg(DISTINCT intact) FROM playevent.health WHERE event::text ~ '^m\.'), '{f}', 'P10: none of them is intact');

-- The same from within: anybody may call what the view calls.
SELECT hostile.works('hostile_mallory', format('DO $d$BEGIN PERFORM %s; END$d$', call), call)
  FROM (VALUES ($$playevent.slots_of_keys('pg_class', '{oid}', 1)$$), ($$playevent.slots_of_keys('o.payroll', '{name}', 0)$$),
               ($$playevent.slots_of_keys('o.play_counter_slot', '{track_entry_key,track_entry_key}', -1)$$),
               ($$playevent.slots_of_keys('o.play_counter_slot', '{}', 1)$$), ($$playevent.slots_of_keys('o.play_counter_slot', '{NULL}', 1)$$),
               ($$playevent.slots_of_keys('pg_stat_activity', '{pid}', 1)$$), ($$playevent.slots_of_keys(0, '{pid}', 1)$$),
               ($$playevent.newest('o.play_verdict', 'id', 'decided_at', '-infinity', 1000)$$), ($$playevent.newest('o.play_verdict', 'id', 'id', 'infinity', -1)$$),
               ($$playevent.newest('pg_trigger_oid_index', 'oid', 'oid', now(), 1)$$), ($$playevent.newest('o.play_counter', 'x', 'y', now(), 1)$$),
               ($$playevent.file_bytes('o.play_counter'::regclass)$$), ($$playevent.file_bytes('pg_class'::regclass)$$), ($$playevent.file_bytes(1)$$),
               ($$playevent.is_free(1)$$), ($$playevent.bytes('{1,NULL}')$$), ($$playevent.worst_keys('o.payroll', -5)$$), ($$playevent.partitioned(1)$$)) AS v(call);
SELECT is(hostile.told('hostile_mallory', 'o.play_event'), 'intact bytes', 'P8: and is told no more than before');

SELECT * FROM finish();
ROLLBACK;
