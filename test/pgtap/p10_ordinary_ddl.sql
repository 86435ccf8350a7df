-- P10: DDL that has nothing to do with a log goes on as without us.  Each
-- statement here is run where the extension never was, and again where it is,
-- with a log beside; by roles that have no right in its schema.  What it says,
-- and what there is after it, must be the same.
BEGIN;
DROP EXTENSION IF EXISTS playevent;
SELECT plan(3);

SET client_min_messages = error;
CREATE ROLE ordinary;
CREATE ROLE ordinary_other;
CREATE SCHEMA o AUTHORIZATION ordinary;
CREATE SCHEMA theirs;
CREATE SCHEMA logs;
CREATE SCHEMA compare;
DO $$ BEGIN EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO ordinary, ordinary_other', current_database()); END $$;
GRANT USAGE ON SCHEMA o, theirs, compare TO PUBLIC;
GRANT CREATE ON SCHEMA theirs TO ordinary;
CREATE FOREIGN DATA WRAPPER ordinary;
CREATE SERVER ordinary FOREIGN DATA WRAPPER ordinary;
GRANT USAGE ON FOREIGN SERVER ordinary TO ordinary;

SET ROLE ordinary;
SET search_path = o;
CREATE TABLE parted (i int, t text) PARTITION BY LIST (i);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2) PARTITION BY RANGE (i);
CREATE TABLE parted_2_a PARTITION OF parted_2 DEFAULT;
CREATE TABLE parted_3 (i int, t text);
CREATE INDEX parted_i ON ONLY parted (i);
CREATE INDEX parted_1_i ON parted_1 (i);
CREATE TABLE plain (i int, t text);
INSERT INTO plain VALUES (1, 'one');
CREATE TABLE child () INHERITS (plain);
CREATE TYPE kind AS (i int, t text);
CREATE TABLE typed OF kind;
CREATE VIEW seen AS SELECT 1 AS i;
CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
CREATE SEQUENCE counted;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER was_there AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION nothing();
GRANT TRIGGER ON plain TO ordinary_other;
RESET ROLE;
CREATE TABLE theirs.shared (i int);
GRANT TRIGGER ON theirs.shared TO ordinary;

-- One trigger there calls a library that is gone.
CREATE FUNCTION theirs.lost() RETURNS trigger LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE TRIGGER lost AFTER INSERT ON theirs.shared FOR EACH ROW EXECUTE FUNCTION theirs.lost();
UPDATE pg_proc SET probin = '$libdir/no_such_library' WHERE oid = 'theirs.lost'::regproc;

-- Other people's event triggers: what was made is renamed, moved, dropped or
-- replaced before ours look at it.
CREATE FUNCTION compare.meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 0 AND current_setting('test.meddle', true) <> '' THEN
        DECLARE
            what text := current_setting('test.meddle');
        BEGIN
            PERFORM set_config('test.meddle', '', true);
            EXECUTE what;
        END;
    END IF;
END
$$;
CREATE EVENT TRIGGER a_meddler ON ddl_command_end EXECUTE FUNCTION compare.meddle();

CREATE FUNCTION compare.relations() RETURNS text LANGUAGE sql
SET search_path = pg_catalog AS $$
    SELECT string_agg(concat_ws(' ', replace(n.nspname, 'pg_temp_', 'pg_temp'), c.relname, c.relkind, c.relpersistence,
            c.relowner::regrole, c.relispartition,
            (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid),
            (SELECT string_agg(concat_ws(':', a.attname, format_type(a.atttypid, a.atttypmod)), ',' ORDER BY a.attnum)
               FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
            (SELECT string_agg(concat_ws(':', t.tgname, t.tgenabled), ',' ORDER BY t.tgname)
               FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)),
        E'\n' ORDER BY n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname !~ '^(playevent|logs|compare|information_schema|public|pg_catalog|pg_toast.*)$' AND c.relname !~ '^__t'  -- pgTAP's
$$;

CREATE TABLE compare.statement (
    n int GENERATED ALWAYS AS IDENTITY, statement text, role name DEFAULT 'ordinary',
    path text DEFAULT 'o', meddle text DEFAULT '', replication text DEFAULT 'origin',
    without text, beside text
);
INSERT INTO compare.statement (statement) VALUES
    -- names of nothing
    ('ALTER TABLE IF EXISTS no_such ATTACH PARTITION no_such_2020 FOR VALUES IN (1)'),
    ('ALTER TABLE IF EXISTS no_such ATTACH PARTITION no_such_2020 DEFAULT'),
    ('ALTER TABLE IF EXISTS no_such DETACH PARTITION no_such_2020'),
    ('ALTER TABLE IF EXISTS no_such DETACH PARTITION parted_1'),
    ('ALTER TABLE IF EXISTS no_such DETACH PARTITION no_such_2020 FINALIZE'),
    ('ALTER TABLE IF EXISTS no_such INHERIT plain'),
    ('ALTER TABLE IF EXISTS no_such INHERIT nor_such'),
    ('ALTER TABLE IF EXISTS no_such NO INHERIT nor_such'),
    ('ALTER TABLE IF EXISTS no_such OF kind'),
    ('ALTER TABLE IF EXISTS no_such NOT OF'),
    ('ALTER TABLE IF EXISTS no_such ENABLE TRIGGER no_such'),
    ('ALTER TABLE IF EXISTS no_such ENABLE TRIGGER ALL'),
    ('ALTER TABLE IF EXISTS no_such ENABLE TRIGGER USER'),
    ('ALTER TABLE IF EXISTS no_such ENABLE ALWAYS TRIGGER no_such'),
    ('ALTER TABLE IF EXISTS no_such ENABLE REPLICA TRIGGER no_such'),
    ('ALTER TABLE IF EXISTS no_such DISABLE TRIGGER ALL'),
    ('ALTER TABLE IF EXISTS no_such ADD i int'),
    ('ALTER TABLE IF EXISTS no_such ALTER i TYPE bigint USING i::bigint'),
    ('ALTER TABLE IF EXISTS no_such RENAME TO other'),
    ('ALTER TABLE IF EXISTS no_such SET SCHEMA theirs'),
    ('ALTER TABLE IF EXISTS no_such.no_such ENABLE TRIGGER ALL'),
    ('ALTER TABLE IF EXISTS no_such.no_such DETACH PARTITION no_such.x'),
    ('ALTER TABLE no_such DETACH PARTITION parted_1'),
    ('ALTER TABLE parted DETACH PARTITION no_such'),
    ('ALTER TABLE parted DETACH PARTITION plain'),
    ('ALTER FOREIGN TABLE IF EXISTS no_such INHERIT plain'),
    ('ALTER FOREIGN TABLE IF EXISTS no_such ENABLE TRIGGER ALL'),
    ('ALTER INDEX IF EXISTS no_such ATTACH PARTITION parted_1_i'),
    ('ALTER VIEW IF EXISTS no_such ALTER COLUMN i SET DEFAULT 1'),
    ('ALTER SEQUENCE IF EXISTS no_such OWNED BY NONE'),
    ('ALTER MATERIALIZED VIEW IF EXISTS no_such SET WITHOUT CLUSTER'),

    -- partitions and children
    ('ALTER TABLE parted ATTACH PARTITION parted_3 FOR VALUES IN (3)'),
    ('ALTER TABLE parted ATTACH PARTITION parted_3 DEFAULT'),
    ('ALTER TABLE IF EXISTS parted ATTACH PARTITION parted_3 FOR VALUES IN (3)'),
    ('ALTER TABLE parted DETACH PARTITION parted_1'),
    ('ALTER TABLE parted DETACH PARTITION parted_2'),
    ('ALTER TABLE parted_2 DETACH PARTITION parted_2_a'),
    ('ALTER TABLE ONLY parted ADD j int'),
    ('ALTER TABLE ONLY parted ENABLE TRIGGER ALL'),
    ('ALTER TABLE parted ENABLE TRIGGER ALL'),
    ('ALTER TABLE plain DISABLE TRIGGER was_there, ENABLE ALWAYS TRIGGER was_there'),
    ('ALTER TABLE plain ENABLE REPLICA TRIGGER was_there, ADD j int, ALTER t TYPE varchar(9)'),
    ('CREATE TABLE parted_4 PARTITION OF parted FOR VALUES IN (4)'),
    ('CREATE TABLE IF NOT EXISTS parted_1 PARTITION OF parted FOR VALUES IN (1)'),
    ('CREATE TABLE IF NOT EXISTS plain () INHERITS (child)'),
    ('CREATE TABLE parted_4 PARTITION OF parted FOR VALUES IN (4) PARTITION BY RANGE (t)'),
    ('CREATE TABLE theirs.parted_4 PARTITION OF parted DEFAULT'),
    ('CREATE UNLOGGED TABLE parted_4 PARTITION OF parted FOR VALUES IN (4)'),
    ('CREATE TEMP TABLE parted_4 PARTITION OF parted FOR VALUES IN (4)'),
    ('CREATE TABLE grandchild (j int) INHERITS (child)'),
    ('CREATE TABLE heir () INHERITS (plain, typed)'),
    ('CREATE TEMP TABLE heir () INHERITS (plain)'),
    ('ALTER TABLE parted_3 INHERIT plain'),
    ('ALTER TABLE child NO INHERIT plain'),
    ('ALTER TABLE child NO INHERIT plain, ADD j int'),
    ('ALTER TABLE plain INHERIT child'),
    ('CREATE FOREIGN TABLE far (i int) SERVER ordinary'),
    ('CREATE FOREIGN TABLE far PARTITION OF parted FOR VALUES IN (4) SERVER ordinary'),
    ('CREATE FOREIGN TABLE far () INHERITS (plain) SERVER ordinary'),
    ('CREATE FOREIGN TABLE far (i int, t text) SERVER ordinary; ALTER FOREIGN TABLE far INHERIT plain'),
    ('CREATE FOREIGN TABLE far (i int, t text) SERVER ordinary; ALTER TABLE parted ATTACH PARTITION far FOR VALUES IN (4)'),
    ('CREATE FOREIGN TABLE far (i int, t text) SERVER ordinary; ALTER TABLE plain INHERIT far; ALTER FOREIGN TABLE far ALTER i TYPE text'),
    ('CREATE TEMP TABLE t (i int) PARTITION BY LIST (i); CREATE TEMP TABLE t_1 PARTITION OF t FOR VALUES IN (1);
      CREATE TEMP TABLE t_2 (i int); ALTER TABLE t ATTACH PARTITION t_2 DEFAULT; ALTER TABLE t DETACH PARTITION t_1;
      ALTER TABLE t ENABLE TRIGGER ALL; DROP TABLE t_2'),
    ('ALTER TABLE parted_i ATTACH PARTITION parted_1_i'),
    ('ALTER INDEX parted_i ATTACH PARTITION parted_1_i'),
    ('ALTER INDEX parted_i ATTACH PARTITION plain'),

    -- other objects that are altered like tables
    ('ALTER TABLE seen ALTER i SET DEFAULT 1'),
    ('ALTER TABLE seen ENABLE TRIGGER ALL'),
    ('ALTER VIEW seen ALTER i SET DEFAULT 1'),
    ('ALTER TABLE counted OWNER TO CURRENT_USER'),
    ('ALTER SEQUENCE counted OWNED BY plain.i'),
    ('ALTER TABLE kept SET (fillfactor = 50)'),
    ('ALTER TYPE kind ADD ATTRIBUTE j int CASCADE'),
    ('ALTER TYPE kind ALTER ATTRIBUTE i TYPE text CASCADE'),
    ('ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE pg_default'),
    ('ALTER TABLE plain SET TABLESPACE pg_default'),
    ('ALTER TABLE plain SET UNLOGGED'),
    ('ALTER TABLE plain ALTER i TYPE text USING t || i, ADD k float DEFAULT random()'),
    ('ALTER TABLE plain CLUSTER ON no_such'),
    ('ALTER TABLE parted ALTER t TYPE varchar(9)'),
    ('ALTER TABLE parted ALTER i TYPE bigint'),

    -- tables made in passing
    ('CREATE TABLE made AS SELECT * FROM parted'),
    ('CREATE TABLE IF NOT EXISTS plain AS SELECT 1 AS i'),
    ('CREATE TEMP TABLE made AS EXECUTE no_such'),
    ('CREATE TABLE made (id serial PRIMARY KEY, LIKE plain INCLUDING ALL, up int REFERENCES made)'),
    ('CREATE TABLE made OF kind'),
    ('CREATE SCHEMA made CREATE TABLE one PARTITION OF o.parted FOR VALUES IN (4) CREATE TABLE two () INHERITS (o.plain)
      CREATE VIEW three AS SELECT * FROM two CREATE INDEX ON two (i) CREATE SEQUENCE four
      CREATE TRIGGER five AFTER INSERT ON two FOR EACH ROW EXECUTE FUNCTION o.nothing() GRANT SELECT ON two TO PUBLIC'),
    ('CREATE SCHEMA AUTHORIZATION ordinary CREATE TABLE one () INHERITS (o.plain)'),
    ('CREATE SCHEMA IF NOT EXISTS o'),
    ('DO ''BEGIN CREATE TABLE parted_4 PARTITION OF parted FOR VALUES IN (4); DROP TABLE parted_4; END'''),
    ('CREATE FUNCTION f() RETURNS void LANGUAGE sql AS ''CREATE TABLE o.f PARTITION OF o.parted FOR VALUES IN (5)''; SELECT f()'),

    -- triggers
    ('CREATE TRIGGER mine AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION nothing()'),
    ('CREATE OR REPLACE TRIGGER was_there AFTER UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION nothing()'),
    ('CREATE CONSTRAINT TRIGGER mine AFTER INSERT ON plain DEFERRABLE FOR EACH ROW EXECUTE FUNCTION nothing()'),
    ('CREATE TRIGGER mine INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE FUNCTION nothing()'),
    ('CREATE TRIGGER mine AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION nothing()'),
    ('CREATE TRIGGER mine AFTER INSERT ON theirs.shared FOR EACH ROW EXECUTE FUNCTION nothing()'),
    ('CREATE OR REPLACE TRIGGER mine AFTER INSERT ON theirs.shared FOR EACH ROW EXECUTE FUNCTION nothing()'),
    ('CREATE OR REPLACE TRIGGER lost AFTER INSERT ON theirs.shared FOR EACH ROW EXECUTE FUNCTION nothing()'),
    ('CREATE TRIGGER mine AFTER INSERT ON no_such FOR EACH ROW EXECUTE FUNCTION nothing()'),

    -- many at once
    ('DROP OWNED BY CURRENT_USER'),
    ('DROP OWNED BY CURRENT_USER CASCADE'),
    ('DROP SCHEMA o CASCADE'),
    ('SET TRANSACTION READ ONLY; CREATE TABLE parted_4 PARTITION OF parted FOR VALUES IN (4)'),
    ('SET TRANSACTION READ ONLY; ALTER TABLE parted DETACH PARTITION parted_1');

INSERT INTO compare.statement (role, statement)
    SELECT 'ordinary_other', statement
      FROM unnest(ARRAY['CREATE TRIGGER mine AFTER INSERT ON o.plain FOR EACH ROW EXECUTE FUNCTION o.nothing()',
                        'CREATE OR REPLACE TRIGGER was_there AFTER INSERT ON o.plain FOR EACH ROW EXECUTE FUNCTION o.nothing()',
                        'ALTER TABLE o.plain ENABLE TRIGGER ALL',
                        'ALTER TABLE IF EXISTS o.plain ENABLE TRIGGER ALL',
                        'ALTER TABLE o.parted DETACH PARTITION o.parted_1']) statement;
INSERT INTO compare.statement (role, statement)
    SELECT NULL, statement
      FROM unnest(ARRAY['REASSIGN OWNED BY ordinary TO ordinary_other', 'REASSIGN OWNED BY ordinary_other TO ordinary',
                        'DROP OWNED BY ordinary, ordinary_other CASCADE', 'ALTER TABLE o.parted OWNER TO ordinary_other',
                        'ALTER TABLE ALL IN TABLESPACE pg_default OWNED BY ordinary SET TABLESPACE pg_default',
                        'CREATE EXTENSION IF NOT EXISTS plpgsql', 'CREATE SCHEMA AUTHORIZATION ordinary_other CREATE TABLE one PARTITION OF o.parted DEFAULT',
                        'CREATE TRIGGER mine AFTER INSERT ON theirs.shared FOR EACH ROW EXECUTE FUNCTION o.nothing()']) statement;

-- by other paths, for rows that are replicated, and in the meddler's company
INSERT INTO compare.statement (statement, path)
    SELECT statement, path
      FROM unnest(ARRAY['CREATE TABLE o.parted_4 PARTITION OF o.parted FOR VALUES IN (4)',
                        'ALTER TABLE o.parted ATTACH PARTITION o.parted_3 FOR VALUES IN (3)',
                        'ALTER TABLE o.parted DETACH PARTITION o.parted_1',
                        'ALTER TABLE o.parted_3 INHERIT o.plain',
                        'ALTER TABLE o.plain ENABLE TRIGGER ALL',
                        'CREATE TRIGGER mine AFTER INSERT ON theirs.shared FOR EACH ROW EXECUTE FUNCTION o.nothing()',
                        'CREATE TABLE heir () INHERITS (o.plain)']) statement,
           unnest(ARRAY['', 'pg_temp', 'no_such', 'theirs, o', 'pg_temp, o, pg_catalog']) path;
INSERT INTO compare.statement (role, statement, replication)
    SELECT NULL, s.statement, 'replica' FROM compare.statement s WHERE s.role = 'ordinary' AND s.path = 'o';
INSERT INTO compare.statement (statement, meddle)
    SELECT statement, meddle
      FROM unnest(ARRAY['CREATE TABLE parted_4 PARTITION OF parted FOR VALUES IN (4)', 'CREATE TABLE parted_4 () INHERITS (plain)',
                        'CREATE FOREIGN TABLE parted_4 PARTITION OF parted DEFAULT SERVER ordinary',
                        'CREATE SCHEMA parted_4 CREATE TABLE parted_4 PARTITION OF o.parted FOR VALUES IN (4)']) statement,
           unnest(ARRAY['ALTER TABLE IF EXISTS o.parted_4 RENAME TO elsewhere', 'DROP TABLE IF EXISTS o.parted_4',
                        'ALTER TABLE IF EXISTS o.parted_4 SET SCHEMA theirs', 'DROP SCHEMA IF EXISTS parted_4 CASCADE',
                        'ALTER SCHEMA o RENAME TO p', 'DROP TABLE o.plain, o.parted CASCADE',
                        'DO ''BEGIN ALTER TABLE o.parted_4 RENAME TO x; CREATE TABLE o.parted_4 (); END''']) meddle;
INSERT INTO compare.statement (statement, meddle)
    SELECT statement, meddle
      FROM unnest(ARRAY['ALTER TABLE parted ATTACH PARTITION parted_3 FOR VALUES IN (3)', 'ALTER TABLE parted DETACH PARTITION parted_1',
                        'ALTER TABLE parted_3 INHERIT plain', 'ALTER TABLE plain ENABLE TRIGGER ALL', 'ALTER TABLE parted ENABLE TRIGGER ALL',
                        'CREATE TRIGGER mine AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION nothing()']) statement,
           unnest(ARRAY['ALTER TABLE o.parted RENAME TO elsewhere', 'ALTER TABLE o.parted_1 RENAME TO elsewhere',
                        'ALTER TABLE o.parted_3 RENAME TO elsewhere', 'ALTER TABLE o.plain RENAME TO elsewhere', 'DROP TABLE o.parted_3',
                        'DROP TABLE o.parted_1', 'DROP TABLE o.plain CASCADE', 'DROP TABLE o.parted CASCADE',
                        'ALTER SCHEMA o RENAME TO p', 'ALTER TABLE o.parted_1 SET SCHEMA theirs']) meddle;

CREATE FUNCTION compare.outcome(s compare.statement) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    PERFORM set_config('search_path', s.path, true), set_config('test.meddle', s.meddle, true),
            set_config('session_replication_role', s.replication, true);
    IF s.role IS NOT NULL THEN
        PERFORM set_config('role', s.role, true);
    END IF;
    EXECUTE s.statement;
    RAISE EXCEPTION USING ERRCODE = 'PLAYD', MESSAGE = compare.relations();  -- and undo it
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS said = MESSAGE_TEXT;
    RETURN SQLSTATE || ' ' || said;
END
$$;
UPDATE compare.statement s SET without = compare.outcome(s);

CREATE EXTENSION playevent;
SET search_path = logs, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
SELECT playevent.create_log('play', track => 'track');
REVOKE ALL ON SCHEMA playevent FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA playevent FROM PUBLIC;
UPDATE compare.statement s SET beside = compare.outcome(s);

SELECT is_empty($$SELECT * FROM compare.statement WHERE beside <> without$$,
    'P10: DDL beside a log does the same as without the extension');

-- Not all of it for the same reason
SELECT cmp_ok((SELECT count(*) FROM compare.statement WHERE beside LIKE 'PLAYD %'), '>', 250::bigint, 'P10: most of it works');
SELECT is_empty($$SELECT * FROM compare.statement WHERE beside ~* 'playevent'$$, 'P10: none of it says anything of us');

SELECT * FROM finish();
ROLLBACK;
