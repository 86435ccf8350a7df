# P13 and P3: a log that is distributed gets further counters, of rows, of sums and of
# listeners, while plays come on several nodes; they count what was there, and all
# that comes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Citus;
use PlayEvent qw(slowdown traffic_options);

my @nodes = new_cluster(2);
my ($coordinator, @workers) = @nodes;
make_log($coordinator);

sub as
{
	my ($role, $node, $query) = @_;
	return $node->safe_psql('postgres', $query, extra_params => [ '-U', $role ]);
}

# SQLSTATE and message of an error; or what it returned.
sub error_of
{
	my ($role, $query) = @_;
	my ($status, $out, $err) = $coordinator->psql('postgres', "\\set VERBOSITY verbose\n$query", extra_params => [ '-U', $role ]);
	return $status == 0 ? $out : $err =~ /(?:ERROR|FATAL):  (\w{5}: .*)/ ? $1 : $err;
}

as('site', $coordinator, q{
	ALTER TABLE play_event ADD COLUMN seconds int;
	INSERT INTO play_event (track_entry_key, bucket, anon_id, seconds)
	SELECT 'k' || i % 40, 'most', 'a' || i % 5, nullif(i % 9, 0) FROM generate_series(1, 2000) i});

# Plays of one track and of several, here and on a worker.
my @options = traffic_options(PostgreSQL::Test::Utils::tempdir(),
	one => [ 4, q{INSERT INTO play_event (track_entry_key, bucket, anon_id, seconds) VALUES ('k' || :k, 'most', 'a' || :n % 5, :n % 7);} ],
	several => [ 2, q{INSERT INTO play_event (track_entry_key, bucket, seconds) VALUES ('k' || :k, 'most', 1), ('k' || :l, 'partial', 2);} ],
	batch => [ 1, q{SELECT count(*) FROM record_plays(ARRAY['k' || :k, 'k' || :l, 'k' || :k], '{most,partial,complete}');} ]);
my @clients;
foreach my $node ($coordinator, $workers[0])
{
	my %client = (out => '');
	$client{run} = IPC::Run::start([ 'pgbench', '-n', '-U', 'site', '-h', $node->host, '-p', $node->port,
		'-c', 3, '-t', int 200 / slowdown() + 1, @options, 'postgres' ], '<', \undef, '>&', \$client{out});
	push @clients, \%client;
}
is(as('site', $coordinator, q{SELECT playevent.add_counter('play_event', 'by_anon', '{track_entry_key,anon_id}')}), 'by_anon',
	'P13: a counter, beside plays');
is(as('site', $coordinator, q{SELECT playevent.add_counter('play_event', 'heard', '{track_entry_key}', 'seconds')}), 'heard', 'P13: and one of sums');
foreach my $client (@clients)
{
	$client->{run}->finish;
	unlike($client->{out}, qr/ERROR|FATAL/, 'P4: plays wait, and none fails');
}
shards_are_exact(\@nodes, 'P3: all of it');
cmp_ok(counter_is_exact(\@nodes, 'by_anon_slot', 'track_entry_key, anon_id', 'P3: a counter that was added'), '>', 2000, 'P3: with plays that came later');
counter_is_exact(\@nodes, 'heard_slot', 'track_entry_key', 'P3: one of sums', 'seconds', 'coalesce(sum(seconds), 0)');
is(as('site', $workers[1], q{SELECT sum(plays) FROM by_anon}), as('site', $coordinator, q{SELECT count(*) FROM play_event}), 'P13: its view is on each node');
is(as('site', $coordinator, q{SELECT counter, columns, amount_column FROM playevent.counter WHERE counter IN ('by_anon', 'heard') ORDER BY 1;
	SELECT intact FROM playevent.log}), "by_anon|{track_entry_key,anon_id}|\nheard|{track_entry_key}|seconds\nt", 'P10: it is a counter like others');
shells_are_empty(\@nodes, 'P13: nothing is in a shell');

# What fails, leaves nothing.
like(error_of('web', q{SELECT playevent.add_counter('play_event', 'other', '{track_entry_key}')}), qr/^42501/, 'P8: for the owner alone');
like(error_of('site', q{SELECT playevent.add_counter('play_event', 'other', '{bucket,anon_id}')}), qr/^55000: log "play_event" is distributed by Citus$/,
	'P13: not without the track');
like(error_of('site', q{SELECT playevent.add_counter('play_event', 'by_anon', '{track_entry_key}')}), qr/^42P07/, 'P9: a name that is taken');
like(error_of('site', q{SELECT playevent.add_counter('play_event', 'other', '{track_entry_key,nothing}')}), qr/^42703/, 'P9: no such column');
as('site', $coordinator, q{ALTER TABLE play_event ADD COLUMN big bigint;
	INSERT INTO play_event (track_entry_key, bucket, big) VALUES ('k1', 'most', 9223372036854775807), ('k1', 'most', 1)});
like(error_of('site', q{SELECT playevent.add_counter('play_event', 'other', '{track_entry_key}', 'big')}), qr/^22003/, 'P9: sums that are out of range on a node');
as('site', $coordinator, q{BEGIN; SELECT playevent.add_counter('play_event', 'other', '{track_entry_key}'); ROLLBACK});
is(join(' ', map { $_->safe_psql('postgres', q{SET citus.show_shards_for_app_name_prefixes = '*';
	SELECT count(*) FROM pg_class WHERE relname ~ '^other'; SELECT count(*) FROM pg_trigger WHERE tgname ~ 'other'}) =~ s/\n/ /r } @nodes),
	'0 0 0 0 0 0', 'P13: of those, nothing is left on any node');

# Sketches, where there are any.
SKIP:
{
	skip 'extension hll is not available', 3
	  if $coordinator->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hll'}) == 0;
	$coordinator->safe_psql('postgres', 'CREATE EXTENSION hll');
	is(as('site', $coordinator, q{SELECT playevent.add_listener_sketch('play_event')}), 'play_listeners', 'P13: sketches of listeners');
	as('site', $coordinator, q{INSERT INTO play_event (track_entry_key, bucket, anon_id) SELECT 'k' || i % 40, 'most', 'b' || i FROM generate_series(1, 400) i});
	is(as('site', $coordinator, q{SELECT count(*) FROM (
			SELECT track_entry_key, count(DISTINCT anon_id) AS n FROM play_event WHERE anon_id IS NOT NULL GROUP BY 1) l
		FULL JOIN (SELECT track_entry_key, round(hll_cardinality(hll_union_agg(listeners)))::bigint AS n FROM play_listeners GROUP BY 1) s USING (track_entry_key)
		WHERE l.n IS DISTINCT FROM s.n}), '0', 'P3: who was there, and who came');
	is(as('site', $coordinator, q{SELECT count(*) FROM playevent.verify('play_event')}), '0', 'P3: as verify has it');
}

# They go along with shards, are set right, and go.
my ($shard, $host, $port, $other_host, $other_port) = split /\|/, $coordinator->safe_psql('postgres', sprintf q{
	SELECT s.shardid, n.nodename, n.nodeport, other.nodename, other.nodeport
	  FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n USING (groupid)
	  JOIN pg_dist_node other ON other.nodeport IN (%d, %d) AND other.nodeid <> n.nodeid
	 WHERE s.logicalrelid = 'play_event'::regclass AND n.nodeport IN (%1$d, %2$d) ORDER BY 1 LIMIT 1}, map { $_->port } @workers);
$coordinator->safe_psql('postgres', "SELECT citus_move_shard_placement($shard, '$host', $port, '$other_host', $other_port, 'force_logical')");
as('site', $coordinator, q{INSERT INTO play_event (track_entry_key, bucket, anon_id, seconds) SELECT 'k' || i % 40, 'most', 'a1', 3 FROM generate_series(1, 200) i});
counter_is_exact(\@nodes, 'by_anon_slot', 'track_entry_key, anon_id', 'P3: after a shard has moved');
counter_is_exact(\@nodes, 'heard_slot', 'track_entry_key', 'P3: after a shard has moved', 'seconds', 'coalesce(sum(seconds), 0)');
is(as('site', $coordinator, q{SELECT playevent.rebuild('play_event')}), '0', 'P3: rebuild finds nothing wrong');
as('site', $coordinator, q{SELECT playevent.drop_counter('play_event', 'by_anon'); SELECT playevent.add_counter('play_event', 'by_anon', '{track_entry_key,anon_id,bucket}')});
counter_is_exact(\@nodes, 'by_anon_slot', 'track_entry_key, anon_id, bucket', 'P3: made anew');
is(as('site', $coordinator, q{SELECT count(*) FROM playevent.verify('play_event')}), '0', 'P3: and all is exact');

$_->stop foreach @nodes;
done_testing();
