-- P2: a backend remembers where it found a track, and must not believe it once
-- the row there is another, another version, or gone.
CREATE EXTENSION playevent;
CREATE SCHEMA moving;
SET search_path = moving;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int, is_deleted boolean NOT NULL DEFAULT false) WITH (autovacuum_enabled = off);
INSERT INTO track VALUES ('k1', 1), ('k2', 2);
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted');
PREPARE play AS INSERT INTO play_event (track_entry_key, bucket) VALUES ($1, 'most') RETURNING track_entry_key, release_id;
EXECUTE play('k1');
EXECUTE play('k1');

-- a new version elsewhere
UPDATE track SET release_id = 11 WHERE entry_key = 'k1';
EXECUTE play('k1');
EXECUTE play('k1');

-- a snapshot that sees the old version only, beside one that sees the new one
BEGIN ISOLATION LEVEL REPEATABLE READ;
EXECUTE play('k1');
UPDATE track SET release_id = 12 WHERE entry_key = 'k1';
SAVEPOINT before;
EXECUTE play('k1');
UPDATE track SET release_id = 13 WHERE entry_key = 'k1';
EXECUTE play('k1');
ROLLBACK TO before;
EXECUTE play('k1');
ROLLBACK;
EXECUTE play('k1');

-- deleted in place, and again there
UPDATE track SET is_deleted = true WHERE entry_key = 'k1';
EXECUTE play('k1');
UPDATE track SET is_deleted = false WHERE entry_key = 'k1';
EXECUTE play('k1');

-- its key renamed
UPDATE track SET entry_key = 'k3' WHERE entry_key = 'k1';
EXECUTE play('k1');
EXECUTE play('k3');

-- another track at the very same place
EXECUTE play('k2');
SELECT ctid AS k2_was_at FROM track WHERE entry_key = 'k2' \gset
DELETE FROM track WHERE entry_key = 'k2';
EXECUTE play('k2');
VACUUM track;
INSERT INTO track SELECT 'new' || n, 100 + n FROM generate_series(1, 20) n;
SELECT entry_key LIKE 'new%' AS taken FROM track WHERE ctid = :'k2_was_at';
EXECUTE play('k2');

-- the table rewritten, shrunk, emptied, replaced
EXECUTE play('new20');
VACUUM FULL track;
EXECUTE play('new20');
REINDEX TABLE track;
EXECUTE play('new20');
TRUNCATE track;
EXECUTE play('new20');
INSERT INTO track VALUES ('new20', 20);
EXECUTE play('new20');
ALTER TABLE track RENAME TO old_track;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int, is_deleted boolean NOT NULL DEFAULT false);
EXECUTE play('new20');

-- the slot table rewritten and emptied behind the counter's back: slots of other
-- keys and rows that are gone are not taken for the key's own
VACUUM FULL play_counter_slot;
EXECUTE play('k1');
SELECT * FROM playevent.verify('play_event');
ALTER TABLE play_counter_slot DISABLE TRIGGER ALL;
TRUNCATE play_counter_slot;
ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;
ALTER TABLE play_counter_slot ENABLE ALWAYS TRIGGER playevent_slot_guard, ENABLE ALWAYS TRIGGER playevent_slot_guard_row;
ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;
EXECUTE play('k1');
SELECT sum(plays) FROM play_counter_slot;
SELECT playevent.rebuild('play_event');
SELECT * FROM playevent.verify('play_event');

SET client_min_messages = warning;
DROP SCHEMA moving CASCADE;
DROP EXTENSION playevent;
