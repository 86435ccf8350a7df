-- P5: after each statement its counts are visible in the same transaction, so
-- that test fixtures which roll back see them; and a rollback takes them along.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(27);

CREATE SCHEMA p5;
SET LOCAL search_path = p5, public;
SET LOCAL client_min_messages = warning;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', 1);
SELECT playevent.create_log('play', track => 'track') AS log \gset

-- What a person sees, against a GROUP BY that playevent has no part in.
CREATE FUNCTION plays(key text) RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce((SELECT plays FROM play_by_track WHERE track_entry_key = $1), 0)
$$;
CREATE FUNCTION counted_as_logged(title text) RETURNS text LANGUAGE sql AS $$
    SELECT set_eq('SELECT track_entry_key, release_id, bucket, plays FROM play_counter',
                  'SELECT track_entry_key, release_id, bucket, count(*) FROM play_event GROUP BY 1, 2, 3',
                  title)
$$;

SELECT is_empty('SELECT * FROM play_counter', 'P5: nothing is counted before the first play');
SELECT is_empty('SELECT * FROM play_by_track', 'P5: nor by track');
SELECT is_empty('SELECT * FROM play_by_release', 'P5: nor by release');

SAVEPOINT fixture;

INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete');
SELECT is(plays('k1'), 1::bigint, 'P5: after the first play');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete');
SELECT is(plays('k1'), 2::bigint, 'P5: after the second');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'partial'), ('k1', 'most');
SELECT is(plays('k1'), 4::bigint, 'P5: after a multi-row INSERT');
SELECT counted_as_logged('P5: the counter after a multi-row INSERT');
INSERT INTO play_event (track_entry_key, bucket)
SELECT 'k' || n % 3 + 1, (ARRAY['partial', 'most', 'complete'])[n % 2 + 1]::play_bucket
  FROM generate_series(1, 30) n;
SELECT counted_as_logged('P5: after INSERT ... SELECT');
COPY play_event (track_entry_key, bucket) FROM stdin;
k1	partial
loose	complete
k2	partial
\.
SELECT counted_as_logged('P5: after COPY');
WITH i AS (INSERT INTO play_event (track_entry_key, bucket) VALUES ('k3', 'most') RETURNING 1)
SELECT count(*) AS inserted FROM i \gset
SELECT counted_as_logged('P5: after an INSERT in a CTE');
DO $$ BEGIN
    FOR n IN 1 .. 3 LOOP
        INSERT INTO play_event (track_entry_key, bucket) VALUES ('looped', 'most');
        IF (SELECT plays FROM play_counter WHERE track_entry_key = 'looped') <> n THEN
            RAISE 'play % of a loop is not counted', n;
        END IF;
    END LOOP;
END $$;
SELECT is(plays('looped'), 3::bigint, 'P5: after each INSERT of a loop in PL/pgSQL');
SELECT results_eq(
    $$SELECT partial, most, complete, plays FROM play_by_track WHERE track_entry_key = 'looped'$$,
    'VALUES (0::bigint, 3::bigint, 0::bigint, 3::bigint)', 'P5: by track, a column for each bucket');
SELECT set_eq(
    'SELECT release_id, partial, most, complete, plays FROM play_by_release',
    $$SELECT release_id, count(*) FILTER (WHERE bucket = 'partial') AS partial, count(*) FILTER (WHERE bucket = 'most') AS most,
             count(*) FILTER (WHERE bucket = 'complete') AS complete, count(*)
        FROM play_event WHERE release_id IS NOT NULL GROUP BY 1$$,
    'P5: by release, without plays that have none');
SELECT set_eq(
    'SELECT track_entry_key, partial, most, complete, plays FROM play_by_track',
    $$SELECT track_entry_key, count(*) FILTER (WHERE bucket = 'partial') AS partial, count(*) FILTER (WHERE bucket = 'most') AS most,
             count(*) FILTER (WHERE bucket = 'complete') AS complete, count(*)
        FROM play_event GROUP BY 1$$,
    'P5: by track');

-- A statement that fails takes its counts along, and no others.
SAVEPOINT failing;
SELECT throws_ok(
    $$INSERT INTO play_event (track_entry_key, bucket)
      SELECT 'failed', CASE n WHEN 5 THEN NULL ELSE 'most'::play_bucket END FROM generate_series(1, 5) n$$,
    '23502', NULL, 'P5: a statement fails after rows of it were counted');
SELECT is(plays('failed'), 0::bigint, 'P5: nothing of it is counted');
SELECT counted_as_logged('P5: all before it is');

-- Savepoints
SAVEPOINT a;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('sub', 'most');
SAVEPOINT b;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('sub', 'most');
SELECT is(plays('sub'), 2::bigint, 'P5: in a nested savepoint');
ROLLBACK TO SAVEPOINT b;
SELECT is(plays('sub'), 1::bigint, 'P5: after the inner one is rolled back');
RELEASE SAVEPOINT a;
SELECT is(plays('sub'), 1::bigint, 'P5: after the outer one is released');

-- A rollback takes all of it along, and leaves nothing in the way of what follows.
ROLLBACK TO SAVEPOINT fixture;
SELECT is_empty('SELECT * FROM play_counter', 'P5: a rollback takes the counts along');
SELECT is(plays('k1'), 0::bigint, 'P5: by track too');
-- the keys that were rolled back: their dead slots are still in the index
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k2', 'partial'), ('k1', 'most');
SELECT is(plays('k1'), 2::bigint, 'P5: counting goes on from nothing');
SELECT counted_as_logged('P5: for each key that was rolled back');

-- Two logs in one transaction
SELECT playevent.create_log('share', track => 'track', kind => 'channel',
                            kinds => '{link,native,embed}') AS log \gset
INSERT INTO share_event (track_entry_key, channel) VALUES ('k1', 'link'), ('k2', 'embed'), ('k1', 'link');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
SELECT set_eq('SELECT track_entry_key::text, release_id, channel::text, shares FROM share_counter',
              $$VALUES ('k1', 1, 'link', 2::bigint), ('k2', 2, 'embed', 1)$$,
              'P5: each log has its own counts');
SELECT counted_as_logged('P5: none gets the other''s');

-- An insert straight into a partition is counted at commit, or with the next
-- statement on the log: until then it is missing, never counted twice.
CREATE TABLE part_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL)
    PARTITION BY LIST (bucket);
CREATE TABLE part_event_most PARTITION OF part_event FOR VALUES IN ('most');
SELECT playevent.attach_log('part_event', track => 'track') AS log \gset
INSERT INTO part_event_most VALUES ('k1', NULL, 'most');
INSERT INTO part_event VALUES ('k1', NULL, 'most');
SELECT is((SELECT parts FROM part_counter WHERE track_entry_key = 'k1'), 2::bigint,
          'P5: a play straight into a partition, after the next statement on the log');

SELECT * FROM finish();
ROLLBACK;
