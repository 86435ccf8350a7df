--
-- How long plays are kept, and what a timer calls.
--

-- playevent.set_retain(event regclass, retain interval, shorten boolean = false)
--     returns void
--
-- Changes for how long maintain keeps a log's plays before it retires them; for ever,
-- if retain is null.  To keep them for a shorter time than was promised takes
-- shorten => true, and leaves an entry in the manifest.
--
-- Errors: not a log that is partitioned by time (55000), not its owner (42501), a bad
-- retain (22023), a shorter one without shorten (55000); no lock within 200 ms (55P03).
-- Locks: the event table in AccessExclusiveLock, as DROP TRIGGER.
CREATE FUNCTION playevent.set_retain(event regclass, retain interval, shorten boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.set_retain(regclass, interval, boolean) IS
'changes how long a log''s plays are kept before they are retired';

CREATE FUNCTION playevent.set_retain_as_owner(event regclass, retain interval, shorten boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET "IntervalStyle" = 'postgres'
SET lock_timeout = '200ms'
AS $$
DECLARE
    policy record;
    shorter boolean;
BEGIN
    PERFORM playevent.check_not_null(shorten IS NULL, 'shorten'::text);
    policy := playevent.lock_partitions(event);
    PERFORM playevent.check_policy('month'::text, '1 day'::interval, retain);
    shorter := playevent.is_shorter(retain, policy.retain::interval);
    IF shorter AND NOT shorten THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('table "%s" keeps its plays for longer than that', (SELECT relname FROM pg_class WHERE oid = event)),
            DETAIL = format('They are kept %s.', coalesce('for ' || policy.retain, 'for ever')),
            HINT = 'If that is what you want: shorten => true.';
    END IF;
    PERFORM playevent.set_trigger(event, 'playevent_partition'::name,
        'BEFORE INSERT'::text, 'STATEMENT'::text, NULL::text, 'partition'::text,
        ARRAY[policy.created_column, coalesce(policy.partition_by, ''), coalesce(retain::text, ''),
              coalesce(policy.id_column, ''), coalesce(policy.listener_column, '')]::text[]);
    IF shorter THEN
        PERFORM playevent.note(event, 'retain'::text,
            reason => format('kept for %s, and not for %s any more', retain, coalesce(policy.retain, 'ever')));
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.set_retain_as_owner(regclass, interval, boolean) IS
'internal: set_retain, acting as the log''s owner';

-- playevent.maintain(event regclass) returns table(what text, done bigint)
--
-- What a log needs from time to time, in one call for a timer: makes the partitions
-- to come, seals those that ended a day ago, forgets event_ids that are too old to
-- come again, merges spare slots, and retires what is older than the log's retain.
-- Returns what was done, and how often; what a lock could not be had for is put off,
-- and done the next time; what fails is a warning, too, and keeps nothing else from
-- being done.  That it was called is noted, for playevent.health.
--
-- Errors: not a log (55000), not its owner (42501), in a transaction with a snapshot
-- of its own (25001).  Locks: those of extend, seal, compact and retire; the event
-- table in ShareUpdateExclusiveLock.
CREATE FUNCTION playevent.maintain(event regclass) RETURNS TABLE (what text, done bigint)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'playevent_call_as_owner';

COMMENT ON FUNCTION playevent.maintain(regclass) IS
'makes a log''s partitions to come, seals and retires old ones, and tidies up; returns what was done';

-- When maintain was last called is said by a comment on the log's flush trigger, for
-- triggers are all that playevent has of a catalog: dumps and copies have it, and it
-- costs no table.  Noted in UTC, as seconds are.
CREATE FUNCTION playevent.note_maintained(event regclass, undone int) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    flush name;
BEGIN
    -- So its name means this table until we are done.
    PERFORM playevent.lock_table(event, 'SHARE UPDATE EXCLUSIVE'::text, false);
    SELECT t.name INTO flush
      FROM playevent.triggers(event) AS t WHERE t.function = 'playevent.flush'::regproc ORDER BY t.name LIMIT 1;
    IF FOUND THEN
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', flush, event,
            format('playevent.maintain: %s+00, %s undone',
                to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), undone));
    END IF;
END
$$;

COMMENT ON FUNCTION playevent.note_maintained(regclass, int) IS
'internal: notes that maintain was called, and how many of its steps were left undone';

CREATE FUNCTION playevent.maintain_as_owner(event regclass) RETURNS TABLE (what text, done bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET "TimeZone" = 'UTC'  -- for months to be the same everywhere
SET lock_timeout = '5s'  -- of steps that inserts would wait for, each has a shorter one
AS $$
DECLARE
    policy record;
    step text;
    left_undone text[] := '{}';
BEGIN
    -- There is nothing else to do for it.
    IF playevent.is_managed(event) THEN
        what := 'slots removed';
        done := playevent.compact(event);
        RETURN NEXT;
        RETURN;
    END IF;
    BEGIN
        PERFORM playevent.check_log(event);
    EXCEPTION WHEN lock_not_available THEN
        what := 'all: put off, for a lock could not be had';
        done := 0;
        RETURN NEXT;
        RETURN;
    END;
    SELECT * INTO policy FROM playevent.policy(event);
    FOREACH step IN ARRAY ARRAY['partitions made', 'partitions sealed', 'event_ids forgotten', 'slots removed', 'partitions retired'] LOOP
        BEGIN
            what := step;
            done := CASE step
                WHEN 'partitions made' THEN
                    CASE WHEN policy.partition_by IS NOT NULL THEN playevent.extend(event) END
                WHEN 'partitions sealed' THEN
                    CASE WHEN policy.created_column IS NOT NULL THEN playevent.seal(event, now() - '1 day'::interval) END
                WHEN 'event_ids forgotten' THEN
                    CASE WHEN policy.created_column IS NOT NULL THEN playevent.forget_event_keys(event, 1000000::bigint) END
                WHEN 'slots removed' THEN playevent.compact(event)
                WHEN 'partitions retired' THEN
                    CASE WHEN policy.retain IS NOT NULL THEN playevent.retire(event, now() - policy.retain::interval, true) END
                END;
            IF done IS NOT NULL THEN
                RETURN NEXT;
            END IF;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                left_undone := left_undone || (step || ': put off, for a lock could not be had');
            WHEN active_sql_transaction OR read_only_sql_transaction THEN
                RAISE;
            WHEN OTHERS THEN
                -- The other steps are not to wait for somebody to see to this one.
                RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = format('%s: %s', step, SQLERRM);
                left_undone := left_undone || format('%s: failed, %s', step, SQLERRM);
        END;
    END LOOP;
    BEGIN
        PERFORM playevent.note_maintained(event, cardinality(left_undone));
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        left_undone := left_undone || 'maintain noted: put off, for a lock could not be had'::text;
    END;
    FOREACH step IN ARRAY left_undone LOOP
        what := step;
        done := 0;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION playevent.maintain_as_owner(regclass) IS
'internal: maintain, acting as the log''s owner';
