#!/usr/bin/env bash
# uncovered.sh: what of src/ did not run, after the tests.
#
# A process writes down what it ran when it exits, so the server is stopped in
# the ordinary way first.  What killed processes ran is not known.
set -euo pipefail
pg_ctl -D s/data -m fast -w stop > /dev/null
lcov --quiet --capture --no-external --base-directory . --directory src --output-file coverage.info

awk -F '[:,]' '
    $1 == "SF" { file = $2; sub(/.*\/src\//, "src/", file); files[++n] = file }
    $1 == "DA" { lines[file]++; if ($3 > 0) ran[file]++; else left[file] = left[file] " " $2 }
    END {
        for (i = 1; i <= n; i++) {
            file = files[i]
            split(left[file], numbers, " ")
            for (j = 1; j in numbers; j++) missed[numbers[j]] = 1
            for (at = 1; (getline text < file) > 0; at++)
                if (at in missed) printf "%s:%d:%s\n", file, at, text
            split("", missed)
            split("", numbers)
        }
        printf "\n%-24s %6s %6s %8s\n", "file", "lines", "ran", "share"
        for (i = 1; i <= n; i++) {
            file = files[i]
            all += lines[file]
            all_ran += ran[file]
            printf "%-24s %6d %6d %7.1f%%\n", file, lines[file], ran[file], 100 * ran[file] / lines[file]
        }
        share = all ? 100 * all_ran / all : 0
        printf "%-24s %6d %6d %7.1f%%\n", "src", all, all_ran, share
        exit share < ENVIRON["COVERAGE_MIN"]
    }' coverage.info || {
    echo "coverage: less than $COVERAGE_MIN %"
    exit 1
}
