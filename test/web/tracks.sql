-- What the site has to play.
INSERT INTO release VALUES (1, 'Silver River LP'), (2, 'Quiet Harbour LP');
INSERT INTO track (entry_key, title, seconds, release_id, is_deleted) VALUES
    ('intro',   'Intro',         60, 1, false),
    ('river',   'Silver River',   8, 1, false),
    ('signal',  'Paper Signal',   2, 1, false),
    ('harbour', 'Quiet Harbour',  6, 2, false),
    ('lantern', 'Salt Lantern',  12, 2, false),
    ('engine',  'Golden Engine',  2, 2, false),
    ('loose',   'Hollow Static',  4, NULL, false);
