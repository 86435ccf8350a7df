-- P8, P10: what create_log takes over from somebody else's track table is nothing that he
-- could take away again, or run his code by; and where a column went, the log is not intact.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(20);
SET LOCAL client_min_messages = error;
\ir include/run_as.sql

CREATE ROLE types_mallory;
CREATE ROLE types_alice;
CREATE SCHEMA m AUTHORIZATION types_mallory;
CREATE SCHEMA a AUTHORIZATION types_alice;
GRANT USAGE ON SCHEMA m, a, test TO PUBLIC;
CREATE TYPE m.trusted AS ENUM ('a');

SET LOCAL ROLE types_mallory;
CREATE COLLATION m.ci (locale = 'C');
CREATE TYPE m.label AS ENUM ('a', 'b');
CREATE DOMAIN m.d AS text;
CREATE TYPE m.comp AS (a m.d);
CREATE TYPE m.span AS RANGE (subtype = text);
CREATE TYPE m.many AS (lists m.label[]);
CREATE TABLE m.collated (entry_key text COLLATE m.ci PRIMARY KEY, release_id bigint);
CREATE TABLE m.enum (entry_key m.label PRIMARY KEY, release_id bigint);
CREATE TABLE m.enum_release (entry_key text PRIMARY KEY, release_id m.label);
CREATE TABLE m.array (entry_key m.d[] PRIMARY KEY, release_id bigint);
CREATE TABLE m.composite (entry_key m.comp PRIMARY KEY, release_id bigint);
CREATE TABLE m.range (entry_key m.span PRIMARY KEY, release_id bigint);
CREATE TABLE m.multirange (entry_key m.span_multirange PRIMARY KEY, release_id bigint);
CREATE TABLE m.nested (entry_key m.many PRIMARY KEY, release_id bigint);
CREATE TABLE m.rows (entry_key m.collated PRIMARY KEY, release_id bigint);
CREATE TABLE m.domain (entry_key m.d PRIMARY KEY, release_id bigint);
CREATE TABLE m.strings (entry_key text[] PRIMARY KEY, release_id m.trusted);
GRANT SELECT ON ALL TABLES IN SCHEMA m TO PUBLIC;
SET LOCAL ROLE types_alice;
CREATE TYPE a.label AS ENUM ('a', 'b');
RESET ROLE;
ALTER TABLE m.strings ADD own a.label DEFAULT 'a';

CREATE FUNCTION test.refuses(track text, what text) RETURNS text LANGUAGE sql AS $$
    SELECT test.cannot('types_alice', format('SET LOCAL search_path = a, public; SELECT playevent.create_log(''play'', ''m.%s'')', track),
        format('%s of table "%s" belongs to role "types_mallory"', what, track), 'no log of somebody else''s ' || what)
$$;
SELECT test.refuses('collated', 'collation m.ci of column "entry_key"');
SELECT test.refuses('enum', 'type m.label of column "entry_key"');
SELECT test.refuses('enum_release', 'type m.label of column "release_id"');
SELECT test.refuses('array', 'type m.d of column "entry_key"');
SELECT test.refuses('range', 'type m.span of column "entry_key"');
SELECT test.refuses('multirange', 'type m.span of column "entry_key"');
SELECT test.cannot('types_alice', format('SET LOCAL search_path = a, public; SELECT playevent.create_log(''play'', ''m.%s'')', track), NULL,
    'no log of somebody else''s ' || track)
  FROM unnest(ARRAY['composite', 'nested', 'rows']) track;
SELECT test.cannot(current_user, $$SET LOCAL search_path = a, public; SELECT playevent.create_log('play', 'm.enum')$$, NULL, 'nor a superuser''s');

SELECT test.can('types_mallory', $$SET LOCAL search_path = m, public; SELECT playevent.create_log('own', 'm.enum')$$, 'of one''s own types there may be one');
SELECT test.can('types_alice', $$SET LOCAL search_path = a, public; SELECT playevent.create_log('plain', 'm.domain')$$, 'a domain is what it is made of');
SELECT test.can('types_alice', $$SET LOCAL search_path = a, public; SELECT playevent.create_log('super', 'm.strings')$$, 'a superuser''s types are trusted');
SELECT test.can('types_alice', $$SET LOCAL search_path = a, public; SELECT playevent.create_log('mine', 'm.strings', track_release => 'own')$$,
    'so are the log''s owner''s');

-- A trusted extension's are owned by whoever installed it.
ALTER EXTENSION playevent ADD TYPE m.label;
SELECT test.can('types_alice', $$SET LOCAL search_path = a, public; SELECT playevent.create_log('ext', 'm.enum')$$, 'so are extensions'' types');
ALTER EXTENSION playevent DROP TYPE m.label;

-- Made before, or by hand
SELECT ok(intact, 'P10: intact') FROM playevent.log WHERE event = 'a.ext_event'::regclass;
SELECT test.can('types_mallory', 'DROP TYPE m.label CASCADE', 'whoever owns a type drops it, and columns with it');
SELECT ok(NOT intact, 'P10: where a column has gone from the log, it is not intact') FROM playevent.log WHERE event = 'a.ext_event'::regclass;
SELECT ok(intact, 'P10: others are') FROM playevent.log WHERE event = 'a.mine_event'::regclass;
ALTER TABLE a.mine_counter_slot DROP bucket CASCADE;
SELECT ok(NOT intact, 'P10: nor where one has gone from the counter') FROM playevent.log WHERE event = 'a.mine_event'::regclass;

SELECT * FROM finish();
ROLLBACK;
