-- What tests of who may do what have in common, in a schema of its own.

CREATE SCHEMA test;

-- Runs a statement as a role, in a way of replication, and goes back to who we
-- were: pgTAP is not to run as that role.
CREATE FUNCTION test.run_as(role name, statement text, replication text DEFAULT 'origin') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL session_replication_role = %I', replication);
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE statement;
    RESET ROLE;
    SET LOCAL session_replication_role = origin;
END
$$;
CREATE FUNCTION test.can(role name, statement text, title text) RETURNS text LANGUAGE sql AS $$
    SELECT lives_ok(format('SELECT test.run_as(%L, %L)', role, statement), 'P8: ' || title)
$$;
CREATE FUNCTION test.cannot(role name, statement text, message text, title text, state char(5) DEFAULT '42501')
RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(format('SELECT test.run_as(%L, %L)', role, statement), state, message, 'P8: ' || title)
$$;
