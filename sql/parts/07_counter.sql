--
-- Making a counter: its slot table, view and trigger, with the caller's rights.
--

-- The type of sketches.  One of up to 256 listeners is exact, at 8 bytes each; from
-- there on the standard error is 1.04 / sqrt(2 ^ 13) = 1.15 %, so that 99 in 100
-- are true to 3 %, and the size grows from 0.6 kB to 5.1 kB, which fits a page.
-- With half of that, the error would be 1.6 %; on real plays one was 3.3 % off.
CREATE FUNCTION playevent.sketch_type() RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema name;
BEGIN
    SELECT n.nspname INTO schema
      FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
     WHERE e.extname = 'hll';
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'extension "hll" is not installed in this database',
            DETAIL = 'Sketches of distinct listeners are made by it.',
            HINT = format('Install the package (postgresql-%s-hll on Debian), then: CREATE EXTENSION hll;',
                current_setting('server_version_num')::int / 10000);
    END IF;
    RETURN format('%I.hll(13, 5, 256, 1)', schema);
END
$$;

COMMENT ON FUNCTION playevent.sketch_type() IS
'internal: the type of sketches of distinct listeners, or an error if there is none';

-- Does a view read a table, by itself or by other views?
CREATE FUNCTION playevent.reads(view regclass, rel regclass) RETURNS boolean
LANGUAGE sql STABLE
RETURN rel IN (
    WITH RECURSIVE used(oid) AS (
        SELECT view::oid
        UNION
        SELECT d.refobjid
          FROM used
          JOIN pg_catalog.pg_rewrite r ON r.ev_class = used.oid
          JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
           AND d.refclassid = 'pg_catalog.pg_class'::regclass)
    SELECT oid FROM used);

COMMENT ON FUNCTION playevent.reads(regclass, regclass) IS
'internal: does a view read a table';

-- Makes a view of a log's, in the schema of its slots.  One that is there may be as
-- the app wants it, if it is the owner's: whoever reads it runs what is in it.  But if
-- it is for slots that have just been made, and reads neither them nor the log, it is
-- left of others that are somewhere else now.
CREATE FUNCTION playevent.make_view(event regclass, schema name, name text, made regclass, query text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log pg_class;
    view_owner regrole;
BEGIN
    SELECT * INTO STRICT log FROM pg_class WHERE oid = event;
    SELECT relowner INTO view_owner FROM pg_class
     WHERE relname = name AND relnamespace = quote_ident(schema)::regnamespace AND relkind = 'v';
    IF NOT FOUND THEN
        EXECUTE format('CREATE VIEW %I.%I AS %s', schema, name, query);
        -- Whose schema it is may have put something else in the slot table's place.
        IF EXISTS (
            SELECT FROM pg_rewrite r
              JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
              JOIN pg_class used ON d.refclassid = 'pg_class'::regclass AND used.oid = d.refobjid
             WHERE r.ev_class = format('%I.%I', schema, name)::regclass AND used.relowner <> log.relowner) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'serialization_failure',
                MESSAGE = format('view "%s" would show a table of someone else', name),
                DETAIL = 'A table or its schema was renamed meanwhile.',
                HINT = 'Try again.';
        END IF;
    ELSIF view_owner <> log.relowner THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('view "%s" belongs to someone else than "%s"', name, log.relname),
            HINT = 'Drop it or rename it, or give the log another name. To take it over would be to run what is in it.';
    ELSIF NOT (playevent.reads(format('%I.%I', schema, name)::regclass, made)
               OR playevent.reads(format('%I.%I', schema, name)::regclass, event)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('view "%s" does not read table "%s"', name, (SELECT relname FROM pg_class WHERE oid = made)),
            DETAIL = 'What it shows would not change any more.',
            HINT = 'Drop it, to have it made anew, or rename it.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.make_view(regclass, name, text, regclass, text) IS
'internal: makes one of a log''s views';

-- What a view or a query reads to add a counter up: its slots, and what was
-- retired, if there can be such.
CREATE FUNCTION playevent.counted_in(slot text, retired text, columns name[]) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN retired IS NULL THEN 'ONLY ' || slot ELSE (
    SELECT pg_catalog.format('(SELECT %1$s FROM ONLY %2$s UNION ALL SELECT %1$s FROM ONLY %3$s) AS counted',
               pg_catalog.string_agg(pg_catalog.quote_ident(u.c), ', ' ORDER BY u.ord), slot, retired)
      FROM pg_catalog.unnest(columns) WITH ORDINALITY AS u(c, ord)) END;

COMMENT ON FUNCTION playevent.counted_in(text, text, name[]) IS
'internal: what to read of a counter, for a FROM clause';

-- Is a table, if it is there, the owner's, and nothing that would run anything of
-- anybody's?  Those that are guarded, and not slots.
CREATE FUNCTION playevent.check_guarded(event regclass, rel regclass, columns text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log pg_class;
    class pg_class;
BEGIN
    SELECT * INTO STRICT log FROM pg_class WHERE oid = event;
    SELECT * INTO STRICT class FROM pg_class WHERE oid = rel;
    IF class.relowner <> log.relowner THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('table "%s" belongs to someone else than "%s"', class.relname, log.relname),
            HINT = 'Drop it or rename it, or give the log another name. To take it over would be to run what is in it.';
    ELSIF class.relkind <> 'r' OR class.relpersistence <> 'p' OR playevent.is_more_than_slots(rel)
       OR columns IS DISTINCT FROM (SELECT string_agg(format('%I %s', a.attname, playevent.declaration(a.atttypid, a.atttypmod, a.attcollation)), ', ' ORDER BY a.attnum)
                                      FROM pg_attribute a WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is there already, and does not fit table "%s"', class.relname, log.relname),
            DETAIL = format('It must be a logged table with the columns %s, and have no triggers, rules, policies, constraints or defaults of its own.', columns),
            HINT = 'If but the type of a column is another, give it that of the log: ALTER TABLE ... ALTER COLUMN ... TYPE.  Otherwise rename it, or give the log another name.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_guarded(regclass, regclass, text) IS
'internal: checks that a table that is there can be one of a log''s own';

-- Guards a table: its guards say what it belongs to and what it is for.
CREATE FUNCTION playevent.guard_table(rel regclass, arguments text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Logical replication fires row triggers only.
    PERFORM playevent.set_trigger(rel, 'playevent_slot_guard'::name,
        'BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE'::text, 'STATEMENT'::text, NULL::text, 'slot_guard'::text, arguments);
    PERFORM playevent.set_trigger(rel, 'playevent_slot_guard_row'::name,
        'BEFORE INSERT OR UPDATE OR DELETE'::text, 'ROW'::text, NULL::text, 'slot_guard'::text, arguments);
END
$$;

COMMENT ON FUNCTION playevent.guard_table(regclass, text[]) IS
'internal: guards a table against all writes but playevent''s';

-- A table was made with the types of another's columns, which it knew by name; whose
-- schema they are in may have put others in their place.
CREATE FUNCTION playevent.check_same_types(made regclass, pattern regclass, columns name[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    other name;
BEGIN
    SELECT a.attname INTO other
      FROM pg_attribute a
      JOIN pg_attribute b ON b.attrelid = pattern AND b.attname = a.attname AND b.attnum > 0
     WHERE a.attrelid = made AND a.attname = ANY (columns) AND (a.atttypid <> b.atttypid OR a.attcollation <> b.attcollation);
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'serialization_failure',
            MESSAGE = format('the type of column "%s" has become the name of something else meanwhile', other),
            DETAIL = 'The type or its schema was renamed.',
            HINT = 'Try again.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_same_types(regclass, regclass, name[]) IS
'internal: checks that columns of a table have the types of another''s of the same names';

-- Makes the table of what was retired of a counter, as far as it is not there: one
-- row a key, and indexes as those of the slots, of which the first has all of it.
CREATE FUNCTION playevent.arm_retired(
    event regclass, slot regclass, indexes text[], count_column text, arguments text[])
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    schema name := playevent.schema_of(slot);
    slot_name name := (SELECT relname FROM pg_class WHERE oid = slot);
    retired regclass := playevent.retired_table(slot);
    name text := regexp_replace(slot_name, '_slot$', '') || '_retired';
    declared text;
    i int := 0;
BEGIN
    SELECT string_agg(format('%I %s', a.attname, playevent.declaration(a.atttypid, a.atttypmod, a.attcollation)), ', ' ORDER BY a.attnum)
      INTO declared
      FROM pg_attribute a WHERE a.attrelid = slot AND a.attnum > 0 AND NOT a.attisdropped;
    IF retired IS NULL THEN
        retired := to_regclass(format('%I.%I', schema, name));
    END IF;
    IF retired IS NULL THEN
        EXECUTE format('CREATE TABLE %I.%I (%s) WITH (fillfactor = 90)', schema, name, declared);
        retired := format('%I.%I', schema, name)::regclass;
        PERFORM playevent.check_same_types(retired, slot, ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = slot AND attnum > 0));
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', retired, count_column);
        EXECUTE format('CREATE UNIQUE INDEX ON %s (%s) NULLS NOT DISTINCT', retired, indexes[1]);
        FOR i IN 2..cardinality(indexes) LOOP
            EXECUTE format('CREATE INDEX ON %s (%s)', retired, indexes[i]);
        END LOOP;
    ELSE
        PERFORM playevent.check_guarded(event, retired, declared);
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', retired,
        format('what was retired of %I, one row a key: read view %I', slot_name, regexp_replace(slot_name, '_slot$', '')));
    PERFORM playevent.guard_table(retired,
        ARRAY[playevent.reference(slot, playevent.schema_of(retired)), 'retired'] || arguments);
    RETURN retired;
END
$$;

COMMENT ON FUNCTION playevent.arm_retired(regclass, regclass, text[], text, text[]) IS
'internal: makes the table of what was retired of a counter';

-- Makes the slot table of a counter, the view that adds its slots up, and the
-- trigger that counts, as far as they are not there; indexes are column lists.
-- declared is the slot table that is known to be the log's, if any; function is what
-- counts, and source_column what it takes that from, if anything.  What is in the log
-- is rebuild's to fill in.
CREATE FUNCTION playevent.arm_counter(
    event regclass, declared regclass, counter text, count_column text, columns name[],
    indexes text[], trigger_name name, function text, source_column name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    is_sketch boolean := function = 'sketch';
    arguments text[] := count_column || array_remove(ARRAY[source_column::text], NULL) || columns::text[];
    count_type text := CASE WHEN is_sketch THEN playevent.sketch_type() ELSE 'bigint' END;
    event_schema name := playevent.schema_of(event);
    schema name := coalesce(playevent.schema_of(declared), event_schema);
    event_name name;
    owner regrole;
    slot_name text := counter || '_slot';
    slot text;
    column_list text := playevent.identifiers(columns::text[]);
    index_columns text;
    other_log name;
    retired text;
    made regclass;
BEGIN
    SELECT relname, relowner INTO STRICT event_name, owner FROM pg_class WHERE oid = event;
    SELECT relname INTO slot_name FROM pg_class WHERE oid = declared;
    slot_name := coalesce(slot_name, counter || '_slot');
    slot := format('%I.%I', schema, slot_name);

    -- The slot table.  Truncation by VACUUM would make writers wait, so it is
    -- off.  The rest was chosen by measurement, on PostgreSQL 15 with 2 cores
    -- and 16 clients:
    -- fillfactor: instructions per insert, by callgrind, once updates and
    --     pruning of pages are balanced (uniform over 500 tracks): at 50
    --     219,600, 60 219,900, 70 220,400; but 85 25,000 more, and 100 30,000,
    --     as a page that is nearly full is pruned all the time.  A batch adds
    --     to many slots of a page at once: at 50 each has room for a second
    --     version; at 70 a fourth of those of real plays left the page, and a
    --     row of the batch took 62,700 instructions in place of 53,300.  The
    --     table is 1.4 times as large as at 70.
    -- autovacuum: 1,000,000 tracks, 27 s of Zipf load, for 12 s of it beside an
    --     old snapshot.  Reading the hottest track took 0.1 ms before, and a
    --     quarter of a minute later 1.5 ms with the usual scale factor of 0.2,
    --     for no VACUUM had come yet, 0.4 ms with 0.05.  Without the snapshot
    --     it does not matter: pruning leaves VACUUM little to do.
    -- Sketches stay on their page, for they change; nor are keys to leave it
    -- because of them.
    IF to_regclass(slot) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %s (%s, %I %s NOT NULL)
             USING heap
             WITH (fillfactor = 50, vacuum_truncate = false,
                   autovacuum_vacuum_scale_factor = 0.05,
                   autovacuum_vacuum_threshold = 1000%s)',
            slot,
            (SELECT string_agg(format('%I %s', c, playevent.slot_column_type(event, c)), ', ' ORDER BY ord)
               FROM unnest(columns) WITH ORDINALITY AS u(c, ord)),
            count_column, count_type,
            CASE WHEN is_sketch THEN ', toast_tuple_target = 8160' END);
        made := slot::regclass;
        PERFORM playevent.check_same_types(made, event, columns);
        IF is_sketch THEN
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE MAIN', slot, count_column);
        END IF;
        FOREACH index_columns IN ARRAY indexes LOOP
            EXECUTE format('CREATE INDEX ON %s (%s)', slot, index_columns);
        END LOOP;
    ELSIF owner <> (SELECT relowner FROM pg_class WHERE oid = to_regclass(slot)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('table "%s" belongs to someone else than "%s"', slot_name, event_name),
            HINT = 'Drop it or rename it, or give the log another name. To take it over would be to run what is in it.';
    ELSIF cardinality(columns) <> (
        SELECT count(*) FROM pg_attribute
         WHERE attrelid = event AND attname = ANY (columns) AND attnum > 0) OR EXISTS (
        SELECT attname, atttypid FROM pg_attribute
         WHERE attrelid = event AND attname = ANY (columns)
        UNION ALL
        SELECT count_column, regexp_replace(count_type, '\(.*', '')::regtype
        EXCEPT
        SELECT attname, atttypid FROM pg_attribute
         WHERE attrelid = to_regclass(slot) AND attnum > 0 AND NOT attisdropped)
        OR (SELECT relpersistence FROM pg_class WHERE oid = to_regclass(slot)) <> 'p'
        OR playevent.is_more_than_slots(to_regclass(slot)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is there already, and does not fit table "%s"', slot_name, event_name),
            DETAIL = format('It must be a logged table with the columns counted by, of the same types, and column "%s" of type %s, and have no triggers, rules, policies, constraints or defaults of its own.',
                count_column, count_type),
            HINT = format('Drop it; the counts will be computed anew: DROP TABLE %s CASCADE;', slot);
    END IF;
    -- One whose table was renamed, and a new one put in its place.
    SELECT c.relname INTO other_log
      FROM playevent.guard g JOIN pg_class c ON c.oid = g.event
     WHERE g.slot = to_regclass(slot) AND g.event <> arm_counter.event;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_in_use',
            MESSAGE = format('table "%s" keeps the counts of log "%s"', slot_name, other_log),
            HINT = format('Give table "%s" another name; its counters will be named after it.', event_name);
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', slot,
        format('%s of %I in parts, several rows a key: read view %I',
            CASE function WHEN 'sketch' THEN 'sketches of the listeners'
                          WHEN 'sum' THEN format('sums of %I', source_column)
                          ELSE 'counts' END, event_name, counter));
    -- Its guards say whose it is.  Logical replication must not bring slots along:
    -- the rows of the log are counted where they arrive.
    PERFORM playevent.guard_table(slot::regclass, ARRAY[playevent.reference(event, schema), function] || arguments);
    IF playevent.is_distributed(event) THEN
        PERFORM playevent.distribute_slots(slot::regclass, event);
    END IF;
    IF playevent.partition_column(event) IS NOT NULL THEN
        retired := playevent.arm_retired(event, slot::regclass, indexes, count_column, arguments)::text;
    END IF;

    -- A slot table that was given another name has its view already.
    IF slot_name LIKE '_%\_slot' THEN
        PERFORM playevent.make_view(event, schema, regexp_replace(slot_name, '_slot$', ''), made, format(
            CASE WHEN is_sketch THEN 'SELECT %1$s, %4$s.hll_union_agg(%2$I) AS %2$I FROM %3$s GROUP BY %1$s'
            ELSE 'SELECT %1$s, sum(%2$I)::bigint AS %2$I FROM %3$s GROUP BY %1$s HAVING sum(%2$I) <> 0' END,
            column_list, count_column, playevent.counted_in(slot, retired, columns || count_column::name),
            (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'hll')));
    END IF;

    PERFORM playevent.set_trigger(event, trigger_name, 'AFTER INSERT'::text, 'ROW'::text, NULL::text, function,
        playevent.reference(slot::regclass, event_schema) || arguments);
END
$$;

COMMENT ON FUNCTION playevent.arm_counter(regclass, regclass, text, text, name[], text[], name, text, name) IS
'internal: makes the slot table, view and trigger of a counter';

-- arm_counter for another counter than the log's own, of this name, which its
-- trigger is called after.  Of the slot table's indexes one is for writes, on all
-- columns in their order.  But a day goes to its front, for then only today's pages
-- are in use, then what is cheap to compare; and another index is for series.
CREATE FUNCTION playevent.arm_further_counter(
    event regclass, declared regclass, counter text, count_column text, columns name[],
    function text, source_column name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    all_columns text;
    day_first text;
    day_column name;
    first_other name;
BEGIN
    SELECT min(u.c) FILTER (WHERE a.atttypid = 'date'::regtype),
           (array_agg(u.c ORDER BY ord) FILTER (WHERE a.atttypid <> 'date'::regtype))[1],
           string_agg(quote_ident(u.c), ', ' ORDER BY ord)
      INTO day_column, first_other, all_columns
      FROM unnest(columns) WITH ORDINALITY AS u(c, ord)
      JOIN pg_attribute a ON a.attrelid = event AND a.attname = u.c;
    SELECT string_agg(quote_ident(u.c), ', ' ORDER BY u.c <> day_column, a.attlen < 0, ord)
      INTO day_first
      FROM unnest(columns) WITH ORDINALITY AS u(c, ord)
      JOIN pg_attribute a ON a.attrelid = event AND a.attname = u.c;
    PERFORM playevent.arm_counter(event, declared, counter, count_column, columns,
        CASE WHEN day_column IS NULL OR first_other IS NULL THEN ARRAY[all_columns]
             ELSE ARRAY[day_first, format('%I, %I', first_other, day_column)] END,
        CASE WHEN function = 'sketch' THEN 'playevent_listeners'
             ELSE format('playevent_%s_%s', function, counter) END::name,
        function, source_column);
END
$$;

COMMENT ON FUNCTION playevent.arm_further_counter(regclass, regclass, text, text, name[], text, name) IS
'internal: makes the slot table, view and trigger of a counter other than the log''s own';
