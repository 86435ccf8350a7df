# P13 and P7: the nodes of a cluster get a new version one after another, by the example
# in test/update/.  A node whose library is older than what the others ask of it is
# found by the first call there, and no play is counted wrongly.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Citus;
use Installation;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
my %tree = map { $_ => copy_tree("$dir/$_", !$ENV{BUILD_FLAGS}) } qw(old new);
my ($old, $new) = split ' ', qx{bash '$FindBin::RealBin/../update/next.sh' '$tree{new}'};
my $newer = 'playevent_count_' . $new =~ s/\./_/gr;
make_install($pg_config, $tree{new}, "$dir/unused");

# Each node has files of its own.
my @roots = map { "$dir/root_$_" } 0 .. 2;
my @installed = map {
	my $at = installation($pg_config, $tree{old}, $_);
	system_or_bail('cp', '-R', "$ENV{CITUS}/.", $_) if $ENV{CITUS};
	$at
} @roots;

delete local $ENV{TEMP_CONFIG};
my @nodes = new_cluster(2, @installed);
my ($coordinator, @workers) = @nodes;
make_log($coordinator);

# A track that the second worker has, and one that the first has
my ($there, $here) = map {
	$coordinator->safe_psql('postgres', sprintf q{
		SELECT min(entry_key) FROM track JOIN pg_dist_placement ON shardid = get_shard_id_for_distribution_column('play_event', entry_key)
		  JOIN pg_dist_node USING (groupid) WHERE nodeport = %d}, $_->port)
} @workers[ 1, 0 ];
my $rows = 0;

sub plays
{
	my (@keys) = @_;
	return 'INSERT INTO play_event (track_entry_key, bucket) VALUES ' . join ', ', map { "('$_', 'most')" } @keys;
}

# In each way
sub play_on
{
	my (@keys) = @_;
	$coordinator->safe_psql('postgres', plays(@keys));
	$coordinator->safe_psql('postgres', "SELECT record_play('$_', 'most')") foreach @keys;
	$coordinator->safe_psql('postgres', sprintf q{SELECT * FROM record_plays('{%s}', '{%s}')}, join(',', @keys), join(',', map { 'most' } @keys));
	$rows += 3 * @keys;
	return;
}

sub works
{
	my ($name, @keys) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	play_on(@keys);
	return shards_are_exact(\@nodes, $name, $rows);
}

sub fails
{
	my ($query, $error, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, undef, $said) = $coordinator->psql('postgres', $query);
	return like($said, $error, "P13: $name");
}

sub versions
{
	return join ' ', map { $_->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'playevent'}) } @nodes;
}

works('all nodes have the old version', $here, $there);

# One node after another gets the new files, and goes on with the old script.
my $update = "ALTER EXTENSION playevent UPDATE TO '$new'";
foreach my $n (0, 1)
{
	make_install($pg_config, $tree{new}, $roots[$n]);
	fails($update, qr/ERROR:  extension "playevent" has no update path from version "$old" to version "$new"/, 'no update while a node has the old files');
	is(versions(), "$old $old $old", 'P7: nothing was updated, on any node');
	works('some nodes have new files', $here, $there);
}

# Without a version, Citus lets each node go to what it has.
$coordinator->safe_psql('postgres', 'ALTER EXTENSION playevent UPDATE');
is(versions(), "$new $new $old", 'P7: a node stays behind that has the old files');
works('one node has the old version', $here, $there);

# Of the last one, not the library: it was preloaded, say.
make_install($pg_config, $tree{new}, $roots[2]);
my $libdir = $roots[2] . qx{'$pg_config' --pkglibdir} =~ s/\n//r;
my $suffix = -e "$libdir/playevent.dylib" ? 'dylib' : 'so';
sub put_library
{
	my ($which) = @_;
	unlink "$libdir/playevent.$suffix";
	system_or_bail('cp', "$tree{$which}/playevent.$suffix", "$libdir/playevent.$suffix");
	$workers[1]->restart;
	return;
}
put_library('old');
fails($update, qr/ERROR:  the library of playevent that this session has loaded is $old\.\d+, and $new is needed/, 'no update while a node has the old library');
is(versions(), "$new $new $old", 'P7: nothing was updated, on any node');
works('one node has the old library', $here, $there);

put_library('new');
$coordinator->safe_psql('postgres', $update);
is(versions(), "$new $new $new", 'P7: all nodes are updated together');
works('all nodes have the new version', $here, $there);

# The package of one node goes back to the old library; the database doesn't.
put_library('old');
my $missing = qr/ERROR:  .*could not find function "$newer" in file/;
fails(plays($there), $missing, 'a play of a track there');
fails(plays($here, $there), $missing, 'plays of tracks there and elsewhere');
fails("SELECT record_play('$there', 'most')", $missing, 'record_play');
fails("SELECT * FROM record_plays('{$here,$there}', '{most,most}')", $missing, 'a batch: that is no row\'s fault');
fails("COPY play_event (track_entry_key, bucket) FROM STDIN;\n$here\tmost\n$there\tmost\n\\.\n", $missing, 'COPY');
fails(q{SELECT * FROM playevent.verify('play_event')}, $missing, 'verify');
play_on($here);
put_library('new');
works('all of them, with the new library again', $here, $there);

$_->stop foreach @nodes;
done_testing();
