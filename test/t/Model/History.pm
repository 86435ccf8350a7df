# What tests by random histories (p3_model.pl) have in common: what is under way
# in a history, random choices, statements and what is known of their locks.

package Model::History;

use strict;
use warnings;

use Exporter qw(import);
use PlayEvent qw(any chance);

our @EXPORT = qw($model $history @sessions $waiter @prepared @partitions $other %covered @kinds %logs
	chance any pick literal values_list discrepancy
	transactions logs_there rejects reads_freely edits_freely may_conflict start finish run
	touch is_free track_is_free any_snapshot_held);

our @kinds = ('partial', 'most', 'complete');

# Those with a time are of create_log, and have functions that record; and verdicts.
# Of visit, partitions are sealed and retired (Model/Life.pm).
our %logs = (
	play => { table => 'play_event', counter => 'play_counter', count => 'plays',
		key => 'track_entry_key', release => 'release_id', kind => 'bucket', time => 'played_at' },
	share => { table => 'share_event', counter => 'share_counter', count => 'shares',
		key => 'track_entry_key', release => 'release_id', kind => 'channel', time => 'shared_at' },
	visit => { table => 'visit_event', counter => 'visit_counter', count => 'visits',
		key => 'track_entry_key', release => 'release_id', kind => 'extent', time => 'visited_at' },
	part => { table => 'part_event', counter => 'part_counter', count => 'parts',
		key => 'track_entry_key', release => 'release_id', kind => 'bucket' },
	other => { table => 'listens', counter => 'listens_counter', count => 'listens',
		key => 'song', release => 'album_id', kind => 'heard' });

#
# What is under way
#
our $model;
our $history;		# its number, what has been said, and what has been met
our @sessions;		# name, wire, and tx if in a transaction
our $waiter;		# the session that may wait for others; it has a tx while it does
our @prepared;		# name and tx
our @partitions;	# months
our $other;			# undef, or how the log "other" treats unknown tracks
our %covered;		# how often each kind of step ended how

sub pick
{
	my (@weighted) = @_;
	my $total = 0;
	$total += $weighted[ 2 * $_ + 1 ] foreach (0 .. $#weighted / 2);
	my $at = rand($total);
	while (@weighted)
	{
		my ($what, $weight) = splice @weighted, 0, 2;
		return $what if ($at -= $weight) < 0;
	}
	die 'nothing to pick';
}

sub literal { my ($value) = @_; return defined $value ? "'" . ($value =~ s/'/''/gr) . "'" : 'NULL'; }

sub discrepancy { die { discrepancy => join('', @_) }; }

sub values_list { return join ', ', map { '(' . join(', ', map { literal($_) } @$_) . ')' } @{ $_[0] }; }

sub logs_there { return ('play', 'part', $history->{share} ? 'share' : (), $history->{life} ? 'visit' : (), $other ? 'other' : ()); }

sub rejects
{
	my ($log) = @_;
	return $log eq 'part' || $log eq 'share' || $log eq 'other' && $other eq 'reject';
}

#
# Running statements
#
sub transactions { return map { $_->{tx} // () } @sessions, $waiter, @prepared; }

# What serializable transactions do besides playing is the history's choice:
# those that look at the logs or edit tracks may fail to serialise, by Postgres's
# own rules.  Those that only play must not.
sub reads_freely
{
	my ($tx) = @_;
	return $tx->{isolation} ne 'SERIALIZABLE' || $history->{serializable} eq 'reads';
}

sub edits_freely
{
	my ($tx) = @_;
	return $tx->{isolation} ne 'SERIALIZABLE' || $history->{serializable} ne 'plays';
}

sub may_conflict
{
	my ($tx) = @_;
	return $tx->{isolation} eq 'SERIALIZABLE' && $history->{serializable} ne 'plays';
}

sub start
{
	my ($session, $sql, $copy) = @_;
	push @{ $history->{said} }, { by => $session->{name}, sql => $sql, copy => $copy };
	$session->{saying} = $history->{said}[-1];
	$session->{wire}->send(defined $copy ? Wire::copy($sql, $copy) : Wire::simple_query($sql));
	return;
}

# The result of what the session was last told, which must be that error, or
# none.
sub finish
{
	my ($session, $error, $what) = @_;
	my $result = $session->{wire}->result;
	my $state = $result->{error} ? $result->{error}{C} : undef;
	my $tx = $session->{tx};
	$session->{saying}{answer} = $result->{error}
	  ? "$state $result->{error}{M}" : join(', ', @{ $result->{tags} });
	foreach my $notice (@{ $result->{notices} })
	{
		discrepancy("$notice->{S}: $notice->{M}") if $notice->{M} =~ /leak|not closed|not counted/;
	}
	if (($state // '') ne ($error // ''))
	{
		discrepancy('expected ', $error // 'no error', ', got ', $session->{saying}{answer})
		  if ($state // '') ne '40001' || !$tx || !may_conflict($tx);
	}
	$covered{ $what . (defined $state ? " $state" : '') }++ if defined $what;
	$tx->{failed} = 1 if $tx && defined $state;
	return $result;
}

sub run
{
	my ($session, $sql, $error, $what) = @_;
	start($session, $sql);
	return finish($session, $error, $what);
}

#
# Locks, as far as statements that wait for them must be avoided: w for reading
# and writing, sue for VACUUM and the like, x for what excludes all.
#
sub touch
{
	my ($tx, @tables) = @_;
	$tx->{locks}{$_} //= 'w' foreach (@tables);
	return;
}

sub is_free
{
	my ($table, $mode, $mine) = @_;
	foreach my $tx (transactions())
	{
		next if $mine && $tx == $mine;
		my $lock = $tx->{locks}{$table} // next;
		return 0 if $mode eq 'x' || $mode eq 'sue' && $lock eq 'sue';
	}
	return 1;
}

# Has another transaction touched the track, by number or key?
sub track_is_free
{
	my ($mine, @names) = @_;
	foreach my $tx (transactions())
	{
		next if $tx == $mine;
		return 0 if grep { $tx->{edited}{$_} } @names;
	}
	return 1;
}

sub any_snapshot_held { return scalar grep { $_->{base} || %{ $_->{cursors} // {} } } transactions(); }

1;
