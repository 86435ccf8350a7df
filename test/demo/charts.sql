\pset footer off
\pset title 'Top tracks'
SELECT t.title, p.plays, round(100.0 * p.complete / p.plays) || ' %' AS to_the_end,
       repeat(:'bar', (40 * p.plays / max(p.plays) OVER ())::int) AS chart
  FROM play_by_track p JOIN track t ON t.entry_key = p.track_entry_key
 WHERE NOT t.is_deleted
 ORDER BY p.plays DESC LIMIT 10;

\pset title 'Top releases'
SELECT r.title, p.plays, p.partial, p.most, p.complete,
       repeat(:'bar', (40 * p.plays / max(p.plays) OVER ())::int) AS chart
  FROM play_by_release p JOIN release r ON r.id = p.release_id
 ORDER BY p.plays DESC LIMIT 10;
