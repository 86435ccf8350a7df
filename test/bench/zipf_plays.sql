-- Plays whose tracks follow a Zipf distribution, as pgbench's random_zipfian
-- draws them: the same ones for all variants.
SELECT setseed(0.5);
CREATE TABLE public.drawn AS
WITH weight AS (
    SELECT n, sum(1 / power(n, float8 '1.07')) OVER (ORDER BY n) AS up_to FROM generate_series(1, :tracks) n
), threshold AS (
    SELECT array_agg(up_to / total ORDER BY n) AS up_to FROM weight, (SELECT max(up_to) AS total FROM weight) t
)
SELECT 'track-' || 1 + width_bucket(r.track, t.up_to) AS track_entry_key,
       (CASE WHEN r.heard < 0.25 THEN 'partial' WHEN r.heard < 0.45 THEN 'most' ELSE 'complete' END)::measured.play_bucket
           AS bucket
  FROM threshold t, (SELECT random() AS track, random() AS heard FROM generate_series(1, :plays) OFFSET 0) r;
VACUUM ANALYZE public.drawn;
