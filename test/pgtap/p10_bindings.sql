-- P10 and P3: unusual, altered and forged triggers, tables and indexes give an
-- error or the right counts, never a crash nor a silent mistake.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(22);

CREATE SCHEMA odd;
SET search_path = odd, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track VALUES ('a', 1), ('b', 2);
SELECT playevent.create_log('play', track => 'track');

-- A trigger of the app's that invalidates in the middle of each statement, and
-- caches that are dropped at every chance, where the server was built for that.
-- Not while they are built, too, as a higher setting would have it, nor for
-- pgTAP's queries: each takes thousands of times as long.
CREATE FUNCTION invalidate() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN GRANT SELECT ON play_event, play_counter_slot, track TO PUBLIC; RETURN NEW; END$$;
CREATE TRIGGER invalidate BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION invalidate();
CREATE TRIGGER invalidate_after AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION invalidate();
SELECT set_config(name, '1', false) FROM pg_settings WHERE name = 'debug_discard_caches' AND max_val::int >= 1;
INSERT INTO play_event (track_entry_key, bucket) VALUES ('a', 'most'), ('b', 'most'), ('a', 'most');
SELECT count(*) AS checks FROM playevent.check_log('play_event') \gset
SELECT count(*) AS wrong FROM playevent.verify('play_event') \gset
SELECT playevent.rebuild('play_event') AS changed \gset
RESET debug_discard_caches;
SELECT results_eq('SELECT track_entry_key::text, release_id, bucket::text, plays FROM play_counter ORDER BY 1',
    $$VALUES ('a', 1::bigint, 'most', 2::bigint), ('b', 2, 'most', 1)$$,
    'P10: an insert survives invalidations at every turn');
SELECT is(:checks, 1, 'P10: so does check_log');
SELECT is(:wrong, 0, 'P3: so does verify, which finds the counts right');
SELECT is(:changed, 0, 'P3: and rebuild, which agrees');

-- Indexes that look as if they covered the key.
DROP INDEX play_counter_slot_release_id_track_entry_key_bucket_idx;
CREATE INDEX ON play_counter_slot (track_entry_key, track_entry_key, release_id);
CREATE INDEX ON play_counter_slot (plays, track_entry_key, release_id, bucket);
INSERT INTO play_event (track_entry_key, bucket) VALUES ('a', 'partial'), ('a', 'complete'), ('a', 'partial');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: an index on part of the key, twice, counts right; one that starts with the count is none of use');

-- rebuild where it can't be right
CREATE FUNCTION rebuild_now() RETURNS bigint LANGUAGE plpgsql AS
$$BEGIN CREATE TEMP TABLE IF NOT EXISTS t (); RETURN playevent.rebuild('odd.play_event'); END$$;
SELECT throws_ok($$INSERT INTO play_event (track_entry_key, bucket) SELECT 'a', 'most' FROM generate_series(1, 3) RETURNING rebuild_now()$$,
    '55006', NULL, 'P3: rebuild refuses in the middle of an insert');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: which then counts nothing');
SAVEPOINT read_only;
SET TRANSACTION READ ONLY;
SELECT throws_ok($$SELECT playevent.rebuild('play_event')$$, '25006', NULL, 'P10: rebuild refuses in a read-only transaction');
ROLLBACK TO read_only;

-- generated columns
CREATE TABLE made_up (
    raw text, track_entry_key text GENERATED ALWAYS AS (lower(raw)) STORED NOT NULL,
    release_id bigint, bucket text NOT NULL);
SELECT throws_ok($$SELECT playevent.attach_log('made_up', track => 'track')$$, '42611',
    'column "track_entry_key" of table "made_up" is generated', 'P10: a generated key is refused');
CREATE TABLE made_up_release (
    track_entry_key text NOT NULL, release_id bigint GENERATED ALWAYS AS (1) STORED, bucket text NOT NULL);
SELECT throws_ok($$SELECT playevent.attach_log('made_up_release', track => 'track')$$, '42611', NULL,
    'P10: a generated release is refused');

-- a column that may be null after all
ALTER TABLE play_event ALTER bucket DROP NOT NULL;
INSERT INTO play_event (track_entry_key) VALUES ('a');
SELECT results_eq('SELECT plays FROM play_counter WHERE bucket IS NULL', ARRAY[1::bigint], 'P3: null is a kind like others');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: in verify too');

-- forged triggers
CREATE TABLE forged (a text NOT NULL, b bigint, c text NOT NULL);
CREATE TRIGGER nonsense AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION playevent.count('a b c', 'd', 'e');
SELECT throws_ok($$INSERT INTO forged VALUES ('a', 1, 'b')$$, '42P01', NULL, 'P10: an argument that is no name');
SELECT lives_ok('SELECT * FROM playevent.log', 'P10: does not spoil the view for others');
DROP TRIGGER nonsense ON forged;
CREATE TABLE twice (a text, n bigint NOT NULL);
CREATE INDEX ON twice (a);
CREATE TRIGGER nonsense AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION playevent.count('twice', 'n', 'a', 'a');
SELECT throws_ok($$INSERT INTO forged VALUES ('a', 1, 'b')$$, '42701', NULL, 'P10: a column named twice');
DROP TRIGGER nonsense ON forged;
CREATE TRIGGER nonsense AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION playevent.count();
SELECT throws_ok($$INSERT INTO forged VALUES ('a', 1, 'b')$$, '39P01', NULL, 'P10: too few arguments');
DROP TRIGGER nonsense ON forged;
CREATE TRIGGER nonsense BEFORE INSERT ON forged FOR EACH ROW EXECUTE FUNCTION playevent.count('twice', 'n', 'a');
SELECT throws_ok($$INSERT INTO forged VALUES ('a', 1, 'b')$$, '39P01', NULL, 'P10: at the wrong event');
SELECT throws_ok($$SELECT playevent.trigger_arguments('\xe900')$$, '22021', NULL, 'P9: arguments in another encoding');

-- a log moved to another schema with its tables
CREATE SCHEMA moved;
SET search_path = moved, odd, public;
ALTER TABLE odd.play_event SET SCHEMA moved;
SELECT lives_ok($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('a', 'most')$$,
    'P10: a log that moved without its tables finds them');
ALTER TABLE odd.play_counter_slot SET SCHEMA moved;
ALTER TABLE odd.play_daily_slot SET SCHEMA moved;
ALTER TABLE odd.track SET SCHEMA moved;
SELECT lives_ok($$INSERT INTO play_event (track_entry_key, bucket) VALUES ('a', 'most')$$, 'P10: and with them');
SELECT is_empty($$SELECT * FROM playevent.verify('play_event')$$, 'P3: counts on');

-- someone else's table, attached by a superuser
CREATE ROLE odd_app;
GRANT ALL ON SCHEMA moved TO odd_app;
SET ROLE odd_app;
CREATE TABLE app_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL);
RESET ROLE;
GRANT SELECT ON track TO odd_app;
SELECT lives_ok($$SELECT playevent.attach_log('app_event', track => 'track');
    INSERT INTO app_event VALUES ('a', NULL, 'most')$$, 'P8: a superuser can attach a table for its owner');

SELECT * FROM finish();
ROLLBACK;
