-- A day of another site's plays, as CSV.
SELECT 'trk' || (1 + floor(3000 * power(random(), 3)))::int || ',' ||
       CASE WHEN r < 0.25 THEN 'partial' WHEN r < 0.45 THEN 'most' ELSE 'complete' END
  FROM (SELECT random() AS r FROM generate_series(1, :plays) OFFSET 0) AS plays;
