--
-- The manifest of a log that is partitioned by time: what partitions held when they
-- were sealed and retired, and the digests of it.
--

-- The columns that a table generates from one.
CREATE FUNCTION playevent.generated_from(rel regclass, col name) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT made.attname::text
          FROM pg_attribute a
          JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
           AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
          JOIN pg_attrdef e ON e.oid = d.objid AND e.adrelid = a.attrelid AND e.adnum <> a.attnum
          JOIN pg_attribute made ON made.attrelid = e.adrelid AND made.attnum = e.adnum
         WHERE a.attrelid = rel AND a.attname = col)
$$;

COMMENT ON FUNCTION playevent.generated_from(regclass, name) IS
'internal: the columns of a table that are generated from one';

-- Digests leave out what tells listeners apart, by which there are sketches, too, and
-- what is generated from it: it may be emptied later.
CREATE FUNCTION playevent.digested_columns(event regclass) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH listener(col) AS (
        SELECT p.listener_column FROM playevent.policy(event) p
         UNION SELECT k.listener_column FROM playevent.counter k WHERE k.event = digested_columns.event)
    SELECT array_agg(a.attname::text ORDER BY a.attnum)
      FROM pg_attribute a
     WHERE a.attrelid = event AND a.attnum > 0 AND NOT a.attisdropped
       AND NOT EXISTS (SELECT FROM listener l WHERE a.attname = ANY (l.col::text || playevent.generated_from(event, l.col)))
$$;

COMMENT ON FUNCTION playevent.digested_columns(regclass) IS
'internal: the columns of a log that its manifest''s digests are of';

-- What a manifest calls a counter, whose tables may be renamed: what it counts by, and
-- of which column.
CREATE FUNCTION playevent.counted_by(columns name[], listener_column name, amount_column name) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN pg_catalog.array_to_string(columns, ', ') || coalesce(', distinct ' || listener_column, ', sum of ' || amount_column, '');

COMMENT ON FUNCTION playevent.counted_by(name[], name, name) IS
'internal: what a counter counts by, as manifests have it';

CREATE FUNCTION playevent.digest(rel regclass, other regclass, query text, in_order boolean, OUT n bigint, OUT digest bytea)
LANGUAGE c VOLATILE STRICT
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO, YMD'
SET "IntervalStyle" = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
SET lc_monetary = 'C'
SET quote_all_identifiers = off
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

CREATE FUNCTION playevent.read_own(rel regclass, other regclass, query text, argument text) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_read_own';

COMMENT ON FUNCTION playevent.read_own(regclass, regclass, text, text) IS
'internal: the same, of a query with an argument';

CREATE FUNCTION playevent.write_guarded(rel regclass, others regclass[], query text) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_write_guarded';

COMMENT ON FUNCTION playevent.write_guarded(regclass, regclass[], text) IS
'internal: in a function that acts as a log''s owner, writes to one of its guarded tables';

CREATE FUNCTION playevent.lock_table(rel regclass, lock_mode text, recurse boolean) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_lock_table';

COMMENT ON FUNCTION playevent.lock_table(regclass, text, boolean) IS
'internal: locks a table that the caller owns, whatever its name means by then';

CREATE FUNCTION playevent.take_turn(event regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_take_turn';

COMMENT ON FUNCTION playevent.take_turn(regclass) IS
'internal: waits until it is the caller''s turn to decide about rows of a log that he owns, or to retire them';

CREATE FUNCTION playevent.pin_schema(schema name) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_pin_schema';

COMMENT ON FUNCTION playevent.pin_schema(name) IS
'internal: keeps the name of a schema, in which the caller may create, from becoming another''s until the transaction ends';

CREATE FUNCTION playevent.pin_table(rel regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_pin_table';

COMMENT ON FUNCTION playevent.pin_table(regclass) IS
'internal: keeps the name of a table, which the caller may read or refer to, from becoming another''s until the transaction ends';

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

-- Lets no more rows into a partition.  Its seal is the hash of the entry of its log's
-- manifest; what keeps the place of those that were retired has none.
CREATE FUNCTION playevent.close_partition(part regclass, seal bytea) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT playevent.set_trigger(part, 'playevent_sealed'::name, 'BEFORE INSERT'::text, 'ROW'::text, NULL::text,
        'sealed'::text, array_remove(ARRAY[encode(seal, 'hex')], NULL))
$$;

COMMENT ON FUNCTION playevent.close_partition(regclass, bytea) IS
'internal: lets no more rows into a partition';

-- The seal of a partition, or of a table that was one; null if it has none.
CREATE FUNCTION playevent.seal_of(part regclass) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (playevent.trigger_arguments(t.tgargs))[1]
      FROM playevent.triggers(part) AS t WHERE t.function = 'playevent.sealed'::regproc LIMIT 1
$$;

COMMENT ON FUNCTION playevent.seal_of(regclass) IS
'internal: the hash of the manifest''s entry that a sealed partition names, or null';

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
    PERFORM playevent.guard_table(manifest, ARRAY[playevent.reference(wanted.event, playevent.schema_of(manifest)), 'manifest']);

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
        PERFORM playevent.close_partition(part.part, part.hash);
    END LOOP;
    PERFORM playevent.close_partition(p.part, NULL::bytea)
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
-- writes, with the settings of playevent.digest; how many there are, and from which id
-- to which.
CREATE FUNCTION playevent.digest_rows(
    archive regclass, columns text[], id_column name,
    OUT n bigint, OUT first_id bigint, OUT last_id bigint, OUT digest bytea)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    column_list text := playevent.identifiers(columns);
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

-- The counters whose counts have digests: no sketches, which can't be added.  And equal
-- keys must look the same in each partition, as 1.0 and 1.00 don't, or digests don't add
-- up: where they may not, an operator class has no function "equalimage" (4), or a
-- collation takes other strings for equal (Postgres's documentation, "B-Tree Support
-- Functions"); and a bpchar has as many blanks behind it as its length says, which may change.
CREATE FUNCTION playevent.digested_counters(event regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.counter_slot FROM playevent.counter k
     WHERE k.event = digested_counters.event AND k.listener_column IS NULL
       AND NOT EXISTS (
           SELECT FROM pg_index i
            CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[]) AS part(attnum, opclass, collated)
             JOIN pg_opclass o ON o.oid = part.opclass
             LEFT JOIN pg_amproc image ON image.amprocfamily = o.opcfamily AND image.amproclefttype = o.opcintype
              AND image.amprocrighttype = o.opcintype AND image.amprocnum = 4
             LEFT JOIN pg_collation l ON l.oid = part.collated
            WHERE i.indrelid = k.counter_slot
              AND (image.oid IS NULL OR NOT coalesce(l.collisdeterministic, true) OR o.opcintype = 'bpchar'::regtype))
$$;

COMMENT ON FUNCTION playevent.digested_counters(regclass) IS
'internal: the slot tables of a log''s counters whose counts have digests';

-- The digests of what a partition has of each key of these counters; or only of those
-- that others of an earlier time have.
CREATE FUNCTION playevent.digest_counts(event regclass, part regclass, earlier jsonb) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    digests jsonb := '{}';
    verdicts regclass := (playevent.verdicts(event)).verdicts;
    counter record;
BEGIN
    FOR counter IN
        SELECT b.counted_by, k.counter_slot
          FROM playevent.counter k
         CROSS JOIN LATERAL playevent.counted_by(k.columns, k.listener_column, k.amount_column) AS b(counted_by)
         WHERE k.event = digest_counts.event AND k.counter_slot IN (SELECT playevent.digested_counters(digest_counts.event))
           -- A listener may have been forgotten since.
           AND (earlier IS NULL OR earlier ? b.counted_by
                AND k.counter_slot NOT IN (SELECT playevent.listeners_slots(digest_counts.event, (playevent.policy(digest_counts.event)).listener_column)))
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
AS $$
DECLARE
    digests jsonb := '{}';
    counter record;
BEGIN
    FOR counter IN
        SELECT playevent.counted_by(k.columns, k.listener_column, k.amount_column) AS counted_by,
               k.columns, k.count_column, playevent.retired_table(k.counter_slot) AS retired
          FROM playevent.counter k
         WHERE k.event = digest_retired.event
           AND CASE WHEN of_sketches THEN k.listener_column IS NOT NULL
                    ELSE k.counter_slot IN (SELECT playevent.digested_counters(digest_retired.event)) END
    LOOP
        IF counter.retired IS NOT NULL THEN
            digests := digests || jsonb_build_object(counter.counted_by, encode(
                (playevent.digest(counter.retired, counter.retired, format('SELECT %s, %I FROM ONLY %s',
                    playevent.identifiers(counter.columns::text[]), counter.count_column, counter.retired), false)).digest, 'hex'));
        END IF;
    END LOOP;
    RETURN digests;
END
$$;

COMMENT ON FUNCTION playevent.digest_retired(regclass, boolean) IS
'internal: the digests of what was retired, by what was counted by';
