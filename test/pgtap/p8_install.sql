-- P8: what the extension does for everyone neither runs code of whoever was in
-- its schema first, nor depends on rights that new functions may lack.
BEGIN;
DROP EXTENSION IF EXISTS playevent;
SELECT plan(4);

CREATE ROLE install_mallory;
CREATE SCHEMA install;
GRANT ALL ON SCHEMA install TO PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;
SET search_path = install, public;
CREATE TABLE ran (by_whom text);
GRANT ALL ON ran TO PUBLIC;

-- Operators that fit what the script compares better than those of pg_catalog.
CREATE SCHEMA playevent AUTHORIZATION install_mallory;
SET ROLE install_mallory;
DO $$
DECLARE
    pair text[];
    op text;
BEGIN
    FOREACH pair SLICE 1 IN ARRAY '{{oid,regproc},{regproc,oid},{oid,regclass},{regclass,oid},{oid,int4}}'::text[] LOOP
        EXECUTE format(
            'CREATE FUNCTION install.trap(%s, %s) RETURNS boolean LANGUAGE plpgsql AS
             ''BEGIN INSERT INTO install.ran VALUES (current_user); RETURN true; END''',
            pair[1], pair[2]);
        FOREACH op IN ARRAY '{=,<>}'::text[] LOOP
            EXECUTE format('CREATE OPERATOR playevent.%s (FUNCTION = install.trap, LEFTARG = %s, RIGHTARG = %s)',
                op, pair[1], pair[2]);
        END LOOP;
    END LOOP;
END
$$;
RESET ROLE;

-- As those do who don't want to forget it for functions with their rights
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE EXTENSION playevent;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
SELECT playevent.create_log('play', track => 'track');
ALTER TABLE play_event DISABLE TRIGGER ALL, ENABLE TRIGGER ALL;
SELECT ok(intact, 'P8: the view works') FROM playevent.log WHERE event = 'play_event'::regclass;
SELECT is_empty('SELECT * FROM ran', 'P8: and nothing has run operators that lay in the schema');

SET ROLE install_mallory;
SELECT lives_ok(
    'CREATE TABLE part (i int) PARTITION BY LIST (i); CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)',
    'P8: everyone may still make partitions of what is his');
SELECT lives_ok('SELECT * FROM playevent.log', 'P8: and see the logs there are');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
