# The life of the log "visit" of a history (Model/History.pm), which is partitioned by
# time: months of the past are filled, sealed and retired, in transactions with
# savepoints, some of which are undone.  No total changes, and what is closed stays so.
# By a session that is in no transaction, while nobody else uses the log; and at the
# end of each history.

package Model::Life;

use strict;
use warnings;

use Exporter qw(import);
use Model::Batches;
use Model::History;
use Model::Looks;
use Model::Plays;
use Model::Transactions;
use Model::Verdicts;
use Model::Works;

our @EXPORT = qw(life_begins life_schema life_steps may_live live life_ends);

# By a snapshot of one's own, partitions are not changed.
$ways{snapshot} = sub {
	my ($tx) = @_;
	return if $tx->{isolation} eq 'READ COMMITTED';
	touch($tx, 'visit', 'track');
	my $end = $history->{life}{ends}[0];
	my $call = any("seal('visit_event', '$end')", "retire('visit_event', '$end')", "extend('visit_event')", "maintain('visit_event')");
	return { sql => "SELECT playevent.$call", error => '25001' };
};

# The months before the last: maintain seals them, on whatever day.
my $months = 4;

# sealed and retired are how many of the months were, beginning with the first.
sub life_begins
{
	my (undef, undef, undef, undef, $month, $year) = gmtime;
	my $of = sub { my ($m) = 12 * $year + $month + shift; return sprintf '%d-%02d', 1900 + int($m / 12), 1 + $m % 12; };
	return { months => [ map { $of->(-$_) } reverse 2 .. 1 + $months ], now => $of->(0) . '-01 00:00+00',
		ends => [ map { $of->(1 - $_) . '-01 00:00+00' } reverse 2 .. 1 + $months ],
		sealed => 0, retired => 0, ahead => 3, kept => [], retain => pick(0 => 2, 2 => 1, 3 => 1, 4 => 1) };
}

sub life_schema
{
	my $life = $history->{life};
	my $retain = $life->{retain} ? ", retain => '$life->{retain} months'" : '';
	return "SELECT playevent.create_log('visit', track => 'track', track_deleted => 'is_deleted', kind => 'extent', "
	  . "partition_by => 'month', dedupe_for => '3 years'$retain); "
	  . join('', map { "CREATE TABLE " . part($_) . " PARTITION OF visit_event "
		  . "FOR VALUES FROM ('$life->{months}[$_]-01 00:00+00') TO ('$life->{ends}[$_]'); " } 0 .. $months - 1)
	  . 'ALTER TABLE visit_event ADD seconds int DEFAULT nullif(floor(random() * 8)::int, 7) - 3; '
	  . 'CREATE TABLE visit_retired (LIKE visit_event); ' . look_view('visit');
}

sub part { my ($m) = @_; return 'visit_' . $history->{life}{months}[$m] =~ s/-/_/r; }

#
# What is done
#

# A statement that may fail, and its first value.
sub attempt
{
	my ($session, $sql, $error) = @_;
	my $may_fail = defined $error;
	run($session, 'SAVEPOINT attempt') if $may_fail;
	my $result = run($session, $sql, $error);
	if ($may_fail)
	{
		run($session, 'ROLLBACK TO attempt; RELEASE attempt');
		$session->{tx}{failed} = 0;
		return;
	}
	return $result->{rows} && $result->{rows}[0] ? $result->{rows}[0][0] : undef;
}

sub returns
{
	my ($session, $sql, $wanted) = @_;
	my $value = attempt($session, $sql);
	discrepancy("$value, not $wanted, by $sql") if $value != $wanted;
	return;
}

sub nothing_wrong
{
	my ($session, $function) = @_;
	my $result = run($session, "SELECT * FROM playevent.$function");
	discrepancy("$function: ", join ', ', map { $_ // '-' } @{ $result->{rows}[0] }) if @{ $result->{rows} };
	return;
}

sub planned
{
	my ($session, $make, @arguments) = @_;
	my $tx = $session->{tx};
	my $plan = begin_plan($session, 'life', sub {
		my ($of) = @_;
		my $mark = @{ $of->{effects} };
		my $plan = $make->($of, @arguments) // return;
		return $plan if !defined $plan->{error};
		$model->undo($of, $mark);
		attempt($session, $plan->{sql}, $plan->{error});
		$covered{"life: refused $plan->{error}"}++;
		return;
	}) // return;
	end_plan($plan);
	return;
}

# What there is of these months is not in the log any more.
sub retire_months
{
	my ($tx, $from, $to, $keep) = @_;
	my $life = $history->{life};
	my $counts = $model->counts($tx, 'visit');
	my %retired = map { $life->{months}[$_] => 1 } $from .. $to - 1;
	foreach my $key (sort keys %$counts)
	{
		my @key = split /\|/, $key;
		next if !$retired{ $key[5] };
		$life->{counted} = 1 if $key[6] eq '-';
		$key[5] = "retired $key[5]";
		$model->move($tx, 'visit', $key, join('|', @key), $counts->{$key}[0]);
	}
	push @{ $life->{kept} }, $from .. $to - 1 if $keep;
	$life->{retired} = $to;
	return;
}

sub copy_months
{
	my ($session, $to) = @_;
	my $until = $history->{life}{ends}[ $to - 1 ];
	run($session, "INSERT INTO visit_retired SELECT * FROM visit_event WHERE created_at < '$until'");
	return;
}

sub max { my ($n, $m) = @_; return $n > $m ? $n : $m; }

my %steps = (
	play => [ 10, sub {
		my ($session) = @_;
		planned($session, sub {
			my ($tx) = @_;
			my ($plays, $error) = random_plays($tx, 'visit');
			record($tx, $plays, $error);
			return { sql => insert_any('visit_event', $plays), error => $error };
		});
		return; } ],
	batch => [ 3, sub { my ($session) = @_; planned($session, \&batch_plan, 'visit'); return; } ],
	void => [ 4, sub { my ($session) = @_; planned($session, \&void_plan, $session, 'visit'); return; } ],
	forget => [ 2, sub { my ($session) = @_; planned($session, \&forget_plan, 'visit'); return; } ],
	seal => [ 6, sub {
		my ($session, $life) = @_;
		my $n = 1 + int rand $months;
		returns($session, "SELECT playevent.seal('visit_event', '$life->{ends}[$n - 1]')", max(0, $n - $life->{sealed}));
		$life->{sealed} = max($n, $life->{sealed});
		return; } ],
	'seal the future' => [ 1, sub {
		my ($session) = @_;
		attempt($session, q{SELECT playevent.seal('visit_event', now() + '1 minute')}, '22023');
		return; } ],
	retire => [ 6, sub {
		my ($session, $life) = @_;
		my $n = chance(80) ? $life->{sealed} : 1 + int rand $months;
		return if !$n;
		my $keep = chance(60);
		my $sql = "SELECT playevent.retire('visit_event', '$life->{ends}[$n - 1]'" . ($keep ? any('', ', true') : ', keep => false') . ')';
		if ($n > $life->{sealed}) { attempt($session, $sql, '55000'); return; }
		copy_months($session, $n);
		returns($session, $sql, max(0, $n - $life->{retired}));
		retire_months($session->{tx}, $life->{retired}, $n, $keep) if $n > $life->{retired};
		return; } ],
	extend => [ 2, sub {
		my ($session, $life) = @_;
		my $ahead = 2 + int rand 4;
		returns($session, "SELECT playevent.extend('visit_event', '$ahead months')", max(0, $ahead - $life->{ahead}));
		$life->{ahead} = max($ahead, $life->{ahead});
		return; } ],
	maintain => [ 2, sub {
		my ($session, $life) = @_;
		my $retired = $life->{retain} ? max($life->{retired}, 1 + $months - $life->{retain}) : $life->{retired};
		copy_months($session, $retired) if $retired > $life->{retired};
		my $result = run($session, q{SELECT * FROM playevent.maintain('visit_event') WHERE what <> 'slots removed'});
		my %done = map { @$_ } @{ $result->{rows} };
		my %wanted = ('partitions made' => 0, 'partitions sealed' => $months - $life->{sealed}, 'event_ids forgotten' => 0,
			$life->{retain} ? ('partitions retired' => $retired - $life->{retired}) : ());
		my ($did, $was) = map { my $of = $_; join ', ', map { "$_ $of->{$_}" } sort keys %$of } \%done, \%wanted;
		discrepancy("maintain did: $did, not: $was") if $did ne $was;
		$life->{sealed} = $months;
		retire_months($session->{tx}, $life->{retired}, $retired, 1) if $retired > $life->{retired};
		return; } ],
	'verify archive' => [ 2, sub {
		my ($session, $life) = @_;
		my @tables = @{ $life->{kept} };
		nothing_wrong($session, "verify_archive('visit_event'" . (@tables ? ", '" . part(any(@tables)) . "'" : '') . ')');
		return; } ],
	verify => [ 1, sub { my ($session) = @_; nothing_wrong($session, q{verify('visit_event')}); return; } ],
	rebuild => [ 1, sub { my ($session) = @_; returns($session, q{SELECT playevent.rebuild('visit_event')}, 0); return; } ],
	compact => [ 1, sub { my ($session) = @_; attempt($session, q{SELECT playevent.compact('visit_event')}); return; } ],
	'by hand' => [ 2, sub {
		my ($session, $life) = @_;
		my $m = int rand $months;
		my $part = part($m);
		my $has_rows = grep { (split /\|/)[5] eq $life->{months}[$m] } keys %{ $model->counts($session->{tx}, 'visit') };
		my $kept = grep { $_ == $m } @{ $life->{kept} };
		if ($m < $life->{retired} && !$kept) { $part = 'visit_event_retired'; }
		return if !$has_rows && $m >= $life->{sealed};
		if ($m < $life->{retired} && $kept)
		{
			# A table of its own, which stays as it is
			my $any = grep { (split /\|/)[5] eq "retired $life->{months}[$m]" } keys %{ $model->counts($session->{tx}, 'visit') };
			attempt($session, any("UPDATE $part SET anon_id = 'other'", "DELETE FROM $part"), $any ? '23001' : undef);
			attempt($session, "INSERT INTO $part (id, track_entry_key, extent, created_at) VALUES (1, 't1', 'most', '2001-01-01')", '55000');
			return;
		}
		attempt($session, any("DROP TABLE $part", "ALTER TABLE visit_event DETACH PARTITION $part"), '55000');
		return; } ],
	'into what is sealed' => [ 2, sub {
		my ($session, $life) = @_;
		return if !$life->{sealed};
		my $m = int rand $life->{sealed};
		my $part = $m < $life->{retired} ? 'visit_event' : any(part($m), 'visit_event');
		attempt($session, "INSERT INTO $part (track_entry_key, extent, created_at) VALUES ('t1', 'most', '$life->{months}[$m]-15 12:00+00')", '55000');
		return; } ],
	savepoint => [ 5, sub {
		my ($session) = @_;
		savepoint_step($session);
		$session->{tx}{savepoints}[-1]{life} = remember();
		return; } ],
	'roll back' => [ 4, sub {
		my ($session) = @_;
		my $savepoints = $session->{tx}{savepoints};
		return if !@$savepoints;
		my $i = int rand @$savepoints;
		rollback_to_step($session, $i);
		undo($savepoints->[$i]{life});
		return; } ]);

sub remember { my $life = $history->{life}; return { %$life, kept => [ @{ $life->{kept} } ] }; }

sub undo { my ($life) = @_; $history->{life} = { %$life, kept => [ @{ $life->{kept} } ] }; return; }

sub life_steps { return keys %steps; }

sub may_live { return $history->{life} && is_free('visit', 'x'); }

sub live
{
	my ($session) = @_;
	my $before = remember();
	begin_step($session, 'READ COMMITTED');
	touch($session->{tx}, 'visit');
	foreach (1 .. 3 + rand 8)
	{
		my $what = pick(map { $_ => $steps{$_}[0] } sort keys %steps);
		my $said = @{ $history->{said} };
		$steps{$what}[1]->($session, $history->{life});
		$covered{"life: $what"}++ if @{ $history->{said} } > $said;
	}
	look($session);
	if (chance(20))
	{
		run($session, 'ROLLBACK');
		undo($before);
	}
	else
	{
		run($session, 'COMMIT');
		$model->commit($session->{tx});
		$history->{retires}++ if $history->{life}{retired} > $before->{retired};
	}
	delete $session->{tx};
	return;
}

sub life_ends
{
	my ($session) = @_;
	nothing_wrong($session, "verify_archive('visit_event')");
	nothing_wrong($session, "verify_archive('visit_event', '" . part($_) . "')") foreach (@{ $history->{life}{kept} });
	return;
}

1;
