--
-- Logs that are partitioned by time: which partitions there are, and those to come.
--

-- The column whose ranges of time a table is partitioned by, or null.
CREATE FUNCTION playevent.partition_column(event regclass) RETURNS name
LANGUAGE sql STABLE
RETURN (
    SELECT a.attname
      FROM pg_catalog.pg_partitioned_table p
      JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
     WHERE p.partrelid = event AND p.partstrat = 'r' AND p.partnatts = 1
       AND a.atttypid IN ('pg_catalog.timestamptz'::pg_catalog.regtype, 'pg_catalog.timestamp'::pg_catalog.regtype));

COMMENT ON FUNCTION playevent.partition_column(regclass) IS
'internal: the column of moments that a table is partitioned by ranges of, or null';

-- What a log's trigger says of its partitions; all null if it has none.
CREATE FUNCTION playevent.policy(
    event regclass,
    OUT created_column name, OUT partition_by text, OUT retain text, OUT id_column name, OUT listener_column name)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.args[1]::name, nullif(a.args[2], ''), nullif(a.args[3], ''), nullif(a.args[4], '')::name, nullif(a.args[5], '')::name
      FROM playevent.triggers(event) AS t
     CROSS JOIN LATERAL (VALUES (playevent.trigger_arguments(t.tgargs))) AS a(args)
     WHERE t.function = 'playevent.partition'::regproc
     ORDER BY t.name LIMIT 1
$$;

COMMENT ON FUNCTION playevent.policy(regclass) IS
'internal: what a log''s trigger says of its partitions';

-- playevent.partitions(event regclass)
--     returns table(part regclass, since timestamptz, until timestamptz,
--                   is_sealed boolean)
--
-- The partitions of a log that is partitioned by time, in their order, less the
-- default one.  A partition has the moments from since to before until, which may be
-- infinite.  Whoever may look into pg_catalog may call it.
CREATE FUNCTION playevent.partitions(event regclass)
RETURNS TABLE (part regclass, since timestamptz, until timestamptz, is_sealed boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
AS $$
    SELECT c.oid::regclass,
           CASE WHEN b.bound[1] = 'MINVALUE' THEN '-infinity' ELSE trim(b.bound[1], '''') END::timestamptz,
           CASE WHEN b.bound[2] = 'MAXVALUE' THEN 'infinity' ELSE trim(b.bound[2], '''') END::timestamptz,
           EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgfoid = 'playevent.sealed'::regproc)
      FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition
     -- Bounds are constants.  With the table's name, 17 would wait for its lock.
     CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, 0), '^FOR VALUES FROM \((.+)\) TO \((.+)\)$') AS b(bound)
     WHERE i.inhparent = event AND NOT i.inhdetachpending AND b.bound IS NOT NULL
       AND playevent.partition_column(event) IS NOT NULL
     ORDER BY 2
$$;

COMMENT ON FUNCTION playevent.partitions(regclass) IS
'the partitions of a log that is partitioned by time, from when until before when, and whether they are sealed';

-- How long a partition is, how long event_ids are known, and how long plays are kept.
CREATE FUNCTION playevent.check_policy(partition_by text, dedupe_for interval, retain interval) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF partition_by NOT IN ('day', 'week', 'month', 'year') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "partition_by" is %L', partition_by),
            HINT = 'Say ''day'', ''week'', ''month'' or ''year''; or leave it out, for a log that is one table.';
    END IF;
    PERFORM playevent.check_not_null(dedupe_for IS NULL, 'dedupe_for'::text);
    IF NOT isfinite(dedupe_for) OR dedupe_for < '1 minute' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "dedupe_for" is %L', dedupe_for),
            HINT = 'Say for how long a client may send a play again: ''30 days''.';
    END IF;
    IF retain IS NOT NULL AND (NOT isfinite(retain) OR retain < '1 day' OR retain > '5000 years') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "retain" is %L', retain),
            HINT = 'Say how long plays are kept, a day at least: ''13 months''; or leave it out, to keep them for ever.';
    END IF;
    IF retain IS NOT NULL AND partition_by IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "retain" is given, and "partition_by" is not',
            HINT = 'Plays are retired by the partition: partition_by => ''month''.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_policy(text, interval, interval) IS
'internal: checks the arguments about partitions';

-- Are plays kept for a shorter time by one retain than by another, on any day?  Null
-- is for ever.  How long a month is hangs on the day; to compare intervals is to say
-- that it has 30 days, and a year 360.
CREATE FUNCTION playevent.is_shorter(retain interval, than interval) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
RETURN CASE WHEN retain IS NULL THEN false
            WHEN than IS NULL THEN true
            ELSE EXISTS (
                SELECT FROM generate_series('2000-01-01'::timestamptz, '2008-01-01'::timestamptz, '1 day') AS t(now)
                 WHERE now - retain > now - than) END;

COMMENT ON FUNCTION playevent.is_shorter(interval, interval) IS
'internal: are plays kept for a shorter time than by another policy';

-- A table that is there: is it partitioned so that playevent can make partitions, or
-- retire them, as it is asked to?
CREATE FUNCTION playevent.check_partitioned(event regclass, partition_by text, retain interval) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    was record;
BEGIN
    SELECT * INTO was FROM playevent.policy(event);
    IF (partition_by IS NOT NULL OR retain IS NOT NULL) AND playevent.partition_column(event) IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is not partitioned by ranges of time', event_name),
            DETAIL = 'Arguments "partition_by" and "retain" are for a table that is partitioned by the column that tells when a row was recorded.',
            HINT = 'Make it anew with PARTITION BY RANGE of that column, or leave the arguments out.';
    END IF;
    IF was.created_column IS NOT NULL AND retain IS NOT NULL AND playevent.is_shorter(retain, was.retain::interval) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" keeps its plays for longer than that', event_name),
            DETAIL = format('They are kept %s.', coalesce('for ' || was.retain, 'for ever')),
            HINT = format('Leave argument "retain" out, and then: SELECT playevent.set_retain(%L, %L, shorten => true);', event, retain);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_partitioned(regclass, text, interval) IS
'internal: checks that a table can have its partitions made and retired';

-- A log that is partitioned by time, for whatever changes its partitions; locked
-- against others who do.  Inserts and reads don't mind this lock.
-- Errors: not such a log (55000), or in a transaction with a snapshot of its own,
-- which would not see all of its rows (25001).
CREATE FUNCTION playevent.lock_partitions(event regclass) RETURNS record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_name name := (SELECT relname FROM pg_class WHERE oid = event);
    policy record;
BEGIN
    PERFORM playevent.check_not_distributed(event,
        'It is not partitioned by time.'::text,
        'A log that is partitioned by time stays on one server; several such can be replicated to a hub.'::text);
    PERFORM playevent.check_log(event);
    PERFORM playevent.check_read_committed(format('change the partitions of table "%s"', event_name));
    PERFORM playevent.lock_table(event, 'SHARE UPDATE EXCLUSIVE'::text, false);
    -- rebuild, too, is to wait (src/maintenance.c).
    IF playevent.manifest(event) IS NOT NULL THEN
        PERFORM playevent.lock_table(playevent.manifest(event), 'SHARE UPDATE EXCLUSIVE'::text, false);
    END IF;
    SELECT * INTO policy FROM playevent.policy(event);
    IF policy.created_column IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is not a log that is partitioned by time', event_name),
            HINT = 'Make one with playevent.create_log(..., partition_by => ''month''), or with playevent.attach_log of a table that is partitioned by ranges of when rows were recorded.';
    END IF;
    RETURN policy;
END
$$;

COMMENT ON FUNCTION playevent.lock_partitions(regclass) IS
'internal: what a log''s trigger says of its partitions, which nobody else changes until the transaction ends';

-- A name with an ending, cut to the bytes that names have.
CREATE FUNCTION playevent.fit_name(name text, ending text) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT pg_catalog.left(name, n) || ending
      FROM pg_catalog.generate_series(0, least(pg_catalog.length(name), 63)) AS n
     WHERE pg_catalog.octet_length(pg_catalog.left(name, n) || ending) < 64
     ORDER BY n DESC LIMIT 1);

COMMENT ON FUNCTION playevent.fit_name(text, text) IS
'internal: a name with an ending, in at most 63 bytes';

-- Makes a partition and attaches it, empty, which takes but a lock that inserts don't
-- mind.  Whoever else may make tables in the log's schema can take the name
-- beforehand, or be about to for as long as he likes.  Then it gets another, in the
-- end one that nobody knows beforehand.
--
-- It is made with the log's foreign keys.  Were these to come with ATTACH, that would
-- look for rows that break them, and to plan a query on the tables that they refer to
-- runs what their owners have put into indexes.
CREATE FUNCTION playevent.make_partition(event regclass, name text, since text, until text) RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema name := playevent.schema_of(event);
    foreign_keys text;
    free_name text := name;
    part regclass;
BEGIN
    -- So the definitions of its foreign keys mean those tables while we wait, too.
    PERFORM playevent.pin_table(c.confrelid) FROM pg_constraint c WHERE c.conrelid = event AND c.contype = 'f' AND c.conparentid = 0;
    SELECT string_agg(format(', CONSTRAINT %I %s', c.conname, pg_get_constraintdef(c.oid)), '' ORDER BY c.conname) INTO foreign_keys
      FROM pg_constraint c WHERE c.conrelid = event AND c.contype = 'f' AND c.conparentid = 0;
    FOR attempt IN 2..5 LOOP
        BEGIN
            EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION%s)',
                schema, free_name, event, foreign_keys);
            EXIT;
        EXCEPTION WHEN duplicate_table OR duplicate_object OR unique_violation OR lock_not_available THEN
            -- One of his own is for the owner to look at: it may have plays in it.
            IF attempt = 5 OR EXISTS (
                SELECT FROM pg_class c JOIN pg_class log USING (relnamespace, relowner)
                 WHERE log.oid = event AND c.relname = free_name::name)
            THEN
                RAISE;
            END IF;
            free_name := playevent.fit_name(name, '_' || CASE attempt WHEN 2 THEN '2' ELSE left(gen_random_uuid()::text, 8) END);
        END;
    END LOOP;
    part := format('%I.%I', schema, free_name)::regclass;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)', event, part, since, until);
    RETURN part;
END
$$;

COMMENT ON FUNCTION playevent.make_partition(regclass, text, text, text) IS
'internal: makes a partition of a log';

-- Names of partitions begin with the log's, as pg_partman has it too.
CREATE FUNCTION playevent.partition_name(event regclass, suffix text) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT playevent.fit_name(c.relname::pg_catalog.text, suffix)
      FROM pg_catalog.pg_class c WHERE c.oid = event);

COMMENT ON FUNCTION playevent.partition_name(regclass, text) IS
'internal: the name of a log''s partition';

-- playevent.extend(event regclass, ahead interval = '3 months') returns int
--
-- Makes the partitions of a log up to those that have the moment now() + ahead; each
-- is a day, a week from Monday, a month or a year of UTC, whatever the session's time
-- zone.  What others have made stays, and gaps between are filled.  Returns how many
-- it made.
--
-- Errors: an argument is null (22004), not a log that is partitioned by time, or its
-- partitions are made by others (55000), not its owner (42501), more than 1000
-- partitions (22023), rows of the default partition belong into a new one (23514),
-- what CREATE TABLE and ATTACH PARTITION report; no lock within 200 ms (55P03).
-- Locks: the event table in ShareUpdateExclusiveLock; tables that its foreign keys
-- refer to in ShareRowExclusiveLock, a default partition in AccessExclusiveLock.
CREATE FUNCTION playevent.extend(event regclass, ahead interval DEFAULT '3 months') RETURNS int
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.extend(regclass, interval) IS
'makes the partitions of a log that are to come, and returns how many';

CREATE FUNCTION playevent.extend_as_owner(event regclass, ahead interval) RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET lock_timeout = '200ms'
AS $$
DECLARE
    policy record;
    step interval;
    period timestamptz;
    next_period timestamptz;
    since timestamptz;
    present record;
    made int := 0;
BEGIN
    PERFORM playevent.check_not_null(ahead IS NULL, 'ahead'::text);
    policy := playevent.lock_partitions(event);
    IF policy.partition_by IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('partitions of table "%s" are made by others than playevent', (SELECT relname FROM pg_class WHERE oid = event)),
            HINT = 'To have them made by playevent, drop trigger playevent_partition, and call playevent.attach_log with partition_by.';
    END IF;
    step := '1 ' || policy.partition_by;
    IF NOT isfinite(ahead) OR now() + ahead > now() + 1000 * step THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "ahead" is %L', ahead),
            DETAIL = 'That would be more than 1000 partitions.',
            HINT = 'Some months are enough, if playevent.maintain is called regularly.';
    END IF;

    period := date_trunc(policy.partition_by, now());
    WHILE period <= now() + ahead LOOP
        next_period := period + step;
        since := period;
        FOR present IN
            SELECT p.since, p.until FROM playevent.partitions(event) p
             WHERE p.since < next_period AND p.until > period
            UNION ALL SELECT next_period, next_period
             ORDER BY 1
        LOOP
            IF since < present.since THEN
                PERFORM playevent.make_partition(event,
                    playevent.partition_name(event, '_p' || to_char(since,
                        CASE WHEN since <> period OR present.since <> next_period THEN 'YYYYMMDDHH24MI'
                             ELSE CASE policy.partition_by WHEN 'year' THEN 'YYYY' WHEN 'month' THEN 'YYYYMM' ELSE 'YYYYMMDD' END END)),
                    quote_literal(since), quote_literal(present.since));
                made := made + 1;
            END IF;
            since := greatest(since, present.until);
        END LOOP;
        period := next_period;
    END LOOP;
    RETURN made;
END
$$;

COMMENT ON FUNCTION playevent.extend_as_owner(regclass, interval) IS
'internal: extend, acting as the log''s owner';
