# P2, P3 and P4: a preloaded library, whose backends tell each other where tracks
# and slots are (row_hint.c).  What one has searched, others find; and whatever
# they are told, of another database whose tables have the same OIDs, of tables
# that were rewritten since, of cells that are torn, no release is a wrong one and
# no count is lost.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use PlayEvent;
use Test::More;

my $clients = 4;
my $transactions = int(300 / slowdown()) || 1;

my $node = PostgreSQL::Test::Cluster->new('shared_hints');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'playevent'\nmax_connections = 50");
$node->start;

$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint, note bigint);
	INSERT INTO track SELECT 'k' || i, i FROM generate_series(0, 49) i;
	SELECT playevent.create_log('play', track => 'track', unknown_track => 'reject');
});

# A copy has the same OIDs.  Its tracks lie elsewhere, and have other releases.
$node->safe_psql('postgres', 'CREATE DATABASE other TEMPLATE postgres');
$node->safe_psql('other', q{
	TRUNCATE track;
	INSERT INTO track SELECT 'k' || i, i + 1000 FROM generate_series(49, 0, -1) i;
});

# What a new connection finds without a search: how many scans of the indexes of
# tracks and slots a play takes.
sub scans
{
	my ($database, $track) = @_;
	return $node->safe_psql($database, qq{
		BEGIN;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('$track', 'most');
		SELECT sum(pg_stat_get_xact_numscans(indexrelid)) FROM pg_index
		 WHERE indrelid IN ('track'::regclass, 'play_counter_slot'::regclass, 'play_daily_slot'::regclass);
		COMMIT;});
}

is(scans('postgres', 'k1'), 3, 'P3: a track that nobody has met is searched, and so are its slots');
is(scans('postgres', 'k1'), 0, 'P3: no other backend needs to');
is(scans('other', 'k1'), 3, 'P3: what is known in one database is not in another');
is(scans('other', 'k1'), 0, 'P3: until it is met there');
$node->safe_psql('postgres', 'VACUUM FULL play_counter_slot; CLUSTER track USING track_pkey');
cmp_ok(scans('postgres', 'k1'), '<=', 3, 'P3: where tables were rewritten, at most a search each');
is(scans('postgres', 'k1'), 0, 'P3: and none from then on');

sub all_right
{
	my ($when) = @_;
	foreach my $database ('postgres', 'other')
	{
		my $first = $database eq 'other' ? 1000 : 0;
		is($node->safe_psql($database, differences('play')), '0|0', "P3: all are counted, $when ($database)");
		is($node->safe_psql($database, qq{
				SELECT count(*) FROM play_event WHERE release_id IS DISTINCT FROM ltrim(track_entry_key, 'k')::bigint + $first}),
			0, "P2: with their releases, $when ($database)");
	}
	return;
}
all_right('one by one');

#
# Traffic of connections that know nothing, beside all that makes hints wrong
#

my $dir = PostgreSQL::Test::Utils::tempdir();
my @options = traffic_options($dir,
	one => [ 6, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :k, 'most');} ],
	more => [ 2, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :k, 'most'), ('k' || :l, 'partial');} ],
	batch => [ 1, q{SELECT FROM record_plays(ARRAY['k' || :k, 'k' || :l], ARRAY['most', 'most']::play_bucket[]);} ],
	undone => [ 1, q{
		BEGIN;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :l, 'complete');
		ROLLBACK;} ]);

# Tracks move within their table, and come to lie where others were.
append_to_file("$dir/upkeep.sql", q{
	UPDATE track SET note = 0 WHERE ltrim(entry_key, 'k')::int % 2 = 0;
	VACUUM track;
	BEGIN;
	CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM track ORDER BY random();
	DELETE FROM track;
	INSERT INTO track TABLE kept;
	COMMIT;
	VACUUM FULL track;
	SELECT playevent.compact('play_event');
	VACUUM play_counter_slot;
	VACUUM FULL play_daily_slot;
});

# upkeep_beside(WHEN): traffic in both databases, and upkeep until it ends.
sub upkeep_beside
{
	my ($when) = @_;
	my %said;
	my @traffic = map {
		my $said = $said{$_} = { out => '', err => '' };
		IPC::Run::start(
			[ 'pgbench', '--no-vacuum', '--connect', '--client', $clients, '--jobs', 1, '--transactions', $transactions,
			  @options, $node->connstr($_) ],
			'>', \$said->{out}, '2>', \$said->{err});
	} 'postgres', 'other';
	my $complaint = '';
	do
	{
		foreach my $database ('postgres', 'other')
		{
			my (undef, undef, $said) =
			  $node->psql($database, undef, extra_params => [ '-f', "$dir/upkeep.sql" ], on_error_stop => 1);
			$complaint .= $said;
		}
		$_->pump_nb foreach grep { $_->pumpable } @traffic;
	} while (grep { $_->pumpable } @traffic);
	$_->finish foreach @traffic;

	is($complaint, '', "P4: no upkeep fails, $when");
	foreach my $database ('postgres', 'other')
	{
		unlike($said{$database}{err}, qr/error|aborted/i, "P4: no insert fails, $when ($database)");
		like($said{$database}{out}, qr/failed transactions: 0 \(/, "P4: none at all, $when ($database)");
	}
	all_right($when);
	return;
}

upkeep_beside('with room for all hints');

# The smallest: a cell is lost as soon as it is written, or not used at all.
foreach my $size ('1kB', '0')
{
	$node->append_conf('postgresql.conf', "playevent.shared_hints = $size");
	$node->restart;
	is($node->safe_psql('postgres', 'SHOW playevent.shared_hints'), $size, "P10: the setting says $size");
	upkeep_beside("with $size of them");
}

is(complaints($node, 0), '', 'P4: the server has nothing to complain of');
$node->stop;
done_testing();
