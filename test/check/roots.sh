# roots.sh: small Debians in directories, for tests to run in.  Sourced after
# setup.sh.  Tests see nothing of the machine but such a root, with a view of
# processes and mounts of their own.  From the environment:
#
#   MIRROR         Debian's archive; default is what this machine's apt uses
#   CACHE          directory that keeps roots for the next time; without it, all go
# shellcheck shell=bash

# What add_suite returns where the archive has no such suite
lacking=77

# What tests and downloads are told by the environment
passed_on=()
while IFS= read -r name; do
    passed_on+=("$name=${!name}")
done < <(compgen -e | grep -E '^(PLAYEVENT_.*|ONLY|PGTAP|TAP|CI|[a-z]+_proxy)$')

# place_roots NAME: where roots are, as $roots
place_roots() {
    if [ -n "${CACHE:-}" ]; then
        roots=$(realpath -m "$CACHE")/$1
        as_root mkdir -p "$roots"
    else
        roots=$(mktemp -d /tmp/playevent-roots.XXXXXX)
    fi
}

# No mount of ours is left: they went with the processes that saw them.
remove_roots() {
    [ -n "${CACHE:-}" ] || as_root rm -rf --one-file-system "$roots"
}

# The sources in a root
there=/root/playevent

put_source() {
    as_root rm -rf "$1$there"
    as_root mkdir "$1$there"
    pack_source | as_root tar -C "$1$there" -xf - --no-same-owner
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

# bootstrap ROOT SUITE [SITE SCRIPT [OPTION...]]: a Debian with the means to install
# more; or an Ubuntu, of another archive, by another script and options.
bootstrap() {
    local root=$1 suite=$2 site=${3:-$(mirror)}
    # That of sid: an older debootstrap may not know the suite yet.
    local script=${4:-sid}
    [ -n "$site" ] || { say 'no Debian archive is known here: set MIRROR'; return 1; }
    as_root unshare --mount debootstrap --variant=minbase --include=ca-certificates "${@:5}" "$suite" "$root" "$site" \
        "/usr/share/debootstrap/scripts/$script"
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
