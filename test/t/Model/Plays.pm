# The plays of a history (Model/History.pm).  Each way returns its statement as a plan:
# sql, perhaps data for COPY, and the error it must meet; and has done to the
# model what it does.

package Model::Plays;

use strict;
use warnings;

use Exporter qw(import);
use Model::History;
use Model::Tracks;
use POSIX ();

our @EXPORT = qw(%ways $future known_ids use_ids fresh_id random_play random_plays set_late set_created release_of record
	insert_values insert_any);

my %casts = (bucket => 'play_bucket', channel => 'share_channel', extent => 'visit_extent', event_id => 'uuid', release_id => 'bigint',
	album_id => 'bigint', month => 'int', map { $_ => 'timestamptz' } qw(created_at played_at shared_at visited_at));

# Times of plays that come late, and the days in UTC they are on.
my %late = ('2020-02-29 23:30-01' => '2020-03-01', '2020-03-01 00:00+00' => '2020-03-01',
	'2020-02-29 12:00+00' => '2020-02-29');

# Later than a play can come, whenever the test runs: in the minutes before midnight,
# "tomorrow" is not.
our $future = POSIX::strftime('%Y-%m-%d 00:00+00', gmtime(time + 2 * 86400));

sub random_key
{
	my ($tx, $log) = @_;
	my @known = sort map { $_->{key} } values %{ $model->tracks($tx) };
	return any(@known) if @known && (rejects($log) || chance(50));
	return pick('t1' => 50, 't2' => 10, 'loose' => 10, 'gone' => 10, 'u1' => 10, 'u2' => 10);
}

sub fresh_id
{
	return sprintf '%08x-0000-4000-8000-%012x', $history->{number}, ++$history->{last_id};
}

sub random_play
{
	my ($tx, $log, %options) = @_;
	my %play = (log => $log, key => random_key($tx, $log), kind => any(@kinds));
	$play{month} = any(@partitions) if $log eq 'part';
	if ($logs{$log}{time} && !$options{plain})
	{
		my $app = $history->{app} && $log eq 'play';
		$play{id} = fresh_id() if chance(30);
		$play{anon} = pick('x' => 60, 'y' => 30, 'z' . int rand 9 => 10, 'again' => $app ? 3 : 0, 'late' => $app ? 1 : 0)
		  if chance(30);
		set_late(\%play) if chance(10) && !$options{replica};
		if ($log eq 'visit' && !$options{receipts})
		{
			my $life = $history->{life};
			my @open = @{ $life->{months} }[ $life->{sealed} .. $#{ $life->{months} } ];
			set_created(\%play, any(@open)) if @open && chance(60);
		}
	}
	# One of a release alone.
	if ($log eq 'share' && !$options{plain} && !$options{replica} && chance(15))
	{
		@play{qw(key alone)} = (undef, 5 + int rand 2);
	}
	return \%play;
}

sub set_late { my ($play) = @_; $play->{time} = any(sort keys %late); $play->{day} = $late{ $play->{time} }; return; }

# The owner says when a play was recorded.
sub set_created
{
	my ($play, $month) = @_;
	$play->{place} = $month;
	$play->{created} = sprintf '%s-%02d %02d:00+00', $month, 1 + rand 28, rand 24;
	return;
}

# Spoil one of the plays; returns the SQLSTATE.
sub spoil
{
	my ($tx, $plays, %options) = @_;
	my $play = any(@$plays);
	my $log = $play->{log};
	my $made = $logs{$log}{time};
	my @taken = $made ? grep { $model->id_taken($tx, $log, $_) } known_ids($tx, $log) : ();
	my $how = pick(
		null => 2, empty => 2, null_kind => 1,
		kind => $log eq 'other' ? 0 : 3,
		long => $made ? 1 : 0,
		duplicate => @taken && !$options{plain} && $log ne 'visit' ? 3 : 0,
		sealed => $log eq 'visit' && $history->{life}{sealed} && !$options{plain} ? 4 : 0,
		before => $log eq 'visit' && !$options{plain} ? 1 : 0,
		fail => $log eq 'play' && $history->{app} && !$options{plain} && !$options{replica} ? 3 : 0,
		future => $made && !$options{plain} && !$options{replica} ? 1 : 0,
		month => $log eq 'part' ? 2 : 0,
		unknown => rejects($log) && !$options{replica} ? 3 : 0,
		release => $log eq 'share' && !$options{plain} && !$options{replica} ? 1 : 0);
	if ($how eq 'sealed')
	{
		set_created($play, $history->{life}{months}[ rand $history->{life}{sealed} ]);
		delete $play->{id};
		return '55000';
	}
	if ($how eq 'before')
	{
		# What is late was before it was recorded.
		$play->{time} = undef;
		set_created($play, '2001-01');
		delete $play->{id};
		return $history->{life}{retired} ? '55000' : '23514';
	}
	if ($how eq 'release') { @$play{qw(key alone)} = (undef, 99); return '23503'; }
	delete $play->{alone} if $how =~ /^(?:null|empty|long|unknown)$/;
	if ($how eq 'null') { @$play{qw(key release)} = (); return $log eq 'share' ? '23514' : '23502'; }
	if ($how eq 'empty') { $play->{key} = ''; return '23514'; }
	if ($how eq 'null_kind') { $play->{kind} = undef; return '23502'; }
	if ($how eq 'kind') { $play->{kind} = 'sideways'; return '22P02'; }
	if ($how eq 'long') { $play->{key} = 'x' x 101; return '22001'; }
	if ($how eq 'duplicate') { $play->{id} = any(@taken); return '23505'; }
	if ($how eq 'fail') { $play->{anon} = 'fail'; return '22012'; }
	if ($how eq 'future') { $play->{time} = any($future, 'infinity', '-infinity'); return '23514'; }
	if ($how eq 'month') { $play->{month} = 99; return '23514'; }
	$play->{key} = 'u9';
	return '23503';
}

# Ids in use that nobody else's open transaction has to do with.  A row whose listener
# is being forgotten has a new version, which the same id waits for.
sub known_ids
{
	my ($tx, $log) = @_;
	return if grep { $_ != $tx && $_->{forgets}{$log} } transactions();
	my %foreign = map { %{ $_->{ids}{$log} // {} } } grep { $_ != $tx } transactions();
	return grep { !$foreign{$_} } sort keys %{ $history->{ids}{$log} };
}

# These ids, if sent, may make others wait.
sub use_ids
{
	my ($tx, @plays) = @_;
	foreach my $play (grep { defined $_->{id} } @plays)
	{
		$history->{ids}{ $play->{log} }{ $play->{id} } = $tx->{ids}{ $play->{log} }{ $play->{id} } = 1;
	}
	return;
}

# The plays to send, of which one may be bad; and what they will fail with.
sub random_plays
{
	my ($tx, $log, %options) = @_;
	my @plays = map { random_play($tx, $log, %options) } 1 .. pick(1 => 5, 2 => 2, 3 => 2, 7 => 1);
	my $error;
	if ($options{month}) { $_->{month} = $options{month} foreach (@plays); }
	if ($options{replica})
	{
		$_->{release} = pick('' => 1, 5 => 1, 6 => 1) || undef foreach (@plays);
	}

	# With no track to be seen, all are unknown.
	my $unknown = rejects($log) && !$options{replica}
	  && grep { defined $_->{key} && !($model->release($tx, $_->{key}))[0] } @plays;
	if ($unknown) { $error = '23503'; }
	elsif (chance($options{bad} // 15)) { $error = spoil($tx, \@plays, %options); }
	elsif (!$options{plain} && $log eq 'visit')
	{
		# Sent again, in whatever month: left out, though no index tells.
		my @known = grep { $model->id_taken($tx, $log, $_) } known_ids($tx, $log);
		foreach my $play (@plays)
		{
			$play->{id} = any(@known) if @known && chance(20);
			$error = '40001' if defined $play->{id} && $model->id_taken($tx, $log, $play->{id}) && !$model->id_seen($tx, $log, $play->{id});
		}
	}
	return (\@plays, $error);
}

# Plays that were sent are in the log, unless they failed.
sub record
{
	my ($tx, $plays, $error, %options) = @_;
	use_ids($tx, @$plays);
	touch($tx, 'track', map { $_->{log} } @$plays);
	return if defined $error;
	foreach my $play (@$plays)
	{
		next if $play->{log} eq 'visit' && defined $play->{id} && $model->id_taken($tx, 'visit', $play->{id});
		$model->play($tx, %$play, release => release_of($tx, $play, $options{replica}),
			replica => $options{replica}, pending => $options{pending});
	}
	$model->flush($tx, $plays->[0]{log}) if !$options{pending};
	return;
}

sub release_of
{
	my ($tx, $play, $replica) = @_;
	return $play->{release} if $replica;
	return $play->{alone} if !defined $play->{key};
	return ($model->release($tx, $play->{key}))[1];
}

# The columns to be sent, and the values of each play.
sub columns_and_values
{
	my ($plays, $replica) = @_;
	my $log = $logs{ $plays->[0]{log} };
	my @columns = ([ $log->{key}, 'key' ], [ $log->{kind}, 'kind' ]);
	push @columns, [ 'month', 'month' ] if $plays->[0]{log} eq 'part';
	push @columns, [ $log->{release}, 'release' ] if $replica;
	push @columns, [ $log->{release}, 'alone' ] if !$replica && grep { defined $_->{alone} } @$plays;
	push @columns, [ 'event_id', 'id' ] if grep { defined $_->{id} } @$plays;
	push @columns, [ 'anon_id', 'anon' ] if grep { defined $_->{anon} } @$plays;
	push @columns, [ $log->{time}, 'time' ] if grep { defined $_->{time} } @$plays;
	if (grep { defined $_->{created} } @$plays)
	{
		push @columns, [ 'created_at', 'created' ];
		$_->{created} //= 'now' foreach (@$plays);
	}
	my @names = map { $_->[0] } @columns;
	my @values = map { my $play = $_; [ map { $play->{ $_->[1] } } @columns ] } @$plays;
	return (\@names, \@values);
}

sub insert_values
{
	my ($table, $plays, $replica) = @_;
	my ($names, $values) = columns_and_values($plays, $replica);
	return "INSERT INTO $table (" . join(', ', @$names) . ') VALUES ' . values_list($values);
}

# The same, so that a bad value comes to light while the statement runs.
sub insert_select
{
	my ($table, $plays, $replica) = @_;
	my ($names, $values) = columns_and_values($plays, $replica);
	my @casts = map { "v.$_" . ($casts{$_} && $plays->[0]{log} ne 'other' ? "::$casts{$_}" : $_ eq 'album_id' ? '::bigint' : '') } @$names;
	return "INSERT INTO $table (" . join(', ', @$names) . ') SELECT ' . join(', ', @casts)
	  . ' FROM (VALUES ' . values_list($values) . ') v (' . join(', ', @$names) . ')';
}

sub copy_plan
{
	my ($table, $plays) = @_;
	my ($names, $values) = columns_and_values($plays);
	my $csv = chance(40);
	my $data = join '', map {
		join($csv ? ',' : "\t",
			map { defined $_ ? ($csv ? "\"$_\"" : $_) : ($csv ? '' : '\\N') } @$_) . "\n"
	} @$values;
	return (sql => "COPY $table (" . join(', ', @$names) . ') FROM STDIN' . ($csv ? ' (FORMAT csv)' : ''),
		copy => $data);
}

sub insert_any
{
	my ($table, $plays, $replica) = @_;
	return chance(50) ? insert_values($table, $plays, $replica) : insert_select($table, $plays, $replica);
}

our %ways = (
	values => sub {
		my ($tx) = @_;
		my $log = any(logs_there());
		my ($plays, $error) = random_plays($tx, $log);
		record($tx, $plays, $error);
		return { sql => insert_any($logs{$log}{table}, $plays), error => $error };
	},
	execute => sub {
		my ($tx) = @_;
		my ($plays, $error) = random_plays($tx, 'play', plain => 1);
		splice @$plays, 1;
		$error = undef if defined $error && defined $plays->[0]{key} && $plays->[0]{key} =~ /^\w{1,9}$/
		  && grep { $_ eq ($plays->[0]{kind} // '') } @kinds;
		record($tx, $plays, $error);
		return {
			sql => 'EXECUTE play (' . literal($plays->[0]{key}) . ', ' . literal($plays->[0]{kind}) . ')',
			error => $error };
	},
	copy => sub {
		my ($tx) = @_;
		my $log = any(logs_there());
		my ($plays, $error) = random_plays($tx, $log);
		record($tx, $plays, $error);
		return { copy_plan($logs{$log}{table}, $plays), error => $error };
	},
	partition => sub {
		my ($tx) = @_;
		my $month = any(@partitions);
		my $replica = chance(10);
		my ($plays, $error) = random_plays($tx, 'part', month => $month, replica => $replica);

		# Postgres's own: to it, a row that a trigger has changed was moved by it
		$error = '0A000' if !$replica && grep {
			$_->{month} == 99 && defined(($model->release($tx, $_->{key}))[1])
		} @$plays;
		record($tx, $plays, $error, pending => 1, replica => $replica);
		return { copy_plan("part_$month", $plays), error => $error } if !$replica && chance(40);
		my $sql = insert_any("part_$month", $plays, $replica);
		$sql = "SET session_replication_role = replica; $sql; RESET session_replication_role" if $replica;
		return { sql => $sql, error => $error };
	},
	replica => sub {
		my ($tx) = @_;
		my $log = any(logs_there());
		my ($plays, $error) = random_plays($tx, $log, replica => 1);
		record($tx, $plays, $error, replica => 1);
		return {
			sql => 'SET session_replication_role = replica; '
			  . insert_any($logs{$log}{table}, $plays, 1) . '; RESET session_replication_role',
			error => $error };
	},
	conflict => sub {
		my ($tx) = @_;
		my $log = any(grep { $logs{$_}{time} } logs_there());
		my ($plays, $error) = random_plays($tx, $log, bad => 0);
		return if defined $error;
		my @known = known_ids($tx, $log);
		my (@kept, %seen);
		foreach my $play (@$plays)
		{
			$play->{id} = @known && chance(60) ? any(@known) : fresh_id();
			$play->{id} = $plays->[0]{id} if chance(10);
			push @kept, $play if !$model->id_taken($tx, $log, $play->{id}) && !$seen{ $play->{id} }++;

			# Postgres's own: it can't tell what it may not see
			$error = '40001' if $model->id_taken($tx, $log, $play->{id}) && !$model->id_seen($tx, $log, $play->{id});
		}
		my $sql = insert_any($logs{$log}{table}, $plays) . ' ON CONFLICT '
		  . any('', $log eq 'visit' ? '' : '(event_id) WHERE event_id IS NOT NULL ') . 'DO NOTHING';
		touch($tx, 'track', $log);
		record($tx, \@kept, $error) if @kept;
		$model->flush($tx, $log) if !defined $error;
		return { sql => $sql, error => $error };
	},
	from_track => sub {
		my ($tx) = @_;
		my $log = any(logs_there());
		my $kind = any(@kinds);
		my @plays = map { { log => $log, key => $_->{key}, kind => $kind, month => 1 } }
		  values %{ $model->tracks($tx) };
		record($tx, \@plays, undef) if @plays;
		touch($tx, 'track', $log);
		$model->flush($tx, $log);
		my ($month, $one) = $log eq 'part' ? (', month', ', 1') : ('', '');
		return { sql => "INSERT INTO $logs{$log}{table} ($logs{$log}{key}, $logs{$log}{kind}$month) "
			  . "SELECT entry_key, '$kind'$one FROM track" };
	},
	cte => sub {
		my ($tx) = @_;
		my ($plays, $error) = random_plays($tx, 'play');
		my @more = map { { log => 'other', key => $_->{key}, kind => 'most' } } @$plays;
		my $log = $other && $other eq 'record' ? 'other' : 'play';
		$_->{log} = $log foreach (@more);
		record($tx, $plays, $error);
		record($tx, \@more, $error);
		return {
			sql => 'WITH played AS (' . insert_any('play_event', $plays) . ' RETURNING track_entry_key) '
			  . "INSERT INTO $logs{$log}{table} ($logs{$log}{key}, $logs{$log}{kind}) SELECT track_entry_key, 'most' FROM played",
			error => $error };
	},
	edit_cte => sub {
		my ($tx) = @_;
		# The plays get the release that the statement's snapshot has.
		my $log = any(logs_there());
		my ($plays, $error) = random_plays($tx, $log);
		my ($number, $row) = editable_track($tx);
		return if !defined $number;
		record($tx, $plays, $error);
		my %new = (%$row, release => $row->{release} ? $row->{release} + 10 : 3);
		edit($tx, $number, \%new) if !defined $error;
		edited($tx, $number, $row->{key});
		return {
			sql => "WITH edited AS (UPDATE track SET release_id = $new{release} WHERE entry_key = '$row->{key}' RETURNING 1) "
			  . insert_any($logs{$log}{table}, $plays),
			error => $error };
	},
	function => sub {
		my ($tx) = @_;
		# Statements within a statement: the inner ones end first.
		my $tried = chance(50);
		my ($plays) = random_plays($tx, 'play', plain => 1, bad => 0);
		my @inner = map { { %$_ } } grep { !$tried || $_->{kind} ne 'partial' } @$plays;
		my $outer = chance(70);
		record($tx, \@inner, undef) if @inner;
		record($tx, $plays, undef) if $outer;
		touch($tx, 'track', 'play');
		my $call = $tried ? 'tried(k, b)' : 'played(k, b)';
		my $list = values_list([ map { [ $_->{key}, $_->{kind} ] } @$plays ]);
		return { sql => $outer
			? "INSERT INTO play_event (track_entry_key, bucket) SELECT $call, b::play_bucket FROM (VALUES $list) v (k, b)"
			: "SELECT $call FROM (VALUES $list) v (k, b)" };
	},
	many => sub {
		my ($tx) = @_;
		# So many that the slots' versions don't fit their page.
		my @keys = map { random_key($tx, 'play') } 1 .. 2;
		my $n = 150;
		record($tx, [ { log => 'play', key => $keys[ $_ % 2 ], kind => 'most' } ], undef) foreach (1 .. $n);
		return { sql => "DO \$do\$ BEGIN FOR i IN 1 .. $n LOOP INSERT INTO play_event (track_entry_key, bucket) "
			  . "VALUES ((ARRAY['$keys[0]', '$keys[1]'])[i % 2 + 1], 'most'); END LOOP; END \$do\$" };
	},
	refused => sub {
		my ($tx) = @_;
		my $log = any(logs_there());
		return if !reads_freely($tx);
		touch($tx, $log);
		return { sql => "DELETE FROM " . ($logs{$log}{counter} . '_slot'), error => '23001' } if chance(30);
		return { sql => "UPDATE $logs{$log}{table} SET $logs{$log}{kind} = 'most'",
			error => (grep { !/\|retired / } keys %{ $model->counts($tx, $log) }) ? '23001' : undef };
	});

1;
