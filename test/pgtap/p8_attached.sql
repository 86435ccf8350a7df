-- P8: attach_log makes everything with the rights of the table's owner, whoever
-- calls it, and takes nothing over that somebody else has put in its place.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
\ir include/hostile.sql
CREATE SCHEMA shared;
GRANT ALL ON SCHEMA shared TO hostile_owner, hostile_mallory;
GRANT SELECT ON o.track TO hostile_mallory;

-- Message and hint of an error
CREATE FUNCTION hostile.told(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(hint, ''));
END
$$;

-- P10: names don't depend on how the session reads strings, which it could choose
-- until 19.  First in this session, for functions remember how they were read.
SELECT hostile.prepare('hostile_owner', 'CREATE TABLE shared.zap_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL)');
SELECT current_setting('server_version_num')::int < 190000 AS has_other_strings \gset
\if :has_other_strings
SET LOCAL standard_conforming_strings = off;
\endif
SELECT playevent.attach_log('shared.zap_event', 'o.track', kinds => '{a}') IS NOT NULL AS made \gset
\if :has_other_strings
RESET standard_conforming_strings;
\endif
SELECT has_table('shared'::name, 'zap_counter_slot'::name, 'P10: attach_log names what it makes, whatever strings mean in the session');

--
-- What was there before
--

SELECT hostile.prepare('hostile_owner', $$
    CREATE TABLE shared.al_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
    INSERT INTO shared.al_event VALUES ('k1', NULL, 'most')$$);
SELECT hostile.mallory($$CREATE VIEW shared.al_counter AS SELECT 'k1'::text AS track_entry_key, m.tell('view') AS als$$);
SELECT is(hostile.told($$SELECT playevent.attach_log('shared.al_event', 'o.track')$$),
    '42501 | view "al_counter" belongs to someone else than "al_event" | '
    'Drop it or rename it, or give the log another name. To take it over would be to run what is in it.', 'P8: a view of hers');
SELECT is(hostile.told($$SELECT playevent.make_view('shared.al_event', 'shared', 'al_by_track', NULL, 'SELECT * FROM shared.al_counter')$$),
    '40001 | view "al_by_track" would show a table of someone else | Try again.', 'P8: no view of hers in one of the log''s');
SELECT hostile.mallory($$
    DROP VIEW shared.al_counter;
    CREATE TABLE shared.al_counter_slot (track_entry_key text, release_id bigint, bucket text, als bigint NOT NULL);
    CREATE INDEX ON shared.al_counter_slot (release_id, track_entry_key, bucket)$$);
SELECT is(hostile.told($$SELECT playevent.attach_log('shared.al_event', 'o.track')$$),
    '42501 | table "al_counter_slot" belongs to someone else than "al_event" | '
    'Drop it or rename it, or give the log another name. To take it over would be to run what is in it.', 'P8: a table of hers');

-- Should somebody give it to him all the same
SELECT hostile.mallory($$
    CREATE FUNCTION m.tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM m.tell(''trig''); RETURN NEW; END';
    GRANT EXECUTE ON FUNCTION m.tell() TO PUBLIC$$);
CREATE FUNCTION hostile.taken_over(planted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM hostile.mallory(planted);
    ALTER TABLE shared.al_counter_slot OWNER TO hostile_owner;
    result := hostile.attempt('hostile_owner', 'SELECT playevent.attach_log(''shared.al_event'', ''o.track'')');
    RAISE 'undo it';
EXCEPTION WHEN raise_exception THEN
    RETURN coalesce(result, SQLERRM);
END
$$;
SELECT is(hostile.taken_over(planted), '55000 table "al_counter_slot" is there already, and does not fit table "al_event"',
    'P8: with what she has left there: ' || planted)
  FROM unnest(ARRAY[
    'CREATE TRIGGER a BEFORE INSERT ON shared.al_counter_slot FOR EACH ROW EXECUTE FUNCTION m.tell()',
    'CREATE RULE a AS ON INSERT TO shared.al_counter_slot DO ALSO SELECT m.tell(''rule'')',
    'CREATE POLICY a ON shared.al_counter_slot USING (m.tell(''poli''))',
    'ALTER TABLE shared.al_counter_slot ALTER bucket SET DEFAULT m.same(''defa'', ''a'')',
    'ALTER TABLE shared.al_counter_slot ADD CHECK (m.yes(''chec''))',
    'CREATE STATISTICS shared.a ON (m.same(''stat'', bucket)), bucket FROM shared.al_counter_slot',
    'CREATE TABLE m.child () INHERITS (shared.al_counter_slot)']) planted;
SELECT is(hostile.taken_over('CREATE TABLE m.child () INHERITS (shared.al_counter_slot); DROP TABLE m.child'), 'ok', 'P7: slots as they are to be are taken');
SELECT hostile.unseen('nothing of hers ran');

--
-- Whose rights
--

SELECT hostile.mallory($$
    CREATE DOMAIN m.word AS text CHECK (m.yes('doma'));
    CREATE TYPE m.pair AS (a m.word);
    CREATE TYPE m.range AS RANGE (SUBTYPE = m.word, COLLATION = "C");
    CREATE TABLE m.array_event (track_entry_key text NOT NULL, release_id bigint, bucket m.word[] NOT NULL);
    CREATE TABLE m.pair_event (track_entry_key text NOT NULL, release_id bigint, bucket m.pair NOT NULL);
    CREATE TABLE m.range_event (track_entry_key text NOT NULL, release_id bigint, bucket m.range NOT NULL)$$);
SELECT hostile.survives('superuser', format('SELECT playevent.attach_log(%L, ''o.track'', kinds => ARRAY[%L])', log, kind), 'a superuser: attach_log of ' || log)
  FROM (VALUES ('m.array_event', '{x}'), ('m.pair_event', '(x)'), ('m.range_event', '[x,y]')) v(log, kind);
SELECT hostile.unseen('what is in her types does not run as who attaches her table');
SELECT isnt_empty($$SELECT FROM playevent.log WHERE event = 'm.array_event'::regclass$$, 'P7: which is a log now');
SELECT is((SELECT string_agg(DISTINCT relowner::regrole::text, ' ') FROM pg_class WHERE relnamespace = 'm'::regnamespace), 'hostile_mallory',
    'P8: all that is made is hers');

SELECT hostile.mallory('CREATE TABLE m.bs_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL)');
ALTER TABLE m.bs_event OWNER TO hostile_owner;
SELECT hostile.fails('superuser', $$SELECT playevent.attach_log('m.bs_event', 'o.track')$$, '42501', 'permission denied for schema m',
    'nothing is made in a schema where the table''s owner may make nothing');
SELECT hostile.fails('hostile_mallory', $$SELECT playevent.attach_log('m.bs_event', 'o.track')$$, '42501', 'must be owner of table bs_event',
    'nor for anyone but the table''s owner');

SELECT * FROM finish();
ROLLBACK;
