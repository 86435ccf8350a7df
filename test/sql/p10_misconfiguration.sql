-- P10: whatever is changed under a log, the first insert fails with an error
-- that names the trigger, the thing and the remedy; and once that is done, or
-- the change undone, plays go on and the counters are exact.

CREATE EXTENSION playevent;
CREATE SCHEMA mis;
SET search_path = mis;
SET client_min_messages = warning;
\pset tuples_only on
\pset format unaligned

CREATE TABLE error (hint text);

-- One play; what it fails with, or the release and the number of plays that
-- the counter then has.  Procedure remedy runs the command that the hint spells.
CREATE FUNCTION play(event text DEFAULT 'play_event') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    detail text;
    advice text;
BEGIN
    EXECUTE format('INSERT INTO %s (track_entry_key, bucket) VALUES (''k1'', ''most'')', event);
    RETURN NEXT format('release %s, %s plays, %s differences',
        (SELECT string_agg(DISTINCT release_id::text, ', ') FROM play_counter),
        (SELECT sum(plays) FROM play_counter), (SELECT count(*) FROM playevent.verify(event::regclass)));
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, advice = PG_EXCEPTION_HINT;
    UPDATE error SET hint = advice;
    RETURN NEXT state || ': ' || message;
    RETURN NEXT 'DETAIL: ' || detail;
    RETURN NEXT 'HINT: ' || advice;
END
$$;
CREATE PROCEDURE remedy() LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE (SELECT substring(hint FROM ': (.*)') FROM error);
END
$$;
INSERT INTO error VALUES (NULL);

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int, is_deleted bool, title text);
INSERT INTO track VALUES ('k1', 7, false, 'One');
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted', daily => false);
SELECT play();

--
-- The track table
--

-- renamed, and named so again
ALTER TABLE track RENAME TO song;
SELECT play();
ALTER TABLE song RENAME TO track;
SELECT play();

-- renamed for good: as the hint says
ALTER TABLE track RENAME TO song;
DROP TRIGGER playevent_resolve ON play_event;
SELECT playevent.attach_log('play_event', track => 'song', track_deleted => 'is_deleted');
SELECT play();
ALTER TABLE song RENAME TO track;
DROP TRIGGER playevent_resolve ON play_event;
SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted');

-- in another schema
CREATE SCHEMA mis_other;
ALTER TABLE track SET SCHEMA mis_other;
SELECT play();
ALTER TABLE mis_other.track SET SCHEMA mis;
SELECT play();

-- gone, and made anew
CREATE TABLE new_track (LIKE track INCLUDING ALL);
INSERT INTO new_track SELECT * FROM track;
DROP TABLE track;
ALTER TABLE new_track RENAME TO track;
SELECT play();
BEGIN;
DROP TABLE track;
SELECT play();
ROLLBACK;
SELECT play();

-- not a table any more
ALTER TABLE track RENAME TO real_track;
CREATE VIEW track AS SELECT * FROM real_track;
SELECT play();
DROP VIEW track;
CREATE TABLE track (LIKE real_track) PARTITION BY LIST (entry_key);
SELECT play();
DROP TABLE track;
ALTER TABLE real_track RENAME TO track;
SELECT play();

-- its columns: renamed, dropped, and back in another place
ALTER TABLE track RENAME entry_key TO slug;
SELECT play();
ALTER TABLE track RENAME slug TO entry_key;
ALTER TABLE track RENAME release_id TO album_id;
SELECT play();
ALTER TABLE track RENAME album_id TO release_id;
SELECT play();
ALTER TABLE track DROP release_id;
SELECT play();
ALTER TABLE track ADD release_id int DEFAULT 7;
SELECT play();
ALTER TABLE track DROP is_deleted;
SELECT play();
ALTER TABLE track ADD is_deleted timestamptz;
SELECT play();

-- their types
ALTER TABLE track ALTER release_id TYPE bigint;
SELECT play();
ALTER TABLE track ALTER release_id TYPE int;
ALTER TABLE track ALTER is_deleted TYPE text;
SELECT play();
ALTER TABLE track ALTER is_deleted TYPE bool USING false;
SELECT play();
ALTER TABLE track ALTER entry_key TYPE bytea USING entry_key::bytea;
SELECT play();
ALTER TABLE track ALTER entry_key TYPE varchar(20) USING convert_from(entry_key, 'UTF8');
SELECT play();

-- its index: dropped, and created as the hint says
ALTER TABLE track DROP CONSTRAINT new_track_pkey;
SELECT play();
CALL remedy();
SELECT play();
-- one that will not do in its place
DROP INDEX track_entry_key_idx;
ALTER TABLE track ADD CONSTRAINT late UNIQUE (entry_key) DEFERRABLE;
SELECT play();
CALL remedy();
SELECT play();

-- its rights
CREATE ROLE regress_playevent_mis;
GRANT USAGE, CREATE ON SCHEMA mis TO regress_playevent_mis;
ALTER TABLE play_event OWNER TO regress_playevent_mis;
ALTER TABLE play_counter_slot OWNER TO regress_playevent_mis;
SELECT play();
GRANT SELECT ON track TO regress_playevent_mis;
SELECT play();
ALTER TABLE track ENABLE ROW LEVEL SECURITY;
SELECT play();
ALTER TABLE track DISABLE ROW LEVEL SECURITY;
ALTER TABLE play_event OWNER TO CURRENT_USER;
ALTER TABLE play_counter_slot OWNER TO CURRENT_USER;
SELECT play();

--
-- The slot table
--

-- given to another owner than the log
ALTER TABLE play_event OWNER TO regress_playevent_mis;
SELECT play();
CALL remedy();
SELECT play();
ALTER TABLE play_event OWNER TO CURRENT_USER;
ALTER TABLE play_counter_slot OWNER TO CURRENT_USER;

-- renamed, and named so again
ALTER TABLE play_counter_slot RENAME TO slots;
SELECT play();
ALTER TABLE slots RENAME TO play_counter_slot;
SELECT play();

-- its indexes: dropped but for one that leads to no key, and created as the
-- hint says
CREATE INDEX ON play_counter_slot (release_id);
DROP INDEX play_counter_slot_release_id_track_entry_key_bucket_idx, play_counter_slot_track_entry_key_idx;
SELECT play();
CALL remedy();
SELECT play();

-- indexes that would make inserts wait, or run code in them: dropped as the
-- hint says
CREATE UNIQUE INDEX "No good" ON play_counter_slot (track_entry_key);
SELECT play();
CALL remedy();
SELECT play();
CREATE INDEX part ON play_counter_slot (track_entry_key) WHERE plays > 0;
SELECT play();
CALL remedy();
CREATE INDEX expr ON play_counter_slot (lower(track_entry_key));
SELECT play();
CALL remedy();
SELECT play();

-- not logged
ALTER TABLE play_counter_slot SET UNLOGGED;
SELECT play();
ALTER TABLE play_counter_slot SET LOGGED;
SELECT play();

-- its columns
ALTER TABLE play_counter_slot RENAME plays TO listens;
SELECT play();
ALTER TABLE play_counter_slot RENAME listens TO plays;
ALTER TABLE play_counter_slot ALTER plays DROP NOT NULL;
SELECT play();
ALTER TABLE play_counter_slot ALTER plays SET NOT NULL;
ALTER TABLE play_counter_slot ALTER release_id SET NOT NULL;
SELECT play();
SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass;
CALL remedy();
SELECT play();
ALTER TABLE play_counter_slot ADD CONSTRAINT "Five" CHECK (plays > 5) NOT VALID;
SELECT play();
SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass;
CALL remedy();
SELECT play();
ALTER TABLE play_counter_slot ADD extra text;
SELECT play();
ALTER TABLE play_counter_slot DROP extra;
SELECT play();

-- gone: as the hint says, and all that was played is counted anew
DROP TABLE play_counter_slot CASCADE;
SELECT play();
DROP TRIGGER playevent_count ON play_event;
SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted');
SELECT play();

--
-- The event table
--

-- its columns: renamed, and named so again
ALTER TABLE play_event RENAME release_id TO album;
SELECT play();
ALTER TABLE play_event RENAME album TO release_id;
SELECT play();

-- another type
ALTER TABLE play_event ALTER release_id TYPE bigint;
SELECT play();
ALTER TABLE play_event ALTER release_id TYPE int;
SELECT play();
DROP TRIGGER playevent_resolve ON play_event;
ALTER TABLE play_event ALTER release_id TYPE bigint;
SELECT play();
ALTER TABLE play_event ALTER release_id TYPE int;
SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted');
SELECT play();

-- a release and its type that change everywhere: the slot table is made anew
ALTER TABLE track ALTER release_id TYPE bigint;
DROP TABLE play_counter_slot CASCADE;
ALTER TABLE play_event ALTER release_id TYPE bigint;
DROP TRIGGER playevent_count ON play_event;
SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted');
SELECT play();

-- away from the tables that its triggers name without a schema: they do then
ALTER TABLE play_event SET SCHEMA mis_other;
SELECT play('mis_other.play_event');
ALTER TABLE mis_other.play_event SET SCHEMA mis;
SELECT play();

-- what does not matter: the log's own name, and all that moves rows about
ALTER TABLE play_event RENAME TO listen;
SELECT play('listen');
ALTER TABLE listen RENAME TO play_event;
REINDEX TABLE track;
REINDEX TABLE play_counter_slot;
SELECT play();
CLUSTER track USING track_entry_key_idx;
ALTER TABLE play_counter_slot SET (fillfactor = 70);
VACUUM FULL play_counter_slot;
VACUUM (FREEZE) play_counter_slot, play_event;
SELECT play();
DROP INDEX play_counter_slot_release_id_track_entry_key_bucket_idx;
SELECT play();

-- check_log says the same without a play
SELECT playevent.check_log('play_event') IS NOT NULL;
ALTER TABLE track RENAME TO song;
\set SHOW_CONTEXT never
SELECT playevent.check_log('play_event');

DROP SCHEMA mis, mis_other CASCADE;
DROP ROLE regress_playevent_mis;
DROP EXTENSION playevent;
