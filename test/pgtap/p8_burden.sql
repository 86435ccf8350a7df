-- P8 and P4: what anybody makes or asks for is no burden to others: thousands of
-- triggers, questions that are refused, keys of any length, what others drop.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(38);
SET LOCAL client_min_messages = error;

CREATE ROLE burden_mallory;
CREATE SCHEMA o;
CREATE SCHEMA m AUTHORIZATION burden_mallory;
SET search_path = o, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
SELECT playevent.create_log('play', track => 'track');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');

-- Triggers that say they count, and guards that say so too
SET ROLE burden_mallory;
CREATE TABLE m.log (k text);
CREATE TABLE m.log_slot (k text, n bigint NOT NULL);
DO $$
BEGIN
    FOR i IN 1..200 LOOP
        EXECUTE format('CREATE TRIGGER g%s BEFORE INSERT ON m.log_slot FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(''log'', ''count'', ''n'', ''k'')', i);
        EXECUTE format('CREATE TRIGGER c%s AFTER INSERT ON m.log FOR EACH ROW EXECUTE FUNCTION playevent.count(''log_slot'', ''n'', ''k'')', i);
    END LOOP;
END
$$;
RESET ROLE;
ANALYZE pg_trigger;
SET LOCAL track_functions = 'all';
CREATE FUNCTION calls(function regprocedure) RETURNS bigint LANGUAGE sql AS 'SELECT coalesce(pg_stat_get_xact_function_calls(function), 0)';
SELECT calls('playevent.as_made(oid)') AS before \gset
SELECT ok(intact, 'P10: a log is intact') FROM playevent.log WHERE event = 'play_event'::regclass;
SELECT cmp_ok(calls('playevent.as_made(oid)') - :before, '<', 100::bigint, 'P8: and to say so, nobody else''s triggers are looked at');
SELECT calls('playevent.trigger_arguments(bytea)') AS before \gset
SELECT is((SELECT count(*) FROM playevent.counter WHERE event = 'm.log'::regclass), 0::bigint, 'P8: whose slots have so many guards has no counters');
SELECT cmp_ok(calls('playevent.trigger_arguments(bytea)') - :before, '<', 10000::bigint, 'P8: and few of them are read');

-- Slots whose guards name many, and which many say to keep what was retired of
SET ROLE burden_mallory;
CREATE TABLE m.own (k text);
CREATE TABLE m.kept (k text);
CREATE TABLE m.gone (k text);
DO $$
BEGIN
    FOR i IN 1..200 LOOP
        EXECUTE format('CREATE TRIGGER g%s BEFORE INSERT ON m.kept FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(''own'', ''x'')', i);
        EXECUTE format('CREATE TRIGGER g%s BEFORE INSERT ON m.gone FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(''kept'', ''retired'')', i);
    END LOOP;
END
$$;
RESET ROLE;
CREATE FUNCTION most_rows(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) ' || query INTO plan;
    RETURN (SELECT max(r::text::numeric) FROM jsonb_path_query(plan::jsonb, 'strict $.**."Actual Rows"') r);
END
$$;
SELECT cmp_ok(most_rows('SELECT event, intact FROM playevent.log'), '<', 10000::numeric, 'P8: they are not looked at for each other');
SET LOCAL track_functions = 'none';

-- Nor are catalogs looked into for each when somebody renames a table.
CREATE FUNCTION scans() RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce(sum(pg_stat_get_xact_numscans(indexrelid)), 0)::bigint FROM pg_index
     WHERE indrelid IN ('pg_class'::regclass, 'pg_namespace'::regclass)
$$;
CREATE TABLE unrelated (a int);
SELECT scans() AS before \gset
ALTER TABLE unrelated RENAME TO renamed;
SELECT cmp_ok(scans() - :before, '<', 200::bigint, 'P8: a rename looks into catalogs for none of what cannot be meant');
ALTER TABLE track RENAME TO tracks;
ALTER TABLE tracks RENAME TO track;
ALTER SCHEMA o RENAME TO other;
INSERT INTO other.play_event (track_entry_key, bucket) VALUES ('k1', 'most');
ALTER SCHEMA other RENAME TO o;
SELECT is_empty($$SELECT * FROM playevent.verify('o.play_event')$$, 'P10: what can is followed');

-- Functions are followed that are like ours, and not read if they are longer.
SET LOCAL check_function_bodies = off;
SELECT format('CREATE FUNCTION %I() RETURNS bigint LANGUAGE plpgsql AS %L', name, prosrc || repeat(' ', long))
  FROM pg_proc, (VALUES ('short_one', 1), ('long_one', 70000)) AS f(name, long)
 WHERE proname = 'record_play' AND pronamespace = 'o'::regnamespace \gexec
ALTER TABLE play_event RENAME TO plays_event;
SELECT is(prosrc LIKE '%plays_event%', proname = 'short_one', format('P8: a rename and %s', proname)) FROM pg_proc WHERE proname IN ('short_one', 'long_one');
ALTER TABLE plays_event RENAME TO play_event;

-- Keys as long as an index takes them, when they are compressed: what is kept in
-- memory until it is written is bounded all the same.
CREATE TABLE long_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
SELECT playevent.attach_log('long_event', 'track', kinds => '{x}');
CREATE TABLE used (bytes bigint);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO o.used SELECT sum(total_bytes) FROM pg_backend_memory_contexts
     WHERE name IN ('TopTransactionContext', 'playevent pending counts', 'playevent releases');
    RETURN NULL;
END
$$;
CREATE TRIGGER z AFTER INSERT ON long_event FOR EACH ROW EXECUTE FUNCTION watch();
INSERT INTO long_event SELECT repeat('a', 200000) || i, NULL, 'x' FROM generate_series(1, 300) i;
SELECT cmp_ok((SELECT max(bytes) FROM used), '<', 20000000::bigint, 'P8: counts of long keys are written ahead, and their tracks forgotten');
SELECT is((SELECT count(*) FROM used), 300::bigint, 'P3: while all rows are counted');
SELECT is_empty($$SELECT * FROM playevent.verify('long_event')$$, 'P3: exactly');

-- Whoever reads guards takes all arguments apart, whoever's they are.
SELECT is(cardinality(playevent.trigger_arguments(decode(repeat('00', 8000), 'hex'))), 0, 'P8: more arguments than any trigger of ours has are none');
SELECT is(cardinality(playevent.trigger_arguments(decode(repeat('00', 40), 'hex'))), 40, 'P8: as many as it may have are some');

-- Whoever owns what the partition key of a log of hers needs, drops it.
CREATE ROLE burden_victim;
CREATE SCHEMA v AUTHORIZATION burden_victim;
GRANT USAGE ON SCHEMA v TO burden_mallory;
SET ROLE burden_victim;
CREATE TABLE v.t (a int);
CREATE DOMAIN v.d AS text;
CREATE TYPE v.e AS ENUM ('a');
CREATE FUNCTION v.f(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
SET ROLE burden_mallory;
CREATE TABLE m.track (entry_key text PRIMARY KEY, release_id bigint);
CREATE TABLE m.keyed (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, x v.t, d v.d, e v.e) PARTITION BY LIST (bucket);
CREATE TABLE m.p1 PARTITION OF m.keyed FOR VALUES IN ('x') PARTITION BY LIST (((x).a));
CREATE TABLE m.p2 PARTITION OF m.keyed FOR VALUES IN ('d') PARTITION BY LIST (d);
CREATE TABLE m.p3 PARTITION OF m.keyed FOR VALUES IN ('e') PARTITION BY LIST (e);
CREATE TABLE m.p4 PARTITION OF m.keyed FOR VALUES IN ('f') PARTITION BY LIST (v.f(track_entry_key));
SELECT format('CREATE TABLE m.p%1$s_rest PARTITION OF m.p%1$s DEFAULT', i) FROM generate_series(1, 4) i \gexec
SELECT playevent.attach_log('m.keyed', 'm.track', kinds => '{x,d,e,f,g}');
INSERT INTO m.keyed SELECT 'k', NULL, b FROM unnest('{x,d,e,f}'::text[]) b;
SET ROLE burden_victim;
SAVEPOINT whole;
SELECT lives_ok('DROP SCHEMA v CASCADE', 'P8: the schema with it');
ROLLBACK TO whole;
SET ROLE burden_victim;
SELECT lives_ok('DROP OWNED BY burden_victim CASCADE', 'P8: and all that he has');
ROLLBACK TO whole;
SET ROLE burden_victim;
SELECT lives_ok('DROP ' || what || ' CASCADE', 'P8: he drops ' || what) FROM unnest('{TABLE v.t,DOMAIN v.d,TYPE v.e,FUNCTION v.f}'::text[]) what;
SET ROLE burden_mallory;
SELECT results_eq('SELECT counted, logged FROM playevent.verify(''m.keyed'')', 'VALUES (1::bigint, 0::bigint), (1, 0), (1, 0), (1, 0)', 'P11: her counters had her rows');
SELECT is(playevent.rebuild('m.keyed'), 4::bigint, 'P11: and she may count what is left');
-- She herself can't have him do it, nor does he take others' partitions along with his
-- schema, where he let them be made.
CREATE TABLE m.p5 PARTITION OF m.keyed FOR VALUES IN ('x');
INSERT INTO m.keyed VALUES ('k', NULL, 'x');
SELECT throws_ok('DROP TABLE m.p5', '55000', 'partition "p5" of log "keyed" has rows that are counted', 'P11: what is hers stays');
RESET ROLE;
ALTER TABLE m.p5 SET SCHEMA v;
SET ROLE burden_victim;
SELECT throws_ok(statement, '55000', 'partition "p5" of log "keyed" has rows that are counted', 'P11: he may not: ' || statement)
  FROM unnest('{DROP TABLE v.p5,DROP SCHEMA v CASCADE}'::text[]) statement;
RESET ROLE;

-- Nor can she have others keep him from it, by giving them a partition, or by making it
-- where she may.
CREATE ROLE burden_other;
GRANT ALL ON SCHEMA m TO burden_other;
SET ROLE burden_victim;
CREATE TYPE v.e AS ENUM ('a');
GRANT CREATE ON SCHEMA v TO burden_mallory;
SET ROLE burden_mallory;
ALTER TABLE m.keyed ADD g v.e;
CREATE TABLE m.p6 PARTITION OF m.keyed FOR VALUES IN ('g') PARTITION BY LIST (g);
CREATE TABLE v.p6_rest PARTITION OF m.p6 DEFAULT;
INSERT INTO m.keyed VALUES ('k', NULL, 'g');
SET ROLE burden_victim;
SAVEPOINT given;
SELECT lives_ok('DROP TYPE v.e CASCADE', 'P8: a partition in his schema does not hinder him');
ROLLBACK TO given;
RESET ROLE;
ALTER TABLE v.p6_rest OWNER TO burden_other;
ALTER TABLE v.p6_rest SET SCHEMA m;
SAVEPOINT given;
SET ROLE burden_victim;
SELECT lives_ok('DROP TYPE v.e CASCADE', 'P8: nor does one that is another''s');
ROLLBACK TO given;
SET ROLE burden_other;
SELECT throws_ok('DROP TABLE m.p6_rest', '55000', 'partition "p6_rest" of log "keyed" has rows that are counted', 'P11: who has it may not drop it');
RESET ROLE;
ALTER TABLE v.p5 SET SCHEMA m;
ALTER TABLE m.p6 SET SCHEMA v;
SET ROLE burden_victim;
SELECT throws_ok(statement, '55000', 'partition "p6_rest" of log "keyed" has rows that are counted', 'P11: nor may he with what it is in: ' || statement)
  FROM unnest('{DROP TABLE v.p6,DROP SCHEMA v CASCADE}'::text[]) statement;
RESET ROLE;
ALTER TABLE v.p6 OWNER TO burden_victim;
SET ROLE burden_victim;
SELECT throws_ok('DROP TYPE v.e CASCADE', '55000', 'partition "p6_rest" of log "keyed" has rows that are counted', 'P11: nor who has what it is in');
RESET ROLE;

-- Whoever has a partition of what is no log makes it none by a trigger of his own.
CREATE ROLE burden_part;
CREATE TABLE plain (id bigint, k text) PARTITION BY LIST (k);
CREATE TABLE plain_a PARTITION OF plain FOR VALUES IN ('a');
INSERT INTO plain VALUES (1, 'a');
GRANT USAGE ON SCHEMA o TO burden_part;
GRANT CREATE ON SCHEMA o TO burden_part;
ALTER TABLE plain_a OWNER TO burden_part;
SET ROLE burden_part;
CREATE TRIGGER x AFTER INSERT ON plain_a FOR EACH ROW EXECUTE FUNCTION playevent.count('x', 'id', 'k');
CREATE TRIGGER y BEFORE INSERT ON plain_a FOR EACH ROW EXECUTE FUNCTION playevent.sealed('x');
RESET ROLE;
SAVEPOINT given;
SELECT lives_ok('DROP OWNED BY burden_part CASCADE', 'P8: what he has is dropped all the same');
ROLLBACK TO given;
SELECT lives_ok('DROP TABLE plain_a', 'P8: and the partition');

-- Memory is not taken for each of somebody else's triggers, partitions, functions.
CREATE FUNCTION memory(which text) RETURNS bigint LANGUAGE sql AS $$
    SELECT 1024 * substring(pg_read_file('/proc/self/status') FROM which || ':\s+(\d+)')::bigint
$$;
CREATE FUNCTION taken(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
BEGIN
    -- The peak begins anew.
    COPY (SELECT 5) TO '/proc/self/clear_refs';
    before := o.memory('VmRSS');
    EXECUTE statement;
    RETURN o.memory('VmHWM') - before;
END
$$;
SET ROLE burden_mallory;
DO $$
BEGIN
    FOR t IN 1..10 LOOP
        EXECUTE format('CREATE TABLE m.t%s (a int)', t);
        FOR i IN 1..200 LOOP
            EXECUTE format('CREATE TRIGGER g%s BEFORE INSERT ON m.t%s FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(%L, %L)', i, t, 'x', repeat('y', 7900));
        END LOOP;
    END LOOP;
END
$$;
RESET ROLE;
SELECT cmp_ok(taken('ALTER TABLE renamed RENAME TO unrelated'), '<', 16000000::bigint, 'P8: nor for what a rename looks at');
SET ROLE burden_mallory;
CREATE TABLE v.log (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
SELECT playevent.attach_log('v.log', 'm.track', kinds => '{x}');
SELECT format('CREATE FUNCTION m.f%s() RETURNS bigint LANGUAGE plpgsql AS %L', i, format(E'\nBEGIN\n    RETURN playevent.record_one(''v.log'', ''%s'');END', repeat('x', 64000)))
  FROM generate_series(1, 300) i \gexec
RESET ROLE;
SELECT cmp_ok(taken('ALTER SCHEMA v RENAME TO w'), '<', 16000000::bigint, 'P8: nor for what it changes');
SELECT is(count(*), 300::bigint, 'P10: which is all of them') FROM pg_proc WHERE pronamespace = 'm'::regnamespace AND prosrc LIKE '%(''w.log'', ''xxx%';
SET ROLE burden_victim;
CREATE FUNCTION w.h(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
SET ROLE burden_mallory;
CREATE TABLE m.many (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL) PARTITION BY LIST (bucket);
SELECT playevent.attach_log('m.many', 'm.track', kinds => '{x}');
CREATE TABLE m.many_x PARTITION OF m.many FOR VALUES IN ('x') PARTITION BY LIST (w.h(track_entry_key));
DO $$
BEGIN
    FOR i IN 1..150 LOOP
        EXECUTE format('CREATE TABLE m.many_%1$s PARTITION OF m.many_x FOR VALUES IN (''%1$s'')', i);
    END LOOP;
    FOR i IN 1..2000 LOOP
        EXECUTE format('CREATE TRIGGER g%s AFTER TRUNCATE ON m.many FOR EACH STATEMENT EXECUTE FUNCTION playevent.append_only()', i);
    END LOOP;
END
$$;
RESET ROLE;
SELECT cmp_ok(taken('DROP FUNCTION w.h(text) CASCADE'), '<', 16000000::bigint, 'P8: nor for what a drop takes along');

-- A condition that is deeper than a stack is not read.
CREATE FUNCTION deep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
SELECT format('CREATE TRIGGER deep BEFORE INSERT ON o.track FOR EACH ROW WHEN (NEW.entry_key%s) EXECUTE FUNCTION deep()', repeat(' IS NULL', 500)) \gexec
SELECT is(playevent.condition(oid), '', 'P8: a condition longer than any of ours is not taken apart') FROM pg_trigger WHERE tgname = 'deep';

SELECT * FROM finish();
ROLLBACK;
