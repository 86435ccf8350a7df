CREATE EXTENSION playevent;
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted',
    partition_by => 'month', ingest_role => 'web', reader_role => 'reader');
