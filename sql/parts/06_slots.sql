--
-- Slot tables that are there already: whose they are, and whose no more.
--

-- Slots that are the log's, or were: what guards say, what triggers say of slot
-- tables that are gone, or that no guard says another log has, and, of tables that
-- nothing speaks of since the extension was dropped, those that are as arm_counter
-- makes them, with the log's count, and columns that are the log's; others may have
-- tables whose names end like that.
CREATE FUNCTION playevent.declared_counters(wanted playevent.log)
RETURNS TABLE (slot regclass, counter text, amount text, columns name[], listener_column name)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH guarded AS (
        SELECT DISTINCT g.slot, g.name::text AS name, g.function, g.arguments
          FROM playevent.guard g WHERE g.event = wanted.event AND g.function IN ('count', 'sketch')
    ), claimed AS (
        SELECT playevent.named_table(a.args[1], e.relnamespace) AS slot,
               (parse_ident(a.args[1]))[cardinality(parse_ident(a.args[1]))] AS name,
               CASE t.tgfoid WHEN 'playevent.sketch'::regproc THEN 'sketch' ELSE 'count' END AS function,
               a.args[2:] AS arguments
          FROM pg_class e
          JOIN pg_trigger t ON t.tgrelid = e.oid
           AND t.tgfoid IN ('playevent.count'::regproc, 'playevent.sketch'::regproc)
         CROSS JOIN LATERAL (VALUES (playevent.trigger_arguments(t.tgargs))) AS a(args)
         WHERE e.oid = wanted.event
           AND NOT EXISTS (
               SELECT FROM playevent.guard g
                WHERE g.slot = playevent.named_table(a.args[1], e.relnamespace))
    ), orphaned AS (
        SELECT s.oid::regclass AS slot, s.relname::text AS name,
               CASE WHEN l.is_sketch THEN 'sketch' ELSE 'count' END AS function,
               CASE WHEN l.is_sketch THEN ARRAY['listeners', 'anon_id'] ELSE ARRAY[wanted.count_column] END || c.keys AS arguments
          FROM pg_class e
          JOIN pg_class s ON s.relnamespace = e.relnamespace AND s.relowner = e.relowner
           AND s.relkind = 'r' AND s.relname LIKE '_%\_slot' AND s.reloptions @> '{vacuum_truncate=false}'
         CROSS JOIN LATERAL (
             SELECT EXISTS (
                 SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid AND t.typname = 'hll'
                  WHERE a.attrelid = s.oid AND a.attname = 'listeners' AND NOT a.attisdropped)) AS l(is_sketch)
         CROSS JOIN LATERAL (
             SELECT array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE NOT is_amount.yes) AS keys,
                    count(*) FILTER (WHERE is_amount.yes AND a.attnotnull) AS amounts,
                    bool_and(is_amount.yes OR b.attname IS NOT NULL) AS fits
               FROM pg_attribute a
              CROSS JOIN LATERAL (
                  VALUES (CASE WHEN l.is_sketch THEN a.attname = 'listeners'
                               ELSE a.attname = wanted.count_column AND a.atttypid = 'bigint'::regtype END)) AS is_amount(yes)
               LEFT JOIN pg_attribute b ON b.attrelid = wanted.event AND b.attname = a.attname
                AND b.attnum > 0 AND b.atttypid = a.atttypid
              WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped) AS c
         WHERE e.oid = wanted.event AND c.amounts = 1 AND c.fits AND c.keys IS NOT NULL
           AND (NOT l.is_sketch OR c.keys[1:2] = ARRAY[wanted.key_column, wanted.release_column]
                AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = wanted.event AND a.attname = 'anon_id'))
           AND NOT EXISTS (
               SELECT FROM pg_trigger g
                WHERE g.tgrelid = s.oid AND g.tgfoid = 'playevent.slot_guard'::regproc)
    ), every AS (
        SELECT *, 1 AS turn FROM guarded
         UNION ALL SELECT *, 2 FROM claimed
         UNION ALL SELECT *, 3 FROM orphaned
    )
    SELECT slot, regexp_replace(name, '_slot$', ''), arguments[1],
           CASE function WHEN 'sketch' THEN arguments[3:] ELSE arguments[2:] END::name[],
           CASE function WHEN 'sketch' THEN arguments[2] END::name
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
         WHERE t.function IN ('playevent.count'::regproc, 'playevent.sketch'::regproc)
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
