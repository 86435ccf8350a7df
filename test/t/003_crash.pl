# P6: kill -9 of the whole server in the middle of traffic.  After recovery the
# counters equal the log, and every acknowledged play is in it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use Test::More;
use Time::HiRes qw(usleep);

my $clients = 16;
my $rounds = 4;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', q{
max_connections = 50
synchronous_commit = on
full_page_writes = on
checkpoint_timeout = 30s
restart_after_crash = off
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(0, 49) i;
	SELECT playevent.create_log('play', track => 'track');
	CREATE TABLE acknowledged (event_id uuid NOT NULL);
});

# What each client sends: statements that commit by themselves and return the
# ids of what they recorded, so that an id in a client's output was committed.
# Mostly one hot track; some others, some plays by twos.  More than a client
# gets to send before the server is killed.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $insert = 'INSERT INTO play_event (track_entry_key, bucket, event_id) VALUES';
foreach my $client (1 .. $clients)
{
	my @lines = map {
		my $cold = 'k' . (($_ * $client) % 50);
		my $second = $_ % 3 ? '' : ", ('$cold', 'most', gen_random_uuid())";
		"$insert ('k0', 'complete', gen_random_uuid())$second RETURNING event_id;\n";
	} 1 .. 20000;
	append_to_file("$dir/client$client.sql", join('', @lines));
}

# The server's processes, but for the postmaster.
sub server_processes
{
	return split /\n/, $node->safe_psql('postgres',
		'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
}

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
	return 0;
}

foreach my $round (1 .. $rounds)
{
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM play_event');
	my @sessions;
	foreach my $client (1 .. $clients)
	{
		push @sessions, IPC::Run::start(
			[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
			  '-f', "$dir/client$client.sql" ],
			'>', "$dir/acknowledged$round.$client", '2>', "$dir/stderr$round.$client");
	}

	# In the thick of it: every client has recorded something, and, in some
	# rounds, a checkpoint has passed since, so that recovery starts midway.
	$node->poll_query_until('postgres',
		"SELECT count(*) > $before + 1500 FROM play_event")
	  or die 'no traffic';
	if ($round % 2)
	{
		$node->safe_psql('postgres', 'CHECKPOINT');
		$node->poll_query_until('postgres',
			"SELECT count(*) > $before + 3000 FROM play_event")
		  or die 'no traffic';
	}

	# The postmaster first: it would restart the others.
	my @children = server_processes();
	$node->kill9;
	kill 'KILL', @children;
	$_->finish foreach (@sessions);
	my $lost = grep { slurp_file("$dir/stderr$round.$_") =~ /connection|terminated/ } 1 .. $clients;
	is($lost, $clients, "P6: round $round: all clients were cut off at work");
	ok(@children >= $clients, "P6: round $round: server processes were killed");
	start_again() or die 'the server does not start again';

	$node->safe_psql('postgres',
		join '', map { "\\copy acknowledged FROM '$dir/acknowledged$round.$_'\n" } 1 .. $clients);
	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM acknowledged'),
		'>', 1000 * $round, "P6: round $round: plays were acknowledged");
	is($node->safe_psql('postgres', q{
			SELECT count(*) FROM acknowledged a
			WHERE NOT EXISTS (SELECT FROM play_event p WHERE p.event_id = a.event_id)}),
		0, "P6: round $round: every acknowledged play is there");
	is($node->safe_psql('postgres', "SELECT * FROM playevent.verify('play_event')"),
		'', "P6: round $round: verify finds nothing");
	is($node->safe_psql('postgres', q{
			WITH logged AS (SELECT track_entry_key, release_id, bucket, count(*)
							FROM play_event GROUP BY 1, 2, 3)
			SELECT count(*) FROM
			((TABLE logged EXCEPT TABLE play_counter) UNION ALL
			 (TABLE play_counter EXCEPT TABLE logged)) d}),
		0, "P6: round $round: counters equal an independent GROUP BY");

	# The slot table's index leads to all of its rows.
	is($node->safe_psql('postgres', q{
			SET enable_seqscan = off; SET enable_bitmapscan = off;
			SELECT sum(plays) = (SELECT count(*) FROM play_event WHERE track_entry_key = 'k0')
			FROM play_counter_slot WHERE track_entry_key = 'k0'}),
		't', "P6: round $round: so do they by the index");
}

# A client had at most one statement under way, of two plays.
cmp_ok($node->safe_psql('postgres', q{
		SELECT count(*) FROM play_event p
		WHERE NOT EXISTS (SELECT FROM acknowledged a WHERE a.event_id = p.event_id)}),
	'<=', 2 * $clients * $rounds,
	'P6: plays that nobody was told of are no more than were under way');

$node->stop;
done_testing();
