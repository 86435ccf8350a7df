-- Reads of a log that has lived for `month` months, timed round the call: the top
-- 100 of the last 30 of their days, and the count of one of the 10,000 most played
-- tracks.  Prints the medians of a session, which has warmed up.
SET search_path = measured, public;

CREATE FUNCTION pg_temp.read_top(until date) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
BEGIN
    PERFORM playevent.top('play_event', until - 29, until);
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;
CREATE FUNCTION pg_temp.read_track() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    wanted play_event.track_entry_key%TYPE := 'track-' || 1 + floor(random() * 10000)::int;
    started timestamptz := clock_timestamp();
    counters record;
BEGIN
    SELECT * INTO counters FROM play_by_track WHERE track_entry_key = wanted;
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;

SELECT (until - interval '1 day')::date AS until FROM public.month WHERE n = :month \gset
SELECT 'top', percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FILTER (WHERE n > 2)
  FROM (SELECT n, pg_temp.read_top(:'until') AS t FROM generate_series(1, 7) n OFFSET 0) AS timed;
SELECT 'track', percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FILTER (WHERE n > 10000)
  FROM (SELECT n, pg_temp.read_track() AS t FROM generate_series(1, 20000) n OFFSET 0) AS timed;
