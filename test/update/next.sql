--
-- Replaces two functions in C: the example of an update (next.sh).
--

\echo Use "ALTER EXTENSION playevent UPDATE TO '@NEW@'" to load this file. \quit

-- A session with an older library would do what that one can, or less.
DO $$
BEGIN
    IF string_to_array(playevent.library_version(), '.')::int[] < string_to_array('@NEW@', '.')::int[] THEN
        RAISE object_not_in_prerequisite_state
            USING MESSAGE = format('the library of playevent that this session has loaded is %s, and @NEW@ is needed',
                                   playevent.library_version()),
                  HINT = 'Install @NEW@ and connect again. If the library is preloaded, start the server again.';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION playevent.count() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'playevent_count_@SUFFIX@';

CREATE OR REPLACE FUNCTION playevent.kind_of(
    high_water double precision, thresholds double precision[], kinds text[], kind anyelement)
RETURNS anyelement
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'playevent_kind_of_@SUFFIX@';
