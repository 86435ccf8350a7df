--
-- Listeners who are forgotten.
--

-- playevent.forget_listener(event regclass, listener text) returns bigint
--
-- Empties what tells a listener apart in his rows of a log, and takes him out of its
-- sketches; his plays, and all counts, stay.  Returns in how many rows: at most 10,000
-- in one call, so call it until it returns 0.  Plays go on meanwhile.
--
-- The token stays in what was retired (sketches, and archives that were kept), in row
-- versions that VACUUM has not removed yet, in WAL, and in backups.
--
-- Errors: an argument is null (22004), not a log, or one that has no column for
-- listeners (55000), not its owner (42501), a token that the column's type doesn't
-- take (22P02), in a transaction with a snapshot of its own (25001).
-- Locks: as void, and the rows.
CREATE FUNCTION playevent.forget_listener(event regclass, listener text) RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.forget_listener(regclass, text) IS
'empties the token of a listener in up to 10,000 rows of a log, takes it out of sketches, and returns in how many rows it was; call it until that is 0';

-- The slots of counters that count by the listener, or add him up: by the column, or
-- one that is generated from it.
CREATE FUNCTION playevent.listeners_slots(event regclass, listener_column name) RETURNS SETOF regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.counter_slot FROM playevent.counter k
     WHERE k.event = listeners_slots.event AND k.listener_column IS NULL
       AND (k.columns || k.amount_column::text) && (listeners_slots.listener_column::text || playevent.generated_from(event, listeners_slots.listener_column))
$$;

COMMENT ON FUNCTION playevent.listeners_slots(regclass, name) IS
'internal: the slot tables of a log''s counters that count by a column, or one generated from it';

-- Such counters follow what is done to rows' tokens.
CREATE FUNCTION playevent.count_listeners_rows(event regclass, listener_column name, filter text, counts boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slot regclass;
BEGIN
    FOR slot IN SELECT playevent.listeners_slots(event, listener_column) LOOP
        PERFORM playevent.add_counted(event, slot, (playevent.counted_rows(event, slot, event, filter)).query, counts);
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.count_listeners_rows(regclass, name, text, boolean) IS
'internal: adds rows to counters by listener, or takes them off';

CREATE FUNCTION playevent.forget_listener_as_owner(event regclass, listener text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    known record;
    batch constant int := 10000;
    token_type text;
    ids bigint[];
BEGIN
    PERFORM playevent.check_not_null(listener IS NULL, 'listener'::text);
    PERFORM playevent.check_not_distributed(event,
        'Which column tells listeners apart, it does not know any more.'::text,
        'In one transaction, disable trigger playevent_append_only, empty that column by an UPDATE, and enable it ALWAYS again; rebuild counters that count by it.'::text);
    PERFORM playevent.check_read_committed(format('forget a listener of table "%s"', event_name));
    PERFORM playevent.take_turn(event);
    -- As the UPDATE will, and before the verdicts: whoever makes a counter locks the log
    -- first, too.
    PERFORM playevent.lock_table(event, 'ROW EXCLUSIVE'::text, false);
    PERFORM playevent.check_log(event);
    SELECT * INTO known FROM playevent.verdicts(event);
    IF known.listener_column IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" has no column that tells listeners apart', event_name),
            HINT = 'Name it to playevent.attach_log with argument "listener_column".';
    END IF;
    IF EXISTS (
        SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = event AND a.attname = known.listener_column AND (a.attnotnull OR t.typnotnull)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('column "%s" of table "%s" can''t be emptied', known.listener_column, event_name),
            DETAIL = 'It is NOT NULL.',
            HINT = format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL;  -- or its domain', event, known.listener_column),
            TABLE = event_name, COLUMN = known.listener_column;
    END IF;
    -- Not of its length, to which a longer token would be cut.
    token_type := format_type((playevent.base_type(event, known.listener_column, 'listener_column'::text)).type, -1);
    PERFORM playevent.lock_verdicts(event);
    SELECT t.ids INTO ids FROM playevent.read_own(event, event, format(
        'SELECT array_agg(found.id) FROM (SELECT l.%I::bigint AS id FROM %s AS l WHERE l.%I OPERATOR(pg_catalog.=) $1::%s LIMIT %s) AS found',
        known.id_column, event, known.listener_column, token_type, batch), listener) AS t(ids bigint[]);
    IF ids IS NOT NULL THEN
        PERFORM playevent.count_listeners_rows(event, known.listener_column, format('l.%I = ANY (%L::bigint[])', known.id_column, ids), false);
        IF playevent.empty_column(event, known.listener_column, format(
            'UPDATE %1$s AS l SET %2$I = NULL WHERE l.%3$I = ANY (%4$L::bigint[]) AND l.%2$I OPERATOR(pg_catalog.=) $1::%5$s',
            event, known.listener_column, known.id_column, ids, token_type), listener) < cardinality(ids) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('not all rows of a listener of table "%s" could be changed', event_name),
                HINT = 'Look for a trigger or a rule of your own that keeps rows as they are.';
        END IF;
        PERFORM playevent.count_listeners_rows(event, known.listener_column, format('l.%I = ANY (%L::bigint[])', known.id_column, ids), true);
        PERFORM playevent.resketch(event, format('SELECT unnest(%L::bigint[])', ids), event);
    END IF;
    -- What was taken off one of a key's slots is in others yet; and in those that were
    -- not free before.
    IF ids IS NULL OR cardinality(ids) < batch THEN
        PERFORM playevent.compact_counter(event, s.slot) FROM playevent.listeners_slots(event, known.listener_column) AS s(slot);
    END IF;
    RETURN coalesce(cardinality(ids), 0);
END
$$;

COMMENT ON FUNCTION playevent.forget_listener_as_owner(regclass, text) IS
'internal: forget_listener, acting as the log''s owner';
