-- P8: the event triggers run functions as everyone, superusers included; so
-- whoever may create the extension has no say in what these are.  Nor do they
-- depend on rights that new functions may lack.
BEGIN;
DROP EXTENSION IF EXISTS playevent;
SELECT plan(6);

CREATE ROLE install_mallory;
CREATE SCHEMA install;
GRANT ALL ON SCHEMA install TO PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;
SET search_path = install, public;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO install_mallory', current_database()); END $$;

SET ROLE install_mallory;
CREATE SCHEMA playevent;
SELECT throws_ok('CREATE EXTENSION playevent', '42P06', NULL,
    'P8: a schema that is there, with whatever may be in it, is not made the extension''s');
DROP SCHEMA playevent;

-- Without PUBLIC, as those have it who don't want to forget that.
RESET ROLE;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
SET ROLE install_mallory;
CREATE EXTENSION playevent;
SELECT throws_ok('ALTER SCHEMA playevent RENAME TO moved', '42501', NULL,
    'P8: who created the extension can''t put another schema in the place of its own');
SELECT throws_ok('CREATE FUNCTION playevent.mine() RETURNS int LANGUAGE sql AS ''SELECT 1''', '42501', NULL,
    'P8: nor anything into it');
RESET ROLE;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;

CREATE ROLE install_other;
SET ROLE install_other;
SELECT lives_ok(
    'CREATE TABLE part (i int) PARTITION BY LIST (i); CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)',
    'P8: everyone may still make partitions of what is his');
SELECT lives_ok('SELECT * FROM playevent.log', 'P8: and see the logs there are');

SET ROLE install_mallory;
SELECT lives_ok('DROP EXTENSION playevent', 'P7: who created it may drop it, its schema included');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
