# source.sh: a server built from the distribution's source package, so that its
# patches are in.
#
#   build_from_source MAJOR KIND   KIND is assert, with assertions, or valgrind,
#                                  which tells memcheck of memory contexts and,
#                                  since all runs slowly there, has no assertions
#                                  and is optimized
#
# Sourced by a script in the copy that setup.sh made.  Sets PG_CONFIG.  The
# sources of packages are read with a configuration of apt's own, so that the
# machine's stays as it is.
#
#   CACHE          directory that keeps the built server for the next time (some
#                  200 MB); without it, each time builds anew
#
# Needs the packages of $source_packages.

# shellcheck disable=SC2034
source_packages='dpkg-dev bzip2 xz-utils patch bison flex perl zlib1g-dev valgrind'

# Where this machine's apt finds the package; nothing if it has forgotten.
package_origins() {
    apt-cache policy "postgresql-$1" |
        awk '$1 ~ /^[0-9]+$/ && $2 ~ /:\/\// { split($3, s, "/"); print "deb-src", $2, s[1], s[2] }' |
        sort -u
}

# The package's hll, where there is one, will do for a server of the same major.
# It has to lie where the view of extensions looks, or tests take it for missing.
add_hll() {
    local major=$1 library=/usr/lib/postgresql/$1/lib/hll.so copy
    [ -e "$library" ] || return 0
    # Another run with the same CACHE may have it mapped.
    copy=$("$PG_CONFIG" --pkglibdir)/hll.so
    if cmp -s "$library" "$copy"; then return 0; fi
    cp "$library" "$copy.new"
    mv "$copy.new" "$copy"
    cp "/usr/share/postgresql/$major/extension"/hll* "$("$PG_CONFIG" --sharedir)/extension"
}

build_from_source() {
    local major=$1 kind=$2 root=$PWD apt=$PWD/apt version prefix key options
    case $kind in
    assert) options=(--enable-cassert CFLAGS='-O1 -g') ;;
    valgrind) options=(CFLAGS='-O2 -g' CPPFLAGS=-DUSE_VALGRIND) ;;
    esac
    mkdir -p "$apt"/{lists/partial,cache/archives/partial,trusted}
    for key in /etc/apt/trusted.gpg.d/* /etc/apt/keyrings/* /usr/share/keyrings/*-archive-keyring.gpg; do
        [ ! -f "$key" ] || cp "$key" "$apt/trusted/"
    done
    package_origins "$major" > "$apt/sources.list"
    [ -s "$apt/sources.list" ] || die "playevent: apt does not know where postgresql-$major comes from"
    cat > "$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::TrustedParts "$apt/trusted";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONF
    apt-get -qq -c "$apt/apt.conf" update >&2

    # The newest that is truly there: not every mirror has all sources that the
    # archive lists.
    mkdir source
    for version in $(apt-cache -c "$apt/apt.conf" showsrc "postgresql-$major" |
        sed -n 's/^Version: //p' | sort -uVr); do
        prefix=${CACHE:+$CACHE/servers}
        prefix=${prefix:-$root}/postgresql-$version-$kind
        PG_CONFIG=$prefix/bin/pg_config
        if [ -x "$PG_CONFIG" ]; then
            add_hll "$major"
            return
        fi
        if (cd source && apt-get -qq -c "$apt/apt.conf" source "postgresql-$major=$version") >> source.log 2>&1; then
            break
        fi
        PG_CONFIG=''
    done
    [ -n "$PG_CONFIG" ] || { cat source.log >&2; die "playevent: no source of postgresql-$major"; }

    # At the level of a make within a make, as started by ours, Postgres would not
    # generate its headers first.
    say "building PostgreSQL $version for $kind"
    # shellcheck disable=SC2016
    env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS bash -c '
        set -e
        cd source/postgresql-*/
        ./configure -q --prefix="$1" --enable-debug \
            --enable-tap-tests --without-icu --without-readline "${@:3}"
        make -s -j"$(nproc)" world-bin
        make -s install-world-bin DESTDIR="$2"
        ' - "$prefix" "$root/built" "${options[@]}" >> source.log 2>&1 ||
        { tail -n 50 source.log >&2; die 'playevent: Postgres does not build'; }
    # Whole or not at all, should this be interrupted
    mv "$root/built$prefix" "$prefix"
    add_hll "$major"
    rm -rf source built
}

# run_in_copy, with what it takes to build a server
run_from_source() {
    MAJOR=${MAJOR:-$(choose_major)}
    export MAJOR
    # shellcheck disable=SC2086
    set -- "$1" $source_packages "postgresql-$MAJOR" "postgresql-server-dev-$MAJOR" \
        "postgresql-$MAJOR-pgtap" "?postgresql-$MAJOR-hll" libtap-parser-sourcehandler-pgtap-perl libipc-run-perl
    install_missing "${@:2}"
    [ -n "$(package_origins "$MAJOR")" ] || as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >&2

    # The user who builds fills it.
    if [ -n "${CACHE:-}" ]; then
        CACHE=$(realpath -m "$CACHE")
        mkdir -p "$CACHE/servers"
        [ "$(id -u)" != 0 ] || chown postgres "$CACHE/servers"
    fi
    run_in_copy "$@"
}
