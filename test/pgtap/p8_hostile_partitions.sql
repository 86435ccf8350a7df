-- P8: who shares a schema with a log's owner can't keep partitions from being made or
-- retired by having their names.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(9);
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

SELECT * FROM finish();
ROLLBACK;
