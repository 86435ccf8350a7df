--
-- Making a log of a table: counter, views, triggers and grants, with the caller's
-- rights.
--

CREATE FUNCTION playevent.grant_usage(schema name, role regrole) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT has_schema_privilege(role, schema, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', schema, role);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.grant_usage(name, regrole) IS
'internal: grants USAGE on a log''s schema to a role that lacks it';

CREATE FUNCTION playevent.grant_reading(event regclass, role regrole, views name[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema name := playevent.schema_of(event);
    view name;
BEGIN
    FOREACH view IN ARRAY views LOOP
        EXECUTE format('GRANT SELECT ON %I.%I TO %s', schema, view, role);
    END LOOP;
    PERFORM playevent.grant_usage(schema, role);
END
$$;

COMMENT ON FUNCTION playevent.grant_reading(regclass, regrole, name[]) IS
'internal: grants SELECT on a log''s views';

-- Grants a role what it needs to insert.
CREATE FUNCTION playevent.grant_ingest(wanted playevent.log, shape playevent.log_shape) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    granted text;
    sequence regclass;
BEGIN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO granted
      FROM pg_attribute a
     WHERE a.attrelid = wanted.event AND NOT a.attisdropped
       AND (a.attname IN (wanted.key_column, wanted.kind_column,
                          shape.event_id_column, shape.listener_column, shape.heard_column)
            OR a.attname = wanted.release_column AND wanted.release IS NOT NULL);
    EXECUTE format('GRANT INSERT (%s) ON %s TO %s', granted, wanted.event, shape.ingest_role);
    -- for columns of type serial; those of an identity need no right
    FOR sequence IN
        SELECT d.objid::regclass FROM pg_depend d
          JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
         WHERE d.classid = 'pg_class'::regclass AND d.refobjid = wanted.event AND d.deptype = 'a'
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', sequence, shape.ingest_role);
    END LOOP;
    PERFORM playevent.grant_usage(playevent.schema_of(wanted.event), shape.ingest_role);
END
$$;

COMMENT ON FUNCTION playevent.grant_ingest(playevent.log, playevent.log_shape) IS
'internal: grants a role what it needs to insert into a log';

-- Makes all that belongs to a log whose event table is there: slot tables, views,
-- triggers, functions; and grants roles what they need.  What is wanted are the
-- columns of the view; a slot table among them is known to be the log's.
CREATE FUNCTION playevent.arm_log(wanted playevent.log, shape playevent.log_shape)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning  -- no NOTICE for what is there already
AS $$
DECLARE
    log text := shape.log;
    schema name := playevent.schema_of(wanted.event);
    slot_schema name := coalesce(playevent.schema_of(wanted.counter_slot), schema);
    view_name text;
    view_query text;
    slot text;
    kind_columns text := '';
    part regclass;
    partition_column name := playevent.partition_column(wanted.event);
    retired regclass;
    is_made boolean;
BEGIN
    slot := coalesce(wanted.counter_slot::text, format('%I.%I', schema, log || '_counter_slot'));

    PERFORM playevent.check_no_shell(wanted.event, u.rel) FROM unnest(ARRAY[wanted.event, wanted.track, wanted.release]) AS u(rel);

    is_made := to_regclass(slot) IS NULL;

    -- One index for writes and for reads by release, one for reads by track.
    -- The release in front is cheap to compare.
    PERFORM playevent.arm_counter(wanted.event, wanted.counter_slot, log || '_counter', wanted.count_column,
        ARRAY[wanted.key_column, wanted.release_column, wanted.kind_column]::name[],
        ARRAY[format('%I, %I, %I', wanted.release_column, wanted.key_column, wanted.kind_column),
              quote_ident(wanted.key_column)],
        'playevent_count'::name, 'count'::text, NULL::name);

    retired := playevent.retired_table(to_regclass(slot));
    SELECT coalesce(string_agg(
            format('coalesce(sum(%I) FILTER (WHERE %I = %L), 0)::bigint AS %I, ',
                wanted.count_column, wanted.kind_column, u.kind, u.name), '' ORDER BY ord), '')
      INTO kind_columns
      FROM unnest(shape.kinds, shape.kind_names) WITH ORDINALITY AS u(kind, name, ord);
    FOREACH view_name IN ARRAY ARRAY['_by_track', '_by_release'] LOOP
        view_query := format(
            CASE view_name
                WHEN '_by_track' THEN
                    'SELECT %1$I, %5$ssum(%3$I)::bigint AS %3$I FROM %4$s' ||
                    CASE WHEN wanted.release IS NOT NULL THEN ' WHERE %1$I IS NOT NULL' ELSE '' END ||
                    ' GROUP BY 1 HAVING sum(%3$I) <> 0'
                WHEN '_by_release' THEN
                    'SELECT %2$I, %5$ssum(%3$I)::bigint AS %3$I FROM %4$s WHERE %2$I IS NOT NULL
                     GROUP BY 1 HAVING sum(%3$I) <> 0'
            END,
            wanted.key_column, wanted.release_column, wanted.count_column,
            playevent.counted_in(slot, retired::text,
                ARRAY[wanted.key_column, wanted.release_column, wanted.kind_column, wanted.count_column]::name[]),
            kind_columns);
        PERFORM playevent.make_view(wanted.event, slot_schema, log || view_name,
            CASE WHEN is_made THEN slot::regclass END, view_query);
    END LOOP;

    -- The triggers.  Names in their arguments are of the log's schema unless
    -- they say otherwise.
    PERFORM playevent.set_trigger(wanted.event, 'playevent_append_only'::name,
        'BEFORE UPDATE OR DELETE'::text, 'ROW'::text, NULL::text, 'append_only'::text, '{}'::text[]);
    PERFORM playevent.set_trigger(wanted.event, 'playevent_resolve'::name,
        'BEFORE INSERT'::text, 'ROW'::text,
        CASE WHEN wanted.release IS NOT NULL THEN format('NEW.%I IS NOT NULL', wanted.key_column) END, 'resolve'::text,
        ARRAY[playevent.reference(wanted.track, schema), wanted.track_key, wanted.track_release,
              coalesce(wanted.track_deleted, ''), wanted.unknown_track, wanted.key_column, wanted.release_column]);
    -- A row of a release alone has it looked up like a track.
    IF wanted.release IS NOT NULL THEN
        PERFORM playevent.set_trigger(wanted.event, 'playevent_resolve_release'::name,
            'BEFORE INSERT'::text, 'ROW'::text, format('NEW.%I IS NULL', wanted.key_column), 'resolve'::text,
            ARRAY[playevent.reference(wanted.release, schema), wanted.release_key, wanted.release_key,
                  '', 'reject', wanted.release_column, wanted.release_column]);
    END IF;
    PERFORM playevent.set_trigger(wanted.event, 'playevent_flush'::name,
        'AFTER INSERT'::text, 'STATEMENT'::text, NULL::text, 'flush'::text,
        CASE WHEN wanted.count_replicated THEN '{}' ELSE '{origin}' END::text[]);
    IF shape.created_column IS NOT NULL THEN
        PERFORM playevent.set_trigger(wanted.event, 'playevent_day'::name,
            'BEFORE INSERT'::text, 'ROW'::text, NULL::text, 'day'::text,
            ARRAY[shape.day_column, coalesce(shape.time_column, ''), shape.created_column]::text[] ||
            CASE WHEN shape.day_zone <> 'UTC' THEN ARRAY[shape.day_zone] ELSE '{}' END);
    END IF;

    IF shape.id_column IS NOT NULL THEN
        PERFORM playevent.arm_verdicts(wanted, shape);
    END IF;
    IF partition_column IS NOT NULL THEN
        PERFORM playevent.arm_retention(wanted, shape, partition_column);
    END IF;
    -- No unique index keeps the event_ids of its partitions apart.
    IF shape.event_id_column IS NOT NULL AND NOT playevent.is_kept_apart(wanted.event, shape.event_id_column) THEN
        PERFORM playevent.arm_event_keys(wanted, shape, coalesce(shape.dedupe_for, '30 days'::interval));
    END IF;

    -- Partitions inherit row triggers, but not this one.
    FOR part IN
        SELECT wanted.event UNION SELECT relid FROM pg_partition_tree(wanted.event)
    LOOP
        PERFORM playevent.refuse_truncate(part);
    END LOOP;

    IF shape.daily THEN
        PERFORM playevent.arm_further_counter(wanted.event, NULL::regclass, log || '_daily', wanted.count_column,
            ARRAY[wanted.key_column, wanted.release_column, shape.day_column]::name[], 'count'::text, NULL::name);
    END IF;
    IF shape.id_column IS NOT NULL THEN
        PERFORM playevent.make_record_functions(wanted, shape);
    END IF;
    IF shape.thresholds IS NOT NULL THEN
        PERFORM playevent.make_kind_function(wanted, shape);
    END IF;

    IF shape.ingest_role IS NOT NULL THEN
        PERFORM playevent.grant_ingest(wanted, shape);
    END IF;
    -- top and series read the slots
    IF shape.reader_role IS NOT NULL THEN
        PERFORM playevent.grant_reading(wanted.event, shape.reader_role,
            ARRAY[log || '_counter', log || '_by_track', log || '_by_release']::name[] ||
            CASE WHEN shape.daily THEN ARRAY[log || '_daily', log || '_daily_slot']::name[] ELSE '{}' END ||
            CASE WHEN shape.daily AND partition_column IS NOT NULL THEN ARRAY[log || '_daily_retired']::name[] ELSE '{}' END);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.arm_log(playevent.log, playevent.log_shape) IS
'internal: makes the slot tables, views, triggers and functions of a log';
