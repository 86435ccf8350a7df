#!/usr/bin/env bash
# lint.sh: what `make lint` does: looks the sources over without running them,
# and closes with the line `N passed, N failed`.  From the environment, beside
# what setup.sh knows (MAJOR, PG_CONFIG):
#
#   CHECKS         of gcc clang scan-build cppcheck indent layers promises shellcheck perl ascii
#                  lock meta triggers frozen
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"
run_in_copy test/check/lint-in-copy.sh postgresql-@ postgresql-server-dev-@ \
    clang clang-tools cppcheck pg-bsd-indent binutils shellcheck \
    perl libipc-run-perl libperl-critic-perl
