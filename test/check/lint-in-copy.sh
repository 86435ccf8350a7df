#!/usr/bin/env bash
# lint-in-copy.sh: the checks of lint.sh, in the copy that setup.sh made.  Each
# is a function that prints what it found, and fails if there is anything.
. "$(dirname "${BASH_SOURCE[0]}")/../setup.sh"

headers=$("$PG_CONFIG" --includedir-server)
pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
warnings="-Wall -Wextra -Werror -isystem $headers"
mapfile -t scripts < <(find test .ci -name '*.sh' -o -path .ci/run | sort)

build() {
    make -s clean PG_CONFIG="$PG_CONFIG" with_llvm=no
    make -s PG_CONFIG="$PG_CONFIG" with_llvm=no "$@"
}

check_gcc() {
    build CC=gcc COPT="$warnings"
}

# Postgres was configured for gcc, whose flags clang needn't know.
for_clang='-Wno-unknown-warning-option -Wno-ignored-optimization-argument'

check_clang() {
    build CC=clang COPT="$warnings $for_clang"
}

check_scan-build() {
    make -s clean PG_CONFIG="$PG_CONFIG" with_llvm=no
    # shellcheck disable=SC2016
    scan-build -o scan-build --use-analyzer="$(command -v clang)" --status-bugs --exclude "$headers" \
        bash -c 'make -s PG_CONFIG="$1" with_llvm=no CC="$CC" COPT="$2"' - \
        "$PG_CONFIG" "-isystem $headers $for_clang" 2>&1
}

# It gives up on a configuration that hits an #error, so it is told the majors.
# Postgres's headers it can do without: with them it takes many minutes
# and reports on them.
check_cppcheck() {
    local major status=0
    for major in 15 16 17 18 19; do
        cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability \
            --inline-suppr --std=c99 -DPG_VERSION_NUM=${major}0000 src || status=1
    done
    return $status
}

# The names of types are those that the compiler saw, as in Postgres's own
# list; those that are no types of ours where they occur are left out, as by
# pgindent, which also puts right what is said below.
check_indent() {
    local file status=0
    build CC=gcc || return
    objdump --dwarf=info playevent.so |
        awk '/DW_TAG_/ { typedef = /DW_TAG_typedef/ } typedef && /DW_AT_name/ { print $NF; typedef = 0 }' |
        grep -vxE 'FD_SET|LookupSet|boolean|date|duration|element_type|inquiry|iterator|other|pointer|reference|rep|string|timestamp|type|wrap' |
        sort -u > typedefs
    echo bool >> typedefs
    for file in src/*.[ch]; do
        # shellcheck disable=SC2046
        pg_bsd_indent $(cat .indent.pro) -Utypedefs < "$file" |
            # A pointer that a function returns: one space before the star
            sed -E 's/^([A-Za-z_][^[:space:]]*)[ \t]+\*$/\1 */' > indented
        diff -u --label "$file" --label "$file, indented" "$file" indented || status=1
    done
    return $status
}

# The table of layers in src/README.md names all files, each after those whose
# functions or headers it uses, and as each says itself: so nothing goes round.
check_layers() {
    local file
    build CC=gcc || return
    {
        awk -F ' *[|] *' '
            /^## / { here = $0 == "## Layers" }
            here && $3 ~ /^`.*`$/ {
                layer = $2 == "" ? layer : $2
                gsub(/`/, "", $3)
                print "row", $3, layer
            }' src/README.md
        for file in src/*.[ch]; do
            sed -nE "s,^ \\* Layer: (.*)\\.\$,says ${file##*/} \\1,p" "$file"
            sed -nE "s,^#include \"([a-z_]+\\.h)\"\$,uses ${file##*/} \\1 include,p" "$file"
            echo "file ${file##*/}"
        done
        for file in src/*.o; do
            nm -g --defined-only "$file" | sed -nE "s,.* [A-Z] (.*),defines $(basename "$file" .o).c \\1,p"
            nm -u "$file" | sed -nE "s,.* U (.*),needs $(basename "$file" .o).c \\1,p"
        done
    } | awk '
        function name(file) { return substr(file, 1, length(file) - 2) }
        function complain(text) { print text; failed = 1 }
        $1 == "row" {
            place[name($2)] = ++rows
            layer[$2] = substr($0, index($0, $3))
        }
        $1 == "says" { said[$2] = substr($0, index($0, $3)) }
        $1 == "file" { files[$2] }
        $1 == "uses" { used[name($2), name($3)] = $3 }
        $1 == "defines" { home[$3] = $2 }
        $1 == "needs" { needed[$2, $3] }
        END {
            for (each in needed) {
                split(each, part, SUBSEP)
                if (part[2] in home) used[name(part[1]), name(home[part[2]])] = part[2]
            }
            for (each in used) {
                split(each, part, SUBSEP)
                if (part[2] in place && place[part[1]] < place[part[2]])
                    complain("src/" part[1] " uses " used[each] " of src/" part[2] ", which src/README.md names after it")
            }
            for (file in files)
                if (!(name(file) in place))
                    complain("src/" file ": not in the table of layers in src/README.md")
            for (file in layer)
                if (!(file in files) || said[file] != layer[file])
                    complain("src/" file ": does not say that its layer is: " layer[file])
            exit failed
        }'
}

# What setup.sh and lib.sh are is found by their callers, relative to
# themselves: 1091 asks for them at a fixed place.
check_shellcheck() {
    shellcheck --shell=bash --exclude=SC1091 "${scripts[@]}"
}

check_perl() {
    local file status=0
    for file in test/t/*.p[lm] test/t/*/*.pm; do
        perl -wc -I "$pgxs/src/test/perl" -I test/t "$file" 2>&1 | grep -vx "$file syntax OK" && status=1
    done
    perlcritic --quiet --severity 5 test/t || status=1
    return $status
}

# Postgres reads an install script in the database's encoding, whatever it is.
check_ascii() {
    ! LC_ALL=C grep -nr --include='*.sql' --include='*.control' '[^[:print:][:space:]]' sql playevent.control
}

# Each test's first line names the promises that it guards, among them the one of
# its name.  That of the documents guards none.
check_promises() {
    local file name status=0
    for file in test/sql/*.sql test/specs/*.spec test/pgtap/*.sql test/t/*.pl test/citus/*.pl; do
        name=$(basename "$file")
        [ "$name" != documents.pl ] || continue
        name=$(sed -nE 's/^p([0-9]+)_.*/P\1/p' <<< "$name")
        head -n 1 "$file" | grep -oE '^(--|#) P[0-9]+((,| and) P[0-9]+)*' | grep -qw "${name:-P[0-9]*}" && continue
        echo "$file: its first line does not begin with ${name:-a promise}"
        status=1
    done
    return $status
}

# Which registry a developer's npm uses is nobody's business.
check_lock() {
    ! grep -n '"resolved"' test/web/package-lock.json test/orm/knex/package-lock.json
}

# PGXN's archive is told by META.json, packages by all three files.
check_meta() {
    perl test/check/meta.pl .
}

# Whoever looks into a catalog reads invalidations, which free a relation's triggers.
check_triggers() {
    ! grep -n -e '->trigdesc' src/*.c | grep -ve 'CopyTriggerDesc(' -e ':[0-9]*: \*'
}

# A script that was released is in databases, and never changes: its hash is in
# sql/released/SHA256SUMS.  Whose version is another by now, it lies beside that.
check_frozen() {
    local sums=sql/released/SHA256SUMS version path sum file found status=0
    local joined
    joined=sql/playevent--$(sed -n "s/^default_version = '\(.*\)'/\1/p" playevent.control).sql
    make -s "$joined"
    while read -r version; do
        for path in "sql/playevent--$version.sql" "sql/released/playevent--$version.sql" sql/playevent--*--"$version".sql; do
            file=${path##*/}
            [ -e "$path" ] || [ "$file" = "playevent--$version.sql" ] || continue
            grep -qsE "^[0-9a-f]{64}  $file\$" "$sums" && continue
            echo "$file is released, by CHANGELOG.md, and not in $sums, where this belongs:"
            [ ! -e "$path" ] || (cd "${path%/*}" && sha256sum "$file")
            status=1
            break
        done
    done < <(sed -nE 's/^## ([0-9]+\.[0-9]+)\.[0-9]+ \([0-9-]+\)$/\1/p' CHANGELOG.md | sort -u)
    [ -e "$sums" ] || return $status
    while read -r sum file; do
        found=''
        for path in "sql/$file" "sql/released/$file"; do
            [ -e "$path" ] || continue
            found=1
            [ "$(sha256sum < "$path")" = "$sum  -" ] ||
                { echo "$path is not what was released: what is new goes into a script that updates"; status=1; }
        done
        [ -n "$found" ] || { echo "$file is released, and not in sql/released/: put it there from its tag"; status=1; }
    done < "$sums"
    return $status
}

passed=0
failed=0
for name in ${CHECKS:-gcc clang scan-build cppcheck indent layers promises shellcheck perl ascii lock meta triggers frozen}; do
    declare -F "check_$name" > /dev/null || die "no check is called $name"
    if "check_$name" > "$name.log" 2>&1; then
        echo "$name: passed"
        passed=$((passed + 1))
    else
        echo "$name: FAILED"
        cat "$name.log"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
