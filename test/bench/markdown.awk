# markdown.awk: summary.tsv to a table for README.md: every ratio to the bare
# table, by variant.

BEGIN {
    FS = "\t"
    split("row_triggers transition_table playevent", column, " ")
    print "| workload | keys | clients | row triggers | transition table | playevent |"
    print "| --- | --- | --- | --- | --- | --- |"
}

$5 ~ /_to_bare$/ && $4 != "bare" {
    line = $1 ($5 ~ /^seconds/ ? ", time" : "") " | " $2 " | " $3
    if (!(line in seen)) { seen[line] = 1; order[++lines] = line }
    cell[line, $4] = sprintf("%.2f", $7) ($6 > 1 ? sprintf(" (%.2f to %.2f)", $8, $9) : "")
}

END {
    for (l = 1; l <= lines; l++) {
        printf "| %s", order[l]
        for (c = 1; c <= 3; c++) printf " | %s", cell[order[l], column[c]]
        print " |"
    }
}
