-- The keys whose number of rows is not their count, by a query that playevent has
-- no part in; columns are those of the counter's view, before the count.
CREATE FUNCTION differences(log text DEFAULT 'play_event', counter text DEFAULT 'play_counter',
                            columns text DEFAULT 'track_entry_key, release_id, bucket') RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH logged AS (SELECT %3$s, count(*) FROM %1$s GROUP BY %3$s)
         SELECT d::text FROM ((TABLE logged EXCEPT ALL TABLE %2$s) UNION ALL (TABLE %2$s EXCEPT ALL TABLE logged)) d',
        log, counter, columns);
END
$$;
