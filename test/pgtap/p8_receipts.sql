-- P8: a log's functions are for whom they are granted to, who needs no other
-- right; late plays are for those alone who are granted that too; a reader sees
-- the views and nothing else.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(74);

CREATE ROLE p8_app;
CREATE ROLE p8_web;
CREATE ROLE p8_importer;
CREATE ROLE p8_reader;
CREATE ROLE p8_other;
CREATE SCHEMA p8 AUTHORIZATION p8_app;
GRANT USAGE ON SCHEMA p8 TO p8_importer, p8_other;
SET LOCAL client_min_messages = warning;

\ir include/run_as.sql
SET LOCAL search_path = p8, test, public;

SET LOCAL ROLE p8_app;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1);
CREATE TABLE release (id int PRIMARY KEY);
INSERT INTO release VALUES (1);
SELECT playevent.create_log('play', track => 'track', ingest_role => 'p8_web', reader_role => 'p8_reader') AS log \gset
SELECT playevent.create_log('share', track => 'track', kind => 'channel', kinds => '{link,embed}',
    ingest_role => 'p8_web', release => 'release') AS log \gset
RESET ROLE;

-- What is made, whose it is, and how
SELECT set_eq($$SELECT proname::text, pronargs::int FROM pg_proc WHERE pronamespace = 'p8'::regnamespace$$,
    $$VALUES ('record_play', 4), ('record_plays', 4), ('record_plays', 5), ('play_bucket_of', 1),
             ('record_play_heard', 4), ('record_plays_heard', 4), ('record_share', 5), ('record_shares', 5), ('record_shares', 6)$$,
    'P8: the functions of two logs');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE pronamespace = 'p8'::regnamespace
                   AND (proowner <> 'p8_app'::regrole OR proconfig IS DISTINCT FROM '{"search_path=pg_catalog, pg_temp"}'
                        OR prosecdef <> (proname LIKE 'record%'))$$,
    'P8: they are the log owner''s, with a pinned search_path');
SELECT is_empty($$SELECT proname FROM pg_proc, aclexplode(proacl) a
                   WHERE pronamespace = 'p8'::regnamespace AND a.grantee = 0 OR
                         pronamespace = 'p8'::regnamespace AND proacl IS NULL$$,
    'P8: PUBLIC may call none of them');
SELECT is_empty($$SELECT classid FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
                   AND objid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'p8'::regnamespace)$$,
    'P8: none is a part of the extension');
SELECT ok(obj_description(oid, 'pg_proc') IS NOT NULL, 'P8: says what it does: ' || oid::regprocedure)
  FROM pg_proc WHERE pronamespace = 'p8'::regnamespace ORDER BY proname, pronargs;

-- The web role
SELECT can('p8_web', $$SELECT p8.record_play('k1', 'most', '00000000-0000-0000-0000-000000000001', 'a')$$, 'record_play');
SELECT can('p8_web', $$SELECT p8.record_play('k1', 'most', '00000000-0000-0000-0000-000000000001', 'a')$$, 'a retry');
SELECT can('p8_web', $$SELECT * FROM p8.record_plays('{k1}', '{most}')$$, 'record_plays');
SELECT can('p8_web', $$SELECT p8.play_bucket_of(0.5)$$, 'play_bucket_of');
SELECT can('p8_web', $$SELECT * FROM p8.record_plays_heard('{k1}', '{0.01}')$$, 'record_plays_heard');
SELECT cannot('p8_other', $$SELECT * FROM p8.record_plays_heard('{k1}', '{0.01}')$$, 'permission denied for function record_plays_heard', 'others may not call record_plays_heard');
SELECT can('p8_web', $$SELECT p8.record_share(NULL, 'link', release_id => 1)$$, 'record_share of a release');
SELECT can('p8_web', $$INSERT INTO p8.share_event (release_id, channel) VALUES (1, 'link')$$, 'INSERT of a release');
SELECT can('p8_web', $$SELECT * FROM p8.record_shares('{k1,NULL}', '{link,embed}', NULL, NULL, '{NULL,1}')$$, 'record_shares');
SELECT is((SELECT sum(plays) FROM play_counter), 2::numeric, 'P8: the plays are counted');
SELECT is((SELECT sum(shares) FROM share_counter), 4::numeric, 'P8: and the shares');
SELECT cannot('p8_web', $$SELECT * FROM p8.record_plays('{k1}', '{most}', NULL, NULL, ARRAY[now()])$$,
    'permission denied for function record_plays', 'late plays');
SELECT cannot('p8_web', $$SELECT * FROM p8.record_plays('{k1}', '{most}', played_at => ARRAY[now()], event_ids => NULL, anon_ids => NULL)$$,
    'permission denied for function record_plays', 'late plays by name');
SELECT cannot('p8_web', $$INSERT INTO p8.play_event (track_entry_key, bucket, played_at) VALUES ('k1', 'most', now())$$,
    'permission denied for table play_event', 'late plays by INSERT');
SELECT cannot('p8_web', $$SELECT * FROM playevent.record_batch('p8.play_event', '{id,track_entry_key,bucket,event_id,anon_id,played_at,release_id,""}', NULL,
    '{k1}'::text[], '{most}'::p8.play_bucket[], NULL, NULL, ARRAY[now()], NULL)$$,
    'must be owner of table play_event', 'the function beneath');
SELECT cannot('p8_web', $$SELECT playevent.record_one('p8.play_event', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', NULL, 'k1'::text, 'most'::p8.play_bucket, NULL, NULL, NULL)$$,
    'must be owner of table play_event', 'nor that of one play');
SELECT cannot('p8_web', $$SELECT * FROM playevent.record_batch_heard('p8.play_event', '{0.5}', '{most}', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', '{k1}'::text[], '{1}', NULL, NULL)$$,
    'must be owner of table play_event', 'nor that of those that say how much was heard');
SELECT cannot('p8_web', 'SELECT id FROM p8.play_event', 'permission denied for table play_event', 'the log');
SELECT cannot('p8_web', 'SELECT * FROM p8.play_counter', 'permission denied for view play_counter', 'the counters');

-- An importer
GRANT EXECUTE ON FUNCTION record_plays(text[], play_bucket[], uuid[], text[], timestamptz[]) TO p8_importer;
SELECT can('p8_importer', $$SELECT * FROM p8.record_plays('{k1}', '{most}', NULL, NULL, ARRAY[timestamptz '2020-01-01'])$$,
    'late plays, if granted');
SELECT results_eq('SELECT count(*) FROM play_event WHERE day = ''2020-01-01''', 'VALUES (1::bigint)', 'P8: of that day');
SELECT cannot('p8_importer', $$SELECT * FROM p8.record_plays('{k1}', '{most}')$$,
    'permission denied for function record_plays', 'but no others');

-- A reader
SELECT can('p8_reader', 'SELECT * FROM p8.' || view, 'a reader reads ' || view)
  FROM (VALUES ('play_counter'), ('play_by_track'), ('play_by_release')) AS v (view);
SELECT can('p8_reader', $$SELECT p8.play_bucket_of(0.5)$$, 'a reader can call play_bucket_of');
SELECT cannot('p8_reader', $$SELECT p8.record_play('k1', 'most')$$, 'permission denied for function record_play', 'a reader');
SELECT cannot('p8_reader', 'SELECT * FROM p8.play_event', 'permission denied for table play_event', 'a reader');
SELECT cannot('p8_reader', 'SELECT * FROM p8.play_counter_slot', 'permission denied for table play_counter_slot', 'a reader');

-- Anyone else
SELECT cannot('p8_other', $$SELECT p8.record_play('k1', 'most')$$, 'permission denied for function record_play', 'anyone');
SELECT cannot('p8_other', $$SELECT p8.play_bucket_of(0.5)$$, 'permission denied for function play_bucket_of', 'anyone');

-- The log's policies, if they are to apply to its owner, apply to batches.
ALTER TABLE play_event ENABLE ROW LEVEL SECURITY;
SELECT can('p8_web', $$SELECT * FROM p8.record_plays('{k1}', '{most}')$$, 'policies don''t apply to the owner');
ALTER TABLE play_event FORCE ROW LEVEL SECURITY;
SELECT cannot('p8_web', $$SELECT * FROM p8.record_plays('{k1}', '{most}')$$,
    'new row violates row-level security policy for table "play_event"', 'unless they are forced on him');

--
-- A log that changed hands, without its functions: what its new owner wrote runs
-- as he, whoever calls, and whoever owns the functions.
--

SELECT playevent.create_log('moved', track => 'track', ingest_role => 'p8_web') AS log \gset
ALTER TABLE moved_event OWNER TO p8_app;
ALTER TABLE moved_counter_slot OWNER TO p8_app;
ALTER TABLE moved_daily_slot OWNER TO p8_app;
GRANT USAGE, CREATE ON SCHEMA test TO p8_app;
SET LOCAL ROLE p8_app;
CREATE FUNCTION test.mine(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_user <> 'p8_app' THEN
        RAISE EXCEPTION 'ran as %', current_user;
    END IF;
    RETURN value;
END
$$;
CREATE FUNCTION test.mine_too() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.anon_id = 'bad' THEN
        RAISE EXCEPTION 'not this one';
    END IF;
    NEW.anon_id := test.mine(NEW.anon_id);
    RETURN NEW;
END
$$;
ALTER TABLE moved_event ADD note text DEFAULT test.mine('a'), ADD made text GENERATED ALWAYS AS (test.mine('b')) STORED,
    ADD CHECK (test.mine('c') <> 'd');
CREATE INDEX ON moved_event (test.mine(track_entry_key)) WHERE test.mine('e') <> 'f';
RESET ROLE;
CREATE FUNCTION test.moved(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
BEGIN
    SET LOCAL ROLE p8_web;
    CREATE TEMP TABLE receipts ON COMMIT DROP AS SELECT current_user, r.* FROM p8.record_moveds('{k1,unknown}', '{most,most}') r;
    RESET ROLE;
    RETURN NEXT results_eq($$SELECT "current_user" = 'p8_web', status, reason FROM receipts$$,
        $$VALUES (true, 'recorded', NULL), (true, 'recorded', NULL)$$, way || ': through a function that a superuser owns');
    SET LOCAL ROLE p8_web;
    PERFORM p8.record_moved('k1', 'most', gen_random_uuid());
    RESET ROLE;
    RETURN NEXT is(current_user::text, session_user::text, way || ': one play, as the table''s owner, and back');
    RETURN NEXT results_eq($$SELECT status, reason FROM playevent.record_batch('p8.moved_event', '{id,track_entry_key,bucket,event_id,anon_id,moveded_at,release_id,""}', NULL,
            '{k1}'::text[], '{most}'::p8.moved_bucket[], NULL, NULL, ARRAY[timestamptz '2020-01-01'], NULL)$$,
        $$VALUES ('recorded', NULL)$$, way || ': called by a superuser');
    RETURN NEXT is(current_user::text, session_user::text, way || ': who is himself afterwards');
    RETURN NEXT throws_ok($$SELECT p8.record_moveds('{k1}', '{most}', anon_ids => ARRAY[NULL, 'a'])$$, '2202E', NULL, way || ': after an error');
    RETURN NEXT is(current_user::text, session_user::text, way || ': too');
    DROP TABLE receipts;
END
$test$;
SELECT test.moved('P8, directly');
CREATE TRIGGER mine_too BEFORE INSERT ON moved_event FOR EACH ROW EXECUTE FUNCTION test.mine_too();
SELECT test.moved('P8, by statement');
SELECT results_eq($$SELECT status, reason FROM record_moveds('{k1,k1}', '{most,most}', NULL, '{bad,good}') ORDER BY ord$$,
    $$VALUES ('rejected', 'not this one'), ('recorded', NULL)$$, 'P8: also after a row that is refused');
ALTER TABLE moved_event ALTER note SET DEFAULT 1 / 0;
SELECT throws_ok($$SELECT record_moveds('{k1}', '{most}')$$, '22012', NULL, 'P8: and where its owner''s default fails');
SELECT is(current_user::text, session_user::text, 'P8: whoever calls it is himself afterwards');

--
-- The types of a track table that is somebody else's: a domain may ask anything.
--

SET LOCAL search_path = p8_theirs, p8, test, public;
CREATE ROLE p8_mallory;
CREATE SCHEMA p8_theirs AUTHORIZATION p8_mallory;
CREATE TABLE test.seen (who name DEFAULT current_user);
GRANT INSERT ON test.seen TO PUBLIC;
GRANT USAGE ON SCHEMA test TO PUBLIC;
SET LOCAL ROLE p8_mallory;
CREATE FUNCTION p8_theirs.spy() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO test.seen DEFAULT VALUES; RETURN true; END';
CREATE DOMAIN p8_theirs.number AS bigint CHECK (p8_theirs.spy());
CREATE DOMAIN p8_theirs.short AS varchar(30) COLLATE "C" CHECK (p8_theirs.spy());
CREATE DOMAIN p8_theirs.name AS p8_theirs.short CHECK (p8_theirs.spy());
CREATE TABLE p8_theirs.track (entry_key p8_theirs.number PRIMARY KEY, release_id p8_theirs.name);
CREATE TABLE p8_theirs.release (id p8_theirs.name PRIMARY KEY);
INSERT INTO p8_theirs.track VALUES (1, 'one');
INSERT INTO p8_theirs.release VALUES ('one');
GRANT USAGE ON SCHEMA p8_theirs TO PUBLIC;
GRANT SELECT ON p8_theirs.track, p8_theirs.release TO p8_app;
RESET ROLE;
SET LOCAL search_path = p8, test, public;
DELETE FROM test.seen;
SET LOCAL ROLE p8_app;
SELECT playevent.create_log('heard', track => 'p8_theirs.track', release => 'p8_theirs.release', ingest_role => 'p8_web') AS log \gset
RESET ROLE;
SELECT can('p8_web', statement, 'with a track of domains: ' || statement)
  FROM (VALUES ($$SELECT p8.record_heard(1, 'most')$$), ($$SELECT p8.record_heard(NULL, 'most', release_id => 'one')$$),
               ($$SELECT p8.record_heards('{1,2}', '{most,most}')$$),
               ($$SELECT p8.record_heards('{NULL,1}', '{most,most}', release_ids => '{one,one}')$$),
               ($$INSERT INTO p8.heard_event (track_entry_key, bucket) VALUES (2, 'most')$$)) AS calls (statement);
CREATE TRIGGER mine_too BEFORE INSERT ON heard_event FOR EACH ROW EXECUTE FUNCTION test.mine_too();
SELECT can('p8_web', $$SELECT p8.record_heards('{1,2}', '{most,most}')$$, 'with one, by statement');
SELECT results_eq('SELECT release_id IS NULL, sum(heards) FROM heard_counter GROUP BY 1 ORDER BY 1',
    $$VALUES (false, numeric '6'), (true, 3)$$, 'P2: their releases are looked up');
SELECT is_empty($$SELECT * FROM playevent.verify('heard_event')$$, 'P3: and counted');
SELECT is_empty('SELECT DISTINCT who FROM test.seen', 'P8: what the domains'' owner wrote runs as nobody');
SELECT results_eq($$SELECT format_type(atttypid, atttypmod), attcollation = '"C"'::regcollation
                      FROM pg_attribute WHERE attrelid = 'heard_event'::regclass AND attname IN ('track_entry_key', 'release_id') ORDER BY attnum$$,
    $$VALUES ('bigint', false), ('character varying(30)', true)$$,
    'P8: the log''s columns have the types beneath, with their length and collation');

-- An error that a trigger raises by hand is not about the index that it names, which
-- may be another table's.
SELECT 'CREATE TABLE wide (' || string_agg('c' || i || ' int', ', ') || ')' FROM generate_series(1, 500) i \gexec
CREATE UNIQUE INDEX wide_index ON wide (c500);
CREATE FUNCTION test.pretend() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE unique_violation USING MESSAGE = 'so it says', SCHEMA = 'p8', TABLE = 'heard_event', CONSTRAINT = 'wide_index';
END
$$;
CREATE TRIGGER pretend BEFORE INSERT ON heard_event FOR EACH ROW EXECUTE FUNCTION test.pretend();
SELECT results_eq($$SELECT status, reason FROM record_heards('{1,2}', '{most,most}')$$,
    $$VALUES ('rejected', 'so it says'), ('rejected', 'so it says')$$, 'P9: an error raised by hand with another table''s index is the row''s');

-- Names with what could end a function's body go into it as they are.
CREATE FUNCTION test.odd() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM playevent.create_log('a$body$b', track => 'p8.track', kind => 'c$body$d',
        kinds => '{e$body$f,$f$}', thresholds => '{0.1,0.5}');
END
$$;
SELECT lives_ok('SELECT test.odd()', 'P8: names with dollar quotes');
SELECT is("a$body$b_c$body$d_of"(0.2)::text || "record_a$body$b"('k1', '$f$'), 'e$body$f1', 'P8: do for functions');

SELECT * FROM finish();
ROLLBACK;
