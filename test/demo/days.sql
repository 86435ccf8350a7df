\pset footer off
SELECT to_char(period, 'Dy DD Mon') AS day, plays,
       repeat(CASE WHEN is_today THEN :'part' ELSE :'bar' END, (50 * plays / greatest(max(plays) OVER (), 1))::int)
           || CASE WHEN is_today THEN ' so far' ELSE '' END AS chart
  FROM (SELECT *, period = max(period) OVER () AS is_today
          FROM playevent.series('play_event', since => (now() AT TIME ZONE 'UTC')::date - 13)) AS series
 ORDER BY period;
