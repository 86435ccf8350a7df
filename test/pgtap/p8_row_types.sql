-- P8, P10: what a query returns for a counter is taken for its keys and amounts only if it
-- is.  In a twin of his log, an owner's code may call what is there for twins; and he
-- may change the types of his tables.  Neither crashes the server.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hll') AS hll \gset
\if :hll
CREATE EXTENSION IF NOT EXISTS hll;
\endif
SELECT plan(12);
SET LOCAL client_min_messages = error;

CREATE ROLE types_owner;
CREATE SCHEMA o AUTHORIZATION types_owner;
GRANT USAGE ON SCHEMA public TO types_owner;
SET LOCAL ROLE types_owner;
SET LOCAL search_path = o, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('k1', 1);
SELECT playevent.create_log('play', track => 'track');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
SELECT playevent.void('play_event', ARRAY(SELECT id FROM play_event), 'to begin with');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
CREATE TABLE slots AS SELECT * FROM play_counter_slot;
CREATE TABLE other (track_entry_key name, release_id bigint, bucket play_bucket, id bigint);
INSERT INTO other VALUES ('HHHHHHHHHHHHHHHH', 1, 'most', 1);

-- attach_log writes this table anew, and with it an index that calls what is called here.
CREATE FUNCTION attach(call text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE x_event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL,
        release_id bigint, bucket text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
    INSERT INTO x_event (track_entry_key, bucket) VALUES ('k1', 'a');
    CREATE FUNCTION f(bigint) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END';
    CREATE INDEX ON x_event (f(id));
    EXECUTE format('CREATE OR REPLACE FUNCTION f(bigint) RETURNS int LANGUAGE plpgsql IMMUTABLE AS %L',
        format('BEGIN PERFORM %s; RETURN 1; END', call));
    PERFORM playevent.attach_log('x_event', 'track', created_column => 'created_at', check_kinds => false);
END
$$;

CREATE FUNCTION refuses(call text, why text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT throws_like(format('SELECT attach(%L)', call), why, format('P8: in a twin: %s', left(call, 80)));
    RETURN NEXT set_eq('SELECT * FROM play_counter_slot', 'SELECT * FROM slots', 'P3: no slot has changed');
END
$$;
SELECT refuses($$playevent.add_counted('o.play_event', 'o.play_counter_slot', 'SELECT 81985529216486895, 2::bigint, 3::bigint, 4::bigint', true)$$,
    'column 1 of a query has type bigint, not character varying');
SELECT refuses(format($$playevent.add_counted('o.play_event', 'o.play_counter_slot', 'SELECT id, %s FROM o.play_event', true)$$,
    (SELECT string_agg(n::text, ', ') FROM generate_series(1, 40) n)), 'a query returns 41 columns, not 4');
SELECT refuses($$playevent.add_counted('o.play_event', 'o.play_counter_slot', 'SELECT ''1''::text, 1::bigint', true)$$,
    'a query returns 2 columns, not 4');
SELECT refuses($$playevent.count_judged('o.play_event', 'o.play_counter_slot',
    'true)) AS judged GROUP BY 1, 2, 3 UNION ALL SELECT ''HHHHHHHH''::name, 1, NULL, 1 --', true)$$,
    'column 1 of a query has type %, not character varying');
SELECT refuses($$playevent.take_off('o.play_event', 'o.play_counter_slot', 'o.other', '2020-01-01')$$,
    'table with OID % is not a partition of table "play_event"');

-- What was retired has other types than the slots.
\if :hll
SELECT playevent.create_log('kept', track => 'track', partition_by => 'month');
SELECT playevent.add_listener_sketch('kept_event');
DROP VIEW kept_listeners;
ALTER TABLE kept_listeners_retired ALTER COLUMN track_entry_key TYPE name;
ALTER TABLE kept_event DISABLE TRIGGER USER;
INSERT INTO kept_event (track_entry_key, bucket, anon_id) VALUES ('HHHHHHHHHHHHHHHH', 'most', 'a');
ALTER TABLE kept_event ENABLE TRIGGER USER;
SELECT throws_like($$SELECT playevent.rebuild('kept_event')$$, 'column 1 of a query has type %, not %', 'P10: rebuild with a retired table of other types');
SELECT throws_like($$SELECT * FROM playevent.verify('kept_event')$$, 'column 1 of a query has type %, not %', 'P10: and verify');
\else
SELECT skip('extension hll is not available', 2);
\endif

SELECT finish();
ROLLBACK;
