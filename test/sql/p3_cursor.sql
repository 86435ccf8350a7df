-- P3: what a cursor's query has counted is written where it was to be, should a later
-- FETCH fail, for which Postgres lets go of all locks that the cursor took.  Not in one
-- transaction: in a new session, nothing is known of the log yet.
CREATE EXTENSION playevent;
CREATE SCHEMA fetched;
SET search_path = fetched;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1);
CREATE TABLE play_event (id bigint GENERATED ALWAYS AS IDENTITY, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE TABLE play_all PARTITION OF play_event DEFAULT;
SELECT playevent.attach_log('play_event', track => 'track', kinds => '{most}');

-- straight into the partition, so no statement trigger writes the counts
CREATE FUNCTION play_until_second(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF n = 2 THEN
        RAISE EXCEPTION 'no more';
    END IF;
    INSERT INTO fetched.play_all (id, track_entry_key, bucket) OVERRIDING SYSTEM VALUE VALUES (n, 'k1', 'most');
    RETURN n;
END
$$;
CREATE VIEW locks AS SELECT relation::regclass::text, mode FROM pg_locks
  WHERE pid = pg_backend_pid() AND relation IN ('fetched.play_counter_slot'::regclass, 'fetched.track'::regclass);

\c
SET search_path = fetched;
BEGIN;
DECLARE played CURSOR FOR SELECT play_until_second(n) FROM generate_series(1, 2) n;
FETCH played;
SELECT * FROM locks ORDER BY 1;
SAVEPOINT s;
FETCH played;
ROLLBACK TO s;
SELECT * FROM locks ORDER BY 1;
COMMIT;
SELECT track_entry_key, plays FROM play_by_track;
SELECT * FROM playevent.verify('play_event');

SET client_min_messages = warning;
DROP SCHEMA fetched CASCADE;
DROP EXTENSION playevent;
