-- P11: the manifest proves what a retired partition held: whatever is changed in an
-- archive, in what was retired of counters, or in the manifest, is found and named.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(73);

CREATE SCHEMA p;
SET LOCAL search_path = p, public;
SET LOCAL client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k, "4"', 1);
\ir include/months.sql

SELECT playevent.create_log('play', 'track', partition_by => 'month', heard => true);
SELECT make_months('play_event');
-- What CSV quotes, what it does not, and what settings change
ALTER TABLE play_event ADD made_by regproc, ADD paid money, ADD note text, ADD data bytea, ADD span interval, ADD amount double precision, ADD "a ""name"", of all" text, ADD dropped int;
INSERT INTO play_event (track_entry_key, bucket, created_at, anon_id, heard, made_by, paid, note, data, span, amount, "a ""name"", of all", dropped)
SELECT CASE n % 4 WHEN 3 THEN 'k, "4"' ELSE 'k' || n % 4 END, (ARRAY['partial', 'most', 'complete'])[1 + n % 3]::play_bucket, month(-6) + n * interval '7 hours',
       CASE WHEN n % 4 > 0 THEN 'l' || n % 11 END, random(), 'now', n * 1000.5::float8::numeric::money,
       (ARRAY['', NULL, 'plain', ' blank ', 'a,b', 'a"b', '"', E'two\nlines', E'return\r', '\.', E'tab\t', '\N', 'NULL', '""', 'Ünïcödé ♫ 🎵', E'back\\slash', ';', ''''])[1 + n % 18],
       sha256(n::text::bytea), n * interval '1 day 3 hours 0.5 second', 1.0 / (n + 1), nullif('x' || n, 'x5'), n
  FROM generate_series(0, 500) n;
ALTER TABLE play_event DROP dropped;
SELECT playevent.add_counter('play_event', 'wide', '{anon_id,track_entry_key,bucket}');
SET LOCAL timezone = 'Asia/Kathmandu';
SET LOCAL datestyle = 'SQL, DMY';
SET LOCAL intervalstyle = 'iso_8601';
SET LOCAL bytea_output = 'escape';
SET LOCAL extra_float_digits = -5;
SET LOCAL quote_all_identifiers = on;
SELECT playevent.seal('play_event', month(-3));
SELECT playevent.retire('play_event', month(-4)), playevent.retire('play_event', month(-3));

CREATE FUNCTION problems(archive regclass DEFAULT 'play_event_m6') RETURNS text LANGUAGE sql AS
$$SELECT string_agg(problem, '; ') FROM playevent.verify_archive('play_event', archive)$$;

SELECT is(problems('play_event_m6'), NULL, 'P11: an archive is as the manifest says');
SELECT is(problems('play_event_m5'), NULL, 'P11: another is');
SELECT is(problems('play_event_m4'), NULL, 'P11: and the last');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('play_event', 'play_event_m6')$$, 'P11: no row means none') ;

-- Digests are what COPY writes.
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, YMD';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL bytea_output = 'hex';
SET LOCAL extra_float_digits = 1;
SET LOCAL lc_monetary = 'C';
SET LOCAL quote_all_identifiers = off;
SELECT is(problems(), NULL, 'P11: whatever the settings are');
CREATE FUNCTION copied(query text) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COPY (%s) TO %L (FORMAT csv, ENCODING ''UTF8'')', query, current_setting('data_directory') || '/p11_archive.csv');
    RETURN sha256(pg_read_binary_file('p11_archive.csv'));
END
$$;
SELECT is((SELECT digest FROM play_manifest WHERE part = 'play_event_m' || m AND action = 'seal'),
    copied(format('SELECT id, track_entry_key, release_id, bucket, event_id, created_at, played_at, day, heard, made_by, paid, note, data, span, amount, "a ""name"", of all"
                     FROM %I ORDER BY id', 'play_event_m' || m)), 'P11: the digest of rows is that of what COPY writes: ' || m)
  FROM generate_series(4, 6) m;
DO $$BEGIN
    EXECUTE format('COPY (SELECT) TO PROGRAM %L', 'cat; rm ' || current_setting('data_directory') || '/p11_archive.csv');
END$$;
SELECT results_eq('SELECT n, first_id, last_id FROM play_manifest WHERE action = ''seal'' ORDER BY entry',
    'SELECT count(*), min(id), max(id) FROM play_event_m6 UNION ALL SELECT count(*), min(id), max(id) FROM play_event_m5
     UNION ALL SELECT count(*), min(id), max(id) FROM play_event_m4', 'P11: and which rows these are');

-- A manifest that came alone, without what makes its columns NOT NULL
CREATE TABLE copied_manifest AS SELECT * FROM play_manifest;
SET LOCAL quote_all_identifiers = on;
SELECT is_empty($$SELECT * FROM playevent.verify_archive('copied_manifest')$$, 'P11: a copy of a manifest is in order, however names are quoted');
SET LOCAL quote_all_identifiers = off;
UPDATE copied_manifest SET digest = NULL WHERE part = 'play_event_m6' AND action = 'seal';
SELECT ok('table play_event_m6: its rows are not those that entry 1 of the manifest tells of' IN (SELECT playevent.verify_archive('copied_manifest', 'play_event_m6')), 'P11: a digest that is gone');
UPDATE copied_manifest SET hash = NULL WHERE entry = (SELECT max(entry) FROM copied_manifest);
SELECT matches((SELECT string_agg(p, ', ') FROM playevent.verify_archive('copied_manifest') AS p), 'manifest: entry \d+ was changed$', 'P11: the last hash that is gone');
DROP TABLE copied_manifest;

-- A hash of an entry is that of all other columns, in JSON.
SELECT is_empty($$SELECT entry FROM play_manifest m WHERE hash <> sha256(convert_to((to_jsonb(m) - 'hash')::text, 'UTF8'))$$, 'P11: hashes can be computed without playevent');
SELECT is_empty($$SELECT entry FROM (SELECT entry, previous, lag(hash) OVER (ORDER BY entry) AS hash FROM play_manifest) m WHERE previous IS DISTINCT FROM hash$$,
    'P11: each has the one before');

--
-- The archive
--

CREATE FUNCTION forge(VARIADIC statements text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    rel text;
    statement text;
BEGIN
    FOREACH rel IN ARRAY '{play_event_m6,play_event_m5,play_counter_retired,play_daily_retired,wide_retired,play_manifest}'::text[] LOOP
        CONTINUE WHEN to_regclass(rel) IS NULL;
        EXECUTE format('ALTER TABLE %I DISABLE TRIGGER USER', rel);
    END LOOP;
    FOREACH statement IN ARRAY statements LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
-- A title, what is done, and what is said
CREATE TABLE forgery (n int GENERATED ALWAYS AS IDENTITY, title text, statements text[], said text);
INSERT INTO forgery (title, statements, said) VALUES
    ('nothing', '{}', NULL),
    ('a listener taken out', '{UPDATE play_event_m6 SET anon_id = NULL}', NULL),
    ('a changed row', ARRAY['UPDATE play_event_m6 SET note = ''other'' WHERE id = 7'], 'ROWS'),
    ('an empty string for NULL', ARRAY['UPDATE play_event_m6 SET note = '''' WHERE id = (SELECT min(id) FROM play_event_m6 WHERE note IS NULL)'], 'ROWS'),
    ('a moment', ARRAY['UPDATE play_event_m6 SET created_at = created_at + interval ''1 microsecond'' WHERE id = 7'], 'ROWS'),
    ('a number', ARRAY['UPDATE play_event_m6 SET amount = amount + 1e-15 WHERE id = 7'], 'ROWS'),
    ('two values swapped between columns', ARRAY['UPDATE play_event_m6 SET note = "a ""name"", of all", "a ""name"", of all" = note WHERE id = 7'],
     'ROWS'),
    ('two rows that change places', ARRAY['UPDATE play_event_m6 SET note = CASE id WHEN 7 THEN ''plain'' ELSE '' blank '' END WHERE id IN (7, 8)'], 'ROWS'),
    ('a missing row', ARRAY['DELETE FROM play_event_m6 WHERE id = 7'],
     'table play_event_m6 has %d rows, and had %d; ROWS; COUNTERS'),
    ('the first row missing', ARRAY['DELETE FROM play_event_m6 WHERE id = (SELECT min(id) FROM play_event_m6)'],
     'table play_event_m6 has %d rows, and had %d; table play_event_m6 has ids from 2 to %d, and had those from 1 to %d; ROWS; COUNTERS'),
    ('an added row', ARRAY['INSERT INTO play_event_m6 (id, track_entry_key, bucket, created_at, day) SELECT 100000, track_entry_key, bucket, created_at, day FROM play_event_m6 WHERE id = 7'], 'table play_event_m6 has %d rows, and had %d; table play_event_m6 has ids from 1 to 100000, and had those from 1 to %d; ROWS; COUNTERS'),
    ('all rows missing', ARRAY['DELETE FROM play_event_m6'], 'table play_event_m6 has 0 rows, and had %d; table play_event_m6 has ids from  to , and had those from 1 to %d; ROWS; COUNTERS'),
    ('a changed release', ARRAY['UPDATE play_event_m6 SET release_id = 99 WHERE id = 7'],
     'ROWS; COUNTERS'),
    ('a count more', ARRAY['UPDATE play_counter_retired SET plays = plays + 1 WHERE ctid = (SELECT min(ctid) FROM play_counter_retired)'],
     'counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says'),
    ('a pair of changes', ARRAY['UPDATE play_counter_retired SET plays = plays + CASE bucket WHEN ''most'' THEN 1 ELSE -1 END WHERE track_entry_key = ''k1'' AND bucket <> ''partial'''],
     'counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says'),
    ('counts of two keys exchanged', ARRAY['UPDATE wide_retired w SET plays = o.plays FROM wide_retired o
        WHERE (w.anon_id = ''l1'' AND o.anon_id = ''l2'' OR w.anon_id = ''l2'' AND o.anon_id = ''l1'') AND w.track_entry_key = o.track_entry_key AND w.bucket = o.bucket AND w.track_entry_key = ''k1''',
        'UPDATE wide_retired SET plays = plays + 1 WHERE anon_id = ''l3'' AND track_entry_key = ''k1'''],
     'counter by anon_id, track_entry_key, bucket: what was retired is not what the manifest says'),
    ('a key missing', ARRAY['DELETE FROM play_daily_retired WHERE ctid = (SELECT min(ctid) FROM play_daily_retired)'], 'counter by track_entry_key, release_id, day: what was retired is not what the manifest says'),
    ('a key added', ARRAY['INSERT INTO play_daily_retired (track_entry_key, day, plays) VALUES (''new'', ''2026-01-01'', 1)'], 'counter by track_entry_key, release_id, day: what was retired is not what the manifest says'),
    ('a key of nothing', ARRAY['INSERT INTO play_daily_retired (track_entry_key, day, plays) VALUES (''new'', ''2026-01-01'', 0)'], NULL),
    ('another key', ARRAY['UPDATE play_daily_retired SET track_entry_key = ''new'' WHERE ctid = (SELECT min(ctid) FROM play_daily_retired)'], 'counter by track_entry_key, release_id, day: what was retired is not what the manifest says'),
    ('all of a counter', ARRAY['DELETE FROM play_daily_retired'], 'counter by track_entry_key, release_id, day: what was retired is not what the manifest says'),
    ('two counters', ARRAY['UPDATE play_counter_retired SET plays = plays + 1', 'UPDATE wide_retired SET plays = plays * 2'],
     'counter by anon_id, track_entry_key, bucket: what was retired is not what the manifest says; counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says'),
    ('the first entry', '{DELETE FROM play_manifest WHERE entry = 1}', 'manifest: entry 1 is missing; manifest: no entry tells of table play_event_m6'),
    ('one in the middle', '{DELETE FROM play_manifest WHERE entry = 3}', 'manifest: entry 3 is missing'),
    ('two in the middle', '{DELETE FROM play_manifest WHERE entry IN (2\, 3)}', 'manifest: entry 2 is missing'),
    ('the last', '{DELETE FROM play_manifest WHERE entry = (SELECT max(entry) FROM play_manifest)}', 'RETIRED'),
    ('all', '{DELETE FROM play_manifest}', 'RETIRED; manifest: no entry tells of table play_event_m6'),
    ('a number of rows', '{UPDATE play_manifest SET n = n + 1 WHERE entry = 2}', 'manifest: entry 2 was changed'),
    ('who it was', '{UPDATE play_manifest SET noted_by = $$nobody$$ WHERE entry = 4}', 'manifest: entry 4 was changed'),
    ('a hash', '{UPDATE play_manifest SET hash = sha256($$x$$) WHERE entry = 3}', 'manifest: entry 3 was changed; manifest: entry 4 does not follow the one before'),
    ('an entry and its hash', '{UPDATE play_manifest SET n = n + 1 WHERE entry = 3,"UPDATE play_manifest m SET hash = sha256(convert_to((to_jsonb(m) - $$hash$$)::text, $$UTF8$$)) WHERE entry = 3"}',
     'manifest: entry 4 does not follow the one before'),
    ('two swapped', '{UPDATE play_manifest SET entry = -entry WHERE entry IN (2\, 3),UPDATE play_manifest SET entry = 5 + entry WHERE entry < 0}',
     'manifest: entry 2 was changed; manifest: entry 3 was changed; manifest: entry 4 does not follow the one before'),
    ('two swapped, with new hashes', '{UPDATE play_manifest SET entry = -entry WHERE entry IN (2\, 3),UPDATE play_manifest SET entry = 5 + entry WHERE entry < 0,"UPDATE play_manifest m SET hash = sha256(convert_to((to_jsonb(m) - $$hash$$)::text, $$UTF8$$)) WHERE entry IN (2, 3)"}',
     'manifest: entry 2 does not follow the one before; manifest: entry 3 does not follow the one before; manifest: entry 4 does not follow the one before'),
    ('an entry made up', '{INSERT INTO play_manifest (entry\, action) VALUES (100\, $$retire$$)}', 'manifest: entry %d is missing');

UPDATE forgery SET statements = ARRAY(SELECT replace(s, '\,', ',') FROM unnest(statements) s);
CREATE FUNCTION said_after(number int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    BEGIN
        PERFORM forge(VARIADIC ARRAY['SELECT'] || f.statements) FROM forgery f WHERE n = number;
        said := coalesce(problems(), 'nothing');
        RAISE EXCEPTION SQLSTATE 'PT000' USING MESSAGE = said;
    EXCEPTION WHEN SQLSTATE 'PT000' THEN
        RETURN said;
    END;
END
$$;
UPDATE forgery SET said = replace(replace(replace(replace(said, '%d', '%'), 'ROWS', 'table play_event_m6: its rows are not those that entry 1 of the manifest tells of'),
    'COUNTERS', 'table play_event_m6: its counts by % are not those that it had'),
    'RETIRED', 'counter by anon_id, track_entry_key, bucket: what was retired is not what the manifest says; counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says; counter by track_entry_key, release_id, day: what was retired is not what the manifest says');
SELECT alike(said_after(n), coalesce(said, 'nothing'), 'P11: ' || title) FROM forgery ORDER BY n;
SELECT is(problems(), NULL, 'P11: rolled back, all is well');

--
-- Archives that were restored from somewhere, and logs that have changed
--

CREATE SCHEMA restored;
CREATE TABLE restored.play_event_m6 AS SELECT * FROM play_event_m6 ORDER BY random();
CREATE TABLE restored.other AS TABLE play_event_m6;
CREATE TABLE restored.play_event_m5 AS TABLE play_event_m6;
SELECT is(problems('restored.play_event_m6'), NULL, 'P11: an archive is told by its name, if it has no seal');
SELECT is(problems('restored.other'), 'manifest: no entry tells of table other', 'P11: of another name there is nothing to tell');
SELECT alike(problems('restored.play_event_m5'), '%its rows are not those that entry 2 of the manifest tells of%', 'P11: nor is it another month''s');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('play_event', NULL)$$, 'P11: without an archive, the rest is looked at');
SELECT throws_ok($$SELECT playevent.verify_archive(NULL, 'play_event_m6')$$, '22004', NULL, 'P9: event is null');
SELECT throws_ok($$SELECT playevent.verify_archive('track', 'play_event_m6')$$, '55000', NULL, 'P9: event is no log');
CREATE ROLE p11_other;
GRANT ALL ON SCHEMA restored TO p11_other;
ALTER TABLE restored.other OWNER TO p11_other;
GRANT ALL ON ALL TABLES IN SCHEMA p, restored TO p11_other;
GRANT USAGE ON SCHEMA p TO p11_other;
SET LOCAL ROLE p11_other;
SELECT throws_ok($$SELECT playevent.verify_archive('p.play_event', 'restored.other')$$, '42501', NULL, 'P8: for the log''s owner alone');
RESET ROLE;
CREATE TABLE restored.play_event_m4 AS TABLE play_event_m4;
ALTER TABLE restored.play_event_m4 DROP note;
SELECT is(problems('restored.play_event_m4'), 'table play_event_m4 lacks columns note', 'P11: an archive that lacks a column');

ALTER TABLE play_event ADD later text DEFAULT 'x';
SELECT is(problems(), NULL, 'P11: a log gets a column, its archives don''t');
ALTER TABLE play_event DROP amount, DROP data;
SELECT is(problems(), NULL, 'P11: a log loses columns');
ALTER TABLE play_event RENAME note TO remark;
SELECT is(problems(), NULL, 'P11: or has one renamed');
SELECT playevent.seal('play_event', month(-2));
ALTER TABLE play_event ADD later_yet int;
SELECT playevent.retire('play_event', month(-2));
SELECT is(problems('play_event_m3'), NULL, 'P11: a column comes between seal and retire');
SELECT playevent.drop_counter('play_event', 'wide');
SELECT is(problems(), NULL, 'P11: a counter goes');
SELECT results_eq($$SELECT action, part FROM play_manifest ORDER BY entry DESC LIMIT 1$$, $$VALUES ('drop', 'wide')$$, 'P11: which the manifest tells');
SELECT playevent.add_counter('play_event', 'wide', '{track_entry_key,release_id}');
SELECT is(problems(), NULL, 'P11: and comes again, by other columns');
SELECT playevent.retire('play_event', month(-1)) WHERE playevent.seal('play_event', month(-1)) > 0;
SELECT is(problems('play_event_m2'), NULL, 'P11: retired with it');
SELECT is(problems('play_event_m6'), NULL, 'P11: those before are well');
ALTER TABLE wide_retired DISABLE TRIGGER USER;
UPDATE wide_retired SET plays = plays + 1 WHERE release_id = 2;
SELECT is(problems(), 'counter by track_entry_key, release_id: what was retired is not what the manifest says', 'P11: it is watched, too');
UPDATE wide_retired SET plays = plays - 1 WHERE release_id = 2;
SELECT is(problems(), NULL, 'P11: put right, it is well');

-- A sealed partition whose entry, the last one, is gone
SELECT playevent.seal('play_event', month(0));
ALTER TABLE play_manifest DISABLE TRIGGER USER;
DELETE FROM play_manifest WHERE part = 'play_event_m1';
SELECT is(problems(), 'manifest: no entry tells of partition play_event_m1, which is sealed', 'P11: a sealed partition''s entry is missed');
SELECT throws_ok($$SELECT playevent.retire('play_event', month(0))$$, '55000', NULL, 'P11: it is not retired');
ALTER TABLE play_manifest ENABLE TRIGGER USER;

-- Parts of a partition, and one with nothing in it
SELECT playevent.create_log('odd', 'track', partition_by => 'month');
SELECT format('CREATE TABLE odd_deep PARTITION OF odd_event FOR VALUES FROM (%L) TO (%L) PARTITION BY RANGE (created_at)', month(-3), month(-2)),
       format('CREATE TABLE odd_begin PARTITION OF odd_deep FOR VALUES FROM (%L) TO (%L)', month(-3), month(-3) + interval '9 days'),
       format('CREATE TABLE odd_rest PARTITION OF odd_deep DEFAULT'),
       format('CREATE TABLE odd_empty PARTITION OF odd_event FOR VALUES FROM (%L) TO (%L)', month(-2), month(-1)) \gexec
INSERT INTO odd_event (track_entry_key, bucket, created_at) SELECT 'k1', 'most', month(-3) + n * interval '1 day' FROM unnest('{20,1,15,2}'::int[]) n;
SELECT playevent.retire('odd_event', month(-1)) WHERE playevent.seal('odd_event', month(-1)) = 2;
SELECT is_empty(format('SELECT * FROM playevent.verify_archive(''odd_event'', %L)', archive), 'P11: as the manifest says: ' || archive)
  FROM unnest('{odd_deep,odd_empty}'::text[]) AS archive;
SELECT is((SELECT digest FROM odd_manifest WHERE part = 'odd_empty' AND action = 'seal'), sha256(''), 'P11: nothing is digested as COPY writes it');

SELECT * FROM finish();
ROLLBACK;
