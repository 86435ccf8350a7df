# setup.sh: what `make demo`, `make test` and their like do before they begin.
#
# Sourced by a script that the newcomer started, as root or as an ordinary user
# with sudo.  It installs what is missing, copies the source tree to a temporary
# directory, and runs a script of that copy as an ordinary user, because a
# Postgres server refuses root.  Nothing is built or left in the source tree,
# no existing cluster is touched, and the temporary directory goes at the end.
#
#   run_in_copy SCRIPT PACKAGE...   SCRIPT is relative to the source tree; in a
#                                   package name, @ stands for the major version,
#                                   ? in front for "if it can be had", and | is
#                                   between what serves as well: the first there is
#                                   If there is a function prepare_copy, it is
#                                   called in the copy, as the newcomer, before
#
# From the environment:
#
#   MAJOR=17       that major's packages, not the newest that are there
#   PG_CONFIG      the server to use; it may be one you built yourself
#   INSTALL=1      for a server that can't find an extension outside its own
#                  directories (one built from sources, before 18): install into
#                  them, and leave it there
#   KEEP=1         keeps the copy of a script that succeeded

set -euo pipefail
unset CDPATH

majors='19 18 17 16 15'

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
    if [ "$EUID" = 0 ]; then "$@"; else sudo "$@"; fi
}

# As the one who builds and runs servers
as_user() {
    if [ "$EUID" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# The major of the packages to use: MAJOR, or that of PG_CONFIG if it is a
# package's, else the newest that is installed for building, else the newest
# that can be.
choose_major() {
    local m bindir=''
    if [ -n "${MAJOR:-}" ]; then
        echo "$MAJOR"
        return
    fi
    [ -z "${PG_CONFIG:-}" ] || bindir=$("$PG_CONFIG" --bindir)
    if [[ $bindir =~ ^/usr/lib/postgresql/([0-9]+)/bin$ ]]; then
        echo "${BASH_REMATCH[1]}"
        return
    fi
    for m in $majors; do
        if [ -x "/usr/lib/postgresql/$m/bin/pg_config" ] && [ -x "/usr/lib/postgresql/$m/bin/postgres" ]; then
            echo "$m"
            return
        fi
    done
    # No packages then, and none needed of this name
    if [ -n "${PG_CONFIG:-}" ] && ! command -v apt-get > /dev/null; then return; fi
    command -v apt-get > /dev/null ||
        die 'playevent: set PG_CONFIG to the pg_config of PostgreSQL 15 or later'
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
    for m in $majors; do
        if apt-cache show "postgresql-server-dev-$m" > /dev/null 2>&1; then
            echo "$m"
            return
        fi
    done
    say 'playevent: this system has no packages of PostgreSQL 15 or later to build with'
    ! grep -qs '^ID=ubuntu' /etc/os-release ||
        say 'Ubuntu has them from 24.04 on, in its part universe: sudo add-apt-repository universe'
    exit 1
}

# Debian makes a cluster when a server is first installed, and starts services;
# these are not ours to make, so it is told not to, for the time of the
# installation, and what came for a test is not started later either.  Nor is
# Ubuntu's needrestart to restart whatever uses a library that came anew, servers
# among them.  Parentheses keep the trap apart from the caller's.
install_missing() (
    local package choices choice missing='' wanted=() needed='' made='' conf=/etc/postgresql-common/createcluster.d/playevent.conf
    local policy=/usr/sbin/policy-rc.d ours=''
    command -v dpkg-query > /dev/null || return 0
    for package; do
        IFS='|' read -ra choices <<< "${package#\?}"
        for choice in "${choices[@]}"; do
            dpkg-query -W -f '${Status}' "$choice" 2> /dev/null | grep -q 'ok installed' && continue 2
        done
        wanted+=("$package")
        [ "${package#\?}" != "$package" ] || needed=1
    done
    [ "${#wanted[@]}" -gt 0 ] || return 0
    if [ -z "$needed" ] && [ "$EUID" != 0 ] && ! command -v sudo > /dev/null; then
        say "not installed, and what needs it is not tested: ${wanted[*]#\?}"
        return 0
    fi
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >&2
    for package in "${wanted[@]}"; do
        IFS='|' read -ra choices <<< "${package#\?}"
        for choice in "${choices[@]}"; do
            [ -n "$(apt-cache madison "$choice")" ] || continue
            missing="$missing $choice"
            continue 2
        done
        if [ "${package#\?}" = "$package" ]; then
            missing="$missing ${choices[0]}"
        else
            say "no package ${choices[*]}: what needs it is not tested"
        fi
    done
    [ -n "$missing" ] || return 0
    say "installing:$missing"
    [ -e "$policy" ] || ours=$policy
    # shellcheck disable=SC2064
    trap "as_root rm -f '$conf' $ours" EXIT
    [ -d "${conf%/*}" ] || made=${conf%/*}
    as_root mkdir -p "${conf%/*}"
    if [ -n "$ours" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$ours" > /dev/null
        as_root chmod 755 "$ours"
    fi
    echo 'create_main_cluster = false' | as_root tee "$conf" > /dev/null
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 install $missing > /dev/null ||
        die "playevent: could not install$missing"
    case $missing in
        *prometheus-postgres-exporter*) as_root update-rc.d prometheus-postgres-exporter disable ;;
    esac
    # shellcheck disable=SC2086
    as_root rm -f "$conf" $ours
    [ -z "$made" ] || as_root rmdir --ignore-fail-on-non-empty "$made"
)

# What `make test` needs.  pgTAP is plain SQL: that of 18 serves 19, which has no
# package of it yet (see run-in-copy.sh).
test_packages() {
    echo postgresql-@ postgresql-server-dev-@ 'postgresql-@-pgtap|postgresql-18-pgtap' '?postgresql-@-hll' '?postgresql-@-cron' '?postgresql-@-partman' \
        '?postgresql-@-plproxy' '?prometheus-postgres-exporter' \
        libtap-parser-sourcehandler-pgtap-perl libipc-run-perl perl
}

# install_for MAJOR PACKAGE...: what building takes, and these
install_for() {
    local major=$1
    shift
    install_missing make gcc libc6-dev "${@//@/$major}"
}

# The source tree, without what is built in it, as tar's output; and the real
# plays to test with, where they lie beside it
pack_source() {
    local source data plays=listening_history.csv.gz
    source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    data=$source/../shared/data
    [ ! -r "$data/$plays" ] || set -- -C "$data" "$plays"
    tar -C "$source" -cf - --exclude=.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
        --exclude='./sql/playevent--?.?.sql' --exclude=node_modules --exclude=bin --exclude=obj . "$@"
}

run_in_copy() {
    local script=$1 major copy status=0
    shift
    major=$(choose_major)
    install_for "$major" "$@"
    PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$major/bin/pg_config}

    # Short, since a socket's path may have 107 bytes.
    copy=$(mktemp -d /tmp/playevent.XXXXXX)
    # shellcheck disable=SC2064
    trap "rm -rf '$copy'" EXIT
    trap 'exit 130' INT TERM
    pack_source | tar -C "$copy" -xf -

    if declare -F prepare_copy > /dev/null; then (cd "$copy" && prepare_copy); fi

    [ "$EUID" != 0 ] || chown -R postgres "$copy"
    in_copy "$copy" "$script" || status=$?
    if [ -n "${KEEP:-}" ] && [ $status = 0 ]; then trap - EXIT; fi
    return $status
}

# Run a script of a copy there, without what tells libpq of other servers: PGSERVICE,
# PGHOSTADDR and PGOPTIONS would go before PGHOST, or with it.
in_copy() {
    local name others=()
    for name in $(compgen -e PG); do
        if [[ $name =~ ^PG[A-Z]+$ && $name != PGTAP ]]; then others+=(-u "$name"); fi
    done
    # shellcheck disable=SC2016
    as_user env "${others[@]}" PG_CONFIG="$PG_CONFIG" bash -c 'cd "$1" && bash "$2"' - "$@"
}

# In the copy: build, install under stage/, and write in server.conf the
# settings by which a server finds the extension there.  BUILD_FLAGS are for the
# compiler.
build_stage() {
    local root=$1 bindir libdir sharedir known destdir=$1/stage setting=''
    bindir=$("$PG_CONFIG" --bindir)
    libdir=$("$PG_CONFIG" --pkglibdir)
    sharedir=$("$PG_CONFIG" --sharedir)
    known=$("$bindir/postgres" --describe-config | cut -f 1)

    if grep -qx extension_control_path <<< "$known"; then
        setting="extension_control_path = '$root/stage$sharedir:\$system'"
    elif grep -qx extension_destdir <<< "$known"; then
        # Debian's own, before 18
        setting="extension_destdir = '$root/stage'"
    elif [ -n "${INSTALL:-}" ]; then
        destdir=''
    else
        die "playevent: the server of $PG_CONFIG looks for extensions in its own directories only;
with INSTALL=1 playevent is installed there, and stays"
    fi

    # Postgres's own headers are not clean under -Wextra, so they count as the
    # system's.
    make -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" with_llvm=no \
        COPT="-Wall -Wextra -Werror -isystem $("$PG_CONFIG" --includedir-server) ${BUILD_FLAGS:-}" \
        DESTDIR="$destdir" install > "$root/build.log" 2>&1 ||
        { cat "$root/build.log" >&2; return 1; }

    {
        echo "listen_addresses = ''"
        if [ -n "$destdir" ]; then
            echo "$setting"
            echo "dynamic_library_path = '$root/stage$libdir:\$libdir'"
        fi
    } > "$root/server.conf"
}

# The server of this data directory.  The file of one that is gone may name a
# process of somebody else's.
server_pid() {
    local pid
    pid=$(head -n 1 "$1/postmaster.pid" 2> /dev/null) && [ "/proc/$pid/cwd" -ef "$1" ] && echo "$pid"
}

end_server() {
    local pid
    pid=$(server_pid "$1") || return 0
    kill -QUIT "$pid"
    tail -f -s 0.1 --pid="$pid" /dev/null
}

stop_server() { end_server s/data; }

# Build, and start a server with the settings on standard input, in s/.  It
# stops when the script ends; but in a copy that is kept (KEPT=1) it goes on, and
# the next call takes it, unless settings have changed or s/used says that a test
# has left who knows what in it.  SERVER_BIN is a directory with a postgres and a
# pg_ctl to use instead of the installed ones.
start_server() {
    local root=$1 bindir
    bindir=$("$PG_CONFIG" --bindir)
    export PATH=${SERVER_BIN:+$SERVER_BIN:}$bindir:$PATH PGHOST=$root/s PGPORT=5432
    build_stage "$root"
    { echo "# $("$PG_CONFIG" --version)"; cat server.conf; echo "unix_socket_directories = '$root/s'"; cat; } > settings
    [ -n "${KEPT:-}" ] || trap stop_server EXIT
    trap 'exit 130' INT TERM
    if [ ! -e s/used ] && cmp -s settings s/settings && server_pid s/data > /dev/null; then return; fi
    stop_server
    rm -rf s
    mkdir s
    initdb -N -A trust -D s/data -U postgres --encoding=UTF8 --locale=C.UTF-8 > initdb.log
    cat settings >> s/data/postgresql.conf
    pg_ctl -D s/data -l s/log -w start > /dev/null
    cp settings s
}
