# Verdicts about the rows of a history's logs (Model/History.pm), and listeners who
# are forgotten, by whoever is on.  Model/Looks.pm looks at what counts.

package Model::Verdicts;

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(sum0 uniq);
use Model::History;
use Model::Plays;

our @EXPORT = qw(void_plan forget_plan);

# Never an id of a row
my @unknown = (-1, 10**12);

$ways{void} = sub { my ($tx, $session) = @_; return void_plan($tx, $session, any_judged()); };
$ways{forget} = sub { my ($tx) = @_; return forget_plan($tx, any_judged()); };

sub any_judged { return any(grep { $logs{$_}{time} } logs_there()); }

# Verdicts about a log take turns, with rebuild too; and sketches that are made
# anew wait for who is adding to them.  The transaction's own rows must be counted,
# which can't be told while the app's deferred triggers are to come.
sub may_decide
{
	my ($tx, $log) = @_;
	my $sketch = $history->{counters}{$log}{"${log}_listeners"};
	return if $sketch && $model->any_pending($tx, $log, 'outside');
	return is_free($log, $sketch ? 'x' : 'sue', $tx) && !grep {
		$_->{type} eq 'play' && $_->{log} eq $log && !$_->{replica} && ($_->{anon} // '') =~ /again|late/
	} @{ $tx->{effects} };
}

sub void_plan
{
	my ($tx, $session, $log) = @_;
	my $l = $logs{$log};
	my $void = chance(60);
	my (@ids, %error, $changed);
	if ($tx->{isolation} ne 'READ COMMITTED')
	{
		touch($tx, $log, 'track');
		@ids = (1);
		%error = (error => '25001');
	}
	else
	{
		return if !may_decide($tx, $log);
		my $rows = run($session, "SELECT id, $l->{key}, $l->{release}, $l->{kind}, anon_id, "
			. "CASE WHEN $l->{time} IS NOT NULL THEN day END, place, void FROM rows_$log ORDER BY id")->{rows};
		my %retired = map { $_->[0] => 1 } grep { ($_->[6] // '') =~ /^retired / } @$rows;
		my %there = map { $_->[0] => $_ } grep { !$retired{ $_->[0] } } @$rows;
		my @there = sort { $a <=> $b } keys %there;
		my @retired = sort { $a <=> $b } keys %retired;
		@ids = chance(10) ? @there : @there ? map { any(@there) } 1 .. pick(0 => 1, 1 => 5, 3 => 5, 9 => 3) : ();
		push @ids, any(@unknown) if chance(7);
		push @ids, any(@retired) if @retired && chance(10);

		# None is changed if one can't be; the least is told of.
		my ($bad) = sort { $a <=> $b } grep { !$there{$_} } @ids;
		%error = (error => $retired{$bad} ? '55000' : 'P0002') if defined $bad;
		my @change = defined $bad ? () : grep { $void xor defined $there{$_}[7] } uniq(@ids);
		$changed = @change;
		foreach my $row (@there{@change})
		{
			my ($from, $to) = map { join '|', map { $_ // '-' } @$row[ 1 .. 6 ], $_ } undef, 'void';
			$model->move($tx, $log, $void ? ($from, $to) : ($to, $from), 1);
		}
		touch($tx, 'track');
		$tx->{locks}{$log} = 'sue';
	}
	my $ids = join ',', @ids;
	return {
		sql => 'SELECT playevent.' . ($void ? 'void' : 'reinstate') . "('$l->{table}', '{$ids}', '" . any('bots', 'a mistake') . q{')},
		%error,
		settle => sub {
			return ($error{error}, sub {
				my ($rows) = @_;
				discrepancy("$rows->[0][0] were decided, not $changed") if $rows->[0][0] != $changed;
			}); } };
}

# What was retired keeps its listeners.
sub forget_plan
{
	my ($tx, $log) = @_;
	my ($error, $n);
	my $listener = pick('x' => 5, 'y' => 5, 'z' . int rand 9 => 3, 'one of 7' => 1, 'nobody' => 1);
	if ($tx->{isolation} ne 'READ COMMITTED')
	{
		touch($tx, $log, 'track');
		$error = '25001';
	}
	else
	{
		return if !may_decide($tx, $log);
		my $counts = $model->counts($tx, $log);
		my @his = grep { (split /\|/)[3] eq $listener && !/\|retired / } sort keys %$counts;
		$n = sum0(map { $counts->{$_}[0] } @his);
		foreach my $from (@his)
		{
			my @to = split /\|/, $from;
			$to[3] = '-';
			$model->move($tx, $log, $from, join('|', @to), $counts->{$from}[0]);
		}
		$tx->{forgets}{$log} = 1;
		touch($tx, 'track');
		$tx->{locks}{$log} = 'sue';
	}
	return {
		sql => "SELECT playevent.forget_listener('$logs{$log}{table}', '$listener')",
		error => $error,
		settle => sub {
			return ($error, sub {
				my ($rows) = @_;
				discrepancy("$rows->[0][0] rows were forgotten, not $n") if $rows->[0][0] != $n;
			}); } };
}

1;
