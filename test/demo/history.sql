-- Plays of three months and of this one until yesterday, as CSV: more of them from
-- week to week, and those of a bot last night.
--
-- Each is like one of some samples.  Where real plays are at hand, those are the
-- samples, and each of their artists stands for a track of the site.
CREATE TEMP TABLE sample (n int GENERATED ALWAYS AS IDENTITY (START 0 MINVALUE 0), track bigint, heard float8, at timestamp);
\if :real
CREATE TEMP TABLE listened (listener text, ended_at timestamptz, track_key text, release_id int, ms_played float8, track_ms float8);
\copy listened FROM PROGRAM 'gzip -dc listening_history.csv.gz' (FORMAT csv, HEADER)
INSERT INTO sample (track, heard, at)
SELECT rank, least(1, ms_played / nullif(track_ms, 0)), ended_at AT TIME ZONE 'UTC'
  FROM listened
  JOIN (SELECT release_id, row_number() OVER (ORDER BY count(*) DESC) AS rank FROM listened GROUP BY 1) AS artist USING (release_id)
 WHERE rank <= 120 AND ms_played >= 0.05 * track_ms;
\else
INSERT INTO sample (track, heard, at)
SELECT 1 + floor(120 * power(random(), 2)), least(1, 0.05 + 1.7 * random()),
       '2024-01-01'::timestamp + floor(7 * power(random(), 0.8)) * interval '1 day'
           + interval '1 day' * (0.25 + 0.75 * sqrt(random()))
  FROM generate_series(1, 50000);
\endif
ANALYZE sample;

WITH span AS (
    SELECT (date_trunc('month', today) - interval '3 months')::date AS first, today,
           (today - (date_trunc('month', today) - interval '3 months')::date) / 7 + 1 AS weeks,
           (SELECT count(*) FROM sample) AS samples
      FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS now
), drawn AS (
    SELECT floor(random() * samples)::int AS n, 1 + floor(random() * 4000)::int AS listener,
           date_trunc('week', first::timestamp) + interval '7 days' * floor((weeks + 1) * sqrt(random())) AS week
      FROM span, generate_series(1, :plays * 6 / 5)
    OFFSET 0
)
SELECT track || ',' || kind || ',' || listener || ',' || at || 'Z'
  FROM ((SELECT 'trk' || track AS track, play_bucket_of(heard) AS kind, 'listener-' || listener AS listener, at
           FROM (SELECT *, week + (at - date_trunc('week', at)) + interval '1 minute' * random() AS at_then
                   FROM drawn JOIN sample USING (n)) AS d(n, listener, week, track, heard, sampled_at, at), span
          WHERE at >= first AND at < today
          LIMIT :plays)
         UNION ALL
         SELECT 'trk93', 'complete', 'bot', today - interval '22 hours' + n * interval '1 second'
           FROM span, generate_series(1, 9000) AS n) AS plays
 ORDER BY at;
