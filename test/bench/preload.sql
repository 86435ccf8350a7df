-- A log that has been in use: `rows` plays spread evenly over the tracks, of
-- `kinds` kinds, in the bare table and in playevent's.  Its triggers are off
-- meanwhile; attach_log puts them on again and counts.
ALTER TABLE measured.play_event DISABLE TRIGGER USER;
INSERT INTO measured.play_event (track_entry_key, release_id, bucket)
SELECT 'track-' || track, CASE WHEN track % 50 <> 0 THEN track / 10 END,
       (ARRAY['complete', 'partial', 'most'])[1 + n / :tracks % :kinds]::measured.play_bucket
  FROM (SELECT n, 1 + n * 7919 % :tracks AS track FROM generate_series(0, :rows::bigint - 1) n) AS plays;
SELECT playevent.attach_log('measured.play_event', track => 'public.track', track_deleted => 'is_deleted');

INSERT INTO bare.play_event (track_entry_key, release_id, bucket)
SELECT track_entry_key, release_id, bucket FROM measured.play_event;
VACUUM ANALYZE;
