-- A log that lives for ten years: partitioned by month, with the counters that
-- create_log makes, and plays kept for 13 months.  `tracks` says how many tracks
-- there are, `plays` how many plays in `months` months, the last of which is the one
-- before the present.  The sessions are in UTC.
CREATE EXTENSION playevent;

CREATE TABLE public.track (
    entry_key varchar(100) PRIMARY KEY,
    release_id bigint,
    is_deleted boolean NOT NULL DEFAULT false
);
INSERT INTO public.track SELECT 'track-' || n, n / 10, n % 50 = 0 FROM generate_series(1, :tracks) n;

CREATE SCHEMA measured;
SET search_path = measured, public;
SELECT playevent.create_log('play', track => 'public.track', track_deleted => 'is_deleted',
    partition_by => 'month', retain => '13 months');

-- All days have as many plays.
CREATE TABLE public.month AS
SELECT n, since, until, (round(:plays * extract(epoch FROM until - first) / extract(epoch FROM last - first)) -
                         round(:plays * extract(epoch FROM since - first) / extract(epoch FROM last - first)))::bigint AS plays
  FROM (SELECT date_trunc('month', now()) - make_interval(months => :months) AS first, date_trunc('month', now()) AS last) AS decade
 CROSS JOIN generate_series(1, :months) n
 CROSS JOIN LATERAL (SELECT first + make_interval(months => n - 1) AS since, first + make_interval(months => n) AS until) AS month;
CREATE TABLE public.setting AS SELECT :tracks AS tracks;

-- A track after a Zipf distribution (exponent 1.07, the ranks by its integral's
-- inverse), as in year.sql
CREATE FUNCTION public.track_of(share float8, tracks int) RETURNS text LANGUAGE sql IMMUTABLE
RETURN 'track-' || least(tracks, floor(power(1 - share * (1 - power(tracks, -0.07)), -1 / 0.07)))::int;
CREATE FUNCTION public.bucket_of(share float8) RETURNS measured.play_bucket LANGUAGE sql STABLE
RETURN (CASE WHEN share < 0.25 THEN 'partial' WHEN share < 0.45 THEN 'most' ELSE 'complete' END)::measured.play_bucket;

-- The plays of a month: the same ones whenever they are asked for, but for their
-- event_ids.
CREATE FUNCTION public.plays_of(n int)
    RETURNS TABLE (ord bigint, track_entry_key text, bucket measured.play_bucket, event_id uuid, created_at timestamptz)
    LANGUAGE plpgsql AS $$
DECLARE
    month public.month;
    tracks int := (SELECT s.tracks FROM public.setting s);
BEGIN
    SELECT * INTO STRICT month FROM public.month m WHERE m.n = plays_of.n;
    PERFORM setseed(n / 1000.0);
    RETURN QUERY SELECT d.ord, public.track_of(d.track, tracks), public.bucket_of(d.heard), gen_random_uuid(),
                        month.since + (d.ord - 0.5) / month.plays * (month.until - month.since)
      FROM (SELECT g.ord, random() AS track, random() AS heard
              FROM generate_series(1, month.plays) AS g(ord) OFFSET 0) AS d;
END
$$;

-- Loads a month: nine tenths by COPY, the rest in batches of 1,000, each a
-- transaction, as a queue's consumer has them; record_plays would record them as
-- of now.  The month's partition and those of three months to come are made as by
-- extend, which makes those from now on.  Says how long the plays took.
CREATE PROCEDURE public.load_month(n int, file text, INOUT seconds float8 DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
    month public.month;
    part text;
    batch record;
    started timestamptz;
BEGIN
    FOR month IN SELECT * FROM public.month m WHERE m.n BETWEEN load_month.n AND load_month.n + 3 ORDER BY m.n LOOP
        part := 'play_event_p' || to_char(month.since, 'YYYYMM');
        CONTINUE WHEN to_regclass('measured.' || part) IS NOT NULL;
        EXECUTE format('CREATE TABLE measured.%I PARTITION OF measured.play_event FOR VALUES FROM (%L) TO (%L)',
            part, month.since, month.until);
    END LOOP;
    SELECT * INTO STRICT month FROM public.month m WHERE m.n = load_month.n;
    EXECUTE format('COPY (SELECT track_entry_key, bucket, event_id, created_at FROM public.plays_of(%s) WHERE ord <= %s) TO %L',
        n, month.plays * 9 / 10, file);
    CREATE TEMP TABLE batch AS
    SELECT array_agg(p.track_entry_key) AS keys, array_agg(p.bucket) AS buckets,
           array_agg(p.event_id) AS event_ids, array_agg(p.created_at) AS times
      FROM public.plays_of(n) p WHERE ord > month.plays * 9 / 10 GROUP BY ord / 1000;
    COMMIT;

    started := clock_timestamp();
    EXECUTE format('COPY measured.play_event (track_entry_key, bucket, event_id, created_at) FROM %L', file);
    COMMIT;
    FOR batch IN SELECT * FROM pg_temp.batch LOOP
        INSERT INTO measured.play_event (track_entry_key, bucket, event_id, created_at)
        SELECT * FROM unnest(batch.keys, batch.buckets, batch.event_ids, batch.times);
        COMMIT;
    END LOOP;
    seconds := extract(epoch FROM clock_timestamp() - started);
    DROP TABLE pg_temp.batch;
END
$$;

-- Calls a function that takes partitions or slots, or event_ids, and does so until it
-- gets the locks: as maintain, which puts off what it has no lock for.  Autovacuum
-- holds some.  Returns how long it took when it had them, and how often it had not.
CREATE PROCEDURE public.insist(statement text, expected bigint, INOUT seconds float8, INOUT put_off int) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    done bigint;
    may_try int := 600;
BEGIN
    LOOP
        started := clock_timestamp();
        BEGIN
            EXECUTE statement INTO done;
            EXIT;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            put_off := put_off + 1;
            may_try := may_try - 1;
            IF may_try = 0 THEN
                RAISE;
            END IF;
        END;
        PERFORM pg_sleep(0.5);
    END LOOP;
    COMMIT;
    seconds := seconds + extract(epoch FROM clock_timestamp() - started);
    IF done <> expected THEN
        RAISE EXCEPTION '% did %, not %', statement, done, expected;
    END IF;
END
$$;

-- What maintain would do when a month has ended; itself it goes by the present.
CREATE PROCEDURE public.end_month(
    n int, INOUT seal float8 DEFAULT 0, INOUT retire float8 DEFAULT 0, INOUT tidy float8 DEFAULT 0, INOUT put_off int DEFAULT 0)
LANGUAGE plpgsql AS $$
DECLARE
    month public.month;
BEGIN
    SELECT * INTO STRICT month FROM public.month m WHERE m.n = end_month.n;
    CALL public.insist(format('SELECT playevent.seal(''measured.play_event'', %L)', month.until), 1, seal, put_off);
    CALL public.insist('SELECT playevent.forget_event_keys(''measured.play_event'', 1000000)', NULL, tidy, put_off);
    CALL public.insist('SELECT playevent.compact(''measured.play_event'')', NULL, tidy, put_off);
    CALL public.insist(format('SELECT playevent.retire(''measured.play_event'', %L, keep => false)', month.until - interval '13 months'),
        (n > 13)::int, retire, put_off);
END
$$;

-- What there is of the log
CREATE VIEW public.relation AS
SELECT 'log' AS what, p.relid FROM pg_partition_tree('measured.play_event') p
UNION ALL SELECT 'slots', k.counter_slot FROM playevent.counter k WHERE k.event = 'measured.play_event'::regclass
UNION ALL SELECT 'retired', playevent.retired_table(k.counter_slot) FROM playevent.counter k WHERE k.event = 'measured.play_event'::regclass
UNION ALL SELECT 'manifest', playevent.manifest('measured.play_event')
UNION ALL SELECT 'keys', g.slot FROM playevent.guard g WHERE g.event = 'measured.play_event'::regclass AND g.function = 'dedupe';
CREATE VIEW public.size AS
SELECT what, sum(pg_total_relation_size(relid)) / 1048576 AS mb FROM public.relation GROUP BY 1
UNION ALL SELECT 'all', sum(pg_total_relation_size(relid)) / 1048576 FROM public.relation;

-- Counts that differ from the plays that were drawn for the first so many months: of
-- a track and kind, or of a day.
CREATE FUNCTION public.differences(months int) RETURNS TABLE (of text, counted bigint, drawn bigint) LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE drawn AS
    SELECT p.track_entry_key, p.bucket, p.created_at::date AS day, count(*) AS plays
      FROM public.month m CROSS JOIN LATERAL public.plays_of(m.n) p
     WHERE m.n <= months GROUP BY GROUPING SETS ((1, 2), (3));
    RETURN QUERY
    SELECT concat_ws(', ', d.track_entry_key, d.bucket), c.plays::bigint, d.plays
      FROM (SELECT k.track_entry_key::text, k.bucket, sum(k.plays) AS plays FROM measured.play_counter k GROUP BY 1, 2) AS c
      FULL JOIN (SELECT * FROM pg_temp.drawn WHERE drawn.day IS NULL) AS d USING (track_entry_key, bucket)
     WHERE c.plays IS DISTINCT FROM d.plays;
    RETURN QUERY
    SELECT d.day::text, c.plays::bigint, d.plays
      FROM (SELECT k.day, sum(k.plays) AS plays FROM measured.play_daily k GROUP BY 1) AS c
      FULL JOIN (SELECT * FROM pg_temp.drawn WHERE drawn.day IS NOT NULL) AS d USING (day)
     WHERE c.plays IS DISTINCT FROM d.plays;
    DROP TABLE pg_temp.drawn;
END
$$;

-- The present: batches of 1,000 by record_plays.  Says how long they took.
CREATE PROCEDURE public.record_batches(batches int, INOUT seconds float8 DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
    tracks int := (SELECT s.tracks FROM public.setting s);
    batch record;
    recorded bigint;
    started timestamptz;
BEGIN
    FOR i IN 1 .. batches LOOP
        SELECT array_agg(public.track_of(random(), tracks)) AS keys, array_agg(public.bucket_of(random())) AS buckets,
               array_agg(gen_random_uuid()) AS event_ids
          INTO batch FROM generate_series(1, 1000);
        started := clock_timestamp();
        SELECT count(*) FILTER (WHERE r.status = 'recorded') INTO recorded
          FROM measured.record_plays(batch.keys, batch.buckets, batch.event_ids) r;
        COMMIT;
        seconds := seconds + extract(epoch FROM clock_timestamp() - started);
        IF recorded <> 1000 THEN
            RAISE EXCEPTION 'of 1000 plays % were recorded', recorded;
        END IF;
    END LOOP;
END
$$;
