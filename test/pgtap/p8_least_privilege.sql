-- P8: the web role needs INSERT on a few columns and nothing else; triggers act
-- with the rights of the log's owner, so that making a log is no way to read or
-- to write what one may not; row-level security of the track table is honoured
-- or refused, never bypassed.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(63);

CREATE ROLE p8_app;
CREATE ROLE p8_web;
CREATE ROLE p8_other;
CREATE ROLE p8_readers;
CREATE SCHEMA p8 AUTHORIZATION p8_app;
CREATE SCHEMA p8_other AUTHORIZATION p8_other;
SET LOCAL search_path = p8, public;
SET LOCAL client_min_messages = warning;

\ir include/run_as.sql
-- What only a superuser sees regardless of any grant
CREATE FUNCTION test.plays(counter text, key text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('SELECT coalesce(sum(plays), 0) FROM %s WHERE track_entry_key = %L', counter, key) INTO result;
    RETURN result;
END
$$;
SET LOCAL search_path = p8, test, public;

--
-- The web role
--

SET LOCAL ROLE p8_app;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int, is_deleted bool, secret text);
INSERT INTO track VALUES ('k1', 1, false, 'x'), ('k2', 2, false, 'y');
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted',
                            ingest_role => 'p8_web') AS log \gset
RESET ROLE;

SELECT set_eq(
    $$SELECT column_name::text FROM information_schema.column_privileges
       WHERE grantee = 'p8_web' AND table_schema = 'p8' AND privilege_type = 'INSERT'$$,
    $$VALUES ('track_entry_key'), ('bucket'), ('event_id'), ('anon_id')$$,
    'P8: ingest_role gets INSERT on four columns');
SELECT is_empty(
    $$SELECT * FROM information_schema.column_privileges
       WHERE grantee = 'p8_web' AND table_schema = 'p8' AND privilege_type <> 'INSERT'$$,
    'P8: ingest_role gets nothing but INSERT');
SELECT is_empty(
    $$SELECT * FROM information_schema.role_table_grants WHERE grantee = 'p8_web'$$,
    'P8: ingest_role gets no right on a whole table');

SELECT can('p8_web', $$INSERT INTO p8.play_event (track_entry_key, bucket, event_id, anon_id)
                       VALUES ('k1', 'complete', '00000000-0000-0000-0000-000000000001', 'a')$$,
           'the web role can insert a play');
SELECT can('p8_web', $$INSERT INTO p8.play_event (track_entry_key, bucket, event_id)
                       VALUES ('k1', 'complete', '00000000-0000-0000-0000-000000000001')
                       ON CONFLICT DO NOTHING$$,
           'the web role can insert a play again without counting it twice');
SELECT results_eq('SELECT release_id FROM play_event', 'VALUES (1)',
                  'P8: the play has its release, which the web role can''t read');
SELECT is(plays('play_counter', 'k1'), 1::bigint, 'P8: the play is counted, once');

SELECT cannot('p8_web', 'SELECT 1 FROM p8.track', 'permission denied for table track',
              'the web role can''t read track');
SELECT cannot('p8_web', 'SELECT entry_key FROM p8.track', 'permission denied for table track',
              'the web role can''t read track''s keys');
SELECT cannot('p8_web', 'SELECT 1 FROM p8.play_event', 'permission denied for table play_event',
              'the web role can''t read the log');
SELECT cannot('p8_web', $$INSERT INTO p8.play_event (track_entry_key, bucket)
                          VALUES ('k1', 'complete') RETURNING release_id$$,
              'permission denied for table play_event', 'the web role can''t read a play back');
SELECT cannot('p8_web', $$INSERT INTO p8.play_event (track_entry_key, bucket, release_id)
                          VALUES ('k1', 'complete', 1)$$,
              'permission denied for table play_event', 'the web role can''t send a release');
SELECT cannot('p8_web', $$INSERT INTO p8.play_event (track_entry_key, bucket, created_at)
                          VALUES ('k1', 'complete', now())$$,
              'permission denied for table play_event', 'the web role can''t send a time');
SELECT cannot('p8_web', 'UPDATE p8.play_event SET anon_id = NULL', 'permission denied for table play_event',
              'the web role can''t update the log');
SELECT cannot('p8_web', 'DELETE FROM p8.play_event', 'permission denied for table play_event',
              'the web role can''t delete from the log');
SELECT cannot('p8_web', 'TRUNCATE p8.play_event', 'permission denied for table play_event',
              'the web role can''t truncate the log');
SELECT cannot('p8_web', statement, 'permission denied for table play_counter_slot',
              'the web role can''t touch slots: ' || statement)
  FROM (VALUES ('SELECT 1 FROM p8.play_counter_slot'),
               ('INSERT INTO p8.play_counter_slot VALUES (NULL)'),
               ('UPDATE p8.play_counter_slot SET plays = 0'),
               ('DELETE FROM p8.play_counter_slot'),
               ('TRUNCATE p8.play_counter_slot')) AS s (statement);
SELECT cannot('p8_web', format('SELECT * FROM p8.%I', view), format('permission denied for view %s', view),
              'the web role can''t read view ' || view)
  FROM (VALUES ('play_counter'), ('play_by_track'), ('play_by_release')) AS v (view);
SELECT cannot('p8_web', $$SELECT playevent.rebuild('p8.play_event')$$, 'must be owner of table play_event',
              'the web role can''t rebuild');
SELECT cannot('p8_web', $$SELECT * FROM playevent.verify('p8.play_event')$$,
              'permission denied for table play_event', 'the web role can''t verify');
SELECT can('p8_web', 'SELECT * FROM playevent.log', 'anyone can see which logs there are');

-- Who reads counters needs the views and no more.
GRANT USAGE ON SCHEMA p8 TO p8_other;
GRANT SELECT ON play_counter, play_by_track, play_by_release TO p8_other;
SELECT can('p8_other', 'SELECT * FROM p8.' || view, 'SELECT on the view is enough to read ' || view)
  FROM (VALUES ('play_counter'), ('play_by_track'), ('play_by_release')) AS v (view);

--
-- A log's triggers can't be used to read what its owner may not
--

GRANT CREATE ON SCHEMA p8_other TO p8_app;
SELECT cannot('p8_other', $$SET LOCAL search_path = p8_other; SELECT playevent.create_log('spy', track => 'p8.track')$$,
              'permission denied for table track', 'create_log needs SELECT on the track table');
SET LOCAL ROLE p8_other;
CREATE TABLE p8_other.spy_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
RESET ROLE;
SELECT cannot('p8_other', $$SELECT playevent.attach_log('p8_other.spy_event', track => 'p8.track')$$,
              'permission denied for table track', 'attach_log needs SELECT on the track table');
-- nor with a trigger that one makes oneself, which nothing checks before it fires
SET LOCAL ROLE p8_other;
CREATE TRIGGER spy BEFORE INSERT ON p8_other.spy_event FOR EACH ROW EXECUTE FUNCTION
    playevent.resolve('p8.track', 'entry_key', 'release_id', '', 'record', 'track_entry_key', 'release_id');
RESET ROLE;
SELECT cannot('p8_other', $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$,
              'permission denied for table track', 'a trigger made by hand can''t read it either');
-- whoever inserts: it is the table's owner who asks
SELECT cannot(current_user, $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$,
              'permission denied for table track', 'not even when a superuser inserts');

-- SELECT on the columns read is enough; on fewer it isn't.
GRANT SELECT (entry_key) ON track TO p8_other;
SELECT cannot('p8_other', $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$,
              'permission denied for table track', 'SELECT on the key column alone is not enough');
GRANT SELECT (release_id) ON track TO p8_other;
SELECT can('p8_other', $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$,
           'SELECT on the columns read is enough');
SELECT results_eq('SELECT release_id FROM p8_other.spy_event', 'VALUES (1)', 'P8: and the release is found');
DROP TRIGGER spy ON p8_other.spy_event;
SELECT can('p8_other', $$SELECT playevent.attach_log('p8_other.spy_event', track => 'p8.track')$$,
           'SELECT on the columns read is enough for attach_log');
REVOKE USAGE ON SCHEMA p8 FROM p8_other;
SELECT cannot('p8_other', $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$,
              'permission denied for table track', 'a later REVOKE on the schema is noticed');
GRANT USAGE ON SCHEMA p8 TO p8_other;
SELECT can('p8_other', $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$, 'so is a GRANT');
REVOKE SELECT (release_id) ON track FROM p8_other;
SELECT cannot('p8_other', $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$,
              'permission denied for table track', 'a later REVOKE on a column is noticed');
-- rights that come with a membership
GRANT SELECT ON track TO p8_readers;
GRANT p8_readers TO p8_other;
SELECT can('p8_other', $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$,
           'a right that comes with a membership counts');
REVOKE p8_readers FROM p8_other;
SELECT cannot('p8_other', $$INSERT INTO p8_other.spy_event VALUES ('k1', NULL, 'x')$$,
              'permission denied for table track', 'the end of a membership is noticed');

--
-- Nor to write what its owner may not
--

SET LOCAL ROLE p8_other;
CREATE TABLE p8_other.forge_event (track_entry_key varchar(100) NOT NULL, release_id int, bucket p8.play_bucket NOT NULL);
CREATE TRIGGER forge AFTER INSERT ON p8_other.forge_event FOR EACH ROW EXECUTE FUNCTION
    playevent.count('p8.play_counter_slot', 'plays', 'track_entry_key', 'release_id', 'bucket');
CREATE TRIGGER forge_flush AFTER INSERT ON p8_other.forge_event FOR EACH STATEMENT EXECUTE FUNCTION
    playevent.flush('p8.play_counter_slot', 'plays', 'track_entry_key', 'release_id', 'bucket');
RESET ROLE;
SELECT cannot('p8_other', $$INSERT INTO p8_other.forge_event VALUES ('k2', 2, 'most')$$,
              'must be owner of table play_counter_slot', 'a trigger made by hand can''t write to someone''s slots');
SELECT cannot(current_user, $$INSERT INTO p8_other.forge_event VALUES ('k2', 2, 'most')$$,
              'must be owner of table play_counter_slot', 'not even when a superuser inserts');
GRANT ALL ON play_counter_slot TO p8_other;
SELECT cannot('p8_other', $$INSERT INTO p8_other.forge_event VALUES ('k2', 2, 'most')$$,
              'must be owner of table play_counter_slot', 'nor one who may write to the table by SQL');
SELECT is(plays('play_counter', 'k2'), 0::bigint, 'P8: nothing was forged');

-- Making a log of someone's table, or reading and rebuilding it
SELECT cannot('p8_other', $$SELECT playevent.attach_log('p8.play_event', track => 'p8_other.spy_event')$$,
              'must be owner of table play_event', 'attach_log is for the table''s owner');
SELECT cannot('p8_other', $$SELECT playevent.rebuild('p8.play_event')$$,
              'must be owner of table play_event', 'rebuild is for the table''s owner');
SELECT cannot('p8_other', $$SELECT * FROM playevent.verify('p8.play_event')$$,
              'permission denied for table play_event', 'verify needs SELECT on the log');
SELECT cannot('p8_other', $$SET LOCAL search_path = p8; SELECT playevent.create_log('mine', track => 'p8_other.spy_event', track_key => 'track_entry_key')$$,
              'permission denied for schema p8', 'create_log needs CREATE on the schema');

--
-- Row-level security of the track table
--

SET LOCAL ROLE p8_app;
CREATE TABLE p8.shelf (entry_key text PRIMARY KEY, release_id int);
INSERT INTO p8.shelf VALUES ('open', 1), ('hidden', 2);
GRANT SELECT ON p8.shelf TO p8_other;
ALTER TABLE p8.shelf ENABLE ROW LEVEL SECURITY;
CREATE POLICY open ON p8.shelf FOR SELECT USING (entry_key = 'open');
SELECT playevent.create_log('own', track => 'shelf') AS log \gset
RESET ROLE;
SELECT can('p8_app', $$INSERT INTO p8.own_event (track_entry_key, bucket) VALUES ('hidden', 'most')$$,
           'policies don''t apply to the owner of track and log');
SELECT results_eq('SELECT release_id FROM own_event', 'VALUES (2)', 'P8: who sees every track');
SELECT cannot('p8_other', $$SET LOCAL search_path = p8_other; SELECT playevent.create_log('peek', track => 'p8.shelf')$$,
              'row-level security of table "shelf" applies to role "p8_other", the owner of table "peek_event"',
              'create_log refuses a track table whose policies apply to its owner', '0A000');
ALTER TABLE shelf FORCE ROW LEVEL SECURITY;
SELECT cannot('p8_app', $$INSERT INTO p8.own_event (track_entry_key, bucket) VALUES ('hidden', 'most')$$,
              'row-level security of table "shelf" applies to role "p8_app", the owner of table "own_event"',
              'policies forced on the owner later are noticed', '0A000');
SELECT cannot(current_user, $$INSERT INTO p8.own_event (track_entry_key, bucket) VALUES ('hidden', 'most')$$,
              'row-level security of table "shelf" applies to role "p8_app", the owner of table "own_event"',
              'also when a superuser inserts', '0A000');
ALTER ROLE p8_app BYPASSRLS;
SELECT can('p8_app', $$INSERT INTO p8.own_event (track_entry_key, bucket) VALUES ('hidden', 'most')$$,
           'an owner with BYPASSRLS sees every track');
ALTER ROLE p8_app NOBYPASSRLS;
SELECT cannot('p8_app', $$INSERT INTO p8.own_event (track_entry_key, bucket) VALUES ('hidden', 'most')$$,
              'row-level security of table "shelf" applies to role "p8_app", the owner of table "own_event"',
              'which is noticed when it ends', '0A000');
ALTER TABLE shelf NO FORCE ROW LEVEL SECURITY;

-- Row-level security of the log itself: inserts are checked by its policies, and
-- numbers that would be of visible rows only are refused.
ALTER TABLE own_event ENABLE ROW LEVEL SECURITY;
CREATE POLICY most ON own_event USING (bucket = 'most') WITH CHECK (bucket = 'most');
GRANT INSERT (track_entry_key, bucket) ON own_event TO p8_web;
SELECT can('p8_web', $$INSERT INTO p8.own_event (track_entry_key, bucket) VALUES ('open', 'most')$$,
           'a play that the log''s policy lets pass');
SELECT cannot('p8_web', $$INSERT INTO p8.own_event (track_entry_key, bucket) VALUES ('open', 'partial')$$,
              'new row violates row-level security policy for table "own_event"',
              'a play that the log''s policy refuses');
GRANT SELECT ON own_event, own_counter_slot TO p8_other;
SELECT cannot('p8_other', $$SELECT * FROM playevent.verify('p8.own_event')$$,
              'query would be affected by row-level security policy for table "own_event"',
              'verify refuses to compare with a part of the log');
SELECT is_empty($$SELECT * FROM playevent.verify('own_event')$$, 'P8: the counters are exact for who sees all');

-- By its OID, a log is named without its schema.
REVOKE USAGE ON SCHEMA p8 FROM p8_other;
SELECT cannot('p8_other', format('SELECT * FROM playevent.verify(%s)', 'own_event'::regclass::oid),
              'permission denied for schema p8', 'verify needs USAGE on the log''s schema');

SELECT * FROM finish();
ROLLBACK;
