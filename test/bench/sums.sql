-- More of variants.sql: a log with a further counter, of rows or of what a column
-- adds up to.
DO $$
DECLARE
    of text;
BEGIN
    FOREACH of IN ARRAY '{rows,sums}'::text[] LOOP
        EXECUTE format('CREATE SCHEMA %I', 'measured_' || of);
        EXECUTE format('SET LOCAL search_path = %I, public', 'measured_' || of);
        PERFORM playevent.create_log('play', track => 'public.track', track_deleted => 'is_deleted');
        ALTER TABLE play_event ADD seconds int DEFAULT 200;
        PERFORM playevent.add_counter('play_event', 'play_further', '{track_entry_key,day}', CASE of WHEN 'sums' THEN 'seconds' END);
    END LOOP;
END
$$;
