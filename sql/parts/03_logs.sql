--
-- The logs and counters there are: all that is known of them is their triggers.
--

-- What slot tables, and key tables, say of themselves: which log's they are, and
-- which trigger of it writes to them.  Anyone may put nonsense into a trigger's arguments, which
-- must not fail here: the views are everybody's.  A table speaks for a log only
-- if both have one owner; a superuser has the rights of any other.
CREATE VIEW playevent.guard AS
SELECT guard.oid AS trigger_oid,
       slot.oid AS slot,
       slot.relnamespace AS schema,
       slot.relname AS name,
       event.oid AS event,
       args[2] AS function,
       args[3:] AS arguments
  FROM pg_catalog.pg_trigger guard
  JOIN pg_catalog.pg_class slot ON slot.oid = guard.tgrelid AND slot.relkind = 'r'
 CROSS JOIN LATERAL playevent.trigger_arguments(guard.tgargs) AS args
  JOIN pg_catalog.pg_class event ON event.oid = playevent.named_by(slot.oid, args[1])
   AND event.relowner = slot.relowner
 WHERE guard.tgfoid = 'playevent.slot_guard'::pg_catalog.regproc;

COMMENT ON VIEW playevent.guard IS
'internal: what the guards of slot tables say';

-- A counter is what its trigger and its slot table agree on.
CREATE VIEW playevent.counter AS
SELECT class.oid::pg_catalog.regclass AS event,
       pg_catalog.regexp_replace(slot.relname::pg_catalog.text, '_slot$', '')::pg_catalog.name AS counter,
       slot.oid::pg_catalog.regclass AS counter_slot,
       args[2] AS count_column,
       args[3 + playevent.sources(kind.name):] AS columns,
       t.tgname AS trigger_name,
       CASE WHEN kind.name = 'sketch' THEN args[3] END AS listener_column,
       CASE WHEN kind.name = 'sum' THEN args[3] END AS amount_column
  FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class class ON class.oid = t.tgrelid
   AND class.relkind IN ('r', 'p') AND class.relpersistence <> 't' AND NOT class.relispartition
 CROSS JOIN LATERAL playevent.trigger_arguments(t.tgargs) AS args
  JOIN pg_catalog.pg_class slot ON slot.oid = playevent.named_by(class.oid, args[1])
   AND slot.relkind = 'r' AND slot.relowner = class.relowner
 CROSS JOIN LATERAL (VALUES (playevent.counting(t.tgfoid))) AS kind(name)
 WHERE playevent.counts(t.tgfoid)
   -- A slot table has two guards.  Whose has many more is up to no good, and each
   -- would be looked at for each of his log's triggers.
   AND (SELECT pg_catalog.count(*) <= 16 AND pg_catalog.bool_and(
                   playevent.named_by(slot.oid, said[1]) IS NOT DISTINCT FROM class.oid
                   AND said[2:] IS NOT DISTINCT FROM ARRAY[kind.name] || args[2:])
          FROM (SELECT guard.tgargs FROM pg_catalog.pg_trigger guard
                 WHERE guard.tgrelid = slot.oid AND guard.tgfoid = 'playevent.slot_guard'::pg_catalog.regproc
                 LIMIT 17) AS guard
         CROSS JOIN LATERAL playevent.trigger_arguments(guard.tgargs) AS said);

COMMENT ON VIEW playevent.counter IS
'the counters of the logs of this database, as their triggers and their slot tables tell; with an amount column, one of what that adds up to; with a listener column, one of distinct listeners';

CREATE FUNCTION playevent.has_column(rel regclass, col name) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = rel AND a.attname = col);

COMMENT ON FUNCTION playevent.has_column(regclass, name) IS
'internal: has a table a column of that name';

-- The view of logs reads all guards once, and tells what follows which tables say to be
-- a log's: each log would else look at those of all others.
CREATE TYPE playevent.guarded AS (slot oid, event oid, function text);

COMMENT ON TYPE playevent.guarded IS
'internal: a table that says by its guards to be another''s, and what for';

-- Is all there that a log's counters need, once each, and does it fire?
CREATE FUNCTION playevent.counters_intact(event regclass, tables playevent.guarded[]) RETURNS boolean
LANGUAGE sql STABLE
RETURN (
    SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger t
             WHERE t.tgrelid = counters_intact.event
               AND playevent.counts(t.tgfoid))
           = ALL (ARRAY[pg_catalog.count(*), pg_catalog.count(DISTINCT k.counter_slot)])
           AND pg_catalog.bool_and(2 = (
               SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger g
                WHERE g.tgrelid = k.counter_slot AND g.tgfoid = 'playevent.slot_guard'::pg_catalog.regproc
                  AND playevent.as_made(g.oid)))
           AND NOT EXISTS (
               SELECT FROM pg_catalog.unnest(tables) AS g
                WHERE playevent.sources(g.function) IS NOT NULL
                  AND g.slot <> ALL (pg_catalog.array_agg(k.counter_slot)))
           -- The columns are there, in both tables.
           AND pg_catalog.bool_and(NOT EXISTS (
               SELECT FROM (SELECT k.event, pg_catalog.unnest(k.columns || k.listener_column)
                             UNION ALL
                            SELECT k.counter_slot, pg_catalog.unnest(k.columns || k.count_column)) AS c(rel, name)
                WHERE c.name IS NOT NULL AND NOT playevent.has_column(c.rel, c.name::pg_catalog.name)))
           -- Only the amount is not null, and nothing is checked.
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = ANY (pg_catalog.array_agg(k.counter_slot)) AND a.attnum > 0 AND a.attnotnull
                GROUP BY a.attrelid HAVING pg_catalog.count(*) > 1)
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_constraint c
                WHERE c.conrelid = ANY (pg_catalog.array_agg(k.counter_slot)) AND c.contype = 'c')
      FROM playevent.counter k
     WHERE k.event = counters_intact.event);

COMMENT ON FUNCTION playevent.counters_intact(regclass, playevent.guarded[]) IS
'internal: do the counting triggers of a log and the guards of its slot tables tell of the same counters, once each';

-- The table of what was retired of a counter: it says so itself.
CREATE FUNCTION playevent.retired_table(slot regclass) RETURNS regclass
LANGUAGE sql STABLE
RETURN (
    SELECT pg_catalog.min(g.slot)::pg_catalog.regclass
      FROM playevent.guard g
     WHERE g.event = retired_table.slot AND g.function = 'retired');

COMMENT ON FUNCTION playevent.retired_table(regclass) IS
'internal: the table that keeps what was retired of the counter with this slot table, or null';

CREATE FUNCTION playevent.manifest(event regclass) RETURNS regclass
LANGUAGE sql STABLE
RETURN (
    SELECT pg_catalog.min(g.slot)::pg_catalog.regclass
      FROM playevent.guard g
     WHERE g.event = manifest.event AND g.function = 'manifest');

COMMENT ON FUNCTION playevent.manifest(regclass) IS
'internal: the table with a log''s manifest, or null';

-- Of a log that is partitioned by time: are its policy, its manifest and the tables
-- of what was retired there, and guarded?
CREATE FUNCTION playevent.retention_intact(event regclass, tables playevent.guarded[], slot_tables playevent.guarded[]) RETURNS boolean
LANGUAGE sql STABLE
RETURN (
    SELECT CASE policy.n
               WHEN 0 THEN NOT EXISTS (
                   SELECT FROM pg_catalog.unnest(tables) AS t WHERE t.function = 'manifest')
               WHEN 1 THEN
                   2 = (SELECT pg_catalog.count(*) FILTER (WHERE playevent.as_made(g.trigger_oid))
                          FROM pg_catalog.unnest(tables) AS t JOIN playevent.guard g ON (g.slot, g.event, g.function) = (t.slot, t.event, t.function)
                         WHERE t.function = 'manifest')
                   AND NOT EXISTS (
                       SELECT FROM playevent.counter k
                        WHERE k.event = retention_intact.event
                          AND 2 <> (SELECT pg_catalog.count(*) FILTER (WHERE playevent.as_made(g.trigger_oid))
                                      FROM pg_catalog.unnest(slot_tables) AS t JOIN playevent.guard g ON (g.slot, g.event, g.function) = (t.slot, t.event, t.function)
                                     WHERE t.event = k.counter_slot))
               ELSE false END
      FROM (SELECT pg_catalog.count(*) AS n FROM pg_catalog.pg_trigger t
             WHERE t.tgrelid = retention_intact.event AND t.tgfoid = 'playevent.partition'::pg_catalog.regproc) AS policy);

COMMENT ON FUNCTION playevent.retention_intact(regclass, playevent.guarded[], playevent.guarded[]) IS
'internal: is all there that keeps the totals of a log that is partitioned by time';

-- Is all there that keeps a log's event_ids apart, if a trigger does: a key table
-- that says so too, with its index and its guards?
CREATE FUNCTION playevent.keys_intact(event regclass, tables playevent.guarded[]) RETURNS boolean
LANGUAGE sql STABLE
RETURN (
    WITH keys AS (
        SELECT args, class.relowner, playevent.named_by(class.oid, args[1]) AS key_table
          FROM pg_catalog.pg_trigger t
          JOIN pg_catalog.pg_class class ON class.oid = t.tgrelid
         CROSS JOIN LATERAL playevent.trigger_arguments(t.tgargs) AS args
         WHERE t.tgrelid = keys_intact.event AND t.tgfoid = 'playevent.dedupe'::pg_catalog.regproc)
    SELECT pg_catalog.count(*) <= 1
           AND coalesce(pg_catalog.bool_and(
               EXISTS (SELECT FROM pg_catalog.pg_class c
                        WHERE c.oid = keys.key_table AND c.relowner = keys.relowner
                          AND c.relkind = 'r' AND c.relpersistence = 'p')
               AND EXISTS (SELECT FROM pg_catalog.pg_index i
                             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                            WHERE i.indrelid = keys.key_table AND a.attname = keys.args[2]
                              AND i.indisunique AND i.indisvalid AND i.indimmediate
                              AND i.indnkeyatts = 1 AND i.indpred IS NULL)
               AND 2 = (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger g
                         WHERE g.tgrelid = keys.key_table AND g.tgfoid = 'playevent.slot_guard'::pg_catalog.regproc
                           AND playevent.as_made(g.oid))
               AND 2 = (SELECT pg_catalog.count(*) FROM playevent.guard g
                         WHERE g.slot = keys.key_table AND g.event = keys_intact.event
                           AND g.function = 'dedupe' AND g.arguments = keys.args[2:])), true)
           AND NOT EXISTS (
               SELECT FROM pg_catalog.unnest(tables) AS t
                WHERE t.function = 'dedupe' AND t.slot <> ALL (coalesce(pg_catalog.array_agg(keys.key_table), '{}')))
      FROM keys);

COMMENT ON FUNCTION playevent.keys_intact(regclass, playevent.guarded[]) IS
'internal: do a log''s trigger that keeps event_ids apart and the guards of its key table agree, if it has one';

-- Is the table of a log's verdicts there, if its rows have ids, and guarded, and does it
-- count what replication brings?  What was voided and is not known any more would count.
CREATE FUNCTION playevent.verdicts_intact(event regclass, tables playevent.guarded[], own_columns text[]) RETURNS boolean
LANGUAGE sql STABLE
RETURN (
    SELECT CASE pg_catalog.count(DISTINCT g.slot)
               WHEN 0 THEN NOT EXISTS (
                   SELECT FROM pg_catalog.pg_index i
                     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                    WHERE i.indrelid = verdicts_intact.event AND i.indisprimary AND NOT playevent.is_managed(i.indrelid)
                      AND a.atttypid IN ('pg_catalog.int8'::pg_catalog.regtype, 'pg_catalog.int4'::pg_catalog.regtype,
                                         'pg_catalog.int2'::pg_catalog.regtype)
                      AND a.attname <> ALL (own_columns))
               WHEN 1 THEN
                   2 = pg_catalog.count(*) FILTER (WHERE playevent.as_made(g.trigger_oid) AND NOT EXISTS (
                       SELECT FROM pg_catalog.unnest(g.arguments) AS named(c)
                        WHERE named.c <> ''
                          AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                                           WHERE a.attrelid = g.event AND a.attname = named.c AND NOT a.attisdropped)))
                   AND (SELECT pg_catalog.count(*) = 1 AND pg_catalog.bool_and(playevent.as_made(t.oid))
                          FROM pg_catalog.pg_trigger t
                         WHERE t.tgrelid = pg_catalog.min(g.slot) AND t.tgfoid = 'playevent.judge'::pg_catalog.regproc)
               ELSE false END
      FROM pg_catalog.unnest(tables) AS t JOIN playevent.guard g ON (g.slot, g.event, g.function) = (t.slot, t.event, t.function)
     WHERE t.function = 'verdict');

COMMENT ON FUNCTION playevent.verdicts_intact(regclass, playevent.guarded[], text[]) IS
'internal: is the table of a log''s verdicts there, and guarded';

-- A partition inherits the triggers that new rows fire.
CREATE VIEW playevent.stray_trigger AS
SELECT t.tgrelid AS part, t.tgname AS name
  FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_class part ON part.oid = t.tgrelid AND part.relispartition
 WHERE t.tgparentid = 0
   AND (playevent.counts(t.tgfoid)
        OR t.tgfoid IN ('playevent.resolve'::pg_catalog.regproc, 'playevent.day'::pg_catalog.regproc,
                        'playevent.flush'::pg_catalog.regproc, 'playevent.dedupe'::pg_catalog.regproc));

COMMENT ON VIEW playevent.stray_trigger IS
'internal: triggers that were made on a partition, and belong on the log';

-- Do a table's triggers fire as they were made, and is none of them missing?
CREATE FUNCTION playevent.part_intact(part oid) RETURNS boolean
LANGUAGE sql STABLE
RETURN (
    -- Each trigger is looked at for each: who has many more is up to no good.
    SELECT CASE WHEN 200 < (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger t WHERE t.tgrelid = part AND NOT t.tgisinternal) THEN false ELSE
           class.relpersistence = 'p'
           AND 2 = (SELECT pg_catalog.count(DISTINCT t.tgtype) FROM pg_catalog.pg_trigger t
                     WHERE t.tgrelid = part AND t.tgfoid = 'playevent.append_only'::pg_catalog.regproc
                       AND playevent.as_made(t.oid))
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_trigger t
                WHERE t.tgrelid = part AND NOT playevent.as_made(t.oid))
           AND NOT EXISTS (SELECT FROM playevent.stray_trigger s WHERE s.part = part_intact.part)
           END
      FROM pg_catalog.pg_class class
     WHERE class.oid = part);

COMMENT ON FUNCTION playevent.part_intact(oid) IS
'internal: are a log''s triggers on one of its tables as they were made';

-- The column that tells when a late one was: played_at of play, shared_at of
-- share.
CREATE FUNCTION playevent.time_column(log text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN log || CASE WHEN log LIKE '%e' THEN '' ELSE 'e' END || 'd_at';

COMMENT ON FUNCTION playevent.time_column(text) IS
'internal: the name of a log''s column for events that come late';

CREATE FUNCTION playevent.plural(word text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN word || CASE WHEN word LIKE '%s' THEN 'es' ELSE 's' END;

COMMENT ON FUNCTION playevent.plural(text) IS
'internal: the name of several of what the word names one of, which is never the same';

-- The column that counts: plays of play, listens of listens.
CREATE FUNCTION playevent.count_column(log text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN log || CASE WHEN log LIKE '%s' THEN '' ELSE 's' END;

COMMENT ON FUNCTION playevent.count_column(text) IS
'internal: the name of a log''s count';

-- Has the table the columns by which create_log's tables tell days?
CREATE FUNCTION playevent.tells_days(event regclass, log text) RETURNS boolean
LANGUAGE sql STABLE
RETURN 3 = (
    SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = tells_days.event
       AND ((a.attname, a.atttypid) = ('created_at', 'pg_catalog.timestamptz'::pg_catalog.regtype)
            OR a.attgenerated = ''
               AND (a.attname, a.atttypid) IN (('day', 'pg_catalog.date'::pg_catalog.regtype),
                    (playevent.time_column(tells_days.log), 'pg_catalog.timestamptz'::pg_catalog.regtype))));

COMMENT ON FUNCTION playevent.tells_days(regclass, text) IS
'internal: has a table the columns day, created_at and the one for events that come late';

-- The log's own counter is that by track, release and kind.
CREATE VIEW playevent.log AS
SELECT class.oid::pg_catalog.regclass AS event,
       own.counter_slot,
       own.count_column,
       own.columns[1] AS key_column,
       own.columns[2] AS release_column,
       own.columns[3] AS kind_column,
       playevent.named_by(class.oid, resolve_args[1]) AS track,
       resolve_args[2] AS track_key,
       resolve_args[3] AS track_release,
       NULLIF(resolve_args[4], '') AS track_deleted,
       resolve_args[5] AS unknown_track,
       playevent.named_by(class.oid, release_args[1]) AS release,
       release_args[2] AS release_key,
       playevent.enabled_as_made(flushes.oid) = 'A' AS count_replicated,
       NULLIF(policy_args[2], '') AS partition_by,
       NULLIF(policy_args[3], '') AS retain,
       CASE WHEN days.n > 0 THEN coalesce(day_args[4], 'UTC') END AS day_zone,
       -- In this order: what comes behind part_intact looks at each counter for each.
       own.counter_slot IS NOT NULL
           AND playevent.part_intact(class.oid)
           AND coalesce(resolves.n, 0) = 1 AND coalesce(release_resolves.n, 0) <= 1 AND flushes.n = 1
           AND playevent.condition(resolves.oid) IS NOT DISTINCT FROM
               CASE WHEN release_resolves.n IS NOT NULL THEN pg_catalog.format('(new.%I IS NOT NULL)', resolve_args[6]) END
           AND playevent.condition(release_resolves.oid) IS NOT DISTINCT FROM
               CASE WHEN release_resolves.n IS NOT NULL THEN pg_catalog.format('(new.%I IS NULL)', resolve_args[6]) END
           AND coalesce(days.n, 0) BETWEEN playevent.tells_days(class.oid::pg_catalog.regclass, own.log)::int AND 1
           AND playevent.counters_intact(class.oid::pg_catalog.regclass, guarded.tables)
           AND playevent.retention_intact(class.oid::pg_catalog.regclass, guarded.tables, retired.tables)
           AND playevent.keys_intact(class.oid::pg_catalog.regclass, guarded.tables)
           AND playevent.verdicts_intact(class.oid::pg_catalog.regclass, guarded.tables, own.columns)
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_class p
                WHERE class.relkind = 'p' AND p.relispartition
                  AND pg_catalog.pg_partition_root(p.oid) = class.oid
                  AND NOT playevent.part_intact(p.oid))
           AS intact
  FROM pg_catalog.pg_class class
  -- No WITH, for which all of a query on this view would be computed for each log.
  LEFT JOIN (
      SELECT g.event, pg_catalog.array_agg(DISTINCT ROW(g.slot, g.event, g.function)::playevent.guarded) AS tables
        FROM playevent.guard g
       WHERE g.function IN ('dedupe', 'manifest', 'verdict') OR playevent.sources(g.function) IS NOT NULL
       GROUP BY g.event) AS guarded ON guarded.event = class.oid
  -- A slot table's log, next to who says to keep what was retired of it: no join, which
  -- may be made pair by pair.  A slot table whose guards name several logs has none.
  LEFT JOIN (
      SELECT said.event, pg_catalog.array_agg(DISTINCT ROW(said.retired, said.slot, 'retired')::playevent.guarded) AS tables
        FROM (SELECT u.slot, u.retired,
                     pg_catalog.min(u.event) OVER of_slot AS event, pg_catalog.max(u.event) OVER of_slot AS other_event
                FROM playevent.guard g
               CROSS JOIN LATERAL (
                     VALUES (g.slot, g.event, NULL::pg_catalog.oid),
                            (g.event, NULL, CASE WHEN g.function = 'retired' THEN g.slot END)) AS u(slot, event, retired)
              WINDOW of_slot AS (PARTITION BY u.slot)) AS said
       WHERE said.retired IS NOT NULL AND said.event = said.other_event
       GROUP BY said.event) AS retired ON retired.event = class.oid
  LEFT JOIN LATERAL (
      SELECT pg_catalog.min(t.oid::pg_catalog.int8)::pg_catalog.oid AS oid, pg_catalog.count(*) AS n
        FROM pg_catalog.pg_trigger t
       WHERE t.tgrelid = class.oid AND t.tgfoid = 'playevent.flush'::pg_catalog.regproc) AS flushes ON true
  LEFT JOIN LATERAL (
      SELECT t.tgargs, pg_catalog.count(*) OVER () AS n
        FROM pg_catalog.pg_trigger t
       WHERE t.tgrelid = class.oid AND t.tgfoid = 'playevent.day'::pg_catalog.regproc
       ORDER BY t.tgname LIMIT 1) AS days ON true
  LEFT JOIN LATERAL playevent.trigger_arguments(days.tgargs) AS day_args ON true
  LEFT JOIN LATERAL (
      SELECT t.tgargs
        FROM pg_catalog.pg_trigger t
       WHERE t.tgrelid = class.oid AND t.tgfoid = 'playevent.partition'::pg_catalog.regproc
       ORDER BY t.tgname LIMIT 1) AS policy ON true
  LEFT JOIN LATERAL playevent.trigger_arguments(policy.tgargs) AS policy_args ON true
  LEFT JOIN LATERAL (
      SELECT t.oid, t.tgargs, pg_catalog.count(*) OVER () AS n
        FROM pg_catalog.pg_trigger t
       WHERE t.tgrelid = class.oid AND t.tgfoid = 'playevent.resolve'::pg_catalog.regproc
         AND NOT playevent.resolves_releases(t.tgargs)
       ORDER BY t.tgname LIMIT 1) AS resolves ON true
  LEFT JOIN LATERAL (
      SELECT t.oid, t.tgargs, pg_catalog.count(*) OVER () AS n
        FROM pg_catalog.pg_trigger t
       WHERE t.tgrelid = class.oid AND t.tgfoid = 'playevent.resolve'::pg_catalog.regproc
         AND playevent.resolves_releases(t.tgargs)
       ORDER BY t.tgname LIMIT 1) AS release_resolves ON true
  LEFT JOIN LATERAL playevent.trigger_arguments(resolves.tgargs) AS resolve_args ON true
  LEFT JOIN LATERAL playevent.trigger_arguments(release_resolves.tgargs) AS release_args ON true
  LEFT JOIN LATERAL (
      SELECT k.counter_slot, k.count_column, k.columns,
             pg_catalog.substring(k.counter::pg_catalog.text, '^(.+)_counter$') AS log
        FROM playevent.counter k
       WHERE k.event = class.oid::pg_catalog.regclass AND k.listener_column IS NULL AND k.amount_column IS NULL
         AND pg_catalog.cardinality(k.columns) = 3
         AND (resolve_args IS NULL OR k.columns[1:2] = resolve_args[6:7])
         AND NOT EXISTS (
             SELECT FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = k.counter_slot AND a.attname = k.columns[3]
                AND a.atttypid = 'pg_catalog.date'::pg_catalog.regtype)
       ORDER BY k.trigger_name <> 'playevent_count', k.counter NOT LIKE '%\_counter', k.counter LIMIT 1) AS own ON true
 WHERE class.relkind IN ('r', 'p') AND class.relpersistence <> 't' AND NOT class.relispartition
   AND EXISTS (
       SELECT FROM pg_catalog.pg_trigger t
        WHERE t.tgrelid = class.oid
          AND (playevent.counts(t.tgfoid)
               OR t.tgfoid IN ('playevent.append_only'::pg_catalog.regproc,
                               'playevent.resolve'::pg_catalog.regproc)))
   -- A partition that was retired and kept is no log.
   AND NOT EXISTS (
       SELECT FROM pg_catalog.pg_trigger t
        WHERE t.tgrelid = class.oid AND t.tgfoid = 'playevent.sealed'::pg_catalog.regproc);

COMMENT ON VIEW playevent.log IS
'the logs of this database, as their triggers tell; intact: all triggers are there, once, and enabled as they were made, on partitions and slot tables too, and slot tables tell of the same counters';
