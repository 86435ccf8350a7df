#!/usr/bin/env bash
# machine.sh: prints what was measured on: the machine, the server's settings,
# and how long a commit's write to disk takes.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

note 'looking at the machine'
echo "machine: $(nproc) cores,$(sed -n '/^model name/ { s/.*://; p; q }' /proc/cpuinfo)," \
    "$(awk '/^MemTotal/ { printf "%.0f GB of memory", $2 / 1048576 }' /proc/meminfo), $(uname -sr)"
sql postgres -c 'SELECT version()'
echo "rounds of ${seconds} s: $rounds"

# It measures every method, a second each; ours is among the first.
method=$(sql postgres -c 'SHOW wal_sync_method')
{ stdbuf -oL pg_test_fsync -s 1 -f s/fsync 2> /dev/null || true; } |
    { grep -m 1 -E "^ +$method .*ops" || true; } |
    awk '{ print "one 8 kB write and " $1 ": " $2 " a second" }'

# Where the server differs from its defaults, and what durability and speed
# hang on in any case.
sql postgres -F ' = ' -c "
    SELECT name, current_setting(name) FROM pg_settings
     WHERE name IN ('fsync', 'synchronous_commit', 'wal_sync_method', 'full_page_writes', 'wal_level',
                    'shared_buffers', 'max_wal_size', 'checkpoint_timeout', 'autovacuum', 'data_checksums',
                    'commit_delay', 'jit')
        OR setting IS DISTINCT FROM boot_val AND source = 'configuration file' AND name !~ 'path|destdir|directories'
     ORDER BY name"
