-- P11, P7 and P10: a log with sealed and retired partitions keeps its totals, is intact
-- and goes on, whatever is renamed or moved, and when the extension goes and comes back.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();

CREATE SCHEMA life;
CREATE SCHEMA "else where";
SET search_path = life, "else where", public;
SET client_min_messages = error;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 40) i;
SELECT playevent.create_log('play', track => 'track', partition_by => 'month', retain => '13 months') AS made \gset

-- Every month from 2020-01 on, with a play a day
SELECT count(playevent.make_partition('play_event', to_char(m, '"play_event_p"YYYYMM'), quote_literal(m), quote_literal(m + interval '1 month'))) AS made
  FROM generate_series('2020-01-01Z', '2022-12-01Z', interval '1 month') m \gset
INSERT INTO play_event (track_entry_key, bucket, created_at, event_id)
SELECT 'k' || 1 + i % 7, 'most', '2020-01-01 12:00Z'::timestamptz + i * interval '1 day', gen_random_uuid() FROM generate_series(1, 800) i;

-- What has been counted of each key, and what is wrong with it
CREATE TABLE total AS SELECT track_entry_key, release_id, bucket, plays FROM play_counter;
CREATE FUNCTION counted() RETURNS SETOF total LANGUAGE plpgsql AS $$
DECLARE
    counter record;
BEGIN
    SELECT counter_slot, playevent.retired_table(counter_slot) AS retired INTO STRICT counter FROM playevent.log
     WHERE event IN (SELECT event FROM playevent.counter);
    RETURN QUERY EXECUTE format(
        'SELECT track_entry_key, release_id, bucket, sum(plays)::bigint
           FROM (TABLE ONLY %s UNION ALL TABLE ONLY %s) AS parts GROUP BY 1, 2, 3', counter.counter_slot, counter.retired);
END
$$;
CREATE FUNCTION faults() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT event || ' is not intact' FROM playevent.log WHERE NOT intact
     UNION ALL
    SELECT 'there is no log' WHERE NOT EXISTS (SELECT FROM playevent.log)
     UNION ALL
    SELECT v::text FROM playevent.log, playevent.verify(event) v
     UNION ALL
    SELECT d::text FROM ((TABLE total EXCEPT SELECT * FROM counted()) UNION ALL (SELECT * FROM counted() EXCEPT TABLE total)) d
$$;

-- Each time another month is sealed and retired, beside one that was sealed before.
CREATE SEQUENCE month;
CREATE FUNCTION goes_on(what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    log regclass := (SELECT event FROM playevent.log);
    ends timestamptz := '2020-01-01Z'::timestamptz + nextval('month') * interval '1 month';
    part regclass := (SELECT p.part FROM playevent.partitions(log) p WHERE p.until = ends);
BEGIN
    RETURN NEXT is_empty('SELECT * FROM faults()', format('P11: %s: intact, exact, and no total has changed', what));
    RETURN NEXT is((SELECT count(*)::int FROM playevent.partitions(log) p WHERE p.is_sealed AND p.until = ends), 1,
        format('P11: %s: what was sealed is sealed', what));
    RETURN NEXT is((SELECT retain FROM playevent.log), '1 year 1 mon', format('P11: %s: the policy is as it was', what));
    RETURN NEXT is(playevent.seal(log, ends + interval '1 month'), 1, format('P11: %s: another one is', what));
    RETURN NEXT throws_ok(format('INSERT INTO %s (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %L)', log, ends - interval '1 day'),
        '55000', NULL, format('P11: %s: it takes no rows', what));
    RETURN NEXT is(playevent.retire(log, ends), 1, format('P11: %s: another one is retired', what));
    RETURN NEXT throws_ok(format('INSERT INTO %s (track_entry_key, bucket, created_at) VALUES (''k1'', ''most'', %L)', log, ends - interval '1 day'),
        '55000', NULL, format('P11: %s: nothing comes in its place', what));
    RETURN NEXT is((SELECT string_agg(problem, '; ') FROM playevent.verify_archive(log, part)), NULL, format('P11: %s: it is as it was', what));
    RETURN NEXT throws_ok(format('DELETE FROM %s', part), '23001', NULL, format('P1: %s: and stays so', what));
    RETURN NEXT is_empty('SELECT * FROM faults()', format('P11: %s: intact, exact, and no total has changed, once more', what));
    RETURN NEXT is(playevent.rebuild(log), 0::bigint, format('P11: %s: there is nothing to rebuild', what));
END
$$;

SELECT playevent.seal('play_event', '2020-02-01 00:00Z') AS made \gset
SELECT goes_on('to begin with');

ALTER TABLE play_event RENAME TO "heard once";
SELECT goes_on('the log renamed');
ALTER TABLE play_counter_slot RENAME TO "the slots";
ALTER TABLE play_daily_slot RENAME TO day_slots;
SELECT goes_on('slot tables renamed');
ALTER TABLE play_counter_retired RENAME TO "the past";
ALTER TABLE play_daily_retired RENAME TO day_past;
SELECT goes_on('tables of what was retired renamed');
ALTER TABLE play_manifest RENAME TO "it's told";
SELECT goes_on('the manifest renamed');
ALTER SCHEMA life RENAME TO "a life";
SET search_path = "a life", "else where", public;
SELECT goes_on('their schema renamed');

ALTER TABLE "the past" SET SCHEMA "else where";
SELECT goes_on('what was retired in another schema');
ALTER TABLE "the slots" SET SCHEMA "else where";
SELECT goes_on('and the slots there too');
ALTER TABLE "heard once" SET SCHEMA "else where";
SELECT goes_on('and the log');
ALTER TABLE "it's told" SET SCHEMA "else where";
ALTER TABLE track SET SCHEMA "else where";
SELECT goes_on('and the manifest');
ALTER TABLE play_event_p202104 SET SCHEMA "else where";
SELECT goes_on('a partition in another schema');
ALTER TABLE play_event_p202001 SET SCHEMA "else where";
ALTER TABLE play_event_p202002 RENAME TO archive;
SELECT is((SELECT string_agg(problem, '; ') FROM playevent.verify_archive('"heard once"', t)), NULL, format('P11: archive %s is as it was', t))
  FROM unnest(ARRAY['"else where".play_event_p202001', 'archive']::regclass[]) t;
ALTER TABLE "heard once_retired" RENAME TO place;
SELECT goes_on('the place of what was retired renamed');
ALTER SCHEMA "else where" RENAME TO elsewhere;
SET search_path = "a life", elsewhere, public;
SELECT goes_on('the other schema renamed');

-- Back to what create_log called them, for attach_log to find them
ALTER TABLE "heard once" SET SCHEMA "a life";
ALTER TABLE "heard once" RENAME TO play_event;
ALTER TABLE "it's told" SET SCHEMA "a life";
ALTER TABLE "it's told" RENAME TO play_manifest;
ALTER TABLE "the slots" SET SCHEMA "a life";
ALTER TABLE "the slots" RENAME TO play_counter_slot;
ALTER TABLE "the past" SET SCHEMA "a life";
ALTER TABLE "the past" RENAME TO play_counter_retired;
ALTER TABLE day_past RENAME TO play_daily_retired;
ALTER TABLE day_slots RENAME TO play_daily_slot;
SELECT goes_on('everything where it was');

CREATE TABLE state AS SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid, true) AS definition
  FROM pg_trigger
 WHERE tgname LIKE 'playevent%'
   AND tgrelid NOT IN (SELECT coalesce(to_regclass(part), 'archive') FROM play_manifest WHERE action = 'retire');
DROP EXTENSION playevent CASCADE;
CREATE EXTENSION playevent;
SELECT playevent.attach_log('play_event', track => 'track', partition_by => 'month', retain => '13 months', daily => true) AS made \gset
SELECT set_eq($$SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid, true) FROM pg_trigger WHERE tgname LIKE 'playevent%'$$,
    'TABLE state', 'P7: the extension gone and back: all triggers are as they were, but those of archives');
SELECT goes_on('the extension gone and back');
SELECT is((SELECT string_agg(problem, '; ') FROM playevent.verify_archive('play_event', t)), NULL, format('P11: archive %s is as it was, for all that shows', t))
  FROM unnest('{elsewhere.play_event_p202001,play_event_p202003}'::regclass[]) t;

SELECT * FROM finish();
ROLLBACK;
