--
-- What everyone may use.
--

-- The functions act with their caller's rights, and the view shows what
-- pg_trigger shows everyone.  Default privileges may have kept EXECUTE from the
-- public, and the event triggers call functions for whoever makes a table.
GRANT USAGE ON SCHEMA playevent TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA playevent TO PUBLIC;
GRANT SELECT ON playevent.log, playevent.counter, playevent.health, playevent.guard, playevent.stray_trigger TO PUBLIC;
