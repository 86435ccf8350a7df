--
-- A log's own functions, which record events and tell their kind, and what they call.
--

-- A log's own functions call these, with the rights of its owner.  They name the
-- log by a text: what a regclass says that means no table any more has no hint.
-- Then its columns: id, key, kind, event_id, listener, time, release, and how much
-- was heard; those that it has not are empty.  Values are of whatever types these
-- have.
CREATE FUNCTION playevent.record_one(
    event text, columns name[], kinds text[],
    track_entry_key "any", kind "any", event_id uuid, anon_id "any", release_id "any")
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_record_one';

COMMENT ON FUNCTION playevent.record_one(text, name[], text[], "any", "any", uuid, "any", "any") IS
'internal: records one in one''s own log, and returns its id';

CREATE FUNCTION playevent.record_heard(
    event text, thresholds double precision[], kinds text[], columns name[],
    track_entry_key "any", heard double precision, event_id uuid, anon_id "any")
RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_record_heard';

COMMENT ON FUNCTION playevent.record_heard(text, double precision[], text[], name[], "any", double precision, uuid, "any") IS
'internal: records one in one''s own log by how much was heard, and returns its id, or null';

CREATE FUNCTION playevent.record_batch(
    event text, columns name[], known_kinds text[],
    track_entry_keys "any", kinds "any", event_ids uuid[], anon_ids "any",
    times "any", release_ids "any")
RETURNS TABLE (ord int, status text, id bigint, reason text)
LANGUAGE c VOLATILE ROWS 1000
AS 'MODULE_PATHNAME', 'playevent_record_batch';

COMMENT ON FUNCTION playevent.record_batch(text, name[], text[], "any", "any", uuid[], "any", "any", "any") IS
'internal: records a batch in one''s own log, and returns a receipt for each row';

CREATE FUNCTION playevent.record_batch_heard(
    event text, thresholds double precision[], kinds text[], columns name[],
    track_entry_keys "any", heards double precision[], event_ids uuid[], anon_ids "any")
RETURNS TABLE (ord int, status text, id bigint, reason text)
LANGUAGE c VOLATILE ROWS 1000
AS 'MODULE_PATHNAME', 'playevent_record_batch_heard';

COMMENT ON FUNCTION playevent.record_batch_heard(text, double precision[], text[], name[], "any", double precision[], uuid[], "any") IS
'internal: records a batch in one''s own log by how much was heard, and returns a receipt for each row';

-- The last argument is there for its type.  Not STRICT, since it may be null.
CREATE FUNCTION playevent.kind_of(
    high_water double precision, thresholds double precision[], kinds text[], kind anyelement)
RETURNS anyelement
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'playevent_kind_of';

COMMENT ON FUNCTION playevent.kind_of(double precision, double precision[], text[], anyelement) IS
'internal: the kind with the highest threshold that was reached';

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

-- Is a function of that name there, so that it is to stay?  It is if it is one of a
-- log's functions and the owner's; none else is to be in its place.  Another log's
-- stays where a log is mended, which keeps its counters, whatever is called like it.
CREATE FUNCTION playevent.has_function(wanted playevent.log, schema name, name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off  -- as when the bodies were written
AS $$
DECLARE
    log pg_class;
    present record;
BEGIN
    SELECT * INTO STRICT log FROM pg_class WHERE oid = wanted.event;
    -- Bodies that are somebody else's are not looked at, nor, of others, more than
    -- what a log's function begins with: they may be as long as he likes.
    IF EXISTS (SELECT FROM pg_proc p
                WHERE p.proname = name AND p.pronamespace = quote_ident(schema)::regnamespace AND p.proowner <> log.relowner) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('function "%s" belongs to someone else than "%s"', name, log.relname),
            HINT = 'Drop it or rename it, or give the log another name.';
    END IF;
    SELECT count(*) > 0 AS any, bool_or(f.records AND NOT f.elsewhere) AS ours, bool_or(f.records AND f.elsewhere) AS others
      INTO present
      FROM (SELECT beginning.body ~ 'playevent\.(record_|kind_of)' AS records,
                   EXISTS (
                       SELECT FROM playevent.guard g JOIN pg_class c ON c.oid = g.event
                        WHERE g.event <> wanted.event AND c.relowner = log.relowner
                          AND position(quote_literal(format('%I.%I', playevent.schema_of(c.oid), c.relname)) IN beginning.body) > 0) AS elsewhere
              FROM pg_proc p
             CROSS JOIN LATERAL (SELECT left(p.prosrc, 2000) AS body OFFSET 0) AS beginning
             WHERE p.proname = name AND p.pronamespace = quote_ident(schema)::regnamespace) AS f;
    IF present.others AND NOT present.ours AND wanted.counter_slot IS NOT NULL THEN
        RAISE WARNING USING
            MESSAGE = format('function "%s" records in another table than "%s"', name, log.relname),
            HINT = 'If both tables have changed their names, rename the functions, too.';
    ELSIF present.any AND NOT present.ours THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_function',
            MESSAGE = format('function "%s" exists already in schema "%s"', name, schema),
            HINT = 'Drop it or rename it, or give the log another name.';
    END IF;
    RETURN present.any;
END
$$;

COMMENT ON FUNCTION playevent.has_function(playevent.log, name, text) IS
'internal: has a log the function already; an error if another has its name';

-- The functions of a log are, like its tables, the owner's and no part of the
-- extension, so that a dump carries them.  They act with the owner's rights:
-- who may call them needs no others.  Arguments from the third on may be left out,
-- if they are optional.
CREATE FUNCTION playevent.make_function(
    schema name, name text, arguments text[], types text[], optional boolean, returns text, body text,
    role regrole, description text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The body as %L: a name in it may hold any dollar quote.
    EXECUTE format(
        'CREATE FUNCTION %I.%I(%s)
         RETURNS %s
         LANGUAGE plpgsql SECURITY DEFINER
         SET search_path = pg_catalog, pg_temp
         AS %L',
        schema, name,
        (SELECT string_agg(format('%I %s', u.argument, u.type) ||
                    CASE WHEN optional AND u.ord > 2 THEN ' DEFAULT NULL' ELSE '' END, ', ' ORDER BY u.ord)
           FROM unnest(arguments, types) WITH ORDINALITY AS u(argument, type, ord)),
        returns, body);
    PERFORM playevent.grant_function(format('%I.%I(%s)', schema, name, array_to_string(types, ', ')), role, description);
END
$$;

COMMENT ON FUNCTION playevent.make_function(name, text, text[], text[], boolean, text, text, regrole, text) IS
'internal: makes a function of a log that acts with the rights of the log''s owner';

-- What they run is in playevent.record_one, record_heard, record_batch and
-- record_batch_heard, for an update of the extension to reach it.  Their bodies name
-- the log, and those by how much was heard its kinds, and follow renames
-- (rename_bodies.c): keep both alike.
-- An argument that the log has no column for is left out.
CREATE FUNCTION playevent.make_record_functions(wanted playevent.log, shape playevent.log_shape)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off  -- as when the bodies are looked for
AS $make$
DECLARE
    event regclass := wanted.event;
    schema name := playevent.schema_of(event);
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    qualified text := format('%I.%I', schema, event_name);
    one text := 'record_' || shape.log;
    many text := 'record_' || playevent.plural(shape.log);
    of_receipts text := 'with a receipt for each: recorded, duplicate, or rejected and why';
    receipts text := 'TABLE (ord int, status text, id bigint, reason text) ROWS 1000';
    -- in the order of record_log.h
    columns name[] := ARRAY[shape.id_column, wanted.key_column, wanted.kind_column,
        coalesce(shape.event_id_column, ''), coalesce(shape.listener_column, ''),
        coalesce(shape.time_column, ''), wanted.release_column, coalesce(shape.heard_column, '')];
    -- what the type decides needs no list
    known text := CASE WHEN playevent.has_listed_kinds(event, wanted.kind_column::name) AND cardinality(shape.kinds) > 0
                       THEN quote_literal(shape.kinds) ELSE 'NULL' END;
    arguments text[] := ARRAY['track_entry_key', shape.kind_word, 'event_id', 'anon_id', 'release_id'];
    of name[] := ARRAY[wanted.key_column, wanted.kind_column, shape.event_id_column, shape.listener_column,
        CASE WHEN wanted.release IS NOT NULL THEN wanted.release_column END];
    types text[];
    places text[];
    further int := cardinality(array_remove(ARRAY[shape.event_id_column, shape.listener_column], NULL));
    time_type text;
    batch text;
BEGIN
    -- A domain's CHECK is run for the owner, not for whoever calls.
    SELECT array_agg(u.argument ORDER BY u.ord), array_agg(u.type ORDER BY u.ord)
      INTO arguments, types
      FROM (SELECT a.argument, a.ord, playevent.argument_type(event, a.col, a.argument) AS type
              FROM unnest(arguments, of) WITH ORDINALITY AS a(argument, col, ord)
             WHERE a.col IS NOT NULL) AS u;
    -- where each argument is, of those that the functions in C take
    places := ARRAY(
        SELECT CASE WHEN u.col IS NULL THEN 'NULL' ELSE '$' || count(u.col) OVER (ORDER BY u.ord) END
          FROM unnest(of) WITH ORDINALITY AS u(col, ord) ORDER BY u.ord);

    IF NOT playevent.has_function(wanted, schema, one) THEN
        PERFORM playevent.make_function(schema, one, arguments, types, true, 'bigint'::text,
            format($f$
BEGIN
    RETURN playevent.record_one(%L, %L, %s, %s);
END
$f$,        qualified, columns, known, array_to_string(places, ', ')),
            shape.ingest_role,
            format('records one in table %s and returns its id%s', event_name,
                CASE WHEN shape.event_id_column IS NOT NULL THEN '; for an event_id that is there already, the id of the first' ELSE '' END));
    END IF;

    IF shape.thresholds IS NOT NULL AND NOT playevent.has_function(wanted, schema, one || '_heard') THEN
        PERFORM playevent.make_function(schema, one || '_heard',
            ARRAY['track_entry_key', 'heard'] || arguments[3:2 + further],
            ARRAY[types[1], 'double precision'] || types[3:2 + further],
            true, 'bigint'::text,
            format($f$
BEGIN
    RETURN playevent.record_heard(%L, %L, ARRAY[%s], %L, $1, $2, %s);
END
$f$,        qualified, shape.thresholds,
            playevent.literals(shape.kinds), columns, array_to_string(places[3:4], ', ')),
            shape.ingest_role,
            format('records one in table %s by the fraction of the track that was heard, and returns its id; null below the least', event_name));
    END IF;

    IF shape.thresholds IS NOT NULL AND NOT playevent.has_function(wanted, schema, many || '_heard') THEN
        PERFORM playevent.make_function(schema, many || '_heard',
            ARRAY['track_entry_keys', 'heards'] ||
                ARRAY(SELECT playevent.plural(u.argument)
                        FROM unnest(arguments[3:2 + further]) WITH ORDINALITY AS u(argument, ord) ORDER BY u.ord),
            ARRAY[types[1] || '[]', 'double precision[]'] ||
                ARRAY(SELECT u.type || '[]'
                        FROM unnest(types[3:2 + further]) WITH ORDINALITY AS u(type, ord) ORDER BY u.ord),
            true, receipts,
            format($f$
BEGIN
    RETURN QUERY SELECT r.ord, r.status, r.id, r.reason
      FROM playevent.record_batch_heard(%L, %L, ARRAY[%s], %L, $1, $2, %s) AS r;
END
$f$,        qualified, shape.thresholds,
            playevent.literals(shape.kinds), columns, array_to_string(places[3:4], ', ')),
            shape.ingest_role,
            format('records a batch in table %s by the fractions of tracks that were heard, %s', event_name, of_receipts));
    END IF;

    -- A batch; and one that says when its events were, for roles that are to be
    -- trusted with that.
    IF playevent.has_function(wanted, schema, many) THEN
        RETURN;
    END IF;
    arguments := ARRAY(
        SELECT playevent.plural(u.argument)
          FROM unnest(arguments) WITH ORDINALITY AS u(argument, ord) ORDER BY u.ord);
    types := ARRAY(SELECT u.type || '[]' FROM unnest(types) WITH ORDINALITY AS u(type, ord) ORDER BY u.ord);
    batch := format($f$
BEGIN
    RETURN QUERY SELECT r.ord, r.status, r.id, r.reason
      FROM playevent.record_batch(%L, %L, %s, %s, $f$,
        qualified, columns, known, array_to_string(places[1:4], ', '));
    PERFORM playevent.make_function(schema, many, arguments, types, true, receipts,
        format(E'%sNULL, %s) AS r;\nEND\n', batch, places[5]),
        shape.ingest_role,
        format('records a batch in table %s, %s', event_name, of_receipts));
    IF shape.time_column IS NOT NULL THEN
        SELECT format_type(base.type, NULL) || '[]' INTO time_type
          FROM playevent.base_type(event, shape.time_column, 'time_column'::text) AS base;
        PERFORM playevent.make_function(schema, many, arguments || playevent.time_column(shape.log), types || time_type, false, receipts,
            format(E'%s$%s, %s) AS r;\nEND\n', batch, cardinality(types) + 1, places[5]),
            NULL::regrole,
            format('records a batch in table %s that tells when its events were; for roles that are granted it', event_name));
    END IF;
END
$make$;

COMMENT ON FUNCTION playevent.make_record_functions(playevent.log, playevent.log_shape) IS
'internal: makes the functions that record in a log';

-- From how much of a track was heard to the kind.  Where such rules come from:
-- video advertising reports start, quartiles and complete (IAB's VAST); Last.fm
-- counts a play at half of a track or four minutes; the IAB's podcast guidelines
-- at sixty seconds.  A floor of 5 % keeps skips out, and 95 % is complete, for
-- hardly anybody hears the silence at the end.  The body follows when a kind is
-- renamed (rename_bodies.c): keep both alike.
CREATE FUNCTION playevent.make_kind_function(wanted playevent.log, shape playevent.log_shape)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $make$
DECLARE
    schema name := playevent.schema_of(wanted.event);
    name text := shape.log || '_' || shape.kind_word || '_of';
    signature text;
BEGIN
    IF octet_length(name) > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'name_too_long',
            MESSAGE = format('name of function "%s" is too long', name),
            HINT = 'Choose a shorter log or kind; together they may have 59 bytes.';
    END IF;
    IF playevent.has_function(wanted, schema, name) THEN
        RETURN;
    END IF;
    -- The result has a place, $2, which knows the type by its OID.
    EXECUTE format($f$
CREATE FUNCTION %1$I.%2$I(high_water double precision, OUT %3$s)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS %4$L $f$,
        schema, name,
        playevent.argument_type(wanted.event, wanted.kind_column::name, 'kind_column'::text),
        format($f$
BEGIN
    $2 := playevent.kind_of($1, %L, ARRAY[%s], $2);
END
$f$,    shape.thresholds, playevent.literals(shape.kinds)));
    signature := format('%I.%I(double precision)', schema, name);
    PERFORM playevent.grant_function(signature, shape.ingest_role,
        format('the %s of a play by the fraction of the track that was heard; null below the least', shape.kind_word));
    IF shape.reader_role IS NOT NULL THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', signature, shape.reader_role);
    END IF;
END
$make$;

COMMENT ON FUNCTION playevent.make_kind_function(playevent.log, playevent.log_shape) IS
'internal: makes the function that finds the kind of a play';
