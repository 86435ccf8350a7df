--
-- The shape of a table that is there: which of its columns a log can use.
--

-- A column that the log may have: the one that was named, which must do, or the one
-- that create_log would have made, if it does.
-- Errors: no such column (42703), another type (42804), naming the argument.
CREATE FUNCTION playevent.find_column(
    event regclass, col name, usual name, argument text, types regtype[])
RETURNS name
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type regtype;
BEGIN
    IF col IS NULL THEN
        RETURN (SELECT a.attname FROM pg_attribute a
                 WHERE a.attrelid = event AND a.attname = usual AND a.atttypid = ANY (types)
                   AND a.attnum > 0 AND a.attgenerated = '');
    END IF;
    SELECT base.type INTO type FROM playevent.base_type(event, col, argument) AS base;
    IF type <> ALL (types) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column "%s" of table "%s" has type %s', col,
                (SELECT relname FROM pg_class WHERE oid = event), playevent.column_type(event, col, argument)),
            DETAIL = format('Argument "%s" takes a column of type %s.', argument, array_to_string(types, ', ', '')),
            HINT = format('Name another column, or change its type before: ALTER TABLE %s ALTER COLUMN %I TYPE %s USING ...;', event, col, types[1]),
            TABLE = (SELECT relname FROM pg_class WHERE oid = event), COLUMN = col;
    END IF;
    IF (SELECT attgenerated <> '' FROM pg_attribute WHERE attrelid = event AND attname = col) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_column_reference',
            MESSAGE = format('column "%s" of table "%s" is generated', col,
                (SELECT relname FROM pg_class WHERE oid = event)),
            HINT = format('Name one that is filled in with argument "%s".', argument);
    END IF;
    RETURN col;
END
$$;

COMMENT ON FUNCTION playevent.find_column(regclass, name, name, text, regtype[]) IS
'internal: a column of one of these types, or an error that names the argument';

-- Is there a unique index that ON CONFLICT can go by?  Its predicate is read and not
-- evaluated.
CREATE FUNCTION playevent.is_kept_apart(event regclass, col name) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $$
    SELECT EXISTS (
        SELECT FROM pg_index i
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
         WHERE i.indrelid = event AND a.attname = col
           AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indnkeyatts = 1
           AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', col)))
$$;

COMMENT ON FUNCTION playevent.is_kept_apart(regclass, name) IS
'internal: has a column a unique index for all that is not null';

-- The column whose value recording returns: the one named, or the integer of the
-- primary key, rather one that the database fills in.
CREATE FUNCTION playevent.find_id(event regclass, id_column name, others name[]) RETURNS name
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    types regtype[] := '{bigint,integer,smallint}';
BEGIN
    IF id_column IS NOT NULL THEN
        RETURN playevent.find_column(event, id_column, NULL::name, 'id_column'::text, types);
    END IF;
    RETURN (
        SELECT a.attname
          FROM pg_index i
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, ord)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = event AND i.indisprimary AND k.ord <= i.indnkeyatts
           AND a.atttypid = ANY (types) AND a.attname <> ALL (others)
         ORDER BY a.attidentity <> '' OR a.atthasdef DESC, k.ord LIMIT 1);
END
$$;

COMMENT ON FUNCTION playevent.find_id(regclass, name, name[]) IS
'internal: the column that recording returns, or null';

-- Which columns of its own a table has for a log.
CREATE FUNCTION playevent.find_shape(
    wanted playevent.log, log text, kinds text[], kind_names text[], thresholds double precision[],
    id_column name, event_id_column name, listener_column name, heard_column name, time_column name,
    created_column name, day_column name, daily boolean, day_zone text)
RETURNS playevent.log_shape
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event regclass := wanted.event;
    class pg_class;
    shape playevent.log_shape;
    told record;
    named name[];
    times regtype[] := ARRAY['timestamptz', 'timestamp'];
BEGIN
    SELECT * INTO STRICT class FROM pg_class WHERE oid = event;
    shape.log := log;
    -- bucket of PlayBucket, as create_log('play') would call it
    shape.kind_word := lower(regexp_replace(wanted.kind_column, '([[:lower:][:digit:]])([[:upper:]])', '\1_\2', 'g'));
    IF shape.kind_word IN ('track_entry_key', 'event_id', 'anon_id', 'release_id', playevent.time_column(log)) THEN
        shape.kind_word := 'kind';
    END IF;

    shape.event_id_column := playevent.find_column(event, event_id_column, 'event_id'::name, 'event_id_column'::text, '{uuid}');
    shape.id_column := playevent.find_id(event, id_column, ARRAY[wanted.key_column, wanted.release_column, wanted.kind_column]);
    -- Where there can be no such index, a table keeps them, with the ids (arm_event_keys).
    IF NOT playevent.is_kept_apart(event, shape.event_id_column)
       AND (playevent.partition_column(event) IS NULL OR shape.id_column IS NULL) THEN
        IF event_id_column IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('column "%s" of table "%s" has no unique index', event_id_column, class.relname),
                DETAIL = 'Argument "event_id_column" takes the column by which a retry is told from another play.',
                HINT = CASE WHEN class.relkind = 'p' THEN 'A partitioned table has none on a column that is not its partition key: partition it by range of a timestamp alone, and name its integer key with argument "id_column"; or leave the argument out.'
                            ELSE format('CREATE UNIQUE INDEX ON %s (%I) WHERE %2$I IS NOT NULL;', event, event_id_column) END,
                TABLE = class.relname, COLUMN = event_id_column;
        END IF;
        shape.event_id_column := NULL;
    END IF;
    shape.listener_column := playevent.find_column(event, listener_column, 'anon_id'::name, 'listener_column'::text,
        '{text,varchar,uuid,bigint,integer,smallint}');
    shape.heard_column := playevent.find_column(event, heard_column, 'heard'::name, 'heard_column'::text,
        '{real,double precision}');
    shape.time_column := playevent.find_column(event, time_column, playevent.time_column(log)::name, 'time_column'::text, times);
    shape.created_column := playevent.find_column(event, created_column, NULL::name, 'created_column'::text, times);

    named := array_remove(ARRAY[shape.id_column, wanted.key_column, wanted.release_column, wanted.kind_column,
        shape.event_id_column, shape.listener_column, shape.heard_column, shape.time_column, shape.created_column], NULL);
    IF cardinality(named) > (SELECT count(DISTINCT n) FROM unnest(named) n) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('column "%s" of table "%s" would be two things',
                (SELECT n FROM unnest(named) n GROUP BY n HAVING count(*) > 1 ORDER BY n LIMIT 1), class.relname),
            HINT = 'Each argument that names a column must name another.';
    END IF;

    SELECT * INTO told FROM playevent.told_days(event);
    shape.day_column := day_column;
    shape.day_zone := coalesce(day_zone, told.zone, 'UTC');
    PERFORM playevent.check_day_zone(shape.day_zone);
    IF created_column IS NULL THEN
        -- The columns by which create_log's tables tell days, unless others do by now
        IF playevent.tells_days(event, log) AND coalesce(told.day_column, 'day') = 'day' THEN
            shape.created_column := 'created_at';
            shape.day_column := 'day';
        END IF;
        shape.daily := false;
    ELSE
        PERFORM playevent.check_day_column(event, day_column, created_column);
        shape.daily := daily;
        -- One that is generated has no need of a trigger.
        IF NOT daily AND NOT playevent.has_column(event, day_column)
           OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = event AND a.attname = day_column AND a.attgenerated <> '') THEN
            shape.created_column := NULL;
        END IF;
    END IF;

    shape.kinds := coalesce(kinds,
        ARRAY(SELECT e.enumlabel FROM pg_enum e, playevent.base_type(event, wanted.kind_column::name, 'kind_column'::text) AS base
               WHERE e.enumtypid = base.type
               ORDER BY e.enumsortorder));
    IF playevent.has_listed_kinds(event, wanted.kind_column::name) THEN
        shape.kinds := playevent.plain_kinds(event, wanted.kind_column::name, shape.kinds);
    END IF;
    shape.kind_names := coalesce(kind_names, shape.kinds);
    PERFORM playevent.check_kinds(wanted, log, shape.kind_names,
        CASE WHEN kind_names IS NULL THEN 'kinds'::text ELSE 'kind_names'::text END);
    IF cardinality(shape.kind_names) <> cardinality(shape.kinds) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'arguments "kinds" and "kind_names" differ in length',
            DETAIL = format('They are %L and %L.', shape.kinds, shape.kind_names),
            HINT = 'Name each kind: kinds => ''{0,1,2}'', kind_names => ''{partial,most,complete}''.';
    END IF;
    shape.thresholds := thresholds;
    IF thresholds IS NULL AND shape.kind_names = '{partial,most,complete}' THEN
        shape.thresholds := '{0.05,0.5,0.95}';
    END IF;
    PERFORM playevent.check_thresholds(shape.thresholds, shape.kinds);
    IF thresholds IS NOT NULL AND NOT (
        playevent.has_listed_kinds(event, wanted.kind_column::name) OR
        (SELECT t.typtype = 'e' FROM playevent.base_type(event, wanted.kind_column::name, 'kind_column'::text) AS base
           JOIN pg_type t ON t.oid = base.type)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column "%s" of table "%s" has type %s', wanted.kind_column, class.relname,
                playevent.column_type(event, wanted.kind_column::name, 'kind_column'::text)),
            DETAIL = 'Argument "thresholds" takes kinds of an enum, integers or text.',
            HINT = 'Leave the argument out, or change the column''s type before.';
    END IF;
    RETURN shape;
END
$$;

COMMENT ON FUNCTION playevent.find_shape(playevent.log, text, text[], text[], double precision[], name, name, name, name, name, name, name, boolean, text) IS
'internal: what a table that is there has for a log';

-- Which column has a table's days by now, and of which time zone they are: as the
-- trigger says, or, if that is lost, the comment that we make, or the default that
-- create_log does.
CREATE FUNCTION playevent.told_days(event regclass, OUT day_column name, OUT zone text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT told.name, told.zone
      FROM (
          SELECT 1 AS turn, 0 AS place, args[1]::name AS name, coalesce(args[4], 'UTC') AS zone
            FROM playevent.triggers(event) AS t
           CROSS JOIN LATERAL playevent.trigger_arguments(t.tgargs) AS args
           WHERE t.function = 'playevent.day'::regproc
          UNION ALL
          SELECT 2, -a.attnum, a.attname, substring(col_description(event, a.attnum) FROM '^the day it counts for, in (.+)$')
            FROM pg_attribute a
           WHERE a.attrelid = event AND a.attnum > 0 AND a.atttypid = 'date'::regtype AND a.attgenerated = ''
          UNION ALL
          SELECT 3, 0, a.attname, substring(pg_get_expr(d.adbin, d.adrelid) FROM 'now\(\) AT TIME ZONE ''([^'']+)''')
            FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
           WHERE a.attrelid = event AND a.attname = 'day' AND a.attgenerated = '' AND octet_length(d.adbin::text) < 8192) AS told
     WHERE told.zone IS NOT NULL
     ORDER BY turn, place LIMIT 1
$$;

COMMENT ON FUNCTION playevent.told_days(regclass) IS
'internal: the column that has a table''s days, and their time zone, or nulls';

-- The column for the day is there and does, or is to be added.
CREATE FUNCTION playevent.check_day_column(event regclass, day_column name, created_column name) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    day pg_attribute;
BEGIN
    PERFORM playevent.check_not_null(day_column IS NULL, 'day_column'::text);
    IF (SELECT NOT attnotnull FROM pg_attribute WHERE attrelid = event AND attname = created_column) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('column "%s" of table "%s" may be null', created_column, event_name),
            DETAIL = 'Argument "created_column" takes the column that tells each row''s day.',
            HINT = format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL;', event, created_column),
            TABLE = event_name, COLUMN = created_column;
    END IF;
    SELECT * INTO day FROM pg_attribute WHERE attrelid = event AND attname = day_column;
    IF FOUND AND (day.atttypid <> 'date'::regtype OR day.attgenerated NOT IN ('', 's')) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column "%s" of table "%s" is not of type date, or virtual', day_column, event_name),
            DETAIL = 'The counter by day counts by this column.',
            HINT = 'Name another with argument "day_column"; it is added if there is none of this name.',
            TABLE = event_name, COLUMN = day_column;
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_day_column(regclass, name, name) IS
'internal: checks that a table''s days can be told';

-- Rows keep the day that they were counted for, so a column has days of one time
-- zone.  Those of another are told in another column, for all rows there are, which
-- a manifest of what rows were would not bear.
-- Errors: other days in the same column, or in another while counters are by the
-- former, or partitions are sealed (55000); a day_zone that would tell nothing
-- (22023).
CREATE FUNCTION playevent.check_days_stay(wanted playevent.log, shape playevent.log_shape, day_zone text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = wanted.event);
    told record;
    moves boolean;
    manifest regclass := playevent.manifest(wanted.event);
    counter name;
BEGIN
    SELECT * INTO told FROM playevent.told_days(wanted.event);
    moves := told.day_column <> shape.day_column AND shape.created_column IS NOT NULL;
    IF day_zone <> told.zone AND moves IS NOT TRUE THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('days of table "%s" are those of time zone "%s", not "%s"', event_name, told.zone, day_zone),
            DETAIL = 'Its rows keep the day that they have been counted for.',
            HINT = format('Have days of the other zone told in a column of their own: name one that is not there yet with argument "day_column", and drop counters by column "%s" before.',
                told.day_column);
    ELSIF day_zone IS NOT NULL AND shape.created_column IS NULL AND told.day_column IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "day_zone" is %L, and no day of table "%s" would be told by it', day_zone, event_name),
            HINT = 'Say when rows are recorded with argument "created_column".  A day that is generated is of the zone that its expression says.';
    END IF;
    IF moves IS NOT TRUE THEN
        RETURN;
    END IF;
    SELECT c.counter INTO counter FROM playevent.declared_counters(wanted) AS c WHERE told.day_column = ANY (c.columns) ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('counter "%s" of table "%s" counts by column "%s", which would not be set any more', counter, event_name, told.day_column),
            HINT = format('Keep to that with argument "day_column", or drop the counter before: SELECT playevent.drop_counter(%L, %L);',
                wanted.event, counter);
    END IF;
    IF manifest IS NOT NULL AND (SELECT n > 0 FROM playevent.read_own(manifest, manifest, format('SELECT count(*) FROM ONLY %s WHERE action = ''seal''', manifest)) AS t(n bigint)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('days of table "%s" stay those of column "%s"', event_name, told.day_column),
            DETAIL = 'Partitions of it are sealed, and the manifest tells what their rows are.',
            HINT = 'Keep to that column with argument "day_column".';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_days_stay(playevent.log, playevent.log_shape, text) IS
'internal: checks that attach_log leaves the days that a log has counted';
