#!/usr/bin/env bash
# package.sh: what `make test-package` does: builds the packages in a bare Debian of
# each suite, by `make deb`, and tries them in another: installing, a first play,
# upgrading, purging; PGXN's archive, and the ways into containers that
# sql/OPERATIONS.md shows, as far as they go without an engine.  Closes with the line
# `N passed, N failed`.  From the environment:
#
#   SYSTEMS        which; default "bookworm:15 trixie:17 forky:18 noble:16"
#   UBUNTU         Ubuntu's archive; without it, Ubuntu is left out, and a line says so
#   MIRROR, CACHE  as roots.sh has it; what is kept are the bare ones, 300 MB each
# shellcheck disable=SC2154 # roots and there are of roots.sh
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../check/roots.sh"

read -ra systems <<< "${SYSTEMS:-bookworm:15 trixie:17 forky:18 noble:16}"
ubuntu=' jammy noble plucky questing resolute '

place_roots packages
log=$(mktemp)
finish() {
    as_root rm -rf --one-file-system "$roots"/*.build "$roots"/*.try
    remove_roots
    rm -f "$log"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Debian's archive has the keys of Ubuntu's, since trixie.
ubuntu_keys() {
    [ -e "$roots/ubuntu.gpg" ] && return
    bare trixie || return
    fresh trixie try
    in_root "$roots/trixie.try" apt-get -qq install ubuntu-keyring > /dev/null
    as_root cp "$roots/trixie.try/usr/share/keyrings/ubuntu-archive-keyring.gpg" "$roots/ubuntu.gpg"
}

# bare SUITE: one that nothing was installed into, as $roots/SUITE
bare() {
    local suite=$1
    [ ! -e "$roots/$suite.complete" ] || return 0
    as_root rm -rf --one-file-system "${roots:?}/$suite"
    if [[ $ubuntu = *" $suite "* ]]; then
        ubuntu_keys &&
        bootstrap "$roots/$suite" "$suite" "$UBUNTU" gutsy --keyring="$roots/ubuntu.gpg" --components=main,universe
    else
        bootstrap "$roots/$suite" "$suite"
    fi && as_root touch "$roots/$suite.complete"
}

# fresh SUITE NAME: a copy of it, as $roots/SUITE.NAME
fresh() {
    as_root rm -rf --one-file-system "$roots/$1.$2"
    as_root cp -a "$roots/$1" "$roots/$1.$2"
    in_root "$roots/$1.$2" apt-get -qq update
    put_source "$roots/$1.$2"
}

# try SUITE WHAT MAJOR: in a fresh one, with what was built
try() {
    fresh "$1" try
    as_root cp -a "$roots/$1.build/root/built" "$roots/$1.try/root/"
    in_root "$roots/$1.try" bash "$there/test/package/package-in-root.sh" "$2" "$3"
}

# A failed step is a test that failed, and the next ones are tried all the same.
step() {
    "${@:2}" >&2 || { echo "not ok - $1"; return 1; }
    echo "ok - $1"
}

test_system() {
    local suite=$1 major=$2 build=$roots/$1.build
    step "$suite: a bare system" bare "$suite" || return 0
    fresh "$suite" build >&2
    in_root "$build" apt-get -qq install make > /dev/null

    # The release, what comes after it, and the archive of the release
    step "$suite: make deb" in_root "$build" make -sC "$there" deb "MAJOR=$major" OUT=/root/built/old || return 0
    step "$suite: make dist" in_root "$build" make -sC "$there" dist OUT=/root/built
    in_root "$build" bash "$there/test/update/next.sh" "$there" >&2
    step "$suite: make deb of the next version" in_root "$build" make -sC "$there" deb "MAJOR=$major" OUT=/root/built/new || return 0

    try "$suite" package "$major" || echo "not ok - $suite: the package"
    [ "$major" != 15 ] || try "$suite" archive "$major" || echo "not ok - $suite: PGXN's archive"
    [ "$major" != 17 ] || try "$suite" image "$major" || echo "not ok - $suite: an image"
    [ "$major" -lt 18 ] || try "$suite" volume "$major" || echo "not ok - $suite: a volume"
}

as_root true
install_missing debootstrap
for system in "${systems[@]}"; do
    if [[ $ubuntu = *" ${system%:*} "* ]] && [ -z "${UBUNTU:-}" ]; then
        say "${system%:*}: left out, for UBUNTU names no archive of it"
        continue
    fi
    say "${system%:*}, PostgreSQL ${system#*:}"
    (set +e; test_system "${system%:*}" "${system#*:}") | tee -a "$log"
done
passed=$(grep -c '^ok ' "$log" || true)
failed=$(grep -c '^not ok ' "$log" || true)
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
