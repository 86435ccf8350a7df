# P3 and P2 with real plays: 57,281 of them, loaded once by COPY and once by 8
# clients, one row a transaction.  Counters equal a GROUP BY of the source.
#
# PLAYEVENT_PLAYS names the file, gzipped csv with the columns of table source.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use PlayEvent;
use Test::More;

plan skip_all => 'PLAYEVENT_PLAYS is not set' unless $ENV{PLAYEVENT_PLAYS};

my $clients = 8;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $plays = "$dir/plays.csv";
real_plays($plays);

my $node = PostgreSQL::Test::Cluster->new('real_plays');
$node->init;
$node->append_conf('postgresql.conf', 'max_wal_size = 1GB');
$node->start;

# Two logs of one catalogue.  The source is counted without playevent.
$node->safe_psql('postgres', qq{
	CREATE EXTENSION playevent;
	CREATE TABLE source (listener text, ended_at timestamptz, track_key text,
		release_id bigint, ms_played bigint, track_ms bigint);
	\\copy source FROM '$plays' (FORMAT csv, HEADER)
	ALTER TABLE source ADD id bigint GENERATED ALWAYS AS IDENTITY;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint NOT NULL);
	INSERT INTO track SELECT DISTINCT track_key, release_id FROM source;
	CREATE VIEW play AS
		SELECT id, track_key, release_id, listener, ended_at,
			   CASE WHEN ms_played >= 0.95 * track_ms THEN 'complete'
					WHEN ms_played >= 0.5 * track_ms THEN 'most'
					ELSE 'partial' END AS bucket
		FROM source;
	SELECT playevent.create_log('bulk', track => 'track');
	SELECT playevent.create_log('single', track => 'track');
});
my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM source');
cmp_ok($rows, '>', 0, 'P3: there are plays');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT track_key) FROM source'),
	$node->safe_psql('postgres', 'SELECT count(*) FROM track'),
	'P2: every track of the source has one release');

# By COPY.
$node->safe_psql('postgres', qq{
	\\copy (SELECT track_key, bucket, listener, ended_at FROM play ORDER BY id) TO '$dir/bulk.csv' (FORMAT csv)
	\\copy bulk_event (track_entry_key, bucket, anon_id, created_at) FROM '$dir/bulk.csv' (FORMAT csv)
});

# One row at a time; neighbours in time go to different clients.
my @sessions;
foreach my $client (0 .. $clients - 1)
{
	$node->safe_psql('postgres', qq{
		\\copy (SELECT format('INSERT INTO single_event (track_entry_key, bucket, anon_id, created_at) VALUES (%L, %L, %L, %L);', track_key, bucket, listener, ended_at) FROM play WHERE id % $clients = $client ORDER BY id) TO '$dir/client$client.sql'
	});
}
foreach my $client (0 .. $clients - 1)
{
	push @sessions, IPC::Run::start(
		[ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		  '-f', "$dir/client$client.sql" ],
		'>', "$dir/out$client", '2>', "$dir/err$client");
}
is((grep { $_->finish } @sessions), $clients, "P4: all $clients clients end well");
is(join('', map { slurp_file("$dir/err$_") } 0 .. $clients - 1),
	'', 'P4: no client reports an error');

foreach my $log ('bulk', 'single')
{
	my $view = $log . '_counter';

	is($node->safe_psql('postgres', "SELECT count(*) FROM ${log}_event"),
		$rows, "P3: $log: every play is logged");
	is($node->safe_psql('postgres', "SELECT count(*) FROM playevent.verify('${log}_event')"),
		0, "P3: $log: verify finds nothing");
	is($node->safe_psql('postgres', qq{
			WITH expected AS (SELECT track_key::varchar, release_id, bucket, count(*)
							  FROM play GROUP BY 1, 2, 3),
				 counted AS (SELECT track_entry_key, release_id, bucket::text, ${log}s FROM $view)
			SELECT (SELECT count(*) > 0 FROM counted),
				   (SELECT count(*) FROM ((TABLE expected EXCEPT TABLE counted) UNION ALL
										  (TABLE counted EXCEPT TABLE expected)) d)}),
		't|0', "P3: $log: counters equal a GROUP BY of the source");
	is($node->safe_psql('postgres', qq{
			WITH expected AS (SELECT release_id, count(*) FROM source GROUP BY 1),
				 counted AS (SELECT release_id, ${log}s FROM ${log}_by_release)
			SELECT count(*) FROM ((TABLE expected EXCEPT TABLE counted) UNION ALL
								  (TABLE counted EXCEPT TABLE expected)) d}),
		0, "P2: $log: releases are the source's");
	note("$log: " . $node->safe_psql('postgres',
		"SELECT count(*) || ' slots of ' || (SELECT count(*) FROM $view) || ' keys' FROM ${log}_counter_slot"));
}

$node->stop;
done_testing();
