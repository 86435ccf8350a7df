-- P12, P1, P3 and P8: plays that were voided are there and don't count, in any counter; who
-- voided them, when and why stays, append-only too.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hll') AS has_hll \gset
SELECT no_plan();

CREATE ROLE verdict_owner;
CREATE ROLE verdict_judge;
CREATE ROLE verdict_stranger;
CREATE SCHEMA v AUTHORIZATION verdict_owner;
\if :has_hll
CREATE EXTENSION hll SCHEMA public;
\endif
SET LOCAL search_path = v, public;
SET LOCAL client_min_messages = warning;
\ir include/differences.sql
\ir include/run_as.sql
GRANT USAGE ON SCHEMA test, v TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA test TO PUBLIC;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('k3', NULL);
ALTER TABLE track OWNER TO verdict_owner;
SET LOCAL ROLE verdict_owner;
SELECT playevent.create_log('play', track => 'track');
SELECT playevent.add_counter('play_event', 'play_by_release_day', '{release_id,day}');
SELECT playevent.add_counter('play_event', 'play_by_client', '{event_id,anon_id}');
\if :has_hll
SELECT playevent.add_listener_sketch('play_event');
\endif
RESET ROLE;

-- Does every counter say of each key what the rows that count say, and verify nothing?
CREATE FUNCTION differs(log regclass DEFAULT 'play_event', valid text DEFAULT 'play_valid') RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT k.*, s.relnamespace::regnamespace AS schema,
                    (SELECT string_agg(quote_ident(x), ', ') FROM unnest(k.columns) x) AS keys
               FROM playevent.counter k JOIN pg_class s ON s.oid = k.counter_slot WHERE k.event = log LOOP
        IF c.listener_column IS NULL THEN
            RETURN QUERY SELECT c.counter || ': ' || differences(valid, format('%s.%I', c.schema, c.counter), c.keys);
        ELSE
            RETURN QUERY EXECUTE format(
                'WITH counted AS (SELECT %1$s, listeners::text FROM %2$s.%3$I),
                      logged AS (SELECT %1$s, hll_add_agg(hll_hash_text(%4$I::text), 13, 5, 256, 1)::text
                                   FROM %5$s WHERE %4$I IS NOT NULL GROUP BY %1$s)
                 SELECT %3$L || '': '' || d::text FROM ((TABLE counted EXCEPT ALL TABLE logged) UNION ALL
                                                      (TABLE logged EXCEPT ALL TABLE counted)) d',
                c.keys, c.schema, c.counter, c.listener_column, valid);
        END IF;
    END LOOP;
    RETURN QUERY SELECT 'verify: ' || w FROM playevent.verify(log) w;
END
$$;
-- So many rows of the log, of which so many count.
CREATE FUNCTION counted(rows bigint, valid bigint, title text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT is_empty('SELECT differs()', 'P12: counters are what counts: ' || title);
    RETURN NEXT results_eq('SELECT (SELECT count(*) FROM play_event), (SELECT count(*) FROM play_valid), (SELECT coalesce(sum(plays), 0) FROM play_counter)',
        format('SELECT %s::bigint, %s::bigint, %2$s::numeric', rows, valid), 'P12: so many are there, and count: ' || title);
END
$$;
CREATE FUNCTION decides(call text, changed bigint, title text) RETURNS text LANGUAGE sql AS $$
    SELECT results_eq('SELECT playevent.' || call, format('SELECT %s::bigint', changed), 'P12: ' || title)
$$;
CREATE FUNCTION refuses(call text, state char(5), message text, title text) RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok('SELECT playevent.' || call, state, message, 'P9: ' || title)
$$;

--
-- Void and reinstate
--

INSERT INTO play_event (track_entry_key, bucket, anon_id, event_id, created_at)
SELECT 'k' || n % 4, (ARRAY['partial', 'most', 'complete'])[1 + n % 3]::play_bucket,
       CASE WHEN n % 5 > 0 THEN 'l' || n % 5 END, CASE WHEN n % 2 = 0 THEN gen_random_uuid() END,
       '2026-03-01 12:00+00'::timestamptz + n * interval '5 hours'
  FROM generate_series(1, 40) n;

SELECT is(to_regclass('play_valid'), NULL, 'P12: the view comes with the first decision');
SELECT decides($$void('play_event', '{}', 'none')$$, 0, 'no ids, none is voided');
SELECT isnt(to_regclass('play_valid'), NULL, 'P12: and the view is there');
SELECT counted(40, 40, 'none voided');
SELECT decides($$void('play_event', '{1,2,3,2,1}', 'bots v1')$$, 3, 'an id that is named twice is voided once');
SELECT counted(40, 37, 'three voided');
SELECT decides($$void('play_event', '{3,4}', 'bots v2')$$, 1, 'one that is voided is passed over');
SELECT decides($$void('play_event', '{3,4}', 'bots v2')$$, 0, 'and again');
SELECT decides($$reinstate('play_event', '{4,5,6}', 'a mistake')$$, 1, 'of those that count none is reinstated');
SELECT counted(40, 37, 'one reinstated');
SELECT decides($$void('play_event', ARRAY(SELECT id FROM play_event), 'all')$$, 37, 'all are voided');
SELECT counted(40, 0, 'all voided');
SELECT is_empty('SELECT FROM play_by_track UNION ALL SELECT FROM play_by_release', 'P12: views show no track that nobody has played');
SELECT decides($$reinstate('play_event', ARRAY(SELECT id FROM play_event), 'all')$$, 40, 'all are reinstated');
SELECT counted(40, 40, 'all reinstated');
SELECT decides($$void('play_event', '{1,2,3,4,5,6,7,8}', 'again')$$, 8, 'and some voided again');
SELECT counted(40, 32, 'some voided again');
SELECT results_eq('SELECT counts, reason FROM play_verdict WHERE event = 4 ORDER BY id',
    $$VALUES (false, 'bots v2'), (true, 'a mistake'), (false, 'all'), (true, 'all'), (false, 'again')$$,
    'P12: all that was decided stays');
SELECT results_eq('SELECT count(*), count(DISTINCT id), min(id), bool_and(decided_at BETWEEN now() AND clock_timestamp()) FROM play_verdict',
    'VALUES (90::bigint, 90::bigint, 1::bigint, true)', 'P12: with a number of its own each, and when');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'P12: rebuild finds nothing to do');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P1: the log is intact');

-- With inserts in one transaction, savepoints, and rebuild
SAVEPOINT s;
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'l9'), ('k2', 'most', 'l9');
SELECT decides($$void('play_event', ARRAY(SELECT id FROM play_event WHERE anon_id = 'l9'), 'just now')$$, 2, 'what the transaction itself has inserted');
INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'l9');
SELECT counted(43, 33, 'beside inserts');
SELECT is(playevent.rebuild('play_event'), 0::bigint, 'P12: nor does rebuild beside inserts');
SAVEPOINT t;
SELECT decides($$reinstate('play_event', ARRAY(SELECT id FROM play_event WHERE anon_id = 'l9'), 'undone')$$, 2, 'reinstated in a savepoint');
SELECT counted(43, 35, 'in a savepoint');
ROLLBACK TO t;
SELECT counted(43, 33, 'the savepoint undone');
SELECT decides($$reinstate('play_event', ARRAY(SELECT id FROM play_event WHERE anon_id = 'l9'), 'done')$$, 2, 'and decided anew');
SELECT ok(playevent.compact('play_event') >= 0, 'P12: compact goes on');
SELECT counted(43, 35, 'after compact');
ROLLBACK TO s;
SELECT counted(40, 32, 'all of that undone');

-- rebuild puts right what somebody has done, and knows verdicts
SAVEPOINT s;
ALTER TABLE play_counter_slot DISABLE TRIGGER USER;
UPDATE play_counter_slot SET plays = plays + 1 WHERE ctid = (SELECT min(ctid) FROM play_counter_slot);
ALTER TABLE play_counter_slot ENABLE ALWAYS TRIGGER playevent_slot_guard;
ALTER TABLE play_counter_slot ENABLE ALWAYS TRIGGER playevent_slot_guard_row;
SELECT is(playevent.rebuild('play_event'), 1::bigint, 'P12: rebuild puts right what was written by hand');
SELECT counted(40, 32, 'rebuild after that');
ALTER TABLE play_event DISABLE TRIGGER playevent_append_only;
DELETE FROM play_event WHERE id IN (1, 20);
ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_append_only;
SELECT playevent.rebuild('play_event');
SELECT counted(38, 31, 'rebuild after a voided row, and one that counts, were deleted by hand');
ROLLBACK TO s;

-- Charts
SELECT results_eq($$SELECT key::text COLLATE "default", plays FROM playevent.top('play_event', '2026-01-01', '2026-12-31')$$,
    $$SELECT track_entry_key::text COLLATE "default", count(*) FROM play_valid GROUP BY 1 ORDER BY 2 DESC, 1$$, 'P12: top leaves them out');
SELECT is((SELECT sum(plays) FROM playevent.series('play_event', '2026-01-01', '2026-12-31')), 32::numeric, 'P12: so does series');

-- A counter that is made later
SAVEPOINT s;
SELECT playevent.add_counter('play_event', 'play_by_bucket', '{bucket}');
SELECT counted(40, 32, 'a counter made later');
SELECT playevent.drop_counter('play_event', 'play_by_bucket');
ROLLBACK TO s;

-- Many at once
SAVEPOINT s;
INSERT INTO play_event (track_entry_key, bucket, anon_id) SELECT 'n' || n % 1000, 'most', 'm' || n % 77 FROM generate_series(1, 100000) n;
SELECT decides($$void('play_event', ARRAY(SELECT id FROM play_event WHERE anon_id LIKE 'm%'), 'many')$$, 100000, '100,000 are voided');
SELECT counted(100040, 32, '100,000 voided');
SELECT decides($$reinstate('play_event', ARRAY(SELECT event FROM play_verdict WHERE reason = 'many'), 'many, less')$$, 100000, '100,000 are reinstated');
SELECT counted(100040, 100032, '100,000 reinstated');
ROLLBACK TO s;

--
-- What can't be decided
--

SELECT refuses($$void('play_event', '{9,1000,1001,10}', 'x')$$, 'P0002', 'table "play_event" has no row with id 1000', 'an id that is not there');
SELECT refuses($$reinstate('play_event', '{-1}', 'x')$$, 'P0002', NULL, 'a negative one');
SELECT refuses($$void('play_event', '{9223372036854775807}', 'x')$$, 'P0002', NULL, 'the largest');
SELECT refuses($$void(NULL, '{1}', 'x')$$, '22004', NULL, 'no log is named');
SELECT refuses($$void('play_event', NULL, 'x')$$, '22004', NULL, 'no ids');
SELECT refuses($$void('play_event', '{9,NULL}', 'x')$$, '22004', NULL, 'one of them is null');
SELECT refuses($$void('play_event', '{9}', NULL)$$, '22004', NULL, 'no reason');
SELECT refuses($$reinstate('play_event', '{1}', NULL)$$, '22004', NULL, 'nor for reinstating');
SELECT refuses($$void('play_event', '{9}', '')$$, '22023', 'argument "reason" is empty', 'an empty one');
SELECT refuses($$void('track', '{1}', 'x')$$, '55000', 'table "track" is not a log', 'a table that is no log');
SELECT refuses($$void('play_counter', '{1}', 'x')$$, '55000', NULL, 'a view');
SELECT decides($$void('play_event', '{{9},{10}}', 'x')$$, 2, 'an array of two dimensions is a set as well');
SELECT decides($$reinstate('play_event', '[0:1]={9,10}', 'x')$$, 2, 'so is one that begins elsewhere');
SELECT counted(40, 32, 'nothing of what was refused was done');

--
-- Append-only, and written by playevent alone
--

SELECT throws_ok(statement, '23001', 'table "play_verdict" is written by playevent alone', 'P1: ' || statement)
  FROM unnest(ARRAY[
    'INSERT INTO play_verdict VALUES (1000, 9, false, ''by hand'', now(), ''me'')',
    'INSERT INTO play_verdict VALUES (1, 1, false, ''by hand'', now(), ''me'') ON CONFLICT DO NOTHING',
    'UPDATE play_verdict SET counts = true', 'UPDATE play_verdict SET reason = reason WHERE event = 1',
    'DELETE FROM play_verdict', 'DELETE FROM play_verdict WHERE false', 'TRUNCATE play_verdict', 'TRUNCATE play_verdict, track CASCADE']) statement;
SET LOCAL session_replication_role = replica;
SELECT throws_ok('DELETE FROM play_verdict', '23001', NULL, 'P1: as a replica too');
SELECT throws_ok('INSERT INTO play_verdict VALUES (1000, 9, false, ''x'', now(), ''me'')', '23001', NULL, 'P1: a session that says it is a replica is none');
SET LOCAL session_replication_role = origin;
SELECT throws_ok('SELECT playevent.decide(''play_event'', ''{9}'', false, ''x'')', '0A000', NULL, 'P8: what void consists of is not to be called');
SELECT throws_ok('SELECT playevent.follow_verdicts(''play_event'', ''true'', false)', '0A000', NULL, 'P8: nor what counters follow by');
SELECT throws_ok('SELECT playevent.count_judged(''play_event'', ''play_counter_slot'', ''true'', false)', '0A000', NULL, 'P8: nor what takes off them');
SELECT throws_ok('SELECT playevent.judge_replicated(''play_verdict'', 1, 1)', '0A000', NULL, 'P8: nor what counts replicated verdicts');
SELECT throws_ok('SELECT playevent.void_as_owner(''play_event'', ''{9}'', ''x'')', '0A000', NULL, 'P8: nor the owner''s part');
SELECT counted(40, 32, 'nothing of that was done');

--
-- Who may
--

GRANT INSERT ON play_verdict TO verdict_judge;
GRANT SELECT ON play_verdict, play_event, play_valid TO verdict_judge, verdict_stranger;
SELECT test.can('verdict_judge', $$SELECT playevent.void('v.play_event', '{11}', 'judged')$$, 'a role with INSERT on the verdicts may void');
SELECT results_eq('SELECT decided_by::text COLLATE "default" FROM play_verdict WHERE event = 11 AND reason = ''judged''', $$VALUES ('verdict_judge')$$, 'P12: and it is told who did');
SELECT test.can('verdict_judge', $$SELECT playevent.reinstate('v.play_event', '{11}', 'judged')$$, 'and reinstate');
SELECT test.can('verdict_owner', $$SELECT playevent.void('v.play_event', '{11}', 'owned')$$, 'the owner may');
SELECT results_eq('SELECT decided_by::text COLLATE "default" FROM play_verdict WHERE event = 11 AND reason IN (''judged'', ''owned'') ORDER BY id', $$VALUES ('verdict_judge'), ('verdict_judge'), ('verdict_owner')$$,
    'P12: each by his name');
SELECT test.cannot('verdict_stranger', $$SELECT playevent.void('v.play_event', '{12}', 'x')$$, NULL, 'others may not');
SELECT test.cannot('verdict_stranger', $$SELECT playevent.reinstate('v.play_event', '{1}', 'x')$$, NULL, 'nor reinstate');
SELECT test.cannot('verdict_stranger', $$SELECT playevent.void('v.play_event', '{1000}', 'x')$$, NULL, 'nor learn which ids there are');
SELECT test.cannot('verdict_judge', $$SELECT playevent.forget_listener('v.play_event', 'l1')$$, NULL, 'who may void may not forget');
SELECT test.cannot('verdict_judge', $$SELECT playevent.rebuild('v.play_event')$$, NULL, 'nor rebuild');
SELECT test.cannot('verdict_judge', $$INSERT INTO v.play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, NULL, 'nor play');
SELECT test.cannot('verdict_judge', $$INSERT INTO v.play_verdict VALUES (1000, 12, false, 'x', now(), 'another')$$, NULL, 'nor write verdicts himself', '23001');
SELECT test.cannot('verdict_judge', $$UPDATE v.play_verdict SET decided_by = 'another'$$, NULL, 'nor change them');
SELECT test.can('verdict_owner', $$CREATE TABLE v.other (x int);
    CREATE TRIGGER j AFTER INSERT ON v.other FOR EACH ROW EXECUTE FUNCTION playevent.judge()$$, 'the trigger on another table');
SELECT test.cannot('verdict_owner', 'INSERT INTO v.other VALUES (1)', 'table "other" can''t have verdicts', 'is of no use', '55000');
SELECT test.can('verdict_owner', $$CREATE TABLE v.loose (id bigint, event bigint);
    CREATE TRIGGER j AFTER INSERT ON v.loose FOR EACH ROW EXECUTE FUNCTION playevent.judge()$$, 'and on one that takes nulls');
SELECT test.cannot('verdict_owner', 'INSERT INTO v.loose VALUES (1, NULL)', 'table "loose" can''t have verdicts', 'where a verdict must name a row', '55000');
SAVEPOINT s;
ALTER TABLE play_verdict ENABLE ROW LEVEL SECURITY;
CREATE POLICY later ON play_verdict FOR INSERT TO verdict_judge WITH CHECK (event > 1000);
SELECT test.cannot('verdict_judge', $$SELECT playevent.void('v.play_event', '{12}', 'x')$$,
    'query would be affected by row-level security policy for table "play_verdict"', 'nor void where a policy is not asked');
SELECT test.can('verdict_owner', $$SELECT playevent.void('v.play_event', '{12}', 'x')$$, 'which does not concern the owner');
ROLLBACK TO s;
SELECT counted(40, 31, 'roles');

--
-- Another name for everything
--

SELECT decides($$reinstate('play_event', '{11}', 'x')$$, 1, 'back to 32');
SAVEPOINT s;
ALTER TABLE play_event RENAME TO heard;
SELECT decides($$void('heard', '{12}', 'renamed')$$, 1, 'of a log that was renamed');
SELECT is_empty($$SELECT differs('heard')$$, 'P12: which is exact');
ALTER TABLE play_verdict RENAME TO judgement;
SELECT decides($$void('heard', '{13}', 'renamed')$$, 1, 'with a table of verdicts that was renamed');
SELECT is_empty($$SELECT differs('heard')$$, 'P12: exact as well');
SELECT is((SELECT count(*) FROM play_valid), 30::bigint, 'P12: and the view follows');
ALTER SCHEMA v RENAME TO w;
SET LOCAL search_path = w, public;
SELECT decides($$void('heard', '{14}', 'renamed')$$, 1, 'in a schema that was renamed');
SELECT is_empty($$SELECT differs('heard')$$, 'P12: exact as well');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'heard'::regclass), true, 'P1: and intact');
ROLLBACK TO s;
SET LOCAL search_path = v, public;
SAVEPOINT s;
CREATE SCHEMA elsewhere AUTHORIZATION verdict_owner;
ALTER TABLE play_event SET SCHEMA elsewhere;
SELECT decides($$void('elsewhere.play_event', '{12}', 'moved')$$, 1, 'of a log that was moved');
SELECT is_empty($$SELECT differs('elsewhere.play_event')$$, 'P12: exact as well');
ALTER TABLE play_verdict SET SCHEMA elsewhere;
SELECT decides($$void('elsewhere.play_event', '{13}', 'moved')$$, 1, 'and its verdicts too');
SELECT is_empty($$SELECT differs('elsewhere.play_event')$$, 'P12: exact as well');
ROLLBACK TO s;
SAVEPOINT s;
ALTER TABLE play_event RENAME COLUMN id TO "the id";
SELECT throws_ok(statement, '42703', 'table "play_event" has no column "id"', 'P10: ' || statement)
  FROM unnest(ARRAY['SELECT playevent.void(''play_event'', ''{12}'', ''x'')', 'SELECT playevent.reinstate(''play_event'', ''{1}'', ''x'')',
                    'SELECT playevent.verify(''play_event'')', 'SELECT playevent.rebuild(''play_event'')',
                    'SELECT playevent.add_counter(''play_event'', ''play_by_bucket'', ''{bucket}'')']) statement;
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), false, 'P1: a log is not intact whose ids are in another column than it says');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
SELECT playevent.attach_log('play_event', track => 'track');
SELECT decides($$void('play_event', '{12}', 'x')$$, 1, 'attach_log learns of it');
SELECT counted(41, 32, 'with another name for ids');
ROLLBACK TO s;

-- A restore of data alone brings verdicts after the rows that they are about.
SAVEPOINT s;
SELECT playevent.drop_counter('play_event', counter) FROM playevent.counter WHERE event = 'play_event'::regclass AND listener_column IS NOT NULL;
ALTER TABLE play_verdict DISABLE TRIGGER ALL;
INSERT INTO play_verdict (id, event, counts, reason, decided_at, decided_by)
SELECT 1000 + id, id, false, 'restored', now(), 'x' FROM play_event WHERE id IN (12, 13);
SELECT isnt_empty($$SELECT differs('play_event')$$, 'P7: verdicts are restored: counters don''t know of them');
ALTER TABLE play_verdict ENABLE TRIGGER ALL;
ALTER TABLE play_verdict ENABLE ALWAYS TRIGGER playevent_slot_guard, ENABLE ALWAYS TRIGGER playevent_slot_guard_row;
SELECT is_empty($$SELECT differs('play_event')$$, 'P7: until their triggers are enabled');
ROLLBACK TO s;

--
-- What was done to the table of verdicts
--

CREATE FUNCTION breaks(statement text, title text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    intact boolean;
BEGIN
    BEGIN
        EXECUTE statement;
        intact := (SELECT l.intact FROM playevent.log l WHERE l.event = 'v.play_event'::regclass);
        RAISE EXCEPTION USING ERRCODE = 'ZZ001', MESSAGE = intact::text;
    EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
        intact := SQLERRM;
    END;
    RETURN is(intact, false, 'P1: not intact: ' || title);
END
$$;
SELECT breaks(statement, statement) FROM unnest(ARRAY[
    'ALTER TABLE play_verdict DISABLE TRIGGER playevent_slot_guard',
    'ALTER TABLE play_verdict DISABLE TRIGGER playevent_slot_guard_row',
    'ALTER TABLE play_verdict DISABLE TRIGGER playevent_judge',
    'ALTER TABLE play_verdict DISABLE TRIGGER ALL',
    'ALTER TABLE play_verdict ENABLE TRIGGER playevent_judge',
    'ALTER TABLE play_verdict ENABLE REPLICA TRIGGER playevent_slot_guard_row',
    'DROP TRIGGER playevent_slot_guard ON play_verdict',
    'DROP TRIGGER playevent_slot_guard_row ON play_verdict',
    'DROP TRIGGER playevent_judge ON play_verdict',
    'DROP TRIGGER playevent_slot_guard ON play_verdict; DROP TRIGGER playevent_slot_guard_row ON play_verdict',
    'CREATE TRIGGER another AFTER INSERT ON play_verdict FOR EACH ROW EXECUTE FUNCTION playevent.judge()',
    'DROP TABLE play_verdict CASCADE']) statement;
SAVEPOINT s;
DROP TRIGGER playevent_judge ON play_verdict;
DROP TRIGGER playevent_slot_guard ON play_verdict;
SELECT playevent.attach_log('play_event', track => 'track');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P10: attach_log makes them again');
SELECT counted(40, 32, 'after which it goes on');
ROLLBACK TO s;
SAVEPOINT s;
DROP TABLE play_verdict CASCADE;
SELECT refuses($$void('play_event', '{12}', 'x')$$, '55000', 'table "play_event" has no table of verdicts', 'the table of verdicts is gone');
SELECT isnt_empty($$SELECT playevent.verify('play_event')$$, 'P10: what was voided counts then, which verify tells');
SELECT playevent.attach_log('play_event', track => 'track');
SELECT playevent.rebuild('play_event');
SELECT decides($$void('play_event', '{12}', 'x')$$, 1, 'attach_log makes another');
SELECT counted(40, 39, 'whose verdicts alone hold');
ROLLBACK TO s;
SAVEPOINT s;
SET LOCAL "DateStyle" = 'SQL';
SET LOCAL "TimeZone" = 'UTC167';
SELECT decides($$void('play_event', '{14}', 'x')$$, 1, 'whatever the session''s time zone is');
SELECT is((SELECT decided_at BETWEEN now() AND clock_timestamp() FROM play_verdict ORDER BY id DESC LIMIT 1), true, 'P12: the verdict says when it was');
ROLLBACK TO s;
SAVEPOINT s;
DROP VIEW play_valid;
CREATE VIEW play_valid AS SELECT 1 AS mine;
SELECT decides($$void('play_event', '{12}', 'x')$$, 1, 'a view that the app has put there is left alone');
SELECT is((SELECT mine FROM play_valid), 1, 'P12: it is');
CREATE ROLE valid_mallory;
ALTER VIEW play_valid OWNER TO valid_mallory;
SET LOCAL client_min_messages = error;
SELECT decides($$void('play_event', '{13}', 'x')$$, 1, 'P8: somebody else''s view of that name hinders nobody');
ROLLBACK TO s;

--
-- The extension goes and comes back
--

SAVEPOINT s;
DROP EXTENSION playevent CASCADE;
SELECT is((SELECT count(*) FROM play_valid), 32::bigint, 'P7: verdicts and the view stay without the extension');
CREATE EXTENSION playevent;
SELECT playevent.attach_log('play_event', track => 'track');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'play_event'::regclass), true, 'P7: attach_log takes the log again');
SELECT counted(40, 32, 'after the extension has come back');
SELECT decides($$reinstate('play_event', '{1}', 'x')$$, 1, 'and it goes on');
SELECT counted(40, 33, 'and exact');
ROLLBACK TO s;

--
-- Tables that were there already
--

CREATE TABLE "Listens" ("The id" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id int, bucket int NOT NULL,
    "User" bigint, at timestamptz NOT NULL DEFAULT now());
SELECT playevent.attach_log('"Listens"', track => 'track', kinds => '{1,2}', created_column => 'at', listener_column => 'User');
INSERT INTO "Listens" (track_entry_key, bucket, "User") SELECT 'k' || n % 3, 1 + n % 2, n % 4 FROM generate_series(1, 20) n;
SELECT decides($$void('"Listens"', '{2,3}', 'x')$$, 2, 'of a table with an integer id of another name');
SELECT is_empty($$SELECT differs('"Listens"', '"Listens_valid"')$$, 'P12: which is exact');
SELECT is((SELECT count(*) FROM "Listens_valid"), 18::bigint, 'P12: with a view of its own');
SELECT refuses($$void('"Listens"', '{4,3000000000}', 'x')$$, 'P0002', NULL, 'an id that its column could not have');
SELECT decides($$reinstate('"Listens"', '{2,3}', 'x')$$, 2, 'and back');
SELECT is_empty($$SELECT differs('"Listens"', '"Listens_valid"')$$, 'P12: exact as well');

CREATE TABLE small (id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT playevent.attach_log('small', track => 'track', kinds => '{a}');
CREATE TABLE no_id (track_entry_key text NOT NULL, release_id int, bucket text NOT NULL);
SELECT playevent.attach_log('no_id', track => 'track', kinds => '{a}');
INSERT INTO no_id VALUES ('k1', NULL, 'a');
SELECT refuses($$void('no_id', '{1}', 'x')$$, '55000', 'table "no_id" has no table of verdicts', 'a log without ids');
SELECT is((SELECT bool_and(intact) FROM playevent.log), true, 'P1: all of them are intact');

--
-- Partitions
--

SET LOCAL ROLE verdict_owner;
SELECT playevent.create_log('listen', track => 'track', partition_by => 'month', retain => NULL);
CREATE TEMP TABLE month AS SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AS this;
DO $$
DECLARE
    month timestamp := (SELECT this FROM month);
BEGIN
    FOR n IN 1..3 LOOP
        IF NOT EXISTS (SELECT FROM playevent.partitions('v.listen_event') p WHERE p.since = (month - make_interval(months => n)) AT TIME ZONE 'UTC') THEN
            EXECUTE format('CREATE TABLE v.listen_old_%s PARTITION OF v.listen_event FOR VALUES FROM (%L) TO (%L)', n,
                (month - make_interval(months => n)) AT TIME ZONE 'UTC', (month - make_interval(months => n - 1)) AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END
$$;
RESET ROLE;
INSERT INTO listen_event (track_entry_key, bucket, anon_id, created_at)
SELECT 'k' || n % 3, 'most', 'l' || n % 5, ((SELECT this FROM month) - make_interval(months => n % 4)) AT TIME ZONE 'UTC' + interval '1 hour'
  FROM generate_series(1, 80) n;
SELECT decides($$void('listen_event', '{1,2,3,4}', 'x')$$, 4, 'rows of several partitions');
SELECT is_empty($$SELECT differs('listen_event', 'listen_valid')$$, 'P12: exact in partitions');
SELECT is((SELECT count(*) FROM listen_valid), 76::bigint, 'P12: of so many');
SELECT is(playevent.seal('listen_event', (SELECT (this - interval '1 month') AT TIME ZONE 'UTC' FROM month)), 2, 'P11: two are sealed');
SELECT decides($$void('listen_event', '{6,7}', 'sealed')$$, 2, 'plays in sealed partitions can be voided');
SELECT decides($$reinstate('listen_event', '{2}', 'sealed')$$, 1, 'and reinstated');
SELECT is_empty($$SELECT differs('listen_event', 'listen_valid')$$, 'P12: exact with sealed ones');
CREATE TEMP TABLE totals AS SELECT * FROM listen_counter;
CREATE TEMP TABLE days AS SELECT * FROM listen_daily;
SELECT is(playevent.retire('listen_event', (SELECT (this - interval '2 months') AT TIME ZONE 'UTC' FROM month)), 1, 'P11: one is retired');
SELECT bag_eq('TABLE listen_counter', 'TABLE totals', 'P11: totals stay, without what was voided');
SELECT bag_eq('TABLE listen_daily', 'TABLE days', 'P11: by day as well');
SELECT is_empty($$SELECT playevent.verify('listen_event')$$, 'P12: and verify knows');
SELECT is(playevent.rebuild('listen_event'), 0::bigint, 'P12: so does rebuild');
SELECT is((SELECT count(*) FROM listen_valid), 57::bigint, 'P12: the view has the rows that are left, and count');
SELECT refuses($$void('listen_event', '{3}', 'x')$$, '55000', 'row 3 of table "listen_event" was retired', 'a retired play can''t be voided');
SELECT refuses($$reinstate('listen_event', '{8,7}', 'x')$$, '55000', 'row 7 of table "listen_event" was retired', 'nor reinstated, whatever else is named');
SELECT refuses($$void('listen_event', '{1000}', 'x')$$, 'P0002', NULL, 'one that never was is unknown');
SELECT is_empty(format('SELECT playevent.verify_archive(''listen_event'', %L)', (
        SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'r' AND NOT c.relispartition
           AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgfoid = 'playevent.sealed'::regproc))),
    'P11: the archive is as its manifest says');

-- Where all that was retired was voided, there is nothing to tell a counter that is
-- made later.
SELECT playevent.create_log('quiet', track => 'track', partition_by => 'month');
SELECT format('CREATE TABLE quiet_old PARTITION OF quiet_event FOR VALUES FROM (%L) TO (%L)',
    (this - interval '2 months') AT TIME ZONE 'UTC', (this - interval '1 month') AT TIME ZONE 'UTC') FROM month \gexec
INSERT INTO quiet_event (track_entry_key, bucket, anon_id, created_at)
SELECT 'k1', 'most', 'l1', (this - interval '2 months') AT TIME ZONE 'UTC' FROM month, generate_series(1, 3);
SELECT decides($$void('quiet_event', '{1,2,3}', 'x')$$, 3, 'a whole month is voided');
SELECT playevent.seal('quiet_event', (SELECT this AT TIME ZONE 'UTC' FROM month));
SELECT is(playevent.retire('quiet_event', (SELECT this AT TIME ZONE 'UTC' FROM month)), 1, 'P11: and retired');
INSERT INTO quiet_event (track_entry_key, bucket, anon_id) VALUES ('k2', 'most', 'l2');
SELECT lives_ok($$SELECT playevent.add_counter('quiet_event', 'quiet_by_listener', '{anon_id}')$$, 'P11: a counter can be made then, of what is there');
SELECT is_empty($$SELECT differs('quiet_event', 'quiet_valid')$$, 'P12: and is exact');
SELECT is_empty($$SELECT * FROM playevent.verify_archive('quiet_event', 'quiet_old')$$, 'P11: which the manifest does not mind');
SELECT decides($$void('quiet_event', '{4}', 'x')$$, 1, 'what came later is voided, too');
SELECT is_empty($$SELECT differs('quiet_event', 'quiet_valid')$$, 'P12: and all is exact');
SELECT is((SELECT bool_and(intact) FROM playevent.log), true, 'P1: all of them are intact');

SELECT * FROM finish();
ROLLBACK;

