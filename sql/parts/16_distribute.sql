--
-- Spreading a log over the nodes of a Citus cluster.
--

-- What a log may not have to be distributed: the reason, and the way that works.
CREATE FUNCTION playevent.check_distributable(log playevent.log) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = log.event);
    reason text;
    way text;
    culprit name;
    written boolean;
BEGIN
    IF NOT log.intact THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('log "%s" is not intact', event_name),
            HINT = 'See the view playevent.log; playevent.attach_log mends a log.';
    END IF;

    IF (SELECT relkind = 'p' FROM pg_class WHERE oid = log.event) THEN
        reason := 'It is partitioned, and to seal and retire partitions takes one transaction over all of their rows.';
        way := 'Distribute a log that is not partitioned; or let several servers each have a partitioned log, and replicate to a hub.';
    ELSIF log.release IS NOT NULL THEN
        reason := 'It has rows of a release alone, which have no track by which to distribute them.';
        way := 'Keep those in a log of their own, which stays local.';
    ELSIF NOT playevent.is_postgres_type((SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = log.event AND a.attname = log.key_column)) THEN
        reason := format('Its key "%s" is of a type that is not Postgres''s own, whose keys may be equal and differ.', log.key_column);
        way := 'Distribute a log whose key is text, an integer or a uuid.';
    END IF;

    SELECT k.counter INTO culprit FROM playevent.counter k
     WHERE k.event = log.event AND log.key_column <> ALL (k.columns) LIMIT 1;
    IF FOUND THEN
        reason := format('Its counter "%s" does not count by column "%s", so its keys would be on all nodes.', culprit, log.key_column);
        way := format('Drop it with playevent.drop_counter, and make one with %I among its columns, to be added up over tracks.', log.key_column);
    END IF;

    IF (playevent.verdicts(log.event)).verdicts IS NOT NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s)', (playevent.verdicts(log.event)).verdicts) INTO written;
        IF written THEN
            reason := 'Plays of it have been voided, and what is decided about plays is not kept on the nodes.';
            way := 'Void no plays of a log that is to be distributed.';
        END IF;
    END IF;

    -- A unique index must have the column that rows are distributed by.
    SELECT c.relname INTO culprit
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = log.event AND i.indisunique AND i.indexprs IS NOT NULL LIMIT 1;
    IF FOUND THEN
        reason := format('Its unique index "%s" has expressions.', culprit);
        way := 'Drop that index.';
    END IF;

    IF reason IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('log "%s" cannot be distributed', event_name),
            DETAIL = reason,
            HINT = way;
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_distributable(playevent.log) IS
'internal: checks that a log can be distributed';

-- How the log is to be told whose shards lie beside its own: the track table's, if
-- that is distributed by its key; none, if that is on every node.
CREATE FUNCTION playevent.colocation_of(log playevent.log) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = log.event);
    track_name name := (SELECT relname FROM pg_class WHERE oid = log.track);
    track record;
    key record;
BEGIN
    EXECUTE 'SELECT p.partmethod, p.repmodel, pg_catalog.column_to_column_name(p.logicalrelid, p.partkey) AS key
               FROM pg_catalog.pg_dist_partition p WHERE p.logicalrelid = $1' INTO track USING log.track;
    IF track.repmodel = 't' THEN
        RETURN 'none';
    ELSIF track.partmethod = 'h' AND track.key = log.track_key THEN
        SELECT playevent.declaration(e.atttypid, e.atttypmod, e.attcollation) AS type,
               playevent.declaration(t.atttypid, t.atttypmod, t.attcollation) AS track_type,
               e.atttypid = t.atttypid AND e.attcollation = t.attcollation AS same
          INTO STRICT key
          FROM pg_attribute e, pg_attribute t
         WHERE e.attrelid = log.event AND e.attname = log.key_column AND t.attrelid = log.track AND t.attname = log.track_key;
        IF key.same THEN
            RETURN log.track::text;
        END IF;
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('log "%s" cannot be distributed', event_name),
            DETAIL = format('Its key "%s" is %s, and key "%s" of its track table "%s" is %s: Citus keeps beside each other only what is of one type and collation.',
                log.key_column, key.type, log.track_key, track_name, key.track_type),
            HINT = format('Before the track table is distributed: ALTER TABLE %s ALTER COLUMN %I TYPE %s; or make it a reference table.',
                log.track, log.track_key, key.type);
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('log "%s" cannot be distributed', event_name),
        DETAIL = format('Its track table "%s" would not be on its nodes, where releases are looked up.', track_name),
        HINT = format('In the same transaction, before: SELECT create_reference_table(%L); or, for a large one: SET LOCAL citus.multi_shard_modify_mode = ''sequential''; SELECT create_distributed_table(%1$L, %L);',
            log.track::text, log.track_key);
END
$$;

COMMENT ON FUNCTION playevent.colocation_of(playevent.log) IS
'internal: what a log is to be colocated with, or an error that says what to do with its track table';

-- Puts the column that rows are distributed by into unique indexes that lack it, in
-- front.  So an id, or an event_id, is unique for each track.
CREATE FUNCTION playevent.widen_unique_indexes(event regclass, key_column name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    index record;
BEGIN
    FOR index IN
        SELECT c.relname AS name, i.indexrelid::regclass AS oid, con.conname, con.contype, pg_get_expr(i.indpred, i.indrelid) AS predicate,
               (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.ord)
                  FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, ord)
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                 WHERE k.ord <= i.indnkeyatts) AS columns
          FROM pg_index i
          JOIN pg_class c ON c.oid = i.indexrelid
          LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.conrelid = event AND con.contype IN ('p', 'u')
         WHERE i.indrelid = event AND i.indisunique
           AND NOT EXISTS (SELECT FROM pg_attribute a
                            WHERE a.attrelid = event AND a.attname = key_column AND a.attnum = ANY (i.indkey))
    LOOP
        IF index.conname IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', event, index.conname);
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s (%I, %s)', event, index.conname,
                CASE index.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, key_column, index.columns);
        ELSE
            EXECUTE format('DROP INDEX %s', index.oid);
            EXECUTE format('CREATE UNIQUE INDEX %I ON %s (%I, %s)%s', index.name, event, key_column, index.columns,
                ' WHERE ' || index.predicate);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.widen_unique_indexes(regclass, name) IS
'internal: puts a column in front of unique indexes that lack it';

-- Triggers of a distributed table are made, and its shards changed one after another:
-- the next table is made beside it, or a view dropped, on the same connections.
CREATE FUNCTION playevent.allow_shard_changes() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SET LOCAL citus.enable_unsafe_triggers = on;
    SET LOCAL citus.multi_shard_modify_mode = 'sequential';
END
$$;

COMMENT ON FUNCTION playevent.allow_shard_changes() IS
'internal: until the function ends that acts as a log''s owner, lets Citus make triggers, and change shards one after another';

-- Distributes a slot table like its log, whose shards those of the slots are beside.
-- Of a tenant, Citus does that with each table that is made.
CREATE FUNCTION playevent.distribute_slots(slot regclass, event regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key_column name := playevent.distribution_column(event);
BEGIN
    IF key_column IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = slot AND attname = key_column AND attnum > 0)
    THEN
        PERFORM playevent.check_not_distributed(event,
            format('A counter that does not count by column "%s" would have each of its keys on several nodes.', key_column),
            format('Count by %I too, and add up over it.', key_column));
    END IF;
    IF NOT playevent.is_managed(slot) THEN
        EXECUTE 'SELECT pg_catalog.create_distributed_table($1, $2, colocate_with => $3)' USING slot, key_column, event::text;
    END IF;
    -- by which a shard is moved while it is written to
    EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', slot);
END
$$;

COMMENT ON FUNCTION playevent.distribute_slots(regclass, regclass) IS
'internal: distributes a slot table like its log';

-- The column that a distributed log's rows are spread by; null if they are all on one
-- node.
CREATE FUNCTION playevent.distribution_column(event regclass) RETURNS name
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key_column name;
BEGIN
    EXECUTE 'SELECT pg_catalog.column_to_column_name(p.logicalrelid, p.partkey)
               FROM pg_catalog.pg_dist_partition p WHERE p.logicalrelid = $1' INTO key_column USING event;
    RETURN key_column;
END
$$;

COMMENT ON FUNCTION playevent.distribution_column(regclass) IS
'internal: the column by which Citus spreads a log''s rows';

-- Has each shard of a distributed slot table count the rows of the log's shard beside
-- it, by what it does when all triggers are enabled again (restore.c): on the
-- connections of this transaction, and with an error if one can't.
CREATE FUNCTION playevent.count_in_shards(slot regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error  -- shards tell that their counts were wrong
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', slot);
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', slot);
END
$$;

COMMENT ON FUNCTION playevent.count_in_shards(regclass) IS
'internal: fills in the slots of a distributed table';

-- playevent.distribute_log(event regclass, shard_count int = 32) returns void
--
-- Spreads a log's rows and counters over the nodes of a Citus cluster, by track,
-- in so many shards each; its track table must be a reference table, or be
-- distributed by its key, and then the log has as many shards as that.  Rows that are
-- there go along.  From then on
--   - ids and event_ids are unique for each track, not in the whole log;
--   - what logical replication brings is not counted, or shards could not be moved;
--   - plays can't be voided, and no counter be added that does not count by track;
--   - functions that record can be called on all nodes.
--
-- Runs as the log's owner, who must be able to connect to all nodes.
--
-- Errors: event is null (22004), shard_count is none (22023); no Citus here (0A000); not a
-- log, or one that can't be distributed, or is already (55000); not its owner (42501);
-- something depends on the table of verdicts (2BP01); what create_distributed_table
-- reports.  Locks: the log and its slot tables in AccessExclusiveLock, to the
-- transaction's end; as long as it takes to copy all rows.
CREATE FUNCTION playevent.distribute_log(event regclass, shard_count int DEFAULT 32) RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.distribute_log(regclass, int) IS
'spreads a log and its counters over the nodes of a Citus cluster, by track; ids and event_ids are then unique for each track';

CREATE FUNCTION playevent.distribute_log_as_owner(event regclass, shard_count int) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning  -- Citus tells of local data, which goes here
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    log playevent.log;
    beside text;
    slots regclass[];
    known record;
    rel regclass;
    other record;
    enabled jsonb;
BEGIN
    IF shard_count IS NULL OR shard_count < 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "shard_count" is %s', coalesce(shard_count::text, 'null')),
            HINT = 'Some 2 to 4 for each processor core that all nodes will have together is usual.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'extension citus is not installed in this database',
            HINT = 'A log is distributed over the nodes of a Citus cluster, on its coordinator.';
    END IF;
    PERFORM playevent.check_not_distributed(event, 'So it is already.'::text, 'Shards are moved and split by functions of Citus.'::text);
    IF playevent.is_managed(event) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is managed by Citus', event_name),
            DETAIL = 'A log that is to be distributed must be a local table.',
            HINT = format('SELECT undistribute_table(%L);', event::text);
    END IF;
    IF NOT EXISTS (SELECT FROM playevent.log l WHERE l.event = distribute_log_as_owner.event) THEN
        PERFORM playevent.check_log(event);
    END IF;
    PERFORM playevent.lock_table(event, 'ACCESS EXCLUSIVE'::text, false);
    SELECT * INTO STRICT log FROM playevent.log l WHERE l.event = distribute_log_as_owner.event;
    PERFORM playevent.check_distributable(log);
    beside := playevent.colocation_of(log);
    slots := ARRAY(SELECT k.counter_slot FROM playevent.counter k WHERE k.event = log.event ORDER BY k.counter_slot <> log.counter_slot, 1);

    PERFORM playevent.allow_shard_changes();

    -- Verdicts are for all of the log, and their table is on this node.
    SELECT * INTO known FROM playevent.verdicts(event);
    IF known.verdicts IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s', known.verdicts);
    END IF;

    PERFORM playevent.set_trigger(event, 'playevent_flush'::name,
        'AFTER INSERT'::text, 'STATEMENT'::text, NULL::text, 'flush'::text, '{origin}'::text[]);
    PERFORM playevent.widen_unique_indexes(event, log.key_column::name);

    -- Rows are copied to the shards with all triggers off: they are counted.
    SELECT coalesce(jsonb_object_agg(t.tgname, t.tgenabled), '{}') INTO enabled
      FROM pg_trigger t
     WHERE t.tgrelid = event AND NOT t.tgisinternal AND t.tgenabled <> 'O'
       AND (SELECT p.pronamespace FROM pg_proc p WHERE p.oid = t.tgfoid) <> 'playevent'::regnamespace;
    FOREACH rel IN ARRAY slots || event LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', rel);
    END LOOP;
    IF beside = 'none' THEN
        EXECUTE 'SELECT pg_catalog.create_distributed_table($1, $2, colocate_with => $3, shard_count => $4)'
          USING event, log.key_column, beside, shard_count;
    ELSE
        EXECUTE 'SELECT pg_catalog.create_distributed_table($1, $2, colocate_with => $3)' USING event, log.key_column, beside;
    END IF;
    FOREACH rel IN ARRAY slots LOOP
        PERFORM playevent.distribute_slots(rel, event);
    END LOOP;
    FOREACH rel IN ARRAY slots || event LOOP
        EXECUTE 'SELECT pg_catalog.truncate_local_data_after_distributing_table($1)' USING rel;
    END LOOP;
    -- All at once: of a single trigger that TRUNCATE fires, too, Citus would not tell
    -- the shards.  Each compares its counters with its rows when the log's come (restore.c).
    FOREACH rel IN ARRAY slots || event LOOP
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', rel);
    END LOOP;
    FOR other IN SELECT key AS name, value AS enabled FROM jsonb_each_text(enabled) LOOP
        EXECUTE format('ALTER TABLE %s %s TRIGGER %I', event,
            CASE other.enabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END, other.name);
    END LOOP;

    -- so that workers have them, too
    FOR other IN
        SELECT DISTINCT v.oid::regclass AS view, v.reloptions
          FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
         WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (slots::oid[])
           AND v.relkind = 'v' AND pg_has_role(v.relowner, 'USAGE')
    LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %s%s AS %s', other.view,
            ' WITH (' || array_to_string(other.reloptions, ', ') || ')', pg_get_viewdef(other.view));
    END LOOP;
    PERFORM playevent.distribute_functions(event);
END
$$;

COMMENT ON FUNCTION playevent.distribute_log_as_owner(regclass, int) IS
'internal: distribute_log, acting as the log''s owner';

-- A log's functions that record are on all nodes, and may be called on each.  That those
-- of a single play be called where the track is, Citus could see to (an argument
-- $1 of create_distributed_function), but up to 14.0.1 a null there ends the server.
CREATE FUNCTION playevent.distribute_functions(event regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    literal text := (SELECT quote_literal(format('%I.%I', playevent.schema_of(event), c.relname)) FROM pg_class c WHERE c.oid = event);
    function regprocedure;
BEGIN
    FOR function IN
        SELECT p.oid FROM pg_proc p
         WHERE p.pronamespace = quote_ident(playevent.schema_of(event))::regnamespace
           AND p.proowner = (SELECT relowner FROM pg_class WHERE oid = event)
           AND (starts_with(p.prosrc, format(E'\nBEGIN\n    RETURN playevent.record_one(%s, ', literal))
                OR starts_with(p.prosrc, format(E'\nBEGIN\n    RETURN playevent.record_heard(%s, ', literal))
                OR starts_with(p.prosrc, format(E'\nBEGIN\n    RETURN QUERY SELECT r.ord, r.status, r.id, r.reason\n      FROM playevent.record_batch(%s, ', literal))
                OR starts_with(p.prosrc, format(E'\nBEGIN\n    RETURN QUERY SELECT r.ord, r.status, r.id, r.reason\n      FROM playevent.record_batch_heard(%s, ', literal)))
    LOOP
        EXECUTE 'SELECT pg_catalog.create_distributed_function($1)' USING function;
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.distribute_functions(regclass) IS
'internal: makes the functions that record in a distributed log on all nodes';
