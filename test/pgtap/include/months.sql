-- Logs whose plays are of months past, each with a partition.

-- When a month of UTC begins, counted from this one.
CREATE FUNCTION month(n int) RETURNS timestamptz LANGUAGE sql STABLE AS
$$SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month') AT TIME ZONE 'UTC'$$;

-- Makes the partitions log_m6 to log_m1, of six months to one month ago.
CREATE FUNCTION make_months(event regclass, n int DEFAULT 6) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %s FOR VALUES FROM (%L) TO (%L)',
            (SELECT relname FROM pg_class WHERE oid = event) || '_m' || i, event, month(-i), month(1 - i));
    END LOOP;
END
$$;

-- Runs a statement n times, each in a subtransaction.  What it inserts has several slots
-- a key then, as when many insert at once.
CREATE FUNCTION spread(statement text, n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
END
$$;

-- The totals of all of a log's counters, by their views.
CREATE FUNCTION totals(log regclass) RETURNS TABLE (counter text, total jsonb) LANGUAGE plpgsql AS $$
DECLARE
    view name;
BEGIN
    FOR view IN
        SELECT k.counter FROM playevent.counter k WHERE k.event = log AND k.listener_column IS NULL
        UNION ALL SELECT substring(k.counter FROM '^(.*)_counter$') || v
          FROM playevent.counter k, unnest('{_by_track,_by_release}'::text[]) v
         WHERE k.event = log AND k.counter LIKE '%\_counter' AND cardinality(k.columns) = 3
    LOOP
        RETURN QUERY EXECUTE format('SELECT %L::text, to_jsonb(v) FROM %I v', view, view);
    END LOOP;
END
$$;

-- Slots that are to no purpose: of nothing, of less, or of a key that another has.
CREATE FUNCTION spare_slots(log regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    k record;
BEGIN
    FOR k IN SELECT * FROM playevent.counter c WHERE c.event = log AND c.listener_column IS NULL LOOP
        RETURN QUERY EXECUTE format('SELECT %L || '' '' || s::text FROM ONLY %s s WHERE %I <= 0', k.counter, k.counter_slot, k.count_column);
    END LOOP;
END
$$;

-- What a statement fails with.
CREATE FUNCTION failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
