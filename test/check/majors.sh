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
#   MIRROR         Debian's archive; default is what this machine's apt uses
#   CACHE          directory that keeps those Debians (some 2 GB each) for the
#                  next time; without it, all goes
#   ONLY, PGTAP,   as for `make test`, like all variables that tests know:
#   TAP            PLAYEVENT_*
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
read -ra chosen <<< "${MAJORS:-15 17 18 19}"

# Where each is at home: the first that has it.
declare -A suites=([15]=bookworm [17]=trixie [18]='forky sid' [19]=experimental)
# A suite that is no Debian of its own, and the one that it adds to.
declare -A bases=([experimental]=sid)
# Those that archives need not have yet, and what set_up returns then.
declare -A new=([19]=1)
lacking=77
# What it is upgraded from, and where that is.
declare -A older=([17]='15 bookworm')

# What tests and downloads are told by the environment
passed_on=()
while IFS= read -r name; do
    passed_on+=("$name=${!name}")
done < <(compgen -e | grep -E '^(PLAYEVENT_.*|ONLY|PGTAP|TAP|CI|[a-z]+_proxy)$')

if [ -n "${CACHE:-}" ]; then
    roots=$(realpath -m "$CACHE")/roots
    as_root mkdir -p "$roots"
else
    roots=$(mktemp -d /tmp/playevent-majors.XXXXXX)
fi
# The sources in a root
there=/root/playevent
logs=$(mktemp -d /tmp/playevent-majors.XXXXXX)
finish() {
    local group
    for group in $(jobs -pr); do as_root kill -KILL -- "-$group"; done
    wait
    rm -rf "$logs"
    # No mount of ours is left: they went with the processes that saw them.
    [ -n "${CACHE:-}" ] || as_root rm -rf --one-file-system "$roots"
}
trap finish EXIT
trap 'exit 130' INT TERM

is_known() {
    [ -n "$(apt-cache madison "postgresql-server-dev-$1" 2> /dev/null)" ]
}

is_tested_here() {
    is_known "$1" && [ -z "${older[$1]:-}" ]
}

# The archive's address without its path of suites: what apt has for Debian
mirror() {
    if [ -n "${MIRROR:-}" ]; then
        echo "$MIRROR"
    else
        # shellcheck disable=SC2016
        apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)' 'Created-By: Packages' |
            awk '$1 == "Debian" && $2 == "Debian" && !n++ { print $3 }'
    fi
}

# in_root ROOT COMMAND...: as root there.  What is mounted goes when it ends.
in_root() {
    local root=$1
    shift
    # shellcheck disable=SC2016
    as_root unshare --mount --pid --fork --kill-child bash -c '
        set -e
        root=$1
        shift
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
        exec chroot "$root" "$@"' - "$root" \
        env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        "${passed_on[@]}" "$@"
}

# Write a file in a root, whose owner may not be us.
write() {
    as_root tee "$1" > /dev/null
}

# bootstrap ROOT SUITE: a Debian with the means to install more
bootstrap() {
    local root=$1 suite=$2 site
    site=$(mirror)
    [ -n "$site" ] || { say 'no Debian archive is known here: set MIRROR'; return 1; }
    # The script of sid: an older debootstrap may not know the suite yet.
    as_root unshare --mount debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$site" \
        /usr/share/debootstrap/scripts/sid
    as_root cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    # How this machine reaches archives; sid's index may read as expired.
    {
        apt-config dump | grep -E '^Acquire::(http|https)::(Proxy|Verify)' || true
        echo 'Acquire::Check-Valid-Until "false";'
        echo 'Acquire::Languages "none";'
        echo 'APT::Install-Recommends "false";'
    } | write "$root/etc/apt/apt.conf.d/00playevent"
    # It is thrown away: no need to wait for the disk.
    echo force-unsafe-io | write "$root/etc/dpkg/dpkg.cfg.d/playevent"
    # No service starts
    printf '#!/bin/sh\nexit 101\n' | write "$root/usr/sbin/policy-rc.d"
    as_root chmod 755 "$root/usr/sbin/policy-rc.d"
    in_root "$root" apt-get -qq update
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
    return $lacking
}

# add_suite ROOT SUITE PACKAGES PRIORITY: another suite of the archive, and how
# apt is to rank those packages of it: 100 is below a root's own, 500 level.
add_suite() {
    local root=$1 suite=$2 said
    echo "deb $(mirror) $suite main" | write "$root/etc/apt/sources.list.d/$suite.list"
    printf 'Package: %s\nPin: release %s\nPin-Priority: %s\n' "$3" "$suite" "$4" |
        write "$root/etc/apt/preferences.d/$suite"
    if said=$(in_root "$root" apt-get -qq update 2>&1); then return; fi
    say "$said"
    [[ $said != *'does not have a Release file'* ]] || return $lacking
    return 1
}

# set_up MAJOR: a root with the sources and all that tests need
set_up() {
    local major=$1 root=$roots/$1 more=()
    bootstrap_for "$major"
    as_root rm -rf "$root$there"
    as_root mkdir "$root$there"
    pack_source | as_root tar -C "$root$there" -xf - --no-same-owner
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
    if [ "$status" -eq $lacking ] && [ -n "${new[$major]:-}" ]; then
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
