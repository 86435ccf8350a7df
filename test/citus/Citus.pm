# Clusters of a coordinator and workers, and what is in them without asking Citus.

package Citus;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_cluster new_node add_node make_log shards_are_exact counter_is_exact shells_are_empty);

# Nothing of Citus hides shards from us.
my $see_shards = q{SET citus.show_shards_for_app_name_prefixes = '*'; };

# A server with Citus in its database postgres; of another installation, if that is
# among the options.
sub new_node
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, %options);
	$node->init(allows_streaming => 'logical');
	my $host = $node->host;
	$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'citus'
citus.local_hostname = '$host'
citus.node_conninfo = 'sslmode=prefer'
citus.enable_statistics_collection = off
max_connections = 120
max_prepared_transactions = 120
max_wal_senders = 20
max_replication_slots = 20
max_worker_processes = 40
shared_buffers = 64MB
log_statement = none
});

	# Citus looks for its control file where it isn't; and newer minors of Postgres
	# ask whether replication may use its library.
	$node->append_conf('postgresql.conf', "citus.enable_version_checks = off\n") if $ENV{CITUS};
	$node->append_conf('postgresql.conf', "output_plugin_libraries = 'citus, pgoutput'\n")
	  if qx{postgres --describe-config} =~ /^output_plugin_libraries\t/m;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION citus');
	return $node;
}

# Make a node one of the cluster's.
sub add_node
{
	my ($coordinator, $node) = @_;
	return $coordinator->safe_psql('postgres',
		sprintf q{SELECT citus_add_node('%s', %d)}, $node->host, $node->port);
}

# A coordinator and as many workers, with a database whose owner is an ordinary role;
# each of its own installation, if there are any.
sub new_cluster
{
	my ($workers, @installed) = @_;
	my @nodes = map {
		new_node($_ == 0 ? 'coordinator' : "worker_$_", $installed[$_] ? (install_path => $installed[$_]) : ())
	} 0 .. $workers;
	my $coordinator = $nodes[0];
	$coordinator->safe_psql('postgres',
		sprintf q{SELECT citus_set_coordinator_host('%s', %d)}, $coordinator->host, $coordinator->port);
	add_node($coordinator, $_) foreach @nodes[ 1 .. $workers ];
	$coordinator->safe_psql('postgres', q{
		CREATE ROLE site LOGIN;
		CREATE ROLE web LOGIN;
		CREATE EXTENSION playevent;
		GRANT CREATE ON SCHEMA public TO site;
		GRANT CREATE ON DATABASE postgres TO site});
	return @nodes;
}

# The tables of the node whose names are this and a number.
sub shards
{
	my ($node, $table) = @_;
	return split /\n/, $node->safe_psql('postgres', qq{$see_shards
		SELECT c.oid::regclass FROM pg_class c
		  JOIN pg_dist_shard s ON c.relname = '$table' || '_' || s.shardid AND s.logicalrelid = '$table'::regclass
		  JOIN pg_dist_placement p USING (shardid)
		  JOIN pg_dist_local_group g USING (groupid)});
}

# What there is for each key in the shards of a table, on all nodes, as these read
# them themselves: a hash of numbers.  Fails if two shards have the same key.
sub numbers
{
	my ($nodes, $table, $query) = @_;
	my %numbers;
	foreach my $node (@$nodes)
	{
		foreach my $shard (shards($node, $table))
		{
			my $rows = $node->safe_psql('postgres', $see_shards . sprintf($query, $shard));
			foreach my $row (split /\n/, $rows)
			{
				my ($key, $number) = $row =~ /^(.*)\|(\d+)$/ or die "bad row $row";
				die "two shards of $table have $key" if exists $numbers{$key};
				$numbers{$key} = $number;
			}
		}
	}
	return \%numbers;
}

# Check that a counter by these columns, of this amount, has in all shards what their
# rows add up to.  Returns how much that is.
sub counter_is_exact
{
	my ($nodes, $slot, $key, $name, $amount, $sum) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$amount //= 'plays';
	$sum //= 'count(*)';
	my $logged = numbers($nodes, 'play_event', "SELECT $key, $sum FROM %s GROUP BY $key HAVING $sum <> 0");
	my $counted = numbers($nodes, $slot, "SELECT $key, sum($amount) FROM %s GROUP BY $key HAVING sum($amount) <> 0");
	is_deeply($counted, $logged, "$name: $slot");
	my $total = 0;
	$total += $_ foreach values %$logged;
	return $total;
}

# Check that the counters of all shards are their rows', and that there are as many.
sub shards_are_exact
{
	my ($nodes, $name, $rows) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @keys = ([ 'play_counter_slot', 'track_entry_key, release_id, bucket' ],
				[ 'play_daily_slot', 'track_entry_key, release_id, day' ]);
	my $total = 0;
	$total = counter_is_exact($nodes, @$_, $name) foreach @keys;
	is($total, $rows, "$name: rows") if defined $rows;
	is($nodes->[0]->safe_psql('postgres', q{SELECT count(*) FROM playevent.verify('play_event')}), '0', "$name: verify");
	return;
}

# A log in four shards, of 41 tracks, which are on every node.
sub make_log
{
	my ($coordinator) = @_;
	$coordinator->safe_psql('postgres', q{
		CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
		INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(0, 40) i;
		SELECT playevent.create_log('play', track => 'track');
		BEGIN;
		SELECT create_reference_table('track');
		SELECT playevent.distribute_log('play_event', 4);
		COMMIT}, extra_params => [ '-U', 'site' ]);
	return;
}

# Check that no node has anything in a shell.
sub shells_are_empty
{
	my ($nodes, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @sizes = map { split /\n/, $_->safe_psql('postgres', q{
		SELECT pg_relation_size(logicalrelid) FROM pg_dist_partition WHERE logicalrelid::text ~ '^play_'}) } @$nodes;
	return ok(@sizes > 0 && !grep({ $_ > 0 } @sizes), $name);
}

1;
