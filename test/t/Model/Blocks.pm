# Plays in PL/pgSQL blocks of a history (Model/History.pm), whose exception handlers undo
# some.

package Model::Blocks;

use strict;
use warnings;

use Model::Batches;
use Model::History;
use Model::Plays;
use Model::Tracks;

$ways{plpgsql} = sub {
	my ($tx) = @_;
	my $sql = join '', map { block_statement($tx, 1) } 1 .. 1 + rand 4;
	my $error;
	if (chance(15))
	{
		$error = '22012';
		$sql .= 'PERFORM 1 / 0; ';
	}
	return { sql => "DO \$do\$ DECLARE r record; BEGIN $sql END \$do\$", error => $error };
};

my @caught = qw(division_by_zero not_null_violation check_violation unique_violation
  foreign_key_violation invalid_text_representation string_data_right_truncation
  object_not_in_prerequisite_state);

# A statement of a PL/pgSQL block, which may be such a block.
sub block_statement
{
	my ($tx, $depth) = @_;
	my $what = pick(insert => 5, partition => 3, block => $depth < 4 ? 4 : 0, loop => 1, edit => 2, look => 2, batch => 2);
	if ($what eq 'block')
	{
		my $mark = $model->enter($tx);
		my $sql = 'BEGIN ' . join('', map { block_statement($tx, $depth + 1) } 1 .. 1 + rand 3);
		my $failed = chance(50);
		if ($failed)
		{
			my $log = any(logs_there());
			my ($plays, $error);
			do { ($plays, $error) = random_plays($tx, $log, bad => 50); } while (defined $error && $error eq '40001');
			record($tx, $plays, $error);
			$sql .= insert_any($logs{$log}{table}, $plays) . '; ';
			$sql .= 'PERFORM 1 / 0; ' if !defined $error;
			$model->undo($tx, $mark);
		}
		$model->leave($tx);
		$sql .= 'EXCEPTION WHEN ' . join(' OR ', @caught) . ' THEN ';
		$sql .= $failed && chance(40) ? block_statement($tx, 4) : 'NULL; ';
		return $sql . 'END; ';
	}
	return perform_batch($tx) if $what eq 'batch';
	if ($what eq 'partition')
	{
		my $month = any(@partitions);
		my ($plays, $error) = random_plays($tx, 'part', month => $month, bad => 0);
		return '' if defined $error;
		record($tx, $plays, undef, pending => 1);
		return insert_any("part_$month", $plays) . '; ';
	}
	if ($what eq 'loop')
	{
		touch($tx, 'track', 'play');
		foreach my $track (values %{ $model->tracks($tx) })
		{
			record($tx, [ { log => 'play', key => $track->{key}, kind => 'partial' } ], undef);
		}
		return "FOR r IN SELECT entry_key FROM track LOOP "
		  . "INSERT INTO play_event (track_entry_key, bucket) VALUES (r.entry_key, 'partial'); END LOOP; ";
	}
	if ($what eq 'edit')
	{
		my ($number, $row) = editable_track($tx);
		return '' if !defined $number;
		my %new = (%$row, release => 1 + int rand 9);
		edit($tx, $number, \%new);
		edited($tx, $number, $row->{key});
		return "UPDATE track SET release_id = $new{release} WHERE entry_key = '$row->{key}'; ";
	}
	if ($what eq 'look' && reads_freely($tx))
	{
		touch($tx, 'play');
		return 'IF (SELECT coalesce(sum(plays), 0) FROM play_counter) <> (SELECT count(*) FROM rows_play WHERE void IS NULL) '
		  . "THEN RAISE 'counted otherwise than logged' USING ERRCODE = 'PE005'; END IF; ";
	}
	my $log = any(logs_there());
	my ($plays, $error) = random_plays($tx, $log, bad => 0);
	return '' if defined $error;
	record($tx, $plays, undef);
	return insert_any($logs{$log}{table}, $plays) . '; ';
}

1;
