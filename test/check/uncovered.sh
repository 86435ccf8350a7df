#!/usr/bin/env bash
# uncovered.sh: what of src/ did not run, after the tests.
#
# A process writes down what it ran when it exits, so the server is stopped in
# the ordinary way first.  What killed processes ran is not known.
set -euo pipefail
pg_ctl -D s/data -m fast -w stop > /dev/null
lcov --quiet --capture --no-external --base-directory . --directory src \
    --output-file coverage.info > lcov.log 2>&1 || { cat lcov.log; exit 1; }

# What a header defines is in each file that includes it.
awk -F '[:,]' '
    $1 == "SF" {
        file = $2
        sub(/.*\/src\//, "src/", file)
        if (!(file in seen)) files[++n] = file
        seen[file]
    }
    $1 == "DA" { count[file, $2] += $3 }
    END {
        for (at in count) {
            split(at, part, SUBSEP)
            lines[part[1]]++
            if (count[at] > 0) ran[part[1]]++
        }
        for (i = 1; i <= n; i++)
            for (at = 1; (getline text < files[i]) > 0; at++)
                if ((files[i], at) in count && count[files[i], at] == 0)
                    printf "%s:%d:%s\n", files[i], at, text
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
