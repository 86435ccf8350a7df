-- P10, P3 and P7: whatever a log, its slot tables, its track table, their
-- columns, triggers and schemas are called, moved, lost or doubled, a row that
-- goes in is counted once by every counter; or it is refused; or the log says
-- that it is not intact.  Then attach_log mends it, or what the error says.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;

CREATE SCHEMA harness;
CREATE SCHEMA named;
CREATE SCHEMA elsewhere;
SET search_path = named, public;
SET client_min_messages = error;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
CREATE TABLE album (id bigint PRIMARY KEY);
INSERT INTO track VALUES ('a', 1), ('b', 2);
SELECT playevent.create_log('play', track => 'track') AS log \gset
SELECT playevent.add_counter('play_event', 'play_by_kind', '{bucket,day}') AS counter \gset
SELECT playevent.add_counter('play_event', 'play_by_kind_too', '{bucket,day}') AS counter \gset
SELECT playevent.create_log('share', track => 'track', kind => 'channel', kinds => '{link,mail}', release => 'album') AS log \gset
CREATE TABLE part_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL, note text NOT NULL DEFAULT 'n')
    PARTITION BY LIST (bucket);
CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN ('most');
CREATE TABLE part_rest PARTITION OF part_event DEFAULT PARTITION BY LIST (bucket);
CREATE TABLE elsewhere.part_2 PARTITION OF part_rest FOR VALUES IN ('partial');
SELECT playevent.attach_log('part_event', track => 'track', kinds => '{most,link}', check_kinds => false) AS log \gset
CREATE TABLE plain (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);

-- All counters that there were, whatever they are called by now.
CREATE TABLE harness.slots AS SELECT event::oid AS event, counter_slot::oid AS slot, count_column FROM playevent.counter;
CREATE TABLE harness.logs AS
    SELECT event::oid, regexp_replace(event::text, '_event$', '') AS name,
           (SELECT attnum FROM pg_attribute WHERE attrelid = event AND attname = kind_column) AS kind,
           (SELECT attnum FROM pg_attribute WHERE attrelid = event AND attname = key_column) AS key
      FROM playevent.log;

-- Two more plays in a log.
CREATE FUNCTION harness.play(log harness.logs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %1$s (%2$s) VALUES (''a'', %3$L), (''b'', %4$L)', log.event::regclass,
        (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum = log.kind) FROM pg_attribute
          WHERE attrelid = log.event AND attnum IN (log.key, log.kind)),
        CASE log.name WHEN 'share' THEN 'link' ELSE 'most' END, CASE log.name WHEN 'share' THEN 'mail' ELSE 'partial' END);
END
$$;
SELECT harness.play(l) FROM harness.logs l;

-- What a log says of itself after two more plays, and whether its counters are
-- right: those that it has, and those that it had.
CREATE FUNCTION harness.look(log harness.logs) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    slot record;
    wrong boolean := false;
    counted bigint;
    logged bigint;
    said text := '';
BEGIN
    BEGIN
        PERFORM harness.play(log);
        SET CONSTRAINTS ALL IMMEDIATE;
    EXCEPTION WHEN OTHERS THEN
        said := SQLSTATE;
    END;
    EXECUTE format('SELECT count(*) FROM %s', log.event::regclass) INTO logged;
    FOR slot IN
        SELECT DISTINCT u.slot::regclass AS rel, u.count_column
          FROM (SELECT s.event, s.slot, s.count_column FROM harness.slots s
                UNION ALL SELECT k.event, k.counter_slot, k.count_column FROM playevent.counter k) u
         WHERE u.event = log.event AND EXISTS (SELECT FROM pg_class WHERE oid = u.slot)
    LOOP
        BEGIN
            EXECUTE format('SELECT coalesce(sum(%I), 0) FROM %s', slot.count_column, slot.rel) INTO counted;
            wrong := wrong OR counted <> logged;
        EXCEPTION WHEN undefined_column THEN
            wrong := true;
        END;
    END LOOP;
    BEGIN
        wrong := wrong OR EXISTS (SELECT FROM playevent.verify(log.event));
    EXCEPTION WHEN OTHERS THEN
        wrong := true;
    END;
    IF (SELECT count(*) <> 1 FROM playevent.log l WHERE l.event = log.event) THEN
        said := concat_ws(', ', nullif(said, ''), 'no log');
    ELSIF NOT (SELECT l.intact FROM playevent.log l WHERE l.event = log.event) THEN
        said := concat_ws(', ', nullif(said, ''), 'not intact');
    END IF;
    RETURN CASE WHEN wrong AND said = '' THEN 'SILENTLY WRONG'
        WHEN wrong AND said LIKE 'n%' THEN 'wrong, ' || said ELSE said END;
END
$$;

-- The logs of which something is to be said.
CREATE FUNCTION harness.look() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(l.name || ': ' || said, '; ' ORDER BY l.name) FILTER (WHERE said <> ''), 'exact')
      FROM (SELECT * FROM harness.logs WHERE event IN (SELECT oid FROM pg_class) OFFSET 0) AS l, harness.look(l::harness.logs) AS said
$$;

CREATE TABLE harness.remedy (name text PRIMARY KEY, statement text);
INSERT INTO harness.remedy VALUES
    ('play', $$SELECT playevent.attach_log('play_event', track => 'track')$$),
    ('share', $$SELECT playevent.attach_log('share_event', track => 'track', kind_column => 'channel', release => 'album')$$),
    ('part', $$SELECT playevent.attach_log('part_event', track => 'track')$$);
CREATE FUNCTION harness.mend_all() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    remedy harness.remedy;
BEGIN
    FOR remedy IN
        SELECT r.* FROM harness.remedy r
         WHERE NOT EXISTS (SELECT FROM playevent.log l WHERE l.event = to_regclass(r.name || '_event') AND l.intact) ORDER BY name
    LOOP
        EXECUTE remedy.statement;
    END LOOP;
END
$$;

-- Do this, look at all logs, and again after the remedy; and undo it.
CREATE FUNCTION harness.outcome(statements text, remedy text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    EXECUTE statements;
    said := harness.look();
    IF remedy IS NOT NULL THEN
        BEGIN
            EXECUTE coalesce((SELECT r.statement FROM harness.remedy r WHERE r.name = remedy), remedy);
            said := said || ' -> ' || harness.look();
        EXCEPTION WHEN OTHERS THEN
            said := said || ' -> ' || SQLERRM;
        END;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'PLAYD', MESSAGE = said;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END
$$;

CREATE TABLE harness.cases (
    n int GENERATED ALWAYS AS IDENTITY, statements text, remedy text, expected text NOT NULL DEFAULT 'exact');

-- Each trigger of each log: renamed; lost; disabled; renamed, and one of the old
-- name beside it, as attach_log made them that went by names; with a condition;
-- and one that waits for the commit.
CREATE TABLE harness.triggers AS
    SELECT log || '_event' AS rel, log, t.tgname AS name, t.tgfoid IN ('playevent.count'::regproc, 'playevent.sketch'::regproc) AS counts,
           CASE WHEN t.tgfoid IN ('playevent.count'::regproc, 'playevent.sketch'::regproc) THEN 'wrong, not intact' ELSE 'not intact' END AS lost,
           definition
      FROM unnest('{play,share,part}'::text[]) AS log, pg_trigger t, pg_get_triggerdef(t.oid) AS definition
     WHERE t.tgrelid = (log || '_event')::regclass AND NOT t.tgisinternal
     ORDER BY log, t.tgname;
INSERT INTO harness.cases (statements) SELECT format('ALTER TRIGGER %I ON %s RENAME TO mine', name, rel) FROM harness.triggers;
INSERT INTO harness.cases (statements)
    SELECT string_agg(format('ALTER TRIGGER %I ON %s RENAME TO %I', name, rel, 'mine_' || name), '; ') FROM harness.triggers;
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT format(statement, name, rel), log, format('%s: %s -> exact', log, lost)
      FROM harness.triggers, unnest('{DROP TRIGGER %I ON %s,ALTER TABLE %2$s DISABLE TRIGGER %1$I}'::text[]) AS statement
     WHERE statement NOT LIKE 'ALTER%' OR log <> 'part' OR name LIKE '%append_only%' OR name LIKE '%flush';
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT format('ALTER TRIGGER %I ON %s RENAME TO mine; ', name, rel) || definition, log,
           format('%s: %s -> exact', log, CASE WHEN counts THEN '55000, not intact' ELSE 'not intact' END)
      FROM harness.triggers;
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT regexp_replace(regexp_replace(definition, '^CREATE', 'CREATE OR REPLACE'), '(WHEN .* )?EXECUTE', 'WHEN (false) EXECUTE'), log,
           format('%s: %s -> exact', log, lost)
      FROM harness.triggers;
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT format('DROP TRIGGER %I ON %s; ', name, rel) ||
           replace(replace(definition, 'CREATE', 'CREATE CONSTRAINT'), 'FOR EACH', wait || ' FOR EACH'), log,
           log || ': not intact -> exact'
      FROM harness.triggers, unnest('{"",DEFERRABLE,DEFERRABLE INITIALLY DEFERRED}'::text[]) AS wait
     WHERE counts AND log <> 'part';
-- and on a partition, in place of the log
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT replace(replace(definition, name, 'mine'), 'part_event', 'part_1'), remedy,
           format('part: %snot intact -> %s', CASE WHEN counts THEN '55000, ' END,
               CASE remedy WHEN 'part' THEN 'partition "part_1" of table "part_event" has a trigger "mine" of its own that calls a function of playevent''s' ELSE 'exact' END)
      FROM harness.triggers, unnest('{part,DROP TRIGGER mine ON part_1}'::text[]) AS remedy
     WHERE log = 'part' AND name NOT LIKE '%append_only%';

INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ('ALTER TRIGGER playevent_flush ON play_event RENAME TO mine; ALTER TRIGGER playevent_count ON play_event RENAME TO playevent_flush; DROP TRIGGER mine ON play_event',
        'play', 'play: not intact -> exact'),
    ('DROP TRIGGER playevent_count ON play_event; DROP TRIGGER playevent_slot_guard ON play_counter_slot; DROP TRIGGER playevent_slot_guard_row ON play_counter_slot',
        'play', 'play: wrong, not intact -> exact'),
    ('DROP TRIGGER playevent_count_play_daily ON play_event; CREATE TRIGGER mine AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION playevent.count(play_by_kind_slot, plays, bucket, day)',
        'play', 'play: 55000, not intact -> exact'),
    ('CREATE TRIGGER mine AFTER INSERT ON share_event FOR EACH ROW EXECUTE FUNCTION playevent.count(play_by_kind_slot, plays, bucket, day)',
        'share', 'share: 55000, not intact -> exact'),
    ('CREATE TRIGGER mine AFTER INSERT ON share_event FOR EACH ROW EXECUTE FUNCTION playevent.count(plain, release_id, bucket)',
        'DROP TRIGGER mine ON share_event', 'share: 42804, not intact -> exact');

-- What slot tables say
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT format('DROP TRIGGER %I ON %s', t.tgname, slot::regclass), 'SELECT harness.mend_all()', l.name || ': not intact -> exact'
      FROM harness.slots s JOIN harness.logs l USING (event) JOIN pg_trigger t ON t.tgrelid = slot AND NOT t.tgisinternal;
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT string_agg(format('DROP TRIGGER %I ON %s', t.tgname, slot::regclass), '; '), 'SELECT harness.mend_all()', l.name || ': 55000, not intact -> exact'
      FROM harness.slots s JOIN harness.logs l USING (event) JOIN pg_trigger t ON t.tgrelid = slot AND NOT t.tgisinternal GROUP BY l.name, slot;
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT 'CREATE OR REPLACE TRIGGER playevent_slot_guard_row BEFORE INSERT OR UPDATE OR DELETE ON play_counter_slot FOR EACH ROW ' || more, remedy, expected
      FROM (VALUES
        ('WHEN (false) EXECUTE FUNCTION playevent.slot_guard(play_event, count, plays, track_entry_key, release_id, bucket)', 'play', 'play: not intact -> exact'),
        ('EXECUTE FUNCTION playevent.slot_guard(play_event, count, plays, bucket, release_id, track_entry_key)', 'play', 'play: 55000, not intact -> exact'),
        ('EXECUTE FUNCTION playevent.slot_guard(play_event, count, plays, track_entry_key, release_id)', 'play', 'play: 55000, not intact -> exact'),
        ('EXECUTE FUNCTION playevent.slot_guard(play_event, sketch, plays, track_entry_key, release_id, bucket)', 'play', 'play: 55000, not intact -> exact'),
        ('EXECUTE FUNCTION playevent.slot_guard(gone_event, count, plays, track_entry_key, release_id, bucket)', 'play', 'play: 55000, not intact -> exact'),
        ('EXECUTE FUNCTION playevent.slot_guard()', 'play', 'play: 55000, not intact -> exact'),
        ('EXECUTE FUNCTION playevent.slot_guard(share_event, count, plays, track_entry_key, release_id, bucket)', 'play',
            'play: 55000, not intact; share: not intact -> table "play_counter_slot" keeps the counts of log "share_event"'))
        AS v(more, remedy, expected);
INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ('CREATE TRIGGER mine BEFORE DELETE ON play_counter_slot FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(play_event, count, plays, track_entry_key, release_id, bucket)',
        NULL, 'exact'),
    ('CREATE TRIGGER mine BEFORE DELETE ON play_counter_slot FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(''a.b.c'', count, plays, track_entry_key, release_id, bucket)',
        'play', 'play: 55000, not intact -> exact'),
    ('CREATE TRIGGER mine BEFORE DELETE ON play_counter_slot FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(play_event)',
        'DROP TRIGGER mine ON play_counter_slot', 'play: 55000, not intact -> exact'),
    ('CREATE TABLE more_slot (LIKE play_counter_slot INCLUDING ALL);
      CREATE TRIGGER mine BEFORE INSERT ON more_slot EXECUTE FUNCTION playevent.slot_guard(play_event, count, plays, track_entry_key, release_id, bucket)',
        'play', 'play: not intact -> exact'),
    ('CREATE TABLE more_slot (LIKE play_counter_slot INCLUDING ALL);
      CREATE TRIGGER mine BEFORE INSERT ON more_slot EXECUTE FUNCTION playevent.slot_guard(play_event, count, plays, track_entry_key, release_id, bucket)',
        'DROP TABLE more_slot', 'play: not intact -> exact'),
    ('CREATE TABLE more_slot (track_entry_key text, plays bigint NOT NULL);
      CREATE TRIGGER mine BEFORE INSERT ON more_slot EXECUTE FUNCTION playevent.slot_guard(play_event, count, plays, track_entry_key, release_id, bucket)',
        'play', 'play: not intact -> table "more_slot" is there already, and does not fit table "play_event"');

-- The log, its slot tables and its partitions are renamed, and moved
INSERT INTO harness.cases (statements) SELECT format('ALTER TABLE %s RENAME TO "N a.m""e"', rel)
    FROM unnest('{play_event,play_counter_slot,play_daily_slot,play_by_kind_slot,share_event,share_counter_slot,part_event,part_counter_slot,part_1,part_rest}'::text[]) AS rel;
INSERT INTO harness.cases (statements) SELECT format('ALTER TABLE %s SET SCHEMA elsewhere', rel)
    FROM unnest('{play_event,play_counter_slot,play_daily_slot,play_by_kind_slot,share_event,share_counter_slot,part_event,part_counter_slot,part_1,part_rest}'::text[]) AS rel;
INSERT INTO harness.cases (statements) SELECT format('ALTER TABLE %1$s SET SCHEMA elsewhere; ALTER TABLE elsewhere.%1$s RENAME TO other; ALTER SCHEMA elsewhere RENAME TO "E l.s""e"', rel)
    FROM unnest('{play_event,play_counter_slot,play_daily_slot,play_by_kind_slot,share_event,share_counter_slot,part_event,part_counter_slot,part_1,part_rest}'::text[]) AS rel;
INSERT INTO harness.cases (statements) VALUES
    ('ALTER INDEX play_event RENAME TO listen; ALTER INDEX play_counter_slot RENAME TO listen_counter_slot'),
    ('ALTER SCHEMA named RENAME TO "N a.m""ed"'),
    ('ALTER SCHEMA elsewhere RENAME TO "Else.wh""ere"'),
    ('ALTER TABLE play_event SET SCHEMA elsewhere; ALTER TABLE elsewhere.play_event SET SCHEMA named'),
    ('ALTER TABLE play_event SET SCHEMA elsewhere; ALTER TABLE play_counter_slot SET SCHEMA elsewhere'),
    ('ALTER TABLE play_counter_slot SET SCHEMA elsewhere; ALTER TABLE play_event SET SCHEMA elsewhere; ALTER TABLE elsewhere.play_counter_slot SET SCHEMA named'),
    ('ALTER TABLE part_event SET SCHEMA elsewhere; ALTER TABLE part_counter_slot SET SCHEMA elsewhere; ALTER TABLE part_1 SET SCHEMA elsewhere; ALTER TABLE elsewhere.part_2 SET SCHEMA named'),
    ('ALTER TABLE part_event RENAME TO t; ALTER TABLE part_1 RENAME TO part_event; ALTER TABLE part_counter_slot RENAME TO part_1'),
    ('ALTER TABLE part_event RENAME TO listen; CREATE TABLE listen_3 PARTITION OF listen FOR VALUES IN (''link''); ALTER TABLE part_counter_slot RENAME TO listen_slot'),
    ('ALTER TABLE part_counter_slot RENAME TO listen_slot; CREATE TABLE part_3 PARTITION OF part_event FOR VALUES IN (''link'')'),
    ('ALTER EVENT TRIGGER playevent_watch_partitions DISABLE; ALTER TABLE part_event DETACH PARTITION part_rest; ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS; ALTER TABLE part_event RENAME TO listen; CREATE TABLE listen_3 PARTITION OF listen DEFAULT; SELECT playevent.rebuild(''listen'')'),

    -- names that change places, in one transaction
    ('ALTER TABLE play_event RENAME TO t; ALTER TABLE share_event RENAME TO play_event; ALTER TABLE t RENAME TO share_event'),
    ('ALTER TABLE play_event RENAME TO t; ALTER TABLE part_event RENAME TO play_event; ALTER TABLE t RENAME TO part_event'),
    ('ALTER TABLE play_counter_slot RENAME TO t; ALTER TABLE share_counter_slot RENAME TO play_counter_slot; ALTER TABLE t RENAME TO share_counter_slot'),
    ('ALTER TABLE play_by_kind_slot RENAME TO t; ALTER TABLE play_by_kind_too_slot RENAME TO play_by_kind_slot; ALTER TABLE t RENAME TO play_by_kind_too_slot'),
    ('ALTER TABLE play_event RENAME TO t; ALTER TABLE play_counter_slot RENAME TO play_event; ALTER TABLE t RENAME TO play_counter_slot'),

    -- a log beside another of the same name, whose slots have the same names
    ('CREATE SCHEMA d; CREATE TABLE d.part_event (LIKE part_event INCLUDING ALL); SELECT playevent.attach_log(''d.part_event'', track => ''track'', kinds => ''{most}'', check_kinds => false);
      INSERT INTO harness.logs SELECT ''d.part_event''::regclass, ''second'', kind, key FROM harness.logs WHERE name = ''part'';
      ALTER TABLE part_event RENAME TO listens; ALTER TABLE listens SET SCHEMA d'),
    ('CREATE SCHEMA d; CREATE TABLE d.part_event (LIKE part_event INCLUDING ALL); SELECT playevent.attach_log(''d.part_event'', track => ''track'', kinds => ''{most}'', check_kinds => false);
      INSERT INTO harness.logs SELECT ''d.part_event''::regclass, ''second'', kind, key FROM harness.logs WHERE name = ''part'';
      ALTER TABLE part_event RENAME TO listens; ALTER TABLE listens SET SCHEMA d; ALTER TABLE d.part_counter_slot SET SCHEMA elsewhere; ALTER TABLE part_counter_slot SET SCHEMA d'),
    ('CREATE SCHEMA d; CREATE TABLE d.part_event (LIKE part_event INCLUDING ALL); SELECT playevent.attach_log(''d.part_event'', track => ''track'', kinds => ''{most}'', check_kinds => false);
      INSERT INTO harness.logs SELECT ''d.part_event''::regclass, ''second'', kind, key FROM harness.logs WHERE name = ''part'';
      ALTER TABLE d.part_event RENAME TO second; ALTER TABLE part_event SET SCHEMA d');
INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ('ALTER TABLE play_event RENAME TO listen; SELECT playevent.create_log(''play'', track => ''track'')', NULL,
        '"play_verdict" exists already in schema "named"'),
    ('ALTER TABLE play_event RENAME TO listen; ALTER TABLE plain RENAME TO play_event; SELECT playevent.attach_log(''play_event'', track => ''track'', kinds => ''{most}'', check_kinds => false)', NULL,
        'table "play_counter_slot" is there already, and does not fit table "play_event"'),
    ('ALTER TABLE part_event RENAME TO listen; ALTER TABLE plain RENAME TO part_event; SELECT playevent.attach_log(''part_event'', track => ''track'', kinds => ''{most}'', check_kinds => false)', NULL,
        'table "part_counter_slot" keeps the counts of log "listen"');

-- Renamed or moved, and then something is lost
INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ('ALTER TABLE play_event RENAME TO listen; DROP TRIGGER playevent_flush ON listen', $$SELECT playevent.attach_log('listen', track => 'track')$$, 'play: not intact -> exact'),
    ('ALTER TABLE play_event RENAME TO listen; DROP TRIGGER playevent_count ON listen; DROP TRIGGER playevent_count_play_daily ON listen',
        $$SELECT playevent.attach_log('listen', track => 'track')$$, 'play: wrong, not intact -> exact'),
    ('ALTER TABLE play_counter_slot RENAME TO listen; DROP TRIGGER playevent_count ON play_event', 'play', 'play: wrong, not intact -> exact'),
    ('ALTER TABLE play_daily_slot RENAME TO listen; DROP TRIGGER playevent_count_play_daily ON play_event', 'play', 'play: wrong, not intact -> exact'),
    ('ALTER TABLE play_counter_slot RENAME TO listen; DROP TRIGGER playevent_slot_guard ON listen; DROP TRIGGER playevent_slot_guard_row ON listen', 'play', 'play: 55000, not intact -> exact'),
    ('ALTER TABLE play_event SET SCHEMA elsewhere; DROP TRIGGER playevent_flush ON elsewhere.play_event', $$SELECT playevent.attach_log('elsewhere.play_event', track => 'track')$$, 'play: not intact -> exact'),
    ('ALTER TABLE play_counter_slot SET SCHEMA elsewhere; ALTER TABLE play_event SET SCHEMA elsewhere; ALTER TABLE elsewhere.play_counter_slot SET SCHEMA named; DROP TRIGGER playevent_flush ON elsewhere.play_event',
        $$SELECT playevent.attach_log('elsewhere.play_event', track => 'track')$$, 'play: not intact -> exact'),
    ('ALTER TABLE play_event RENAME TO t; ALTER TABLE share_event RENAME TO play_event; ALTER TABLE t RENAME TO share_event; DROP TRIGGER playevent_flush ON play_event; DROP TRIGGER playevent_count ON share_event',
        $$SELECT playevent.attach_log('play_event', track => 'track', kind_column => 'channel', release => 'album'), playevent.attach_log('share_event', track => 'track')$$,
        'play: wrong, not intact; share: not intact -> exact'),
    ('ALTER TABLE play_event RENAME TO t; ALTER TABLE share_event RENAME TO play_event; ALTER TABLE t RENAME TO share_event;
      ALTER TABLE play_counter_slot RENAME TO t; ALTER TABLE share_counter_slot RENAME TO play_counter_slot; ALTER TABLE t RENAME TO share_counter_slot;
      DROP TRIGGER playevent_flush ON play_event; DROP TRIGGER playevent_count ON share_event',
        $$SELECT playevent.attach_log('play_event', track => 'track', kind_column => 'channel', release => 'album'), playevent.attach_log('share_event', track => 'track')$$,
        'play: wrong, not intact; share: not intact -> exact'),

    -- while nothing follows
    ('ALTER EVENT TRIGGER playevent_follow_renames DISABLE; ALTER TABLE play_event RENAME TO listen', 'ALTER TABLE listen RENAME TO play_event', 'play: 55000, not intact -> exact'),
    ('ALTER EVENT TRIGGER playevent_follow_renames DISABLE; ALTER TABLE play_event RENAME TO listen', $$SELECT playevent.attach_log('listen', track => 'track')$$, 'play: 55000, not intact -> exact'),
    ('ALTER EVENT TRIGGER playevent_follow_renames DISABLE; ALTER TABLE play_counter_slot RENAME TO x', 'play',
        'play: 42P01, not intact -> view "play_counter" does not read table "play_counter_slot"'),
    ('ALTER EVENT TRIGGER playevent_follow_renames DISABLE; ALTER TABLE play_counter_slot RENAME TO x; DROP VIEW play_counter, play_by_track, play_by_release',
        'play', 'play: 42P01, not intact -> exact'),
    ('ALTER EVENT TRIGGER playevent_follow_renames DISABLE; ALTER TABLE play_counter_slot RENAME TO t; ALTER TABLE share_counter_slot RENAME TO play_counter_slot; ALTER TABLE t RENAME TO share_counter_slot',
        'play', 'play: 42703, not intact; share: 42703, not intact -> share: 42703, not intact'),
    ('ALTER EVENT TRIGGER playevent_follow_renames DISABLE; ALTER TABLE play_counter_slot RENAME TO t; ALTER TABLE share_counter_slot RENAME TO play_counter_slot; ALTER TABLE t RENAME TO share_counter_slot',
        'SELECT harness.mend_all()', 'play: 42703, not intact; share: 42703, not intact -> exact'),
    ('ALTER EVENT TRIGGER playevent_follow_renames DISABLE; ALTER TABLE play_by_kind_slot RENAME TO t; ALTER TABLE play_by_kind_too_slot RENAME TO play_by_kind_slot; ALTER TABLE t RENAME TO play_by_kind_too_slot',
        NULL, 'exact'),
    ('ALTER EVENT TRIGGER playevent_follow_renames DISABLE; ALTER TABLE play_event RENAME TO t; ALTER TABLE share_event RENAME TO play_event; ALTER TABLE t RENAME TO share_event',
        $$ALTER TABLE play_event RENAME TO t; ALTER TABLE share_event RENAME TO play_event; ALTER TABLE t RENAME TO share_event; SELECT playevent.rebuild('play_event'), playevent.rebuild('share_event')$$,
        'play: 55000, not intact; share: 55000, not intact -> exact');

-- The track table is known by its name, but goes with the log
INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ('ALTER TABLE track RENAME TO song', 'ALTER TABLE song RENAME TO track', 'part: 42P01; play: 42P01; share: 42P01 -> exact'),
    ('ALTER TABLE track RENAME TO song', $$SELECT playevent.attach_log('play_event', track => 'song')$$, 'part: 42P01; play: 42P01; share: 42P01 -> part: 42P01; share: 42P01'),
    ('ALTER TABLE track SET SCHEMA elsewhere', $$SELECT playevent.attach_log('play_event', track => 'elsewhere.track')$$, 'part: 42P01; play: 42P01; share: 42P01 -> part: 42P01; share: 42P01'),
    ('ALTER TABLE play_event SET SCHEMA elsewhere; ALTER TABLE track SET SCHEMA elsewhere', NULL, 'part: 42P01; share: 42P01'),
    ('ALTER TABLE play_event SET SCHEMA elsewhere; ALTER SCHEMA named RENAME TO x; ALTER SCHEMA elsewhere RENAME TO named; ALTER SCHEMA x RENAME TO elsewhere',
        NULL, 'play: 42P01'),
    ('ALTER TABLE album RENAME TO release; INSERT INTO share_event (release_id, channel) VALUES (1, ''link'')', NULL, 'track table "album" does not exist'),
    ('ALTER TABLE album RENAME TO "Release"; SELECT playevent.attach_log(''share_event'', track => ''track'', kind_column => ''channel'', release => ''"Release"''); DROP TABLE "Release"; INSERT INTO share_event (release_id, channel) VALUES (1, ''link'')',
        NULL, 'track table "Release" does not exist'),
    ('ALTER TABLE track RENAME TO song; CREATE TABLE track AS SELECT * FROM song; ALTER TABLE track ADD PRIMARY KEY (entry_key)', NULL, 'exact'),
    ('ALTER TABLE track RENAME entry_key TO k', 'ALTER TABLE track RENAME k TO entry_key', 'part: 42703; play: 42703; share: 42703 -> exact'),
    ('ALTER TABLE track RENAME entry_key TO k', $$SELECT playevent.attach_log('play_event', track => 'track', track_key => 'k')$$, 'part: 42703; play: 42703; share: 42703 -> part: 42703; share: 42703');

-- Columns are not followed, but counters if they change places
INSERT INTO harness.cases (statements, remedy, expected)
    SELECT format('ALTER %s play_event RENAME COLUMN %s TO b', kind, col), format('ALTER %s play_event RENAME b TO %s', kind, col), 'play: 42703, not intact -> exact'
      FROM unnest('{TABLE,VIEW,MATERIALIZED VIEW}'::text[]) AS kind, unnest('{track_entry_key,bucket,release_id,day}'::text[]) AS col;
INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ('ALTER TABLE play_counter_slot RENAME bucket TO b', 'ALTER TABLE play_counter_slot RENAME b TO bucket', 'play: 42703, not intact -> exact'),
    ('ALTER TABLE play_counter_slot RENAME bucket TO b', 'play', 'play: 42703, not intact -> table "play_counter_slot" is there already, and does not fit table "play_event"'),
    ('ALTER TABLE play_daily_slot RENAME plays TO b', 'play', 'play: 42703, not intact -> table "play_daily_slot" is there already, and does not fit table "play_event"'),
    ('ALTER TABLE share_event RENAME channel TO c; ALTER TABLE share_counter_slot RENAME channel TO c',
        $$SELECT playevent.attach_log('share_event', track => 'track', kind_column => 'c', release => 'album')$$, 'share: 42703, not intact -> exact'),
    ('ALTER TABLE part_event RENAME track_entry_key TO b; ALTER TABLE part_event RENAME note TO track_entry_key; ALTER TABLE part_event RENAME b TO note',
        'ALTER TABLE part_event RENAME track_entry_key TO b; ALTER TABLE part_event RENAME note TO track_entry_key; ALTER TABLE part_event RENAME b TO note', 'exact -> exact'),
    ('ALTER VIEW part_event RENAME track_entry_key TO b; ALTER MATERIALIZED VIEW part_event RENAME note TO track_entry_key; ALTER VIEW part_event RENAME b TO note', NULL, 'exact'),
    ('ALTER TABLE part_event RENAME track_entry_key TO b; ALTER TABLE part_event RENAME bucket TO track_entry_key; ALTER TABLE part_event RENAME b TO bucket', NULL, 'exact'),
    ('ALTER TABLE play_event RENAME day TO d; ALTER TABLE play_event ADD day date NOT NULL DEFAULT ''2020-02-02''', NULL, 'exact'),
    ('ALTER TABLE play_event RENAME day TO d; ALTER TABLE play_event ADD day text NOT NULL DEFAULT ''2020-02-02''', NULL, 'play: 42804'),
    ('ALTER TABLE play_event DROP day, ADD day date NOT NULL DEFAULT ''2020-02-02''', NULL, 'exact'),
    ('ALTER TABLE part_event ALTER track_entry_key DROP NOT NULL; ALTER TABLE part_event RENAME track_entry_key TO b; ALTER TABLE part_event ADD track_entry_key text NOT NULL DEFAULT ''x'', ADD c int', NULL, 'exact'),
    ('ALTER TABLE play_daily_slot DROP release_id CASCADE, ADD release_id bigint', NULL, 'exact'),
    ('ALTER TABLE part_counter_slot RENAME track_entry_key TO b; ALTER TABLE part_counter_slot RENAME bucket TO track_entry_key; ALTER TABLE part_counter_slot RENAME b TO bucket', NULL,
        'column "track_entry_key" of slot table "part_counter_slot" cannot get that name'),
    ('ALTER TABLE play_counter_slot RENAME release_id TO b; ALTER TABLE play_counter_slot RENAME plays TO release_id; ALTER TABLE play_counter_slot RENAME b TO plays', NULL,
        'column "release_id" of slot table "play_counter_slot" cannot get that name'),
    ('INSERT INTO part_1 VALUES (''a'', 1, ''most''); ALTER TABLE part_event RENAME track_entry_key TO b; ALTER TABLE part_event RENAME b TO track_entry_key', NULL,
        'cannot change the counters of table "part_event" in this subtransaction'),
    ('ALTER TYPE play_bucket RENAME VALUE ''most'' TO ''x''; ALTER TYPE play_bucket RENAME VALUE ''complete'' TO ''most''', NULL, 'exact'),
    ('ALTER TYPE play_bucket RENAME TO x; ALTER TYPE x SET SCHEMA elsewhere', NULL, 'exact');

-- Counters made and dropped after renames
INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ($$ALTER TABLE play_event RENAME TO listen; SELECT playevent.add_counter('listen', 'n', '{release_id}')$$, NULL, 'exact'),
    ($$ALTER TABLE play_event SET SCHEMA elsewhere; SELECT playevent.add_counter('elsewhere.play_event', 'n', '{release_id}')$$, NULL, 'exact'),
    ($$ALTER TABLE play_counter_slot RENAME TO x; SELECT playevent.add_counter('play_event', 'n', '{release_id}')$$, NULL, 'exact'),
    ($$ALTER TABLE play_counter_slot RENAME TO x; SELECT playevent.add_counter('play_event', 'play_counter', '{release_id}')$$, NULL, '"play_counter" exists already in schema "named"'),
    ($$ALTER TRIGGER playevent_count ON play_event RENAME TO playevent_count_n; SELECT playevent.add_counter('play_event', 'n', '{release_id}')$$, NULL, 'exact'),
    ($$ALTER TRIGGER playevent_count_play_daily ON play_event RENAME TO x; SELECT playevent.drop_counter('play_event', 'play_daily')$$, NULL, 'exact'),
    ($$ALTER TABLE play_daily_slot RENAME TO x; SELECT playevent.drop_counter('play_event', 'x')$$, NULL, 'cannot drop table named.x because other objects depend on it'),
    ($$ALTER TABLE play_daily_slot RENAME TO x; ALTER VIEW play_daily RENAME TO y; ALTER TABLE x RENAME TO y_slot; SELECT playevent.drop_counter('play_event', 'y')$$, NULL, 'exact'),
    ($$ALTER TABLE play_daily_slot RENAME TO x; SELECT playevent.drop_counter('play_event', 'play_daily')$$, NULL, 'table "play_event" has no counter "play_daily"'),
    ($$ALTER TABLE play_counter_slot RENAME TO x; SELECT playevent.drop_counter('play_event', 'x')$$, NULL, '"x" is the counter of log "play_event" itself'),
    ($$ALTER TABLE play_counter_slot RENAME TO t; ALTER TABLE play_by_kind_slot RENAME TO play_counter_slot; ALTER TABLE t RENAME TO play_by_kind_slot; SELECT playevent.drop_counter('play_event', 'play_by_kind')$$, NULL,
        '"play_by_kind" is the counter of log "play_event" itself'),
    ($$ALTER TABLE play_daily_slot SET SCHEMA elsewhere; ALTER VIEW play_daily SET SCHEMA elsewhere; SELECT playevent.drop_counter('play_event', 'play_daily')$$, NULL, 'exact'),
    ($$CREATE TABLE bystander_slot (bucket text, plays bigint NOT NULL); CREATE TRIGGER mine AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION playevent.count(bystander_slot, plays, bucket);
       SELECT playevent.drop_counter('play_event', 'bystander')$$, NULL, 'table "play_event" has no counter "bystander"');

-- A log is dropped, and another gets its name
INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ('DROP TABLE play_event', NULL, 'exact'),
    ('DROP TABLE play_event; ALTER TABLE share_event RENAME TO play_event', $$DROP TABLE play_verdict, play_counter_slot, play_daily_slot, play_by_kind_slot, play_by_kind_too_slot CASCADE$$, 'share: not intact -> exact'),
    ('DROP TABLE part_event; SELECT playevent.create_log(''part'', track => ''track'')', NULL, '"part_counter_slot" exists already in schema "named"'),
    ('DROP TABLE part_event; ALTER TABLE plain RENAME TO part_event; INSERT INTO part_event VALUES (''a'', NULL, ''most''); SELECT playevent.attach_log(''part_event'', track => ''track'', kinds => ''{most}'', check_kinds => false);
      INSERT INTO harness.logs SELECT ''part_event''::regclass, ''second'', kind, key FROM harness.logs WHERE name = ''part''', NULL, 'exact'),
    ('DROP TABLE part_event; ALTER TABLE part_counter_slot RENAME TO x_slot; DROP VIEW part_counter, part_by_track, part_by_release; SELECT playevent.create_log(''part'', track => ''track'');
      INSERT INTO harness.logs SELECT ''part_event''::regclass, ''second'', 4, 2', NULL, 'exact'),
    ('DROP TABLE play_event; ALTER TABLE play_counter_slot RENAME TO x_slot; DROP TABLE play_daily_slot, play_verdict CASCADE; DROP VIEW play_counter, play_by_track, play_by_release;
      DROP TYPE play_bucket CASCADE; SELECT playevent.create_log(''play'', track => ''track'');
      INSERT INTO harness.logs SELECT ''play_event''::regclass, ''second'', kind, key FROM harness.logs WHERE name = ''play''', NULL, 'exact');

-- Everything of ours is gone
INSERT INTO harness.cases (statements, remedy, expected) VALUES
    ('DROP EXTENSION playevent CASCADE; CREATE EXTENSION playevent', 'SELECT harness.mend_all()', 'part: wrong, no log; play: wrong, no log; share: wrong, no log -> exact'),
    ('ALTER TABLE play_event RENAME TO listen; DROP EXTENSION playevent CASCADE; CREATE EXTENSION playevent', $$ALTER TABLE listen RENAME TO play_event; SELECT playevent.attach_log('play_event', track => 'track')$$,
        'part: wrong, no log; play: wrong, no log; share: wrong, no log -> part: wrong, no log; share: wrong, no log'),
    ('ALTER TABLE share_event RENAME TO play; DROP EXTENSION playevent CASCADE; CREATE EXTENSION playevent', $$SELECT playevent.attach_log('play', track => 'track', kind_column => 'channel', release => 'album')$$,
        'part: wrong, no log; play: wrong, no log; share: wrong, no log -> part: wrong, no log; play: wrong, no log'),
    ('ALTER SCHEMA named RENAME TO x; DROP EXTENSION playevent CASCADE; CREATE EXTENSION playevent', $$SELECT playevent.attach_log('x.play_event', track => 'x.track'), playevent.attach_log('x.part_event', track => 'x.track')$$,
        'part: wrong, no log; play: wrong, no log; share: wrong, no log -> share: wrong, no log'),
    ('DROP EXTENSION playevent CASCADE; ALTER TABLE play_event RENAME TO t; ALTER TABLE part_event RENAME TO play_event; ALTER TABLE t RENAME TO part_event; CREATE EXTENSION playevent',
        $$SELECT playevent.attach_log('play_event', track => 'track')$$,
        'part: wrong, no log; play: wrong, no log; share: wrong, no log -> table "play_counter_slot" is there already, and does not fit table "play_event"'),
    ('CREATE SCHEMA x; ALTER TABLE play_counter_slot SET SCHEMA x; DROP EXTENSION playevent CASCADE; CREATE EXTENSION playevent', $$SELECT playevent.attach_log('play_event', track => 'track')$$,
        'part: wrong, no log; play: wrong, no log; share: wrong, no log -> view "play_counter" does not read table "play_counter_slot"'),
    ('ALTER TABLE play_counter_slot RENAME TO x; DROP EXTENSION playevent CASCADE; CREATE EXTENSION playevent; DROP VIEW play_counter',
        $$SELECT playevent.attach_log('play_event', track => 'track')$$,
        'part: wrong, no log; play: wrong, no log; share: wrong, no log -> view "play_by_track" does not read table "play_counter_slot"'),
    ('ALTER VIEW play_by_track RENAME TO x; CREATE VIEW play_by_track AS SELECT * FROM x; DROP EXTENSION playevent CASCADE; CREATE EXTENSION playevent',
        'SELECT harness.mend_all()', 'part: wrong, no log; play: wrong, no log; share: wrong, no log -> exact');

SELECT plan(count(*)::int + 1) FROM harness.cases;
SELECT is(harness.look(), 'exact', 'P3: all is exact to begin with');
SELECT is(harness.outcome(statements, remedy), expected, 'P10: ' || statements) FROM harness.cases ORDER BY n;

SELECT * FROM finish();
ROLLBACK;
