#!/usr/bin/env bash
# valgrind-errors.sh: shows the errors that memcheck reported, each once, and
# fails if there is one in a call from playevent or of memory from there.
#
# A report is a run of lines that are not empty, each starting with ==PID==.
# Processes that forked may share a file, so they are told apart by that.
watched=$(find "$VALGRIND_LOGS" -name '*.log' | wc -l)
if [ "$watched" -eq 0 ]; then
    echo 'valgrind: no server ran under it'
    exit 1
fi
find "$VALGRIND_LOGS" -name '*.log' -exec cat {} + |
    awk -v here="$PWD/" '
        function done(pid) {
            if (pid in text && !seen[text[pid]]++)
                print text[pid] > (ours[pid] ? "valgrind.ours" : "valgrind.others")
            delete text[pid]
            delete ours[pid]
        }
        BEGIN { printf "" > "valgrind.ours"; printf "" > "valgrind.others" }
        /^==[0-9]+==/ {
            pid = $1
            if (NF == 1) { done(pid); next }
            if (index($0, here "src/") || /playevent\.so/) ours[pid] = 1
            # What differs from one process to another
            gsub(/^==[0-9]+==|0x[0-9A-F]+:? ?/, "")
            text[pid] = text[pid] $0 "\n"
        }
        END { for (pid in text) done(pid) }'
if [ -s valgrind.others ]; then
    echo 'valgrind: these have no frame of ours:'
    head -n 500 valgrind.others
fi
if [ -s valgrind.ours ]; then
    head -n 2000 valgrind.ours
    echo "valgrind: errors of ours, in the logs of $watched processes"
    exit 1
fi
echo "valgrind: no error of ours in $watched processes"
