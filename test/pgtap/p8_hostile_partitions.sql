-- P8: who shares a schema with a log's owner can't keep partitions from being made or
-- retired by having their names; and who owns what a log refers to, or what refers to
-- it, gets none of its owner's rights when they are.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(16);
SET LOCAL client_min_messages = error;
\ir include/run_as.sql
GRANT USAGE ON SCHEMA test TO PUBLIC;

CREATE ROLE parts_alice;
CREATE ROLE parts_mallory;
CREATE SCHEMA shared;
GRANT ALL ON SCHEMA shared TO parts_alice, parts_mallory;
CREATE SCHEMA a AUTHORIZATION parts_alice;
SET LOCAL search_path = shared, public;
SET LOCAL ROLE parts_alice;
CREATE TABLE a.track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
SELECT playevent.create_log('play', 'a.track', partition_by => 'month');
RESET ROLE;

-- What the partition of a month to come would be called.
CREATE FUNCTION test.name_ahead(n int) RETURNS text LANGUAGE sql AS
$$SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month', '"play_event_p"YYYYMM')$$;
SELECT test.run_as('parts_mallory', format('CREATE TABLE shared.%I (x int)', test.name_ahead(4)));
SELECT test.run_as('parts_mallory', format('CREATE TYPE shared.%I AS (x int)', test.name_ahead(5)));
SELECT test.run_as('parts_mallory', format('CREATE TABLE shared.%I (x int)', test.name_ahead(6)));
SELECT test.run_as('parts_mallory', format('CREATE TABLE shared.%I (x int)', test.name_ahead(6) || '_2'));
SELECT test.run_as('parts_mallory', 'CREATE TABLE shared.play_event_retired (x int)');

SELECT test.can('parts_alice', $$SELECT playevent.extend('shared.play_event', '6 months')$$,
    'partitions are made though somebody else has their names');
SELECT is((SELECT max(until) FROM playevent.partitions('shared.play_event')),
    (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '7 months') AT TIME ZONE 'UTC', 'P8: all of them');
SELECT is((SELECT count(*) FROM playevent.partitions('shared.play_event') p JOIN pg_class c ON c.oid = p.part
            WHERE c.relowner <> 'parts_alice'::regrole), 0::bigint, 'P8: and belong to the log''s owner');
SELECT is((SELECT array_agg(c.relname ORDER BY p.since) FROM playevent.partitions('shared.play_event') p JOIN pg_class c ON c.oid = p.part
            WHERE c.relname ~ '_2$'), ARRAY[test.name_ahead(4) || '_2', test.name_ahead(5) || '_2']::name[], 'P8: with names like those');
SELECT is((SELECT count(*) FROM playevent.partitions('shared.play_event') p JOIN pg_class c ON c.oid = p.part
            WHERE starts_with(c.relname, test.name_ahead(6) || '_')), 1::bigint, 'P8: with a name that nobody knew beforehand');

SELECT test.run_as('parts_alice', $$CREATE TABLE shared.play_event_old PARTITION OF shared.play_event
    FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')$$);
SELECT test.can('parts_alice', $$SELECT playevent.seal('shared.play_event', '2020-02-01Z')$$, 'a partition is sealed');
SELECT test.can('parts_alice', $$SELECT playevent.retire('shared.play_event', '2020-02-01Z')$$,
    'and retired, though somebody else has the name of what takes its place');
SELECT is((SELECT relname FROM pg_class WHERE oid = playevent.retired_partition('shared.play_event')), 'play_event_retired_2'::name,
    'P8: which gets another');

-- A name of many bytes leaves room for what tells partitions apart.
SELECT is(octet_length(playevent.fit_name(repeat('é', 31), '_p202601')), 62, 'P3: names of partitions have at most 63 bytes')
 WHERE getdatabaseencoding() = 'UTF8';
SELECT pass('P3: names of partitions have at most 63 bytes') WHERE getdatabaseencoding() <> 'UTF8';

-- Whoever plans a query on her tables runs her function.
CREATE SCHEMA m AUTHORIZATION parts_mallory;
GRANT USAGE ON SCHEMA m TO PUBLIC;
GRANT USAGE ON SCHEMA a TO PUBLIC;
SET LOCAL ROLE parts_mallory;
CREATE TABLE m.ran (role text);
GRANT INSERT ON m.ran TO PUBLIC;
CREATE TABLE m.track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
GRANT SELECT, REFERENCES ON m.track TO parts_alice;
INSERT INTO m.track VALUES ('k1', 7);
CREATE FUNCTION m.note() RETURNS void LANGUAGE sql AS 'INSERT INTO m.ran VALUES (current_user)';
CREATE FUNCTION m.spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
'BEGIN IF current_user <> ''parts_mallory'' THEN PERFORM m.note(); END IF; RETURN $1; END';
CREATE INDEX ON m.track (release_id) WHERE m.spy(1) = 1;
RESET ROLE;
SET LOCAL search_path = a, public;
SET LOCAL ROLE parts_alice;
SELECT playevent.create_log('song', 'm.track', partition_by => 'month');
ALTER TABLE song_event ADD CONSTRAINT "her's ""%s track" FOREIGN KEY (track_entry_key) REFERENCES m.track DEFERRABLE;
CREATE TABLE a.song_old PARTITION OF song_event FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z');
INSERT INTO song_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', '2020-01-02Z');
SET CONSTRAINTS ALL IMMEDIATE;
GRANT REFERENCES ON song_event TO parts_mallory;
RESET ROLE;
DELETE FROM m.ran;
SELECT test.can('parts_alice', $$SELECT playevent.extend('a.song_event', '5 months')$$, 'partitions are made with foreign keys');
SELECT is((SELECT count(*) FROM m.ran), 0::bigint, 'P8: to make them runs nothing of the other table''s owner');
SELECT is((SELECT count(DISTINCT conrelid) FROM pg_constraint WHERE contype = 'f' AND confrelid = 'm.track'::regclass AND convalidated
              AND (conrelid = 'a.song_event'::regclass OR conparentid <> 0)),
    1 + (SELECT count(*) FROM playevent.partitions('a.song_event')), 'P8: each has the log''s foreign key');
SELECT test.can('parts_alice', $$SELECT playevent.seal('a.song_event', '2020-02-01Z')$$, 'one is sealed');
SELECT test.run_as('parts_mallory', 'CREATE TABLE m.refers (id bigint, created_at timestamptz,
    FOREIGN KEY (id, created_at) REFERENCES a.song_event (id, created_at))');
SELECT test.run_as('parts_mallory', 'CREATE INDEX ON m.refers (id) WHERE m.spy(2) = 2');
DELETE FROM m.ran;
SELECT test.cannot('parts_alice', $$SELECT playevent.retire('a.song_event', '2020-02-01Z')$$,
    'table "refers", which is somebody else''s, refers to table "song_event"', 'it is not retired if a table of another''s refers to the log', '55000');
SELECT test.run_as('parts_mallory', 'DROP TABLE m.refers');
SELECT test.can('parts_alice', $$SELECT playevent.retire('a.song_event', '2020-02-01Z')$$, 'and is when none does');
SELECT is((SELECT count(*) FROM m.ran), 0::bigint, 'P8: to retire runs nothing of theirs');

SELECT * FROM finish();
ROLLBACK;
