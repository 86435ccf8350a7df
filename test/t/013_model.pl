# P2, P3, P4, P5, P9 and P10 against a model: random histories of several
# sessions, whose every step is compared with plain Perl data (Model.pm).
#
# In each history two logs, and at times a third, are played to in every way
# there is, while tracks are edited, tables rewritten, slots merged, partitions
# added, transactions prepared, and things go wrong.  After each statement the
# log must hold the model's rows, with the release that the track table had in
# the statement's snapshot, and the counters must equal them, in the snapshot of
# the transaction that asks.  No statement may fail but as the model says, nor
# wait: lock_timeout turns a wait into a failure.
#
# Statements take turns, so that a history can be replayed; but for bursts,
# where all sessions play at once.
#
#	PLAYEVENT_HISTORIES		how many, 2000
#	PLAYEVENT_SEED			of the random numbers, printed
#	PLAYEVENT_HISTORY		only this one (17) or these (1-17), and show the
#							statements

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Digest::MD5 qw(md5);
use JSON::PP;
use Model;
use PlayEvent;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

my $histories = $ENV{PLAYEVENT_HISTORIES} // 2000;
my $seed = $ENV{PLAYEVENT_SEED} // int(rand(1_000_000_000));
my $only = $ENV{PLAYEVENT_HISTORY};

# Sessions stay for so many histories, each of which makes its tables anew.
my $batch = 20;
my $steps = 36;
my $workers = $only ? 1 : 2;

my $lock_timeout = 5 * slowdown() . 's';
my $deadlock_timeout = slowdown() . 's';

my @kinds = ('partial', 'most', 'complete');
my %logs = (
	play => { table => 'play_event', counter => 'play_counter', count => 'plays',
		key => 'track_entry_key', release => 'release_id', kind => 'bucket' },
	part => { table => 'part_event', counter => 'part_counter', count => 'parts',
		key => 'track_entry_key', release => 'release_id', kind => 'bucket' },
	other => { table => 'listens', counter => 'listens_counter', count => 'listens',
		key => 'song', release => 'album_id', kind => 'heard' });
my %casts = (bucket => 'play_bucket', event_id => 'uuid', release_id => 'bigint',
	album_id => 'bigint', month => 'int');

# What a log holds, and what is counted.
sub look_view
{
	my ($log) = @_;
	my $l = $logs{$log};
	return "CREATE VIEW look_$log AS
		SELECT '$log' AS log, 'log' AS side, $l->{key} AS key, $l->{release} AS release, $l->{kind}::text AS kind, count(*)
		FROM $l->{table} GROUP BY $l->{key}, $l->{release}, $l->{kind}
		UNION ALL
		SELECT '$log', 'counter', $l->{key}, $l->{release}, $l->{kind}::text, $l->{count} FROM $l->{counter};";
}

my $schema = q{
	CREATE SCHEMA history;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint,
		is_deleted boolean NOT NULL DEFAULT false, note int);
	SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted');
	CREATE TABLE part_event (track_entry_key text NOT NULL CHECK (track_entry_key <> ''),
		release_id bigint, bucket play_bucket NOT NULL, month int NOT NULL)
		PARTITION BY LIST (month);
	CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
	CREATE TABLE part_2 PARTITION OF part_event FOR VALUES IN (2);
	SELECT playevent.attach_log('part_event', track => 'track', track_deleted => 'is_deleted',
		unknown_track => 'reject');

	-- The app's own triggers: they fail after the play was counted in memory,
	-- or at commit; or record another play at commit.
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM 1 / 0; RETURN NULL; END';
	CREATE FUNCTION play_again() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN INSERT INTO part_1 (track_entry_key, bucket, month)
			VALUES (NEW.track_entry_key, NEW.bucket, 1); RETURN NULL; END';
	CREATE TRIGGER zz_fail AFTER INSERT ON play_event
		FOR EACH ROW WHEN (NEW.anon_id = 'fail') EXECUTE FUNCTION fail();
	CREATE CONSTRAINT TRIGGER zz_late AFTER INSERT ON play_event DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.anon_id = 'late') EXECUTE FUNCTION fail();
	CREATE CONSTRAINT TRIGGER zz_again AFTER INSERT ON play_event DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.anon_id = 'again') EXECUTE FUNCTION play_again();

	-- Record a play, from within another statement; the second keeps an error
	-- to itself.
	CREATE FUNCTION played(key text, kind text) RETURNS text LANGUAGE plpgsql AS
		'BEGIN INSERT INTO play_event (track_entry_key, bucket) VALUES (key, kind::play_bucket);
			RETURN key; END';
	CREATE FUNCTION tried(key text, kind text) RETURNS text LANGUAGE plpgsql AS
		'BEGIN INSERT INTO play_event (track_entry_key, bucket) VALUES (key, kind::play_bucket);
			PERFORM 1 / (kind <> ''partial'')::int; RETURN key;
		EXCEPTION WHEN division_by_zero THEN RETURN key; END';
} . look_view('play') . look_view('part');

#
# What is under way
#
my $model;
my $history;		# its number, what has been said, and what has been met
my @sessions;		# name, wire, and tx if in a transaction
my @prepared;		# name and tx
my @partitions;		# months
my $other;			# undef, or how the third log treats unknown tracks
my %covered;		# how often each kind of step ended how

sub chance { my ($of_hundred) = @_; return rand(100) < $of_hundred; }
sub any { return $_[ rand @_ ]; }
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

#
# Running statements
#
sub transactions { return map { $_->{tx} // () } @sessions, @prepared; }

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
		discrepancy("$notice->{S}: $notice->{M}") if $notice->{M} =~ /leak|not counted/;
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

#
# Plays.  Each way returns its statement as a plan: sql, perhaps data for COPY,
# and the error it must meet; and has done to the model what it does.
#
sub logs_there { return $other ? qw(play part other) : qw(play part); }

sub rejects
{
	my ($log) = @_;
	return $log eq 'part' || $log eq 'other' && $other eq 'reject';
}

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
	if ($log eq 'play' && !$options{plain})
	{
		$play{id} = fresh_id() if chance(30);
		$play{anon} = pick('x' => 95, 'again' => 3, 'late' => 1) if chance(30);
	}
	return \%play;
}

# Spoil one of the plays; returns the SQLSTATE.
sub spoil
{
	my ($tx, $plays, %options) = @_;
	my $play = any(@$plays);
	my $log = $play->{log};
	my @taken = $log eq 'play' ? grep { $model->id_taken($tx, $_) } known_ids($tx) : ();
	my $how = pick(
		null => 2, empty => 2, null_kind => 1,
		kind => $log eq 'other' ? 0 : 3,
		long => $log eq 'play' ? 1 : 0,
		duplicate => @taken && !$options{plain} ? 3 : 0,
		fail => $log eq 'play' && !$options{plain} && !$options{replica} ? 3 : 0,
		month => $log eq 'part' ? 2 : 0,
		unknown => rejects($log) && !$options{replica} ? 3 : 0);
	if ($how eq 'null') { $play->{key} = undef; return '23502'; }
	if ($how eq 'empty') { $play->{key} = ''; return '23514'; }
	if ($how eq 'null_kind') { $play->{kind} = undef; return '23502'; }
	if ($how eq 'kind') { $play->{kind} = 'sideways'; return '22P02'; }
	if ($how eq 'long') { $play->{key} = 'x' x 101; return '22001'; }
	if ($how eq 'duplicate') { $play->{id} = any(@taken); return '23505'; }
	if ($how eq 'fail') { $play->{anon} = 'fail'; return '22012'; }
	if ($how eq 'month') { $play->{month} = 99; return '23514'; }
	$play->{key} = 'u9';
	return '23503';
}

# Ids in use that nobody else's open transaction has to do with.
sub known_ids
{
	my ($tx) = @_;
	my %foreign = map { %{ $_->{ids} // {} } } grep { $_ != $tx } transactions();
	return grep { !$foreign{$_} } sort keys %{ $history->{ids} };
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
	  && grep { !($model->release($tx, $_->{key}))[0] } @plays;
	if ($unknown) { $error = '23503'; }
	elsif (chance($options{bad} // 15)) { $error = spoil($tx, \@plays, %options); }
	return (\@plays, $error);
}

# Plays that were sent are in the log, unless they failed.
sub record
{
	my ($tx, $plays, $error, %options) = @_;
	foreach my $play (@$plays)
	{
		$history->{ids}{ $play->{id} } = $tx->{ids}{ $play->{id} } = 1 if defined $play->{id};
	}
	touch($tx, 'track', map { $_->{log} } @$plays);
	return if defined $error;
	foreach my $play (@$plays)
	{
		my $release = $options{replica}
		  ? $play->{release} : ($model->release($tx, $play->{key}))[1];
		my $anon = $options{replica} ? undef : $play->{anon};
		$model->play($tx, %$play, release => $release, anon => $anon, pending => $options{pending});
	}
	$model->flush($tx, $plays->[0]{log}) if !$options{pending};
	return;
}

# The columns to be sent, and the values of each play.
sub columns_and_values
{
	my ($plays, $replica) = @_;
	my $log = $logs{ $plays->[0]{log} };
	my @columns = ([ $log->{key}, 'key' ], [ $log->{kind}, 'kind' ]);
	push @columns, [ 'month', 'month' ] if $plays->[0]{log} eq 'part';
	push @columns, [ $log->{release}, 'release' ] if $replica;
	push @columns, [ 'event_id', 'id' ] if grep { defined $_->{id} } @$plays;
	push @columns, [ 'anon_id', 'anon' ] if grep { defined $_->{anon} } @$plays;
	my @names = map { $_->[0] } @columns;
	my @values = map { my $play = $_; [ map { $play->{ $_->[1] } } @columns ] } @$plays;
	return (\@names, \@values);
}

sub values_list { return join ', ', map { '(' . join(', ', map { literal($_) } @$_) . ')' } @{ $_[0] }; }

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

my %ways = (
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
		my ($plays) = random_plays($tx, 'play', bad => 0);
		my @known = known_ids($tx);
		my ($error, @kept, %seen);
		foreach my $play (@$plays)
		{
			$play->{id} = @known && chance(60) ? any(@known) : fresh_id();
			$play->{id} = $plays->[0]{id} if chance(10);
			push @kept, $play if !$model->id_taken($tx, $play->{id}) && !$seen{ $play->{id} }++;

			# Postgres's own: it can't tell what it may not see
			$error = '40001' if $model->id_taken($tx, $play->{id}) && !$model->id_seen($tx, $play->{id});
		}
		my $sql = insert_any('play_event', $plays) . ' ON CONFLICT '
		  . any('', '(event_id) WHERE event_id IS NOT NULL ') . 'DO NOTHING';
		touch($tx, 'track', 'play');
		record($tx, \@kept, $error) if @kept;
		$model->flush($tx, 'play') if !defined $error;
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
	plpgsql => sub {
		my ($tx) = @_;
		my $sql = join '', map { block_statement($tx, 1) } 1 .. 1 + rand 4;
		my $error;
		if (chance(15))
		{
			$error = '22012';
			$sql .= 'PERFORM 1 / 0; ';
		}
		return { sql => "DO \$do\$ DECLARE r record; BEGIN $sql END \$do\$", error => $error };
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
			error => %{ $model->counts($tx, $log) } ? '23001' : undef };
	});

my @caught = qw(division_by_zero not_null_violation check_violation unique_violation
  foreign_key_violation invalid_text_representation string_data_right_truncation);

# A statement of a PL/pgSQL block, which may be such a block.
sub block_statement
{
	my ($tx, $depth) = @_;
	my $what = pick(insert => 5, partition => 3, block => $depth < 4 ? 4 : 0, loop => 1, edit => 2, look => 2);
	if ($what eq 'block')
	{
		my $mark = $model->enter($tx);
		my $sql = 'BEGIN ' . join('', map { block_statement($tx, $depth + 1) } 1 .. 1 + rand 3);
		my $failed = chance(50);
		if ($failed)
		{
			my $log = any(logs_there());
			my ($plays, $error) = random_plays($tx, $log, bad => 50);
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
		return 'IF (SELECT coalesce(sum(plays), 0) FROM play_counter) <> (SELECT count(*) FROM play_event) '
		  . "THEN RAISE 'counted otherwise than logged' USING ERRCODE = 'PE005'; END IF; ";
	}
	my $log = any(logs_there());
	my ($plays, $error) = random_plays($tx, $log, bad => 0);
	return '' if defined $error;
	record($tx, $plays, undef);
	return insert_any($logs{$log}{table}, $plays) . '; ';
}

#
# Tracks
#
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

#
# Plans in transactions
#

# What deferred triggers do at the transaction's end: the error they meet.
sub deferred
{
	my ($tx) = @_;
	$tx->{nest} = 1;
	foreach my $play (grep { $_->{type} eq 'play' && $_->{anon} } @{ $tx->{effects} })
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
	my $plan = $make->($tx);
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
	my $error = $plan->{error};
	$error //= deferred($tx) if !$session->{tx};
	my $result = finish($session, $error, $plan->{what});
	if ($result->{error}) { $model->undo($tx, $plan->{mark}); }
	elsif (!$session->{tx}) { $model->commit($tx); }
	return;
}

sub play_way
{
	return pick(values => 5, execute => 2, copy => 4, partition => 5, replica => 2, conflict => 3,
		from_track => 1, cte => 2, edit_cte => 1, function => 2, plpgsql => 5, many => 0.5, refused => 1);
}

sub play_step
{
	my ($session) = @_;
	my $way = play_way();
	my $plan = begin_plan($session, $way, $ways{$way}) // return;
	end_plan($plan);
	return;
}

sub edit_step
{
	my ($session) = @_;
	my $plan = begin_plan($session, 'edit', \&track_edit) // return;
	end_plan($plan);
	return;
}

# All who can play do so at once.
sub burst
{
	my @plans;
	foreach my $session (grep { !$_->{tx} || !$_->{tx}{failed} } @sessions)
	{
		my $way = pick(values => 5, copy => 3, partition => 3, from_track => 2, execute => 2);
		push @plans, begin_plan($session, "burst of $way", $ways{$way}) // ();
	}
	end_plan($_) foreach (@plans);
	return;
}

#
# Looking
#
sub look_query
{
	return join ' UNION ALL ', map { "SELECT * FROM look_$_" } @_;
}

sub compare
{
	my ($expected, $rows) = @_;
	my %found;
	foreach my $row (@$rows)
	{
		my ($log, $side, $key, $release, $kind, $count) = @$row;
		$found{$log}{$side}{ join '|', $key, $release // '-', $kind } += $count;
	}
	foreach my $log (keys %$expected)
	{
		my %keys = map { $_ => 1 } map { keys %{ $_ // {} } } $expected->{$log}, @{ $found{$log} }{qw(log counter)};
		foreach my $key (sort keys %keys)
		{
			my ($rows, $pending) = @{ $expected->{$log}{$key} // [ 0, 0 ] };
			my $logged = $found{$log}{log}{$key} // 0;
			my $counted = $found{$log}{counter}{$key} // 0;
			discrepancy("$logs{$log}{table} ($key): $logged rows, not $rows") if $logged != $rows;
			discrepancy("$logs{$log}{counter} ($key): $counted, of $rows rows, $pending of them pending")
			  if $counted > $rows || $counted < $rows - $pending;
		}
	}
	return;
}

# The logs whose past the transaction's snapshot knows.
sub logs_seen
{
	my ($tx) = @_;
	return grep { !$tx || !$tx->{base} || $_ ne 'other' || $tx->{base}{counts}{other}
		  && $tx->{other_made} == $history->{other_made} } logs_there();
}

sub look
{
	my ($session) = @_;
	my $tx = $session->{tx};
	return if $tx && !reads_freely($tx);
	my @logs = grep { !$tx || $tx->{locks}{$_} || chance(20) } logs_seen($tx);
	return if !@logs;
	my $view = $tx // $model->begin('READ COMMITTED');
	touch($view, @logs);
	my $result = run($session, look_query(@logs), undef, 'look');
	return if $result->{error};
	compare({ map { $_ => $model->counts($view, $_) } @logs }, $result->{rows});
	return;
}

# A cursor shows, whenever it is read, what was so when it was declared.
sub declare_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	return if !reads_freely($tx);
	my @logs = logs_seen($tx);
	my $name = 'c' . ++$history->{cursors};
	touch($tx, @logs);
	my $result = run($session, "DECLARE $name CURSOR FOR " . look_query(@logs), undef, 'declare');
	$tx->{cursors}{$name} = { map { $_ => $model->counts($tx, $_) } @logs } if !$result->{error};
	return;
}

sub fetch_step
{
	my ($session) = @_;
	my $cursors = $session->{tx}{cursors};
	my $name = any(sort keys %$cursors) // return;
	my $result = run($session, "FETCH ALL FROM $name", undef, 'fetch');
	compare($cursors->{$name}, $result->{rows}) if !$result->{error};
	run($session, "CLOSE $name") if !$result->{error};
	delete $cursors->{$name};
	return;
}

sub verify_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	return if $tx && !reads_freely($tx);
	my $log = any(logs_seen($tx));
	return if $tx && $model->any_pending($tx, $log);
	touch($tx, $log) if $tx;
	my $result = run($session, "SELECT * FROM playevent.verify('$logs{$log}{table}')", undef, 'verify');
	discrepancy("verify: @{[ map { $_ // '-' } @{ $result->{rows}[0] } ]}") if @{ $result->{rows} };
	return;
}

sub compact_step
{
	my ($session) = @_;
	my $log = any(logs_there());
	touch($session->{tx}, $log) if $session->{tx};
	run($session, "SELECT playevent.compact('$logs{$log}{table}')", undef, 'compact');
	return;
}

# Counters are exact, so there is nothing to set right.
sub rebuild_step
{
	my ($session) = @_;
	my $tx = $session->{tx};
	my $log = any(logs_there());
	return if !is_free($log, 'sue', $tx) || $tx && !reads_freely($tx);
	my $error;
	if ($tx)
	{
		$tx->{locks}{$log} = 'sue';
		$error = '55000' if $model->any_pending($tx, $log, 'outside');

		# Rows with deferred triggers can't be told from rows yet to be counted.
		$error = '55006' if grep {
			$_->{type} eq 'play' && $_->{log} eq $log && ($_->{anon} // '') =~ /again|late/
		} @{ $tx->{effects} };
	}
	my $result = run($session, "SELECT playevent.rebuild('$logs{$log}{table}')", $error, 'rebuild');
	return if $result->{error};
	discrepancy("rebuild changed $result->{rows}[0][0] counters") if $result->{rows}[0][0];
	$model->flush($tx, $log) if $tx;
	return;
}

#
# Transactions
#
sub begin_step
{
	my ($session, $isolation) = @_;
	$isolation //= pick('READ COMMITTED' => 5, 'REPEATABLE READ' => 3,
		'SERIALIZABLE' => $history->{share_serializable});
	run($session, "BEGIN ISOLATION LEVEL $isolation", undef, "begin $isolation");
	run($session, 'SELECT 1') if $isolation ne 'READ COMMITTED';
	$session->{tx} = $model->begin($isolation);
	$session->{tx}{other_made} = $history->{other_made};
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
	my ($session) = @_;
	my $tx = $session->{tx};
	my $i = int rand @{ $tx->{savepoints} };
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

sub end_prepared
{
	my ($session) = @_;
	my ($entry) = splice @prepared, rand(@prepared), 1;
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

#
# What is done to the tables, by a session that is in no transaction
#

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

sub alone { my (@sql) = @_; return sub { my ($session) = @_; run($session, $_) foreach (@sql); return; }; }

# Each with the locks it needs.
my %works = (
	'vacuum' => [ {}, sub {
		my ($session) = @_;
		my $log = any(logs_there());
		my $table = any('track', $logs{$log}{table}, "$logs{$log}{counter}_slot");
		return if !is_free($table eq 'track' ? 'track' : $log, 'sue');
		run($session, 'VACUUM ' . any('', '(FREEZE) ', '(ANALYZE) ') . $table);
		return; } ],
	'rewrite of slots' => [ { play => 'x' }, sub {
		my ($session) = @_;
		run($session, any('VACUUM FULL play_counter_slot', 'REINDEX TABLE play_counter_slot',
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
	'slot table renamed' => [ { play => 'x' }, sub {
		misconfigured($_[0], 'ALTER TABLE play_counter_slot RENAME TO slots', '42P01',
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

# Plays that were not counted, since somebody disabled the trigger: verify shows
# them, and rebuild counts them.
sub set_right
{
	my ($session) = @_;
	my $tx = $model->begin('READ COMMITTED');
	my ($plays) = random_plays($tx, 'play', bad => 0, plain => 1);
	record($tx, $plays, undef);
	run($session, 'BEGIN; ALTER TABLE play_event DISABLE TRIGGER playevent_count; '
		. insert_values('play_event', $plays)
		. '; ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_count; COMMIT');
	$model->commit($tx);
	my %wrong = map { Model::counter_key($_) => 1 } @{ $tx->{effects} };
	my $result = run($session, "SELECT * FROM playevent.verify('play_event')");
	discrepancy('verify finds ', scalar @{ $result->{rows} }, ' differences, not ', scalar keys %wrong)
	  if @{ $result->{rows} } != keys %wrong;
	$result = run($session, "SELECT playevent.rebuild('play_event')");
	discrepancy("rebuild sets $result->{rows}[0][0] counters right, not ", scalar keys %wrong)
	  if $result->{rows}[0][0] != keys %wrong;
	return;
}

# A transaction has plays straight into a partition still to be counted, and
# alters what they would be counted by; or the plays leave the log with their
# partition.
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
	foreach my $into (1, $month)
	{
		my ($plays, $error) = random_plays($tx, 'part', month => $into, bad => 0);
		next if defined $error;
		record($tx, $plays, undef, pending => 1);
		run($session, insert_values("part_$into", $plays));
	}
	my $how = pick(drop => 2, detach => 2, cluster => 1, reindex => 1, set => 1);
	my %sql = (
		drop => "DROP TABLE part_$month",
		detach => "ALTER TABLE part_event DETACH PARTITION part_$month; DROP TABLE part_$month",
		cluster => 'CLUSTER part_counter_slot USING part_counter_slot_track_entry_key_idx',
		reindex => 'REINDEX TABLE part_counter_slot',
		set => 'ALTER TABLE part_counter_slot SET (fillfactor = 60)');
	run($session, $sql{$how});
	my $gone = $how eq 'drop' || $how eq 'detach';
	@{ $tx->{effects} } = grep { $_->{month} != $month } @{ $tx->{effects} } if $gone;
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

sub work_step
{
	my ($session) = @_;
	my @possible = grep {
		my $needs = $works{$_}[0];
		!grep { !is_free($_, $needs->{$_}) } keys %$needs
	} sort keys %works;
	my $what = any(@possible);
	my $before = @{ $history->{said} };
	$works{$what}[1]->($session);
	$covered{$what}++ if @{ $history->{said} } > $before;
	return;
}

#
# A history
#
sub step
{
	my $session = any(@sessions);
	my $tx = $session->{tx};
	if ($tx && $tx->{failed})
	{
		my $savepoints = @{ $tx->{savepoints} };
		my $what = pick(rollback_to => $savepoints ? 6 : 0, end => 3, play => 1);
		if ($what eq 'rollback_to') { rollback_to_step($session); look($session); }
		elsif ($what eq 'end') { end_step($session); }
		else { run($session, "INSERT INTO play_event (track_entry_key, bucket) VALUES ('t1', 'most')", '25P02', 'in failed'); }
		return;
	}
	my $what;
	if ($tx)
	{
		my $savepoints = @{ $tx->{savepoints} };
		$what = pick(play => 40, edit => 10, burst => 4,
			savepoint => $savepoints < 5 ? 14 : 0, rollback_to => $savepoints ? 6 : 0, release => $savepoints ? 8 : 0,
			declare => 3, fetch => $tx->{cursors} && %{ $tx->{cursors} } ? 8 : 0,
			verify => 2, compact => 3, rebuild => 2, end => 14);
	}
	else
	{
		$what = pick(begin => 40, play => 18, edit => 6, burst => 4, end_prepared => @prepared ? 8 : 0,
			verify => 2, compact => 4, rebuild => 3, work => 22, end_all => 4);
	}
	if ($what eq 'burst') { burst(); }
	elsif ($what eq 'end_all') { end_all(); work_step($session); }
	else
	{
		my %step = (play => \&play_step, edit => \&edit_step, savepoint => \&savepoint_step,
			rollback_to => \&rollback_to_step, release => \&release_step, declare => \&declare_step,
			fetch => \&fetch_step, verify => \&verify_step, compact => \&compact_step,
			rebuild => \&rebuild_step, end => \&end_step, begin => \&begin_step,
			end_prepared => \&end_prepared, work => \&work_step);
		$step{$what}->($session);
	}
	look($session) if !$session->{tx} || !$session->{tx}{failed} && %{ $session->{tx}{locks} // {} };
	return;
}

sub begin_history
{
	my ($number) = @_;
	$history = { number => $number, said => [], other_made => 0 };
	srand(unpack 'N', md5("$seed $number"));
	$history->{serializable} = pick(reads => 3, edits => 2, plays => 5);
	$history->{share_serializable} = pick(2 => 3, 20 => 1);
	$model = Model->new;
	$model->{counts}{$_} = {} foreach qw(play part);
	@prepared = ();
	@partitions = (1, 2);
	$other = undef;
	delete $_->{tx} foreach (@sessions);

	run($sessions[0], $schema);
	my $tx = $model->begin('READ COMMITTED');
	my @tracks = (
		[ 't1', 1, 0 ], [ 't2', 2, 0 ], [ 't3', 1, 0 ], [ 't4', 3, 0 ], [ 'loose', undef, 0 ], [ 'gone', 4, 1 ]);
	foreach (@tracks)
	{
		my ($key, $release, $deleted) = @$_;
		$model->edit_track($tx, $model->{next_track}++, { key => $key, release => $release, deleted => $deleted });
	}
	run($sessions[0], 'INSERT INTO track (entry_key, release_id, is_deleted) VALUES ' . values_list(\@tracks));
	$model->commit($tx);
	run($_, 'PREPARE play AS INSERT INTO play_event (track_entry_key, bucket) VALUES ($1, $2)') foreach (@sessions);
	return;
}

# Everything ends, and all is exact, by the indexes too, and after the last
# spare slot is gone.
sub end_history
{
	my ($amcheck) = @_;
	my $session = $sessions[0];
	end_all();
	look($session);
	foreach my $log (logs_there())
	{
		my $l = $logs{$log};
		my $slots = "$l->{counter}_slot";
		my $result = run($session, "SELECT * FROM playevent.verify('$l->{table}')");
		discrepancy("verify of $l->{table} finds differences") if @{ $result->{rows} };
		$result = run($session, "SELECT playevent.rebuild('$l->{table}')");
		discrepancy("rebuild of $l->{table} finds differences") if $result->{rows}[0][0];
		if ($amcheck)
		{
			run($session, "SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = '$slots'::regclass");
			$result = run($session, "SELECT msg FROM verify_heapam('$slots')");
			discrepancy("$slots: $result->{rows}[0][0]") if @{ $result->{rows} };
		}
		$result = run($session, "SELECT playevent.compact('$l->{table}'); SELECT count(*) = count(DISTINCT ($l->{key}, $l->{release}, $l->{kind})) FROM $slots");
		discrepancy("compact leaves spare slots in $slots") if $result->{rows}[1][0] ne 't';
	}
	look($session);
	run($_, 'DEALLOCATE ALL') foreach (@sessions);
	run($session, 'DROP SCHEMA history CASCADE');
	return;
}

sub transcript
{
	return join '', map {
		my $line = "$_->{by}: $_->{sql}";
		$line .= "\n$_->{copy}\\." if defined $_->{copy};
		"$line\n    -> " . ($_->{answer} // 'no answer') . "\n";
	} @{ $history->{said} };
}

# Run these histories; returns what came of them.
sub run_histories
{
	my ($node, $database, @numbers) = @_;
	my $ran = 0;
	my $statements = 0;
	my $amcheck = $node->safe_psql($database, q{SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'});
	my $failure;
	foreach my $number (@numbers)
	{
		eval {
			if (!@sessions || ($number - 1) % $batch == 0)
			{
				$_->{wire}->close foreach (@sessions);
				@sessions = map {
					my $wire = Wire->connect($node, $database);
					my $result = $wire->query(qq{
						SET search_path = history, public;
						SET lock_timeout = '$lock_timeout';
						SET client_min_messages = warning});
					die $result->{error}{M} if $result->{error};
					{ name => $_, wire => $wire }
				} 'A' .. 'D';
			}
			begin_history($number);
			step() foreach (1 .. $steps);
			end_history($amcheck);
			1;
		} or do
		{
			my $error = $@;
			my $first = $number - ($number - 1) % $batch;
			$failure = transcript() . "seed $seed, history $number: "
			  . (ref $error ? $error->{discrepancy} : $error)
			  . "\nTo replay: PLAYEVENT_SEED=$seed PLAYEVENT_HISTORY=$number; or, with what the sessions remembered, $first-$number\n";
		};
		last if defined $failure;
		$ran++;
		$statements += @{ $history->{said} };
		diag("history $number\n" . transcript()) if $only;
	}
	return { ran => $ran, statements => $statements, failure => $failure, covered => \%covered };
}

#
# The server, and a process for each processor
#
my $node = PostgreSQL::Test::Cluster->new('model');
$node->init;
$node->append_conf('postgresql.conf', qq{
max_prepared_transactions = 50
autovacuum = off
log_min_messages = log
log_statement = none
log_lock_waits = on
deadlock_timeout = $deadlock_timeout
});
$node->start;
note("PLAYEVENT_SEED=$seed");

my @wanted = 1 .. $histories;
@wanted = $only =~ /^(\d+)-(\d+)$/ ? ($1 .. $2) : ($only) if $only;

my $dir = PostgreSQL::Test::Utils::tempdir();
my @children;
foreach my $worker (0 .. $workers - 1)
{
	$node->safe_psql('postgres', "CREATE DATABASE model$worker");
	$node->safe_psql("model$worker", 'CREATE EXTENSION playevent');
	$node->psql("model$worker", 'CREATE EXTENSION amcheck');
	my @mine = grep { int(($_ - 1) / $batch) % $workers == $worker } @wanted;
	my $child = fork() // die "fork failed: $!";
	if ($child == 0)
	{
		my $result = eval { run_histories($node, "model$worker", @mine) }
		  // { ran => 0, statements => 0, covered => {}, failure => "worker died: $@" };
		my $written = eval { append_to_file("$dir/worker$worker", encode_json($result)); 1 };
		POSIX::_exit($written ? 0 : 1);
	}
	push @children, $child;
}
waitpid($_, 0) foreach (@children);

my ($ran, $statements) = (0, 0);
%covered = ();
foreach my $worker (0 .. $workers - 1)
{
	my $result = decode_json(slurp_file("$dir/worker$worker"));
	ok(!defined $result->{failure}, "P2 to P5: process $worker: every step is as the model says")
	  or diag($result->{failure});
	$ran += $result->{ran};
	$statements += $result->{statements};
	$covered{$_} += $result->{covered}{$_} foreach (keys %{ $result->{covered} });
}
is($ran, scalar @wanted, 'P3: all histories were run');
note("seed $seed: $ran histories, $statements statements");
note("$_: $covered{$_}") foreach (sort keys %covered);

# The histories are what they claim to be.
if ($ran >= 1500)
{
	my @must = (keys %ways, keys %works, 'edit', 'declare', 'fetch', 'verify', 'compact', 'rebuild', 'prepare',
		'commit', 'rollback', 'commit prepared', 'rollback prepared', 'savepoint', 'rollback to', 'release',
		'burst of values', 'burst of copy', 'burst of partition', 'begin REPEATABLE READ', 'begin SERIALIZABLE',
		'key of old', 'copy 22P02', 'values 23502', 'values 22012', 'values 23503', 'values 22P02', 'values 23514',
		'conflict 40001', 'edit 40001', 'edit 23505', 'commit 22012', 'plpgsql 22012', 'refused 23001', 'in failed 25P02');
	my @missing = grep { !$covered{$_} } sort @must;
	is_deeply(\@missing, [], 'P3: nothing that a history can hold was left out');
}

$node->stop;
unlike(slurp_file($node->logfile), qr/leak|TRAP:|PANIC:|terminated by signal|still waiting for/,
	'P4: the server has nothing to complain of');
done_testing();
