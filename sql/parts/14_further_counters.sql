--
-- Further counters of a log: made, and dropped.
--

-- Like attach_log's: from here on nobody inserts until we are done.  The log is
-- locked before the slot tables, which check_log locks, as whoever inserts does it.
-- Nor does anybody decide about rows: he would not know of the counter, nor we of the
-- verdict.
-- Citus locks it on all nodes, the same one first, before what is done to its shards.
CREATE FUNCTION playevent.lock_log(event regclass) RETURNS playevent.log
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log playevent.log;
    is_log boolean := EXISTS (SELECT FROM playevent.log l WHERE l.event = lock_log.event);
BEGIN
    IF is_log THEN
        PERFORM playevent.lock_table(event, 'SHARE ROW EXCLUSIVE'::text, true);
        PERFORM playevent.lock_verdicts(event);
        -- What was retired meanwhile is neither in the log nor among what was retired.
        IF playevent.manifest(event) IS NOT NULL THEN
            PERFORM playevent.check_read_committed(format('add a counter to table "%s"', (SELECT relname FROM pg_class WHERE oid = event)));
        END IF;
    END IF;
    IF is_log AND playevent.is_distributed(event) THEN
        PERFORM playevent.allow_shard_changes();
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', event);
    ELSE
        PERFORM playevent.check_log(event);
    END IF;
    SELECT * INTO log FROM playevent.log l WHERE l.event = lock_log.event;
    RETURN log;
END
$$;

COMMENT ON FUNCTION playevent.lock_log(regclass) IS
'internal: a log that the caller owns and that works, locked against inserts';

-- Makes a further counter, and counts the rows that are there; returns its view.
CREATE FUNCTION playevent.fill_counter(
    event regclass, counter text, count_column text, columns name[], function text, source_column name)
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM playevent.arm_further_counter(event, NULL::regclass, counter, count_column, columns, function, source_column);
    IF playevent.is_distributed(event) THEN
        PERFORM playevent.count_in_shards(format('%I.%I', playevent.schema_of(event), counter || '_slot')::regclass);
    ELSE
        PERFORM playevent.check_log(event);
        PERFORM playevent.rebuild(event);
        PERFORM playevent.derive_retired(event, counter);
    END IF;
    RETURN to_regclass(format('%I.%I', playevent.schema_of(event), counter));
END
$$;

COMMENT ON FUNCTION playevent.fill_counter(regclass, text, text, name[], text, name) IS
'internal: makes a further counter that counts the rows that are there; returns its view';

-- playevent.add_counter(event regclass, counter name, columns name[],
--                       amount name = NULL)
--     returns regclass
--
-- Makes a further counter of a log, by any columns of its event table; its view
-- is called counter, its slot table counter_slot.  With amount, a column of integers,
-- it adds that up in place of counting rows, and its view has a column of that name;
-- null adds nothing, and keys whose sum is zero are not shown.  Takes in the rows that
-- are there.  Returns the view.
--
-- Reads by its first columns are quick, and with a column of type date among
-- them those by day, and by the first other one and day.
--
-- Errors: an argument is null (22004), not a log (55000), not its owner (42501),
-- what counter_binding reports, no such column (42703), a bad or duplicate
-- name or list (42602, 42622, 22023, 42701), amount is of no integers (42804),
-- something is there of the name (42P07), a sum is out of range (22003); of a
-- distributed log, it does not count by what that is spread by (55000); of one that is
-- partitioned by time, in a transaction with a snapshot of its own (25001); amid a query
-- on the log (55006).
-- Locks: the event table and the table of verdicts in ShareRowExclusiveLock, to the
-- transaction's end; a distributed log on all nodes.
CREATE FUNCTION playevent.add_counter(event regclass, counter name, columns name[], amount name DEFAULT NULL)
RETURNS regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.add_counter(regclass, name, name[], name) IS
'makes a further counter of a log, by any of its columns, of rows or of what another column adds up to, and takes in the rows that are there; returns its view';

CREATE FUNCTION playevent.add_counter_as_owner(event regclass, counter name, columns name[], amount name)
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log playevent.log := playevent.lock_log(event);
    schema name := playevent.schema_of(event);
    col name;
    taken name;
BEGIN
    PERFORM playevent.check_not_null(counter IS NULL, 'counter'::text);
    PERFORM playevent.check_not_null(columns IS NULL OR EXISTS (SELECT FROM unnest(columns) c WHERE c IS NULL), 'columns'::text);
    IF counter = '' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_name',
            MESSAGE = 'argument "counter" is empty',
            HINT = 'The counter''s view gets this name.';
    END IF;
    IF octet_length(counter) > 47 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'name_too_long',
            MESSAGE = format('argument "counter" is %L, which is too long', counter),
            HINT = 'The name of the counter''s trigger ends with it, so it must have at most 47 bytes.';
    END IF;
    IF array_ndims(columns) <> 1 OR cardinality(columns) NOT BETWEEN 1 AND 8 OR
       cardinality(columns) <> (SELECT count(DISTINCT c) FROM unnest(columns) c) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "columns" is %L', columns),
            HINT = 'Name one to eight columns of the event table, each once.';
    END IF;
    FOREACH col IN ARRAY columns LOOP
        PERFORM playevent.column_type(event, col, 'columns'::text);
        IF col = coalesce(amount, log.count_column) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'duplicate_column',
                MESSAGE = format('column "%s" would be both counted by and the %s', col,
                    CASE WHEN amount IS NULL THEN 'count' ELSE 'sum' END);
        END IF;
    END LOOP;
    IF amount IS NOT NULL THEN
        PERFORM playevent.column_type(event, amount, 'amount'::text);
    END IF;
    IF amount = log.count_column THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_column',
            MESSAGE = format('column "%s" has the name of the log''s count', amount),
            HINT = 'Its sums would pass for counts.';
    END IF;
    SELECT c.relname INTO taken
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = schema AND c.relname IN (counter, counter || '_slot', counter || '_retired')
     ORDER BY c.relname DESC LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_table',
            MESSAGE = format('"%s" exists already in schema "%s"', taken, schema),
            HINT = 'Give the counter another name as argument "counter"; playevent.drop_counter removes a counter.';
    END IF;

    RETURN playevent.fill_counter(event, counter::text, coalesce(amount::text, log.count_column), columns,
        CASE WHEN amount IS NULL THEN 'count' ELSE 'sum' END, amount);
END
$$;

COMMENT ON FUNCTION playevent.add_counter_as_owner(regclass, name, name[], name) IS
'internal: add_counter, acting as the log''s owner';

-- playevent.add_listener_sketch(event regclass, listener_column name = 'anon_id',
--                               day_column name = 'day')
--     returns regclass
--
-- Makes a counter of distinct listeners, by track, release and day: sketches of
-- extension hll, which can be merged over any of them.  Rows without a listener
-- don't count.  The view is called after the log, as play_listeners of log play.
-- Takes in the rows that are there, and sketches of an earlier time, should their
-- slot table be there.  Returns the view.
--
-- Errors: an argument is null (22004), not a log (55000), not its owner (42501),
-- extension hll is not installed (0A000), what counter_binding reports, no such
-- column (42703), day_column is no date (42804), listener_column is counted by
-- (22023), there is a sketch already (42710), or something else of the name
-- (42P07).
-- Locks: as add_counter.
CREATE FUNCTION playevent.add_listener_sketch(event regclass, listener_column name DEFAULT 'anon_id', day_column name DEFAULT 'day')
RETURNS regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.add_listener_sketch(regclass, name, name) IS
'keeps sketches of a log''s distinct listeners by track, release and day, with extension hll; returns their view';

CREATE FUNCTION playevent.add_listener_sketch_as_owner(event regclass, listener_column name, day_column name)
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log playevent.log := playevent.lock_log(event);
    schema name := playevent.schema_of(event);
    event_name name := (SELECT c.relname FROM pg_class c WHERE c.oid = event);
    columns name[];
    counter text;
    taken name;
BEGIN
    PERFORM playevent.sketch_type();
    PERFORM playevent.column_type(event, listener_column, 'listener_column'::text);
    IF (SELECT a.atttypid IS DISTINCT FROM 'date'::regtype FROM pg_class c
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = day_column
               AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.oid = event) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'datatype_mismatch',
            MESSAGE = format('table "%s" has no column "%s" of type date', event_name, day_column),
            DETAIL = 'Listeners are kept by day.',
            HINT = format('Name another with argument "day_column", or add one: ALTER TABLE %s ADD COLUMN day date NOT NULL DEFAULT (now() AT TIME ZONE ''UTC'')::date;', event);
    END IF;
    columns := ARRAY[log.key_column, log.release_column, day_column];
    IF listener_column = ANY (columns) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('column "%s" would be both counted by and counted', listener_column),
            HINT = 'Name the column that tells listeners apart with argument "listener_column".';
    END IF;
    SELECT k.counter INTO taken FROM playevent.counter k
     WHERE k.event = add_listener_sketch_as_owner.event AND k.listener_column IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_object',
            MESSAGE = format('table "%s" has a sketch of its listeners already', event_name),
            HINT = format('To make it anew, drop it: SELECT playevent.drop_counter(%L, %L);', event, taken);
    END IF;
    counter := (SELECT regexp_replace(c.relname, '_counter_slot$', '') FROM pg_class c WHERE c.oid = log.counter_slot)
        || '_listeners';
    SELECT c.relname INTO taken
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = schema
       AND (c.relname = counter AND c.relkind <> 'v' OR c.relname = counter || '_slot' AND c.relkind <> 'r');
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_table',
            MESSAGE = format('"%s" exists already in schema "%s"', taken, schema),
            HINT = 'The view and the slot table of the sketch have these names.';
    END IF;

    RETURN playevent.fill_counter(event, counter, 'listeners'::text, columns, 'sketch'::text, listener_column);
END
$$;

COMMENT ON FUNCTION playevent.add_listener_sketch_as_owner(regclass, name, name) IS
'internal: add_listener_sketch, acting as the log''s owner';

-- playevent.drop_counter(event regclass, counter name) returns void
--
-- Removes a counter other than the log's own, or the sketches: trigger, view
-- and slot table.  That of the log itself stays as long as the log does.
--
-- Errors: an argument is null (22004), no such table (42P01), not its owner
-- (42501), no such counter (42704), the log's own counter (55000), another
-- object depends on the view (2BP01).  Locks: the event table, view and slot
-- table in AccessExclusiveLock.
CREATE FUNCTION playevent.drop_counter(event regclass, counter name)
RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.drop_counter(regclass, name) IS
'removes a further counter of a log: its trigger, view and slot table';

CREATE FUNCTION playevent.drop_counter_as_owner(event regclass, counter name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT c.relname FROM pg_class c WHERE c.oid = event);
    dropped playevent.counter;
    retired regclass;
    schema name;
BEGIN
    PERFORM playevent.check_not_null(counter IS NULL, 'counter'::text);
    -- As DROP TRIGGER will: a lesser lock now would bar who has read the table
    -- from inserting, while we wait for him.
    PERFORM playevent.lock_table(event, 'ACCESS EXCLUSIVE'::text, true);
    SELECT * INTO dropped FROM playevent.counter c
     WHERE c.event = drop_counter_as_owner.event AND c.counter = drop_counter_as_owner.counter;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('table "%s" has no counter "%s"', event_name, counter),
            HINT = 'See the view playevent.counter.';
    END IF;
    IF dropped.counter_slot = (SELECT l.counter_slot FROM playevent.log l WHERE l.event = drop_counter_as_owner.event) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('"%s" is the counter of log "%s" itself', counter, event_name),
            HINT = 'A log without it is none: to have a plain table, drop the triggers whose names start with "playevent_".';
    END IF;
    retired := playevent.retired_table(dropped.counter_slot);
    IF playevent.is_managed(event) THEN
        PERFORM playevent.allow_shard_changes();
    END IF;
    EXECUTE format('DROP TRIGGER %I ON %s', dropped.trigger_name, event);
    schema := playevent.schema_of(dropped.counter_slot);
    IF to_regclass(format('%I.%I', schema, counter)) IN (SELECT oid FROM pg_class WHERE relkind = 'v') THEN
        EXECUTE format('DROP VIEW %I.%I', schema, counter);
    END IF;
    EXECUTE format('DROP TABLE %s', concat_ws(', ', retired, dropped.counter_slot));
    IF playevent.manifest(event) IS NOT NULL THEN
        PERFORM playevent.note(event, 'drop'::text, counter);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.drop_counter_as_owner(regclass, name) IS
'internal: drop_counter, acting as the log''s owner';
