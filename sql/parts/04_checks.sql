--
-- Checks of what is passed to create_log, attach_log and add_counter, of types and
-- owners, and of whoever called.
--
-- Every call of a function in this schema passes exactly the types declared:
-- whoever owns the schema could add one that fits better.
--

-- What create_log and attach_log make a log of, beside what the view
-- playevent.log tells of it: columns that are null it has not.
CREATE TYPE playevent.log_shape AS (
    log text,           -- what names of views and functions start with
    kind_word text,     -- what functions call the kind
    kinds text[],
    kind_names text[],  -- the views' columns for these
    thresholds double precision[],
    id_column name,     -- null: nothing can return ids, so nothing records
    event_id_column name,
    listener_column name,
    heard_column name,
    time_column name,
    created_column name,  -- null: no trigger sets the day
    day_column name,
    day_zone text,
    daily boolean,
    dedupe_for interval,  -- of a partitioned log, how long event_ids are known
    ingest_role regrole,
    reader_role regrole);

COMMENT ON TYPE playevent.log_shape IS
'internal: what a log is made of';

CREATE FUNCTION playevent.check_no_shell(event regclass, rel regclass) RETURNS void
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'playevent_check_no_shell';

COMMENT ON FUNCTION playevent.check_no_shell(regclass, regclass) IS
'internal: fails if a table that a log uses is managed by Citus, so that its rows are elsewhere';

CREATE FUNCTION playevent.is_distributed(event regclass) RETURNS boolean
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'playevent_is_distributed';

COMMENT ON FUNCTION playevent.is_distributed(regclass) IS
'internal: does Citus keep a log''s rows in shards on its nodes';

CREATE FUNCTION playevent.check_not_distributed(event regclass, reason text, way text) RETURNS void
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'playevent_check_not_distributed';

COMMENT ON FUNCTION playevent.check_not_distributed(regclass, text, text) IS
'internal: fails if a log is distributed by Citus, with the reason and what works';

CREATE FUNCTION playevent.check_not_null(is_null boolean, argument text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF is_null THEN
        RAISE EXCEPTION USING
            ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null', argument);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_not_null(boolean, text) IS
'internal: checks that an argument is not null';

-- What a function is about to do takes all that others have committed: a snapshot that is
-- older than its locks does not have that (25001).
CREATE FUNCTION playevent.check_read_committed(deed text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'active_sql_transaction',
            MESSAGE = format('cannot %s in a transaction with a snapshot of its own', deed),
            DETAIL = format('It is %s, and does not see what others have committed since it began.', current_setting('transaction_isolation')),
            HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED;';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_read_committed(text) IS
'internal: checks that a transaction sees what others have committed meanwhile';

-- A regclass may be of a table that is gone, or of none ever.
CREATE FUNCTION playevent.check_table(rel regclass, argument text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM playevent.check_not_null(rel IS NULL, argument);
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = rel) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_table',
            MESSAGE = format('argument "%s" is %s, which is no table', argument, rel::oid);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_table(regclass, text) IS
'internal: checks that an argument is a table';

-- How a column is declared: its type, with its collation if that is not the type's
-- own.
CREATE FUNCTION playevent.declaration(type oid, typmod int, collated oid) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT pg_catalog.format_type(type, typmod) ||
           CASE WHEN collated <> t.typcollation
                THEN pg_catalog.format(' COLLATE %I.%I', n.nspname, c.collname) ELSE '' END
      FROM pg_catalog.pg_type t
      LEFT JOIN pg_catalog.pg_collation c ON c.oid = collated
      LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
     WHERE t.oid = type);

COMMENT ON FUNCTION playevent.declaration(oid, int, oid) IS
'internal: a column''s type as CREATE TABLE takes it';

-- How a column of a table is declared.
-- Errors: no such column (42703), naming the argument that named it.
CREATE FUNCTION playevent.column_type(rel regclass, col name, argument text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text;
BEGIN
    PERFORM playevent.check_not_null(col IS NULL, argument);
    SELECT playevent.declaration(a.atttypid, a.atttypmod, a.attcollation) INTO result
      FROM pg_attribute a
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

-- How a slot table declares a log's column: without its length, which may be another
-- later, while the table is in use by its views.
CREATE FUNCTION playevent.slot_column_type(event regclass, col name)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM playevent.column_type(event, col, 'columns'::text);
    RETURN playevent.declaration(a.atttypid, -1, a.attcollation) FROM pg_attribute a WHERE a.attrelid = event AND a.attname = col;
END
$$;

COMMENT ON FUNCTION playevent.slot_column_type(regclass, name) IS
'internal: a log''s column as a slot table declares it';

-- A copy of a column has the base type of a domain, with its length and collation:
-- a CHECK of the domain's owner is not to run with the rights of the log's.
CREATE FUNCTION playevent.base_type(
    rel regclass, col name, argument text, OUT type oid, OUT typmod int, OUT declaration text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    collated oid;
BEGIN
    PERFORM playevent.column_type(rel, col, argument);
    SELECT atttypid, atttypmod, attcollation INTO type, typmod, collated
      FROM pg_attribute WHERE attrelid = rel AND attname = col;
    WHILE (SELECT typtype = 'd' FROM pg_type WHERE oid = type) LOOP
        SELECT typbasetype, typtypmod INTO type, typmod FROM pg_type WHERE oid = type;
    END LOOP;
    declaration := playevent.declaration(type, typmod, collated);
END
$$;

COMMENT ON FUNCTION playevent.base_type(regclass, name, text) IS
'internal: a column''s type without its domains, or an error that names the argument';

-- What a column's type is made of: types within types, and collations.  An array or
-- a multirange is what its elements or ranges are, and goes with them.
CREATE FUNCTION playevent.made_of(type oid, collated oid, OUT class regclass, OUT oid oid, OUT owner oid)
RETURNS SETOF record
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE part(type, collated) AS (
        SELECT made_of.type, made_of.collated
         UNION
        SELECT inner_part.type, inner_part.collated
          FROM part
          JOIN pg_catalog.pg_type t ON t.oid = part.type
         CROSS JOIN LATERAL (
             SELECT t.typelem, 0::pg_catalog.oid WHERE t.typelem <> 0
              UNION ALL
             SELECT t.typbasetype, t.typcollation WHERE t.typtype = 'd'
              UNION ALL
             SELECT a.atttypid, a.attcollation FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
              UNION ALL
             SELECT r.rngsubtype, r.rngcollation FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
              UNION ALL
             SELECT r.rngtypid, 0::pg_catalog.oid FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid
         ) AS inner_part(type, collated)
         WHERE t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.typowner
      FROM part JOIN pg_catalog.pg_type t ON t.oid = part.type
     WHERE t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace AND t.typtype <> 'm'
       AND (t.typelem = 0 OR t.typsubscript <> 'pg_catalog.array_subscript_handler'::pg_catalog.regproc)
     UNION
    SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass, c.oid, c.collowner
      FROM part JOIN pg_catalog.pg_collation c ON c.oid = part.collated
     WHERE c.collnamespace <> 'pg_catalog'::pg_catalog.regnamespace;
END;

COMMENT ON FUNCTION playevent.made_of(oid, oid) IS
'internal: the types and collations that a type is made of, but for Postgres''s own, and their owners';

-- Whoever owns a type or a collation can drop it, and a log's column with it; and
-- his code is in it.  So what a log gets from somebody's track table is its owner's
-- own, or a superuser's, or of an extension.
CREATE FUNCTION playevent.check_own_type(rel regclass, col name, argument text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stranger record;
BEGIN
    SELECT pg_describe_object(part.class, part.oid, 0) AS what, pg_get_userbyid(part.owner) AS owner INTO stranger
      FROM playevent.base_type(rel, col, argument) AS base,
           pg_attribute a,
           playevent.made_of(base.type, a.attcollation) AS part
     WHERE a.attrelid = rel AND a.attname = col
       AND part.owner <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user)
       AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = part.owner AND r.rolsuper)
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = part.class AND d.objid = part.oid AND d.deptype = 'e')
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('%s of column "%s" of table "%s" belongs to role "%s"',
                stranger.what, col, (SELECT relname FROM pg_class WHERE oid = rel), stranger.owner),
            DETAIL = 'The log would have a column of it, which that role could drop.',
            HINT = 'Make the log''s table yourself, with types that you trust, and use playevent.attach_log; or let the log''s owner own the type.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_own_type(regclass, name, text) IS
'internal: checks that nobody else owns what a column''s type is made of';

-- A function takes such a column's values as its base type, of any length.
CREATE FUNCTION playevent.argument_type(rel regclass, col name, argument text) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT CASE WHEN base.type = 'pg_catalog.varchar'::pg_catalog.regtype THEN 'text'
                ELSE pg_catalog.format_type(base.type, NULL) END
      FROM playevent.base_type(rel, col, argument) AS base);

COMMENT ON FUNCTION playevent.argument_type(regclass, name, text) IS
'internal: the type of an argument for a column, or an error that names the argument of playevent''s';

CREATE FUNCTION playevent.literals(strings text[]) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN (
    SELECT pg_catalog.string_agg(pg_catalog.quote_literal(u.string), ', ' ORDER BY u.ord)
      FROM pg_catalog.unnest(strings) WITH ORDINALITY AS u(string, ord));

COMMENT ON FUNCTION playevent.literals(text[]) IS
'internal: strings as SQL takes them, with commas in between';

CREATE FUNCTION playevent.identifiers(names text[]) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN (
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(u.name), ', ' ORDER BY u.ord)
      FROM pg_catalog.unnest(names) WITH ORDINALITY AS u(name, ord));

COMMENT ON FUNCTION playevent.identifiers(text[]) IS
'internal: names as SQL takes them, with commas in between';

-- Is it one of Postgres's own types, or a domain over one?
CREATE FUNCTION playevent.is_postgres_type(type oid) RETURNS boolean
LANGUAGE sql STABLE STRICT
RETURN (
    WITH RECURSIVE base AS (
        SELECT t.oid, t.typtype, t.typbasetype, t.typnamespace FROM pg_catalog.pg_type t WHERE t.oid = type
         UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype, t.typnamespace
          FROM base JOIN pg_catalog.pg_type t ON t.oid = base.typbasetype
         WHERE base.typtype = 'd')
    SELECT typnamespace = 'pg_catalog'::pg_catalog.regnamespace FROM base WHERE typtype <> 'd');

COMMENT ON FUNCTION playevent.is_postgres_type(oid) IS
'internal: is a type one of Postgres''s own, or a domain over one';

-- Where the log that somebody wants is to look releases up.
CREATE FUNCTION playevent.check_arguments(wanted playevent.log) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM playevent.check_not_null(wanted.count_replicated IS NULL, 'count_replicated'::text);
    PERFORM playevent.check_table(wanted.track, 'track'::text);
    IF (SELECT relkind <> 'r' OR relpersistence = 't' FROM pg_class WHERE oid = wanted.track) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'wrong_object_type',
            MESSAGE = format('track table "%s" is not an ordinary, permanent table',
                (SELECT relname FROM pg_class WHERE oid = wanted.track)),
            HINT = 'Name the table that holds the tracks with argument "track".';
    END IF;
    PERFORM playevent.column_type(wanted.track, wanted.track_key::name, 'track_key'::text);
    PERFORM playevent.column_type(wanted.track, wanted.track_release::name, 'track_release'::text);
    IF wanted.track_deleted IS NOT NULL THEN
        PERFORM playevent.column_type(wanted.track, wanted.track_deleted::name, 'track_deleted'::text);
    END IF;
    IF wanted.unknown_track IS NULL OR wanted.unknown_track NOT IN ('record', 'reject') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "unknown_track" is %s',
                coalesce(quote_literal(wanted.unknown_track), 'null')),
            HINT = 'Say ''record'' to record plays of unknown tracks without a release, or ''reject'' to turn them away.';
    END IF;
    -- for events of a release alone
    IF wanted.release IS NOT NULL THEN
        PERFORM playevent.check_table(wanted.release, 'release'::text);
        PERFORM playevent.column_type(wanted.release, wanted.release_key::name, 'release_key'::text);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_arguments(playevent.log) IS
'internal: checks the arguments about the tables of tracks and releases';

-- Are a column's kinds strings or integers, which take others too?
CREATE FUNCTION playevent.has_listed_kinds(event regclass, kind_column name) RETURNS boolean
LANGUAGE sql STABLE
RETURN (
    SELECT base.type IN ('pg_catalog.text'::pg_catalog.regtype, 'pg_catalog.varchar'::pg_catalog.regtype,
                         'pg_catalog.int2'::pg_catalog.regtype, 'pg_catalog.int4'::pg_catalog.regtype,
                         'pg_catalog.int8'::pg_catalog.regtype)
      FROM playevent.base_type(event, kind_column, 'kind_column') AS base);

COMMENT ON FUNCTION playevent.has_listed_kinds(regclass, name) IS
'internal: is a list needed to tell which kinds a log takes';

-- The views have a column for each kind, so kinds, or their names, must do as such,
-- next to the columns they have already, which must differ too.
CREATE FUNCTION playevent.check_kinds(wanted playevent.log, log text, kinds text[], argument text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    columns text[] := ARRAY[wanted.key_column, wanted.release_column, wanted.count_column];
BEGIN
    IF array_ndims(kinds) > 1 OR
       EXISTS (SELECT FROM unnest(kinds) k
                WHERE k IS NULL OR k = '' OR octet_length(k) > 63 OR k = ANY (columns)) OR
       cardinality(kinds) <> (SELECT count(DISTINCT k) FROM unnest(kinds) k) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "%s" is %L', argument, kinds),
            DETAIL = 'Each kind becomes a column of the views.',
            HINT = format('Kinds must differ from each other and from %s, be at most 63 bytes long, and neither empty nor null.',
                playevent.literals(columns));
    END IF;
    IF wanted.count_column IN (wanted.key_column, wanted.release_column, wanted.kind_column) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_column',
            MESSAGE = format('column "%s" would be both counted by and the count of log "%s"',
                wanted.count_column, log),
            HINT = 'Give the log or the column another name.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_kinds(playevent.log, text, text[], text) IS
'internal: checks that kinds can be columns of the views';

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

CREATE FUNCTION playevent.check_day_zone(day_zone text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM playevent.check_not_null(day_zone IS NULL, 'day_zone'::text);
    IF day_zone <> 'UTC' AND NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = day_zone) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "day_zone" is %L, which is no time zone', day_zone),
            HINT = 'Name a time zone of the view pg_timezone_names, such as ''Europe/Berlin''.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_day_zone(text) IS
'internal: checks that an argument is a time zone';

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
