--
-- Charts: top and series, by slots of a counter by day.
--

-- The counter that top and series read: of those that count by the column and the
-- log's day, the one that create_log makes, for readers have rights on that; or else the one
-- with the fewest columns.  If nothing tells which column is the day, it is any of type date.
CREATE FUNCTION playevent.day_counter(
    event regclass, counted_by name,
    OUT slot regclass, OUT retired regclass, OUT day_column name, OUT count_column name)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told name := (playevent.told_days(event)).day_column;
    usual text[] := (SELECT k.columns[1:2] || told::text FROM playevent.counter k WHERE k.event = day_counter.event AND k.trigger_name = 'playevent_count');
BEGIN
    SELECT k.counter_slot, d.attname, k.count_column INTO slot, day_column, count_column
      FROM playevent.counter k
     CROSS JOIN LATERAL (
         SELECT min(a.attname) AS attname, count(*) AS n
           FROM pg_attribute a
          WHERE a.attrelid = k.counter_slot AND a.atttypid = 'date'::regtype
            AND a.attname = ANY (k.columns)) AS d
     WHERE k.event = day_counter.event AND k.listener_column IS NULL AND k.amount_column IS NULL
       AND d.n = 1 AND d.attname = coalesce(told, d.attname) AND d.attname <> coalesce(counted_by, '')
       AND (counted_by IS NULL OR counted_by = ANY (k.columns))
     ORDER BY k.columns IS DISTINCT FROM usual, cardinality(k.columns), k.counter LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" has no counter by day',
                (SELECT relname FROM pg_class WHERE oid = event)),
            DETAIL = format('It would have to count by %s%s.',
                CASE WHEN counted_by IS NULL THEN '' ELSE format('"%s" and ', counted_by) END,
                coalesce(format('"%s"', told), 'a column of type date')),
            HINT = 'Make one with playevent.add_counter.';
    END IF;
    retired := playevent.retired_table(slot);
END
$$;

COMMENT ON FUNCTION playevent.day_counter(regclass, name) IS
'internal: the slot table of a log''s counter by day, and its columns';

-- Days are the log's, so whose today it is the log says, and not the session.
CREATE FUNCTION playevent.check_period(
    event regclass, INOUT since date, INOUT until date, OUT key_column text, OUT release_column text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date;
BEGIN
    -- not all columns: whether it is intact takes longer to say than a chart to draw
    SELECT l.key_column, l.release_column, (now() AT TIME ZONE coalesce(l.day_zone, 'UTC'))::date
      INTO key_column, release_column, today
      FROM playevent.log l WHERE l.event = check_period.event;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" is not a log',
                coalesce((SELECT relname FROM pg_class WHERE oid = event), event::oid::text)),
            HINT = 'The view playevent.log lists all logs.';
    END IF;
    since := coalesce(since, today - 29);
    until := coalesce(until, today);
    IF since > until OR NOT isfinite(since) OR NOT isfinite(until) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('there is no period since %s until %s', since, until),
            HINT = 'Both days belong to the period; the first must not come after the last.';
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.check_period(regclass, date, date) IS
'internal: the log and the period, after checks of the arguments that top and series share';

CREATE FUNCTION playevent.read_table(rel regclass, other regclass, columns name[], query text) RETURNS SETOF record
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'playevent_read_table';

COMMENT ON FUNCTION playevent.read_table(regclass, regclass, name[], text) IS
'internal: in a function that acts as a log''s owner, a query on one or two tables, for whoever may read the columns';

-- playevent.top(event regclass, since date = NULL, until date = NULL,
--               by text = 'track', lim int = 100)
--     returns table(rank bigint, key text, plays bigint)
--
-- The most played tracks or releases from one day to another, both included;
-- null stands for 29 days before today, and for today.  Days are the log's: today
-- is that of its day_zone, whatever the session's time zone is, and UTC's where
-- the log has none, for its days are told by somebody else.
-- Equal counts share a rank.  All of them, if lim is null.
--
-- Errors: no event (22004), not a log, or one without a counter by day (55000), a
-- bad period, by or lim (22023, 2201W), no right to read the slot table (42501).
CREATE FUNCTION playevent.top(
    event regclass,
    since date DEFAULT NULL,
    until date DEFAULT NULL,
    by text DEFAULT 'track',
    lim int DEFAULT 100)
RETURNS TABLE (rank bigint, key text, plays bigint)
LANGUAGE c STABLE
SET jit = off  -- compiling takes longer than the query
SET work_mem = '64MB'  -- more than a million tracks, in memory
AS 'MODULE_PATHNAME', 'playevent_call_for_reader';

COMMENT ON FUNCTION playevent.top(regclass, date, date, text, int) IS
'the most played tracks or releases of a log, from one day of its day_zone to another, both included; by default the last 30';

CREATE FUNCTION playevent.top_as_owner(event regclass, since date, until date, by text, lim int)
RETURNS TABLE (rank bigint, key text, plays bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log record := playevent.check_period(event, since, until);
    since date := log.since;
    until date := log.until;
    counted_by name;
    counter record;
BEGIN
    counted_by := coalesce(CASE by WHEN 'track' THEN log.key_column WHEN 'release' THEN log.release_column END, '');
    IF by IS NULL OR by NOT IN ('track', 'release') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "by" is %s', coalesce(quote_literal(by), 'null')),
            HINT = 'Say ''track'' or ''release''.';
    END IF;
    counter := playevent.day_counter(event, counted_by);

    -- A cast of the key to text could be of the making of whoever made its type,
    -- and run his code; but for Postgres's own types.
    RETURN QUERY SELECT * FROM playevent.read_table(counter.slot, coalesce(counter.retired, counter.slot), ARRAY[counter.day_column, counter.count_column, counted_by]::name[], format(
        'SELECT rank() OVER (ORDER BY plays DESC), %1$s, plays
           FROM (SELECT %2$I AS key, sum(%3$I)::bigint AS plays
                   FROM %4$s
                  WHERE %5$I BETWEEN %6$L AND %7$L AND %2$I IS NOT NULL
                  GROUP BY 1 HAVING sum(%3$I) > 0
                  ORDER BY 2 DESC, 1 LIMIT %8$L) AS most
          ORDER BY 1, 2',
        CASE WHEN playevent.is_postgres_type((SELECT a.atttypid FROM pg_attribute a
                   WHERE a.attrelid = counter.slot AND a.attname = counted_by))
             THEN 'key::text' ELSE 'format(''%s'', key)' END,
        counted_by, counter.count_column,
        playevent.counted_in(counter.slot::text, counter.retired::text, ARRAY[counter.day_column, counted_by, counter.count_column]::name[]),
        counter.day_column, since, until, lim)) AS t(rank bigint, key text, plays bigint);
END
$$;

COMMENT ON FUNCTION playevent.top_as_owner(regclass, date, date, text, int) IS
'internal: top, acting as the log''s owner';

-- playevent.series(event regclass, since date = NULL, until date = NULL,
--                  track_entry_key text = NULL, release_id text = NULL,
--                  step text = 'day')
--     returns table(period date, plays bigint)
--
-- The plays of a track, of a release, or of all, from one day to another, as
-- top's: a row for each day, week (from Monday) or month that has a day
-- among them, named by its first day; of the first and the last, only the days
-- among them count.
--
-- Errors: as top's; both a track and a release (22023), or a key that its
-- column's type doesn't take (22P02 and others).
CREATE FUNCTION playevent.series(
    event regclass,
    since date DEFAULT NULL,
    until date DEFAULT NULL,
    track_entry_key text DEFAULT NULL,
    release_id text DEFAULT NULL,
    step text DEFAULT 'day')
RETURNS TABLE (period date, plays bigint)
LANGUAGE c STABLE
SET jit = off
AS 'MODULE_PATHNAME', 'playevent_call_for_reader';

COMMENT ON FUNCTION playevent.series(regclass, date, date, text, text, text) IS
'the plays of a track, a release or all, by day, week or month of the log''s day_zone, zeroes included; by default of the last 30 days';

CREATE FUNCTION playevent.series_as_owner(event regclass, since date, until date, track_entry_key text, release_id text, step text)
RETURNS TABLE (period date, plays bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log record := playevent.check_period(event, since, until);
    since date := log.since;
    until date := log.until;
    counted_by name;
    counter record;
BEGIN
    IF track_entry_key IS NOT NULL AND release_id IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'both a track and a release are given',
            HINT = 'Name a track, a release, or neither for all plays.';
    END IF;
    IF step IS NULL OR step NOT IN ('day', 'week', 'month') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('argument "step" is %s', coalesce(quote_literal(step), 'null')),
            HINT = 'Say ''day'', ''week'' or ''month''.';
    END IF;
    counted_by := CASE WHEN track_entry_key IS NOT NULL THEN coalesce(log.key_column, '')
                       WHEN release_id IS NOT NULL THEN coalesce(log.release_column, '') END;
    counter := playevent.day_counter(event, counted_by);

    -- A literal takes the type of the column it is compared with, less its typmod:
    -- a key that is too long is not cut.  Where the type is the app's, to make a
    -- value of it, or to cast it, could run the code of whoever made the type, so
    -- what it looks like is compared.  A release's slots are found day by day, for
    -- which the day is in front of the index.
    RETURN QUERY SELECT * FROM playevent.read_table(counter.slot, coalesce(counter.retired, counter.slot), ARRAY[counter.day_column, counter.count_column, counted_by]::name[], format(
        'SELECT p.first::date, coalesce(c.plays, 0)
           FROM generate_series(date_trunc(%6$L, %7$L::timestamp), %8$L::timestamp,
                    %9$L::interval) AS p(first)
           LEFT JOIN (
               SELECT date_trunc(%6$L, %1$I::timestamp) AS first, sum(%2$I)::bigint AS plays
                 FROM %3$s WHERE %1$I %4$s %5$s GROUP BY 1) AS c USING (first)
          ORDER BY 1',
        counter.day_column, counter.count_column,
        playevent.counted_in(counter.slot::text, counter.retired::text,
            array_remove(ARRAY[counter.day_column, counted_by, counter.count_column], NULL)::name[]),
        CASE WHEN release_id IS NULL THEN format('BETWEEN %L AND %L', since, until)
             ELSE format('= ANY (ARRAY(SELECT %1$L::date + generate_series(0, %2$L::date - %1$L::date)))', since, until) END,
        CASE WHEN counted_by IS NOT NULL THEN
            format(CASE WHEN playevent.is_postgres_type((SELECT a.atttypid FROM pg_attribute a
                                     WHERE a.attrelid = counter.slot AND a.attname = counted_by))
                        THEN 'AND %I = %L' ELSE 'AND format(''%%s'', %I) = %L' END,
                counted_by, coalesce(track_entry_key, release_id))
        END,
        step, since, until, '1 ' || step)) AS t(period date, plays bigint);
END
$$;

COMMENT ON FUNCTION playevent.series_as_owner(regclass, date, date, text, text, text) IS
'internal: series, acting as the log''s owner';
