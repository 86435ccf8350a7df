#!/usr/bin/env bash
# demo-in-copy.sh: the demo, in the copy that setup.sh made.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

root=$PWD
export PGDATABASE=site PGCLIENTENCODING=UTF8 PGTZ=UTC
case ${LC_ALL:-${LC_CTYPE:-${LANG:-}}} in
    *UTF-8* | *utf8*) bar='█' part='░' ;;
    *) bar='#' part='.' ;;
esac

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
as() { local user=$1; shift; psql -X -q -v ON_ERROR_STOP=1 -P pager=off -P footer=off -U "$user" "$@"; }
show() { printf '\n%s=> %s\n' "$1" "$2"; as "$1" "${@:3}" -c "$2" 2>&1 || true; }
run() { printf '\n'; sed 's/^/    /' "$1"; printf '\n'; as owner -f "$1"; }

# Runs a file, and shows figures from before and after: their names, and the
# expressions, both as SQL has them.
around() {
    local when lines=''
    for when in before after; do
        [ $when = before ] || run "$1"
        lines+="${lines:+, }$(as owner -At -c "SELECT format('(%L, %L::bigint, %L::bigint, %L::bigint)', '$when', $3)")"
    done
    as owner -c "SELECT * FROM (VALUES $lines) AS figures(\" \", $2)"
}

title "Building playevent, starting a throwaway cluster ($("$PG_CONFIG" --version))"
start_server "$root" <<CONF
shared_buffers = 256MB
max_wal_size = 2GB
CONF

title "A musician's site: 12 releases, 120 tracks, some loose, some deleted"
PGDATABASE=postgres as postgres -f test/demo/roles.sql
as owner -f test/demo/site.sql
run test/demo/log.sql

real=0
[ ! -e listening_history.csv.gz ] || real=1
title "A bulk load: COPY of the plays since three months ago$([ $real = 0 ] || echo ', drawn from real ones')"
as owner -f test/demo/past.sql
as owner -At -v plays=300000 -v real=$real -f test/demo/history.sql > history.csv
as owner -c "\\copy play_event (track_entry_key, bucket, anon_id, created_at) FROM 'history.csv' (FORMAT csv)" &
copy=$!
while [ -t 1 ] && kill -0 $copy 2> /dev/null; do
    as postgres -At -c "SELECT tuples_processed FROM pg_stat_progress_copy" |
        while read -r rows; do
            printf '\r%7d rows %s' "$rows" "$(printf "%$((rows / 10000))s" '' | sed "s/ /$bar/g")"
        done
    sleep 0.1
done
wait $copy
rows=$(wc -l < history.csv)
[ ! -t 1 ] || printf '\r'
printf '%7d rows %s\n' "$rows" "$(printf "%$((rows / 10000))s" '' | sed "s/ /$bar/g")"

title 'Traffic: 16 clients play 6,000 times, as the web role, one row a transaction'
pgbench -n -U web -c 16 -j 2 -t 375 -P 1 -M prepared -f test/demo/play.pgbench 2>&1 |
    tee pgbench.log | grep -E '^progress|^number of transactions actually|^number of failed|^latency average|^tps'

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

bots=$(as owner -At -c "SELECT title FROM track WHERE entry_key = 'trk93'")
title "A bot has made \"$bots\" the first of the week: a rule voids its plays, which stay in the log"
around test/demo/bot.sql "plays_of_track, place_this_week, rows_of_track_in_the_log" "
    (SELECT plays FROM play_by_track WHERE track_entry_key = 'trk93'),
    (SELECT rank FROM playevent.top('play_event', since => (now() AT TIME ZONE 'UTC')::date - 6, lim => NULL) WHERE key = 'trk93'),
    (SELECT count(*) FROM play_event WHERE track_entry_key = 'trk93')"

title 'The oldest month is sealed, and retired: its rows leave the log, its totals stay'
around test/demo/month.sql "rows_in_the_log, plays_counted, plays_of_that_month" "
    (SELECT count(*) FROM play_event),
    (SELECT sum(plays) FROM play_counter),
    (SELECT sum(plays) FROM play_daily WHERE day < date_trunc('month', now()) - interval '2 months')"
show owner "SELECT action, part, n AS rows, left(encode(digest, 'hex'), 16) AS digest_begins FROM play_manifest ORDER BY entry"

title 'Plays a day, by playevent.series'
as owner -v bar="$bar" -v part="$part" -f test/demo/days.sql

title 'Every counter against the log: no row means exact'
show owner "SELECT * FROM playevent.verify('play_event')" -P footer=on

printf '\nPlays per second, each its own durable transaction, 16 clients: %s\n' \
    "$(sed -n 's/^tps = \([0-9]*\).*/\1/p' pgbench.log)"

[ -n "${KEEP:-}" ] || exit 0

# The site of ../web, with the database that is there, and some plays a second that
# go on.
start_site() {
    local keys
    as owner -f test/demo/web.sql > /dev/null
    mapfile -t keys < <(as owner -At -c 'SELECT entry_key FROM track')
    mkdir media
    node test/demo/media.mjs media "${keys[@]}"
    MEDIA=$root/media setsid node test/web/server.js > web.log 2>&1 < /dev/null &
    echo $! >> running
    setsid pgbench -n -U web -R 3 -T 100000000 -M prepared -f test/demo/play.pgbench > traffic.log 2>&1 < /dev/null &
    echo $! >> running
    until site=$(grep -soE 'http://[^"]*' web.log); do
        kill -0 "$(head -n 1 running)" 2> /dev/null || { cat web.log >&2; return 1; }
        sleep 0.1
    done
}

as_who=''
[ "$(id -un)" != postgres ] || as_who=' (as root)'
trap 'bash test/demo/stop.sh' EXIT
if [ -n "${WEB:-}" ]; then
    start_site
    title "The site is up, and a few go on playing: $site/"
    printf 'Charts: %s/charts.html\n' "$site"
fi
trap - EXIT
cat <<END

The cluster is up.  To look around:
    psql -h $root/s -U owner site
To stop and remove all of it$as_who:
    bash $root/test/demo/stop.sh
END
