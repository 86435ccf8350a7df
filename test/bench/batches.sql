-- The plays of table drawn, in batches of 1,000, and how to send them: each is
-- a transaction.
CREATE TABLE public.batch AS
SELECT (n - 1) / 1000 AS n, array_agg(track_entry_key ORDER BY n) AS track_entry_keys,
       array_agg(bucket ORDER BY n) AS buckets, array_agg(gen_random_uuid()) AS event_ids
  FROM (SELECT *, row_number() OVER () AS n FROM public.drawn) AS plays
 GROUP BY 1;
CREATE UNIQUE INDEX ON public.batch (n);
VACUUM ANALYZE public.batch;

CREATE PROCEDURE public.send(statement text, first int, last int) LANGUAGE plpgsql AS $$
DECLARE
    sent public.batch;
BEGIN
    FOR i IN first .. last LOOP
        SELECT * INTO STRICT sent FROM public.batch WHERE n = i;
        EXECUTE statement USING sent.track_entry_keys, sent.buckets, sent.event_ids;
        COMMIT;
    END LOOP;
END
$$;
