-- P11: the partitions of a log are made ahead, of UTC's time, and what finds none
-- is told how to make some.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(56);

CREATE SCHEMA p;
SET LOCAL search_path = p, public;
SET LOCAL client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2);

-- What is odd of a log's partitions: a bound that is not where a period of UTC
-- begins, two that don't follow each other, or no partition now.
CREATE FUNCTION odd(log regclass, step text) RETURNS SETOF text LANGUAGE sql SET "TimeZone" = 'UTC' AS $$
    SELECT part || ' since ' || since FROM playevent.partitions(log)
     WHERE since AT TIME ZONE 'UTC' <> date_trunc(step, since AT TIME ZONE 'UTC') AND isfinite(since)
        OR until AT TIME ZONE 'UTC' <> date_trunc(step, since AT TIME ZONE 'UTC') + ('1 ' || step)::interval
    UNION ALL
    SELECT part || ' leaves a gap' FROM (
        SELECT part, since, lag(until) OVER (ORDER BY since) AS before FROM playevent.partitions(log)) AS p
     WHERE since <> before
    UNION ALL
    SELECT 'none for now' WHERE NOT EXISTS (
        SELECT FROM playevent.partitions(log) WHERE now() >= since AND now() < until)
    UNION ALL
    SELECT 'none in three months' WHERE NOT EXISTS (
        SELECT FROM playevent.partitions(log) WHERE now() + interval '3 months' < until)
$$;

--
-- create_log
--

-- Zones with half hours, of other days than UTC's, and with summer time
CREATE FUNCTION made(step text, zone text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    event text := step || '_' || lower(regexp_replace(zone, '\W', '_', 'g')) || '_event';
    rel regclass;
BEGIN
    PERFORM set_config('timezone', zone, true);
    PERFORM set_config('datestyle', 'SQL, DMY', true);
    PERFORM set_config('intervalstyle', 'sql_standard', true);
    PERFORM playevent.create_log(left(event, -6)::name, 'track', partition_by => step);
    rel := event;
    RETURN QUERY SELECT odd(rel, step);
    EXECUTE format('INSERT INTO %I (track_entry_key, bucket) VALUES (''k1'', ''most''), (''k2'', ''most'')', event);
    RETURN QUERY SELECT v::text FROM playevent.verify(rel) v;
    RETURN QUERY EXECUTE format('SELECT ''plays: '' || count(*) FROM %I HAVING count(*) <> 2', event);
    IF NOT (SELECT l.intact FROM playevent.log l WHERE l.event = rel) THEN
        RETURN NEXT 'not intact';
    END IF;
    RETURN QUERY SELECT 'policy: ' || p::text FROM (
        SELECT l.partition_by, l.retain FROM playevent.log l WHERE l.event = rel) p
     WHERE (p.partition_by, p.retain) IS DISTINCT FROM (step, NULL);
    RETURN;
END
$$;
SELECT is_empty(format('SELECT made(%L, %L)', step, zone), format('P11: partition_by => %s, in %s', step, zone))
  FROM unnest('{day,week,month,year}'::text[]) AS step,
       unnest('{Pacific/Kiritimati,Asia/Kathmandu,America/St_Johns,Etc/GMT+12,Europe/Berlin}'::text[]) AS zone;
SET LOCAL timezone = 'Pacific/Auckland';
SET LOCAL datestyle = 'ISO, MDY';
SET LOCAL intervalstyle = 'postgres';

SELECT throws_ok(format('SELECT playevent.create_log(''bad'', ''track'', %s)', args), '22023', NULL, 'P9: ' || args)
  FROM unnest(ARRAY['partition_by => ''hour''', 'partition_by => ''''', 'partition_by => ''month'', retain => ''-1 day''',
                    'partition_by => ''month'', retain => ''1 hour''', 'retain => ''13 months''']) AS args;
SELECT is(to_regclass('bad_event'), NULL, 'P9: none is left behind');

SELECT playevent.create_log('play', 'track', partition_by => 'month', retain => '13 months');
SELECT is((SELECT retain FROM playevent.log WHERE event = 'play_event'::regclass), '1 year 1 mon', 'P11: retain shows in playevent.log');
SELECT is((SELECT count(*)::int FROM playevent.partitions('play_event')), 4, 'P11: this month, and three ahead');

--
-- extend
--

SELECT is(playevent.extend('play_event'), 0, 'P11: extend finds all there');
SELECT is(playevent.extend('play_event', '5 months'), 2, 'P11: extend makes what is lacking');
SELECT is_empty($$SELECT odd('play_event', 'month')$$, 'P11: they follow each other');
SELECT is(playevent.extend('play_event', '-1 day'), 0, 'P11: nothing ahead is nothing to make');
SELECT throws_ok($$SELECT playevent.extend('play_event', '2000 months')$$, '22023', NULL, 'P9: more than 1000 partitions');
SELECT throws_ok($$SELECT playevent.extend('play_event', 'infinity')$$, NULL, NULL, 'P9: without end')
 WHERE current_setting('server_version_num')::int >= 170000
 UNION ALL
SELECT pass('P9: (no interval is infinite here)') WHERE current_setting('server_version_num')::int < 170000;
SELECT throws_ok($$SELECT playevent.extend('play_event', NULL)$$, '22004', NULL, 'P9: ahead is null');
SELECT throws_ok($$SELECT playevent.extend(NULL)$$, '22004', NULL, 'P9: event is null');
SELECT throws_ok($$SELECT playevent.extend('track')$$, '55000', NULL, 'P9: not a log');
SELECT playevent.create_log('whole', 'track');
SELECT throws_ok($$SELECT playevent.extend('whole_event')$$, '55000', NULL, 'P9: a log that is not partitioned');

-- A partition that is missing, and one that others made, of another size and name
CREATE FUNCTION month(n int) RETURNS timestamptz LANGUAGE sql AS
$$SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC'$$;
DO $$
DECLARE
    part regclass;
BEGIN
    SELECT p.part INTO part FROM playevent.partitions('play_event') p WHERE since = month(2);
    EXECUTE format('DROP TABLE %s', part);
    SELECT p.part INTO part FROM playevent.partitions('play_event') p WHERE since = month(4);
    EXECUTE format('DROP TABLE %s', part);
    EXECUTE format('CREATE TABLE foreign_made PARTITION OF play_event FOR VALUES FROM (%L) TO (%L)',
        month(4) + interval '36 hours', month(4) + interval '9 days');
END
$$;
SELECT is(playevent.extend('play_event', '5 months'), 3, 'P11: gaps are filled, beside what others made');
SELECT results_eq($$SELECT since, until FROM playevent.partitions('play_event') WHERE since >= month(2) AND since < month(5)$$,
    $$VALUES (month(2), month(3)), (month(3), month(4)), (month(4), month(4) + interval '36 hours'),
             (month(4) + interval '36 hours', month(4) + interval '9 days'), (month(4) + interval '9 days', month(5))$$,
    'P11: from bound to bound');
INSERT INTO play_event (track_entry_key, bucket, created_at)
SELECT 'k1', 'most', month(4) + n * interval '12 hours' FROM generate_series(0, 30) n;
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: rows of all of them count');
SELECT is((SELECT plays FROM play_counter), 31::bigint, 'P3: all of these');
SELECT is_empty($$SELECT tgname, tgrelid::regclass FROM pg_trigger t JOIN playevent.partitions('play_event') p ON p.part = t.tgrelid
    WHERE tgenabled NOT IN ('A', 'O') AND tgfoid IN ('playevent.count'::regproc, 'playevent.resolve'::regproc)$$,
    'P3: partitions have working triggers');
SELECT throws_ok($$UPDATE foreign_made SET anon_id = 'x'$$, '23001', NULL, 'P1: partitions are append-only');
SELECT throws_ok(format('TRUNCATE %s', (SELECT part FROM playevent.partitions('play_event') WHERE since = month(0))), '23001', NULL,
    'P1: and can''t be truncated');

-- Something of the name is there
SAVEPOINT s;
DO $$BEGIN
    EXECUTE format('CREATE TABLE %I ()', 'play_event_p' || to_char(month(6) AT TIME ZONE 'UTC', 'YYYYMM'));
END$$;
SELECT throws_ok($$SELECT playevent.extend('play_event', '6 months')$$, '42P07', NULL, 'P10: a table of a partition''s name is an error');
ROLLBACK TO s;

-- A default partition takes what no other does, and is in the way then.
CREATE TABLE play_event_default PARTITION OF play_event DEFAULT;
SELECT is(playevent.extend('play_event', '6 months'), 1, 'P11: an empty default partition is not in the way');
INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k2', 'most', month(7) + interval '1 day');
SELECT throws_ok($$SELECT playevent.extend('play_event', '7 months')$$, '23514', NULL, 'P11: its rows are, if they belong into the new one');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: they count');
SELECT is((SELECT count(*)::int FROM playevent.partitions('play_event') WHERE until <= month(7)), 9, 'P11: the error undid nothing');

--
-- An insert that finds no partition
--

SELECT playevent.create_log('gone', 'track', partition_by => 'day');
CREATE FUNCTION hint(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || SQLERRM || ' ' || hint;
END
$$;
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT p.part FROM playevent.partitions('gone_event') p LOOP
        EXECUTE format('DROP TABLE %s', part);
    END LOOP;
END
$$;
SELECT alike(hint(statement), '23514: table "gone_event" has no partition for %playevent.extend(''p.gone_event'')%', 'P11: ' || statement)
  FROM unnest(ARRAY['INSERT INTO gone_event (track_entry_key, bucket) VALUES (''k1'', ''most'')',
                    'SELECT record_gone(''k1'', ''most'')',
                    'SELECT record_gone_heard(''k1'', 0.7)']) AS statement;
SELECT alike(hint($$SELECT * FROM record_gones('{k1,k2}', '{most,most}')$$), '23514%', 'P11: a batch fails, rather than reject plays')
 WHERE to_regproc('record_gones') IS NOT NULL;
SELECT is(playevent.extend('gone_event', '1 day'), 2, 'P11: the hint helps');
SELECT lives_ok('INSERT INTO gone_event (track_entry_key, bucket) VALUES (''k1'', ''most'')', 'P11: then it works');
SELECT throws_ok($$INSERT INTO gone_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', now() + '1 month')$$, '23514', NULL,
    'P11: a row of another time fails as Postgres has it');

SELECT * FROM finish();
ROLLBACK;
