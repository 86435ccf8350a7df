# markdown.awk: summary.tsv to tables for README.md: every ratio to the bare
# table, by variant; what a row costs; and ratios to what isn't partitioned, or to
# the start of the decade, or to one server, with what they are of.

BEGIN {
    FS = "\t"
    split("row_triggers row_triggers_with_day transition_table transition_table_with_day pg_ivm " \
        "playevent_without_day playevent bare_partitioned playevent_partitioned", known, " ")
    for (k = 1; k in known; k++) is_known[known[k]] = 1
    split("p50_ms p99_ms cpu_us cpu_us_to_bare wal_bytes wal_bytes_a_counter", cost, " ")
    for (c = 1; c in cost; c++) is_cost[cost[c]] = 1
}

{ median[$1 FS $2 FS $3 FS $4, $5] = $7 }

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

$5 ~ /_to_(whole|start|plain)$/ {
    metric = $5
    sub(/_to_(whole|start|plain)$/, "", metric)
    other = $1 FS $2 FS $3 FS $4
    if ($5 ~ /whole$/) sub(/_partitioned$/, "", other)
    else if ($5 ~ /plain$/) sub(/, (proxy|hub|citus)/, ", plain", other)
    else sub(/, end/, ", start", other)
    further[++ratios] = sprintf("| %s | %s | %s | %s | %s | %.4g | %.4g | %.2f (%.2f to %.2f) |", $1, $2, $3, $4, metric,
        median[other, metric], median[$1 FS $2 FS $3 FS $4, metric], $7, $8, $9)
}

END {
    if (ratios) {
        print "| workload | keys | clients | variant | metric | the other's | its own | ratio |"
        print "| --- | --- | --- | --- | --- | --- | --- | --- |"
        for (r = 1; r <= ratios; r++) print further[r]
        print ""
    }
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
