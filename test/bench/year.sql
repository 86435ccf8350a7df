-- A year of `plays`, their tracks after a Zipf distribution (exponent 1.07, the
-- ranks by its integral's inverse).  The triggers are off meanwhile;
-- attach_log puts them on again and counts.
ALTER TABLE measured.play_event DISABLE TRIGGER USER;
SELECT setseed(0.5);
INSERT INTO measured.play_event (track_entry_key, release_id, bucket, created_at, day)
SELECT 'track-' || track, CASE WHEN track % 50 <> 0 THEN track / 10 END, 'complete',
       timestamptz '2025-01-01 00:00Z' + n / :plays::float8 * interval '365 days',
       date '2025-01-01' + floor(n * 365.0 / :plays)::int
  FROM (SELECT n, least(:tracks, floor(power(1 - random() * (1 - power(:tracks, -0.07)), -1 / 0.07)))::int AS track
          FROM generate_series(0, :plays - 1) n OFFSET 0) AS drawn;
SELECT playevent.attach_log('measured.play_event', track => 'public.track', track_deleted => 'is_deleted');
VACUUM ANALYZE;
