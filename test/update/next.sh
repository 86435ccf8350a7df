#!/usr/bin/env bash
# next.sh DIRECTORY: makes of the source tree there the version that comes after
# its own, 1.1 of 1.0: the example that updates are tried with, in
# test/t/p7_update.pl and test/package/.  Nothing changes but the names of two
# functions in C, one of them called by each insert; so it is also the example of
# what src/README.md asks of an update.  Prints both versions.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$1"

old=$(sed -n "s/^default_version = '\(.*\)'/\1/p" playevent.control)
new=${old%.*}.$((${old##*.} + 1))
suffix=${new//./_}

sed -i "s/^default_version = .*/default_version = '$new'/" playevent.control
sed -i "/\"url\"/! s/\"version\": \"$old\.[0-9]*\"/\"version\": \"$new.0\"/; s/playevent--$old\.sql/playevent--$new.sql/" META.json
sed -i "0,/^## /s//## $new.0 (unreleased)\n\n- The example of an update.\n\n## /" CHANGELOG.md

# What is installed anew names the new functions, and so does what updates.
sed -i -E "s/('MODULE_PATHNAME', 'playevent_(count|kind_of))'/\1_$suffix'/" sql/parts/*.sql
sed "s/@NEW@/$new/g; s/@SUFFIX@/$suffix/g" "$here/next.sql" > "sql/playevent--$old--$new.sql"

# The library has both: what updates not yet goes on with the old ones.
sed "s/@SUFFIX@/$suffix/g" "$here/next.c" > src/next.c
sed -i -E "s/^(\t\{playevent_)(count, .*)/&\n\1count_$suffix, \"count\", ROLE_COUNT, \&amount_count},/
    s/^void\t\t_PG_init\(void\);/extern Datum playevent_count_$suffix(PG_FUNCTION_ARGS);\n\n&/" src/playevent.c
echo "$old $new"
