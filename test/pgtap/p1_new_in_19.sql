-- P1, P2 and P3: what SQL can do since PostgreSQL 19.  ON CONFLICT DO SELECT
-- gives back, and may lock, the row that is there; REPACK writes a
-- table anew.  (For REPACK (CONCURRENTLY) see p3_repack.pl.)
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT current_setting('server_version_num')::int >= 190000 AS is_19 \gset
SELECT plan(CASE WHEN :'is_19' THEN 27 ELSE 2 END);

CREATE SCHEMA new19;
SET search_path = new19, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1), ('b', 2);
SELECT playevent.create_log('play', track => 'track');
CREATE TABLE part_event (track_entry_key text NOT NULL, release_id bigint, bucket play_bucket NOT NULL,
    month int, event_id uuid, UNIQUE (month, event_id)) PARTITION BY LIST (month);
CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part_event FOR VALUES IN (2);
SELECT playevent.attach_log('part_event', track => 'track');
INSERT INTO part_event VALUES ('a', NULL, 'most', 1, NULL), ('b', NULL, 'most', 2, NULL);

-- 19 was to have these.  A major that does is to be taught here what they do to
-- a log: the new partitions lack the trigger against TRUNCATE.
SELECT throws_ok('ALTER TABLE part_event MERGE PARTITIONS (part_1, part_2) INTO part_12', '42601', NULL,
    'P1: partitions of a log are not merged');
SELECT throws_ok('ALTER TABLE part_event SPLIT PARTITION part_1 INTO (PARTITION part_3 FOR VALUES IN (1), PARTITION part_4 FOR VALUES IN (4))',
    '42601', NULL, 'P1: nor split');

\if :is_19
CREATE FUNCTION e(n int) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT lpad(n::text, 32, '0')::uuid$$;
CREATE FUNCTION exact() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT 'play' FROM playevent.verify('play_event') UNION ALL SELECT 'part' FROM playevent.verify('part_event')
$$;
-- One row: the id that is there or was made
CREATE FUNCTION play(n int, key text, locking text = '') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    EXECUTE format('INSERT INTO play_event AS p (track_entry_key, bucket, event_id) VALUES ($1, ''most'', e($2))
                    ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO SELECT %s RETURNING p.id', locking) INTO STRICT id USING key, n;
    RETURN id;
END
$$;

-- ON CONFLICT DO SELECT
SELECT play(1, 'a') AS first \gset
SELECT is(play(1, 'a'), :first::bigint, 'P3: a retry gets the play that is recorded');
SELECT is(play(1, 'a', how), :first::bigint, 'P3: also with ' || how)
  FROM unnest('{FOR UPDATE,FOR NO KEY UPDATE,FOR SHARE,FOR KEY SHARE}'::text[]) how;
SELECT is(play(1, 'b'), :first::bigint, 'P3: whatever track it names');
SELECT is((SELECT sum(plays) FROM play_counter), 1::numeric, 'P3: which counts once');
SELECT is((SELECT sum(plays) FROM play_daily), 1::numeric, 'P3: and by day');
SELECT is_empty('SELECT exact()', 'P3: exactly');
SELECT results_eq($$INSERT INTO play_event (track_entry_key, bucket, event_id)
        SELECT k, 'most', e(n) FROM (VALUES ('b', 1), ('b', 2), ('a', 3)) v (k, n)
        ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO SELECT FOR UPDATE RETURNING track_entry_key, release_id$$,
    $$VALUES ('a'::varchar, 1::bigint), ('b', 2), ('a', 1)$$, 'P2: each with the release that was looked up');
SELECT is_empty('SELECT exact()', 'P3: of a statement, those are counted that are new');
SELECT results_eq('SELECT track_entry_key, plays FROM play_counter ORDER BY 1', $$VALUES ('a'::varchar, 2::bigint), ('b', 1)$$, 'P3: once');
SELECT throws_ok($$WITH p AS (INSERT INTO play_event AS p (track_entry_key, bucket, event_id) VALUES ('a', 'most', e(1))
        ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO SELECT FOR UPDATE RETURNING p.id)
        DELETE FROM play_event USING p WHERE play_event.id = p.id$$, '23001', NULL, 'P1: what was locked so stays');
SELECT is((SELECT array_agg(status ORDER BY ord) FROM record_plays(ARRAY['a', 'b'], ARRAY['most', 'most']::play_bucket[], ARRAY[e(1), e(4)])),
    '{duplicate,recorded}'::text[], 'P3: a batch tells it from new ones');
SELECT is(play(4, 'b'), (SELECT id FROM play_event WHERE event_id = e(4)), 'P3: and the other way round');
SELECT results_eq($$INSERT INTO part_event VALUES ('a', 9, 'most', 1, e(1)), ('b', 9, 'most', 2, e(1)) ON CONFLICT (month, event_id)
        DO SELECT FOR UPDATE RETURNING release_id$$, 'VALUES (1::bigint), (2)', 'P2: into partitions');
SELECT results_eq($$INSERT INTO part_event VALUES ('a', 9, 'most', 2, e(1)), ('a', 9, 'most', 2, e(2)) ON CONFLICT (month, event_id)
        DO SELECT RETURNING track_entry_key$$, $$VALUES ('b'), ('a')$$, 'P2: where they are found');
SELECT results_eq($$INSERT INTO part_2 VALUES ('b', 9, 'most', 2, e(1)), ('b', 9, 'most', 2, e(3)) ON CONFLICT (month, event_id)
        DO SELECT RETURNING release_id$$, 'VALUES (2::bigint), (2)', 'P2: and straight into one');
SELECT is_empty('SELECT exact()', 'P3: all exact');
SELECT throws_ok($$INSERT INTO play_counter_slot SELECT * FROM play_counter_slot ON CONFLICT DO SELECT RETURNING *$$, NULL, NULL,
    'P3: a slot table takes none');

-- Whoever may INSERT may not lock rows by it, nor read them.
CREATE ROLE new19_web;
GRANT USAGE ON SCHEMA new19 TO new19_web;
GRANT INSERT ON play_event TO new19_web;
GRANT SELECT (event_id) ON play_event TO new19_web;
SET ROLE new19_web;
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('a', 'most', e(1))
    ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO SELECT FOR UPDATE RETURNING event_id$$, '42501', NULL, 'P8: a web role locks no play');
RESET ROLE;

-- REPACK
CREATE TEMP TABLE before ON COMMIT DROP AS SELECT * FROM play_event;
REPACK play_event USING INDEX play_event_pkey;
REPACK track;
REPACK play_counter_slot;
REPACK part_1;
REPACK part_2;
REPACK part_counter_slot;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('a', 'most'), ('b', 'most');
INSERT INTO part_event VALUES ('a', NULL, 'most', 1), ('b', NULL, 'most', 2);
SELECT is_empty('SELECT exact()', 'P3: tables that were written anew are exact');
SELECT is_empty('SELECT * FROM before EXCEPT SELECT * FROM play_event', 'P1: and keep what is recorded');
SELECT ok((SELECT bool_and(intact) FROM playevent.log WHERE event IN ('play_event'::regclass, 'part_event'::regclass)), 'P1: as guarded as before');
SELECT is(playevent.compact('play_event') >= 0, true, 'P3: compact finds the slots where they are');
\endif

SELECT * FROM finish();
ROLLBACK;
