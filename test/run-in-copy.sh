#!/usr/bin/env bash
# run-in-copy.sh: builds and tests in the copy that setup.sh made.  Beside what
# run.sh names, from scripts that run the tests in some other way:
#
#   BUILD_FLAGS    flags for the compiler
#   SERVER_BIN     directory with a postgres and a pg_ctl to use instead
#   AFTERWARDS     a script that is run at the end, before the server stops, and
#                  counts as one test
#   KEPT=1         keeps the server for the next call (see try.sh)
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

root=$PWD
passed=0
failed=0

read -ra parts <<< "${ONLY:-regress isolation pgtap tap}"
for part in "${parts[@]}"; do
    [[ " regress isolation pgtap tap orm web dotnet " = *" $part "* ]] || die "ONLY is of regress, isolation, pgtap, tap, orm, web, dotnet"
done

"$PG_CONFIG" --version
start_server "$root" <<CONF
max_prepared_transactions = 10
fsync = off
CONF
[ "${#parts[@]}" -gt 0 ] || exit 0
export PGUSER=postgres
touch s/used
logged=$(wc -c < s/log)

# A server built from sources has no pgTAP, nor has the newest major.  That of a
# package for another will do: it is plain SQL.
sharedir=$("$PG_CONFIG" --sharedir)
if [ ! -e "$sharedir/extension/pgtap.control" ]; then
    destdir=$root/stage
    [ -z "${INSTALL:-}" ] || [ -d "$destdir" ] || destdir=''
    cp /usr/share/postgresql/*/extension/pgtap* "$destdir$sharedir/extension"
fi

# A TAP test that is interrupted leaves its servers running.
stop_tap_servers() {
    local data
    for data in tmp_check/*/pgdata; do end_server "$data"; done
}
stop_tap_servers

# What was interrupted tells how far it came.
running=''
finish() {
    [ -z "$running" ] || cat "$running"
    [ -n "${KEPT:-}" ] || stop_server
    stop_tap_servers
}
trap finish EXIT

# pg_regress says "test name ... ok" up to 15 and "ok 1 - name" from 16 on.
count() {
    local log=$1 status=$2 good bad
    good=$(grep -cE '^ok |^ *(test|.*\.\.\.) .* ok +[0-9]+ ms' "$log" || true)
    bad=$(grep -cE '^not ok |^ *(test|.*\.\.\.) .* FAILED' "$log" || true)
    # A test that died has said nothing of the kind.
    if [ "$status" -ne 0 ] && [ "${bad:-0}" -eq 0 ]; then bad=1; fi
    passed=$((passed + good))
    failed=$((failed + bad))
    echo "$3: $good passed, $bad failed"
    if [ "$bad" -gt 0 ]; then
        # The log may be too long to show; what failed comes first.
        grep -E -A 20 '^not ok |FAILED|Failed test|Dubious|Non-zero exit' "$log" | head -n 200 || true
        grep -E -B 12 '^# Looks like your test (exited|died)' "$log" | head -n 200 || true
        grep -vE '^ok |^# (Running|Postmaster PID|Checking port|Found port)|^(waiting for|server st)' "$log" | tail -n 2000 || true
        [ ! -s regression.diffs ] || cat regression.diffs
    fi
    rm -f regression.diffs
}

check() {
    local title=$1 status=0
    shift
    [[ " ${parts[*]} " = *" $title "* ]] || return 0
    running=$title.log
    ("$@") > "$title.log" 2>&1 || status=$?
    running=''
    count "$title.log" "$status" "$title"
}

installcheck() {
    make -s installcheck PG_CONFIG="$PG_CONFIG" with_llvm=no "$@"
}

check regress installcheck ISOLATION= TAP_TESTS= ${REGRESS:+REGRESS="$REGRESS"}
check isolation installcheck REGRESS= TAP_TESTS= ${ISOLATION:+ISOLATION="$ISOLATION"}

# In a kept server, the database is there from the second time on.
pgtap() {
    if createdb playevent_pgtap 2> /dev/null; then psql -qXd playevent_pgtap -c 'CREATE EXTENSION pgtap'; fi
    # shellcheck disable=SC2086
    pg_prove --verbose -d playevent_pgtap ${PGTAP:-test/pgtap/*.sql}
}
check pgtap pgtap

mkdir -p t
export TEMP_CONFIG=$root/server.conf TMPDIR=$root/t
[ ! -e listening_history.csv.gz ] || export PLAYEVENT_PLAYS=$root/listening_history.csv.gz
# Two files at a time, so that prove can't show what they say; their logs do.
tap() {
    local status=0
    rm -rf tmp_check
    installcheck REGRESS= ISOLATION= PROVE_FLAGS="--jobs=${TAP_JOBS:-2} --timer" \
        ${TAP:+PROVE_TESTS="$TAP"} ${SERVER_BIN:+bindir="$SERVER_BIN"} || status=$?
    sed -E 's/^\[[0-9:.]+\]\([0-9.]+s\) //' tmp_check/log/regress_log_*
    return $status
}
check tap tap

# Sites in frameworks whose packages are there, with a database each.  Debian's own
# packages, which other Pythons and Rubys don't know.
has_packages() {
    case $1 in
    django) /usr/bin/python3 -c 'import django, psycopg2' ;;
    alembic) /usr/bin/python3 -c 'import alembic, sqlalchemy, psycopg2' ;;
    rails) /usr/bin/ruby -e 'require "active_record"; require "pg"' ;;
    knex) [ -d test/orm/knex/node_modules ] ;;
    esac 2> /dev/null
}
orm() {
    local name status=0
    export HOME=$root/home
    psql -qXd postgres -c 'DO $$ BEGIN CREATE ROLE owner LOGIN; EXCEPTION WHEN duplicate_object THEN END $$'
    for name in "${orms[@]}"; do
        createdb -O owner "playevent_$name"
        PGUSER=owner PGDATABASE=playevent_$name "orm_$name" || status=1
    done
    return $status
}
orm_django() { /usr/bin/python3 test/orm/django/test.py; }
orm_alembic() { /usr/bin/python3 test/orm/alembic/test.py; }
orm_knex() { node --test-reporter=tap test/orm/knex/test.js; }
orm_rails() { /usr/bin/ruby test/orm/rails/test.rb; }
if [[ " ${parts[*]} " = *" orm "* ]]; then
    orms=()
    for name in django alembic knex rails; do
        if has_packages "$name"; then orms+=("$name"); else echo "orm: $name left out, for its packages are not there"; fi
    done
fi
mkdir -p home
check orm orm

# Not by prove, which can't read what Node's failures say of themselves.
web() {
    local file status=0
    export HOME=$root/home PLAYEVENT_LOG=$root/s/log
    for file in test/web/*.test.js; do
        [[ $file != */web.test.js || -n $browser ]] || continue
        node --test-reporter=tap "$file" || status=1
    done
    # The same once more, with the web tier of test/dotnet
    if [[ -n $browser && " ${parts[*]} " = *" dotnet "* ]]; then
        PLAYEVENT_TIER=dotnet node --test-reporter=tap test/web/web.test.js || status=1
    fi
    return $status
}
browser=1
if [[ " ${parts[*]} " = *" web "* ]] && [ ! -x /usr/bin/chromium ]; then
    browser=''
    echo 'web: the tests in a browser left out, for there is no Chromium'
fi
check web web

dotnet_tests() {
    export HOME=$root/home DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
    dotnet test test/dotnet/Site.Tests/bin/Release/*/Site.Tests.dll --logger 'console;verbosity=normal' |
        sed -uE 's/^  Passed /ok /; s/^  Failed /not ok /'
}
check dotnet dotnet_tests

# A server that noticed a leak, or a crash of its own, failed a test.
if tail -c +$((logged + 1)) s/log | grep -E 'WARNING: .*(leak|not closed)|TRAP:|PANIC:|terminated by signal'; then
    failed=$((failed + 1))
fi

if [ -n "${AFTERWARDS:-}" ]; then
    if bash "$AFTERWARDS"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && rm s/used && [ "$passed" -gt 0 ]
