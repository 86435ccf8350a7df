--
-- Comparing what was retired with the manifest.
--

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
                     WHEN m.hash IS DISTINCT FROM m.computed THEN format(''manifest: entry %%s was changed'', m.entry)
                     ELSE format(''manifest: entry %%s does not follow the one before'', m.entry) END
           FROM (SELECT e.entry, e.hash, e.previous,
                        sha256(convert_to((to_jsonb(e) - ''hash'')::text, ''UTF8'')) AS computed,
                        coalesce(lag(e.entry) OVER (ORDER BY e.entry), 0) + 1 AS expected,
                        lag(e.hash) OVER (ORDER BY e.entry) AS hash_before
                   FROM ONLY %s AS e) AS m
          WHERE m.entry <> m.expected OR m.hash IS DISTINCT FROM m.computed OR m.previous IS DISTINCT FROM m.hash_before
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
     WHERE p.is_sealed AND p.part IS DISTINCT FROM playevent.retired_partition(event) AND playevent.seal_of(p.part) <> ALL (ARRAY(
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

-- Which of these columns a table has not, or null: they were renamed or dropped since.
CREATE FUNCTION playevent.lacking(rel regclass, columns text[]) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(u.c, ', ' ORDER BY u.ord)
      FROM unnest(columns) WITH ORDINALITY AS u(c, ord)
     WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = rel AND a.attname = u.c AND a.attnum > 0)
$$;

COMMENT ON FUNCTION playevent.lacking(regclass, text[]) IS
'internal: which columns a table has not, or null';

-- In what a table's rows are not those that an entry of a manifest tells of.
CREATE FUNCTION playevent.verify_rows(archive regclass, manifest regclass, entry bigint) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name name := (SELECT relname FROM pg_class WHERE oid = archive);
    sealed record;
    rows record;
BEGIN
    SELECT * INTO sealed
      FROM playevent.read_own(manifest, manifest, format(
          'SELECT n, id_column, first_id, last_id, columns, digest FROM ONLY %s WHERE entry = %s', manifest, entry))
        AS t(n bigint, id_column text, first_id bigint, last_id bigint, columns text[], digest bytea);
    rows := playevent.digest_rows(archive, sealed.columns, sealed.id_column::name);
    IF rows.n IS DISTINCT FROM sealed.n THEN
        RETURN NEXT format('table %s has %s rows, and had %s', name, rows.n, sealed.n);
    END IF;
    IF rows.first_id IS DISTINCT FROM sealed.first_id OR rows.last_id IS DISTINCT FROM sealed.last_id THEN
        RETURN NEXT format('table %s has ids from %s to %s, and had those from %s to %s', name,
            rows.first_id, rows.last_id, sealed.first_id, sealed.last_id);
    END IF;
    IF rows.digest IS DISTINCT FROM sealed.digest THEN
        RETURN NEXT format('table %s: its rows are not those that entry %s of the manifest tells of', name, entry);
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.verify_rows(regclass, regclass, bigint) IS
'internal: in what a table''s rows are not those that an entry of a manifest tells of';

CREATE FUNCTION playevent.verify_archive_as_owner(event regclass, archive regclass) RETURNS TABLE (problem text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    log regclass;
    manifest regclass;
    name name;
    missing text;
    sealed record;
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
    hash := playevent.seal_of(archive);
    SELECT * INTO sealed
      FROM playevent.read_own(manifest, manifest, format(
          'SELECT entry, part, id_column, columns FROM ONLY %s
            WHERE action = ''seal'' AND (encode(hash, ''hex'') = %L OR part = %L)
            ORDER BY encode(hash, ''hex'') = %2$L DESC NULLS LAST, entry DESC LIMIT 1', manifest, hash, name))
        AS t(entry bigint, part text, id_column text, columns text[]);
    IF sealed.entry IS NULL THEN
        problem := format('manifest: no entry tells of table %s', name);
        RETURN NEXT;
        RETURN;
    END IF;
    missing := playevent.lacking(archive, sealed.columns || sealed.id_column);
    IF missing IS NOT NULL THEN
        problem := format('table %s lacks columns %s', name, missing);
        RETURN NEXT;
        RETURN;
    END IF;

    RETURN QUERY SELECT * FROM playevent.verify_rows(archive, manifest, sealed.entry);
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
