-- A log of this name, partitioned by month, in the current schema, with tracks k1
-- and k2; from two months ago to the next one.
CREATE FUNCTION make_partitioned(log text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    month date;
BEGIN
    CREATE TABLE IF NOT EXISTS track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
    INSERT INTO track VALUES ('k1', 7), ('k2', 8) ON CONFLICT DO NOTHING;
    EXECUTE format('CREATE TABLE %I (
        id bigint GENERATED ALWAYS AS IDENTITY, track_entry_key varchar(100) NOT NULL, release_id bigint,
        bucket text NOT NULL, event_id uuid, anon_id text, created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at)', log || '_event');
    FOR n IN -2..1 LOOP
        month := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n);
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            format('%s_%s', log, n + 3), log || '_event',
            month || ' 00:00+00', (month + interval '1 month')::date || ' 00:00+00');
    END LOOP;
    PERFORM playevent.attach_log((log || '_event')::regclass, track => 'track', kinds => '{partial,most,complete}',
        created_column => 'created_at');
END
$$;
