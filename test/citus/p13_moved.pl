# P13, P3 and P6: shards of a log are moved and split beside traffic, nodes come and
# go, a worker is killed in the middle: counters are the rows', on all nodes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use Citus;
use PlayEvent qw(slowdown traffic_options kill_server complaints);

my @nodes = new_cluster(2);
my ($coordinator, @workers) = @nodes;
my $dir = PostgreSQL::Test::Utils::tempdir();

make_log($coordinator);

# Rows of one node, which need no second phase, and of several; and retries.
my @options = traffic_options($dir,
	one => [ 4, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :k, 'most');} ],
	several => [ 2, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :k, 'most'), ('k' || :l, 'partial'), ('k' || :k, 'complete');} ],
	function => [ 2, q{SELECT record_play('k' || :k, 'most');} ],
	retry => [ 1, q{SELECT record_play('k' || :k, 'most', ('00000000-0000-0000-0000-' || lpad((:n % 50)::text, 12, '0'))::uuid);} ],
	batch => [ 1, q{SELECT count(*) FROM record_plays(ARRAY['k' || :k, 'k' || :l, 'k' || :k], '{most,partial,complete}');} ],
	again => [ 1, q{SELECT count(*) FROM record_plays(ARRAY['k' || :k, 'k' || :l], '{most,partial}', ARRAY[lpad((:n % 50)::text, 32, '0'), lpad((:n % 7)::text, 32, '1')]::uuid[]);} ],
	two => [ 1, qq{BEGIN;\nINSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :k, 'most');\nINSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :l, 'most');\nEND;} ]);

# Clients that go on as long as something is done beside them.  One that an error
# has ended is not missed: what is compared is what is there.
my @clients;
sub begin_traffic
{
	my ($transactions) = @_;
	foreach my $node ($coordinator, $workers[0])
	{
		my %client = (out => '');
		$client{run} = IPC::Run::start([ 'pgbench', '-n', '-U', 'site', '-h', $node->host, '-p', $node->port,
			'-c', 3, '-t', $transactions, @options, 'postgres' ], '<', \undef, '>&', \$client{out});
		push @clients, \%client;
	}
	return;
}

sub end_traffic
{
	my $processed = 0;
	foreach my $client (@clients)
	{
		$client->{run}->finish;
		$processed += $1 if $client->{out} =~ /number of transactions actually processed: (\d+)/;
	}
	@clients = ();
	return $processed;
}

sub beside_traffic
{
	my ($name, $query) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	begin_traffic(int 200 / slowdown() + 1);
	my ($status, $out, $err) = $coordinator->psql('postgres', $query);
	is($status, 0, "P13: $name") || diag $err;
	cmp_ok(end_traffic(), '>', 0, "P13: beside plays: $name");
	shards_are_exact(\@nodes, "P3: $name");
	return;
}

# A shard, where it is, and the other worker; and in the middle of its hash values.
my $a_shard = sprintf q{
	SELECT s.shardid AS shard, n.nodename AS host, n.nodeport AS port, other.nodename AS other_host, other.nodeport AS other_port,
		   n.nodeid AS node, other.nodeid AS other,
		   ((shardminvalue::bigint + shardmaxvalue::bigint) / 2)::text AS middle
	  FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n USING (groupid)
	  JOIN pg_dist_node other ON other.nodeport IN (%d, %d) AND other.nodeid <> n.nodeid
	 WHERE logicalrelid = 'play_event'::regclass ORDER BY shardmaxvalue::bigint - shardminvalue::bigint DESC, shardid LIMIT 1 \gset
}, $workers[0]->port, $workers[1]->port;

begin_traffic(int 200 / slowdown() + 1);
cmp_ok(end_traffic(), '>', 0, 'P13: plays come in on two nodes');
shards_are_exact(\@nodes, 'P3: traffic alone');

foreach my $mode ('block_writes', 'force_logical')
{
	beside_traffic("a shard is moved, $mode", $a_shard . qq{
		SELECT citus_move_shard_placement(:shard, :'host', :port, :'other_host', :other_port, '$mode');});
}
# Not by logical replication: Citus gives the new shards of slots no replica identity
# that their updates could be found by.
beside_traffic('a shard is split, block_writes', $a_shard . q{
	SELECT citus_split_shard_by_split_points(:shard, ARRAY[:'middle'], ARRAY[:node, :other]::int[], 'block_writes');});
beside_traffic('a track gets a shard of its own', q{
	SELECT isolate_tenant_to_new_shard('play_event', 'k0', 'CASCADE', shard_transfer_mode => 'block_writes');});

# A node comes, and takes its share.
push @workers, new_node('worker_3');
push @nodes, $workers[-1];
add_node($coordinator, $workers[-1]);
beside_traffic('shards go to a new node', q{SELECT rebalance_table_shards('play_event', shard_transfer_mode => 'block_writes');});
cmp_ok($workers[-1]->safe_psql('postgres', q{SELECT count(*) FROM pg_dist_placement JOIN pg_dist_local_group USING (groupid)
	JOIN pg_dist_shard USING (shardid) WHERE logicalrelid = 'play_event'::regclass}), '>', 0, 'P13: which has some');

# Changes of the log's tables reach all shards.
$coordinator->safe_psql('postgres', 'ALTER TABLE play_event ADD COLUMN place text', extra_params => [ '-U', 'site' ]);
beside_traffic('a column comes', 'ANALYZE play_event');

#
# A worker is killed, and comes back.
#

my @killed;
begin_traffic(int 1000 / slowdown() + 1);
$coordinator->poll_query_until('postgres', q{SELECT count(*) > 0 FROM citus_stat_activity WHERE query LIKE 'INSERT INTO%'});
@killed = kill_server($workers[1]);
# Processes that were killed may hold on to its shared memory until they are reaped.
foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if $workers[1]->start(fail_ok => 1);
	$workers[1]->stop('fast', fail_ok => 1);
	usleep(100_000);
}
end_traffic();
foreach my $node (@nodes)
{
	$node->safe_psql('postgres', 'SELECT recover_prepared_transactions()');
}
is(join(' ', map { $_->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts') } @nodes), join(' ', map { 0 } @nodes),
	'P6: nothing prepared is left');
shards_are_exact(\@nodes, 'P6: a worker was killed in the middle of traffic');
begin_traffic(int 100 / slowdown() + 1);
cmp_ok(end_traffic(), '>', 0, 'P6: and plays go on');
shards_are_exact(\@nodes, 'P6: exact');
shells_are_empty(\@nodes, 'P13: the shells are empty, on all nodes');

is(join('', map { complaints($_, 0, @killed) } @nodes), '', 'P6: no server complains');
$_->stop foreach @nodes;
done_testing();
