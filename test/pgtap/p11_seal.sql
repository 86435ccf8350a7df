-- P11: a sealed partition takes no rows, by any way, and the manifest tells of it.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(61);

CREATE SCHEMA p;
SET LOCAL search_path = p, public;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'Asia/Kathmandu';
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2);
\ir include/months.sql

CREATE ROLE p11_web;
CREATE ROLE p11_other;
SELECT playevent.create_log('play', 'track', partition_by => 'month', ingest_role => 'p11_web');
SELECT make_months('play_event');
INSERT INTO play_event (track_entry_key, bucket, created_at, event_id)
SELECT 'k' || n % 3, 'most', month(-6) + n * interval '4 hours', CASE n WHEN 7 THEN '00000000-0000-0000-0000-000000000007'::uuid END
  FROM generate_series(0, 1000) n;

--
-- Errors
--

SELECT throws_ok($$SELECT playevent.seal('play_event', now() + interval '1 second')$$, '22023', NULL, 'P11: not before its end');
SELECT throws_ok($$SELECT playevent.seal('play_event', 'infinity')$$, '22023', NULL, 'P11: nor for ever');
SELECT throws_ok($$SELECT playevent.seal('play_event', NULL)$$, '22004', NULL, 'P9: until is null');
SELECT throws_ok($$SELECT playevent.seal(NULL, now())$$, '22004', NULL, 'P9: event is null');
SELECT throws_ok($$SELECT playevent.seal('track', now())$$, '55000', NULL, 'P9: not a log');
SELECT playevent.create_log('whole', 'track');
SELECT throws_ok($$SELECT playevent.seal('whole_event', now())$$, '55000', NULL, 'P9: a log that is not partitioned');
GRANT ALL ON ALL TABLES IN SCHEMA p TO p11_other;
GRANT USAGE ON SCHEMA p TO p11_other;
SET LOCAL ROLE p11_other;
SELECT throws_ok($$SELECT playevent.seal('play_event', month(-1))$$, '42501', NULL, 'P8: for the owner alone');
RESET ROLE;
SELECT is((SELECT count(*)::int FROM play_manifest), 0, 'P11: no entry so far');

--
-- Sealed
--

SELECT is(playevent.seal('play_event', '-infinity'), 0, 'P11: none ends so soon');
SELECT is(playevent.seal('play_event', month(-3) - interval '1 microsecond'), 2, 'P11: those that end before');
SELECT is(playevent.seal('play_event', month(-3)), 1, 'P11: and at the moment');
SELECT is(playevent.seal('play_event', month(-3)), 0, 'P11: none a second time');
SELECT results_eq($$SELECT since, is_sealed FROM playevent.partitions('play_event') WHERE since < month(1)$$,
    $$SELECT month(n), n < -3 FROM generate_series(-6, 0) n$$, 'P11: it shows in playevent.partitions');
SELECT results_eq($$SELECT entry, action, part, since, until, noted_by = session_user, previous IS NULL FROM play_manifest ORDER BY entry$$,
    $$VALUES (1::bigint, 'seal', 'play_event_m6', month(-6), month(-5), true, true),
             (2, 'seal', 'play_event_m5', month(-5), month(-4), true, false),
             (3, 'seal', 'play_event_m4', month(-4), month(-3), true, false)$$, 'P11: and in the manifest');
SELECT results_eq('SELECT part, n, first_id, last_id FROM play_manifest ORDER BY entry',
    $$SELECT tableoid::regclass::text, count(*), min(id), max(id) FROM play_event WHERE created_at < month(-3) GROUP BY tableoid ORDER BY min(id)$$,
    'P11: which has how many rows there are, and which');
SELECT is((SELECT bool_and(intact) FROM playevent.log), true, 'P11: the log is intact');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: and exact');

-- By each way, as each role, alone and among rows that are fine
CREATE FUNCTION refused(statement text) RETURNS text LANGUAGE sql AS $$
    SELECT alike(failure(statement), '55000 table "play_event_m5" is sealed | It takes no rows any more%', 'P11: ' || statement)
$$;
CREATE FUNCTION day(n int) RETURNS text LANGUAGE sql AS $$SELECT quote_literal(month(-5) + n * interval '1 day')$$;
SELECT refused(format('INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %s)', day(3)));
SELECT refused(format('INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', now()), (''k1'', ''most'', %s)', day(3)));
SELECT refused(format('INSERT INTO play_event_m5 (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %s)', day(3)));
SELECT refused(format('INSERT INTO play_event_m5 SELECT * FROM play_event WHERE created_at > %s LIMIT 1', day(1)));
SELECT refused(format('INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %s) ON CONFLICT DO NOTHING', day(3)));
SELECT refused(format('INSERT INTO play_event_m5 (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %s) ON CONFLICT DO NOTHING', day(3)));
SELECT refused(format('INSERT INTO play_event (track_entry_key, bucket, created_at, event_id) VALUES (''k1'', ''most'', %s, ''00000000-0000-0000-0000-000000000001'')', day(3)));
SELECT refused(format('WITH w AS (INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %s) RETURNING id) SELECT * FROM w', day(3)));
SET LOCAL session_replication_role = replica;
SELECT refused(format('INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES (''k2'', ''most'', %s)', day(3)));
SELECT refused(format('INSERT INTO play_event_m5 (track_entry_key, bucket, created_at) VALUES (''k2'', ''most'', %s)', day(3)));
SET LOCAL session_replication_role = origin;
SELECT refused(format('MERGE INTO play_event_m5 p USING (SELECT 1) s ON false WHEN NOT MATCHED THEN INSERT (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %s)', day(3)));
SELECT refused(format('MERGE INTO play_event p USING (SELECT 1) s ON false WHEN NOT MATCHED THEN INSERT (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %s)', day(3)));

-- COPY is not for EXECUTE in a function; a file is for a superuser.
CREATE TABLE few (track_entry_key text, bucket text, created_at timestamptz);
INSERT INTO few VALUES ('k1', 'most', month(-5) + interval '1 day'), ('k2', 'most', month(-5) + interval '2 days');
CREATE FUNCTION copied(target text, program text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COPY %s (track_entry_key, bucket, created_at) FROM PROGRAM %L', target, program);
    RETURN 'ok';
END
$$;
SELECT refused(format('SELECT copied(%L, %L)', target, format('printf ''k1\tmost\t%s\nk2\tmost\t%s\n''', month(-5) + interval '1 day', month(-5) + interval '2 days')))
  FROM unnest('{play_event,play_event_m5}'::text[]) AS target;
SELECT is(copied('play_event', format('printf ''k1\tmost\t%s\n''', month(-3) + interval '1 day')), 'ok', 'P11: (COPY goes where it is not sealed)');

-- Sealed, a partition is as append-only as before
SELECT throws_ok('UPDATE play_event_m5 SET anon_id = ''x''', '23001', NULL, 'P1: no UPDATE');
SELECT throws_ok('DELETE FROM play_event_m5', '23001', NULL, 'P1: no DELETE');
SELECT throws_ok('TRUNCATE play_event_m5', '23001', NULL, 'P1: no TRUNCATE');
SELECT throws_ok($$UPDATE play_event SET created_at = month(-5) WHERE created_at > month(-3)$$, '23001', NULL, 'P1: no row moves there');

SELECT is((SELECT count(*) FROM play_event), 1002::bigint, 'P11: none of all that is in the log');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: and the counters are exact');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'P3: rebuild finds nothing wrong');
SELECT lives_ok($$INSERT INTO play_event (track_entry_key, bucket, played_at) VALUES ('k1', 'most', month(-5) + interval '1 day')$$,
    'P11: what comes late is recorded now');
SELECT is((SELECT count(*)::int FROM play_event WHERE created_at < month(-3)), (SELECT sum(n)::int FROM play_manifest), 'P11: and not there');

-- The web role has no other way than the record functions
SET LOCAL ROLE p11_web;
SELECT lives_ok($$SELECT p.record_play('k1', 'most')$$, 'P8: the web role records');
RESET ROLE;

-- Taken back
SAVEPOINT s;
SELECT is(playevent.seal('play_event', month(-2)), 1, 'P11: one more is sealed');
SELECT alike(failure(format('INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %L)', month(-3))), '55000%', 'P11: it is');
ROLLBACK TO s;
SELECT lives_ok(format('INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %L)', month(-3)), 'P11: rolled back, it is not');
SELECT is((SELECT count(*)::int FROM play_manifest), 3, 'P11: nor is there an entry');

-- In the middle of a transaction that has inserted there
-- in PostgreSQL 15, a partition has no identity of its own
SAVEPOINT s;
INSERT INTO play_event_m3 (id, track_entry_key, bucket, created_at) VALUES (5000, 'k1', 'most', month(-3));
RELEASE s;
SELECT is(playevent.seal('play_event', month(-2)), 1, 'P11: sealed after rows of the same transaction');
SELECT is((SELECT n FROM play_manifest WHERE part = 'play_event_m3'), (SELECT count(*) FROM play_event_m3), 'P11: they are in the manifest');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: and counted');

-- A partition of partitions, an empty one, and one from the beginning of time
SELECT playevent.create_log('odd', 'track', partition_by => 'month');
SELECT format('CREATE TABLE odd_deep PARTITION OF odd_event FOR VALUES FROM (%L) TO (%L) PARTITION BY RANGE (created_at)', month(-2), month(-1)),
       format('CREATE TABLE odd_begin PARTITION OF odd_deep FOR VALUES FROM (%L) TO (%L)', month(-2), month(-2) + interval '9 days'),
       format('CREATE TABLE odd_rest PARTITION OF odd_deep DEFAULT'),
       format('CREATE TABLE odd_empty PARTITION OF odd_event FOR VALUES FROM (%L) TO (%L)', month(-1), month(0)),
       format('CREATE TABLE odd_first PARTITION OF odd_event FOR VALUES FROM (MINVALUE) TO (%L)', month(-2)) \gexec
INSERT INTO odd_event (track_entry_key, bucket, created_at) VALUES
    ('k1', 'most', month(-2)), ('k1', 'partial', month(-1) - interval '1 day'), ('k1', 'most', month(-40)), ('k1', 'most', '-infinity');
SELECT is(playevent.seal('odd_event', now()), 3, 'P11: all of them are sealed');
SELECT results_eq('SELECT part, since, n FROM odd_manifest ORDER BY entry',
    $$VALUES ('odd_first', '-infinity'::timestamptz, 2::bigint), ('odd_deep', month(-2), 2), ('odd_empty', month(-1), 0)$$, 'P11: with what they have');
SELECT alike(failure(format('INSERT INTO %I (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %L)', target, at)),
        '55000 table "' || target || '" is sealed%', 'P11: no row by ' || target)
  FROM (VALUES ('odd_begin', month(-2)), ('odd_rest', month(-1) - interval '1 day')) AS v(target, at);
SELECT alike(failure(format('INSERT INTO odd_event (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %L)', at)), '55000%', 'P11: no row at ' || at)
  FROM unnest(ARRAY[month(-2), month(-1), month(-50)]) AS at;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'odd_event'::regclass), true, 'P11: the log is intact');
SELECT is_empty($$SELECT * FROM playevent.verify('odd_event')$$, 'P3: and exact');

-- A play that is sent again is known as long as its event_id is, wherever its row is.
SELECT id AS known FROM play_event WHERE event_id IS NOT NULL \gset
SELECT is(record_play('k1', 'most', '00000000-0000-0000-0000-000000000007'), :known::bigint, 'P3: a play that is sealed, sent again');
SELECT is(playevent.retire('play_event', month(-5)), 1, 'P11: it is retired');
SELECT is(record_play('k1', 'most', '00000000-0000-0000-0000-000000000007'), :known::bigint, 'P3: and sent again');

SELECT * FROM finish();
ROLLBACK;
