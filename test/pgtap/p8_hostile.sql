-- P8: nobody else's code, nobody else's rights.  A role that owns nothing but a
-- schema makes every kind of hostile object; then a superuser, another owner and
-- the web role call every function and read every view.  No code of hers runs as
-- anyone but her, nothing of others changes, and nobody is hindered.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
\ir include/hostile.sql

SELECT hostile.attempt('superuser', $$SELECT m.tell('test')$$) AS told \gset
SELECT is((SELECT string_agg(s, ', ') FROM hostile.seen() s), 'as ' || current_user || ': test',
    'hostile code is noticed that runs as someone else');
SELECT pg_advisory_unlock_all();
SELECT hostile.attempt('superuser', $$DO $d$BEGIN PERFORM m.tell('test'); RAISE 'no'; END$d$ $$) AS told \gset
SELECT is((SELECT string_agg(s, ', ') FROM hostile.seen() s), 'as ' || current_user || ': test',
    'also when what it ran in is rolled back');
SELECT pg_advisory_unlock_all();

SELECT hostile.works('hostile_owner', $$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('play', track => 'o.track', ingest_role => 'hostile_web', reader_role => 'hostile_web');
    SELECT playevent.add_counter('o.play_event', 'further', '{day}')$$, 'the owner has a log');
SELECT hostile.works('hostile_web', $$INSERT INTO o.play_event (track_entry_key, bucket, anon_id) VALUES ('k1', 'most', 'a')$$,
    'the web role inserts');
SELECT hostile.works('hostile_web', $$SELECT o.record_play('k2', 'complete')$$, 'and records');

--
-- Claims, before there is what they claim and after: triggers of hers, on a table
-- and on a temporary one, name others' slot tables
--

SELECT hostile.mallory($_$
    CREATE FUNCTION m.claim(of text) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        log text;
    BEGIN
        EXECUTE format('CREATE %s TABLE %s (track_entry_key varchar(100) NOT NULL, release_id bigint, bucket text NOT NULL, day date, anon_id text)',
            CASE WHEN of LIKE 'pg_temp%' THEN 'TEMPORARY' END, of);
        FOREACH log IN ARRAY '{play,early}'::text[] LOOP
            EXECUTE format('CREATE TRIGGER %2$I AFTER INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION
                playevent.count(''o.%3$s_counter_slot'', ''%4$s'', ''track_entry_key'', ''release_id'', ''bucket'')', of,
                CASE WHEN log = 'play' THEN 'playevent_count' ELSE 'counts' END, log, log || 's');
            EXECUTE format('CREATE TRIGGER playevent_count_%2$s_daily AFTER INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION
                playevent.count(''o.%2$s_daily_slot'', ''%2$ss'', ''track_entry_key'', ''release_id'', ''day'')', of, log);
            EXECUTE format('CREATE TRIGGER playevent_%2$s_listeners AFTER INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION
                playevent.sketch(''o.%2$s_listeners_slot'', ''listeners'', ''anon_id'', ''track_entry_key'', ''release_id'', ''day'')', of, log);
            EXECUTE format('CREATE TRIGGER %2$s_further AFTER INSERT ON %1$s FOR EACH ROW EXECUTE FUNCTION
                playevent.count(''o.%3$s'', ''%2$ss'', ''day'')', of, log, CASE log WHEN 'play' THEN 'further_slot' ELSE 'early_further_slot' END);
            EXECUTE format('CREATE TRIGGER %2$s_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %1$s FOR EACH STATEMENT EXECUTE FUNCTION
                playevent.slot_guard(''o.%2$s_event'', ''count'', ''%2$ss'', ''track_entry_key'', ''release_id'', ''bucket'')', of, log);
            EXECUTE format('CREATE TRIGGER %2$s_guard_row BEFORE INSERT OR UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION
                playevent.slot_guard(''o.%2$s_event'', ''count'', ''%2$ss'', ''track_entry_key'', ''release_id'', ''bucket'')', of, log);
        END LOOP;
    END $$;
    SELECT m.claim('m.squat'), m.claim('pg_temp.squat');
$_$);
SELECT hostile.works('hostile_owner', $$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('early', track => 'o.track', ingest_role => 'hostile_web', reader_role => 'hostile_web')$$,
    'create_log works, though others'' triggers name its slot tables');
SELECT hostile.works('hostile_web', $$SELECT o.record_early('k2', 'complete')$$, 'and so does its log');
SELECT hostile.works('hostile_owner', $$SELECT playevent.add_counter('o.early_event', 'early_further', '{day}')$$,
    'add_counter works as well');
SELECT results_eq($$SELECT event::text COLLATE "default", counter::text COLLATE "default", counter_slot::text COLLATE "default" FROM playevent.counter
                     WHERE event::text ~ 'squat' OR counter_slot::text ~ '^o\.' ORDER BY 1, 2$$,
    $$VALUES ('o.early_event', 'early_counter', 'o.early_counter_slot'),
             ('o.early_event', 'early_daily', 'o.early_daily_slot'),
             ('o.early_event', 'early_further', 'o.early_further_slot'),
             ('o.play_event', 'further', 'o.further_slot'),
             ('o.play_event', 'play_counter', 'o.play_counter_slot'),
             ('o.play_event', 'play_daily', 'o.play_daily_slot')$$,
    'P8: no such claim is a counter');
SELECT results_eq($$SELECT l.event::text COLLATE "default", l.intact FROM playevent.log l WHERE l.event::text ~ '^o\.' ORDER BY 1$$,
    $$VALUES ('o.early_event', true), ('o.play_event', true)$$, 'P8: the logs are intact');
SELECT hostile.mallory(format('DROP TRIGGER %1$s_guard ON %2$s; DROP TRIGGER %1$s_guard_row ON %2$s', log, squat))
  FROM (VALUES ('m.squat'), ('pg_temp.squat')) s(squat), (VALUES ('play'), ('early')) l(log);
SELECT hostile.refused(role, 'INSERT INTO ' || squat || $$ (track_entry_key, bucket, day) VALUES ('k1', 'most', '2020-01-01')$$,
    role || ' cannot count there by a claim on ' || squat)
  FROM (VALUES ('hostile_mallory'), ('superuser')) r(role), (VALUES ('m.squat'), ('pg_temp.squat')) s(squat);
SELECT is(hostile.contents('m.squat', 'pg_temp.squat'), E'm.squat: nothing\npg_temp.squat: nothing\n',
    'P8: nor is a row written there');
SELECT hostile.works('superuser', format($$SELECT playevent.rebuild('o.%s_event')$$, log), 'the log works that she named: ' || log)
  FROM (VALUES ('play'), ('early')) l(log);
SELECT is_empty($$SELECT * FROM playevent.verify('o.play_event')$$, 'P8: nothing was forged');

-- what nobody may change from here on
SELECT hostile.contents('o.track', 'o.payroll', 'o.play_event', 'o.play_counter', 'o.play_daily', 'o.further', 'o.play_counter_slot', 'o.play_daily_slot') AS contents,
       (SELECT string_agg(c::text, ' ' ORDER BY c::text) FROM playevent.counter c WHERE c.event = 'o.play_event'::regclass) AS counters,
       (SELECT l::text FROM playevent.log l WHERE l.event = 'o.play_event'::regclass) AS log \gset before_

--
-- Look-ups evaluate nothing: an index's predicate or expression on a slot table
--

SELECT hostile.mallory(format($$SELECT m.make_log('%s%s', %L)$$, kind, n, index))
  FROM (VALUES ('pred', 'a (k) WHERE m.yes(''pred'')'),
               ('expr', 'a ((CASE WHEN m.yes(''expr'') THEN k END))')) k(kind, index),
       generate_series(1, 20) n;
SELECT hostile.mallory(format($$CREATE INDEX z_fine%s%s ON m.%s%s_slot (k)$$, kind, n, kind, n))
  FROM (VALUES ('pred'), ('expr')) k(kind), generate_series(1, 20) n;
SELECT hostile.survives(role, replace(statement, '$log', 'm.' || kind || n), role || ': ' || replace(statement, '$log', kind))
  FROM (VALUES ('pred'), ('expr')) k(kind),
       (VALUES (1, 'superuser', 'ALTER TABLE $log ATTACH PARTITION $log_x FOR VALUES IN (''x'')'),
               (2, 'superuser', 'SELECT * FROM playevent.verify(''$log'')'),
               (3, 'superuser', 'SELECT playevent.rebuild(''$log'')'),
               (4, 'superuser', 'SELECT playevent.compact(''$log'')'),
               (5, 'superuser', 'SELECT playevent.check_log(''$log'')'),
               (6, 'superuser', 'SELECT playevent.add_counter(''$log'', ''more'', ''{k}'')'),
               (7, 'superuser', 'SELECT playevent.attach_log(''$log'', ''o.track'', key_column => ''k'', release_column => ''r'', kind_column => ''b'')'),
               (8, 'superuser', 'SELECT playevent.top(''$log'', ''2020-01-01'', ''2020-01-02'')'),
               (9, 'superuser', 'SELECT playevent.series(''$log'', ''2020-01-01'', ''2020-01-02'')'),
               (10, 'superuser', 'SELECT playevent.drop_counter(''$log'', ''$log'')'),
               (11, 'superuser', 'SELECT * FROM playevent.log'),
               (12, 'superuser', 'SELECT * FROM playevent.counter'),
               (13, 'superuser', 'ALTER TABLE $log ENABLE TRIGGER ALL'),
               (14, 'superuser', 'ALTER TABLE $log DETACH PARTITION $log_y'),
               (15, 'superuser', 'CREATE TABLE $log_z PARTITION OF $log FOR VALUES IN (''z'')'),
               (16, 'hostile_owner', 'SELECT * FROM playevent.verify(''$log'')')) s(n, role, statement)
 ORDER BY n, kind;
SELECT hostile.unseen('no index of a slot table runs as who maintains or alters the log');
SELECT hostile.fails(role, format('INSERT INTO m.%1$s%2$s VALUES (''k'', 1, ''y'')', kind, n), '55000',
    format('index "%1$s%2$s_a" is not allowed on slot table "%1$s%2$s_slot"', kind, n),
    role || ' cannot insert where a slot table has such an index: ' || kind)
  FROM (VALUES ('pred'), ('expr')) k(kind),
       (VALUES (17, 'superuser'), (18, 'hostile_owner'), (19, 'hostile_web'), (20, 'hostile_mallory')) s(n, role);
SELECT hostile.unseen('nor as who inserts');
SELECT hostile.mallory($$SELECT m.make_log('folded', 'a (k)', 'b (k) WHERE 1 = 1')$$);
SELECT hostile.fails('superuser', $$INSERT INTO m.folded VALUES ('k', 1, 'y')$$, '55000',
    'index "folded_b" is not allowed on slot table "folded_slot"', 'a predicate that is always true is one still');

-- of a track table: not usable, and not evaluated
SELECT hostile.mallory(format($$
    CREATE TABLE m.track%1$s (entry_key text NOT NULL, release_id bigint);
    INSERT INTO m.track%1$s VALUES ('k1', 1);
    CREATE UNIQUE INDEX a_trac%1$s ON m.track%1$s (entry_key) WHERE m.yes('trac');
    CREATE UNIQUE INDEX b_trac%1$s ON m.track%1$s ((CASE WHEN m.yes('trac') THEN entry_key END));
    GRANT SELECT ON m.track%1$s TO PUBLIC$$, n)) FROM generate_series(1, 5) n;
SELECT hostile.fails('hostile_owner', $$SET LOCAL search_path = o; SELECT playevent.create_log('lost', track => 'm.track1')$$,
    '42704', 'table "track1" has no usable unique index on column "entry_key"', 'a partial index finds no tracks');
SELECT hostile.fails('superuser', $$SET LOCAL search_path = o; SELECT playevent.create_log('lost', track => 'm.track2')$$,
    '42704', 'table "track2" has no usable unique index on column "entry_key"', 'nor does it for a superuser');
SELECT hostile.unseen('nor is it evaluated');
SELECT hostile.mallory(format('CREATE UNIQUE INDEX c_trac%1$s ON m.track%1$s (entry_key)', n)) FROM generate_series(3, 5) n;
SELECT hostile.works('hostile_owner', $$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('trusting', track => 'm.track3', ingest_role => 'hostile_web', reader_role => 'hostile_web')$$,
    'the owner may trust her track table');
SELECT hostile.works('hostile_web', $$INSERT INTO o.trusting_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, 'and the web role insert');
SELECT hostile.works('hostile_web', $$SELECT o.record_trusting('k1', 'most')$$, 'and record');
SELECT hostile.works('hostile_web', $$SELECT * FROM o.record_trustings('{k1,k1}', '{most,most}')$$, 'in batches too');
SELECT is(hostile.contents('o.trusting_counter'), E'o.trusting_counter: (k1,1,most,4)\n', 'P8: with its releases');
SELECT hostile.mallory($$CREATE UNIQUE INDEX d_trac3 ON m.track3 (entry_key) WHERE m.yes('trac')$$);
SELECT hostile.works('hostile_web', $$INSERT INTO o.trusting_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, 'also later');
SELECT hostile.unseen('without running her indexes');
SELECT hostile.mallory($$DROP INDEX m.c_trac3; CREATE UNIQUE INDEX e_trac3 ON m.track3 (entry_key) WHERE 1 = 1$$);
SELECT hostile.fails('hostile_web', $$INSERT INTO o.trusting_event (track_entry_key, bucket) VALUES ('k1', 'most')$$,
    '42704', 'table "track3" has no usable unique index on column "entry_key"', 'a predicate that is always true is one of a track table too');
SELECT hostile.works('superuser', 'DROP TABLE o.trusting_event, o.trusting_counter_slot, o.trusting_daily_slot CASCADE; DROP TYPE o.trusting_bucket CASCADE',
    'that log is gone');

--
-- A log is a table: views and foreign tables are none, whatever triggers they have
--

CREATE FOREIGN DATA WRAPPER hostile_wrapper;
GRANT USAGE ON FOREIGN DATA WRAPPER hostile_wrapper TO hostile_mallory;
SELECT hostile.mallory($_$
    CREATE TABLE m.v_slot (k text, r bigint, b text, plays bigint NOT NULL);
    CREATE INDEX ON m.v_slot (k);
    CREATE TABLE m.w_slot (LIKE m.v_slot INCLUDING ALL);
    CREATE TABLE m.f_slot (LIKE m.v_slot INCLUDING ALL);
    CREATE TABLE m.g_slot (LIKE m.v_slot INCLUDING ALL);
    CREATE VIEW m.v AS SELECT 'k'::text AS k, 1::bigint AS r, m.tell('view')::text AS b;
    CREATE VIEW m.w AS SELECT * FROM m.v;
    CREATE SERVER hostile_server FOREIGN DATA WRAPPER hostile_wrapper;
    CREATE FOREIGN TABLE m.f (k text, r bigint, b text) SERVER hostile_server;
    CREATE TABLE m.g (k text, r bigint, b text) PARTITION BY LIST (b);
    CREATE FOREIGN TABLE m.g_x PARTITION OF m.g FOR VALUES IN ('x') SERVER hostile_server;
    -- a view in place of slots
    CREATE VIEW m.t_slot AS SELECT 'k'::text AS k, 1::bigint AS r, m.tell('slot')::text AS b, 1::bigint AS plays;
    CREATE TABLE m.t (k text, r bigint, b text);
    CREATE FUNCTION m.trust(log text, slot text, timing text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('CREATE TRIGGER playevent_count %s INSERT ON m.%I FOR EACH %s EXECUTE FUNCTION
            playevent.count(%L, ''plays'', ''k'', ''r'', ''b'')', split_part(timing, '/', 1), log, split_part(timing, '/', 2), slot);
        EXECUTE format('CREATE TRIGGER playevent_flush AFTER INSERT ON m.%I FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush()', log);
        EXECUTE format('CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON m.%I FOR EACH STATEMENT EXECUTE FUNCTION
            playevent.slot_guard(%L, ''count'', ''plays'', ''k'', ''r'', ''b'')', slot, log);
        EXECUTE format('CREATE TRIGGER guard_row %s INSERT OR UPDATE OR DELETE ON m.%I FOR EACH ROW EXECUTE FUNCTION
            playevent.slot_guard(%L, ''count'', ''plays'', ''k'', ''r'', ''b'')',
            CASE WHEN slot = 't_slot' THEN 'INSTEAD OF' ELSE 'BEFORE' END, slot, log);
        IF slot <> 't_slot' THEN
            EXECUTE format('ALTER TABLE m.%1$I ENABLE ALWAYS TRIGGER guard; ALTER TABLE m.%1$I ENABLE ALWAYS TRIGGER guard_row', slot);
        END IF;
    END $$;
    SELECT m.trust('v', 'v_slot', 'AFTER/STATEMENT'), m.trust('w', 'w_slot', 'INSTEAD OF/ROW'),
           m.trust('f', 'f_slot', 'AFTER/ROW'), m.trust('g', 'g_slot', 'AFTER/ROW'), m.trust('t', 't_slot', 'AFTER/ROW');
    GRANT ALL ON m.v, m.w, m.f, m.g, m.t, m.v_slot, m.w_slot, m.f_slot, m.g_slot, m.t_slot TO PUBLIC;
$_$);
SELECT hostile.fails(role, replace(statement, '$log', 'm.' || log), '55000', format('table "%s" is not a log', log),
    role || ': ' || replace(statement, '$log', log))
  FROM (VALUES ('v'), ('w'), ('f')) k(log), (VALUES ('superuser'), ('hostile_mallory')) r(role),
       (VALUES ('SELECT * FROM playevent.verify(''$log'')'),
               ('SELECT playevent.rebuild(''$log'')'),
               ('SELECT playevent.compact(''$log'')'),
               ('SELECT playevent.check_log(''$log'')'),
               ('SELECT playevent.add_counter(''$log'', ''more'', ''{k}'')'),
               ('SELECT playevent.add_listener_sketch(''$log'', ''b'')'),
               ('SELECT playevent.top(''$log'', ''2020-01-01'', ''2020-01-02'')'),
               ('SELECT playevent.series(''$log'', ''2020-01-01'', ''2020-01-02'')')) s(statement);
SELECT hostile.fails('superuser', format($$SELECT playevent.attach_log('m.%s', 'o.track', key_column => 'k', release_column => 'r', kind_column => 'b')$$, log),
    '42809', 'attach_log takes no such thing: ' || log) FROM (VALUES ('v'), ('w'), ('f')) k(log);
SELECT is_empty($$SELECT l.event FROM playevent.log l WHERE l.event IN ('m.v'::regclass, 'm.w', 'm.f')$$, 'P8: nor does playevent.log list one');
SELECT is_empty($$SELECT c.event FROM playevent.counter c WHERE c.event IN ('m.v'::regclass, 'm.w', 'm.f', 'm.t')$$,
    'P8: nor playevent.counter, nor a view in place of a slot table');
SELECT hostile.survives(role, replace(statement, '$log', 'm.' || log), role || ': ' || replace(statement, '$log', log))
  FROM (VALUES ('g'), ('t')) k(log), (VALUES ('superuser'), ('hostile_web')) r(role),
       (VALUES ('SELECT * FROM playevent.verify(''$log'')'),
               ('SELECT playevent.rebuild(''$log'')'),
               ('SELECT playevent.compact(''$log'')'),
               ('SELECT playevent.top(''$log'', ''2020-01-01'', ''2020-01-02'')'),
               ('SELECT playevent.series(''$log'', ''2020-01-01'', ''2020-01-02'')')) s(statement);
SELECT hostile.unseen('no view is run');

--
-- Both sides must agree
--

SELECT hostile.mallory($_$
    CREATE FUNCTION m.make_claim(log text, trigger_arguments text, guard_arguments text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('CREATE TABLE m.%I (k text, r bigint, b text, plays bigint NOT NULL)', log || '_slot');
        EXECUTE format('CREATE INDEX ON m.%I (k)', log || '_slot');
        EXECUTE format('CREATE TABLE m.%I (k text, r bigint, b text)', log);
        EXECUTE format('CREATE TRIGGER playevent_count AFTER INSERT ON m.%I FOR EACH ROW EXECUTE FUNCTION playevent.count(%s)', log, trigger_arguments);
        EXECUTE format('CREATE TRIGGER playevent_flush AFTER INSERT ON m.%I FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush()', log);
        IF guard_arguments IS NOT NULL THEN
            EXECUTE format('CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.%I FOR EACH STATEMENT EXECUTE FUNCTION playevent.slot_guard(%s)',
                log || '_slot', guard_arguments);
            EXECUTE format('CREATE TRIGGER guard_row BEFORE INSERT OR UPDATE OR DELETE ON m.%I FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(%s)',
                log || '_slot', guard_arguments);
            EXECUTE format('ALTER TABLE m.%1$I ENABLE ALWAYS TRIGGER guard; ALTER TABLE m.%1$I ENABLE ALWAYS TRIGGER guard_row', log || '_slot');
        END IF;
        EXECUTE format('GRANT ALL ON m.%I TO PUBLIC', log);
    END $$;
$_$);
CREATE TABLE hostile.disagreement (log text, guard_arguments text, what text);
INSERT INTO hostile.disagreement VALUES
    ('no_guard', NULL, 'no guard'),
    ('empty_guard', '', 'guards that say nothing'),
    ('other_log', $$'other', 'count', 'plays', 'k', 'r', 'b'$$, 'guards of a log that is not there'),
    ('others_log', $$'o.play_event', 'count', 'plays', 'k', 'r', 'b'$$, 'guards of somebody else''s log'),
    ('other_function', $$'other_function', 'sketch', 'plays', 'k', 'r', 'b'$$, 'guards of a sketch'),
    ('other_column', $$'other_column', 'count', 'listens', 'k', 'r', 'b'$$, 'guards of another count'),
    ('other_order', $$'other_order', 'count', 'plays', 'k', 'b', 'r'$$, 'guards of other columns'),
    ('fewer', $$'fewer', 'count', 'plays', 'k', 'r'$$, 'guards of fewer columns'),
    ('more_columns', $$'more_columns', 'count', 'plays', 'k', 'r', 'b', 'c'$$, 'guards of more columns');
SELECT hostile.mallory(format('SELECT m.make_claim(%L, %L, %L)', log, format($$'%s_slot', 'plays', 'k', 'r', 'b'$$, log), guard_arguments))
  FROM hostile.disagreement;
SELECT hostile.fails(role, format($$INSERT INTO m.%I VALUES ('k', 1, 'x')$$, log), '55000', role || ' counts nothing with ' || what)
  FROM hostile.disagreement, (VALUES ('hostile_mallory'), ('superuser')) r(role);
SELECT is(hostile.contents('m.' || log, format('m.%I', log || '_slot')), format(E'm.%1$s: nothing\nm.%1$s_slot: nothing\n', log),
    'P8: nothing is written with ' || what) FROM hostile.disagreement;
SELECT is_empty(format('SELECT * FROM playevent.counter WHERE event = %L::regclass', 'm.' || log), 'P8: there is no counter with ' || what)
  FROM hostile.disagreement;
-- nor do two logs share slots
SELECT hostile.mallory($$
    CREATE TABLE m.second (k text, r bigint, b text);
    CREATE TRIGGER playevent_count AFTER INSERT ON m.second FOR EACH ROW EXECUTE FUNCTION playevent.count('fine_slot', 'plays', 'k', 'r', 'b');
    SELECT m.make_log('fine', 'a (k)')$$);
SELECT hostile.works('hostile_web', $$INSERT INTO m.fine VALUES ('k', 1, 'y')$$, 'a log that both sides agree on counts');
SELECT hostile.fails('hostile_mallory', $$INSERT INTO m.second VALUES ('k', 1, 'x')$$, '55000', 'two logs do not share a slot table');
SELECT is(hostile.contents('m.fine_slot', 'm.second'), E'm.fine_slot: (k,1,y,1)\nm.second: nothing\n', 'P8: and nothing of the other is written');

--
-- drop_counter drops what is agreed, and nothing else
--

SELECT hostile.mallory($$
    CREATE TABLE m.bait (k text, r bigint, b text, day date, track_entry_key text, release_id bigint);
    CREATE TRIGGER playevent_count AFTER INSERT ON m.bait FOR EACH ROW EXECUTE FUNCTION playevent.count('bait_slot', 'plays', 'k', 'r', 'b');
    CREATE TRIGGER a AFTER INSERT ON m.bait FOR EACH ROW EXECUTE FUNCTION playevent.count('o.payroll', 'salary', 'name');
    CREATE TRIGGER b AFTER INSERT ON m.bait FOR EACH ROW EXECUTE FUNCTION playevent.count('o.play_daily_slot', 'plays', 'track_entry_key', 'release_id', 'day');
    CREATE TRIGGER c AFTER INSERT ON m.bait FOR EACH ROW EXECUTE FUNCTION playevent.count('o.further_slot', 'plays', 'day');
    CREATE TRIGGER d AFTER INSERT ON m.bait FOR EACH ROW EXECUTE FUNCTION playevent.count('pg_catalog.pg_class', 'relname', 'oid');
    CREATE TRIGGER e AFTER INSERT ON m.bait FOR EACH ROW EXECUTE FUNCTION playevent.count('o.play_daily', 'plays', 'day');
$$);
SELECT hostile.fails(role, format($$SELECT playevent.drop_counter('m.bait', '%s')$$, counter), '42704',
    format('table "bait" has no counter "%s"', counter), format('%s cannot be made to drop %s', role, counter))
  FROM (VALUES ('payroll'), ('play_daily'), ('further'), ('pg_class'), ('bait'), ('o.payroll')) c(counter),
       (VALUES ('superuser'), ('hostile_mallory')) r(role);
SELECT is(to_regclass('o.payroll')::text, 'o.payroll', 'P8: the payroll is there');
SELECT hostile.works('superuser', $$SELECT playevent.rebuild('o.play_event')$$, 'the log works that she named');

--
-- Charts run as the log's owner, never as the reader
--

SELECT hostile.mallory($$
    CREATE TABLE m.track (entry_key text PRIMARY KEY, release_id bigint);
    INSERT INTO m.track VALUES ('k1', 1), ('k2', 2);
    SET LOCAL search_path = m;
    SELECT playevent.create_log('hit', track => 'm.track');
    INSERT INTO m.hit_event (track_entry_key, bucket) VALUES ('k1', 'most'), ('k1', 'most'), ('k2', 'most');
    SELECT playevent.create_log('forced', track => 'm.track');
    INSERT INTO m.forced_event (track_entry_key, bucket) VALUES ('k1', 'most');
    GRANT ALL ON m.hit_event, m.hit_counter_slot, m.hit_daily_slot, m.forced_event, m.forced_counter_slot, m.forced_daily_slot TO PUBLIC;
    CREATE POLICY hostile ON m.hit_daily_slot USING (m.tell('poli'));
    CREATE POLICY hostile ON m.hit_counter_slot USING (m.tell('poli'));
    CREATE POLICY hostile ON m.hit_event USING (m.tell('poli'));
    CREATE POLICY hostile ON m.forced_daily_slot USING (m.tell('poli'));
    CREATE POLICY hostile ON m.forced_counter_slot USING (m.tell('poli'));
    CREATE POLICY hostile ON m.forced_event USING (m.tell('poli'));
    ALTER TABLE m.hit_daily_slot ENABLE ROW LEVEL SECURITY;
    ALTER TABLE m.hit_counter_slot ENABLE ROW LEVEL SECURITY;
    ALTER TABLE m.hit_event ENABLE ROW LEVEL SECURITY;
    ALTER TABLE m.forced_daily_slot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE m.forced_counter_slot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    ALTER TABLE m.forced_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
$$);
SELECT hostile.survives('hostile_web', replace(statement, '$log', log), 'the web role: ' || replace(statement, '$log', log))
  FROM (VALUES ('m.hit_event'), ('m.forced_event')) l(log),
       (VALUES ('SELECT * FROM playevent.top(''$log'', ''2000-01-01'', ''2100-01-01'')'),
               ('SELECT * FROM playevent.top(''$log'', ''2000-01-01'', ''2100-01-01'', ''release'', 1)'),
               ('SELECT * FROM playevent.series(''$log'', ''2000-01-01'', ''2100-01-01'', step => ''month'')'),
               ('SELECT * FROM playevent.series(''$log'', ''2000-01-01'', ''2100-01-01'', track_entry_key => ''k1'')'),
               ('SELECT * FROM playevent.series(''$log'', ''2000-01-01'', ''2100-01-01'', release_id => ''1'')')) s(statement);
SELECT hostile.unseen('no policy runs as who reads a chart');
SELECT hostile.fails('hostile_web', $$SELECT * FROM playevent.top('m.hit_event', '2000-01-01', '2100-01-01')$$, '42501',
    'who would see only a part of the slots sees no chart');
SELECT hostile.works('superuser', $$SELECT * FROM playevent.top('m.hit_event', '2000-01-01', '2100-01-01')$$, 'who sees all of them does');

-- What is evaluated when queries on the tables are planned
SELECT hostile.mallory($$
    CREATE STATISTICS m.hit_slot_stat ON (m.same('stat', 'a') || track_entry_key), (m.same('stat', 'b') || track_entry_key) FROM m.hit_counter_slot;
    CREATE STATISTICS m.hit_daily_stat ON (m.same('stat', 'a') || track_entry_key), (m.same('stat', 'b') || track_entry_key) FROM m.hit_daily_slot;
    CREATE STATISTICS m.hit_stat ON (m.same('stat', 'a') || track_entry_key), (m.same('stat', 'b') || track_entry_key) FROM m.hit_event;
    CREATE INDEX hit_pred ON m.hit_event (id) WHERE m.yes('evix');
    CREATE INDEX hit_expr ON m.hit_event ((m.same('evex', 'a') || track_entry_key));
    ALTER TABLE m.hit_event ADD CHECK (m.yes('chec') OR track_entry_key IS NULL);
    CREATE RULE hostile AS ON UPDATE TO m.hit_event DO ALSO SELECT m.tell('rule');
$$);
SELECT hostile.survives(role, replace(statement, '$log', log), role || ': ' || replace(statement, '$log', log))
  FROM (VALUES ('m.hit_event'), ('m.forced_event')) l(log),
       (VALUES ('hostile_web', 'SELECT * FROM playevent.verify(''$log'')'),
               ('hostile_web', 'SELECT * FROM playevent.top(''$log'', ''2000-01-01'', ''2100-01-01'')'),
               ('hostile_web', 'SELECT * FROM playevent.series(''$log'', ''2000-01-01'', ''2100-01-01'', track_entry_key => ''k1'')'),
               ('hostile_owner', 'SELECT * FROM playevent.verify(''$log'')'),
               ('superuser', 'SELECT * FROM playevent.verify(''$log'')'),
               ('superuser', 'SET LOCAL constraint_exclusion = on; SELECT * FROM playevent.verify(''$log'')'),
               ('superuser', 'SELECT playevent.rebuild(''$log'')'),
               ('superuser', 'SELECT playevent.compact(''$log'')'),
               ('superuser', 'SELECT playevent.check_log(''$log'')'),
               ('superuser', 'SELECT playevent.add_counter(''$log'', ''more'', ''{track_entry_key,day}'')'),
               ('superuser', 'SELECT * FROM playevent.top(''$log'', ''2000-01-01'', ''2100-01-01'')'),
               ('superuser', 'SELECT playevent.drop_counter(''$log'', ''more'')'),
               ('superuser', 'SELECT playevent.attach_log(''$log'', track => ''m.track'')')) s(role, statement);
SELECT hostile.unseen('no statistics, index or constraint runs as who reads a chart, verifies or maintains, nor goes on afterwards');

-- Whoever runs it: the caller needs the right.
SELECT hostile.fails('hostile_mallory', replace(statement, '$log', 'o.play_event'), '42501', 'she has no right: ' || statement)
  FROM (VALUES ('SELECT * FROM playevent.verify(''$log'')'),
               ('SELECT playevent.rebuild(''$log'')'),
               ('SELECT playevent.compact(''$log'')'),
               ('SELECT playevent.check_log(''$log'')'),
               ('SELECT playevent.add_counter(''$log'', ''more'', ''{day}'')'),
               ('SELECT playevent.add_listener_sketch(''$log'')'),
               ('SELECT playevent.drop_counter(''$log'', ''further'')'),
               ('SELECT playevent.attach_log(''$log'', track => ''m.track'')'),
               ('SELECT playevent.top(''$log'', ''2000-01-01'', ''2100-01-01'')'),
               ('SELECT playevent.series(''$log'', ''2000-01-01'', ''2100-01-01'')')) s(statement);
GRANT SELECT ON o.play_event TO hostile_mallory;
SELECT hostile.fails('hostile_mallory', $$SELECT * FROM playevent.verify('o.play_event')$$, '42501',
    'SELECT on the log alone is not enough to verify');
REVOKE SELECT ON o.play_event FROM hostile_mallory;
GRANT SELECT ON o.play_counter_slot, o.play_daily_slot, o.further_slot TO hostile_mallory;
SELECT hostile.fails('hostile_mallory', $$SELECT * FROM playevent.verify('o.play_event')$$, '42501', 'nor is SELECT on the slots alone');
REVOKE SELECT ON o.play_counter_slot, o.play_daily_slot, o.further_slot FROM hostile_mallory;

--
-- A superuser has everybody's rights: he doesn't run their code for that
--

-- She owns the schema of his log, so she may put a slot table in place of his.
SELECT hostile.prepare('superuser', $$
    SET LOCAL search_path = m;
    SELECT playevent.create_log('royal', track => 'o.track');
    INSERT INTO m.royal_event (track_entry_key, bucket) VALUES ('k1', 'most');
    GRANT SELECT ON m.royal_event TO hostile_mallory;
    GRANT USAGE ON TYPE m.royal_bucket TO hostile_mallory$$);
SELECT hostile.mallory($$
    DROP TABLE m.royal_counter_slot CASCADE;
    CREATE TABLE m.royal_counter_slot (track_entry_key varchar(100), release_id bigint, bucket m.royal_bucket, royals bigint NOT NULL);
    CREATE INDEX ON m.royal_counter_slot (track_entry_key);
    CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.royal_counter_slot FOR EACH STATEMENT
        EXECUTE FUNCTION playevent.slot_guard('royal_event', 'count', 'royals', 'track_entry_key', 'release_id', 'bucket');
    CREATE TRIGGER guard_row BEFORE INSERT OR UPDATE OR DELETE ON m.royal_counter_slot FOR EACH ROW
        EXECUTE FUNCTION playevent.slot_guard('royal_event', 'count', 'royals', 'track_entry_key', 'release_id', 'bucket');
    ALTER TABLE m.royal_counter_slot ENABLE ALWAYS TRIGGER guard, ENABLE ALWAYS TRIGGER guard_row;
    CREATE STATISTICS m.royal_stat ON (m.same('stat', 'a') || track_entry_key), (m.same('stat', 'b') || track_entry_key) FROM m.royal_counter_slot;
    GRANT SELECT ON m.royal_counter_slot TO PUBLIC;
$$);
SELECT hostile.survives(role, statement, role || ': ' || statement)
  FROM (VALUES ('hostile_mallory', 'SELECT * FROM playevent.verify(''m.royal_event'')'),
               ('hostile_mallory', 'SELECT playevent.rebuild(''m.royal_event'')'),
               ('hostile_mallory', 'SELECT playevent.top(''m.royal_event'', ''2000-01-01'', ''2100-01-01'')'),
               ('superuser', 'INSERT INTO m.royal_event (track_entry_key, bucket) VALUES (''k1'', ''most'')'),
               ('superuser', 'SELECT * FROM playevent.verify(''m.royal_event'')'),
               ('superuser', 'SELECT playevent.rebuild(''m.royal_event'')'),
               ('superuser', 'SELECT playevent.compact(''m.royal_event'')'),
               ('superuser', 'SELECT playevent.attach_log(''m.royal_event'', track => ''o.track'')')) s(role, statement);
SELECT hostile.unseen('a slot table of hers in place of his runs nothing as him');

-- A table of hers that says it is one of his log's slot tables, or another's
SELECT hostile.mallory($$
    CREATE TABLE m.royal_more_slot (day date, royals bigint NOT NULL) WITH (vacuum_truncate = false);
    CREATE INDEX ON m.royal_more_slot (day);
    CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.royal_more_slot FOR EACH STATEMENT
        EXECUTE FUNCTION playevent.slot_guard('royal_event', 'count', 'royals', 'day');
    CREATE TRIGGER guard_row BEFORE INSERT OR UPDATE OR DELETE ON m.royal_more_slot FOR EACH ROW
        EXECUTE FUNCTION playevent.slot_guard('royal_event', 'count', 'royals', 'day');
    CREATE TABLE m.play_more_slot (day date, plays bigint NOT NULL) WITH (vacuum_truncate = false);
    CREATE INDEX ON m.play_more_slot (day);
    CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.play_more_slot FOR EACH STATEMENT
        EXECUTE FUNCTION playevent.slot_guard('o.play_event', 'count', 'plays', 'day');
    CREATE TRIGGER guard_row BEFORE INSERT OR UPDATE OR DELETE ON m.play_more_slot FOR EACH ROW
        EXECUTE FUNCTION playevent.slot_guard('o.play_event', 'count', 'plays', 'day');
$$);
SELECT hostile.survives('superuser', format('SELECT playevent.attach_log(%L, track => ''o.track'')', log), 'a superuser attaches ' || log)
  FROM (VALUES ('o.play_event'), ('m.royal_event')) l(log);
SELECT is_empty($$SELECT k FROM playevent.counter k WHERE k.counter_slot IN ('m.royal_more_slot'::regclass, 'm.play_more_slot')$$,
    'P8: no table of hers becomes a counter of others'' logs by saying so');
SELECT hostile.works('superuser', $$DROP TABLE m.royal_event, m.royal_counter_slot, m.royal_daily_slot CASCADE; DROP TYPE m.royal_bucket CASCADE$$,
    'that log is gone');

--
-- All that there is, by all who may
--

SELECT hostile.mallory(format('DROP TABLE m.%1$s%2$s, m.%1$s%2$s_slot CASCADE', kind, n))
  FROM (VALUES ('pred'), ('expr')) k(kind), generate_series(1, 20) n;
SELECT hostile.mallory('DROP TABLE m.folded, m.folded_slot CASCADE');
-- names that are to be quoted
SELECT hostile.mallory($$
    CREATE TABLE m."ev""il'; SELECT m.tell('inje'); --_event" ("k""') , m.tell('inje') --" text NOT NULL, "r.'; --" bigint, "b$f$" text NOT NULL, day date NOT NULL);
    SELECT playevent.attach_log($q$m."ev""il'; SELECT m.tell('inje'); --_event"$q$, 'm.track', key_column => $q$k"') , m.tell('inje') --$q$,
        release_column => $q$r.'; --$q$, kind_column => 'b$f$', kinds => ARRAY[$q$m.tell('inje')"$q$, $q$'; SELECT m.tell('inje') --$q$, '$f$', '%s%I']);
    SELECT playevent.add_counter($q$m."ev""il'; SELECT m.tell('inje'); --_event"$q$, $q$"; SELECT m.tell('inje') --$q$, ARRAY[$q$k"') , m.tell('inje') --$q$, 'day']);
    INSERT INTO m."ev""il'; SELECT m.tell('inje'); --_event" VALUES ('k1', NULL, $q$'; SELECT m.tell('inje') --$q$, '2020-01-01');
$$);
SELECT hostile.works('superuser', format($$
    SELECT * FROM playevent.verify(%1$L); SELECT playevent.rebuild(%1$L); SELECT playevent.compact(%1$L);
    SELECT playevent.top(%1$L, '2000-01-01', '2100-01-01');
    SELECT playevent.series(%1$L, '2000-01-01', '2100-01-01', track_entry_key => '''; SELECT m.tell(''inje'') --');
    SELECT playevent.drop_counter(%1$L, '"; SELECT m.tell(''inje'') --')$$, $$m."ev""il'; SELECT m.tell('inje'); --_event"$$),
    'names are quoted, whatever is in them');
SELECT hostile.unseen('and not run');

SELECT hostile.works('superuser', 'SELECT * FROM playevent.log', 'a superuser lists the logs');
SELECT hostile.works('superuser', 'SELECT * FROM playevent.counter', 'and the counters');
SELECT hostile.works('hostile_web', 'SELECT * FROM playevent.log; SELECT * FROM playevent.counter', 'the web role does, too');
SELECT hostile.mallory('DROP TABLE m.forced_event, m.forced_counter_slot, m.forced_daily_slot CASCADE');
SELECT hostile.works('superuser', $$SELECT l.event, v.* FROM playevent.log l, playevent.verify(l.event) v WHERE l.intact$$,
    'a superuser monitors all logs that are intact');
-- Her logs may fail as she likes.
SELECT hostile.survives('superuser', format('SELECT * FROM playevent.%s(%s::regclass)', f, event::oid), format('a superuser: %s of %s', f, event))
  FROM playevent.log, (VALUES ('verify'), ('rebuild'), ('compact')) f(f);
SELECT hostile.unseen('and runs nothing of hers');

SELECT is(hostile.contents('o.track', 'o.payroll', 'o.play_event', 'o.play_counter', 'o.play_daily', 'o.further', 'o.play_counter_slot', 'o.play_daily_slot'),
    :'before_contents', 'P8: nothing of others has changed');
SELECT is((SELECT string_agg(c::text, ' ' ORDER BY c::text) FROM playevent.counter c WHERE c.event = 'o.play_event'::regclass),
    :'before_counters', 'P8: their log has the counters it had');
SELECT is((SELECT l::text FROM playevent.log l WHERE l.event = 'o.play_event'::regclass), :'before_log', 'P8: and is as it was');
SELECT hostile.works('hostile_web', $$SELECT o.record_play('k1', 'most')$$, 'the web role records in it');
SELECT is_empty($$SELECT * FROM playevent.verify('o.play_event')$$, 'P8: and it is exact');

--
-- Domains: a check or a default of hers is not copied to where the owner inserts
--

SELECT hostile.mallory($_$
    CREATE DOMAIN m.release AS bigint DEFAULT m.same('dflt', NULL)::bigint CHECK (m.yes('doma') OR VALUE > 0);
    CREATE DOMAIN m.nested AS m.release CHECK (m.yes('nest'));
    CREATE DOMAIN m.number AS int CHECK (m.yes('keyd'));
    CREATE DOMAIN m.word AS varchar(20) CHECK (m.yes('word'));
    CREATE TABLE m.domain_track (entry_key m.word PRIMARY KEY, release_id m.release);
    CREATE TABLE m.nested_track (entry_key m.word PRIMARY KEY, release_id m.nested);
    CREATE TABLE m.number_track (entry_key m.number PRIMARY KEY, release_id m.release);
    INSERT INTO m.domain_track VALUES ('k1', 1);
    INSERT INTO m.nested_track VALUES ('k1', 1);
    INSERT INTO m.number_track VALUES (1, 1);
    CREATE TABLE m.domain_release (id m.release PRIMARY KEY);
    INSERT INTO m.domain_release VALUES (1);
    GRANT SELECT ON m.domain_track, m.nested_track, m.number_track, m.domain_release TO PUBLIC;
$_$);
SELECT hostile.works('hostile_owner', format($$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('%1$s_play', track => 'm.%1$s_track', ingest_role => 'hostile_web', reader_role => 'hostile_web')$$, kind),
    'a log is made of a track table with domains: ' || kind)
  FROM (VALUES ('domain'), ('nested'), ('number')) k(kind);
SELECT hostile.works('hostile_owner', $$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('domain_share', track => 'm.domain_track', release => 'm.domain_release', ingest_role => 'hostile_web')$$,
    'and one of a release table with them');
SELECT is_empty($$SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
                   WHERE c.relnamespace = 'o'::regnamespace AND t.typtype = 'd'$$, 'P8: no column of the log has such a domain');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_type t ON t.oid = ANY (p.proargtypes)
                    LEFT JOIN pg_type e ON e.oid = t.typelem WHERE p.pronamespace = 'o'::regnamespace AND 'd' IN (t.typtype, e.typtype)$$,
    'P8: no function takes one');
SELECT hostile.works(role, statement, role || ': ' || statement)
  FROM (VALUES ('hostile_web'), ('superuser')) r(role),
       (VALUES ('INSERT INTO o.domain_play_event (track_entry_key, bucket) VALUES (''k1'', ''most'')'),
               ('INSERT INTO o.nested_play_event (track_entry_key, bucket) VALUES (''k1'', ''most'')'),
               ('INSERT INTO o.number_play_event (track_entry_key, bucket) VALUES (1, ''most'')'),
               ('SELECT o.record_domain_play(''k1'', ''most'')'),
               ('SELECT o.record_nested_play(''k1'', ''most'')'),
               ('SELECT o.record_number_play(1, ''most'')'),
               ('SELECT * FROM o.record_domain_plays(''{k1,k1}'', ''{most,most}'')'),
               ('SELECT * FROM o.record_nested_plays(''{k1,k1}'', ''{most,most}'')'),
               ('SELECT * FROM o.record_number_plays(''{1,1}'', ''{most,most}'')'),
               ('SELECT o.record_domain_share(''k1'', ''most'')'),
               ('SELECT o.record_domain_share(NULL, ''most'', release_id => 1)'),
               ('SELECT * FROM o.record_domain_shares(''{k1,NULL}'', ''{most,most}'', release_ids => ''{NULL,1}'')')) s(statement);
SELECT is(hostile.contents('o.domain_play_counter', 'o.nested_play_counter', 'o.number_play_counter', 'o.domain_share_counter'),
    E'o.domain_play_counter: (k1,1,most,8)\no.nested_play_counter: (k1,1,most,8)\no.number_play_counter: (1,1,most,8)\n'
    'o.domain_share_counter: (,1,most,4) (k1,1,most,4)\n', 'P8: these logs count');
SELECT hostile.works('hostile_web', format('SELECT * FROM playevent.series(''o.%s_play_event'', ''2000-01-01'', ''2100-01-01'', %s => ''1'')', kind, by),
    'the web role sees a series of ' || kind || ' by ' || by)
  FROM (VALUES ('domain'), ('nested'), ('number')) k(kind), (VALUES ('track_entry_key'), ('release_id')) b(by);
SELECT hostile.unseen('no domain''s check or default runs as who records');

--
-- After the extension was dropped, logs come back with all their counters,
-- whoever's triggers name them meanwhile
--

DROP EXTENSION playevent CASCADE;
INSERT INTO o.play_event (track_entry_key, bucket) VALUES ('k2', 'partial');
CREATE EXTENSION playevent;
SELECT hostile.mallory($$
    DROP TABLE m.squat, squat;
    SELECT m.claim('m.squat'), m.claim('pg_temp.squat')$$);
SELECT hostile.works('hostile_owner', $$SELECT playevent.attach_log('o.play_event', track => 'o.track', ingest_role => 'hostile_web')$$,
    'attach_log works, though others'' triggers name its slot tables');
SELECT hostile.works('hostile_web', $$INSERT INTO o.play_event (track_entry_key, bucket) VALUES ('k1', 'most')$$, 'and so does the log');
SELECT results_eq($$SELECT counter::text COLLATE "default", event::text COLLATE "default", counter_slot::text COLLATE "default" FROM playevent.counter
                     WHERE event::text ~ 'squat' OR event = 'o.play_event'::regclass ORDER BY 2, 1$$,
    $$VALUES ('further', 'o.play_event', 'o.further_slot'), ('play_counter', 'o.play_event', 'o.play_counter_slot'),
             ('play_daily', 'o.play_event', 'o.play_daily_slot')$$, 'P8: with all its counters');
SELECT is((SELECT l.intact FROM playevent.log l WHERE l.event = 'o.play_event'::regclass), true, 'P8: it is intact');
SELECT is(format('%s, %s, %s', (SELECT sum(plays) FROM o.play_counter), (SELECT sum(plays) FROM o.play_daily), (SELECT sum(plays) FROM o.further)),
    '5, 5, 5', 'P8: all counters count again');
SELECT is_empty($$SELECT * FROM playevent.verify('o.play_event')$$, 'P8: exactly');
SELECT hostile.unseen('and nothing of hers has run');

SELECT * FROM finish();
ROLLBACK;
