#!/usr/bin/env bash
# dist.sh: what `make dist` does: makes the archive for PGXN, playevent-VERSION.zip,
# in OUT, and checks it.  It has what is in git, and the install script.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
[ -n "${OUT:-}" ] || die 'playevent: say where the archive goes: make dist OUT=directory'
mkdir -p "$OUT"
out=$(cd "$OUT" && pwd)
install_missing make perl zip
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

script=sql/playevent--$(sed -n "s/^default_version = '\(.*\)'/\1/p" playevent.control).sql
name=playevent-$(sed -n 's/^   "version": "\(.*\)",/\1/p' META.json)
archive=$out/$name.zip
work=$(mktemp -d /tmp/playevent.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/$name"

# In git's, as it lies there; an unpacked archive has nothing else.
if [ -e .git ]; then
    git -c safe.directory='*' ls-files -z | xargs -0 tar -cf - --
else
    pack_source
fi | tar -C "$work/$name" -xf - --no-same-owner
make -s -C "$work/$name" "$script"
perl test/check/meta.pl "$work/$name"
rm -f "$archive"
(cd "$work" && find "$name" -type f | LC_ALL=C sort | zip -qX9 "$archive" -@)
say "$archive"
