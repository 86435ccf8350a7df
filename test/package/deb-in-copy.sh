#!/usr/bin/env bash
# deb-in-copy.sh: builds packages in the copy that setup.sh made, and writes them
# to standard output as a tar.  See deb.sh.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
exec 3>&1 >&2

# Where packages go is the directory above that of the sources.
build=$PWD/package/playevent
mkdir -p "$build"
tar -cf - --exclude=./package . | tar -C "$build" -xf -
cd "$build" || exit
cp -r test/package/debian debian

release=$(sed -n 's/^   "version": "\(.*\)",/\1/p' META.json)
date=$(sed -nE "s/^## ${release//./\\.} \((.*)\)\$/\1/p" CHANGELOG.md)
# What isn't released sorts before what will be.
if [ "$date" = unreleased ]; then
    release+='~pre'
    date=$(date -R)
else
    date=$(date -R -u -d "$date 12:00")
fi
# What lintian knows: in Ubuntu, Ubuntu's own.
suite=$(. /etc/os-release && [ "$ID" = ubuntu ] && echo "$VERSION_CODENAME") || suite=unstable
maintainer="${DEBFULLNAME:-the playevent authors} <${DEBEMAIL:-playevent@example.org}>"

sed -i "s/@MAINTAINER@/$maintainer/" debian/control.in
cat > debian/changelog <<CHANGELOG
playevent ($release-${REVISION:-1}) $suite; urgency=medium

  * What has changed, the file changelog.gz says.

 -- $maintainer  $date
CHANGELOG

if [ -z "${MAJOR:-}" ]; then
    MAJOR=$(printf '%s\n' /usr/lib/postgresql/*/lib/pgxs/src/makefiles/pgxs.mk | cut -d / -f 5)
fi
export PG_SUPPORTED_VERSIONS=$MAJOR
pg_buildext updatecontrol
dpkg-buildpackage --build=binary --no-sign --jobs-try=auto
lintian --fail-on error,warning,info --display-info --tag-display-limit 0 ../*.changes
tar -C .. -cf - --exclude=./playevent . >&3
