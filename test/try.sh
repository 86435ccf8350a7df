#!/usr/bin/env bash
# try.sh: what `make try` and `make try-stop` do: tests chosen by name, at once.
# The copy of the source tree and its server are kept from one call to the next,
# so that only what has changed is built.  Calls for one tree wait for each other.
# From the environment, beside what setup.sh knows (MAJOR, PG_CONFIG, INSTALL):
#
#   FILE           tests, as patterns; without any, says how to connect
#   BUILD_FLAGS    flags for the compiler
#   STOP=1         ends the servers that are kept for this tree, and removes all
#
# What is kept lies in /tmp, since a socket's path may have 107 bytes: a copy for
# each major, server and set of flags, whose objects don't mix.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

hash() { cksum <<< "$*" | cut -d ' ' -f 1; }

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
exec 9< .
flock 9

state=/tmp/playevent-try.$EUID.$(hash "$PWD")

# Nobody else may have put something there.
check_owner() {
    local user=$EUID
    [ "$user" != 0 ] || user=$(id -u postgres)
    [ "$(stat -c '%F %a %u' "$state")" = "directory 700 $user" ] || die "$state is somebody else's"
}

if [ -n "${STOP:-}" ]; then
    [ -e "$state" ] || exit 0
    check_owner
    for data in "$state"/*/s/data; do end_server "$data"; done
    rm -rf "$state"
    exit
fi

REGRESS='' ISOLATION='' PGTAP='' TAP=''
for file in ${FILE:-}; do
    [ -f "$file" ] || die "there is no $file"
    file=$(realpath --relative-to=. "$file")
    name=$(basename "${file%.*}")
    case $file in
    test/sql/*.sql) REGRESS+=" $name" ;;
    test/specs/*.spec) ISOLATION+=" $name" ;;
    test/pgtap/*/*) die "$file is part of other tests" ;;
    test/pgtap/*.sql) PGTAP+=" $file" ;;
    test/t/*.pl) TAP+=" $file" ;;
    *) die "$file is not of test/sql, test/specs, test/pgtap or test/t/*.pl" ;;
    esac
done
ONLY="${REGRESS:+regress} ${ISOLATION:+isolation} ${PGTAP:+pgtap} ${TAP:+tap}"
export REGRESS ISOLATION PGTAP TAP ONLY KEPT=1

major=$(choose_major)
PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$major/bin/pg_config}
copy=$state/$major.$(hash "$PG_CONFIG ${BUILD_FLAGS:-}")
# shellcheck disable=SC2046
[ -d "$copy" ] || install_for "$major" $(test_packages)

[ -e "$state" ] || as_user mkdir -m 700 "$state"
check_owner

# Files whose content is another get the time of now, so make builds what hangs on
# them; where a file is gone, or the Makefile is another, all is built.
update_copy() {
    local path
    mkdir -p "$1/.last"
    cd "$1" || exit
    rm -rf .next
    mkdir .next
    tar -C .next -xf -
    while read -r _ _ _ path _; do
        path=${path#.next/}
        if [ -e ".next/$path" ]; then
            mkdir -p "$(dirname "$path")"
            cp ".next/$path" "$path"
        else
            rm -f "$path"
        fi
        if [ ! -e ".next/$path" ] || [ "$path" = Makefile ]; then rm -rf src/*.o stage; fi
    done < <(LC_ALL=C diff -rqN .last .next)
    rm -rf .last
    mv .next .last
}
# shellcheck disable=SC2016
pack_source | as_user bash -euc "$(declare -f update_copy)"'; update_copy "$1"' - "$copy"

in_copy "$copy" test/run-in-copy.sh 9<&-
[ -n "${FILE:-}" ] || say "psql -h $copy/s -U postgres    # its log: $copy/s/log"
