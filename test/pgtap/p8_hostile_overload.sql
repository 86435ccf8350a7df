-- P8: no function, operator, cast, type or table that somebody else has made takes
-- the place of one that playevent means: in hll's schema, in public, in a schema
-- that comes first in search_path, or among temporary objects.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
\ir include/hostile.sql

SELECT hostile.prepare('hostile_owner', $$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('play', track => 'o.track', ingest_role => 'hostile_web', reader_role => 'hostile_web');
    INSERT INTO o.play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'a'), ('k1', 'most', 'b'), ('k2', 'most', 'a');
    GRANT SELECT ON o.play_event, o.play_counter_slot, o.play_daily_slot TO hostile_web$$);

--
-- hll's functions, where others may create in its schema
--

SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hll') AS has_hll \gset
\if :has_hll
CREATE SCHEMA sketches;
CREATE EXTENSION hll SCHEMA sketches;
GRANT ALL ON SCHEMA sketches TO PUBLIC;
SELECT hostile.works('hostile_owner', $$
    SELECT playevent.add_listener_sketch('o.play_event');
    GRANT SELECT ON o.play_listeners, o.play_listeners_slot TO hostile_web$$, 'sketches are made');
SELECT hostile.mallory($$
    CREATE TABLE m.track (entry_key text PRIMARY KEY, release_id bigint);
    SET LOCAL search_path = m;
    SELECT playevent.create_log('hum', track => 'm.track');
    SELECT playevent.add_listener_sketch('m.hum_event');
    INSERT INTO m.hum_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'a');$$);
SELECT hostile.mallory($_$
    -- fits a call better that has an int for a bigint
    CREATE FUNCTION sketches.step(sketches.hll, sketches.hll_hashval, int, int, int, int) RETURNS sketches.hll IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('addi'); RETURN coalesce($1, sketches.hll_empty()); END$$;
    CREATE AGGREGATE sketches.hll_add_agg(sketches.hll_hashval, int, int, int, int) (SFUNC = sketches.step, STYPE = sketches.hll);
    CREATE FUNCTION sketches.hll_hash_text(varchar, bigint) RETURNS sketches.hll_hashval IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('hash'); RETURN sketches.hll_hash_text($1::text, 7); END$$;
    CREATE FUNCTION sketches.hll_cardinality(anyelement) RETURNS double precision IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('card'); RETURN 0; END$$;
    CREATE FUNCTION sketches.hll_union(anyelement, anyelement) RETURNS anyelement IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('unio'); RETURN $1; END$$;
    CREATE FUNCTION sketches.hll_ne(anyelement, anyelement) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('noeq'); RETURN false; END$$;
    CREATE FUNCTION sketches.hll_empty(int, int, int, int) RETURNS sketches.hll IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('empt'); RETURN sketches.hll_empty(); END$$;
    CREATE FUNCTION sketches.hll_add(anyelement, sketches.hll_hashval) RETURNS anyelement IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('add1'); RETURN $1; END$$;
    CREATE DOMAIN sketches.text AS pg_catalog.text CHECK (m.yes('doma'));
    CREATE DOMAIN sketches.bigint AS pg_catalog.int8 CHECK (m.yes('doma'));
    CREATE FUNCTION sketches.round(double precision) RETURNS double precision IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('roun'); RETURN 0; END$$;
$_$);
CREATE FUNCTION hostile.sketches(nth int, expected int) RETURNS SETOF text LANGUAGE plpgsql AS $_$
BEGIN
    RETURN NEXT hostile.works('hostile_web', format($$INSERT INTO o.play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'c%s')$$, nth), 'the web role inserts');
    RETURN NEXT hostile.works('hostile_web', format($$SELECT * FROM o.record_plays('{k1}', '{most}', anon_ids => '{d%s}')$$, nth), 'and records');
    RETURN QUERY SELECT hostile.works(role, statement, role || ': ' || statement)
      FROM (VALUES ('superuser', 'SELECT * FROM playevent.verify(''o.play_event'')'),
                   ('hostile_owner', 'SELECT * FROM playevent.verify(''o.play_event'')'),
                   ('hostile_web', 'SELECT * FROM playevent.verify(''o.play_event'')'),
                   ('superuser', 'SELECT playevent.rebuild(''o.play_event'')'),
                   ('superuser', 'SELECT playevent.compact(''o.play_event'')'),
                   ('hostile_owner', 'SELECT playevent.check_log(''o.play_event'')'),
                   ('hostile_web', 'SELECT * FROM o.play_listeners'),
                   ('hostile_owner', 'SELECT playevent.drop_counter(''o.play_event'', ''play_listeners'');'
                    'SELECT playevent.add_listener_sketch(''o.play_event''); GRANT SELECT ON o.play_listeners, o.play_listeners_slot TO hostile_web')) s(role, statement);
    RETURN NEXT is((SELECT round(sketches.hll_cardinality(l.listeners))::int FROM o.play_listeners l WHERE track_entry_key = 'k1'), expected,
        'P8: sketches are of the listeners that there are');
    RETURN NEXT hostile.unseen('no overload was called');
END
$_$;
SELECT hostile.sketches(1, 4);
-- makes the call ambiguous that leaves out a default
SELECT hostile.mallory($_$
    CREATE FUNCTION sketches.hll_hash_text(text) RETURNS sketches.hll_hashval IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell('hash'); RETURN sketches.hll_hash_text($1, 7); END$$;
$_$);
SELECT hostile.sketches(2, 6);
SELECT hostile.works('superuser', $$DO $d$BEGIN
    IF EXISTS (SELECT FROM playevent.verify('o.play_event')) THEN RAISE 'differs'; END IF; END$d$ $$, 'sketches are exact');

-- Sketches of hers, read and maintained by others
SELECT hostile.mallory($$
    CREATE INDEX ON m.hum_event (id) WHERE m.yes('pred');
    CREATE STATISTICS m.hum_stat ON (m.same('stat', 'a') || track_entry_key), (m.same('stat', 'b') || track_entry_key) FROM m.hum_event;
    ALTER TABLE m.hum_event ADD CHECK (m.yes('chec') OR anon_id IS NULL);
    GRANT SELECT ON m.hum_event, m.hum_counter_slot, m.hum_daily_slot, m.hum_listeners_slot TO PUBLIC$$);
SELECT hostile.survives(role, statement, role || ': ' || statement)
  FROM (VALUES ('superuser', 'SET LOCAL constraint_exclusion = on; SELECT * FROM playevent.verify(''m.hum_event'')'),
               ('hostile_web', 'SELECT * FROM playevent.verify(''m.hum_event'')'),
               ('superuser', 'SELECT playevent.rebuild(''m.hum_event'')'),
               ('superuser', 'SELECT playevent.drop_counter(''m.hum_event'', ''hum_listeners''); SELECT playevent.add_listener_sketch(''m.hum_event'')')) s(role, statement);
SELECT hostile.unseen('her sketches run nothing as others');
-- One of a type that only looks like hll, and one of hers as the function
SELECT hostile.mallory($_$
    CREATE DOMAIN m.hll AS sketches.hll(13, 5, 256, 1) CHECK (m.yes('skdo'));
    CREATE TABLE m.fake_slot (track_entry_key varchar(100), release_id bigint, day date, listeners m.hll NOT NULL);
    CREATE INDEX ON m.fake_slot (track_entry_key);
    CREATE TABLE m.fake (track_entry_key varchar(100), release_id bigint, day date, anon_id text);
    CREATE TRIGGER playevent_listeners AFTER INSERT ON m.fake FOR EACH ROW EXECUTE FUNCTION
        playevent.sketch('fake_slot', 'listeners', 'anon_id', 'track_entry_key', 'release_id', 'day');
    CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.fake_slot FOR EACH STATEMENT EXECUTE FUNCTION
        playevent.slot_guard('fake', 'sketch', 'listeners', 'anon_id', 'track_entry_key', 'release_id', 'day');
    CREATE TRIGGER guard_row BEFORE INSERT OR UPDATE OR DELETE ON m.fake_slot FOR EACH ROW EXECUTE FUNCTION
        playevent.slot_guard('fake', 'sketch', 'listeners', 'anon_id', 'track_entry_key', 'release_id', 'day');
    GRANT ALL ON m.fake, m.fake_slot TO PUBLIC;
$_$);
SELECT hostile.survives(role, statement, role || ': ' || statement)
  FROM (VALUES ('superuser'), ('hostile_web')) r(role),
       (VALUES ('INSERT INTO m.fake VALUES (''k1'', 1, ''2020-01-01'', ''a'')'),
               ('SELECT * FROM playevent.verify(''m.fake'')'),
               ('SELECT playevent.rebuild(''m.fake'')'),
               ('SELECT playevent.compact(''m.fake'')')) s(statement);
SELECT hostile.unseen('nor does one of a domain of hers');
\else
SELECT skip('extension hll is not available', 1);
\endif

--
-- Whatever comes first in search_path, and whatever temporary objects there are
--

GRANT CREATE ON SCHEMA public TO hostile_mallory;
SELECT hostile.mallory($_$
    CREATE FUNCTION m.overload(schema text) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        it record;
    BEGIN
        FOR it IN SELECT * FROM (VALUES
            ('format(text, VARIADIC text[])', 'text', ''''''), ('format(text, text)', 'text', ''''''), ('format(text, name)', 'text', ''''''),
            ('format(text, text, text)', 'text', ''''''), ('format(text, regclass)', 'text', ''''''),
            ('quote_ident(name)', 'text', ''''''), ('quote_ident(text)', 'text', ''''''), ('quote_literal(text)', 'text', ''''''),
            ('current_schema()', 'name', '''m'''), ('to_regclass(text)', 'regclass', 'NULL'), ('format_type(oid, int)', 'text', '''text'''),
            ('pg_has_role(oid, text)', 'boolean', 'true'), ('has_schema_privilege(regrole, name, text)', 'boolean', 'true'),
            ('regexp_replace(text, text, text)', 'text', ''''''), ('replace(text, text, text)', 'text', ''''''),
            ('octet_length(text)', 'int', '0'), ('cardinality(anyarray)', 'int', '0'), ('array_ndims(anyarray)', 'int', '0'),
            ('pg_relation_size(regclass)', 'bigint', '1'), ('pg_partition_tree(regclass)', 'SETOF record', 'NULL'),
            ('date_trunc(text, timestamp)', 'timestamp', 'NULL'), ('generate_series(int, int)', 'SETOF int', 'NULL'),
            ('isfinite(date)', 'boolean', 'true'), ('unnest(anyarray)', 'SETOF anyelement', 'NULL'), ('round(double precision)', 'double precision', '0'),
            ('char_length(text)', 'int', '0'), ('current_setting(text)', 'text', ''''''), ('substring(text, text)', 'text', ''''''),
            ('rank()', 'bigint', '1'), ('verify(regclass)', 'int', '1')) f(signature, result, value)
        LOOP
            -- else what pgTAP calls would be hers
            CONTINUE WHEN schema = 'public' AND (it.signature LIKE 'format%' OR to_regprocedure('pg_catalog.' || it.signature) IS NULL);
            EXECUTE format('CREATE FUNCTION %I.%s RETURNS %s LANGUAGE plpgsql AS %L', schema, it.signature, it.result,
                CASE WHEN it.result LIKE 'SETOF%' THEN 'BEGIN PERFORM m.tell(''over''); END'
                     ELSE 'BEGIN PERFORM m.tell(''over''); RETURN ' || it.value || '; END' END);
        END LOOP;
        FOR it IN SELECT * FROM (VALUES ('=', 'oid'), ('=', 'name'), ('=', 'text'), ('=', 'bigint'), ('=', 'int'), ('=', 'date'), ('=', '"char"'),
                                        ('<>', 'numeric'), ('<>', 'bigint'), ('<>', 'text'), ('<>', 'oid'), ('<>', '"char"'), ('<', 'int'), ('>', 'int'),
                                        ('-', 'bigint'), ('+', 'bigint'), ('+', 'int'), ('||', 'text'), ('~~', 'text'), ('~~', 'name'), ('>=', 'date'), ('<=', 'date')) o(operator, type)
        LOOP
            EXECUTE format('CREATE FUNCTION %I.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', schema, 'op' || it.operator, it.type, it.type,
                CASE WHEN it.operator IN ('-', '+', '||') THEN it.type ELSE 'boolean' END, 'BEGIN PERFORM m.tell(''oper''); RETURN NULL; END');
            EXECUTE format('CREATE OPERATOR %I.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %I.%I)', schema, it.operator, it.type, it.type, schema, 'op' || it.operator);
        END LOOP;
        EXECUTE format('CREATE FUNCTION %I.add(numeric, bigint) RETURNS numeric LANGUAGE plpgsql AS %L', schema, 'BEGIN PERFORM m.tell(''aggr''); RETURN 0; END');
        EXECUTE format('CREATE AGGREGATE %1$I.sum(bigint) (SFUNC = %1$I.add, STYPE = numeric, INITCOND = 0)', schema);
        EXECUTE format('CREATE FUNCTION %I.one(bigint) RETURNS bigint LANGUAGE plpgsql AS %L', schema, 'BEGIN PERFORM m.tell(''aggr''); RETURN 0; END');
        EXECUTE format('CREATE AGGREGATE %1$I.count(*) (SFUNC = %1$I.one, STYPE = bigint, INITCOND = 0)', schema);
    END $$;
    SELECT m.overload('m'), m.overload('public');
    CREATE VIEW m.pg_class AS SELECT c.*, m.tell('cata') AS told FROM pg_catalog.pg_class c;
    CREATE VIEW m.pg_trigger AS SELECT t.*, m.tell('cata') AS told FROM pg_catalog.pg_trigger t;
    CREATE VIEW m.pg_attribute AS SELECT a.attrelid, a.attname, a.attnum, a.atttypid, m.tell('cata') AS told FROM pg_catalog.pg_attribute a;
    CREATE VIEW public.pg_namespace AS SELECT n.*, m.tell('cata') AS told FROM pg_catalog.pg_namespace n;
    CREATE DOMAIN m.regclass AS pg_catalog.regclass CHECK (m.yes('doma'));
    CREATE DOMAIN m.date AS pg_catalog.date CHECK (m.yes('doma'));
    CREATE DOMAIN m.bigint AS pg_catalog.int8 CHECK (m.yes('doma'));
    CREATE DOMAIN m."timestamptz" AS pg_catalog.timestamptz CHECK (m.yes('doma'));
    CREATE DOMAIN m.text AS pg_catalog.text CHECK (m.yes('doma'));
    CREATE DOMAIN m.uuid AS pg_catalog.uuid CHECK (m.yes('doma'));
    GRANT ALL ON m.pg_class, m.pg_trigger, m.pg_attribute, public.pg_namespace TO PUBLIC;
    -- ours, to look at
    CREATE VIEW m.play_event AS SELECT *, m.tell('ours') AS told FROM (VALUES ('k', 1::pg_catalog.int8, 'x')) v(track_entry_key, release_id, bucket);
    CREATE VIEW m.play_counter_slot AS SELECT *, m.tell('ours') AS told FROM (VALUES ('k', 1::pg_catalog.int8, 'x', 1::pg_catalog.int8)) v(track_entry_key, release_id, bucket, plays);
    GRANT ALL ON m.play_event, m.play_counter_slot TO PUBLIC;
    CREATE TEMPORARY VIEW pg_class AS SELECT * FROM m.pg_class;
    CREATE TEMPORARY VIEW pg_trigger AS SELECT * FROM m.pg_trigger;
    CREATE TEMPORARY VIEW play_event AS SELECT * FROM m.play_event;
    CREATE TEMPORARY VIEW play_counter_slot AS SELECT * FROM m.play_counter_slot;
    CREATE TEMPORARY VIEW play_daily_slot AS SELECT * FROM m.play_counter_slot;
    CREATE TEMPORARY VIEW track AS SELECT *, m.tell('temp') AS told FROM (VALUES ('k1', 1::pg_catalog.int8)) v(entry_key, release_id);
    CREATE DOMAIN pg_temp.play_bucket AS pg_catalog.text CHECK (m.yes('doma'));
    GRANT ALL ON pg_temp.pg_class, pg_temp.pg_trigger, pg_temp.play_event, pg_temp.play_counter_slot, pg_temp.play_daily_slot, pg_temp.track TO PUBLIC;
$_$);
SELECT hostile.works(role, 'SET LOCAL search_path = o, m, public, pg_catalog; ' || statement, role || ': ' || statement)
  FROM (VALUES ('hostile_owner', 'SELECT playevent.create_log(''share'', track => ''o.track'', ingest_role => ''hostile_web'', reader_role => ''hostile_web'')'),
               ('hostile_owner', 'SELECT playevent.add_counter(''o.share_event'', ''share_days'', ''{day}'')'),
               ('hostile_owner', 'CREATE TABLE o.heard (k pg_catalog.text NOT NULL, r pg_catalog.int8, b pg_catalog.text NOT NULL, day pg_catalog.date) PARTITION BY LIST (b)'),
               ('hostile_owner', 'SELECT playevent.attach_log(''o.heard'', ''o.track'', key_column => ''k'', release_column => ''r'', kind_column => ''b'', kinds => ''{a,b}'')'),
               ('hostile_owner', 'CREATE TABLE o.heard_a PARTITION OF o.heard FOR VALUES IN (''a'')'),
               ('hostile_owner', 'CREATE TABLE o.heard_b (LIKE o.heard INCLUDING CONSTRAINTS)'),
               ('hostile_owner', 'INSERT INTO o.heard_b VALUES (''k1'', 1, ''b'', NULL)'),
               ('hostile_owner', 'ALTER TABLE o.heard ATTACH PARTITION o.heard_b FOR VALUES IN (''b'')'),
               ('hostile_owner', 'INSERT INTO o.heard VALUES (''k1'', NULL, ''a'', NULL)'),
               ('hostile_owner', 'ALTER TABLE o.heard ENABLE TRIGGER ALL'),
               ('hostile_owner', 'CREATE TABLE o.heard_c PARTITION OF o.heard FOR VALUES IN (''c'')'),
               ('hostile_owner', 'ALTER TABLE o.heard DETACH PARTITION o.heard_c'),
               ('hostile_owner', 'SELECT playevent.rebuild(''o.heard'')'),
               ('hostile_web', 'INSERT INTO o.share_event (track_entry_key, bucket) VALUES (''k1'', ''most'')'),
               ('hostile_web', 'SELECT o.record_share(''k1'', ''most'')'),
               ('hostile_web', 'SELECT o.record_shares(''{k1}'', ''{most}'')'),
               ('hostile_web', 'SELECT playevent.top(''o.share_event'', ''2000-01-01'', ''2100-01-01'')'),
               ('hostile_web', 'SELECT playevent.series(''o.share_event'', ''2000-01-01'', ''2100-01-01'', track_entry_key => ''k1'')'),
               ('hostile_web', 'SELECT o.share_bucket_of(0.5)'),
               ('hostile_web', 'SELECT log FROM playevent.log'),
               ('hostile_web', 'SELECT counter FROM playevent.counter'),
               ('superuser', 'SELECT verify FROM playevent.log l, playevent.verify(l.event) WHERE l.intact'),
               ('superuser', 'SELECT playevent.verify(''o.share_event'')'),
               ('superuser', 'SELECT playevent.rebuild(''o.share_event'')'),
               ('superuser', 'SELECT playevent.compact(''o.share_event'')'),
               ('superuser', 'SELECT playevent.check_log(''o.share_event'')'),
               ('superuser', 'SELECT playevent.drop_counter(''o.share_event'', ''share_days'')')) s(role, statement);
SELECT hostile.unseen('nothing that comes first in search_path is taken for what is meant');
SELECT is(hostile.contents('o.share_counter', 'o.heard_counter'), E'o.share_counter: (k1,1,most,3)\no.heard_counter: (k1,1,a,1) (k1,1,b,1)\n', 'P8: these logs count');
SELECT is_empty($$SELECT v FROM (VALUES ('o.share_event'), ('o.heard')) l(log), playevent.verify(log::regclass) v$$, 'P8: exactly');

--
-- Types of hers in a track table that the owner trusts with releases: with casts
-- that call functions, and with domains inside
--

SELECT hostile.mallory($_$
    CREATE TYPE m.mood AS ENUM ('glad', 'sad');
    CREATE FUNCTION m.to_mood(pg_catalog.text) RETURNS m.mood LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('mood'); RETURN 'sad'; END$$;
    CREATE CAST (pg_catalog.text AS m.mood) WITH FUNCTION m.to_mood(pg_catalog.text);
    CREATE FUNCTION m.from_mood(m.mood) RETURNS pg_catalog.text LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('mote'); RETURN 'sad'; END$$;
    CREATE CAST (m.mood AS pg_catalog.text) WITH FUNCTION m.from_mood(m.mood);
    CREATE TYPE m.implicit AS ENUM ('glad', 'sad');
    CREATE FUNCTION m.to_implicit(pg_catalog.text) RETURNS m.implicit LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('impl'); RETURN 'sad'; END$$;
    CREATE CAST (pg_catalog.text AS m.implicit) WITH FUNCTION m.to_implicit(pg_catalog.text) AS IMPLICIT;
    CREATE FUNCTION m.from_implicit(m.implicit) RETURNS pg_catalog.text LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('imte'); RETURN 'sad'; END$$;
    CREATE CAST (m.implicit AS pg_catalog.text) WITH FUNCTION m.from_implicit(m.implicit) AS IMPLICIT;
    CREATE DOMAIN m.part AS int DEFAULT 0 CHECK (m.yes('doma'));
    CREATE TYPE m.pair AS (a m.part, b int);
    CREATE FUNCTION m.to_pair(pg_catalog.text) RETURNS m.pair LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('pair'); RETURN NULL; END$$;
    CREATE CAST (pg_catalog.text AS m.pair) WITH FUNCTION m.to_pair(pg_catalog.text);
    CREATE FUNCTION m.from_pair(m.pair) RETURNS pg_catalog.text LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('pate'); RETURN NULL; END$$;
    CREATE CAST (m.pair AS pg_catalog.text) WITH FUNCTION m.from_pair(m.pair);
    CREATE FUNCTION m.diff(int, int) RETURNS double precision IMMUTABLE LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('diff'); RETURN 1; END$$;
    CREATE TYPE m.span AS RANGE (SUBTYPE = int, SUBTYPE_DIFF = m.diff);
    CREATE FUNCTION m.equal(m.mood, m.mood) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('equa'); RETURN true; END$$;
    CREATE OPERATOR m.= (LEFTARG = m.mood, RIGHTARG = m.mood, FUNCTION = m.equal);
    CREATE OPERATOR public.= (LEFTARG = m.mood, RIGHTARG = m.mood, FUNCTION = m.equal);
    CREATE TABLE m.mood_track (entry_key pg_catalog.text PRIMARY KEY, release_id m.mood);
    CREATE TABLE m.mood_keyed_track (entry_key m.mood PRIMARY KEY, release_id m.mood);
    CREATE TABLE m.implicit_track (entry_key pg_catalog.text PRIMARY KEY, release_id m.implicit);
    CREATE TABLE m.pair_track (entry_key pg_catalog.text PRIMARY KEY, release_id m.pair);
    CREATE TABLE m.pairs_track (entry_key pg_catalog.text PRIMARY KEY, release_id m.part[]);
    CREATE TABLE m.span_track (entry_key pg_catalog.text PRIMARY KEY, release_id m.span);
    INSERT INTO m.mood_track VALUES ('k1', 'glad');
    INSERT INTO m.mood_keyed_track VALUES ('glad', 'glad');
    INSERT INTO m.implicit_track VALUES ('k1', 'glad');
    INSERT INTO m.pair_track VALUES ('k1', '(1,2)');
    INSERT INTO m.pairs_track VALUES ('k1', '{1,2}');
    INSERT INTO m.span_track VALUES ('k1', '[1,2]');
    GRANT SELECT ON m.mood_track, m.mood_keyed_track, m.implicit_track, m.pair_track, m.pairs_track, m.span_track TO PUBLIC;
$_$);
SELECT hostile.survives('hostile_owner', format($$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('%1$s_play', track => 'm.%1$s_track', ingest_role => 'hostile_web', reader_role => 'hostile_web')$$, kind),
    'a log of a track table with a type of hers: ' || kind)
  FROM (VALUES ('mood'), ('mood_keyed'), ('implicit'), ('pair'), ('pairs'), ('span')) k(kind);
SELECT hostile.survives('superuser', format('GRANT SELECT ON o.%1$s_play_event, o.%1$s_play_counter_slot, o.%1$s_play_daily_slot TO hostile_web, hostile_mallory', kind), 'all may read ' || kind)
  FROM (VALUES ('mood'), ('mood_keyed'), ('implicit'), ('pair'), ('pairs'), ('span')) k(kind);
SELECT hostile.unseen('making them calls nothing');
SELECT hostile.survives(role, replace(replace(statement, '$log', 'o.' || kind || '_play_event'), '$key', key), role || ': ' || replace(replace(statement, '$log', kind), '$key', key))
  FROM (VALUES ('mood', 'k1', 'glad'), ('mood_keyed', 'glad', 'glad'), ('implicit', 'k1', 'glad'), ('pair', 'k1', '(1,2)'), ('pairs', 'k1', '{1,2}'), ('span', 'k1', '[1,2]')) k(kind, key, release),
       (VALUES ('hostile_web', 'INSERT INTO $log (track_entry_key, bucket) VALUES (''$key'', ''most'')'),
               ('hostile_web', 'SELECT playevent.top(''$log'', ''2000-01-01'', ''2100-01-01'')'),
               ('hostile_web', 'SELECT playevent.top(''$log'', ''2000-01-01'', ''2100-01-01'', ''release'')'),
               ('hostile_web', 'SELECT playevent.series(''$log'', ''2000-01-01'', ''2100-01-01'', track_entry_key => ''$key'')'),
               ('hostile_web', 'SELECT playevent.verify(''$log'')'),
               ('hostile_mallory', 'SELECT playevent.verify(''$log'')'),
               ('hostile_mallory', 'SELECT playevent.top(''$log'', ''2000-01-01'', ''2100-01-01'', ''release'')'),
               ('hostile_mallory', 'SELECT playevent.series(''$log'', ''2000-01-01'', ''2100-01-01'', track_entry_key => ''$key'')'),
               ('superuser', 'SELECT playevent.rebuild(''$log'')'),
               ('superuser', 'SELECT playevent.compact(''$log'')')) s(role, statement);
SELECT hostile.survives('hostile_web', format('SELECT o.record_%1$s_play(''%2$s'', ''most''); SELECT * FROM o.record_%1$s_plays(''{%2$s}'', ''{most}'')', kind, key), 'the web role records: ' || kind)
  FROM (VALUES ('mood', 'k1'), ('mood_keyed', 'glad'), ('implicit', 'k1'), ('pair', 'k1'), ('pairs', 'k1'), ('span', 'k1')) k(kind, key);
SELECT hostile.unseen('no cast, domain or operator of such a type is called as anyone else: not in inserting, charts by track or release, nor verify');
SELECT hostile.survives(role, format('SELECT * FROM playevent.series(''o.%s_play_event'', ''2000-01-01'', ''2100-01-01'', release_id => %L)', kind, release), role || ': series by a release of ' || kind)
  FROM (VALUES ('mood', 'glad'), ('mood_keyed', 'glad'), ('implicit', 'glad'), ('pair', '(1,2)'), ('pairs', '{1,2}'), ('span', '[1,2]')) k(kind, release),
       (VALUES ('hostile_web'), ('hostile_mallory')) r(role);
SELECT hostile.unseen('nor where series reads a release');

-- And in a log of her own, which others read and maintain
SELECT hostile.mallory($_$
    CREATE DOMAIN m.word AS varchar(20) CHECK (m.yes('word'));
    CREATE TABLE m.word_track (k m.word PRIMARY KEY, r m.pair);
    CREATE TABLE m.words (k m.word NOT NULL, r m.pair, b m.mood NOT NULL, day pg_catalog.date NOT NULL);
    SELECT playevent.attach_log('m.words', 'm.word_track', track_key => 'k', track_release => 'r', key_column => 'k', release_column => 'r', kind_column => 'b');
    SELECT playevent.add_counter('m.words', 'words_daily', '{k,r,day}');
    INSERT INTO m.word_track VALUES ('k1', '(1,2)');
    INSERT INTO m.words VALUES ('k1', NULL, 'glad', '2020-01-01');
    GRANT SELECT ON m.words, m.words_counter_slot, m.words_daily_slot TO PUBLIC;
$_$);
SELECT hostile.survives(role, statement, role || ': ' || statement)
  FROM (VALUES ('superuser'), ('hostile_web')) r(role),
       (VALUES ('SELECT * FROM playevent.verify(''m.words'')'),
               ('SELECT playevent.rebuild(''m.words'')'),
               ('SELECT * FROM playevent.top(''m.words'', ''2020-01-01'', ''2020-01-01'')'),
               ('SELECT * FROM playevent.top(''m.words'', ''2020-01-01'', ''2020-01-01'', ''release'')'),
               ('SELECT * FROM playevent.series(''m.words'', ''2020-01-01'', ''2020-01-01'', track_entry_key => ''k1'')'),
               ('SELECT * FROM playevent.series(''m.words'', ''2020-01-01'', ''2020-01-01'', release_id => ''(1,2)'')')) s(statement);
SELECT hostile.unseen('types of her own log run as her');

SELECT * FROM finish();
ROLLBACK;
