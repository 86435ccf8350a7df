SELECT playevent.void('play_event', ARRAY(
    SELECT id
      FROM (SELECT id, count(*) OVER (PARTITION BY anon_id, date_trunc('hour', coalesce(played_at, created_at))) AS plays
              FROM play_event WHERE anon_id IS NOT NULL AND created_at >= now() - interval '3 days') AS p
     WHERE plays > 60), 'bots v1: more than 60 plays an hour');
