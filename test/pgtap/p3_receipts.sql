-- P3, P9: record_play and record_plays record each event once, tell what became
-- of it, and count as an INSERT would; one bad row costs the others nothing.

BEGIN;
CREATE EXTENSION IF NOT EXISTS playevent;
SELECT plan(169);

CREATE SCHEMA p3_receipts;
SET LOCAL search_path = p3_receipts, public;
SET LOCAL client_min_messages = warning;

CREATE TABLE track (entry_key text PRIMARY KEY, release_id int, is_deleted boolean NOT NULL DEFAULT false);
INSERT INTO track VALUES ('k1', 1), ('k2', 2), ('loose', NULL);
INSERT INTO track VALUES ('gone', 9, true);
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted') AS log \gset

-- An event_id from a small number
CREATE FUNCTION e(n int) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (current_setting('test.way') || lpad(to_hex(n), 31, '0'))::uuid
$$;
SET LOCAL test.way = '0';
CREATE FUNCTION exact(log text, title text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT is_empty(format('SELECT * FROM playevent.verify(%L)', log), 'P3: exact ' || title);
END
$$;
-- The receipts of a batch.  Rows are there for the next statement, not for the
-- one that records them.
CREATE TEMP TABLE receipt (ord int, status text, id bigint, reason text);
CREATE FUNCTION batch(call text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM receipt;
    EXECUTE 'INSERT INTO receipt SELECT * FROM ' || call;
END
$$;
-- The fields of an error, without its message
CREATE FUNCTION error_fields(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    tab text; col text; det text; mess text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS tab = TABLE_NAME, col = COLUMN_NAME, det = PG_EXCEPTION_DETAIL, mess = MESSAGE_TEXT;
    RETURN concat_ws(' ', SQLSTATE, nullif(tab, ''), nullif(col, ''),
                     CASE WHEN mess || det LIKE '%secret%' THEN 'tells anon_id' END);
END
$$;

--
-- One play
--

SELECT is(record_play('k1', 'complete'), 1::bigint, 'P3: record_play returns the new row''s id');
SELECT is(record_play('k1', 'most', e(1), 'a'), 2::bigint, 'P3: with an event_id');
SELECT is(record_play('k1', 'most', e(1), 'a'), 2::bigint, 'P3: a retry gets the first one''s id');
SELECT is(record_play('k2', 'partial', e(1)), 2::bigint, 'P3: whatever else it says');
SELECT is(record_play(track_entry_key => 'unknown', bucket => 'most', event_id => NULL), 5::bigint,
          'P3: a play of an unknown track');
SELECT results_eq('SELECT track_entry_key::text, release_id, bucket, anon_id, event_id FROM play_event ORDER BY id',
    $$VALUES ('k1', 1, 'complete'::play_bucket, NULL, NULL::uuid), ('k1', 1, 'most', 'a', e(1)),
             ('unknown', NULL, 'most', NULL, NULL)$$,
    'P3: the rows are as they were sent, with their releases');
SELECT exact('play_event', 'after single plays');

SELECT is(error_fields($$SELECT record_play(NULL, 'most', NULL, 'secret')$$), '23502 play_event track_entry_key',
          'P9: no key');
SELECT is(error_fields($$SELECT record_play('k1', NULL, NULL, 'secret')$$), '23502 play_event bucket',
          'P9: no bucket');
SELECT is(error_fields($$SELECT record_play('', 'most', NULL, 'secret')$$), '23514 play_event track_entry_key',
          'P9: an empty key');
SELECT is(error_fields($$SELECT record_play(repeat('é', 101), 'most', NULL, 'secret')$$),
          '22001 play_event track_entry_key', 'P9: a key of 101 characters');
SELECT lives_ok($$SELECT record_play(repeat('é', 100), 'most')$$, 'P9: one of 100 characters is recorded');
SELECT is(error_fields($$SELECT record_play('k1', 'loud', NULL, 'secret')$$), '22P02', 'P9: an unknown bucket');

--
-- A batch, both ways: directly, and by a statement, since a trigger of the
-- app's own has a say.
--

CREATE FUNCTION of_the_app() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.anon_id = 'skip' THEN
        RETURN NULL;
    ELSIF NEW.anon_id = 'bad' THEN
        RAISE EXCEPTION 'not this one';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION batches(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
DECLARE
    first bigint;
    rows bigint := (SELECT count(*) FROM play_event);
BEGIN
    RETURN NEXT is((SELECT count(*) FROM record_plays('{}', '{}')), 0::bigint, way || ': no rows, no receipts');
    first := record_play('k1', 'complete', e(100));
    PERFORM set_config('test.first', first::text, true);
    RETURN NEXT results_eq($$
        SELECT ord, status, id = current_setting('test.first')::bigint, reason
          FROM record_plays(ARRAY['k1', 'k2', NULL, '', repeat('x', 101), 'k2', 'loose', 'gone', 'k1', 'k2', 'unknown'],
            '{complete,most,most,most,most,NULL,partial,partial,complete,most,most}',
            ARRAY[e(100), e(101), e(102), e(103), e(104), e(105), NULL, NULL, e(101), e(102), NULL])$$,
        $$VALUES (1, 'duplicate', true, NULL), (2, 'recorded', false, NULL), (3, 'rejected', NULL, 'no key'),
            (4, 'rejected', NULL, 'empty key'), (5, 'rejected', NULL, 'key too long'),
            (6, 'rejected', NULL, 'no kind'), (7, 'recorded', false, NULL), (8, 'recorded', false, NULL),
            (9, 'duplicate', false, NULL), (10, 'recorded', false, NULL), (11, 'recorded', false, NULL)$$,
        way || ': each row gets its receipt, in order');
    RETURN NEXT results_eq($$SELECT event_id, track_entry_key::text FROM play_event
                              WHERE event_id BETWEEN e(100) AND e(105) ORDER BY 1$$,
        $$VALUES (e(100), 'k1'), (e(101), 'k2'), (e(102), 'k2')$$,
        way || ': each event_id is there once, and that of a rejected row is free for the next');
    RETURN NEXT is((SELECT count(*) FROM play_event), rows + 6, way || ': six rows more');
    PERFORM batch($$record_plays('{k1,gone,k2}', '{most,most,complete}', NULL, '{a,b,NULL}')$$);
    RETURN NEXT results_eq($$SELECT r.id, p.track_entry_key::text, p.release_id, p.bucket, p.anon_id
                               FROM receipt r JOIN play_event p USING (id) ORDER BY ord$$,
        $$SELECT max(id) - 2, 'k1', 1, 'most'::play_bucket, 'a' FROM play_event UNION ALL
          SELECT max(id) - 1, 'gone', NULL, 'most', 'b' FROM play_event UNION ALL
          SELECT max(id), 'k2', 2, 'complete', NULL FROM play_event ORDER BY 1$$,
        way || ': receipts name the rows, ids go up with them');
    RETURN NEXT results_eq($$SELECT DISTINCT status, id IS NULL FROM record_plays(
            (SELECT array_agg('k' || n % 3) FROM generate_series(1, 3000) n), array_fill('most'::play_bucket, '{3000}'),
            (SELECT array_agg(e(1000000 + n * 7919 % 3001)) FROM generate_series(1, 3000) n))$$,
        $$VALUES ('recorded', false)$$, way || ': a large batch');
    RETURN NEXT results_eq($$SELECT DISTINCT status, p.event_id = r.sent FROM (
            SELECT status, id, sent FROM (SELECT array_agg(e(1000000 + n)) FROM generate_series(1, 3000) n) a(ids),
                record_plays(array_fill('k1'::text, '{3000}'), array_fill('most'::play_bucket, '{3000}'), ids)
                JOIN unnest(ids) WITH ORDINALITY u(sent, ord) USING (ord)) r JOIN play_event p USING (id)$$,
        $$VALUES ('duplicate', true)$$, way || ': and again, each with the id of its first');
    RETURN NEXT exact('play_event', way);

    -- late ones
    PERFORM batch($$record_plays('{k1,k1,k1,k1,k1}', '{most,most,most,most,most}', NULL, NULL,
            ARRAY[timestamptz '2020-02-29 23:30-01', clock_timestamp() + interval '10 min', 'infinity', '-infinity', NULL])$$);
    RETURN NEXT results_eq($$
        SELECT status, reason, played_at, day FROM receipt LEFT JOIN play_event USING (id) ORDER BY ord$$,
        $$VALUES ('recorded', NULL, timestamptz '2020-03-01 00:30+00', date '2020-03-01'),
            ('rejected', 'time in the future', NULL, NULL), ('rejected', 'time not finite', NULL, NULL),
            ('rejected', 'time not finite', NULL, NULL),
            ('recorded', NULL, NULL, (now() AT TIME ZONE 'UTC')::date)$$,
        way || ': late plays count for their day');

    -- This transaction began a while ago, and clocks differ.
    PERFORM batch($$record_plays('{k1,k1,k1}', '{most,most,most}', NULL, NULL,
            ARRAY[now() + interval '1 us', clock_timestamp(), clock_timestamp() + interval '4 min'])$$);
    RETURN NEXT results_eq('SELECT status, reason, played_at = created_at, created_at = now()
            FROM receipt LEFT JOIN play_event USING (id) ORDER BY ord',
        $$VALUES ('recorded', NULL, true, true), ('recorded', NULL, true, true), ('recorded', NULL, true, true)$$,
        way || ': plays since the transaction began, or by a clock that is ahead, are of when they are recorded');
    ALTER TABLE play_event ALTER created_at SET DEFAULT clock_timestamp();
    PERFORM set_config('test.sent', clock_timestamp()::text, true);
    PERFORM batch($$record_plays('{k1,k1}', '{most,most}', NULL, NULL, ARRAY[
            current_setting('test.sent')::timestamptz, clock_timestamp() + interval '4 min'])$$);
    RETURN NEXT results_eq($$SELECT status, played_at = current_setting('test.sent')::timestamptz, played_at <= created_at
            FROM receipt LEFT JOIN play_event USING (id) ORDER BY ord$$,
        $$VALUES ('recorded', true, true), ('recorded', false, true)$$,
        way || ': where created_at is the clock''s time, so is what plays are measured by');
    ALTER TABLE play_event ALTER created_at SET DEFAULT now();
END
$test$;

-- Ids are the numbers of the log's sequence, whatever that is like; currval tells
-- the last one, and who comes next gets the next.  Expected are their distances
-- from where the sequence starts.
CREATE SEQUENCE start START WITH 1000000 INCREMENT BY 100000;
CREATE FUNCTION numbered(way text, options text, VARIADIC expected bigint[]) RETURNS text LANGUAGE plpgsql AS $test$
DECLARE
    first bigint := nextval('start');
    ids bigint[];
BEGIN
    EXECUTE format('ALTER SEQUENCE play_event_id_seq START WITH %s RESTART ', first)
        || format(options, first - 4, first + 2);
    IF expected[1] > 0 THEN
        PERFORM nextval('play_event_id_seq');
    END IF;
    PERFORM batch($$record_plays(array_fill('k1'::text, '{5}'), array_fill('most'::play_bucket, '{5}'))$$);
    ids := (SELECT array_agg(id ORDER BY ord) FROM receipt JOIN play_event USING (id))
        || currval('play_event_id_seq') || record_play('k2', 'most');
    RETURN is((SELECT array_agg(id - first ORDER BY ord) FROM unnest(ids) WITH ORDINALITY u (id, ord)), expected,
              way || ': ids of a sequence with ' || options);
END
$test$;
CREATE FUNCTION numbers_run_out(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
DECLARE
    first bigint := nextval('start');
BEGIN
    EXECUTE format('ALTER SEQUENCE play_event_id_seq NO CYCLE MAXVALUE %s START WITH %s RESTART', first + 3, first);
    RETURN NEXT throws_ok(
        $$SELECT record_plays(array_fill('k1'::text, '{5}'), array_fill('most'::play_bucket, '{5}'))$$, '2200H',
        format('nextval: reached maximum value of sequence "play_event_id_seq" (%s)', first + 3),
        way || ': that there is no id for rows is not the rows'' fault');
    ALTER SEQUENCE play_event_id_seq NO MAXVALUE;
    PERFORM setval('play_event_id_seq', first + 4);
END
$test$;
CREATE FUNCTION numbers_of_all_kinds(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
BEGIN
    RETURN NEXT numbered(way, 'INCREMENT BY 1', 0, 1, 2, 3, 4, 4, 5);
    RETURN NEXT numbered(way, 'INCREMENT BY 10', 10, 20, 30, 40, 50, 50, 60);
    RETURN NEXT numbered(way, 'INCREMENT BY -7 MAXVALUE 9000000', 0, -7, -14, -21, -28, -28, -35);
    RETURN NEXT numbered(way, 'INCREMENT BY 1 CACHE 3', 1, 2, 3, 4, 5, 5, 6);
    RETURN NEXT numbered(way, 'CACHE 1 MINVALUE %s MAXVALUE %s CYCLE', 0, 1, 2, -4, -3, -3, -2);
    RETURN QUERY SELECT numbers_run_out(way);
    RETURN NEXT exact('play_event', way);
END
$test$;

SET LOCAL test.way = '1';
SELECT batches('P3, directly');
SELECT numbers_of_all_kinds('P3, directly');
-- By statement they would get them in the order of their event_ids.
SELECT results_eq($$SELECT ord FROM record_plays('{k1,k1,k1}', '{most,most,most}', ARRAY[e(303), e(301), e(302)]) ORDER BY id$$,
    'VALUES (1), (2), (3)', 'P3: directly it was: rows get their ids in their own order');
CREATE TRIGGER of_the_app BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION of_the_app();
SET LOCAL test.way = '2';
SELECT batches('P3, by statement');
SELECT numbers_of_all_kinds('P3, by statement');

-- A replica's session fires no resolve trigger, so rows keep what they have.
SET LOCAL session_replication_role = replica;
SELECT batch($$record_plays('{k1}', '{most}')$$);
SELECT results_eq($$SELECT status, release_id FROM receipt JOIN play_event USING (id)$$,
                  $$VALUES ('recorded', NULL::int)$$, 'P3: under session_replication_role = replica');
SET LOCAL session_replication_role = origin;
SELECT exact('play_event', 'after that');

-- Batches that are taken back, and others in the same transaction
DROP TRIGGER of_the_app ON play_event;
SAVEPOINT taken_back;
SELECT batch($$record_plays('{k1,k1,k2,loose}', '{most,most,most,most}', ARRAY[e(400), e(401), e(402), e(403)])$$);
ROLLBACK TO taken_back;
SELECT exact('play_event', 'after a batch was taken back');
SELECT results_eq($$SELECT status, count(*) FROM record_plays('{k1,k1,k2,loose}', '{most,most,most,most}',
        ARRAY[e(400), e(401), e(402), e(403)]) GROUP BY 1$$, $$VALUES ('recorded', bigint '4')$$,
    'P3: the same batch again');
SELECT results_eq($$SELECT status, count(*) FROM record_plays('{k1,k2,loose,k2}', '{most,most,most,most}',
        ARRAY[e(404), e(402), e(406), e(407)]) GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('duplicate', bigint '1'), ('recorded', 3)$$, 'P3: and one more, with a duplicate of that');
SELECT exact('play_event', 'after both');
CREATE TRIGGER of_the_app BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION of_the_app();

--
-- Rows that the app's own triggers and constraints refuse
--

SELECT results_eq($$SELECT ord, status, id IS NULL, reason FROM record_plays('{k1,k1,k2,k2,k1,k2}',
        array_fill('most'::play_bucket, '{6}'), ARRAY[e(200), e(201), e(201), NULL, NULL, e(201)],
        '{skip,bad,ok,bad,ok,ok}')$$,
    $$VALUES (1, 'rejected', true, 'left out by a trigger'), (2, 'rejected', true, 'not this one'),
        (3, 'recorded', false, NULL), (4, 'rejected', true, 'not this one'), (5, 'recorded', false, NULL),
        (6, 'duplicate', false, NULL)$$,
    'P3: a row that a trigger refuses costs the others nothing, nor those that have its event_id');
SELECT is(record_play('k1', 'most', NULL, 'skip'), NULL, 'P3: record_play returns null if a trigger leaves the play out');
DROP TRIGGER of_the_app ON play_event;
ALTER TABLE play_event ADD CONSTRAINT short CHECK (length(anon_id) < 10);
SELECT results_eq($$SELECT ord, status, reason FROM record_plays('{k1,k2,k1}', '{most,most,most}', NULL,
        ARRAY['a', 'secret and long', 'b'])$$,
    $$VALUES (1, 'recorded', NULL), (3, 'recorded', NULL),
        (2, 'rejected', 'new row for relation "play_event" violates check constraint "short"') ORDER BY 1$$,
    'P3: so does a row that a constraint refuses; its reason tells no values');
SELECT exact('play_event', 'after refusals');

-- What else an INSERT would do: defaults, generated columns, all indexes
ALTER TABLE play_event ADD note text DEFAULT 'as ' || 'usual', ADD gone int DEFAULT 3,
    ADD shout text GENERATED ALWAYS AS (upper(track_entry_key) || '!') STORED;
ALTER TABLE play_event DROP COLUMN gone;
CREATE INDEX ON play_event (lower(track_entry_key)) WHERE bucket = 'most';
CREATE INDEX ON play_event USING brin (track_entry_key, release_id) WITH (pages_per_range = 1);
SELECT batch($$record_plays(ARRAY['k1', 'K2'], '{most,most}')$$);
SELECT results_eq($$SELECT note, shout FROM receipt JOIN play_event USING (id) ORDER BY ord$$,
    $$VALUES ('as usual', 'K1!'), ('as usual', 'K2!')$$, 'P3: defaults and generated columns are made');
ALTER TABLE play_event ADD part oid GENERATED ALWAYS AS (tableoid) STORED;
SELECT batch($$record_plays(ARRAY['k1'], '{most}')$$);
SELECT results_eq($$SELECT part::regclass FROM receipt JOIN play_event USING (id)$$, $$VALUES ('play_event'::regclass)$$,
    'P3: also of what the row''s table is');
ALTER TABLE play_event DROP COLUMN part;
CREATE DOMAIN certain AS text NOT NULL;
ALTER TABLE play_event ADD sure certain DEFAULT 'yes';
ALTER TABLE play_event ALTER sure DROP DEFAULT;
SELECT throws_ok($$SELECT record_plays(ARRAY['k1'], '{most}')$$, '23502', 'domain p3_receipts.certain does not allow null values',
    'P7: what a dump could not bring back is not recorded');
ALTER TABLE play_event DROP COLUMN sure;
SELECT throws_ok($$SELECT FROM record_plays(array_fill('k1'::text, ARRAY[9600000]), array_fill('most'::play_bucket, ARRAY[9600000]))$$,
    '54000', 'batch has 9600000 rows, which is too many', 'P9: a batch beyond all bounds');
CREATE FUNCTION found(condition text) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE 'SELECT count(*) FROM play_event WHERE ' || condition INTO n;
    RETURN n;
END
$$;
SELECT is(found($$lower(track_entry_key) = 'k2' AND bucket = 'most' AND shout = 'K2!' AND note IS NOT NULL$$),
          (SELECT count(*) FROM (SELECT * FROM play_event OFFSET 0) p WHERE shout = 'K2!' AND bucket = 'most' AND note IS NOT NULL),
          'P3: an index on an expression, of some rows, finds them');
-- A block's worth of equal values, then another: both are in the range.
SELECT brin_summarize_new_values(oid::regclass) AS ranges FROM pg_class
 WHERE relname = 'play_event_track_entry_key_release_id_idx' \gset
SELECT batch($$record_plays('{zz,zz,zz,zz1,zz,zz2}', array_fill('partial'::play_bucket, '{6}'))$$);
SELECT is(found($$track_entry_key >= 'zz1' AND track_entry_key < 'zz3'$$), 2::bigint, 'P3: a BRIN index finds them');
CREATE UNIQUE INDEX once ON play_event (anon_id, track_entry_key) WHERE anon_id LIKE 'once%';
SELECT results_eq($$SELECT status, reason FROM record_plays('{k1,k1,k2}', '{most,most,most}', NULL, '{once,once,once}') ORDER BY ord$$,
    $$VALUES ('recorded', NULL), ('rejected', 'duplicate key value violates unique constraint "once"'), ('recorded', NULL)$$,
    'P3: a unique index of the app''s own is one reason more');
SELECT exact('play_event', 'with columns and indexes of the app''s own');

-- P9: "rejected" is for ever, so it is said of a row's own faults.  What else is in
-- the way, an error says, and the batch can come again.  What becomes of a batch
-- after a change, of which nothing stays:
CREATE FUNCTION outcome(change text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE change;
    EXECUTE $q$SELECT string_agg(concat(status, ': ' || reason), ', ' ORDER BY ord) FROM $q$ || call INTO result;
    RAISE EXCEPTION SQLSTATE 'UNDO0';
EXCEPTION
    WHEN SQLSTATE 'UNDO0' THEN
        RETURN result;
    WHEN OTHERS THEN
        RETURN SQLSTATE;
END
$$;
CREATE TABLE site (id int PRIMARY KEY);
INSERT INTO site VALUES (1), (2);
CREATE TABLE heard (listener text PRIMARY KEY);
CREATE FUNCTION also_there() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_ARGV[0] = 'once' THEN
        INSERT INTO p3_receipts.heard VALUES (NEW.anon_id);
    ELSIF TG_ARGV[0] = 'change' THEN
        UPDATE p3_receipts.play_event SET anon_id = 'z' WHERE id = NEW.id;
    ELSIF NEW.anon_id = 'x' THEN
        RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'raised';
    END IF;
    RETURN NEW;
END
$$;
CREATE FUNCTION also(argument text) RETURNS text LANGUAGE sql AS $$
    SELECT format('CREATE TRIGGER also_there AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION also_there(%L)', argument)
$$;
CREATE FUNCTION faults(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
DECLARE
    two text := $$record_plays('{k1,k2}', '{most,most}', NULL, '{x,y}')$$;
    same text := $$record_plays('{k1,k1}', '{most,most}', NULL, '{x,x}')$$;
    violates text := 'rejected: duplicate key value violates unique constraint "own"';
BEGIN
    PERFORM batch($$record_plays(array_fill('k1'::text, '{20}'), array_fill('most'::play_bucket, '{20}'))$$);
    RETURN QUERY SELECT is(outcome(change, call), expected, way || ': ' || title)
      FROM (VALUES
        ('a sequence behind its table', (SELECT format('ALTER TABLE play_event ALTER id RESTART %s', min(id)) FROM receipt),
            two, '23505'),
        ('a column that nobody fills in',
            'ALTER TABLE play_event ADD must int NOT NULL DEFAULT 0; ALTER TABLE play_event ALTER must DROP DEFAULT', two, '23502'),
        ('a column that nobody fills in any more', 'ALTER TABLE play_event ALTER created_at DROP DEFAULT', two, '23502'),
        ('a default that can''t be computed',
            'ALTER TABLE play_event ADD odd int; ALTER TABLE play_event ALTER odd SET DEFAULT 1 / 0', two, '22012'),
        ('a default that its domain refuses', 'CREATE DOMAIN low AS int CHECK (VALUE < 5);
            ALTER TABLE play_event ADD odd low; ALTER TABLE play_event ALTER odd SET DEFAULT 5', two, '23514'),
        ('a default that is too long',
            'ALTER TABLE play_event ADD odd varchar(3); ALTER TABLE play_event ALTER odd SET DEFAULT ''four''', two, '22001'),
        ('a default that a constraint refuses', 'ALTER TABLE play_event ADD odd int CONSTRAINT own CHECK (odd < 5);
            ALTER TABLE play_event ALTER odd SET DEFAULT 5', two, '23514'),
        ('a constraint of what is sent and what is not', 'ALTER TABLE play_event ADD odd int DEFAULT 1;
            ALTER TABLE play_event ADD CONSTRAINT own CHECK (odd < 5 AND anon_id <> ''x'') NOT VALID', two,
            'rejected: new row for relation "play_event" violates check constraint "own", recorded'),
        ('a constraint of the whole row', 'ALTER TABLE play_event
            ADD CONSTRAINT own CHECK (to_jsonb(play_event) ->> ''anon_id'' <> ''x'') NOT VALID', two,
            'rejected: new row for relation "play_event" violates check constraint "own", recorded'),
        ('a default that refers to nothing', 'ALTER TABLE play_event ADD site int CONSTRAINT own REFERENCES site;
            ALTER TABLE play_event ALTER site SET DEFAULT 3', two, '23503'),
        ('a value that refers to nothing', 'INSERT INTO heard VALUES (''y''); ALTER TABLE play_event
            ADD CONSTRAINT own FOREIGN KEY (anon_id) REFERENCES heard NOT VALID', two,
            'rejected: insert or update on table "play_event" violates foreign key constraint "own", recorded'),
        ('a unique index of what is made', 'ALTER TABLE play_event ADD odd int; CREATE UNIQUE INDEX own ON play_event (odd);
            ALTER TABLE play_event ALTER odd SET DEFAULT 5', two, '23505'),
        ('a unique index of what is made, for some rows', 'ALTER TABLE play_event ADD odd int;
            CREATE UNIQUE INDEX own ON play_event (odd) WHERE bucket = ''most''; ALTER TABLE play_event ALTER odd SET DEFAULT 5',
            two, '23505'),
        ('a unique index of what is sent', 'CREATE UNIQUE INDEX own ON play_event (anon_id, track_entry_key)
            WHERE anon_id = ''x''', same, 'recorded, ' || violates),
        ('one of expressions', 'CREATE UNIQUE INDEX own ON play_event (lower(anon_id)) WHERE upper(anon_id) = ''X''', same,
            'recorded, ' || violates),
        ('one of a generated column', 'ALTER TABLE play_event ADD big text GENERATED ALWAYS AS (upper(anon_id)) STORED;
            CREATE UNIQUE INDEX own ON play_event (big) WHERE big = ''X''', same, 'recorded, ' || violates),
        ('one of a constant, too', 'ALTER TABLE play_event ADD site int DEFAULT 1;
            CREATE UNIQUE INDEX own ON play_event (site, anon_id) WHERE anon_id = ''x''', same, 'recorded, ' || violates),
        ('one of the release, too', 'CREATE UNIQUE INDEX own ON play_event (anon_id, release_id) WHERE anon_id = ''x''', same,
            'recorded, ' || violates),
        ('one of the day, too', 'CREATE UNIQUE INDEX own ON play_event (anon_id, day) WHERE anon_id = ''x''', same,
            'recorded, ' || violates),
        ('one of what is another next time', 'CREATE UNIQUE INDEX own ON play_event (anon_id, created_at) WHERE anon_id = ''x''',
            same, '23505'),
        ('one for rows that next time are others',
            'CREATE UNIQUE INDEX own ON play_event (anon_id) WHERE anon_id = ''x'' AND created_at > ''2020-01-01''', same, '23505'),
        ('a constraint that excludes', 'ALTER TABLE play_event ADD CONSTRAINT own EXCLUDE (anon_id WITH =) WHERE (anon_id = ''x'')',
            same, 'recorded, rejected: conflicting key value violates exclusion constraint "own"'),
        ('a row beyond an index''s bounds', 'CREATE INDEX own ON play_event (anon_id); ALTER TABLE play_event DROP CONSTRAINT short',
            $$(SELECT ord, status, left(reason, 9) AS reason FROM record_plays('{k1,k2}', '{most,most}', NULL, ARRAY[
                (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n), 'y'])) r$$, 'rejected: index row, recorded'),
        ('a trigger refuses', also('P0001'), two, 'rejected: raised, recorded'),
        ('with an SQLSTATE of data', also('22023'), two, 'rejected: raised, recorded'),
        ('with one of constraints', also('23514'), two, 'rejected: raised, recorded'),
        ('a limit that Postgres has come to, as when it is out of transaction ids', also('54000'), two, '54000'),
        ('a table that a trigger writes to refuses', also('once'), same, '23505'),
        ('a trigger tries what none may', also('change'), two, '23001')
      ) AS cases (title, change, call, expected);
    RETURN NEXT exact('play_event', way);
END
$test$;
SELECT faults('P9, directly');
CREATE TRIGGER of_the_app BEFORE INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION of_the_app();
SELECT faults('P9, by statement');
DROP TRIGGER of_the_app ON play_event;

-- Partitions, whose columns may be in another order
CREATE TABLE parted (
    id bigint GENERATED BY DEFAULT AS IDENTITY, track_entry_key text NOT NULL, release_id int, bucket play_bucket NOT NULL,
    anon_id text, event_id uuid, created_at timestamptz DEFAULT now(), played_at timestamptz) PARTITION BY LIST (event_id);
CREATE UNIQUE INDEX ON parted (event_id) WHERE event_id IS NOT NULL;
CREATE TABLE part (bucket play_bucket NOT NULL, created_at timestamptz, played_at timestamptz, anon_id text, release_id int,
    event_id uuid, track_entry_key text NOT NULL, id bigint NOT NULL, CONSTRAINT own CHECK (anon_id <> 'a'));
ALTER TABLE parted ATTACH PARTITION part FOR VALUES IN ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002');
CREATE FUNCTION parts(VARIADIC ids int[]) RETURNS text LANGUAGE sql AS $$
    SELECT format($q$playevent.record_batch('parted', '{id,track_entry_key,bucket,event_id,anon_id,played_at,release_id,""}', NULL, array_fill('k1'::text, ARRAY[%s]),
        array_fill('most'::play_bucket, ARRAY[%1$s]), ARRAY(SELECT lpad(u::text, 32, '0')::uuid FROM unnest(%2$L::int[]) u),
        (ARRAY['a', 'b', 'b'])[:%1$s], NULL::timestamptz[], NULL::int[])$q$, cardinality(ids), ids)
$$;
SELECT is(outcome('', parts(1, 2)), 'rejected: new row for relation "part" violates check constraint "own", recorded',
    'P9: a constraint of a partition');
SELECT is(outcome('', parts(1, 2, 3)), '23514', 'P9: a partition that is missing');

-- Without a unique index there is no telling duplicates: nothing goes in.
SAVEPOINT no_index;
DROP INDEX play_event_event_id_idx;
CREATE UNIQUE INDEX ON play_event (event_id) WHERE bucket = 'most';
SELECT throws_ok($$SELECT record_plays('{k1}', '{most}', ARRAY[e(1)])$$, '42P10', NULL, 'P10: a batch needs the index on event_id');
SELECT throws_ok($$SELECT record_play('k1', 'most', e(1))$$, '42P10', NULL, 'P10: so does a play');
ROLLBACK TO no_index;

--
-- What can't be a batch
--

SELECT throws_ok(statement, state, message, 'P9: ' || message)
  FROM (VALUES
    ($$SELECT record_plays('{k1,k2}', '{most}')$$, '2202E',
     'arguments "track_entry_keys" and "buckets" differ in length'),
    ($$SELECT record_plays('{k1}', '{most}', ARRAY[]::uuid[])$$, '2202E',
     'arguments "track_entry_keys" and "event_ids" differ in length'),
    ($$SELECT record_plays('{k1}', '{most}', NULL, '{a,b}')$$, '2202E',
     'arguments "track_entry_keys" and "anon_ids" differ in length'),
    ($$SELECT record_plays('{k1}', '{most}', NULL, NULL, ARRAY[now(), now()])$$, '2202E',
     'arguments "track_entry_keys" and "played_at" differ in length'),
    ($$SELECT record_plays('{{k1},{k2}}', '{most,most}')$$, '2202E',
     'argument "track_entry_keys" has more than one dimension'),
    ($$SELECT record_plays(NULL, '{most}')$$, '22004', 'argument "track_entry_keys" must not be null'),
    ($$SELECT record_plays('{k1}', NULL)$$, '22004', 'argument "buckets" must not be null'),
    ($$SELECT playevent.record_batch('play_event', '{id,track_entry_key,bucket,event_id,anon_id,played_at,release_id,""}', NULL, ARRAY[1], ARRAY['most'], NULL, NULL, NULL, NULL)$$, '42804',
     'argument "track_entry_keys" is an array of type integer, but the column has type character varying'),
    ($$SELECT playevent.record_batch('play_event', '{id,track_entry_key,bucket,event_id,anon_id,played_at,release_id,""}', NULL, 1, ARRAY['most'], NULL, NULL, NULL, NULL)$$, '42804',
     'argument "track_entry_keys" is no array'),
    ($$SELECT playevent.record_batch('track', '{id,track_entry_key,bucket,event_id,anon_id,played_at,release_id,""}', NULL, NULL::text[], NULL::text[], NULL, NULL, NULL, NULL)$$, '42703',
     'column "id" of table "track" does not exist'),
    ($$SELECT playevent.record_batch(NULL, '{id,track_entry_key,bucket,event_id,anon_id,played_at,release_id,""}', NULL, NULL::text[], NULL::text[], NULL, NULL, NULL, NULL)$$, '22004',
     'argument 1 of playevent.record_batch must not be null')
  ) AS calls (statement, state, message);
--
-- Other logs: unknown tracks refused, keys that are no strings, odd names
--

CREATE SCHEMA "p3 ""odd""";
SET LOCAL search_path = "p3 ""odd""", p3_receipts, public;
CREATE TABLE "tra'ck" ("the key" bigint PRIMARY KEY, "of" text);
INSERT INTO "tra'ck" VALUES (1, 'one'), (2, NULL);
SELECT playevent.create_log('It''s', track => '"tra''ck"', track_key => 'the key', track_release => 'of',
    kind => 'what''s "kind"', kinds => '{"a \"b\"",c''d}', unknown_track => 'reject', thresholds => '{0.1,0.2}') AS log \gset
SELECT is("record_It's"(1, 'a "b"'), 1::bigint, 'P3: record_play of a log whose names all need quoting');
SELECT throws_ok($$SELECT "record_It's"(3, 'a "b"')$$, '23503', 'unknown track in column "track_entry_key" of table "It''s_event"',
                 'P3: an unknown track');
SELECT is("It's_what's ""kind""_of"(0.3), $$c'd$$, 'P3: and its kind');
CREATE FUNCTION numbers(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
BEGIN
    PERFORM batch($$"record_It'ses"('{1,NULL,3,2}'::bigint[], ARRAY['a "b"', 'a "b"', 'a "b"', 'c''d']::"It's_what's ""kind"""[])$$);
    RETURN NEXT results_eq($$SELECT ord, status, reason, release_id
            FROM receipt LEFT JOIN "It's_event" USING (id) ORDER BY ord$$,
        $$VALUES (1, 'recorded', NULL, 'one'), (2, 'rejected', 'no key', NULL), (3, 'rejected', 'unknown track', NULL),
            (4, 'recorded', NULL, NULL)$$, way || ': unknown tracks are rejected');
    RETURN NEXT exact('"It''s_event"', way);
END
$test$;
SELECT numbers('P3, directly');
CREATE TRIGGER of_the_app AFTER INSERT ON "It's_event" FOR EACH STATEMENT EXECUTE FUNCTION of_the_app();
SELECT numbers('P3, by statement');

-- What an INSERT would do to values of altered columns
SELECT playevent.create_log('fussy', track => 'track') AS log \gset
ALTER TABLE fussy_event
    ALTER anon_id TYPE varchar(5),
    ALTER fussyed_at TYPE timestamptz(0),
    ALTER event_id SET DEFAULT e(1);
CREATE FUNCTION fussy(way text) RETURNS SETOF text LANGUAGE plpgsql AS $test$
BEGIN
    PERFORM batch($$record_fussys('{k1,k1}', '{most,most}', ARRAY[e(2), e(3)], '{12345,123456}',
        ARRAY[NULL, '2020-01-01 00:00:00.7Z'::timestamptz])$$);
    RETURN NEXT results_eq('SELECT status, anon_id FROM receipt LEFT JOIN fussy_event USING (id) ORDER BY ord',
        $$VALUES ('recorded', '12345'::varchar), ('rejected', NULL)$$, way || ': a value that is too long');
    PERFORM batch($$record_fussys('{k1}', '{most}', ARRAY[e(3)], NULL::text[], ARRAY['2020-01-01 00:00:00.7Z'::timestamptz])$$);
    RETURN NEXT is((SELECT fussyed_at FROM receipt JOIN fussy_event USING (id)), '2020-01-01 00:00:01Z'::timestamptz(0),
        way || ': a time is rounded as its column wants it');
    PERFORM batch($$record_fussys('{k1}', '{most}')$$);
    RETURN NEXT is((SELECT event_id FROM receipt JOIN fussy_event USING (id)), e(1),
        way || ': a column whose array was left out has its default');
END
$test$;
SELECT fussy('P3, with modifiers');
SET LOCAL test.way = 'a';
ALTER TABLE fussy_event ALTER anon_id TYPE text, ALTER fussyed_at TYPE timestamptz;
SELECT batch($$record_fussys('{k1}', '{most}')$$);
SELECT is((SELECT event_id FROM receipt JOIN fussy_event USING (id)), e(1), 'P3, directly: a default');

-- Under the replica role, of our triggers those count that fire always.
SET LOCAL session_replication_role = replica;
SELECT batch($$record_fussys('{k1}', '{most}', ARRAY[e(4)])$$);
SET LOCAL session_replication_role = origin;
SELECT exact('fussy_event', 'session_replication_role = replica');

-- What has to be left to INSERT
CREATE FUNCTION other_id() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := NEW.id + 1000; RETURN NEW; END';
CREATE TRIGGER other_id BEFORE INSERT ON fussy_event FOR EACH ROW EXECUTE FUNCTION other_id();
SELECT throws_ok($$SELECT record_fussys('{k1}', '{most}', ARRAY[e(5)])$$, '39P01', 'a trigger on table "fussy_event" changes column "id"',
                 'P3: a trigger that changes ids');
DROP TRIGGER other_id ON fussy_event;
ALTER TABLE fussy_event ADD CONSTRAINT later UNIQUE (id, anon_id) DEFERRABLE;
SELECT batch($$record_fussys('{k1,k1}', '{most,most}', ARRAY[e(4), e(5)])$$);
SELECT results_eq('SELECT status FROM receipt ORDER BY ord', ARRAY['duplicate', 'recorded'], 'P3: beside a constraint that may wait');
ALTER TABLE fussy_event DROP CONSTRAINT later;

-- Constraints that INSERT alone checks, though all else could go in directly
SAVEPOINT constrained;
SELECT playevent.create_log('plain', track => 'track') AS log \gset
ALTER TABLE plain_event ADD CONSTRAINT later UNIQUE (anon_id) DEFERRABLE INITIALLY DEFERRED;
SELECT batch($$record_plains('{k1,k1}', '{most,most}', anon_ids => '{a,a}')$$);
SELECT throws_ok('SET CONSTRAINTS later IMMEDIATE', '23505', NULL, 'P3: a constraint that waits is checked in the end');
ROLLBACK TO constrained;
SELECT playevent.create_log('plain', track => 'track') AS log \gset
ALTER TABLE plain_event ADD EXCLUDE (anon_id WITH =);
SELECT batch($$record_plains('{k1,k1}', '{most,most}', anon_ids => '{a,a}')$$);
SELECT results_eq('SELECT status FROM receipt ORDER BY status', ARRAY['recorded', 'rejected'], 'P3: what a constraint excludes is rejected');
SELECT exact('plain_event', 'but for what it excludes');
ROLLBACK TO constrained;

-- Receipts need an index on all event_ids.
DROP INDEX fussy_event_event_id_idx;
CREATE UNIQUE INDEX whole ON fussy_event (event_id);
SELECT batch($$record_fussys('{k1,k1}', '{most,most}', ARRAY[e(5), e(6)])$$);
SELECT results_eq('SELECT status FROM receipt ORDER BY ord', ARRAY['duplicate', 'recorded'], 'P3: an index without a predicate');
DROP INDEX whole;
CREATE UNIQUE INDEX ON fussy_event (event_id) WHERE anon_id IS NOT NULL;
SELECT throws_ok($$SELECT record_fussys('{k1}', '{most}')$$, '42P10', NULL, 'P3: an index on some event_ids is not enough');

-- Rights that the owner took from himself
CREATE ROLE p3_owner;
GRANT USAGE, CREATE ON SCHEMA p3_receipts TO p3_owner;
GRANT SELECT ON track TO p3_owner;
CREATE FUNCTION closed() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE p3_owner;
    PERFORM playevent.create_log('closed', track => 'track');
    REVOKE INSERT ON closed_event FROM p3_owner;
    RESET ROLE;
    RETURN error_fields($q$SELECT record_closeds('{k1}', '{most}')$q$);
END
$$;
SELECT is(closed(), '42501', 'P3: an owner without the right to insert');

-- Where triggers set no release, it is the column that has the word.
CREATE TABLE numeric_track (entry_key text PRIMARY KEY, release_id numeric(5,2));
CREATE TABLE numeric_release (id numeric(5,2) PRIMARY KEY);
SELECT playevent.create_log('rounded', track => 'numeric_track', release => 'numeric_release') AS log \gset
DO $$
DECLARE
    name name;
BEGIN
    FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'rounded_event'::regclass AND tgfoid = 'playevent.resolve'::regproc LOOP
        EXECUTE format('ALTER TABLE rounded_event DISABLE TRIGGER %I', name);
    END LOOP;
END
$$;
SELECT batch($$record_roundeds('{NULL}', '{most}', release_ids => '{3.14159}')$$);
SELECT is((SELECT release_id::text FROM receipt JOIN rounded_event USING (id)), '3.14',
    'P3: a release that nothing resolved is rounded as its column wants it');

-- A domain that takes no null, for a release that may be one
CREATE DOMAIN surely AS int NOT NULL;
CREATE TABLE sure_track (entry_key text PRIMARY KEY, release_id surely);
INSERT INTO sure_track VALUES ('k1', 1);
CREATE TABLE sure (id bigint GENERATED BY DEFAULT AS IDENTITY, track_entry_key text NOT NULL, release_id surely, bucket text NOT NULL,
    anon_id text, event_id uuid, played_at timestamptz);
CREATE UNIQUE INDEX ON sure (event_id) WHERE event_id IS NOT NULL;
SELECT playevent.attach_log('sure', track => 'sure_track') AS log \gset
SELECT throws_ok($$SELECT playevent.record_batch('sure', '{id,track_entry_key,bucket,event_id,anon_id,played_at,release_id,""}', NULL, '{unknown}'::text[], '{most}'::text[],
        NULL::uuid[], NULL::text[], NULL::timestamptz[], NULL::surely[])$$, '23502', NULL,
    'P7: a null that no dump could bring back is not recorded');
CREATE TABLE surer (track_entry_key text NOT NULL, release_id surely, bucket text NOT NULL);
SELECT throws_ok($$SELECT playevent.attach_log('surer', track => 'track')$$, '42804', NULL,
    'P7: nor is a release that its domain was not asked about');

-- Receipts tell ids.
ALTER TABLE fussy_event ALTER id DROP IDENTITY;
SELECT throws_ok($$SELECT record_fussys('{k1}', '{most}')$$, '55000', 'column "id" of table "fussy_event" has no default',
                 'P3: an id without a default');
ALTER TABLE fussy_event DROP id;
ALTER TABLE fussy_event ADD id uuid DEFAULT gen_random_uuid();
SELECT throws_ok($$SELECT record_fussys('{k1}', '{most}')$$, '42804', 'column "id" of table "fussy_event" has type uuid, and is no integer',
                 'P3: an id of another type');

SET LOCAL transaction_read_only = on;
SELECT throws_ok($$SELECT record_plays('{k1}', '{most}')$$, '25006', NULL, 'P9: a read-only transaction');

SELECT * FROM finish();
ROLLBACK;
