-- What the site has already: releases, and tracks with a soft-delete flag.
CREATE TABLE release (
    id bigint PRIMARY KEY,
    title text NOT NULL
);
CREATE TABLE track (
    entry_key varchar(100) PRIMARY KEY,
    title text NOT NULL,
    release_id bigint REFERENCES release,
    is_deleted boolean NOT NULL DEFAULT false
);

INSERT INTO release VALUES
    (1, 'First Light'), (2, 'Ferry to Nowhere'), (3, 'Small Hours'), (4, 'The Weather Inside'),
    (5, 'Paper Cathedral'), (6, 'Night Trains'), (7, 'Salt and Copper'), (8, 'Unsent Letters'),
    (9, 'A Room by the Sea'), (10, 'Low Tide'), (11, 'Postcards'), (12, 'Long Way Home');

-- As 12 and 13 have no common divisor, no title comes twice.
INSERT INTO track
SELECT 'trk' || n,
       (ARRAY['Silver','Quiet','Northern','Electric','Paper','Golden','Hollow',
              'Velvet','Distant','Burning','Winter','Salt'])[1 + n * 5 % 12]
           || ' ' ||
       (ARRAY['River','Signal','Garden','Engine','Mirror','Harbour','Animal','Window',
              'Static','Orchard','Meridian','Lantern','Avenue'])[1 + n * 6 % 13],
       CASE WHEN n % 20 <> 0 THEN 1 + (n + n / 12 * 5) % 12 END,
       n % 50 = 7
  FROM generate_series(1, 120) n;

GRANT SELECT ON track, release TO reader;
