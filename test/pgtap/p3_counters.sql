-- P3: further counters of a log are as exact as its own: the one by day that
-- create_log makes, and those that add_counter does; and what top and series
-- read off them.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(105);

CREATE SCHEMA c;
SET LOCAL search_path = c, public;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'Pacific/Auckland';  -- a day that is not UTC's
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', NULL), ('k4', 1);
SELECT playevent.create_log('play', 'track');

\ir include/differences.sql
CREATE FUNCTION differs(log text DEFAULT 'play_event') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT * FROM playevent.counter k WHERE k.event = log::regclass LOOP
        RETURN QUERY SELECT differences(log, format('c.%I', c.counter),
            (SELECT string_agg(quote_ident(x), ', ') FROM unnest(c.columns) x));
    END LOOP;
    RETURN QUERY SELECT v::text FROM playevent.verify(log) v;
END
$$;

--
-- The counter by day
--

INSERT INTO play_event (track_entry_key, bucket, created_at, played_at) VALUES
    ('k1', 'most', '2026-03-01 23:59:59+00', NULL),
    ('k1', 'most', '2026-03-02 00:00:00+00', NULL),
    ('k1', 'complete', '2026-03-02 12:00:00+00', '2026-02-28 10:00:00+00'),
    ('k2', 'partial', '2026-03-02 12:00:00+00', '2026-03-01 23:30:00-02'),
    ('k4', 'most', '2026-03-01 08:00:00+00', NULL),
    ('k3', 'most', '2026-03-01 08:00:00+00', NULL),
    ('loose', 'most', '2026-03-08 08:00:00+00', NULL),
    ('loose', 'most', '2026-03-08 09:00:00+00', NULL);
SELECT results_eq('SELECT track_entry_key::text, release_id, day, plays FROM play_daily ORDER BY 1, 3',
    $$VALUES ('k1', 1, '2026-02-28'::date, 1::bigint), ('k1', 1, '2026-03-01', 1), ('k1', 1, '2026-03-02', 1),
             ('k2', 2, '2026-03-02', 1), ('k3', NULL, '2026-03-01', 1), ('k4', 1, '2026-03-01', 1),
             ('loose', NULL, '2026-03-08', 2)$$,
    'P3: plays count for the UTC day they were at, late ones too');
SELECT is_empty('SELECT differs()', 'P3: all counters equal the log');
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, played_at) VALUES ('k1', 'most', now() + interval '1 s')$$,
    '23514', NULL, 'P9: no play is later than it is recorded');
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, played_at) VALUES ('k1', 'most', '-infinity')$$,
    '23514', NULL, 'P9: nor before all time');
SAVEPOINT s;
INSERT INTO play_event (track_entry_key, bucket, day) VALUES ('k1', 'partial', '2020-01-01');
SELECT results_eq($$SELECT day FROM play_event WHERE track_entry_key = 'k1' AND bucket = 'partial'$$,
    $$SELECT (now() AT TIME ZONE 'UTC')::date$$, 'P9: the day is not for the client to say');
INSERT INTO play_event (track_entry_key, bucket, created_at)
SELECT 'edge', 'most', t FROM unnest('{-infinity,infinity,4713-01-01 00:00+00 BC,1999-12-31 23:59:59.999999+00,2000-01-01 00:00+00,294276-12-31 23:59:59+00}'::timestamptz[]) t;
SELECT is_empty($$SELECT * FROM play_event WHERE day <> (coalesce(played_at, created_at) AT TIME ZONE 'UTC')::date$$,
    'P3: the day is that of the time, at all edges');
SELECT is_empty('SELECT differs()', 'P3: and counted so');
ROLLBACK TO s;
SELECT throws_ok('UPDATE play_daily_slot SET plays = 0', '23001', NULL, 'P3: its slots can''t be written');

--
-- add_counter
--

SELECT is(playevent.add_counter('play_event', 'play_by_listener_day', '{anon_id,day}')::text, 'play_by_listener_day',
    'add_counter returns the view');
SELECT is_empty('SELECT differs()', 'P3: a new counter has counted the rows that are there');
INSERT INTO play_event (track_entry_key, bucket, anon_id) SELECT 'k' || n % 5, 'most', 'l' || n % 3 FROM generate_series(1, 40) n;
SELECT is_empty('SELECT differs()', 'P3: and counts those that come, with the others');
SELECT is((SELECT sum(plays) FROM play_by_listener_day), 48::numeric, 'P3: all of them');
SAVEPOINT s;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
ROLLBACK TO s;
SELECT is_empty('SELECT differs()', 'P3: and not those that are rolled back');
SELECT results_eq(
    $$SELECT counter::text COLLATE "default", counter_slot::text, count_column, columns, trigger_name::text COLLATE "default"
        FROM playevent.counter WHERE event = 'play_event'::regclass ORDER BY counter$$,
    $$VALUES ('play_by_listener_day', 'play_by_listener_day_slot', 'plays', '{anon_id,day}'::text[], 'playevent_count_play_by_listener_day'),
             ('play_counter', 'play_counter_slot', 'plays', '{track_entry_key,release_id,bucket}', 'playevent_count'),
             ('play_daily', 'play_daily_slot', 'plays', '{track_entry_key,release_id,day}', 'playevent_count_play_daily')$$,
    'playevent.counter lists the counters');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: the log is intact with them');
ALTER TABLE play_event ENABLE TRIGGER playevent_count_play_daily;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P1: it is not if one of them does not count replicated rows');
ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_count_play_daily;
ALTER TABLE play_event ENABLE TRIGGER playevent_day;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P1: nor if the day of replicated rows is not set');
ALTER TABLE play_event DISABLE TRIGGER ALL;
ALTER TABLE play_event ENABLE TRIGGER ALL;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P7: ENABLE TRIGGER ALL enables them as they were made');

-- what was not counted
ALTER TABLE play_event DISABLE TRIGGER playevent_count_play_by_listener_day;
ALTER TABLE play_event DISABLE TRIGGER playevent_count_play_daily;
INSERT INTO play_event (track_entry_key, bucket, anon_id, created_at) VALUES ('k1', 'most', 'l9', '2026-04-01 12:00+00');
ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_count_play_by_listener_day;
ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_count_play_daily;
SELECT results_eq(
    $$SELECT counter, track_entry_key, release_id, kind, further_key, counted, logged FROM playevent.verify('play_event') ORDER BY 1$$,
    $$VALUES ('play_by_listener_day', NULL, NULL, NULL, 'anon_id = l9, day = 2026-04-01', 0::bigint, 1::bigint),
             ('play_daily', 'k1', '1', NULL, 'day = 2026-04-01', 0, 1)$$,
    'P3: verify covers every counter');
SELECT is(playevent.rebuild('play_event'), 2::bigint, 'P3: and so does rebuild');
SELECT is_empty('SELECT differs()', 'P3: all is exact again');

-- other columns, types and names
CREATE TABLE listen ("Song" text NOT NULL, release_id int, kind text NOT NULL, country char(2), at timestamp, score numeric)
    PARTITION BY LIST (kind);
CREATE TABLE listen_a PARTITION OF listen FOR VALUES IN ('a');
CREATE TABLE listen_b PARTITION OF listen DEFAULT;
SELECT playevent.attach_log('listen', 'track', key_column => 'Song', kind_column => 'kind', kinds => '{a,b}');
INSERT INTO listen VALUES ('k1', NULL, 'a', 'NL', now(), 1.0), ('k1', NULL, 'a', 'NL', now(), 1.00), ('k2', NULL, 'b', NULL, now(), NULL);
SELECT lives_ok($$SELECT playevent.add_counter('listen', 'By Score', '{score,country,"Song"}')$$, 'P3: any columns will do');
INSERT INTO listen VALUES ('k1', NULL, 'b', NULL, now(), 1.0), ('k2', NULL, 'b', NULL, now(), 2);
INSERT INTO listen_a VALUES ('k2', NULL, 'a', 'DE', now(), 2);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is(playevent.rebuild('listen'), 0::bigint, 'P3: a partitioned log with columns of its own has nothing to rebuild');
SELECT is_empty($$SELECT differs('listen')$$, 'P3: it is exact');

-- compact
-- Slots that several transactions might have left, of today and of long ago
ALTER TABLE play_daily_slot DISABLE TRIGGER USER;
INSERT INTO play_daily_slot
SELECT track_entry_key, release_id, day, n FROM play_daily CROSS JOIN unnest('{1,-1}'::int[]) n WHERE track_entry_key = 'k1';
ALTER TABLE play_daily_slot ENABLE ALWAYS TRIGGER playevent_slot_guard, ENABLE ALWAYS TRIGGER playevent_slot_guard_row;
SELECT is(playevent.compact('play_event'), 2::bigint, 'compact merges the slots by day of the last week');
SELECT results_eq($$SELECT day >= current_date - 7, count(*) FROM play_daily_slot WHERE track_entry_key = 'k1' GROUP BY day ORDER BY day$$,
    $$VALUES (false, 3::bigint), (false, 3), (false, 3), (false, 3), (true, 1)$$, 'and leaves older ones be');
SELECT is_empty('SELECT differs()', 'P3: and changes no count');

-- bad input
SELECT throws_ok($$SELECT playevent.add_counter(NULL, 'x', '{day}')$$, '22004', 'argument "event" must not be null', 'no event');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', NULL, '{day}')$$, '22004', 'argument "counter" must not be null', 'no name');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', NULL)$$, '22004', 'argument "columns" must not be null', 'no columns');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{day,NULL}')$$, '22004', 'argument "columns" must not be null', 'a null column');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{}')$$, '22023', 'argument "columns" is ''{}''', 'an empty list');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{day,day}')$$, '22023', NULL, 'a column twice');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{{day,bucket}}')$$, '22023', NULL, 'an array of arrays');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{nothing}')$$, '42703', NULL, 'no such column');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{ctid}')$$, '42703', NULL, 'a system column');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', '', '{day}')$$, '42602', NULL, 'an empty name');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', repeat('x', 48)::name, '{day}')$$, '42622', NULL, 'a long name');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'play_daily', '{day}')$$, '42P07', '"play_daily_slot" exists already in schema "c"', 'a name that is taken');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'track', '{day}')$$, '42P07', '"track" exists already in schema "c"', 'by another table');
SELECT throws_ok($$SELECT playevent.add_counter('track', 'x', '{release_id}')$$, '55000', 'table "track" is not a log', 'a table that is no log');
SELECT throws_ok($$SELECT playevent.add_counter('listen_a', 'x', '{kind}')$$, '55000', 'table "listen_a" is not a log', 'a partition');

--
-- drop_counter
--

SELECT throws_ok($$SELECT playevent.drop_counter('play_event', 'play_counter')$$, '55000', NULL, 'the log''s own counter stays');
SELECT throws_ok($$SELECT playevent.drop_counter('play_event', 'nothing')$$, '42704', 'table "play_event" has no counter "nothing"', 'no such counter');
SELECT throws_ok($$SELECT playevent.drop_counter('play_event', NULL)$$, '22004', NULL, 'a null counter');
SELECT throws_ok($$SELECT playevent.drop_counter(0, 'x')$$, '42P01', NULL, 'no such table');
SELECT lives_ok($$SELECT playevent.drop_counter('play_event', 'play_by_listener_day')$$, 'drop_counter');
SELECT hasnt_table('c', 'play_by_listener_day_slot', 'takes the slot table');
SELECT hasnt_view('c', 'play_by_listener_day', 'and the view');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
SELECT is_empty('SELECT differs()', 'P3: the log counts on without it');
SELECT lives_ok($$SELECT playevent.drop_counter('listen', 'By Score')$$, 'of a partitioned log');
INSERT INTO listen_a VALUES ('k2', NULL, 'a', 'DE', now(), 2);
SELECT is_empty($$SELECT * FROM pg_trigger WHERE tgrelid = 'listen_a'::regclass AND tgname LIKE '%By Score'$$, 'from its partitions too');
CREATE ROLE c_other;
GRANT USAGE ON SCHEMA c TO c_other;
SET LOCAL ROLE c_other;
SELECT throws_ok($$SELECT playevent.drop_counter('c.play_event', 'play_daily')$$, '42501', 'must be owner of table play_event', 'P8: for the owner alone');
SELECT throws_ok($$SELECT playevent.add_counter('c.play_event', 'x', '{day}')$$, '42501', 'must be owner of table play_event', 'P8: so is add_counter');
SELECT throws_ok($$SELECT * FROM playevent.top('c.play_event', '2026-01-01', '2026-12-31')$$, '42501', NULL, 'P8: top reads with the caller''s rights');
SELECT throws_ok($$SELECT * FROM playevent.series('c.play_event', '2026-01-01', '2026-12-31')$$, '42501', NULL, 'P8: so does series');
RESET ROLE;

-- attach_log mends them: a slot table that is gone, and triggers that went with
-- the extension
DROP TABLE play_daily_slot CASCADE;
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, '42P01', NULL, 'P10: without its slot table nothing is recorded');
SELECT lives_ok($$SELECT playevent.attach_log('play_event', 'track')$$, 'P10: attach_log mends that');
SELECT is_empty('SELECT differs()', 'P3: and counts anew');
SELECT has_view('c', 'play_daily', 'P10: the view is back');
SELECT set_eq($$SELECT regexp_replace(indexdef, '^.*\(|\)$', '', 'g') FROM pg_indexes WHERE tablename = 'play_daily_slot'$$,
    $$VALUES ('day, release_id, track_entry_key'), ('track_entry_key, day')$$, 'P10: with the indexes that it had');
DROP TRIGGER playevent_count_play_daily ON play_event;
DROP TRIGGER playevent_count ON play_event;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
SELECT lives_ok($$SELECT playevent.attach_log('play_event', 'track')$$, 'P10: attach_log after the triggers are gone');
SELECT is((SELECT count(*) FROM playevent.counter WHERE event = 'play_event'::regclass), 2::bigint, 'P10: both counters are back');
SELECT is_empty('SELECT differs()', 'P3: exact');

--
-- top and series
--

SELECT playevent.drop_counter('play_event', 'play_daily');
SELECT throws_ok($$SELECT * FROM playevent.top('play_event', '2026-01-01', '2026-12-31')$$, '55000', NULL, 'without a counter by day there is no top');
SELECT throws_ok($$SELECT * FROM playevent.series('play_event', '2026-01-01', '2026-12-31')$$, '55000', NULL, 'and no series');
SELECT lives_ok($$SELECT playevent.add_counter('play_event', 'play_daily', '{day,track_entry_key,release_id}')$$, 'any such counter will do');

SELECT results_eq($$SELECT rank, key, plays FROM playevent.top('play_event', '2026-02-28', '2026-03-08')$$,
    $$VALUES (1::bigint, 'k1', 3::bigint), (2, 'loose', 2), (3, 'k2', 1), (3, 'k3', 1), (3, 'k4', 1)$$, 'top by track');
SELECT results_eq($$SELECT rank, key, plays FROM playevent.top('play_event', '2026-02-28', '2026-03-08', lim => 2)$$,
    $$VALUES (1::bigint, 'k1', 3::bigint), (2, 'loose', 2)$$, 'top 2');
SELECT results_eq($$SELECT rank, key, plays FROM playevent.top('play_event', '2026-02-28', '2026-03-08', 'release')$$,
    $$VALUES (1::bigint, '1', 4::bigint), (2, '2', 1)$$, 'top by release');
SELECT results_eq($$SELECT rank, key, plays FROM playevent.top('play_event', '2026-03-01', '2026-03-01')$$,
    $$VALUES (1::bigint, 'k1', 1::bigint), (1, 'k3', 1), (1, 'k4', 1)$$, 'top of one day, with equals');
SELECT is_empty($$SELECT * FROM playevent.top('play_event', '2020-01-01', '2020-01-31')$$, 'top of a period without plays');
SELECT throws_ok($$SELECT * FROM playevent.top('play_event', '2026-01-02', '2026-01-01')$$, '22023', NULL, 'a period that ends before it begins');
SELECT throws_ok($$SELECT * FROM playevent.top('play_event', '-infinity', '2026-01-01')$$, '22023', NULL, 'a period without end');
SELECT throws_like($$SELECT * FROM playevent.top('play_event', NULL, '2026-01-01')$$, 'there is no period since %', 'no first day: 29 days before the log''s today');
SELECT throws_ok($$SELECT * FROM playevent.top('play_event', '2026-01-01', '2026-01-01', 'artist')$$, '22023', 'argument "by" is ''artist''', 'by something else');
SELECT throws_ok($$SELECT * FROM playevent.top('play_event', '2026-01-01', '2026-01-01', lim => -1)$$, '2201W', NULL, 'a negative number');
SELECT throws_ok($$SELECT * FROM playevent.top('track', '2026-01-01', '2026-01-01')$$, '55000', 'table "track" is not a log', 'top of a table that is no log');

SELECT results_eq($$SELECT period, plays FROM playevent.series('play_event', '2026-02-27', '2026-03-03', track_entry_key => 'k1')$$,
    $$VALUES ('2026-02-27'::date, 0::bigint), ('2026-02-28', 1), ('2026-03-01', 1), ('2026-03-02', 1), ('2026-03-03', 0)$$, 'series of a track');
SELECT results_eq($$SELECT period, plays FROM playevent.series('play_event', '2026-02-28', '2026-03-02', release_id => '1')$$,
    $$VALUES ('2026-02-28'::date, 1::bigint), ('2026-03-01', 2), ('2026-03-02', 1)$$, 'series of a release');
SELECT results_eq($$SELECT period, plays FROM playevent.series('play_event', '2026-02-28', '2026-03-08', step => 'week')$$,
    $$VALUES ('2026-02-23'::date, 4::bigint), ('2026-03-02', 4)$$, 'series of all by week, from Monday');
SELECT results_eq($$SELECT period, plays FROM playevent.series('play_event', '2026-01-15', '2026-03-31', track_entry_key => 'k1', step => 'month')$$,
    $$VALUES ('2026-01-01'::date, 0::bigint), ('2026-02-01', 1), ('2026-03-01', 2)$$, 'series by month');
SELECT results_eq($$SELECT period, plays FROM playevent.series('play_event', '2026-03-02', '2026-03-31', track_entry_key => 'k1', step => 'month')$$,
    $$VALUES ('2026-03-01'::date, 1::bigint)$$, 'of the first month only the days in the period');
SELECT is((SELECT sum(plays) FROM playevent.series('play_event', '2026-03-01', '2026-03-02', track_entry_key => rpad('k1', 101, ' '))),
    0::numeric, 'a key that is too long is nobody''s');
SELECT throws_ok($$SELECT * FROM playevent.series('play_event', '2026-01-01', '2026-01-01', 'k1', '1')$$, '22023', NULL, 'a track and a release');
SELECT throws_ok($$SELECT * FROM playevent.series('play_event', '2026-01-01', '2026-01-01', step => 'hour')$$, '22023', 'argument "step" is ''hour''', 'by the hour');
SELECT throws_ok($$SELECT * FROM playevent.series('play_event', '2026-01-01', '2026-01-01', release_id => 'x')$$, '22P02', NULL, 'a release that is none');

-- By default the last 30 days, in UTC: here, the session's today is three days ago.
SET LOCAL TIME ZONE INTERVAL '-72:00' HOUR TO MINUTE;
CREATE TEMP TABLE today AS SELECT (now() AT TIME ZONE 'UTC')::date AS day;
INSERT INTO play_event (track_entry_key, bucket, played_at)
SELECT k.key, 'most', (today.day - k.ago + time '00:00') AT TIME ZONE 'UTC'
  FROM today, (VALUES ('k2', 0), ('k2', 29), ('k3', 30)) AS k(key, ago);
SELECT set_eq($$SELECT key, plays FROM playevent.top('play_event')$$,
    $$SELECT track_entry_key::text, sum(plays)::bigint FROM play_daily, today WHERE play_daily.day BETWEEN today.day - 29 AND today.day GROUP BY 1$$,
    'P3: top shows 30 days by default, the last one UTC''s today');
SELECT set_eq($$SELECT min(period) AS first, max(period) AS last, sum(plays) FILTER (WHERE period = day) > 0 AS played FROM playevent.series('play_event', track_entry_key => 'k2'), today$$,
    $$SELECT day - 29 AS first, day AS last, true AS played FROM today$$, 'P3: and so does series');
SET LOCAL timezone = 'Pacific/Auckland';

-- Releases of type character, which without a length has one
CREATE TABLE album (entry_key text PRIMARY KEY, release_id char(8));
INSERT INTO album VALUES ('k1', 'ABC');
SELECT playevent.create_log('spin', 'album') AS log \gset
INSERT INTO spin_event (track_entry_key, bucket) VALUES ('k1', 'most');
SELECT is((SELECT sum(plays) FROM playevent.series('spin_event', min(day), max(day), release_id => 'ABC')), 1::numeric,
    'series of a release of type character') FROM spin_event;

-- A table of the app's that looks like a slot table is none.
CREATE TABLE top_slot (release_id char(8) PRIMARY KEY, spins bigint NOT NULL);
ALTER TABLE spin_event DISABLE TRIGGER playevent_count;
SELECT lives_ok('SELECT playevent.attach_log(''spin_event'', ''album'')', 'a log is mended beside a table that is no slot table');

-- Someone else's nonsense is nobody's problem.
CREATE TABLE nonsense (n int);
CREATE TRIGGER nonsense AFTER INSERT ON nonsense FOR EACH ROW EXECUTE FUNCTION playevent.count('no "name', 'n', 'n');
SELECT lives_ok('SELECT * FROM playevent.counter', 'the view counter, beside a trigger with malformed arguments');
SELECT playevent.add_counter('spin_event', '"A ""b', '{day}');
SELECT is((SELECT k.counter FROM playevent.counter k WHERE k.counter_slot = '"""A """"b_slot"'::regclass),
    '"A ""b', 'a counter whose name needs quoting');

-- A log's slots that were forgotten when it was dropped are not the next one's.
CREATE SCHEMA again;
SET LOCAL search_path = again, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
SELECT playevent.create_log('play', 'track');
SELECT playevent.add_counter('play_event', 'by_bucket', '{day,bucket}');
DROP TABLE play_event, play_verdict, play_counter_slot, play_daily_slot CASCADE;
DROP TYPE play_bucket CASCADE;
SELECT lives_ok($$SELECT playevent.create_log('play', 'track')$$, 'P10: a log can be made anew beside what the last one left');
SELECT is((SELECT count(*) FROM playevent.counter WHERE event = 'play_event'::regclass), 2::bigint, 'P3: and counts for itself');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true,
    'P10: without the slots that say they were the last one''s');

-- Amid a statement that knows no trigger which is new
CREATE FUNCTION add_within() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM playevent.add_counter('play_event', 'within', '{bucket}');
    RETURN new;
END
$$;
CREATE TRIGGER a BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION add_within();
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, '55006',
    'cannot LOCK TABLE "play_event" because it is being used by active queries in this session', 'P3: no counter is made amid an INSERT');
DROP TRIGGER a ON play_event;
CREATE TABLE attached (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
CREATE OR REPLACE FUNCTION add_within() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM playevent.attach_log('attached', 'track', kinds => '{most}');
    RETURN new;
END
$$;
CREATE TRIGGER a BEFORE INSERT ON attached FOR EACH ROW EXECUTE FUNCTION add_within();
SELECT throws_ok($$INSERT INTO attached VALUES ('k1', 1, 'most')$$, '55006', NULL, 'P3: nor a log');

-- A further counter is not the log's own, whatever it is called, and whatever that is.
SELECT playevent.create_log('preview', 'track');
ALTER TABLE preview_event ADD country text;
SELECT playevent.add_counter('preview_event', 'country_counter', '{track_entry_key,release_id,country}');
CREATE FUNCTION told() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s by %s', counter_slot, kind_column) FROM playevent.log WHERE event = 'preview_event'::regclass AND intact
$$;
SELECT results_eq('SELECT told()', $$VALUES ('preview_counter_slot by bucket')$$, 'P1: the log tells of its own counter');
ALTER TABLE preview_counter_slot RENAME TO zz_slot;
SELECT results_eq('SELECT told()', $$VALUES ('zz_slot by bucket')$$, 'P10: which was renamed');
SELECT lives_ok($$SELECT playevent.drop_counter('preview_event', 'country_counter')$$, 'P1: the other can be dropped');

-- What equal keys look like, compaction doesn't mind; what an index calls equal by a
-- column that it has twice, or in its own order, it does.
CREATE FUNCTION compacted_by(index_columns text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE (SELECT string_agg(format('DROP INDEX %s;', indexrelid::regclass), '') FROM pg_index WHERE indrelid = 'zz_slot'::regclass);
    EXECUTE format('CREATE INDEX ON zz_slot (%s)', index_columns);
    ALTER TABLE zz_slot DISABLE TRIGGER USER;
    INSERT INTO zz_slot SELECT s.track_entry_key, s.release_id, s.bucket, n FROM zz_slot s, unnest('{5,-5}'::int[]) n;
    ALTER TABLE zz_slot ENABLE TRIGGER USER;
    PERFORM playevent.compact('preview_event');
    RETURN QUERY SELECT v::text FROM playevent.verify('preview_event') v;
END
$$;
INSERT INTO preview_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('K1', 'most'), ('k1', 'partial'), ('K1', 'partial');
SELECT is_empty(format('SELECT compacted_by(%L)', c), format('P3: exact after compaction by an index on (%s)', c))
  FROM unnest('{track_entry_key,"track_entry_key, track_entry_key, track_entry_key","track_entry_key, release_id, bucket"}'::text[]) c;
SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS has_icu \gset
\if :has_icu
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT is_empty('SELECT compacted_by(''track_entry_key COLLATE any_case, release_id, bucket'')', 'P3: and by one that takes k1 for K1');
\else
SELECT pass('P3: without ICU no index takes k1 for K1');
\endif

SELECT * FROM finish();
ROLLBACK;
