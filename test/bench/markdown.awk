# markdown.awk: summary.tsv to tables for README.md: every ratio to the bare
# table, by variant; and what a row costs.

BEGIN {
    FS = "\t"
    split("row_triggers row_triggers_with_day transition_table transition_table_with_day pg_ivm " \
        "playevent_without_day playevent", known, " ")
    for (k = 1; k in known; k++) is_known[known[k]] = 1
    split("p50_ms p99_ms cpu_us cpu_us_to_bare wal_bytes wal_bytes_a_counter", cost, " ")
    for (c = 1; c in cost; c++) is_cost[cost[c]] = 1
}

$5 in is_cost {
    line = $1 " | " $2 " | " $3 " | " $4
    if ($5 == "cpu_us") cost_order[++cost_lines] = line
    figure[line, $5] = sprintf($5 ~ /_ms$|_to_bare$/ ? "%.2f" : $5 == "cpu_us" ? "%.1f" : "%.0f", $7)
    next
}

$5 ~ /_to_bare$/ && $4 in is_known && $4 != "bare" {
    line = $1 ($5 ~ /^seconds/ ? ", time" : "") " | " $2 " | " $3
    if (!(line in seen)) { seen[line] = 1; order[++lines] = line }
    shown[$4] = 1
    cell[line, $4] = sprintf("%.2f", $7) ($6 > 1 ? sprintf(" (%.2f to %.2f)", $8, $9) : "")
}

END {
    heading = "| workload | keys | clients |"
    rule = "| --- | --- | --- |"
    for (k = 1; k in known; k++) {
        if (!(known[k] in shown)) continue
        name = known[k]
        gsub(/_/, " ", name)
        sub(/pg ivm/, "pg_ivm", name)
        heading = heading " " name " |"
        rule = rule " --- |"
    }
    print heading "\n" rule
    for (l = 1; l <= lines; l++) {
        printf "| %s", order[l]
        for (k = 1; k in known; k++)
            if (known[k] in shown) printf " | %s", cell[order[l], known[k]]
        print " |"
    }
    if (!cost_lines) exit
    print "\n| workload | keys | clients | variant | p50 ms | p99 ms | CPU, us a row | to bare | WAL, bytes a row | a counter |"
    print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for (l = 1; l <= cost_lines; l++) {
        printf "| %s", cost_order[l]
        for (c = 1; c in cost; c++) printf " | %s", figure[cost_order[l], cost[c]]
        print " |"
    }
}
