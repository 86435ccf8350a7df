# Further counters of a history's logs (Model/History.pm), and sketches of their listeners,
# made and dropped beside the plays.  Model/Looks.pm looks at them.

package Model::Counters;

use strict;
use warnings;

use List::Util qw(shuffle);
use Model::History;
use Model::Looks;
use Model::Plays;
use Model::Works;

# The table makes the amounts of rows, at random: sums are compared with the log.
foreach my $amount (undef, 'seconds')
{
	my $name = defined $amount ? 'sums' : 'extra';
	$works{ defined $amount ? 'sum added' : 'counter added' } = [ {}, sub {
		my ($session) = @_;
		my $log = any(grep { is_free($_, 'x') && !$history->{counters}{$_}{"${_}_$name"} } grep { $_ ne 'other' } logs_there());
		return if !defined $log;
		my $l = $logs{$log};
		my @columns = shuffle(@$l{qw(key release kind)}, $l->{time} ? qw(anon_id day event_id) : 'month');
		@columns = @columns[ 0 .. rand 3 ];
		my $columns = join ', ', @columns;
		add($session, $log, "${log}_$name", "add_counter('$l->{table}', '${log}_$name', '{$columns}'"
			. (defined $amount ? ", '$amount')" : ')'), $columns, $amount, defined $amount || !is_told($l, @columns));
		return; } ];
}

# Do the counters that create_log makes have all of these columns?
sub is_told
{
	my ($l, @columns) = @_;
	foreach my $third ($l->{kind}, 'day')
	{
		my %has = map { $_ => 1 } @$l{qw(key release)}, $third;
		return 1 if !grep { !$has{$_} } @columns;
	}
	return 0;
}

$works{'counter dropped'} = [ {}, sub {
	my ($session) = @_;
	my @there = map { my $log = $_; map { [ $log, $_ ] } sort keys %{ $history->{counters}{$log} } }
	  grep { is_free($_, 'x') } logs_there();
	return if !@there;
	my ($log, $counter) = @{ any(@there) };
	run($session, "SELECT playevent.drop_counter('$logs{$log}{table}', '$counter')");
	delete $history->{counters}{$log}{$counter};
	return; } ];

$works{'sketch added'} = [ {}, sub {
	my ($session) = @_;
	my $log = any(grep { is_free($_, 'x') && !$history->{counters}{$_}{"${_}_listeners"} } grep { $logs{$_}{time} } logs_there());
	return if !defined $log || !$history->{hll};
	add($session, $log, "${log}_listeners", "add_listener_sketch('$logs{$log}{table}')", undef, undef, 1);
	return; } ];

# Plays of the transaction that makes a counter are in it too; without columns it
# is a sketch.  If no other tells what there was of it in retired months, it is refused.
sub add
{
	my ($session, $log, $counter, $call, $columns, $amount, $untold) = @_;
	my $life = $log eq 'visit' ? $history->{life} : {};
	my $refused = $life->{counted} && $untold;
	my $tx = $model->begin('READ COMMITTED');
	run($session, 'BEGIN');
	$session->{tx} = $tx;
	touch($tx, $log);
	play_plainly($session, $log);
	run($session, "SELECT playevent.$call", $refused ? '55000' : undef, $refused ? 'counter refused' : $life->{counted} ? 'counter derived' : undef);
	if ($refused)
	{
		run($session, 'ROLLBACK');
		delete $session->{tx};
		return;
	}
	$history->{counters}{$log}{$counter} = { made => ++$history->{counters_made}, columns => $columns, amount => $amount };
	play_plainly($session, $log);
	look($session);
	if (chance(20))
	{
		run($session, 'ROLLBACK');
		delete $history->{counters}{$log}{$counter};
	}
	else
	{
		run($session, 'COMMIT');
		$model->commit($tx);
	}
	delete $session->{tx};
	return;
}

sub play_plainly
{
	my ($session, $log) = @_;
	my $tx = $session->{tx};
	my ($plays, $error) = random_plays($tx, $log, bad => 0, plain => 1);
	return if defined $error || chance(50);
	if ($logs{$log}{time}) { $_->{anon} = any('x', 'y', 'z') foreach (@$plays); }
	record($tx, $plays, undef);
	run($session, insert_values($logs{$log}{table}, $plays));
	return;
}

1;
