# What a database with play logs must hold, in plain Perl data: which rows each
# transaction sees, with which release, and how many of them are counted.
#
# It knows snapshots, savepoints and prepared transactions, and nothing of
# slots, memos or triggers.  Transactions never wait for each other here: who
# drives it keeps to statements that need not wait.
#
# A track is {key, release, deleted, version}, by a number that stays when the
# key is renamed.  A play is {log, key, release, kind, anon, day, place, id, row}: day if
# it came late, place is the past month it was recorded in, if any, id is its event_id, row
# its id in the log, if that is known.  Rows are counted by row_key,
# "key|release|kind|anon|day|place|void"; what is done to rows later moves them from
# one to another.

package Model;

use strict;
use warnings;

sub new
{
	my ($class) = @_;
	return bless { tracks => {}, counts => {}, ids => {}, version => 0, next_track => 1 }, $class;
}

sub _snapshot
{
	my ($self) = @_;
	return {
		tracks => { %{ $self->{tracks} } },
		counts => { map { $_ => { %{ $self->{counts}{$_} } } } keys %{ $self->{counts} } },
		ids => { map { $_ => { %{ $self->{ids}{$_} } } } keys %{ $self->{ids} } } };
}

# A new transaction; in other levels than READ COMMITTED, its snapshot is that
# of now.
sub begin
{
	my ($self, $isolation) = @_;
	return {
		isolation => $isolation,
		base => $isolation eq 'READ COMMITTED' ? undef : $self->_snapshot,
		effects => [], savepoints => [], nest => 1 };
}

# What others' transactions have left for this one to see.
sub _base
{
	my ($self, $tx) = @_;
	return $tx->{base} // $self;
}

# The tracks that the transaction sees, or that it would see on top of another
# state, by number.
sub tracks
{
	my ($self, $tx, $base) = @_;
	my %tracks = %{ ($base // $self->_base($tx))->{tracks} };
	foreach my $effect (@{ $tx->{effects} })
	{
		next if $effect->{type} ne 'track';
		if ($effect->{row}) { $tracks{ $effect->{number} } = $effect->{row}; }
		else { delete $tracks{ $effect->{number} }; }
	}
	return \%tracks;
}

# The number of the track with that key.
sub track_by_key
{
	my ($self, $tx, $key) = @_;
	my $tracks = $self->tracks($tx);
	my ($number) = grep { $tracks->{$_}{key} eq $key } keys %$tracks;
	return $number;
}

# Is there a track, and its release.  Where the table is newer than the snapshot,
# what that doesn't show counts as it is now.
sub release
{
	my ($self, $tx, $key) = @_;
	foreach my $base ($self->_base($tx), $tx->{tracks_altered} ? $self : ())
	{
		my ($track) = grep { $_->{key} eq $key } values %{ $self->tracks($tx, $base) };
		return (1, $track->{deleted} ? undef : $track->{release}) if $track;
	}
	return (0, undef);
}

# Has somebody else changed the track since the transaction's snapshot?
sub changed_since
{
	my ($self, $tx, $number) = @_;
	return 0 if !$tx->{base};
	return 0 if grep { $_->{type} eq 'track' && $_->{number} == $number } @{ $tx->{effects} };
	my ($now, $then) = map { $_->{tracks}{$number} // { version => -1 } } $self, $tx->{base};
	return $now->{version} != $then->{version};
}

# Change a track, or make one, or (row undef) delete it.
sub edit_track
{
	my ($self, $tx, $number, $row) = @_;
	push @{ $tx->{effects} }, { type => 'track', number => $number, row => $row };
	return;
}

# Record a play.  Pending, if its count may wait for the transaction's end.
sub play
{
	my ($self, $tx, %play) = @_;
	push @{ $tx->{effects} },
	  { %play, type => 'play', pending => $play{pending} ? $tx->{nest} : 0 };
	return;
}

# Rows of a log get another row_key: voided, retired, or of a listener who was
# forgotten.
sub move
{
	my ($self, $tx, $log, $from, $to, $n) = @_;
	push @{ $tx->{effects} }, { type => 'move', log => $log, from => $from, to => $to, n => $n };
	return;
}

# A statement on the log has ended: what was pending at this level is counted.
sub flush
{
	my ($self, $tx, $log) = @_;
	foreach my $effect (@{ $tx->{effects} })
	{
		$effect->{pending} = 0
		  if $effect->{type} eq 'play' && $effect->{log} eq $log && $effect->{pending} == $tx->{nest};
	}
	return;
}

sub any_pending
{
	my ($self, $tx, $log, $outside) = @_;
	return scalar grep {
		$_->{type} eq 'play' && $_->{log} eq $log && $_->{pending}
		  && (!$outside || $_->{pending} < $tx->{nest})
	} @{ $tx->{effects} };
}

# Is the event_id taken in the log: by whom it conflicts with, and by a row that
# is seen?  Either returns the play, of which others but the row may be unknown.
sub id_taken
{
	my ($self, $tx, $log, $id) = @_;
	return $self->_own_id($tx, $log, $id) // $self->{ids}{$log}{$id};
}

sub id_seen
{
	my ($self, $tx, $log, $id) = @_;
	return $self->_own_id($tx, $log, $id) // $self->_base($tx)->{ids}{$log}{$id};
}

sub _own_id
{
	my ($self, $tx, $log, $id) = @_;
	my ($play) = grep {
		$_->{type} eq 'play' && $_->{log} eq $log && ($_->{id} // '') eq $id
	} @{ $tx->{effects} };
	return $play;
}

sub enter { my ($self, $tx) = @_; $tx->{nest}++; return scalar @{ $tx->{effects} }; }

# The innermost subtransaction is undone back to a mark that enter gave, or
# becomes part of the one around it, its counts written.
sub undo { my ($self, $tx, $mark) = @_; splice @{ $tx->{effects} }, $mark; return; }

sub leave
{
	my ($self, $tx) = @_;
	$tx->{nest}--;
	foreach my $effect (@{ $tx->{effects} })
	{
		$effect->{pending} = 0
		  if $effect->{type} eq 'play' && $effect->{pending} > $tx->{nest};
	}
	return;
}

sub savepoint
{
	my ($self, $tx, $name) = @_;
	push @{ $tx->{savepoints} }, { name => $name, mark => $self->enter($tx) };
	return;
}

# The savepoint stays, as in SQL.
sub rollback_to
{
	my ($self, $tx, $i) = @_;
	splice @{ $tx->{savepoints} }, $i + 1;
	$self->undo($tx, $tx->{savepoints}[$i]{mark});
	$tx->{nest} = $i + 2;
	return;
}

sub release_savepoint
{
	my ($self, $tx, $i) = @_;
	$self->leave($tx) foreach ($i .. $#{ $tx->{savepoints} });
	splice @{ $tx->{savepoints} }, $i;
	return;
}

sub commit
{
	my ($self, $tx) = @_;
	foreach my $effect (@{ $tx->{effects} })
	{
		if ($effect->{type} eq 'track')
		{
			if ($effect->{row})
			{
				$self->{tracks}{ $effect->{number} } =
				  { %{ $effect->{row} }, version => ++$self->{version} };
			}
			else { delete $self->{tracks}{ $effect->{number} }; }
		}
		elsif ($effect->{type} eq 'move')
		{
			my $counts = $self->{counts}{ $effect->{log} };
			$counts->{ $effect->{to} } += $effect->{n};
			delete $counts->{ $effect->{from} } if ($counts->{ $effect->{from} } -= $effect->{n}) == 0;
		}
		else
		{
			$self->{counts}{ $effect->{log} }{ row_key($effect) }++;
			$self->{ids}{ $effect->{log} }{ $effect->{id} } = $effect if defined $effect->{id};
		}
	}
	return;
}

sub row_key
{
	my ($play) = @_;
	return join '|', map { $_ // '-' } @$play{qw(key release kind anon day place void)};
}

# What the transaction sees of a log: by row_key, its number of rows, and how many
# of them may not be counted yet.
sub counts
{
	my ($self, $tx, $log) = @_;
	my $base = $self->_base($tx)->{counts}{$log};
	my %counts = map { $_ => [ $base->{$_}, 0 ] } keys %$base;
	foreach my $effect (@{ $tx->{effects} })
	{
		next if $effect->{type} eq 'track' || $effect->{log} ne $log;
		if ($effect->{type} eq 'move')
		{
			my ($from, $to) = map { $counts{$_} //= [ 0, 0 ] } @$effect{qw(from to)};
			$from->[0] -= $effect->{n};
			$to->[0] += $effect->{n};
			delete $counts{ $effect->{from} } if $from->[0] == 0;
			next;
		}
		my $count = $counts{ row_key($effect) } //= [ 0, 0 ];
		$count->[0]++;
		$count->[1]++ if $effect->{pending};
	}
	return \%counts;
}

# Rewriting the track table is not MVCC-safe: older snapshots see it empty.
sub tracks_rewritten
{
	my ($self, $tx) = @_;
	$tx->{base}{tracks} = {} if $tx->{base};
	return;
}

# Something of the track table itself is newer than the transaction's snapshot.
sub tracks_altered
{
	my ($self, $tx) = @_;
	$tx->{tracks_altered} = 1 if $tx->{base};
	return;
}

1;
