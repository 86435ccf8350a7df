-- P1 and P11: a partition without rows may leave a log, and is none then; one with rows is
-- refused, and so is DETACH CONCURRENTLY, also in a transaction of another isolation level.

CREATE EXTENSION playevent;
CREATE SCHEMA detach;
SET search_path = detach;
SET client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
CREATE TABLE plays (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, month int NOT NULL)
    PARTITION BY LIST (month);
CREATE TABLE plays_1 PARTITION OF plays FOR VALUES IN (1);
CREATE TABLE plays_2 PARTITION OF plays FOR VALUES IN (2);
CREATE TABLE plays_3 PARTITION OF plays FOR VALUES IN (3);
CREATE TABLE plays_4 PARTITION OF plays FOR VALUES IN (4);
SELECT playevent.attach_log('plays', track => 'track');
INSERT INTO plays VALUES ('a', NULL, 'most', 3);

ALTER TABLE plays DETACH PARTITION plays_1 CONCURRENTLY;
SET default_transaction_isolation = 'repeatable read';
ALTER TABLE plays DETACH PARTITION plays_2 CONCURRENTLY;
ALTER TABLE plays DETACH PARTITION plays_2;
RESET default_transaction_isolation;
ALTER TABLE plays DETACH PARTITION plays_1;
TRUNCATE plays_1;
TRUNCATE plays_2;
TRUNCATE plays_3;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN ('plays_1'::regclass, 'plays_2'::regclass);

ALTER TABLE plays DETACH PARTITION plays_3;
DROP TABLE plays_3;
-- It was in use, which is all that DROP sees.
BEGIN; INSERT INTO plays VALUES ('a', NULL, 'most', 4); ROLLBACK;
DROP TABLE plays_4;
ALTER TABLE plays DETACH PARTITION plays_4;
DROP TABLE plays_4;
SELECT * FROM playevent.verify('plays');

-- A table that is no log's, of which a partition leaves by halves as ever
CREATE TABLE others (LIKE plays) PARTITION BY LIST (month);
CREATE TABLE others_1 PARTITION OF others FOR VALUES IN (1);
INSERT INTO others VALUES ('a', NULL, 'most', 1);
ALTER TABLE others DETACH PARTITION others_1 CONCURRENTLY;

DROP SCHEMA detach CASCADE;
DROP EXTENSION playevent;
