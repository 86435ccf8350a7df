#!/usr/bin/env bash
# valgrind-in-copy.sh: every test with the server's processes under memcheck.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
. "$(dirname "${BASH_SOURCE[0]}")/source.sh"
build_from_source "$MAJOR" valgrind

# pg_ctl starts the postgres that lies beside it.  Only whole servers are
# watched: initdb and the like have none of our code in them.
export VALGRIND_LOGS=$PWD/valgrind SERVER_BIN=$PWD/valgrind/bin
mkdir -p "$SERVER_BIN"
bindir=$("$PG_CONFIG" --bindir)
cp "$bindir/pg_ctl" "$SERVER_BIN"
cat > "$SERVER_BIN/postgres" <<WRAPPER
#!/bin/sh
case " \$* " in
*' -D '*) ;;
*) exec '$bindir/postgres' "\$@" ;;
esac
exec valgrind --quiet --vgdb=no --error-limit=no --leak-check=no --num-callers=24 \\
	--fullpath-after= --suppressions='$PWD/test/check/valgrind.supp' \\
	--log-file='$VALGRIND_LOGS/%p.log' '$bindir/postgres' "\$@"
WRAPPER
chmod +x "$SERVER_BIN/postgres"

export PLAYEVENT_SLOWDOWN=${PLAYEVENT_SLOWDOWN:-20}
export PGCTLTIMEOUT=600 PG_TEST_TIMEOUT_DEFAULT=1800
export PLAYEVENT_HISTORIES=${PLAYEVENT_HISTORIES:-20} PLAYEVENT_INPUTS=${PLAYEVENT_INPUTS:-1000}
export PG_CONFIG AFTERWARDS=test/check/valgrind-errors.sh
bash test/run-in-copy.sh
