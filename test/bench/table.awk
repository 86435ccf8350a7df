# table.awk: targets.tsv and summary.tsv to what people read.

BEGIN {
    FS = "\t"
    title["single"] = "One row a transaction, prepared; the clients have met all tracks"
    title["cold"] = "The same, of tracks that the client has not met"
    title["bulk100"] = "100 rows a statement"
    title["copy"] = "COPY"
    title["insert_select"] = "INSERT ... SELECT"
    title["batches"] = "Batches of 1,000 with receipts"
    title["pinned"] = "One hot track while an old snapshot pins the horizon; counts by slice of time"
    title["isolation"] = "One hot track: READ COMMITTED, with REPEATABLE READ and SERIALIZABLE beside"
    title["growth"] = "One row a transaction, by rows in the log and by tracks"
    title["reads"] = "Reading counters, in the server"
    title["charts"] = "top and series over a year, in the server"
    title["verdicts"] = "Plays that are voided, and inserts beside it"
    title["partitions"] = "One row a transaction, into one table and into one that is partitioned by month"
    title["decade"] = "A log of ten years that retires plays after 13 months; rounds of load, seal, tidy and retire are months"
    title["machines"] = "One server, PL/Proxy over two nodes, two ingest servers and a hub, two workers of Citus, all on one machine"
    digits["seconds"] = digits["p50_ms"] = digits["p99_ms"] = 3
    split("p50_ms p99_ms cpu_us wal_bytes wal_bytes_a_counter", costs, " ")
    for (c in costs) is_cost[costs[c]] = 1
    digits["cpu_us"] = 1
    digits["last_to_first"] = digits["tps_to_smallest"] = digits["tps_to_whole"] = digits["tps_to_alone"] = digits["cpu_us_to_whole"] = digits["tps_to_plain"] = digits["cpu_us_to_plain"] = 2
    digits["mb_to_start"] = digits["p50_ms_to_start"] = digits["seconds_to_start"] = digits["tps_to_start"] = digits["cpu_us_to_start"] = 2
    digits["mb"] = 1
}

FNR == 1 { file++; next }

# Several targets for one thing are told in one line.
file == 1 {
    key = $1 FS $2 FS $3 FS $4 FS $5
    comparison[key, ++targets[key]] = $6
    target[key, targets[key]] = $7
    next
}

{
    group = $1 FS $2 FS $3 FS $4
    key = group FS $5
    mid[key] = $7
    low[key] = $8
    high[key] = $9
    if ($5 == "cpu_us") {
        costed[group] = 1
        cost_line[$1, ++cost_lines[$1]] = group
    }
    if ($5 ~ /_to_bare$/) next
    if (!($1 in lines)) workload[++workloads] = $1
    line[$1, ++lines[$1]] = key
}

# A failure is one too many in any round; all else is judged by the median.
function verdict(key,    t, v, met, text) {
    for (t = 1; t <= targets[key]; t++) {
        v = key ~ /failed$/ ? high[key] : mid[key]
        met = comparison[key, t] == ">=" ? v >= target[key, t] : v <= target[key, t]
        if (met) all_met++; else all_missed++
        text = text (t > 1 ? ", " : "") comparison[key, t] " " target[key, t] (met ? " met" : " MISSED")
    }
    return text
}

function number(v, metric) {
    return sprintf("%." digits[metric] + 0 "f", v)
}

# What a row costs: one line a variant, medians
function print_costs(name,    l, c, key, part, out, result) {
    printf "\nWhat a row costs (%s): latency of its transaction, the server's CPU, WAL; medians\n", name
    printf cost_form, "keys", "clients", "variant", "p50 ms", "p99 ms", "CPU us", "to bare", "WAL", "a counter", "target"
    for (l = 1; l <= cost_lines[name]; l++) {
        split(cost_line[name, l], part, FS)
        result = ""
        for (c = 1; c <= 5; c++) {
            key = cost_line[name, l] FS costs[c]
            cell[c] = key in mid ? number(mid[key], costs[c]) : ""
            if (targets[key]) result = result (result ? ", " : "") costs[c] " " verdict(key)
        }
        key = cost_line[name, l] FS "cpu_us_to_bare"
        if (targets[key]) result = result (result ? ", " : "") "cpu_us_to_bare " verdict(key)
        out = sprintf(cost_form, part[2], part[3], part[4], cell[1], cell[2], cell[3],
            key in mid && part[4] != "bare" ? sprintf("%.2f", mid[key]) : "", cell[4], cell[5], result)
        sub(/ +\n/, "\n", out)
        printf "%s", out
    }
}

END {
    form = "%-28s %7s  %-26s %-16s %10s  %-22s %-20s %s\n"
    cost_form = "%-28s %7s  %-26s %8s %8s %8s %8s %8s %10s  %s\n"
    for (w = 1; w <= workloads; w++) {
        name = workload[w]
        printf "\n%s (%s)\n", title[name], name
        printf form, "keys", "clients", "variant", "metric", "median", "  (min .. max)", "to bare (min .. max)", "target"
        for (l = 1; l <= lines[name]; l++) {
            key = line[name, l]
            split(key, part, FS)
            metric = part[5]
            group = part[1] FS part[2] FS part[3] FS part[4]
            if (group in costed && metric in is_cost) continue
            bare = key "_to_bare"
            ratio = bare in mid && part[4] != "bare" ? sprintf("%.2f (%.2f .. %.2f)", mid[bare], low[bare], high[bare]) : ""
            result = verdict(key)
            if (targets[bare]) result = result (result ? ", " : "") verdict(bare)
            out = sprintf(form, part[2], part[3], part[4], metric, number(mid[key], metric),
                "(" number(low[key], metric) " .. " number(high[key], metric) ")", ratio, result)
            sub(/ +\n/, "\n", out)
            printf "%s", out
        }
        if (name in cost_lines) print_costs(name)
    }
    printf "\nTargets: %d met, %d missed.\n", all_met, all_missed
}
