#!/usr/bin/env bash
# deb.sh: what `make deb` does: builds Debian packages, postgresql-15-playevent and
# the like, with Debian's own tools, and leaves them in OUT.  lintian looks at them,
# and anything it says is a failure.  From the environment:
#
#   OUT            directory for the packages
#   MAJOR          build for that major alone; else for each whose package for
#                  building is there, or for the newest there is
#   REVISION       of the package, 1
#   DEBFULLNAME,   who makes it
#   DEBEMAIL
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
[ -n "${OUT:-}" ] || die 'playevent: say where packages go: make deb OUT=directory'
mkdir -p "$OUT"
# What is built is sent here as a tar, for it belongs to another user.
run_in_copy test/package/deb-in-copy.sh postgresql-server-dev-@ postgresql-server-dev-all build-essential debhelper lintian |
    tar -C "$OUT" -xf - --no-same-owner
