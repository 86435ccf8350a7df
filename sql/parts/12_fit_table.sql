--
-- What a table that is there gets before it is a log: a day, a check of its kinds;
-- and warnings of what does not go with one.
--

-- Adds the column for the day, with those of the rows that are there.  A generated
-- column is filled in while the table is written anew, which makes no dead rows;
-- then the trigger takes over, which is cheaper (src/day.c).  Without a default a
-- lost trigger shows at once.
CREATE FUNCTION playevent.add_day(wanted playevent.log, shape playevent.log_shape) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment text;
BEGIN
    SELECT string_agg(CASE WHEN base.type = 'timestamp'::regtype THEN format('(%I AT TIME ZONE ''UTC'')', u.col)
                           ELSE quote_ident(u.col) END, ', ' ORDER BY ord) INTO moment
      FROM unnest(ARRAY[shape.time_column, shape.created_column]) WITH ORDINALITY AS u(col, ord)
     CROSS JOIN LATERAL playevent.base_type(wanted.event, u.col, ''::text) AS base
     WHERE u.col IS NOT NULL;
    moment := format('(coalesce(%s) AT TIME ZONE %L)::date', moment, shape.day_zone);
    IF EXISTS (SELECT FROM pg_partition_tree(wanted.event) WHERE level > 0 AND NOT isleaf) THEN
        -- There DROP EXPRESSION fails: "must be applied to child tables too".
        EXECUTE format('ALTER TABLE %s ADD COLUMN %I date', wanted.event, shape.day_column);
        EXECUTE format('UPDATE %s SET %I = %s', wanted.event, shape.day_column, moment);
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', wanted.event, shape.day_column);
    ELSE
        EXECUTE format('ALTER TABLE %s ADD COLUMN %I date NOT NULL GENERATED ALWAYS AS (%s) STORED',
            wanted.event, shape.day_column, moment);
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP EXPRESSION', wanted.event, shape.day_column);
    END IF;
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', wanted.event, shape.day_column, 'the day it counts for, in ' || shape.day_zone);
END
$$;

COMMENT ON FUNCTION playevent.add_day(playevent.log, playevent.log_shape) IS
'internal: adds a log''s column for the day';

-- Kinds as a column of integers or strings has them.
CREATE FUNCTION playevent.plain_kinds(event regclass, kind_column name, kinds text[]) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    base record := playevent.base_type(event, kind_column, 'kind_column'::text);
    result text[];
BEGIN
    EXECUTE format('SELECT $1::%s[]::text[]', format_type(base.type, NULL)) INTO result USING kinds;
    RETURN result;
EXCEPTION WHEN data_exception THEN
    RAISE EXCEPTION USING
        ERRCODE = 'invalid_parameter_value',
        MESSAGE = format('argument "kinds" is %L', kinds),
        DETAIL = format('Column "%s" has type %s.', kind_column, format_type(base.type, NULL)),
        HINT = 'Say what is in the column, and name it with argument "kind_names": kinds => ''{0,1,2}'', kind_names => ''{partial,most,complete}''.';
END
$$;

COMMENT ON FUNCTION playevent.plain_kinds(regclass, name, text[]) IS
'internal: the kinds of a column, as text';

-- Is a constraint for the kinds to be added?
CREATE FUNCTION playevent.is_to_be_checked(event regclass, kind_column name) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = event AND a.attname = kind_column AND a.attnum > 0)
   AND playevent.has_listed_kinds(event, kind_column)
   AND NOT EXISTS (
       SELECT FROM pg_catalog.pg_constraint c
        WHERE c.conrelid = event AND c.conname = 'playevent_kinds');

COMMENT ON FUNCTION playevent.is_to_be_checked(regclass, name) IS
'internal: is a constraint to be added that keeps other kinds out of a log';

CREATE FUNCTION playevent.is_to_be_altered(
    event regclass, kind_column name, kinds text[], created_column name, day_column name, daily boolean, check_kinds boolean)
RETURNS boolean
LANGUAGE sql STABLE
RETURN coalesce(check_kinds AND pg_catalog.cardinality(kinds) > 0 AND playevent.is_to_be_checked(event, kind_column)
    OR daily AND created_column IS NOT NULL AND NOT playevent.has_column(event, day_column), false);

COMMENT ON FUNCTION playevent.is_to_be_altered(regclass, name, text[], name, name, boolean, boolean) IS
'internal: will attach_log add a column or a constraint to a table';

-- Kinds that are none of the log's would stay in it for ever.  An enum lets none in;
-- of integers and strings a constraint says which there are.
-- Errors: the table has others (23514).
CREATE FUNCTION playevent.add_kinds_check(wanted playevent.log, kinds text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    condition text := format('%I = ANY (%L::%s[])', wanted.kind_column, kinds,
        playevent.argument_type(wanted.event, wanted.kind_column::name, 'kind_column'::text));
    others text[];
BEGIN
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT playevent_kinds CHECK (%s)', wanted.event, condition);
EXCEPTION WHEN check_violation THEN
    SELECT t.kinds INTO others
      FROM playevent.read_table(wanted.event, wanted.event, ARRAY[wanted.kind_column]::name[], format(
        'SELECT array_agg(kind::text ORDER BY kind) FROM (SELECT DISTINCT %I AS kind FROM %s WHERE NOT (%s) LIMIT 5) AS others',
        wanted.kind_column, wanted.event, condition)) AS t(kinds text[]);
    RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = format('column "%s" of table "%s" has kinds that argument "kinds" does not name', wanted.kind_column,
            (SELECT relname FROM pg_class WHERE oid = wanted.event)),
        DETAIL = format('Among them are %L; "kinds" is %L.', others, kinds),
        HINT = 'Name them too; or let the column have any kinds: check_kinds => false.',
        TABLE = (SELECT relname FROM pg_class WHERE oid = wanted.event), COLUMN = wanted.kind_column;
END
$$;

COMMENT ON FUNCTION playevent.add_kinds_check(playevent.log, text[]) IS
'internal: keeps other kinds than these out of a log';

-- Tells of foreign keys that would change or remove rows, which the log will refuse:
-- whoever deletes what they refer to would be surprised.
CREATE FUNCTION playevent.warn_of_actions(event regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    key record;
BEGIN
    FOR key IN
        SELECT c.conname AS name, r.relname AS referenced,
               string_agg(a.action, ' and ' ORDER BY a.action) AS actions,
               regexp_replace(pg_get_constraintdef(c.oid), ' ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT)', '', 'g') AS definition
          FROM pg_constraint c
          JOIN pg_class r ON r.oid = c.confrelid
         CROSS JOIN LATERAL (
             SELECT format('ON %s %s', f.event, w.word) AS action
               FROM (VALUES ('DELETE', c.confdeltype), ('UPDATE', c.confupdtype)) AS f(event, action)
               JOIN (VALUES ('c'::"char", 'CASCADE'), ('n', 'SET NULL'), ('d', 'SET DEFAULT')) AS w(action, word) USING (action)) AS a
         WHERE c.conrelid = event AND c.contype = 'f' AND c.conparentid = 0
         GROUP BY c.oid, c.conname, r.relname
         ORDER BY c.conname
    LOOP
        RAISE WARNING USING
            MESSAGE = format('foreign key "%s" of table "%s" would change or remove what is recorded', key.name, event_name),
            DETAIL = format('It says %s. The log refuses that, so whoever deletes or changes the row of table "%s" meets an error (23001).',
                key.actions, key.referenced),
            HINT = format('Drop it, and rows keep what they say; or make it anew without: ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I %s;',
                event, key.name, key.definition);
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.warn_of_actions(regclass) IS
'internal: warns of foreign keys whose actions a log refuses';

-- Tells of columns that the record functions leave out, and that nobody fills in.
CREATE FUNCTION playevent.warn_of_unfilled(wanted playevent.log, shape playevent.log_shape) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = wanted.event);
    col record;
BEGIN
    IF shape.id_column IS NULL THEN
        RAISE NOTICE USING
            MESSAGE = format('table "%s" has no integer primary key: it gets no record functions', event_name),
            DETAIL = 'They return the id of what they have recorded, and verdicts name it: there are none, either.',
            HINT = 'Give it one before it is attached, or name a column of type bigint or integer with argument "id_column".';
        RETURN;
    END IF;
    FOR col IN
        SELECT a.attname AS name, a.attname = shape.id_column AS is_id, a.atttypid AS type
          FROM pg_attribute a
         WHERE a.attrelid = wanted.event AND a.attnum > 0 AND NOT a.attisdropped
           AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
           AND a.attname NOT IN (wanted.key_column, wanted.release_column, wanted.kind_column)
           AND a.attname IS DISTINCT FROM CASE WHEN shape.created_column IS NOT NULL THEN shape.day_column END
         ORDER BY a.attnum
    LOOP
        RAISE WARNING USING
            MESSAGE = format('column "%s" of table "%s" has no default, so the record functions will fail', col.name, event_name),
            HINT = format(CASE WHEN col.is_id THEN 'ALTER TABLE %s ALTER COLUMN %I ADD GENERATED BY DEFAULT AS IDENTITY;'
                               ELSE 'ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s;' END, wanted.event, col.name,
                CASE WHEN col.type IN ('timestamptz'::regtype, 'timestamp'::regtype) THEN 'now()' ELSE '...' END);
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.warn_of_unfilled(playevent.log, playevent.log_shape) IS
'internal: warns of columns that nobody will fill in';

-- Tells that none of the rows that are there counts for a release, which can't be
-- mended once they are a log's.
CREATE FUNCTION playevent.tell_of_no_release(wanted playevent.log) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slot regclass := (SELECT l.counter_slot FROM playevent.log l WHERE l.event = wanted.event);
    told record;
BEGIN
    SELECT * INTO told FROM playevent.read_table(slot, slot, ARRAY[wanted.release_column]::name[], format(
        'SELECT EXISTS (SELECT FROM %s), EXISTS (SELECT FROM %1$s WHERE %I IS NOT NULL)',
        slot, wanted.release_column)) AS t(has_rows boolean, has_release boolean);
    IF told.has_rows AND NOT told.has_release THEN
        RAISE NOTICE USING
            MESSAGE = format('no row of table "%s" has a release', (SELECT relname FROM pg_class WHERE oid = wanted.event)),
            DETAIL = format('Column "%s" of these rows stays as it is, for a log can''t be changed.', wanted.release_column),
            HINT = 'If they are to count for their tracks'' releases, roll back, fill in that column, and attach the table then.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.tell_of_no_release(playevent.log) IS
'internal: tells that no row of a table that has become a log has a release';

CREATE FUNCTION playevent.check_none_leaves(event regclass) RETURNS void
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'playevent_check_none_leaves';

COMMENT ON FUNCTION playevent.check_none_leaves(regclass) IS
'internal: refuses a table of which DETACH CONCURRENTLY has taken out a partition by half';
