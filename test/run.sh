#!/usr/bin/env bash
# run.sh: what `make test` does.  Runs every test there is in throwaway
# clusters and closes with the line `N passed, N failed`.  From the environment,
# beside what setup.sh knows (MAJOR, PG_CONFIG, INSTALL, KEEP):
#
#   ONLY           of regress isolation pgtap tap web: just those
#   PGTAP, TAP     which pgTAP and TAP tests, as patterns; default
#                  test/pgtap/*.sql and test/t/*.pl
#   SCREENSHOTS    directory for pictures of the web tests' pages
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# Ubuntu's package chromium is an installer of a snap, which has no place in a
# throwaway environment.
if [ -z "${ONLY:-}" ] && grep -qs '^ID=ubuntu' /etc/os-release; then
    say 'leaving out the web tests: Ubuntu has no package of Chromium'
    ONLY='regress isolation pgtap tap'
fi
export ONLY=${ONLY:-regress isolation pgtap tap web}

# What the web tests need.  Node and npm may be there without being packages.
web=()
if [[ " $ONLY " = *" web "* ]]; then
    web=(chromium python3-psycopg golang-go golang-github-lib-pq-dev)
    command -v node > /dev/null || web+=(nodejs)
    command -v npm > /dev/null || web+=(npm)
    prepare_copy() {
        say 'fetching the web tests'\'' packages'
        (cd test/web && npm ci --loglevel=error --cache ../../npm-cache >&2)
    }
fi

# shellcheck disable=SC2046
run_in_copy test/run-in-copy.sh $(test_packages) "${web[@]}"
