-- What the web site has beside: a log of shares.
SELECT playevent.create_log('share', track => 'track', track_deleted => 'is_deleted',
    kind => 'channel', kinds => '{link,native,embed}', unknown_track => 'reject', ingest_role => 'web', reader_role => 'reader');
