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

CREATE FUNCTION pg_temp.title(n int, salt int) RETURNS text LANGUAGE sql AS $$
    SELECT (ARRAY['Silver','Quiet','Northern','Electric','Paper','Golden','Hollow',
                  'Velvet','Distant','Burning','Winter','Salt'])[1 + abs(hashint4(n * 31 + salt)) % 12]
        || ' ' ||
           (ARRAY['River','Signal','Garden','Engine','Mirror','Harbour','Animal','Window',
                  'Static','Orchard','Meridian','Lantern','Avenue'])[1 + abs(hashint4(n * 17 + salt + 5)) % 13]
$$;

INSERT INTO release
SELECT n, pg_temp.title(n, 1) || ' LP' FROM generate_series(1, 300) n;

INSERT INTO track
SELECT 'trk' || n, pg_temp.title(n, 2),
       CASE WHEN n % 20 = 0 THEN NULL ELSE 1 + abs(hashint4(n)) % 300 END,
       n % 50 = 7
  FROM generate_series(1, 3000) n;
