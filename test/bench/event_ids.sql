-- More of variants.sql, for plays with an event_id: a log that is partitioned by
-- month, without anything that keeps event_ids apart, as create_log does it, and
-- with an index on the time in its key table.
DO $$
DECLARE
    schema text;
BEGIN
    FOREACH schema IN ARRAY '{measured_partitions,measured_keys,measured_indexed_keys}'::text[] LOOP
        EXECUTE format('CREATE SCHEMA %I', schema);
        EXECUTE format('SET LOCAL search_path = %I, public', schema);
        CREATE TABLE play_event (LIKE measured.play_event INCLUDING DEFAULTS INCLUDING IDENTITY INCLUDING CONSTRAINTS,
            PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
        FOR n IN -2..3 LOOP
            EXECUTE format('CREATE TABLE play_event_%s PARTITION OF play_event FOR VALUES FROM (%L) TO (%L)', n + 3,
                date_trunc('month', now()) + make_interval(months => n), date_trunc('month', now()) + make_interval(months => n + 1));
        END LOOP;
        PERFORM playevent.attach_log('play_event', track => 'public.track', track_deleted => 'is_deleted',
            kind_column => 'bucket', created_column => 'created_at');
    END LOOP;
    DROP TRIGGER playevent_dedupe ON measured_partitions.play_event;
    CREATE INDEX ON measured_indexed_keys.play_event_key (created_at);
END
$$;
