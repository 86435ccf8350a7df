-- P10, P11 and P12: playevent.health says what is so: which keys have most slots, how
-- large a log is, how far its partitions go, what maintain has done, what was voided.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
CREATE SCHEMA health;
SET LOCAL search_path = health, public;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
\ir include/months.sql

--
-- Slots of keys
--

-- A log whose slots are made by hand: k1 to k30 have as many as their numbers say,
-- and as many that are gone; wide has more than go on several pages of an index.
CREATE TABLE made_slot (k text, r bigint, b text, plays bigint NOT NULL) WITH (autovacuum_enabled = off);
CREATE INDEX made_i ON made_slot (r, k, b);
CREATE INDEX ON made_slot (k);
INSERT INTO made_slot SELECT 'k' || i, NULLIF(i % 7, 0), NULLIF('b' || i % 3, 'b0'), n FROM generate_series(1, 30) i, generate_series(1, 2 * i) n;
DELETE FROM made_slot WHERE plays > substr(k, 2)::int;
CREATE TABLE made (k text, r bigint, b text);
CREATE FUNCTION declare_slots(log text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    level text;
BEGIN
    FOREACH level IN ARRAY '{STATEMENT,ROW}'::text[] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OR DELETE %s ON %I FOR EACH %s '
            'EXECUTE FUNCTION playevent.slot_guard(%L, ''count'', ''plays'', ''k'', ''r'', ''b'')',
            'guard_' || level, CASE level WHEN 'STATEMENT' THEN 'OR TRUNCATE' ELSE '' END, log || '_slot', level, log);
    END LOOP;
    EXECUTE format('CREATE TRIGGER count AFTER INSERT ON %I FOR EACH ROW EXECUTE FUNCTION playevent.count(%L, ''plays'', ''k'', ''r'', ''b'')', log, log || '_slot');
    EXECUTE format('CREATE TRIGGER flush AFTER INSERT ON %I FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush()', log);
END
$$;
SELECT declare_slots('made');
CREATE FUNCTION worst(log regclass) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(':', w.key->>'counter', (w.key->'key')::text, w.key->>'slots'), ' ' ORDER BY ord)
      FROM playevent.health h, jsonb_array_elements(h.worst_keys) WITH ORDINALITY AS w(key, ord) WHERE h.event = log
$$;
-- By a query of one's own
CREATE FUNCTION counted(slot regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT string_agg(concat_ws('':'', %L, jsonb_build_array(k, r::text, b), n), '' '' ORDER BY n DESC) '
        'FROM (SELECT k, r, b, count(*) AS n FROM %s GROUP BY k, r, b ORDER BY n DESC LIMIT 10) s', regexp_replace(slot::text, '_slot$', ''), slot) INTO result;
    RETURN result;
END
$$;
SELECT is(worst('made'), counted('made_slot'), 'P10: the ten keys with most slots, and what is gone is not counted');
SELECT matches(worst('made'), '^made:\["k30", "2", null\]:30 .* made:\["k21", null, null\]:21$', 'P10: these are they');
SELECT is((SELECT most_slots || ' ' || slots_seen FROM playevent.health WHERE event = 'made'::regclass), '30 1', 'P10: all were looked at');
SELECT is((SELECT count(*) || ' ' || sum(slots) FROM playevent.worst_keys('made')), '10 255', 'P10: worst_keys tells the same');

CREATE TABLE wide_slot (k text, r bigint, b text, plays bigint NOT NULL) WITH (autovacuum_enabled = off);
CREATE INDEX ON wide_slot (b, k, r) WITH (deduplicate_items = off);
INSERT INTO wide_slot SELECT 'k' || i, 1, 'b', 1 FROM generate_series(1, 3000) i;
INSERT INTO wide_slot SELECT 'k1000', 1, 'b', 1 FROM generate_series(1, 1234);
INSERT INTO wide_slot SELECT 'k2000', 1, 'b', 1 FROM generate_series(1, 9);
CREATE TABLE wide (k text, r bigint, b text);
SELECT declare_slots('wide');
SELECT matches(worst('wide'), '^wide:\["k1000", "1", "b"\]:1235 wide:\["k2000", "1", "b"\]:10 wide:[^:]*:1 ', 'P10: a key is followed over pages of the index');
DROP INDEX wide_slot_b_k_r_idx;
SELECT is((SELECT coalesce(most_slots, 0) FROM playevent.health WHERE event = 'wide'::regclass), 0::bigint, 'P10: without an index of the whole key, nothing is said');

-- Entries with many places, and entries of versions that are gone
CREATE TABLE posted_slot (k text, r bigint, b text, plays bigint NOT NULL) WITH (autovacuum_enabled = off);
CREATE INDEX ON posted_slot (k, r, b);
INSERT INTO posted_slot SELECT 'k' || i, 1, 'b', 1 FROM generate_series(1, 3000) i;
INSERT INTO posted_slot SELECT 'k1000', 1, 'b', 1 FROM generate_series(1, 3000);
DELETE FROM posted_slot WHERE ctid > '(30,1)' OR k LIKE 'k11%';
CREATE TABLE posted (k text, r bigint, b text);
SELECT declare_slots('posted');
SELECT is((SELECT most_slots FROM playevent.health WHERE event = 'posted'::regclass), (SELECT count(*) FROM posted_slot WHERE k = 'k1000'), 'P10: entries that tell of many slots');
SELECT cmp_ok((SELECT most_slots FROM playevent.health WHERE event = 'posted'::regclass), '>', 1000::bigint, 'P10: and there were many');
SELECT is((SELECT count(*) FROM playevent.worst_keys('posted') WHERE key[1] LIKE 'k11%'), 0::bigint, 'P10: keys without a slot are none');

-- More than are looked at in one call.
CREATE TABLE many_slot (k text, r bigint, b text, plays bigint NOT NULL) WITH (autovacuum_enabled = off);
INSERT INTO many_slot SELECT 'k' || i, i, 'b', 1 FROM generate_series(1, 100000) i;
INSERT INTO many_slot SELECT 'k77777', 77777, 'b', 1 FROM generate_series(1, 40);
CREATE INDEX many_i ON many_slot (r, k, b);
CREATE TABLE many (k text, r bigint, b text);
SELECT declare_slots('many');
SELECT cmp_ok((SELECT slots_seen FROM playevent.health WHERE event = 'many'::regclass), '<', 1::float8, 'P10: of a large index a part is looked at');
SELECT is((SELECT round(share * (pg_relation_size('many_i') / current_setting('block_size')::int - 1)) FROM playevent.worst_keys('many', 3) LIMIT 1), 3::float8,
    'P10: as many pages as one asks for');
SELECT is((SELECT key::text || slots || share FROM playevent.worst_keys('many', NULL) LIMIT 1), '{k77777,77777,b}411', 'P10: and all, if one asks for them');

--
-- Sizes
--

CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(0, 9) i;
SELECT playevent.create_log('play', track => 'track', partition_by => 'month', retain => '3 months');
SELECT make_months('play_event', 6);
INSERT INTO play_event (track_entry_key, bucket, event_id, created_at)
SELECT 'k' || i % 10, 'most', gen_random_uuid(), now() - i * interval '1 day' FROM generate_series(0, 89) i;
CREATE FUNCTION size(VARIADIC rels regclass[]) RETURNS numeric LANGUAGE sql AS $$
    SELECT sum(pg_relation_size(r.oid)) FROM (
        WITH h AS (SELECT unnest(rels)::oid AS oid UNION ALL SELECT reltoastrelid FROM pg_class WHERE oid = ANY (rels) AND reltoastrelid <> 0)
        SELECT oid FROM h UNION ALL SELECT indexrelid FROM h JOIN pg_index ON indrelid = h.oid) AS r
$$;
SELECT is(log_bytes::numeric, (SELECT size(VARIADIC array_agg(relid)) FROM pg_partition_tree('play_event')), 'P10: a log''s size is that of its partitions, their indexes included') FROM playevent.health WHERE event = 'play_event'::regclass;
SELECT is(slot_bytes::numeric, size('play_counter_slot', 'play_daily_slot'), 'P10: that of its slots') FROM playevent.health WHERE event = 'play_event'::regclass;
SELECT is(event_key_bytes::numeric, size('play_event_key'), 'P10: that of what knows event_ids') FROM playevent.health WHERE event = 'play_event'::regclass;
SELECT is(sketches, 0::bigint, 'P10: a log without sketches has none') FROM playevent.health WHERE event = 'play_event'::regclass;
SELECT ok(intact, 'P10: it is intact') FROM playevent.health WHERE event = 'play_event'::regclass;
ALTER TABLE play_counter_slot DISABLE TRIGGER ALL;
SELECT ok(NOT intact, 'P10: or not') FROM playevent.health WHERE event = 'play_event'::regclass;
SELECT playevent.attach_log('play_event', track => 'track');

--
-- Partitions
--

CREATE FUNCTION partitioned() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', partitions, partitioned_until, sealed_until) FROM playevent.health WHERE event = 'play_event'::regclass
$$;
SELECT is(partitioned(), '10 ' || month(4), 'P11: a log has partitions for three months ahead');
SELECT is((SELECT partitions IS NULL AND partitioned_until IS NULL AND sealed_until IS NULL FROM playevent.health WHERE event = 'made'::regclass), true, 'P11: one that is a table has none');
SELECT ok(maintained_at IS NULL AND maintain_undone IS NULL, 'P11: maintain was never called') FROM playevent.health WHERE event = 'play_event'::regclass;
SELECT playevent.seal('play_event', month(-4));
SELECT is(partitioned(), '10 ' || month(4) || ' ' || month(-4), 'P11: sealed until');
CREATE TABLE play_far PARTITION OF play_event FOR VALUES FROM ('2200-01-01 00:00Z') TO ('2200-02-01 00:00Z');
SELECT is(partitioned(), '11 ' || month(4) || ' ' || month(-4), 'P11: what lies behind a gap does not count');
CREATE TABLE play_rest PARTITION OF play_event DEFAULT;
SELECT is(partitioned(), '11 infinity ' || month(-4), 'P11: with a default partition there is no end');
DROP TABLE play_rest, play_far;
CREATE FUNCTION drop_parts(since timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT p.part FROM playevent.partitions('play_event') p WHERE p.since >= drop_parts.since LOOP
        EXECUTE 'DROP TABLE ' || part;
    END LOOP;
END
$$;
SELECT drop_parts(month(1));
SELECT is(partitioned(), '7 ' || month(1) || ' ' || month(-4), 'P11: with none ahead, the end of this month');
SAVEPOINT gone;
CREATE TABLE hole_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, created_at timestamptz NOT NULL) PARTITION BY RANGE (created_at);
CREATE TABLE hole_1 PARTITION OF hole_event FOR VALUES FROM ('2020-01-01 00:00Z') TO ('2020-02-01 00:00Z');
SELECT playevent.attach_log('hole_event', track => 'track', kinds => '{most}', check_kinds => false);
SELECT is((SELECT concat_ws(' ', partitions, partitioned_until) FROM playevent.health WHERE event = 'hole_event'::regclass), '1 2020-02-01 00:00:00+00', 'P11: with none for now, a moment that is past');

--
-- maintain
--

SELECT is((SELECT count(*) FROM playevent.maintain('play_event') WHERE done IS NOT NULL), 5::bigint, 'P11: maintain is called');
SELECT ok(maintained_at BETWEEN now() - interval '1 second' AND clock_timestamp() AND maintain_undone = 0, 'P11: and that is told')
  FROM playevent.health WHERE event = 'play_event'::regclass;
SELECT alike(partitioned(), '%' || month(4) || '%', 'P11: partitions ahead are there again');
SELECT drop_parts(month(1));
CREATE TABLE play_rest PARTITION OF play_event DEFAULT;
INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', month(2));
SELECT is((SELECT count(*) FROM playevent.maintain('play_event') WHERE what LIKE 'partitions made: failed%'), 1::bigint, 'P11: what maintain could not do');
SELECT is(maintain_undone, 1, 'P11: is told') FROM playevent.health WHERE event = 'play_event'::regclass;
ALTER TABLE track RENAME TO track_was;
SELECT throws_ok($$SELECT playevent.maintain('play_event')$$, NULL, NULL, 'P11: maintain fails where nothing works');
SELECT is(maintain_undone, 1, 'P11: and that is not told as done') FROM playevent.health WHERE event = 'play_event'::regclass;
ALTER TABLE track_was RENAME TO track;

--
-- Verdicts
--

SELECT is(concat_ws(' ', verdicts_of_a_day, last_verdict_at), '0', 'P12: nothing was voided') FROM playevent.health WHERE event = 'play_event'::regclass;
SELECT playevent.void('play_event', ARRAY(SELECT id FROM play_event ORDER BY created_at DESC LIMIT 5), 'a test');
SELECT ok(verdicts_of_a_day = 5 AND last_verdict_at >= now(), 'P12: five plays were') FROM playevent.health WHERE event = 'play_event'::regclass;
ALTER TABLE play_verdict DISABLE TRIGGER ALL;
UPDATE play_verdict SET decided_at = decided_at - interval '2 days' WHERE id <= 3;
SELECT is(verdicts_of_a_day, 2::bigint, 'P12: two in the last day') FROM playevent.health WHERE event = 'play_event'::regclass;
UPDATE play_verdict SET decided_at = now() - interval '3 days';
SELECT is(verdicts_of_a_day || ' ' || last_verdict_at, '0 ' || now() - interval '3 days', 'P12: none in the last day, and when the last was') FROM playevent.health WHERE event = 'play_event'::regclass;
INSERT INTO play_verdict SELECT 100 + i, i, false, 'x', now(), 'x' FROM generate_series(1, 12000) i;
SELECT is(verdicts_of_a_day, 10000::bigint, 'P12: 10,000 are enough to be told of') FROM playevent.health WHERE event = 'play_event'::regclass;

-- An index that descends has the newest first.
CREATE TABLE descending (id bigint, at timestamptz);
CREATE INDEX ON descending (id DESC);
CREATE INDEX ON descending (id);
INSERT INTO descending SELECT i, now() + i * interval '1 day' FROM generate_series(1, 9) i;
SELECT results_eq($$SELECT * FROM playevent.newest('descending', 'id', 'at', now() + interval '7 days 1 second', 9)$$, $$VALUES (now() + interval '9 days', 2::bigint)$$, 'P12: the newest of a table');

SELECT * FROM finish();
ROLLBACK;
