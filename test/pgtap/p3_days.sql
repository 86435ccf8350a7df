-- P3, P10, P12: a log counts the days of its day_zone, when clocks change too and for
-- plays that come late; playevent.log and charts tell whose days they are; and
-- they stay, but for a counter that is made anew.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
CREATE SCHEMA days;
SET LOCAL search_path = days, public;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('k1', 7), ('k2', 8);

-- The log is exact, and this many
CREATE FUNCTION exact(log regclass, plays bigint, title text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', log) INTO n;
    RETURN NEXT is(n, plays, 'P3: so many rows: ' || title);
    RETURN NEXT is_empty(format('SELECT * FROM playevent.verify(%L)', log), 'P3: exact: ' || title);
    RETURN NEXT ok((SELECT intact FROM playevent.log l WHERE l.event = log), 'P10: intact: ' || title);
END
$$;

--
-- Days of 23, 24 and 25 hours, and one that was not
--

-- A log for each zone, by name: a play each half hour of four days around the one
-- in question, some recorded then and some late.
CREATE TABLE zone (log text PRIMARY KEY, name text, day date, hours numeric);
INSERT INTO zone VALUES
    ('spring', 'Europe/Berlin', '2026-03-29', 23),
    ('autumn', 'Europe/Berlin', '2026-10-25', 25),
    ('midnight', 'America/Sao_Paulo', '2018-11-04', 23),  -- began at 01:00
    ('twice', 'America/Sao_Paulo', '2018-02-17', 25),  -- its last hour came twice
    ('abolished', 'America/Sao_Paulo', '2026-02-21', 24),
    ('half', 'Australia/Lord_Howe', '2026-04-05', 24.5),
    ('skipped', 'Pacific/Apia', '2011-12-30', 0),  -- Samoa crossed the date line
    ('far', 'Asia/Kathmandu', '2026-01-01', 24);
-- Whatever the session's zone, and whatever the client says is the day
SET LOCAL timezone = 'America/New_York';
CREATE FUNCTION fill(z zone) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    log regclass := playevent.create_log(z.log, 'days.track', day_zone => z.name);
    at timestamptz;
    n int := 0;
    late timestamptz[] := '{}';
BEGIN
    at := ((z.day - 1)::timestamp AT TIME ZONE z.name) - interval '6 hours';
    WHILE at < ((z.day + 2)::timestamp AT TIME ZONE z.name) + interval '6 hours' LOOP
        n := n + 1;
        IF n % 3 = 0 THEN
            EXECUTE format('INSERT INTO %s (track_entry_key, bucket, created_at, day) VALUES (''k1'', ''most'', $1, ''2000-01-01'')', log) USING at;
        ELSIF n % 3 = 1 THEN
            EXECUTE format('INSERT INTO %s (track_entry_key, bucket, %I) VALUES (''k1'', ''most'', $1)', log,
                playevent.time_column(z.log)) USING at;
        ELSE
            late := late || at;
        END IF;
        at := at + interval '30 minutes';
    END LOOP;
    EXECUTE format('SELECT count(*) FROM %I(array_fill(''k1''::text, $2), array_fill(''most''::%I, $2), NULL, NULL, $1)',
        'record_' || playevent.plural(z.log), z.log || '_bucket') USING late, ARRAY[cardinality(late)];
    RETURN QUERY EXECUTE format('SELECT is((SELECT coalesce(sum(%I), 0) / 2 FROM %I WHERE day = $1.day), $1.hours, %L)',
        playevent.count_column(z.log), z.log || '_daily', format('P3: %s in %s has %s hours', z.day, z.name, z.hours)) USING z;
    RETURN QUERY EXECUTE format(
        'SELECT is((SELECT count(*) FROM %s WHERE day IS DISTINCT FROM (coalesce(%I, created_at) AT TIME ZONE %L)::date), 0::bigint, %L)',
        log, playevent.time_column(z.log), z.name, 'P3: each day is as AT TIME ZONE has it: ' || z.log);
    RETURN QUERY SELECT days.exact(log, n, z.log);
    RETURN NEXT is((SELECT l.day_zone FROM playevent.log l WHERE l.event = log), z.name, 'P10: playevent.log says whose days these are: ' || z.log);
END
$$;
SELECT fill(z) FROM zone z;
SELECT results_eq($$SELECT period, plays FROM playevent.series('autumn_event', '2026-10-24', '2026-10-26')$$,
    $$VALUES ('2026-10-24'::date, 48::bigint), ('2026-10-25', 50), ('2026-10-26', 48)$$, 'P3: series has them');
SELECT results_eq($$SELECT period, plays FROM playevent.series('autumn_event', '2026-10-25', '2026-10-25', step => 'week')$$,
    $$VALUES ('2026-10-19'::date, 50::bigint)$$, 'P3: weeks are of these days');
SELECT results_eq($$SELECT plays FROM playevent.top('spring_event', '2026-03-29', '2026-03-29')$$, ARRAY[46::bigint], 'P3: and so has top');

--
-- Today, by default
--

-- In one of these two it is another day than in UTC, at any time.
SELECT playevent.create_log('early', 'track', day_zone => 'Pacific/Kiritimati') AS log \gset
SELECT playevent.create_log('late', 'track', day_zone => 'Etc/GMT+12') AS log \gset
SELECT playevent.create_log('plain', 'track') AS log \gset
INSERT INTO early_event (track_entry_key, bucket) VALUES ('k1', 'most');
INSERT INTO late_event (track_entry_key, bucket) VALUES ('k1', 'most');
INSERT INTO plain_event (track_entry_key, bucket) VALUES ('k1', 'most');
CREATE TABLE today AS
    SELECT log || '_event' AS event, (now() AT TIME ZONE zone)::date AS day
      FROM (VALUES ('early', 'Pacific/Kiritimati'), ('late', 'Etc/GMT+12'), ('plain', 'UTC')) AS v(log, zone);
SELECT ok((SELECT bool_or(day <> (now() AT TIME ZONE 'UTC')::date) FROM today), 'it is another day somewhere');
CREATE FUNCTION charts(log text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s days to %s, %s plays, the last with %s; top %s', count(*), max(s.period), sum(s.plays),
               (array_agg(s.plays ORDER BY s.period DESC))[1], (SELECT t.plays FROM playevent.top(log::regclass) AS t))
      FROM playevent.series(log::regclass) AS s
$$;
SET LOCAL timezone = 'Pacific/Kiritimati';
SELECT is(charts(event), format('30 days to %s, 1 plays, the last with 1; top 1', day), 'P3: the last 30 days end today, the log''s: ' || event) FROM today;
SET LOCAL timezone = 'Etc/GMT+12';
SELECT is(charts(event), format('30 days to %s, 1 plays, the last with 1; top 1', day), 'P3: whatever the session''s is: ' || event) FROM today;
SELECT is((SELECT count(*) FROM playevent.series(event::regclass, since => day - 9)), 10::bigint, 'P3: until today: ' || event) FROM today;
SELECT is((SELECT count(*) FROM playevent.series(event::regclass, NULL, day - 9)), 21::bigint, 'P3: since 29 days before: ' || event) FROM today;
SELECT is((SELECT day_zone FROM playevent.log WHERE event = 'plain_event'::regclass), 'UTC', 'P10: those of UTC are said to be');
SELECT throws_ok($$SELECT * FROM playevent.series('early_event', until => '2026-01-01')$$, '22023', NULL, 'P9: an until before the default since');

-- The first moment of all is on a day that no date can be, there.
SAVEPOINT s;
SELECT lives_ok($$INSERT INTO plain_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', '4714-11-24 00:00Z BC')$$, 'P9: the first moment of all');
SELECT throws_ok($$INSERT INTO late_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', '4714-11-24 11:59:59Z BC')$$, '22008',
    'date out of range', 'P9: and the day before');
SELECT lives_ok($$INSERT INTO late_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', '4714-11-24 12:00Z BC')$$, 'P9: which ends at noon');
SELECT results_eq($$SELECT ord, status, reason FROM record_lates('{k1,k2}', '{most,most}', NULL, NULL, '{"4714-11-24 00:00Z BC","4714-11-24 12:00Z BC"}')$$,
    $$VALUES (1, 'rejected', 'date out of range'), (2, 'recorded', NULL)$$, 'P9: in a batch, one row has it');
SELECT exact('late_event', 3, 'from the first moment on');
ROLLBACK TO s;

--
-- Logs without a trigger that tells days
--

CREATE TABLE own_event (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(), day date GENERATED ALWAYS AS ((at AT TIME ZONE 'Asia/Tokyo')::date) STORED);
SELECT throws_ok($$SELECT playevent.attach_log('own_event', 'track', created_column => 'at', day_zone => 'Europe/Berlin')$$, '22023',
    'argument "day_zone" is ''Europe/Berlin'', and no day of table "own_event" would be told by it', 'P10: a day that is generated has its own zone');
SELECT throws_ok($$SELECT playevent.attach_log('own_event', 'track', day_zone => 'Europe/Berlin')$$, '22023',
    'argument "day_zone" is ''Europe/Berlin'', and no day of table "own_event" would be told by it', 'P10: as where no time is told');
SELECT playevent.attach_log('own_event', 'track', created_column => 'at') AS log \gset
SELECT is((SELECT day_zone FROM playevent.log WHERE event = 'own_event'::regclass), NULL, 'P10: then playevent.log has none');
SELECT is((SELECT max(period) FROM playevent.series('own_event')), (now() AT TIME ZONE 'UTC')::date, 'P3: and charts end today in UTC');

--
-- Another zone
--

CREATE FUNCTION zone_of(event regclass) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s, %s', l.day_zone, (playevent.told_days(l.event)).day_column) FROM playevent.log l WHERE l.event = zone_of.event
$$;
-- 23:30 in UTC is the next day in Berlin.
INSERT INTO plain_event (track_entry_key, bucket, created_at, plained_at) VALUES
    ('k1', 'most', '2026-07-01 23:30Z', NULL), ('k2', 'most', '2026-07-05Z', '2026-06-30 23:30Z');
SELECT throws_ok($$SELECT playevent.attach_log('plain_event', 'track', day_zone => 'Europe/Berlin')$$, '42710', 'table "plain_event" is a log already',
    'P10: a log that works has its days');
DROP TRIGGER playevent_count ON plain_event;
SELECT throws_ok($$SELECT playevent.attach_log('plain_event', 'track', day_zone => 'Europe/Berlin')$$, '55000',
    'days of table "plain_event" are those of time zone "UTC", not "Europe/Berlin"', 'P10: nor do they change when it is mended');
SELECT throws_ok($$SELECT playevent.attach_log('plain_event', 'track', created_column => 'created_at', day_zone => 'Europe/Berlin')$$, '55000',
    'days of table "plain_event" are those of time zone "UTC", not "Europe/Berlin"', 'P10: by any arguments');
SELECT throws_ok($$SELECT playevent.attach_log('plain_event', 'track', created_column => 'created_at', day_column => 'local_day', day_zone => 'Europe/Berlin')$$,
    '55000', 'counter "plain_daily" of table "plain_event" counts by column "day", which would not be set any more',
    'P10: nor in another column, while a counter is by the former');
DROP TRIGGER playevent_day ON plain_event;
SELECT throws_ok($$SELECT playevent.attach_log('plain_event', 'track', day_zone => 'Europe/Berlin')$$, '55000',
    'days of table "plain_event" are those of time zone "UTC", not "Europe/Berlin"', 'P10: though the trigger be gone');
SELECT lives_ok($$SELECT playevent.attach_log('plain_event', 'track', day_zone => 'UTC')$$, 'P10: the same as before is no change');
SELECT exact('plain_event', 3, 'mended');

-- The way that the documents tell; of a log that has verdicts
SELECT id AS voided FROM plain_event WHERE created_at = '2026-07-01 23:30Z' \gset
SELECT playevent.void('plain_event', ARRAY[:voided], 'a bot') AS changed \gset
CREATE ROLE days_reader;
DROP TRIGGER playevent_count ON plain_event;
SELECT playevent.drop_counter('plain_event', 'plain_daily');
SELECT playevent.attach_log('plain_event', 'track', created_column => 'created_at', day_column => 'local_day', day_zone => 'Europe/Berlin',
    reader_role => 'days_reader') AS log \gset
DROP VIEW plain_valid;
ALTER TABLE plain_event DROP COLUMN day;
SELECT is(zone_of('plain_event'), 'Europe/Berlin, local_day', 'P10: days of another zone, in a column of their own');
SELECT exact('plain_event', 3, 'in another zone');
SELECT results_eq($$SELECT track_entry_key, local_day, plains FROM plain_daily WHERE local_day < '2026-08-01' ORDER BY 1$$,
    $$VALUES ('k2'::varchar, '2026-07-01'::date, 1::bigint)$$, 'P3: all rows that count are counted anew');
SELECT playevent.reinstate('plain_event', ARRAY[:voided], 'no bot') AS changed \gset
SELECT results_eq($$SELECT track_entry_key, local_day, plains FROM plain_daily WHERE local_day < '2026-08-01' ORDER BY 1$$,
    $$VALUES ('k1'::varchar, '2026-07-02'::date, 1::bigint), ('k2', '2026-07-01', 1)$$, 'P12: a play that counts again does so on this day');
SELECT columns_are('days', 'plain_valid', '{id,track_entry_key,release_id,bucket,anon_id,event_id,created_at,plained_at,local_day}'::name[],
    'P12: and the view of rows that count has it');
SELECT isnt(record_plain('k1', 'most'), NULL, 'P3: and plays go on');
SELECT is((SELECT count(*) FROM record_plains('{k2,k2}', '{most,partial}')), 2::bigint, 'P3: in batches');
INSERT INTO plain_event (track_entry_key, bucket, plained_at, local_day) VALUES ('k1', 'most', '2026-07-01 21:59Z', '2000-01-01');
SELECT results_eq($$SELECT local_day, sum(plains)::int FROM plain_daily WHERE local_day < '2026-08-01' GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('2026-07-01'::date, 2), ('2026-07-02', 1)$$, 'P3: late ones too');
SELECT exact('plain_event', 7, 'in another zone, later');
SELECT is((SELECT max(period) FROM playevent.series('plain_event')), (now() AT TIME ZONE 'Europe/Berlin')::date, 'P3: and charts follow');
SELECT ok(has_table_privilege('days_reader', 'plain_daily', 'SELECT') AND has_table_privilege('days_reader', 'plain_daily_slot', 'SELECT'),
    'P8: whom charts are for may read them');
DROP TRIGGER playevent_count ON plain_event;
SELECT playevent.attach_log('plain_event', 'track') AS log \gset
SELECT is(zone_of('plain_event'), 'Europe/Berlin, local_day', 'P10: mended, they are as they were');
SELECT exact('plain_event', 7, 'in another zone, mended');

-- The former column may stay; it is the app's then.
DROP TRIGGER playevent_count ON late_event;
SELECT playevent.drop_counter('late_event', 'late_daily');
SELECT playevent.attach_log('late_event', 'track', created_column => 'created_at', day_column => 'local_day', day_zone => 'Asia/Tokyo') AS log \gset
SELECT is(zone_of('late_event'), 'Asia/Tokyo, local_day', 'P10: beside the former column');
DROP TRIGGER playevent_count ON late_event;
SELECT playevent.attach_log('late_event', 'track') AS log \gset
SELECT is(zone_of('late_event'), 'Asia/Tokyo, local_day', 'P10: which does not come back');
INSERT INTO late_event (track_entry_key, bucket) VALUES ('k1', 'most');
SELECT exact('late_event', 2, 'beside the former column');

-- A trigger that is lost leaves no other days behind.
CREATE TABLE attached_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO attached_event VALUES ('k1', 7, 'most', '2026-07-01 23:30Z');
SELECT playevent.attach_log('attached_event', 'track', created_column => 'created_at', day_zone => 'Europe/Berlin') AS log \gset
DROP TRIGGER playevent_day ON attached_event;
SELECT throws_ok($$INSERT INTO attached_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, '23502', NULL, 'P10: without the trigger there is no day');
DROP TRIGGER playevent_count ON attached_event;
SELECT throws_ok($$SELECT playevent.attach_log('attached_event', 'track', created_column => 'created_at', day_zone => 'UTC')$$, '55000',
    'days of table "attached_event" are those of time zone "Europe/Berlin", not "UTC"', 'P10: and it is not made anew for other days');
SELECT playevent.attach_log('attached_event', 'track', created_column => 'created_at') AS log \gset
SELECT is(zone_of('attached_event'), 'Europe/Berlin, day', 'P10: but for the same');
SELECT exact('attached_event', 1, 'mended without its trigger');

-- What a manifest tells stays, and so do days.
SELECT playevent.create_log('month', 'track', partition_by => 'month') AS log \gset
INSERT INTO month_event (track_entry_key, bucket) VALUES ('k1', 'most');
CREATE FUNCTION move_month() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    DROP TRIGGER playevent_count ON month_event;
    PERFORM playevent.drop_counter('month_event', 'month_daily');
    PERFORM playevent.attach_log('month_event', 'track', created_column => 'created_at', day_column => 'local_day', day_zone => 'Asia/Tokyo');
    RETURN days.zone_of('month_event');
END
$$;
SAVEPOINT s;
SELECT is(move_month(), 'Asia/Tokyo, local_day', 'P10: a partitioned log gets other days');
SELECT exact('month_event', 1, 'a partitioned log in another zone');
ROLLBACK TO s;
SELECT format('CREATE TABLE month_old PARTITION OF month_event FOR VALUES FROM (%L) TO (%L)', '2020-01-01Z', '2020-02-01Z') \gexec
SELECT playevent.seal('month_event', '2020-02-01Z') AS sealed \gset
SELECT cmp_ok(:sealed, '>', 0, 'partitions are sealed');
SELECT throws_ok('SELECT move_month()', '55000', 'days of table "month_event" stay those of column "day"', 'P10: but not once partitions are sealed');
SELECT is(zone_of('month_event'), 'UTC, day', 'P10: and all is as it was');

SELECT * FROM finish();
ROLLBACK;
