#!/usr/bin/env bash
# valgrind-errors.sh: shows the errors that memcheck reported in calls from
# playevent, and says of how many processes.
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
            if (ours[pid]) print text[pid]
            delete text[pid]
            delete ours[pid]
        }
        /^==[0-9]+==/ {
            pid = $1
            if (NF == 1) { done(pid); next }
            text[pid] = text[pid] $0 "\n"
            if (index($0, here "src/") || /playevent\.so/) ours[pid] = 1
        }
        END { for (pid in text) done(pid) }' > valgrind.errors
if [ -s valgrind.errors ]; then
    head -n 500 valgrind.errors
    echo "valgrind: errors of ours, in the logs of $watched processes"
    exit 1
fi
echo "valgrind: no error of ours in $watched processes"
