#!/usr/bin/env bash
# stop.sh: ends what the demo with KEEP=1 or WEB=1 has left running in this copy, and
# removes the copy.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
[ -e s/data ] || die 'there is no demo here'
[ -O s/data ] || [ "$EUID" = 0 ] || die 'this demo was started as root: stop it as root'

# A number may be another process's by now; ours were started here.
end() {
    [ "/proc/$1/cwd" -ef . ] || return 0
    kill "$1"
    timeout 10 tail -f -s 0.1 --pid="$1" /dev/null || kill -KILL "$1"
}

# Bash has read all of this before the file goes.
{
    if [ -e running ]; then while read -r pid; do end "$pid"; done < running; fi
    end_server s/data
    root=$PWD
    cd /
    rm -rf "$root"
    exit
}
