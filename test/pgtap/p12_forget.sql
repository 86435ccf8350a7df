-- P12, P1: a listener is forgotten: his rows are there and counted as before, and tell nothing of
-- him any more; nothing else of them changes, by whomsoever.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hll') AS has_hll \gset
SELECT no_plan();

CREATE SCHEMA f;
\if :has_hll
CREATE EXTENSION hll SCHEMA public;
\endif
SET LOCAL search_path = f, public;
SET LOCAL client_min_messages = warning;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', NULL);
SELECT playevent.create_log('play', track => 'track');
\if :has_hll
SELECT playevent.add_listener_sketch('play_event');
CREATE FUNCTION sketches_differ(log text, listener text DEFAULT 'anon_id') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    keys text := (SELECT string_agg(quote_ident(c), ', ') FROM playevent.counter k, unnest(k.columns) c
                   WHERE k.event = (log || '_event')::regclass AND k.listener_column IS NOT NULL);
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH counted AS (SELECT %1$s, listeners::text FROM %2$s_listeners),
              logged AS (SELECT %1$s, hll_add_agg(hll_hash_text(%3$I::text), 13, 5, 256, 1)::text
                           FROM %2$s_event WHERE %3$I IS NOT NULL GROUP BY %1$s)
         SELECT d::text FROM ((TABLE counted EXCEPT ALL TABLE logged) UNION ALL (TABLE logged EXCEPT ALL TABLE counted)) d',
        keys, log, listener);
END
$$;
\else
CREATE FUNCTION sketches_differ(log text, listener text DEFAULT 'anon_id') RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL WHERE false';
\endif

INSERT INTO play_event (track_entry_key, bucket, anon_id, event_id, created_at)
SELECT 'k' || n % 4, (ARRAY['partial', 'most', 'complete'])[1 + n % 3]::play_bucket, 'token-' || n % 5, gen_random_uuid(),
       '2026-03-01 12:00+00'::timestamptz + n * interval '5 hours'
  FROM generate_series(1, 60) n;
CREATE TEMP TABLE before AS SELECT to_jsonb(p) - 'anon_id' AS row, p.anon_id AS token FROM play_event p;
CREATE TEMP TABLE totals AS SELECT * FROM play_counter;
CREATE TEMP TABLE days AS SELECT * FROM play_daily;

SELECT is(playevent.forget_listener('play_event', 'token-9'), 0::bigint, 'P12: nobody knows him: nothing to do');
SELECT is(playevent.forget_listener('play_event', ''), 0::bigint, 'P12: nor an empty token');
SELECT is(playevent.forget_listener('play_event', 'token-1'), 12::bigint, 'P12: a listener is forgotten, in so many rows');
SELECT is(playevent.forget_listener('play_event', 'token-1'), 0::bigint, 'P12: and then none is left');
SELECT is_empty($$SELECT FROM play_event WHERE anon_id = 'token-1'$$, 'P12: no row has the token');
SELECT bag_eq('SELECT to_jsonb(p) - ''anon_id'' FROM play_event p', 'SELECT row FROM before', 'P1: all other columns are as they were');
SELECT results_eq('SELECT anon_id, count(*) FROM play_event GROUP BY 1 ORDER BY 1',
    $$VALUES ('token-0', 12::bigint), ('token-2', 12), ('token-3', 12), ('token-4', 12), (NULL, 12)$$, 'P1: and all other tokens');
SELECT bag_eq('TABLE play_counter', 'TABLE totals', 'P12: counts are as they were');
SELECT bag_eq('TABLE play_daily', 'TABLE days', 'P12: by day as well');
SELECT is_empty('SELECT sketches_differ(''play'')', 'P12: sketches are of the listeners who are left');
SELECT is_empty('SELECT playevent.verify(''play_event'')', 'P3: verify finds nothing');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'P3: nor does rebuild');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: the log is intact');

-- No trace in any of the log's tables, nor in what the planner knows of them
SELECT playevent.void('play_event', ARRAY(SELECT id FROM play_event WHERE anon_id = 'token-2' LIMIT 5), 'a bot');
ANALYZE play_event;
SELECT isnt_empty($$SELECT FROM pg_stats WHERE schemaname = 'f' AND most_common_vals::text LIKE '%token-2%'$$, 'P12: the planner knows a token');
SELECT is(playevent.forget_listener('play_event', 'token-2'), 12::bigint, 'P12: the plays that were voided among them');
SELECT is_empty('SELECT playevent.verify(''play_event'')', 'P3: which don''t count as before');
ANALYZE play_event;
CREATE FUNCTION traces(token text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    it regclass;
BEGIN
    FOR it IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'f'::regnamespace AND c.relkind IN ('r', 'p', 'v') LOOP
        RETURN QUERY EXECUTE format('SELECT %L::text FROM %s AS t WHERE t::text LIKE %L', it, it, '%' || token || '%');
    END LOOP;
    RETURN QUERY SELECT 'statistics of ' || s.attname FROM pg_stats s WHERE s.schemaname = 'f' AND s::text LIKE '%' || token || '%';
END
$$;
SELECT isnt_empty($$SELECT traces('token-3')$$, 'P12: of others there is a trace');
SELECT is_empty($$SELECT traces('token-2')$$, 'P12: of him there is none');
SELECT is_empty($$SELECT traces('token-1')$$, 'P12: nor of the other');

-- By hand, nobody can.
SELECT throws_ok(statement, '23001', 'table "play_event" is append-only', 'P1: ' || statement)
  FROM unnest(ARRAY['UPDATE play_event SET anon_id = NULL', 'UPDATE play_event SET anon_id = NULL WHERE anon_id = ''token-3''',
                    'UPDATE play_event SET anon_id = anon_id WHERE id = 3', 'UPDATE play_event SET anon_id = ''another'' WHERE id = 1',
                    'UPDATE play_event SET bucket = ''most''', 'DELETE FROM play_event WHERE anon_id IS NULL']) statement;
SELECT throws_ok('SELECT playevent.empty_column(''play_event'', ''anon_id'', ''UPDATE f.play_event SET anon_id = NULL'', ''x'')', '0A000', NULL,
    'P8: what it is done by is not to be called');
SELECT throws_ok('SELECT playevent.forget_listener_as_owner(''play_event'', ''token-3'')', '0A000', NULL, 'P8: nor the owner''s part');

-- Nor can a trigger of the app's use the occasion.
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.release_id := 99; RETURN NEW; END$$;
CREATE TRIGGER a_meddler BEFORE UPDATE ON play_event FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT throws_ok('SELECT playevent.forget_listener(''play_event'', ''token-3'')', '23001', NULL, 'P1: a trigger that changes another column is refused');
DROP TRIGGER a_meddler ON play_event;
CREATE TRIGGER z_meddler BEFORE UPDATE ON play_event FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT throws_ok('SELECT playevent.forget_listener(''play_event'', ''token-3'')', '23001', NULL, 'P1: also one that fires after ours');
DROP TRIGGER z_meddler ON play_event;
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.anon_id := 'someone else'; RETURN NEW; END$$;
CREATE TRIGGER a_meddler BEFORE UPDATE ON play_event FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT throws_ok('SELECT playevent.forget_listener(''play_event'', ''token-3'')', '23001', NULL, 'P1: one that puts another token there');
DROP TRIGGER a_meddler ON play_event;
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER a_meddler BEFORE UPDATE ON play_event FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT throws_ok('SELECT playevent.forget_listener(''play_event'', ''token-3'')', '55000', NULL, 'P12: one that keeps the rows as they are is told of');
-- What was going on when an error came up, the server's log tells.
CREATE FUNCTION context_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN raise_exception THEN
    GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
    RETURN regexp_replace(context, '^SQL statement "SELECT playevent.forget_listener.*', '', 'n');
END
$$;
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;
SELECT matches(context_of('SELECT playevent.forget_listener(''play_event'', ''token-3'')'), '"UPDATE f.play_event', 'P12: an error tells what was going on');
SELECT doesnt_match(context_of('SELECT playevent.forget_listener(''play_event'', ''token-3'')'), 'token-3', 'P12: and not of whom');
DROP TRIGGER a_meddler ON play_event;
CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE f.play_event SET anon_id = NULL WHERE anon_id = 'token-4';
    UPDATE f.play_event SET bucket = 'most', anon_id = NULL WHERE anon_id = 'token-4';
    RETURN NEW;
END
$$;
CREATE TRIGGER a_meddler BEFORE UPDATE ON play_event FOR EACH ROW WHEN (OLD.anon_id = 'token-3') EXECUTE FUNCTION meddle();
SELECT throws_ok('SELECT playevent.forget_listener(''play_event'', ''token-3'')', '23001', NULL, 'P1: nor does an UPDATE of another column come in by a trigger');
DROP TRIGGER a_meddler ON play_event;
SELECT bag_eq('SELECT to_jsonb(p) - ''anon_id'' FROM play_event p', 'SELECT row FROM before', 'P1: all is as it was');
SELECT is_empty('SELECT playevent.verify(''play_event'')', 'P3: and exact');

-- What is refused
SELECT throws_ok('SELECT playevent.forget_listener(NULL, ''x'')', '22004', NULL, 'P9: no log is named');
SELECT throws_ok('SELECT playevent.forget_listener(''play_event'', NULL)', '22004', NULL, 'P9: no listener is named');
SELECT throws_ok('SELECT playevent.forget_listener(''track'', ''x'')', '55000', 'table "track" is not a log', 'P9: a table that is no log');
CREATE TABLE nobody (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT playevent.attach_log('nobody', track => 'track', kinds => '{a}');
SELECT throws_ok('SELECT playevent.forget_listener(''nobody'', ''x'')', '55000', 'table "nobody" has no column that tells listeners apart', 'P9: a log without listeners');
CREATE TABLE somebody (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL, who text NOT NULL);
SELECT playevent.attach_log('somebody', track => 'track', kinds => '{a}', listener_column => 'who');
SELECT throws_ok('SELECT playevent.forget_listener(''somebody'', ''x'')', '55000', 'column "who" of table "somebody" can''t be emptied', 'P9: a column that is NOT NULL');
CREATE ROLE forget_stranger;
GRANT USAGE ON SCHEMA f TO forget_stranger;
GRANT ALL ON play_event, play_verdict TO forget_stranger;
CREATE FUNCTION try_as(role name, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE statement;
    RESET ROLE;
END
$$;
SELECT throws_ok($$SELECT try_as('forget_stranger', 'SELECT playevent.forget_listener(''f.play_event'', ''token-3'')')$$, '42501', NULL, 'P8: nobody but the owner');

-- Counters by listener, and by a column that is generated from the token, follow.
SELECT playevent.add_counter('play_event', 'play_by_listener', '{anon_id,day}');
ALTER TABLE play_event ADD COLUMN has_token boolean GENERATED ALWAYS AS (anon_id IS NOT NULL) STORED;
SELECT playevent.add_counter('play_event', 'play_by_token', '{has_token}');
ALTER TABLE play_event ADD COLUMN token_length int GENERATED ALWAYS AS (length(anon_id)) STORED;
SELECT playevent.add_counter('play_event', 'play_token_length', '{track_entry_key}', amount => 'token_length');
SELECT is(playevent.forget_listener('play_event', 'token-3'), 12::bigint, 'P12: where a counter counts by listener, he is forgotten as well');
SELECT is_empty('SELECT playevent.verify(''play_event'')', 'P3: such counters are exact');
SELECT results_eq('SELECT sum(plays) FILTER (WHERE anon_id IS NULL), sum(plays) FILTER (WHERE anon_id IS NOT NULL) FROM play_by_listener',
    'SELECT count(*) FILTER (WHERE NOT has_token)::numeric, count(*) FILTER (WHERE has_token)::numeric FROM play_valid JOIN play_event USING (id)',
    'P12: and count him as nobody');
ANALYZE play_event, play_by_listener_slot;
SELECT is_empty($$SELECT traces('token-3')$$, 'P12: which leaves no trace');
CREATE FUNCTION state_if_read_only(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('transaction_read_only', 'on', true);
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT is(state_if_read_only('SELECT playevent.forget_listener(''play_event'', ''nobody'')'), '25006', 'P9: a transaction that only reads merges no slots');

-- So they do where equal keys have several images, of which what is taken off has one.
ALTER TABLE play_event ADD COLUMN speed numeric;
SELECT playevent.add_counter('play_event', 'play_by_speed', '{anon_id,speed}');
INSERT INTO play_event (track_entry_key, bucket, anon_id, speed) VALUES ('k1', 'most', 'fast', 1.0), ('k1', 'most', 'fast', 1.00), ('k1', 'most', 'slow', 1.000);
SELECT playevent.void('play_event', (SELECT array_agg(id) FROM play_event WHERE anon_id = 'fast'), 'a test');
SELECT isnt_empty($$SELECT FROM play_by_speed_slot WHERE anon_id = 'fast'$$, 'P12: slots of both images are there');
SELECT is(playevent.forget_listener('play_event', 'fast'), 2::bigint, 'P12: one whose plays have keys of two images is forgotten');
SELECT is_empty($$SELECT traces('fast')$$, 'P12: without a trace');
SELECT results_eq('SELECT anon_id, speed, plays FROM play_by_speed WHERE speed IS NOT NULL', $$VALUES ('slow'::text, 1.0, 1::bigint)$$, 'P3: others stay');
SELECT playevent.drop_counter('play_event', 'play_by_speed');
SELECT playevent.drop_counter('play_event', 'play_by_listener');
SELECT playevent.drop_counter('play_event', 'play_by_token');
SELECT playevent.drop_counter('play_event', 'play_token_length');

-- Many rows, in several calls
INSERT INTO play_event (track_entry_key, bucket, anon_id) SELECT 'k' || n % 4, 'most', CASE WHEN n % 10 > 0 THEN 'busy' ELSE 'other' END FROM generate_series(1, 25000) n;
SELECT is(playevent.forget_listener('play_event', 'busy'), 10000::bigint, 'P12: at most 10,000 rows in one call');
SELECT is_empty('SELECT playevent.verify(''play_event'')', 'P3: exact in between');
SELECT is(playevent.forget_listener('play_event', 'busy'), 10000::bigint, 'P12: and again');
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'busy');
SELECT is(playevent.forget_listener('play_event', 'busy'), 2501::bigint, 'P12: until there is nothing left, a play that came meanwhile included');
SELECT is(playevent.forget_listener('play_event', 'busy'), 0::bigint, 'P12: which 0 tells');
SELECT is_empty('SELECT playevent.verify(''play_event'')', 'P3: exact then');
SELECT is((SELECT count(*) FROM play_event WHERE anon_id = 'other'), 2500::bigint, 'P12: others stay');
SELECT is_empty($$SELECT traces('busy')$$, 'P12: no trace');

--
-- Other types of tokens
--

CREATE TABLE by_uuid_event (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL,
    "The listener" uuid, at timestamptz NOT NULL DEFAULT now());
SELECT playevent.attach_log('by_uuid_event', track => 'track', kinds => '{a}', created_column => 'at', listener_column => 'The listener');
CREATE TABLE by_number_event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL,
    anon_id bigint, at timestamptz NOT NULL DEFAULT now());
SELECT playevent.attach_log('by_number_event', track => 'track', kinds => '{a}', created_column => 'at');
\if :has_hll
SELECT playevent.add_listener_sketch('by_uuid_event', 'The listener');
SELECT playevent.add_listener_sketch('by_number_event');
\endif
INSERT INTO by_uuid_event (track_entry_key, bucket, "The listener") SELECT 'k' || n % 3, 'a', lpad((n % 4)::text, 32, '0')::uuid FROM generate_series(1, 20) n;
INSERT INTO by_number_event (track_entry_key, bucket, anon_id) SELECT 'k' || n % 3, 'a', n % 4 FROM generate_series(1, 20) n;
SELECT is(playevent.forget_listener('by_uuid_event', '00000000-0000-0000-0000-000000000001'), 5::bigint, 'P12: a uuid');
SELECT is(playevent.forget_listener('by_uuid_event', '{00000000000000000000000000000002}'), 5::bigint, 'P12: however it is written');
SELECT throws_ok('SELECT playevent.forget_listener(''by_uuid_event'', ''token-1'')', '22P02', NULL, 'P9: what is no uuid');
SELECT is(playevent.forget_listener('by_number_event', '1'), 5::bigint, 'P12: a number');
SELECT throws_ok('SELECT playevent.forget_listener(''by_number_event'', ''one'')', '22P02', NULL, 'P9: what is no number');
SELECT is_empty($$SELECT sketches_differ('by_uuid', 'The listener') UNION ALL SELECT sketches_differ('by_number')$$, 'P12: sketches of both');
SELECT is_empty($$SELECT playevent.verify('by_uuid_event') UNION ALL SELECT playevent.verify('by_number_event')$$, 'P3: both exact');

--
-- Partitions, sealed and retired
--

SELECT playevent.create_log('listen', track => 'track', partition_by => 'month');
ALTER TABLE listen_event ADD COLUMN has_token boolean GENERATED ALWAYS AS (anon_id IS NOT NULL) STORED,
    ADD COLUMN token_length int GENERATED ALWAYS AS (length(anon_id)) STORED;
SELECT playevent.add_counter('listen_event', 'listen_by_listener', '{anon_id}');
SELECT playevent.add_counter('listen_event', 'listen_by_token', '{has_token}');
SELECT playevent.add_counter('listen_event', 'listen_token_length', '{bucket}', amount => 'token_length');
CREATE TEMP TABLE month AS SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AS this;
DO $$
DECLARE
    month timestamp := (SELECT this FROM month);
BEGIN
    FOR n IN 1..3 LOOP
        EXECUTE format('CREATE TABLE listen_old_%s PARTITION OF listen_event FOR VALUES FROM (%L) TO (%L)', n,
            (month - make_interval(months => n)) AT TIME ZONE 'UTC', (month - make_interval(months => n - 1)) AT TIME ZONE 'UTC');
    END LOOP;
END
$$;
\if :has_hll
SELECT playevent.add_listener_sketch('listen_event');
\endif
INSERT INTO listen_event (track_entry_key, bucket, anon_id, created_at)
SELECT 'k' || n % 3, 'most', 'token-' || n % 5, ((SELECT this FROM month) - make_interval(months => n % 4)) AT TIME ZONE 'UTC' + interval '1 hour'
  FROM generate_series(1, 80) n;
SELECT playevent.seal('listen_event', (SELECT (this - interval '1 month') AT TIME ZONE 'UTC' FROM month));
SELECT playevent.retire('listen_event', (SELECT (this - interval '2 months') AT TIME ZONE 'UTC' FROM month));
SELECT is(playevent.forget_listener('listen_event', 'token-1'), 12::bigint, 'P12: in all partitions that are there, sealed ones too');
SELECT is_empty($$SELECT FROM listen_event WHERE anon_id = 'token-1'$$, 'P12: and none is left');
SELECT throws_ok('UPDATE listen_old_2 SET anon_id = NULL', '23001', NULL, 'P1: by hand, a sealed one can''t be changed');
SELECT is_empty('SELECT playevent.verify(''listen_event'')', 'P3: exact');
SELECT is(playevent.retire('listen_event', (SELECT (this - interval '1 month') AT TIME ZONE 'UTC' FROM month)), 1, 'P11: it is retired as it was sealed');
SELECT is_empty(format('SELECT playevent.verify_archive(''listen_event'', %L)', a.part), 'P11: a manifest is true of plays of a listener who was forgotten: ' || a.part)
  FROM (SELECT c.oid::regclass AS part FROM pg_class c WHERE c.relkind = 'r' AND NOT c.relispartition
           AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgfoid = 'playevent.sealed'::regproc) ORDER BY 1) a;
SELECT is_empty('SELECT playevent.verify(''listen_event'')', 'P3: and all is exact');

-- The token goes from an archive as OPERATIONS has it.
ALTER TABLE listen_old_3 DISABLE TRIGGER playevent_append_only;
UPDATE listen_old_3 SET anon_id = NULL WHERE anon_id = 'token-2';
ALTER TABLE listen_old_3 ENABLE ALWAYS TRIGGER playevent_append_only;
SELECT is_empty($$SELECT playevent.verify_archive('listen_event', 'listen_old_3')$$, 'P11: a manifest is true of an archive whose token was emptied');
SELECT is((SELECT bool_and(intact) FROM playevent.log), true, 'P1: all of them are intact');

-- What was inserted straight into a partition is counted when the transaction ends, or
-- before sketches are made anew without it.
\if :has_hll
SELECT playevent.create_log('spun', track => 'track', partition_by => 'month');
SELECT playevent.add_listener_sketch('spun_event');
SELECT p.part::text AS part FROM playevent.partitions('spun_event') p WHERE p.since <= now() AND p.until > now() \gset
INSERT INTO :part (id, track_entry_key, bucket, anon_id)
SELECT nextval('spun_event_id_seq'), 'k' || n, 'most', who FROM generate_series(1, 2) n, unnest('{her,him}'::text[]) who;
SELECT throws_ok(format('SELECT playevent.%s', call), '55000', 'cannot change the counters of table "spun_event" in this subtransaction', 'P12: not in a subtransaction: ' || call)
  FROM unnest(ARRAY[$$forget_listener('spun_event', 'her')$$, $$void('spun_event', (SELECT array_agg(id) FROM spun_event WHERE anon_id = 'her'), 'x')$$]) call;
SELECT is(playevent.forget_listener('spun_event', 'her'), 2::bigint, 'P12: a listener is forgotten whose plays are not counted yet');
SELECT is_empty($$SELECT sketches_differ('spun')$$, 'P12: and is in no sketch');
SELECT throws_ok($$WITH x AS (INSERT INTO spun_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'him') RETURNING id)
    SELECT playevent.forget_listener('spun_event', 'him') FROM x$$, '55006', NULL, 'P12: nor amid a statement that inserts');
INSERT INTO :part (id, track_entry_key, bucket, anon_id) VALUES (nextval('spun_event_id_seq'), 'k1', 'most', 'bot');
SELECT is(playevent.void('spun_event', (SELECT array_agg(id) FROM spun_event WHERE anon_id = 'bot'), 'x'), 1::bigint, 'P12: such a play is voided');
SELECT is_empty($$SELECT playevent.verify('spun_event')$$, 'P12: and all is exact');
\endif

-- A partition whose DETACH CONCURRENTLY is not finished is one of nothing: the owner's
-- code, in a CHECK that looks at rows without their listener, has crashed the server by
-- an UPDATE of it.
CREATE TABLE parted (v text) PARTITION BY LIST (v);
CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
INSERT INTO parted VALUES ('a');
CREATE TRIGGER a BEFORE UPDATE ON parted_1 FOR EACH ROW EXECUTE FUNCTION playevent.append_only();
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'parted_1'::regclass;
CREATE FUNCTION may_update() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE f.parted_1 SET v = NULL;
    RETURN true;
EXCEPTION WHEN restrict_violation THEN
    RETURN false;
END
$$;
SELECT playevent.create_log('checked', track => 'track');
INSERT INTO checked_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'token-1');
ALTER TABLE checked_event ADD CHECK (anon_id IS NOT NULL OR NOT f.may_update());
SELECT is(playevent.forget_listener('checked_event', 'token-1'), 1::bigint, 'P12: a listener is forgotten, where a CHECK updates another append-only table');
SELECT results_eq('TABLE parted_1', $$VALUES ('a')$$, 'P1: which refuses');

SELECT * FROM finish();
ROLLBACK;
