CREATE FUNCTION playevent.forget_event_keys(event regclass, lim bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
