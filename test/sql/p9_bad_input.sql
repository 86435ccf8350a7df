-- P9: what a client sends that can't be a play, as psql and COPY show it.  The
-- SQLSTATE comes first; the app's transaction stays usable through a savepoint.

CREATE EXTENSION playevent;
CREATE SCHEMA bad;
SET search_path = bad;
\set VERBOSITY sqlstate
\set SHOW_CONTEXT never

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 7);
SELECT playevent.create_log('play', track => 'track');
SELECT playevent.create_log('strict', track => 'track', unknown_track => 'reject');

-- SQLSTATEs
INSERT INTO play_event (track_entry_key, bucket) VALUES (NULL, 'most');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('', 'most');
INSERT INTO play_event (track_entry_key, bucket) VALUES (repeat('x', 101), 'most');
INSERT INTO play_event (track_entry_key, bucket) VALUES (E'\xff', 'most');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', NULL);
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'half');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 1);
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', 'x');
INSERT INTO strict_event (track_entry_key, bucket) VALUES ('k2', 'most');

-- messages
\set VERBOSITY default
INSERT INTO play_event (track_entry_key, bucket) VALUES ('', 'most');
INSERT INTO play_event (track_entry_key, bucket) VALUES (repeat('x', 101), 'most');
INSERT INTO play_event (track_entry_key, bucket) VALUES (E'\xff', 'most');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'half');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 1);
INSERT INTO strict_event (track_entry_key, bucket) VALUES ('k2', 'most');
INSERT INTO strict_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('it''s "k2"', 'most');
SELECT count(*) FROM play_event;
SELECT * FROM play_counter;
SELECT * FROM strict_counter;

-- COPY says which line it was, and records none of the others
\set SHOW_CONTEXT errors
COPY play_event (track_entry_key, bucket) FROM stdin;
k1	most
k1	complete

\.
COPY play_event (track_entry_key, bucket) FROM stdin;
k1	most
	most
\.
-- the detail has the time in it
\set VERBOSITY terse
COPY play_event (track_entry_key, bucket) FROM stdin;
k1	most
\N	most
k1	most
\.
\set VERBOSITY default
COPY play_event (track_entry_key, bucket) FROM stdin;
k1	most
k1	half
\.
COPY play_event (track_entry_key, bucket) FROM stdin;
k1	most
\xff	most
\.
COPY strict_event (track_entry_key, bucket) FROM stdin (FORMAT csv);
k1,most
k2,most
\.
\set SHOW_CONTEXT never
SELECT count(*) FROM play_event;
SELECT * FROM play_counter;
SELECT * FROM strict_counter;

-- The rest of the app's transaction is the app's to keep.
CREATE TABLE session (n int);
BEGIN;
INSERT INTO session VALUES (1);
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
SAVEPOINT play;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'partial'), ('', 'partial');
ROLLBACK TO SAVEPOINT play;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'partial');
RELEASE SAVEPOINT play;
SAVEPOINT play;
COPY strict_event (track_entry_key, bucket) FROM stdin;
k1	most
k2	most
\.
ROLLBACK TO SAVEPOINT play;
INSERT INTO strict_event (track_entry_key, bucket) VALUES ('k1', 'most');
INSERT INTO session VALUES (2);
COMMIT;
SELECT * FROM session ORDER BY n;
SELECT * FROM play_counter ORDER BY bucket;
SELECT * FROM strict_counter;
SELECT * FROM playevent.verify('play_event');
SELECT * FROM playevent.verify('strict_event');

SET client_min_messages = warning;
DROP SCHEMA bad CASCADE;
DROP EXTENSION playevent;
