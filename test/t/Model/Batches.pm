# The functions of a history's logs (Model/History.pm) that record a play or a batch, and
# the receipts they give.
#
# What becomes of a batch is told when it ends, for it may wait for another
# session to end that has sent one of its event_ids.

package Model::Batches;

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(shuffle);
use Model::History;
use Model::Looks;
use Model::Plays;
use Model::Transactions;

our @EXPORT = qw(perform_batch batch_plan wait_step race_step check_ids);

my %arguments = (
	play => [ 'record_play', 'record_plays', 'buckets', 'play_bucket' ],
	visit => [ 'record_visit', 'record_visits', 'extents', 'visit_extent' ],
	share => [ 'record_share', 'record_shares', 'channels', 'share_channel' ]);

# What record_play reports where record_plays gives this as the reason.
my %states = ('no key' => '23502', 'empty key' => '23514', 'key too long' => '22001', 'no kind' => '23502',
	'unknown track' => '23503', 'unknown release' => '23503', 'division by zero' => '22012');

$ways{record_many} = sub { my ($tx) = @_; return batch_plan($tx, any_log()); };
$ways{record_one} = sub { my ($tx) = @_; return play_plan($tx, any_log()); };

sub any_log { return any(grep { $logs{$_}{time} } logs_there()); }

#
# What is sent
#

# With times, or of fresh event_ids only, as the options say.
sub random_rows
{
	my ($tx, $log, $n, %options) = @_;

	# To find the first of an event_id is to read the log.
	my $fresh = $options{fresh} || !reads_freely($tx);
	my @known = $fresh ? () : known_ids($tx, $log);
	my @rows;
	foreach (1 .. $n)
	{
		my $row = random_play($tx, $log, receipts => 1);
		my @sent = grep { defined } map { $_->{id} } @rows;
		my $whose = pick(nobody => 8, fresh => 4, known => @known ? 4 : 0, sent => @sent ? 3 : 0);
		$row->{id} = $whose eq 'fresh' ? fresh_id() : $whose eq 'known' ? any(@known) : $whose eq 'sent' ? any(@sent) : undef;
		if ($options{times}) { set_late($row) if chance(30); }
		else { delete @$row{qw(time day)}; }
		spoil_row($tx, $row, %options, fresh => $fresh) if chance(20);
		push @rows, $row;
	}
	return @rows;
}

sub spoil_row
{
	my ($tx, $row, %options) = @_;
	my $app = $history->{app} && $row->{log} eq 'play';
	my $how = pick(null => 2, empty => 2, long => 1, kind => 2, time => $options{times} ? 4 : 0,
		unknown => rejects($row->{log}) ? 4 : 0, fail => $app ? 4 : 0, skip => $app && !$options{fresh} ? 4 : 0);
	if ($how eq 'kind') { $row->{kind} = undef; }
	elsif ($how eq 'time') { $row->{time} = any('infinity', '-infinity', $future); }
	elsif ($how eq 'fail' || $how eq 'skip') { $row->{anon} = $how; }
	else
	{
		my $unknown_release = $how eq 'unknown' && chance(50);
		my %keys = (empty => '', long => 'x' x 101, unknown => 'u9');
		$row->{key} = $unknown_release ? undef : $keys{$how};
		$row->{alone} = $unknown_release ? 99 : undef;
	}
	return;
}

sub array { my ($type, @values) = @_; return 'ARRAY[' . join(', ', map { literal($_) } @values) . "]::${type}[]"; }

sub batch_call
{
	my ($log, $rows, $times) = @_;
	my (undef, $name, $kinds, $type) = @{ $arguments{$log} };
	my @arguments = (
		[ track_entry_keys => 'text', 'key' ], [ $kinds => $type, 'kind' ],
		[ event_ids => 'uuid', 'id' ], [ anon_ids => 'text', 'anon' ],
		$log eq 'share' ? [ release_ids => 'bigint', 'alone' ] : (),
		$times ? [ $logs{$log}{time} => 'timestamptz', 'time' ] : ());
	my $named = chance(30);
	my @sql;
	foreach my $argument (@arguments)
	{
		my ($argument_name, $argument_type, $field) = @$argument;
		my $values = array($argument_type, map { $_->{$field} } @$rows);
		my $needed = @sql < 2 || $times || grep { defined $_->{$field} } @$rows;
		next if !$needed && $named;
		push @sql, ($named ? "$argument_name => " : '') . ($needed || chance(30) ? $values : 'NULL');
	}
	return "$name(" . join(', ', @sql) . ')';
}

sub play_call
{
	my ($row) = @_;
	my @values = map { literal($_) } @$row{ qw(key kind id anon), $row->{log} eq 'share' ? 'alone' : () };
	while (@values > 2 && $values[-1] eq 'NULL' && chance(70)) { pop @values; }
	return "$arguments{ $row->{log} }[0](" . join(', ', @values) . ')';
}

#
# What becomes of it
#

# Why a row can't be recorded, whatever else there is.
sub judge
{
	my ($tx, $row) = @_;
	my ($log, $key, $time) = @$row{qw(log key time)};
	if (!defined $key)
	{
		return 'no key' if !defined $row->{alone};
		return 'unknown release' if $row->{alone} == 99;
	}
	else
	{
		return 'empty key' if $key eq '';
		return 'key too long' if length $key > 100;
		return 'unknown track' if rejects($log) && !($model->release($tx, $key))[0];
	}
	return 'no kind' if !defined $row->{kind};
	return if !defined $time;
	return 'time not finite' if $time =~ /infinity/;
	return 'time in the future' if $time eq $future;
	return;
}

# Why it can't be recorded by the app's own triggers.
sub judge_of_app
{
	my ($row) = @_;
	my $anon = $row->{anon} // return;
	return $anon eq 'skip' ? 'left out by a trigger' : $anon eq 'fail' ? 'division by zero' : undef;
}

# Record rows in the model, those of an event_id once.  Returns the error they
# meet, or a receipt for each: what it is in the model, or the reason.
sub outcome
{
	my ($tx, $log, @rows) = @_;
	my (@receipts, @accepted, %first);
	touch($tx, 'track', $log, $log eq 'share' ? 'release' : ());
	foreach my $i (0 .. $#rows)
	{
		my $row = $rows[$i];
		my $id = $row->{id};
		$receipts[$i]{reason} = judge($tx, $row);
		next if defined $receipts[$i]{reason};

		# Postgres's own: it can't tell what it may not see
		return '40001' if defined $id && ($row->{anon} // '') ne 'skip'
		  && $model->id_taken($tx, $log, $id) && !$model->id_seen($tx, $log, $id);
		push @accepted, $i;
	}

	# In the order of event_ids, the others last; where the first does not do, the
	# next may.
	my $order = sub { my ($i) = @_; return $rows[$i]{id} // 'none'; };
	my @again;
	foreach my $i (sort { $order->($a) cmp $order->($b) || $a <=> $b } @accepted)
	{
		if (defined $rows[$i]{id} && $first{ $rows[$i]{id} }++) { push @again, $i; }
		else { record_row($tx, $rows[$i], $receipts[$i]); }
	}
	record_row($tx, $rows[$_], $receipts[$_]) foreach (sort { $a <=> $b } @again);
	$model->flush($tx, $log);
	return (undef, @receipts);
}

sub record_row
{
	my ($tx, $row, $receipt) = @_;
	my $taken = defined $row->{id} ? $model->id_seen($tx, $row->{log}, $row->{id}) : undef;
	if ($taken) { @$receipt{qw(status play)} = ('duplicate', $taken); return; }
	$receipt->{reason} = judge_of_app($row);
	return if defined $receipt->{reason};
	$model->play($tx, %$row, release => release_of($tx, $row));
	@$receipt{qw(status play)} = ('recorded', $tx->{effects}[-1]);
	return;
}

# A row's id must be that of the play, as far as it is known; and is from now on.
sub check_id
{
	my ($receipt, $id) = @_;
	my $play = $receipt->{play};
	discrepancy('a receipt has no id') if !defined $id;
	if (defined $play->{row})
	{
		discrepancy("a receipt has id $id, not $play->{row}") if $id != $play->{row};
		return;
	}
	my $other = $history->{rows}{ $play->{log} }{$id};
	discrepancy("receipts for two rows have id $id") if $other && $other != $play;
	$play->{row} = $id;
	$history->{rows}{ $play->{log} }{$id} = $play;
	return;
}

sub check_receipts
{
	my ($receipts, $rows) = @_;
	discrepancy(scalar @$rows, ' receipts, not ', scalar @$receipts) if @$rows != @$receipts;
	foreach my $i (0 .. $#$rows)
	{
		my ($ord, $status, $id, $reason) = @{ $rows->[$i] };
		my $receipt = $receipts->[$i];
		my $expected = defined $receipt->{reason} ? "rejected $receipt->{reason}" : $receipt->{status};
		my $given = join ' ', $status, $reason // ();
		discrepancy("receipt $ord: $given, not $expected") if $ord != $i + 1 || $given ne $expected;
		$covered{"receipt: $given"}++;
		check_id($receipt, $id) if $receipt->{play};
		discrepancy("receipt $ord of a rejected row has an id") if !$receipt->{play} && defined $id;
	}
	return;
}

#
# Plans
#
sub batch_plan
{
	my ($tx, $log, @first) = @_;
	my $times = chance(40);
	my $n = pick(0 => 1, 1 => 10, 2 => 10, 3 => 10, 7 => 10, 300 => @first ? 0 : 0.5);
	my @rows = (@first, random_rows($tx, $log, $n, times => $times, fresh => scalar @first));
	if ($n == 300)
	{
		# So many of one track that its sketch is no list any more.
		foreach my $row (@rows)
		{
			$row->{key} = $rows[0]{key};
			$row->{anon} = 'one of ' . int rand 400;
		}
	}
	@rows = shuffle(@rows) if @first;
	use_ids($tx, @rows);
	return {
		rows => \@rows,
		sql => 'SELECT * FROM ' . batch_call($log, \@rows, $times),
		settle => sub {
			my ($error, @receipts) = outcome($tx, $log, @rows);
			return ($error, sub { check_receipts(\@receipts, @_); });
		} };
}

sub play_plan
{
	my ($tx, $log, @first) = @_;
	my ($row) = @first ? @first : random_rows($tx, $log, 1);
	use_ids($tx, $row);
	return {
		sql => 'SELECT ' . play_call($row),
		settle => sub {
			my ($error, $receipt) = outcome($tx, $log, $row);
			$error //= $states{ $receipt->{reason} } if defined $receipt->{reason};
			$error = '23514' if ($receipt->{reason} // '') eq 'no key' && $log eq 'share';
			return ($error, sub {
				my ($rows) = @_;
				my $id = $rows->[0][0];
				if ($receipt->{play}) { check_id($receipt, $id); }
				elsif (defined $id) { discrepancy("record_$log returns $id for a play that was left out"); }
			});
		} };
}

# One within a PL/pgSQL block, whose receipts nobody looks at.
sub perform_batch
{
	my ($tx) = @_;
	my $log = any_log();
	my @rows = random_rows($tx, $log, 1 + int rand 4, fresh => 1);
	use_ids($tx, @rows);
	outcome($tx, $log, @rows);
	return 'PERFORM * FROM ' . batch_call($log, \@rows) . '; ';
}

# While the session has its plays, another one sends an event_id of them: it waits
# for it to end, or to roll back to a savepoint, and then knows.
sub wait_step
{
	my ($session) = @_;
	my $tx = $session->{tx};

	# A batch that has waited may find tracks edited in the meantime.
	my @own = grep { defined $_->{id} && $logs{ $_->{log} // '' }{time} } @{ $tx->{effects} };
	return if !@own || grep { $_->{type} eq 'track' } @{ $tx->{effects} };
	my $play = any(@own);

	begin_step($waiter) if chance(70);
	if ($waiter->{tx} && chance(30)) { play_in($waiter); }
	savepoint_step($waiter) if $waiter->{tx} && !$waiter->{tx}{failed} && chance(30);
	my $plan = $waiter->{tx} && $waiter->{tx}{failed} ? undef : begin_plan($waiter, 'wait', sub {
		my ($of) = @_;
		my %row = map { $_ => $play->{$_} } qw(log key alone kind id);
		return if defined judge($of, \%row);
		return chance(50) ? play_plan($of, $play->{log}, \%row) : batch_plan($of, $play->{log}, \%row);
	});
	if ($plan)
	{
		discrepancy('nobody waits for an event_id that is under way') if !waits($session);
		go_ahead($session, $play, @{ $plan->{rows} // [] });
		let_go($session, $play);
		end_plan($plan);
	}
	if ($waiter->{tx} && !$waiter->{tx}{failed}) { look($waiter); }
	end_step($waiter) if $waiter->{tx};
	return;
}

sub play_in { my ($session) = @_; end_plan(begin_plan($session, 'values', $ways{values}) // return); return; }

# A batch that waits has not taken greater event_ids yet, so that the session can
# send them without waiting in turn.
sub go_ahead
{
	my ($session, $play, @rows) = @_;
	my ($row) = shuffle(grep { defined $_->{id} && $_->{id} gt $play->{id} && !defined judge($session->{tx}, $_) } @rows);
	return if !$row;
	my %ahead = map { $_ => $row->{$_} } qw(log key alone kind id);
	end_plan(begin_plan($session, 'ahead of a batch', sub { return play_plan($_[0], $row->{log}, \%ahead); }));
	return;
}

# Does the waiter wait, or is it done?  The session asks.
sub waits
{
	my ($session) = @_;
	for (;;)
	{
		return 1 if $session->{wire}->query("SELECT cardinality(pg_blocking_pids($waiter->{pid}))")->{rows}[0][0];
		return 0 if $waiter->{wire}->has_answer;
	}
}

# The session's play is undone, or its transaction ends.  Who waits for a play of
# a subtransaction that had ended, as that of a batch, waits for the transaction.
sub let_go
{
	my ($session, $play) = @_;
	my $tx = $session->{tx};
	my ($at) = grep { $tx->{effects}[$_] == $play } 0 .. $#{ $tx->{effects} };
	my ($savepoint) = grep { $tx->{savepoints}[$_]{mark} <= $at } reverse 0 .. $#{ $tx->{savepoints} };
	if (defined $savepoint && chance(50))
	{
		rollback_to_step($session, $savepoint);
		return if !waits($session);
	}
	end_step($session);
	end_prepared($session, $tx) if grep { $_->{tx} == $tx } @prepared;
	return;
}

# All sessions that are free send the same event_ids at once, each in an order of
# its own: each is recorded once, and all get its id.
sub race_step
{
	my @racers = grep { !$_->{tx} } @sessions;
	return if @racers < 2;
	my $tx = $model->begin('READ COMMITTED');
	my $log = any_log();
	my @rows = grep { !defined judge($tx, $_) } random_rows($tx, $log, 5, fresh => 1);
	foreach my $row (@rows)
	{
		$row->{id} = fresh_id();
		delete $row->{anon};
	}
	use_ids($tx, @rows);
	my (undef, @receipts) = outcome($tx, $log, @rows);
	my (@orders, %times);
	foreach my $session (@racers)
	{
		my @order = shuffle(0 .. $#rows);
		push @orders, \@order;
		start($session, 'SET log_lock_waits = off; SELECT * FROM ' . batch_call($log, [ @rows[@order] ]));
	}
	foreach my $session (@racers)
	{
		my @order = @{ shift @orders };
		my $result = finish($session, undef, 'race');
		discrepancy(scalar @{ $result->{rows} }, ' receipts, not ', scalar @rows) if @{ $result->{rows} } != @rows;
		foreach my $row (@{ $result->{rows} })
		{
			my ($ord, $status, $id) = @$row;
			my $i = $order[ $ord - 1 ];
			check_id($receipts[$i], $id);
			$times{$i}{$status}++;
		}
	}
	run($_, 'RESET log_lock_waits') foreach (@racers);
	foreach my $i (0 .. $#rows)
	{
		my %got = %{ $times{$i} };
		discrepancy('of those who sent one event_id at once, ', join(', ', map { "$got{$_} got $_" } sort keys %got))
		  if ($got{recorded} // 0) != 1 || ($got{duplicate} // 0) != @racers - 1;
	}
	$model->commit($tx);
	return;
}

# Every event_id that is committed is in its log once, with the id that receipts
# told.
sub check_ids
{
	my ($session) = @_;
	foreach my $log (grep { $logs{$_}{time} } logs_there())
	{
		my $result = run($session, "SELECT event_id, id FROM rows_$log WHERE event_id IS NOT NULL");
		my %left = %{ $model->{ids}{$log} // {} };
		foreach my $row (@{ $result->{rows} })
		{
			my ($event_id, $id) = @$row;
			my $play = delete $left{$event_id} // discrepancy("$logs{$log}{table}: event_id $event_id is there, or twice");
			check_id({ play => $play }, $id);
		}
		discrepancy("$logs{$log}{table}: event_id $_ is not there") foreach (sort keys %left);
	}
	return;
}

1;
