-- P8 and P9: record_one and record_batch are there for everybody, on any table of his
-- own, and take nothing for granted that attach_log has seen to.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(9);

CREATE SCHEMA direct;
SET search_path = direct, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('k', 7);

CREATE TABLE plain (id bigserial PRIMARY KEY, key text, kind text, rel bigint, at text, day date,
    rec timestamptz DEFAULT '2000-01-01 00:00:00+00');
SELECT throws_ok($$SELECT playevent.record_one('direct.plain', '{id,key,kind,"","","",rel,""}', '{NULL}', 'k'::text, 'x'::text, NULL::uuid, NULL, NULL)$$,
    '22004', 'kinds must not be null', 'P9: a kind of the log that is null');
SELECT throws_ok($$SELECT playevent.record_batch('direct.plain', '{id,key,kind,"","","",rel,""}', '{NULL}', '{k}'::text[], '{x}'::text[], NULL, NULL, NULL, NULL)$$,
    '22004', 'kinds must not be null', 'P9: and for a batch');
CREATE TRIGGER d BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION playevent.day('day', '', 'rec');
SELECT throws_ok($$SELECT playevent.record_batch('direct.plain', '{id,key,kind,"","",at,rel,""}', NULL, '{k}'::text[], '{x}'::text[], NULL, NULL, '{abc}'::text[], NULL)$$,
    '42804', NULL, 'P9: times that are no times');

CREATE TABLE generated (id bigserial PRIMARY KEY, key text, kind text, rel bigint, at timestamptz, day date,
    rec timestamptz GENERATED ALWAYS AS (at) STORED);
CREATE TRIGGER d BEFORE INSERT ON generated FOR EACH ROW EXECUTE FUNCTION playevent.day('day', 'at', 'rec');
SELECT throws_ok($$SELECT playevent.record_batch('direct.generated', '{id,key,kind,"","",at,rel,""}', NULL, '{k}'::text[], '{x}'::text[], NULL, NULL, '{2020-01-01}'::timestamptz[], NULL)$$,
    '42611', NULL, 'P10: a day told by a generated column');

-- Where the trigger finds releases of another column, or puts them into another, it
-- does so by itself.
CREATE TABLE other (id bigserial PRIMARY KEY, track_entry_key text, release_id bigint, bucket text NOT NULL, number bigint, word text);
CREATE TRIGGER r BEFORE INSERT ON other FOR EACH ROW
    EXECUTE FUNCTION playevent.resolve('track', 'entry_key', 'release_id', '', 'record', 'track_entry_key', 'release_id');
SELECT results_eq($$SELECT status FROM playevent.record_batch('direct.other', '{id,number,bucket,"","","",release_id,""}', NULL, '{12345}'::bigint[], '{x}'::text[], NULL, NULL, NULL, NULL)$$,
    ARRAY['recorded'], 'P2: a batch by another key than the trigger''s');
SELECT results_eq($$SELECT status FROM playevent.record_batch('direct.other', '{id,track_entry_key,bucket,"","","",word,""}', NULL, '{k}'::text[], '{x}'::text[], NULL, NULL, NULL, NULL)$$,
    ARRAY['recorded'], 'P2: and one with another release');
SELECT results_eq('SELECT number, release_id, word FROM other ORDER BY id', $$VALUES (12345::bigint, NULL::bigint, NULL), (NULL, 7, NULL)$$,
    'P2: the rows are as the trigger makes them');

-- What is in others' functions is not looked at, but whose they are.
CREATE ROLE direct_mallory;
GRANT ALL ON SCHEMA direct TO direct_mallory;
CREATE TABLE v_event (id bigserial PRIMARY KEY, track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
SET LOCAL check_function_bodies = off;
SET ROLE direct_mallory;
DO $$ BEGIN EXECUTE format('CREATE FUNCTION direct.record_v() RETURNS int LANGUAGE plpgsql AS %L', repeat(' ', 2000) || 'playevent.record_one('); END $$;
RESET ROLE;
SELECT throws_ok($$SELECT playevent.attach_log('v_event', 'track')$$, '42501', 'function "record_v" belongs to someone else than "v_event"',
    'P8: somebody else''s function is in the way');
ALTER FUNCTION record_v() OWNER TO CURRENT_USER;
SELECT throws_ok($$SELECT playevent.attach_log('v_event', 'track')$$, '42723', 'function "record_v" exists already in schema "direct"',
    'P10: and one of one''s own, whatever it says further on');

SELECT * FROM finish();
ROLLBACK;
