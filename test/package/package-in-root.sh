#!/usr/bin/env bash
# package-in-root.sh WHAT MAJOR: as root in a bare Debian or Ubuntu, tries one of the
# ways to install what is in /root/built: package, archive, image or volume.  Prints a
# line `ok` or `not ok` for each thing tried.  See package.sh.
set -uo pipefail
export DEBIAN_FRONTEND=noninteractive
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
operations=$here/../../sql/OPERATIONS.md
built=/root/built
what=$1
major=$2
name=postgresql-$major-playevent
bin=/usr/lib/postgresql/$major/bin
failed=0

die() { echo "not ok - $major, $what: $*"; exit 1; }

# is GOT EXPECTED NAME; like does so with a pattern of the shell
is() {
    if [ "$1" = "$2" ]; then echo "ok - $major, $what: $3"; return; fi
    echo "not ok - $major, $what: $3"
    printf '# got:      %s\n# expected: %s\n' "$1" "$2"
    failed=1
}
like() {
    # shellcheck disable=SC2254
    case $1 in $2) is 1 1 "$3" ;; *) is "$1" "$2" "$3" ;; esac
}

# He may not go where root is.
as_postgres() { (cd / && runuser -u postgres -- "$@"); }
query() { as_postgres psql -XAtqd site -c "$1" 2>&1; }

# Debian says a lot on standard output.
apt() { apt-get -qq -o DPkg::Use-Pty=0 "$@" 2>&1 || { echo "apt-get $*: failed"; return 1; }; }

# As somebody does who has read README so far
first_play() {
    as_postgres createuser site
    as_postgres createdb -O site site
    is "$(query '
        SET SESSION AUTHORIZATION site;
        CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
        INSERT INTO track VALUES ('\''k1'\'', 7);
        CREATE EXTENSION playevent;
        DO $$ BEGIN PERFORM playevent.create_log('\''play'\'', track => '\''track'\''); END $$;
        '"$play"'
        SELECT plays FROM play_by_track')" 1 'CREATE EXTENSION by who owns the database, and a first play'
}
play="INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');"
state='SELECT (SELECT extversion FROM pg_extension WHERE extname = '\''playevent'\''), left(playevent.library_version(), 3),
              (SELECT count(*) FROM play_event) - (SELECT sum(plays) FROM play_by_track),
              (SELECT count(*) FROM playevent.verify('\''play_event'\'')), bool_and(intact) FROM playevent.log'

# A session that stays connected, by a pipe each way, and one statement of it
connect() {
    coproc session { as_postgres psql -XAtqd site 2>&1; }
}
ask() {
    local line answer=''
    printf '%s;\n\\echo that is all\n' "$1" >&"${session[1]}"
    while IFS= read -r line <&"${session[0]}" && [ "$line" != "that is all" ]; do answer+=$line; done
    echo "$answer"
}

package() {
    local said files
    apt install "$built/old/${name}"_*.deb > /dev/null || die 'apt-get install'
    pg_ctlcluster "$major" main start || die 'the cluster does not start'
    first_play
    files=$(dpkg -L "$name" | grep -cE '/(playevent\.so|playevent\.control|playevent--.*\.sql|README\.md|changelog\.gz)$')
    is "$files" 6 'library, control file, script and documents are in the package'

    connect
    ask "$play" > /dev/null
    is "$(ask 'SELECT left(playevent.library_version(), 3)')" 1.0 'a pooled connection has the library of then'

    said=$(apt install "$built/new/${name}"_*.deb)
    like "$said" '*ALTER EXTENSION playevent UPDATE*' 'an upgraded package says what is left to do'
    is "$(query "$play $state")" '1.0|1.1|0|0|t' 'a new session has the new library, and the script of before'
    is "$(ask "$play SELECT left(playevent.library_version(), 3)")" 1.0 'a pooled connection plays on'
    like "$(ask 'ALTER EXTENSION playevent UPDATE')" '*has loaded is 1.0*' 'and can not update'
    is "$(query 'ALTER EXTENSION playevent UPDATE')" '' 'ALTER EXTENSION playevent UPDATE'
    like "$(ask "$play")" '*could not find function*' 'a pooled connection fails clearly'
    printf '\\q\n' >&"${session[1]}"
    is "$(query "$play $state")" '1.1|1.1|0|0|t' 'what connects again plays on'

    said=$(apt purge "$name")
    like "$said" '*DROP EXTENSION playevent CASCADE*' 'a package that goes says what is left to do'
    is "$(find / -xdev -name '*playevent*' ! -path '/root/*' ! -path '/proc/*' ! -path '/etc/apt/*' ! -path '/etc/dpkg/*')" '' 'nothing of it is left'
    like "$(query "$play")" '*could not access file*playevent*' 'a play without it fails clearly'
    is "$(query 'SET client_min_messages = error; DROP EXTENSION playevent CASCADE; SELECT count(*) FROM play_event')" 5 'DROP EXTENSION keeps every row'
    pg_ctlcluster "$major" main stop
}

# PGXN's own client reads META.json, builds and installs.
archive() {
    apt install pgxnclient make gcc libc6-dev unzip "postgresql-$major" "postgresql-server-dev-$major" > /dev/null || die 'apt-get install'
    pgxn install --yes "$built"/playevent-*.zip > /root/pgxn.log 2>&1 || { tail -n 20 /root/pgxn.log; die 'pgxn install'; }
    pg_ctlcluster "$major" main start || die 'the cluster does not start'
    first_play
    pg_ctlcluster "$major" main stop
}

# dockerfile N: the Nth of sql/OPERATIONS.md, with long lines joined, for this major
dockerfile() {
    awk -v n="$1" '/^```$/ { on = 0 } on { print } /^```dockerfile$/ { on = ++seen == n }' "$operations" |
        sed -e ':a' -e '/\\$/N; s/\\\n//; ta' | sed "s/postgresql-[0-9]*-/postgresql-$major-/g; s,postgresql/[0-9]*/,postgresql/$major/,g"
}

# A server as containers start it: no cluster of Debian's, all of it one user's
start() {
    mkdir -p /data && chown postgres /data
    as_postgres "$bin/initdb" -D /data --auth=trust > /dev/null &&
        printf '%s\n' "$@" >> /data/postgresql.conf && restart
}
restart() {
    [ ! -e /data/postmaster.pid ] || as_postgres "$bin/pg_ctl" -D /data -w -m fast stop > /dev/null
    as_postgres "$bin/pg_ctl" -D /data -l /data/log -w start > /dev/null || { cat /data/log; return 1; } >&2
}
bare_server() {
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
    apt install "postgresql-$major" > /dev/null || die 'apt-get install'
}

# What FROM names is the server; then COPY and RUN, as they stand.
image() {
    local instruction rest lines=0
    bare_server
    cd "$built/old" || exit
    while read -r instruction rest; do
        lines=$((lines + 1))
        case $instruction in
        FROM) ;;
        COPY)
            # shellcheck disable=SC2086
            cp $rest || die "COPY $rest"
            ;;
        RUN) sh -ec "$rest" > /dev/null 2>&1 || die "RUN $rest" ;;
        *) die "$instruction" ;;
        esac
    done < <(dockerfile 1)
    is "$lines" 3 "the Dockerfile's steps"
    start || die 'the server does not start'
    first_play
}

# What the second Dockerfile copies is mounted at /extensions/playevent, and the
# operator makes these settings.
volume() {
    local instruction from to lines old_or_new
    bare_server
    for old_or_new in old new; do
        cd "$built/$old_or_new" || exit
        rm -rf /package /extensions /tmp/*.deb
        mkdir -p /extensions/playevent/share
        lines=0
        while read -r instruction from to; do
            lines=$((lines + 1))
            case $instruction in
            FROM) ;;
            COPY)
                if [[ $from = --from=* ]]; then
                    cp -r "${to% *}" "/extensions/playevent${to#* }" || die "COPY $from $to"
                else
                    # shellcheck disable=SC2086
                    cp $from $to || die "COPY $from $to"
                fi
                ;;
            RUN) sh -ec "$from $to" > /dev/null 2>&1 || die "RUN $from $to" ;;
            *) die "$instruction" ;;
            esac
        done < <(dockerfile 2)
        is "$lines" 6 "the Dockerfile's steps, $old_or_new"
        if [ "$old_or_new" = old ]; then
            start "extension_control_path = '\$system:/extensions/playevent/share'" \
                "dynamic_library_path = '\$libdir:/extensions/playevent/lib'" || die 'the server does not start'
            first_play
        else
            restart || die 'the server does not start again'
        fi
    done
    is "$(query "$play $state")" '1.0|1.1|0|0|t' 'with a newer image, the script of before'
    is "$(query 'ALTER EXTENSION playevent UPDATE')" '' 'ALTER EXTENSION playevent UPDATE'
    is "$(query "$play $state")" '1.1|1.1|0|0|t' 'and the new one'
}

trap '[ ! -e /data/postmaster.pid ] || as_postgres "$bin/pg_ctl" -D /data -m immediate stop > /dev/null' EXIT
case $what in
package) package ;;
archive) archive ;;
image) image ;;
volume) volume ;;
esac
exit $failed
