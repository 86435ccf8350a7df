-- P9: a play that something of the app's left out behind its event_id is recorded when
-- it is sent again, and then known.  Not in one transaction, so that caches can be
-- discarded in the middle.
CREATE EXTENSION playevent;
CREATE SCHEMA limited;
SET search_path = limited;
SET client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1);
SELECT playevent.create_log('play', track => 'track', partition_by => 'month');
CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN NEW.anon_id IS DISTINCT FROM 'robot' THEN NEW END;
END
$$;
CREATE TRIGGER rate_limit BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION leave_out();
CREATE FUNCTION e(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;

-- of a partition without rows, and of one that has some
SELECT record_play('k1', 'most', e(1), 'robot') IS NULL AS is_left_out;
SELECT record_play('k1', 'most', e(1)) IS NOT NULL AS is_recorded;
SELECT status FROM record_plays('{k1,k1,k1}', '{most,most,most}', ARRAY[e(1), e(2), e(3)], '{robot,robot,ann}');
SELECT status FROM record_plays('{k1,k1,k1}', '{most,most,most}', ARRAY[e(1), e(2), e(3)], '{ann,ann,ann}');
SELECT record_play('k1', 'most', e(2)) = id AS is_known FROM play_event WHERE event_id = e(2);

-- once the trigger is gone
INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id) VALUES ('k1', 'most', e(4), 'robot');
DROP TRIGGER rate_limit ON play_event;
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(4)), ('k1', 'most', e(3)), ('k1', 'most', e(4));

SELECT event_id = e(id::int) AS is_its_own, count(*) FROM (
    SELECT event_id, row_number() OVER (ORDER BY event_id) AS id FROM play_event) p GROUP BY 1;
SELECT track_entry_key, plays FROM play_by_track;
SELECT * FROM playevent.verify('play_event');

DROP SCHEMA limited CASCADE;
DROP EXTENSION playevent;
