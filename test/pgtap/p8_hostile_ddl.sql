-- P8: DDL that wakes playevent's event triggers runs nobody else's code and takes
-- nobody else's rights: neither others' DDL on her tables, nor hers, nor theirs on
-- their own while her tables claim what they have.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
\ir include/hostile.sql
SELECT format('GRANT CREATE ON DATABASE %I TO hostile_owner, hostile_mallory', current_database()) \gexec

SELECT hostile.prepare('hostile_owner', $$
    SET LOCAL search_path = o;
    SELECT playevent.create_log('play', track => 'o.track', ingest_role => 'hostile_web', reader_role => 'hostile_web');
    INSERT INTO o.play_event (track_entry_key, bucket) VALUES ('k1', 'most');
    CREATE TABLE o.listens (k text NOT NULL, r bigint, b text NOT NULL, day date NOT NULL) PARTITION BY LIST (b);
    CREATE TABLE o.listens_a PARTITION OF o.listens FOR VALUES IN ('a');
    SELECT playevent.attach_log('o.listens', 'o.track', key_column => 'k', release_column => 'r', kind_column => 'b');
    SELECT playevent.add_counter('o.listens', 'listens_daily', '{k,day}');
    INSERT INTO o.listens VALUES ('k1', NULL, 'a', '2020-01-01');
    GRANT SELECT, INSERT ON o.listens TO hostile_web;
    GRANT SELECT ON o.listens_counter_slot, o.listens_daily_slot TO hostile_web$$);

--
-- Their own tables, named by hers
--

SELECT hostile.mallory($_$
    CREATE TABLE m.squat (k text NOT NULL, r bigint, b text NOT NULL, day date) PARTITION BY LIST (b);
    CREATE TRIGGER playevent_count AFTER INSERT ON m.squat FOR EACH ROW EXECUTE FUNCTION playevent.count('o.listens_counter_slot', 'listens', 'k', 'r', 'b');
    CREATE TRIGGER daily AFTER INSERT ON m.squat FOR EACH ROW EXECUTE FUNCTION playevent.count('o.listens_daily_slot', 'listens', 'k', 'day');
    CREATE TRIGGER playevent_flush AFTER INSERT ON m.squat FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush();
    CREATE TRIGGER playevent_append_only BEFORE UPDATE OR DELETE ON m.squat FOR EACH ROW EXECUTE FUNCTION playevent.append_only();
    CREATE TRIGGER playevent_append_only_truncate BEFORE TRUNCATE ON m.squat FOR EACH STATEMENT EXECUTE FUNCTION playevent.append_only();
    CREATE TABLE m.guarded (k text, r bigint, b text, listens bigint NOT NULL);
    CREATE INDEX ON m.guarded (k) WHERE m.yes('guar');
    CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.guarded FOR EACH STATEMENT
        EXECUTE FUNCTION playevent.slot_guard('o.listens', 'count', 'listens', 'k', 'r', 'b');
    CREATE TRIGGER guard_row BEFORE INSERT OR UPDATE OR DELETE ON m.guarded FOR EACH ROW
        EXECUTE FUNCTION playevent.slot_guard('o.listens', 'count', 'listens', 'k', 'r', 'b');
    CREATE TABLE m.squat_x (k text NOT NULL, r bigint, b text NOT NULL, day date);
    INSERT INTO m.squat_x VALUES ('forged', 1, 'x', '2020-01-01');
    CREATE TABLE m.squat_y (LIKE m.squat_x);
    INSERT INTO m.squat_y VALUES ('forged', 1, 'y', '2020-01-01');
$_$);
SELECT hostile.works('hostile_owner', statement, 'the owner: ' || statement)
  FROM (VALUES ('CREATE TABLE o.listens_b PARTITION OF o.listens FOR VALUES IN (''b'')'),
               ('CREATE TABLE o.listens_c (k text NOT NULL, r bigint, b text NOT NULL, day date NOT NULL)'),
               ('INSERT INTO o.listens_c VALUES (''k2'', 2, ''c'', ''2020-01-02'')'),
               ('ALTER TABLE o.listens ATTACH PARTITION o.listens_c FOR VALUES IN (''c'')'),
               ('CREATE SCHEMA o2 CREATE TABLE listens_d PARTITION OF o.listens FOR VALUES IN (''d'')'),
               ('CREATE TABLE o.listens_e PARTITION OF o.listens FOR VALUES IN (''e'') PARTITION BY LIST (k)'),
               ('CREATE TABLE o.listens_e_1 PARTITION OF o.listens_e FOR VALUES IN (''k1'')'),
               ('ALTER TABLE o.listens DETACH PARTITION o.listens_b'),
               ('TRUNCATE o.listens_b'),
               ('ALTER TABLE o.listens DISABLE TRIGGER ALL'),
               ('ALTER TABLE o.listens ENABLE TRIGGER ALL'),
               ('ALTER TABLE o.listens_counter_slot ENABLE ALWAYS TRIGGER playevent_slot_guard'),
               ('CREATE FUNCTION o.mine() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NEW; END'''),
               ('CREATE TRIGGER mine AFTER INSERT ON o.listens FOR EACH ROW EXECUTE FUNCTION o.mine()'),
               ('INSERT INTO o.listens VALUES (''k1'', NULL, ''d'', ''2020-01-01''), (''k1'', NULL, ''e'', ''2020-01-01'')')) s(statement);
SELECT hostile.fails('hostile_owner', 'TRUNCATE ' || part, '23001', part || ' cannot be truncated')
  FROM unnest('{o.listens_a,o.listens_c,o2.listens_d,o.listens_e_1}'::text[]) part;
SELECT is_empty($$SELECT * FROM playevent.verify('o.listens')$$, 'P8: the log is exact');
SELECT is((SELECT intact FROM playevent.log WHERE event = 'o.listens'::regclass), true, 'P8: and intact');
-- A temporary table must not be taken for the partition of its name.
SELECT hostile.works('hostile_owner', $$
    CREATE TEMPORARY TABLE listens_f (k text);
    CREATE TEMPORARY TABLE listens_g (k text);
    SET LOCAL search_path = o;
    CREATE TABLE listens_f PARTITION OF listens FOR VALUES IN ('f');
    CREATE TABLE o.listens_g PARTITION OF listens FOR VALUES IN ('g')$$, 'partitions are made beside temporary tables of their names');
SELECT hostile.fails('hostile_owner', 'TRUNCATE ' || part, '23001', part || ' cannot be truncated')
  FROM unnest('{o.listens_f,o.listens_g}'::text[]) part;
SELECT hostile.unseen('nothing of hers has run');

--
-- Her tables, altered by her and by a superuser, forge nothing
--

SELECT hostile.contents('o.listens', 'o.listens_counter_slot', 'o.listens_daily_slot', 'o.play_event', 'o.play_counter_slot', 'o.play_daily_slot', 'o.payroll', 'o.track') AS contents,
       (SELECT string_agg(c::text, ' ' ORDER BY c::text) FROM playevent.counter c WHERE c.event::text ~ '^o\.') AS counters,
       (SELECT string_agg(l::text, ' ' ORDER BY l::text) FROM playevent.log l WHERE l.event::text ~ '^o\.') AS logs \gset before_
SELECT hostile.survives(role, statement, role || ': ' || statement)
  FROM (VALUES ('hostile_mallory', 'ALTER TABLE m.squat ATTACH PARTITION m.squat_x FOR VALUES IN (''x'')'),
               ('superuser', 'ALTER TABLE m.squat ATTACH PARTITION m.squat_y FOR VALUES IN (''y'')'),
               ('superuser', 'CREATE TABLE m.squat_z PARTITION OF m.squat FOR VALUES IN (''z'')'),
               ('hostile_mallory', 'INSERT INTO m.squat VALUES (''forged'', 1, ''x'', ''2020-01-01'')'),
               ('superuser', 'INSERT INTO m.squat VALUES (''forged'', 1, ''y'', ''2020-01-01'')'),
               ('superuser', 'INSERT INTO m.squat VALUES (''forged'', 1, ''z'', ''2020-01-01'')'),
               ('superuser', 'SELECT playevent.rebuild(''m.squat'')'),
               ('superuser', 'ALTER TABLE m.squat ENABLE TRIGGER ALL'),
               ('superuser', 'ALTER TABLE m.guarded ENABLE TRIGGER ALL'),
               ('superuser', 'ALTER TABLE m.squat DETACH PARTITION m.squat_x'),
               -- then it is his table whose trigger claims his slots
               ('superuser', 'ALTER TABLE m.squat OWNER TO hostile_owner; ALTER TABLE m.squat_y OWNER TO hostile_owner; ALTER TABLE m.squat_z OWNER TO hostile_owner'),
               ('superuser', 'GRANT INSERT ON m.squat, m.squat_z TO hostile_mallory'),
               ('hostile_mallory', 'INSERT INTO m.squat VALUES (''forged'', 1, ''z'', ''2020-01-01'')'),
               ('hostile_mallory', 'INSERT INTO m.squat_z VALUES (''forged'', 1, ''z'', ''2020-01-01'')'),
               ('superuser', 'INSERT INTO m.squat VALUES (''forged'', 1, ''z'', ''2020-01-01'')'),
               ('superuser', 'SELECT playevent.rebuild(''m.squat'')'),
               ('hostile_owner', 'SELECT playevent.rebuild(''m.squat'')')) s(role, statement);
SELECT is(hostile.contents('o.listens', 'o.listens_counter_slot', 'o.listens_daily_slot', 'o.play_event', 'o.play_counter_slot', 'o.play_daily_slot', 'o.payroll', 'o.track'),
    :'before_contents', 'P8: nothing was forged');
SELECT is((SELECT string_agg(c::text, ' ' ORDER BY c::text) FROM playevent.counter c WHERE c.event::text ~ '^o\.'),
    :'before_counters', 'P8: others'' logs have the counters they had');
SELECT is((SELECT string_agg(l::text, ' ' ORDER BY l::text) FROM playevent.log l WHERE l.event::text ~ '^o\.'),
    :'before_logs', 'P8: and are as they were');
SELECT is_empty($$SELECT * FROM playevent.verify('o.listens')$$, 'P8: and exact');
SELECT hostile.unseen('no index of a table that says to be somebody''s slots was run');

-- In CREATE SCHEMA, triggers are made as everywhere.
GRANT ALL ON o.payroll, o.play_event TO hostile_mallory;
SELECT hostile.attempt('hostile_mallory', statement) AS result
  FROM (VALUES ('CREATE SCHEMA m2 CREATE TRIGGER peek AFTER INSERT ON o.payroll FOR EACH ROW EXECUTE FUNCTION playevent.count(''o.play_counter_slot'', ''plays'', ''name'', ''salary'', ''name'')'),
               ('CREATE SCHEMA AUTHORIZATION hostile_mallory CREATE TRIGGER peek AFTER INSERT ON o.payroll FOR EACH ROW EXECUTE FUNCTION playevent.count(''o.play_counter_slot'', ''plays'', ''name'', ''salary'', ''name'')'),
               ('CREATE TRIGGER peek AFTER INSERT ON o.payroll FOR EACH ROW EXECUTE FUNCTION playevent.count(''o.play_counter_slot'', ''plays'', ''name'', ''salary'', ''name'')'),
               ('CREATE TRIGGER guard BEFORE INSERT ON o.payroll FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(''m.squat'', ''count'', ''salary'', ''name'')'),
               ('CREATE TRIGGER guard BEFORE INSERT ON o.play_event FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(''m.squat'', ''count'', ''salary'', ''name'')')) s(statement) \g /dev/null
SELECT is_empty($$SELECT tgname FROM pg_trigger WHERE tgrelid = 'o.payroll'::regclass$$, 'P8: nobody else puts playevent''s triggers on a table');
SELECT is_empty($$SELECT tgname FROM pg_trigger WHERE tgrelid = 'o.play_event'::regclass AND tgname = 'guard'$$, 'P8: nor on a log');
DROP TRIGGER IF EXISTS guard ON o.payroll;
DROP TRIGGER IF EXISTS guard ON o.play_event;
REVOKE ALL ON o.payroll, o.play_event FROM hostile_mallory;

--
-- Her logs: what a superuser's DDL makes playevent do with one runs as her
--

-- Evaluated when queries on the log and its slots are planned
SELECT hostile.mallory(format($$
    SELECT m.make_log('log%1$s', 'a (k)');
    CREATE INDEX ON m.log%1$s_y (r) WHERE m.yes('pred');
    CREATE INDEX ON m.log%1$s_y ((m.same('expr', 'a') || k));
    CREATE STATISTICS m.log%1$s_stat ON (m.same('stat', 'a') || k), (m.same('stat', 'b') || k) FROM m.log%1$s_slot;
    CREATE STATISTICS m.log%1$s_y_stat ON (m.same('stat', 'a') || k), (m.same('stat', 'b') || k) FROM m.log%1$s_y;
    ALTER TABLE m.log%1$s_y ADD CHECK (m.yes('chec') OR k IS NULL);
    CREATE TABLE m."log%1$s'; SELECT m.tell('inje'); --" (LIKE m.log%1$s_x);
    CREATE TABLE m.trap%1$s (k text, r bigint, b text);
    CREATE TABLE m.other%1$s (k text, r bigint, b text);$$, n)) FROM generate_series(1, 12) n;
SELECT hostile.survives(role, replace(replace(statement, '$m', 'm.'), '$n', n::text), role || ': ' || replace(statement, '$n', n::text))
  FROM (VALUES (1, 'superuser', 'ALTER TABLE $mlog$n ATTACH PARTITION $mlog$n_x FOR VALUES IN (''x'')'),
               (2, 'superuser', 'CREATE TABLE $mlog$n_z PARTITION OF $mlog$n FOR VALUES IN (''z'')'),
               (3, 'superuser', 'ALTER TABLE $mlog$n DETACH PARTITION $mlog$n_y'),
               (4, 'superuser', 'ALTER TABLE $mlog$n ENABLE TRIGGER ALL; ALTER TABLE $mlog$n_y ENABLE TRIGGER ALL; ALTER TABLE $mlog$n_slot ENABLE TRIGGER ALL'),
               (5, 'superuser', 'ALTER TABLE $mlog$n DISABLE TRIGGER ALL; ALTER TABLE $mlog$n ENABLE ALWAYS TRIGGER playevent_count; ALTER TABLE $mlog$n ENABLE TRIGGER USER'),
               (6, 'superuser', 'CREATE TRIGGER more AFTER INSERT ON $mlog$n FOR EACH ROW EXECUTE FUNCTION playevent.count(''log$n_slot'', ''plays'', ''k'', ''r'', ''b'')'),
               (7, 'superuser', 'CREATE SCHEMA m7 CREATE TABLE part PARTITION OF $mlog$n FOR VALUES IN (''s'')'),
               (8, 'superuser', 'ALTER TABLE $mlog$n ATTACH PARTITION $m"log$n''; SELECT m.tell(''inje''); --" FOR VALUES IN (''q'')'),
               (9, 'superuser', 'ALTER TABLE $mtrap$n INHERIT $mother$n; ALTER TABLE $mtrap$n NO INHERIT $mother$n'),
               (10, 'superuser', 'ALTER TABLE $mlog$n_slot DISABLE TRIGGER ALL; ALTER TABLE $mlog$n_slot ENABLE ALWAYS TRIGGER playevent_slot_guard; ALTER TABLE $mlog$n_slot ENABLE ALWAYS TRIGGER playevent_slot_guard_row'),
               (11, 'superuser', 'CREATE TRIGGER playevent_append_only BEFORE UPDATE OR DELETE ON $mlog$n FOR EACH ROW EXECUTE FUNCTION playevent.append_only()'),
               (12, 'superuser', 'ALTER TABLE $mlog$n RENAME TO renamed; ALTER TABLE $mlog$n_slot SET SCHEMA o')) s(n, role, statement) ORDER BY n;
SELECT hostile.unseen('nothing of hers runs as who alters her tables, nor goes on afterwards');
SELECT hostile.survives('superuser', format('SELECT * FROM playevent.%s(%L)', f, 'm.log' || n), format('a superuser: %s of log%s', f, n))
  FROM generate_series(1, 11) n, (VALUES ('verify'), ('rebuild'), ('compact')) f(f);
SELECT hostile.unseen('nor as who maintains them then');

--
-- Partitions of hers in others' logs, as a superuser may make them: read by all who
-- read the log, so its owner trusts her; but nobody else need
--

SELECT hostile.prepare('superuser', $$
    CREATE TABLE m.part_h PARTITION OF o.listens FOR VALUES IN ('h');
    ALTER TABLE m.part_h OWNER TO hostile_mallory;
    CREATE TABLE m.part_i PARTITION OF o.listens FOR VALUES IN ('i') PARTITION BY LIST (k);
    ALTER TABLE m.part_i OWNER TO hostile_mallory$$);
SELECT hostile.mallory($$
    CREATE INDEX ON m.part_h (r) WHERE m.yes('pred');
    CREATE INDEX ON m.part_h ((m.same('expr', 'a') || k));
    CREATE STATISTICS m.part_stat ON (m.same('stat', 'a') || k), (m.same('stat', 'b') || k) FROM m.part_h;
    ALTER TABLE m.part_h ADD CHECK (m.yes('chec') OR k IS NULL);
    CREATE POLICY hostile ON m.part_h USING (m.tell('poli'));
    ALTER TABLE m.part_h ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE TABLE m.part_i1 (k text NOT NULL, r bigint, b text NOT NULL, day date NOT NULL);
    INSERT INTO m.part_i1 VALUES ('k1', 1, 'i', '2020-01-01');
    CREATE INDEX ON m.part_i1 (r) WHERE m.yes('pred');
    CREATE TABLE m.part_j (k text NOT NULL, r bigint, b text NOT NULL, day date NOT NULL);
    INSERT INTO m.part_j VALUES ('k1', 1, 'j', '2020-01-01');
    CREATE STATISTICS m.part_j_stat ON (m.same('stat', 'a') || k), (m.same('stat', 'b') || k) FROM m.part_j;
    -- what is in the place of the guard against TRUNCATE
    CREATE TABLE m.part_l (LIKE m.part_j);
    CREATE FUNCTION m.ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM m.tell(''trun''); RETURN NULL; END';
    CREATE TRIGGER playevent_append_only_truncate BEFORE TRUNCATE ON m.part_l FOR EACH STATEMENT EXECUTE FUNCTION m.ignore();
$$);
SELECT hostile.fails('hostile_mallory', 'ALTER TABLE m.part_i ATTACH PARTITION m.part_i1 FOR VALUES IN (''k1'')', '42501',
    'table "part_i1" has rows and cannot become a part of table "listens"');
SELECT hostile.survives(role, statement, role || ': ' || statement)
  FROM (VALUES ('superuser', 'ALTER TABLE o.listens ATTACH PARTITION m.part_j FOR VALUES IN (''j'')'),
               ('superuser', 'ALTER TABLE o.listens ATTACH PARTITION m.part_l FOR VALUES IN (''l'')'),
               ('hostile_mallory', 'CREATE TABLE m.part_i2 PARTITION OF m.part_i FOR VALUES IN (''k2'')'),
               ('superuser', 'SELECT * FROM playevent.verify(''o.listens'')'),
               ('superuser', 'SET LOCAL constraint_exclusion = on; SELECT * FROM playevent.verify(''o.listens'')'),
               ('hostile_web', 'SELECT * FROM playevent.verify(''o.listens'')'),
               ('superuser', 'SELECT playevent.rebuild(''o.listens'')'),
               ('superuser', 'SELECT playevent.compact(''o.listens'')'),
               ('superuser', 'SELECT playevent.add_counter(''o.listens'', ''listens_by_key'', ''{k}'')'),
               ('superuser', 'SELECT playevent.top(''o.listens'', ''2000-01-01'', ''2100-01-01'')'),
               ('superuser', 'ALTER TABLE o.listens ENABLE TRIGGER ALL'),
               ('superuser', 'CREATE TABLE o.listens_k PARTITION OF o.listens FOR VALUES IN (''k'')')) s(role, statement);
SELECT is_empty($$SELECT s FROM hostile.seen() s WHERE s NOT LIKE 'as hostile\_owner:%'$$, 'P8: partitions of hers run nothing as anyone but the log''s owner');
SELECT pg_advisory_unlock_all();
SELECT hostile.fails('hostile_mallory', 'TRUNCATE ' || part, '23001', part || ' cannot be truncated')
  FROM unnest('{m.part_h,m.part_j}'::text[]) part;
SELECT hostile.unseen('and no trigger of hers stands in for the guard');
SELECT is_empty($$SELECT * FROM playevent.verify('o.listens')$$, 'P8: the log is exact, with the rows that her partitions brought');
SELECT pg_advisory_unlock_all();
-- She has the right to read the log, and partitions in it: not to have what others have.
SELECT hostile.fails('hostile_mallory', format('SELECT playevent.%s(''o.listens'')', f), '42501', 'she has no right to ' || f)
  FROM unnest('{rebuild,compact,check_log}'::text[]) f;
SELECT hostile.works('superuser', format('ALTER TABLE o.listens DETACH PARTITION %s', part), 'a superuser detaches ' || part)
  FROM unnest('{m.part_h,m.part_i}'::text[]) part;
SELECT hostile.fails('superuser', statement, '55000', 'partition "part_j" of log "listens" has rows that are counted', 'P11 of her partition: ' || statement)
  FROM unnest(ARRAY['ALTER TABLE o.listens DETACH PARTITION m.part_j', 'DROP TABLE m.part_j', 'DROP OWNED BY hostile_mallory CASCADE']) statement;
SELECT hostile.fails('hostile_mallory', statement, '55000', 'partition "part_j" of log "listens" has rows that are counted', 'P11, by her: ' || statement)
  FROM unnest(ARRAY['DROP TABLE m.part_j', 'DROP SCHEMA m CASCADE']) statement;
SELECT is_empty($$SELECT * FROM playevent.verify('o.listens')$$, 'P8: she does not take away what the log has counted');
SELECT is_empty($$SELECT s FROM hostile.seen() s WHERE s NOT LIKE 'as hostile\_owner:%'$$, 'P8: nor does that run anything as anyone else');
SELECT pg_advisory_unlock_all(), set_config('hostile.left', '', false);

-- The reverse: their partition under her table
SELECT hostile.prepare('hostile_owner', $$
    CREATE TABLE o.leaf (k text, r bigint, b text);
    INSERT INTO o.leaf VALUES ('k1', 1, 'l');
    CREATE TABLE o.bough (k text, r bigint, b text)$$);
SELECT hostile.mallory($$
    SELECT m.make_log('tree', 'a (k)');
    CREATE INDEX ON m.tree_y (r) WHERE m.yes('pred');
    CREATE STATISTICS m.tree_stat ON (m.same('stat', 'a') || k), (m.same('stat', 'b') || k) FROM m.tree_slot$$);
SELECT hostile.survives(role, statement, role || ': ' || statement)
  FROM (VALUES ('superuser', 'ALTER TABLE m.tree ATTACH PARTITION o.leaf FOR VALUES IN (''l'')'),
               ('superuser', 'ALTER TABLE m.tree ATTACH PARTITION o.bough FOR VALUES IN (''b'')'),
               ('hostile_owner', 'INSERT INTO o.leaf VALUES (''k1'', 1, ''l'')'),
               ('superuser', 'SELECT * FROM playevent.verify(''m.tree'')'),
               ('superuser', 'SELECT playevent.rebuild(''m.tree'')')) s(role, statement);
SELECT hostile.unseen('her log with their partition runs nothing as them');
-- Postgres itself refuses: from 17 on for its identity column, before for its other columns.
SELECT matches(hostile.attempt('superuser', 'ALTER TABLE m.tree ATTACH PARTITION o.play_event FOR VALUES IN (''p'')'),
    CASE WHEN current_setting('server_version_num')::int < 170000 THEN '^42804 ' ELSE '^55000 .* identity column ' END, 'P8: a log is no part of her table');
SELECT hostile.fails('hostile_mallory', 'ALTER TABLE m.tree DETACH PARTITION o.leaf', '55000', 'partition "leaf" of log "tree" has rows that are counted',
    'she may not take it out of her log while that is one');
SELECT hostile.works('hostile_mallory', 'DROP TRIGGER playevent_count ON m.tree', 'her counter goes');
SELECT hostile.works('hostile_mallory', 'ALTER TABLE m.tree DETACH PARTITION o.leaf', 'she may take her table away from it then');
SELECT hostile.works('hostile_owner', 'INSERT INTO o.leaf VALUES (''k1'', 1, ''l'')', 'and its owner has it back');

--
-- Children of a slot table
--

SELECT hostile.attempt('superuser', $$
    CREATE TABLE m.kid () INHERITS (o.play_daily_slot);
    ALTER TABLE m.kid OWNER TO hostile_mallory$$) AS may_inherit \gset
SELECT hostile.attempt('hostile_mallory', $$
    INSERT INTO m.kid VALUES ('forged', 1, '2020-01-01', 1000);
    CREATE INDEX ON m.kid (track_entry_key) WHERE m.yes('pred');
    CREATE STATISTICS m.kid_stat ON (m.same('stat', 'a') || track_entry_key), (m.same('stat', 'b') || track_entry_key) FROM m.kid$$) AS done \gset
SELECT hostile.survives(role, statement, role || ': ' || statement)
  FROM (VALUES ('superuser'), ('hostile_web')) r(role),
       (VALUES ('SELECT playevent.top(''o.play_event'', ''2000-01-01'', ''2100-01-01'')'),
               ('SELECT playevent.series(''o.play_event'', ''2000-01-01'', ''2100-01-01'')'),
               ('SELECT playevent.verify(''o.play_event'')')) s(statement);
SELECT is_empty($$SELECT * FROM playevent.top('o.play_event', '2000-01-01', '2100-01-01') WHERE key = 'forged'$$, 'P8: a chart has no rows of hers');
SELECT is_empty($$SELECT * FROM playevent.series('o.play_event', '2020-01-01', '2020-01-01') WHERE plays <> 0$$, 'P8: nor a series');
SELECT hostile.unseen('a child of a slot table runs nothing');

SELECT hostile.works('hostile_web', $$SELECT o.record_play('k1', 'most')$$, 'the web role records');
SELECT is_empty($$SELECT * FROM playevent.verify('o.play_event')$$, 'P8: the log is exact');

SELECT * FROM finish();
ROLLBACK;
