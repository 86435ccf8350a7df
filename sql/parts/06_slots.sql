--
-- Slot tables that are there already: whose they are, and whose no more.
--

-- Can a column of a log be added up?
CREATE FUNCTION playevent.is_integer(event regclass, col name) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE base(oid) AS (
        SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = event AND a.attname = col AND a.attnum > 0
        UNION ALL
        SELECT t.typbasetype FROM base JOIN pg_type t USING (oid) WHERE t.typtype = 'd')
    SELECT EXISTS (SELECT FROM base WHERE oid IN ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype))
$$;

COMMENT ON FUNCTION playevent.is_integer(regclass, name) IS
'internal: is a column of integers, or of a domain over these';

-- The name of the log whose slots a table has, as arm_counter's comment tells it; null if
-- it doesn't.  It is for slot tables that nothing else speaks of, since the extension was
-- dropped.
CREATE FUNCTION playevent.log_by_comment(slot oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (parse_ident(substring(obj_description(slot, 'pg_class')
                FROM ' of ("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*) in parts, several rows a key: ')))[1]
$$;

COMMENT ON FUNCTION playevent.log_by_comment(oid) IS
'internal: the log whose slots a table has, by the table''s comment';

-- Slots that are the log's, or were: what guards say, what triggers say of slot
-- tables that are gone, or that no guard says another log has, and, of tables that
-- nothing speaks of since the extension was dropped, those that are as arm_counter
-- makes them, with the log's count, or a column of integers of the log's, and other
-- columns that are the log's; others may have tables whose names end like that.
CREATE FUNCTION playevent.declared_counters(wanted playevent.log)
RETURNS TABLE (slot regclass, counter text, amount text, columns name[], function text, source_column name)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH guarded AS (
        SELECT DISTINCT g.slot, g.name::text AS name, g.function, g.arguments
          FROM playevent.guard g WHERE g.event = wanted.event AND playevent.sources(g.function) IS NOT NULL
    ), claimed AS (
        SELECT playevent.named_table(a.args[1], e.relnamespace) AS slot,
               (parse_ident(a.args[1]))[cardinality(parse_ident(a.args[1]))] AS name,
               playevent.counting(t.tgfoid) AS function,
               a.args[2:] AS arguments
          FROM pg_class e
          JOIN pg_trigger t ON t.tgrelid = e.oid AND playevent.counts(t.tgfoid)
         CROSS JOIN LATERAL (VALUES (playevent.trigger_arguments(t.tgargs))) AS a(args)
         WHERE e.oid = wanted.event
           AND NOT EXISTS (
               SELECT FROM playevent.guard g
                WHERE g.slot = playevent.named_table(a.args[1], e.relnamespace))
    ), orphaned AS (
        SELECT s.oid::regclass AS slot, s.relname::text AS name,
               amount.function,
               amount.name || CASE amount.function WHEN 'sum' THEN ARRAY[amount.name] WHEN 'sketch' THEN ARRAY['anon_id'] ELSE '{}' END
                   || c.keys AS arguments
          FROM pg_class e
          JOIN pg_class s ON s.relnamespace = e.relnamespace AND s.relowner = e.relowner
           AND s.relkind = 'r' AND s.relname LIKE '_%\_slot' AND s.reloptions @> '{vacuum_truncate=false}'
         -- Its amount is what may not be null.
         CROSS JOIN LATERAL (
             SELECT min(a.attname::text) AS name,
                    min(CASE WHEN a.attname = 'listeners' AND t.typname = 'hll' THEN 'sketch'
                             WHEN a.atttypid <> 'bigint'::regtype THEN NULL
                             WHEN a.attname = wanted.count_column THEN 'count'
                             WHEN playevent.is_integer(wanted.event, a.attname) THEN 'sum' END) AS function
               FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
              WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
             HAVING count(*) = 1) AS amount
         CROSS JOIN LATERAL (
             SELECT array_agg(a.attname::text ORDER BY a.attnum) AS keys, bool_and(b.attname IS NOT NULL) AS fit
               FROM pg_attribute a
               LEFT JOIN pg_attribute b ON b.attrelid = wanted.event AND b.attname = a.attname
                AND b.attnum > 0 AND b.atttypid = a.atttypid
              WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> amount.name) AS c
         WHERE e.oid = wanted.event AND amount.function IS NOT NULL AND c.fit
           AND (amount.function <> 'sketch' OR c.keys[1:2] = ARRAY[wanted.key_column, wanted.release_column]
                AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = wanted.event AND a.attname = 'anon_id'))
           AND NOT EXISTS (
               SELECT FROM pg_trigger g
                WHERE g.tgrelid = s.oid AND g.tgfoid = 'playevent.slot_guard'::regproc)
           -- Another log's may fit too, which arm_counter's comment tells; but not that of
           -- one elsewhere that has slots of its own there.
           AND NOT EXISTS (
               SELECT FROM pg_class other
                WHERE other.relowner = e.relowner AND other.relkind IN ('r', 'p') AND other.relname <> e.relname
                  AND other.relname = playevent.log_by_comment(s.oid)
                  AND (other.relnamespace = s.relnamespace OR NOT EXISTS (
                      SELECT FROM pg_class own
                       WHERE own.relnamespace = other.relnamespace AND own.relowner = other.relowner AND own.relkind = 'r'
                         AND own.relname LIKE '_%\_slot' AND playevent.log_by_comment(own.oid) = other.relname)))
    ), every AS (
        SELECT *, 1 AS turn FROM guarded
         UNION ALL SELECT *, 2 FROM claimed
         UNION ALL SELECT *, 3 FROM orphaned
    )
    SELECT slot, regexp_replace(name, '_slot$', ''), arguments[1],
           arguments[2 + playevent.sources(function):]::name[], function,
           CASE playevent.sources(function) WHEN 1 THEN arguments[2] END::name
      FROM (SELECT *, row_number() OVER (PARTITION BY coalesce(slot::oid::text, name) ORDER BY turn, arguments) AS place FROM every) AS e
     WHERE place = 1
     ORDER BY name
$$;

COMMENT ON FUNCTION playevent.declared_counters(playevent.log) IS
'internal: the counters that a log has, or has lost a part of';

-- Drops a log's triggers that count in what is another log's, as they would if
-- slot tables had changed names while nothing followed them.
CREATE FUNCTION playevent.drop_claims(event regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    claim name;
BEGIN
    FOR claim IN
        SELECT t.name
          FROM playevent.triggers(event) AS t
         WHERE playevent.counts(t.function)
           AND EXISTS (
               SELECT FROM playevent.guard g
                WHERE g.event <> drop_claims.event
                  AND g.slot = playevent.named_table((playevent.trigger_arguments(t.tgargs))[1],
                      (SELECT c.relnamespace FROM pg_class c WHERE c.oid = drop_claims.event)))
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', claim, event);
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.drop_claims(regclass) IS
'internal: drops triggers of a log that count in another log''s slot tables';

-- A log of this name was dropped, and left slot tables that say they are its:
-- they are not the new one's.
CREATE FUNCTION playevent.disown_slots(event regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    left_over record;
BEGIN
    FOR left_over IN
        SELECT g.slot::regclass AS slot, t.tgname
          FROM playevent.guard g
          JOIN pg_trigger t ON t.oid = g.trigger_oid
          JOIN pg_class c ON c.oid = g.slot AND pg_has_role(c.relowner, 'USAGE')
         WHERE g.event = disown_slots.event
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', left_over.tgname, left_over.slot);
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.disown_slots(regclass) IS
'internal: drops the guards of slot tables that a dropped log of the same name has left';

-- Has a table anything that runs when it is read, written or restored, beside the
-- guards of slots?  Its indexes are looked at where slots are found.
CREATE FUNCTION playevent.is_more_than_slots(slot regclass) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
    SELECT FROM pg_catalog.pg_trigger
     WHERE tgrelid = slot AND tgfoid NOT IN ('playevent.slot_guard'::pg_catalog.regproc, 'playevent.judge'::pg_catalog.regproc)
    UNION ALL SELECT FROM pg_catalog.pg_rewrite WHERE ev_class = slot
    UNION ALL SELECT FROM pg_catalog.pg_policy WHERE polrelid = slot
    UNION ALL SELECT FROM pg_catalog.pg_attrdef WHERE adrelid = slot
    UNION ALL SELECT FROM pg_catalog.pg_constraint WHERE conrelid = slot AND contype NOT IN ('n', 'p', 'u')
    UNION ALL SELECT FROM pg_catalog.pg_statistic_ext WHERE stxrelid = slot AND stxexprs IS NOT NULL
    UNION ALL SELECT FROM pg_catalog.pg_inherits WHERE slot IN (inhrelid, inhparent));

COMMENT ON FUNCTION playevent.is_more_than_slots(regclass) IS
'internal: has a table triggers, rules, policies, constraints or defaults that no slot table needs';
