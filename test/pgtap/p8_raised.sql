-- P8, P7: an error that a log's owner's code raises is not taken for somebody's having
-- cancelled the command; and a cancelled command ends.
BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(4);
SET LOCAL client_min_messages = error;

CREATE ROLE raised_mallory;
CREATE SCHEMA m AUTHORIZATION raised_mallory;
CREATE FUNCTION public.cancel() RETURNS void LANGUAGE sql SECURITY DEFINER AS
    'SELECT FROM pg_cancel_backend(pg_backend_pid())';
SET ROLE raised_mallory;
SET LOCAL search_path = m, public;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
SELECT playevent.create_log('play', 'track');
INSERT INTO play_event (track_entry_key, bucket) VALUES ('k', 'most');
CREATE TABLE armed (how text);
CREATE FUNCTION go() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM m.armed WHERE how = 'cancel') THEN
        PERFORM public.cancel();
    ELSIF EXISTS (SELECT FROM m.armed) THEN
        RAISE EXCEPTION 'no' USING ERRCODE = (SELECT how FROM m.armed);
    END IF;
    RETURN true;
END
$$;
CREATE FUNCTION n(int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN m.go(); END';
CREATE INDEX i ON play_event (bucket) WHERE m.n(1);

RESET ROLE;
CREATE FUNCTION public.enable(how text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    ALTER INDEX m.i SET (fillfactor = 80);
    ALTER TABLE m.play_event DISABLE TRIGGER ALL;
    INSERT INTO m.armed SELECT how WHERE how IS NOT NULL;
    ALTER TABLE m.play_event ENABLE TRIGGER ALL;
    DELETE FROM m.armed;
    RETURN 'enabled';
EXCEPTION WHEN query_canceled OR admin_shutdown OR crash_shutdown THEN
    RETURN SQLSTATE;
END
$$;
SELECT is(public.enable('57P01'), 'enabled', 'P8: the command of whoever enables triggers goes on, though the owner''s code says it must not');
SELECT is(public.enable('57014'), 'enabled', 'P8: nor is it cancelled by that');
SELECT is(public.enable('cancel'), '57014', 'P8: one that was cancelled ends');
SELECT ok(intact, 'P7: all are enabled') FROM playevent.log WHERE event = 'm.play_event'::regclass;

SELECT * FROM finish();
ROLLBACK;
