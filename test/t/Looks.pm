# What sessions of a history (History.pm) see of logs and counters, compared with
# the model; and what must change nothing of that.

package Looks;

use strict;
use warnings;

use Exporter qw(import);
use History;

our @EXPORT = qw(look_view look declare_step fetch_step verify_step compact_step rebuild_step);

# What a log holds, and what is counted.
sub look_view
{
	my ($log) = @_;
	my $l = $logs{$log};
	return "CREATE VIEW look_$log AS
		SELECT '$log' AS log, 'log' AS side, $l->{key} AS key, $l->{release} AS release, $l->{kind}::text AS kind, count(*)
		FROM $l->{table} GROUP BY $l->{key}, $l->{release}, $l->{kind}
		UNION ALL
		SELECT '$log', 'counter', $l->{key}, $l->{release}, $l->{kind}::text, $l->{count} FROM $l->{counter};";
}

sub look_query
{
	return join ' UNION ALL ', map { "SELECT * FROM look_$_" } @_;
}

sub compare
{
	my ($expected, $rows) = @_;
	my %found;
	foreach my $row (@$rows)
	{
		my ($log, $side, $key, $release, $kind, $count) = @$row;
		$found{$log}{$side}{ join '|', $key, $release // '-', $kind } += $count;
	}
	foreach my $log (keys %$expected)
	{
		my %keys = map { $_ => 1 } map { keys %{ $_ // {} } } $expected->{$log}, @{ $found{$log} }{qw(log counter)};
		foreach my $key (sort keys %keys)
		{
			my ($rows, $pending) = @{ $expected->{$log}{$key} // [ 0, 0 ] };
			my $logged = $found{$log}{log}{$key} // 0;
			my $counted = $found{$log}{counter}{$key} // 0;
			discrepancy("$logs{$log}{table} ($key): $logged rows, not $rows") if $logged != $rows;
			discrepancy("$logs{$log}{counter} ($key): $counted, of $rows rows, $pending of them pending")
			  if $counted > $rows || $counted < $rows - $pending;
		}
	}
	return;
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
	my $result = run($session, look_query(@logs), undef, 'look');
	return if $result->{error};
	compare({ map { $_ => $model->counts($view, $_) } @logs }, $result->{rows});
	return;
}

# A cursor shows, whenever it is read, what was so when it was declared.
sub declare_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	return if !reads_freely($tx);
	my @logs = logs_seen($tx);
	my $name = 'c' . ++$history->{cursors};
	touch($tx, @logs);
	my $result = run($session, "DECLARE $name CURSOR FOR " . look_query(@logs), undef, 'declare');
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
	return if $tx && $model->any_pending($tx, $log);
	touch($tx, $log) if $tx;
	my $result = run($session, "SELECT * FROM playevent.verify('$logs{$log}{table}')", undef, 'verify');
	discrepancy("verify: @{[ map { $_ // '-' } @{ $result->{rows}[0] } ]}") if @{ $result->{rows} };
	return;
}

sub compact_step
{
	my ($session) = @_;
	my $log = any(logs_there());
	touch($session->{tx}, $log) if $session->{tx};
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
			$_->{type} eq 'play' && $_->{log} eq $log && ($_->{anon} // '') =~ /again|late/
		} @{ $tx->{effects} };
	}
	my $result = run($session, "SELECT playevent.rebuild('$logs{$log}{table}')", $error, 'rebuild');
	return if $result->{error};
	discrepancy("rebuild changed $result->{rows}[0][0] counters") if $result->{rows}[0][0];
	$model->flush($tx, $log) if $tx;
	return;
}

1;
