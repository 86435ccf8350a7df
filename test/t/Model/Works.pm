# What is done to the tables of a history (Model/History.pm), by a session that is in no
# transaction.

package Model::Works;

use strict;
use warnings;

use Exporter qw(import);
use Model::Alterations;
use Model::History;
use Model::Looks;
use Model::Plays;
use Model::Tracks;
use Model::Transactions;

our @EXPORT = qw(%works work_step app_triggers);

# An insert of the app meets a misconfiguration, and goes well afterwards.
sub misconfigured
{
	my ($session, $break, $state, $mend) = @_;
	run($session, $break);
	run($session, "INSERT INTO play_event (track_entry_key, bucket) VALUES ('t1', 'most')", $state);
	run($session, "EXECUTE play ('t1', 'most')", $state);
	run($session, $mend);
	return;
}

# What triggers follow: a play is recorded meanwhile.
sub followed
{
	my ($session, $rename, $back) = @_;
	my $tx = $model->begin('READ COMMITTED');
	my @plays = ({ log => 'play', key => 't1', kind => 'most' });
	record($tx, \@plays, undef);
	run($session, $rename);
	run($session, insert_values('play_event', \@plays));
	run($session, $back);
	$model->commit($tx);
	return;
}

sub alone { my (@sql) = @_; return sub { my ($session) = @_; run($session, $_) foreach (@sql); return; }; }

# Each with the locks it needs.
our %works = (%alterations,
	'vacuum' => [ {}, sub {
		my ($session) = @_;
		my $log = any(logs_there());
		my $table = any('track', $logs{$log}{table},
			$logs{$log}{time} ? "${log}_verdict" : (), map { "${_}_slot" } $logs{$log}{counter}, $logs{$log}{time} ? "${log}_daily" : (), keys %{ $history->{counters}{$log} // {} });
		return if !is_free($table eq 'track' ? 'track' : $log, 'sue');
		# To cut off a table's end it would wait 5 s for who else has it open.
		run($session, 'VACUUM (TRUNCATE false' . any('', ', FREEZE', ', ANALYZE') . ") $table");
		return; } ],
	'rewrite of slots' => [ { play => 'x' }, sub {
		my ($session) = @_;
		my @all = sort 'play_counter', 'play_daily', keys %{ $history->{counters}{play} };
		run($session, any((map { ("VACUUM FULL ${_}_slot", "REINDEX TABLE ${_}_slot") } @all),
			'CLUSTER play_counter_slot USING play_counter_slot_track_entry_key_idx',
			'ALTER TABLE play_counter_slot SET (fillfactor = 50)'));
		return; } ],
	'rewrite of parted slots' => [ { part => 'x' }, sub {
		my ($session) = @_;
		run($session, any('VACUUM FULL part_counter_slot', 'REINDEX TABLE part_counter_slot', 'VACUUM FULL part_event'));
		return; } ],
	'rewrite of log' => [ { play => 'x' }, alone('VACUUM FULL play_event') ],
	'rewrite of tracks' => [ { track => 'x' }, sub {
		my ($session) = @_;
		run($session, any('VACUUM FULL track', 'REINDEX TABLE track', 'CLUSTER track USING track_pkey'));
		return; } ],
	'new index of tracks' => [ { track => 'x' }, alone(
		'ALTER TABLE track DROP CONSTRAINT track_pkey, ADD CONSTRAINT track_pkey PRIMARY KEY (entry_key)') ],
	'reindex concurrently' => [ { track => 'x', play => 'x' }, sub {
		my ($session) = @_;
		return if any_snapshot_held();
		run($session, 'REINDEX TABLE CONCURRENTLY ' . any('track', 'play_counter_slot'));
		return; } ],
	'column of tracks' => [ { track => 'x' }, sub {
		my ($session) = @_;
		$history->{extra} = !$history->{extra};
		run($session, $history->{extra}
			? 'ALTER TABLE track ADD extra int NOT NULL DEFAULT 5' : 'ALTER TABLE track DROP extra');
		return; } ],
	'type of tracks' => [ { track => 'x' }, sub {
		my ($session) = @_;
		$history->{big} = !$history->{big};
		run($session, 'ALTER TABLE track ALTER note TYPE ' . ($history->{big} ? 'bigint' : 'int'));
		$model->tracks_rewritten($_) foreach (transactions());
		return; } ],
	'alter and roll back' => [ { track => 'x' }, sub {
		my ($session) = @_;
		run($session, 'BEGIN; ALTER TABLE track ALTER note TYPE text; '
			. any("INSERT INTO play_event (track_entry_key, bucket) VALUES ('t1', 'most'); ", '')
			. 'ALTER TABLE track RENAME release_id TO album; ROLLBACK');
		return; } ],
	'track table renamed' => [ { track => 'x' }, sub {
		misconfigured($_[0], 'ALTER TABLE track RENAME TO song', '42P01', 'ALTER TABLE song RENAME TO track');
		return; } ],
	'release column renamed' => [ { track => 'x' }, sub {
		misconfigured($_[0], 'ALTER TABLE track RENAME release_id TO album', '42703',
			'ALTER TABLE track RENAME album TO release_id');
		return; } ],
	'index of tracks dropped' => [ { track => 'x' }, sub {
		misconfigured($_[0], 'ALTER TABLE track DROP CONSTRAINT track_pkey', '42704',
			'ALTER TABLE track ADD PRIMARY KEY (entry_key)');
		return; } ],
	'key renamed without index' => [ { track => 'x' }, \&rename_without_index ],
	'triggers of the app' => [ { play => 'x' }, \&app_triggers ],
	'slot table renamed' => [ { play => 'x' }, sub {
		followed($_[0], 'ALTER TABLE play_counter_slot RENAME TO slots',
			'ALTER TABLE slots RENAME TO play_counter_slot');
		return; } ],
	'partition added' => [ { part => 'x' }, sub {
		my ($session) = @_;
		return if @partitions > 4;
		my $month = @partitions + 1;
		run($session, "CREATE TABLE part_$month PARTITION OF part_event FOR VALUES IN ($month)");
		push @partitions, $month;
		return; } ],
	'partition attached' => [ { part => 'x', track => 'w' }, \&attach_partition ],
	'set right' => [ { play => 'x', track => 'w' }, \&set_right ],
	'altered before counted' => [ { part => 'x', track => 'w' }, \&alter_before_counted ],
	'log attached' => [ { track => 'w' }, \&attach_other ],
	'log dropped' => [ { other => 'x' }, sub {
		my ($session) = @_;
		return if !$other;
		run($session, 'DROP TABLE listens, listens_counter_slot CASCADE');
		$other = undef;
		delete $model->{counts}{other};
		return; } ]);

# Without them, batches go in directly.
sub app_triggers
{
	my ($session) = @_;
	$history->{app} = !$history->{app};
	my $how = $history->{app} ? 'ENABLE' : 'DISABLE';
	run($session, 'ALTER TABLE play_event '
		. join(', ', map { "$how TRIGGER $_" } qw(aa_skip zz_fail zz_late zz_again)));
	return;
}

# The new index knows nothing of the key that older snapshots see.
sub rename_without_index
{
	my ($session) = @_;
	my $tx = $model->begin('READ COMMITTED');
	my ($number, $row) = editable_track($tx);
	my ($key) = grep { !defined $model->track_by_key($tx, $_) } qw(u1 u2 t1 t2 t3 loose gone);
	return if !defined $number || !defined $key;
	my ($old) = grep { $_ != $session && !$_->{tx} } @sessions;
	begin_step($old, 'REPEATABLE READ') if $old;
	run($session, 'ALTER TABLE track DROP CONSTRAINT track_pkey');
	run($session, "UPDATE track SET entry_key = '$key' WHERE entry_key = '$row->{key}'");
	run($session, 'ALTER TABLE track ADD PRIMARY KEY (entry_key)');
	edit($tx, $number, { %$row, key => $key });
	$model->commit($tx);
	return if !$old;
	end_plan(begin_plan($old, 'key of old', sub {
		my @plays = ({ log => 'play', key => $row->{key}, kind => 'most' });
		record($_[0], \@plays, undef);
		return { sql => insert_values('play_event', \@plays) };
	}));
	look($old);
	return;
}

# With rows in it, as they are, which then are counted.
sub attach_partition
{
	my ($session) = @_;
	return if @partitions > 4;
	my $month = @partitions + 1;
	my $tx = $model->begin('READ COMMITTED');
	my @plays = map { { log => 'part', key => any('t1', 'u1'), kind => any(@kinds), month => $month, release => 4 } } 0 .. rand 4;
	run($session, 'BEGIN');
	$session->{tx} = $tx;
	touch($tx, 'part');
	run($session, "CREATE TABLE part_$month (LIKE part_event INCLUDING CONSTRAINTS)");
	run($session, insert_values("part_$month", \@plays, 1));
	run($session, "ALTER TABLE part_event ATTACH PARTITION part_$month FOR VALUES IN ($month)");
	record($tx, \@plays, undef, replica => 1);
	look($session);
	if (chance(30)) { run($session, 'ROLLBACK'); }
	else
	{
		run($session, 'COMMIT');
		$model->commit($tx);
		push @partitions, $month;
	}
	delete $session->{tx};
	return;
}

# Plays that were not counted, since somebody disabled the trigger, and what would
# set them right when it is enabled: verify shows them, and rebuild counts them.
sub set_right
{
	my ($session) = @_;
	my $tx = $model->begin('READ COMMITTED');
	my ($plays) = random_plays($tx, 'play', bad => 0, plain => 1);
	record($tx, $plays, undef);
	run($session, 'BEGIN; ALTER EVENT TRIGGER playevent_watch_partitions DISABLE; '
		. 'ALTER TABLE play_event DISABLE TRIGGER playevent_count; '
		. insert_values('play_event', $plays)
		. '; ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_count; '
		. 'ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS; COMMIT');
	$model->commit($tx);
	my %wrong = map { Model::row_key($_) => 1 } @{ $tx->{effects} };
	my $result = run($session, "SELECT * FROM playevent.verify('play_event')");
	discrepancy('verify finds ', scalar @{ $result->{rows} }, ' differences, not ', scalar keys %wrong)
	  if @{ $result->{rows} } != keys %wrong;
	$result = run($session, "SELECT playevent.rebuild('play_event')");
	discrepancy("rebuild sets $result->{rows}[0][0] counters right, not ", scalar keys %wrong)
	  if $result->{rows}[0][0] != keys %wrong;
	return;
}

# A transaction has plays straight into a partition still to be counted, and
# alters what they would be counted by; or the partition is to leave the log,
# which is refused unless no play has come into it.
sub alter_before_counted
{
	my ($session) = @_;
	return if @partitions > 4;
	my $month = @partitions + 1;
	my $tx = $model->begin('READ COMMITTED');
	run($session, 'BEGIN');
	$session->{tx} = $tx;
	touch($tx, 'part');
	run($session, "CREATE TABLE part_$month PARTITION OF part_event FOR VALUES IN ($month)");
	my $filled = 0;
	foreach my $into (1, $month)
	{
		next if $into == $month && chance(30);
		my ($plays, $error) = random_plays($tx, 'part', month => $into, bad => 0);
		next if defined $error;
		record($tx, $plays, undef, pending => 1);
		run($session, insert_values("part_$into", $plays));
		$filled = 1 if $into == $month;
	}
	my $how = pick(drop => 2, detach => 2, cluster => 1, reindex => 1, set => 1);
	my %sql = (
		drop => "DROP TABLE part_$month",
		detach => "ALTER TABLE part_event DETACH PARTITION part_$month; DROP TABLE part_$month",
		cluster => 'CLUSTER part_counter_slot USING part_counter_slot_track_entry_key_idx',
		reindex => 'REINDEX TABLE part_counter_slot',
		set => 'ALTER TABLE part_counter_slot SET (fillfactor = 60)');
	my $gone = $how eq 'drop' || $how eq 'detach';
	if ($gone && $filled)
	{
		run($session, $sql{$how}, '55000', "$how of a partition");
		run($session, 'ROLLBACK');
		delete $session->{tx};
		return;
	}
	run($session, $sql{$how});
	look($session);
	if (chance(50))
	{
		my ($plays, $error) = random_plays($tx, 'part', month => 1, bad => 0);
		if (!defined $error)
		{
			record($tx, $plays, undef);
			run($session, insert_values('part_event', $plays));
			look($session);
		}
	}
	if (chance(30)) { run($session, 'ROLLBACK'); }
	else
	{
		run($session, 'COMMIT');
		$model->commit($tx);
		push @partitions, $month if !$gone;
	}
	delete $session->{tx};
	return;
}

sub attach_other
{
	my ($session) = @_;
	return if $other;
	my $unknown = any('record', 'reject');
	my $tx = $model->begin('READ COMMITTED');
	my @plays = map { { log => 'other', key => any('t1', 'u1'), kind => any(@kinds), release => 4 } } 0 .. rand 4;
	run($session, 'BEGIN');
	$session->{tx} = $tx;
	run($session, q{CREATE TABLE listens (song text NOT NULL CHECK (song <> ''), album_id bigint, heard text NOT NULL)});
	run($session, insert_values('listens', \@plays, 1));
	run($session, "SELECT playevent.attach_log('listens', track => 'track', track_deleted => 'is_deleted', "
		. "unknown_track => '$unknown', key_column => 'song', release_column => 'album_id', kind_column => 'heard', "
		. "kinds => '{partial,most,complete}')");
	run($session, look_view('other'));
	$other = $unknown;
	my $made = $history->{other_made};
	$history->{other_made} = ++$history->{others_made};
	$model->{counts}{other} = {};
	record($tx, \@plays, undef, replica => 1);
	look($session);
	if (chance(30))
	{
		run($session, 'ROLLBACK');
		$other = undef;
		$history->{other_made} = $made;
		delete $model->{counts}{other};
	}
	else
	{
		run($session, 'COMMIT');
		$model->commit($tx);
	}
	delete $session->{tx};
	return;
}

# Who wrote the track table's row of pg_class.
sub tracks_altered_by
{
	my ($session) = @_;
	return run($session, q{SELECT xmin FROM pg_class WHERE oid = 'track'::regclass})->{rows}[0][0];
}

sub work_step
{
	my ($session) = @_;
	my @possible = grep {
		my $needs = $works{$_}[0];
		!grep { !is_free($_, $needs->{$_}) } keys %$needs
	} sort keys %works;
	my $what = any(@possible);
	my $altered_by = ($works{$what}[0]{track} // '') eq 'x' ? tracks_altered_by($session) : undef;
	my $before = @{ $history->{said} };
	$works{$what}[1]->($session);
	$covered{$what}++ if @{ $history->{said} } > $before;
	if (defined $altered_by && $altered_by != tracks_altered_by($session))
	{
		$model->tracks_altered($_) foreach (transactions());
	}
	return;
}

1;
