-- P11: counters that come and go beside what was retired, retention that is never
-- quietly shortened, maintain, and logs that are made of tables or mended.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(100);

CREATE SCHEMA p;
SET LOCAL search_path = p, public;
SET LOCAL client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', NULL);
\ir include/months.sql

CREATE FUNCTION fill(event text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO %I (track_entry_key, bucket, created_at, anon_id)
         SELECT ''k'' || n %% 4, (ARRAY[''partial'', ''most'', ''complete''])[1 + n %% 3]::play_bucket, month(-6) + n * interval ''9 hours'', ''l'' || n %% 13 FROM generate_series(0, 500) n', event);
END
$$;
CREATE TABLE before (counter text, total jsonb);
CREATE FUNCTION remember(log regclass) RETURNS void LANGUAGE sql AS $$
    DELETE FROM before;
    INSERT INTO before SELECT * FROM totals(log)
$$;
CREATE FUNCTION changed(log regclass) RETURNS SETOF text LANGUAGE sql AS $$
    (SELECT 'gone: ' || b::text FROM before b EXCEPT ALL SELECT 'gone: ' || t::text FROM totals(log) t)
    UNION ALL
    (SELECT 'new: ' || t::text FROM totals(log) t EXCEPT ALL SELECT 'new: ' || b::text FROM before b)
    UNION ALL SELECT 'verify: ' || v::text FROM playevent.verify(log) v
$$;
CREATE FUNCTION intact(rel regclass) RETURNS boolean LANGUAGE sql AS $$SELECT intact FROM playevent.log WHERE event = rel$$;

SELECT playevent.create_log('play', 'track', partition_by => 'month', retain => '13 months');
SELECT make_months('play_event');
SELECT playevent.add_counter('play_event', 'wide', '{anon_id,track_entry_key,bucket}');
SELECT fill('play_event');
SELECT remember('play_event');
SELECT playevent.seal('play_event', month(-2)), playevent.retire('play_event', month(-3));
SAVEPOINT retired;

--
-- Counters that come
--

SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'by_hour', '{created_at}')$$, '55000',
    'what was retired of table "play_event" can''t be counted by those columns', 'P11: a counter by what no other knows is refused');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'by_hour', '{anon_id,day}')$$, '55000', NULL, 'P11: by two columns that no other has both of');
SELECT is(to_regclass('by_hour_slot'), NULL, 'P11: nothing of it is left');
SELECT is(playevent.add_counter('play_event', 'by_listener', '{anon_id}')::text, 'by_listener', 'P11: one that another tells of is made');
SELECT is(playevent.add_counter('play_event', 'by_kind', '{bucket,track_entry_key}')::text, 'by_kind', 'P11: and another');
CREATE VIEW everything AS
SELECT * FROM play_event UNION ALL SELECT * FROM play_event_m6 UNION ALL SELECT * FROM play_event_m5 UNION ALL SELECT * FROM play_event_m4;
SELECT set_eq('SELECT anon_id, plays FROM by_listener', 'SELECT anon_id, count(*) FROM everything GROUP BY 1', 'P11: it has all that was retired');
SELECT set_eq('SELECT bucket, track_entry_key, plays FROM by_kind', 'SELECT bucket, track_entry_key, count(*) FROM everything GROUP BY 1, 2', 'P11: so has the other');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: slots and rows agree');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('play_event', 'play_event_m6')$$, 'P11: the manifest knows of it');
SELECT is(playevent.retire('play_event', month(-2)), 1, 'P11: one more is retired');
SELECT set_eq('SELECT anon_id, plays FROM by_listener', 'SELECT anon_id, count(*) FROM everything FULL JOIN play_event_m3 USING (id, anon_id) GROUP BY 1', 'P11: the new counters go along');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('play_event', 'play_event_m3')$$, 'P11: and the manifest');
SELECT ok(intact('play_event'), 'P11: the log is intact');

-- Counters that go
SELECT lives_ok($$SELECT playevent.drop_counter('play_event', 'by_listener')$$, 'P11: a counter goes');
SELECT ok(to_regclass('by_listener_retired') IS NULL AND to_regclass('by_listener_slot') IS NULL, 'P11: with what was retired of it');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('play_event', 'play_event_m6')$$, 'P11: which the manifest does not mind');
SELECT lives_ok($$SELECT playevent.add_counter('play_event', 'by_listener', '{track_entry_key,anon_id}')$$, 'P11: it comes again, by other columns');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('play_event', 'play_event_m6')$$, 'P11: the manifest knows');
SELECT set_eq('SELECT track_entry_key::text, anon_id, plays FROM by_listener',
    'SELECT track_entry_key::text, anon_id, count(*) FROM everything FULL JOIN play_event_m3 USING (id, anon_id, track_entry_key) GROUP BY 1, 2', 'P11: it has all');
SELECT playevent.drop_counter('play_event', 'by_listener'), playevent.drop_counter('play_event', 'by_kind');
SELECT is_empty($$SELECT changed('play_event')$$, 'P11: others did not change by all that');
CREATE TABLE again_retired (n int);
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'again', '{anon_id}')$$, '42P07', NULL, 'P11: a table of that name is not taken over');
ROLLBACK TO retired;

-- Sketches
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hll') AS hll \gset
\if :hll
CREATE EXTENSION hll;
SELECT throws_ok($$SELECT playevent.add_listener_sketch('play_event')$$, '55000', NULL, 'P11: who listened to what was retired is not known');
SELECT playevent.create_log('live', 'track', partition_by => 'month');
SELECT make_months('live_event');
SELECT playevent.add_listener_sketch('live_event');
INSERT INTO live_event (track_entry_key, bucket, created_at, anon_id)
SELECT 'k' || n % 4, 'most', month(-6) + n * interval '2 hours', 'l' || n % 301 FROM generate_series(0, 1500) n;
INSERT INTO live_event (track_entry_key, bucket, created_at) VALUES ('none', 'most', month(-5));
CREATE TABLE sketches AS SELECT track_entry_key, release_id, day, hll_cardinality(listeners) AS n FROM live_listeners;
CREATE TABLE listeners AS SELECT track_entry_key, hll_cardinality(hll_union_agg(listeners)) AS n FROM live_listeners GROUP BY 1;
SELECT cmp_ok((SELECT count(*)::int FROM sketches), '>', 300, 'P11: there are sketches to keep');
SELECT remember('live_event');
SELECT playevent.seal('live_event', month(-2));
SELECT is(playevent.retire('live_event', month(-5)), 1, 'P11: a month of listeners is retired');
SELECT is(playevent.retire('live_event', month(-2), keep => false), 3, 'P11: three more are');
SELECT set_eq('SELECT track_entry_key, release_id, day, hll_cardinality(listeners) FROM live_listeners', 'TABLE sketches', 'P11: distinct listeners did not change');
SELECT set_eq('SELECT track_entry_key, hll_cardinality(hll_union_agg(listeners)) FROM live_listeners GROUP BY 1', 'TABLE listeners', 'P11: nor those of all days');
SELECT is_empty($$SELECT changed('live_event')$$, 'P11: nor counters');
SELECT is(playevent.rebuild('live_event'), 0::bigint, 'P11: rebuild finds nothing wrong');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('live_event', 'live_event_m6')$$, 'P11: the archive is as the manifest says');
INSERT INTO live_event (track_entry_key, bucket, lived_at, anon_id) VALUES ('k1', 'most', month(-6), 'somebody else'), ('k1', 'most', NULL, 'l1');
SELECT is((SELECT hll_cardinality(listeners) FROM live_listeners WHERE track_entry_key = 'k1' AND day = (month(-6) AT TIME ZONE 'UTC')::date),
    (SELECT n + 1 FROM sketches WHERE track_entry_key = 'k1' AND day = (month(-6) AT TIME ZONE 'UTC')::date), 'P11: who comes late counts among those of that day');
SELECT is_empty($$SELECT * FROM playevent.verify('live_event')$$, 'P11: sketches and rows agree');
SELECT ok(intact('live_event'), 'P11: the log is intact');
SELECT lives_ok($$SELECT playevent.drop_counter('live_event', 'live_listeners')$$, 'P11: sketches go');
SELECT is(to_regclass('live_listeners_retired'), NULL, 'P11: with those that were retired');
\else
SELECT skip('extension hll is not available', 14);
\endif
ROLLBACK TO retired;

--
-- set_retain
--

SELECT is((SELECT retain FROM playevent.log WHERE event = 'play_event'::regclass), '1 year 1 mon', 'P11: what was promised');
SELECT lives_ok($$SELECT playevent.set_retain('play_event', '14 months')$$, 'P11: it can be raised');
SELECT is((SELECT retain FROM playevent.log WHERE event = 'play_event'::regclass), '1 year 2 mons', 'P11: which shows');
SELECT is((SELECT count(*)::int FROM play_manifest WHERE action = 'retain'), 0, 'P11: and needs no entry');
SELECT alike(failure($$SELECT playevent.set_retain('play_event', '13 months')$$), '55000 table "play_event" keeps its plays for longer than that | They are kept for 1 year 2 mons.%shorten => true%',
    'P11: it is not lowered just so');
SELECT throws_ok(format('SELECT playevent.set_retain(''play_event'', %L)', retain), '55000', NULL, 'P11: 14 months are more than ' || retain)
  FROM unnest('{420 days,425 days,1 year 1 mon 29 days 23:59:59}'::text[]) AS retain;
SELECT lives_ok($$SELECT playevent.set_retain('play_event', '429 days')$$, 'P11: and less than 429 days');
SELECT throws_ok($$SELECT playevent.set_retain('play_event', '14 months')$$, '55000', NULL, 'P11: which may be more');
SELECT throws_ok(format('SELECT playevent.set_retain(''play_event'', %L, true)', retain), '22023', NULL, 'P9: to retain plays for ' || retain)
  FROM unnest('{-1 day,0,23 hours,6000 years}'::text[]) AS retain;
SELECT throws_ok($$SELECT playevent.set_retain('play_event', '1 day', NULL)$$, '22004', NULL, 'P9: shorten is null');
SELECT is((SELECT count(*)::int FROM play_manifest WHERE action = 'retain'), 0, 'P11: no error left an entry');
SELECT lives_ok($$SELECT playevent.set_retain('play_event', '2 months', shorten => true)$$, 'P11: it is lowered on purpose');
SELECT results_eq($$SELECT reason, noted_by = session_user FROM play_manifest WHERE action = 'retain'$$,
    $$VALUES ('kept for 2 mons, and not for 429 days any more', true)$$, 'P11: and the manifest tells');
SELECT lives_ok($$SELECT playevent.set_retain('play_event', NULL)$$, 'P11: for ever is longer than all');
SELECT is((SELECT retain FROM playevent.log WHERE event = 'play_event'::regclass), NULL, 'P11: which shows');
SELECT throws_ok($$SELECT playevent.set_retain('play_event', '1000 years')$$, '55000', NULL, 'P11: all is less than for ever');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('play_event', 'play_event_m6')$$, 'P11: the manifest is in order');
SELECT ok(intact('play_event'), 'P11: the log is intact');
SELECT is_empty($$SELECT changed('play_event')$$, 'P11: no total has changed');
ROLLBACK TO retired;

--
-- maintain
--

SELECT playevent.set_retain('play_event', '40 days', shorten => true);
SET LOCAL timezone = 'Pacific/Kiritimati';
SET LOCAL intervalstyle = 'sql_standard';
CREATE FUNCTION ended(before interval) RETURNS int LANGUAGE sql AS $$
    SELECT count(*)::int FROM generate_series(-6, -1) m WHERE month(m + 1) <= now() - before
$$;
SELECT results_eq($$SELECT what, done::int FROM playevent.maintain('play_event') WHERE what <> 'event_ids forgotten'$$,
    $$VALUES ('partitions made', 0), ('partitions sealed', ended('1 day') - 4), ('slots removed', 0), ('partitions retired', ended('40 days') - 3)$$,
    'P11: maintain does what is to be done');
SELECT results_eq($$SELECT DISTINCT done::int FROM playevent.maintain('play_event')$$, 'VALUES (0)', 'P11: and nothing a second time');
SELECT is_empty($$SELECT changed('play_event')$$, 'P11: no total has changed');
SELECT is((SELECT min(until) FROM playevent.partitions('play_event')), month(ended('40 days') - 6), 'P11: the last months are there');
SELECT playevent.create_log('whole', 'track');
SELECT lives_ok($$SELECT * FROM playevent.maintain('whole_event')$$, 'P11: maintain is for any log');
SELECT throws_ok($$SELECT * FROM playevent.maintain('track')$$, '55000', NULL, 'P9: but for no other table');
SELECT is((SELECT string_agg(what, ', ') FROM playevent.maintain('whole_event')), 'slots removed', 'P11: which has no partitions');
ROLLBACK TO retired;

--
-- attach_log
--

-- A table of the app's, by its own names, that others partition
CREATE TABLE listens (nr bigserial, song text NOT NULL, album int, how text NOT NULL, who text, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (nr, at))
    PARTITION BY RANGE (at);
SELECT make_months('listens', 4);
INSERT INTO listens (song, how, who, at) SELECT 'k' || n % 3, 'whole', 'w' || n % 5, month(-4) + n * interval '6 hours' FROM generate_series(0, 400) n;
SELECT format('CREATE TABLE listens_now PARTITION OF listens FOR VALUES FROM (%L) TO (%L)', month(0), month(1)) WHERE NOT EXISTS (
    SELECT FROM pg_class WHERE relname = 'listens_now') \gexec
SELECT throws_ok($$SELECT playevent.attach_log('whole_table', 'track')$$, '42P01', NULL, 'P9: no such table');
CREATE TABLE plain (song text NOT NULL, album int, how text NOT NULL, at timestamptz NOT NULL);
SELECT throws_ok(format($$SELECT playevent.attach_log('plain', 'track', key_column => 'song', release_column => 'album', kind_column => 'how', kinds => '{whole}', %s)$$, args),
        '55000', NULL, 'P11: a table that is not partitioned, with ' || args)
  FROM unnest(ARRAY['partition_by => ''month''', 'retain => ''1 year''']) AS args;
SELECT lives_ok($$SELECT playevent.attach_log('listens', 'track', key_column => 'song', release_column => 'album', kind_column => 'how', kinds => '{whole}',
    created_column => 'at', id_column => 'nr', listener_column => 'who', partition_by => 'month', retain => '3 months')$$, 'P11: a partitioned table becomes a log');
SELECT results_eq($$SELECT partition_by, retain, intact FROM playevent.log WHERE event = 'listens'::regclass$$, $$VALUES ('month', '3 mons', true)$$, 'P11: by its policy');
SELECT is((SELECT max(until) FROM playevent.partitions('listens')), month(4), 'P11: and its partitions are made ahead');
SELECT remember('listens');
SELECT is(playevent.seal('listens', month(-2)), 2, 'P11: it is sealed');
SELECT is(playevent.retire('listens', month(-3)), 1, 'P11: and retired');
SELECT is_empty($$SELECT changed('listens')$$, 'P11: no total has changed');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('listens', 'listens_m4')$$, 'P11: the archive is as the manifest says');
SELECT throws_ok($$UPDATE listens_m4 SET song = 'x'$$, '23001', NULL, 'P11: and stays so');

-- The extension goes, and comes back.
CREATE TABLE manifest AS TABLE listens_manifest;
DROP EXTENSION playevent CASCADE;
CREATE EXTENSION playevent;
SELECT lives_ok($$SELECT playevent.attach_log('listens', 'track', key_column => 'song', release_column => 'album', kind_column => 'how', kinds => '{whole}',
    created_column => 'at', id_column => 'nr', listener_column => 'who', partition_by => 'month', retain => '4 months')$$, 'P11: attached again');
SELECT is_empty($$SELECT changed('listens')$$, 'P11: no total has changed');
SELECT ok(intact('listens'), 'P11: it is intact');
SELECT set_eq('TABLE listens_manifest', 'TABLE manifest', 'P11: the manifest is as it was');
SELECT results_eq($$SELECT since, until, is_sealed FROM playevent.partitions('listens') WHERE until <= month(0)$$,
    $$VALUES ('-infinity'::timestamptz, month(-3), true), (month(-3), month(-2), true), (month(-2), month(-1), false), (month(-1), month(0), false)$$,
    'P11: what was sealed is sealed');
SELECT throws_ok(format('INSERT INTO listens (song, how, at) VALUES (''k1'', ''whole'', %L)', at), '55000', NULL, 'P11: it takes no row at ' || at)
  FROM unnest(ARRAY[month(-9), month(-3)]) AS at;
SELECT is(playevent.seal('listens', month(0)), 2, 'P11: others are sealed');
SELECT is(playevent.retire('listens', month(-1)), 2, 'P11: and it goes on with retiring');
SELECT is_empty($$SELECT changed('listens')$$, 'P11: no total has changed');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('listens', 'listens_m3')$$, 'P11: the manifest goes on too');

-- What was retired of a counter is lost.
DROP TRIGGER playevent_count ON listens;
DROP TABLE listens_daily_retired CASCADE;
SELECT alike(failure($$SELECT playevent.attach_log('listens', 'track', key_column => 'song', release_column => 'album', kind_column => 'how', kinds => '{whole}',
    created_column => 'at', id_column => 'nr', listener_column => 'who')$$), '55000 what was retired of table "listens" can''t be counted%', 'P11: mending does not hide what is lost');
SELECT lives_ok($$SELECT playevent.drop_counter('listens', 'listens_daily')$$, 'P11: that counter can be given up');
SELECT lives_ok($$SELECT playevent.attach_log('listens', 'track', key_column => 'song', release_column => 'album', kind_column => 'how', kinds => '{whole}', daily => false)$$,
    'P11: a log without that counter is mended');
SELECT ok(intact('listens'), 'P11: and intact');

--
-- Sums that are less than nothing, of some of the partitions
--

SELECT playevent.create_log('odd', 'track', partition_by => 'month', kinds => '{whole}', day_zone => 'UTC');
SELECT make_months('odd_event', 4);
ALTER TABLE odd_event ADD gain int;
SELECT playevent.add_counter('odd_event', 'odd_gain', '{track_entry_key}', 'gain');
INSERT INTO odd_event (track_entry_key, bucket, created_at, gain)
SELECT key, 'whole', month(m), gain
  FROM (VALUES ('less', -4, -3), ('less', -3, 5), ('none', -4, -7), ('none', -3, 7), ('more', -4, 4), ('more', -3, -9), ('more', -2, -2147483648)) AS v(key, m, gain);
SELECT remember('odd_event');
SELECT is(playevent.seal('odd_event', month(-1)), 3, 'P11: three months are sealed');
SELECT is(playevent.retire('odd_event', month(until)), 1, 'P11: and retired, until ' || until)
  FROM generate_series(-3, -1) AS until;
SELECT is_empty($$SELECT changed('odd_event')$$, 'P11: no total has changed');
SELECT is_empty(format('SELECT * FROM playevent.verify_archive(''odd_event'', %L)', archive), 'P11: as the manifest says: ' || archive)
  FROM unnest('{odd_event_m4,odd_event_m3,odd_event_m2}'::text[]) AS archive;

SELECT * FROM finish();
ROLLBACK;
