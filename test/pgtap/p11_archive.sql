-- P11: an archive is compared with what the log's manifest says of it, where the log
-- is and where there is nothing but the manifest.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();

CREATE SCHEMA life;
SET search_path = life, public;
SET client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 40) i;
SELECT playevent.create_log('play', track => 'track', partition_by => 'month') AS made \gset
SELECT count(playevent.make_partition('play_event', 'play_event_p20200' || i, format('''2020-0%s-01 00:00Z''', i), format('''2020-0%s-01 00:00Z''', i + 1))) AS made
  FROM generate_series(1, 3) i \gset
INSERT INTO play_event (track_entry_key, bucket, anon_id, created_at, event_id)
SELECT 'k' || 1 + i % 7, 'most', E'who, "else"\n', '2020-01-02Z'::timestamptz + i * interval '1 day', gen_random_uuid() FROM generate_series(1, 80) i;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');

CREATE TABLE total AS SELECT track_entry_key, release_id, bucket, plays FROM play_counter;
SELECT is(playevent.seal('play_event', '2020-04-01 00:00Z'), 3, 'P11: three partitions are sealed');
SELECT is(playevent.retire('play_event', '2020-03-01 00:00Z'), 2, 'P11: two are retired');
SELECT set_eq('TABLE play_counter', 'TABLE total', 'P11: no total has changed');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: the counters are exact');

CREATE FUNCTION problems(event regclass, archive regclass) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(problem, '; ') FROM playevent.verify_archive(event, archive)
$$;
SELECT is(problems('play_event', t), NULL, format('P11: %s is as it was', t))
  FROM unnest('{play_event_p202001,play_event_p202002,play_event_p202003}'::regclass[]) t;
SELECT is(problems('play_event', NULL), NULL, 'P11: so is what was retired');
SELECT is(problems('play_manifest', 'play_event_p202001'), NULL, 'P11: the manifest will do for the log');

-- Somewhere else, tables alone
CREATE TABLE manifest AS TABLE play_manifest;
CREATE TABLE archive AS TABLE play_event_p202001;
SELECT is(problems('manifest', 'play_event_p202002'), NULL, 'P11: a copy of the manifest, too');
SELECT is(problems('manifest', 'archive'), 'manifest: no entry tells of table archive', 'P11: a table is known by its seal or its name');
CREATE SCHEMA copy;
ALTER TABLE archive SET SCHEMA copy;
ALTER TABLE copy.archive RENAME TO play_event_p202001;
SELECT is(problems('manifest', 'copy.play_event_p202001'), NULL, 'P11: and then it is compared');
UPDATE copy.play_event_p202001 SET anon_id = NULL;
SELECT is(problems('manifest', 'copy.play_event_p202001'), NULL, 'P11: what tells listeners apart may be emptied');
UPDATE copy.play_event_p202001 SET bucket = 'partial' WHERE id = 3;
SELECT is(problems('manifest', 'copy.play_event_p202001'),
    'table play_event_p202001: its rows are not those that entry 1 of the manifest tells of', 'P11: a changed row is found');
SELECT is(problems('play_event', 'copy.play_event_p202001'),
    'table play_event_p202001: its rows are not those that entry 1 of the manifest tells of; table play_event_p202001: its counts by track_entry_key, release_id, bucket are not those that it had',
    'P11: and where there is the log, so is what it counts for');
DELETE FROM copy.play_event_p202001 WHERE id = 29;
SELECT is(problems('manifest', 'copy.play_event_p202001'),
    'table play_event_p202001 has 28 rows, and had 29; table play_event_p202001 has ids from 1 to 28, and had those from 1 to 29; table play_event_p202001: its rows are not those that entry 1 of the manifest tells of',
    'P11: a missing row is found');
ALTER TABLE copy.play_event_p202001 DROP COLUMN played_at;
SELECT is(problems('manifest', 'copy.play_event_p202001'), 'table play_event_p202001 lacks columns played_at', 'P11: a missing column is found');

-- The manifest
DELETE FROM manifest WHERE entry = 2;
SELECT is(problems('manifest', 'play_event_p202001'), 'manifest: entry 2 is missing', 'P11: an entry that was taken out is found');
DELETE FROM manifest;
INSERT INTO manifest SELECT * FROM play_manifest;
UPDATE manifest SET n = 28 WHERE entry = 1;
SELECT is(problems('manifest', 'play_event_p202002'), 'manifest: entry 1 was changed', 'P11: a changed entry is found');
DELETE FROM manifest;
INSERT INTO manifest SELECT CASE entry WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE entry END, m.action, m.part, m.since, m.until, m.n, m.id_column, m.first_id, m.last_id, m.columns, m.digest, m.counters, m.retired, m.reason, m.noted_at, m.noted_by, m.previous, m.hash FROM play_manifest m;
SELECT is(problems('manifest', 'play_event_p202001'),
    'manifest: entry 1 was changed; manifest: entry 2 was changed; manifest: entry 3 does not follow the one before', 'P11: entries that were reordered are found');

-- The log goes on, with further columns.
ALTER TABLE play_event ADD COLUMN country text, ALTER COLUMN country SET DEFAULT 'NO';
SELECT is(problems('play_event', t), NULL, format('P11: %s is as it was, whatever columns the log got', t))
  FROM unnest('{play_event_p202001,play_event_p202003}'::regclass[]) t;
SELECT is(playevent.retire('play_event', '2020-04-01 00:00Z'), 1, 'P11: one that was sealed before is retired');
SELECT is(problems('play_event', 'play_event_p202003'), NULL, 'P11: and is as it was');
SELECT set_eq('TABLE play_counter', 'TABLE total', 'P11: no total has changed');

-- What knows event_ids
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', gen_random_uuid()), ('k2', 'most', gen_random_uuid());
SELECT is(problems('play_event', NULL), NULL, 'P11: event_ids are known');
ALTER TABLE play_event_key DISABLE TRIGGER ALL;
DELETE FROM play_event_key WHERE id = (SELECT max(id) FROM play_event);
ALTER TABLE play_event_key ENABLE TRIGGER ALL;
SELECT is(problems('play_event', NULL), 'event_ids of 1 plays are not known any more: sent again, they would be recorded again', 'P7: one that is missing shows');
DROP TRIGGER playevent_dedupe ON play_event;
SELECT playevent.attach_log('play_event', track => 'track', partition_by => 'month') AS made \gset
SELECT is(problems('play_event', NULL), NULL, 'P7: attach_log mends that, once the trigger is dropped');

-- Equal keys that look different in each partition, which have no digest
SELECT playevent.create_log('spun', track => 'track', partition_by => 'month') AS made \gset
ALTER TABLE spun_event ADD COLUMN speed numeric, ADD COLUMN side int, ADD COLUMN code bpchar;
SELECT playevent.add_counter('spun_event', 'spun_by_code', '{code}') AS made \gset
SELECT playevent.add_counter('spun_event', 'spun_by_speed', '{speed}') AS made \gset
SELECT playevent.add_counter('spun_event', 'spun_by_side', '{side}') AS made \gset
SELECT count(playevent.make_partition('spun_event', 'spun_event_p20200' || i, format('''2020-0%s-01 00:00Z''', i), format('''2020-0%s-01 00:00Z''', i + 1))) AS made
  FROM generate_series(1, 3) i \gset
INSERT INTO spun_event (track_entry_key, bucket, created_at, speed, side, code) VALUES
    ('k1', 'most', '2020-01-02Z', 1.0, 1, 'x'), ('k1', 'most', '2020-02-02Z', 1.00, 1, 'x ');
SELECT playevent.seal('spun_event', '2020-03-01 00:00Z') AS sealed, playevent.retire('spun_event', '2020-03-01 00:00Z') AS retired \gset
SELECT is(problems('spun_event', t), NULL, format('P11: %s is as it was, though what is equal looks different', t))
  FROM unnest('{NULL,spun_event_p202001,spun_event_p202002}'::regclass[]) t;
SELECT results_eq('TABLE spun_by_speed', 'VALUES (1.0, 2::bigint)', 'P11: which is counted as one');

-- A column that was made longer meanwhile
ALTER TABLE spun_event ALTER COLUMN track_entry_key TYPE varchar(300);
INSERT INTO spun_event (track_entry_key, bucket, created_at) VALUES (repeat('k', 150), 'most', '2020-03-02Z');
SELECT playevent.seal('spun_event', '2020-04-01 00:00Z') AS sealed \gset
SELECT is(playevent.retire('spun_event', '2020-04-01 00:00Z'), 1, 'P11: longer keys are retired');
SELECT results_eq($$SELECT sum(spuns) FROM spun_counter WHERE length(track_entry_key) = 150$$, 'VALUES (1::numeric)', 'P11: and counted');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute WHERE attrelid = ANY ('{spun_counter_slot,spun_counter_retired}'::regclass[]) AND atttypmod >= 0$$,
    'P7: a dump is restored, for slots have no lengths');
SELECT is(problems('spun_event', NULL), NULL, 'P11: all is as it was');
ALTER TABLE spun_by_side_retired DISABLE TRIGGER ALL;
UPDATE spun_by_side_retired SET spuns = spuns + 1;
SELECT is(problems('spun_event', NULL), 'counter by side: what was retired is not what the manifest says', 'P11: of other keys a changed count is found');

-- A counted column of another type, as OPERATIONS has it
CREATE FUNCTION hint_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN hint;
END
$$;
SELECT playevent.create_log('grown', track => 'track', partition_by => 'month') AS made \gset
ALTER TABLE grown_event ADD COLUMN side int;
SELECT playevent.add_counter('grown_event', 'grown_by_side', '{side}') AS made \gset
SELECT playevent.make_partition('grown_event', 'grown_event_p202001', $$'2020-01-01 00:00Z'$$, $$'2020-02-01 00:00Z'$$) AS made \gset
INSERT INTO grown_event (track_entry_key, bucket, created_at, side) VALUES ('k1', 'most', '2020-01-02Z', 1);
SELECT playevent.seal('grown_event', '2020-02-01 00:00Z') AS sealed, playevent.retire('grown_event', '2020-02-01 00:00Z') AS retired \gset
INSERT INTO grown_event (track_entry_key, bucket, side) VALUES ('k1', 'most', 1);
ALTER TABLE grown_event ALTER COLUMN side TYPE bigint;
SELECT throws_like($$INSERT INTO grown_event (track_entry_key, bucket) VALUES ('k1', 'most')$$,
    'column "side" of table "grown_event_p%" has type bigint, but column "side" of table "grown_by_side_slot" has type integer',
    'P3: no play goes uncounted where types have parted');
SELECT is(hint_of($$INSERT INTO grown_event (track_entry_key, bucket) VALUES ('k1', 'most')$$),
    'Undo the change that led here, or drop table "grown_by_side_slot" with CASCADE and call playevent.attach_log for table "grown_event" again, which counts anew.',
    'P10: the hint names the log, not its partition');
DROP TABLE grown_by_side_slot CASCADE;
ALTER TABLE grown_by_side_retired ALTER COLUMN side TYPE bigint;
SELECT playevent.attach_log('grown_event', track => 'track', partition_by => 'month', created_column => 'created_at') AS made \gset
INSERT INTO grown_event (track_entry_key, bucket, side) VALUES ('k1', 'most', 1 + 2::bigint ^ 40);
SELECT results_eq('SELECT * FROM grown_by_side ORDER BY side', 'VALUES (1::bigint, 2::bigint), (1099511627777, 1)',
    'P11: a counter whose column has another type counts on, and what was retired with it');
SELECT is(problems('grown_event', t), NULL, format('P11: %s is as it was, though a type is another', t))
  FROM unnest('{NULL,grown_event_p202001}'::regclass[]) t;

-- Against the grain
ALTER TABLE play_counter_retired DISABLE TRIGGER ALL;
UPDATE play_counter_retired SET plays = plays + 1 WHERE track_entry_key = 'k2';
ALTER TABLE play_counter_retired ENABLE TRIGGER ALL;
SELECT is(problems('play_event', 'play_event_p202001'),
    'counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says', 'P11: a changed count is found');
SELECT is(problems('play_event', NULL), 'counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says',
    'P11: with no archive at hand, too');
ALTER TABLE play_manifest DISABLE TRIGGER ALL;
DELETE FROM play_manifest;
ALTER TABLE play_manifest ENABLE TRIGGER ALL;
SELECT is(problems('play_event', 'play_event_p202001'),
    'counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says; counter by track_entry_key, release_id, day: what was retired is not what the manifest says; manifest: no entry tells of table play_event_p202001',
    'P11: a manifest that was emptied is found');
SELECT throws_ok($$SELECT * FROM playevent.verify_archive('track', 'play_event_p202001')$$, '55000', 'table "track" is no manifest, and has none',
    'P11: neither a log nor a manifest');
CREATE VIEW manifest_view AS TABLE manifest;
SELECT throws_ok($$SELECT * FROM playevent.verify_archive('manifest_view', 'play_event_p202001')$$, '55000', 'table "manifest_view" is no manifest, and has none',
    'P8: nor a view');

SELECT * FROM finish();
ROLLBACK;
