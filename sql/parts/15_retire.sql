--
-- Partitions are sealed, then retired; and totals stay.
--

-- playevent.seal(event regclass, until timestamptz) returns int
--
-- Seals the partitions of a log that end at or before a moment of the past: none
-- takes a row any more, by whatever way, and the manifest gets an entry for each.
-- Returns how many it sealed.  It reads each one twice, and again for each counter.
--
-- Errors: an argument is null (22004), not a log that is partitioned by time (55000),
-- not its owner (42501), until lies in the future (22023), in a transaction with a
-- snapshot of its own (25001), what is being inserted into a partition, or a VACUUM of
-- it, does not end within 5 seconds (55P03).
-- Locks: the event table in ShareUpdateExclusiveLock, the partitions in
-- ShareRowExclusiveLock, to the transaction's end.
CREATE FUNCTION playevent.seal(event regclass, until timestamptz) RETURNS int
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.seal(regclass, timestamptz) IS
'closes a log''s partitions that end by a moment: they take no rows any more, and the manifest tells what they hold; returns how many';

CREATE FUNCTION playevent.seal_as_owner(event regclass, until timestamptz) RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET lock_timeout = '5s'  -- which makes an autovacuum of the table give way; no insert waits
AS $$
DECLARE
    part record;
    rows record;
    hash bytea;
    sealed int := 0;
    columns text[];
    policy record;
BEGIN
    PERFORM playevent.check_not_null(until IS NULL, 'until'::text);
    policy := playevent.lock_partitions(event);
    columns := playevent.digested_columns(event);
    IF until > now() THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "until" is %s, which is yet to come', until),
            HINT = 'Plays are still recorded in the partition that it belongs to.';
    END IF;
    FOR part IN
        SELECT p.part, p.since, p.until, c.relname AS name
          FROM playevent.partitions(event) p JOIN pg_class c ON c.oid = p.part
         WHERE NOT p.is_sealed AND p.until <= seal_as_owner.until
    LOOP
        -- From here on nobody inserts into it, and whoever did has committed.
        PERFORM playevent.lock_table(part.part, 'SHARE ROW EXCLUSIVE'::text, true);
        rows := playevent.digest_rows(part.part, columns, policy.id_column);
        hash := playevent.note(event, 'seal'::text, part.name, part.since, part.until, rows.n, policy.id_column, rows.first_id, rows.last_id,
            columns, rows.digest, playevent.digest_counts(event, part.part, NULL::jsonb));
        PERFORM playevent.close_partition(part.part, hash);
        sealed := sealed + 1;
    END LOOP;
    RETURN sealed;
END
$$;

COMMENT ON FUNCTION playevent.seal_as_owner(regclass, timestamptz) IS
'internal: seal, acting as the log''s owner';

-- Of what was retired, an empty, sealed partition keeps the place, so that no row and
-- no partition gets there.  Its seal names no entry of the manifest; that of a
-- partition with rows does, which may begin with all time, too.
CREATE FUNCTION playevent.retired_partition(event regclass) RETURNS regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.part FROM playevent.partitions(event) p
     WHERE p.since = '-infinity' AND EXISTS (
         SELECT FROM playevent.triggers(p.part) AS t
          WHERE t.function = 'playevent.sealed'::regproc AND cardinality(playevent.trigger_arguments(t.tgargs)) = 0)
$$;

COMMENT ON FUNCTION playevent.retired_partition(regclass) IS
'internal: the partition that is there in place of those that were retired, or null';

-- The last step of retire, which others wait for: partitions leave the log.
CREATE FUNCTION playevent.detach_retired(event regclass, parts regclass[], until timestamptz, keep boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET lock_timeout = '200ms'
AS $$
DECLARE
    place regclass := playevent.retired_partition(event);
    part regclass;
BEGIN
    PERFORM playevent.lock_table(event, 'ACCESS EXCLUSIVE'::text, false);
    FOREACH part IN ARRAY parts LOOP
        PERFORM playevent.let_go(part);
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', event, part);
        IF keep THEN
            PERFORM playevent.set_trigger(part, 'playevent_append_only'::name,
                'BEFORE UPDATE OR DELETE'::text, 'ROW'::text, NULL::text, 'append_only'::text, '{}'::text[]);
            PERFORM playevent.refuse_truncate(t.rel)
               FROM (SELECT part UNION SELECT relid FROM pg_partition_tree(part)) AS t(rel);
        ELSE
            EXECUTE format('DROP TABLE %s', part);
        END IF;
    END LOOP;
    -- A view on it needs no right of anybody's, and is of no use.
    IF place IS NOT NULL THEN
        PERFORM playevent.let_go(place);
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', event, place);
        EXECUTE format('DROP TABLE %s CASCADE', place);
    END IF;
    -- No moment is before it, and pg_partman can read it, but not MINVALUE.
    place := playevent.make_partition(event, playevent.partition_name(event, '_retired'), '''-infinity'''::text, quote_literal(until));
    PERFORM playevent.close_partition(place, NULL::bytea);
END
$$;

COMMENT ON FUNCTION playevent.detach_retired(regclass, regclass[], timestamptz, boolean) IS
'internal: takes partitions whose counts have moved out of a log';

-- playevent.retire(event regclass, until timestamptz, keep boolean = true)
--     returns int
--
-- Takes the sealed partitions that end at or before a moment out of a log.  Their
-- counts stay: they move from the slots, which inserts add to, to a table beside
-- them, which the views add up too.  With keep, a partition becomes a table of its
-- own, which stays as it is and can be exported or dropped; else it is dropped.
-- Returns how many partitions it retired: all of them, or, after an error, none.
--
-- It counts first, which stops nobody.  Partitions leave at the end, which takes a
-- lock that inserts wait for.  It waits for that for 200 ms at most, then it lets them
-- through and tries again, for some ten seconds.  Once it has the lock, it keeps it until
-- the transaction ends.
--
-- Errors: those of seal but that about until; a partition before that moment is not
-- sealed, or holds other rows than when it was, or somebody else's table refers to
-- the log (55000); the lock could not be had (55P03).
-- Locks: the event table and the slot tables in ShareUpdateExclusiveLock, the event
-- table as an object, by which it and void take turns, the partitions in
-- ShareRowExclusiveLock, and at the end event table and partitions in
-- AccessExclusiveLock, to the transaction's end.
CREATE FUNCTION playevent.retire(event regclass, until timestamptz, keep boolean DEFAULT true) RETURNS int
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.retire(regclass, timestamptz, boolean) IS
'takes a log''s sealed partitions that end by a moment out of it, and keeps their counts; returns how many';

CREATE FUNCTION playevent.retire_as_owner(event regclass, until timestamptz, keep boolean) RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET lock_timeout = '5s'  -- which makes an autovacuum of the table give way; no insert waits
AS $$
DECLARE
    parts regclass[];
    last_until timestamptz;
    unsealed name;
    part record;
    rows bigint;
    counter record;
    counted record;
    verdicts regclass;
    foreign_key record;
BEGIN
    PERFORM playevent.check_not_null(until IS NULL, 'until'::text);
    PERFORM playevent.check_not_null(keep IS NULL, 'keep'::text);
    PERFORM playevent.lock_partitions(event);
    PERFORM playevent.take_turn(event);
    verdicts := playevent.lock_verdicts(event);
    SELECT c.relname INTO unsealed
      FROM playevent.partitions(event) p JOIN pg_class c ON c.oid = p.part
     WHERE NOT p.is_sealed AND p.until <= retire_as_owner.until LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('partition "%s" of table "%s" is not sealed', unsealed, (SELECT relname FROM pg_class WHERE oid = event)),
            HINT = format('Seal it first: SELECT playevent.seal(%L, %L);', event, until);
    END IF;
    SELECT array_agg(p.part ORDER BY p.since), max(p.until) INTO parts, last_until
      FROM playevent.partitions(event) p
     WHERE p.is_sealed AND p.until <= retire_as_owner.until AND p.part IS DISTINCT FROM playevent.retired_partition(event);
    IF parts IS NULL THEN
        RETURN 0;
    END IF;
    -- Of a counter that isn't known now, what is retired would be lost later.
    IF NOT coalesce((SELECT l.intact FROM playevent.log l WHERE l.event = retire_as_owner.event), false) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('log "%s" is not intact', (SELECT relname FROM pg_class WHERE oid = event)),
            DETAIL = 'Counts of what is retired could be lost.',
            HINT = 'Call playevent.attach_log for it again, which mends it.';
    END IF;

    -- DETACH would read them, and so run what their owners have put into indexes.
    SELECT c.conname, r.relname INTO foreign_key
      FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_class log ON log.oid = c.confrelid
      JOIN pg_roles o ON o.oid = r.relowner
     WHERE c.confrelid = event AND c.contype = 'f' AND r.relowner <> log.relowner AND NOT o.rolsuper
     ORDER BY 2, 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s", which is somebody else''s, refers to table "%s"', foreign_key.relname,
                (SELECT relname FROM pg_class WHERE oid = event)),
            DETAIL = format('By constraint "%s", rows that it refers to could not leave.', foreign_key.conname),
            HINT = 'Have the constraint dropped, and revoke the right REFERENCES.';
    END IF;

    FOR part IN
        SELECT p.part, p.since, p.until, c.relname AS name
          FROM playevent.partitions(event) p JOIN pg_class c ON c.oid = p.part
         WHERE p.part = ANY (parts) ORDER BY p.since
    LOOP
        -- It takes no rows; but its owner may have had the trigger disabled.
        PERFORM playevent.lock_table(part.part, 'SHARE ROW EXCLUSIVE'::text, true);
        rows := playevent.check_sealed(event, part.part, part.name);
        FOR counter IN
            SELECT k.counter, k.columns, k.count_column, k.counter_slot, playevent.retired_table(k.counter_slot) AS retired
              FROM playevent.counter k WHERE k.event = retire_as_owner.event ORDER BY 1
        LOOP
            counted := playevent.counted_rows(event, counter.counter_slot, part.part, NULL::text);
            PERFORM playevent.write_guarded(counter.retired, array_remove(ARRAY[part.part, verdicts], NULL), format(
                'INSERT INTO %s AS counted (%s, %I) %s ON CONFLICT (%2$s) DO UPDATE SET %3$I = %5$s',
                counter.retired, playevent.identifiers(counter.columns::text[]), counter.count_column, counted.query, counted.sum));
            PERFORM playevent.take_off(event, counter.counter_slot, part.part, (part.until AT TIME ZONE 'UTC')::date);
        END LOOP;
        PERFORM playevent.note(event, 'retire'::text, part.name, part.since, part.until, rows,
            counters => playevent.digest_counts(event, part.part, NULL::jsonb),
            retired => CASE WHEN part.part = parts[cardinality(parts)] THEN nullif(playevent.digest_retired(event, true), '{}') END,
            reason => CASE WHEN keep THEN 'kept' ELSE 'dropped' END);
    END LOOP;

    FOR attempt IN 1..40 LOOP
        BEGIN
            PERFORM playevent.detach_retired(event, parts, last_until, keep);
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 40 THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'lock_not_available',
                    MESSAGE = format('table "%s" was in use all the time', (SELECT relname FROM pg_class WHERE oid = event)),
                    DETAIL = 'To take a partition out of it, nobody else must be reading it or inserting into it for a moment.',
                    HINT = 'Try again when no long transaction is using it.';
            END IF;
            PERFORM pg_sleep(0.05);
        END;
    END LOOP;
    RETURN cardinality(parts);
END
$$;

COMMENT ON FUNCTION playevent.retire_as_owner(regclass, timestamptz, boolean) IS
'internal: retire, acting as the log''s owner';

-- A sealed partition must have the rows that it had when it was sealed; as many, if the
-- manifest tells of columns that were renamed or dropped since.  Returns how many.
CREATE FUNCTION playevent.check_sealed(event regclass, part regclass, part_name name) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    manifest regclass := playevent.manifest(event);
    sealed record;
    present bigint;
    problem text;
BEGIN
    SELECT * INTO sealed
      FROM playevent.read_own(manifest, manifest, format(
          'SELECT entry, n, columns || id_column FROM ONLY %s WHERE action = ''seal'' AND encode(hash, ''hex'') = %L',
          manifest, playevent.seal_of(part))) AS t(entry bigint, n bigint, columns text[]);
    IF sealed.entry IS NULL THEN
        problem := 'the manifest has no entry of when it was sealed';
    ELSIF playevent.lacking(part, sealed.columns) IS NULL THEN
        SELECT string_agg(v.problem, '; ') INTO problem FROM playevent.verify_rows(part, manifest, sealed.entry) AS v(problem);
    ELSE
        SELECT t.n INTO present FROM playevent.read_own(part, part, format('SELECT count(tableoid) FROM %s', part)) AS t(n bigint);
        IF present <> sealed.n THEN
            problem := format('table %s has %s rows, and had %s', part_name, present, sealed.n);
        END IF;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('partition "%s" has other rows than when it was sealed', part_name),
            DETAIL = upper(left(problem, 1)) || substr(problem, 2) || '.',
            HINT = format('To seal it as it is now, drop trigger playevent_sealed on table "%s" first.', part_name);
    END IF;
    RETURN sealed.n;
END
$$;

COMMENT ON FUNCTION playevent.check_sealed(regclass, regclass, name) IS
'internal: checks that a partition has the rows that its manifest tells of, and returns how many';

-- Has a table any row?
CREATE FUNCTION playevent.has_rows(rel regclass) RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM playevent.read_own(rel, rel, format('SELECT 1 FROM ONLY %s LIMIT 1', rel)) AS t(one int))
$$;

COMMENT ON FUNCTION playevent.has_rows(regclass) IS
'internal: in a function that acts as a log''s owner, has a table of his any row';

-- A counter gets what was retired before it was there, or what was lost of it, from
-- another that tells.
CREATE FUNCTION playevent.derive_retired(event regclass, counter text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    manifest regclass := playevent.manifest(event);
    made record;
    source record;
BEGIN
    -- Where all rows were voided, nothing was counted, whose digest is zero.
    IF manifest IS NULL OR NOT EXISTS (
        SELECT FROM playevent.read_own(manifest, manifest, format(
            'SELECT entry FROM ONLY %s
              WHERE action = ''retire'' AND n > 0
                AND (counters = ''{}'' OR EXISTS (SELECT FROM jsonb_each_text(counters) AS c WHERE c.value <> repeat(''0'', 64))) LIMIT 1',
            manifest)) AS t(entry bigint))
    THEN
        RETURN;
    END IF;
    SELECT k.columns, k.count_column, k.listener_column, k.amount_column, playevent.retired_table(k.counter_slot) AS retired INTO made
      FROM playevent.counter k WHERE k.event = derive_retired.event AND k.counter = derive_retired.counter;
    IF playevent.has_rows(made.retired) THEN
        RETURN;
    END IF;
    SELECT k.count_column, playevent.retired_table(k.counter_slot) AS retired INTO source
      FROM playevent.counter k
     WHERE k.event = derive_retired.event AND k.counter <> derive_retired.counter
       AND made.listener_column IS NULL AND k.listener_column IS NULL
       AND k.amount_column IS NOT DISTINCT FROM made.amount_column AND k.columns @> made.columns
       AND playevent.has_rows(playevent.retired_table(k.counter_slot))
     ORDER BY cardinality(k.columns), k.counter LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('what was retired of table "%s" can''t be counted by those columns', (SELECT relname FROM pg_class WHERE oid = event)),
            DETAIL = CASE WHEN made.listener_column IS NOT NULL THEN 'Who listened is not known any more.'
                          ELSE format('No counter that was there then has all of the columns %s%s.', array_to_string(made.columns, ', '),
                              coalesce(', and sums "' || made.amount_column || '"', '')) END,
            HINT = 'Count by columns that another counter has too, or the plays that are there yet in a view of your own.';
    END IF;
    PERFORM playevent.write_guarded(made.retired, ARRAY[source.retired], format(
        'INSERT INTO %s (%s, %I) SELECT %2$s, sum(%4$I)::bigint FROM ONLY %5$s GROUP BY %2$s',
        made.retired, playevent.identifiers(made.columns::text[]), made.count_column, source.count_column, source.retired));
    PERFORM playevent.note(event, 'derive'::text, counter::name,
        counters => (SELECT jsonb_build_object(b, playevent.digest_retired(event, false) -> b)
                       FROM playevent.counted_by(made.columns, made.listener_column, made.amount_column) AS b));
END
$$;

COMMENT ON FUNCTION playevent.derive_retired(regclass, text) IS
'internal: fills in what was retired of a counter, if it has nothing of it';
