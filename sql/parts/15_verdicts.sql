--
-- Verdicts: rows of a log that are there and don't count.
--

-- The table of a log's verdicts, as it says itself, and what it knows of the log.
CREATE FUNCTION playevent.verdicts(event regclass, OUT verdicts regclass, OUT id_column name, OUT listener_column name)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT g.slot::pg_catalog.regclass, g.arguments[1]::pg_catalog.name, NULLIF(g.arguments[2], '')::pg_catalog.name
      FROM (SELECT 1) AS one
      LEFT JOIN playevent.guard g ON g.event OPERATOR(pg_catalog.=) verdicts.event::pg_catalog.oid AND g.function OPERATOR(pg_catalog.=) 'verdict'
     ORDER BY g.slot LIMIT 1;
END;

COMMENT ON FUNCTION playevent.verdicts(regclass) IS
'internal: the table of a log''s verdicts, and the log''s columns of ids and listeners, or null';

CREATE FUNCTION playevent.count_judged(event regclass, slot regclass, condition text, counts boolean) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_count_judged';

COMMENT ON FUNCTION playevent.count_judged(regclass, regclass, text, boolean) IS
'internal: counts the rows that verdicts are about in a counter, or takes them off it';

CREATE FUNCTION playevent.flush_counter(event regclass, slot regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_flush_counter';

COMMENT ON FUNCTION playevent.flush_counter(regclass, regclass) IS
'internal: writes what a transaction has counted so far in a counter';

CREATE FUNCTION playevent.add_counted(event regclass, slot regclass, rows text, counts boolean) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_add_counted';

COMMENT ON FUNCTION playevent.add_counted(regclass, regclass, text, boolean) IS
'internal: adds what a query says of each key to a counter, or takes it off';

CREATE FUNCTION playevent.compact_counter(event regclass, slot regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_compact_counter';

COMMENT ON FUNCTION playevent.compact_counter(regclass, regclass) IS
'internal: merges the spare slots of a counter, of every day';

CREATE FUNCTION playevent.may_write(rel regclass) RETURNS name
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_may_write';

COMMENT ON FUNCTION playevent.may_write(regclass) IS
'internal: in a function that acts as a log''s owner, who has called it, who must have the right INSERT';

CREATE FUNCTION playevent.empty_column(event regclass, col name, query text, argument text) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_empty_column';

COMMENT ON FUNCTION playevent.empty_column(regclass, name, text, text) IS
'internal: in a function that acts as a log''s owner, an UPDATE of it that empties a column and changes nothing else';

CREATE FUNCTION playevent.check_none_prepared(rel regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_check_none_prepared';

COMMENT ON FUNCTION playevent.check_none_prepared(regclass) IS
'internal: in a function that acts as a log''s owner, in the worker of a subscription, checks that no prepared transaction holds a lock for writing to a table';

CREATE FUNCTION playevent.wait_for_writers(rel regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_wait_for_writers';

COMMENT ON FUNCTION playevent.wait_for_writers(regclass) IS
'internal: in a function that acts as a log''s owner, waits for the transactions that hold a lock for writing to a table';

-- Makes the table of a log's verdicts.
CREATE FUNCTION playevent.arm_verdicts(wanted playevent.log, shape playevent.log_shape) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema name := playevent.schema_of(wanted.event);
    declared text := 'id bigint, event bigint, counts boolean, reason text, decided_at timestamp with time zone, decided_by name';
    verdicts regclass := (playevent.verdicts(wanted.event)).verdicts;
BEGIN
    verdicts := coalesce(verdicts, to_regclass(format('%I.%I', schema, shape.log || '_verdict')));
    IF verdicts IS NULL THEN
        -- By the play in front: of several servers each has verdicts about its own.
        EXECUTE format('CREATE TABLE %I.%I (%s, PRIMARY KEY (event, id))', schema, shape.log || '_verdict', declared);
        verdicts := format('%I.%I', schema, shape.log || '_verdict')::regclass;
        EXECUTE format('CREATE INDEX ON %s (id)', verdicts);
    ELSE
        PERFORM playevent.check_guarded(wanted.event, verdicts, declared);
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', verdicts,
        format('which rows of %s don''t count, or count again: the latest verdict about a row holds', wanted.event));
    PERFORM playevent.guard_table(verdicts,
        ARRAY[playevent.reference(wanted.event, playevent.schema_of(verdicts)), 'verdict', shape.id_column, coalesce(shape.listener_column, '')]::text[]);
    PERFORM playevent.set_trigger(verdicts, 'playevent_judge'::name,
        'AFTER INSERT'::text, 'ROW'::text, NULL::text, 'judge'::text, '{}'::text[]);
END
$$;

COMMENT ON FUNCTION playevent.arm_verdicts(playevent.log, playevent.log_shape) IS
'internal: makes the table of a log''s verdicts';

-- The view of a log's rows that count.  It comes with the first call that decides: it
-- depends on all of the log's columns, so DROP TABLE and ALTER COLUMN TYPE would need
-- CASCADE for logs that have no use for it.
CREATE FUNCTION playevent.make_valid_view(event regclass, verdicts regclass, id_column name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema name := playevent.schema_of(verdicts);
    name text := regexp_replace((SELECT relname FROM pg_class WHERE oid = verdicts), '_verdict$', '') || '_valid';
    view regclass := to_regclass(format('%I.%I', schema, name));
    other name;
BEGIN
    SELECT r.rolname INTO other
      FROM pg_class c JOIN pg_class log ON log.oid = event JOIN pg_roles r ON r.oid = c.relowner
     WHERE c.oid = view AND c.relowner <> log.relowner AND NOT r.rolsuper;
    IF FOUND THEN
        RAISE WARNING USING
            MESSAGE = format('"%s" belongs to role "%s", and need not show the rows that count', name, other),
            HINT = 'Drop it or rename it.';
    ELSIF (SELECT relkind = 'v' FROM pg_class WHERE oid = view)
          AND NOT playevent.reads(view, verdicts) THEN
        RAISE WARNING USING
            MESSAGE = format('view "%s" does not read table "%s", and need not show the rows that count', name,
                (SELECT relname FROM pg_class WHERE oid = verdicts)),
            HINT = 'Drop it; the next verdict makes it anew.';
    ELSIF view IS NULL AND has_schema_privilege(schema, 'CREATE') THEN
        PERFORM playevent.make_view(event, schema, name, NULL::regclass, format(
            'SELECT l.* FROM %1$s AS l
              WHERE NOT EXISTS (
                  SELECT FROM ONLY %2$s AS v
                   WHERE v.event = l.%3$I AND NOT v.counts
                     AND NOT EXISTS (SELECT FROM ONLY %2$s AS later WHERE later.event = v.event AND later.id > v.id))',
            event, verdicts, id_column));
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.make_valid_view(regclass, regclass, name) IS
'internal: makes the view of a log''s rows that count, if it is not there';

-- A log's table of verdicts, which nobody else appends to until the transaction ends.
-- Null if it has none.
CREATE FUNCTION playevent.lock_verdicts(event regclass) RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known record;
    missing name;
BEGIN
    SELECT * INTO known FROM playevent.verdicts(event);
    IF known.verdicts IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM playevent.lock_table(known.verdicts, 'SHARE ROW EXCLUSIVE'::text, false);
    SELECT u.c INTO missing FROM unnest(ARRAY[known.id_column, known.listener_column]) AS u(c)
     WHERE u.c IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = event AND a.attname = u.c AND NOT a.attisdropped);
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_column',
            MESSAGE = format('table "%s" has no column "%s"', (SELECT relname FROM pg_class WHERE oid = event), missing),
            DETAIL = format('Table "%s" names it.', (SELECT relname FROM pg_class WHERE oid = known.verdicts)),
            HINT = 'Call playevent.attach_log again if the column has another name.';
    END IF;
    RETURN known.verdicts;
END
$$;

COMMENT ON FUNCTION playevent.lock_verdicts(regclass) IS
'internal: the table of a log''s verdicts, locked against other verdicts';

-- Makes the sketches anew that some rows of a log belong to.  They are deleted first.
-- Inserts that come then make slots of their own; those before may rely on what was
-- deleted (slot.c), so they are waited for.  What sketches are made of is read after
-- that; what this transaction is yet to write would come behind it, so it is written
-- before.  The lock keeps out rebuild, which adds what a sketch lacks.
CREATE FUNCTION playevent.resketch(event regclass, affected text, other regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known record;
    counter record;
    keys text;
    same text;
BEGIN
    SELECT * INTO known FROM playevent.verdicts(event);
    FOR counter IN
        SELECT k.counter_slot AS slot, k.count_column, k.columns FROM playevent.counter k
         WHERE k.event = resketch.event AND k.listener_column IS NOT NULL
    LOOP
        PERFORM playevent.lock_table(counter.slot, 'SHARE UPDATE EXCLUSIVE'::text, false);
        PERFORM playevent.check_none_prepared(counter.slot);
        PERFORM playevent.flush_counter(event, counter.slot);
        -- Keys are one if their images are.  What else can be compared, is for the
        -- planner to find them by.
        SELECT format('SELECT DISTINCT %s FROM %s AS a WHERE a.%I IN (%s)',
                   string_agg(format('a.%I', u.c), ', ' ORDER BY u.ord), event, known.id_column, affected),
               format('record_image_eq(ROW(%s), ROW(%s))',
                   string_agg(format('k.%I', u.c), ', ' ORDER BY u.ord), string_agg(format('l.%I', u.c), ', ' ORDER BY u.ord)) ||
               coalesce(string_agg(format(' AND k.%1$I OPERATOR(pg_catalog.=) l.%1$I', u.c), '' ORDER BY u.ord)
                   FILTER (WHERE att.attnotnull AND playevent.is_postgres_type(att.atttypid)), '')
          INTO keys, same
          FROM unnest(counter.columns) WITH ORDINALITY AS u(c, ord)
          JOIN pg_attribute att ON att.attrelid = event AND att.attname = u.c;
        PERFORM playevent.write_guarded(counter.slot, ARRAY[event, other], format(
            'DELETE FROM ONLY %s AS l USING (%s) AS k WHERE %s', counter.slot, keys, same));
        PERFORM playevent.wait_for_writers(counter.slot);
        PERFORM playevent.write_guarded(counter.slot, ARRAY[event, known.verdicts, other], format(
            'INSERT INTO %s (%s, %I) %s', counter.slot,
            playevent.identifiers(counter.columns::text[]), counter.count_column,
            (playevent.counted_rows(event, counter.slot, event, format('EXISTS (SELECT FROM (%s) AS k WHERE %s)', keys, same))).query));
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.resketch(regclass, text, regclass) IS
'internal: makes the sketches anew that some rows of a log belong to';

-- Counters follow verdicts that are there by now; which, is a condition on "v".
CREATE FUNCTION playevent.follow_verdicts(event regclass, condition text, counts boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    verdicts regclass := (playevent.verdicts(event)).verdicts;
    slot regclass;
BEGIN
    FOR slot IN
        SELECT k.counter_slot FROM playevent.counter k WHERE k.event = follow_verdicts.event AND k.listener_column IS NULL
    LOOP
        PERFORM playevent.count_judged(event, slot, condition, counts);
    END LOOP;
    PERFORM playevent.resketch(event, format('SELECT v.event FROM ONLY %s AS v WHERE %s', verdicts, condition), verdicts);
END
$$;

COMMENT ON FUNCTION playevent.follow_verdicts(regclass, text, boolean) IS
'internal: counts the rows that verdicts are about, or takes them off all counters';

-- What logical replication brings, row by row.
CREATE FUNCTION playevent.judge_replicated(verdicts regclass, id bigint, play bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log_event regclass := (SELECT g.event FROM playevent.guard g WHERE g.slot = verdicts AND g.function = 'verdict' ORDER BY g.trigger_oid LIMIT 1);
    state record;
BEGIN
    IF log_event IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" does not say which log''s verdicts it has', (SELECT relname FROM pg_class WHERE oid = verdicts)),
            HINT = 'Call playevent.attach_log for that log again.';
    END IF;
    IF NOT (SELECT l.count_replicated FROM playevent.log l WHERE l.event = log_event) THEN
        RETURN;
    END IF;
    SELECT * INTO state FROM playevent.read_own(verdicts, verdicts, format(
        'SELECT coalesce((SELECT v.counts FROM ONLY %1$s AS v WHERE v.event = %2$L AND v.id <> %3$L ORDER BY v.id DESC LIMIT 1), true),
                (SELECT v.counts FROM ONLY %1$s AS v WHERE v.event = %2$L ORDER BY v.id DESC LIMIT 1)',
        verdicts, play, id)) AS t(before boolean, after boolean);
    IF state.before <> state.after THEN
        PERFORM playevent.follow_verdicts(log_event, format('v.event = %L AND v.id = %L', play, id), state.after);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.judge_replicated(regclass, bigint, bigint) IS
'internal: counters follow a verdict that logical replication brought';

-- playevent.void(event regclass, ids bigint[], reason text) returns bigint
-- playevent.reinstate(event regclass, ids bigint[], reason text) returns bigint
--
-- Rows of a log don't count any more, or count again; they stay as they are.  Each
-- gets a verdict, with the reason, when, and by whom.  Returns how many changed:
-- those that were so already are passed over.  It is for the log's owner, and for
-- roles that have been granted INSERT on the table of verdicts.
--
-- Errors: an argument or an element is null (22004), a reason is empty (22023), not a
-- log, or one without verdicts (55000), no right to (42501), ids that are not in the
-- log (P0002), or were retired (55000); in a transaction with a snapshot of its own
-- (25001).
-- Locks: the log as an object in AccessExclusiveLock, by which these, forget_listener and
-- retire take turns; the log in RowExclusiveLock, the table of verdicts in
-- ShareRowExclusiveLock; all to the transaction's end.  Inserts go on; where there are
-- sketches, the transactions are waited for that had inserted before.
CREATE FUNCTION playevent.void(event regclass, ids bigint[], reason text) RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_for_reader';

COMMENT ON FUNCTION playevent.void(regclass, bigint[], text) IS
'lets rows of a log not count any more; they stay where they are; returns how many did until then';

CREATE FUNCTION playevent.void_as_owner(event regclass, ids bigint[], reason text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN playevent.decide(event, ids, false, reason);
END
$$;

COMMENT ON FUNCTION playevent.void_as_owner(regclass, bigint[], text) IS
'internal: void, acting as the log''s owner';

CREATE FUNCTION playevent.reinstate(event regclass, ids bigint[], reason text) RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_for_reader';

COMMENT ON FUNCTION playevent.reinstate(regclass, bigint[], text) IS
'lets rows of a log count again that were voided; returns how many did not until then';

CREATE FUNCTION playevent.reinstate_as_owner(event regclass, ids bigint[], reason text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN playevent.decide(event, ids, true, reason);
END
$$;

COMMENT ON FUNCTION playevent.reinstate_as_owner(regclass, bigint[], text) IS
'internal: reinstate, acting as the log''s owner';

CREATE FUNCTION playevent.decide(event regclass, ids bigint[], counts boolean, reason text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    known record;
    decided_by name;
    first bigint;
    changed bigint;
BEGIN
    SELECT * INTO known FROM playevent.verdicts(event);
    IF known.verdicts IS NULL THEN
        -- Whoever may INSERT may have the locks that check_log takes.
        PERFORM playevent.may_write(event);
        PERFORM playevent.check_not_distributed(event,
            'Verdicts would be on one node, and the rows that they are about on others.'::text,
            'Keep out what should not count before it is recorded; or insert the rows that count into a new log.'::text);
        PERFORM playevent.check_log(event);
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" has no table of verdicts', event_name),
            DETAIL = 'A log that has an integer primary key has one.',
            HINT = format('If it was dropped: call playevent.attach_log for table "%s" again.', event_name);
    END IF;
    decided_by := playevent.may_write(known.verdicts);
    PERFORM playevent.check_not_null(ids IS NULL OR EXISTS (SELECT FROM unnest(ids) AS id WHERE id IS NULL), 'ids'::text);
    PERFORM playevent.check_not_null(reason IS NULL, 'reason'::text);
    IF reason = '' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "reason" is empty',
            HINT = 'Say why, such as the name of the rule and its version: it can be asked for later.';
    END IF;
    PERFORM playevent.check_read_committed(format('decide about rows of table "%s"', event_name));
    -- retire waits at its end for all who hold a lock on the log, so for who waits for
    -- retire, if he holds one.
    PERFORM playevent.take_turn(event);
    -- As an INSERT may, later in the transaction, and before the verdicts: whoever makes a
    -- counter locks the log first, too.
    PERFORM playevent.lock_table(event, 'ROW EXCLUSIVE'::text, false);
    PERFORM playevent.check_log(event);
    PERFORM playevent.lock_verdicts(event);
    PERFORM playevent.make_valid_view(event, known.verdicts, known.id_column);
    PERFORM playevent.check_ids(event, known.id_column, ids);

    first := 1 + (SELECT t.last FROM playevent.read_own(known.verdicts, known.verdicts,
        format('SELECT coalesce(max(id), 0) FROM ONLY %s', known.verdicts)) AS t(last bigint));
    changed := playevent.write_guarded(known.verdicts, '{}'::regclass[], format(
        'INSERT INTO %1$s (id, event, counts, reason, decided_at, decided_by)
         SELECT %2$L::bigint - 1 + row_number() OVER (), u.id, %3$L, %4$L, (SELECT pg_catalog.clock_timestamp()), %5$L
           FROM (SELECT DISTINCT id FROM unnest(%6$L::bigint[]) AS id) AS u
          WHERE coalesce((SELECT v.counts FROM ONLY %1$s AS v WHERE v.event = u.id ORDER BY v.id DESC LIMIT 1), true) <> %3$L::boolean',
        known.verdicts, first, counts, reason, decided_by, ids));
    IF changed > 0 THEN
        PERFORM playevent.follow_verdicts(event, format('v.id BETWEEN %L AND %L', first, first + changed - 1), counts);
    END IF;
    RETURN changed;
END
$$;

COMMENT ON FUNCTION playevent.decide(regclass, bigint[], boolean, text) IS
'internal: appends verdicts about rows of a log, if they are news, and counters follow';

-- All of the ids must be of rows that are there.
CREATE FUNCTION playevent.check_ids(event regclass, id_column name, ids bigint[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    manifest regclass := playevent.manifest(event);
    unknown record;
    part text;
BEGIN
    SELECT * INTO unknown FROM playevent.read_own(event, event, format(
        'SELECT count(*), min(u.id) FROM unnest(%L::bigint[]) AS u(id) WHERE NOT EXISTS (SELECT FROM %s AS l WHERE l.%I = u.id)',
        ids, event, id_column)) AS t(n bigint, id bigint);
    IF unknown.n = 0 THEN
        RETURN;
    END IF;
    IF manifest IS NOT NULL THEN
        SELECT t.part INTO part FROM playevent.read_own(manifest, manifest, format(
            'SELECT s.part FROM ONLY %1$s AS s
              WHERE s.action = ''seal'' AND %2$s BETWEEN s.first_id AND s.last_id
                AND EXISTS (SELECT FROM ONLY %1$s AS r WHERE r.action = ''retire'' AND r.part = s.part AND r.entry > s.entry) LIMIT 1',
            manifest, unknown.id)) AS t(part text);
        IF FOUND THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('row %s of table "%s" was retired', unknown.id, event_name),
                DETAIL = format('It was in partition "%s", whose counts can''t be changed any more.', part);
        END IF;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'no_data_found',
        MESSAGE = format('table "%s" has no row with id %s', event_name, unknown.id),
        DETAIL = format('Of the %s ids, %s are not in the log. None was changed.', cardinality(ids), unknown.n);
END
$$;

COMMENT ON FUNCTION playevent.check_ids(regclass, name, bigint[]) IS
'internal: checks that ids are of rows of a log';
