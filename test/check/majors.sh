#!/usr/bin/env bash
# majors.sh: what `make test-majors` does.  Builds and runs every test on each
# supported major, and closes with the sums: `N passed, N failed`.  A major that
# can't be set up has failed; but the newest is left out where no archive has it
# yet, and a line says so.
#
# A major that this machine's apt knows is tested here.  Others are tested in a
# small Debian of their own, in a directory: debootstrap fills it, and tests see
# nothing of the machine but that, with a view of processes and mounts of their
# own.  Those are set up while others are tested.  The one for 17 has 15 too, to
# upgrade from (PLAYEVENT_OLD_PG_CONFIG).  Of the random tests each has a part,
# unless told otherwise.  From the environment:
#
#   MAJORS         which; default "15 17 18 19"
#   MIRROR, CACHE  as roots.sh has it; a root is some 2 GB
#   ONLY, PGTAP,   as for `make test`, like all variables that tests know:
#   TAP            PLAYEVENT_*
# shellcheck disable=SC2154 # roots, there and lacking are of roots.sh
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
. "$(dirname "${BASH_SOURCE[0]}")/roots.sh"

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
read -ra chosen <<< "${MAJORS:-15 17 18 19}"

# Where each is at home: the first that has it.
declare -A suites=([15]=bookworm [17]=trixie [18]='forky sid' [19]=experimental)
# A suite that is no Debian of its own, and the one that it adds to.
declare -A bases=([experimental]=sid)
# Those that archives need not have yet; set_up returns $lacking then.
declare -A new=([19]=1)
# What it is upgraded from, and where that is.
declare -A older=([17]='15 bookworm')

place_roots roots
logs=$(mktemp -d /tmp/playevent-majors.XXXXXX)
finish() {
    local group
    for group in $(jobs -pr); do as_root kill -KILL -- "-$group"; done
    wait
    rm -rf "$logs"
    remove_roots
}
trap finish EXIT
trap 'exit 130' INT TERM

is_known() {
    [ -n "$(apt-cache madison "postgresql-server-dev-$1" 2> /dev/null)" ]
}

is_tested_here() {
    is_known "$1" && [ -z "${older[$1]:-}" ]
}

# bootstrap_for MAJOR: one that has the major, as $roots/MAJOR
bootstrap_for() {
    local major=$1 suite root
    for suite in ${suites[$major]:-}; do
        root=$roots/$suite
        if [ -e "$root.complete" ]; then
            in_root "$root" apt-get -qq update
        else
            as_root rm -rf --one-file-system "$root"
            bootstrap "$root" "${bases[$suite]:-$suite}"
            [ -z "${bases[$suite]:-}" ] || add_suite "$root" "$suite" "src:postgresql-$major" 500
            as_root touch "$root.complete"
        fi
        if in_root "$root" apt-cache show "postgresql-server-dev-$major" > /dev/null 2>&1; then
            as_root ln -sfn "$suite" "$roots/$major"
            return
        fi
    done
    say "no Debian of: ${suites[$major]:-none} has PostgreSQL $major"
    return "$lacking"
}

# set_up MAJOR: a root with the sources and all that tests need
set_up() {
    local major=$1 root=$roots/$1 more=()
    bootstrap_for "$major"
    put_source "$root"
    if [ -n "${older[$major]:-}" ]; then
        add_suite "$root" "${older[$major]#* }" '*' 100
        more=("postgresql-${older[$major]% *}" "postgresql-server-dev-${older[$major]% *}")
    fi
    # shellcheck disable=SC2016
    in_root "$root" bash -c '. "$1/test/setup.sh"; install_for "$2" $(test_packages) "${@:3}"' - \
        "$there" "$major" "${more[@]}"
}

# test_major MAJOR: prints what `make test` prints
test_major() {
    local major=$1 variables
    variables=("MAJOR=$1" "PLAYEVENT_HISTORIES=${PLAYEVENT_HISTORIES:-200}" "PLAYEVENT_INPUTS=${PLAYEVENT_INPUTS:-15000}")
    if is_tested_here "$major"; then
        env "${variables[@]}" bash "$source/test/run.sh"
    else
        # No web tests, nor those with .NET and in other frameworks: a site doesn't care
        # which major it is, and a root doesn't know what this machine's npm and dotnet
        # know.
        variables+=("ONLY=${ONLY:-regress isolation pgtap tap}")
        [ -z "${older[$major]:-}" ] ||
            variables+=("PLAYEVENT_OLD_PG_CONFIG=/usr/lib/postgresql/${older[$major]% *}/bin/pg_config")
        in_root "$roots/$major" env "${variables[@]}" bash "$there/test/run.sh"
    fi
}

as_root true
install_missing debootstrap
for major in "${chosen[@]}"; do is_known "$major" || unknown=1; done
[ -z "${unknown:-}" ] || as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >&2

# A process group each, so that it can be ended as a whole.
declare -A setups=()
set -m
for major in "${chosen[@]}"; do
    if is_tested_here "$major"; then continue; fi
    say "PostgreSQL $major: setting up a Debian meanwhile"
    set_up "$major" < /dev/null > "$logs/$major.setup" 2>&1 &
    setups[$major]=$!
done
set +m

passed=0
failed=0
summary=''
for major in "${chosen[@]}"; do
    say "PostgreSQL $major"
    started=$SECONDS
    status=0
    [ -z "${setups[$major]:-}" ] || wait "${setups[$major]}" || status=$?
    if [ "$status" -eq "$lacking" ] && [ -n "${new[$major]:-}" ]; then
        summary+="PostgreSQL $major: left out, for no archive known here has it"$'\n'
        say "PostgreSQL $major: left out, for no archive known here has it"
        continue
    fi
    if [ "$status" -eq 0 ]; then
        # The closing line of each is not that of all.
        test_major "$major" 2>&1 | tee "$logs/$major" |
            sed -uE "s/^[0-9]+ passed, [0-9]+ failed\$/PostgreSQL $major: &/" || status=$?
    else
        status=1
        tail -n 50 "$logs/$major.setup" | tee "$logs/$major"
    fi
    read -r good bad < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$logs/$major" | tail -n 1; echo) || true
    good=${good:-0}
    bad=${bad:-0}
    # It may have failed before it counted anything.
    if [ "$status" -ne 0 ] || [ "$good" -eq 0 ]; then [ "$bad" -gt 0 ] || bad=1; fi
    passed=$((passed + good))
    failed=$((failed + bad))
    summary+="PostgreSQL $major: $good passed, $bad failed, in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"$'\n'
done
printf '%s' "$summary"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
