-- P2: a play's release is what the track table says in the statement's
-- snapshot, whatever the client sends; null when the track is loose, deleted or
-- unknown.  Bulk inserts, where answers are remembered, say the same.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(94);

CREATE SCHEMA p2;
SET LOCAL search_path = p2, public;
SET LOCAL client_min_messages = warning;

--
-- The kinds of tracks, by a deletion flag
--

CREATE TABLE track (id int GENERATED ALWAYS AS IDENTITY, gone text,
                    is_deleted bool, release_id bigint, entry_key text PRIMARY KEY);
ALTER TABLE track DROP COLUMN gone;  -- columns are found by name, not by place
INSERT INTO track (entry_key, release_id, is_deleted) VALUES
    ('live', 1, false), ('unflagged', 1, NULL), ('loose', NULL, false),
    ('deleted', 1, true), ('other', 9223372036854775807, false);
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted') AS log \gset

-- Inserts a play and gives the release it got.
CREATE FUNCTION release_of(key text, sent bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO play_event (track_entry_key, bucket, release_id)
    VALUES ($1, 'complete', $2) RETURNING release_id
$$;
SELECT is(release_of('live'), 1::bigint, 'P2: a live track''s release');
SELECT is(release_of('unflagged'), 1::bigint, 'P2: a null flag does not delete a track');
SELECT is(release_of('other'), 9223372036854775807, 'P2: the largest bigint');
SELECT is(release_of('loose'), NULL, 'P2: null for a loose track');
SELECT is(release_of('deleted'), NULL, 'P2: null for a deleted track');
SELECT is(release_of('unknown'), NULL, 'P2: null for an unknown track');
SELECT is(release_of('Live'), NULL, 'P2: a key in another case is another key');
SELECT is(release_of('live '), NULL, 'P2: a key with a blank behind it is another key');

SELECT is(release_of('live', 7), 1::bigint, 'P2: a release sent for a live track is ignored');
SELECT is(release_of('live', 1), 1::bigint, 'P2: the right release sent does no harm');
SELECT is(release_of('loose', 7), NULL, 'P2: a release sent for a loose track is ignored');
SELECT is(release_of('deleted', 7), NULL, 'P2: a release sent for a deleted track is ignored');
SELECT is(release_of('unknown', 7), NULL, 'P2: a release sent for an unknown track is ignored');
ALTER TABLE play_event ALTER COLUMN release_id SET DEFAULT 8;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('default', 'most');
SELECT results_eq($$SELECT release_id FROM play_event WHERE track_entry_key = 'default'$$,
                  'SELECT NULL::bigint', 'P2: a default of the release column is ignored');
ALTER TABLE play_event ALTER COLUMN release_id DROP DEFAULT;

-- Rows keep the release of their time, and so do the counters.
SELECT is(release_of('moved'), NULL, 'P2: before the track is there');
INSERT INTO track (entry_key, release_id) VALUES ('moved', 10);
SELECT is(release_of('moved'), 10::bigint, 'P2: once the track is there');
UPDATE track SET release_id = 11 WHERE entry_key = 'moved';
SELECT is(release_of('moved'), 11::bigint, 'P2: after it moved to another release');
UPDATE track SET is_deleted = true WHERE entry_key = 'moved';
SELECT is(release_of('moved'), NULL, 'P2: after it was deleted');
UPDATE track SET is_deleted = false WHERE entry_key = 'moved';
SELECT is(release_of('moved'), 11::bigint, 'P2: after it was restored');
DELETE FROM track WHERE entry_key = 'moved';
SELECT is(release_of('moved'), NULL, 'P2: after its row was removed');
SELECT results_eq(
    $$SELECT release_id FROM play_event WHERE track_entry_key = 'moved' ORDER BY id$$,
    'VALUES (NULL::bigint), (10), (11), (NULL), (11), (NULL)',
    'P2: earlier plays keep the release they were played under');
SELECT results_eq(
    $$SELECT release_id, plays FROM play_counter WHERE track_entry_key = 'moved' ORDER BY 1 NULLS FIRST$$,
    'VALUES (NULL::bigint, 3::bigint), (10, 1), (11, 2)',
    'P2: plays are counted under the release they were played under');

-- A statement sees the tracks as they were when it began, no matter what it
-- does itself.
WITH moved AS (UPDATE track SET release_id = 2 WHERE entry_key = 'live' RETURNING entry_key)
INSERT INTO play_event (track_entry_key, bucket) SELECT entry_key, 'partial' FROM moved;
SELECT results_eq(
    $$SELECT release_id FROM play_event WHERE bucket = 'partial'$$, 'VALUES (1::bigint)',
    'P2: a statement that moves the track records the release before');
SELECT is(release_of('live'), 2::bigint, 'P2: the statement after it records the new one');

--
-- Bulk inserts, where the answers of a statement are remembered
--

TRUNCATE track;
INSERT INTO track (entry_key, release_id, is_deleted)
SELECT 'b' || n, NULLIF(n % 5, 0), n % 3 = 0 FROM generate_series(1, 60) n;
CREATE FUNCTION expected(key text) RETURNS bigint LANGUAGE sql AS $$
    SELECT release_id FROM track WHERE entry_key = $1 AND NOT is_deleted
$$;
SELECT playevent.create_log('bulk', track => 'track', track_deleted => 'is_deleted') AS log \gset
-- 80 keys, the last 20 unknown, each many times and with a wrong release
INSERT INTO bulk_event (track_entry_key, bucket, release_id)
SELECT 'b' || n % 80 + 1, 'most', n % 7 FROM generate_series(1, 4000) n;
SELECT is_empty(
    'SELECT * FROM bulk_event WHERE release_id IS DISTINCT FROM expected(track_entry_key)',
    'P2: INSERT ... SELECT of repeated keys resolves each row');
SELECT is((SELECT count(*) FROM bulk_event WHERE release_id IS NULL), 2400::bigint,
          'P2: among them as many without a release as there are');
INSERT INTO bulk_event (track_entry_key, bucket, release_id) VALUES
    ('b1', 'partial', 9), ('b2', 'partial', 9), ('b1', 'partial', NULL), ('b3', 'partial', 9),
    ('b2', 'partial', 2), ('no', 'partial', 9), ('b5', 'partial', 9), ('no', 'partial', NULL),
    ('b3', 'partial', NULL), ('b1', 'partial', 1);
SELECT results_eq(
    $$SELECT track_entry_key::text, release_id FROM bulk_event WHERE bucket = 'partial' ORDER BY id$$,
    $$VALUES ('b1', 1::bigint), ('b2', 2), ('b1', 1), ('b3', NULL),
             ('b2', 2), ('no', NULL), ('b5', NULL), ('no', NULL), ('b3', NULL), ('b1', 1)$$,
    'P2: a multi-row INSERT resolves each row');
COPY bulk_event (track_entry_key, release_id, bucket) FROM stdin;
b1	7	complete
no	7	complete
b1	\N	complete
b3	7	complete
b5	7	complete
no	\N	complete
b7	7	complete
b1	7	complete
\.
SELECT results_eq(
    $$SELECT track_entry_key::text, release_id FROM bulk_event WHERE bucket = 'complete' ORDER BY id$$,
    $$VALUES ('b1', 1::bigint), ('no', NULL), ('b1', 1), ('b3', NULL), ('b5', NULL),
             ('no', NULL), ('b7', 2), ('b1', 1)$$,
    'P2: COPY resolves each row');

-- The answers of one statement are not those of the next, in a loop that runs
-- the same prepared statement neither.
DO $$
BEGIN
    FOR n IN 1 .. 8 LOOP
        UPDATE track SET release_id = 100 + n WHERE entry_key = 'b1';
        INSERT INTO bulk_event (track_entry_key, bucket, anon_id)
        SELECT 'b1', 'complete', 'loop' FROM generate_series(1, 3);
    END LOOP;
END
$$;
SELECT results_eq(
    $$SELECT release_id, count(*) FROM bulk_event WHERE anon_id = 'loop' GROUP BY 1 ORDER BY 1$$,
    'SELECT 100 + n::bigint, 3::bigint FROM generate_series(1, 8) n',
    'P2: no answer outlives its statement');
-- A volatile function may change the tracks in the middle of a statement, but
-- not its snapshot.
CREATE FUNCTION move_and_say(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE track SET release_id = 200 + n WHERE entry_key = 'b1';
    RETURN 'b1';
END
$$;
INSERT INTO bulk_event (track_entry_key, bucket, anon_id)
SELECT move_and_say(n), 'complete', 'mid' FROM generate_series(1, 3) n;
SELECT results_eq(
    $$SELECT DISTINCT release_id FROM bulk_event WHERE anon_id = 'mid'$$,
    'VALUES (108::bigint)',
    'P2: a track moved in the middle of a statement has one release in it');
SELECT is_empty($$SELECT * FROM playevent.verify('bulk_event')$$,
                'P2: the counters have the releases of the rows');
-- What alters the track table in the middle of a statement makes it forget the
-- answers it had.
CREATE TABLE split_track (entry_key text PRIMARY KEY, release_id int, album_id int);
INSERT INTO split_track VALUES ('a', 1, 10), ('b', 2, 20);
SELECT playevent.create_log('split', track => 'split_track') AS log \gset
CREATE FUNCTION rename_and_say(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF n = 5 THEN
        ALTER TABLE split_track RENAME release_id TO single_id;
        ALTER TABLE split_track RENAME album_id TO release_id;
    END IF;
    RETURN CASE WHEN n % 2 = 1 THEN 'a' ELSE 'b' END;
END
$$;
INSERT INTO split_event (track_entry_key, bucket) SELECT rename_and_say(n), 'most' FROM generate_series(1, 8) n;
SELECT results_eq('SELECT release_id FROM split_event ORDER BY id', 'VALUES (1), (2), (1), (2), (10), (20), (10), (20)',
    'P2: answers of a statement do not outlive a change of what they were read from');

--
-- A track table of another access method, whose pages are not read but by it
--

CREATE ACCESS METHOD p2_other TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE other_track (entry_key text, release_id text, gone timestamptz) USING p2_other;
CREATE UNIQUE INDEX ON other_track (entry_key);
INSERT INTO other_track VALUES ('live', 'r1', NULL), ('loose', NULL, NULL), ('gone', 'r1', now());
SELECT playevent.create_log('other', track => 'other_track', track_deleted => 'gone') AS log \gset
INSERT INTO other_event (track_entry_key, bucket) VALUES ('live', 'most');
INSERT INTO other_event (track_entry_key, bucket) VALUES ('gone', 'most');
INSERT INTO other_event (track_entry_key, bucket) VALUES
    ('loose', 'most'), ('unknown', 'most'), ('live', 'most'), ('unknown', 'most'), ('live', 'most');
UPDATE other_track SET release_id = 'r2' WHERE entry_key = 'live';
INSERT INTO other_event (track_entry_key, bucket) VALUES ('live', 'most');
DELETE FROM other_track WHERE entry_key = 'live';
INSERT INTO other_event (track_entry_key, bucket) VALUES ('live', 'most');
SELECT results_eq('SELECT release_id FROM other_event ORDER BY id',
    $$VALUES ('r1'), (NULL), (NULL), (NULL), ('r1'), (NULL), ('r1'), ('r2'), (NULL)$$,
    'P2: a track table of another access method');
SELECT is_empty($$SELECT * FROM playevent.verify('other_event')$$, 'P3: is counted by, too');

--
-- Deletion columns of other types
--

CREATE DOMAIN flag AS boolean;
CREATE SEQUENCE trial;

-- Makes a site of its own whose columns have these types, with one track, plays
-- a track and gives the release under which the play is counted.
CREATE FUNCTION trial(key_type text, key text, release_type text, release text,
                      deleted_type text DEFAULT 'bool', deleted text DEFAULT 'false',
                      played text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n text := nextval('trial');
    logged text;
    counted text;
BEGIN
    EXECUTE format('CREATE TABLE track_%s (entry_key %s UNIQUE, release_id %s, gone %s)',
                   n, key_type, release_type, deleted_type);
    EXECUTE format('INSERT INTO track_%s VALUES (%L, %L, %L)', n, key, release, deleted);
    PERFORM playevent.create_log(('trial_' || n)::name, ('track_' || n)::regclass,
                                 track_deleted => 'gone');
    EXECUTE format('INSERT INTO trial_%s_event (track_entry_key, bucket) VALUES (%L, %L)
                    RETURNING release_id', n, coalesce(played, key), 'most') INTO logged;
    EXECUTE format('SELECT release_id FROM trial_%s_counter', n) INTO STRICT counted;
    IF counted IS DISTINCT FROM logged THEN
        RAISE 'logged under %, counted under %', logged, counted;
    END IF;
    RETURN counted;
END
$$;

SELECT is(trial('text', 'k', 'int', '5', type, value), expected,
          format('P2: with %s %s a track is %s', type, coalesce(value, 'null'),
                 CASE WHEN expected IS NULL THEN 'deleted' ELSE 'live' END))
  FROM (VALUES ('boolean', 'true', NULL), ('boolean', 'false', '5'), ('boolean', NULL, '5'),
               ('flag', 'true', NULL), ('flag', 'false', '5'),
               ('timestamptz', '2020-01-01', NULL), ('timestamptz', NULL, '5'),
               ('timestamp', 'infinity', NULL), ('timestamp', NULL, '5'),
               ('date', '2020-01-01', NULL), ('date', NULL, '5')) AS v (type, value, expected);

--
-- Types of release ids and track keys
--

CREATE DOMAIN release_number AS int CHECK (VALUE > 0);
SELECT is(trial('text', 'k', type, value), value,
          format('P2: a release id of type %s', type))
  FROM (VALUES ('bigint', '9223372036854775807'), ('integer', '-2147483648'), ('smallint', '7'),
               ('uuid', '0b8c3a0e-7a51-4a5e-b0f0-6a1f4c1f0f3d'), ('text', 'rel-' || repeat('ü', 300)),
               ('varchar(9)', 'MB-1'), ('numeric', '12345678901234567890.5'),
               ('release_number', '12')) AS v (type, value);
SELECT is(trial('text', 'k', type, NULL), NULL,
          format('P2: a loose track where release ids have type %s', type))
  FROM (VALUES ('bigint'), ('uuid'), ('text')) AS v (type);

CREATE DOMAIN track_slug AS varchar(30);
CREATE TYPE station AS ENUM ('one', 'two');
SELECT is(trial(type, value, 'bigint', '5'), '5',
          format('P2: a track key of type %s', type))
  FROM (VALUES ('text', 'ключ'), ('varchar', 'k'), ('varchar(150)', repeat('k', 150)),
               ('char(8)', 'k'), ('uuid', '0b8c3a0e-7a51-4a5e-b0f0-6a1f4c1f0f3d'),
               ('bigint', '-9223372036854775808'), ('integer', '12'), ('track_slug', 'k'),
               ('text COLLATE "C"', 'k'), ('station', 'two')) AS v (type, value);
SELECT is(trial(type, value, 'bigint', '5', played => other), NULL,
          format('P2: an unknown track key of type %s', type))
  FROM (VALUES ('text', 'k', 'K'), ('varchar(150)', 'k', 'kk'),
               ('uuid', '0b8c3a0e-7a51-4a5e-b0f0-6a1f4c1f0f3d', '0b8c3a0e-7a51-4a5e-b0f0-6a1f4c1f0f3e'),
               ('bigint', '4294967297', '1')) AS v (type, value, other);

-- An attached table may have keys of another type, if the index can compare
-- them.
CREATE TABLE wide_track (entry_key bigint PRIMARY KEY, release_id int);
INSERT INTO wide_track VALUES (1, 5), (-2, 6), (4294967297, 7);
CREATE TABLE narrow_event (track_entry_key int NOT NULL, release_id int, bucket text NOT NULL);
SELECT playevent.attach_log('narrow_event', track => 'wide_track') AS log \gset
INSERT INTO narrow_event VALUES (1, NULL, 'x'), (-2, NULL, 'x'), (3, NULL, 'x'), (1, NULL, 'x');
SELECT results_eq('SELECT track_entry_key, release_id FROM narrow_event ORDER BY 1',
                  'VALUES (-2, 6), (1, 5), (1, 5), (3, NULL)',
                  'P2: integer keys played, bigint keys in the track table');

--
-- Keys that hash alike, told apart all the same: two strings, found by trying
-- (where the low byte comes first), and the integers whose bytes they are
--

SELECT '{t0039452,t0070817}' AS alike \gset
SELECT is(hashtext((:'alike'::text[])[1]), hashtext((:'alike'::text[])[2]), 'two keys hash alike');
CREATE TABLE alike_track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO alike_track SELECT key, n FROM unnest(:'alike'::text[]) WITH ORDINALITY AS k (key, n);
SELECT playevent.create_log('alike', track => 'alike_track') AS log \gset
INSERT INTO alike_event (track_entry_key, bucket)
SELECT (:'alike'::text[])[n % 2 + 1], 'most' FROM generate_series(1, 10) n;
SELECT is_empty($$SELECT * FROM alike_event e JOIN alike_track t ON t.entry_key = e.track_entry_key
                  WHERE e.release_id IS DISTINCT FROM t.release_id$$, 'P2: of string keys that hash alike, each has its release');
CREATE TABLE alike_number (entry_key bigint PRIMARY KEY, release_id int);
INSERT INTO alike_number SELECT ('x' || encode(reverse(entry_key)::bytea, 'hex'))::bit(64)::bigint, release_id FROM alike_track;
SELECT playevent.create_log('number', track => 'alike_number') AS log \gset
INSERT INTO number_event (track_entry_key, bucket)
SELECT entry_key, 'most' FROM alike_number, generate_series(1, 5) n ORDER BY n;
SELECT is_empty($$SELECT * FROM number_event e JOIN alike_number t ON t.entry_key = e.track_entry_key
                  WHERE e.release_id IS DISTINCT FROM t.release_id$$, 'P2: of integer keys, too');
SELECT is_empty($$SELECT * FROM playevent.verify('alike_event') UNION ALL SELECT * FROM playevent.verify('number_event')$$,
                'P3: they are counted apart');

--
-- unknown_track => 'reject'
--

TRUNCATE track;
INSERT INTO track (entry_key, release_id, is_deleted) VALUES
    ('live', 1, false), ('loose', NULL, false), ('deleted', 1, true);
SELECT playevent.create_log('strict', track => 'track', track_deleted => 'is_deleted',
                            unknown_track => 'reject') AS log \gset
SELECT throws_ok($$INSERT INTO strict_event (track_entry_key, bucket) VALUES ('no such', 'most')$$,
                 '23503', 'unknown track in column "track_entry_key" of table "strict_event"',
                 'P2: reject turns away an unknown track');
SELECT throws_ok($$INSERT INTO strict_event (track_entry_key, bucket)
                   VALUES ('live', 'most'), ('live', 'most'), ('no such', 'most')$$,
                 '23503', 'unknown track in column "track_entry_key" of table "strict_event"',
                 'P2: reject turns away a statement with an unknown track among others');
SELECT is_empty('SELECT * FROM strict_counter', 'P2: nothing of it is counted');
INSERT INTO strict_event (track_entry_key, bucket) VALUES
    ('live', 'most'), ('loose', 'most'), ('deleted', 'most'), ('live', 'most');
SELECT results_eq('SELECT track_entry_key::text, release_id FROM strict_event ORDER BY id',
                  $$VALUES ('live', 1::bigint), ('loose', NULL), ('deleted', NULL), ('live', 1)$$,
                  'P2: reject takes loose and deleted tracks, which are known');

--
-- Which table is asked
--

-- The track table may be in another schema, under names that need quoting.
CREATE SCHEMA "P2 Katalog";
CREATE TABLE "P2 Katalog"."Track's ""own""" ("Entry.Key" text PRIMARY KEY, "Release Id" int, "gone?" bool);
INSERT INTO "P2 Katalog"."Track's ""own""" VALUES ('k', 77, NULL), ('gone', 77, true);
SELECT playevent.create_log('Strange "name', track => '"P2 Katalog"."Track''s ""own"""',
                            track_key => 'Entry.Key', track_release => 'Release Id',
                            track_deleted => 'gone?', kind => 'The kind') AS log \gset
INSERT INTO "Strange ""name_event" (track_entry_key, "The kind") VALUES ('k', 'most'), ('gone', 'most');
SELECT results_eq('SELECT track_entry_key::text, release_id FROM "Strange ""name_event" ORDER BY id',
                  $$VALUES ('k', 77), ('gone', NULL)$$,
                  'P2: a track table in another schema, whose names need quoting');

-- Neither search_path nor a temporary table puts a decoy in its place.
CREATE SCHEMA p2_decoy;
CREATE TABLE p2_decoy.track (LIKE track INCLUDING ALL);
INSERT INTO p2_decoy.track (entry_key, release_id) VALUES ('live', 666);
SELECT is(release_of('live'), 1::bigint, 'P2: before there is a decoy in search_path');
SET LOCAL search_path = p2_decoy, p2, public;
SELECT is(release_of('live'), 1::bigint, 'P2: a table of the same name earlier in search_path is not asked');
CREATE TEMP TABLE track (entry_key text PRIMARY KEY, release_id bigint, is_deleted bool);
INSERT INTO track VALUES ('live', 667);
SELECT is(release_of('live'), 1::bigint, 'P2: a temporary table of the same name is not asked');
-- operators are not looked up by name either
CREATE FUNCTION p2_decoy.never(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR p2_decoy.= (LEFTARG = text, RIGHTARG = text, FUNCTION = p2_decoy.never);
SET LOCAL search_path = p2_decoy, pg_catalog, p2, public;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('live', 'partial');
SET LOCAL search_path = pg_catalog;
INSERT INTO p2.play_event (track_entry_key, bucket) VALUES ('live', 'partial');
SET LOCAL search_path = p2, public;
SELECT results_eq($$SELECT release_id FROM play_event WHERE bucket = 'partial' ORDER BY id DESC LIMIT 2$$,
                  'VALUES (1::bigint), (1)',
                  'P2: an operator earlier in search_path is not asked, and the log need not be in it');

-- Renaming the schema takes the log and its track table along.
ALTER SCHEMA p2 RENAME TO p2_moved;
SET LOCAL search_path = p2_moved, public;
SELECT is(release_of('live'), 1::bigint, 'P2: a schema that was renamed');

-- A release gets the length of the log's column, as by an assignment: what does not fit
-- is refused, or a dump could not be restored.
CREATE TABLE edition (entry_key text PRIMARY KEY, slug varchar(50), price numeric, code bit varying(9));
INSERT INTO edition VALUES ('short', 'short', 1.26, '101'), ('long', 'a long one', 1e9, '101'), ('blank', 'blank     ', NULL, '10101');
SELECT playevent.create_log('sale', 'edition', track_release => 'slug');
ALTER TABLE sale_event ALTER release_id TYPE varchar(20);
SELECT lives_ok($$INSERT INTO sale_event (track_entry_key, bucket) VALUES ('long', 'most')$$, 'P2: a release that the log''s column takes, though the track table''s is longer');
CREATE FUNCTION sold(log text, key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    release text;
BEGIN
    EXECUTE format('INSERT INTO %I (track_entry_key, release, kind) VALUES (%L, NULL, ''a'') RETURNING ''<'' || release::text || ''>''', log, key) INTO release;
    RETURN coalesce(release, 'null');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
CREATE DOMAIN required AS bit varying(9) NOT NULL;
CREATE DOMAIN too_required AS required;
CREATE TABLE by_slug (track_entry_key text NOT NULL, release varchar(5), kind text NOT NULL);
CREATE TABLE by_price (track_entry_key text NOT NULL, release numeric(4, 1), kind text NOT NULL);
CREATE TABLE by_code (track_entry_key text NOT NULL, release bit varying(4), kind text NOT NULL);
SELECT playevent.attach_log('by_slug', 'edition', track_release => 'slug', kind_column => 'kind', kinds => '{a}', release_column => 'release'),
       playevent.attach_log('by_price', 'edition', track_release => 'price', kind_column => 'kind', kinds => '{a}', release_column => 'release'),
       playevent.attach_log('by_code', 'edition', track_release => 'code', kind_column => 'kind', kinds => '{a}', release_column => 'release');
SELECT results_eq($$SELECT log, key, sold(log, key) FROM unnest('{by_slug,by_price,by_code}'::text[]) WITH ORDINALITY l(log, i), unnest('{short,long,blank,none}'::text[]) WITH ORDINALITY k(key, j) ORDER BY i, j$$,
    $$VALUES ('by_slug', 'short', '<short>'), ('by_slug', 'long', '22001'), ('by_slug', 'blank', '<blank>'), ('by_slug', 'none', 'null'),
             ('by_price', 'short', '<1.3>'), ('by_price', 'long', '22003'), ('by_price', 'blank', 'null'), ('by_price', 'none', 'null'),
             ('by_code', 'short', '<101>'), ('by_code', 'long', '<101>'), ('by_code', 'blank', '22001'), ('by_code', 'none', 'null')$$,
    'P2: a release of another length is cut, rounded or refused');
SELECT is_empty($$SELECT playevent.verify(l::regclass) FROM unnest('{by_slug,by_price,by_code}'::text[]) l$$, 'P3: which is counted so');
-- A receipt says nothing of it, for it is no play's fault: the batch fails, whichever way
-- it goes.
SELECT playevent.create_log('loan', 'edition', track_release => 'slug');
ALTER TABLE loan_event ALTER release_id TYPE varchar(5);
SELECT is((SELECT string_agg(status, ' ') FROM record_loans('{short,none}', '{most,most}')), 'recorded recorded', 'P13: releases that fit are recorded');
SELECT throws_ok($$SELECT * FROM record_loans('{short,long,none}', '{most,most,most}')$$, '22001', NULL, 'P13: with one that does not, the batch fails');
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER own AFTER INSERT ON loan_event FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT throws_ok($$SELECT * FROM record_loans('{short,long,none}', '{most,most,most}')$$, '22001', NULL, 'P13: and so by INSERT');
ALTER TABLE edition ALTER COLUMN slug TYPE varchar(5) USING left(slug, 5);
SELECT is(sold('by_slug', 'long'), '<a lon>', 'P2: as long as the column again');
CREATE TABLE by_required (track_entry_key text NOT NULL, release too_required, kind text NOT NULL);
ALTER TABLE edition ADD COLUMN must too_required DEFAULT '1';
SELECT playevent.attach_log('by_required', 'edition', track_release => 'must', kind_column => 'kind', kinds => '{a}', release_column => 'release');
SELECT lives_ok($$INSERT INTO by_required VALUES ('long', '0', 'a')$$, 'P2: a release of a domain');
SELECT throws_ok($$INSERT INTO by_required VALUES ('none', '0', 'a')$$, '23502', 'column "release" of table "by_required" is of a domain that takes no null', 'P2: which takes no null');

SELECT * FROM finish();
ROLLBACK;
