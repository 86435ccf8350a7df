#!/usr/bin/env bash
# run-in-copy.sh: builds and tests in the copy that setup.sh made.  Beside what
# run.sh names, from scripts that run the tests in some other way:
#
#   BUILD_FLAGS    flags for the compiler
#   SERVER_BIN     directory with a postgres and a pg_ctl to use instead
#   AFTERWARDS     a script that is run at the end, before the server stops, and
#                  counts as one test
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

root=$PWD
passed=0
failed=0

read -ra parts <<< "${ONLY:-regress isolation pgtap tap}"
for part in "${parts[@]}"; do
    [[ " regress isolation pgtap tap web " = *" $part "* ]] || die "ONLY is of regress, isolation, pgtap, tap, web"
done

"$PG_CONFIG" --version
start_server "$root" <<CONF
max_prepared_transactions = 10
CONF
export PGUSER=postgres

# A server built from sources has no pgTAP.  That of a package will do: it is
# plain SQL.
sharedir=$("$PG_CONFIG" --sharedir)
if [ ! -e "$sharedir/extension/pgtap.control" ]; then
    destdir=$root/stage
    [ -z "${INSTALL:-}" ] || [ -d "$destdir" ] || destdir=''
    cp /usr/share/postgresql/*/extension/pgtap* "$destdir$sharedir/extension"
fi

# An interrupted TAP test leaves its servers running.
stop_all() {
    local pidfile
    stop_server
    for pidfile in tmp_check/*/pgdata/postmaster.pid; do
        [ ! -e "$pidfile" ] || kill -QUIT "$(head -n 1 "$pidfile")" 2> /dev/null || true
    done
}
trap stop_all EXIT

# pg_regress says "test name ... ok" up to 15 and "ok 1 - name" from 16 on.
count() {
    local log=$1 status=$2 good bad
    good=$(grep -cE '^ok |^ *(test|.*\.\.\.) .* ok +[0-9]+ ms' "$log" || true)
    bad=$(grep -cE '^not ok |^ *(test|.*\.\.\.) .* FAILED' "$log" || true)
    # A test that died has said nothing of the kind.
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
    passed=$((passed + good))
    failed=$((failed + bad))
    echo "$3: $good passed, $bad failed"
    if [ "$bad" -gt 0 ]; then
        grep -vE '^ok ' "$log" | tail -n 2000
        [ ! -s regression.diffs ] || cat regression.diffs
    fi
    rm -f regression.diffs
}

check() {
    local title=$1 status=0
    shift
    [[ " ${parts[*]} " = *" $title "* ]] || return 0
    "$@" > "$title.log" 2>&1 || status=$?
    count "$title.log" "$status" "$title"
}

installcheck() {
    make -s installcheck PG_CONFIG="$PG_CONFIG" with_llvm=no "$@"
}

check regress installcheck ISOLATION= TAP_TESTS=
check isolation installcheck REGRESS= TAP_TESTS=

createdb playevent_pgtap
psql -qXd playevent_pgtap -c 'CREATE EXTENSION pgtap'
# shellcheck disable=SC2086
check pgtap pg_prove --verbose -d playevent_pgtap ${PGTAP:-test/pgtap/*.sql}

mkdir t
export TEMP_CONFIG=$root/server.conf TMPDIR=$root/t
[ ! -e listening_history.csv.gz ] || export PLAYEVENT_PLAYS=$root/listening_history.csv.gz
check tap installcheck REGRESS= ISOLATION= PROVE_FLAGS=--verbose \
    ${TAP:+PROVE_TESTS="$TAP"} ${SERVER_BIN:+bindir="$SERVER_BIN"}

# Not by prove, which can't read what Node's failures say of themselves.
web() {
    local file status=0
    for file in test/web/*.test.js; do
        HOME=$root/home PLAYEVENT_LOG=$root/s/log node --test-reporter=tap "$file" || status=1
    done
    return $status
}
mkdir home
check web web

# A server that noticed a leak, or a crash of its own, failed a test.
if grep -E 'WARNING: .*leak|TRAP:|PANIC:|terminated by signal' s/log; then
    failed=$((failed + 1))
fi

if [ -n "${AFTERWARDS:-}" ]; then
    if bash "$AFTERWARDS"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
