-- P10, P2: where a track can't be found, or another one would be, the log says so when
-- it is attached, and from the first insert on.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(15);
SET LOCAL client_min_messages = error;
CREATE SCHEMA tracks;
SET search_path = tracks, public;

-- Operators of these take any type of their kind, and then fail, or mistake one value for another.
CREATE TYPE one AS ENUM ('x', 'y');
CREATE TYPE another AS ENUM ('x', 'y');
CREATE TYPE pair AS (a int);
CREATE TYPE other_pair AS (a text);
CREATE FUNCTION try_types(track_type text, log_type text, value text) RETURNS SETOF text LANGUAGE plpgsql AS $f$
BEGIN
    CREATE SCHEMA tried;
    EXECUTE format('CREATE TABLE tried.t (k %s PRIMARY KEY, release_id bigint)', track_type);
    EXECUTE format('INSERT INTO tried.t VALUES (%L, 7)', value);
    EXECUTE format('CREATE TABLE tried.other (id bigserial PRIMARY KEY, k %s NOT NULL, release_id bigint, bucket text NOT NULL)', log_type);
    EXECUTE format('CREATE TABLE tried.same (id bigserial PRIMARY KEY, k %s NOT NULL, release_id bigint, bucket text NOT NULL)', track_type);
    RETURN NEXT throws_ok($$SELECT playevent.attach_log('tried.other', 'tried.t', track_key => 'k', key_column => 'k', kinds => '{x}')$$,
        '42804', format('column "k" of table "other" has type %s, which can''t be looked up in column "k" of table "t"', log_type),
        format('P10: keys of type %s are not looked up among those of type %s', log_type, track_type));
    PERFORM playevent.attach_log('tried.same', 'tried.t', track_key => 'k', key_column => 'k', kinds => '{x}');
    EXECUTE format('INSERT INTO tried.same (k, bucket) VALUES (%L, ''x'')', value);
    RETURN NEXT results_eq('SELECT release_id FROM tried.same', ARRAY[7::bigint], format('P2: those of type %s are', track_type));
    DROP SCHEMA tried CASCADE;
END
$f$;
SELECT try_types('tracks.one', 'tracks.another', 'x');
SELECT try_types('int4range', 'int8range', '[1,2)');
SELECT try_types('int4multirange', 'int8multirange', '{[1,2)}');
SELECT try_types('integer[]', 'text[]', '{1}');
SELECT try_types('tracks.pair', 'tracks.other_pair', '(1)');

-- Tracks in a child of the track table are not in its index.
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('k1', 7);
CREATE TABLE old_track (PRIMARY KEY (entry_key)) INHERITS (track);
SELECT throws_ok($$SELECT playevent.create_log('play', 'track')$$, '42809', 'track table "track" has child tables',
    'P10: a table with child tables can''t be the track table');
ALTER TABLE old_track NO INHERIT track;
SELECT lives_ok($$SELECT playevent.create_log('play', 'track')$$, 'P10: one that had any can');
SELECT record_play('k1', 'most') AS id \gset
ALTER TABLE old_track INHERIT track;
SELECT throws_ok($$SELECT record_play('k1', 'most')$$, '42809', 'track table "track" has child tables', 'P10: nor may it get some');
DROP TABLE old_track;
SELECT lives_ok($$SELECT record_play('k1', 'most')$$, 'P10: without them, plays are recorded again');
SELECT results_eq('SELECT release_id, plays FROM play_counter', 'VALUES (7::bigint, 2::bigint)', 'P2, P3: with their release');

SELECT * FROM finish();
ROLLBACK;
