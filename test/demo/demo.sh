#!/usr/bin/env bash
# demo.sh: what `make demo` does: a musician's site in a throwaway cluster.
# KEEP=1 leaves the cluster up, WEB=1 the cluster and the site of ../web (PORT: where;
# any that is free).  Both say how to end what they left.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

web=()
if [ -n "${WEB:-}" ]; then
    export KEEP=1 WEB
    command -v node > /dev/null || web+=(nodejs)
    command -v npm > /dev/null || web+=(npm)
fi

prepare_copy() {
    if [ -n "${WEB:-}" ]; then
        say 'fetching what the web tier needs'
        (cd test/web && npm ci --omit=dev --loglevel=error --no-fund --cache ../../npm-cache > /dev/null)
    fi
}

run_in_copy test/demo/demo-in-copy.sh postgresql-@ postgresql-server-dev-@ "${web[@]}"
