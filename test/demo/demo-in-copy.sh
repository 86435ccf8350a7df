#!/usr/bin/env bash
# demo-in-copy.sh: the demo, in the copy that setup.sh made.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

root=$PWD
export PGDATABASE=site PGCLIENTENCODING=UTF8
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
    *UTF-8* | *utf8*) bar='█' ;;
    *) bar='#' ;;
esac

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m') over='\r'; else bold='' plain='' over='\n'; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
as() { local user=$1; shift; psql -X -q -U "$user" "$@"; }
show() { printf '\n%s=> %s\n' "$1" "$2"; as "$1" -c "$2" 2>&1 || true; }

title "Building playevent, starting a throwaway cluster ($("$PG_CONFIG" --version))"
start_server "$root" <<CONF
shared_buffers = 256MB
max_wal_size = 2GB
CONF

title 'A small music site: 300 releases, 3,000 tracks, some loose, some deleted'
PGDATABASE=postgres as postgres -f test/demo/roles.sql
as owner -f test/demo/site.sql
cat test/demo/log.sql
as owner -f test/demo/log.sql

title 'Traffic: 16 clients play for ten seconds, as the web role, one row a transaction'
pgbench -n -U web -c 16 -j 2 -T 10 -P 2 -M prepared -f test/demo/play.pgbench 2>&1 |
    tee pgbench.log | grep -E '^progress|^number of transactions actually|^number of failed|^latency average|^tps'

title 'A bulk load: COPY of 300,000 plays'
as owner -At -v plays=300000 -f test/demo/bulk.sql > bulk.csv
as web -c "\\copy play_event (track_entry_key, bucket) FROM 'bulk.csv' (FORMAT csv)" &
copy=$!
while kill -0 $copy 2> /dev/null; do
    as postgres -At -c "SELECT tuples_processed FROM pg_stat_progress_copy" |
        while read -r rows; do
            printf "$over%7d rows %s" "$rows" "$(printf "%$((rows / 10000))s" '' | sed "s/ /$bar/g")"
        done
    sleep 0.1
done
wait $copy
printf "$over 300000 rows %s\n" "$(printf '%30s' '' | sed "s/ /$bar/g")"

title 'What the site reads: exact counters, no job, no cache'
as owner -v bar="$bar" -f test/demo/charts.sql

title 'What has been played stays as it was recorded, for the owner too'
show owner "UPDATE play_event SET bucket = 'complete' WHERE id = 1"
show owner 'TRUNCATE play_event'

title 'A deleted track and an unknown one: recorded, without a release; what a client says of it is ignored'
show owner "INSERT INTO play_event (track_entry_key, release_id, bucket)
        SELECT entry_key, 42, 'most' FROM track WHERE is_deleted LIMIT 1 RETURNING track_entry_key, release_id, bucket"
show owner "INSERT INTO play_event (track_entry_key, release_id, bucket)
        VALUES ('no-such-track', 42, 'most') RETURNING track_entry_key, release_id, bucket"

title 'The web role may insert plays, and nothing else'
show web 'SELECT * FROM track'
show web 'UPDATE play_counter_slot SET plays = 1000000'

title 'Every counter against the log: no row means exact'
show owner "SELECT * FROM playevent.verify('play_event')"
show owner 'SELECT count(*) AS plays_in_the_log, (SELECT sum(plays) FROM play_counter) AS plays_counted FROM play_event'

printf '\nPlays per second, each its own durable transaction, 16 clients: %s\n' \
    "$(sed -n 's/^tps = \([0-9]*\).*/\1/p' pgbench.log)"

if [ -n "${KEEP:-}" ]; then
    trap - EXIT
    run=
    [ "$(id -un)" != postgres ] || run='cd / && runuser -u postgres -- '
    cat <<END

The cluster is up.  To look around:
    psql -h $root/s -U owner site
To stop it and remove all of it:
    $run$("$PG_CONFIG" --bindir)/pg_ctl -D $root/s/data stop && rm -rf $root
END
fi
