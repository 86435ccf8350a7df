-- P8: a log's functions are for whom they are granted to, who needs no other
-- right; late plays are for those alone who are granted that too; a reader sees
-- the views and nothing else.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(42);

CREATE ROLE p8_app;
CREATE ROLE p8_web;
CREATE ROLE p8_importer;
CREATE ROLE p8_reader;
CREATE ROLE p8_other;
CREATE SCHEMA p8 AUTHORIZATION p8_app;
CREATE SCHEMA p8_test;
GRANT USAGE ON SCHEMA p8 TO p8_importer, p8_other;
SET LOCAL client_min_messages = warning;

-- Runs a statement as a role and goes back to who we were: pgTAP is not to run
-- as that role.
CREATE FUNCTION p8_test.run_as(role name, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE statement;
    RESET ROLE;
END
$$;
CREATE FUNCTION p8_test.can(role name, statement text, title text) RETURNS text LANGUAGE sql AS $$
    SELECT lives_ok(format('SELECT p8_test.run_as(%L, %L)', role, statement), 'P8: ' || title)
$$;
CREATE FUNCTION p8_test.cannot(role name, statement text, message text, title text) RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(format('SELECT p8_test.run_as(%L, %L)', role, statement), '42501', message, 'P8: ' || title)
$$;
SET LOCAL search_path = p8, p8_test, public;

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
             ('record_share', 5), ('record_shares', 5), ('record_shares', 6)$$,
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
SELECT cannot('p8_web', $$SELECT * FROM playevent.record_batch('p8.play_event', 'bucket', 'played_at',
    '{k1}'::text[], '{most}'::p8.play_bucket[], NULL, NULL, ARRAY[now()], NULL)$$,
    'must be owner of table play_event', 'the function beneath');
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

-- Names with what could end a function's body go into it as they are.
CREATE FUNCTION p8_test.odd() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM playevent.create_log('a$body$b', track => 'p8.track', kind => 'c$body$d',
        kinds => '{e$body$f,$f$}', thresholds => '{0.1,0.5}');
END
$$;
SELECT lives_ok('SELECT p8_test.odd()', 'P8: names with dollar quotes');
SELECT is("a$body$b_c$body$d_of"(0.2)::text || "record_a$body$b"('k1', '$f$'), 'e$body$f1', 'P8: do for functions');

SELECT * FROM finish();
ROLLBACK;
