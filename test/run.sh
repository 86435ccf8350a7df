#!/usr/bin/env bash
# run.sh: what `make test` does.  Runs every test there is in throwaway
# clusters and closes with the line `N passed, N failed`.  From the environment,
# beside what setup.sh knows (MAJOR, PG_CONFIG, INSTALL, KEEP):
#
#   ONLY           of regress isolation pgtap tap orm web dotnet: just those
#   PGTAP, TAP     which pgTAP and TAP tests, as patterns; default
#                  test/pgtap/*.sql and test/t/*.pl
#   REGRESS, ISOLATION   which of theirs, by name
#   SCREENSHOTS    directory for pictures of the web tests' pages
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# No Debian has the SDK of .NET.
if [ -z "${ONLY:-}" ]; then
    ONLY='regress isolation pgtap tap orm web'
    if dotnet --list-sdks 2> /dev/null | grep -qE '^[1-9][0-9]+\.'; then
        ONLY+=' dotnet'
    else
        say 'leaving out the tests with .NET: there is no SDK of .NET 10 or later'
    fi
fi
export ONLY

# What the web tests need.  Ubuntu has no Chromium but a snap, which has no place in
# a throwaway environment.
web=()
if [[ " $ONLY " = *" web "* ]]; then
    web=('?chromium' python3-psycopg golang-go golang-github-lib-pq-dev)
fi

# What the sites in other frameworks need, as far as it is to be had
orm=()
if [[ " $ONLY " = *" orm "* ]]; then
    orm=('?python3-django' '?python3-sqlalchemy' '?python3-alembic' '?python3-psycopg2' '?ruby-activerecord' '?ruby-pg')
fi

# Both need Node, which may be there without being a package.
node=()
if [ $((${#web[@]} + ${#orm[@]})) -gt 0 ]; then
    command -v node > /dev/null || node+=('?nodejs')
    command -v npm > /dev/null || node+=('?npm')
fi

prepare_copy() {
    if [[ " $ONLY " = *" web "* ]]; then
        say 'fetching the web tests'\'' packages'
        (cd test/web && npm ci --loglevel=error --cache ../../npm-cache >&2)
    fi
    if [[ " $ONLY " = *" orm "* ]] && command -v npm > /dev/null; then
        say 'fetching knex'
        (cd test/orm/knex && npm ci --loglevel=error --cache ../../../npm-cache >&2)
    fi
    # With the packages, and whatever source of them, of whoever calls.  No server
    # that builds stays behind.
    if [[ " $ONLY " = *" dotnet "* ]]; then
        say 'building the tests with .NET'
        DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1 \
            dotnet build test/dotnet/Site.Tests --configuration Release --verbosity quiet \
            -p:RestoreLockedMode=true -p:UseSharedCompilation=false >&2
    fi
}

# shellcheck disable=SC2046
run_in_copy test/run-in-copy.sh $(test_packages) "${web[@]}" "${orm[@]}" "${node[@]}"
