-- Month `n` of a decade: its plays are loaded, by way of `file`, then it ends.
-- Autovacuum, which has more time in a month than here, is not waited for.  Prints how
-- many seconds it took to load; to seal, to retire, to tidy up, and how often what
-- comes at the end was put off.
SELECT 'VACUUM ' || string_agg(relid::regclass::text, ', ') AS vacuum FROM public.relation WHERE what <> 'log' \gset
CALL public.load_month(:n, :'file');
:vacuum;
CALL public.end_month(:n);
:vacuum;
