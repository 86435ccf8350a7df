-- P1: a partition that DETACH CONCURRENTLY takes out of a log, in a transaction
-- after the one in which the command began, is no log any more; one that stays is.

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
SELECT playevent.attach_log('plays', track => 'track');

ALTER TABLE plays DETACH PARTITION plays_1 CONCURRENTLY;
SET default_transaction_isolation = 'repeatable read';
ALTER TABLE plays DETACH PARTITION plays_2 CONCURRENTLY;
RESET default_transaction_isolation;
TRUNCATE plays_1;
TRUNCATE plays_2;
TRUNCATE plays_3;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN ('plays_1'::regclass, 'plays_2'::regclass);

DROP SCHEMA detach CASCADE;
DROP EXTENSION playevent;
