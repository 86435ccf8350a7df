-- top and series, timed round the call: the top 100 of the year's last 30 days,
-- and a year by day of a track, of a release, and of all.
SET search_path = measured, public;
SELECT set_config('bench.tracks', :'tracks', false) \g /dev/null

CREATE FUNCTION pg_temp.read_chart(what text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    tracks int := current_setting('bench.tracks')::int;
    -- Half the reads are of the 100 most played tracks.
    track int := 1 + floor(random() * CASE WHEN random() < 0.5 THEN 100 ELSE tracks END)::int;
    started timestamptz := clock_timestamp();
    r record;
BEGIN
    CASE what
        WHEN 'top_track' THEN
            PERFORM playevent.top('play_event', '2025-12-02', '2025-12-31');
        WHEN 'top_release' THEN
            PERFORM playevent.top('play_event', '2025-12-02', '2025-12-31', 'release');
        WHEN 'series_track' THEN
            PERFORM playevent.series('play_event', '2025-01-01', '2025-12-31', track_entry_key => 'track-' || track);
        WHEN 'series_release' THEN
            PERFORM playevent.series('play_event', '2025-01-01', '2025-12-31', release_id => (track / 10)::text);
        WHEN 'series_all' THEN
            PERFORM playevent.series('play_event', '2025-01-01', '2025-12-31');
    END CASE;
    RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;

-- Rounds of so many reads each, numbered from 1.  Number 0 warms up.
SELECT what, n / reads,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY t)::numeric, 3),
       round(percentile_cont(0.99) WITHIN GROUP (ORDER BY t)::numeric, 3)
  FROM (VALUES ('top_track', 5), ('top_release', 5), ('series_track', 500), ('series_release', 100), ('series_all', 3))
       AS chart(what, reads)
 CROSS JOIN LATERAL (
      SELECT n, pg_temp.read_chart(what) AS t FROM generate_series(0, reads * (:rounds + 1) - 1) n OFFSET 0) AS timed
 WHERE n >= reads
 GROUP BY 1, 2 ORDER BY 1, 2;
