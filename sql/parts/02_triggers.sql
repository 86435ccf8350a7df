--
-- The trigger functions, what catalogs say of triggers, and what these are enabled
-- for.
--

CREATE FUNCTION playevent.append_only() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_append_only';

COMMENT ON FUNCTION playevent.append_only() IS
'trigger BEFORE UPDATE, DELETE or TRUNCATE of a log: refuses (23001)';

CREATE FUNCTION playevent.slot_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_slot_guard';

COMMENT ON FUNCTION playevent.slot_guard() IS
'trigger BEFORE any SQL write to a slot or key table: refuses (23001); arguments: the log, the name of the function that writes, and what its trigger has behind the table';

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

CREATE FUNCTION playevent.sum() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_sum';

COMMENT ON FUNCTION playevent.sum() IS
'trigger AFTER INSERT, row: adds an integer of it to a sum; arguments: slot table, its sum column, the integer''s column, the key''s columns';

CREATE FUNCTION playevent.sketch() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_sketch';

COMMENT ON FUNCTION playevent.sketch() IS
'trigger AFTER INSERT, row: adds its listener to a sketch; arguments: slot table, its sketch column, the listener''s column, the key''s columns';

CREATE FUNCTION playevent.flush() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_flush';

COMMENT ON FUNCTION playevent.flush() IS
'trigger AFTER INSERT, statement: writes what was counted; argument: origin, if replicated rows are not to be counted';

CREATE FUNCTION playevent.partition() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_partition';

COMMENT ON FUNCTION playevent.partition() IS
'trigger BEFORE INSERT, statement: the log is partitioned by time; arguments: the column it is partitioned by, how long a partition is, how long plays are kept, the columns of ids and of listeners';

CREATE FUNCTION playevent.sealed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_sealed';

COMMENT ON FUNCTION playevent.sealed() IS
'trigger BEFORE INSERT, row, of a partition: refuses (55000); argument: the hash of the manifest''s entry';

CREATE FUNCTION playevent.dedupe() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_dedupe';

COMMENT ON FUNCTION playevent.dedupe() IS
'trigger BEFORE INSERT, row: leaves out a row whose event_id is known; arguments: key table, the columns of event_id, id and when it was recorded, how long event_ids are kept';

CREATE FUNCTION playevent.judge() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_judge';

COMMENT ON FUNCTION playevent.judge() IS
'trigger AFTER INSERT, row, of a table of verdicts: counts what logical replication brings';

-- The functions that count.
CREATE FUNCTION playevent.counts(function oid) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN function IN ('playevent.count'::pg_catalog.regproc, 'playevent.sum'::pg_catalog.regproc,
                    'playevent.sketch'::pg_catalog.regproc);

COMMENT ON FUNCTION playevent.counts(oid) IS
'internal: is it a trigger function that counts';

-- What guards call them.
CREATE FUNCTION playevent.counting(function oid) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE function WHEN 'playevent.count'::pg_catalog.regproc THEN 'count'
                     WHEN 'playevent.sum'::pg_catalog.regproc THEN 'sum'
                     WHEN 'playevent.sketch'::pg_catalog.regproc THEN 'sketch' END;

COMMENT ON FUNCTION playevent.counting(oid) IS
'internal: the name of a trigger function that counts, or null';

-- Their arguments are the slot table, its column, so many columns of the log that
-- what is added up comes from, and the key's columns.
CREATE FUNCTION playevent.sources(function text) RETURNS int
LANGUAGE sql IMMUTABLE
RETURN CASE function WHEN 'count' THEN 0 WHEN 'sum' THEN 1 WHEN 'sketch' THEN 1 END;

COMMENT ON FUNCTION playevent.sources(text) IS
'internal: how many columns in front of the key a function that counts has among its arguments; null for others';

CREATE FUNCTION playevent.trigger_arguments(tgargs bytea) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 100
AS 'MODULE_PATHNAME', 'playevent_trigger_arguments';

COMMENT ON FUNCTION playevent.trigger_arguments(bytea) IS
'internal: the arguments in pg_trigger.tgargs';

CREATE FUNCTION playevent.named_table(name text, schema oid) RETURNS regclass
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100
AS 'MODULE_PATHNAME', 'playevent_named_table';

COMMENT ON FUNCTION playevent.named_table(text, oid) IS
'internal: the table that a trigger''s argument names, or null';

CREATE FUNCTION playevent.named_by(rel oid, name text) RETURNS regclass
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100
AS 'MODULE_PATHNAME', 'playevent_named_by';

COMMENT ON FUNCTION playevent.named_by(oid, text) IS
'internal: the table that an argument of a table''s trigger names, or null; for a shard of Citus, the shard beside it';

CREATE FUNCTION playevent.is_managed(rel oid) RETURNS boolean
LANGUAGE c STABLE STRICT COST 100
AS 'MODULE_PATHNAME', 'playevent_is_managed';

COMMENT ON FUNCTION playevent.is_managed(oid) IS
'internal: does Citus manage a table, or is it a shard of one';

-- A query on pg_trigger sees what its snapshot does, which in REPEATABLE READ
-- may be long past.
CREATE FUNCTION playevent.triggers(rel regclass)
RETURNS TABLE (name name, function regproc, enabled "char", tgargs bytea, type int2, plain boolean)
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'playevent_triggers';

COMMENT ON FUNCTION playevent.triggers(regclass) IS
'internal: what pg_trigger says of a table at this moment; plain: for every row or statement, as soon as can be';

-- The costs of this one and the next have queries ask for few triggers, not for all
-- that anybody has made.
CREATE FUNCTION playevent.enabled_as_made(trigger oid) RETURNS "char"
LANGUAGE c STABLE STRICT COST 10000
AS 'MODULE_PATHNAME', 'playevent_enabled_as_made';

COMMENT ON FUNCTION playevent.enabled_as_made(oid) IS
'internal: what pg_trigger.tgenabled is for a trigger of playevent''s when all is well; null for others, and for those that are there to be inherited';

CREATE FUNCTION playevent.as_made(trigger oid) RETURNS boolean
LANGUAGE c STABLE STRICT COST 10000
AS 'MODULE_PATHNAME', 'playevent_as_made';

COMMENT ON FUNCTION playevent.as_made(oid) IS
'internal: is a trigger of playevent''s enabled as it was made, and for all rows; null for others, and for those that are there to be inherited';

CREATE FUNCTION playevent.settle(rel regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_settle';

COMMENT ON FUNCTION playevent.settle(regclass) IS
'internal: enables a table''s triggers of playevent as they are to be, and those of its partitions';

-- Of a log's triggers that resolve, the one for events of a release alone has
-- the release for a key.
CREATE FUNCTION playevent.resolves_releases(tgargs bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT
RETURN (playevent.trigger_arguments(tgargs))[6] OPERATOR(pg_catalog.=) (playevent.trigger_arguments(tgargs))[7];

COMMENT ON FUNCTION playevent.resolves_releases(bytea) IS
'internal: does a resolve trigger with these arguments look up releases';

-- pg_get_expr does not know the rows of a trigger.  quote_all_identifiers quotes
-- these, too.
CREATE FUNCTION playevent.condition(trigger oid) RETURNS text
LANGUAGE sql STABLE
RETURN (
    -- Not for a trigger that says more than ours do: that may be as long as its
    -- maker likes, and compressed, or too deep for the stack.
    SELECT CASE WHEN pg_catalog.octet_length(t.tgargs) < 8192 AND coalesce(pg_catalog.octet_length(t.tgqual::text), 0) < 8192 THEN
        pg_catalog.replace(
            pg_catalog.substring(pg_catalog.pg_get_triggerdef(t.oid), ' WHEN \((.*)\) EXECUTE FUNCTION '),
            '("new".', '(new.')
        ELSE '' END
      FROM pg_catalog.pg_trigger t WHERE t.oid = trigger);

COMMENT ON FUNCTION playevent.condition(oid) IS
'internal: the condition of a trigger, or null';
