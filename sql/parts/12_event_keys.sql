--
-- Keeping the event_ids of a partitioned log apart: its key table, made with the
-- caller's rights.
--

CREATE FUNCTION playevent.fill_event_keys(event regclass, anew boolean) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_fill_event_keys';

COMMENT ON FUNCTION playevent.fill_event_keys(regclass, boolean) IS
'internal: writes the event_ids that are in a log to its key table, as far as they are to be kept and are not there, and says how many; if anew, all that are there go first';

CREATE FUNCTION playevent.forget_event_keys(event regclass, lim bigint) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_forget_event_keys';

COMMENT ON FUNCTION playevent.forget_event_keys(regclass, bigint) IS
'internal: removes event_ids that were kept as long as a log keeps them, at most so many, and says how many';

-- How a trigger's argument has it: in one style, without a sign, so that it is read
-- alike in any.
CREATE FUNCTION playevent.check_keep(keep interval) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = postgres
AS $$
BEGIN
    PERFORM playevent.check_not_null(keep IS NULL, 'dedupe_for'::text);
    IF NOT isfinite(keep) OR keep <= interval '0' OR keep::text LIKE '%-%' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "dedupe_for" is %L', keep),
            HINT = 'Say for how long a play that is sent again is to be told from a new one: interval ''30 days''.';
    END IF;
    RETURN keep::text;
END
$$;

COMMENT ON FUNCTION playevent.check_keep(interval) IS
'internal: how long event_ids are kept, as an argument of a trigger';

-- Makes the key table of a partitioned log, with its guards, and the trigger that
-- writes it, as far as they are not there; and fills in the event_ids of rows that
-- are.  The caller has locked the log in SHARE ROW EXCLUSIVE.
CREATE FUNCTION playevent.arm_event_keys(wanted playevent.log, shape playevent.log_shape, keep interval)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event regclass := wanted.event;
    class pg_class;
    schema name := playevent.schema_of(wanted.event);
    created_column name := playevent.partition_column(wanted.event);
    arguments text[] := ARRAY[shape.event_id_column, shape.id_column, created_column, playevent.check_keep(keep)]::text[];
    key_name name := shape.log || '_event_key';
    key_table regclass;
    is_agreed boolean;
    is_new boolean := false;
    other_log name;
BEGIN
    SELECT * INTO STRICT class FROM pg_class WHERE oid = event;

    -- One whose name has changed says still that it is the log's.
    SELECT g.slot INTO key_table
      FROM playevent.guard g WHERE g.event = wanted.event AND g.function = 'dedupe'
     ORDER BY g.name <> key_name, g.name LIMIT 1;
    is_agreed := FOUND;
    key_table := coalesce(key_table, to_regclass(format('%I.%I', schema, key_name)));

    -- Rows are hardly ever updated, so pages are filled, as is the default.  Truncation by
    -- VACUUM would make inserts wait, so it is off.  What is forgotten in a day is
    -- one row in 30: with the usual scale factor of 0.2, a fifth of the table and
    -- of its index would be dead, and be read at each forgetting, before VACUUM
    -- comes.
    IF key_table IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %I.%I (%I uuid PRIMARY KEY, %I bigint, %I %s)
             USING heap
             WITH (vacuum_truncate = false,
                   autovacuum_vacuum_scale_factor = 0.02,
                   autovacuum_vacuum_threshold = 1000)',
            schema, key_name, shape.event_id_column, shape.id_column, created_column,
            (SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = event AND attname = created_column));
        key_table := format('%I.%I', schema, key_name)::regclass;
        is_new := true;
    ELSIF class.relowner <> (SELECT relowner FROM pg_class WHERE oid = key_table) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('table "%s" belongs to someone else than "%s"', key_name, class.relname),
            HINT = 'Drop it or rename it, or give the log another name. To take it over would be to run what is in it.';
    ELSIF (SELECT relkind <> 'r' OR relpersistence <> 'p' FROM pg_class WHERE oid = key_table)
          OR playevent.is_more_than_slots(key_table) OR EXISTS (
        SELECT shape.event_id_column, 'uuid'::regtype
         UNION ALL SELECT shape.id_column, 'bigint'::regtype
         UNION ALL SELECT attname, atttypid FROM pg_attribute WHERE attrelid = event AND attname = created_column
        EXCEPT
        SELECT attname, atttypid FROM pg_attribute
         WHERE attrelid = key_table AND attnum > 0 AND NOT attisdropped) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is there already, and can''t keep the event_ids of table "%s"',
                (SELECT relname FROM pg_class WHERE oid = key_table), class.relname),
            DETAIL = format('It must be a logged table with columns "%s" of type uuid, "%s" of type bigint, and "%s" as table "%s" has it, and have no triggers, rules, policies, constraints or defaults of its own.',
                shape.event_id_column, shape.id_column, created_column, class.relname),
            HINT = format('Drop it; it will be made anew: DROP TABLE %s;', key_table);
    END IF;
    SELECT c.relname INTO other_log
      FROM playevent.guard g JOIN pg_class c ON c.oid = g.event
     WHERE g.slot = key_table AND g.event <> wanted.event;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_in_use',
            MESSAGE = format('table "%s" is kept by playevent for log "%s"', key_name, other_log),
            HINT = format('Give table "%s" another name with argument "name".', class.relname);
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', key_table,
        format('event_ids of %I: a play that is sent again within %s is recorded once', class.relname, arguments[4]));

    -- Logical replication must not bring it along: event_ids are written where the
    -- rows of the log arrive.
    PERFORM playevent.guard_table(key_table,
        ARRAY[playevent.reference(event, playevent.schema_of(key_table)), 'dedupe'] || arguments);
    -- Before the one that looks up releases, so that a retry costs no more.
    PERFORM playevent.set_trigger(event, 'playevent_dedupe'::name, 'BEFORE INSERT'::text, 'ROW'::text, NULL::text,
        'dedupe'::text, playevent.reference(key_table, schema) || arguments);

    -- A table that nothing says to be this log's may have event_ids of another, whose
    -- plays would be left out.
    PERFORM playevent.fill_event_keys(event, NOT is_new AND NOT is_agreed);
END
$$;

COMMENT ON FUNCTION playevent.arm_event_keys(playevent.log, playevent.log_shape, interval) IS
'internal: makes the key table and trigger that keep the event_ids of a partitioned log apart';
