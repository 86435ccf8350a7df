-- P10: the functions of a log go on when the log, its schema, its enum or a value
-- of that is renamed or moved; where they can't follow, they say what to do.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(67);

CREATE ROLE p10_app;
CREATE ROLE p10_other;
CREATE SCHEMA functions AUTHORIZATION p10_app;
CREATE SCHEMA further AUTHORIZATION p10_app;
CREATE SCHEMA p10_test;
SET LOCAL search_path = functions, p10_test, public;
SET LOCAL client_min_messages = warning;
SET LOCAL ROLE p10_app;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1), ('b', 2);
SELECT playevent.create_log('play', track => 'track') AS log \gset
SELECT playevent.create_log('share', track => 'track', kind => 'channel', kinds => '{link,embed}') AS log \gset
RESET ROLE;

-- SQLSTATE, message and hint of an error
CREATE FUNCTION p10_test.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, message, nullif(hint, ''));
END
$$;
-- One play, a retry, a batch, one by how much was heard, and a batch by that, by the functions in that
-- schema, which must end up in that table, and be counted.
CREATE FUNCTION p10_test.works(schema name, log text, title text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
DECLARE
    before bigint;
    after bigint;
    uuid uuid := gen_random_uuid();
    one bigint;
    again bigint;
    receipts text;
    heard bigint;
    same boolean;
BEGIN
    EXECUTE 'SELECT count(*) FROM ' || log INTO before;
    EXECUTE format('SELECT %I.record_play(''a'', %1$I.play_bucket_of(0.5), $1)', schema) INTO one USING uuid;
    EXECUTE format('SELECT %I.record_play(''a'', %1$I.play_bucket_of(0.5), $1)', schema) INTO again USING uuid;
    EXECUTE format('SELECT string_agg(status, '' '' ORDER BY ord)
        FROM %I.record_plays(''{a,b}'', ARRAY[%1$I.play_bucket_of(0.95), NULL], ARRAY[$1, NULL])', schema) INTO receipts USING uuid;
    EXECUTE format('SELECT %I.record_play_heard(''a'', 0.5)', schema) INTO heard;
    EXECUTE format('SELECT %L || string_agg('' '' || status, '''' ORDER BY ord) FROM %I.record_plays_heard(''{a,b}'', ''{0.5,0}'')', receipts, schema) INTO receipts;
    EXECUTE format('SELECT count(DISTINCT bucket) = 1 FROM %s WHERE id IN ($1, $2)', log) INTO same USING one, heard;
    EXECUTE 'SELECT count(*) FROM ' || log INTO after;
    RETURN NEXT is(format('%s %s %s %s', one = again, receipts, after - before, same), 't duplicate rejected recorded rejected 3 t', 'P10: functions, ' || title);
    RETURN NEXT is_empty(format('SELECT * FROM playevent.verify(%L)', log), 'P3: exact, ' || title);
    RETURN NEXT ok((SELECT intact FROM playevent.log l WHERE l.event = log::regclass), 'P10: intact, ' || title);
END
$test$;

SELECT works('functions', 'functions.play_event', 'before anything');

--
-- The log
--

ALTER TABLE play_event RENAME TO "Play's";
SELECT works('functions', 'functions."Play''s"', 'the table renamed');
ALTER TABLE "Play's" RENAME TO "back\slash'""";
SELECT works('functions', 'functions."back\slash''"""', 'to a name that is hard to quote');
ALTER TABLE "back\slash'""" RENAME TO play_event;
SELECT works('functions', 'functions.play_event', 'and back');
ALTER TABLE play_event SET SCHEMA further;
SELECT works('functions', 'further.play_event', 'the table moved');
ALTER SCHEMA further RENAME TO "fur""ther";
SELECT works('functions', '"fur""ther".play_event', 'its schema renamed');
ALTER TABLE "fur""ther".play_event SET SCHEMA functions;
ALTER SCHEMA "fur""ther" RENAME TO further;
ALTER SCHEMA functions RENAME TO moved;
SET LOCAL search_path = moved, p10_test, public;
SELECT works('moved', 'moved.play_event', 'the schema of both renamed');
SELECT lives_ok($$SELECT record_share('a', 'link')$$, 'P10: all its logs follow');
SELECT is_empty($$SELECT * FROM playevent.verify('share_event')$$, 'P3: exact');
ALTER SCHEMA moved RENAME TO functions;
SET LOCAL search_path = functions, p10_test, public;

SET LOCAL ROLE p10_app;
ALTER TABLE play_event RENAME TO plays;
RESET ROLE;
SELECT works('functions', 'functions.plays', 'renamed by their owner');
ALTER TABLE plays RENAME TO play_event;

SAVEPOINT renamed;
ALTER TABLE play_event RENAME TO plays;
SELECT record_play('a', 'most') AS id \gset
ROLLBACK TO SAVEPOINT renamed;
SELECT works('functions', 'functions.play_event', 'the renaming rolled back');

-- Two logs change names: a function goes with its own.
ALTER TABLE play_event RENAME TO was_play;
ALTER TABLE share_event RENAME TO play_event;
ALTER TABLE was_play RENAME TO share_event;
SELECT works('functions', 'functions.share_event', 'two logs change names');
ALTER TABLE share_event RENAME TO was_play;
ALTER TABLE play_event RENAME TO share_event;
ALTER TABLE was_play RENAME TO play_event;

-- In a function that calls them all the while, whose calls are prepared
CREATE FUNCTION p10_test.on_and_on() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    names text[] := '{play_event,plays,play,play_event}';
    last bigint;
BEGIN
    FOR i IN 1..3 LOOP
        PERFORM functions.record_play('a', functions.play_bucket_of(0.5));
        EXECUTE format('ALTER TABLE functions.%I RENAME TO %I', names[i], names[i + 1]);
    END LOOP;
    last := functions.record_play('a', functions.play_bucket_of(0.5));
    RETURN last = (SELECT max(id) FROM functions.play_event);
END
$$;
SELECT is(on_and_on(), 'true', 'P10: in one transaction, between calls');

-- Bodies of others, and what looks alike, are left alone.
CREATE FUNCTION p10_test.mine() RETURNS bigint LANGUAGE plpgsql AS
    $$
BEGIN
    RETURN playevent.record_one('functions.play_event', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', NULL, 'a'::text, 'most'::functions.play_bucket, NULL, NULL, NULL); END$$;
CREATE FUNCTION p10_test.alike() RETURNS text LANGUAGE sql AS
    $$SELECT 'functions.play_event' || ' playevent.record_one(''functions.play_events'' playevent.record_one(''functions.play_event''''s'''$$;
ALTER FUNCTION p10_test.alike() OWNER TO p10_app;
CREATE FUNCTION p10_test.theirs() RETURNS bigint LANGUAGE plpgsql AS
    $$
BEGIN
    RETURN playevent.record_one('functions.play_event', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', NULL, 'a'::text, 'most'::functions.play_bucket, NULL, NULL, NULL); END$$;
ALTER FUNCTION p10_test.theirs() OWNER TO p10_other;
SELECT string_agg(prosrc, '' ORDER BY proname) AS bodies FROM pg_proc WHERE pronamespace = 'p10_test'::regnamespace \gset
ALTER TABLE play_event RENAME TO plays;
SELECT is((SELECT string_agg(prosrc, '' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'p10_test'::regnamespace), :'bodies',
    'P10: nobody else''s functions are touched');
SELECT is(refusal('SELECT p10_test.mine()'),
    '42P01 | log functions.play_event does not exist | If it has just been renamed, try again; else rename it back, or put its new name into the function.',
    'P10: they say what to do');
ALTER TABLE plays RENAME TO play_event;
SELECT lives_ok('SELECT p10_test.mine()', 'P10: and go on when that is done');
ALTER FUNCTION p10_test.mine() OWNER TO p10_app;
ALTER TABLE play_event RENAME TO plays;
SELECT lives_ok('SELECT p10_test.mine()', 'P10: the owner''s own follow too, if they begin like the log''s');
ALTER TABLE plays RENAME TO play_event;

-- The event trigger is off
ALTER EVENT TRIGGER playevent_follow_renames DISABLE;
ALTER TABLE play_event RENAME TO plays;
SELECT is(refusal($$SELECT record_play('a', 'most')$$),
    '42P01 | log functions.play_event does not exist | If it has just been renamed, try again; else rename it back, or put its new name into the function.',
    'P10: a log that was not followed');
SELECT is(refusal($$SELECT record_plays('{a}', '{most}')$$),
    '42P01 | log functions.play_event does not exist | If it has just been renamed, try again; else rename it back, or put its new name into the function.',
    'P10: nor by a batch');
ALTER TABLE plays RENAME TO play_event;
SELECT lives_ok($$SELECT record_play('a', 'most'), record_plays('{a}', '{most}')$$, 'P10: renamed back');
ALTER TYPE play_bucket RENAME VALUE 'most' TO 'half';
SELECT is(refusal('SELECT play_bucket_of(0.5)'),
    '22P02 | type functions.play_bucket has no value "most" | Rename the value back, or put its new name into the function.',
    'P10: a value that was not followed');
SELECT is(refusal('SELECT record_play_heard(''a'', 0.5)'),
    '22P02 | type functions.play_bucket has no value "most" | Rename the value back, or put its new name into the function.',
    'P10: nor by how much was heard');
SELECT is(refusal($$SELECT * FROM record_plays_heard('{a}', '{0.5}')$$),
    '22P02 | type functions.play_bucket has no value "most" | Rename the value back, or put its new name into the function.',
    'P10: nor by a batch of such');
SELECT is(play_bucket_of(0.95), 'complete', 'P10: others are there');
ALTER TYPE play_bucket RENAME VALUE 'half' TO 'most';
ALTER EVENT TRIGGER playevent_follow_renames ENABLE ALWAYS;

--
-- Columns
--

ALTER TABLE share_event RENAME channel TO way;
SELECT is(refusal($$SELECT record_share('a', 'link')$$),
    '42703 | column "channel" of table "share_event" does not exist | Rename it back: the log''s functions know it by this name.',
    'P10: the kind''s column renamed');
ALTER TABLE share_event RENAME way TO channel;
ALTER TABLE share_event RENAME event_id TO sent_id;
SELECT is(left(refusal($$SELECT record_share('a', 'link')$$), 5), '42703', 'P10: another one');
ALTER TABLE share_event RENAME sent_id TO event_id;
SELECT lives_ok($$SELECT record_share('a', 'link')$$, 'P10: renamed back');
SELECT is(refusal($$SELECT playevent.record_one('share_event', '{id,track_entry_key,channel,event_id,anon_id,"",release_id,""}', NULL, 1, 'link'::share_channel, NULL, NULL, NULL)$$),
    '42804 | column "track_entry_key" of table "share_event" has type character varying, but what is to be recorded has type integer | '
    'Give the column its former type, or make the log''s function anew for the one it has.', 'P10: another type');
SELECT is(refusal($$SELECT playevent.record_one(NULL, '{id,track_entry_key,channel,event_id,anon_id,"",release_id,""}', NULL, 'a'::text, 'link'::share_channel, NULL, NULL, NULL)$$),
    '22004 | argument 1 of playevent.record_one must not be null', 'P9: no log');

--
-- The enum
--

SELECT record_play('a', play_bucket_of(0.5)) AS first \gset
ALTER TYPE play_bucket RENAME VALUE 'most' TO 'it''s half\';
SELECT results_eq('SELECT play_bucket_of(f)::text FROM unnest(ARRAY[0.04, 0.05, 0.5, 0.95]::float8[]) f',
    $$VALUES (NULL), ('partial'), ('it''s half\'), ('complete')$$, 'P10: a value renamed');
SELECT is((SELECT count(DISTINCT bucket) FROM play_event WHERE id IN (:first, record_play('a', play_bucket_of(0.5)))), 1::bigint,
    'P10: it is the same value');
SELECT record_play_heard('a', 0.5) AS heard \gset
SELECT is((SELECT count(DISTINCT bucket) FROM play_event WHERE id IN (:first, :heard)), 1::bigint, 'P10: by how much was heard too');
-- Values change names
ALTER TYPE play_bucket RENAME VALUE 'it''s half\' TO 'x';
ALTER TYPE play_bucket RENAME VALUE 'complete' TO 'it''s half\';
ALTER TYPE play_bucket RENAME VALUE 'x' TO 'complete';
SELECT results_eq('SELECT play_bucket_of(f)::text FROM unnest(ARRAY[0.05, 0.5, 0.95]::float8[]) f',
    $$VALUES ('partial'), ('complete'), ('it''s half\')$$, 'P10: two values change names');
SELECT record_play_heard('a', 0.5) AS heard \gset
SELECT is((SELECT bucket::text FROM play_event WHERE id = :heard), 'complete', 'P10: those who record by how much was heard know');
SELECT id AS heard FROM record_plays_heard('{a}', '{0.5}') \gset
SELECT is((SELECT bucket::text FROM play_event WHERE id = :heard), 'complete', 'P10: so do batches of them');
ALTER TYPE play_bucket RENAME VALUE 'partial' TO '{0.05,0.5,0.95}';
ALTER TYPE play_bucket RENAME VALUE '{0.05,0.5,0.95}' TO 'partial';
SELECT is(play_bucket_of(0.05), 'partial', 'P10: one has the thresholds'' name for a while');
ALTER TYPE play_bucket RENAME VALUE 'complete' TO 'most';
ALTER TYPE play_bucket RENAME VALUE 'it''s half\' TO 'complete';
ALTER TYPE play_bucket ADD VALUE 'skip' BEFORE 'partial';
SELECT is(play_bucket_of(0.05), 'partial', 'P10: one is added before the others');
ALTER TYPE play_bucket RENAME TO "Bucket";
SELECT works('functions', 'functions.play_event', 'the type renamed');
ALTER TYPE "Bucket" SET SCHEMA further;
SELECT works('functions', 'functions.play_event', 'and moved');

-- What kind_of is called with
SELECT is(refusal(statement), expected, 'P9: ' || statement)
  FROM (VALUES ($$SELECT playevent.kind_of(0.5, '{0.1}', '{link,embed}', NULL::share_channel)$$,
                '2202E | arguments "thresholds" and "kinds" do not match | Give each kind the fraction of a track it starts at.'),
               ($$SELECT playevent.kind_of(0.5, '{}', '{}', NULL::share_channel)$$,
                '2202E | arguments "thresholds" and "kinds" do not match | Give each kind the fraction of a track it starts at.'),
               ($$SELECT playevent.kind_of(0.5, '{NULL}', '{link}', NULL::share_channel)$$,
                '2202E | arguments "thresholds" and "kinds" do not match | Give each kind the fraction of a track it starts at.')) v(statement, expected);
SELECT is(playevent.kind_of(0.5, '[3:4]={0.2,0.1}', '[0:1]={embed,link}', NULL::share_channel), 'embed', 'P9: in whatever order');

SELECT * FROM finish();
ROLLBACK;
