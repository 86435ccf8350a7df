-- P8: what others alter about roles and schemas of their own is no burden to whoever
-- inserts; what takes the log's owner a right away is seen at once.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(16);
SET LOCAL client_min_messages = error;
\ir include/run_as.sql

CREATE ROLE rights_alice;
CREATE ROLE rights_mallory;
CREATE ROLE rights_inner;
CREATE ROLE rights_outer;
CREATE ROLE rights_web;
GRANT rights_outer TO rights_inner;
GRANT rights_inner TO rights_alice;
CREATE SCHEMA a AUTHORIZATION rights_alice;
CREATE SCHEMA m AUTHORIZATION rights_mallory;
CREATE SCHEMA t;
GRANT USAGE ON SCHEMA t TO rights_alice;
CREATE TABLE t.track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO t.track VALUES ('k', 7);
GRANT SELECT ON t.track TO rights_outer;
GRANT USAGE ON SCHEMA test, a TO PUBLIC;
SET LOCAL ROLE rights_alice;
CREATE TABLE a.play_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
SELECT playevent.attach_log('a.play_event', 't.track', kinds => '{x}', name => 'play');
RESET ROLE;

CREATE FUNCTION test.insert() RETURNS void LANGUAGE sql AS $$INSERT INTO a.play_event VALUES ('k', NULL, 'x')$$;
CREATE FUNCTION test.replaced() RETURNS bigint LANGUAGE sql AS
    $$SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'playevent binding' AND ident = 'replaced'$$;
SELECT test.insert();
SELECT test.replaced() AS before \gset
DO $$
BEGIN
    FOR i IN 1..20 LOOP
        GRANT USAGE ON SCHEMA m TO rights_web;
        PERFORM test.insert();
        REVOKE USAGE ON SCHEMA m FROM rights_web;
        PERFORM test.insert();
        ALTER ROLE rights_mallory CONNECTION LIMIT 5;
        PERFORM test.insert();
        GRANT rights_web TO rights_mallory;
        PERFORM test.insert();
        REVOKE rights_web FROM rights_mallory;
        PERFORM test.insert();
    END LOOP;
END
$$;
SELECT is(test.replaced() - :before, 0::bigint, 'P8: others'' rights and roles make no log look anew at what it has');
SELECT is((SELECT plays FROM a.play_counter), 101::bigint, 'P3: all are counted');

-- Each of these takes away what it needs, and gives it back.
CREATE FUNCTION test.needs(takes text, gives text, state text, what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE takes;
    RETURN NEXT throws_ok('SELECT test.insert()', state, NULL, 'P8: seen at once: ' || what);
    EXECUTE gives;
    RETURN NEXT lives_ok('SELECT test.insert()', 'P8: and that it is back: ' || what);
END
$$;
SELECT test.needs('REVOKE rights_inner FROM rights_alice', 'GRANT rights_inner TO rights_alice', '42501', 'a membership');
SELECT test.needs('REVOKE rights_outer FROM rights_inner', 'GRANT rights_outer TO rights_inner', '42501', 'that of a role it is a member of');
SELECT test.needs('REVOKE USAGE ON SCHEMA t FROM rights_alice', 'GRANT USAGE ON SCHEMA t TO rights_alice', '42501', 'USAGE of a schema');
SELECT test.needs('REVOKE SELECT ON t.track FROM rights_outer', 'GRANT SELECT ON t.track TO rights_outer', '42501', 'SELECT');
SELECT test.needs('REVOKE rights_outer FROM rights_inner; ALTER ROLE rights_alice SUPERUSER; SELECT test.insert(); ALTER ROLE rights_alice NOSUPERUSER',
    'GRANT rights_outer TO rights_inner', '42501', 'that it was a superuser''s');
SELECT test.needs(format('REVOKE rights_outer FROM rights_inner; GRANT SELECT ON t.track TO pg_database_owner; ALTER DATABASE %1$I OWNER TO rights_alice;
        SELECT test.insert(); ALTER DATABASE %1$I OWNER TO %2$I', current_database(), current_user),
    'GRANT rights_outer TO rights_inner', '42501', 'that it was the database''s owner');
ALTER EVENT TRIGGER playevent_follow_renames DISABLE;
SELECT test.needs('ALTER SCHEMA t RENAME TO other', 'ALTER SCHEMA other RENAME TO t', '42P01', 'a schema''s name');

SELECT * FROM finish();
ROLLBACK;
