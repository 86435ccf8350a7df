--
-- create_log, which makes a log and its table.
--

-- A log of this name was dropped, with its enum, and so with all its functions but
-- those that don't have that among their arguments.
CREATE FUNCTION playevent.drop_left_over(schema name, name text, event text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    left_over regprocedure;
BEGIN
    FOR left_over IN
        SELECT p.oid
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = drop_left_over.schema AND p.proname = drop_left_over.name AND pg_has_role(p.proowner, 'USAGE')
           AND to_regclass(event) IS NULL
           AND (starts_with(p.prosrc, format(E'\nBEGIN\n    RETURN playevent.record_heard(%L, ', event))
                OR starts_with(p.prosrc, format(E'\nBEGIN\n    RETURN QUERY SELECT r.ord, r.status, r.id, r.reason\n      FROM playevent.record_batch_heard(%L, ', event)))
    LOOP
        EXECUTE format('DROP FUNCTION %s', left_over);
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.drop_left_over(name, text, text) IS
'internal: drops a function that a dropped log of the same name has left';

CREATE FUNCTION playevent.create_log_in(
    schema name, log name,
    track regclass, track_key name, track_release name, track_deleted name,
    kind name, kinds text[], unknown_track text, count_replicated boolean,
    ingest_role regrole, reader_role regrole, thresholds double precision[],
    release regclass, release_key name, daily boolean, day_zone text, heard boolean,
    partition_by text, dedupe_for interval, retain interval)
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "IntervalStyle" = 'postgres'
AS $$
DECLARE
    taken text;
    taken_code text := '42P07';  -- duplicate_table
    key_type text;
    is_string boolean;
    key_oid oid;
    event text;
    time_column text := playevent.time_column(log::text);
    count_column text := playevent.count_column(log::text);
    wanted playevent.log;
    shape playevent.log_shape;
BEGIN
    wanted.track := track;
    wanted.track_key := track_key;
    wanted.track_release := track_release;
    wanted.track_deleted := track_deleted;
    wanted.unknown_track := unknown_track;
    wanted.count_replicated := count_replicated;
    wanted.release := release;
    wanted.release_key := release_key;
    wanted.key_column := 'track_entry_key';
    wanted.release_column := 'release_id';
    wanted.kind_column := kind;
    wanted.count_column := count_column;

    IF schema IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = 'no schema has been selected to create in',
            HINT = 'Set search_path so that it starts with the schema for the log.';
    END IF;
    IF schema LIKE 'pg\_temp%' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_schema_name',
            MESSAGE = 'a log cannot be temporary',
            HINT = 'Set search_path so that it starts with the schema for the log.';
    END IF;
    PERFORM playevent.pin_schema(schema);
    IF log IS NULL OR log = '' OR octet_length(log) > 48 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_name',
            MESSAGE = format('argument "log" is %s', coalesce(quote_literal(log), 'null')),
            HINT = 'The names of the log''s tables start with it, so it must have 1 to 48 bytes.';
    END IF;
    IF kind IS NULL OR kind IN ('', 'id', 'track_entry_key', 'release_id', 'anon_id', 'event_id', 'created_at', 'day', time_column)
       OR heard AND kind = 'heard' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "kind" is %s', coalesce(quote_literal(kind), 'null')),
            HINT = 'It becomes a column of the event table and must differ from the others.';
    END IF;
    IF octet_length(log || '_' || kind) > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'name_too_long',
            MESSAGE = format('name of type "%s" is too long', log || '_' || kind),
            HINT = 'Choose a shorter log or kind; together they may have 62 bytes.';
    END IF;
    IF kinds IS NULL OR cardinality(kinds) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "kinds" is empty',
            HINT = 'Name at least one kind: kinds => ''{partial,most,complete}''.';
    END IF;
    PERFORM playevent.check_kinds(wanted, log::text, kinds, 'kinds'::text);
    PERFORM playevent.check_arguments(wanted);
    -- Its columns stay what they are from here on.  For whoever may not read it there
    -- will be no log; which is said later, and better.
    PERFORM playevent.pin_table(track) FROM pg_class c
      WHERE c.oid = track AND has_schema_privilege(c.relnamespace, 'USAGE')
        AND has_any_column_privilege(c.oid, 'SELECT, REFERENCES');
    PERFORM playevent.check_own_type(track, track_key, 'track_key'::text);
    PERFORM playevent.check_own_type(track, track_release, 'track_release'::text);
    PERFORM playevent.check_role(ingest_role, 'ingest_role'::text);
    PERFORM playevent.check_role(reader_role, 'reader_role'::text);
    IF thresholds IS NULL AND kinds = '{partial,most,complete}' THEN
        thresholds := '{0.05,0.5,0.95}';
    END IF;
    PERFORM playevent.check_thresholds(thresholds, kinds);
    PERFORM playevent.check_day_zone(day_zone);
    PERFORM playevent.check_policy(partition_by, dedupe_for, retain);
    wanted.partition_by := partition_by;
    wanted.retain := retain::text;

    PERFORM playevent.drop_left_over(schema, 'record_' || u.word || '_heard', format('%I.%I', schema, log || '_event'))
       FROM unnest(ARRAY[log::text, playevent.plural(log::text)]) AS u(word);
    SELECT relname INTO taken
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = schema
       AND c.relname IN (log || '_event', log || '_counter_slot', log || '_counter',
                         log || '_by_track', log || '_by_release',
                         log || '_daily_slot', log || '_daily',
                         log || '_listeners_slot', log || '_listeners',
                         log || '_verdict', log || '_valid')
        OR n.nspname = schema AND partition_by IS NOT NULL
       AND c.relname IN (log || '_event_key', log || '_manifest', log || '_counter_retired', log || '_daily_retired',
                         log || '_listeners_retired', log || '_event_retired')
     ORDER BY c.relname <> log || '_event', c.relkind <> 'r', c.relname DESC LIMIT 1;
    IF NOT FOUND THEN
        taken_code := '42710';  -- duplicate_object
        SELECT typname INTO taken
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE n.nspname = schema AND t.typname = log || '_' || kind;
    END IF;
    IF NOT FOUND THEN
        taken_code := '42723';  -- duplicate_function
        SELECT proname INTO taken
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = schema
           AND p.proname IN ('record_' || log, 'record_' || playevent.plural(log::text),
                             CASE WHEN thresholds IS NOT NULL THEN 'record_' || log || '_heard' END,
                             CASE WHEN thresholds IS NOT NULL THEN 'record_' || playevent.plural(log::text) || '_heard' END,
                             CASE WHEN thresholds IS NOT NULL THEN log || '_' || kind || '_of' END)
         ORDER BY p.proname LIMIT 1;
    END IF;
    IF taken IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = taken_code,
            MESSAGE = format('"%s" exists already in schema "%s"', taken, schema),
            HINT = 'Give the log another name as argument "log"; or, for a table that is there, use playevent.attach_log.';
    END IF;

    -- Strings get a limit, so that no key is too long for an index.
    SELECT t.typcategory = 'S' AND t.typlen = -1,
           CASE WHEN t.oid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) THEN
               format('character varying(%s)', greatest(100, base.typmod - 4)) ||
               coalesce(substring(base.declaration FROM ' COLLATE .*'), '')
           ELSE base.declaration END,
           CASE WHEN t.oid IN ('text'::regtype, 'bpchar'::regtype) THEN 'varchar'::regtype ELSE t.oid END
      INTO STRICT is_string, key_type, key_oid
      FROM playevent.base_type(track, track_key, 'track_key'::text) AS base
      JOIN pg_type t ON t.oid = base.type;

    event := format('%I.%I', schema, log || '_event');
    EXECUTE format('CREATE TYPE %I.%I AS ENUM (%s)', schema, log || '_' || kind,
        playevent.literals(kinds));
    EXECUTE format(
        'CREATE TABLE %1$s (
            id bigint GENERATED BY DEFAULT AS IDENTITY,
            track_entry_key %2$s %3$s,
            release_id %4$s,
            %5$s NOT NULL,
            anon_id text,
            event_id uuid,
            created_at timestamptz NOT NULL DEFAULT now(),
            %6$I timestamptz,
            day date NOT NULL DEFAULT (now() AT TIME ZONE %7$L)::date%8$s,
            PRIMARY KEY (%9$s))%10$s',
        event, key_type,
        CASE WHEN release IS NULL THEN 'NOT NULL'
             ELSE 'CHECK (track_entry_key IS NOT NULL OR release_id IS NOT NULL)' END ||
        CASE WHEN is_string THEN ' CHECK (track_entry_key <> '''')' ELSE '' END,
        (playevent.base_type(track, track_release, 'track_release'::text)).declaration,
        format('%I %I.%I', kind, schema, log || '_' || kind), time_column, day_zone,
        CASE WHEN heard THEN ', heard real' ELSE '' END,
        -- A unique index has what the table is partitioned by.
        CASE WHEN partition_by IS NULL THEN 'id' ELSE 'id, created_at' END,
        CASE WHEN partition_by IS NULL THEN '' ELSE ' PARTITION BY RANGE (created_at)' END);
    -- Whose schema a type is in may have put another in its place meanwhile.
    IF EXISTS (
        SELECT FROM pg_attribute a
          JOIN (SELECT 'track_entry_key', key_oid, k.attcollation FROM pg_attribute k WHERE k.attrelid = track AND k.attname = track_key
                 UNION ALL
                SELECT 'release_id', (playevent.base_type(track, track_release, 'track_release'::text)).type, r.attcollation
                  FROM pg_attribute r WHERE r.attrelid = track AND r.attname = track_release) AS meant(name, type, collated)
            ON a.attname = meant.name AND (a.atttypid <> meant.type OR a.attcollation <> meant.collated)
         WHERE a.attrelid = event::regclass) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'serialization_failure',
            MESSAGE = format('a type of a column of table "%s" has become the name of something else meanwhile',
                (SELECT relname FROM pg_class WHERE oid = track)),
            DETAIL = 'The type or its schema was renamed.',
            HINT = 'Try again.';
    END IF;
    IF partition_by IS NULL THEN
        EXECUTE format('CREATE UNIQUE INDEX ON %s (event_id) WHERE event_id IS NOT NULL', event);
    END IF;
    EXECUTE format('CREATE INDEX ON %s USING brin (created_at)', event);
    EXECUTE format('COMMENT ON COLUMN %s.anon_id IS %L', event, 'anonymous listener token');
    EXECUTE format('COMMENT ON COLUMN %s.event_id IS %L', event, 'the client''s idempotency key');
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', event, time_column, 'when it was, if that was before it was recorded');
    EXECUTE format('COMMENT ON COLUMN %s.day IS %L', event, 'the day it counts for, in ' || day_zone);
    IF heard THEN
        EXECUTE format('COMMENT ON COLUMN %s.heard IS %L', event, 'how much of the track was heard, from 0 to 1');
    END IF;

    wanted.event := event::regclass;
    PERFORM playevent.disown_slots(wanted.event);
    shape.log := log;
    shape.kind_word := kind;
    shape.kinds := kinds;
    shape.kind_names := kinds;
    shape.thresholds := thresholds;
    shape.id_column := 'id';
    shape.event_id_column := 'event_id';
    shape.listener_column := 'anon_id';
    shape.heard_column := CASE WHEN heard THEN 'heard' END;
    shape.time_column := time_column;
    shape.created_column := 'created_at';
    shape.day_column := 'day';
    shape.day_zone := day_zone;
    shape.daily := daily;
    shape.dedupe_for := dedupe_for;
    shape.ingest_role := ingest_role;
    shape.reader_role := reader_role;
    PERFORM playevent.arm_log(wanted, shape);
    PERFORM playevent.check_log(wanted.event);
    IF partition_by IS NOT NULL THEN
        PERFORM playevent.extend(wanted.event);
    END IF;
    RETURN wanted.event;
END
$$;

COMMENT ON FUNCTION playevent.create_log_in(name, name, regclass, name, name, name, name, text[], text, boolean, regrole, regrole, double precision[], regclass, name, boolean, text, boolean, text, interval, interval) IS
'internal: create_log, in the schema given';

-- playevent.create_log(log name, track regclass, ...) returns regclass
--
-- Makes a log in the current schema, with the caller's rights and for him: event
-- table, counters, views, triggers and record functions; and grants the roles named
-- what they need.  sql/README.md says what each argument is; thresholds are
-- fractions of a track, from 0 to 1 and ascending.  Returns the event table.
--
-- Errors: an argument that may not be is null (22004), there is no current schema, or
-- it is temporary (3F000), a bad or too long name (42602, 42622), a bad kind, bad kinds,
-- thresholds, unknown_track or day_zone (22023), no such table, column or role (42P01, 42703, 42704), the
-- track table is no ordinary one (42809), has types of somebody else's (42501), a column would be counted by and be the
-- count (42701), a table, type or function is there of a name (42P07, 42710, 42723), what check_no_shell,
-- track_binding and counter_binding report.  Locks: the track table in
-- AccessShareLock.
--
-- The body is parsed now, so that no search_path can bend it later; unpinned,
-- because current_schema() is the caller's.
CREATE FUNCTION playevent.create_log(
    log name,
    track regclass,
    track_key name DEFAULT 'entry_key',
    track_release name DEFAULT 'release_id',
    track_deleted name DEFAULT NULL,
    kind name DEFAULT 'bucket',
    kinds text[] DEFAULT '{partial,most,complete}',
    unknown_track text DEFAULT 'record',
    count_replicated boolean DEFAULT true,
    ingest_role regrole DEFAULT NULL,
    reader_role regrole DEFAULT NULL,
    thresholds double precision[] DEFAULT NULL,
    release regclass DEFAULT NULL,
    release_key name DEFAULT 'id',
    daily boolean DEFAULT true,
    day_zone text DEFAULT 'UTC',
    heard boolean DEFAULT false,
    partition_by text DEFAULT NULL,
    dedupe_for interval DEFAULT '30 days',
    retain interval DEFAULT NULL)
RETURNS regclass
LANGUAGE sql
BEGIN ATOMIC
    SELECT playevent.create_log_in(pg_catalog.current_schema(), log,
        track, track_key, track_release, track_deleted,
        kind, kinds, unknown_track, count_replicated, ingest_role,
        reader_role, thresholds, release, release_key, daily, day_zone, heard,
        partition_by, dedupe_for, retain);
END;

COMMENT ON FUNCTION playevent.create_log(name, regclass, name, name, name, name, text[], text, boolean, regrole, regrole, double precision[], regclass, name, boolean, text, boolean, text, interval, interval) IS
'creates a log in the current schema: event table, counters and triggers; returns the event table';
