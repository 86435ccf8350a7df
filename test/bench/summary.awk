# summary.awk: results.tsv to summary.tsv: the median and the spread of each
# metric over the rounds, and of what is computed within a round:
#
#   tps_to_bare, seconds_to_bare, cpu_us_to_bare
#                                  ratio to the bare table
#   wal_bytes_a_counter            WAL beyond the bare table's, by the number of
#                                  counters kept
#   tps_to_smallest                ratio to the smallest log or track table
#   tps_to_whole, cpu_us_to_whole  ratio to the variant that is not partitioned
#   tps_to_plain, cpu_us_to_plain  ratio of several servers to one, with the same
#   mb_to_start, p50_ms_to_start, seconds_to_start, tps_to_start, cpu_us_to_start
#                                  ratio of a log at the end of the decade to the
#                                  same before anything was retired
#   last_to_first                  throughput of the last half of the time that
#                                  the horizon was pinned, to that of the first;
#                                  of the decade, means of a year

BEGIN {
    FS = OFS = "\t"
    counters["row_triggers"] = counters["transition_table"] = counters["playevent_without_day"] = counters["pg_ivm"] = 1
    counters["row_triggers_with_day"] = counters["transition_table_with_day"] = counters["playevent"] = 2
}

function add(group, metric, value,    g) {
    g = group FS metric
    if (!(g in n)) order[++groups] = g
    values[g, ++n[g]] = value
}

function median(g,    i, j, v, sorted) {
    for (i = 1; i <= n[g]; i++) {
        v = values[g, i]
        for (j = i - 1; j > 0 && sorted[j] > v; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    lowest = sorted[1]
    highest = sorted[n[g]]
    return n[g] % 2 ? sorted[(n[g] + 1) / 2] : (sorted[n[g] / 2] + sorted[n[g] / 2 + 1]) / 2
}

FNR == 1 { next }

{
    rows++
    for (i = 1; i <= 7; i++) row[rows, i] = $i
    value[$1, $2, $3, $4, $5, $6] = $7 + 0
    # The sizes of a kind are measured in order.
    if ($1 == "growth") {
        kind = $2; sub(/=.*/, "", kind)
        if (!(kind in smallest)) smallest[kind] = $2
    }
    if ($1 == "pinned" && $2 == "hot, pinned" && $6 == "tps") {
        if (!($4 in slices)) pinned[++pinned_variants] = $4
        slice[$4, ++slices[$4]] = $7
    }
    # What lasts as long as a month has plays, once there is something to retire
    if ($1 == "decade" && $2 ~ /^(load|seal|tidy|retire)$/ && $5 > 13) {
        if ($5 <= 25) first_year[$2] += $7
        month[$2, $5] = $7
        months = $5
    }
}

END {
    for (r = 1; r <= rows; r++) {
        group = row[r, 1] FS row[r, 2] FS row[r, 3] FS row[r, 4]
        round = row[r, 5]
        metric = row[r, 6]
        v = row[r, 7] + 0
        add(group, metric, v)
        # The variants' pinned runs come one after the other.
        bare = row[r, 1] SUBSEP row[r, 2] SUBSEP row[r, 3] SUBSEP "bare" SUBSEP round SUBSEP metric
        if ((metric == "tps" || metric == "seconds" || metric == "cpu_us") && row[r, 1] != "pinned" &&
            bare in value && value[bare] > 0) add(group, metric "_to_bare", v / value[bare])
        if (metric == "wal_bytes" && bare in value && row[r, 4] in counters)
            add(group, "wal_bytes_a_counter", (v - value[bare]) / counters[row[r, 4]])
        if (row[r, 1] == "growth" && metric == "tps") {
            kind = row[r, 2]; sub(/=.*/, "", kind)
            add(group, "tps_to_smallest", v / value["growth", smallest[kind], row[r, 3], row[r, 4], round, metric])
        }
        whole = row[r, 4]
        sub(/_partitioned$/, "", whole)
        whole = row[r, 1] SUBSEP row[r, 2] SUBSEP row[r, 3] SUBSEP whole SUBSEP round SUBSEP metric
        if (row[r, 4] ~ /_partitioned$/ && (metric == "tps" || metric == "cpu_us") && whole in value && value[whole] > 0)
            add(group, metric "_to_whole", v / value[whole])
        plain = row[r, 2]
        if (row[r, 1] == "machines" && sub(/, (proxy|hub|citus)$/, ", plain", plain)) {
            plain = row[r, 1] SUBSEP plain SUBSEP row[r, 3] SUBSEP row[r, 4] SUBSEP round SUBSEP metric
            if ((metric == "tps" || metric == "cpu_us") && plain in value && value[plain] > 0)
                add(group, metric "_to_plain", v / value[plain])
        }
        # What was retired, and the manifest, begin with nothing.
        start = row[r, 2]
        if (row[r, 1] == "decade" && sub(/, end$/, ", start", start) && start !~ /^size of (retired|manifest)/) {
            start = row[r, 1] SUBSEP start SUBSEP row[r, 3] SUBSEP row[r, 4] SUBSEP round SUBSEP metric
            if (metric ~ /^(mb|p50_ms|seconds|tps|cpu_us)$/ && start in value && value[start] > 0)
                add(group, metric "_to_start", v / value[start])
        }
    }
    for (p = 1; p <= pinned_variants; p++) {
        half = int(slices[pinned[p]] / 2)
        first = last = 0
        for (i = 1; i <= half; i++) {
            first += slice[pinned[p], i]
            last += slice[pinned[p], slices[pinned[p]] + 1 - i]
        }
        if (first > 0) add("pinned" FS "hot, pinned" FS 16 FS pinned[p], "last_to_first", last / first)
    }
    for (what in first_year) {
        last = 0
        for (m = months - 11; m <= months; m++) last += month[what, m]
        if (first_year[what] > 0) add("decade" FS what FS 1 FS "playevent", "last_to_first", last / first_year[what])
    }
    print "workload", "keys", "clients", "variant", "metric", "n", "median", "min", "max"
    for (g = 1; g <= groups; g++) {
        m = median(order[g])
        print order[g], n[order[g]], m, lowest, highest
    }
}
