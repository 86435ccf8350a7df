-- Counter reads, timed round a query whose plan is cached.  `tracks` have ten
-- to a release.
SET search_path = measured, public;
SELECT set_config('bench.tracks', :'tracks', false) \g /dev/null

CREATE FUNCTION pg_temp.read_track() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    wanted play_event.track_entry_key%TYPE :=
        'track-' || 1 + floor(random() * current_setting('bench.tracks')::int)::int;
    started timestamptz := clock_timestamp();
    counters record;
BEGIN
    SELECT * INTO STRICT counters FROM play_by_track WHERE track_entry_key = wanted;
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;
CREATE FUNCTION pg_temp.read_release() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    wanted bigint := 1 + floor(random() * (current_setting('bench.tracks')::int / 10 - 1))::bigint;
    started timestamptz := clock_timestamp();
    counters record;
BEGIN
    SELECT * INTO STRICT counters FROM play_by_release WHERE release_id = wanted;
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;
CREATE FUNCTION pg_temp.read_top100() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
    counters record;
BEGIN
    FOR counters IN SELECT * FROM play_by_track ORDER BY plays DESC LIMIT 100 LOOP END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;

-- Rounds of so many reads each, numbered from 1.  Number 0, a tenth as long,
-- warms up.
CREATE FUNCTION pg_temp.percentiles(what text, reads int, rounds int)
    RETURNS TABLE (was_read text, round int, p50 numeric, p99 numeric) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT %1$L::text, n / %2$s,
                round(percentile_cont(0.5) WITHIN GROUP (ORDER BY t)::numeric, 3),
                round(percentile_cont(0.99) WITHIN GROUP (ORDER BY t)::numeric, 3)
           FROM (SELECT n, pg_temp.read_%1$s() AS t FROM generate_series(%3$s, %4$s) n OFFSET 0) timed
          WHERE n >= %2$s GROUP BY 2 ORDER BY 2',
        what, reads, reads - ceil(reads / 10.0), reads * (rounds + 1) - 1);
END
$$;
SELECT * FROM pg_temp.percentiles('top100', 3, :rounds);
SELECT * FROM pg_temp.percentiles('track', 10000, :rounds);
SELECT * FROM pg_temp.percentiles('release', 10000, :rounds);

EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM play_by_track WHERE track_entry_key = 'track-1234';
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM play_by_release WHERE release_id = 123;
EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM play_by_track ORDER BY plays DESC LIMIT 100;
