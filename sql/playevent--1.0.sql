/* sql/playevent--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION playevent" to load this file. \quit

-- The schema is made here, not by CREATE EXTENSION, for that would give it to
-- whoever says so, or take one that is there.  Its owner could move it aside and
-- put functions in its place, which the event triggers would call as everyone,
-- superusers included; or leave operators in it for what is parsed here.
CREATE SCHEMA playevent;

--
-- Trigger functions
--

CREATE FUNCTION playevent.append_only() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_append_only';

COMMENT ON FUNCTION playevent.append_only() IS
'trigger BEFORE UPDATE, DELETE or TRUNCATE of a log: refuses (23001)';

CREATE FUNCTION playevent.slot_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_slot_guard';

COMMENT ON FUNCTION playevent.slot_guard() IS
'trigger BEFORE any SQL write to a slot table: refuses (23001)';

CREATE FUNCTION playevent.resolve() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_resolve';

COMMENT ON FUNCTION playevent.resolve() IS
'trigger BEFORE INSERT, row: sets the release; arguments: track table, its key, release and deletion columns, record or reject, the log''s key and release columns';

CREATE FUNCTION playevent.day() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_day';

COMMENT ON FUNCTION playevent.day() IS
'trigger BEFORE INSERT, row: sets the day that the row counts for, in UTC; arguments: the day''s column, those of when it was and when it was recorded';

CREATE FUNCTION playevent.count() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_count';

COMMENT ON FUNCTION playevent.count() IS
'trigger AFTER INSERT, row: counts it; arguments: slot table, its count column, the key''s columns';

CREATE FUNCTION playevent.sketch() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_sketch';

COMMENT ON FUNCTION playevent.sketch() IS
'trigger AFTER INSERT, row: adds its listener to a sketch; arguments: slot table, its sketch column, the listener''s column, the key''s columns';

CREATE FUNCTION playevent.flush() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_flush';

COMMENT ON FUNCTION playevent.flush() IS
'trigger AFTER INSERT, statement: writes what was counted; argument: origin, if replicated rows are not to be counted';

--
-- Functions for users
--

-- All that verify and rebuild run is built from quoted, qualified names; the
-- pinned search_path is for the operators in it.  Under row_security = off a
-- policy that would hide rows from the caller is an error, not a difference.

CREATE FUNCTION playevent.verify(event regclass)
RETURNS TABLE (
    track_entry_key text,
    release_id text,
    kind text,
    counted bigint,
    logged bigint,
    counter text,
    further_key text)
LANGUAGE c STABLE STRICT
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'playevent_verify';

COMMENT ON FUNCTION playevent.verify(regclass) IS
'the counters that differ from their log, in one snapshot; no row means exact';

CREATE FUNCTION playevent.rebuild(event regclass) RETURNS bigint
LANGUAGE c VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'playevent_rebuild';

COMMENT ON FUNCTION playevent.rebuild(regclass) IS
'recomputes a log''s counters while plays go on, and returns how many were wrong';

CREATE FUNCTION playevent.compact(event regclass) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_compact';

COMMENT ON FUNCTION playevent.compact(regclass) IS
'merges spare slots of a log''s counters without making anyone wait, and returns how many it removed';

-- The log's own functions call it, with the rights of its owner.  Arrays are of
-- whatever types the log's columns have.
CREATE FUNCTION playevent.record_batch(
    event regclass, kind_column name, time_column name,
    track_entry_keys "any", kinds "any", event_ids uuid[], anon_ids text[],
    times timestamptz[], release_ids "any")
RETURNS TABLE (ord int, status text, id bigint, reason text)
LANGUAGE c VOLATILE ROWS 1000
AS 'MODULE_PATHNAME', 'playevent_record_batch';

COMMENT ON FUNCTION playevent.record_batch(regclass, name, name, "any", "any", uuid[], text[], timestamptz[], "any") IS
'internal: records a batch in one''s own log, and returns a receipt for each row';

CREATE FUNCTION playevent.check_log(event regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'playevent_check_log';

COMMENT ON FUNCTION playevent.check_log(regclass) IS
'fails with the error that the log''s triggers would fail with, if any';

CREATE FUNCTION playevent.trigger_arguments(tgargs bytea) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'playevent_trigger_arguments';

COMMENT ON FUNCTION playevent.trigger_arguments(bytea) IS
'internal: the arguments in pg_trigger.tgargs';

CREATE FUNCTION playevent.named_table(name text, schema oid) RETURNS regclass
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'playevent_named_table';

COMMENT ON FUNCTION playevent.named_table(text, oid) IS
'internal: the table that a trigger''s argument names, or null';

-- A query on pg_trigger sees what its snapshot does, which in REPEATABLE READ
-- may be long past.
CREATE FUNCTION playevent.triggers(rel regclass)
RETURNS TABLE (name name, function regproc, enabled "char", tgargs bytea)
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'playevent_triggers';

COMMENT ON FUNCTION playevent.triggers(regclass) IS
'internal: what pg_trigger says of a table at this moment';

CREATE FUNCTION playevent.enabled_as_made(trigger oid) RETURNS "char"
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'playevent_enabled_as_made';

COMMENT ON FUNCTION playevent.enabled_as_made(oid) IS
'internal: what pg_trigger.tgenabled is for a trigger of playevent''s when all is well; null for others, and for those that are there to be inherited';

--
-- The logs there are
--

-- Of a log's triggers that resolve, the one for events of a release alone has
-- the release for a key.
CREATE FUNCTION playevent.resolves_releases(tgargs bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT
RETURN (playevent.trigger_arguments(tgargs))[6] OPERATOR(pg_catalog.=) (playevent.trigger_arguments(tgargs))[7];

COMMENT ON FUNCTION playevent.resolves_releases(bytea) IS
'internal: does a resolve trigger with these arguments look up releases';

-- Each guard of a table is a pair of triggers, for rows and for statements.
CREATE FUNCTION playevent.always_fire(rel oid, guard regproc) RETURNS boolean
LANGUAGE sql STABLE
RETURN 2 = (
    SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger t
     WHERE t.tgrelid = rel AND t.tgfoid = guard AND t.tgenabled = 'A');

COMMENT ON FUNCTION playevent.always_fire(oid, regproc) IS
'internal: does a table have both its guards, and are they enabled ALWAYS';

-- The slot table is in its log's schema, so its name is a single one.  Anyone
-- may put nonsense into a trigger's arguments, which must not fail here: the
-- view is everybody's.
CREATE FUNCTION playevent.counter_of_slot(slot text) RETURNS name
LANGUAGE sql IMMUTABLE STRICT
RETURN pg_catalog.regexp_replace(
    pg_catalog.replace(pg_catalog.regexp_replace(slot, '^"(.*)"$', '\1'), '""', '"'), '_slot$', '')::pg_catalog.name;

COMMENT ON FUNCTION playevent.counter_of_slot(text) IS
'internal: the name of the counter whose slot table a trigger''s argument names';

CREATE VIEW playevent.counter AS
SELECT class.oid::pg_catalog.regclass AS event,
       playevent.counter_of_slot(args[1]) AS counter,
       slot.oid AS counter_slot,
       args[2] AS count_column,
       CASE WHEN kind.is_sketch THEN args[4:] ELSE args[3:] END AS columns,
       t.tgname AS trigger_name,
       CASE WHEN kind.is_sketch THEN args[3] END AS listener_column
  FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class class ON class.oid = t.tgrelid AND NOT class.relispartition
 CROSS JOIN LATERAL playevent.trigger_arguments(t.tgargs) AS args
 CROSS JOIN LATERAL playevent.named_table(args[1], class.relnamespace) AS slot(oid)
 CROSS JOIN LATERAL (VALUES (t.tgfoid = 'playevent.sketch'::pg_catalog.regproc)) AS kind(is_sketch)
 WHERE t.tgfoid IN ('playevent.count'::pg_catalog.regproc,
                    'playevent.sketch'::pg_catalog.regproc);

COMMENT ON VIEW playevent.counter IS
'the counters of the logs of this database, as their triggers tell; with a listener column, one of distinct listeners';

CREATE VIEW playevent.log AS
SELECT class.oid::pg_catalog.regclass AS event,
       slot.oid AS counter_slot,
       count_args[2] AS count_column,
       count_args[3] AS key_column,
       count_args[4] AS release_column,
       count_args[5] AS kind_column,
       playevent.named_table(resolve_args[1], class.relnamespace) AS track,
       resolve_args[2] AS track_key,
       resolve_args[3] AS track_release,
       NULLIF(resolve_args[4], '') AS track_deleted,
       resolve_args[5] AS unknown_track,
       playevent.named_table(release_args[1], class.relnamespace) AS release,
       release_args[2] AS release_key,
       playevent.enabled_as_made(flushes.oid) = 'A' AS count_replicated,
       counts.oid IS NOT NULL AND resolves.oid IS NOT NULL AND flushes.oid IS NOT NULL
           AND NOT EXISTS (
               SELECT FROM (
                   SELECT class.oid, class.relpersistence
                    UNION ALL
                   SELECT p.oid, p.relpersistence FROM pg_catalog.pg_class p
                    WHERE class.relkind = 'p' AND p.relispartition
                      AND pg_catalog.pg_partition_root(p.oid) = class.oid) AS part
                WHERE part.relpersistence <> 'p'
                   OR 2 > (
                       SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger t
                        WHERE t.tgrelid = part.oid AND t.tgfoid = 'playevent.append_only'::pg_catalog.regproc)
                   OR EXISTS (
                       SELECT FROM pg_catalog.pg_trigger t
                        WHERE t.tgrelid = part.oid
                          AND t.tgenabled <> playevent.enabled_as_made(t.oid)))
           AND NOT EXISTS (
               SELECT FROM playevent.counter k
                WHERE k.event = class.oid
                  AND NOT playevent.always_fire(k.counter_slot::pg_catalog.oid, 'playevent.slot_guard'::pg_catalog.regproc))
           AS intact
  FROM pg_catalog.pg_class class
  LEFT JOIN pg_catalog.pg_trigger counts
    ON counts.tgrelid = class.oid AND counts.tgname = 'playevent_count'
   AND counts.tgfoid = 'playevent.count'::pg_catalog.regproc
  LEFT JOIN pg_catalog.pg_trigger flushes
    ON flushes.tgrelid = class.oid
   AND flushes.tgfoid = 'playevent.flush'::pg_catalog.regproc
  LEFT JOIN pg_catalog.pg_trigger resolves
    ON resolves.tgrelid = class.oid
   AND resolves.tgfoid = 'playevent.resolve'::pg_catalog.regproc
   AND NOT playevent.resolves_releases(resolves.tgargs)
  LEFT JOIN pg_catalog.pg_trigger release_resolves
    ON release_resolves.tgrelid = class.oid
   AND release_resolves.tgfoid = 'playevent.resolve'::pg_catalog.regproc
   AND playevent.resolves_releases(release_resolves.tgargs)
  LEFT JOIN LATERAL playevent.trigger_arguments(counts.tgargs) AS count_args ON true
  LEFT JOIN LATERAL playevent.trigger_arguments(resolves.tgargs) AS resolve_args ON true
  LEFT JOIN LATERAL playevent.trigger_arguments(release_resolves.tgargs) AS release_args ON true
 CROSS JOIN LATERAL playevent.named_table(count_args[1], class.relnamespace) AS slot(oid)
 WHERE NOT class.relispartition
   AND EXISTS (
       SELECT FROM pg_catalog.pg_trigger t
        WHERE t.tgrelid = class.oid
          AND t.tgfoid IN ('playevent.append_only'::pg_catalog.regproc,
                           'playevent.resolve'::pg_catalog.regproc,
                           'playevent.count'::pg_catalog.regproc,
                           'playevent.sketch'::pg_catalog.regproc));

COMMENT ON VIEW playevent.log IS
'the logs of this database, as their triggers tell; intact: all triggers are there and enabled as they were made, on partitions and the slot table too';

--
-- Helpers of create_log and attach_log.  All act with the caller's rights.
--
-- Every call of a function in this schema passes exactly the types declared:
-- whoever owns the schema could add one that fits better.
--

-- The column's type as text, with its collation if that is not the type's own.
-- Errors: no such column (42703), naming the argument that named it.
CREATE FUNCTION playevent.column_type(rel regclass, col name, argument text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text;
BEGIN
    IF col IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null', argument);
    END IF;
    SELECT format_type(a.atttypid, a.atttypmod) ||
           CASE WHEN a.attcollation <> t.typcollation
                THEN format(' COLLATE %I.%I', n.nspname, c.collname) ELSE '' END
      INTO result
      FROM pg_attribute a
      JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_collation c ON c.oid = a.attcollation
      LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
     WHERE a.attrelid = rel AND a.attname = col
       AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_column',
            MESSAGE = format('column "%s" of table "%s" does not exist', col,
                (SELECT relname FROM pg_class WHERE oid = rel)),
            HINT = format('Name the column with argument "%s".', argument);
    END IF;
    RETURN result;
END
$$;

COMMENT ON FUNCTION playevent.column_type(regclass, name, text) IS
'internal: a column''s type, or an error that names the argument';

-- The table that argument event names, which must be the caller's.
CREATE FUNCTION playevent.owned_table(event regclass) RETURNS pg_catalog.pg_class
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class;
BEGIN
    IF event IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'argument "event" must not be null';
    END IF;
    SELECT * INTO class FROM pg_class WHERE oid = event;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_table',
            MESSAGE = format('argument "event" is %s, which is no table', event::oid);
    END IF;
    IF NOT pg_has_role(class.relowner, 'USAGE') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('must be owner of table %s', class.relname);
    END IF;
    RETURN class;
END
$$;

COMMENT ON FUNCTION playevent.owned_table(regclass) IS
'internal: what pg_class says of a log''s table, or an error if it is someone else''s';

-- The arguments that create_log and attach_log share.
CREATE FUNCTION playevent.check_arguments(
    track regclass, track_key name, track_release name, track_deleted name,
    unknown_track text, count_replicated boolean)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF track IS NULL OR count_replicated IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null',
                CASE WHEN track IS NULL THEN 'track' ELSE 'count_replicated' END);
    END IF;
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = track) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_table',
            MESSAGE = format('argument "track" is %s, which is no table', track::oid);
    END IF;
    IF (SELECT relkind <> 'r' OR relpersistence = 't' FROM pg_class WHERE oid = track) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = format('track table "%s" is not an ordinary, permanent table',
                (SELECT relname FROM pg_class WHERE oid = track)),
            HINT = 'Name the table that holds the tracks with argument "track".';
    END IF;
    PERFORM playevent.column_type(track, track_key, 'track_key'::text);
    PERFORM playevent.column_type(track, track_release, 'track_release'::text);
    IF track_deleted IS NOT NULL THEN
        PERFORM playevent.column_type(track, track_deleted, 'track_deleted'::text);
    END IF;
    IF unknown_track IS NULL OR unknown_track NOT IN ('record', 'reject') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "unknown_track" is %s',
                coalesce(quote_literal(unknown_track), 'null')),
            HINT = 'Say ''record'' to record plays of unknown tracks without a release, or ''reject'' to turn them away.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_arguments(regclass, name, name, name, text, boolean) IS
'internal: checks the arguments about the track table';

-- The views have a column for each kind, so kinds must do as such, next to the
-- columns they have already.
CREATE FUNCTION playevent.check_kinds(kinds text[], columns name[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF array_ndims(kinds) > 1 OR
       EXISTS (SELECT FROM unnest(kinds) k
                WHERE k IS NULL OR k = '' OR octet_length(k) > 63 OR k = ANY (columns)) OR
       cardinality(kinds) <> (SELECT count(DISTINCT k) FROM unnest(kinds) k) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "kinds" is %L', kinds),
            DETAIL = 'Each kind becomes a column of the views.',
            HINT = format('Kinds must differ from each other and from %s, be at most 63 bytes long, and neither empty nor null.',
                (SELECT string_agg(quote_literal(c), ', ' ORDER BY ord) FROM unnest(columns) WITH ORDINALITY AS u(c, ord)));
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_kinds(text[], name[]) IS
'internal: checks that kinds can be columns of the views';

-- The column that counts: plays of play, listens of listens.
CREATE FUNCTION playevent.count_column(log text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN log || CASE WHEN log LIKE '%s' THEN '' ELSE 's' END;

COMMENT ON FUNCTION playevent.count_column(text) IS
'internal: the name of a log''s count';

-- The column that tells when a late one was: played_at of play, shared_at of
-- share.
CREATE FUNCTION playevent.time_column(log text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN log || CASE WHEN log LIKE '%e' THEN '' ELSE 'e' END || 'd_at';

COMMENT ON FUNCTION playevent.time_column(text) IS
'internal: the name of a log''s column for events that come late';

-- The indexes of a further counter's slot table: one for writes, on all columns
-- in their order.  But a day goes to its front, for then only today's pages are
-- in use, then what is cheap to compare; and another index is for series.
CREATE FUNCTION playevent.counter_indexes(event regclass, columns name[]) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    all_columns text;
    day_column name;
    first_other name;
BEGIN
    SELECT min(u.c) FILTER (WHERE a.atttypid = 'date'::regtype),
           (array_agg(u.c ORDER BY ord) FILTER (WHERE a.atttypid <> 'date'::regtype))[1],
           string_agg(quote_ident(u.c), ', ' ORDER BY ord)
      INTO day_column, first_other, all_columns
      FROM unnest(columns) WITH ORDINALITY AS u(c, ord)
      JOIN pg_attribute a ON a.attrelid = event AND a.attname = u.c;
    IF day_column IS NULL OR first_other IS NULL THEN
        RETURN ARRAY[all_columns];
    END IF;
    RETURN ARRAY[
        (SELECT string_agg(quote_ident(u.c), ', ' ORDER BY u.c <> day_column, a.attlen < 0, ord)
           FROM unnest(columns) WITH ORDINALITY AS u(c, ord)
           JOIN pg_attribute a ON a.attrelid = event AND a.attname = u.c),
        format('%I, %I', first_other, day_column)];
END
$$;

COMMENT ON FUNCTION playevent.counter_indexes(regclass, name[]) IS
'internal: the columns of each index of a further counter''s slot table';

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

-- Makes a view of a log's in its schema, owned by its owner.  One that is there
-- may be as the app wants it, if it is the owner's: whoever reads it runs what
-- is in it.
CREATE FUNCTION playevent.make_view(event regclass, name text, query text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log pg_class;
    made text;
    view_owner regrole;
BEGIN
    SELECT * INTO STRICT log FROM pg_class WHERE oid = event;
    made := format('%s.%I', log.relnamespace::regnamespace, name);
    SELECT relowner INTO view_owner FROM pg_class
     WHERE relname = name AND relnamespace = log.relnamespace AND relkind = 'v';
    IF NOT FOUND THEN
        EXECUTE format('CREATE VIEW %s AS %s', made, query);
        EXECUTE format('ALTER VIEW %s OWNER TO %s', made, log.relowner::regrole);
    ELSIF view_owner <> log.relowner THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('view "%s" belongs to someone else than "%s"', name, log.relname),
            HINT = format('ALTER VIEW %s OWNER TO %s;', made, log.relowner::regrole);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.make_view(regclass, text, text) IS
'internal: makes one of a log''s views';

-- Makes the slot table of a counter, the view that adds its slots up, and the
-- trigger that counts, as far as they are not there; indexes are column lists.
-- With a column that tells listeners apart, it is a sketch of those.  What is in
-- the log is rebuild's to fill in.
CREATE FUNCTION playevent.arm_counter(
    event regclass, counter text, count_column text, columns name[],
    indexes text[], trigger_name name, count_replicated boolean,
    listener_column name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_sketch boolean := listener_column IS NOT NULL;
    count_type text := CASE WHEN is_sketch THEN playevent.sketch_type() ELSE 'bigint' END;
    schema name;
    event_name name;
    owner regrole;
    slot_name text := counter || '_slot';
    slot text;
    column_list text := (SELECT string_agg(quote_ident(c), ', ' ORDER BY ord)
                           FROM unnest(columns) WITH ORDINALITY AS u(c, ord));
    index_columns text;
    other_log name;
BEGIN
    SELECT n.nspname, c.relname, c.relowner INTO STRICT schema, event_name, owner
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = event;
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
            (SELECT string_agg(format('%I %s', c, playevent.column_type(event, c, 'columns'::text)), ', ' ORDER BY ord)
               FROM unnest(columns) WITH ORDINALITY AS u(c, ord)),
            count_column, count_type,
            CASE WHEN is_sketch THEN ', toast_tuple_target = 8160' END);
        IF is_sketch THEN
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE MAIN', slot, count_column);
        END IF;
        FOREACH index_columns IN ARRAY indexes LOOP
            EXECUTE format('CREATE INDEX ON %s (%s)', slot, index_columns);
        END LOOP;
        EXECUTE format('ALTER TABLE %s OWNER TO %s', slot, owner);
    ELSIF owner <> (SELECT relowner FROM pg_class WHERE oid = to_regclass(slot)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('table "%s" belongs to someone else than "%s"', slot_name, event_name),
            HINT = format('ALTER TABLE %s OWNER TO %s;', slot, owner);
    ELSIF EXISTS (
        SELECT attname, atttypid FROM pg_attribute
         WHERE attrelid = event AND attname = ANY (columns)
        UNION ALL
        SELECT count_column, regexp_replace(count_type, '\(.*', '')::regtype
        EXCEPT
        SELECT attname, atttypid FROM pg_attribute
         WHERE attrelid = to_regclass(slot) AND attnum > 0 AND NOT attisdropped)
        OR (SELECT relpersistence FROM pg_class WHERE oid = to_regclass(slot)) <> 'p' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is there already, and does not fit table "%s"', slot_name, event_name),
            DETAIL = format('It must be a logged table with the columns counted by, of the same types, and column "%s" of type %s.',
                count_column, count_type),
            HINT = format('Drop it; the counts will be computed anew: DROP TABLE %s CASCADE;', slot);
    END IF;
    -- One whose table was renamed, and a new one put in its place.
    SELECT c.relname INTO other_log
      FROM playevent.counter k JOIN pg_class c ON c.oid = k.event
     WHERE k.counter_slot = to_regclass(slot) AND k.event <> arm_counter.event;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_in_use',
            MESSAGE = format('table "%s" keeps the counts of log "%s"', slot_name, other_log),
            HINT = format('Give table "%s" another name; its counters will be named after it.', event_name);
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', slot,
        format('%s of %I in parts, several rows a key: read view %I',
            CASE WHEN is_sketch THEN 'sketches of the listeners' ELSE 'counts' END, event_name, counter));
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER playevent_slot_guard
         BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s
         FOR EACH STATEMENT EXECUTE FUNCTION playevent.slot_guard()', slot);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER playevent_slot_guard', slot);

    -- Logical replication fires row triggers only.  It must not bring slots
    -- along: the rows of the log are counted where they arrive.
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER playevent_slot_guard_row
         BEFORE INSERT OR UPDATE OR DELETE ON %s
         FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard()', slot);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER playevent_slot_guard_row', slot);

    PERFORM playevent.make_view(event, counter, format(
        CASE WHEN is_sketch THEN 'SELECT %1$s, %4$s.hll_union_agg(%2$I) AS %2$I FROM %3$s GROUP BY %1$s'
        ELSE 'SELECT %1$s, sum(%2$I)::bigint AS %2$I FROM %3$s GROUP BY %1$s HAVING sum(%2$I) <> 0' END,
        column_list, count_column, slot,
        (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'hll')));

    -- The slot's name has no schema: it is the log's.
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER %I
         AFTER INSERT ON %s
         FOR EACH ROW EXECUTE FUNCTION playevent.%s(%L, %L, %s%s)',
        trigger_name, event, CASE WHEN is_sketch THEN 'sketch' ELSE 'count' END,
        quote_ident(slot_name), count_column, quote_literal(listener_column) || ', ',
        (SELECT string_agg(quote_literal(c), ', ' ORDER BY ord)
           FROM unnest(columns) WITH ORDINALITY AS u(c, ord)));
    EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', event,
        CASE WHEN count_replicated THEN 'ALWAYS' END, trigger_name);
END
$$;

COMMENT ON FUNCTION playevent.arm_counter(regclass, text, text, name[], text[], name, boolean, name) IS
'internal: makes the slot table, view and trigger of a counter';

-- A table's name as an argument of a trigger in that schema.
CREATE FUNCTION playevent.reference(rel regclass, schema name) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT CASE WHEN n.nspname = schema THEN pg_catalog.quote_ident(c.relname)
                ELSE pg_catalog.format('%I.%I', n.nspname, c.relname) END
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = rel);

COMMENT ON FUNCTION playevent.reference(regclass, name) IS
'internal: a table''s name, with its schema if that is another one';

-- The table that lists releases, for events of a release alone.
CREATE FUNCTION playevent.check_release(release regclass, release_key name) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF release IS NULL THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = release) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_table',
            MESSAGE = format('argument "release" is %s, which is no table', release::oid);
    END IF;
    PERFORM playevent.column_type(release, release_key, 'release_key'::text);
END
$$;

COMMENT ON FUNCTION playevent.check_release(regclass, name) IS
'internal: checks the arguments about the release table';

CREATE FUNCTION playevent.check_role(role regrole, argument text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF role IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles WHERE oid = role) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('argument "%s" is %s, which is no role', argument, role::oid);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_role(regrole, text) IS
'internal: checks that an argument is a role or null';

-- A lower bound for each kind, ascending.
CREATE FUNCTION playevent.check_thresholds(thresholds double precision[], kinds text[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF array_ndims(thresholds) > 1 OR cardinality(thresholds) <> cardinality(kinds) OR
       EXISTS (SELECT FROM (SELECT t, lag(t) OVER (ORDER BY ord) AS before
                              FROM unnest(thresholds) WITH ORDINALITY AS u(t, ord)) AS pairs
                WHERE t IS NULL OR t < 0 OR t > 1 OR t <= before) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "thresholds" is %L', thresholds),
            DETAIL = format('The kinds are %L.', kinds),
            HINT = 'Give each kind the fraction of a track it starts at, in ascending order: ''{0.05,0.5,0.95}''.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_thresholds(double precision[], text[]) IS
'internal: checks that each kind has a threshold';

-- The functions of a log are, like its tables, the owner's and no part of the
-- extension, so that a dump carries them.  They act with the owner's rights:
-- who may call them needs no others.  What they run is in playevent.record_batch
-- as far as can be, for an update of the extension to reach it.
CREATE FUNCTION playevent.make_record_functions(
    event regclass, log text, kind name, by_release boolean, ingest_role regrole)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $make$
DECLARE
    schema name;
    event_name name;
    qualified text;
    time_column text := playevent.time_column(log);
    key_type text;
    key_limit int;
    release_type text;
    kind_type text;
    one text := 'record_' || log;
    many text := 'record_' || playevent.count_column(log);
    many_kinds text := kind || CASE WHEN kind LIKE '%s' THEN 'es' ELSE 's' END;
    signature text;
    many_end text;
    body text;  -- passed as %L: a name in it may hold any dollar quote
BEGIN
    SELECT n.nspname, c.relname INTO STRICT schema, event_name
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = event;
    qualified := format('%I.%I', schema, event_name);
    SELECT CASE WHEN atttypid = 'varchar'::regtype THEN 'text' ELSE format_type(atttypid, NULL) END,
           CASE WHEN atttypid = 'varchar'::regtype AND atttypmod > 4 THEN atttypmod - 4 END
      INTO STRICT key_type, key_limit
      FROM pg_attribute WHERE attrelid = event AND attname = 'track_entry_key';
    SELECT format_type(atttypid, NULL) INTO STRICT kind_type
      FROM pg_attribute WHERE attrelid = event AND attname = kind;
    SELECT format_type(atttypid, NULL) INTO STRICT release_type
      FROM pg_attribute WHERE attrelid = event AND attname = 'release_id';

    -- One event.  A constraint's own error would show the whole row, with
    -- anon_id, so what the columns demand is checked before.
    body := format($f$
#variable_conflict use_column
DECLARE
    result bigint;
BEGIN
%1$s%2$s    IF $2 IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'not_null_violation',
            MESSAGE = %3$L,
            SCHEMA = %4$L, TABLE = %5$L, COLUMN = %6$L;
    END IF;
    INSERT INTO %7$s (track_entry_key, %6$I, event_id, anon_id%8$s)
    VALUES ($1, $2, $3, $4%9$s)
    ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING
    RETURNING id INTO result;
    IF result IS NULL AND $3 IS NOT NULL THEN
        -- in a snapshot of its own, which has whatever was in the way
        SELECT id INTO result FROM %7$s WHERE event_id = $3;
    END IF;
    RETURN result;
END
$f$,
        CASE WHEN by_release THEN
            format($f$    IF $1 IS NULL AND $5 IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = %L,
            SCHEMA = %L, TABLE = %L, COLUMN = 'track_entry_key';
    END IF;
$f$,            format('row for table "%s" has neither "track_entry_key" nor "release_id"', event_name),
                schema, event_name)
        ELSE
            format($f$    IF $1 IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'not_null_violation',
            MESSAGE = %L,
            SCHEMA = %L, TABLE = %L, COLUMN = 'track_entry_key';
    END IF;
$f$,            format('null value in column "track_entry_key" of table "%s"', event_name),
                schema, event_name)
        END,
        CASE WHEN key_limit IS NOT NULL THEN
            format($f$    IF char_length($1) > %s THEN
        RAISE EXCEPTION USING
            ERRCODE = 'string_data_right_truncation',
            MESSAGE = %L,
            DETAIL = %L,
            SCHEMA = %L, TABLE = %L, COLUMN = 'track_entry_key';
    END IF;
$f$,            key_limit, format('value too long for column "track_entry_key" of table "%s"', event_name),
                format('A key has at most %s characters.', key_limit), schema, event_name)
        END,
        format('null value in column "%s" of table "%s"', kind, event_name),
        schema, event_name, kind,
        qualified,
        CASE WHEN by_release THEN ', release_id' END,
        CASE WHEN by_release THEN ', $5' END);
    EXECUTE format($f$
CREATE FUNCTION %1$I.%2$I(
    track_entry_key %3$s, %4$I %5$s, event_id uuid DEFAULT NULL, anon_id text DEFAULT NULL%6$s)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS %7$L $f$,
        schema, one, key_type, kind, kind_type,
        CASE WHEN by_release THEN format(', release_id %s DEFAULT NULL', release_type) END,
        body);
    signature := format('%I.%I(%s, %s, uuid, text%s)', schema, one, key_type, kind_type,
        CASE WHEN by_release THEN ', ' || release_type END);
    PERFORM playevent.grant_function(signature, ingest_role,
        format('records one in table %s and returns its id; for an event_id that is there already, the id of the first', event_name));

    -- A batch; and one that says when its events were, for roles that are to be
    -- trusted with that.
    body := format($f$
BEGIN
    RETURN QUERY SELECT r.ord, r.status, r.id, r.reason
      FROM playevent.record_batch(%L::regclass, %L, %L, $1, $2, $3, $4, $f$, qualified, kind, time_column);
    many_end := $f$) AS r;
END
$f$;
    EXECUTE format($f$
CREATE FUNCTION %1$I.%2$I(
    track_entry_keys %3$s[], %4$I %5$s[], event_ids uuid[] DEFAULT NULL, anon_ids text[] DEFAULT NULL%6$s)
RETURNS TABLE (ord int, status text, id bigint, reason text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1000
SET search_path = pg_catalog, pg_temp
AS %7$L $f$,
        schema, many, key_type, many_kinds, kind_type,
        CASE WHEN by_release THEN format(', release_ids %s[] DEFAULT NULL', release_type) END,
        body || CASE WHEN by_release THEN 'NULL, $5' ELSE 'NULL, NULL' END || many_end);
    signature := format('%I.%I(%s[], %s[], uuid[], text[]%s)', schema, many, key_type, kind_type,
        CASE WHEN by_release THEN ', ' || release_type || '[]' END);
    PERFORM playevent.grant_function(signature, ingest_role,
        format('records a batch in table %s, with a receipt for each: recorded, duplicate, or rejected and why', event_name));

    EXECUTE format($f$
CREATE FUNCTION %1$I.%2$I(
    track_entry_keys %3$s[], %4$I %5$s[], event_ids uuid[], anon_ids text[]%6$s, %8$I timestamptz[])
RETURNS TABLE (ord int, status text, id bigint, reason text)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1000
SET search_path = pg_catalog, pg_temp
AS %7$L $f$,
        schema, many, key_type, many_kinds, kind_type,
        CASE WHEN by_release THEN format(', release_ids %s[]', release_type) END,
        body || CASE WHEN by_release THEN '$6, $5' ELSE '$5, NULL' END || many_end,
        time_column);
    signature := format('%I.%I(%s[], %s[], uuid[], text[]%s, timestamptz[])', schema, many, key_type, kind_type,
        CASE WHEN by_release THEN ', ' || release_type || '[]' END);
    PERFORM playevent.grant_function(signature, NULL::regrole,
        format('records a batch in table %s that tells when its events were; for roles that are granted it', event_name));
END
$make$;

COMMENT ON FUNCTION playevent.make_record_functions(regclass, text, name, boolean, regrole) IS
'internal: makes the functions that record in a log';

-- From how much of a track was heard to the kind.  Where such rules come from:
-- video advertising reports start, quartiles and complete (IAB's VAST); Last.fm
-- counts a play at half of a track or four minutes; the IAB's podcast guidelines
-- at sixty seconds.  A floor of 5 % keeps skips out, and 95 % is complete, for
-- hardly anybody hears the silence at the end.
CREATE FUNCTION playevent.make_kind_function(
    event regclass, log text, kind name, kinds text[], thresholds double precision[],
    ingest_role regrole, reader_role regrole)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $make$
DECLARE
    schema name;
    kind_type text;
    name text := log || '_' || kind || '_of';
    signature text;
BEGIN
    IF octet_length(name) > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'name_too_long',
            MESSAGE = format('name of function "%s" is too long', name),
            HINT = 'Choose a shorter log or kind; together they may have 59 bytes.';
    END IF;
    SELECT n.nspname INTO STRICT schema
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = event;
    kind_type := format('%I.%I', schema, log || '_' || kind);
    EXECUTE format($f$
CREATE FUNCTION %1$I.%2$I(high_water double precision) RETURNS %3$s
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS %4$L $f$,
        schema, name, kind_type,
        format($f$
BEGIN
    IF NOT high_water BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'numeric_value_out_of_range',
            MESSAGE = format('argument "high_water" is %%s', high_water),
            DETAIL = 'It is the furthest point that was heard, as a fraction of the track: from 0 to 1.';
    END IF;
    RETURN CASE
%s    END;
END
$f$,        (SELECT string_agg(format('        WHEN high_water >= %L::double precision THEN %L::%s' || E'\n', t, k, kind_type), ''
                           ORDER BY t DESC)
           FROM unnest(kinds, thresholds) AS u(k, t))));
    signature := format('%I.%I(double precision)', schema, name);
    PERFORM playevent.grant_function(signature, ingest_role,
        format('the %s of a play by the fraction of the track that was heard; null below the least', kind));
    IF reader_role IS NOT NULL THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', signature, reader_role);
    END IF;
END
$make$;

COMMENT ON FUNCTION playevent.make_kind_function(regclass, text, name, text[], double precision[], regrole, regrole) IS
'internal: makes the function that finds the kind of a play';

CREATE FUNCTION playevent.grant_function(signature text, role regrole, description text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
    EXECUTE format('COMMENT ON FUNCTION %s IS %L', signature, description);
    IF role IS NOT NULL THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', signature, role);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.grant_function(text, regrole, text) IS
'internal: says what a log''s function is, and grants it to one role and no other';

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
    schema name;
    view name;
BEGIN
    SELECT n.nspname INTO STRICT schema
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = event;
    FOREACH view IN ARRAY views LOOP
        EXECUTE format('GRANT SELECT ON %I.%I TO %s', schema, view, role);
    END LOOP;
    PERFORM playevent.grant_usage(schema, role);
END
$$;

COMMENT ON FUNCTION playevent.grant_reading(regclass, regrole, name[]) IS
'internal: grants SELECT on a log''s views';

-- Makes the slot table, the views and the triggers of a log whose event table
-- is there, and grants ingest_role what it needs to insert.
CREATE FUNCTION playevent.arm_log(
    event regclass, log text,
    track regclass, track_key name, track_release name, track_deleted name,
    unknown_track text, count_replicated boolean, ingest_role regrole,
    key_column name, release_column name, kind_column name, kinds text[],
    release regclass, release_key name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning  -- no NOTICE for what is there already
AS $$
DECLARE
    schema name;
    owner regrole;
    view_name text;
    view_query text;
    count_column text := playevent.count_column(log);
    slot text;
    kind_columns text := '';
    granted text;
    part regclass;
BEGIN
    SELECT n.nspname, c.relowner INTO STRICT schema, owner
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = event;
    slot := format('%I.%I', schema, log || '_counter_slot');

    PERFORM playevent.check_kinds(kinds, ARRAY[key_column, release_column, count_column]::name[]);
    IF count_column IN (key_column, release_column, kind_column) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_column',
            MESSAGE = format('column "%s" would be both counted by and the count of log "%s"',
                count_column, log),
            HINT = 'Give the log or the column another name.';
    END IF;

    -- One index for writes and for reads by release, one for reads by track.
    -- The release in front is cheap to compare.
    PERFORM playevent.arm_counter(event, log || '_counter', count_column,
        ARRAY[key_column, release_column, kind_column]::name[],
        ARRAY[format('%I, %I, %I', release_column, key_column, kind_column),
              quote_ident(key_column)],
        'playevent_count'::name, count_replicated, NULL::name);

    SELECT coalesce(string_agg(
            format('coalesce(sum(%I) FILTER (WHERE %I = %L), 0)::bigint AS %I, ',
                count_column, kind_column, k, k), '' ORDER BY ord), '')
      INTO kind_columns
      FROM unnest(kinds) WITH ORDINALITY AS u(k, ord);
    FOREACH view_name IN ARRAY ARRAY['_by_track', '_by_release'] LOOP
        view_query := format(
            CASE view_name
                WHEN '_by_track' THEN
                    'SELECT %1$I, %5$ssum(%3$I)::bigint AS %3$I FROM %4$s' ||
                    CASE WHEN release IS NOT NULL THEN ' WHERE %1$I IS NOT NULL' ELSE '' END ||
                    ' GROUP BY 1 HAVING sum(%3$I) <> 0'
                WHEN '_by_release' THEN
                    'SELECT %2$I, %5$ssum(%3$I)::bigint AS %3$I FROM %4$s WHERE %2$I IS NOT NULL
                     GROUP BY 1 HAVING sum(%3$I) <> 0'
            END,
            key_column, release_column, count_column, slot, kind_columns);
        PERFORM playevent.make_view(event, log || view_name, view_query);
    END LOOP;

    -- The triggers.  Names in their arguments are of the log's schema unless
    -- they say otherwise.
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER playevent_append_only
         BEFORE UPDATE OR DELETE ON %s
         FOR EACH ROW EXECUTE FUNCTION playevent.append_only()', event);
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER playevent_resolve
         BEFORE INSERT ON %s
         FOR EACH ROW %s EXECUTE FUNCTION playevent.resolve(%L, %L, %L, %L, %L, %L, %L)',
        event, CASE WHEN release IS NOT NULL THEN format('WHEN (NEW.%I IS NOT NULL)', key_column) END,
        playevent.reference(track, schema), track_key, track_release,
        coalesce(track_deleted, ''), unknown_track, key_column, release_column);
    -- A row of a release alone has it looked up like a track.
    IF release IS NOT NULL THEN
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER playevent_resolve_release
             BEFORE INSERT ON %s
             FOR EACH ROW WHEN (NEW.%I IS NULL)
             EXECUTE FUNCTION playevent.resolve(%L, %L, %L, %L, %L, %L, %L)',
            event, key_column, playevent.reference(release, schema),
            release_key, release_key, '', 'reject', release_column, release_column);
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER playevent_resolve_release', event);
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER playevent_flush
         AFTER INSERT ON %s
         FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush(%s)',
        event, CASE WHEN NOT count_replicated THEN quote_literal('origin') END);
    -- The columns by which create_log's tables tell days
    IF 3 = (SELECT count(*) FROM pg_attribute a
             WHERE a.attrelid = event AND a.attgenerated = ''
               AND (a.attname, a.atttypid) IN (('day', 'date'::regtype),
                    (playevent.time_column(log), 'timestamptz'::regtype))
                OR a.attrelid = event AND (a.attname, a.atttypid) = ('created_at', 'timestamptz'::regtype)) THEN
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER playevent_day
             BEFORE INSERT ON %s
             FOR EACH ROW EXECUTE FUNCTION playevent.day(''day'', %L, ''created_at'')',
            event, playevent.time_column(log));
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER playevent_day', event,
            CASE WHEN count_replicated THEN 'ALWAYS' END);
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER playevent_append_only', event);
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER playevent_resolve', event);
    EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER playevent_flush', event,
        CASE WHEN count_replicated THEN 'ALWAYS' END);

    -- Partitions inherit row triggers, but not this one.
    FOR part IN
        SELECT event UNION SELECT relid FROM pg_partition_tree(event)
    LOOP
        PERFORM playevent.refuse_truncate(part);
    END LOOP;

    IF ingest_role IS NOT NULL THEN
        PERFORM playevent.check_role(ingest_role, 'ingest_role'::text);
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO granted
          FROM pg_attribute a
         WHERE a.attrelid = event AND NOT a.attisdropped
           AND (a.attname IN (key_column, kind_column, 'event_id', 'anon_id')
                OR a.attname = release_column AND release IS NOT NULL);
        EXECUTE format('GRANT INSERT (%s) ON %s TO %s', granted, event, ingest_role);
        -- for columns of type serial; those of an identity need no right
        FOR part IN
            SELECT d.objid::regclass FROM pg_depend d
              JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
             WHERE d.classid = 'pg_class'::regclass AND d.refobjid = event AND d.deptype = 'a'
        LOOP
            EXECUTE format('GRANT USAGE ON SEQUENCE %s TO %s', part, ingest_role);
        END LOOP;
        PERFORM playevent.grant_usage(schema, ingest_role);
    END IF;

END
$$;

COMMENT ON FUNCTION playevent.arm_log(regclass, text, regclass, name, name, name, text, boolean, regrole, name, name, name, text[], regclass, name) IS
'internal: makes the slot table, views and triggers of a log';

CREATE FUNCTION playevent.refuse_truncate(event regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER playevent_append_only_truncate
         BEFORE TRUNCATE ON %s
         FOR EACH STATEMENT EXECUTE FUNCTION playevent.append_only()', event);
    EXECUTE format(
        'ALTER TABLE %s ENABLE ALWAYS TRIGGER playevent_append_only_truncate', event);
END
$$;

COMMENT ON FUNCTION playevent.refuse_truncate(regclass) IS
'internal: makes TRUNCATE of a table fail';

--
-- create_log
--

CREATE FUNCTION playevent.create_log_in(
    schema name, log name,
    track regclass, track_key name, track_release name, track_deleted name,
    kind name, kinds text[], unknown_track text, count_replicated boolean,
    ingest_role regrole, reader_role regrole, thresholds double precision[],
    release regclass, release_key name, daily boolean)
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken text;
    key_type text;
    is_string boolean;
    event text;
    time_column text := playevent.time_column(log::text);
    count_column text := playevent.count_column(log::text);
BEGIN
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
    IF log IS NULL OR log = '' OR octet_length(log) > 48 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_name',
            MESSAGE = format('argument "log" is %s', coalesce(quote_literal(log), 'null')),
            HINT = 'The names of the log''s tables start with it, so it must have 1 to 48 bytes.';
    END IF;
    IF kind IS NULL OR kind IN ('', 'id', 'track_entry_key', 'release_id', 'anon_id', 'event_id', 'created_at', 'day', time_column) THEN
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
    PERFORM playevent.check_kinds(kinds,
        ARRAY['track_entry_key', 'release_id', count_column]::name[]);
    PERFORM playevent.check_arguments(track, track_key, track_release,
        track_deleted, unknown_track, count_replicated);
    PERFORM playevent.check_release(release, release_key);
    PERFORM playevent.check_role(ingest_role, 'ingest_role'::text);
    PERFORM playevent.check_role(reader_role, 'reader_role'::text);
    IF thresholds IS NULL AND kinds = '{partial,most,complete}' THEN
        thresholds := '{0.05,0.5,0.95}';
    END IF;
    PERFORM playevent.check_thresholds(thresholds, kinds);

    SELECT relname INTO taken
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = schema
       AND c.relname IN (log || '_event', log || '_counter_slot', log || '_counter',
                         log || '_by_track', log || '_by_release',
                         log || '_daily_slot', log || '_daily',
                         log || '_listeners_slot', log || '_listeners')
     ORDER BY c.relkind <> 'r', c.relname DESC LIMIT 1;
    IF NOT FOUND THEN
        SELECT typname INTO taken
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE n.nspname = schema AND t.typname = log || '_' || kind;
    END IF;
    IF NOT FOUND THEN
        SELECT proname INTO taken
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = schema
           AND p.proname IN ('record_' || log, 'record_' || count_column,
                             CASE WHEN thresholds IS NOT NULL THEN log || '_' || kind || '_of' END)
         ORDER BY p.proname LIMIT 1;
    END IF;
    IF taken IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_table',
            MESSAGE = format('"%s" exists already in schema "%s"', taken, schema),
            HINT = 'Give the log another name as argument "log"; or, for a table that is there, use playevent.attach_log.';
    END IF;

    -- Strings get a limit, so that no key is too long for an index.
    key_type := playevent.column_type(track, track_key, 'track_key'::text);
    SELECT b.typcategory = 'S' AND b.typlen = -1,
           CASE WHEN base.oid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) THEN
               format('character varying(%s)', greatest(100, a.atttypmod - 4, b.typtypmod - 4)) ||
               coalesce(substring(key_type FROM ' COLLATE .*'), '')
           ELSE key_type END
      INTO STRICT is_string, key_type
      FROM pg_attribute a JOIN pg_type b ON b.oid = a.atttypid
      CROSS JOIN LATERAL (SELECT CASE b.typtype WHEN 'd' THEN b.typbasetype ELSE b.oid END) AS base(oid)
     WHERE a.attrelid = track AND a.attname = track_key;

    event := format('%I.%I', schema, log || '_event');
    EXECUTE format('CREATE TYPE %I.%I AS ENUM (%s)', schema, log || '_' || kind,
        (SELECT string_agg(quote_literal(k), ', ' ORDER BY ord)
           FROM unnest(kinds) WITH ORDINALITY AS u(k, ord)));
    EXECUTE format(
        'CREATE TABLE %1$s (
            id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
            track_entry_key %2$s %3$s,
            release_id %4$s,
            %5$s NOT NULL,
            anon_id text,
            event_id uuid,
            created_at timestamptz NOT NULL DEFAULT now(),
            %6$I timestamptz,
            day date NOT NULL DEFAULT (now() AT TIME ZONE ''UTC'')::date)',
        event, key_type,
        CASE WHEN release IS NULL THEN 'NOT NULL'
             ELSE 'CHECK (track_entry_key IS NOT NULL OR release_id IS NOT NULL)' END ||
        CASE WHEN is_string THEN ' CHECK (track_entry_key <> '''')' ELSE '' END,
        playevent.column_type(track, track_release, 'track_release'::text),
        format('%I %I.%I', kind, schema, log || '_' || kind), time_column);
    EXECUTE format('CREATE UNIQUE INDEX ON %s (event_id) WHERE event_id IS NOT NULL', event);
    EXECUTE format('CREATE INDEX ON %s USING brin (created_at)', event);
    EXECUTE format('COMMENT ON COLUMN %s.anon_id IS %L', event, 'anonymous listener token');
    EXECUTE format('COMMENT ON COLUMN %s.event_id IS %L', event, 'the client''s idempotency key');
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', event, time_column, 'when it was, if that was before it was recorded');
    EXECUTE format('COMMENT ON COLUMN %s.day IS %L', event, 'the day it counts for, in UTC');

    PERFORM playevent.arm_log(event::regclass, log::text,
        track, track_key, track_release, track_deleted,
        unknown_track, count_replicated, ingest_role,
        'track_entry_key'::name, 'release_id'::name, kind, kinds,
        release, release_key);
    PERFORM playevent.make_record_functions(event::regclass, log::text, kind,
        release IS NOT NULL, ingest_role);
    IF thresholds IS NOT NULL THEN
        PERFORM playevent.make_kind_function(event::regclass, log::text, kind, kinds,
            thresholds, ingest_role, reader_role);
    END IF;

    IF daily THEN
        PERFORM playevent.arm_counter(event::regclass, log || '_daily',
            playevent.count_column(log::text),
            '{track_entry_key,release_id,day}'::name[],
            playevent.counter_indexes(event::regclass, '{track_entry_key,release_id,day}'::name[]),
            ('playevent_count_' || log || '_daily')::name, count_replicated, NULL::name);
    END IF;
    PERFORM playevent.check_log(event::regclass);

    -- top and series read the slots
    IF reader_role IS NOT NULL THEN
        PERFORM playevent.grant_reading(event::regclass, reader_role,
            ARRAY[log || '_counter', log || '_by_track', log || '_by_release']::name[] ||
            CASE WHEN daily THEN ARRAY[log || '_daily', log || '_daily_slot']::name[] ELSE '{}' END);
    END IF;
    RETURN event::regclass;
END
$$;

COMMENT ON FUNCTION playevent.create_log_in(name, name, regclass, name, name, name, name, text[], text, boolean, regrole, regrole, double precision[], regclass, name, boolean) IS
'internal: create_log, in the schema given';

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
    daily boolean DEFAULT true)
RETURNS regclass
LANGUAGE sql
BEGIN ATOMIC
    SELECT playevent.create_log_in(pg_catalog.current_schema(), log,
        track, track_key, track_release, track_deleted,
        kind, kinds, unknown_track, count_replicated, ingest_role,
        reader_role, thresholds, release, release_key, daily);
END;

COMMENT ON FUNCTION playevent.create_log(name, regclass, name, name, name, name, text[], text, boolean, regrole, regrole, double precision[], regclass, name, boolean) IS
'creates a log in the current schema: event table, counters and triggers; returns the event table';

--
-- attach_log
--

CREATE FUNCTION playevent.attach_log(
    event regclass,
    track regclass,
    track_key name DEFAULT 'entry_key',
    track_release name DEFAULT 'release_id',
    track_deleted name DEFAULT NULL,
    unknown_track text DEFAULT 'record',
    count_replicated boolean DEFAULT true,
    ingest_role regrole DEFAULT NULL,
    key_column name DEFAULT 'track_entry_key',
    release_column name DEFAULT 'release_id',
    kind_column name DEFAULT 'bucket',
    kinds text[] DEFAULT NULL,
    release regclass DEFAULT NULL,
    release_key name DEFAULT 'id')
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class;
    works boolean := false;
    log text;
    nullable name;
    unfit name;
BEGIN
    class := playevent.owned_table(event);
    IF class.relkind NOT IN ('r', 'p') OR class.relpersistence <> 'p' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = format('"%s" is not an ordinary or partitioned, logged table', class.relname),
            HINT = 'Name the table that plays are inserted into with argument "event".';
    END IF;
    IF class.relispartition OR
       EXISTS (SELECT FROM pg_inherits i WHERE event IN (i.inhrelid, i.inhparent))
       AND class.relkind = 'r' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = format('table "%s" is part of an inheritance tree', class.relname),
            HINT = 'Attach the partitioned table at its root; other inheritance is not supported.';
    END IF;
    SELECT c.relname INTO unfit
      FROM pg_partition_tree(event) AS tree JOIN pg_class c ON c.oid = tree.relid
     WHERE c.relkind NOT IN ('r', 'p') OR c.relpersistence <> 'p';
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = format('table "%s" has a partition "%s" that is not an ordinary, logged table', class.relname, unfit),
            DETAIL = 'Rows could be changed where they are, or be lost in a crash and stay counted.';
    END IF;

    -- As CREATE TRIGGER would; from here on nobody inserts until we are done.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', event);

    -- A log that works has no use for this; one that doesn't is mended.
    IF EXISTS (SELECT FROM playevent.log l WHERE l.event = attach_log.event AND l.intact) THEN
        BEGIN
            PERFORM playevent.check_log(event);
            works := true;
        EXCEPTION WHEN OTHERS THEN
            works := false;
        END;
    END IF;
    IF works THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_object',
            MESSAGE = format('table "%s" is a log already', class.relname),
            HINT = 'See the view playevent.log.  To attach it in another way, drop trigger playevent_count first.';
    END IF;

    PERFORM playevent.check_arguments(track, track_key, track_release,
        track_deleted, unknown_track, count_replicated);
    PERFORM playevent.check_release(release, release_key);
    PERFORM playevent.column_type(event, key_column, 'key_column'::text);
    PERFORM playevent.column_type(event, release_column, 'release_column'::text);
    PERFORM playevent.column_type(event, kind_column, 'kind_column'::text);
    IF cardinality(ARRAY(SELECT DISTINCT unnest(ARRAY[key_column, release_column, kind_column]))) < 3 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'arguments "key_column", "release_column" and "kind_column" must name three columns';
    END IF;
    SELECT attname INTO nullable FROM pg_attribute
     WHERE attrelid = event AND NOT attnotnull
       AND (attname = kind_column OR attname = key_column AND release IS NULL)
     ORDER BY attnum;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('column "%s" of table "%s" may be null', nullable, class.relname),
            HINT = format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL;', event, nullable),
            TABLE = class.relname, COLUMN = nullable;
    END IF;

    IF kinds IS NULL THEN
        kinds := ARRAY(SELECT e.enumlabel FROM pg_attribute a
                         JOIN pg_enum e ON e.enumtypid = a.atttypid
                        WHERE a.attrelid = event AND a.attname = kind_column
                        ORDER BY e.enumsortorder);
    END IF;

    -- A log that was renamed keeps its counters, for the views are on those.
    SELECT regexp_replace(s.relname, '_counter_slot$', '') INTO log
      FROM playevent.log l JOIN pg_class s ON s.oid = l.counter_slot
     WHERE l.event = attach_log.event AND s.relnamespace = class.relnamespace
       AND s.relname LIKE '_%\_counter\_slot'
       AND l.count_column = playevent.count_column(regexp_replace(s.relname, '_counter_slot$', ''));
    log := coalesce(log, regexp_replace(class.relname, '(.)_events?$', '\1'));
    IF octet_length(log) > 48 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'name_too_long',
            MESSAGE = format('name of table "%s" is too long', class.relname),
            HINT = 'The names of the counter table and views start with it (less "_event"), so it must have at most 48 bytes.';
    END IF;
    PERFORM playevent.arm_log(event, log,
        track, track_key, track_release, track_deleted,
        unknown_track, count_replicated, ingest_role,
        key_column, release_column, kind_column, kinds,
        release, release_key);
    PERFORM playevent.mend_counters(event, log, playevent.count_column(log), count_replicated,
        key_column, release_column);
    PERFORM playevent.check_log(event);
    PERFORM playevent.rebuild(event);
    RETURN event;
END
$$;

COMMENT ON FUNCTION playevent.attach_log(regclass, regclass, name, name, name, text, boolean, regrole, name, name, name, text[], regclass, name) IS
'makes a table that is there a log, or mends a log: puts the triggers on, and counts the rows it has; returns the table';

--
-- Further counters
--

-- Like attach_log's: from here on nobody inserts until we are done.
CREATE FUNCTION playevent.lock_log(event regclass) RETURNS playevent.log
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log playevent.log;
BEGIN
    IF event IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'argument "event" must not be null';
    END IF;
    PERFORM playevent.check_log(event);
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', event);
    SELECT * INTO log FROM playevent.log l WHERE l.event = lock_log.event;
    RETURN log;
END
$$;

COMMENT ON FUNCTION playevent.lock_log(regclass) IS
'internal: a log that the caller owns and that works, locked against inserts';

-- playevent.add_counter(event regclass, counter name, columns name[])
--     returns regclass
--
-- Makes a further counter of a log, by any columns of its event table; its view
-- is called counter, its slot table counter_slot.  Counts the rows that are
-- there.  Returns the view.
--
-- Reads by its first columns are quick, and with a column of type date among
-- them those by day, and by the first other one and day.
--
-- Errors: an argument is null (22004), not a log (55000), not its owner (42501),
-- what counter_binding reports, no such column (42703), a bad or duplicate
-- name or list (42602, 42622, 22023), something is there of the name (42P07).
-- Locks: the event table in ShareRowExclusiveLock, to the transaction's end.
CREATE FUNCTION playevent.add_counter(event regclass, counter name, columns name[])
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log playevent.log := playevent.lock_log(event);
    schema name := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE c.oid = event);
    col name;
    taken name;
BEGIN
    IF counter IS NULL OR columns IS NULL OR EXISTS (SELECT FROM unnest(columns) c WHERE c IS NULL) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null',
                CASE WHEN counter IS NULL THEN 'counter' ELSE 'columns' END);
    END IF;
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
        IF col = log.count_column THEN
            RAISE EXCEPTION USING
                ERRCODE = 'duplicate_column',
                MESSAGE = format('column "%s" would be both counted by and the count', col);
        END IF;
    END LOOP;
    SELECT c.relname INTO taken
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = schema AND c.relname IN (counter, counter || '_slot')
     ORDER BY c.relname DESC LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_table',
            MESSAGE = format('"%s" exists already in schema "%s"', taken, schema),
            HINT = 'Give the counter another name as argument "counter"; playevent.drop_counter removes a counter.';
    END IF;

    PERFORM playevent.arm_counter(event, counter::text, log.count_column, columns,
        playevent.counter_indexes(event, columns), ('playevent_count_' || counter)::name, log.count_replicated,
        NULL::name);
    PERFORM playevent.check_log(event);
    PERFORM playevent.rebuild(event);
    RETURN to_regclass(format('%I.%I', schema, counter));
END
$$;

COMMENT ON FUNCTION playevent.add_counter(regclass, name, name[]) IS
'makes a further counter of a log, by any of its columns, and counts the rows that are there; returns its view';

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
-- Locks: the event table in ShareRowExclusiveLock, to the transaction's end.
CREATE FUNCTION playevent.add_listener_sketch(
    event regclass, listener_column name DEFAULT 'anon_id', day_column name DEFAULT 'day')
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log playevent.log := playevent.lock_log(event);
    schema name;
    event_name name;
    columns name[];
    counter text;
    taken name;
BEGIN
    SELECT n.nspname, c.relname INTO schema, event_name
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = event;
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
     WHERE k.event = add_listener_sketch.event AND k.listener_column IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_object',
            MESSAGE = format('table "%s" has a sketch of its listeners already', event_name),
            HINT = format('To make it anew, drop it: SELECT playevent.drop_counter(%L, %L);', event, taken);
    END IF;
    counter := regexp_replace(playevent.counter_of_slot((
        SELECT quote_ident(c.relname) FROM pg_class c WHERE c.oid = log.counter_slot)),
        '_counter$', '') || '_listeners';
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

    PERFORM playevent.arm_counter(event, counter, 'listeners'::text, columns,
        playevent.counter_indexes(event, columns), 'playevent_listeners'::name, log.count_replicated,
        listener_column);
    PERFORM playevent.check_log(event);
    PERFORM playevent.rebuild(event);
    RETURN to_regclass(format('%I.%I', schema, counter));
END
$$;

COMMENT ON FUNCTION playevent.add_listener_sketch(regclass, name, name) IS
'keeps sketches of a log''s distinct listeners by track, release and day, with extension hll; returns their view';

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
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class;
    dropped playevent.counter;
BEGIN
    IF counter IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'argument "counter" must not be null';
    END IF;
    class := playevent.owned_table(event);
    -- As DROP TRIGGER will: a lesser lock now would bar who has read the table
    -- from inserting, while we wait for him.
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', event);
    SELECT * INTO dropped FROM playevent.counter c
     WHERE c.event = drop_counter.event AND c.counter = drop_counter.counter;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_object',
            MESSAGE = format('table "%s" has no counter "%s"', class.relname, counter),
            HINT = 'See the view playevent.counter.';
    END IF;
    IF dropped.trigger_name = 'playevent_count' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('"%s" is the counter of log "%s" itself', counter, class.relname),
            HINT = 'A log without it is none: to have a plain table, drop the triggers whose names start with "playevent_".';
    END IF;
    EXECUTE format('DROP TRIGGER %I ON %s', dropped.trigger_name, event);
    IF EXISTS (SELECT FROM pg_class
                WHERE relname = counter AND relnamespace = class.relnamespace AND relkind = 'v') THEN
        EXECUTE format('DROP VIEW %s.%I', class.relnamespace::regnamespace, counter);
    END IF;
    IF dropped.counter_slot IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s', dropped.counter_slot);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.drop_counter(regclass, name) IS
'removes a further counter of a log: its trigger, view and slot table';

-- The counters that a log has lost, or parts of them: their triggers went with
-- the extension, or a slot table was dropped.  A slot table without a trigger is
-- known by how arm_counter made it, what it counts, and columns that are the
-- event table's; others may have tables whose names end like that.  That of
-- sketches is known by its name, and if listeners are told apart by anon_id.
CREATE FUNCTION playevent.mend_counters(
    event regclass, log text, count_column text, count_replicated boolean,
    key_column name, release_column name)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lost record;
BEGIN
    FOR lost IN
        SELECT k.counter, k.count_column, k.columns::name[], k.trigger_name, k.listener_column
          FROM playevent.counter k
         WHERE k.event = mend_counters.event AND k.trigger_name <> 'playevent_count'
        UNION ALL
        SELECT regexp_replace(s.relname, '_slot$', ''), mend_counters.count_column, a.columns,
               'playevent_count_' || regexp_replace(s.relname, '_slot$', ''), NULL
          FROM pg_class s
          JOIN pg_class e ON e.oid = event AND e.relnamespace = s.relnamespace AND e.relowner = s.relowner
         CROSS JOIN LATERAL (
             SELECT array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attname <> count_column) AS columns,
                    bool_or(a.attname = count_column AND a.atttypid = 'bigint'::regtype AND a.attnotnull) AS counts,
                    bool_and(a.attname = count_column OR EXISTS (
                        SELECT FROM pg_attribute b
                         WHERE b.attrelid = event AND b.attname = a.attname
                           AND b.attnum > 0 AND b.atttypid = a.atttypid)) AS fits
               FROM pg_attribute a
              WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped) AS a
         WHERE s.relkind = 'r' AND s.relname LIKE '_%\_slot'
           AND s.reloptions @> '{vacuum_truncate=false}'
           AND a.counts AND a.fits AND a.columns IS NOT NULL
           AND NOT EXISTS (SELECT FROM playevent.counter k WHERE k.counter_slot = s.oid)
        UNION ALL
        SELECT log || '_listeners', l.attname, ARRAY[key_column, release_column, d.attname],
               'playevent_listeners', 'anon_id'
          FROM pg_class s
          JOIN pg_class e ON e.oid = event AND e.relnamespace = s.relnamespace AND e.relowner = s.relowner
          JOIN pg_attribute l ON l.attrelid = s.oid AND l.attname = 'listeners'
          JOIN pg_attribute d ON d.attrelid = s.oid AND d.attnum > 0 AND d.atttypid = 'date'::regtype
         WHERE s.relkind = 'r' AND s.relname = log || '_listeners_slot'
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = event AND a.attname = 'anon_id')
           AND EXISTS (SELECT FROM pg_extension WHERE extname = 'hll')
           AND NOT EXISTS (SELECT FROM playevent.counter k WHERE k.counter_slot = s.oid)
    LOOP
        PERFORM playevent.arm_counter(event, lost.counter::text, lost.count_column::text, lost.columns,
            playevent.counter_indexes(event, lost.columns),
            lost.trigger_name::name, count_replicated, lost.listener_column::name);
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.mend_counters(regclass, text, text, boolean, name, name) IS
'internal: makes what is missing of a log''s further counters';

--
-- Charts
--

-- The counter that top and series read: of those that count by the column and
-- one of type date, the one with the fewest columns.
CREATE FUNCTION playevent.day_counter(
    event regclass, counted_by name,
    OUT slot regclass, OUT day_column name, OUT count_column name)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT k.counter_slot, d.attname, k.count_column INTO slot, day_column, count_column
      FROM playevent.counter k
     CROSS JOIN LATERAL (
         SELECT min(a.attname) AS attname, count(*) AS n
           FROM pg_attribute a
          WHERE a.attrelid = k.counter_slot AND a.atttypid = 'date'::regtype
            AND a.attname = ANY (k.columns)) AS d
     WHERE k.event = day_counter.event AND k.listener_column IS NULL
       -- Anyone can name a view, which runs what is in it, in a trigger.
       AND EXISTS (SELECT FROM pg_class s JOIN pg_class e ON e.oid = k.event
                    WHERE s.oid = k.counter_slot AND s.relkind = 'r'
                      AND pg_has_role(e.relowner, s.relowner, 'USAGE'))
       AND d.n = 1 AND d.attname <> coalesce(counted_by, '')
       AND (counted_by IS NULL OR counted_by = ANY (k.columns))
     ORDER BY cardinality(k.columns), k.counter LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" has no counter by day',
                (SELECT relname FROM pg_class WHERE oid = event)),
            DETAIL = format('It would have to count by %sa column of type date.',
                CASE WHEN counted_by IS NULL THEN '' ELSE format('"%s" and ', counted_by) END),
            HINT = 'Make one with playevent.add_counter.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.day_counter(regclass, name) IS
'internal: the slot table of a log''s counter by day, and its columns';

CREATE FUNCTION playevent.check_period(event regclass, since date, until date) RETURNS playevent.log
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log playevent.log;
BEGIN
    IF event IS NULL OR since IS NULL OR until IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null',
                CASE WHEN event IS NULL THEN 'event' WHEN since IS NULL THEN 'since' ELSE 'until' END);
    END IF;
    IF since > until OR NOT isfinite(since) OR NOT isfinite(until) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('there is no period since %s until %s', since, until),
            HINT = 'Both days belong to the period; the first must not come after the last.';
    END IF;
    SELECT * INTO log FROM playevent.log l WHERE l.event = check_period.event;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is not a log',
                coalesce((SELECT relname FROM pg_class WHERE oid = event), event::oid::text)),
            HINT = 'The view playevent.log lists all logs.';
    END IF;
    RETURN log;
END
$$;

COMMENT ON FUNCTION playevent.check_period(regclass, date, date) IS
'internal: the log, after checks of the arguments that top and series share';

-- What top shows, of a slot table's column.
CREATE FUNCTION playevent.top_keys(
    slot regclass, key_column text, count_column text, day_column text, since date, until date, lim int)
RETURNS TABLE (rank bigint, key text, plays bigint)
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'playevent_top_keys';

COMMENT ON FUNCTION playevent.top_keys(regclass, text, text, text, date, date, int) IS
'internal: the keys of a slot table that were counted most from one day to another';

-- playevent.top(event regclass, since date, until date, by text = 'track',
--               lim int = 100)
--     returns table(rank bigint, key text, plays bigint)
--
-- The most played tracks or releases from one day to another, both included.
-- Equal counts share a rank.  All of them, if lim is null.
--
-- Errors: another argument is null (22004), not a log, or one without a counter by
-- day (55000), a bad period, by or lim (22023, 2201W), no right to read the slot
-- table (42501).
CREATE FUNCTION playevent.top(
    event regclass, since date, until date, by text DEFAULT 'track', lim int DEFAULT 100)
RETURNS TABLE (rank bigint, key text, plays bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off  -- compiling takes longer than the query
SET work_mem = '64MB'  -- more than a million tracks, in memory
AS $$
DECLARE
    log playevent.log := playevent.check_period(event, since, until);
    counted_by name;
    counter record;
BEGIN
    counted_by := CASE by WHEN 'track' THEN log.key_column WHEN 'release' THEN log.release_column END;
    IF counted_by IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "by" is %s', coalesce(quote_literal(by), 'null')),
            HINT = 'Say ''track'' or ''release''.';
    END IF;
    counter := playevent.day_counter(event, counted_by);

    RETURN QUERY SELECT t.rank, t.key, t.plays
        FROM playevent.top_keys(counter.slot, counted_by::text, counter.count_column::text,
            counter.day_column::text, since, until, lim) AS t;
END
$$;

COMMENT ON FUNCTION playevent.top(regclass, date, date, text, int) IS
'the most played tracks or releases of a log, from one day to another, both included';

-- playevent.series(event regclass, since date, until date,
--                  track_entry_key text = NULL, release_id text = NULL,
--                  step text = 'day')
--     returns table(period date, plays bigint)
--
-- The plays of a track, of a release, or of all, from one day to another, both
-- included: a row for each day, week (from Monday) or month that has a day
-- among them, named by its first day; of the first and the last, only the days
-- among them count.
--
-- Errors: as top's; both a track and a release (22023), or a key that its
-- column's type doesn't take (22P02 and others).
CREATE FUNCTION playevent.series(
    event regclass, since date, until date,
    track_entry_key text DEFAULT NULL, release_id text DEFAULT NULL,
    step text DEFAULT 'day')
RETURNS TABLE (period date, plays bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    log playevent.log := playevent.check_period(event, since, until);
    counted_by name;
    counter record;
BEGIN
    IF track_entry_key IS NOT NULL AND release_id IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'both a track and a release are given',
            HINT = 'Name a track, a release, or neither for all plays.';
    END IF;
    IF step IS NULL OR step NOT IN ('day', 'week', 'month') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "step" is %s', coalesce(quote_literal(step), 'null')),
            HINT = 'Say ''day'', ''week'' or ''month''.';
    END IF;
    counted_by := CASE WHEN track_entry_key IS NOT NULL THEN log.key_column
                       WHEN release_id IS NOT NULL THEN log.release_column END;
    counter := playevent.day_counter(event, counted_by);

    -- The key's type without its typmod, for a key that is too long must not be
    -- cut; bpchar, not character, which is one character.  A release's slots are found day by day, for which the day is in
    -- front of the index.
    RETURN QUERY EXECUTE format(
        'SELECT p.first::date, coalesce(c.plays, 0)
           FROM generate_series(date_trunc($1, $2::timestamp), $3::timestamp,
                    (''1 '' || $1)::interval) AS p(first)
           LEFT JOIN (
               SELECT date_trunc($1, %1$I::timestamp) AS first, sum(%2$I)::bigint AS plays
                 FROM %3$s WHERE %1$I %4$s %5$s GROUP BY 1) AS c USING (first)
          ORDER BY 1',
        counter.day_column, counter.count_column, counter.slot,
        CASE WHEN release_id IS NULL THEN 'BETWEEN $2 AND $3'
             ELSE '= ANY (ARRAY(SELECT $2 + generate_series(0, $3 - $2)))' END,
        CASE WHEN counted_by IS NOT NULL THEN
            format('AND %I = $4::%s', counted_by,
                (SELECT format_type(a.atttypid, -1) FROM pg_attribute a
                  WHERE a.attrelid = counter.slot AND a.attname = counted_by))
        END)
        USING step, since, until, coalesce(track_entry_key, release_id);
END
$$;

COMMENT ON FUNCTION playevent.series(regclass, date, date, text, text, text) IS
'the plays of a track, a release or all, by day, week or month, zeroes included';

--
-- Partitions that come and go, and who may make triggers
--

-- Partitions inherit all of a log's triggers but the one against TRUNCATE, and
-- rows that come with a table that is attached have not been counted.  The log
-- is looked up without locks on its other partitions.
CREATE FUNCTION playevent.partition_added(part regclass, log regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_guarded boolean := EXISTS (
        SELECT FROM playevent.triggers(log) t
         WHERE t.name = 'playevent_append_only_truncate'
           AND t.function = 'playevent.append_only'::regproc);
    added regclass;
    any_filled boolean := false;
BEGIN
    IF log IS NULL THEN
        -- Other children than partitions have none of the triggers.
        IF EXISTS (
            SELECT FROM pg_inherits i CROSS JOIN LATERAL playevent.triggers(i.inhparent::regclass) t
             WHERE i.inhrelid = part AND t.function = 'playevent.append_only'::regproc) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'feature_not_supported',
                MESSAGE = format('table "%s" cannot inherit from a log', (SELECT relname FROM pg_class WHERE oid = part)),
                DETAIL = 'Its rows would be in the log without being counted, and could be changed.',
                HINT = 'To spread a log over several tables, partition it.';
        END IF;
        RETURN;
    END IF;
    FOR added IN SELECT relid FROM pg_partition_tree(part) LOOP
        IF is_guarded THEN
            PERFORM playevent.refuse_truncate(added);
        END IF;
        -- Not by a query: its snapshot may be older than the rows.
        any_filled := any_filled OR pg_relation_size(added) > 0;
    END LOOP;
    IF any_filled THEN
        PERFORM playevent.rebuild(log);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.partition_added(regclass, regclass) IS
'internal: makes a log''s new partition refuse TRUNCATE, and counts the rows it brings; refuses other children';

CREATE FUNCTION playevent.partition_removed(part regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed record;
BEGIN
    -- With its other triggers still there, it is a log of its own.
    FOR removed IN
        SELECT tree.relid, pg_has_role(c.relowner, 'USAGE') AS is_mine
          FROM (SELECT part UNION SELECT relid FROM pg_partition_tree(part)) AS tree(relid)
          JOIN pg_class c ON c.oid = tree.relid
         WHERE (SELECT count(*) = 1 AND bool_and(t.name = 'playevent_append_only_truncate')
                  FROM playevent.triggers(tree.relid) t
                 WHERE t.function = 'playevent.append_only'::regproc)
    LOOP
        -- A log's owner may detach a partition that belongs to someone else.
        IF removed.is_mine THEN
            EXECUTE format('DROP TRIGGER playevent_append_only_truncate ON %s', removed.relid);
        ELSE
            RAISE NOTICE 'table "%" still refuses TRUNCATE, until its owner drops trigger "playevent_append_only_truncate"', removed.relid;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.partition_removed(regclass) IS
'internal: lets a table that has left a log be truncated again';

CREATE FUNCTION playevent.watch_partitions() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_watch_partitions';

COMMENT ON FUNCTION playevent.watch_partitions() IS
'event trigger: notices partitions that come to a log or leave it, and triggers enabled in another way than they were made';

CREATE EVENT TRIGGER playevent_watch_partitions ON ddl_command_end
WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA')
EXECUTE FUNCTION playevent.watch_partitions();

ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER playevent_watch_partitions IS
'partitions do not inherit the trigger against TRUNCATE';

-- The triggers act with the rights of the table's owner, so nobody else may say
-- what they do, nor put others in their place; for CREATE TRIGGER alone, the
-- right TRIGGER on the table is enough.
CREATE FUNCTION playevent.check_trigger_owner() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_check_trigger_owner';

COMMENT ON FUNCTION playevent.check_trigger_owner() IS
'event trigger: lets a table''s owner alone put playevent''s triggers on it, or replace them';

CREATE EVENT TRIGGER playevent_check_trigger_owner ON ddl_command_end
WHEN TAG IN ('CREATE TRIGGER', 'CREATE SCHEMA')
EXECUTE FUNCTION playevent.check_trigger_owner();

ALTER EVENT TRIGGER playevent_check_trigger_owner ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER playevent_check_trigger_owner IS
'playevent''s triggers act with the rights of the table''s owner';

-- The functions act with their caller's rights, and the view shows what
-- pg_trigger shows everyone.  Default privileges may have kept EXECUTE from the
-- public, and the event triggers call functions for whoever makes a table.
GRANT USAGE ON SCHEMA playevent TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA playevent TO PUBLIC;
GRANT SELECT ON playevent.log, playevent.counter TO PUBLIC;
