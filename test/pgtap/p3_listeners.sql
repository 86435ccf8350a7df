-- P3: sketches of distinct listeners are those of the log's rows, whichever way
-- they came, and what is wrong with them is found and mended (P10).  Nothing of a
-- listener shows in errors.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hll') AS no_hll \gset
\if :no_hll
SELECT plan(1);
SELECT skip('extension hll is not available', 1);
SELECT * FROM finish();
ROLLBACK;
\quit
\endif
SELECT plan(68);

CREATE SCHEMA l;
SET LOCAL search_path = l, public;
SET LOCAL client_min_messages = error;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', NULL);
INSERT INTO track SELECT 'n' || n, n % 7 FROM generate_series(1, 1000) n;
SELECT playevent.create_log('play', 'track');

--
-- Making one
--

SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'')', '0A000',
    'extension "hll" is not installed in this database', 'P10: hll is missed');

-- Nobody but its owner may use the schema.
CREATE SCHEMA "the sketches";
CREATE EXTENSION hll SCHEMA "the sketches";

-- The sketches of the log, by hll's aggregates, and what differs from them.
CREATE FUNCTION differs(log text DEFAULT 'play', listener text DEFAULT 'anon_id') RETURNS SETOF text
LANGUAGE plpgsql SET search_path = l, public, "the sketches" AS $$
DECLARE
    key text := (SELECT string_agg(quote_ident(c), ', ') FROM playevent.counter k, unnest(k.columns) c
                  WHERE k.event = (log || '_event')::regclass AND k.listener_column IS NOT NULL);
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH counted AS (SELECT %1$s, listeners::text FROM %2$s_listeners),
              logged AS (SELECT %1$s, hll_add_agg(hll_hash_text(%3$I::text), 13, 5, 256, 1)::text
                           FROM %2$s_event WHERE %3$I IS NOT NULL GROUP BY %1$s)
         SELECT d::text FROM ((TABLE counted EXCEPT ALL TABLE logged) UNION ALL
                              (TABLE logged EXCEPT ALL TABLE counted)) d',
        key, log, listener);
    RETURN QUERY SELECT v::text FROM playevent.verify(log || '_event') v;
END
$$;
CREATE FUNCTION listeners(track text) RETURNS bigint
LANGUAGE plpgsql SET search_path = l, "the sketches" AS $$
BEGIN
    RETURN (SELECT round(hll_cardinality(hll_union_agg(listeners))) FROM play_listeners WHERE track_entry_key = track);
END
$$;

SELECT throws_ok('SELECT playevent.add_listener_sketch(NULL)', '22004', NULL, 'P9: a table is named');
SELECT throws_ok('SELECT playevent.add_listener_sketch(''track'')', '55000', 'table "track" is not a log',
    'P9: a log is named');
SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'', ''nobody'')', '42703',
    'column "nobody" of table "play_event" does not exist', 'P9: the listener is named');
SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'', NULL)', '22004',
    'argument "listener_column" must not be null', 'P9: by a name');
SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'', ''track_entry_key'')', '22023',
    'column "track_entry_key" would be both counted by and counted', 'P9: that is not the track''s');
SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'', ''created_at'')', '42804',
    'column "created_at" of table "play_event" has type timestamp with time zone, and can''t tell listeners apart',
    'P9: nor a time');
SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'', day_column => ''created_at'')', '42804',
    'table "play_event" has no column "created_at" of type date', 'P9: the day is one');
SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'', day_column => NULL)', '42804',
    NULL, 'P9: there is a day');
CREATE VIEW play_listeners_slot AS SELECT 1;
SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'')', '42P07',
    '"play_listeners_slot" exists already in schema "l"', 'P9: another object is in the way');
DROP VIEW play_listeners_slot;

INSERT INTO play_event (track_entry_key, bucket, anon_id, created_at) VALUES
    ('k1', 'most', 'ann', '2026-03-01'), ('k1', 'partial', 'ann', '2026-03-01'), ('k1', 'most', 'bob', '2026-03-01'),
    ('k1', 'most', 'ann', '2026-03-02'), ('k2', 'most', NULL, '2026-03-02'), ('k3', 'most', 'bob', '2026-03-02');
SELECT is(playevent.add_listener_sketch('play_event')::text, 'play_listeners', 'the view is named after the log');
SELECT is_empty('SELECT differs()', 'P3: the rows that were there are in the sketches');
SELECT results_eq('SELECT track_entry_key::text, release_id, day, "the sketches".hll_cardinality(listeners)
                     FROM play_listeners ORDER BY 1, 3',
    $$VALUES ('k1', 1, '2026-03-01'::date, 2::float8), ('k1', 1, '2026-03-02', 1), ('k3', NULL, '2026-03-02', 1)$$,
    'P3: each listener once, and nobody is none');
SELECT throws_ok('SELECT playevent.add_listener_sketch(''play_event'')', '42710',
    'table "play_event" has a sketch of its listeners already', 'P9: there is one already');
SELECT throws_ok('UPDATE play_listeners_slot SET track_entry_key = track_entry_key', '23001', NULL,
    'P3: its slots can''t be written');
SELECT results_eq('SELECT intact FROM playevent.log WHERE event = ''play_event''::regclass', 'VALUES (true)',
    'the log is intact');
ALTER TABLE play_event ENABLE TRIGGER playevent_listeners;
SELECT results_eq('SELECT intact FROM playevent.log WHERE event = ''play_event''::regclass', 'VALUES (false)',
    'but not when the trigger is weakened');
ALTER TABLE play_event ENABLE TRIGGER ALL;
SELECT results_eq('SELECT intact FROM playevent.log WHERE event = ''play_event''::regclass', 'VALUES (true)',
    'P7: ENABLE TRIGGER ALL restores it');

--
-- All the ways
--

INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'eve'), ('k1', 'most', 'dan');
SELECT is(listeners('k1'), 4::bigint, 'P5: listeners are visible at once');
INSERT INTO play_event (track_entry_key, bucket, anon_id)
SELECT 'k' || n % 3 + 1, 'most', 'listener ' || n % 200 FROM generate_series(1, 5000) n;
SELECT is_empty('SELECT differs()', 'P3: after INSERT SELECT');
COPY play_event (track_entry_key, bucket, anon_id) FROM stdin;
k1	most	carla
k2	most	\N
k2	partial	carla
loose	most	dora
\.
SELECT is_empty('SELECT differs()', 'P3: after COPY');
SELECT record_plays('{k1,k2,k1,k3}', '{most,most,most,most}', NULL, ARRAY['fay', 'fay', NULL, 'gus']);
SELECT is_empty('SELECT differs()', 'P3: after a batch with receipts');
SAVEPOINT s;
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'undone'), ('k2', 'most', 'undone');
ROLLBACK TO s;
SELECT is_empty('SELECT differs()', 'P3: after ROLLBACK TO');
SAVEPOINT s;
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'kept'), ('k2', 'most', 'kept');
RELEASE s;
SELECT is_empty('SELECT differs()', 'P3: after RELEASE');
DO $$
BEGIN
    FOR n IN 1 .. 20 LOOP
        BEGIN
            INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'looper ' || n);
            IF n % 2 = 0 THEN RAISE EXCEPTION 'even'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END
$$;
SELECT is_empty('SELECT differs()', 'P3: after exceptions');
SET LOCAL session_replication_role = replica;
INSERT INTO play_event (track_entry_key, release_id, bucket, anon_id) VALUES ('k1', 9, 'most', 'replicated');
SET LOCAL session_replication_role = origin;
SELECT is_empty('SELECT differs()', 'P3: after what a replica gets');
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k3', 'most', ''), ('k3', 'most', repeat('long ', 30000));
SELECT is_empty('SELECT differs()', 'P3: the shortest and a very long listener');

-- More than are kept one by one, in one statement and in several; a track whose
-- key is long enough to be stored elsewhere.
INSERT INTO track VALUES (repeat('x', 90), 5);
INSERT INTO play_event (track_entry_key, bucket, anon_id)
SELECT repeat('x', 90), 'most', 'crowd ' || n FROM generate_series(1, 5000) n;
SELECT is_empty('SELECT differs()', 'P3: a crowd in one statement');
SELECT cmp_ok(abs(listeners(repeat('x', 90)) - 5000), '<=', 150::bigint, 'P3: is estimated to 3 %');
DO $$
BEGIN
    FOR n IN 1 .. 1500 LOOP
        INSERT INTO play_event (track_entry_key, bucket, anon_id)
        SELECT 'k2', 'most', 'crowd ' || n * 2 + m FROM generate_series(1, n % 3 + 1) m;
        INSERT INTO play_event (track_entry_key, bucket, anon_id)
        SELECT 'n1', 'most', 'crowd ' || n * 5 + m FROM generate_series(1, 9) m;
    END LOOP;
END
$$;
SELECT is_empty('SELECT differs()', 'P3: a crowd in several');
SELECT results_eq($$SELECT pg_relation_size(nullif(reltoastrelid, 0)) FROM pg_class WHERE oid = 'play_listeners_slot'::regclass$$,
    'VALUES (0::bigint)', 'no part of a slot is stored elsewhere');

-- Known listeners are not written again.  A key that has got a second slot, while
-- VACUUM was at the first, would have them in one of the two.
SELECT playevent.compact('play_event');
CREATE TEMP TABLE before AS SELECT ctid AS place, * FROM play_listeners_slot;
INSERT INTO play_event (track_entry_key, bucket, anon_id)
SELECT track_entry_key, bucket, anon_id FROM play_event WHERE day = (now() AT TIME ZONE 'UTC')::date AND anon_id <> 'replicated';
SELECT results_eq('SELECT count(*) FROM play_listeners_slot s JOIN before b ON b.place = s.ctid',
    'SELECT count(*) FROM before', 'listeners who are known cause no write');
SELECT is_empty('SELECT differs()', 'P3: and are not missing');

--
-- Found and mended
--

ALTER TABLE play_event DISABLE TRIGGER playevent_listeners;
INSERT INTO play_event (track_entry_key, bucket, anon_id, created_at) VALUES
    ('k1', 'most', 'missed', '2026-03-01'), ('k2', 'most', 'missed', '2026-03-03'), ('k1', 'most', 'ann', '2026-03-01');
ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_listeners;
SELECT results_eq('SELECT * FROM playevent.verify(''play_event'') ORDER BY 1',
    $$VALUES ('k1', '1', NULL::text, 2::bigint, 3::bigint, 'play_listeners', 'day = 2026-03-01'),
             ('k2', '2', NULL, 0, 1, 'play_listeners', 'day = 2026-03-03')$$, 'P3: verify finds who is missing');
SELECT is(playevent.rebuild('play_event'), 2::bigint, 'P3: rebuild says how many keys were wrong');
SELECT is_empty('SELECT differs()', 'P3: and mends them');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'P3: once');
SELECT is(playevent.compact('play_event'), 0::bigint, 'compact has nothing to do');
SELECT is_empty('SELECT differs()', 'P3: and changes nothing');

--
-- Next to other counters
--

SELECT is_empty($$SELECT * FROM playevent.series('play_event', '2026-03-01', '2026-03-02') WHERE plays IS NULL$$,
    'series reads counts');
SELECT playevent.drop_counter('play_event', 'play_daily');
SELECT throws_ok($$SELECT * FROM playevent.top('play_event', '2026-03-01', '2026-03-02')$$, '55000', NULL,
    'top does not take the sketches for a counter by day');

--
-- Misconfigured
--

CREATE FUNCTION said(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text; context text;
BEGIN
    EXECUTE statement;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', SQLSTATE, message, detail, hint);
END
$$;
CREATE TEMP TABLE answer (said text);
PREPARE one_more AS INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'a secret');
SAVEPOINT m;
DROP TABLE play_listeners_slot CASCADE;
INSERT INTO answer SELECT said('EXECUTE one_more');
SELECT alike((SELECT string_agg(said, '') FROM answer), '42P01 slot table "play_listeners_slot" does not exist%attach_log%',
    'P10: the slot table is missed');
SELECT unalike((SELECT string_agg(said, '') FROM answer), '%secret%', 'nothing of the listener shows');
ROLLBACK TO m;
ALTER TABLE play_event DROP COLUMN anon_id, ADD COLUMN anon_id date;
SELECT alike(said($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$),
    '42804 column "anon_id" of table "play_event" has type date, and can''t tell listeners apart%playevent.add_listener_sketch%',
    'P10: a column that can''t tell listeners apart is named, and the remedy');
ROLLBACK TO m;
DROP VIEW play_listeners;
ALTER TABLE play_listeners_slot DISABLE TRIGGER USER, ALTER listeners TYPE text USING listeners::text;
INSERT INTO answer SELECT said('EXECUTE one_more');
SELECT alike((SELECT string_agg(said, '') FROM answer),
    '42804 column "listeners" of slot table "play_listeners_slot" is not hll, with parameters, and not null%',
    'P10: the sketch has another type');
SELECT unalike((SELECT string_agg(said, '') FROM answer), '%secret%', 'nothing of the listener shows');
ROLLBACK TO m;
DROP VIEW play_listeners;
ALTER TABLE play_listeners_slot DISABLE TRIGGER USER, ALTER listeners TYPE "the sketches".hll;
SELECT alike(said('EXECUTE one_more'), '42804 %', 'P10: the sketch lacks its parameters');
ROLLBACK TO m;
ALTER TABLE play_event DROP anon_id;
SELECT alike(said($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$),
    '42703 column "anon_id" of table "play_event" does not exist%', 'P10: the listener is missed');
ROLLBACK TO m;
DROP TRIGGER playevent_listeners ON play_event;
CREATE TRIGGER playevent_listeners AFTER INSERT ON play_event
FOR EACH ROW EXECUTE FUNCTION playevent.sketch('play_listeners_slot', 'listeners', 'anon_id');
SELECT alike(said('EXECUTE one_more'), '39P01 wrong number of arguments for trigger "playevent_listeners"%',
    'P10: arguments are missed');
ROLLBACK TO m;
CREATE TRIGGER wrong AFTER INSERT ON play_event
FOR EACH STATEMENT EXECUTE FUNCTION playevent.sketch('play_listeners_slot', 'listeners', 'anon_id', 'track_entry_key');
SELECT alike(said('EXECUTE one_more'), '39P01 trigger "wrong" on table "play_event" fires function "playevent.sketch" at the wrong event%',
    'P10: fired at the wrong event');
ROLLBACK TO m;
DROP EXTENSION hll CASCADE;
SELECT alike(said('EXECUTE one_more'), '42703 column "listeners" of table "play_listeners_slot" does not exist%',
    'P10: hll is gone');
SELECT playevent.drop_counter('play_event', 'play_listeners');
SELECT is(said('EXECUTE one_more'), 'nothing', 'P10: plays go on without sketches');
ROLLBACK TO m;
DROP TABLE play_listeners_slot CASCADE;
SELECT playevent.attach_log('play_event', 'track');
SELECT is_empty('SELECT differs()', 'P10: attach_log makes lost sketches anew');
ROLLBACK TO m;
DROP EXTENSION playevent CASCADE;
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'unseen');
CREATE EXTENSION playevent;
SELECT playevent.attach_log('play_event', 'track');
SELECT is_empty('SELECT differs()', 'P7: attach_log takes up sketches of an earlier time');
EXECUTE one_more;
SELECT is_empty('SELECT differs()', 'P7: and they go on');
ROLLBACK TO m;
SELECT playevent.drop_counter('play_event', 'play_listeners');
SELECT hasnt_table('l'::name, 'play_listeners_slot'::name, 'drop_counter takes the slot table');
SELECT hasnt_view('l'::name, 'play_listeners'::name, 'and the view');
SELECT is(said('EXECUTE one_more'), 'nothing', 'plays go on without them');
ROLLBACK TO m;

-- The role that inserts has no right to use hll, nor to read.
CREATE ROLE l_web;
GRANT USAGE ON SCHEMA l TO l_web;
GRANT INSERT (track_entry_key, bucket, anon_id) ON play_event TO l_web;
REVOKE ALL ON SCHEMA "the sketches" FROM PUBLIC;
SET LOCAL ROLE l_web;
SELECT lives_ok($$INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'from the web')$$,
    'P8: the web role needs no more than INSERT');
RESET ROLE;
SELECT is_empty('SELECT differs()', 'P8: and its listeners are in');

--
-- A table of the app's own, partitioned, with other columns
--

CREATE TABLE heard_event (song text NOT NULL, album int, how text NOT NULL, who uuid, played_on date NOT NULL)
PARTITION BY LIST (how);
CREATE TABLE heard_half PARTITION OF heard_event FOR VALUES IN ('half');
CREATE TABLE heard_all PARTITION OF heard_event FOR VALUES IN ('all');
SELECT playevent.attach_log('heard_event', 'track', key_column => 'song', release_column => 'album',
    kind_column => 'how', kinds => '{half,all}');
SELECT playevent.add_listener_sketch('heard_event', 'who', 'played_on');
INSERT INTO heard_event (song, how, who, played_on)
SELECT 'k1', CASE WHEN n % 2 = 0 THEN 'half' ELSE 'all' END, gen_random_uuid(), '2026-03-01' FROM generate_series(1, 10) n;
SELECT is_empty($$SELECT differs('heard', 'who')$$, 'P3: other names, and uuids');
SELECT results_eq('SELECT song, album, "the sketches".hll_cardinality(listeners) FROM heard_listeners',
    $$VALUES ('k1', 1, 10::float8)$$, 'P3: partitions together');
SAVEPOINT straight;
INSERT INTO heard_half (song, how, who, played_on) VALUES ('k2', 'half', gen_random_uuid(), '2026-03-02');
RELEASE straight;
SELECT is_empty($$SELECT differs('heard', 'who')$$, 'P3: straight into a partition');
ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;  -- or it is refused
ALTER TABLE heard_event DETACH PARTITION heard_half;
ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;
CREATE TEMP TABLE changed AS SELECT playevent.rebuild('heard_event') AS keys;
SELECT isnt_empty($$SELECT playevent.verify('heard_event')$$, 'a partition that leaves does not take its listeners along');
SELECT playevent.drop_counter('heard_event', 'heard_listeners');
SELECT playevent.add_listener_sketch('heard_event', 'who', 'played_on');
SELECT is_empty($$SELECT differs('heard', 'who')$$, 'P3: sketches made anew forget them');
ALTER TABLE heard_event ATTACH PARTITION heard_half FOR VALUES IN ('half');
SELECT is_empty($$SELECT differs('heard', 'who')$$, 'P3: and have them again when it is attached');

-- Many keys at once: more than are kept in memory
INSERT INTO play_event (track_entry_key, bucket, anon_id, created_at)
SELECT 'n' || n % 1000 + 1, 'most', 'listener ' || n % 7, '2026-01-01'::timestamptz + n / 1000 * interval '1 day'
  FROM generate_series(1, 70000) n;
SELECT is_empty('SELECT differs()', 'P3: a great many keys at once');

-- A function of hll's that is gone, of which what is bound has not heard
SELECT oid::regprocedure AS hll_union FROM pg_proc WHERE proname = 'hll_union' AND pronargs = 2 \gset
SELECT o.oid::regoperator AS concat FROM pg_operator o WHERE o.oprcode = :'hll_union'::regprocedure \gset
ALTER EXTENSION hll DROP FUNCTION :hll_union;
ALTER EXTENSION hll DROP OPERATOR :concat;
DROP FUNCTION :hll_union CASCADE;
SELECT throws_ok('SELECT playevent.verify(''play_event'')', '42883', NULL, 'P10: a function of hll''s that is gone');

SELECT * FROM finish();
ROLLBACK;
