--
-- The event triggers: partitions that come and go, rows that ALTER TABLE would
-- rewrite, who may make triggers, names that change.
--

CREATE FUNCTION playevent.watch_partitions() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_watch_partitions';

COMMENT ON FUNCTION playevent.watch_partitions() IS
'event trigger: notices partitions that come to a log or leave it, triggers enabled in another way than they were made, and slot tables that get an index';

CREATE EVENT TRIGGER playevent_watch_partitions ON ddl_command_end
WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE SCHEMA',
             'ALTER TYPE',  -- by which columns of tables of a type come and go
             'CREATE INDEX')  -- which may be the last that a restore makes of a slot table
EXECUTE FUNCTION playevent.watch_partitions();

ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER playevent_watch_partitions IS
'partitions do not inherit the trigger against TRUNCATE';

-- A partition that has rows leaves a log by playevent.retire alone, and does not
-- come back.  Of a plain DETACH, the event trigger above sees to that.
CREATE FUNCTION playevent.watch_moves() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_watch_moves';

COMMENT ON FUNCTION playevent.watch_moves() IS
'event trigger: refuses DETACH PARTITION CONCURRENTLY of a log''s partition, and ATTACH PARTITION of one that was retired';

CREATE EVENT TRIGGER playevent_watch_moves ON ddl_command_start
WHEN TAG IN ('ALTER TABLE')
EXECUTE FUNCTION playevent.watch_moves();

ALTER EVENT TRIGGER playevent_watch_moves ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER playevent_watch_moves IS
'DETACH PARTITION CONCURRENTLY commits before it ends; a table that was retired is counted already';

-- Tables go by DROP of whatever they depend on.
CREATE FUNCTION playevent.watch_drops() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_watch_drops';

COMMENT ON FUNCTION playevent.watch_drops() IS
'event trigger: refuses to drop a log''s partition with rows by itself';

CREATE EVENT TRIGGER playevent_watch_drops ON sql_drop
EXECUTE FUNCTION playevent.watch_drops();

ALTER EVENT TRIGGER playevent_watch_drops ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER playevent_watch_drops IS
'a partition that is dropped takes rows along that are counted';

-- For rows that ALTER COLUMN TYPE writes anew, no other trigger fires.
CREATE FUNCTION playevent.watch_rewrites() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_watch_rewrites';

COMMENT ON FUNCTION playevent.watch_rewrites() IS
'event trigger: refuses ALTER COLUMN TYPE where it would change what a log or its counters say';

CREATE EVENT TRIGGER playevent_watch_rewrites ON table_rewrite
EXECUTE FUNCTION playevent.watch_rewrites();

ALTER EVENT TRIGGER playevent_watch_rewrites ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER playevent_watch_rewrites IS
'no trigger of the table fires for rows that are rewritten';

-- The triggers act with the rights of the table's owner, so nobody else may say
-- what they do, nor put others in their place; for CREATE TRIGGER alone, the
-- right TRIGGER on the table is enough.
CREATE FUNCTION playevent.check_trigger_owner() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_check_trigger_owner';

COMMENT ON FUNCTION playevent.check_trigger_owner() IS
'event trigger: lets a table''s owner alone put playevent''s triggers on it, or replace them';

CREATE EVENT TRIGGER playevent_check_trigger_owner ON ddl_command_end
WHEN TAG IN ('CREATE TRIGGER', 'CREATE SCHEMA')
EXECUTE FUNCTION playevent.check_trigger_owner();

ALTER EVENT TRIGGER playevent_check_trigger_owner ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER playevent_check_trigger_owner IS
'playevent''s triggers act with the rights of the table''s owner';

-- A log, its slot tables and its track table may be renamed, and moved to another
-- schema; its kinds may be renamed.
CREATE FUNCTION playevent.follow_renames() RETURNS event_trigger
LANGUAGE c
SET quote_all_identifiers = off  -- as in what it looks for
AS 'MODULE_PATHNAME', 'playevent_follow_renames';

COMMENT ON FUNCTION playevent.follow_renames() IS
'event trigger: lets the triggers of logs name tables as they are called after ALTER ... RENAME and SET SCHEMA';

CREATE EVENT TRIGGER playevent_follow_renames ON ddl_command_end
WHEN TAG IN ('ALTER TABLE', 'ALTER INDEX', 'ALTER SCHEMA', 'ALTER EXTENSION', 'ALTER TYPE',
             'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE')  -- by which columns of tables can be renamed
EXECUTE FUNCTION playevent.follow_renames();

ALTER EVENT TRIGGER playevent_follow_renames ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER playevent_follow_renames IS
'the triggers of logs name tables, their functions logs and kinds';
