-- Real plays, in the order in which they were heard, and their tracks.
CREATE TEMP TABLE history (
    listener text, ended_at timestamptz, track_key text, release_id bigint, ms_played bigint, track_ms bigint,
    id bigint GENERATED ALWAYS AS IDENTITY
);
\copy history (listener, ended_at, track_key, release_id, ms_played, track_ms) FROM 'history.csv' (FORMAT csv, HEADER)

INSERT INTO public.track (entry_key, release_id) SELECT DISTINCT track_key, release_id FROM history;
CREATE TABLE public.drawn AS
SELECT track_key AS track_entry_key,
       (CASE WHEN ms_played >= 0.95 * track_ms THEN 'complete'
             WHEN ms_played >= 0.5 * track_ms THEN 'most'
             ELSE 'partial' END)::measured.play_bucket AS bucket
  FROM history ORDER BY id;
VACUUM ANALYZE public.track, public.drawn;
