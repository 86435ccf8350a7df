# P6 and P3: kill -9 in the middle of mixed traffic, of the whole server, of the
# postmaster alone, of a backend or of a process in the background, of which
# the postmaster restarts all.  After recovery every acknowledged play is there
# once, every other transaction as a whole or not at all, and counters and
# sketches equal the log; transactions that were prepared can be finished either
# way.  Batches that nobody was told the end of are sent again, and are there once.
#
# The clients' statements follow from the seed (PLAYEVENT_SEED); where the kill
# finds them does not.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use List::Util qw(shuffle);
use PlayEvent;
use Test::More;
use Time::HiRes qw(usleep);

my $clients = 8;
my $seed = random_seed();

my $node = PostgreSQL::Test::Cluster->new('killed');
$node->init;
$node->append_conf('postgresql.conf', q{
max_connections = 50
max_prepared_transactions = 200
synchronous_commit = on
full_page_writes = on
restart_after_crash = on
autovacuum_naptime = 1s
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(0, 49) i;
	SELECT playevent.create_log('play', track => 'track');
	CREATE TABLE part_event (track_entry_key text NOT NULL, release_id bigint,
		bucket play_bucket NOT NULL, event_id uuid, part int) PARTITION BY LIST (part);
	CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
	CREATE TABLE part_2 PARTITION OF part_event FOR VALUES IN (2);
	SELECT playevent.attach_log('part_event', track => 'track');
});

# Where hll is installed, there are sketches.
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hll'}))
{
	$node->safe_psql('postgres', q{CREATE EXTENSION hll; SELECT playevent.add_listener_sketch('play_event')});
}
my @slots = split /\n/, $node->safe_psql('postgres', 'SELECT counter_slot FROM playevent.counter');

# Where contrib is installed, it looks at the slot tables too.
my $amcheck = $node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'});
$node->safe_psql('postgres', 'CREATE EXTENSION amcheck') if $amcheck;

#
# Traffic.  A play is known by its event_id, so each is told from all others.
#
my $serial = 0;

sub new_ids
{
	my ($n) = @_;
	return map { sprintf '%08x-0000-4000-8000-%012x', $seed, ++$serial } 1 .. $n;
}

# A batch of these plays, mostly of one hot track.
sub batch
{
	my (@ids) = @_;
	my @arrays = map { "'{" . join(',', @$_) . "}'" }
	  [ map { rand() < 0.5 ? 'k0' : 'k' . int rand 55 } @ids ],
	  [ map { any('partial', 'most', 'complete') } @ids ],
	  [ @ids ], [ map { 'listener' . int rand 300 } @ids ];
	return 'record_plays(' . join(', ', @arrays) . ')';
}

# One statement that records these plays, mostly of one hot track.
sub record
{
	my (@ids) = @_;
	return 'SELECT count(*) FROM ' . batch(@ids) . ";\n" if rand() < 0.2;
	my $part = 1 + int rand 2;
	my $table = any('play_event', 'play_event', 'part_event', "part_$part");
	my $columns = 'track_entry_key, bucket, event_id';
	my @rows = map {
		[ rand() < 0.5 ? 'k0' : 'k' . int rand 55, any('partial', 'most', 'complete'), $_ ]
	} @ids;

	if ($table ne 'play_event')
	{
		$columns .= ', part';
		push @$_, $part foreach (@rows);
	}
	if (rand() < 0.3)
	{
		return "COPY $table ($columns) FROM stdin;\n"
		  . join('', map { join("\t", @$_) . "\n" } @rows) . "\\.\n";
	}
	return "INSERT INTO $table ($columns) VALUES "
	  . join(', ', map { '(' . join(', ', map { "'$_'" } @$_) . ')' } @rows)
	  . any('', ' ON CONFLICT DO NOTHING') . ";\n";
}

# Statements of a transaction, and savepoints around some; the plays that no
# ROLLBACK TO undoes are added to @$kept.
sub steps
{
	my ($kept, $depth) = @_;
	my $sql = '';

	foreach (0 .. rand 3)
	{
		if ($depth < 3 && rand() < 0.35)
		{
			my @inner;
			$sql .= "SAVEPOINT s$depth;\n" . steps(\@inner, $depth + 1);
			if (rand() < 0.5)
			{
				$sql .= "ROLLBACK TO s$depth;\n";
			}
			else
			{
				$sql .= "RELEASE s$depth;\n";
				push @$kept, @inner;
			}
		}
		else
		{
			my @ids = new_ids(1 + int rand(rand() < 0.8 ? 3 : 20));
			$sql .= record(@ids);
			push @$kept, @ids;
		}
	}
	return $sql;
}

# A transaction: its statements, the plays that it records if it commits, and,
# if it is prepared, its name.
sub transaction
{
	my ($name, $may_leave) = @_;
	my $kind = rand;
	my @kept;

	if ($kind < 0.03)
	{
		my $log = any('play_event', 'part_event');
		return { sql => any("SELECT playevent.compact('$log');\n",
				"SELECT playevent.rebuild('$log');\n"), kept => [], end => 'commit' };
	}
	if ($kind < 0.25)
	{
		@kept = new_ids(1 + int rand(rand() < 0.5 ? 20 : 200));
		my $batch = batch(@kept);
		return { sql => "SELECT count(*) FROM $batch;\n", kept => \@kept, end => 'commit', batch => $batch };
	}
	if ($kind < 0.5)
	{
		@kept = new_ids(rand() < 0.7 ? 1 : 1 + int rand 30);
		return { sql => record(@kept), kept => \@kept, end => 'commit' };
	}

	my $sql = 'BEGIN ISOLATION LEVEL '
	  . any('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . ";\n";
	$sql .= steps(\@kept, 0);
	my $end = any(('commit') x 5, 'rollback', ('prepare') x 4);
	return { sql => "$sql$end;\n", kept => \@kept, end => $end }
	  unless $end eq 'prepare';

	$end = any('commit prepared', 'rollback prepared', $may_leave ? 'leave' : ());
	$sql .= "PREPARE TRANSACTION '$name';\n\\echo prepared $name\n";
	$sql .= "$end '$name';\n" unless $end eq 'leave';
	return { sql => $sql, kept => \@kept, end => $end, gid => $name };
}

my $dir = PostgreSQL::Test::Utils::tempdir();

# Start a client with more transactions than it gets to send.  What it has said
# "ended" of was acknowledged.
sub start_client
{
	my ($round, $client) = @_;
	my @transactions;
	my $left = 0;

	foreach my $number (0 .. 599)
	{
		my $transaction = transaction("$round.$client.$number", $left < 6);
		$left++ if $transaction->{end} eq 'leave';
		$transaction->{sql} .= "\\echo ended $number\n";
		push @transactions, $transaction;
	}
	my $file = "$dir/$round.$client";
	append_to_file("$file.sql", join '', map { $_->{sql} } @transactions);

	local $ENV{PGAPPNAME} = 'traffic';
	my $session = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		  '-f', "$file.sql" ],
		'>', "$file.out", '2>', "$file.err");
	return { session => $session, transactions => \@transactions, file => $file };
}

#
# Killing
#

# Processes of the server, by a condition on pg_stat_activity.
sub processes
{
	my ($condition) = @_;
	return split /\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND $condition");
}

# The moment is random, so there is nothing to wait for.
sub wait_for_moment
{
	usleep(slowdown() * rand 300_000);
	return;
}

sub kill_processes
{
	my (@pids) = @_;
	wait_for_moment();
	kill 'KILL', @pids;
	return @pids;
}

sub kill_postmaster
{
	wait_for_moment();
	$node->kill9;
	return 'postmaster';
}

my %kill = (
	server => sub { wait_for_moment(); return ('postmaster', kill_server($node)) },
	postmaster => \&kill_postmaster,
	backend => sub { kill_processes(any(processes("application_name = 'traffic'"))) },
	background => sub { kill_processes(any(processes(
				"backend_type IN ('checkpointer', 'background writer', 'walwriter')"))) });
my @rounds = shuffle(('server') x 4, ('postmaster') x 2, ('backend') x 4, ('background') x 2);

# Start the server again.  Processes that were killed may hold on to its shared
# memory until someone reaps them.
sub start_again
{
	foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		usleep(100_000);
	}
	diag(substr slurp_file($node->logfile), -2000);
	return 0;
}

#
# What must be there
#
my %committed;	# by event_id
my %prepared;	# its plays, by gid
my %retried;	# batches, by the status of their receipts

sub recorded
{
	my %times;
	$times{$_}++ foreach (split /\n/, $node->safe_psql('postgres',
			'SELECT event_id FROM play_event UNION ALL SELECT event_id FROM part_event'));
	return %times;
}

sub check_recorded
{
	my ($name) = @_;
	my %times = recorded();
	is(scalar(grep { !$times{$_} } keys %committed),
		0, "P6: $name: every acknowledged play is there");
	is(scalar(grep { !$committed{$_} } keys %times),
		0, "P6: $name: no other is");
	is(scalar(grep { $_ != 1 } values %times),
		0, "P6: $name: none is there twice");
	return;
}

# Batches that may be sent again, and what receipts will say.
my @retries;

sub add_retry
{
	my ($transaction, $status) = @_;
	push @retries, { %$transaction, status => $status } if $transaction && $transaction->{batch};
	return;
}

# Take a client's transactions for what they have become; returns complaints
# about those that nobody was told the end of, one a client at most, and about
# prepared ones that are gone.
sub settle
{
	my ($client, $times, $in_doubt) = @_;
	my $output = slurp_file("$client->{file}.out");
	my %told = map { $_ => 1 } $output =~ /^prepared (\S+)$/mg;
	my ($ended) = $output =~ /.*^ended (\d+)$/ms;
	my @transactions = @{ $client->{transactions} };
	my @complaints;

	$client->{ended} = defined $ended ? $ended + 1 : 0;
	foreach my $number (0 .. $client->{ended} - 1)
	{
		my $transaction = $transactions[$number];
		my ($end, $gid, $kept) = @$transaction{ 'end', 'gid', 'kept' };

		if ($end eq 'leave')
		{
			push @complaints, "prepared transaction $gid is gone"
			  unless $in_doubt->{$gid};
			$prepared{$gid} = $kept;
		}
		elsif ($end =~ /^commit/)
		{
			$committed{$_} = 1 foreach (@$kept);
		}
	}

	# Whoever has lost the answer may send one that was acknowledged, too.
	my @ended = grep { $_->{batch} } @transactions[ 0 .. $client->{ended} - 1 ];
	add_retry($ended[-1], 'duplicate');

	my $transaction = $transactions[ $client->{ended} ];
	return @complaints unless $transaction;
	my ($end, $gid, $kept) = @$transaction{ 'end', 'gid', 'kept' };
	my $there = grep { $times->{$_} } @$kept;
	add_retry($transaction, $there ? 'duplicate' : 'recorded');

	if (defined $gid && $in_doubt->{$gid})
	{
		$prepared{$gid} = $kept;
	}
	elsif (defined $gid && $told{$gid} && ($end eq 'leave' || $end eq 'commit prepared' && $there < @$kept))
	{
		push @complaints, "prepared transaction $gid is gone";
	}
	elsif ($there > 0 && $end =~ /^commit/)
	{
		push @complaints, "$there of " . @$kept . " plays of a transaction"
		  if $there < @$kept;
		$committed{$_} = 1 foreach (@$kept);
	}
	return @complaints;
}

# Send batches again.
sub retry
{
	my ($title) = @_;
	foreach my $retry (splice @retries)
	{
		my $n = @{ $retry->{kept} };
		is($node->safe_psql('postgres', "SELECT status, count(*), count(DISTINCT id) FROM $retry->{batch} GROUP BY 1"),
			"$retry->{status}|$n|$n", "P6: $title: a retry of a batch gets a receipt for each: $retry->{status}");
		$committed{$_} = 1 foreach (@{ $retry->{kept} });
		$retried{ $retry->{status} }++;
	}
	return;
}

my $round = 0;
foreach my $what (@rounds)
{
	my $title = 'round ' . ++$round . ", $what";
	my $offset = -s $node->logfile;
	my $all = 'SELECT (SELECT count(*) FROM play_event) + (SELECT count(*) FROM part_event)';
	my $before = $node->safe_psql('postgres', $all);
	my $some = int((200 + rand 1500) / slowdown());
	my @clients = map { start_client($round, $_) } 1 .. $clients;

	$node->poll_query_until('postgres', "$all > $before + $some") or die 'no traffic';
	if (rand() < 0.4)
	{
		# so that recovery starts midway
		$node->safe_psql('postgres', 'CHECKPOINT');
		$some += int(200 / slowdown());
		$node->poll_query_until('postgres', "$all > $before + $some") or die 'no traffic';
	}

	my @killed = $kill{$what}->();
	$_->{session}->finish foreach (@clients);
	if ($killed[0] eq 'postmaster')
	{
		start_again() or die 'the server does not start again';
	}
	else
	{
		is_back($node) or die 'the server does not restart';
	}

	my %times = recorded();
	my %in_doubt = map { $_ => 1 } split /\n/,
	  $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts');
	my @complaints = map { settle($_, \%times, \%in_doubt) } @clients;
	my @errors = map { slurp_file("$_->{file}.err") =~ /^(.*ERROR: .*)$/mg } @clients;
	my $ended = 0;
	$ended += $_->{ended} foreach (@clients);

	cmp_ok($ended, '>', 0, "P6: $title: transactions were acknowledged ($ended)");
	ok((grep { $_->{ended} < @{ $_->{transactions} } } @clients),
		"P6: $title: clients were cut off at work");
	is(join("\n", @errors), '', "P4: $title: until then nothing failed");
	is(join("\n", @complaints), '',
		"P6: $title: a transaction nobody was told of is there as a whole or not at all");
	is(join(' ', sort keys %in_doubt), join(' ', sort keys %prepared),
		"P6: $title: what was prepared is (" . keys(%in_doubt) . ' transactions)');
	check_recorded($title);
	exact($node, "P3: $title: counters equal the log", 'play', 'part');
	retry($title);
	check_recorded("$title, batches sent again");

	# Some wait through more than one crash.
	my $finish = '';
	foreach my $gid (sort keys %prepared)
	{
		my $end = $round == @rounds ? any('COMMIT', 'ROLLBACK') : any('COMMIT', 'ROLLBACK', '');
		next if $end eq '';
		$finish .= "$end PREPARED '$gid';\n";
		if ($end eq 'COMMIT')
		{
			$committed{$_} = 1 foreach (@{ $prepared{$gid} });
		}
		delete $prepared{$gid};
	}
	$node->safe_psql('postgres', $finish);
	check_recorded("$title, prepared transactions finished");
	exact($node, "P3: $title: and counters equal the log", 'play', 'part');

	# The slot tables' indexes lead to all of their rows.
	is($node->safe_psql('postgres', q{
			SET enable_seqscan = off; SET enable_bitmapscan = off;
			SELECT (SELECT sum(plays) FROM play_counter_slot WHERE track_entry_key = 'k0')
				 = (SELECT count(*) FROM play_event WHERE track_entry_key = 'k0'),
				   (SELECT sum(parts) FROM part_counter_slot WHERE track_entry_key = 'k0')
				 = (SELECT count(*) FROM part_event WHERE track_entry_key = 'k0')}),
		't|t', "P6: $title: so do they by their indexes");
	foreach my $table ($amcheck ? @slots : ())
	{
		is($node->safe_psql('postgres', qq{
				SELECT * FROM verify_heapam('$table');
				SELECT indexrelid FROM pg_index
				WHERE indrelid = '$table'::regclass AND bt_index_check(indexrelid, true)::text <> ''}),
			'', "P6: $title: amcheck finds nothing in $table");
	}
	is(complaints($node, $offset, @killed), '', "P6: $title: the server's log has no complaint");
}

cmp_ok($retried{duplicate}, '>', 0, 'P6: batches were sent again');
note("batches sent again: $_: $retried{$_}") foreach (sort keys %retried);
$node->stop;
done_testing();
