-- What the tests p8_hostile*.sql have in common, run in their transaction.
--
-- Mallory has a schema of her own, m, and nothing else.  Whatever she makes calls
-- m.tell, which notices when it runs as anyone but her.  What it notices, neither
-- an error nor a rolled back subtransaction takes away: it is a lock, held by the
-- session, on who ran it and on what it was in, of four letters.  Where she runs
-- as herself because somebody else asked for something, she tries what a
-- security-restricted operation forbids, and leaves a setting behind.

CREATE ROLE hostile_mallory;
CREATE ROLE hostile_owner;
CREATE ROLE hostile_web;
CREATE SCHEMA m AUTHORIZATION hostile_mallory;
CREATE SCHEMA o AUTHORIZATION hostile_owner;
CREATE SCHEMA hostile;
GRANT USAGE ON SCHEMA m, o TO PUBLIC;

-- Runs a statement as a role; 'ok', or the error.
CREATE FUNCTION hostile.attempt(role name, statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    path text := pg_catalog.current_setting('search_path');
BEGIN
    PERFORM pg_catalog.set_config('hostile.others', (role <> 'hostile_mallory')::text, true),
            pg_catalog.set_config('role', CASE role WHEN 'superuser' THEN 'none' ELSE role END, true);
    EXECUTE statement;
    PERFORM pg_catalog.set_config('role', 'none', true),
            pg_catalog.set_config('hostile.others', 'false', true),
            pg_catalog.set_config('search_path', path, true);
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    PERFORM pg_catalog.set_config('role', 'none', true);
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

-- What has to work for there to be a test at all.
CREATE FUNCTION hostile.prepare(role name, statement text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    result text := hostile.attempt(role, statement);
BEGIN
    IF result <> 'ok' THEN
        RAISE EXCEPTION '% could not: %: %', role, statement, result;
    END IF;
END
$$;
CREATE FUNCTION hostile.mallory(statement text) RETURNS void
LANGUAGE sql AS $$SELECT hostile.prepare('hostile_mallory', statement)$$;

CREATE FUNCTION hostile.works(role name, statement text, title text) RETURNS text
LANGUAGE sql AS $$SELECT is(hostile.attempt(role, statement), 'ok', 'P8: ' || title)$$;

CREATE FUNCTION hostile.fails(role name, statement text, state text, message text, title text) RETURNS text
LANGUAGE sql AS $$SELECT is(hostile.attempt(role, statement), state || ' ' || message, 'P8: ' || title)$$;

CREATE FUNCTION hostile.fails(role name, statement text, state text, title text) RETURNS text
LANGUAGE sql AS $$SELECT is(pg_catalog.left(hostile.attempt(role, statement), 5), state, 'P8: ' || title)$$;

-- For what one may not do (42501), or what nobody may as things are (55000)
CREATE FUNCTION hostile.refused(role name, statement text, title text) RETURNS text
LANGUAGE sql AS $$SELECT matches(hostile.attempt(role, statement), '^(42501|55000)', 'P8: ' || title)$$;

-- Works, or fails with an error that a user may meet; what matters comes after.
CREATE FUNCTION hostile.survives(role name, statement text, title text) RETURNS text
LANGUAGE sql AS $$SELECT unalike(hostile.attempt(role, statement), 'XX%', 'P8: ' || title)$$;

-- What Mallory's code noticed.
CREATE FUNCTION hostile.seen() RETURNS SETOF text
LANGUAGE sql AS $$
    SELECT CASE WHEN l.classid = 0 THEN 'escaped from ' ELSE 'as ' || l.classid::regrole || ': ' END ||
           convert_from(set_byte(set_byte(set_byte(set_byte('\x00000000', 0, (l.objid::bigint >> 24)::int & 255),
               1, (l.objid::bigint >> 16)::int & 255), 2, (l.objid::bigint >> 8)::int & 255),
               3, l.objid::bigint::int & 255), 'UTF8')
      FROM pg_locks l
     WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.objsubid = 2
    UNION ALL
    SELECT 'left behind: ' || l.it FROM current_setting('hostile.left', true) AS l(it) WHERE l.it <> ''
$$;

-- That it noticed nothing, from one such test to the next.
CREATE FUNCTION hostile.unseen(title text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text := is((SELECT string_agg(s, ', ' ORDER BY s) FROM hostile.seen() s), NULL, 'P8: ' || title);
BEGIN
    PERFORM pg_advisory_unlock_all(), set_config('hostile.left', '', false);
    RETURN result;
END
$$;

SELECT hostile.mallory($_$
    CREATE FUNCTION m.tell(what text) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        code int := ('x' || pg_catalog.encode(pg_catalog.convert_to(what, 'UTF8'), 'hex'))::bit(32)::int;
    BEGIN
        IF current_user <> 'hostile_mallory' THEN
            PERFORM pg_catalog.pg_advisory_lock(current_user::regrole::oid::int, code);
        ELSIF pg_catalog.current_setting('hostile.others', true) = 'true' THEN
            BEGIN
                PERFORM pg_catalog.set_config('role', 'none', true);
                PERFORM pg_catalog.pg_advisory_lock(0, code);
                RAISE 'undo this';
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
            BEGIN
                CREATE TEMPORARY TABLE hostile_temporary ();
                PERFORM pg_catalog.pg_advisory_lock(0, code);
                RAISE 'undo this';
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
            PERFORM pg_catalog.set_config('hostile.left', what, false);
        END IF;
        RETURN true;
    END $$;

    -- in disguise, as indexes and constraints want it
    CREATE FUNCTION m.yes(what text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN RETURN m.tell(what); END$$;
    CREATE FUNCTION m.same(what text, value text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
    $$BEGIN PERFORM m.tell(what); RETURN value; END$$;

    -- An agreed log, as the triggers and guards of one say; its slots have these
    -- indexes, and it has a partition for bucket y and a table with a row for x.
    CREATE FUNCTION m.make_log(log text, VARIADIC indexes text[]) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        index text;
    BEGIN
        EXECUTE format('CREATE TABLE m.%I (k text, r bigint, b text, plays bigint NOT NULL)', log || '_slot');
        EXECUTE format('CREATE TABLE m.%I (k text, r bigint, b text) PARTITION BY LIST (b)', log);
        EXECUTE format('CREATE TABLE m.%I PARTITION OF m.%I FOR VALUES IN (''y'')', log || '_y', log);
        EXECUTE format('CREATE TABLE m.%I (k text, r bigint, b text)', log || '_x');
        EXECUTE format('INSERT INTO m.%I VALUES (''k'', 1, ''x'')', log || '_x');
        EXECUTE format('CREATE TRIGGER playevent_slot_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON m.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION playevent.slot_guard(%L, ''count'', ''plays'', ''k'', ''r'', ''b'')',
            log || '_slot', quote_ident(log));
        EXECUTE format('CREATE TRIGGER playevent_slot_guard_row BEFORE INSERT OR UPDATE OR DELETE ON m.%I '
            'FOR EACH ROW EXECUTE FUNCTION playevent.slot_guard(%L, ''count'', ''plays'', ''k'', ''r'', ''b'')',
            log || '_slot', quote_ident(log));
        EXECUTE format('ALTER TABLE m.%I ENABLE ALWAYS TRIGGER playevent_slot_guard', log || '_slot');
        EXECUTE format('ALTER TABLE m.%I ENABLE ALWAYS TRIGGER playevent_slot_guard_row', log || '_slot');
        EXECUTE format('CREATE TRIGGER playevent_count AFTER INSERT ON m.%I '
            'FOR EACH ROW EXECUTE FUNCTION playevent.count(%L, ''plays'', ''k'', ''r'', ''b'')',
            log, quote_ident(log || '_slot'));
        EXECUTE format('CREATE TRIGGER playevent_flush AFTER INSERT ON m.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION playevent.flush()', log);
        EXECUTE format('GRANT ALL ON m.%I, m.%I, m.%I TO PUBLIC', log, log || '_y', log || '_slot');
        FOREACH index IN ARRAY indexes LOOP
            EXECUTE format('CREATE INDEX %I ON m.%I %s', log || '_' || split_part(index, ' ', 1), log || '_slot',
                substr(index, strpos(index, ' ')));
        END LOOP;
    END $$;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA m TO PUBLIC;
$_$);

-- The owner's things, and what is in them
SELECT hostile.prepare('hostile_owner', $_$
    CREATE TABLE o.track (entry_key text PRIMARY KEY, release_id bigint);
    INSERT INTO o.track VALUES ('k1', 1), ('k2', 2);
    CREATE TABLE o.payroll (name text NOT NULL, salary bigint NOT NULL);
    INSERT INTO o.payroll VALUES ('alice', 100);
$_$);
CREATE FUNCTION hostile.contents(VARIADIC tables text[]) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    it text;
    rows text;
    result text := '';
BEGIN
    FOREACH it IN ARRAY tables LOOP
        CONTINUE WHEN to_regclass(it) IS NULL;
        EXECUTE format('SELECT coalesce(string_agg(t::text, '' '' ORDER BY t::text), ''nothing'') FROM %s t', it) INTO rows;
        result := result || it || ': ' || rows || E'\n';
    END LOOP;
    RETURN result;
END
$$;
