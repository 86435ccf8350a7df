-- P11: what changes a log's partitions does not run on a snapshot that may be older
-- than rows in them.

BEGIN ISOLATION LEVEL REPEATABLE READ;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(16);

CREATE SCHEMA p;
SET LOCAL search_path = p, public;
SET LOCAL client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
\ir include/months.sql
CREATE TABLE play_event (id bigint NOT NULL, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL, created_at timestamptz NOT NULL)
    PARTITION BY RANGE (created_at);
SELECT make_months('play_event');
SELECT format('CREATE TABLE now PARTITION OF play_event FOR VALUES FROM (%L) TO (%L)', month(0), month(1)) \gexec
SELECT lives_ok($$SELECT playevent.attach_log('play_event', 'track', kinds => '{most}', created_column => 'created_at', id_column => 'id')$$, 'P11: a log can be made');
SELECT alike(failure(statement), '25001 cannot change the partitions of table "play_event" in a transaction with a snapshot of its own%', 'P11: not ' || statement)
  FROM unnest(ARRAY[
    $$SELECT playevent.seal('play_event', month(0))$$,
    $$SELECT playevent.retire('play_event', month(0))$$,
    $$SELECT playevent.extend('play_event')$$,
    $$SELECT playevent.set_retain('play_event', '1 year', true)$$,
    $$SELECT * FROM playevent.maintain('play_event')$$]) AS statement;
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'more', '{bucket}')$$, '25001',
    'cannot add a counter to table "play_event" in a transaction with a snapshot of its own', 'P11: nor is a counter made, which would lack what was retired meanwhile');
SELECT alike(failure($$DROP TRIGGER playevent_count ON play_event;
    SELECT playevent.attach_log('play_event', 'track', kinds => '{most}', created_column => 'created_at', id_column => 'id')$$),
    '25001 cannot attach table "play_event" again in a transaction with a snapshot of its own%', 'P11: nor is a log attached once more');
SELECT is((SELECT count(*)::int FROM playevent.partitions('play_event') WHERE is_sealed), 0, 'P11: nothing was done');
SELECT lives_ok($$INSERT INTO play_event VALUES (1, 'k', NULL, 'most', month(-1)), (2, 'k', NULL, 'most', now())$$, 'P11: but rows are recorded');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P11: and verify looks at them');
SELECT is((SELECT sum(plays) FROM play_counter), 2::numeric, 'P11: they are counted');
SELECT lives_ok($$SELECT * FROM playevent.rebuild('play_event')$$, 'P11: rebuild looks at the latest');
SELECT is_empty($$SELECT * FROM playevent.partitions('play_event') WHERE is_sealed$$, 'P11: partitions can be told');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P11: the log is intact');
SELECT is(playevent.compact('play_event'), 0::bigint, 'P11: slots can be merged');

SELECT * FROM finish();
ROLLBACK;
