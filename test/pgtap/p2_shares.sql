-- P2, P3: a log with a release table takes shares of a track, whose release is
-- what the track table says, and of a release that exists; and counts both.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(44);

CREATE SCHEMA p2_shares;
SET LOCAL search_path = p2_shares, public;
SET LOCAL client_min_messages = warning;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id text);
INSERT INTO track VALUES ('k1', 'r1'), ('k2', 'r2'), ('loose', NULL);
CREATE TABLE release (code text PRIMARY KEY, title text);
INSERT INTO release VALUES ('r1'), ('r2'), ('r3');

SELECT throws_ok($$SELECT playevent.create_log('share', track => 'track', release => 'release')$$, '42703',
    'column "id" of table "release" does not exist', 'P9: the release table''s key must be there');
SELECT throws_ok($$SELECT playevent.create_log('share', track => 'track', release => 'release', release_key => 'title')$$, '42704',
    'table "release" has no usable unique index on column "title"', 'P9: and unique');
SELECT throws_ok($$SELECT playevent.create_log('share', track => 'track', release => 0)$$, '42P01',
    'argument "release" is 0, which is no table', 'P9: and a table');
SELECT playevent.create_log('share', track => 'track', kind => 'channel', kinds => '{link,embed}',
    release => 'release', release_key => 'code') AS log \gset

SELECT results_eq($$SELECT track::text, track_key, release::text, release_key, intact FROM playevent.log WHERE event = 'share_event'::regclass$$,
    $$VALUES ('track', 'entry_key', 'release', 'code', true)$$, 'P2: the log is one, with its release table');

INSERT INTO share_event (track_entry_key, release_id, channel) VALUES
    ('k1', NULL, 'link'), ('k2', 'r1', 'link'), ('loose', 'r1', 'embed'), (NULL, 'r3', 'link'), (NULL, 'r1', 'link');
SELECT results_eq('SELECT track_entry_key::text, release_id FROM share_event ORDER BY id',
    $$VALUES ('k1', 'r1'), ('k2', 'r2'), ('loose', NULL), (NULL, 'r3'), (NULL, 'r1')$$,
    'P2: a share of a track has the track''s release, one of a release its own');
SELECT set_eq('SELECT * FROM share_counter',
    $$VALUES ('k1'::varchar, 'r1', 'link'::share_channel, 1::bigint), ('k2', 'r2', 'link', 1), ('loose', NULL, 'embed', 1),
             (NULL, 'r3', 'link', 1), (NULL, 'r1', 'link', 1)$$, 'P3: both are counted');
SELECT set_eq('SELECT * FROM share_by_track',
    $$VALUES ('k1'::varchar, 1::bigint, 0::bigint, 1::bigint), ('k2', 1, 0, 1), ('loose', 0, 1, 1)$$,
    'P3: by track, those of a track');
SELECT set_eq('SELECT * FROM share_by_release',
    $$VALUES ('r1', 2::bigint, 0::bigint, 2::bigint), ('r2', 1, 0, 1), ('r3', 1, 0, 1)$$, 'P3: by release, all');
INSERT INTO share_event (release_id, channel) SELECT 'r3', 'link' FROM generate_series(1, 5);
SELECT results_eq('SELECT count(*), sum(shares)::int FROM share_counter_slot WHERE release_id = ''r3''', 'VALUES (1::bigint, 6)',
    'P3: the slot of a release is found again');
SELECT is_empty($$SELECT * FROM playevent.verify('share_event')$$, 'P3: exact');

SELECT throws_ok($$INSERT INTO share_event (release_id, channel) VALUES ('r9', 'link')$$, '23503',
    'unknown release in column "release_id" of table "share_event"', 'P2: a release must exist');
SELECT throws_ok($$INSERT INTO share_event (channel) VALUES ('link')$$, '23514', NULL, 'P9: a track or a release');
SELECT throws_ok($$INSERT INTO share_event (track_entry_key, release_id, channel) VALUES ('', 'r1', 'link')$$, '23514',
    'empty value in column "track_entry_key" of table "share_event"', 'P9: no empty key');

-- The functions
SELECT is(record_share('k1', 'link'), 14::bigint, 'P3: a share of a track');
SELECT is(record_share(NULL, 'link', release_id => 'r2'), 15::bigint, 'P3: a share of a release');
SELECT throws_ok($$SELECT record_share(NULL, 'link', release_id => 'r9')$$, '23503',
    'unknown release in column "release_id" of table "share_event"', 'P2: of one that exists');
SELECT throws_ok($$SELECT record_share(NULL, 'link')$$, '23514',
    'row for table "share_event" has neither "track_entry_key" nor "release_id"', 'P9: of either');

CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TEMP TABLE receipt (ord int, status text, id bigint, reason text);
CREATE FUNCTION batches(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
BEGIN
    DELETE FROM receipt;
    INSERT INTO receipt SELECT * FROM record_shares('{k1,NULL,k2,NULL,NULL,loose}', array_fill('embed'::share_channel, '{6}'), NULL, NULL,
        '{NULL,r2,r1,r9,NULL,r1}');
    RETURN NEXT results_eq($$SELECT ord, status, reason, track_entry_key::text, release_id
                               FROM receipt LEFT JOIN share_event USING (id) ORDER BY ord$$,
        $$VALUES (1, 'recorded', NULL, 'k1', 'r1'), (2, 'recorded', NULL, NULL, 'r2'), (3, 'recorded', NULL, 'k2', 'r2'),
            (4, 'rejected', 'unknown release', NULL, NULL), (5, 'rejected', 'no key', NULL, NULL),
            (6, 'recorded', NULL, 'loose', NULL)$$,
        way || ': of tracks and releases');
    DELETE FROM receipt;
    INSERT INTO receipt SELECT * FROM record_shares('{k1}', '{link}', NULL, NULL, NULL, ARRAY[timestamptz '2020-01-01']);
    RETURN NEXT results_eq('SELECT shared_at, day FROM receipt JOIN share_event USING (id)',
        $$VALUES (timestamptz '2020-01-01', date '2020-01-01')$$, way || ': late ones');
    RETURN NEXT is_empty($$SELECT * FROM playevent.verify('share_event')$$, way || ': exact');
END
$test$;
SELECT batches('P3, directly');
CREATE TRIGGER of_the_app AFTER INSERT ON share_event FOR EACH STATEMENT EXECUTE FUNCTION nothing();
SELECT batches('P3, by statement');
DROP TRIGGER of_the_app ON share_event;

-- Without a trigger of ours it is no log, and attach_log makes it one again.
ALTER TABLE share_event DISABLE TRIGGER playevent_resolve_release;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'share_event'::regclass), false, 'P1: a disabled trigger shows');
SELECT throws_ok($$SELECT playevent.attach_log('share_event', track => 'track', kind_column => 'channel')$$, '55000',
    'column "track_entry_key" of table "share_event" may be null', 'P9: attach_log must be told of the releases');
SELECT playevent.attach_log('share_event', track => 'track', kind_column => 'channel', release => 'release', release_key => 'code') AS log \gset
SELECT is((SELECT intact FROM playevent.log WHERE event = 'share_event'::regclass), true, 'P1: attach_log mends it');
SELECT throws_ok($$INSERT INTO share_event (release_id, channel) VALUES ('r9', 'link')$$, '23503', NULL, 'P2: releases are looked up again');

-- COPY of a release that is looked up replaces nothing, and so warns of nothing.
CREATE FUNCTION copied() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM share_event WHERE anon_id = ''copied''';
COPY share_event (release_id, channel, anon_id) FROM stdin;
r1	link	copied
\.
SELECT is(copied(), 1::bigint, 'P3: COPY of a release');

-- The kind of what was heard
SELECT playevent.create_log('play', track => 'track') AS log \gset
SELECT results_eq('SELECT play_bucket_of(f)::text FROM unnest(ARRAY[0, 0.0499, 0.05, 0.4999, 0.5, 0.9499, 0.95, 1, NULL]::float8[]) f',
    $$VALUES (NULL), (NULL), ('partial'), ('partial'), ('most'), ('most'), ('complete'), ('complete'), (NULL)$$,
    'P9: from the floor, half and the end on');
SELECT throws_ok(format('SELECT play_bucket_of(%L)', f), '22003', 'argument "high_water" is ' || f, 'P9: no ' || f)
  FROM (VALUES ('NaN'), ('-0.001'), ('1.001'), ('Infinity')) AS v (f);
SELECT hasnt_function('share_channel_of', 'P9: none without thresholds');
SELECT throws_ok(format($$SELECT playevent.create_log('listen', track => 'track', thresholds => %L)$$, t), '22023',
                 format('argument "thresholds" is %L', t), 'P9: thresholds ' || t)
  FROM (VALUES ('{0.1,0.5}'), ('{0.5,0.1,0.9}'), ('{0,0.5,1.1}'), ('{0,NULL,1}'), ('{0,0.5,NaN}')) AS v (t);
SELECT throws_ok($$SELECT playevent.create_log('play', track => 'track')$$, '42P07', NULL, 'P9: a log that is there');
CREATE FUNCTION record_listens() RETURNS int LANGUAGE sql RETURN 1;
SELECT throws_ok($$SELECT playevent.create_log('listen', track => 'track')$$, '42723',
    '"record_listens" exists already in schema "p2_shares"', 'P9: a function that is there');
DROP FUNCTION record_listens();
SELECT playevent.create_log('listens', track => 'track') AS log \gset
SELECT lives_ok($$SELECT record_listens('k1', 'most')$$, 'P9: a log whose name is a plural: one is recorded');
SELECT lives_ok($$SELECT record_listenses('{k1}', '{most}')$$, 'P9: a log whose name is a plural: and a batch');
SELECT is((SELECT sum(listens) FROM listens_counter), 2::numeric, 'P3: and both are counted');

SELECT * FROM finish();
ROLLBACK;
