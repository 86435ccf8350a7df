--
-- Checking, mending and tidying counters.
--

-- verify, rebuild and compact act as the log's owner, with a search_path of
-- pg_catalog and row_security off (as_owner.c), after a check of the caller's own
-- rights.  What each returns, reports and locks, src/verify.c and
-- src/maintenance.c say.

CREATE FUNCTION playevent.verify(event regclass)
RETURNS TABLE (
    track_entry_key text,
    release_id text,
    kind text,
    counted bigint,
    logged bigint,
    counter text,
    further_key text)
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'playevent_verify';

COMMENT ON FUNCTION playevent.verify(regclass) IS
'the counters that differ from their log, in one snapshot; no row means exact';

CREATE FUNCTION playevent.tell_progress() RETURNS boolean
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_tell_progress';

COMMENT ON FUNCTION playevent.tell_progress() IS
'internal: true; in the query of rebuild, says how many rows of the log it has read';

-- What a command returns for each shard of a distributed log, one after another, in
-- which %s is the shard.  Each is a transaction of its own, as this user.
-- Errors: it fails for a shard, or a node can't be reached (55000).
CREATE FUNCTION playevent.on_shards(event regclass, command text) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shard record;
BEGIN
    FOR shard IN
        EXECUTE 'SELECT * FROM pg_catalog.run_command_on_shards($1, $2, parallel => false)' USING event, command
    LOOP
        IF NOT shard.success THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('shard %s of table "%s" could not be asked: %s', shard.shardid,
                    (SELECT relname FROM pg_class WHERE oid = event), shard.result),
                HINT = 'What has been done to other shards stays done. Try again once all nodes can be reached.';
        END IF;
        RETURN NEXT shard.result;
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.on_shards(regclass, text) IS
'internal: what a command returns for each shard of a distributed log';

CREATE FUNCTION playevent.verify_shards(event regclass)
RETURNS TABLE (
    track_entry_key text, release_id text, kind text, counted bigint, logged bigint, counter text, further_key text)
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT v.track_entry_key, v.release_id, v.kind, v.counted, v.logged, v.counter, v.further_key
      FROM playevent.on_shards(event, 'SELECT coalesce(pg_catalog.json_agg(v), ''[]'') FROM playevent.verify($pe$%s$pe$) AS v') AS result,
           pg_catalog.json_to_recordset(result::pg_catalog.json) AS v(
               track_entry_key text, release_id text, kind text, counted bigint, logged bigint, counter text, further_key text);
END;

COMMENT ON FUNCTION playevent.verify_shards(regclass) IS
'internal: what verify says of all shards of a distributed log';

CREATE FUNCTION playevent.rebuild(event regclass) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_rebuild';

COMMENT ON FUNCTION playevent.rebuild(regclass) IS
'recomputes a log''s counters while plays go on, and returns how many were wrong';

CREATE FUNCTION playevent.compact(event regclass) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_compact';

COMMENT ON FUNCTION playevent.compact(regclass) IS
'merges spare slots of a log''s counters without making anyone wait, and returns how many it removed';

CREATE FUNCTION playevent.check_log(event regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'playevent_check_log';

COMMENT ON FUNCTION playevent.check_log(regclass) IS
'fails with the error that the log''s triggers would fail with, if any';

CREATE FUNCTION playevent.library_version() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'playevent_library_version';

COMMENT ON FUNCTION playevent.library_version() IS
'the release of the library that this connection has loaded';
