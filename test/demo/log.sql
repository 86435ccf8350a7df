CREATE EXTENSION playevent;
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted', ingest_role => 'web');
