-- Partitions for the three months before this one: those from now on are there.
SELECT format('CREATE TABLE play_event_p%s PARTITION OF play_event FOR VALUES FROM (%L) TO (%L)',
              to_char(since, 'YYYYMM'), since || 'Z', since + interval '1 month' || 'Z')
  FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') - n * interval '1 month' AS since
          FROM generate_series(3, 1, -1) n) AS months
\gexec
