-- P3, P10: a play that is sent again is recorded and counted once, in whichever
-- partition the first one is, and whichever way it comes.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();

CREATE SCHEMA keyed;
SET search_path = keyed, public;
\ir include/differences.sql
\ir include/partitioned.sql
CREATE FUNCTION e(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION m(n int) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT array_fill('most'::text, ARRAY[n]) $$;
SELECT make_partitioned('play');
-- how many rows an event_id has, of those that have one
CREATE FUNCTION tally() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s:%s', n, rows), ' ' ORDER BY n)
      FROM (SELECT ltrim(replace(event_id::text, '-', ''), '0')::int AS n, count(*) AS rows
              FROM play_event WHERE event_id IS NOT NULL GROUP BY 1) t
$$;
-- what the key table and the log don't agree on
CREATE FUNCTION unlike() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT d::text FROM (
        (SELECT event_id, id, created_at FROM play_event WHERE event_id IS NOT NULL EXCEPT ALL TABLE play_event_key)
        UNION ALL (TABLE play_event_key EXCEPT ALL SELECT event_id, id, created_at FROM play_event WHERE event_id IS NOT NULL)) d
$$;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P10: the log is intact');
SELECT is((SELECT count(*) FROM playevent.triggers('play_event') WHERE name = 'playevent_dedupe'), 1::bigint, 'P3: it has the trigger');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgname = 'playevent_dedupe' AND tgenabled = 'A'), 4::bigint, 'P3: which fires ALWAYS on each partition');
SELECT is((SELECT tgenabled FROM pg_trigger WHERE tgname = 'playevent_dedupe' AND tgrelid = 'play_event'::regclass), 'D', 'P7: and is there to be inherited');

--
-- each way of inserting
--

INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(1));
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(1));
SELECT is(tally(), '1:1', 'P3: a plain INSERT of a known event_id inserts nothing');
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(1)) ON CONFLICT DO NOTHING;
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(2)) ON CONFLICT DO NOTHING;
SELECT is(tally(), '1:1 2:1', 'P3: nor does ON CONFLICT DO NOTHING');
SELECT is((SELECT count(*) FROM keyed.play_event), 2::bigint);
INSERT INTO play_event (track_entry_key, bucket, event_id)
    VALUES ('k1', 'most', e(3)), ('k2', 'most', e(3)), ('k1', 'most', e(1)), ('k1', 'most', e(4)), ('k1', 'most', NULL), ('k1', 'most', NULL);
SELECT is(tally(), '1:1 2:1 3:1 4:1', 'P3: of several rows of one event_id the first is recorded');
SELECT is((SELECT track_entry_key FROM play_event WHERE event_id = e(3)), 'k1', 'P3: and no other');
SELECT is((SELECT count(*) FROM play_event WHERE event_id IS NULL), 2::bigint, 'P3: rows without an event_id are all recorded');
INSERT INTO play_event (track_entry_key, bucket, event_id) SELECT 'k2', 'most', e(n % 3 + 4) FROM generate_series(1, 9) n;
SELECT is(tally(), '1:1 2:1 3:1 4:1 5:1 6:1', 'P3: INSERT ... SELECT');
COPY play_event (track_entry_key, bucket, event_id) FROM STDIN;
k1	most	00000000-0000-0000-0000-000000000001
k1	most	00000000-0000-0000-0000-000000000007
k1	most	00000000-0000-0000-0000-000000000007
\.
SELECT is(tally(), '1:1 2:1 3:1 4:1 5:1 6:1 7:1', 'P3: COPY');
INSERT INTO play_1 (id, track_entry_key, bucket, event_id, created_at) OVERRIDING SYSTEM VALUE
    SELECT 1000 + n, 'k1', 'most', e(n), date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '40 days' FROM unnest(ARRAY[1, 8, 8]) n;
SELECT is(tally(), '1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1', 'P3: straight into another partition');
INSERT INTO play_event (track_entry_key, bucket, event_id, created_at)
    SELECT 'k1', 'most', e(9), date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + make_interval(months => n, days => 3) FROM generate_series(-2, 1) n;
SELECT is((SELECT tally() || ' ' || count(DISTINCT tableoid) FROM play_event), '1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1 2', 'P3: across partitions, by INSERT');
SELECT is_empty('SELECT differences()', 'P3: and all are counted once');
SELECT is_empty('SELECT unlike()', 'P3: the key table has each of them, with its id and time');

--
-- what records
--

SELECT record_play('k1', 'most', e(10)) AS first \gset
SELECT is(record_play('k2', 'most', e(10)), :first::bigint, 'P3: record_play returns the first id');
SELECT is(record_play('k1', 'most', e(8)), 1008::bigint, 'P3: which is in another partition');
SELECT isnt(record_play('k1', 'most'), record_play('k1', 'most'), 'P3: without an event_id, each is another play');
SELECT results_eq($$SELECT ord, status, id = 1008 FROM record_plays(ARRAY['k1', 'k1', 'k2', 'k1'], m(4), ARRAY[e(11), e(8), e(12), e(11)])$$,
    $$VALUES (1, 'recorded', false), (2, 'duplicate', true), (3, 'recorded', false), (4, 'duplicate', false)$$,
    'P3: receipts of a batch');
SELECT results_eq($$SELECT r.status, r.id = p.id FROM record_plays(ARRAY['k1', 'k1', 'k2'], m(3), ARRAY[e(12), e(11), e(13)]) r
                      LEFT JOIN play_event p ON p.event_id = (ARRAY[e(12), e(11), e(13)])[r.ord] ORDER BY ord$$,
    $$VALUES ('duplicate', true), ('duplicate', true), ('recorded', NULL)$$, 'P3: and of the batch after');
SELECT results_eq($$SELECT status, reason FROM record_plays(ARRAY['k1', NULL, 'k2'], m(3), ARRAY[e(14), e(15), e(15)]) ORDER BY ord$$,
    $$VALUES ('recorded', NULL), ('rejected', 'no key'), ('recorded', NULL)$$, 'P9: a rejected row leaves no event_id');
SELECT is_empty('SELECT differences()', 'P3: all is counted once');
SELECT is_empty('SELECT unlike()', 'P3: and the key table is right');

--
-- what is rolled back
--

SAVEPOINT a;
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(20));
ROLLBACK TO a;
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k2', 'most', e(20));
SELECT is((SELECT track_entry_key FROM play_event WHERE event_id = e(20)), 'k2', 'P3: an event_id that was rolled back may come again');
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(21)), ('k1', NULL, e(22))$$, '23502');
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(21));
SELECT is((SELECT count(*) FROM play_event WHERE event_id IN (e(21), e(22))), 1::bigint, 'P3: so may one of a statement that failed');
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, event_id, created_at) VALUES ('k1', 'most', e(23), '1999-01-01')$$, '23514');
SELECT is_empty('SELECT unlike()', 'P3: one without a partition leaves none');

-- The app's own trigger leaves rows out, before ours and after.
CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN NEW.anon_id = 'robot' THEN NULL ELSE NEW END;
END
$$;
CREATE TRIGGER a_robots BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION leave_out();
INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id) VALUES ('k1', 'most', e(24), 'robot');
SELECT is_empty('SELECT unlike()', 'P3: a row that was left out before leaves no event_id');
ALTER TRIGGER a_robots ON play_event RENAME TO robots;
SELECT results_eq($$SELECT status, reason FROM record_plays(ARRAY['k1', 'k1'], m(2), ARRAY[e(24), e(25)], ARRAY['robot', NULL])$$,
    $$VALUES ('rejected', 'left out by a trigger'), ('recorded', NULL)$$, 'P3: a receipt tells of one that was left out afterwards');
INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id) VALUES ('k1', 'most', e(26), 'robot');
SELECT is(record_play('k1', 'most', e(27), 'robot'), NULL, 'P9: a play that was left out has no id');
SELECT is(record_play('k1', 'most', e(27), 'robot'), NULL, 'P9: whenever it is sent again');
INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id) VALUES ('k1', 'most', e(28), 'robot'), ('k1', 'most', e(28), 'human'), ('k1', 'most', e(28), NULL);
SELECT is_empty('SELECT anon_id FROM play_event WHERE event_id = e(28)', 'P3: the others of a statement are taken for retries');
INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id) VALUES ('k1', 'most', e(28), 'human');
SELECT results_eq('SELECT anon_id FROM play_event WHERE event_id = e(28)', ARRAY['human'], 'P3: but not those of the next');
DROP TRIGGER robots ON play_event;
SELECT results_eq($$SELECT status, reason FROM record_plays(ARRAY['k1', 'k1'], m(2), ARRAY[e(24), e(25)])$$,
    $$VALUES ('recorded', NULL), ('duplicate', NULL)$$, 'P9: what was left out is recorded once it may be');
SELECT record_play('k1', 'most', e(27)) AS recorded \gset
SELECT is((SELECT id FROM play_event WHERE event_id = e(27)), :recorded::bigint, 'P9: by itself, too');
SELECT is(record_play('k1', 'most', e(27)), :recorded::bigint, 'P3: which a retry finds');
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(26)), ('k1', 'most', e(26));
SELECT is((SELECT count(*) FROM play_event WHERE event_id IN (e(24), e(25), e(26), e(27))), 4::bigint, 'P3: and once');

-- An empty partition that was sealed has no row of it, other than one that stands for what was retired.
CREATE TABLE early PARTITION OF play_event FOR VALUES FROM ('2003-01-01 00:00Z') TO ('2003-02-01 00:00Z');
CREATE TRIGGER robots BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION leave_out();
INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id, created_at) VALUES ('k1', 'most', e(63), 'robot', '2003-01-05');
DROP TRIGGER robots ON play_event;
SELECT playevent.close_partition('early', '\x00');
SELECT record_play('k1', 'most', e(63)) AS recorded \gset
SELECT results_eq('SELECT id FROM play_event WHERE event_id = e(63)', ARRAY[:recorded::bigint], 'P9: what was left out of a month without plays is recorded after its seal');

-- A receipt says duplicate of what is there, and of nothing else.
CREATE TRIGGER robots BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION leave_out();
INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id) VALUES ('k1', 'most', e(61), 'robot');
CREATE TRIGGER a_robots BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION leave_out();
SELECT results_eq($$SELECT status, reason FROM record_plays(ARRAY['k1', 'k1'], m(2), ARRAY[e(61), e(25)], ARRAY['robot', NULL])$$,
    $$VALUES ('rejected', 'left out by a trigger'), ('duplicate', NULL)$$, 'P9: left out once behind the event_id, and once before');
DROP TRIGGER robots ON play_event;
DROP TRIGGER a_robots ON play_event;
SELECT is((SELECT status FROM record_plays(ARRAY['k1'], m(1), ARRAY[e(61)])), 'recorded', 'P9: and recorded once it may be');

-- The app gives ids of its own, behind ours.
SAVEPOINT s;
CREATE SEQUENCE snowflake START 1000000;
CREATE FUNCTION set_id() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.id := nextval('snowflake'); RETURN NEW; END$$;
CREATE TRIGGER set_id BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION set_id();
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(62));
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(62));
SELECT is((SELECT count(*) FROM play_event WHERE event_id = e(62)), 1::bigint, 'P3: a retry of a row that has got another id is not recorded');
SELECT is(record_play('k1', 'most', e(62)), 1000000::bigint, 'P9: and is told the id that the row has');
SELECT results_eq($$SELECT status, id FROM record_plays(ARRAY['k1'], m(1), ARRAY[e(62)])$$, $$VALUES ('duplicate', 1000000::bigint)$$, 'P9: by a receipt, too');
CREATE INDEX by_event_id ON play_event (event_id);
SELECT is((SELECT status FROM record_plays(ARRAY['k1'], m(1), ARRAY[e(62)])), 'duplicate', 'P3: and a receipt says so');
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(62));
SELECT is((SELECT count(*) FROM play_event WHERE event_id = e(62)), 1::bigint, 'P3: with an index, too');
ROLLBACK TO s;

-- ON CONFLICT because of another index does so, too; in another partition, where retries don't conflict.
CREATE UNIQUE INDEX ON play_event (anon_id, created_at);
INSERT INTO play_event (track_entry_key, bucket, anon_id, created_at) VALUES ('k1', 'most', 'a', now() - interval '30 days');
INSERT INTO play_event (track_entry_key, bucket, event_id, anon_id, created_at) VALUES ('k1', 'most', e(29), 'a', now() - interval '30 days')
    ON CONFLICT DO NOTHING;
SELECT is(record_play('k1', 'most', e(29), 'a'), record_play('k1', 'most', e(29), 'a'), 'P9: one that conflicted may come again');
SELECT is((SELECT count(*) FROM play_event WHERE event_id = e(29)), 1::bigint, 'P3: and is recorded once');
SELECT is_empty('SELECT unlike()', 'P3: no event_id of them is left');

--
-- event_ids that are forgotten
--

INSERT INTO play_event (track_entry_key, bucket, event_id, created_at)
    SELECT 'k1', 'most', e(30 + n), now() - make_interval(days => 20 + n) FROM generate_series(1, 15) n;
SELECT is(playevent.forget_event_keys('play_event', 2), 2::bigint, 'P3: no more event_ids are forgotten than asked for');
SELECT is(playevent.forget_event_keys('play_event', 1000) BETWEEN 2 AND 6, true, 'P3: then all that are old');
SELECT is(playevent.forget_event_keys('play_event', 1000), 0::bigint, 'P3: and no others');
SELECT is_empty($$SELECT FROM play_event_key WHERE created_at < now() - interval '30 days'$$, 'P3: the old ones are gone');
SELECT isnt_empty($$SELECT FROM play_event_key WHERE created_at < now() - interval '29 days'$$, 'P3: the rest is kept');
INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(45)), ('k1', 'most', e(31));
SELECT is((SELECT string_agg(n::text, ' ' ORDER BY event_id) FROM (SELECT event_id, count(*) AS n FROM play_event WHERE event_id IN (e(31), e(45)) GROUP BY 1) t),
    '1 2', 'P3: a play that is sent again after that counts again');
SELECT is_empty('SELECT differences()', 'P3: and all is counted');

--
-- rows that are there before the log is one, and a log that is mended
--

SET LOCAL client_min_messages = warning;
DROP EXTENSION playevent CASCADE;
INSERT INTO play_event (track_entry_key, bucket, event_id, day) VALUES ('k1', 'most', e(50), '2020-01-01'), ('k1', 'most', e(50), '2020-01-01');
CREATE EXTENSION playevent;
SELECT playevent.attach_log('play_event', track => 'track', kinds => '{partial,most,complete}', created_column => 'created_at');
SELECT is((SELECT id FROM play_event_key WHERE event_id = e(50)), (SELECT min(id) FROM play_event WHERE event_id = e(50)),
    'P3: the first id of an event_id that was there twice');
SELECT is_empty($$SELECT FROM play_event_key WHERE created_at < now() - interval '30 days'$$, 'P3: none that is old');
SELECT is((SELECT count(*) FROM (SELECT event_id FROM play_event WHERE created_at >= now() - interval '30 days' AND event_id IS NOT NULL
                                 EXCEPT SELECT event_id FROM play_event_key) t), 0::bigint, 'P3: and all that are not');
SELECT is(record_play('k1', 'most', e(50)), (SELECT min(id) FROM play_event WHERE event_id = e(50)), 'P3: record_play works again');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P10: the log is intact again');

--
-- names that change
--

ALTER TABLE play_event_key RENAME TO keys_of_plays;
SELECT is(record_play('k1', 'most', e(51)), record_play('k1', 'most', e(51)), 'P10: a key table that is renamed is followed');
CREATE SCHEMA keyed_too;
ALTER TABLE keys_of_plays SET SCHEMA keyed_too;
SELECT is(record_play('k1', 'most', e(51)), record_play('k1', 'most', e(51)), 'P10: so is one that is moved');
ALTER TABLE play_event RENAME TO listen_event;
SELECT is(record_play('k1', 'most', e(51)), record_play('k1', 'most', e(51)), 'P10: and a log that is renamed');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'listen_event'::regclass), true, 'P10: which is intact');
ALTER TABLE listen_event RENAME TO play_event;
SELECT results_eq($$SELECT status FROM record_plays(ARRAY['k1', 'k1'], m(2), ARRAY[e(51), e(52)])$$, $$VALUES ('duplicate'), ('recorded')$$, 'P10: batches too');
ALTER TABLE keyed_too.keys_of_plays SET SCHEMA keyed;
ALTER TABLE keys_of_plays RENAME TO play_event_key;

-- a partition with its columns in another order
CREATE TABLE odd (created_at timestamptz NOT NULL, event_id uuid, gone int, day date NOT NULL, anon_id text, bucket text NOT NULL, release_id bigint,
                  track_entry_key varchar(100) NOT NULL, id bigint NOT NULL);
ALTER TABLE odd DROP COLUMN gone;
SELECT format('ALTER TABLE odd ADD CONSTRAINT playevent_kinds %s', pg_get_constraintdef(oid)) FROM pg_constraint
 WHERE conrelid = 'play_event'::regclass AND conname = 'playevent_kinds' \gexec
ALTER TABLE play_event ATTACH PARTITION odd FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
INSERT INTO play_event (track_entry_key, bucket, event_id, created_at) VALUES ('k1', 'most', e(60), '2001-05-01'), ('k1', 'most', e(51), '2001-05-01');
SELECT is((SELECT format('%s %s', count(*), min(k.created_at AT TIME ZONE 'UTC')) FROM odd JOIN play_event_key k USING (event_id, id)), '1 2001-05-01 00:00:00', 'P3: columns are found by name');

-- A batch has one time, by which an index may begin that tells of ids.
CREATE TABLE listen_event (id bigint GENERATED BY DEFAULT AS IDENTITY, event_id uuid, track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL,
                           created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (created_at, id)) PARTITION BY RANGE (created_at);
CREATE TABLE listen_all PARTITION OF listen_event DEFAULT;
SELECT playevent.attach_log('listen_event', 'track', kinds => '{most}');
INSERT INTO listen_event (track_entry_key, bucket, event_id) SELECT 'k1', 'most', e(n) FROM generate_series(1, 300) n;
SELECT pg_stat_get_xact_tuples_returned('listen_all_pkey'::regclass) AS read \gset
INSERT INTO listen_event (track_entry_key, bucket, event_id) SELECT 'k1', 'most', e(n) FROM generate_series(1, 300) n;
SELECT is((SELECT count(*) FROM listen_event), 300::bigint, 'P3: the retry of a batch is known where rows are found by their time');
SELECT cmp_ok(pg_stat_get_xact_tuples_returned('listen_all_pkey'::regclass) - :read, '<', 3000::bigint, 'P8: and not all of the batch is read for each');

--
-- a key table that is not as it was made
--

CREATE FUNCTION broken(what text, command text, sqlstate text, message text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE command;
        RETURN NEXT throws_ok('INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES (''k1'', ''most'', e(70))', sqlstate, message, 'P10: ' || what);
        RAISE EXCEPTION USING ERRCODE = 'PE000';
    EXCEPTION WHEN SQLSTATE 'PE000' THEN
        NULL;
    END;
END
$$;
SELECT broken('a key table that is gone', 'DROP TABLE play_event_key', '42P01', 'table "play_event_key" does not exist');
SELECT broken('one that is renamed and replaced', 'SET LOCAL session_replication_role = replica; ALTER TABLE play_event_key RENAME COLUMN id TO no', '42703', 'column "id" of table "play_event_key" does not exist');
SELECT broken('a column more', 'ALTER TABLE play_event_key ADD more int', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('another type', 'ALTER TABLE play_event_key DROP COLUMN id; ALTER TABLE play_event_key ADD id int', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('a CHECK', 'ALTER TABLE play_event_key ADD CHECK (id > 0)', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('a column that is not null', 'ALTER TABLE play_event_key ALTER id SET NOT NULL', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('a second unique index', 'CREATE UNIQUE INDEX ON play_event_key (id)', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('no index', 'ALTER TABLE play_event_key DROP CONSTRAINT play_event_key_pkey', '42704', 'table "play_event_key" has no unique index on column "event_id"');
SELECT broken('an index with a predicate', 'CREATE INDEX ON play_event_key (id) WHERE id > 0', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('an index on an expression', 'CREATE INDEX ON play_event_key ((id + 1))', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('another kind of index', 'CREATE INDEX ON play_event_key USING brin (created_at)', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('an unlogged one', 'ALTER TABLE play_event_key SET UNLOGGED', '55000', 'table "play_event_key" can''t keep the event_ids of table "play_event"');
SELECT broken('no guard', 'DROP TRIGGER playevent_slot_guard ON play_event_key; DROP TRIGGER playevent_slot_guard_row ON play_event_key',
    '55000', 'table "play_event_key" does not say that it keeps the event_ids of table "play_event"');
SELECT broken('a guard that says otherwise',
    $$CREATE OR REPLACE TRIGGER playevent_slot_guard_row BEFORE INSERT OR UPDATE OR DELETE ON play_event_key FOR EACH ROW
      EXECUTE FUNCTION playevent.slot_guard('play_event', 'dedupe', 'event_id', 'id', 'created_at', '1 day')$$,
    '55000', 'table "play_event_key" does not say that it keeps the event_ids of table "play_event"');
SELECT lives_ok($$INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', e(70))$$, 'P10: and as it was made it works');
CREATE INDEX ON play_event_key (created_at);
SELECT is(record_play('k1', 'most', e(71)), record_play('k1', 'most', e(71)), 'P10: a plain index does no harm');
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM play_event_key WHERE created_at = now() AND event_id = e(71)), 1::bigint, 'P10: and has all entries');
SELECT throws_ok('INSERT INTO play_event_key VALUES (e(99), 1, now())', '23001', 'table "play_event_key" is written by playevent alone', 'P1: nobody else writes to it');
SELECT throws_ok('DELETE FROM play_event_key', '23001', NULL, 'P1: nor deletes');
SELECT throws_ok('TRUNCATE play_event_key', '23001', NULL, 'P1: nor truncates');
DROP TRIGGER playevent_slot_guard_row ON play_event_key;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P10: without a guard the log is not intact');

-- A table that is somebody's
DROP TABLE play_event CASCADE;
DROP TABLE IF EXISTS play_event_key, play_counter_slot, play_daily_slot CASCADE;
CREATE TABLE play_event_key (event_id uuid PRIMARY KEY, id bigint, created_at timestamptz CHECK (true));
SELECT throws_ok($$SELECT make_partitioned('play')$$, '55000', 'table "play_event_key" is there already, and can''t keep the event_ids of table "play_event"', 'P10: a table of the app''s is not taken over');
SELECT * FROM finish();
ROLLBACK;
