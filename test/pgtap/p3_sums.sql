-- P3: sums of a column are those of the log's rows, whichever way they came; what is
-- wrong with them is found and mended (P10), what was retired stays (P11), and one
-- that is out of range is an error (P9).
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(79);
CREATE SCHEMA s;
SET LOCAL search_path = s, public;
SET LOCAL client_min_messages = error;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', NULL);
SELECT playevent.create_log('play', 'track');
CREATE DOMAIN length AS int CHECK (value < 1000000);
CREATE DOMAIN short AS length;
ALTER TABLE play_event ADD seconds int, ADD bytes bigint, ADD skips smallint, ADD cut short, ADD note text,
    ADD twice int GENERATED ALWAYS AS (skips * 2) STORED;

-- What sums differ from the log's, by a query that playevent has no part in; and what
-- verify says.
CREATE FUNCTION differs(log text DEFAULT 'play_event') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    k record;
    sums int := 0;
BEGIN
    FOR k IN SELECT c.*, (SELECT string_agg(quote_ident(u), ', ') FROM unnest(c.columns) u) AS keys
               FROM playevent.counter c WHERE event = log::regclass AND amount_column IS NOT NULL LOOP
        RETURN QUERY EXECUTE format(
            'WITH logged AS (SELECT %1$s, sum(%2$I)::bigint FROM %3$s GROUP BY %1$s HAVING sum(%2$I) <> 0)
             SELECT d::text FROM ((TABLE %4$I EXCEPT ALL TABLE logged) UNION ALL (TABLE logged EXCEPT ALL TABLE %4$I)) d',
            k.keys, k.amount_column, k.event, k.counter);
        sums := sums + 1;
    END LOOP;
    IF sums = 0 THEN
        RETURN NEXT 'no sums';
    END IF;
    RETURN QUERY SELECT v::text FROM playevent.verify(log) v;
END
$$;
CREATE FUNCTION seconds(track text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT coalesce(sum(seconds), 0) FROM play_seconds WHERE track_entry_key = track);
END
$$;

--
-- Making one
--

SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{day}', 'nothing')$$, '42703',
    'column "nothing" of table "play_event" does not exist', 'P9: a column that is none');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{day}', '')$$, '42703', NULL, 'P9: nor is nothing');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{day}', 'note')$$, '42804',
    'column "note" of table "play_event" has type text, and can''t be added up', 'P9: a text');
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{day,seconds}', 'seconds')$$, '42701',
    'column "seconds" would be both counted by and the sum', 'P9: counted by');
ALTER TABLE play_event ADD plays int;
SELECT throws_ok($$SELECT playevent.add_counter('play_event', 'x', '{day}', 'plays')$$, '42701',
    'column "plays" has the name of the log''s count', 'P9: what would pass for the count');
ALTER TABLE play_event DROP plays;
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 100), ('k1', 'most', NULL), ('k2', 'partial', 7);
SELECT is(playevent.add_counter('play_event', 'play_seconds', '{track_entry_key,day}', amount => 'seconds')::text, 'play_seconds', 'the view');
SELECT results_eq('SELECT track_entry_key::text, seconds FROM play_seconds ORDER BY 1', $$VALUES ('k1', 100::bigint), ('k2', 7)$$,
    'P3: the rows that were there are added up');
SELECT playevent.add_counter('play_event', 'play_bytes', '{release_id,bucket}', 'bytes');
SELECT playevent.add_counter('play_event', 'play_skips', '{track_entry_key}', 'skips');
SELECT playevent.add_counter('play_event', 'play_cut', '{bucket}', 'cut');
SELECT playevent.add_counter('play_event', 'play_twice', '{day}', 'twice');
SELECT playevent.add_counter('play_event', 'play_by_seconds', '{seconds}');
SELECT set_eq($$SELECT counter::text, trigger_name::text, count_column::text, columns::text, amount_column::text FROM playevent.counter
                 WHERE event = 'play_event'::regclass AND counter NOT IN ('play_counter', 'play_daily')$$,
    $$VALUES ('play_seconds', 'playevent_sum_play_seconds', 'seconds', '{track_entry_key,day}', 'seconds'),
             ('play_bytes', 'playevent_sum_play_bytes', 'bytes', '{release_id,bucket}', 'bytes'),
             ('play_skips', 'playevent_sum_play_skips', 'skips', '{track_entry_key}', 'skips'),
             ('play_cut', 'playevent_sum_play_cut', 'cut', '{bucket}', 'cut'),
             ('play_twice', 'playevent_sum_play_twice', 'twice', '{day}', 'twice'),
             ('play_by_seconds', 'playevent_count_play_by_seconds', 'plays', '{seconds}', NULL)$$, 'playevent.counter tells of them');
SELECT is((SELECT counter_slot::text FROM playevent.log WHERE event = 'play_event'::regclass), 'play_counter_slot', 'the log''s own counter is the one of plays');
SELECT throws_ok('UPDATE play_seconds_slot SET seconds = 1', '23001', NULL, 'P3: slots can''t be written');

--
-- All the ways
--

INSERT INTO play_event (track_entry_key, bucket, seconds, bytes, skips, cut) VALUES
    ('k1', 'most', 11, 9000000000, 3, 7), ('k1', 'most', NULL, NULL, NULL, NULL), ('k3', 'partial', 0, 0, 0, 0);
SELECT is(seconds('k1'), 111::bigint, 'P5: visible at once');
SELECT is(seconds('k3'), 0::bigint, 'P3: zero adds nothing');
SELECT is_empty('SELECT differs()', 'P3: after INSERT');
INSERT INTO play_event (track_entry_key, bucket, seconds, bytes, skips, cut)
SELECT 'k' || n % 3 + 1, 'most', nullif(n % 17, 5) - 6, n * 1000000::bigint, n % 5 - 2, n % 7 FROM generate_series(1, 5000) n;
SELECT is_empty('SELECT differs()', 'P3: after INSERT SELECT, and of negative ones');
COPY play_event (track_entry_key, bucket, seconds) FROM stdin;
k1	most	12
k2	partial	\N
loose	most	-4
\.
SELECT is_empty('SELECT differs()', 'P3: after COPY');
ALTER TABLE play_event ALTER seconds SET DEFAULT 30;
SELECT is((SELECT string_agg(status, ' ') FROM record_plays('{k1,k2,k1,k3}', '{most,most,most,most}', ARRAY[NULL, NULL, gen_random_uuid(), NULL])),
    'recorded recorded recorded recorded', 'a batch in bulk');
SELECT is_empty('SELECT differs()', 'P3: which is added up');
SELECT record_play('k1', 'most'), record_play_heard('k1', 0.7);
SELECT is_empty('SELECT differs()', 'P3: after single ones');
CREATE FUNCTION set_seconds() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.seconds := 45; RETURN NEW; END';
CREATE TRIGGER set_seconds BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION set_seconds();
SELECT seconds('k1') AS before \gset
SELECT is((SELECT string_agg(status, ' ') FROM record_plays('{k1,k1}', '{most,most}')), 'recorded recorded', 'a batch by statement');
SELECT is(seconds('k1') - :before, 90::bigint, 'P3: what a trigger sets is added up');
SELECT is_empty('SELECT differs()', 'P3: exact');
DROP TRIGGER set_seconds ON play_event;
ALTER TABLE play_event ALTER seconds DROP DEFAULT;
SAVEPOINT a;
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 1000);
ROLLBACK TO a;
SELECT is_empty('SELECT differs()', 'P3: after ROLLBACK TO');
SAVEPOINT a;
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 1000);
RELEASE a;
SELECT is_empty('SELECT differs()', 'P3: after RELEASE');
DO $$
BEGIN
    FOR n IN 1 .. 20 LOOP
        BEGIN
            INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', n);
            IF n % 2 = 0 THEN RAISE EXCEPTION 'even'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END
$$;
SELECT is_empty('SELECT differs()', 'P3: after exceptions');

-- A key whose values add up to zero is as good as none.
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('zero', 'most', 5);
SELECT is(seconds('zero'), 5::bigint, 'P3: something');
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('zero', 'most', -5);
SELECT is_empty($$SELECT FROM play_seconds WHERE track_entry_key = 'zero'$$, 'P3: a sum of zero is not shown');
SELECT is_empty($$SELECT FROM play_seconds_slot WHERE track_entry_key = 'zero'$$, 'P3: and has no slot');
SELECT is_empty('SELECT differs()', 'P3: exact');

-- Charts are of plays.
SELECT is((SELECT sum(plays) FROM playevent.top('play_event')), (SELECT count(*)::numeric FROM play_event), 'P3: top counts plays');
SELECT is((SELECT sum(plays) FROM playevent.series('play_event')), (SELECT count(*)::numeric FROM play_event), 'P3: so does series');

--
-- What is wrong is found and mended
--

SELECT seconds('k2') AS right \gset
ALTER TABLE play_seconds_slot DISABLE TRIGGER ALL;
UPDATE play_seconds_slot SET seconds = seconds + 100 WHERE track_entry_key = 'k2';
DELETE FROM play_seconds_slot WHERE track_entry_key = 'k1';
INSERT INTO play_seconds_slot VALUES ('nobody', '2020-01-01', -7);
SELECT set_eq($$SELECT track_entry_key, counted > logged AS more, further_key IS NOT NULL AS has_day FROM playevent.verify('play_event') WHERE counter = 'play_seconds'$$,
    $$VALUES ('k1', false, true), ('k2', true, true), ('nobody', false, true)$$, 'P3: verify finds it');
SELECT is(playevent.rebuild('play_event'), 3::bigint, 'P3: rebuild mends it');
ALTER TABLE play_seconds_slot ENABLE TRIGGER ALL;
SELECT is(seconds('k2'), :right::bigint, 'P3: as it was');
SELECT is_empty('SELECT differs()', 'P3: exact');
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 3);
SELECT playevent.compact('play_event');
SELECT is_empty('SELECT differs()', 'P4: compact changes nothing');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P10: intact');
DROP TRIGGER playevent_sum_play_seconds ON play_event;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P10: not without its trigger');
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 9);
SELECT playevent.attach_log('play_event', 'track');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P10: mended');
SELECT is_empty('SELECT differs()', 'P3: exact');

-- Names
ALTER TABLE play_event RENAME seconds TO secs;
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, '42703', NULL, 'P10: without its column it is an error');
ALTER TABLE play_event RENAME secs TO seconds;
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 2);
SELECT is_empty('SELECT differs()', 'P3: with it again, exact');
ALTER TABLE play_event RENAME TO listen;
ALTER TABLE play_seconds_slot RENAME TO "the seconds";
INSERT INTO listen (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 2);
SELECT is((SELECT intact FROM playevent.log WHERE event = 'listen'::regclass), true, 'P10: renames are followed');
SELECT is_empty($$SELECT * FROM playevent.verify('listen')$$, 'P3: exact');
ALTER TABLE listen RENAME TO play_event;
ALTER TABLE "the seconds" RENAME TO play_seconds_slot;
SELECT playevent.drop_counter('play_event', 'play_by_seconds');
ALTER TABLE play_event ALTER seconds TYPE bigint;
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 3000000000);
SELECT is_empty('SELECT differs()', 'P3: after the column was widened');

-- Plays that don't count
SELECT is(playevent.void('play_event', ARRAY(SELECT id FROM play_event WHERE seconds > 8 LIMIT 20), 'by mistake'), 20::bigint, 'P12: voided');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P12: sums are without them');
SELECT isnt_empty('SELECT differs()', 'P12: though the rows are there');
SELECT playevent.reinstate('play_event', ARRAY(SELECT event FROM play_verdict), 'they count');
SELECT is_empty('SELECT differs()', 'P12: and with them again');

--
-- Out of range
--

INSERT INTO play_event (track_entry_key, bucket, bytes) VALUES ('loose', 'complete', 9223372036854775000);
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, bytes) VALUES ('loose', 'complete', 808)$$, '22003',
    'sum in table "play_bytes_slot" out of range', 'P9: more than a slot can have');
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, bytes) SELECT 'k1', 'complete', 5000000000000000000 FROM generate_series(1, 2)$$, '22003',
    'sum in table "play_bytes_slot" out of range', 'P9: more than a statement can have');
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, bytes) SELECT 'k1', 'complete', -5000000000000000000 FROM generate_series(1, 2)$$, '22003',
    'sum in table "play_bytes_slot" out of range', 'P9: or less');
ALTER TABLE play_event ALTER bytes SET DEFAULT 1000;
SELECT throws_ok($$SELECT * FROM record_plays('{loose,loose}', '{complete,complete}')$$, '22003',
    'sum in table "play_bytes_slot" out of range', 'P9: which is no fault of a batch''s rows');
INSERT INTO play_event (track_entry_key, bucket, bytes) VALUES ('loose', 'complete', -9223372036854775000);
SELECT is((SELECT count(*) FROM record_plays('{loose,loose}', '{complete,complete}') WHERE status = 'recorded'), 2::bigint, 'P9: nor for ever');
SELECT is_empty('SELECT differs()', 'P3: exact');
-- Two slots that are more than one can have, as of two transactions at once
ALTER TABLE play_bytes_slot DISABLE TRIGGER ALL;
INSERT INTO play_bytes_slot VALUES (77, 'most', 9e18), (77, 'most', 9e18), (77, 'most', -9e18), (77, 'most', -9e18);
ALTER TABLE play_bytes_slot ENABLE TRIGGER ALL;
SELECT lives_ok($$SELECT playevent.compact('play_event')$$, 'P4: compact leaves what one slot can''t have');
SELECT is_empty('SELECT differs()', 'P3: exact');

--
-- Partitions, and what is retired of them
--

CREATE TABLE heard_event (id bigint GENERATED ALWAYS AS IDENTITY, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL,
    seconds int, created_at timestamptz NOT NULL DEFAULT now(), day date) PARTITION BY RANGE (created_at);
CREATE TABLE heard_a PARTITION OF heard_event FOR VALUES FROM ('2020-01-01 UTC') TO ('2020-02-01 UTC');
CREATE TABLE heard_b PARTITION OF heard_event FOR VALUES FROM ('2020-02-01 UTC') TO ('2020-03-01 UTC');
INSERT INTO heard_event (track_entry_key, bucket, seconds, created_at) VALUES ('k1', 'most', 10, '2020-01-10'), ('k1', 'most', NULL, '2020-01-11');
SELECT playevent.attach_log('heard_event', 'track', kinds => '{most,complete}', created_column => 'created_at', partition_by => 'month');
SELECT playevent.add_counter('heard_event', 'heard_seconds', '{track_entry_key,bucket}', 'seconds');
-- by what the log's own counter counts by
SELECT playevent.add_counter('heard_event', 'heard_sums', '{track_entry_key,release_id,bucket}', 'seconds');
SELECT playevent.add_counter('heard_event', 'heard_ids', '{track_entry_key,release_id,bucket}', 'id');
INSERT INTO heard_event (track_entry_key, bucket, seconds, created_at) VALUES
    ('k1', 'most', 20, '2020-01-12'), ('k1', 'complete', 5, '2020-02-12'), ('k2', 'most', -30, '2020-01-15'), ('k2', 'most', 30, '2020-02-15');
SAVEPOINT part;
INSERT INTO heard_b (id, track_entry_key, bucket, seconds, created_at) OVERRIDING SYSTEM VALUE VALUES (100, 'k3', 'most', 7, '2020-02-20');
RELEASE part;
SELECT results_eq('SELECT track_entry_key, bucket, seconds FROM heard_seconds ORDER BY 1, 2',
    $$VALUES ('k1', 'complete', 5::bigint), ('k1', 'most', 30), ('k3', 'most', 7)$$, 'P3: of all partitions');
SELECT is_empty($$SELECT differs('heard_event')$$, 'P3: exact');
SELECT is(playevent.seal('heard_event', '2020-02-01 UTC'), 1, 'P11: sealed');
SELECT is(playevent.retire('heard_event', '2020-02-01 UTC'), 1, 'P11: retired');
SELECT is((SELECT count(*) FROM jsonb_object_keys((SELECT counters FROM heard_manifest WHERE action = 'retire'))), 5::bigint, 'P11: the manifest tells of each counter');
SELECT results_eq('SELECT track_entry_key, bucket, seconds FROM heard_seconds ORDER BY 1, 2',
    $$VALUES ('k1', 'complete', 5::bigint), ('k1', 'most', 30), ('k3', 'most', 7)$$, 'P11: sums stay');
SELECT is_empty($$SELECT * FROM playevent.verify('heard_event')$$, 'P11: and are verified');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('heard_event', 'heard_a')$$, 'P11: so is the archive');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'heard_event'::regclass), true, 'P11: intact');
SELECT playevent.add_counter('heard_event', 'heard_of_track', '{track_entry_key}', 'seconds');
SELECT results_eq('SELECT track_entry_key, seconds FROM heard_of_track ORDER BY 1', $$VALUES ('k1', 35::bigint), ('k3', 7)$$,
    'P11: a sum by fewer columns is of what was retired too');
SELECT throws_ok($$SELECT playevent.add_counter('heard_event', 'x', '{created_at}', 'id')$$, '55000',
    'what was retired of table "heard_event" can''t be counted by those columns', 'P11: a sum of another column can''t be');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('heard_event', 'heard_a')$$, 'P11: the archive is as it was');

-- What the extension leaves, attach_log finds again.
SELECT playevent.drop_counter('play_event', 'play_cut');
SELECT is(to_regclass('play_cut_slot'), NULL, 'one is dropped');
DROP EXTENSION playevent CASCADE;
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 6);
CREATE EXTENSION playevent;
SELECT playevent.attach_log('play_event', 'track');
SELECT set_eq($$SELECT counter::text, amount_column::text FROM playevent.counter WHERE event = 'play_event'::regclass$$,
    $$VALUES ('play_counter', NULL), ('play_daily', NULL), ('play_seconds', 'seconds'), ('play_bytes', 'bytes'),
             ('play_skips', 'skips'), ('play_twice', 'twice')$$, 'P7: sums are found');
SELECT is_empty('SELECT differs()', 'P3: exact');

-- And none that another log has left, though it would fit.
SELECT playevent.create_log('preview', 'track', kinds => '{whole}');
ALTER TABLE preview_event ADD seconds int;
SELECT playevent.add_counter('preview_event', 'of previews', '{track_entry_key}', 'seconds');
INSERT INTO preview_event (track_entry_key, bucket, seconds) VALUES ('k1', 'whole', 1000);
DROP EXTENSION playevent CASCADE;
CREATE EXTENSION playevent;
CREATE SCHEMA elsewhere;
ALTER TABLE play_event SET SCHEMA elsewhere;
SELECT playevent.attach_log('preview_event', 'track');
ALTER TABLE elsewhere.play_event SET SCHEMA s;
SELECT playevent.attach_log('play_event', 'track');
SELECT set_eq($$SELECT event::text, counter::text, amount_column::text FROM playevent.counter WHERE event IN ('play_event'::regclass, 'preview_event'::regclass)$$,
    $$VALUES ('play_event', 'play_counter', NULL), ('play_event', 'play_daily', NULL), ('play_event', 'play_seconds', 'seconds'), ('play_event', 'play_bytes', 'bytes'),
             ('play_event', 'play_skips', 'skips'), ('play_event', 'play_twice', 'twice'),
             ('preview_event', 'preview_counter', NULL), ('preview_event', 'preview_daily', NULL), ('preview_event', 'of previews', 'seconds')$$,
    'P7: each log finds its own');
SELECT is_empty('SELECT differs()', 'P3: exact');
SELECT results_eq('SELECT seconds FROM "of previews"', 'VALUES (1000::bigint)', 'P3: so is the other');
SELECT playevent.void('preview_event', ARRAY[1], 'a test');
SELECT playevent.add_counter('preview_event', 'a_counter', '{track_entry_key,release_id,bucket,anon_id}'),
       playevent.add_counter('preview_event', 'another_counter', '{track_entry_key,release_id,bucket}', 'seconds');
ALTER TABLE preview_event RENAME TO "heard at first";
SELECT is(obj_description('"of previews_slot"'::regclass), 'sums of seconds of "heard at first" in parts, several rows a key: read view "of previews"',
    'P10: whose slots they are, is known by its new name');
DROP EXTENSION playevent CASCADE;
CREATE EXTENSION playevent;
SELECT playevent.attach_log('"heard at first"', 'track');
SELECT set_eq($$SELECT counter::text, verdicts::text FROM playevent.counter, playevent.verdicts(event) WHERE event = '"heard at first"'::regclass$$,
    $$VALUES ('preview_counter', 'preview_verdict'), ('preview_daily', 'preview_verdict'), ('of previews', 'preview_verdict'), ('a_counter', 'preview_verdict'), ('another_counter', 'preview_verdict')$$,
    'P7: one that was renamed before finds its own, with its verdicts');
SELECT is_empty('SELECT * FROM "of previews" WHERE seconds <> 0', 'P12: what was voided stays so');

-- So does one that was renamed while the extension was away, though elsewhere there is a
-- log of the name that it had, with slots of its own.
SET LOCAL search_path = elsewhere, s, public;
SELECT playevent.create_log('play', 's.track');
SET LOCAL search_path = s, public;
DROP EXTENSION playevent CASCADE;
ALTER TABLE play_event RENAME TO listens;
CREATE EXTENSION playevent;
SELECT playevent.attach_log('listens', 'track', name => 'play');
SELECT set_eq($$SELECT counter::text, amount_column::text FROM playevent.counter WHERE event = 'listens'::regclass$$,
    $$VALUES ('play_counter', NULL), ('play_daily', NULL), ('play_seconds', 'seconds'), ('play_bytes', 'bytes'), ('play_skips', 'skips'), ('play_twice', 'twice')$$,
    'P7: one of a name that is elsewhere too finds its own');
SELECT playevent.attach_log('elsewhere.play_event', 'track');
SELECT set_eq($$SELECT counter::text FROM playevent.counter WHERE event = 'elsewhere.play_event'::regclass$$,
    $$VALUES ('play_counter'), ('play_daily')$$, 'P7: and so does that');
SELECT * FROM finish();
ROLLBACK;
