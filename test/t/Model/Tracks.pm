# The tracks of a history (Model/History.pm), edited so that nobody waits.

package Model::Tracks;

use strict;
use warnings;

use Exporter qw(import);
use Model::History;

our @EXPORT = qw(edited edit editable_track track_edit);

sub edited
{
	my ($tx, @names) = @_;
	$tx->{edited}{$_} = 1 foreach (@names);
	touch($tx, 'track');
	return;
}

sub edit { my ($tx, $number, $row) = @_; $model->edit_track($tx, $number, $row); return; }

# One that can be changed without waiting for anybody or failing.
sub editable_track
{
	my ($tx) = @_;
	return if !edits_freely($tx);
	my $tracks = $model->tracks($tx);
	my @free = grep {
		track_is_free($tx, $_, $tracks->{$_}{key}) && !$model->changed_since($tx, $_)
	} sort keys %$tracks;
	return if !@free;
	my $number = any(@free);
	return ($number, $tracks->{$number});
}

sub track_edit
{
	my ($tx) = @_;
	return if !edits_freely($tx);
	my $tracks = $model->tracks($tx);
	my @known = grep { track_is_free($tx, $_, $tracks->{$_}{key}) } sort keys %$tracks;
	my $what = pick(move => 4, delete_flag => 3, rename => 3, insert => 2, delete => 1);
	my $key = any('t1', 't2', 't3', 'loose', 'gone', 'u1', 'u2');
	my $release = 1 + int rand 9;
	touch($tx, 'track');

	# A key is taken by what is committed, seen or not, or by oneself.
	my $now = { isolation => 'READ COMMITTED', effects => $tx->{effects} };
	my $taken = defined $model->track_by_key($now, $key);
	my $seen = defined $model->track_by_key($tx, $key);

	if ($what eq 'insert')
	{
		# An old snapshot would see both the old track and the new.
		return if !track_is_free($tx, $key) || $seen && !$taken;
		edited($tx, $key);
		if (!$taken)
		{
			my $number = $model->{next_track}++;
			edit($tx, $number, { key => $key, release => $release, deleted => 0 });
			edited($tx, $number);
		}
		return { sql => "INSERT INTO track (entry_key, release_id) VALUES ('$key', $release)",
			error => $taken ? '23505' : undef };
	}
	return if !@known;
	my $number = any(@known);
	my $row = $tracks->{$number};
	my $error = $model->changed_since($tx, $number) ? '40001' : undef;
	edited($tx, $number, $row->{key});
	if ($what eq 'delete')
	{
		edit($tx, $number, undef) if !defined $error;
		return { sql => "DELETE FROM track WHERE entry_key = '$row->{key}'", error => $error };
	}
	if ($what eq 'rename')
	{
		return if !track_is_free($tx, $key) || $key eq $row->{key} || $seen && !$taken;
		edited($tx, $key);
		$error //= '23505' if $taken;
		edit($tx, $number, { %$row, key => $key }) if !defined $error;
		return { sql => "UPDATE track SET entry_key = '$key' WHERE entry_key = '$row->{key}'", error => $error };
	}
	my $deleted = $row->{deleted} ? 0 : 1;
	edit($tx, $number, { %$row, $what eq 'move' ? (release => $release) : (deleted => $deleted) })
	  if !defined $error;
	return {
		sql => 'UPDATE track SET ' . ($what eq 'move' ? "release_id = $release" : 'is_deleted = NOT is_deleted')
		  . " WHERE entry_key = '$row->{key}'",
		error => $error };
}

1;
