-- P1, P2, P3, P5: a log as a user meets it: make one, play, look at the numbers,
-- try to change history, make another, drop the extension and get it back.

CREATE EXTENSION playevent;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int, is_deleted boolean NOT NULL DEFAULT false);
INSERT INTO track VALUES
    ('k1', 7, false), ('k2', 7, false), ('k3', 8, false), ('loose', NULL, false), ('gone', 8, true);

SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted');
\d play_event
SELECT enum_range(NULL::play_bucket);

-- Plays of live, loose, deleted and unknown tracks.  The last sends a release.
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete');
SELECT * FROM play_counter WHERE track_entry_key = 'k1';
INSERT INTO play_event (track_entry_key, bucket) VALUES
    ('k1', 'partial'), ('k1', 'complete'), ('k2', 'most'), ('k3', 'complete'),
    ('loose', 'most'), ('gone', 'most'), ('unknown', 'most');
INSERT INTO play_event (track_entry_key, bucket, release_id) VALUES ('k3', 'partial', 666);
SELECT id, track_entry_key, release_id, bucket FROM play_event ORDER BY id;
SELECT * FROM play_counter ORDER BY track_entry_key, bucket;
SELECT * FROM play_by_track ORDER BY track_entry_key;
SELECT * FROM play_by_release ORDER BY release_id;

-- The client's idempotency key: a second attempt is neither logged nor counted.
INSERT INTO play_event (track_entry_key, bucket, event_id)
VALUES ('k1', 'most', '6f1c5bb0-5d1c-4b0a-9d0e-3a1f1f6f0a01') ON CONFLICT DO NOTHING;
INSERT INTO play_event (track_entry_key, bucket, event_id)
VALUES ('k1', 'most', '6f1c5bb0-5d1c-4b0a-9d0e-3a1f1f6f0a01') ON CONFLICT DO NOTHING;
INSERT INTO play_event (track_entry_key, bucket, event_id)
VALUES ('k1', 'most', '6f1c5bb0-5d1c-4b0a-9d0e-3a1f1f6f0a01');
SELECT * FROM play_by_track WHERE track_entry_key = 'k1';

-- What has been played stays as it was recorded.
UPDATE play_event SET bucket = 'complete' WHERE track_entry_key = 'k2';
DELETE FROM play_event WHERE track_entry_key = 'gone';
TRUNCATE play_event;
UPDATE play_counter_slot SET plays = 1000000;
SELECT count(*) FROM play_event;
SELECT * FROM playevent.verify('play_event');
SELECT playevent.rebuild('play_event');

-- Another log, by the same code
SELECT playevent.create_log('share', track => 'track', track_deleted => 'is_deleted',
                            kind => 'channel', kinds => '{link,native,embed}');
INSERT INTO share_event (track_entry_key, channel) VALUES
    ('k1', 'link'), ('k1', 'embed'), ('k3', 'link'), ('k1', 'link');
SELECT track_entry_key, release_id, channel, shares FROM share_counter ORDER BY 1, 3;
SELECT * FROM share_by_track ORDER BY track_entry_key;
SELECT * FROM share_by_release ORDER BY release_id;
SELECT enum_range(NULL::share_channel);

\x on
SELECT * FROM playevent.log ORDER BY event::text;
\x off

-- The extension can't go by accident; when it goes, every row stays.
\set VERBOSITY terse
DROP EXTENSION playevent;
SET client_min_messages = warning;
DROP EXTENSION playevent CASCADE;
RESET client_min_messages;
\set VERBOSITY default
SELECT count(*) FROM play_event;
SELECT sum(plays) FROM play_counter;
SELECT track_entry_key, shares FROM share_by_track ORDER BY 1;
SELECT tgname FROM pg_trigger WHERE tgrelid IN ('play_event'::regclass, 'play_counter_slot'::regclass);

-- Without it the table is one like any other: rows come and go uncounted.
INSERT INTO play_event (track_entry_key, bucket, release_id) VALUES ('k2', 'complete', 7), ('k3', 'complete', 8);
DELETE FROM play_event WHERE track_entry_key = 'unknown';

-- Back again: the log is exact, and append-only.
CREATE EXTENSION playevent;
SELECT count(*) FROM playevent.log;
SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted');
SELECT playevent.attach_log('share_event', track => 'track', track_deleted => 'is_deleted', kind_column => 'channel');
SELECT * FROM playevent.verify('play_event');
SELECT * FROM playevent.verify('share_event');
SELECT * FROM play_by_track ORDER BY track_entry_key;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k2', 'complete');
SELECT * FROM play_by_track WHERE track_entry_key = 'k2';
DELETE FROM play_event;
DELETE FROM share_event;

-- P4: the locks of an insert are the transaction's from the first one on, for to
-- pass them from savepoint to savepoint takes the more steps the more there are.
BEGIN;
SAVEPOINT one;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k2', 'complete');
ROLLBACK TO one;
SELECT relation::regclass, mode FROM pg_locks
 WHERE pid = pg_backend_pid() AND relation::regclass::text IN ('track', 'play_counter_slot', 'play_daily_slot')
 ORDER BY relation::regclass::text COLLATE "C";
COMMIT;
SELECT event, counter_slot, intact FROM playevent.log ORDER BY event::text;

-- A log is dropped like any table; its functions go with its type, but for those
-- that don't name that.
\set VERBOSITY terse
DROP TABLE share_counter_slot, share_daily_slot, share_event, share_verdict CASCADE;
DROP TYPE share_channel CASCADE;
SELECT event FROM playevent.log;

DROP TABLE play_counter_slot, play_daily_slot, play_event, play_verdict, track CASCADE;
DROP TYPE play_bucket CASCADE;
DROP FUNCTION record_play_heard, record_plays_heard;
SELECT count(*) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace;
DROP EXTENSION playevent;
