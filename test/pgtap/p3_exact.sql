-- P3: in every snapshot the counters equal the log, whichever way rows came.
--
-- Each case ends in exact(), which compares three things at once: how many
-- rows the log has (so that a case that inserted nothing fails), how many keys
-- differ between an independent GROUP BY and the counter view, and what verify
-- finds.  What needs a commit or COPY is in test/t/p3_exact.pl.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(48);

CREATE SCHEMA p3;
SET LOCAL search_path = p3, public;

CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint, is_deleted boolean NOT NULL DEFAULT false);
INSERT INTO track VALUES ('k1', 7), ('k2', 7), ('k3', 8), ('loose', NULL);
INSERT INTO track VALUES ('gone', 9, true);
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted');
SELECT playevent.create_log('share', track => 'track', kind => 'channel', kinds => '{link,native,embed}');

-- The rows that must be there, by log.
CREATE TABLE expected (event regclass PRIMARY KEY, n bigint NOT NULL);
INSERT INTO expected VALUES ('play_event', 0), ('share_event', 0);

\ir include/differences.sql
CREATE FUNCTION exact(added bigint, what text, log regclass DEFAULT 'play_event') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    differing bigint;
    wrong bigint;
    due bigint;
BEGIN
    UPDATE expected e SET n = e.n + added WHERE event = log RETURNING e.n INTO due;
    EXECUTE format('SELECT count(*) FROM %s', log) INTO n;
    SELECT count(*) INTO differing FROM differences(log::text, replace(log::text, '_event', '_counter'),
        'track_entry_key, release_id, ' || CASE log WHEN 'play_event'::regclass THEN 'bucket' ELSE 'channel' END);
    SELECT count(*) INTO wrong FROM playevent.verify(log);
    RETURN is(format('%s rows, %s and %s differ', n, differing, wrong),
              format('%s rows, 0 and 0 differ', due), 'P3: ' || what);
END
$$;

-- The tools of this test find what they look for.
SAVEPOINT blind;
ALTER TABLE play_event DISABLE TRIGGER playevent_count;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('loose', 'most');
SELECT is(ARRAY[(SELECT count(*) FROM differences()), (SELECT count(*) FROM playevent.verify('play_event'))], '{2,2}',
          'P3: both GROUP BY and verify find two keys not counted');
ROLLBACK TO blind;

--
-- Plain SQL
--
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete');
SELECT exact(1, 'single-row INSERT');

INSERT INTO play_event (track_entry_key, bucket)
VALUES ('k1', 'complete'), ('k1', 'partial'), ('k2', 'most'), ('loose', 'most'), ('gone', 'most'), ('nowhere', 'most'), ('k1', 'complete');
SELECT exact(7, 'multi-row INSERT of live, loose, deleted and unknown tracks');

INSERT INTO play_event (track_entry_key, bucket)
SELECT 'k' || i % 5, (ARRAY['partial', 'most', 'complete'])[1 + i % 3]::play_bucket FROM generate_series(1, 1000) i;
SELECT exact(1000, 'INSERT ... SELECT');

INSERT INTO play_event (track_entry_key, bucket) SELECT track_entry_key, bucket FROM play_event;
SELECT exact(1008, 'INSERT ... SELECT from the log itself');

INSERT INTO play_event (track_entry_key, bucket) SELECT 'k1', 'most' WHERE false;
SELECT exact(0, 'INSERT of no rows');

WITH a AS (INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete'), ('k2', 'most') RETURNING *),
     b AS (INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete') RETURNING *)
INSERT INTO play_event (track_entry_key, bucket) SELECT track_entry_key, 'partial'::play_bucket FROM a UNION ALL SELECT 'k3', 'most' FROM b;
SELECT exact(6, 'three inserts in one statement by CTE');
SELECT is(count(*), 1::bigint, 'P3: one session alone keeps one slot a key')
  FROM play_counter_slot WHERE track_entry_key = 'k1' AND bucket = 'complete';

WITH a AS (INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete') RETURNING track_entry_key)
INSERT INTO share_event (track_entry_key, channel) SELECT track_entry_key, 'link' FROM a;
SELECT exact(1, 'two logs in one statement by CTE, plays');
SELECT exact(1, 'two logs in one statement by CTE, shares', 'share_event');

MERGE INTO play_event USING (VALUES ('k1'), ('k2')) AS v(k) ON false
WHEN NOT MATCHED THEN INSERT (track_entry_key, bucket) VALUES (k, 'most');
SELECT exact(2, 'MERGE that inserts');

PREPARE add(text) AS INSERT INTO play_event (track_entry_key, bucket) VALUES ($1, 'complete');
EXECUTE add('k1'); EXECUTE add('k2'); EXECUTE add('k1'); EXECUTE add('k3');
EXECUTE add('k1'); EXECUTE add('k1'); EXECUTE add('k1'); EXECUTE add('k1');
SELECT exact(8, 'prepared INSERT, custom and generic plan');

--
-- ON CONFLICT DO NOTHING with conflicts: in the table, within the statement,
-- and nothing but conflicts
--
INSERT INTO play_event (track_entry_key, bucket, event_id)
SELECT 'k1', 'complete', md5(i::text)::uuid FROM generate_series(1, 10) i;
SELECT exact(10, 'rows with event ids');
INSERT INTO play_event (track_entry_key, bucket, event_id)
SELECT 'k' || 1 + i % 2, 'complete', md5((i % 25)::text)::uuid FROM generate_series(1, 50) i
ON CONFLICT DO NOTHING;
SELECT exact(15, 'ON CONFLICT DO NOTHING with conflicts in the table and in the statement');
INSERT INTO play_event (track_entry_key, bucket, event_id)
SELECT 'k1', 'complete', md5(i::text)::uuid FROM generate_series(1, 10) i
ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING;
SELECT exact(0, 'ON CONFLICT DO NOTHING where all rows conflict');

--
-- PL/pgSQL
--
DO $$
BEGIN
    FOR i IN 1 .. 60 LOOP
        BEGIN
            INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || i % 3, 'most');
            IF i % 3 = 0 THEN
                RAISE division_by_zero;
            ELSIF i % 5 = 0 THEN
                INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('', 'most');
            END IF;
            INSERT INTO play_event (track_entry_key, bucket) VALUES ('k2', 'complete');
        EXCEPTION
            WHEN division_by_zero THEN NULL;
            WHEN check_violation THEN
                INSERT INTO play_event (track_entry_key, bucket) VALUES ('k3', 'partial');
        END;
    END LOOP;
END
$$;
-- 32 rounds of two rows, 8 rounds whose handler inserts one
SELECT exact(72, 'PL/pgSQL loop with exception blocks');

DO $$
DECLARE
    c CURSOR FOR SELECT track_entry_key FROM play_event WHERE bucket = 'most' ORDER BY id LIMIT 100;
BEGIN
    FOR r IN c LOOP
        INSERT INTO play_event (track_entry_key, bucket) VALUES (r.track_entry_key, 'complete');
    END LOOP;
END
$$;
SELECT exact(100, 'cursor loop');

DECLARE total CURSOR FOR SELECT (SELECT count(*) FROM play_event) - (SELECT sum(plays) FROM play_counter);
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete');
SELECT results_eq('total'::refcursor, 'SELECT 0::numeric', 'P3: a cursor opened before an insert sees neither row nor count');
CLOSE total;
SELECT exact(1, 'insert beside an open cursor');

--
-- Savepoints
--
SAVEPOINT a;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete'), ('new-a', 'complete');
SAVEPOINT b;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete'), ('new-b', 'complete');
SAVEPOINT c;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete'), ('new-a', 'complete'), ('new-b', 'complete');
SELECT exact(7, 'inside three savepoints');
ROLLBACK TO c;
SELECT exact(4, 'innermost savepoint rolled back');
RELEASE b;
SELECT exact(0, 'savepoint released');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete'), ('new-b', 'complete');
SELECT exact(2, 'insert after release');
SAVEPOINT b;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete');
RELEASE b;
ROLLBACK TO a;
SELECT exact(0, 'outer savepoint rolled back, with one released in it');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'complete'), ('new-a', 'complete');
RELEASE a;
SELECT exact(2, 'insert after rollback to a savepoint');

--
-- Statements that fail after rows were counted
--
CREATE FUNCTION fail_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'STATEMENT' OR NEW.anon_id = 'fail' THEN
        RAISE SQLSTATE 'PE001';
    END IF;
    RETURN NULL;
END
$$;
-- Triggers fire in the order of their names: this one after playevent_count.
CREATE TRIGGER z_fail AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION fail_at();
SELECT throws_ok(
    $$INSERT INTO play_event (track_entry_key, bucket, anon_id)
      SELECT 'k' || i % 4, 'most', CASE WHEN i = 1000 THEN 'fail' END FROM generate_series(1, 1000) i$$,
    'PE001', NULL, 'P3: the last of 1000 rows fails after being counted');
SELECT exact(0, 'statement aborted, all of its rows counted but not flushed');
DROP TRIGGER z_fail ON play_event;

CREATE TRIGGER z_fail AFTER INSERT ON play_event FOR EACH STATEMENT EXECUTE FUNCTION fail_at();
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('new-c', 'most')$$,
    'PE001', NULL, 'P3: a statement fails after its counts are flushed');
SELECT exact(0, 'statement aborted after its counts were flushed');
DROP TRIGGER z_fail ON play_event;

CREATE CONSTRAINT TRIGGER z_fail AFTER INSERT ON play_event DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION fail_at();
SAVEPOINT deferred;
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'fail'), ('k2', 'most', NULL);
SELECT throws_ok('SET CONSTRAINTS z_fail IMMEDIATE', 'PE001', NULL, 'P3: a deferred constraint fails');
ROLLBACK TO deferred;
SELECT exact(0, 'rolled back for a deferred constraint');
DROP TRIGGER z_fail ON play_event;

--
-- The app's own triggers
--
CREATE TABLE visit (id bigint PRIMARY KEY, track text);
CREATE FUNCTION play_the_visited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO play_event (track_entry_key, bucket) VALUES (NEW.track, 'complete'), ('k1', 'partial');
    RETURN NULL;
END
$$;
CREATE TRIGGER play_the_visited AFTER INSERT ON visit FOR EACH ROW EXECUTE FUNCTION play_the_visited();
INSERT INTO visit SELECT i, 'k' || i % 2 FROM generate_series(1, 20) i;
SELECT exact(40, 'an app trigger on another table inserts plays');

-- Each complete play is shared, and a play of 'k3' brings one of 'k2' along:
-- both between the count of one row and the flush of all.
CREATE FUNCTION share_the_play() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.bucket = 'complete' THEN
        INSERT INTO share_event (track_entry_key, channel) VALUES (NEW.track_entry_key, 'native'), ('k2', 'link');
    END IF;
    IF NEW.track_entry_key = 'k3' THEN
        BEGIN
            INSERT INTO play_event (track_entry_key, bucket) VALUES ('k2', 'partial');
            IF NEW.bucket = 'most' THEN
                RAISE division_by_zero;
            END IF;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER share_the_play AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION share_the_play();
INSERT INTO play_event (track_entry_key, bucket)
VALUES ('k1', 'complete'), ('k3', 'complete'), ('k1', 'most'), ('k3', 'most'), ('k2', 'complete');
SELECT exact(6, 'an app trigger on the log inserts shares and plays, plays');
SELECT exact(6, 'an app trigger on the log inserts shares and plays, shares', 'share_event');
DROP TRIGGER share_the_play ON play_event;

--
-- Replica role: rows come resolved, and only ALWAYS triggers fire.
--
SET LOCAL session_replication_role = replica;
INSERT INTO play_event (track_entry_key, release_id, bucket) VALUES ('k1', 7, 'complete'), ('k1', 99, 'complete'), ('k1', NULL, 'most');
SET LOCAL session_replication_role = origin;
SELECT exact(3, 'session_replication_role = replica');

--
-- More keys than are kept pending, which are 65,536 of all counters together:
-- some are written ahead of time, twice.
--
INSERT INTO play_event (track_entry_key, bucket)
SELECT 'many-' || i % 33000, 'complete' FROM generate_series(1, 66000) i;
SELECT exact(66000, '33,000 keys of two counters in one statement, each twice');
SELECT throws_ok(
    $$INSERT INTO play_event (track_entry_key, bucket)
      SELECT CASE WHEN i = 33000 THEN repeat('x', 101) ELSE 'many-' || i END, 'complete' FROM generate_series(1, 33000) i$$,
    '22001', NULL, 'P3: the last of 33,000 rows fails');
SELECT exact(0, '33,000 keys aborted');

--
-- Partitions: one attached with rows in it, and rows straight into one.  The
-- latter are counted at commit, unless something writes them before.
--
CREATE TABLE part_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, month int NOT NULL) PARTITION BY LIST (month);
CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
INSERT INTO part_event VALUES ('k1', 7, 'most', 1);
SELECT playevent.attach_log('part_event', track => 'track', kinds => '{partial,most,complete}');
CREATE TABLE part_2 (LIKE part_event INCLUDING CONSTRAINTS);
INSERT INTO part_2 VALUES ('k1', 7, 'most', 2), ('k2', 8, 'most', 2);
ALTER TABLE part_event ATTACH PARTITION part_2 FOR VALUES IN (2);
INSERT INTO part_event VALUES ('k1', 7, 'most', 2), ('k3', NULL, 'most', 1);
PREPARE part_differences AS SELECT differences('part_event', 'part_counter');
SELECT is_empty('part_differences', 'P3: a partition attached with rows in it');

-- Stored compressed, so its bytes are others than those of the key to count.
INSERT INTO part_event VALUES (repeat('long ', 1000), 7, 'most', 1);
INSERT INTO part_event VALUES (repeat('long ', 1000), 7, 'most', 1);
SELECT results_eq($$SELECT parts FROM part_counter_slot WHERE track_entry_key LIKE 'long%'$$, ARRAY[2::bigint],
    'P3: one slot for a long key');

INSERT INTO part_2 VALUES ('k1', NULL, 'most', 2), ('k1', NULL, 'complete', 2);
INSERT INTO part_1 VALUES ('k1', NULL, 'most', 1);
SELECT is(playevent.rebuild('part_event'), 0::bigint, 'P3: rebuild knows of counts still pending');
SELECT is_empty('part_differences', 'P3: straight into a partition, then rebuild');

-- A subtransaction can't write what waits outside, and would take it for missing.
INSERT INTO part_1 VALUES ('k1', NULL, 'most', 1), ('k2', NULL, 'most', 1);
SELECT throws_ok($$SELECT playevent.rebuild('part_event')$$, '55000',
    'cannot change the counters of table "part_event" in this subtransaction',
    'P3: rebuild refuses in a subtransaction where counts are pending outside');
SELECT lives_ok($$SELECT playevent.rebuild('share_event')$$, 'P3: unless they are another log''s');
SELECT is(playevent.rebuild('part_event'), 0::bigint, 'P3: outside it knows of them');
SAVEPOINT inner_play;
INSERT INTO part_1 VALUES ('k1', NULL, 'most', 1);
SAVEPOINT innermost;
SELECT throws_ok($$SELECT playevent.rebuild('part_event')$$, '55000', NULL, 'P3: nor does it in a deeper one');
ROLLBACK TO innermost;
RELEASE innermost;
SELECT is(playevent.rebuild('part_event'), 0::bigint, 'P3: and in one it knows of that one''s own');
RELEASE inner_play;
SELECT is_empty('part_differences', 'P3: straight into a partition, rebuild, and subtransactions');

SELECT * FROM finish();
ROLLBACK;
