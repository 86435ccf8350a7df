\pset footer off
\pset title 'Top tracks of the last seven days'
SELECT t.title, top.plays, round(100.0 * p.complete / p.plays) || ' %' AS to_the_end,
       repeat(:'bar', (40 * top.plays / max(top.plays) OVER ())::int) AS chart
  FROM playevent.top('play_event', since => (now() AT TIME ZONE 'UTC')::date - 6, lim => 5) AS top
  JOIN track t ON t.entry_key = top.key
  JOIN play_by_track p ON p.track_entry_key = top.key
 ORDER BY top.plays DESC;

\pset title 'Top releases'
SELECT r.title, p.plays, p.partial, p.most, p.complete,
       repeat(:'bar', (40 * p.plays / max(p.plays) OVER ())::int) AS chart
  FROM play_by_release p JOIN release r ON r.id = p.release_id
 ORDER BY p.plays DESC LIMIT 5;
