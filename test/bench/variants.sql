-- The same event table several times over: bare; with what people write in
-- PL/pgSQL, to keep one counter or, as create_log does, a second one by day;
-- as a log, with the counter by day and without; bare and as a log that is
-- partitioned by month; and, where `pg_ivm` is set, with a view that pg_ivm keeps.
-- `tracks` says how many tracks there are.
CREATE EXTENSION playevent;

CREATE TABLE public.track (
    entry_key varchar(100) PRIMARY KEY,
    release_id bigint,
    is_deleted boolean NOT NULL DEFAULT false
);
INSERT INTO public.track SELECT 'track-' || n, n / 10, n % 50 = 0 FROM generate_series(1, :tracks) n;
VACUUM ANALYZE public.track;

CREATE SCHEMA measured;
SET search_path = measured, public;
SELECT playevent.create_log('play', track => 'public.track', track_deleted => 'is_deleted');

CREATE SCHEMA measured_without_day;
SET search_path = measured_without_day, public;
SELECT playevent.create_log('play', track => 'public.track', track_deleted => 'is_deleted', daily => false);
SET search_path = measured, public;

CREATE SCHEMA measured_partitioned;
SET search_path = measured_partitioned, public;
SELECT playevent.create_log('play', track => 'public.track', track_deleted => 'is_deleted', partition_by => 'month');
SET search_path = measured, public;

CREATE SCHEMA bare;
CREATE TABLE bare.play_event (LIKE measured.play_event INCLUDING ALL);
CREATE SCHEMA bare_partitioned;
CREATE TABLE bare_partitioned.play_event (LIKE measured_partitioned.play_event INCLUDING ALL) PARTITION BY RANGE (created_at);
SELECT format('CREATE TABLE bare_partitioned.%I PARTITION OF bare_partitioned.play_event FOR VALUES FROM (%L) TO (%L)',
           c.relname, p.since, p.until)
  FROM playevent.partitions('measured_partitioned.play_event') p JOIN pg_class c ON c.oid = p.part
\gexec

-- What all the rest looks up
CREATE FUNCTION public.resolve() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT release_id INTO NEW.release_id FROM public.track
     WHERE entry_key = NEW.track_entry_key AND NOT is_deleted;
    RETURN NEW;
END
$$;
CREATE FUNCTION public.resolve_with_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT release_id INTO NEW.release_id FROM public.track
     WHERE entry_key = NEW.track_entry_key AND NOT is_deleted;
    NEW.day := (coalesce(NEW.played_at, NEW.created_at) AT TIME ZONE 'UTC')::date;
    RETURN NEW;
END
$$;

CREATE SCHEMA row_triggers;
CREATE TABLE row_triggers.play_event (LIKE measured.play_event INCLUDING ALL);
CREATE TABLE row_triggers.play_counter (
    track_entry_key varchar(100), release_id bigint, bucket play_bucket, plays bigint NOT NULL,
    PRIMARY KEY (track_entry_key, release_id, bucket)
);
CREATE SCHEMA row_triggers_with_day;
CREATE TABLE row_triggers_with_day.play_event (LIKE measured.play_event INCLUDING ALL);
CREATE TABLE row_triggers_with_day.play_counter (LIKE row_triggers.play_counter INCLUDING ALL);
CREATE TABLE row_triggers_with_day.play_daily (
    track_entry_key varchar(100), release_id bigint, day date, plays bigint NOT NULL,
    PRIMARY KEY (track_entry_key, release_id, day)
);
CREATE SCHEMA transition_table;
CREATE TABLE transition_table.play_event (LIKE measured.play_event INCLUDING ALL);
CREATE TABLE transition_table.play_counter (LIKE row_triggers.play_counter INCLUDING ALL);
CREATE SCHEMA transition_table_with_day;
CREATE TABLE transition_table_with_day.play_event (LIKE measured.play_event INCLUDING ALL);
CREATE TABLE transition_table_with_day.play_counter (LIKE row_triggers.play_counter INCLUDING ALL);
CREATE TABLE transition_table_with_day.play_daily (LIKE row_triggers_with_day.play_daily INCLUDING ALL);

CREATE TRIGGER resolve BEFORE INSERT ON row_triggers.play_event
    FOR EACH ROW EXECUTE FUNCTION public.resolve();
CREATE TRIGGER resolve BEFORE INSERT ON row_triggers_with_day.play_event
    FOR EACH ROW EXECUTE FUNCTION public.resolve_with_day();
CREATE TRIGGER resolve BEFORE INSERT ON transition_table.play_event
    FOR EACH ROW EXECUTE FUNCTION public.resolve();
CREATE TRIGGER resolve BEFORE INSERT ON transition_table_with_day.play_event
    FOR EACH ROW EXECUTE FUNCTION public.resolve_with_day();

CREATE FUNCTION public.count_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO row_triggers.play_counter AS c
    VALUES (NEW.track_entry_key, coalesce(NEW.release_id, 0), NEW.bucket, 1)
    ON CONFLICT (track_entry_key, release_id, bucket) DO UPDATE SET plays = c.plays + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_row AFTER INSERT ON row_triggers.play_event
    FOR EACH ROW EXECUTE FUNCTION public.count_row();

CREATE FUNCTION public.count_row_with_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO row_triggers_with_day.play_counter AS c
    VALUES (NEW.track_entry_key, coalesce(NEW.release_id, 0), NEW.bucket, 1)
    ON CONFLICT (track_entry_key, release_id, bucket) DO UPDATE SET plays = c.plays + 1;
    INSERT INTO row_triggers_with_day.play_daily AS c
    VALUES (NEW.track_entry_key, coalesce(NEW.release_id, 0), NEW.day, 1)
    ON CONFLICT (track_entry_key, release_id, day) DO UPDATE SET plays = c.plays + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_row AFTER INSERT ON row_triggers_with_day.play_event
    FOR EACH ROW EXECUTE FUNCTION public.count_row_with_day();

-- Sorted, so that two statements meet in one order and can't deadlock
CREATE FUNCTION public.count_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO transition_table.play_counter AS c
    SELECT track_entry_key, coalesce(release_id, 0), bucket, count(*) FROM inserted
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (track_entry_key, release_id, bucket) DO UPDATE SET plays = c.plays + excluded.plays;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_statement AFTER INSERT ON transition_table.play_event
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION public.count_statement();

CREATE FUNCTION public.count_statement_with_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO transition_table_with_day.play_counter AS c
    SELECT track_entry_key, coalesce(release_id, 0), bucket, count(*) FROM inserted
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (track_entry_key, release_id, bucket) DO UPDATE SET plays = c.plays + excluded.plays;
    INSERT INTO transition_table_with_day.play_daily AS c
    SELECT track_entry_key, coalesce(release_id, 0), day, count(*) FROM inserted
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (track_entry_key, release_id, day) DO UPDATE SET plays = c.plays + excluded.plays;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_statement AFTER INSERT ON transition_table_with_day.play_event
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION public.count_statement_with_day();

-- A schema's name may not begin with pg_.
\if :{?pg_ivm}
CREATE EXTENSION pg_ivm;
CREATE SCHEMA ivm;
CREATE TABLE ivm.play_event (LIKE measured.play_event INCLUDING ALL);
CREATE TRIGGER resolve BEFORE INSERT ON ivm.play_event
    FOR EACH ROW EXECUTE FUNCTION public.resolve();
SELECT pgivm.create_immv('ivm.play_counter',
    'SELECT track_entry_key, coalesce(release_id, 0) AS release_id, bucket, count(*) AS plays
       FROM ivm.play_event GROUP BY 1, 2, 3');
\endif
