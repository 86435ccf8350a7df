-- P11: to retire a partition changes no total, of any counter, for anyone.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(129);

CREATE SCHEMA p;
SET LOCAL search_path = p, public;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'Asia/Kathmandu';
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', NULL), ('k, "4"', 1);
\ir include/months.sql

CREATE ROLE p11_reader;
CREATE ROLE p11_other;
SELECT playevent.create_log('play', 'track', partition_by => 'month', reader_role => 'p11_reader', day_zone => 'Pacific/Auckland');
SELECT make_months('play_event');
ALTER TABLE play_event ADD COLUMN seconds int, ADD COLUMN client uuid;
SELECT playevent.add_counter('play_event', 'by_client', '{client,seconds}'),
       playevent.add_counter('play_event', 'by_all', '{anon_id,bucket,day,client,seconds,release_id,track_entry_key}'),
       playevent.add_counter('play_event', 'by_bucket', '{bucket}'),
       playevent.add_counter('play_event', 'by_listener_day', '{day,anon_id,seconds,client}');
INSERT INTO play_event (track_entry_key, bucket, created_at, anon_id, seconds, client, played_at)
SELECT CASE n % 5 WHEN 4 THEN 'k, "4"' ELSE 'k' || n % 5 END, (enum_range(NULL::play_bucket))[1 + n % 3], at,
       CASE WHEN n % 4 > 0 THEN 'listener ' || n % 11 END, nullif(n % 6, 0),
       CASE WHEN n % 3 > 0 THEN ('00000000-0000-0000-0000-00000000000' || n % 9)::uuid END,
       CASE WHEN n % 7 = 0 THEN at - interval '40 days' END
  FROM generate_series(0, 1299) n CROSS JOIN LATERAL (SELECT month(-6) + n * interval '199 minutes') AS t(at);
-- A track that was moved has plays of both of its releases; and one that has plays
-- in the first month alone, or in the last.
UPDATE track SET release_id = 2 WHERE entry_key = 'k1';
INSERT INTO play_event (track_entry_key, bucket, created_at, anon_id)
SELECT key, 'most', month(m), 'x' FROM (VALUES ('k1', -6), ('k1', 0), ('first', -6), ('last', 0)) AS v(key, m);

SELECT spread($$INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', month(-6)), ('k1', 'most', month(-5)), ('hot', 'most', month(-6))$$, 5);

CREATE TABLE before AS SELECT * FROM totals('play_event');
CREATE FUNCTION changed() RETURNS SETOF text LANGUAGE sql AS $$
    (SELECT 'gone: ' || b::text FROM before b EXCEPT ALL SELECT 'gone: ' || t::text FROM totals('play_event') t)
    UNION ALL
    (SELECT 'new: ' || t::text FROM totals('play_event') t EXCEPT ALL SELECT 'new: ' || b::text FROM before b)
$$;
SELECT cmp_ok((SELECT count(*)::int FROM before), '>', 1500, 'P11: there are totals to keep');
CREATE TABLE charts AS
SELECT 'top' AS chart, t::text AS row FROM playevent.top('play_event', month(-9)::date, now()::date, lim => NULL) t
UNION ALL SELECT 'top releases', t::text FROM playevent.top('play_event', month(-9)::date, now()::date, 'release', NULL) t
UNION ALL SELECT 'top of the second month', t::text FROM playevent.top('play_event', month(-5)::date, month(-4)::date, lim => NULL) t
UNION ALL SELECT 'series', s::text FROM playevent.series('play_event', month(-9)::date, now()::date) s
UNION ALL SELECT 'track', s::text FROM playevent.series('play_event', month(-9)::date, now()::date, 'k1') s
UNION ALL SELECT 'quoted', s::text FROM playevent.series('play_event', month(-9)::date, now()::date, 'k, "4"', step => 'week') s
UNION ALL SELECT 'release', s::text FROM playevent.series('play_event', month(-9)::date, now()::date, release_id => '1', step => 'month') s;
CREATE FUNCTION charts_now() RETURNS SETOF charts LANGUAGE sql AS $$
SELECT 'top' AS chart, t::text AS row FROM playevent.top('play_event', month(-9)::date, now()::date, lim => NULL) t
UNION ALL SELECT 'top releases', t::text FROM playevent.top('play_event', month(-9)::date, now()::date, 'release', NULL) t
UNION ALL SELECT 'top of the second month', t::text FROM playevent.top('play_event', month(-5)::date, month(-4)::date, lim => NULL) t
UNION ALL SELECT 'series', s::text FROM playevent.series('play_event', month(-9)::date, now()::date) s
UNION ALL SELECT 'track', s::text FROM playevent.series('play_event', month(-9)::date, now()::date, 'k1') s
UNION ALL SELECT 'quoted', s::text FROM playevent.series('play_event', month(-9)::date, now()::date, 'k, "4"', step => 'week') s
UNION ALL SELECT 'release', s::text FROM playevent.series('play_event', month(-9)::date, now()::date, release_id => '1', step => 'month') s
$$;

--
-- Errors
--

SELECT throws_ok($$SELECT playevent.retire('play_event', NULL)$$, '22004', NULL, 'P9: until is null');
SELECT throws_ok($$SELECT playevent.retire('play_event', now(), NULL)$$, '22004', NULL, 'P9: keep is null');
SELECT throws_ok($$SELECT playevent.retire(NULL, now())$$, '22004', NULL, 'P9: event is null');
SELECT throws_ok($$SELECT playevent.retire('track', now())$$, '55000', NULL, 'P9: not a log');
SELECT playevent.create_log('whole', 'track');
SELECT throws_ok($$SELECT playevent.retire('whole_event', now())$$, '55000', NULL, 'P9: a log that is not partitioned');
SELECT throws_ok($$SELECT playevent.retire('play_event_m6', now())$$, NULL, NULL, 'P9: a partition');
SELECT alike(failure($$SELECT playevent.retire('play_event', month(-5))$$), '55000 partition "play_event_m6" of table "play_event" is not sealed%playevent.seal(%',
    'P11: what is not sealed is not retired');
SELECT is(playevent.retire('play_event', month(-6)), 0, 'P11: none ends so soon');
SELECT playevent.seal('play_event', month(-2));
SELECT throws_ok($$SELECT playevent.retire('play_event', month(-1))$$, '55000', NULL, 'P11: nor are sealed ones before it, then');
GRANT USAGE ON SCHEMA p TO p11_other;
GRANT ALL ON ALL TABLES IN SCHEMA p TO p11_other;
SET LOCAL ROLE p11_other;
SELECT throws_ok($$SELECT playevent.retire('play_event', month(-5))$$, '42501', NULL, 'P8: for the owner alone');
RESET ROLE;
SELECT is_empty('SELECT changed()', 'P11: no error has changed a total');
SELECT is((SELECT count(*)::int FROM playevent.partitions('play_event') WHERE until <= month(0)), 6, 'P11: or taken a partition');

--
-- Retired
--

CREATE TABLE rows_before AS SELECT * FROM play_event;
SAVEPOINT before_all;
SELECT is(playevent.retire('play_event', month(-5)), 1, 'P11: one is retired');
SELECT is_empty('SELECT changed()', 'P11: no total changes by the first');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: slots and rows agree');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'P11: rebuild finds nothing wrong');
SELECT is_empty('SELECT changed()', 'P11: and changes no total');
SELECT is((SELECT count(*) FROM play_event WHERE created_at < month(-5)), 0::bigint, 'P11: its rows are not in the log');
SELECT set_eq('TABLE play_event UNION ALL TABLE play_event_m6', 'TABLE rows_before', 'P11: but in a table of their own');
SELECT is(playevent.retire('play_event', month(-4) + interval '1 day'), 1, 'P11: another is retired');
SELECT is_empty('SELECT changed()', 'P11: no total changes by the second');
SELECT is(playevent.retire('play_event', month(-2), keep => false), 2, 'P11: two at once, which are dropped');
SELECT is_empty('SELECT changed()', 'P11: no total changes by those');
SELECT is(playevent.retire('play_event', month(-2)), 0, 'P11: none a second time');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: slots and rows agree');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'P11: nothing is wrong');
SELECT is_empty('(SELECT * FROM charts EXCEPT ALL SELECT * FROM charts_now()) UNION ALL (SELECT * FROM charts_now() EXCEPT ALL SELECT * FROM charts)',
    'P11: nor do charts change');
SELECT is((SELECT count(*) FROM play_event), (SELECT count(*) FROM rows_before WHERE created_at >= month(-2)), 'P11: the log has the rest');
SELECT ok(to_regclass('play_event_m4') IS NULL AND to_regclass('play_event_m3') IS NULL, 'P11: dropped is dropped');
SELECT results_eq($$SELECT action, part, n, reason FROM play_manifest WHERE action = 'retire' ORDER BY entry$$,
    $$SELECT 'retire', 'play_event_m' || -m, (SELECT count(*) FROM rows_before WHERE created_at >= month(m) AND created_at < month(m + 1)),
             CASE WHEN m < -4 THEN 'kept' ELSE 'dropped' END FROM generate_series(-6, -3) m$$,
    'P11: the manifest tells of each');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P11: the log is intact');
SELECT results_eq($$SELECT event::text FROM playevent.log ORDER BY 1$$, $$VALUES ('play_event'), ('whole_event')$$, 'P11: archives are no logs');
SELECT results_eq($$SELECT since, until, is_sealed FROM playevent.partitions('play_event') WHERE until <= month(0)$$,
    $$VALUES ('-infinity'::timestamptz, month(-2), true), (month(-2), month(-1), false), (month(-1), month(0), false)$$,
    'P11: one keeps their place');
SELECT alike(failure(format('INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %L)', at)), '55000 table "play_event_retired" is sealed%',
        'P11: no row at ' || at)
  FROM unnest(ARRAY['-infinity', month(-6) - interval '1 day', month(-6), month(-2) - interval '1 microsecond']) AS at;
SELECT throws_ok(format('CREATE TABLE again PARTITION OF play_event FOR VALUES FROM (%L) TO (%L)', month(-6), month(-5)), '42P17', NULL, 'P11: no partition gets there');

-- Slots are as those of a log that never had those rows.
SELECT is_empty($$SELECT spare_slots('play_event')$$, 'P11: no slot of nothing, or less, is left') WHERE playevent.compact('play_event') >= 0;
SELECT is_empty($$
    SELECT track_entry_key, day FROM play_daily_slot EXCEPT SELECT track_entry_key, day FROM play_event$$, 'P11: none of a day whose rows are gone');
SELECT is_empty($$
    SELECT track_entry_key, release_id, bucket FROM play_counter_slot EXCEPT SELECT track_entry_key, release_id, bucket FROM play_event$$,
    'P11: none of a key whose rows are gone');
SELECT is_empty($$SELECT anon_id, day FROM by_listener_day_slot EXCEPT SELECT anon_id, day FROM play_event$$, 'P11: of further counters neither');
SELECT is((SELECT plays FROM play_counter WHERE track_entry_key = 'first'), 1::bigint, 'P11: though it counts');
SELECT is((SELECT sum(n) FROM (SELECT count(*) OVER (PARTITION BY track_entry_key, release_id, bucket) - 1 AS n FROM play_counter_retired) x), 0::numeric,
    'P11: what was retired has one row a key');

-- Counts go on.
INSERT INTO play_event (track_entry_key, bucket, played_at) VALUES ('first', 'most', month(-6)), ('k1', 'most', NULL);
SELECT results_eq($$SELECT plays FROM play_counter WHERE track_entry_key = 'first'$$, 'VALUES (2::bigint)', 'P11: a key that was retired counts again');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: slots and rows agree');
SELECT is((SELECT plays FROM playevent.series('play_event', month(-6)::date, month(-6)::date, 'first')), 2::bigint,
    'P11: a play that comes late, of a day that was retired, counts there')
 WHERE (month(-6) AT TIME ZONE 'Pacific/Auckland')::date = month(-6)::date;
SELECT is((SELECT sum(plays) FROM play_daily), (SELECT count(*)::numeric + 2 FROM rows_before), 'P11: all there ever was is counted');

-- The reader, with what create_log has granted
SET LOCAL ROLE p11_reader;
SELECT lives_ok('SELECT * FROM p.' || view, 'P8: the reader reads ' || view)
  FROM unnest('{play_counter,play_by_track,play_by_release,play_daily}'::text[]) AS view;
SELECT isnt_empty($$SELECT * FROM playevent.top('p.play_event', (now() - interval '1 year')::date)$$, 'P8: and top');
SELECT isnt_empty($$SELECT * FROM playevent.series('p.play_event', (now() - interval '1 year')::date)$$, 'P8: and series');
SELECT throws_ok('SELECT * FROM p.' || rel, '42501', NULL, 'P8: not ' || rel)
  FROM unnest('{play_event,play_event_m6,play_manifest,play_counter_retired,by_all_retired,by_all}'::text[]) AS rel;
RESET ROLE;

-- What is written by playevent is by nobody else.
SELECT throws_ok(statement, '23001', NULL, 'P11: ' || statement)
  FROM unnest(ARRAY['UPDATE play_counter_retired SET plays = plays + 1', 'DELETE FROM play_daily_retired', 'TRUNCATE by_all_retired',
                    'INSERT INTO play_counter_retired SELECT * FROM play_counter_retired LIMIT 1',
                    'UPDATE play_manifest SET n = n', 'DELETE FROM play_manifest', 'TRUNCATE play_manifest',
                    'INSERT INTO play_manifest (entry) VALUES (100)']) AS statement;
SET LOCAL session_replication_role = replica;
SELECT throws_ok(statement, '23001', NULL, 'P11: as a replica: ' || statement)
  FROM unnest(ARRAY['UPDATE play_counter_retired SET plays = plays + 1', 'DELETE FROM play_manifest']) AS statement;
SET LOCAL session_replication_role = origin;

-- An archive stays as it is, until it is dropped.
SELECT throws_ok(statement, state, NULL, 'P11: ' || statement)
  FROM (VALUES ('UPDATE play_event_m6 SET anon_id = ''x''', '23001'), ('DELETE FROM play_event_m6', '23001'), ('TRUNCATE play_event_m6', '23001'),
               ('INSERT INTO play_event_m6 SELECT * FROM play_event_m5', '55000'),
               ('INSERT INTO play_event_m6 SELECT * FROM rows_before WHERE created_at < month(-5) LIMIT 1', '55000')) AS v(statement, state);
SET LOCAL session_replication_role = replica;
SELECT throws_ok(statement, state, NULL, 'P11: as a replica: ' || statement)
  FROM (VALUES ('UPDATE play_event_m6 SET anon_id = ''x''', '23001'), ('DELETE FROM play_event_m6', '23001'),
               ('INSERT INTO play_event_m6 SELECT * FROM play_event_m5', '55000')) AS v(statement, state);
SET LOCAL session_replication_role = origin;
SELECT throws_ok(format('ALTER TABLE play_event ATTACH PARTITION play_event_m6 FOR VALUES FROM (%L) TO (%L)', month(-6), month(-5)), NULL, NULL, 'P11: it does not come back');
SELECT lives_ok('DROP TABLE play_event_m6', 'P11: it can be dropped');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P11: which the log does not mind');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: nor do counters');

--
-- Taken back
--

ROLLBACK TO before_all;
SELECT is_empty('SELECT changed()', 'P11: rolled back, totals are as they were');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: and slots');
SELECT set_eq('TABLE play_event', 'TABLE rows_before', 'P11: and rows');
SELECT is_empty('SELECT * FROM play_counter_retired', 'P11: nothing was retired');
DO $$
BEGIN
    INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
    BEGIN
        PERFORM playevent.retire('play_event', month(-4));
        INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
    PERFORM playevent.retire('play_event', month(-5));
    INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
    PERFORM playevent.retire('play_event', month(-4));
END
$$;
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: retired between inserts of one transaction, after a subtransaction that failed');
SELECT is((SELECT sum(plays) FROM play_by_track), (SELECT count(*)::numeric + 2 FROM rows_before), 'P11: all count, once');
ROLLBACK TO before_all;

-- Something of its owner's is on a view, or reads a partition: others' things go on.
CREATE VIEW chart AS SELECT track_entry_key, sum(plays) AS plays FROM play_counter GROUP BY 1;
CREATE VIEW on_part AS SELECT count(*) AS n FROM play_event_m6;
SELECT is(playevent.retire('play_event', month(-5)), 1, 'P11: a view on a partition is no hindrance to keep it');
SELECT is((SELECT sum(plays) FROM chart), (SELECT count(*)::numeric FROM rows_before), 'P11: a view on a view sees no change');
ROLLBACK TO before_all;
CREATE VIEW on_part AS SELECT count(*) AS n FROM play_event_m6;
SELECT throws_ok($$SELECT playevent.retire('play_event', month(-5), keep => false)$$, '2BP01', NULL, 'P11: but to drop it');
SELECT is_empty('SELECT changed()', 'P11: the error changes nothing');
ROLLBACK TO before_all;

-- An owner may have the trigger off, and rows come: they are noticed.
ALTER TABLE play_event_m6 DISABLE TRIGGER playevent_sealed;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P11: a seal that is off shows');
INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', month(-6));
ALTER TABLE play_event_m6 ENABLE ALWAYS TRIGGER playevent_sealed;
SELECT alike(failure($$SELECT playevent.retire('play_event', month(-5))$$), '55000 partition "play_event_m6" has other rows than when it was sealed%',
    'P11: a partition with more rows than its manifest is not retired');
ROLLBACK TO before_all;
-- Or change rows, and leave their number as it was.
ALTER TABLE play_event_m6 DISABLE TRIGGER USER;
UPDATE play_event_m6 SET track_entry_key = 'other' WHERE id = (SELECT min(id) FROM play_event_m6);
SELECT playevent.settle('play_event_m6');
SELECT alike(failure($$SELECT playevent.retire('play_event', month(-5))$$),
    '55000 partition "play_event_m6" has other rows than when it was sealed | Table play_event_m6: its rows are not those that entry % of the manifest tells of. | To seal it as it is now%',
    'P11: a partition with other rows than its manifest is not retired, however many they are');
ROLLBACK TO before_all;

-- Each view and counter must be there; one that is lost is an error, not a loss.
ALTER TABLE by_bucket_retired DISABLE TRIGGER USER;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P11: guards that are off show');
ROLLBACK TO before_all;
DROP TABLE by_bucket_retired CASCADE;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P11: a lost table shows');
SELECT isnt(failure($$SELECT playevent.retire('play_event', month(-5))$$), 'no error', 'P11: and nothing is retired without it');
SELECT is((SELECT count(*) FROM play_event), (SELECT count(*) FROM rows_before), 'P11: all rows are there');
ROLLBACK TO before_all;
DROP TRIGGER playevent_count_by_bucket ON play_event;
SELECT alike(failure($$SELECT playevent.retire('play_event', month(-5))$$), '55000 log "play_event" is not intact%attach_log%', 'P11: nor without a counter''s trigger');
ROLLBACK TO before_all;

-- Partitions of other sizes: empty, of all time, and made of partitions
SELECT playevent.create_log('odd', 'track', partition_by => 'month');
SELECT format('CREATE TABLE odd_deep PARTITION OF odd_event FOR VALUES FROM (%L) TO (%L) PARTITION BY RANGE (created_at)', month(-3), month(-2)),
       format('CREATE TABLE odd_begin PARTITION OF odd_deep FOR VALUES FROM (%L) TO (%L)', month(-3), month(-3) + interval '9 days'),
       format('CREATE TABLE odd_rest PARTITION OF odd_deep DEFAULT'),
       format('CREATE TABLE odd_empty PARTITION OF odd_event FOR VALUES FROM (%L) TO (%L)', month(-2), month(-1)),
       format('CREATE TABLE odd_last PARTITION OF odd_event FOR VALUES FROM (%L) TO (%L)', month(-1), month(0)),
       format('CREATE TABLE odd_first PARTITION OF odd_event FOR VALUES FROM (MINVALUE) TO (%L)', month(-3)) \gexec
INSERT INTO odd_event (track_entry_key, bucket, created_at) VALUES
    ('k1', 'most', month(-3)), ('k1', 'partial', month(-2) - interval '1 day'), ('k1', 'most', month(-40)), ('k1', 'most', '-infinity'),
    ('k2', 'most', month(-1)), ('k2', 'most', month(0));
TRUNCATE before;
INSERT INTO before SELECT * FROM totals('odd_event');
CREATE FUNCTION odd_changed() RETURNS SETOF text LANGUAGE sql AS $$
    (SELECT b::text FROM before b EXCEPT ALL SELECT t::text FROM totals('odd_event') t)
    UNION ALL
    (SELECT t::text FROM totals('odd_event') t EXCEPT ALL SELECT b::text FROM before b)
    UNION ALL
    SELECT v::text FROM playevent.verify('odd_event') v
$$;
SELECT is(playevent.seal('odd_event', month(0)), 4, 'P11: odd partitions are sealed');
SELECT is(playevent.retire('odd_event', month(-3)), 1, 'P11: one that has all time is retired');
SELECT is_empty('SELECT odd_changed()', 'P11: and no total changes');
SELECT is(playevent.retire('odd_event', month(-2)), 1, 'P11: one of partitions is retired');
SELECT is_empty('SELECT odd_changed()', 'P11: and no total changes');
SELECT is((SELECT count(*) FROM odd_deep), 2::bigint, 'P11: it has its rows');
SELECT throws_ok(format('%s %I%s', command, rel, rest), '23001', NULL, format('P11: no %s %s', command, rel))
  FROM (VALUES ('UPDATE', ' SET anon_id = NULL'), ('DELETE FROM', ''), ('TRUNCATE', '')) AS c(command, rest), unnest('{odd_deep,odd_begin,odd_rest}'::text[]) AS rel;
SELECT throws_ok(format('INSERT INTO %I SELECT * FROM odd_event WHERE created_at = %L', rel, month(-1)), state, NULL, 'P11: no INSERT INTO ' || rel)
  FROM (VALUES ('odd_deep', '55000'), ('odd_begin', '55000'), ('odd_rest', '55000')) AS v(rel, state);
SELECT is(playevent.retire('odd_event', month(-1)), 1, 'P11: an empty one is retired');
SELECT is(playevent.retire('odd_event', month(0), keep => false), 1, 'P11: and the last');
SELECT is_empty('SELECT odd_changed()', 'P11: and no total changes');
SELECT is((SELECT count(*) FROM odd_event), 1::bigint, 'P11: the log has the rest');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'odd_event'::regclass), true, 'P11: the log is intact');
SELECT results_eq($$SELECT event::text FROM playevent.log ORDER BY 1$$, $$VALUES ('odd_event'), ('play_event'), ('whole_event')$$, 'P11: and archives are none');

-- A default partition has rows of the time that is to be retired.
ROLLBACK TO before_all;
CREATE TABLE play_rest PARTITION OF play_event DEFAULT;
INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', month(-8));
SELECT isnt(failure($$SELECT playevent.retire('play_event', month(-5))$$), 'no error', 'P11: rows of a default partition are no rows of a sealed one');
SELECT is((SELECT count(*) FROM play_event), (SELECT count(*) + 1 FROM rows_before), 'P11: the error leaves all rows');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: and counters');
ROLLBACK TO before_all;
SELECT is_empty('SELECT changed()', 'P11: no test has left anything');

SELECT * FROM finish();
ROLLBACK;
