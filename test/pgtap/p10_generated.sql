-- P10 and P2: generated columns, stored and, from 18 on, virtual.  A trigger
-- sees no value of a virtual one, which is there for queries alone, and on 18 is
-- what GENERATED ALWAYS AS (…) makes by itself: so a log doesn't count by one,
-- nor take releases from one, and says so.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT current_setting('server_version_num')::int >= 180000 AS has_virtual,
       CASE WHEN current_setting('server_version_num')::int >= 180000 THEN 'VIRTUAL' ELSE 'STORED' END AS kind \gset
SELECT plan(CASE WHEN :'has_virtual' THEN 26 ELSE 16 END);

CREATE SCHEMA gen;
SET search_path = gen, public;
SET client_min_messages = warning;

-- Stored ones will do where a value is there when it is needed.
CREATE TABLE track (entry_key text PRIMARY KEY, a bigint, b bigint, released date,
    release_id bigint GENERATED ALWAYS AS (coalesce(a, b)) STORED, gone boolean GENERATED ALWAYS AS (released > '2100-01-01') STORED);
INSERT INTO track VALUES ('a', 1, 2, NULL), ('b', NULL, 2, NULL), ('c', 3, 3, '2101-01-01');
SELECT playevent.create_log('play', track => 'track', track_deleted => 'gone');
SELECT playevent.add_counter('play_event', 'play_by_hour', ARRAY['bucket']) \g /dev/null

-- A log's own, beside what it is made of
\if :has_virtual
ALTER TABLE play_event ADD COLUMN who_len int GENERATED ALWAYS AS (length(anon_id)) VIRTUAL,
    ADD CONSTRAINT short_name CHECK (who_len < 10), ADD COLUMN upper_key text GENERATED ALWAYS AS (upper(track_entry_key)) VIRTUAL NOT NULL;
\else
ALTER TABLE play_event ADD COLUMN who_len int GENERATED ALWAYS AS (length(anon_id)) STORED,
    ADD CONSTRAINT short_name CHECK (who_len < 10), ADD COLUMN upper_key text GENERATED ALWAYS AS (upper(track_entry_key)) STORED NOT NULL;
\endif
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('a', 'most', 'ann'), ('b', 'most', NULL), ('c', 'most', 'cy');
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('a', 'most', repeat('x', 10))$$, '23514', NULL,
    'P9: a constraint on a generated column refuses a row');
SELECT is((SELECT array_agg(status ORDER BY ord) FROM record_plays(ARRAY['a', 'b'], ARRAY['most', 'most']::play_bucket[],
        NULL, ARRAY[repeat('x', 10), 'bo'])), '{rejected,recorded}'::text[],
    'P9: and one of a batch, which would fail again');
SELECT is(record_play('a', 'most', NULL, 'ann') IS NOT NULL, true, 'P3: a single play goes past it');
SELECT results_eq('SELECT track_entry_key, release_id, who_len, upper_key, count(*) FROM play_event GROUP BY 1, 2, 3, 4 ORDER BY 1, 3',
    $$VALUES ('a'::varchar, 1::bigint, 3, 'A', 2::bigint), ('b', 2, 2, 'B', 1), ('b', 2, NULL, 'B', 1), ('c', NULL, 2, 'C', 1)$$,
    'P2: a release from a stored generated column');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: all are counted');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'P3: rebuild finds them so');
SELECT throws_ok('UPDATE play_event SET who_len = DEFAULT', '23001', NULL, 'P1: and stay as they are');
SELECT ok((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), 'P10: the log is intact');

-- A counter by a stored generated column
CREATE TABLE heard (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, at timestamptz,
    hour int GENERATED ALWAYS AS (extract(hour FROM at AT TIME ZONE 'UTC')) STORED, raw text, kind text GENERATED ALWAYS AS (lower(raw)) STORED);
SELECT playevent.attach_log('heard', track => 'track', kinds => '{most}');
SELECT lives_ok($$SELECT playevent.add_counter('heard', 'by_hour', '{hour}')$$, 'P3: a counter by a stored generated column');
INSERT INTO heard VALUES ('a', NULL, 'most', '2026-01-01 13:00+00');
SELECT is_empty($$SELECT * FROM playevent.verify('heard')$$, 'P3: which counts');
SELECT isnt_empty('SELECT FROM by_hour WHERE hour = 13', 'P3: by its values');

-- A log whose key is generated
CREATE TABLE keyed (raw text, track_entry_key text NOT NULL GENERATED ALWAYS AS (lower(raw)) STORED, release_id bigint, bucket text NOT NULL);
SELECT throws_ok($$SELECT playevent.attach_log('keyed', track => 'track', kinds => '{most}')$$, '42611', NULL,
    'P10: a key that is not there before the row is refused');
CREATE TABLE releasing (track_entry_key text NOT NULL, release_id bigint GENERATED ALWAYS AS (5) STORED, bucket text NOT NULL);
SELECT throws_ok($$SELECT playevent.attach_log('releasing', track => 'track', kinds => '{most}')$$, '42611', NULL,
    'P10: so is a release that the trigger couldn''t set');
SELECT throws_ok($$ALTER TABLE heard ALTER hour SET EXPRESSION AS (0)$$,
    CASE WHEN current_setting('server_version_num')::int >= 170000 THEN '23001' ELSE '42601' END, NULL,
    'P1: a stored column isn''t written anew');
SELECT lives_ok('ALTER TABLE heard ALTER kind DROP EXPRESSION', 'P1: what is stored may become an ordinary column');
SELECT is_empty($$SELECT * FROM playevent.verify('heard')$$, 'P3: as exact as before');

\if :has_virtual
-- Virtual ones
CREATE TABLE vtrack (entry_key text PRIMARY KEY, a bigint, b bigint, released date,
    release_id bigint GENERATED ALWAYS AS (coalesce(a, b)), gone boolean GENERATED ALWAYS AS (released > '2100-01-01'), fixed bigint);
INSERT INTO vtrack VALUES ('a', 1, 2);
SELECT throws_ok($$SELECT playevent.create_log('vplay', track => 'vtrack')$$, '42611',
    'column "release_id" of table "vtrack" is a virtual generated column', 'P2: no release is read from a virtual column');
SELECT throws_ok($$SELECT playevent.create_log('vplay', track => 'vtrack', track_release => 'fixed', track_deleted => 'gone')$$, '42611',
    'column "gone" of table "vtrack" is a virtual generated column', 'P2: nor whether a track is gone');
SELECT lives_ok($$SELECT playevent.create_log('vplay', track => 'vtrack', track_release => 'fixed')$$, 'P10: others there don''t matter');

-- Nor is a virtual column counted by, though a log may have some.  18 gives no other
-- expression to one of a table that has constraints.
CREATE TABLE vheard (track_entry_key text NOT NULL, release_id bigint, raw text NOT NULL, at timestamptz,
    bucket text GENERATED ALWAYS AS (lower(raw)) NOT NULL, hour int GENERATED ALWAYS AS (extract(hour FROM at AT TIME ZONE 'UTC')));
SELECT throws_ok($$SELECT playevent.attach_log('vheard', track => 'track', kinds => '{most}')$$, '42611', NULL, 'P10: a virtual kind');
SELECT lives_ok($$SELECT playevent.attach_log('vheard', track => 'track', kind_column => 'raw', kinds => '{Most}', check_kinds => false)$$, 'P10: not to count by');
SELECT throws_ok($$SELECT playevent.add_counter('vheard', 'by_hour_too', '{hour}')$$, '42611', NULL, 'P10: a further counter by a virtual column');
INSERT INTO vheard VALUES ('a', NULL, 'Most', now());
ALTER TABLE vheard ALTER hour SET EXPRESSION AS (5);
SELECT results_eq('SELECT track_entry_key, release_id, raw, bucket, hour FROM vheard', $$VALUES ('a', 1::bigint, 'Most', 'most', 5)$$,
    'P1: what is recorded stays when a virtual column gets another expression');
SELECT is_empty($$SELECT * FROM playevent.verify('vheard')$$, 'P3: and what is counted');

-- A column that becomes virtual
ALTER TABLE vtrack DROP COLUMN fixed;
ALTER TABLE vtrack ADD COLUMN fixed bigint GENERATED ALWAYS AS (a) VIRTUAL;
SELECT throws_ok($$INSERT INTO vplay_event (track_entry_key, bucket) VALUES ('a', 'most')$$, '42611', NULL, 'P10: nor when it became virtual since');
SELECT throws_ok($$SELECT * FROM record_vplays(ARRAY['a'], ARRAY['most']::vplay_bucket[])$$, '42611', NULL, 'P9: which is no fault of a batch''s');
\endif

SELECT * FROM finish();
ROLLBACK;
