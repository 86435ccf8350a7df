-- P1 and P3: playevent.log.intact notices every trigger of a log that is gone or
-- does not always fire, and attach_log mends it.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;

CREATE SCHEMA intact;
SET search_path = intact, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1);
CREATE TABLE play_event (
    track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, month int NOT NULL
) PARTITION BY LIST (month);
CREATE TABLE play_1 PARTITION OF play_event FOR VALUES IN (1);
CREATE TABLE play_2 PARTITION OF play_event FOR VALUES IN (2) PARTITION BY LIST (bucket);
CREATE TABLE play_2_most PARTITION OF play_2 FOR VALUES IN ('most');
SELECT playevent.attach_log('play_event', track => 'track');

CREATE TABLE harm (statement text PRIMARY KEY, ord int GENERATED ALWAYS AS IDENTITY);
INSERT INTO harm (statement)
SELECT format('ALTER TABLE %s %s TRIGGER %s', rel, how, trigger)
  FROM unnest('{play_event,play_1,play_2,play_2_most}'::text[]) AS rel,
       unnest('{DISABLE,ENABLE REPLICA}'::text[]) AS how,
       unnest('{playevent_append_only,playevent_append_only_truncate,playevent_resolve,playevent_count}'::text[]) AS trigger;
INSERT INTO harm (statement) VALUES
    ('ALTER TABLE play_1 ENABLE TRIGGER playevent_append_only'),
    ('ALTER TABLE play_2 ENABLE TRIGGER playevent_count'),
    ('ALTER TABLE play_event DISABLE TRIGGER playevent_flush'),
    ('ALTER TABLE play_counter_slot DISABLE TRIGGER playevent_slot_guard'),
    ('ALTER TABLE play_counter_slot ENABLE TRIGGER playevent_slot_guard_row'),
    ('DROP TRIGGER playevent_slot_guard ON play_counter_slot'),
    ('DROP TRIGGER playevent_append_only ON play_event'),
    ('DROP TRIGGER playevent_append_only_truncate ON play_2_most'),
    ('DROP TRIGGER playevent_resolve ON play_event'),
    ('DROP TRIGGER playevent_count ON play_event'),
    ('DROP TRIGGER playevent_flush ON play_event');

SELECT plan(2 + 2 * count(*)::int) FROM harm;

SELECT is((SELECT array_agg(intact) FROM playevent.log WHERE event = 'play_event'::regclass), '{true}',
    'P1: a log is intact as it was made');

CREATE FUNCTION do_harm(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN NEXT is((SELECT array_agg(intact) FROM playevent.log WHERE event = 'play_event'::regclass), '{false}',
        'P1: not intact after ' || statement);
    PERFORM playevent.attach_log('play_event', track => 'track');
    RETURN NEXT is((SELECT array_agg(intact) FROM playevent.log WHERE event = 'play_event'::regclass), '{true}',
        'P1: attach_log mends ' || statement);
END
$$;
SELECT t.* FROM (SELECT statement FROM harm ORDER BY ord) h, do_harm(h.statement) t;

INSERT INTO play_event VALUES ('a', NULL, 'most', 1), ('a', NULL, 'most', 2);
SELECT is((SELECT count(*) FROM playevent.verify('play_event')), 0::bigint, 'P3: and counts as before');

SELECT * FROM finish();
ROLLBACK;
