# P2, P3 and P4: REPACK (CONCURRENTLY), of PostgreSQL 19, beside traffic.  It
# writes a log, a partition or the track table anew while rows go on coming, and
# then puts the new file in the old one's place; older snapshots see nothing of
# what is in it.  No insert fails, none misses its release, and all are counted.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use PlayEvent;
use Test::More;

my $clients = 8;
my $transactions = int(400 / slowdown()) || 1;

my $node = PostgreSQL::Test::Cluster->new('repack');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', 'max_connections = 50');
$node->start;
if ($node->safe_psql('postgres', 'SHOW server_version_num') < 190000)
{
	$node->stop;
	plan skip_all => 'REPACK is of PostgreSQL 19';
}

# The release of a track is the number in its key.
$node->safe_psql('postgres', q{
	SET client_min_messages = error;
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint, heard bigint NOT NULL DEFAULT 0);
	INSERT INTO track SELECT 'k' || i, i FROM generate_series(0, 49) i;
	SELECT playevent.create_log('play', track => 'track', unknown_track => 'reject');
	CREATE TABLE part_event (id bigint GENERATED ALWAYS AS IDENTITY, track_entry_key text NOT NULL, release_id bigint,
		bucket play_bucket NOT NULL, part int, PRIMARY KEY (part, id)) PARTITION BY LIST (part);
	CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
	CREATE TABLE part_2 PARTITION OF part_event FOR VALUES IN (2);
	SELECT playevent.attach_log('part_event', track => 'track');
	CREATE FUNCTION e(bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$SELECT lpad($1::text, 32, '0')::uuid$$;
	CREATE VIEW without_release AS
		SELECT track_entry_key FROM play_event WHERE release_id IS DISTINCT FROM ltrim(track_entry_key, 'k')::bigint UNION ALL
		SELECT track_entry_key FROM part_event WHERE release_id IS DISTINCT FROM ltrim(track_entry_key, 'k')::bigint;
});

# Slots have no key, nor may they have one: so Postgres takes them only while
# nobody inserts.  Should it do otherwise one day, that is to be tested here.
my (undef, undef, $error) = $node->psql('postgres', 'REPACK (CONCURRENTLY) play_counter_slot');
like($error, qr/has no identity index/, 'P3: Postgres refuses to repack slots beside inserts');

#
# Traffic
#

my $dir = PostgreSQL::Test::Utils::tempdir();
my @options = traffic_options($dir,
	one => [ 4, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :k, 'most');} ],
	more => [ 2, q{
		BEGIN;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :k, 'most'), ('k' || :l, 'partial');
		INSERT INTO part_event (track_entry_key, bucket, part) VALUES ('k' || :l, 'most', 1), ('k' || :k, 'most', 2);
		COMMIT;} ],
	batch => [ 2, q{
		SELECT 1 / (count(*) FILTER (WHERE status = 'recorded' OR status = 'duplicate') = 2)::int
		FROM record_plays(ARRAY['k' || :k, 'k' || :l], ARRAY['most', 'most']::play_bucket[], ARRAY[e(:n), e(:n + 1)]);} ],
	straight => [ 1, q{INSERT INTO part_2 (track_entry_key, bucket, part) VALUES ('k' || :k, 'most', 2);} ]);
append_to_file("$dir/repack.sql", q{
	UPDATE track SET heard = heard + 1;
	REPACK (CONCURRENTLY) track;
	REPACK (CONCURRENTLY) play_event;
	REPACK (CONCURRENTLY) part_2;
	REPACK (CONCURRENTLY) track USING INDEX track_pkey;
	REPACK play_counter_slot;
	REPACK part_1;
});

foreach my $level ('read committed', 'repeatable read', 'serializable')
{
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . $level =~ s/ /\\ /gr;
	my ($out, $err) = ('', '');
	my $traffic = IPC::Run::start(
		[ 'pgbench', '--no-vacuum', '--client', $clients, '--jobs', 2, '--transactions', $transactions,
		  @options, $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	delete $ENV{PGOPTIONS};
	my ($rounds, $complaint) = (0, '');
	do
	{
		my ($status, undef, $said) = $node->psql('postgres', undef,
			extra_params => [ '-f', "$dir/repack.sql" ], on_error_stop => 1);
		$complaint .= $said;
		$rounds++;
		$traffic->pump_nb;
	} while ($traffic->pumpable);
	$traffic->finish;

	is($complaint, '', "REPACK reports no error ($level, $rounds rounds)");
	unlike($err, qr/error|aborted/i, "P4: no insert fails beside it ($level)");
	like($out, qr/failed transactions: 0 \(/, "P4: none at all ($level)");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM without_release'), 0, "P2: none misses its release ($level)");
	exact($node, "P3: all are counted ($level)", 'play', 'part');
}

#
# Snapshots that are older than the file
#

my $other = sprintf('psql -XAtq -h "%s" -p %s -d postgres -c ', $node->host, $node->port);
foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	is($node->safe_psql('postgres', qq{
			BEGIN ISOLATION LEVEL $level;
			SELECT 'old';
			\\! $other 'REPACK (CONCURRENTLY) track'
			\\! $other 'REPACK (CONCURRENTLY) play_event'
			INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most') RETURNING release_id;
			SELECT status FROM record_plays('{k2,k3}', '{most,most}', ARRAY[NULL, gen_random_uuid()]);
			COMMIT;
			SELECT count(*) FROM without_release;}),
		"old\n1\nrecorded\nrecorded\n0", "P2: an old snapshot finds the tracks ($level)");
	exact($node, "P3: and counts them ($level)", 'play', 'part');
}
is($node->safe_psql('postgres', q{SELECT bool_and(intact) FROM playevent.log}), 't', 'P1: logs are as guarded as before');
my (undef, undef, $refused) = $node->psql('postgres', 'DELETE FROM play_event');
like($refused, qr/table "play_event" is append-only/, 'P1: and refuse what they refused');

is(complaints($node, 0), '', 'P4: the server has nothing to complain of');
$node->stop;
done_testing();
