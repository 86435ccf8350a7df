# P3 and P4 with sketches of distinct listeners: of the traffic of 8 clients,
# with compact beside it, they are those of the log in the end; and of real plays
# they tell the number of listeners to 3 %.
#
# The plays are of two people.  So that there is something to estimate, their
# tokens are taken to be as short-lived as those of sites that don't want to
# know their listeners: a new one each day, and each time after half an hour's
# silence.
#
# PLAYEVENT_PLAYS names the file, as in p3_real_plays.pl.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use PlayEvent;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = PostgreSQL::Test::Cluster->new('listeners');
$node->init;
$node->append_conf('postgresql.conf', qq{
	max_wal_size = 1GB
	synchronous_commit = off
});
$node->start;
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hll'}) == 0)
{
	$node->stop;
	plan skip_all => 'extension hll is not available';
}
my $seed = random_seed();

# The keys whose sketch is not that of their rows, by hll's own aggregates and
# by verify: in one statement, so in one snapshot.
sub wrong_sketches
{
	my ($log) = @_;
	return qq{
		WITH logged AS (SELECT track_entry_key, release_id, day,
							   hll_add_agg(hll_hash_text(anon_id), 13, 5, 256, 1)::text
						FROM ${log}_event WHERE anon_id IS NOT NULL GROUP BY 1, 2, 3),
			 counted AS (SELECT track_entry_key, release_id, day, listeners::text
						 FROM ${log}_listeners)
		SELECT (SELECT count(*) FROM ((TABLE logged EXCEPT TABLE counted) UNION ALL
									  (TABLE counted EXCEPT TABLE logged)) d),
			   (SELECT count(*) FROM playevent.verify('${log}_event'))};
}

#
# Traffic
#

$node->safe_psql('postgres', q{
	SET client_min_messages = error;
	CREATE EXTENSION hll;
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'track-' || n, n % 10 FROM generate_series(0, 49) n;
	SELECT playevent.create_log('play', track => 'track');
	SELECT playevent.add_listener_sketch('play_event');
});
my $insert = q{INSERT INTO play_event (track_entry_key, bucket, anon_id) VALUES ('track-:k', 'most', 'listener ' || :n % 5000)};
my @options = traffic_options($dir,
	single => [ 8, "$insert;" ],
	hot => [ 8, $insert =~ s/-:k/-0/r . ';' ],
	repeatable => [ 2, "BEGIN ISOLATION LEVEL REPEATABLE READ; $insert; $insert; COMMIT;" ],
	serializable => [ 2, "BEGIN ISOLATION LEVEL SERIALIZABLE; $insert; COMMIT;" ],
	undone => [ 2, "BEGIN; $insert; SAVEPOINT s; $insert; ROLLBACK TO s; COMMIT;" ],
	batch => [ 2, q{INSERT INTO play_event (track_entry_key, bucket, anon_id)
		SELECT 'track-' || x % 50, 'most', 'listener ' || (:n + x * x) % 5000 FROM generate_series(1, 100) x;}
		=~ s/\s+/ /gr ],
	compact => [ 1, q{SELECT playevent.compact('play_event');} ]);
my $output = '';
ok(IPC::Run::run([ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', int(500 / slowdown()), "--random-seed=$seed", '--max-tries=1',
		@options, '-d', $node->connstr('postgres') ], '>&', \$output),
	'P4: all clients end well') or diag($output);
unlike($output, qr/ERROR|failed: [1-9]/, 'P4: nobody fails to serialise');
is($node->safe_psql('postgres', wrong_sketches('play')), '0|0', 'P3: the sketches are those of the log');
$node->safe_psql('postgres', q{SELECT playevent.compact('play_event')});
is($node->safe_psql('postgres', q{SELECT count(*) - count(DISTINCT (track_entry_key, day)) FROM play_listeners_slot}),
	0, 'compact leaves one');
is($node->safe_psql('postgres', wrong_sketches('play')), '0|0', 'P3: and they are the same');
is($node->safe_psql('postgres', q{SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = 'play_listeners_slot'}),
	0, 'no part of a slot is stored elsewhere');

$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', wrong_sketches('play')), '0|0', 'P6: and so after a crash');

#
# Real plays
#

SKIP:
{
	skip 'PLAYEVENT_PLAYS is not set', 1 unless $ENV{PLAYEVENT_PLAYS};

	real_plays("$dir/plays.csv");
	$node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		CREATE TABLE source (listener text, ended_at timestamptz, track_key text,
			release_id bigint, ms_played bigint, track_ms bigint);
		\\copy source FROM '$dir/plays.csv' (FORMAT csv, HEADER)
		CREATE TABLE song AS SELECT DISTINCT track_key::varchar AS entry_key, release_id FROM source;
		ALTER TABLE song ADD PRIMARY KEY (entry_key);
		CREATE VIEW heard AS
			SELECT *, listener || ' on ' || (ended_at AT TIME ZONE 'UTC')::date AS date_token,
				   listener || ' from ' || max(begins) OVER (PARTITION BY listener ORDER BY ended_at) AS session_token
			FROM (SELECT *, CASE WHEN ended_at - lag(ended_at) OVER (PARTITION BY listener ORDER BY ended_at)
									  <= '30 minutes' THEN NULL ELSE ended_at END AS begins
				  FROM source) s;
		SELECT playevent.create_log(log, track => 'song'), playevent.add_listener_sketch(log || '_event')
		FROM unnest('{listener,date,session}'::text[]) log;
		INSERT INTO listener_event (track_entry_key, bucket, anon_id, created_at) SELECT track_key, 'most', listener, ended_at FROM heard;
		INSERT INTO date_event (track_entry_key, bucket, anon_id, created_at) SELECT track_key, 'most', date_token, ended_at FROM heard;
		INSERT INTO session_event (track_entry_key, bucket, anon_id, created_at) SELECT track_key, 'most', session_token, ended_at FROM heard;
	});

	foreach my $log ('listener', 'date', 'session')
	{
		is($node->safe_psql('postgres', wrong_sketches($log)), '0|0', "P3: real plays, a token by $log: sketches are those of the log");

		# Exact numbers by query beside the estimates, for each of what is
		# grouped by.
		my %groups = (
			'over all' => '0',
			'by 30 days' => q{(day - '2020-01-01') / 30},
			'by day' => 'day',
			'by track' => 'track_entry_key',
			'by release' => 'release_id');
		foreach my $name (sort keys %groups)
		{
			my $group = $groups{$name};
			my ($n, $largest, $error) = split /\|/, $node->safe_psql('postgres', qq{
				SET enable_hashagg = off;
				WITH exact AS (SELECT $group AS g, count(DISTINCT anon_id) AS n FROM ${log}_event GROUP BY 1),
					 sketched AS (SELECT $group AS g, hll_cardinality(hll_union_agg(listeners)) AS n
								  FROM ${log}_listeners GROUP BY 1)
				SELECT count(*), max(e.n), round(100 * max(abs(s.n - e.n) / e.n)::numeric, 2)
				FROM exact e FULL JOIN sketched s USING (g)});
			note("a token by $log, $name: $n groups of up to $largest, largest error $error %");
			cmp_ok($error, '<=', 3, "a token by $log: distinct listeners $name to 3 %");
		}
	}
}

is(complaints($node, 0), '', 'the server has no complaint');
$node->stop;
done_testing();
