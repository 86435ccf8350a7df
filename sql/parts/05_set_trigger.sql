--
-- Putting playevent's triggers on a table, and taking them off, with the caller's
-- rights.
--

CREATE FUNCTION playevent.schema_of(rel regclass) RETURNS name
LANGUAGE sql STABLE
RETURN (
    SELECT n.nspname
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = rel);

COMMENT ON FUNCTION playevent.schema_of(regclass) IS
'internal: the schema of a table, or null';

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

-- Have two triggers that call one of our functions the same part in a table?
-- Those that count have if they count in the same slots; a log may have two that
-- resolve, one for tracks and one for releases.
CREATE FUNCTION playevent.same_part(function text, a text[], b text[], schema oid) RETURNS boolean
LANGUAGE sql STABLE
RETURN CASE
    WHEN playevent.sources(function) IS NOT NULL THEN
        playevent.named_table(a[1], schema) = playevent.named_table(b[1], schema)
    WHEN function = 'resolve' THEN (a[6] = a[7]) = (b[6] = b[7])
    ELSE true END;

COMMENT ON FUNCTION playevent.same_part(text, text[], text[], oid) IS
'internal: would two triggers of a table with these arguments do the same work';

-- Sees to it that one trigger of a table, and no other, calls our function with
-- these arguments.  A right one stays, whatever it is called: names are the
-- app's; but one with a condition is made again, for it may be any.  All of the
-- table's triggers are then enabled as they are to be (src/settle.c).
CREATE FUNCTION playevent.set_trigger(
    rel regclass, name name, timing text, level text, condition text,
    function text, arguments text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema oid := (SELECT relnamespace FROM pg_class WHERE oid = rel);
    ours regproc := format('playevent.%I', function)::regproc;
    firing int := CASE WHEN level = 'ROW' THEN 1 ELSE 0 END +
        (SELECT sum(bit) FROM (VALUES ('BEFORE', 2), ('INSERT', 4), ('DELETE', 8), ('UPDATE', 16), ('TRUNCATE', 32)) AS v(word, bit)
          WHERE timing LIKE '%' || word || '%');
    found_right boolean := false;
    free_name name := name;
    n int := 1;
    other record;
BEGIN
    FOR other IN
        SELECT t.name, t.function = ours AND a.arguments = set_trigger.arguments AND t.type = firing
               AND t.plain AND condition IS NULL AS is_right
          FROM playevent.triggers(rel) AS t
         CROSS JOIN LATERAL (VALUES (playevent.trigger_arguments(t.tgargs))) AS a(arguments)
         WHERE (t.function = ours OR playevent.counts(t.function) AND playevent.counts(ours))
           AND t.type & 1 = firing & 1
           AND playevent.same_part(set_trigger.function, a.arguments, set_trigger.arguments, schema)
         ORDER BY 2 DESC, t.name = set_trigger.name DESC, t.name
    LOOP
        IF other.is_right AND NOT found_right THEN
            found_right := true;
        ELSE
            EXECUTE format('DROP TRIGGER %I ON %s', other.name, rel);
        END IF;
    END LOOP;
    IF NOT found_right THEN
        WHILE EXISTS (SELECT FROM playevent.triggers(rel) AS t WHERE t.name = free_name) LOOP
            n := n + 1;
            free_name := left(name::text, 58) || '_' || n;
        END LOOP;
        EXECUTE format('CREATE TRIGGER %I %s ON %s FOR EACH %s %s EXECUTE FUNCTION playevent.%I(%s)',
            free_name, timing, rel, level, coalesce('WHEN (' || condition || ')', ''), function,
            playevent.literals(arguments));
    END IF;
    PERFORM playevent.settle(rel);
END
$$;

COMMENT ON FUNCTION playevent.set_trigger(regclass, name, text, text, text, text, text[]) IS
'internal: makes a trigger of a table, if it is not there, and drops others in its place; it gets the name, or if that is taken, one like it';

CREATE FUNCTION playevent.refuse_truncate(event regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM playevent.set_trigger(event, 'playevent_append_only_truncate'::name,
        'BEFORE TRUNCATE'::text, 'STATEMENT'::text, NULL::text, 'append_only'::text, '{}'::text[]);
END
$$;

COMMENT ON FUNCTION playevent.refuse_truncate(regclass) IS
'internal: makes TRUNCATE of a table fail';

-- Partitions inherit all of a log's triggers but the one against TRUNCATE, which
-- they get when they come and lose when they leave.  A table with other triggers
-- of ours is a log of its own.
CREATE FUNCTION playevent.allow_truncate(part regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    guards name[] := ARRAY(SELECT t.name FROM playevent.triggers(part) t
                            WHERE t.function = 'playevent.append_only'::regproc
                            ORDER BY t.type & 32);
BEGIN
    IF cardinality(guards) = 1 AND (SELECT t.type & 32 <> 0 FROM playevent.triggers(part) t WHERE t.name = guards[1]) THEN
        EXECUTE format('DROP TRIGGER %I ON %s', guards[1], part);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.allow_truncate(regclass) IS
'internal: lets a table that has left a log be truncated again';
