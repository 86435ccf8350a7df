# The transactions of a history (Model/History.pm): what is said in them, as planned, and
# how they end.

package Model::Transactions;

use strict;
use warnings;

use Exporter qw(import);
use Model::History;

our @EXPORT = qw(begin_plan end_plan begin_step savepoint_step rollback_to_step release_step
	end_step end_prepared end_all);

# What deferred triggers do at the transaction's end: the error they meet.
sub deferred
{
	my ($tx) = @_;
	$tx->{nest} = 1;
	foreach my $play (grep { $_->{type} eq 'play' && $_->{anon} && !$_->{replica} } @{ $tx->{effects} })
	{
		return '22012' if $play->{anon} eq 'late';
		next if $play->{anon} ne 'again';
		my ($known, $release) = $model->release($tx, $play->{key});
		return '23503' if !$known;
		$model->play($tx, log => 'part', key => $play->{key}, kind => $play->{kind},
			release => $release, pending => 1);
		touch($tx, 'part', 'track');
	}
	return;
}

# Make a plan for the session and send it.
sub begin_plan
{
	my ($session, $what, $make) = @_;
	my $tx = $session->{tx} // $model->begin('READ COMMITTED');
	my $mark = @{ $tx->{effects} };
	my $plan = $make->($tx, $session);
	if (!$plan)
	{
		$model->undo($tx, $mark);
		return;
	}
	start($session, $plan->{sql}, $plan->{copy});
	return { %$plan, session => $session, tx => $tx, mark => $mark, what => $what };
}

# See that it went as planned.
sub end_plan
{
	my ($plan) = @_;
	my ($session, $tx) = @$plan{qw(session tx)};
	my ($error, $check) = $plan->{settle} ? $plan->{settle}->() : ($plan->{error});
	$error //= deferred($tx) if !$session->{tx};
	my $result = finish($session, $error, $plan->{what});
	if ($result->{error})
	{
		$model->undo($tx, $plan->{mark});
		return;
	}
	$check->($result->{rows}) if $check;
	$model->commit($tx) if !$session->{tx};
	return;
}

sub begin_step
{
	my ($session, $isolation) = @_;
	$isolation //= pick('READ COMMITTED' => 5, 'REPEATABLE READ' => 3,
		'SERIALIZABLE' => $history->{share_serializable});
	run($session, "BEGIN ISOLATION LEVEL $isolation", undef, "begin $isolation");
	run($session, 'SELECT 1') if $isolation ne 'READ COMMITTED';
	$session->{tx} = $model->begin($isolation);
	@{ $session->{tx} }{qw(other_made counters_made retires)} = @$history{qw(other_made counters_made retires)};
	return;
}

sub savepoint_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	my $name = 's' . @{ $tx->{savepoints} };
	run($session, "SAVEPOINT $name", undef, 'savepoint');
	$model->savepoint($tx, $name);
	$tx->{savepoints}[-1]{cursors} = { %{ $tx->{cursors} // {} } };
	return;
}

sub rollback_to_step
{
	my ($session, $i) = @_;
	my $tx = $session->{tx};
	$i //= int rand @{ $tx->{savepoints} };
	run($session, "ROLLBACK TO $tx->{savepoints}[$i]{name}", undef, 'rollback to');
	$model->rollback_to($tx, $i);
	$tx->{failed} = 0;
	my %cursors = map { $_ => $tx->{cursors}{$_} }
	  grep { $tx->{cursors}{$_} } keys %{ $tx->{savepoints}[$i]{cursors} };
	$tx->{cursors} = \%cursors;
	return;
}

sub release_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	my $i = int rand @{ $tx->{savepoints} };
	my $result = run($session, "RELEASE $tx->{savepoints}[$i]{name}", undef, 'release');

	# One that cannot be released, for a serialization failure, is gone too.
	if ($result->{error}) { splice @{ $tx->{savepoints} }, $i; }
	else { $model->release_savepoint($tx, $i); }
	return;
}

sub end_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	my $how = $tx->{failed} ? pick(COMMIT => 1, ROLLBACK => 2) : pick(COMMIT => 6, ROLLBACK => 2, PREPARE => 2);
	if ($how eq 'ROLLBACK' || $tx->{failed})
	{
		my $result = run($session, $how, undef, $tx->{failed} ? 'end failed' : 'rollback');
		discrepancy("$how ended with $result->{tags}[0]") if $result->{tags}[0] ne 'ROLLBACK';
		delete $session->{tx};
		return;
	}
	my $error = deferred($tx);
	my $name = "history $history->{number}, " . ++$history->{prepared};
	my $result = run($session, $how eq 'PREPARE' ? "PREPARE TRANSACTION '$name'" : $how, $error, lc $how);
	delete $session->{tx};
	return if $result->{error};
	discrepancy("$how ended with $result->{tags}[0]") if $result->{tags}[0] eq 'ROLLBACK';
	if ($how eq 'PREPARE')
	{
		delete @$tx{qw(base cursors)};
		push @prepared, { name => $name, tx => $tx };
	}
	else { $model->commit($tx); }
	return;
}

# One that was prepared ends: any, or that of tx.
sub end_prepared
{
	my ($session, $tx) = @_;
	my @at = grep { !$tx || $prepared[$_]{tx} == $tx } 0 .. $#prepared;
	my ($entry) = splice @prepared, any(@at), 1;
	my $how = pick(COMMIT => 2, ROLLBACK => 1);
	run($session, "$how PREPARED '$entry->{name}'", undef, lc($how) . ' prepared');
	$model->commit($entry->{tx}) if $how eq 'COMMIT';
	return;
}

sub end_all
{
	foreach my $session (@sessions)
	{
		end_step($session) if $session->{tx};
	}
	end_prepared(any(@sessions)) while (@prepared);
	return;
}

1;
