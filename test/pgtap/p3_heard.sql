-- P3: a batch that says how much of each track was heard is recorded as one by one,
-- with a receipt for each; what can't be a play is rejected with its reason (P9).
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(33);
CREATE SCHEMA h;
SET LOCAL search_path = h, public;
SET LOCAL client_min_messages = error;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2);
SELECT playevent.create_log('play', 'track', heard => true);

-- What a call returned, in order
CREATE FUNCTION receipts(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT string_agg(concat_ws('' '', ord, status, reason), ''; '' ORDER BY r.ord) FROM %s AS r', call) INTO result;
    RETURN result;
END
$$;
CREATE FUNCTION refusal(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'SELECT * FROM ' || call;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
-- The kinds and what was heard of the plays that were recorded since a while ago
CREATE FUNCTION plays(since bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', track_entry_key, release_id, bucket, heard), '; ' ORDER BY id) FROM play_event WHERE id > since
$$;
CREATE FUNCTION last_id() RETURNS bigint LANGUAGE sql AS 'SELECT coalesce(max(id), 0) FROM play_event';

CREATE FUNCTION test_batches(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
DECLARE
    before bigint := last_id();
    one bigint;
BEGIN
    RETURN NEXT is(receipts($$record_plays_heard('{k1,k2,loose,k1,k1,NULL,"",k2,k1,k1}',
            ARRAY[0.05, 0.949, 1, 0, NULL, 0.5, 0.5, 'NaN', 1.0001, -0.01]::float8[])$$),
        '1 recorded; 2 recorded; 3 recorded; 4 rejected heard too little; 5 rejected not said how much was heard; '
        '6 rejected no key; 7 rejected empty key; 8 rejected heard is not from 0 to 1; 9 rejected heard is not from 0 to 1; '
        '10 rejected heard is not from 0 to 1', 'P9: receipts, ' || way);
    RETURN NEXT is(plays(before), 'k1 1 partial 0.05; k2 2 most 0.949; loose complete 1', 'P3: kinds, and what was heard, ' || way);
    before := last_id();
    RETURN NEXT is(receipts(format($$record_plays_heard('{k1,k2,k1,k1}', '{0.6,0.7,0.8,0.01}', ARRAY[%1$L, NULL, %1$L, %1$L]::uuid[], '{a,b,c,d}')$$, gen_random_uuid())),
        '1 recorded; 2 recorded; 3 duplicate; 4 rejected heard too little', 'P3: duplicates, ' || way);
    RETURN NEXT is(plays(before), 'k1 1 most 0.6; k2 2 most 0.7', 'P3: the first counts, ' || way);
    RETURN NEXT is((SELECT string_agg(anon_id, ' ' ORDER BY id) FROM play_event WHERE id > before), 'a b', 'P3: with their listeners, ' || way);
    RETURN NEXT is(receipts(format($$record_plays_heard('{k2}', '{1}', ARRAY[%L]::uuid[])$$, (SELECT event_id FROM play_event WHERE id > before AND event_id IS NOT NULL))),
        '1 duplicate', 'P3: a retry, ' || way);
    -- one by one, the same
    RETURN NEXT is_empty(format($$SELECT f.x, a.bucket, a.heard, b.bucket, b.heard
          FROM (SELECT x, ord, record_play_heard('k1', x) AS id FROM unnest(ARRAY[0.05, 0.0501, 0.2, 1.0 / 3, 0.4999, 0.5, 0.94, 0.95, 1]::float8[]) WITH ORDINALITY AS u(x, ord)) AS f
          JOIN record_plays_heard('{k1,k1,k1,k1,k1,k1,k1,k1,k1}', ARRAY[0.05, 0.0501, 0.2, 1.0 / 3, 0.4999, 0.5, 0.94, 0.95, 1]::float8[]) AS r USING (ord)
          JOIN play_event a ON a.id = f.id JOIN play_event b ON b.id = r.id
         WHERE (a.bucket, a.heard) IS DISTINCT FROM (b.bucket, b.heard)$$), 'P3: as one by one, ' || way);
    before := last_id();
    PERFORM record_plays('{k1}', '{most}');
    RETURN NEXT is(plays(before), 'k1 1 most', 'P3: record_plays says nothing of what was heard, ' || way);
    RETURN NEXT is_empty('SELECT * FROM playevent.verify(''play_event'')', 'P3: exact, ' || way);
END
$test$;
SELECT test_batches('in bulk');
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER nothing BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT test_batches('by statement');

SELECT is(receipts($$record_plays_heard('{}', '{}')$$), NULL, 'P9: none at all');
SELECT is(refusal($$record_plays_heard('{k1}', NULL)$$), '22004 argument "heards" must not be null', 'P9: not heard');
SELECT is(refusal($$record_plays_heard(NULL, '{1}')$$), '22004 argument "track_entry_keys" must not be null', 'P9: no keys');
SELECT is(refusal($$record_plays_heard('{k1}', '{1,0.5}')$$), '2202E arguments "track_entry_keys" and "heards" differ in length', 'P9: too many');
SELECT is(refusal($$record_plays_heard('{k1,k2}', '{1,0.5}', ARRAY[NULL]::uuid[])$$), '2202E arguments "track_entry_keys" and "event_ids" differ in length', 'P9: too few');
SELECT is(refusal($$record_plays_heard('{k1,k2}', '{{1,0.5}}')$$), '2202E argument "heards" has more than one dimension', 'P9: two dimensions');
SELECT is(refusal($$playevent.record_batch_heard('h.play_event', '{0.5}', '{most,complete}', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', '{k1}'::text[], '{1}', NULL, NULL)$$),
    '2202E arguments "thresholds" and "kinds" do not match', 'P9: other thresholds than kinds');
SELECT is(refusal($$playevent.record_batch_heard('h.play_event', '{0.5}', '{nothing}', '{id,track_entry_key,bucket,event_id,anon_id,"",release_id,""}', '{k1}'::text[], '{0}', NULL, NULL)$$),
    '22P02 type play_bucket has no value "nothing"', 'P9: a kind that is none');
SELECT is(refusal($$playevent.record_batch_heard(NULL, '{0.5}', '{most}', NULL, '{k1}'::text[], '{1}', NULL, NULL)$$),
    '22004 argument 1 of playevent.record_batch_heard must not be null', 'P9: no log');

-- Other tables: numbers for kinds, a floor of nothing, a domain over real; no column
CREATE DOMAIN fraction AS real CHECK (value < 0.9);
CREATE TABLE listen (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id int, kind smallint NOT NULL, heard fraction);
SELECT playevent.attach_log('listen', 'track', kind_column => 'kind', kinds => '{1,2}', thresholds => '{0,0.5}', heard_column => 'heard');
SELECT is(receipts($$record_listens_heard('{k1,k1,k1,k1}', '{0,1e-300,0.5,0.95}')$$),
    '1 recorded; 2 recorded; 3 recorded; 4 rejected value for domain h.fraction violates check constraint "fraction_check"', 'P9: what a domain refuses is rejected');
SELECT is(receipts($$record_listens_heard('{k1}', '{1e-300}')$$) || (record_listen_heard('k1', 1e-300) > 0), '1 recordedtrue', 'P9: next to nothing is nothing');
SELECT results_eq('SELECT kind, heard::real FROM listen ORDER BY id', $$VALUES (1::smallint, 0::real), (1::smallint, 0::real), (2::smallint, 0.5::real), (1::smallint, 0::real), (1::smallint, 0::real)$$,
    'P3: kinds are numbers');
CREATE TABLE stream (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id int, kind text NOT NULL);
SELECT playevent.attach_log('stream', 'track', kind_column => 'kind', kinds => '{some,all}', thresholds => '{0.1,0.5}');
SELECT is(receipts($$record_streams_heard('{k1,k1,k1}', '{0.1,0.5,0}')$$), '1 recorded; 2 recorded; 3 rejected heard too little', 'P3: without a column for it');
SELECT results_eq('SELECT kind, streams FROM stream_counter ORDER BY 1', $$VALUES ('all', 1::bigint), ('some', 1)$$, 'P3: it is counted');

-- A log that is made again: what the dropped one has left is replaced.
DROP TABLE play_event, play_counter_slot, play_daily_slot CASCADE;
DROP TABLE IF EXISTS play_verdict CASCADE;
DROP TYPE play_bucket CASCADE;
SELECT playevent.create_log('play', 'track', heard => true);
SELECT is(receipts($$record_plays_heard('{k1}', '{0.5}')$$), '1 recorded', 'P3: the functions are the new log''s');
SELECT * FROM finish();
ROLLBACK;
