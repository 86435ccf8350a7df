# What sessions of a history (Model/History.pm) see of logs and counters, compared with
# the model; and what must change nothing of that.

package Model::Looks;

use strict;
use warnings;

use Exporter qw(import);
use Model::History;

our @EXPORT = qw(look_view look declare_step fetch_step verify_step compact_step rebuild_step);

# The rows of a log, retired ones too: in which month of the past each was recorded,
# and whether it is voided.  What is retired is copied to another table before.
sub rows_view
{
	my ($log) = @_;
	my $l = $logs{$log};
	my $rows = "SELECT *, NULL::text AS place FROM $l->{table}";
	my $month = q{to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM')};
	$rows = "SELECT *, CASE WHEN created_at < '$history->{life}{now}' THEN $month END AS place FROM $l->{table} "
	  . "UNION ALL SELECT *, 'retired ' || $month FROM visit_retired" if $log eq 'visit';
	return "CREATE VIEW rows_$log AS SELECT *, NULL::text AS void FROM ($rows) r;" if !$l->{time};
	return "CREATE VIEW rows_$log AS SELECT r.*, CASE WHEN NOT v.counts THEN 'void' END AS void
		FROM ($rows) r LEFT JOIN (SELECT DISTINCT ON (event) event, counts FROM ${log}_verdict
			ORDER BY event, id DESC) v ON v.event = r.id;";
}

# What a log holds, and what is counted.  The day of a play that did not come late
# is that of its record.
sub look_view
{
	my ($log) = @_;
	my $l = $logs{$log};
	my ($more, $daily) = ('NULL, NULL::date, NULL', '');
	if ($l->{time})
	{
		$more = "anon_id, day, CASE WHEN $l->{time} IS NOT NULL THEN 'late' "
		  . "WHEN day <> (created_at AT TIME ZONE 'UTC')::date THEN 'wrong' END";
		$daily = "UNION ALL
			SELECT '$log', 'daily', $l->{key}, $l->{release}, NULL, NULL, day, NULL, NULL, NULL, $l->{count} FROM ${log}_daily";
	}
	return rows_view($log) . "CREATE VIEW look_$log (log, side, key, release, kind, anon, day, late, place, void, count) AS
		SELECT '$log', 'log', $l->{key}, $l->{release}, $l->{kind}::text, $more, place, void, count(*)
		FROM rows_$log GROUP BY 3, 4, 5, 6, 7, 8, 9, 10
		UNION ALL
		SELECT '$log', 'counter', $l->{key}, $l->{release}, $l->{kind}::text, NULL, NULL, NULL, NULL, NULL, $l->{count} FROM $l->{counter}
		$daily;";
}

sub look_query
{
	my ($tx, @logs) = @_;
	return join ' UNION ALL ', map {
		my $log = $_;
		is_stale($tx, $log) ? "SELECT * FROM look_$log WHERE side <> 'log'"
		  : ("SELECT * FROM look_$log", map { difference($log, $_) } counters_seen($tx, $log))
	} @logs;
}

# Was anything of the log retired since the snapshot, which sees its counts, but can't
# see its rows any more?
sub is_stale { my ($tx, $log) = @_; return $log eq 'visit' && $tx && $tx->{base} && $tx->{retires} != $history->{retires}; }

# The log's further counters that a snapshot knows, if all is counted.
sub counters_seen
{
	my ($tx, $log) = @_;
	return if $model->any_pending($tx, $log);
	my $counters = $history->{counters}{$log} // {};
	my @seen = grep { !$tx->{base} || $counters->{$_}{made} <= $tx->{counters_made} } sort keys %$counters;
	return @seen;
}

# How many keys of a further counter differ from the log.
sub difference
{
	my ($log, $counter) = @_;
	my $l = $logs{$log};
	my ($columns, $amount) = @{ $history->{counters}{$log}{$counter} }{qw(columns amount)};
	my $rows = "rows_$log WHERE void IS NULL";
	my ($logged, $counted) = defined $amount
	  ? ("SELECT $columns, sum($amount)::bigint FROM $rows GROUP BY $columns HAVING sum($amount) <> 0", "SELECT $columns, $amount FROM $counter")
	  : defined $columns
	  ? ("SELECT $columns, count(*) FROM $rows GROUP BY $columns", "SELECT $columns, $l->{count} FROM $counter")
	  : ("SELECT $l->{key}, $l->{release}, day, hll_add_agg(hll_hash_text(anon_id), 13, 5, 256, 1)::text "
		  . "FROM rows_$log WHERE void IS NULL AND anon_id IS NOT NULL GROUP BY 1, 2, 3",
		"SELECT $l->{key}, $l->{release}, day, listeners::text FROM $counter");
	return "SELECT '$log', 'further', '$counter', NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
	  . "(SELECT count(*) FROM (($logged EXCEPT ALL $counted) UNION ALL ($counted EXCEPT ALL $logged)) d)";
}

sub compare
{
	my ($expected, $rows, %stale) = @_;
	my %found;
	foreach my $row (@$rows)
	{
		my ($log, $side, $key, $release, $kind, $anon, $day, $late, $place, $void, $count) = @$row;
		my ($by_kind, $by_day) = map { join '|', map { $_ // '-' } @$_ }
		  [ $key, $release, $kind ], [ $key, $release, $day ];
		if ($side eq 'further') { discrepancy("$key differs from its log in $count keys") if $count != 0; }
		elsif ($side eq 'counter') { $found{$log}{counter}{$by_kind} += $count; }
		elsif ($side eq 'daily') { $found{$log}{daily}{$by_day} += $count; }
		else
		{
			my $of = !defined $late ? '-' : $late eq 'late' ? $day : $late;
			$found{$log}{log}{ join '|', $by_kind, $anon // '-', $of, $place // '-', $void // '-' } += $count;
			$found{$log}{of_day}{$by_day} += $count if $logs{$log}{time} && !defined $void;
		}
	}
	foreach my $log (sort keys %$expected)
	{
		my %counts;
		foreach my $key (keys_of($expected->{$log}, $found{$log}{log}))
		{
			my ($rows, $pending) = @{ $expected->{$log}{$key} // [ 0, 0 ] };
			my $logged = $found{$log}{log}{$key} // 0;
			discrepancy("$logs{$log}{table} ($key): $logged rows, not $rows") if $logged != $rows && !$stale{$log};
			next if $key =~ /\|void$/;
			my $counter = $counts{ join '|', (split /\|/, $key)[ 0 .. 2 ] } //= [ 0, 0 ];
			$counter->[0] += $rows;
			$counter->[1] += $pending;
		}
		foreach my $key (keys_of(\%counts, $found{$log}{counter}))
		{
			my ($rows, $pending) = @{ $counts{$key} // [ 0, 0 ] };
			my $counted = $found{$log}{counter}{$key} // 0;
			discrepancy("$logs{$log}{counter} ($key): $counted, of $rows rows, $pending of them pending")
			  if $counted > $rows || $counted < $rows - $pending;
		}
		foreach my $key ($stale{$log} ? () : keys_of(@{ $found{$log} }{qw(daily of_day)}))
		{
			my ($counted, $logged) = map { $found{$log}{$_}{$key} // 0 } qw(daily of_day);
			discrepancy("${log}_daily ($key): $counted, of $logged rows") if $counted != $logged;
		}
	}
	return;
}

sub keys_of
{
	my %keys = map { $_ => 1 } map { keys %{ $_ // {} } } @_;
	my @sorted = sort keys %keys;
	return @sorted;
}

# The logs whose past the transaction's snapshot knows.
sub logs_seen
{
	my ($tx) = @_;
	return grep { !$tx || !$tx->{base} || $_ ne 'other' || $tx->{base}{counts}{other}
		  && $tx->{other_made} == $history->{other_made} } logs_there();
}

sub look
{
	my ($session) = @_;
	my $tx = $session->{tx};
	return if $tx && !reads_freely($tx);
	my @logs = grep { !$tx || $tx->{locks}{$_} || chance(20) } logs_seen($tx);
	return if !@logs;
	my $view = $tx // $model->begin('READ COMMITTED');
	touch($view, @logs);
	my $result = run($session, look_query($view, @logs), undef, 'look');
	return if $result->{error};
	compare({ map { $_ => $model->counts($view, $_) } @logs }, $result->{rows}, map { $_ => is_stale($view, $_) } @logs);
	return;
}

# A cursor shows, whenever it is read, what was so when it was declared.
sub declare_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	return if !reads_freely($tx);
	my @logs = grep { !is_stale($tx, $_) } logs_seen($tx);
	my $name = 'c' . ++$history->{cursors};
	touch($tx, @logs);
	my $result = run($session, "DECLARE $name CURSOR FOR " . look_query($tx, @logs), undef, 'declare');
	$tx->{cursors}{$name} = { map { $_ => $model->counts($tx, $_) } @logs } if !$result->{error};
	return;
}

sub fetch_step
{
	my ($session) = @_;
	my $cursors = $session->{tx}{cursors};
	my $name = any(sort keys %$cursors) // return;
	my $result = run($session, "FETCH ALL FROM $name", undef, 'fetch');
	compare($cursors->{$name}, $result->{rows}) if !$result->{error};
	run($session, "CLOSE $name") if !$result->{error};
	delete $cursors->{$name};
	return;
}

sub verify_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	return if $tx && !reads_freely($tx);
	my $log = any(logs_seen($tx));
	return if $tx && ($model->any_pending($tx, $log)
		|| counters_seen($tx, $log) < keys %{ $history->{counters}{$log} // {} });
	touch($tx, $log) if $tx;
	my $error = is_stale($tx, $log) ? '40001' : undef;
	my $result = run($session, "SELECT * FROM playevent.verify('$logs{$log}{table}')", $error, 'verify');
	discrepancy("verify: @{[ map { $_ // '-' } @{ $result->{rows}[0] } ]}") if @{ $result->{rows} // [] };
	return;
}

# Of sketches, compact keeps out who makes them anew, unless somebody does.
sub compact_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	my $log = any(logs_there());
	if ($tx)
	{
		touch($tx, $log);
		$tx->{locks}{$log} = 'sue' if $history->{counters}{$log}{"${log}_listeners"} && is_free($log, 'sue', $tx);
	}
	run($session, "SELECT playevent.compact('$logs{$log}{table}')", undef, 'compact');
	return;
}

# Counters are exact, so there is nothing to set right.
sub rebuild_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	my $log = any(logs_there());
	return if !is_free($log, 'sue', $tx) || $tx && !reads_freely($tx);
	my $error;
	if ($tx)
	{
		$tx->{locks}{$log} = 'sue';
		$error = '55000' if $model->any_pending($tx, $log, 'outside');

		# Rows with deferred triggers can't be told from rows yet to be counted.
		$error = '55006' if grep {
			$_->{type} eq 'play' && $_->{log} eq $log && !$_->{replica} && ($_->{anon} // '') =~ /again|late/
		} @{ $tx->{effects} };
	}
	my $result = run($session, "SELECT playevent.rebuild('$logs{$log}{table}')", $error, 'rebuild');
	return if $result->{error};
	discrepancy("rebuild changed $result->{rows}[0][0] counters") if $result->{rows}[0][0];
	$model->flush($tx, $log) if $tx;
	return;
}

1;
