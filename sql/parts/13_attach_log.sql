--
-- attach_log, which makes a table a log, or mends a log.
--

-- playevent.attach_log(event regclass, track regclass, ...) returns regclass
--
-- Makes a table a log: counters, views and triggers; counts the rows that are there,
-- and grants ingest_role what it needs.  All with the rights of the table's owner,
-- who must be allowed to create in its schema, whoever calls: what may be in
-- anybody's types is run here.
-- A log that does not work it mends: counters and further counters that it has
-- stay, as far as they are there, and its days do.  sql/README.md says what each argument is.
-- Returns the table.
--
-- Errors: an argument is null (22004), no such table, column or role (42P01, 42703,
-- 42704), not the table's owner, or not a slot table's or view's (42501), not an
-- ordinary or partitioned, logged table, or one that inherits (42809), a column of
-- another type (42804), kinds that are none of those named (23514), a partition
-- that is not (0A000), a log that works (42710), a column that may be null, a
-- partition with a trigger of its own, a slot table that does not fit, or days
-- that would change (55000), one that is another log's (55006), bad kinds, columns or unknown_track (22023), a
-- column would be counted by and be the count (42701), a name that is too long
-- (42622), what check_no_shell, track_binding, counter_binding and rebuild report.
-- Locks: the table and its partitions in ShareRowExclusiveLock, or, to add a column
-- or a constraint, in AccessExclusiveLock; slot tables in ShareUpdateExclusiveLock;
-- to the transaction's end.
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
    release_key name DEFAULT 'id',
    name name DEFAULT NULL,
    kind_names text[] DEFAULT NULL,
    thresholds double precision[] DEFAULT NULL,
    id_column name DEFAULT NULL,
    event_id_column name DEFAULT NULL,
    listener_column name DEFAULT NULL,
    heard_column name DEFAULT NULL,
    time_column name DEFAULT NULL,
    created_column name DEFAULT NULL,
    day_column name DEFAULT 'day',
    daily boolean DEFAULT true,
    day_zone text DEFAULT NULL,
    check_kinds boolean DEFAULT true,
    reader_role regrole DEFAULT NULL,
    partition_by text DEFAULT NULL,
    dedupe_for interval DEFAULT '30 days',
    retain interval DEFAULT NULL)
RETURNS regclass
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.attach_log(regclass, regclass, name, name, name, text, boolean, regrole, name, name, name, text[], regclass, name, name, text[], double precision[], name, name, name, name, name, name, name, boolean, text, boolean, regrole, text, interval, interval) IS
'makes a table that is there a log, or mends a log: puts the triggers on, and counts the rows it has; returns the table';

CREATE FUNCTION playevent.attach_log_as_owner(
    event regclass, track regclass, track_key name, track_release name, track_deleted name,
    unknown_track text, count_replicated boolean, ingest_role regrole,
    key_column name, release_column name, kind_column name, kinds text[],
    release regclass, release_key name, name name, kind_names text[], thresholds double precision[],
    id_column name, event_id_column name, listener_column name, heard_column name, time_column name,
    created_column name, day_column name, daily boolean, day_zone text, check_kinds boolean, reader_role regrole,
    partition_by text, dedupe_for interval, retain interval)
RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "IntervalStyle" = 'postgres'
AS $$
#variable_conflict use_variable
DECLARE
    class pg_class;
    was_log boolean;
    works boolean := false;
    log text;
    wanted playevent.log;
    shape playevent.log_shape;
    counter record;
    nullable name;
    unfit name;
    stray record;
    was record;
BEGIN
    PERFORM playevent.check_table(event, 'event'::text);
    SELECT * INTO class FROM pg_class WHERE oid = event;
    IF NOT pg_has_role(class.relowner, 'USAGE') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('must be owner of table %s', class.relname);
    END IF;
    was_log := EXISTS (SELECT FROM playevent.log l WHERE l.event = attach_log_as_owner.event);
    IF was_log THEN
        PERFORM playevent.check_not_distributed(event,
            'Its tables and triggers are on all nodes.'::text,
            'Make a trigger that is missing by CREATE TRIGGER, with citus.enable_unsafe_triggers = on.'::text);
    END IF;
    PERFORM playevent.check_no_shell(event, event);
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
    -- To add a column or a constraint takes more, and to ask for that later could end
    -- in a deadlock with whoever reads and then inserts.
    PERFORM playevent.lock_table(event,
        CASE WHEN playevent.is_to_be_altered(event, kind_column, kinds, created_column, day_column, daily, check_kinds)
             THEN 'ACCESS EXCLUSIVE' ELSE 'SHARE ROW EXCLUSIVE' END::text, true);
    -- Of a log that is mended, nor does anybody decide about rows (lock_log).
    PERFORM playevent.lock_table(v.verdicts, 'SHARE ROW EXCLUSIVE'::text, false)
       FROM playevent.verdicts(event) AS v WHERE v.verdicts IS NOT NULL;
    IF playevent.manifest(event) IS NOT NULL THEN
        PERFORM playevent.check_read_committed(format('attach table "%s" again', class.relname));
    END IF;

    PERFORM playevent.check_none_leaves(event);

    -- A log that works has no use for this; one that doesn't is mended.
    IF EXISTS (SELECT FROM playevent.log l WHERE l.event = attach_log_as_owner.event AND l.intact) THEN
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

    SELECT s.part::regclass AS part, s.name INTO stray
      FROM playevent.stray_trigger s
     WHERE s.part IN (SELECT relid FROM pg_partition_tree(event)) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('partition "%s" of table "%s" has a trigger "%s" of its own that calls a function of playevent''s',
                (SELECT relname FROM pg_class WHERE oid = stray.part), class.relname, stray.name),
            DETAIL = 'Partitions inherit the triggers of a log.',
            HINT = format('Drop it: DROP TRIGGER %I ON %s;', stray.name, stray.part);
    END IF;

    -- What a log that is mended had said stays, if nothing else is said.
    SELECT * INTO was FROM playevent.policy(event);
    wanted.event := event;
    wanted.track := track;
    wanted.track_key := track_key;
    wanted.track_release := track_release;
    wanted.track_deleted := track_deleted;
    wanted.unknown_track := unknown_track;
    wanted.count_replicated := count_replicated;
    wanted.release := release;
    wanted.release_key := release_key;
    wanted.key_column := key_column;
    wanted.release_column := release_column;
    wanted.kind_column := kind_column;
    PERFORM playevent.check_arguments(wanted);
    PERFORM playevent.check_role(ingest_role, 'ingest_role'::text);
    PERFORM playevent.check_role(reader_role, 'reader_role'::text);
    PERFORM playevent.check_policy(coalesce(partition_by, 'month'), dedupe_for, retain);
    PERFORM playevent.check_partitioned(event, partition_by, retain);
    wanted.partition_by := coalesce(partition_by, was.partition_by);
    wanted.retain := coalesce(retain::text, was.retain);
    PERFORM playevent.column_type(event, key_column, 'key_column'::text);
    IF release_column IS NOT NULL AND NOT playevent.has_column(event, release_column) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_column',
            MESSAGE = format('column "%s" of table "%s" does not exist', release_column, class.relname),
            HINT = format('Name the column with argument "release_column".  If there is none, add one, and fill it in before: ALTER TABLE %s ADD COLUMN %I %s;',
                event, release_column, playevent.column_type(track, track_release, 'track_release'::text));
    END IF;
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

    -- A log that was renamed, or moved, keeps its counters, for the views are on
    -- those.
    PERFORM playevent.drop_claims(event);
    SELECT c.slot, c.amount, substring(c.counter FROM '^(.+)_counter$') INTO wanted.counter_slot, wanted.count_column, log
      FROM playevent.declared_counters(wanted) AS c
     WHERE c.function = 'count' AND c.columns = ARRAY[key_column, release_column, kind_column]
     ORDER BY c.counter NOT LIKE '_%\_counter', c.counter LIMIT 1;
    log := coalesce(log, name,
        -- one that was renamed, before the extension was dropped
        (SELECT substring(s.relname FROM '^(.+)_counter_slot$')
           FROM pg_class s
          WHERE s.relnamespace = class.relnamespace AND s.relowner = class.relowner AND s.relkind = 'r' AND s.relname LIKE '_%\_counter\_slot'
            AND playevent.log_by_comment(s.oid) = class.relname
            AND NOT EXISTS (SELECT FROM playevent.guard g WHERE g.slot = s.oid)
            -- and no further counter, which may be called so too
            AND ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1) =
                ARRAY(SELECT u.c FROM unnest(ARRAY[key_column, release_column, kind_column,
                    playevent.count_column(substring(s.relname FROM '^(.+)_counter_slot$'))]::text[]) AS u(c) ORDER BY 1)
          ORDER BY s.relname <> regexp_replace(class.relname, '(.)_events?$', '\1') || '_counter_slot', s.relname LIMIT 1),
        regexp_replace(class.relname, '(.)_events?$', '\1'));
    IF name = '' OR octet_length(name) > 48 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_name',
            MESSAGE = format('argument "name" is %L', name),
            HINT = 'The names of the log''s views and functions start with it, so it must have 1 to 48 bytes.';
    ELSIF octet_length(log) > 48 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'name_too_long',
            MESSAGE = format('name of table "%s" is too long', class.relname),
            HINT = 'The names of the counter table and views start with it (less "_event"), so it must have at most 48 bytes; or give the log another with argument "name".';
    END IF;
    wanted.count_column := coalesce(wanted.count_column, playevent.count_column(log));
    shape := playevent.find_shape(wanted, log, kinds, kind_names, thresholds, id_column, event_id_column, listener_column,
        heard_column, time_column, created_column, day_column, daily, day_zone);
    PERFORM playevent.check_days_stay(wanted, shape, day_zone);
    shape.dedupe_for := dedupe_for;
    shape.ingest_role := ingest_role;
    shape.reader_role := reader_role;
    IF shape.daily AND NOT playevent.has_column(event, day_column) THEN
        PERFORM playevent.add_day(wanted, shape);
    END IF;
    IF check_kinds AND playevent.is_to_be_checked(event, kind_column) AND cardinality(shape.kinds) > 0 THEN
        PERFORM playevent.add_kinds_check(wanted, shape.kinds);
    END IF;
    PERFORM playevent.arm_log(wanted, shape);
    FOR counter IN
        SELECT * FROM playevent.declared_counters(wanted) AS c
         WHERE c.counter <> log || '_counter' AND (c.slot IS NULL OR c.slot IS DISTINCT FROM wanted.counter_slot)
    LOOP
        PERFORM playevent.arm_further_counter(event, counter.slot, counter.counter, counter.amount,
            counter.columns, counter.function, counter.source_column);
    END LOOP;
    PERFORM playevent.check_log(event);
    PERFORM playevent.warn_of_actions(event);
    PERFORM playevent.warn_of_unfilled(wanted, shape);
    PERFORM playevent.rebuild(event);
    IF NOT was_log THEN
        PERFORM playevent.tell_of_no_release(wanted);
    END IF;
    PERFORM playevent.derive_retired(event, k.counter::text) FROM playevent.counter k
      WHERE k.event = attach_log_as_owner.event AND k.listener_column IS NULL;
    IF wanted.partition_by IS NOT NULL THEN
        PERFORM playevent.extend(event);
    END IF;
    RETURN event;
END
$$;

COMMENT ON FUNCTION playevent.attach_log_as_owner(regclass, regclass, name, name, name, text, boolean, regrole, name, name, name, text[], regclass, name, name, text[], double precision[], name, name, name, name, name, name, name, boolean, text, boolean, regrole, text, interval, interval) IS
'internal: attach_log, acting as the log''s owner';
