-- P1: what is in the log stays as it is.  Every way SQL has of changing or
-- removing a row is refused with 23001 and the table's name, for the owner, for
-- a superuser and under session_replication_role = replica, on partitions too;
-- and the rows are the same afterwards.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(168);

CREATE ROLE p1_owner;
CREATE SCHEMA p1 AUTHORIZATION p1_owner;
SET LOCAL search_path = p1, public;
SET LOCAL client_min_messages = warning;

\ir include/run_as.sql

-- "who" may be any of these; only a superuser can set the replica role.
CREATE TABLE who (title text, role name, replication text);
INSERT INTO who VALUES
    ('owner', 'p1_owner', 'origin'),
    ('superuser', current_user, 'origin'),
    ('replica role', current_user, 'replica');

-- One assertion for each statement and each of "who": refused, table named.
CREATE FUNCTION refused_for_all(what text, statement text, refusing text)
RETURNS SETOF text LANGUAGE sql AS $$
    SELECT throws_ok(
        format('SELECT test.run_as(%L, %L, %L)', role, statement, replication),
        '23001', format('table "%s" is append-only', refusing),
        format('P1: %s can''t %s', title, what))
      FROM who ORDER BY title
$$;
GRANT ALL ON ALL TABLES IN SCHEMA p1 TO p1_owner;

--
-- A log as create_log makes it
--

SET LOCAL ROLE p1_owner;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int, is_deleted bool);
INSERT INTO track VALUES ('k1', 1, false), ('k2', 2, false);
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted') AS log \gset
INSERT INTO play_event (id, track_entry_key, bucket, event_id) VALUES
    (1, 'k1', 'complete', '00000000-0000-0000-0000-000000000001'),
    (2, 'k2', 'most', '00000000-0000-0000-0000-000000000002'),
    (3, 'loose', 'partial', NULL);
CREATE VIEW play_window AS SELECT * FROM play_event;
RESET ROLE;
CREATE TEMP TABLE play_before AS SELECT * FROM p1.play_event;

SELECT refused_for_all('UPDATE',
    $$UPDATE play_event SET bucket = 'partial' WHERE id = 1$$, 'play_event');
SELECT refused_for_all('UPDATE a row to itself',
    'UPDATE play_event SET id = id', 'play_event');
SELECT refused_for_all('DELETE',
    'DELETE FROM play_event WHERE id = 1', 'play_event');
SELECT refused_for_all('TRUNCATE',
    'TRUNCATE play_event', 'play_event');
SELECT refused_for_all('MERGE with UPDATE',
    $$MERGE INTO play_event e USING (SELECT 'k1' AS key) s ON e.track_entry_key = s.key
      WHEN MATCHED THEN UPDATE SET bucket = 'partial'$$, 'play_event');
SELECT refused_for_all('MERGE with DELETE',
    $$MERGE INTO play_event e USING (SELECT 'k1' AS key) s ON e.track_entry_key = s.key
      WHEN MATCHED THEN DELETE$$, 'play_event');
SELECT refused_for_all('INSERT with ON CONFLICT DO UPDATE, by primary key',
    $$INSERT INTO play_event (id, track_entry_key, bucket) VALUES (1, 'k1', 'most')
      ON CONFLICT (id) DO UPDATE SET bucket = excluded.bucket$$, 'play_event');
SELECT refused_for_all('INSERT with ON CONFLICT DO UPDATE, by event_id',
    $$INSERT INTO play_event (track_entry_key, bucket, event_id)
      VALUES ('k1', 'most', '00000000-0000-0000-0000-000000000002')
      ON CONFLICT (event_id) WHERE event_id IS NOT NULL
      DO UPDATE SET bucket = excluded.bucket$$, 'play_event');
SELECT refused_for_all('UPDATE in a CTE',
    $$WITH u AS (UPDATE play_event SET anon_id = 'x' WHERE id = 2 RETURNING 1)
      SELECT count(*) FROM u$$, 'play_event');
SELECT refused_for_all('DELETE in a CTE',
    'WITH d AS (DELETE FROM play_event RETURNING 1) SELECT count(*) FROM d', 'play_event');
SELECT refused_for_all('DELETE with USING',
    'DELETE FROM play_event e USING track t WHERE t.entry_key = e.track_entry_key', 'play_event');
SELECT refused_for_all('UPDATE at a cursor',
    $$DO 'DECLARE c CURSOR FOR SELECT * FROM play_event FOR UPDATE; r record;
          BEGIN
              OPEN c; FETCH c INTO r;
              UPDATE play_event SET anon_id = NULL WHERE CURRENT OF c;
          END'$$, 'play_event');
SELECT refused_for_all('UPDATE through a view',
    $$UPDATE play_window SET bucket = 'partial'$$, 'play_event');
SELECT refused_for_all('DELETE through a view',
    'DELETE FROM play_window', 'play_event');
SELECT results_eq('SELECT * FROM play_event ORDER BY id',
                  'SELECT * FROM play_before ORDER BY id',
                  'P1: all rows are as they were');

-- The counters are as firm as the log they follow from.
CREATE FUNCTION slot_refused_for_all(what text, statement text)
RETURNS SETOF text LANGUAGE sql AS $$
    SELECT throws_ok(
        format('SELECT test.run_as(%L, %L, %L)', role, statement, replication),
        '23001', 'table "play_counter_slot" is written by playevent alone',
        format('P1: %s can''t %s counters', title, what))
      FROM who ORDER BY title
$$;
SELECT slot_refused_for_all('INSERT', $$INSERT INTO play_counter_slot VALUES ('k1', 1, 'most', 5)$$);
SELECT slot_refused_for_all('UPDATE', 'UPDATE play_counter_slot SET plays = plays + 1');
SELECT slot_refused_for_all('DELETE', 'DELETE FROM play_counter_slot');
SELECT slot_refused_for_all('TRUNCATE', 'TRUNCATE play_counter_slot');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$,
                'P1: the counters are as they were');

--
-- Foreign keys of an attached table: cascades act as the referencing table's
-- owner and fire its row triggers.
--

SET LOCAL ROLE p1_owner;
CREATE TABLE listener (id int PRIMARY KEY);
INSERT INTO listener VALUES (1), (2);
CREATE TABLE hear_event (
    id int PRIMARY KEY,
    track_entry_key text NOT NULL REFERENCES track ON DELETE CASCADE ON UPDATE CASCADE,
    release_id int,
    bucket text NOT NULL,
    listener_id int DEFAULT 2 REFERENCES listener ON DELETE SET NULL,
    other_id int DEFAULT 2 REFERENCES listener ON DELETE SET DEFAULT ON UPDATE SET DEFAULT);
SELECT playevent.attach_log('hear_event', track => 'track') AS log \gset
INSERT INTO hear_event VALUES (1, 'k1', NULL, 'complete', 1, NULL), (2, 'k2', NULL, 'most', NULL, 2);
RESET ROLE;
CREATE TEMP TABLE hear_before AS SELECT * FROM p1.hear_event;

SELECT throws_ok(format('SELECT test.run_as(%L, %L, %L)', role, statement, replication),
                 '23001', 'table "hear_event" is append-only',
                 format('P1: %s can''t change the log by %s', title, what))
  FROM who, (VALUES
        ('ON DELETE CASCADE', $$DELETE FROM track WHERE entry_key = 'k1'$$),
        ('ON UPDATE CASCADE', $$UPDATE track SET entry_key = 'k9' WHERE entry_key = 'k1'$$),
        ('ON DELETE SET NULL', 'DELETE FROM listener WHERE id = 1'),
        ('ON DELETE SET DEFAULT', 'DELETE FROM listener WHERE id = 2'),
        ('ON UPDATE SET DEFAULT', 'UPDATE listener SET id = 9 WHERE id = 2')) AS s (what, statement)
 -- foreign keys themselves do nothing under the replica role
 WHERE replication = 'origin'
 ORDER BY what, title;
SELECT refused_for_all('TRUNCATE with CASCADE from a referenced table',
    'TRUNCATE listener CASCADE', 'hear_event');
SELECT results_eq('SELECT * FROM hear_event ORDER BY id',
                  'SELECT * FROM hear_before ORDER BY id',
                  'P1: rows that refer to others are as they were');

--
-- A partitioned event table, its partitions and their partitions
--

CREATE SCHEMA p1_archive AUTHORIZATION p1_owner;
SET LOCAL ROLE p1_owner;
CREATE TABLE part_event (
    id int, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL,
    year int NOT NULL, PRIMARY KEY (id, year)) PARTITION BY RANGE (year);
CREATE TABLE part_2023 PARTITION OF part_event FOR VALUES FROM (2023) TO (2024);
CREATE TABLE part_2024 PARTITION OF part_event FOR VALUES FROM (2024) TO (2025)
    PARTITION BY RANGE (id);
CREATE TABLE part_2024_low PARTITION OF part_2024 FOR VALUES FROM (0) TO (10);
SELECT playevent.attach_log('part_event', track => 'track') AS log \gset

-- Partitions that come later: below a partition, in another schema, with rows
-- of their own, and with partitions of their own.
CREATE TABLE part_2024_rest PARTITION OF part_2024 DEFAULT;
CREATE TABLE p1_archive.part_2025 PARTITION OF part_event FOR VALUES FROM (2025) TO (2026);
CREATE TABLE part_2026 (LIKE part_event INCLUDING ALL);
INSERT INTO part_2026 VALUES (6, 'k2', 2, 'most', 2026);
ALTER TABLE part_event ATTACH PARTITION part_2026 FOR VALUES FROM (2026) TO (2027);
CREATE TABLE part_2027 (LIKE part_event INCLUDING ALL) PARTITION BY RANGE (id);
CREATE TABLE part_2027_all PARTITION OF part_2027 DEFAULT;
ALTER TABLE part_event ATTACH PARTITION part_2027 FOR VALUES FROM (2027) TO (2028);
INSERT INTO part_event VALUES
    (3, 'k1', NULL, 'complete', 2023), (4, 'k1', NULL, 'most', 2024),
    (41, 'k1', NULL, 'partial', 2024), (5, 'k2', NULL, 'partial', 2025),
    (7, 'k2', NULL, 'partial', 2027);
RESET ROLE;
CREATE TEMP TABLE part_before AS SELECT tableoid::regclass AS part, * FROM p1.part_event;
SELECT is_empty($$SELECT * FROM playevent.verify('part_event')$$,
                'P1: rows that an added partition brought along are counted');

-- One of each kind of partition, with a row that lives there.  A partition's
-- own name is what the message says.
SELECT throws_ok(format('SELECT test.run_as(%L, %L, %L)', role, statement, replication),
                 '23001', format('table "%s" is append-only', leaf),
                 format('P1: %s can''t %s a row of %s by %s', title, what, leaf, target))
  FROM who,
       (VALUES (3, 'part_2023', 'part_event'), (3, 'part_2023', 'part_2023'),
               (4, 'part_2024_low', 'part_2024'), (41, 'part_2024_rest', 'part_2024_rest'),
               (5, 'part_2025', 'p1_archive.part_2025'), (6, 'part_2026', 'part_2026'),
               (7, 'part_2027_all', 'part_event'), (7, 'part_2027_all', 'part_2027_all'))
           AS p (id, leaf, target),
       (VALUES ('UPDATE', 'UPDATE %1$s SET track_entry_key = ''x'' WHERE id = %2$s'),
               ('DELETE', 'DELETE FROM %1$s WHERE id = %2$s')) AS s (what, template),
       format(template, target, id) AS statement
 ORDER BY id, target, what, title;
SELECT throws_ok(format('SELECT test.run_as(%L, %L, %L)', role, 'TRUNCATE ' || target, replication),
                 '23001', format('table "%s" is append-only', refusing),
                 format('P1: %s can''t TRUNCATE %s', title, target))
  FROM who,
       (VALUES ('part_event', 'part_event'), ('part_2023', 'part_2023'),
               ('part_2024', 'part_2024'), ('part_2024_low', 'part_2024_low'),
               ('part_2024_rest', 'part_2024_rest'), ('p1_archive.part_2025', 'part_2025'),
               ('part_2026', 'part_2026'), ('part_2027', 'part_2027'),
               ('part_2027_all', 'part_2027_all'), ('ONLY part_2023', 'part_2023'))
           AS p (target, refusing)
 ORDER BY target, title;
SELECT refused_for_all('move a row to another partition',
    'UPDATE part_event SET year = 2025 WHERE id = 3', 'part_2023');
SELECT refused_for_all('MERGE into a partitioned log',
    $$MERGE INTO part_event e USING (SELECT 4 AS id) s ON e.id = s.id
      WHEN MATCHED THEN UPDATE SET track_entry_key = 'x'$$, 'part_2024_low');
SELECT refused_for_all('INSERT with ON CONFLICT DO UPDATE into a partitioned log',
    $$INSERT INTO part_event VALUES (5, 'k2', NULL, 'most', 2025)
      ON CONFLICT (id, year) DO UPDATE SET bucket = 'most'$$, 'part_2025');
SELECT refused_for_all('INSERT with ON CONFLICT DO UPDATE into a partition',
    $$INSERT INTO part_2026 VALUES (6, 'k2', NULL, 'most', 2026)
      ON CONFLICT (id, year) DO UPDATE SET bucket = 'most'$$, 'part_2026');
SELECT results_eq('SELECT tableoid::regclass, * FROM part_event ORDER BY id',
                  'SELECT * FROM part_before ORDER BY id',
                  'P1: the rows of all partitions are as they were');
SELECT is_empty($$SELECT * FROM playevent.verify('part_event')$$,
                'P1: the counters of a partitioned log are as they were');

--
-- The documented limit: an owner may disable the triggers, and it shows.
--

SELECT is((SELECT count(*)::int FROM playevent.log
            WHERE event IN ('play_event'::regclass, 'hear_event', 'part_event') AND intact), 3,
          'P1: the view playevent.log calls a log intact whose triggers are all there');
ALTER TABLE play_event DISABLE TRIGGER playevent_append_only;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false,
          'P1: the view playevent.log shows that a guard is disabled');
DELETE FROM play_event WHERE id = 1;
SELECT results_eq($$SELECT track_entry_key, release_id, kind, counted, logged FROM playevent.verify('play_event') WHERE counter = 'play_counter'$$,
                  $$VALUES ('k1', '1', 'complete', 1::bigint, 0::bigint)$$,
                  'P1: verify shows a row that was removed with the guard disabled');
ALTER TABLE play_event ENABLE TRIGGER playevent_append_only;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false,
          'P1: the view playevent.log shows that a guard would not fire under the replica role');
DROP TRIGGER playevent_append_only_truncate ON hear_event;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'hear_event'::regclass), false,
          'P1: the view playevent.log shows that a guard was dropped');

SELECT * FROM finish();
ROLLBACK;
