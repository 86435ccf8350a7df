-- P3: sums of a column are those of the log's rows, whichever way they came, and what
-- is wrong with them is found and mended; one that is out of range is an error (P9).
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
CREATE SCHEMA s;
SET LOCAL search_path = s, public;
SET LOCAL client_min_messages = error;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', NULL);
SELECT playevent.create_log('play', 'track');
CREATE DOMAIN length AS int CHECK (value < 1000000);
CREATE DOMAIN short AS length;
ALTER TABLE play_event ADD seconds int, ADD bytes bigint, ADD skips smallint, ADD cut short;

-- What sums differ from the log's, by a query that playevent has no part in; and what verify says.
CREATE FUNCTION differs(log text DEFAULT 'play_event') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    k record;
BEGIN
    FOR k IN SELECT c.*, (SELECT string_agg(quote_ident(u), ', ') FROM unnest(c.columns) u) AS keys
               FROM playevent.counter c WHERE event = log::regclass AND amount_column IS NOT NULL LOOP
        RETURN QUERY EXECUTE format(
            'WITH logged AS (SELECT %1$s, sum(%2$I)::bigint AS n FROM %3$s GROUP BY %1$s HAVING sum(%2$I) <> 0),
                  counted AS (SELECT %1$s, %2$I FROM %4$I)
             SELECT d::text FROM ((TABLE counted EXCEPT ALL TABLE logged) UNION ALL (TABLE logged EXCEPT ALL TABLE counted)) d',
            k.keys, k.amount_column, k.event, k.counter);
    END LOOP;
    RETURN QUERY SELECT v::text FROM playevent.verify(log) v;
END
$$;
CREATE FUNCTION seconds(track text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT coalesce(sum(seconds), 0) FROM play_seconds WHERE track_entry_key = track);
END
$$;

INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 100), ('k1', 'most', NULL), ('k2', 'partial', 7);
SELECT is(playevent.add_counter('play_event', 'play_seconds', '{track_entry_key,day}', amount => 'seconds')::text, 'play_seconds', 'the view');
SELECT results_eq('SELECT track_entry_key::text, seconds FROM play_seconds ORDER BY 1', $$VALUES ('k1', 100::bigint), ('k2', 7)$$, 'P3: the rows that were there are added up');
INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k1', 'most', 11), ('k1', 'most', NULL), ('k3', 'partial', 0);
SELECT is(seconds('k1'), 111::bigint, 'P5: at once');
SELECT is_empty('SELECT differs()', 'P3: exact');
SELECT results_eq('SELECT intact FROM playevent.log', 'VALUES (true)', 'intact');
SELECT * FROM playevent.counter;
SELECT * FROM finish();
ROLLBACK;
