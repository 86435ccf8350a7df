-- The site's own tables, and its two logs.  The roles owner (who runs this), web
-- and reader are there already.
CREATE TABLE release (
    id bigint PRIMARY KEY,
    title text NOT NULL
);
CREATE TABLE track (
    entry_key varchar(100) PRIMARY KEY,
    title text NOT NULL,
    seconds double precision NOT NULL,
    release_id bigint REFERENCES release,
    is_deleted boolean NOT NULL DEFAULT false
);

\ir tracks.sql

CREATE EXTENSION playevent;

-- Anyone can reach the web tier, so what is no track of ours is turned away.
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted',
    unknown_track => 'reject', ingest_role => 'web', reader_role => 'reader');
SELECT playevent.create_log('share', track => 'track', track_deleted => 'is_deleted',
    kind => 'channel', kinds => '{link,native,embed}',
    unknown_track => 'reject', ingest_role => 'web', reader_role => 'reader');

GRANT SELECT ON track, release TO reader;
