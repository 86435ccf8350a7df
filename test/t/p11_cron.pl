# P11: a timer calls maintain: pg_cron, by the statement of sql/OPERATIONS.md, and cron, by
# its line of shell.  What they do is polled for.
#
# Debian's postgresql-…-cron; without it, the line of shell alone is tested.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use LogState;
use PlayEvent qw(complaints);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $document = slurp_file("$FindBin::RealBin/../../sql/OPERATIONS.md");
my $node = PostgreSQL::Test::Cluster->new('cron');
$node->init;
$node->start;
my $has_cron = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'});

# A month of each of two years, of which one is older than what is kept
my $parts = q{
	SELECT playevent.make_partition('play_event', to_char(since, '"play_event_p"YYYYMM'), quote_literal(since), quote_literal(since + interval '1 month'))
	  FROM unnest(ARRAY[date_trunc('month', now(), 'UTC') - interval '20 months', date_trunc('month', now(), 'UTC') - interval '5 months']) AS since;};
my $site = q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
	SELECT playevent.create_log('play', track => 'track', partition_by => 'month', retain => '13 months');
	} . $parts . q{
	INSERT INTO play_event (track_entry_key, bucket, created_at)
	SELECT 'k' || i % 7, 'most', since + i * interval '1 hour' FROM playevent.partitions('play_event'), generate_series(0, 9) i
	 WHERE until < now() + interval '1 month' OR since < now()};

# Nothing has been done yet; and all of it has
my $state = q{SELECT (SELECT sum(plays) FROM play_counter), (SELECT count(*) FROM play_event),
	(SELECT string_agg(action, ' ' ORDER BY entry) FROM play_manifest)};

sub is_maintained
{
	my ($db, $by) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($db, $state), '30|20|seal seal retire', "P11: $by: sealed and retired, with the same totals");
	is(not_exact($node, $db) . not_kept($node, $db), '', "P11: $by: all is as it was");
	return;
}

#
# cron runs what is behind the times of its line by sh; here by way of this server.
#
my ($line) = $document =~ /^```text\n\S+ \S+ \* \* \* (psql [^\n]*playevent\.maintain[^\n]*)\n```\n/m;
isnt($line, undef, 'OPERATIONS has a line for cron');
unlike($line, qr/%/, 'which has nothing that cron takes for an end of line');
$node->safe_psql('postgres', 'CREATE DATABASE site');
$node->safe_psql('site', $site);
is($node->safe_psql('site', $state), '30|30|', 'nothing is sealed');
{
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port);
	my ($out, $err) = run_command([ 'sh', '-c', $line ]);
	is($err, '', 'P11: cron: no error');
	like($out, qr/^partitions sealed\|2$/m, 'P11: cron: it says what was done');
	is_maintained('site', 'cron');
	($out, $err) = run_command([ 'sh', '-c', $line ]);
	is($err, '', 'P11: cron: nor the next time');
	is_maintained('site', 'cron, once more');

	# Somebody else changes partitions meanwhile, for as long as he likes.
	my $session = $node->background_psql('site');
	$session->query_safe('BEGIN; LOCK TABLE play_event IN SHARE UPDATE EXCLUSIVE MODE');
	($out, $err) = run_command([ 'sh', '-c', $line ]);
	is($err, '', 'P11: cron: a lock that it can not have is no error');
	like($out, qr/^partitions sealed: put off, for a lock could not be had\|0$/m, 'P11: cron: it says what it puts off');
	$session->query_safe('COMMIT');
	$session->quit;
}

#
# pg_cron
#
SKIP:
{
	skip 'extension pg_cron is not available', 1 unless $has_cron;

	$node->safe_psql('postgres', 'CREATE DATABASE cron');
	$node->append_conf('postgresql.conf', q{
		shared_preload_libraries = 'pg_cron'
		cron.database_name = 'cron'
		cron.use_background_workers = on
		max_worker_processes = 20});
	$node->restart;
	$node->safe_psql('cron', $site);
	$node->safe_psql('cron', 'CREATE EXTENSION pg_cron');

	my ($statement) = $document =~ /^(SELECT cron\.schedule\('[^']*', '[^']*', \$\$SELECT \* FROM playevent\.maintain\('[^']*'\)\$\$\);)$/m;
	isnt($statement, undef, 'OPERATIONS has a statement for pg_cron');

	# The next minute, rather than the time of the example
	$statement =~ s/(schedule\('[^']*', ')[^']*/$1* * * * */;
	$node->safe_psql('cron', $statement);
	ok($node->poll_query_until('cron', q{SELECT count(*) > 0 FROM play_manifest WHERE action = 'retire'}), 'P11: pg_cron: it runs');
	is_maintained('cron', 'pg_cron');
	ok($node->poll_query_until('cron', q{SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded'}), 'P11: pg_cron: it says so');
	is($node->safe_psql('cron', q{SELECT count(*) FROM cron.job_run_details WHERE return_message !~ '^(SELECT 5|5 rows|job startup.*)$'}), '0',
		'P11: pg_cron: without an error');
}

$node->stop;
is(complaints($node, 0), '', 'nothing bad in the server log');
done_testing();
