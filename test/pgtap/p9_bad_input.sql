-- P9: a play that can't be is refused with a standard SQLSTATE and a message
-- that says what is wrong with it; nothing of it is logged or counted, and a
-- savepoint keeps the rest of the app's transaction.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(40);

CREATE SCHEMA p9;
SET LOCAL search_path = p9, public;
SET LOCAL client_min_messages = warning;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1);
SELECT playevent.create_log('play', track => 'track') AS log \gset

-- What the error says: SQLSTATE, table and column, message.
CREATE FUNCTION diagnosis(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    table_name text;
    column_name text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        table_name = TABLE_NAME, column_name = COLUMN_NAME;
    RETURN concat_ws(' ', state, '[' || concat_ws('.', NULLIF(table_name, ''), NULLIF(column_name, '')) || ']', message);
END
$$;
-- key and bucket are SQL expressions
CREATE FUNCTION play(key text, bucket text DEFAULT '''most''') RETURNS text LANGUAGE sql AS $$
    SELECT diagnosis(format('INSERT INTO play_event (track_entry_key, bucket) VALUES (%s, %s)', $1, $2))
$$;

SELECT is(play('''k1'''), 'no error', 'P9: a good play');

-- the key
SELECT is(play('NULL'),
          '23502 [play_event.track_entry_key] null value in column "track_entry_key" of relation "play_event" violates not-null constraint',
          'P9: a null key');
SELECT is(diagnosis($$INSERT INTO play_event (bucket) VALUES ('most')$$),
          '23502 [play_event.track_entry_key] null value in column "track_entry_key" of relation "play_event" violates not-null constraint',
          'P9: no key');
SELECT is(play(''''''),
          '23514 [play_event.track_entry_key] empty value in column "track_entry_key" of table "play_event"',
          'P9: an empty key');
SELECT is(play('repeat(''x'', 100)'), 'no error', 'P9: the longest key');
SELECT is(play('repeat(''ü'', 100)'), 'no error', 'P9: the longest key counts characters, not bytes');
SELECT is(play('repeat(''x'', 101)'), '22001 [] value too long for type character varying(100)',
          'P9: an over-long key');
SELECT is(play('repeat(''x'', 1000000)'), '22001 [] value too long for type character varying(100)',
          'P9: a key of a megabyte');
SELECT is(play($$convert_from('\x6bff', 'UTF8')$$), '22021 [] invalid byte sequence for encoding "UTF8": 0xff',
          'P9: an ill-encoded key');
SELECT is(play($$E'k\xc3'$$), '22021 [] invalid byte sequence for encoding "UTF8": 0xc3',
          'P9: an ill-encoded literal');
SELECT is(play($$convert_from('\x6b00', 'UTF8')$$), '22021 [] invalid byte sequence for encoding "UTF8": 0x00',
          'P9: a key with a zero byte');
SELECT is(play('''k1 '''), 'no error', 'P9: a blank is part of the key, which is then unknown');
SELECT is(play('''\'''), 'no error', 'P9: a backslash is a key like any other');
SELECT is(play(quote_literal($$'); DROP TABLE track; --$$)), 'no error', 'P9: SQL is a key like any other');
SELECT has_table('track', 'P9: and is not run');

-- the bucket
SELECT is(play('''k1''', 'NULL'),
          '23502 [play_event.bucket] null value in column "bucket" of relation "play_event" violates not-null constraint',
          'P9: a null bucket');
SELECT is(diagnosis($$INSERT INTO play_event (track_entry_key) VALUES ('k1')$$),
          '23502 [play_event.bucket] null value in column "bucket" of relation "play_event" violates not-null constraint',
          'P9: no bucket');
SELECT is(play('''k1''', '''half'''), '22P02 [] invalid input value for enum play_bucket: "half"',
          'P9: an unknown bucket');
SELECT is(play('''k1''', '''Most'''), '22P02 [] invalid input value for enum play_bucket: "Most"',
          'P9: a bucket in another case');
SELECT is(play('''k1''', ''''''), '22P02 [] invalid input value for enum play_bucket: ""', 'P9: an empty bucket');
SELECT is(play('''k1''', '1'), '42804 [] column "bucket" is of type play_bucket but expression is of type integer',
          'P9: a number for a bucket');

-- the other columns
SELECT is(diagnosis($$INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', 'x')$$),
          '22P02 [] invalid input syntax for type uuid: "x"', 'P9: an event_id that is none');
SELECT is(diagnosis($$INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', 'soon')$$),
          '22007 [] invalid input syntax for type timestamp with time zone: "soon"', 'P9: a time that is none');
SELECT is(diagnosis($$INSERT INTO play_event (track_entry_key, bucket, created_at) VALUES ('k1', 'most', NULL)$$),
          '23502 [play_event.created_at] null value in column "created_at" of relation "play_event" violates not-null constraint',
          'P9: no time');
SELECT is(diagnosis($$INSERT INTO play_event (track_entry_key, bucket, release_id) VALUES ('k1', 'most', 'x')$$),
          '22P02 [] invalid input syntax for type integer: "x"', 'P9: a release of the wrong type, though it is ignored');
SELECT is(diagnosis($$INSERT INTO play_event (track_entry_key, bucket, played) VALUES ('k1', 'most', 1)$$),
          '42703 [] column "played" of relation "play_event" does not exist', 'P9: a column that is not there');

SELECT results_eq('SELECT bucket::text, sum(plays)::int FROM play_counter GROUP BY 1', $$VALUES ('most', 6)$$,
                  'P9: the good plays are counted, none of the others');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P9: as they are logged');

-- One bad row turns its statement away, and only that.
SELECT is(diagnosis($$INSERT INTO play_event (track_entry_key, bucket)
                      SELECT CASE n WHEN 900 THEN '' ELSE 'bulk' || n END, 'complete' FROM generate_series(1, 1000) n$$),
          '23514 [play_event.track_entry_key] empty value in column "track_entry_key" of table "play_event"',
          'P9: a bad row among many');
SELECT is_empty($$SELECT * FROM play_counter WHERE bucket = 'complete'$$, 'P9: none of them is counted');

-- The rest of the transaction is the app's to keep.
CREATE TABLE app_row (n int);
INSERT INTO app_row VALUES (1);
INSERT INTO play_event (track_entry_key, bucket) VALUES ('kept', 'partial');
SAVEPOINT bad_play;
SELECT is(left(play('NULL'), 5), '23502', 'P9: a bad play');
ROLLBACK TO SAVEPOINT bad_play;
INSERT INTO app_row VALUES (2);
INSERT INTO play_event (track_entry_key, bucket) VALUES ('kept', 'partial');
RELEASE SAVEPOINT bad_play;
SELECT results_eq('SELECT n FROM app_row ORDER BY n', 'VALUES (1), (2)', 'P9: what the app wrote around it is there');
SELECT results_eq($$SELECT plays FROM play_counter WHERE track_entry_key = 'kept'$$, 'VALUES (2::bigint)',
                  'P9: the plays around it are counted');

-- An attached table brings its own limits: no check on empty keys, no length.
CREATE TABLE wild_event (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT playevent.attach_log('wild_event', track => 'track') AS log \gset
SELECT is(diagnosis($$INSERT INTO wild_event VALUES ('', NULL, 'any')$$),
          '23514 [wild_event.track_entry_key] empty value in column "track_entry_key" of table "wild_event"',
          'P9: an empty key in an attached table');
SELECT is(diagnosis($$INSERT INTO wild_event VALUES ('k1', NULL, '')$$), 'no error',
          'P9: an empty kind is the attached table''s to allow');
-- md5 doesn't compress, and an index entry has 2704 bytes
SELECT matches(
    diagnosis($$INSERT INTO wild_event SELECT string_agg(md5(n::text), ''), NULL, 'any' FROM generate_series(1, 100) n$$),
    '^54000 .*index row .* for index "wild_counter_slot_',
    'P9: a key that no index can hold');
SELECT is(diagnosis($$INSERT INTO wild_event SELECT string_agg(md5(n::text), ''), NULL, 'any' FROM generate_series(1, 60) n$$),
          'no error', 'P9: a key of two kilobytes');
SELECT is_empty($$SELECT * FROM playevent.verify('wild_event')$$, 'P9: counted as logged');

-- Track keys that are no strings have no empty value.
CREATE TABLE numbered (entry_key int PRIMARY KEY, release_id int);
SELECT playevent.create_log('number', track => 'numbered') AS log \gset
SELECT is(diagnosis($$INSERT INTO number_event (track_entry_key, bucket) VALUES ('', 'most')$$),
          '22P02 [] invalid input syntax for type integer: ""', 'P9: a key that is no number');
SELECT is(diagnosis($$INSERT INTO number_event (track_entry_key, bucket) VALUES (2147483648, 'most')$$),
          '22003 [] integer out of range', 'P9: a key out of range');

SELECT * FROM finish();
ROLLBACK;
