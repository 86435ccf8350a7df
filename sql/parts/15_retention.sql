--
-- The life of a log that is partitioned by time: partitions are sealed, then retired;
-- a manifest tells what they held, and totals stay.
--

-- The column that digests leave out, beside those of sketches: what tells listeners
-- apart may be emptied later.
CREATE FUNCTION playevent.digested_columns(event regclass) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(a.attname::text ORDER BY a.attnum)
      FROM pg_attribute a
     WHERE a.attrelid = event AND a.attnum > 0 AND NOT a.attisdropped
       AND a.attname IS DISTINCT FROM (SELECT p.listener_column FROM playevent.policy(event) p)
       AND NOT EXISTS (
           SELECT FROM playevent.counter k
            WHERE k.event = digested_columns.event AND k.listener_column = a.attname)
$$;

COMMENT ON FUNCTION playevent.digested_columns(regclass) IS
'internal: the columns of a log that its manifest''s digests are of';

-- What a manifest calls a counter, whose tables may be renamed: what it counts by.
CREATE FUNCTION playevent.counted_by(columns name[], listener_column name) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN pg_catalog.array_to_string(columns, ', ') || coalesce(', distinct ' || listener_column, '');

COMMENT ON FUNCTION playevent.counted_by(name[], name) IS
'internal: what a counter counts by, as manifests have it';

CREATE FUNCTION playevent.digest(rel regclass, other regclass, query text, in_order boolean, OUT n bigint, OUT digest bytea)
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_digest';

COMMENT ON FUNCTION playevent.digest(regclass, regclass, text, boolean) IS
'internal: in a function that acts as a log''s owner, the number and the digest of the rows that a query on one or two tables returns';

CREATE FUNCTION playevent.add_digests(a bytea, b bytea) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'playevent_add_digests';

COMMENT ON FUNCTION playevent.add_digests(bytea, bytea) IS
'internal: the sum of two digests';

CREATE AGGREGATE playevent.sum_digests(bytea) (
    SFUNC = playevent.add_digests, STYPE = bytea,
    INITCOND = '\x0000000000000000000000000000000000000000000000000000000000000000');

COMMENT ON AGGREGATE playevent.sum_digests(bytea) IS
'internal: the sum of digests';

CREATE FUNCTION playevent.read_own(rel regclass, other regclass, query text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_read_own';

COMMENT ON FUNCTION playevent.read_own(regclass, regclass, text) IS
'internal: in a function that acts as a log''s owner, a query on one or two tables of his';

CREATE FUNCTION playevent.write_guarded(rel regclass, others regclass[], query text) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_write_guarded';

COMMENT ON FUNCTION playevent.write_guarded(regclass, regclass[], text) IS
'internal: in a function that acts as a log''s owner, writes to one of its guarded tables';

CREATE FUNCTION playevent.counted_rows(event regclass, slot regclass, rows regclass, filter text, OUT query text, OUT sum text)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_counted_rows';

COMMENT ON FUNCTION playevent.counted_rows(regclass, regclass, regclass, text) IS
'internal: the query for what a partition has of each key of a counter';

CREATE FUNCTION playevent.take_off(event regclass, slot regclass, part regclass, day date) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_take_off';

COMMENT ON FUNCTION playevent.take_off(regclass, regclass, regclass, date) IS
'internal: takes a partition off a counter, and returns of how many keys';

CREATE FUNCTION playevent.let_go(part regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_let_go';

COMMENT ON FUNCTION playevent.let_go(regclass) IS
'internal: lets a partition leave its log in this transaction';

-- What the manifest of a log looks like.
CREATE FUNCTION playevent.manifest_columns() RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'entry bigint, action text, part text, since timestamp with time zone, until timestamp with time zone, n bigint, id_column text, first_id bigint, last_id bigint, columns text[], digest bytea, counters jsonb, retired jsonb, reason text, noted_at timestamp with time zone, noted_by name, previous bytea, hash bytea';

COMMENT ON FUNCTION playevent.manifest_columns() IS
'internal: the columns of manifests';

-- Makes what a log that is partitioned by time has beside others: its policy, its
-- manifest, and what knows event_ids.
CREATE FUNCTION playevent.arm_retention(wanted playevent.log, shape playevent.log_shape, partition_column name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema name := playevent.schema_of(wanted.event);
    name text := shape.log || '_manifest';
    manifest regclass := playevent.manifest(wanted.event);
    declared text := playevent.manifest_columns();
    is_new boolean := true;
    part record;
BEGIN
    manifest := coalesce(manifest, to_regclass(format('%I.%I', schema, name)));
    IF manifest IS NULL THEN
        EXECUTE format('CREATE TABLE %I.%I (%s, PRIMARY KEY (entry))', schema, name, declared);
        manifest := format('%I.%I', schema, name)::regclass;
    ELSE
        is_new := false;
        PERFORM playevent.check_guarded(wanted.event, manifest, declared);
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', manifest,
        format('what partitions of %s held when they were sealed, and when they were retired', wanted.event));
    PERFORM playevent.guard_table(manifest, ARRAY[playevent.reference(wanted.event, schema), 'manifest']);

    PERFORM playevent.set_trigger(wanted.event, 'playevent_partition'::name,
        'BEFORE INSERT'::text, 'STATEMENT'::text, NULL::text, 'partition'::text,
        ARRAY[partition_column, coalesce(wanted.partition_by, ''), coalesce(wanted.retain, ''),
              coalesce(shape.id_column, ''), coalesce(shape.listener_column, '')]);

    -- Partitions that were sealed before the extension was dropped are so still.
    IF is_new THEN
        RETURN;
    END IF;
    FOR part IN
        SELECT p.part, n.hash
          FROM playevent.read_own(manifest, manifest, format(
              'SELECT DISTINCT ON (since, until) since, until, hash FROM ONLY %s WHERE action = ''seal'' ORDER BY since, until, entry DESC', manifest))
              AS n(since timestamptz, until timestamptz, hash bytea)
          JOIN playevent.partitions(wanted.event) p ON (p.since, p.until) = (n.since, n.until)
         WHERE NOT p.is_sealed
    LOOP
        PERFORM playevent.set_trigger(part.part, 'playevent_sealed'::name, 'BEFORE INSERT'::text, 'ROW'::text, NULL::text,
            'sealed'::text, ARRAY[encode(part.hash, 'hex')]);
    END LOOP;
    PERFORM playevent.set_trigger(p.part, 'playevent_sealed'::name, 'BEFORE INSERT'::text, 'ROW'::text, NULL::text,
                'sealed'::text, '{}'::text[])
       FROM playevent.partitions(wanted.event) p
      WHERE p.since = '-infinity' AND NOT p.is_sealed AND p.until = (
          SELECT t.until FROM playevent.read_own(manifest, manifest, format(
              'SELECT max(until) FROM ONLY %s WHERE action = ''retire''', manifest)) AS t(until timestamptz));
END
$$;

COMMENT ON FUNCTION playevent.arm_retention(playevent.log, playevent.log_shape, name) IS
'internal: makes the manifest of a log that is partitioned by time, and the trigger that has its policy';

-- Appends an entry to a log's manifest, and returns its hash, which is of all its
-- other columns, of which one is the hash of the entry before.
CREATE FUNCTION playevent.note(
    event regclass, action text, part name DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
    n bigint DEFAULT NULL, id_column name DEFAULT NULL, first_id bigint DEFAULT NULL, last_id bigint DEFAULT NULL,
    columns text[] DEFAULT NULL, digest bytea DEFAULT NULL, counters jsonb DEFAULT NULL, retired jsonb DEFAULT NULL,
    reason text DEFAULT NULL)
RETURNS bytea
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET bytea_output = 'hex'
AS $$
DECLARE
    manifest regclass := playevent.manifest(event);
    last record;
BEGIN
    IF manifest IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" has no manifest', (SELECT relname FROM pg_class WHERE oid = event)),
            HINT = format('Call playevent.attach_log for table "%s" again, which makes one.', (SELECT relname FROM pg_class WHERE oid = event));
    END IF;
    SELECT * INTO last
      FROM playevent.read_own(manifest, manifest,
          format('SELECT entry, hash FROM ONLY %s ORDER BY entry DESC LIMIT 1', manifest)) AS t(entry bigint, hash bytea);
    PERFORM playevent.write_guarded(manifest, '{}'::regclass[], format(
        'INSERT INTO %s
         SELECT m.*, sha256(convert_to(to_jsonb(m)::text, ''UTF8''))
           FROM (SELECT %L::bigint AS entry, %L::text AS action, %L::text AS part,
                        %L::timestamptz AS since, %L::timestamptz AS until,
                        %L::bigint AS n, %L::text AS id_column, %L::bigint AS first_id, %L::bigint AS last_id,
                        %L::text[] AS columns, %L::bytea AS digest,
                        %L::jsonb AS counters, %L::jsonb AS retired, %L::text AS reason,
                        %L::timestamptz AS noted_at, %L::name AS noted_by, %L::bytea AS previous) AS m',
        manifest, coalesce(last.entry, 0) + 1, action, part, since, until,
        n, id_column, first_id, last_id, columns, digest, counters, retired, reason,
        clock_timestamp(), session_user, last.hash));
    RETURN (SELECT t.hash FROM playevent.read_own(manifest, manifest,
                format('SELECT hash FROM ONLY %s ORDER BY entry DESC LIMIT 1', manifest)) AS t(hash bytea));
END
$$;

COMMENT ON FUNCTION playevent.note(regclass, text, name, timestamptz, timestamptz, bigint, name, bigint, bigint, text[], bytea, jsonb, jsonb, text) IS
'internal: appends an entry to a log''s manifest, and returns its hash';

-- The digest of a table's rows: the SHA-256 of what
--     COPY (SELECT columns FROM rows ORDER BY id) TO STDOUT (FORMAT csv)
-- writes, with the settings here; and how many there are, from which id to which.
CREATE FUNCTION playevent.digest_rows(
    archive regclass, columns text[], id_column name,
    OUT n bigint, OUT first_id bigint, OUT last_id bigint, OUT digest bytea)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $$
DECLARE
    column_list text := (SELECT string_agg(quote_ident(u.c), ', ' ORDER BY u.ord) FROM unnest(columns) WITH ORDINALITY AS u(c, ord));
BEGIN
    SELECT d.n, d.digest INTO n, digest
      FROM playevent.digest(archive, archive, format('SELECT %s FROM %s ORDER BY %s', column_list, archive,
          coalesce(quote_ident(id_column), format('ROW(%s)::text COLLATE "C"', column_list))), true) AS d;
    IF id_column IS NOT NULL THEN
        SELECT t.first_id, t.last_id INTO first_id, last_id
          FROM playevent.read_own(archive, archive, format('SELECT min(%1$I)::bigint, max(%1$I)::bigint FROM %2$s', id_column, archive))
            AS t(first_id bigint, last_id bigint);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.digest_rows(regclass, text[], name) IS
'internal: how many rows a table has, and their digest, as a log''s manifest has them';

-- The digests of what a partition has of each key of each counter; or
-- only of those that others of an earlier time have.  Of sketches there are none, for
-- those can't be added.
CREATE FUNCTION playevent.digest_counts(event regclass, part regclass, earlier jsonb) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $$
DECLARE
    digests jsonb := '{}';
    verdicts regclass := (playevent.verdicts(event)).verdicts;
    counter record;
BEGIN
    FOR counter IN
        SELECT b.counted_by, k.counter_slot
          FROM playevent.counter k
         CROSS JOIN LATERAL playevent.counted_by(k.columns, k.listener_column) AS b(counted_by)
         WHERE k.event = digest_counts.event AND k.listener_column IS NULL
           -- A listener may have been forgotten since.
           AND (earlier IS NULL OR earlier ? b.counted_by
                AND (SELECT p.listener_column IS NULL OR p.listener_column <> ALL (k.columns) FROM playevent.policy(digest_counts.event) p))
    LOOP
        digests := digests || jsonb_build_object(counter.counted_by, encode(
            (playevent.digest(part, coalesce(verdicts, part),
                (playevent.counted_rows(event, counter.counter_slot, part, NULL::text)).query, false)).digest, 'hex'));
    END LOOP;
    RETURN digests;
END
$$;

COMMENT ON FUNCTION playevent.digest_counts(regclass, regclass, jsonb) IS
'internal: the digests of a partition''s counts, by what is counted by';

-- The digests of all that was retired of each counter; less those of
-- sketches, or these alone.
CREATE FUNCTION playevent.digest_retired(event regclass, of_sketches boolean) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $$
DECLARE
    digests jsonb := '{}';
    counter record;
BEGIN
    FOR counter IN
        SELECT playevent.counted_by(k.columns, k.listener_column) AS counted_by,
               k.columns, k.count_column, playevent.retired_table(k.counter_slot) AS retired
          FROM playevent.counter k
         WHERE k.event = digest_retired.event AND (k.listener_column IS NOT NULL) = of_sketches
    LOOP
        IF counter.retired IS NOT NULL THEN
            digests := digests || jsonb_build_object(counter.counted_by, encode(
                (playevent.digest(counter.retired, counter.retired, format('SELECT %s, %I FROM ONLY %s',
                    (SELECT string_agg(quote_ident(u.c), ', ' ORDER BY u.ord) FROM unnest(counter.columns) WITH ORDINALITY AS u(c, ord)),
                    counter.count_column, counter.retired), false)).digest, 'hex'));
        END IF;
    END LOOP;
    RETURN digests;
END
$$;

COMMENT ON FUNCTION playevent.digest_retired(regclass, boolean) IS
'internal: the digests of what was retired, by what was counted by';

-- playevent.seal(event regclass, until timestamptz) returns int
--
-- Seals the partitions of a log that end at or before a moment of the past: none
-- takes a row any more, by whatever way, and the manifest gets an entry for each.
-- Returns how many it sealed.  It reads each one twice, and again for each counter.
--
-- Errors: an argument is null (22004), not a log that is partitioned by time (55000),
-- not its owner (42501), until lies in the future (22023), in a transaction with a
-- snapshot of its own (25001), what is being inserted into a partition does not end
-- within 200 ms (55P03).
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
SET lock_timeout = '200ms'
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
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', part.part);
        rows := playevent.digest_rows(part.part, columns, policy.id_column);
        hash := playevent.note(event, 'seal'::text, part.name, part.since, part.until, rows.n, policy.id_column, rows.first_id, rows.last_id,
            columns, rows.digest, playevent.digest_counts(event, part.part, NULL::jsonb));
        PERFORM playevent.set_trigger(part.part, 'playevent_sealed'::name, 'BEFORE INSERT'::text, 'ROW'::text, NULL::text,
            'sealed'::text, ARRAY[encode(hash, 'hex')]);
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
AS $$
DECLARE
    place regclass := playevent.retired_partition(event);
    part regclass;
BEGIN
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', event);
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
    IF place IS NOT NULL THEN
        PERFORM playevent.let_go(place);
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', event, place);
        EXECUTE format('DROP TABLE %s', place);
    END IF;
    -- No moment is before it, and pg_partman can read it, but not MINVALUE.
    place := playevent.make_partition(event, playevent.partition_name(event, '_retired'), '''-infinity'''::text, quote_literal(until));
    PERFORM playevent.set_trigger(place, 'playevent_sealed'::name, 'BEFORE INSERT'::text, 'ROW'::text, NULL::text,
        'sealed'::text, '{}'::text[]);
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
-- lock that inserts wait for: for 200 ms at most, then it lets them through and tries
-- again, for some ten seconds.
--
-- Errors: those of seal but that about until; a partition before that moment is not
-- sealed, or holds other rows than when it was (55000); the lock could not be had
-- (55P03).
-- Locks: the event table and the slot tables in ShareUpdateExclusiveLock, the
-- partitions in ShareRowExclusiveLock, and at the end event table and partitions in
-- AccessExclusiveLock, to the transaction's end.
CREATE FUNCTION playevent.retire(event regclass, until timestamptz, keep boolean DEFAULT true) RETURNS int
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.retire(regclass, timestamptz, boolean) IS
'takes a log''s sealed partitions that end by a moment out of it, and keeps their counts; returns how many';

CREATE FUNCTION playevent.retire_as_owner(event regclass, until timestamptz, keep boolean) RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '200ms'
AS $$
DECLARE
    parts regclass[];
    last_until timestamptz;
    unsealed name;
    part record;
    rows bigint;
    counter record;
    counted record;
    column_list text;
    verdicts regclass;
BEGIN
    PERFORM playevent.check_not_null(until IS NULL, 'until'::text);
    PERFORM playevent.check_not_null(keep IS NULL, 'keep'::text);
    PERFORM playevent.lock_partitions(event);
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

    FOR part IN
        SELECT p.part, p.since, p.until, c.relname AS name
          FROM playevent.partitions(event) p JOIN pg_class c ON c.oid = p.part
         WHERE p.part = ANY (parts) ORDER BY p.since
    LOOP
        -- It takes no rows; but its owner may have had the trigger disabled.
        EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', part.part);
        rows := playevent.check_sealed(event, part.part, part.name);
        FOR counter IN
            SELECT k.counter, k.columns, k.count_column, k.counter_slot, playevent.retired_table(k.counter_slot) AS retired
              FROM playevent.counter k WHERE k.event = retire_as_owner.event ORDER BY 1
        LOOP
            counted := playevent.counted_rows(event, counter.counter_slot, part.part, NULL::text);
            SELECT string_agg(quote_ident(u.c), ', ' ORDER BY u.ord) INTO column_list
              FROM unnest(counter.columns) WITH ORDINALITY AS u(c, ord);
            PERFORM playevent.write_guarded(counter.retired, ARRAY[part.part, verdicts], format(
                'INSERT INTO %s AS counted (%s, %I) %s ON CONFLICT (%2$s) DO UPDATE SET %3$I = %5$s',
                counter.retired, column_list, counter.count_column, counted.query, counted.sum));
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

-- A sealed partition must have as many rows as when it was sealed.
CREATE FUNCTION playevent.check_sealed(event regclass, part regclass, part_name name) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    manifest regclass := playevent.manifest(event);
    hash text := (SELECT (playevent.trigger_arguments(t.tgargs))[1]
                    FROM playevent.triggers(part) AS t WHERE t.function = 'playevent.sealed'::regproc LIMIT 1);
    sealed bigint;
    present bigint;
BEGIN
    SELECT t.n INTO sealed
      FROM playevent.read_own(manifest, manifest,
          format('SELECT n FROM ONLY %s WHERE action = ''seal'' AND encode(hash, ''hex'') = %L', manifest, hash)) AS t(n bigint);
    SELECT t.n INTO present FROM playevent.read_own(part, part, format('SELECT count(tableoid) FROM %s', part)) AS t(n bigint);
    IF sealed IS DISTINCT FROM present THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('partition "%s" has other rows than when it was sealed', part_name),
            DETAIL = CASE WHEN sealed IS NULL THEN 'The manifest has no entry of when it was sealed.'
                          ELSE format('It has %s, and had %s.', present, sealed) END,
            HINT = format('To seal it as it is now, drop trigger playevent_sealed on table "%s" first.', part_name);
    END IF;
    RETURN present;
END
$$;

COMMENT ON FUNCTION playevent.check_sealed(regclass, regclass, name) IS
'internal: checks that a partition has as many rows as its manifest says, and returns how many';

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
    column_list text;
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
    SELECT k.columns, k.count_column, k.listener_column, playevent.retired_table(k.counter_slot) AS retired INTO made
      FROM playevent.counter k WHERE k.event = derive_retired.event AND k.counter = derive_retired.counter;
    IF playevent.has_rows(made.retired) THEN
        RETURN;
    END IF;
    SELECT k.count_column, playevent.retired_table(k.counter_slot) AS retired INTO source
      FROM playevent.counter k
     WHERE k.event = derive_retired.event AND k.counter <> derive_retired.counter
       AND made.listener_column IS NULL AND k.listener_column IS NULL AND k.columns @> made.columns
       AND playevent.has_rows(playevent.retired_table(k.counter_slot))
     ORDER BY cardinality(k.columns), k.counter LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('what was retired of table "%s" can''t be counted by those columns', (SELECT relname FROM pg_class WHERE oid = event)),
            DETAIL = CASE WHEN made.listener_column IS NULL
                          THEN format('No counter that was there then has all of the columns %s.', array_to_string(made.columns, ', '))
                          ELSE 'Who listened is not known any more.' END,
            HINT = 'Count by columns that another counter has too, or the plays that are there yet in a view of your own.';
    END IF;
    SELECT string_agg(quote_ident(u.c), ', ' ORDER BY u.ord) INTO column_list
      FROM unnest(made.columns) WITH ORDINALITY AS u(c, ord);
    PERFORM playevent.write_guarded(made.retired, ARRAY[source.retired], format(
        'INSERT INTO %s (%s, %I) SELECT %2$s, sum(%4$I)::bigint FROM ONLY %5$s GROUP BY %2$s',
        made.retired, column_list, made.count_column, source.count_column, source.retired));
    PERFORM playevent.note(event, 'derive'::text, counter::name,
        counters => (SELECT jsonb_build_object(b, playevent.digest_retired(event, false) -> b)
                       FROM playevent.counted_by(made.columns, made.listener_column) AS b));
END
$$;

COMMENT ON FUNCTION playevent.derive_retired(regclass, text) IS
'internal: fills in what was retired of a counter, if it has nothing of it';

-- playevent.set_retain(event regclass, retain interval, shorten boolean = false)
--     returns void
--
-- Changes for how long maintain keeps a log's plays before it retires them; for ever,
-- if retain is null.  To keep them for a shorter time than was promised takes
-- shorten => true, and leaves an entry in the manifest.
--
-- Errors: not a log that is partitioned by time (55000), not its owner (42501), a bad
-- retain (22023), a shorter one without shorten (55000); no lock within 200 ms (55P03).
-- Locks: the event table in AccessExclusiveLock, as DROP TRIGGER.
CREATE FUNCTION playevent.set_retain(event regclass, retain interval, shorten boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.set_retain(regclass, interval, boolean) IS
'changes how long a log''s plays are kept before they are retired';

CREATE FUNCTION playevent.set_retain_as_owner(event regclass, retain interval, shorten boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "IntervalStyle" = 'postgres'
SET lock_timeout = '200ms'
AS $$
DECLARE
    policy record;
    shorter boolean;
BEGIN
    PERFORM playevent.check_not_null(shorten IS NULL, 'shorten'::text);
    policy := playevent.lock_partitions(event);
    PERFORM playevent.check_policy('month'::text, '1 day'::interval, retain);
    shorter := playevent.is_shorter(retain, policy.retain::interval);
    IF shorter AND NOT shorten THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" keeps its plays for longer than that', (SELECT relname FROM pg_class WHERE oid = event)),
            DETAIL = format('They are kept %s.', coalesce('for ' || policy.retain, 'for ever')),
            HINT = 'If that is what you want: shorten => true.';
    END IF;
    PERFORM playevent.set_trigger(event, 'playevent_partition'::name,
        'BEFORE INSERT'::text, 'STATEMENT'::text, NULL::text, 'partition'::text,
        ARRAY[policy.created_column, coalesce(policy.partition_by, ''), coalesce(retain::text, ''),
              coalesce(policy.id_column, ''), coalesce(policy.listener_column, '')]::text[]);
    IF shorter THEN
        PERFORM playevent.note(event, 'retain'::text,
            reason => format('kept for %s, and not for %s any more', retain, coalesce(policy.retain, 'ever')));
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.set_retain_as_owner(regclass, interval, boolean) IS
'internal: set_retain, acting as the log''s owner';

-- playevent.maintain(event regclass) returns table(what text, done bigint)
--
-- What a log needs from time to time, in one call for a timer: makes the partitions
-- to come, seals those that ended a day ago, forgets event_ids that are too old to
-- come again, merges spare slots, and retires what is older than the log's retain.
-- Returns what was done, and how often; what a lock could not be had for is put off,
-- and done the next time; what fails is a warning, too, and keeps nothing else from
-- being done.
--
-- Errors: not a log (55000), not its owner (42501), in a transaction with a snapshot
-- of its own (25001).  Locks: those of extend, seal, compact and retire.
CREATE FUNCTION playevent.maintain(event regclass) RETURNS TABLE (what text, done bigint)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.maintain(regclass) IS
'makes a log''s partitions to come, seals and retires old ones, and tidies up; returns what was done';

CREATE FUNCTION playevent.maintain_as_owner(event regclass) RETURNS TABLE (what text, done bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'  -- for months to be the same everywhere
SET lock_timeout = '200ms'
AS $$
DECLARE
    policy record;
    step text;
    left_undone text[] := '{}';
BEGIN
    BEGIN
        PERFORM playevent.check_log(event);
    EXCEPTION WHEN lock_not_available THEN
        what := 'all: put off, for a lock could not be had';
        done := 0;
        RETURN NEXT;
        RETURN;
    END;
    SELECT * INTO policy FROM playevent.policy(event);
    FOREACH step IN ARRAY ARRAY['partitions made', 'partitions sealed', 'event_ids forgotten', 'slots removed', 'partitions retired'] LOOP
        BEGIN
            what := step;
            done := CASE step
                WHEN 'partitions made' THEN
                    CASE WHEN policy.partition_by IS NOT NULL THEN playevent.extend(event) END
                WHEN 'partitions sealed' THEN
                    CASE WHEN policy.created_column IS NOT NULL THEN playevent.seal(event, now() - '1 day'::interval) END
                WHEN 'event_ids forgotten' THEN
                    CASE WHEN policy.created_column IS NOT NULL THEN playevent.forget_event_keys(event, 1000000::bigint) END
                WHEN 'slots removed' THEN playevent.compact(event)
                WHEN 'partitions retired' THEN
                    CASE WHEN policy.retain IS NOT NULL THEN playevent.retire(event, now() - policy.retain::interval, true) END
                END;
            IF done IS NOT NULL THEN
                RETURN NEXT;
            END IF;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                left_undone := left_undone || (step || ': put off, for a lock could not be had');
            WHEN active_sql_transaction OR read_only_sql_transaction THEN
                RAISE;
            WHEN OTHERS THEN
                -- The other steps are not to wait for somebody to see to this one.
                RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = format('%s: %s', step, SQLERRM);
                left_undone := left_undone || format('%s: failed, %s', step, SQLERRM);
        END;
    END LOOP;
    FOREACH step IN ARRAY left_undone LOOP
        what := step;
        done := 0;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.maintain_as_owner(regclass) IS
'internal: maintain, acting as the log''s owner';

-- playevent.verify_archive(event regclass, archive regclass = NULL)
--     returns table(problem text)
--
-- Compares a table, a retired partition that was kept or restored from anywhere,
-- with what the log's manifest says it held; and the manifest with itself, and what
-- was retired of each counter with the manifest; and it sees whether all event_ids are
-- known that are to be.  No row means that all is as it was.
-- Without an archive, it does but the latter, as where none was kept.  Where the log is not at hand, event is its manifest, restored as a table: then
-- counters are not looked at.
--
-- Errors: event is null (22004), neither a log that is partitioned by time nor a
-- manifest (55000), not its owner, or the archive's (42501), a column of the
-- manifest's is no column of the archive that can be read so (42703).
CREATE FUNCTION playevent.verify_archive(event regclass, archive regclass DEFAULT NULL) RETURNS TABLE (problem text)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.verify_archive(regclass, regclass) IS
'what differs between a retired partition and the log''s manifest, and within the manifest; no row means nothing';

-- The manifest that a table has, if it is a log; or is, wherever it came from.
CREATE FUNCTION playevent.find_manifest(INOUT event regclass, OUT manifest regclass)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log regclass := (SELECT min(g.event)::regclass FROM playevent.guard g WHERE g.slot = find_manifest.event AND g.function = 'manifest');
    name name := (SELECT relname FROM pg_class WHERE oid = event);
BEGIN
    event := coalesce(log, event);
    manifest := playevent.manifest(event);
    IF manifest IS NULL AND playevent.manifest_columns() = (
        SELECT string_agg(format('%I %s', a.attname, playevent.declaration(a.atttypid, a.atttypmod, a.attcollation)), ', ' ORDER BY a.attnum)
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
         WHERE a.attrelid = event AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r')
    THEN
        manifest := event;
        event := NULL;
    END IF;
    IF manifest IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is no manifest, and has none', name),
            HINT = 'Name a log that is partitioned by time, or its manifest.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.find_manifest(regclass) IS
'internal: the log and its manifest, of which one is given';

-- What is wrong with a manifest by itself: each entry has the hash of the one before.
CREATE FUNCTION playevent.verify_manifest(manifest regclass) RETURNS SETOF text
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET bytea_output = 'hex'
AS $$
    SELECT p.problem FROM playevent.read_own(manifest, manifest, format(
        'SELECT CASE WHEN m.entry <> m.expected THEN format(''manifest: entry %%s is missing'', m.expected)
                     WHEN m.hash <> m.computed THEN format(''manifest: entry %%s was changed'', m.entry)
                     ELSE format(''manifest: entry %%s does not follow the one before'', m.entry) END
           FROM (SELECT e.entry, e.hash, e.previous,
                        sha256(convert_to((to_jsonb(e) - ''hash'')::text, ''UTF8'')) AS computed,
                        coalesce(lag(e.entry) OVER (ORDER BY e.entry), 0) + 1 AS expected,
                        lag(e.hash) OVER (ORDER BY e.entry) AS hash_before
                   FROM ONLY %s AS e) AS m
          WHERE m.entry <> m.expected OR m.hash <> m.computed OR m.previous IS DISTINCT FROM m.hash_before
          ORDER BY m.entry', manifest)) AS p(problem text)
$$;

COMMENT ON FUNCTION playevent.verify_manifest(regclass) IS
'internal: what is wrong with a manifest by itself';

-- What is wrong with a log beside its manifest: with what was retired of its
-- counters, and with partitions that are sealed.
CREATE FUNCTION playevent.verify_retired(event regclass, manifest regclass) RETURNS SETOF text
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    -- All that has moved since a counter was there
    SELECT format('counter by %s: what was retired is not what the manifest says', n.key)
      FROM jsonb_each_text(playevent.digest_retired(event, false)) AS n
     WHERE n.value <> (
         SELECT encode(playevent.sum_digests(decode(m.counters ->> n.key, 'hex')), 'hex')
           FROM playevent.read_own(manifest, manifest, format(
               'SELECT counters FROM ONLY %1$s AS m
                 WHERE action IN (''retire'', ''derive'') AND counters ? %2$L
                   AND entry >= coalesce((SELECT max(d.entry) FROM ONLY %1$s AS d WHERE d.action = ''derive'' AND d.counters ? %2$L), 0)',
               manifest, n.key)) AS m(counters jsonb))
     UNION ALL
    -- Sketches as they were last
    SELECT format('counter by %s: what was retired is not what the manifest says', n.key)
      FROM jsonb_each_text(playevent.digest_retired(event, true)) AS n
      LEFT JOIN LATERAL playevent.read_own(manifest, manifest, format(
         'SELECT retired ->> %2$L FROM ONLY %1$s WHERE retired ? %2$L ORDER BY entry DESC LIMIT 1', manifest, n.key))
         AS m(digest text) ON true
     WHERE n.value <> coalesce(m.digest, repeat('0', 64))
     ORDER BY 1
$$;

COMMENT ON FUNCTION playevent.verify_retired(regclass, regclass) IS
'internal: what was retired of a log''s counters and is not what the manifest says';

CREATE FUNCTION playevent.verify_sealed(event regclass, manifest regclass) RETURNS SETOF text
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('manifest: no entry tells of partition %s, which is sealed', c.relname)
      FROM playevent.partitions(event) AS p
      JOIN pg_class c ON c.oid = p.part
     CROSS JOIN LATERAL (
         SELECT (playevent.trigger_arguments(t.tgargs))[1] AS hash
           FROM playevent.triggers(p.part) AS t WHERE t.function = 'playevent.sealed'::regproc LIMIT 1) AS s
     WHERE p.part IS DISTINCT FROM playevent.retired_partition(event) AND s.hash <> ALL (ARRAY(
         SELECT encode(m.hash, 'hex')
           FROM playevent.read_own(manifest, manifest,
               format('SELECT hash FROM ONLY %s WHERE action = ''seal''', manifest)) AS m(hash bytea)))
     ORDER BY p.since
$$;

COMMENT ON FUNCTION playevent.verify_sealed(regclass, regclass) IS
'internal: sealed partitions of a log that its manifest does not know';

-- Event_ids that are to be known and are not, as where a dump has left them out.  What
-- is a time without zone may be of any.
CREATE FUNCTION playevent.verify_event_keys(event regclass) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys record;
BEGIN
    SELECT playevent.named_table(a.args[1], c.relnamespace)::regclass AS rel, a.args INTO keys
      FROM playevent.triggers(event) AS t
     CROSS JOIN LATERAL (VALUES (playevent.trigger_arguments(t.tgargs))) AS a(args)
      JOIN pg_class c ON c.oid = event
     WHERE t.function = 'playevent.dedupe'::regproc LIMIT 1;
    IF keys.rel IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT format('event_ids of %s plays are not known any more: sent again, they would be recorded again', t.n)
      FROM playevent.read_own(event, keys.rel, format(
          'SELECT count(*) FROM %s AS e
            WHERE e.%I IS NOT NULL AND e.%I >= now() - %L::interval + CASE WHEN pg_typeof(e.%3$I) = ''timestamp''::regtype THEN ''1 day'' ELSE ''0'' END::interval
              AND NOT EXISTS (SELECT FROM ONLY %5$s AS k WHERE k.%2$I = e.%2$I)',
          event, keys.args[2], keys.args[4], keys.args[5], keys.rel)) AS t(n bigint)
     WHERE t.n > 0;
END
$$;

COMMENT ON FUNCTION playevent.verify_event_keys(regclass) IS
'internal: how many event_ids of a log are not known any more, if any';

CREATE FUNCTION playevent.verify_archive_as_owner(event regclass, archive regclass) RETURNS TABLE (problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log regclass;
    manifest regclass;
    name name;
    missing text;
    sealed record;
    rows record;
    moved jsonb;
    counts jsonb;
    hash text;
BEGIN
    SELECT f.event, f.manifest INTO log, manifest FROM playevent.find_manifest(event) AS f;

    RETURN QUERY SELECT * FROM playevent.verify_manifest(manifest);
    IF log IS NOT NULL THEN
        RETURN QUERY SELECT * FROM playevent.verify_sealed(log, manifest);
        RETURN QUERY SELECT * FROM playevent.verify_retired(log, manifest);
        RETURN QUERY SELECT * FROM playevent.verify_event_keys(log);
    END IF;
    IF archive IS NULL THEN
        RETURN;
    END IF;

    PERFORM playevent.check_table(archive, 'archive'::text);
    SELECT relname INTO name FROM pg_class WHERE oid = archive;
    hash := (SELECT (playevent.trigger_arguments(t.tgargs))[1]
               FROM playevent.triggers(archive) AS t WHERE t.function = 'playevent.sealed'::regproc LIMIT 1);
    SELECT * INTO sealed
      FROM playevent.read_own(manifest, manifest, format(
          'SELECT entry, part, n, id_column, first_id, last_id, columns, digest, counters FROM ONLY %s
            WHERE action = ''seal'' AND (encode(hash, ''hex'') = %L OR part = %L)
            ORDER BY encode(hash, ''hex'') = %2$L DESC NULLS LAST, entry DESC LIMIT 1', manifest, hash, name))
        AS t(entry bigint, part text, n bigint, id_column text, first_id bigint, last_id bigint, columns text[], digest bytea, counters jsonb);
    IF sealed.entry IS NULL THEN
        problem := format('manifest: no entry tells of table %s', name);
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT string_agg(u.c, ', ' ORDER BY u.ord) INTO missing
      FROM unnest(sealed.columns || sealed.id_column) WITH ORDINALITY AS u(c, ord)
     WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = archive AND a.attname = u.c AND a.attnum > 0);
    IF missing IS NOT NULL THEN
        problem := format('table %s lacks columns %s', name, missing);
        RETURN NEXT;
        RETURN;
    END IF;

    rows := playevent.digest_rows(archive, sealed.columns, sealed.id_column::name);
    IF rows.n <> sealed.n THEN
        problem := format('table %s has %s rows, and had %s', name, rows.n, sealed.n);
        RETURN NEXT;
    END IF;
    IF rows.first_id IS DISTINCT FROM sealed.first_id OR rows.last_id IS DISTINCT FROM sealed.last_id THEN
        problem := format('table %s has ids from %s to %s, and had those from %s to %s', name,
            rows.first_id, rows.last_id, sealed.first_id, sealed.last_id);
        RETURN NEXT;
    END IF;
    IF rows.digest <> sealed.digest THEN
        problem := format('table %s: its rows are not those that entry %s of the manifest tells of', name, sealed.entry);
        RETURN NEXT;
    END IF;
    -- Verdicts may come until it is retired; so what moved is what counts.
    SELECT t.counters INTO moved
      FROM playevent.read_own(manifest, manifest, format(
          'SELECT counters FROM ONLY %s WHERE action = ''retire'' AND part = %L AND entry > %s ORDER BY entry LIMIT 1',
          manifest, sealed.part, sealed.entry)) AS t(counters jsonb);
    IF log IS NOT NULL AND moved IS NOT NULL THEN
        counts := playevent.digest_counts(log, archive, moved);
        RETURN QUERY SELECT format('table %s: its counts by %s are not those that it had', name, c.key)
          FROM jsonb_each_text(moved) AS c
         WHERE counts ->> c.key <> c.value
         ORDER BY c.key COLLATE "C";
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.verify_archive_as_owner(regclass, regclass) IS
'internal: verify_archive, acting as the log''s owner';
