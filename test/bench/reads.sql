-- Counter reads, timed round a query whose plan is cached.  `tracks` have ten
-- to a release.
SET search_path = measured, public;

CREATE FUNCTION pg_temp.read_track(n bigint) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    wanted play_event.track_entry_key%TYPE := 'track-' || n;
    started timestamptz := clock_timestamp();
    found_row record;
BEGIN
    SELECT * INTO found_row FROM play_by_track WHERE track_entry_key = wanted;
    IF found_row.plays IS NULL THEN RAISE 'track % has no counter', wanted; END IF;
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;
CREATE FUNCTION pg_temp.read_release(n bigint) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
    found_row record;
BEGIN
    SELECT * INTO found_row FROM play_by_release WHERE release_id = n;
    IF found_row.plays IS NULL THEN RAISE 'release % has no counter', n; END IF;
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;
CREATE FUNCTION pg_temp.read_top100() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
    found_row record;
BEGIN
    FOR found_row IN SELECT * FROM play_by_track ORDER BY plays DESC LIMIT 100 LOOP END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;
CREATE FUNCTION pg_temp.percentiles(what text, times float8[]) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s %s %s', what,
                  percentile_cont(0.5) WITHIN GROUP (ORDER BY t), percentile_cont(0.99) WITHIN GROUP (ORDER BY t))
      FROM unnest(times) t
$$;

-- The first thousand warm up.
SELECT pg_temp.percentiles('track', (array_agg(t))[1001:])
  FROM (SELECT pg_temp.read_track(1 + floor(random() * :tracks)::bigint) AS t
          FROM generate_series(1, 11000) OFFSET 0) r;
SELECT pg_temp.percentiles('release', (array_agg(t))[1001:])
  FROM (SELECT pg_temp.read_release(1 + floor(random() * (:tracks / 10 - 1))::bigint) AS t
          FROM generate_series(1, 11000) OFFSET 0) r;
SELECT pg_temp.percentiles('top100', (array_agg(t))[2:])
  FROM (SELECT pg_temp.read_top100() AS t FROM generate_series(1, 11) OFFSET 0) r;

EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM play_by_track WHERE track_entry_key = 'track-1234';
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM play_by_release WHERE release_id = 123;
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM play_by_track ORDER BY plays DESC LIMIT 100;
