--
-- What a person looks at first, and a monitor each minute.
--

-- All that follows may be asked by anybody about anybody's logs: it runs nothing of
-- theirs, and waits for nobody (src/health.c).
CREATE FUNCTION playevent.is_free(rel oid) RETURNS boolean
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_is_free';

COMMENT ON FUNCTION playevent.is_free(oid) IS
'internal: can a table be opened for reading without a wait';

CREATE FUNCTION playevent.file_bytes(rel oid) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_file_bytes';

COMMENT ON FUNCTION playevent.file_bytes(oid) IS
'internal: how long the file of a table or an index is, or null';

CREATE FUNCTION playevent.slots_of_keys(slot regclass, columns text[], pages int)
RETURNS TABLE (key text[], slots bigint, share float8)
LANGUAGE c VOLATILE STRICT
ROWS 10
AS 'MODULE_PATHNAME', 'playevent_slots_of_keys';

COMMENT ON FUNCTION playevent.slots_of_keys(regclass, text[], int) IS
'internal: the keys of a slot table that have most slots, of those on some pages of its index';

CREATE FUNCTION playevent.newest(rel regclass, id_column name, time_column name, since timestamptz, lim int, OUT newest timestamptz, OUT n bigint)
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_newest';

COMMENT ON FUNCTION playevent.newest(regclass, name, name, timestamptz, int) IS
'internal: when the last row of a table was made, and how many were made since a moment';

-- Tables with their indexes and what is too long for them.
CREATE FUNCTION playevent.bytes(rels oid[]) RETURNS bigint
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    WITH heap AS (
        SELECT c.oid FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ANY (rels)
         UNION ALL
        SELECT c.reltoastrelid FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ANY (rels))
    SELECT pg_catalog.sum(playevent.file_bytes(f.oid))::pg_catalog.int8
      FROM (SELECT h.oid FROM heap h
             UNION ALL
            SELECT i.indexrelid FROM heap h JOIN pg_catalog.pg_index i ON i.indrelid OPERATOR(pg_catalog.=) h.oid) AS f(oid);
END;

COMMENT ON FUNCTION playevent.bytes(oid[]) IS
'internal: how long the files of tables are, with those of their indexes';

-- A table and all that is below it.  pg_partition_tree would lock them.
CREATE FUNCTION playevent.tree(event oid) RETURNS oid[]
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE below(oid) AS (
        SELECT event
         UNION
        SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) b.oid)
    SELECT pg_catalog.array_agg(b.oid) FROM below b;
END;

COMMENT ON FUNCTION playevent.tree(oid) IS
'internal: a table and its partitions, theirs included';

-- What a comment says may be anything.
CREATE FUNCTION playevent.moment(said text) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
SET "DateStyle" = 'ISO, YMD'
AS $$
BEGIN
    RETURN said::timestamptz;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION playevent.moment(text) IS
'internal: a moment, or null if that is none';

-- playevent.worst_keys(event regclass, pages int = 256)
--     returns table(counter name, key text[], slots bigint, share float8)
--
-- The keys that have most slots, ten of each counter.  Looks at so many pages of the
-- index of each slot table, drawn anew at each call; at all if there are no more, or
-- pages is null.  share is how much of the index was looked at.  A key is what the
-- counter counts by; its values are null for whoever may not read the slot table.
--
-- No row of a counter whose slot table is locked, or that the caller may know nothing
-- of: he must be able to read it, or be a member of pg_monitor.
CREATE FUNCTION playevent.worst_keys(event regclass, pages int DEFAULT 256)
RETURNS TABLE (counter name, key text[], slots bigint, share float8)
LANGUAGE sql VOLATILE
ROWS 20
BEGIN ATOMIC
    SELECT k.counter, w.key, w.slots, w.share
      FROM playevent.counter k
     CROSS JOIN LATERAL playevent.slots_of_keys(k.counter_slot, k.columns, coalesce(worst_keys.pages, 0)) AS w
     WHERE k.event OPERATOR(pg_catalog.=) worst_keys.event
     ORDER BY w.slots DESC, k.counter, w.key;
END;

COMMENT ON FUNCTION playevent.worst_keys(regclass, int) IS
'the keys of a log''s counters that have most slots, of those on so many pages of the index, or of all';

-- How far a log's partitions go without a gap, from now on: before now if there is
-- none for now; for ever if a default one has the rest.  Null if it has none by time.
CREATE FUNCTION playevent.partitioned(event regclass, OUT n bigint, OUT until timestamptz, OUT sealed_until timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH part AS (SELECT p.since, p.until, p.is_sealed FROM playevent.partitions(event) p)
    SELECT NULLIF(pg_catalog.count(*), 0),
           CASE WHEN pg_catalog.count(*) = 0 THEN NULL
                WHEN EXISTS (SELECT FROM pg_catalog.pg_partitioned_table t
                              WHERE t.partrelid = partitioned.event AND t.partdefid <> 0) THEN 'infinity'
                WHEN pg_catalog.bool_or(p.since <= pg_catalog.now() AND p.until > pg_catalog.now()) THEN
                    pg_catalog.min(p.until) FILTER (
                        WHERE p.until > pg_catalog.now() AND NOT EXISTS (SELECT FROM part later WHERE later.since = p.until))
                ELSE coalesce(pg_catalog.max(p.until) FILTER (WHERE p.until <= pg_catalog.now()), '-infinity') END,
           pg_catalog.max(p.until) FILTER (WHERE p.is_sealed)
      FROM part p;
END;

COMMENT ON FUNCTION playevent.partitioned(regclass) IS
'internal: how many partitions by time a log has, until when without a gap, and until when they are sealed';

CREATE VIEW playevent.health AS
WITH guards AS MATERIALIZED (
    SELECT g.event, g.function, pg_catalog.array_agg(DISTINCT g.slot) AS tables
      FROM playevent.guard g WHERE g.function IN ('dedupe', 'verdict') GROUP BY g.event, g.function)
SELECT l.event,
       -- Conditions of triggers are told by what opens the table.
       CASE WHEN playevent.is_free(l.event) THEN l.intact END AS intact,
       playevent.bytes(playevent.tree(l.event)) AS log_bytes,
       k.slot_bytes,
       k.slots,
       k.dead_slots,
       k.vacuumed_at AS slots_vacuumed_at,
       k.sketches,
       worst.most_slots,
       worst.keys AS worst_keys,
       worst.share AS slots_seen,
       playevent.bytes(event_key.tables) AS event_key_bytes,
       (SELECT pg_catalog.sum(pg_catalog.pg_stat_get_live_tuples(u.slot))::pg_catalog.int8
          FROM pg_catalog.unnest(event_key.tables) AS u(slot)) AS event_keys,
       parts.n AS partitions,
       parts.until AS partitioned_until,
       parts.sealed_until,
       playevent.moment(pg_catalog.substring(maintained.said, '^playevent\.maintain: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00),')) AS maintained_at,
       pg_catalog.substring(maintained.said, '^playevent\.maintain: [^,]*, (\d{1,9}) undone$')::pg_catalog.int4 AS maintain_undone,
       judged.n AS verdicts,
       recent.newest AS last_verdict_at,
       recent.n AS verdicts_of_a_day
  FROM playevent.log l
 CROSS JOIN LATERAL (
      SELECT playevent.bytes(pg_catalog.array_agg(c.counter_slot::pg_catalog.oid)) AS slot_bytes,
             pg_catalog.sum(pg_catalog.pg_stat_get_live_tuples(c.counter_slot))::pg_catalog.int8 AS slots,
             pg_catalog.sum(pg_catalog.pg_stat_get_dead_tuples(c.counter_slot))::pg_catalog.int8 AS dead_slots,
             pg_catalog.min(greatest(pg_catalog.pg_stat_get_last_vacuum_time(c.counter_slot),
                                     pg_catalog.pg_stat_get_last_autovacuum_time(c.counter_slot))) AS vacuumed_at,
             coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_live_tuples(c.counter_slot))
                 FILTER (WHERE c.listener_column IS NOT NULL), 0)::pg_catalog.int8 AS sketches
        FROM playevent.counter c WHERE c.event = l.event) AS k
 CROSS JOIN LATERAL (
      SELECT pg_catalog.max(w.slots) AS most_slots,
             pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('counter', w.counter, 'key', w.key, 'slots', w.slots)
                                  ORDER BY w.place) FILTER (WHERE w.place <= 10) AS keys,
             pg_catalog.min(w.share) AS share
        FROM (SELECT every.*, pg_catalog.row_number() OVER (ORDER BY every.slots DESC, every.counter, every.key) AS place
                FROM playevent.worst_keys(l.event) AS every) AS w) AS worst
  LEFT JOIN guards AS event_key ON event_key.event = l.event AND event_key.function = 'dedupe'
 CROSS JOIN LATERAL playevent.partitioned(l.event) AS parts
  LEFT JOIN LATERAL (
      SELECT d.description AS said
        FROM pg_catalog.pg_trigger t
        JOIN pg_catalog.pg_description d ON d.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND d.objoid = t.oid
       WHERE t.tgrelid = l.event AND t.tgfoid = 'playevent.flush'::pg_catalog.regproc
         -- A comment may be as long as its maker likes.
         AND pg_catalog.pg_column_size(d.description) < 200
       ORDER BY t.tgname LIMIT 1) AS maintained ON true
  LEFT JOIN guards AS verdict ON verdict.event = l.event AND verdict.function = 'verdict'
  LEFT JOIN LATERAL (SELECT pg_catalog.pg_stat_get_live_tuples(verdict.tables[1]) AS n) AS judged ON true
  LEFT JOIN LATERAL playevent.newest(verdict.tables[1]::pg_catalog.regclass, 'id', 'decided_at', pg_catalog.now() - '1 day'::pg_catalog.interval, 10000) AS recent ON true;

COMMENT ON VIEW playevent.health IS
'what to look at first of each log of this database: cheap enough for every minute, and waits for nobody';
