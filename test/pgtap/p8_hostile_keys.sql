-- P8: nobody else's code, nobody else's rights, where event_ids are kept apart.  A
-- role that owns nothing but a schema makes hostile key tables, and claims others';
-- then a superuser, another owner and the web role insert, and call what there is.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT no_plan();
SET LOCAL client_min_messages = error;
\ir include/hostile.sql

CREATE FUNCTION hostile.e(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;

-- The owner's log
SELECT hostile.works('hostile_owner', $$
    SET LOCAL search_path = o;
    CREATE TABLE play_event (
        id bigint GENERATED ALWAYS AS IDENTITY, track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL,
        event_id uuid, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
    CREATE TABLE play_all PARTITION OF play_event DEFAULT;
    SELECT playevent.attach_log('play_event', track => 'o.track', kinds => '{most,complete}', ingest_role => 'hostile_web')$$,
    'the owner has a partitioned log');
SELECT hostile.works('hostile_web', $$INSERT INTO o.play_event (track_entry_key, bucket, event_id) VALUES ('k1', 'most', hostile.e(1))$$,
    'the web role inserts, which has no right on the key table');
SELECT hostile.works('hostile_web', $$SELECT o.record_play('k1', 'most', hostile.e(1))$$, 'and records');
SELECT hostile.refused('hostile_web', 'SELECT * FROM o.play_event_key', 'and sees no event_ids');
SELECT hostile.refused('hostile_web', $$SELECT playevent.forget_event_keys('o.play_event', 1)$$, 'nor forgets some');
SELECT hostile.refused('hostile_web', $$SELECT playevent.fill_event_keys('o.play_event', true)$$, 'nor makes them anew');
SELECT hostile.contents('o.play_event', 'o.play_event_key') AS contents \gset before_

--
-- Claims: triggers of hers name others' key tables, guards of hers others' logs
--

SELECT hostile.mallory($_$
    CREATE FUNCTION m.make_keyed(log text, keys text, argument text, VARIADIC commands text[]) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        command text;
    BEGIN
        EXECUTE format('CREATE TABLE m.%I (id bigint, event_id uuid, created_at timestamptz DEFAULT now()) PARTITION BY RANGE (created_at)', log);
        EXECUTE format('CREATE TABLE m.%I PARTITION OF m.%I DEFAULT', log || '_all', log);
        EXECUTE format('CREATE TABLE m.%I (event_id uuid PRIMARY KEY, id bigint, created_at timestamptz)', log || '_key');
        EXECUTE format('CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.%I FOR EACH STATEMENT
            EXECUTE FUNCTION playevent.slot_guard(%L, ''dedupe'', ''event_id'', ''id'', ''created_at'', ''30 days'')', log || '_key', argument);
        EXECUTE format('CREATE TRIGGER g_row BEFORE INSERT OR UPDATE OR DELETE ON m.%I FOR EACH ROW
            EXECUTE FUNCTION playevent.slot_guard(%L, ''dedupe'', ''event_id'', ''id'', ''created_at'', ''30 days'')', log || '_key', argument);
        EXECUTE format('CREATE TRIGGER playevent_dedupe BEFORE INSERT ON m.%I FOR EACH ROW
            EXECUTE FUNCTION playevent.dedupe(%L, ''event_id'', ''id'', ''created_at'', ''30 days'')', log, keys);
        EXECUTE format('ALTER TABLE m.%I ENABLE ALWAYS TRIGGER playevent_dedupe', log || '_all');
        EXECUTE format('GRANT ALL ON m.%I, m.%I, m.%I TO PUBLIC', log, log || '_all', log || '_key');
        FOREACH command IN ARRAY commands LOOP
            EXECUTE replace(command, '$key', format('m.%I', log || '_key'));
        END LOOP;
    END $$;
    SELECT m.make_keyed('fine', 'fine_key', 'fine', '');
    SELECT m.make_keyed('claim', 'o.play_event_key', 'o.play_event', '');
    SELECT m.make_keyed('payroll', 'o.payroll', 'payroll', '');
    SELECT m.make_keyed('unsaid', 'unsaid_key', 'fine', '');
    SELECT m.make_keyed('absent', 'absent_keys', 'absent', '')
$_$);
SELECT hostile.works(role, format('INSERT INTO m.fine VALUES (%s, hostile.e(%1$s))', n), role || ' can insert into such a table of hers')
  FROM (VALUES ('superuser', 1), ('hostile_owner', 2), ('hostile_mallory', 3)) r(role, n);
SELECT is((SELECT count(*) FROM m.fine_key), 3::bigint, 'P8: whose event_ids are kept');
SELECT hostile.fails(role, format('INSERT INTO m.%I VALUES (1, hostile.e(7))', log), state, message, role || ': ' || log)
  FROM (VALUES ('superuser'), ('hostile_owner'), ('hostile_web'), ('hostile_mallory')) r(role),
       (VALUES ('claim', '42501', 'must be owner of table play_event_key'),
               ('payroll', '42501', 'must be owner of table payroll'),
               ('unsaid', '55000', 'table "unsaid_key" does not say that it keeps the event_ids of table "unsaid"'),
               ('absent', '42P01', 'table "absent_keys" does not exist')) l(log, state, message);
SELECT is(hostile.contents('o.play_event', 'o.play_event_key'), :'before_contents', 'P8: nothing of the owner''s has changed');
SELECT is((SELECT l.intact FROM playevent.log l WHERE l.event = 'o.play_event'::regclass), true, 'P8: whose log is intact');
SELECT hostile.works('superuser', $$SELECT playevent.check_log('o.play_event')$$, 'and works');
SELECT hostile.refused(role, $$CREATE TRIGGER x BEFORE INSERT ON o.play_event FOR EACH ROW
    EXECUTE FUNCTION playevent.dedupe('m.fine_key', 'event_id', 'id', 'created_at', '30 days')$$, role || ' can''t put such a trigger on it')
  FROM (VALUES ('hostile_mallory'), ('hostile_web')) r(role);
SELECT hostile.prepare('hostile_owner', 'GRANT TRIGGER ON o.play_event, o.payroll TO hostile_mallory');
SELECT hostile.refused('hostile_mallory', $$CREATE TRIGGER x BEFORE INSERT ON o.payroll FOR EACH ROW
    EXECUTE FUNCTION playevent.dedupe('m.fine_key', 'event_id', 'id', 'created_at', '30 days')$$, 'nor with the right TRIGGER');

--
-- Code of hers: an index, a default, a trigger, a rule, a policy, a CHECK, a domain
--

SELECT hostile.mallory($_$
    CREATE DOMAIN m.id AS bigint CHECK (m.yes('doma'));
    CREATE FUNCTION m.tells() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM m.tell('trig'); RETURN NEW; END$$;
    SELECT m.make_keyed('pred', 'pred_key', 'pred', 'CREATE INDEX ON $key (id) WHERE m.yes(''pred'')');
    SELECT m.make_keyed('expr', 'expr_key', 'expr', 'CREATE INDEX ON $key ((CASE WHEN m.yes(''expr'') THEN id END))');
    SELECT m.make_keyed('excl', 'excl_key', 'excl', 'ALTER TABLE $key ADD EXCLUDE (id WITH =) WHERE (m.yes(''excl''))');
    SELECT m.make_keyed('chec', 'chec_key', 'chec', 'ALTER TABLE $key ADD CHECK (m.yes(''chec''))');
    SELECT m.make_keyed('doma', 'doma_key', 'doma', 'ALTER TABLE $key ALTER id TYPE m.id');
    SELECT m.make_keyed('pres', 'pres_key', 'pres', 'ALTER TABLE $key DROP CONSTRAINT pres_key_pkey', 'CREATE UNIQUE INDEX ON $key (event_id) WHERE m.yes(''pres'')');
    SELECT m.make_keyed('defa', 'defa_key', 'defa', 'ALTER TABLE $key ALTER id SET DEFAULT m.yes(''defa'')::int');
    SELECT m.make_keyed('trig', 'trig_key', 'trig', 'CREATE TRIGGER a BEFORE INSERT OR DELETE ON $key FOR EACH ROW EXECUTE FUNCTION m.tells()');
    SELECT m.make_keyed('rule', 'rule_key', 'rule', 'CREATE RULE r AS ON INSERT TO $key DO ALSO SELECT m.tell(''rule'')');
    SELECT m.make_keyed('poli', 'poli_key', 'poli', 'ALTER TABLE $key ENABLE ROW LEVEL SECURITY', 'ALTER TABLE $key FORCE ROW LEVEL SECURITY',
        'CREATE POLICY p ON $key USING (m.tell(''poli'')) WITH CHECK (m.tell(''poli''))')
$_$);
SELECT hostile.fails(role, format('INSERT INTO m.%I VALUES (1, hostile.e(7))', log), '55000', role || ' can''t insert where it would run: ' || log)
  FROM (VALUES ('superuser'), ('hostile_owner'), ('hostile_web'), ('hostile_mallory')) r(role),
       (VALUES ('pred'), ('expr'), ('excl'), ('chec'), ('doma'), ('pres')) l(log);
SELECT hostile.unseen('nothing ran');
SELECT hostile.works(role, format('INSERT INTO m.%I VALUES (%s, hostile.e(%2$s))', log, n), role || ' can where it does not: ' || log)
  FROM (VALUES ('superuser', 1), ('hostile_owner', 2), ('hostile_mallory', 3)) r(role, n),
       (VALUES ('defa'), ('trig'), ('rule'), ('poli')) l(log);
SELECT hostile.works('superuser', format('INSERT INTO m.%I VALUES (5, hostile.e(1))', log), 'and a known event_id is left out: ' || log)
  FROM (VALUES ('defa'), ('trig'), ('rule'), ('poli')) l(log);
SELECT hostile.unseen('and it did not');
SELECT is(hostile.contents('m.' || log), 'm.' || log || E': (1,00000000-0000-0000-0000-000000000001,"' || now() || '") (2,00000000-0000-0000-0000-000000000002,"' || now() ||
    '") (3,00000000-0000-0000-0000-000000000003,"' || now() || E'")\n', 'P8: each is recorded once: ' || log)
  FROM (VALUES ('defa'), ('trig'), ('rule'), ('poli')) l(log);

-- What is called for her tables runs as she does, in a security-restricted operation.
SELECT hostile.survives('superuser', replace(statement, '$log', 'm.' || log), 'superuser: ' || replace(statement, '$log', log))
  FROM (VALUES ('fine'), ('claim'), ('pred'), ('expr'), ('excl'), ('chec'), ('doma'), ('pres'), ('defa'), ('trig'), ('rule'), ('poli')) l(log),
       (VALUES ('SELECT playevent.forget_event_keys(''$log'', 10)'),
               ('SELECT playevent.fill_event_keys(''$log'', false)'),
               ('SELECT playevent.fill_event_keys(''$log'', true)'),
               ('SELECT playevent.keys_intact(''$log'', NULL)'),
               ('ALTER TABLE $log ENABLE TRIGGER ALL'),
               ('ALTER TABLE $log_key ENABLE TRIGGER ALL'),
               ('ALTER TABLE $log RENAME TO was'),
               ('ALTER TABLE m.was RENAME TO ' || 'renamed')) s(statement);
SELECT hostile.works('superuser', 'SELECT * FROM playevent.log', 'the view of logs can be read');
SELECT hostile.unseen('nothing ran as who called');

-- A key table for the owner's log, before it is there
SELECT hostile.prepare('hostile_owner', 'GRANT CREATE ON SCHEMA o TO hostile_mallory');
SELECT hostile.mallory('CREATE TABLE o.listen_event_key (event_id uuid PRIMARY KEY, id bigint, created_at timestamptz)');
SELECT hostile.fails('hostile_owner', $$
    SET LOCAL search_path = o;
    CREATE TABLE listen_event (
        id bigint GENERATED ALWAYS AS IDENTITY, track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL,
        event_id uuid, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
    SELECT playevent.attach_log('listen_event', track => 'o.track', kinds => '{most,complete}')$$,
    '42501', 'table "listen_event_key" belongs to someone else than "listen_event"', 'it is not taken over');

SELECT is(hostile.contents('o.play_event', 'o.play_event_key'), :'before_contents', 'P8: nothing of the owner''s has changed');
SELECT hostile.works('hostile_web', $$SELECT o.record_play('k1', 'most', hostile.e(1))$$, 'and the web role still records');
SELECT * FROM finish();
ROLLBACK;
