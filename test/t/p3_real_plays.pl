# P3, P2 and P12 with real plays: 57,281 of them, loaded once by COPY and once by 8
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

#
# P12: rules that void plays, as sql/README.md has them ("Plays that shouldn't count"),
# each beside a query of our own about the source.
#
my $again = q{SELECT id, at - lag(at) OVER (PARTITION BY anon_id, track_entry_key ORDER BY at, id) AS since
		FROM (SELECT *, coalesce(bulked_at, created_at) AS at FROM bulk_event WHERE anon_id IS NOT NULL) AS timed};
my %rule = (
	bots => [
		q{SELECT id FROM (SELECT id, count(*) OVER (PARTITION BY anon_id, date_trunc('hour', coalesce(bulked_at, created_at))) AS plays
			FROM bulk_event WHERE anon_id IS NOT NULL) AS p WHERE plays > 60},
		q{SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM source GROUP BY listener, date_trunc('hour', ended_at)) h WHERE n > 60} ],
	repeats => [
		"SELECT id FROM ($again) AS p WHERE since < interval '30 seconds'",

		# Times are to the minute.
		q{SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM source GROUP BY listener, track_key, ended_at) m} ],
	'once a day' => [
		q{SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY anon_id, track_entry_key, day ORDER BY coalesce(bulked_at, created_at), id) AS nth
			FROM bulk_event WHERE anon_id IS NOT NULL) AS p WHERE nth > 1},
		q{SELECT count(*) - count(DISTINCT (listener, track_key, (ended_at AT TIME ZONE 'UTC')::date)) FROM source} ],
	'own plays' => [
		q{SELECT p.id FROM bulk_event AS p JOIN artist_token AS a USING (release_id, anon_id)},
		q{SELECT count(*) FROM source JOIN artist_token a USING (release_id) WHERE a.anon_id = listener} ]);

$node->safe_psql('postgres', q{
	CREATE TABLE artist_token (release_id bigint, anon_id text, PRIMARY KEY (release_id, anon_id));
	INSERT INTO artist_token SELECT release_id, min(listener) FROM source GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 3;
	CREATE FUNCTION valid_differs() RETURNS bigint LANGUAGE sql AS $$
		WITH valid AS (SELECT track_entry_key, release_id, bucket, count(*) FROM bulk_valid GROUP BY 1, 2, 3)
		SELECT (SELECT count(*) FROM ((TABLE valid EXCEPT TABLE bulk_counter) UNION ALL (TABLE bulk_counter EXCEPT TABLE valid)) d) +
			   (SELECT count(*) FROM playevent.verify('bulk_event'))
	$$;} =~ s/CREATE FUNCTION/SELECT playevent.void('bulk_event', '{}', 'for the view'); CREATE FUNCTION/r);
my $voided = 0;
foreach my $rule (sort keys %rule)
{
	my ($ids, $expected) = @{ $rule{$rule} };
	my $count = $node->safe_psql('postgres', $expected);
	note "$rule: $count of $rows";
	$voided++ if $count > 0;
	is($node->safe_psql('postgres', "SELECT playevent.void('bulk_event', ARRAY($ids), '$rule v1')"), $count, "P12: $rule: so many are voided");
	is($node->safe_psql('postgres', "SELECT valid_differs(), (SELECT sum(bulks) FROM bulk_counter) = $rows - $count"), '0|t',
		"P12: $rule: counters are those of the plays that count");
	is($node->safe_psql('postgres', qq{
			SELECT sum(plays) FROM (
				SELECT p.day, v.reason, count(*) AS plays
				  FROM bulk_verdict AS v
				  JOIN bulk_event AS p ON p.id = v.event
				 WHERE NOT v.counts AND NOT EXISTS (SELECT FROM bulk_verdict AS later WHERE later.event = v.event AND later.id > v.id)
				 GROUP BY p.day, v.reason) AS report WHERE reason = '$rule v1' HAVING count(*) > 0}),
		$count > 0 ? $count : '', "P12: $rule: the report by day tells so");
	is($node->safe_psql('postgres', qq{
			SELECT playevent.reinstate('bulk_event', ARRAY(
				SELECT v.event
				  FROM bulk_verdict AS v
				  JOIN bulk_event AS p ON p.id = v.event
				 WHERE v.reason = '$rule v1' AND NOT v.counts
				   AND NOT EXISTS (SELECT FROM bulk_verdict AS later WHERE later.event = v.event AND later.id > v.id)), '$rule v1 withdrawn')}),
		$count, "P12: $rule: reinstated by its reason");
	is($node->safe_psql('postgres', "SELECT valid_differs(), (SELECT sum(bulks) FROM bulk_counter) = $rows"), '0|t',
		"P12: $rule: and all count again");
}
cmp_ok($voided, '>=', 2, 'P12: most rules find something');

$node->stop;
done_testing();
