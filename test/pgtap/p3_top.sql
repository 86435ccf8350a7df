-- P3: top shows what a query on the log itself would: for keys of all types and
-- collations, however they are added up, from slots in several parts, in a
-- transaction that is under way, and no more than the caller may see.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(54);

CREATE SCHEMA t;
SET LOCAL search_path = t, public;
SET LOCAL client_min_messages = warning;
SELECT setseed(0.25);

-- What top should show, by the log.  Where equal keys may look different, `shown`
-- makes them look the same.
CREATE FUNCTION by_log(log regclass, col text, since date, until date, lim int, shown text DEFAULT 'key::text')
RETURNS TABLE (rank bigint, key text, plays bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT rank() OVER (ORDER BY plays DESC), %5$s, plays
           FROM (SELECT %1$I AS key, count(*) AS plays FROM %2$s
                  WHERE day BETWEEN %3$L AND %4$L AND %1$I IS NOT NULL GROUP BY 1
                  ORDER BY 2 DESC, 1 LIMIT $1) AS counted
          ORDER BY 1, key::text', col, log, since, until, shown) USING lim;
END
$$;

-- Leaves some keys several slots, as transactions would have that added to them
-- at once.
CREATE FUNCTION split_slots(slots regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record := (SELECT k FROM playevent.counter k WHERE k.counter_slot = slots);
BEGIN
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', slots);
    EXECUTE format('INSERT INTO %1$s (%2$s, %3$I) SELECT %2$s, n
                      FROM (SELECT * FROM %1$s WHERE random() < 0.3 OFFSET 0) AS s CROSS JOIN (VALUES (3), (-3), (0)) AS v(n)',
        slots, (SELECT string_agg(quote_ident(x), ', ') FROM unnest(c.columns) x), c.count_column);
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER ALL', slots);
END
$$;

--
-- All types of keys
--

CREATE TYPE song AS ENUM ('z', 'y', 'x', 'w', 'v', 'u');
CREATE DOMAIN short_text AS text CHECK (length(VALUE) < 9);
CREATE DOMAIN shorter_text AS short_text;
CREATE DOMAIN whole AS int CHECK (VALUE >= 0);
CREATE DOMAIN coded AS char(4);
SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS has_icu \gset
\if :has_icu
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION upper_first (provider = icu, locale = 'und-u-kf-upper');
\else
CREATE COLLATION any_case FROM "C";
CREATE COLLATION upper_first FROM "C";
\endif
CREATE TABLE key_type (name text, type text, made_from text, shown text DEFAULT 'key::text');
INSERT INTO key_type (name, type, made_from) VALUES
    ('text', 'text', $$'k' || n$$),
    ('text, long and short', 'text', $$repeat('long ', n * 25) || n$$),
    ('text, too long for a batch', 'text', $$repeat(md5(n::text), 20 * (n % 5)) || n$$),
    ('text in order of C', 'text COLLATE "C"', $$chr(60 + n) || 'k'$$),
    ('text in an order of its own', 'text COLLATE upper_first', $$chr(60 + n) || 'k'$$),
    ('varchar', 'varchar(20)', $$'k' || n$$),
    ('character', 'char(6)', $$'k' || n$$),
    ('character of any length', 'bpchar', $$'k' || n || repeat(' ', i % 4)$$),
    ('name', 'name', $$'k' || n$$),
    ('bytea', 'bytea', $$int4send(n)$$),
    ('uuid', 'uuid', $$md5(n::text)::uuid$$),
    ('smallint', 'smallint', $$n - 20$$),
    ('int', 'int', $$n * 100 - 1000$$),
    ('bigint', 'bigint', $$n::bigint * 4294967296 + n % 3$$),
    ('boolean', 'boolean', $$n % 2 = 0$$),
    ('inet', 'inet', $$inet '10.0.0.0' + n$$),
    ('an enum', 'song', $$(enum_range(NULL::song))[1 + n % 6]$$),
    ('a domain', 'shorter_text', $$'k' || n$$),
    ('a domain over int', 'whole', $$n * 100$$),
    ('a domain over character', 'coded', $$'k' || n$$),
    ('an array', 'int[]', $$ARRAY[n % 7, n]$$);
-- Of these, equal keys may look different.
INSERT INTO key_type VALUES
    ('text whatever its case', 'text COLLATE any_case', $$chr(60 + n)$$, 'lower(key)'),
    ('numeric', 'numeric', $$round(n / 7.0, i % 2 + 1) * 10$$, 'trim_scale(key::numeric)::text'),
    ('double precision', 'float8', $$CASE WHEN n % 9 > 0 THEN n % 9 WHEN i % 2 > 0 THEN '-0' ELSE 0 END$$, 'abs(key::float8)::text');

-- Makes a log with releases of that type and 600 plays, split; what differs of
-- its charts, for several lengths.  Nulls are no releases.
CREATE FUNCTION differs(of key_type) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    lim int;
BEGIN
    DROP TABLE IF EXISTS played, played_counter_slot, played_daily_slot, known CASCADE;
    EXECUTE format('CREATE TABLE known (entry_key text PRIMARY KEY, gone int, release_id %s)', of.type);
    ALTER TABLE known DROP COLUMN gone;
    EXECUTE format('CREATE TABLE played (gone int, track_entry_key text NOT NULL, release_id %s, bucket text NOT NULL, day date)', of.type);
    ALTER TABLE played DROP COLUMN gone;
    EXECUTE format('INSERT INTO played SELECT ''k'' || n, CASE WHEN n %% 8 > 0 THEN %s END, ''most'', date ''2026-01-01'' + (random() * 3)::int
                      FROM (SELECT i, (60 * random() * random())::int AS n FROM generate_series(1, 600) i OFFSET 0) AS drawn',
        of.made_from);
    PERFORM playevent.attach_log('played', 'known', kinds => '{most}');
    PERFORM playevent.add_counter('played', 'played_daily', '{day,track_entry_key,release_id}');
    PERFORM t.split_slots('played_daily_slot');
    FOREACH lim IN ARRAY '{NULL,0,1,2,10,30,1000}'::int[] LOOP
        RETURN QUERY EXECUTE format(
            'SELECT format(''of %%s: %%s instead of %%s'', coalesce($1::text, ''all''), shown, l)
               FROM (SELECT row_number() OVER (%3$s) AS n, t.rank, t.plays, %1$s AS key
                       FROM playevent.top(''played'', ''2026-01-02'', ''2026-01-03'', ''release'', $1) AS t) AS shown
               FULL JOIN (SELECT row_number() OVER (%3$s) AS n, l.rank, l.plays, l.key
                            FROM t.by_log(''played'', ''release_id'', ''2026-01-02'', ''2026-01-03'', $1, %2$L) AS l) AS l USING (n)
              WHERE (shown.rank, shown.plays, shown.key) IS DISTINCT FROM (l.rank, l.plays, l.key)',
            of.shown, of.shown, CASE WHEN of.shown <> 'key::text' THEN 'ORDER BY rank, ' || of.shown END) USING lim;
    END LOOP;
END
$$;
SELECT is_empty(format('SELECT differs(k) FROM key_type k WHERE name = %L', name),
    'P3: top by releases of type ' || name || ', as the log has it')
  FROM key_type;

--
-- Tracks of a partitioned log; counts that are not above 0
--

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track SELECT 'k' || n, n % 10 FROM generate_series(1, 100) n;
CREATE TABLE play_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL, day date NOT NULL)
    PARTITION BY RANGE (day);
CREATE TABLE play_january PARTITION OF play_event FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE play_later (day date NOT NULL, gone int, release_id int, bucket text NOT NULL, track_entry_key text NOT NULL);
ALTER TABLE play_later DROP COLUMN gone;
ALTER TABLE play_event ATTACH PARTITION play_later DEFAULT;
SELECT playevent.attach_log('play_event', 'track', kinds => '{most}') AS log \gset
SELECT playevent.add_counter('play_event', 'play_daily', '{track_entry_key,release_id,day}') AS counter \gset
ALTER TABLE play_daily_slot ADD COLUMN gone text DEFAULT 'gone';
ALTER TABLE play_daily_slot DROP COLUMN gone;
INSERT INTO play_event
SELECT 'k' || (120 * random() * random())::int, NULL, 'most', date '2026-01-01' + (random() * 60)::int FROM generate_series(1, 1000);
SELECT split_slots('play_daily_slot');
CREATE VIEW shown AS SELECT t.* FROM playevent.top('play_event', '2026-01-16', '2026-02-15') AS t;
CREATE VIEW logged AS SELECT l.* FROM by_log('play_event', 'track_entry_key', '2026-01-16', '2026-02-15', 100) AS l;
SELECT results_eq('TABLE shown', 'TABLE logged', 'P3: top by track of a partitioned log, as the log has it');
SELECT results_eq($$SELECT * FROM playevent.top('play_event', '2026-01-16', '2026-02-15', 'release', 7)$$,
    $$SELECT * FROM by_log('play_event', 'release_id', '2026-01-16', '2026-02-15', 7)$$, 'P3: and by release');
SELECT cmp_ok((SELECT count(*) FROM play_daily_slot), '>', (SELECT count(*) FROM play_daily), 'of several slots a key');

INSERT INTO play_event SELECT 'k' || n % 5, NULL, 'most', '2026-02-01' FROM generate_series(1, 50) n;
SELECT results_eq('TABLE shown', 'TABLE logged', 'P3: top sees what its own transaction has played');
SAVEPOINT s;
INSERT INTO play_event SELECT 'k7', NULL, 'most', '2026-02-01' FROM generate_series(1, 50) n;
SELECT is((SELECT key FROM shown LIMIT 1), 'k7', 'P3: in a savepoint too');
ROLLBACK TO s;
SELECT results_eq('TABLE shown', 'TABLE logged', 'P3: and not what it has undone');
DECLARE chart CURSOR FOR TABLE shown;
CREATE TABLE expected AS TABLE logged;
INSERT INTO play_event SELECT 'k8', NULL, 'most', '2026-02-01' FROM generate_series(1, 500) n;
SELECT results_eq('FETCH ALL chart', 'TABLE expected', 'P3: a cursor shows what was there when it was opened');

SAVEPOINT s;
ALTER TABLE play_daily_slot DISABLE TRIGGER USER;
INSERT INTO play_daily_slot VALUES
    ('less', 1, '2030-01-01', -4), ('less', 1, '2030-01-02', 1), ('none', 2, '2030-01-01', 4), ('none', 2, '2030-01-02', -4),
    ('one', NULL, '2030-01-01', 3), ('one', NULL, '2030-01-02', -2), (NULL, NULL, '2030-01-02', 9);
SELECT results_eq($$SELECT * FROM playevent.top('play_event', '2030-01-01', '2030-01-02')$$, $$VALUES (1::bigint, 'one', 1::bigint)$$,
    'counts that are not above 0 are left out');
SELECT is_empty($$SELECT * FROM playevent.top('play_event', '2030-01-01', '2030-01-02', 'release')$$, 'all of them if need be');
INSERT INTO play_daily_slot VALUES
    ('much', 1, '2030-02-01', 9007199254740993), ('much', 1, '2030-02-01', 9214364837600034814);
SELECT results_eq($$SELECT * FROM playevent.top('play_event', '2030-02-01', '2030-02-01')$$,
    $$VALUES (1::bigint, 'much', 9223372036854775807::bigint)$$, 'a count as large as may be');
INSERT INTO play_daily_slot VALUES ('much', 1, '2030-02-01', 1);
SELECT throws_ok($$SELECT * FROM playevent.top('play_event', '2030-02-01', '2030-02-01')$$, '22003', 'bigint out of range', 'and no larger');
ROLLBACK TO s;

--
-- Memory
--

-- 60,000 keys take some 3 MB, and 6,000 0.5 MB; the limit is twice work_mem.
SET LOCAL hash_mem_multiplier = 2;
ALTER TABLE play_daily_slot DISABLE TRIGGER USER;
INSERT INTO play_daily_slot SELECT 'many ' || n, n, '2030-03-01', 1 + n % 1000 FROM generate_series(1, 60000) n;
ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;
ALTER TABLE play_daily_slot ENABLE ALWAYS TRIGGER playevent_slot_guard, ENABLE ALWAYS TRIGGER playevent_slot_guard_row;
ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;
CREATE TABLE in_memory AS SELECT * FROM playevent.top('play_event', '2030-03-01', '2030-03-01', lim => 200);
CREATE TABLE ids_in_memory AS SELECT * FROM playevent.top('play_event', '2030-03-01', '2030-03-01', 'release', lim => 200);
SELECT results_eq('TABLE in_memory', $$
    SELECT rank() OVER (ORDER BY plays DESC), track_entry_key, plays
      FROM (SELECT track_entry_key, plays FROM play_daily_slot WHERE day = '2030-03-01' ORDER BY 2 DESC, 1 LIMIT 200) AS most
     ORDER BY 1, 2$$, 'P3: many keys, in memory');
CREATE FUNCTION top_with(work_mem text, by text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER FUNCTION playevent.top SET work_mem = %L', work_mem);
    RETURN QUERY SELECT * FROM playevent.top('play_event', '2030-03-01', '2030-03-01', by, 200);
END
$$;
SELECT results_eq($$SELECT * FROM top_with('1MB', 'track') AS t (rank bigint, key text, plays bigint)$$, 'TABLE in_memory',
    'P3: many keys, with little memory');
SELECT results_eq($$SELECT * FROM top_with('1MB', 'release') AS t (rank bigint, key text, plays bigint)$$, 'TABLE ids_in_memory',
    'P3: so for numbers');
SELECT results_eq($$SELECT * FROM top_with('64kB', 'track') AS t (rank bigint, key text, plays bigint)$$, 'TABLE in_memory',
    'P3: and with next to no memory');
SELECT results_eq($$SELECT * FROM top_with('64MB', 'track') AS t (rank bigint, key text, plays bigint)$$, 'TABLE in_memory',
    'P3: as with much');

-- Rows that come from workers are where the next one is to be.
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_indexscan = off;
CREATE FUNCTION plan_to_read() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXPLAIN SELECT track_entry_key, plays FROM t.play_daily_slot WHERE day BETWEEN '2030-03-01' AND '2030-03-01';
END
$$;
SELECT matches(string_agg(p, ' '), 'Gather', 'slots read by workers') FROM plan_to_read() AS p;
SELECT results_eq($$SELECT * FROM playevent.top('play_event', '2030-03-01', '2030-03-01', lim => 200)$$, 'TABLE in_memory',
    'P3: are added up as well');

--
-- Rights
--

CREATE ROLE t_reader;
CREATE SCHEMA t_types;
CREATE TYPE t_types.number AS ENUM ('1', '2', '3');
CREATE COLLATION t_types.c FROM "C";
CREATE TABLE heard (entry_key text COLLATE t_types.c PRIMARY KEY, release_id t_types.number, number int);
INSERT INTO heard (entry_key, release_id) VALUES ('a', '1'), ('b', '2'), ('c', NULL);
SELECT playevent.create_log('hear', 'heard') AS log \gset
INSERT INTO hear_event (track_entry_key, bucket) VALUES ('a', 'most'), ('b', 'most'), ('b', 'most'), ('c', 'most');
CREATE FUNCTION chart(by text DEFAULT 'track') RETURNS SETOF text LANGUAGE sql AS $$
SELECT concat_ws(' ', t.rank, t.key, t.plays) FROM playevent.top('t.hear_event', '2026-01-01', '2126-01-01', by) AS t
$$;
GRANT USAGE ON SCHEMA t, playevent TO t_reader;
SET LOCAL ROLE t_reader;
SELECT throws_ok('SELECT chart()', '42501', 'permission denied for table hear_daily_slot', 'P8: top needs SELECT on the slots');
RESET ROLE;
GRANT SELECT (track_entry_key, day, hears) ON hear_daily_slot TO t_reader;
SET LOCAL ROLE t_reader;
SELECT results_eq('SELECT chart()', $$VALUES ('1 b 2'), ('2 a 1'), ('2 c 1')$$, 'P8: on the columns that it reads');
SELECT throws_ok($$SELECT chart('release')$$, '42501', 'permission denied for table hear_daily_slot', 'P8: on all of these');
RESET ROLE;
GRANT SELECT ON hear_daily_slot TO t_reader;
SET LOCAL ROLE t_reader;
SELECT results_eq($$SELECT chart('release')$$, $$VALUES ('1 2 2'), ('2 1 1')$$, 'P8: and none on the schema of their types');
RESET ROLE;
ALTER TABLE hear_daily_slot ENABLE ROW LEVEL SECURITY;
SET LOCAL ROLE t_reader;
SELECT throws_ok('SELECT chart()', '42501', 'query would be affected by row-level security policy for table "hear_daily_slot"',
    'P8: rows that a policy hides are not left out without a word');
RESET ROLE;
CREATE FUNCTION hide(key text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'run by %', current_user; END$$;
CREATE POLICY p ON hear_daily_slot TO t_reader USING (t.hide(track_entry_key));
SET LOCAL ROLE t_reader;
SELECT throws_ok('SELECT chart()', '42501', 'query would be affected by row-level security policy for table "hear_daily_slot"',
    'P8: nor is the policy run');
SET LOCAL row_security = off;
SELECT throws_ok('SELECT chart()', '42501', NULL, 'P8: nor are they left out without a word');
RESET ROLE;
SET LOCAL row_security = on;

--
-- Names that need quotes
--

CREATE TABLE "Plays of ""it" ("the ""Key" text NOT NULL, "select" int, "Kind" text NOT NULL, "Day" date NOT NULL);
SELECT playevent.attach_log('"Plays of ""it"', 'heard', key_column => 'the "Key', release_column => 'select', kind_column => 'Kind', kinds => '{x}',
    track_release => 'number') AS log \gset
SELECT playevent.add_counter('"Plays of ""it"', 'by "Day"', '{"the \"Key",select,Day}') AS counter \gset
INSERT INTO "Plays of ""it" ("the ""Key", "Kind", "Day") VALUES ('a', 'x', '2026-01-01'), ('b', 'x', '2026-01-01'), ('b', 'x', '2026-01-02'), ('c', 'x', '2025-12-31');
SELECT results_eq($$SELECT * FROM playevent.top('"Plays of ""it"', '2026-01-01', '2026-01-02')$$,
    $$VALUES (1::bigint, 'b', 2::bigint), (2, 'a', 1)$$, 'P9: with names that need quotes');
SELECT throws_ok($$SELECT * FROM playevent.top('play_event', '2026-01-01', '2026-01-01', 'track', -1)$$, '2201W', 'LIMIT must not be negative', 'P9: fewer than none');

-- The day is the log's, and no other date that something is counted by.
SELECT playevent.create_log('preview', 'heard', track_release => 'number');
ALTER TABLE preview_event ADD birthday date;
SELECT playevent.add_counter('preview_event', 'by_birthday', '{track_entry_key,birthday}'), playevent.add_counter('preview_event', 'birthdays', '{birthday}');
INSERT INTO preview_event (track_entry_key, bucket, birthday) VALUES ('k1', 'most', '1990-01-01'), ('k1', 'most', '1991-01-01'), ('k2', 'most', now()::date);
SELECT results_eq($$SELECT * FROM playevent.top('preview_event')$$, $$VALUES (1::bigint, 'k1', 2::bigint), (2, 'k2', 1)$$, 'P3: top is by the day that plays count for');
SELECT results_eq($$SELECT sum(plays) FROM playevent.series('preview_event')$$, 'VALUES (3::numeric)', 'P3: so is series');
SELECT playevent.add_counter('preview_event', 'by_track', '{track_entry_key,day}');
SELECT is((SELECT slot::text FROM playevent.day_counter('preview_event', 'track_entry_key')), 'preview_daily_slot', 'P8: the counter is read that readers have rights on, though another has fewer columns');

SELECT * FROM finish();
ROLLBACK;
