SELECT playevent.seal('play_event', until => date_trunc('month', now()) - interval '2 months');
SELECT playevent.retire('play_event', until => date_trunc('month', now()) - interval '2 months');
