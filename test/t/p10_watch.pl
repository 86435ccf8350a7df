# P10, P8, P7 and P6: sql/watch/ is what it says: Debian's postgres_exporter tells by its queries
# what playevent.health does, with the rights of pg_monitor alone; the dashboard and the
# alerts ask for nothing else. Dumps have when a log was maintained, and standbys tell of
# logs too.
#
# Debian's prometheus-postgres-exporter, and promtool of prometheus for the syntax of the
# alerts; without the former, the dashboard and the alerts are compared with the queries.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

use PlayEvent qw(complaints);

my $watch = "$FindBin::RealBin/../../sql/watch";

# The path of a program, if it is there
sub program
{
	my ($name) = @_;

	return (grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/bin')[0];
}
my $exporter = program('prometheus-postgres-exporter');
my $promtool = program('promtool');

my $node = PostgreSQL::Test::Cluster->new('watch');
$node->init(allows_streaming => 1);
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(0, 9) i;
	SELECT playevent.create_log('play', track => 'track');
	CREATE SCHEMA radio;
	SET search_path = radio, public;
	SELECT playevent.create_log('listen', track => 'public.track', partition_by => 'month');
	INSERT INTO public.play_event (track_entry_key, bucket) SELECT 'k' || i % 10, 'most' FROM generate_series(1, 100) i;
	INSERT INTO listen_event (track_entry_key, bucket, event_id) SELECT 'k' || i % 10, 'most', gen_random_uuid() FROM generate_series(1, 50) i;
	SELECT playevent.void('public.play_event', '{1,2,3}', 'a test');
	CREATE ROLE monitor LOGIN;
	GRANT pg_monitor TO monitor;
	ALTER ROLE monitor SET statement_timeout = '10s'});
$node->safe_psql('postgres', q{SELECT playevent.maintain('radio.listen_event')});

# What the queries tell, by name and, if the exporter is there, as it tells it

sub defined_by_queries
{
	my ($space, %known);

	foreach my $line (split(/\n/, slurp_file("$watch/postgres_exporter.yaml")))
	{
		$space = $1 if $line =~ /^(\w+):$/;
		$known{"${space}_$1"} = 1 if $line =~ /^    - (\w+):$/;
	}
	return %known;
}
my %known = defined_by_queries();

my %metrics;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my ($process, $said);

sub scrape
{
	my $response;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$response = HTTP::Tiny->new->get("http://127.0.0.1:$port/metrics");
		last if $response->{success};
		$process->pump_nb;
		usleep(100_000);
	}
	die "no answer: $response->{content}\n$said" unless $response->{success};
	%metrics = ();
	foreach my $line (split(/\n/, $response->{content}))
	{
		next unless $line =~ /^(\w+)(?:\{(.*)\})? (\S+)$/;
		my ($name, $labels, $value) = ($1, $2 // '', $3);
		my ($event) = $labels =~ /\bevent="([^"]*)"/;
		$metrics{$name}{ $event // '' } = $value;
	}
	return;
}

SKIP:
{
	skip 'prometheus-postgres-exporter is not installed: the queries are not run', 1 unless $exporter;

	# Nobody else is to read it, so it listens here alone; what it needs of the environment is where the server is.
	local $ENV{DATA_SOURCE_NAME} = sprintf('user=monitor host=%s port=%s dbname=postgres sslmode=disable', $node->host, $node->port);
	$process = IPC::Run::start([ $exporter, "--web.listen-address=127.0.0.1:$port", "--extend.query-path=$watch/postgres_exporter.yaml",
		'--disable-default-metrics', '--disable-settings-metrics' ], '<', \undef, '>&', \$said);
	scrape();
	is($metrics{pg_exporter_last_scrape_error}{''}, 0, 'P10: the exporter meets no error');
	is_deeply([ grep { !exists $metrics{$_} && $_ !~ /_(datname|event|part)$/ } sort keys %known ], [], 'P10: it tells all that the queries name');
	is_deeply([ sort keys %{ $metrics{playevent_log_intact} } ], [ 'public.play_event', 'radio.listen_event' ], 'P10: of each log');

	# The same as playevent.health; of the moments, to the second
	my %column = (intact => 'intact::int', partitioned_until_seconds => 'extract(epoch FROM partitioned_until)', maintained_seconds => 'extract(epoch FROM maintained_at)',
		last_verdict_seconds => 'extract(epoch FROM last_verdict_at)', sealed_until_seconds => 'extract(epoch FROM sealed_until)',
		slots_vacuumed_seconds => 'extract(epoch FROM slots_vacuumed_at)');
	foreach my $metric (map { /^playevent_log_(\w+)$/ } sort keys %known)
	{
		next if $metric =~ /^(datname|event)$/;
		my $told = join ' ', map { $_ eq 'NaN' ? $_ : int($_) } map { $metrics{"playevent_log_$metric"}{$_} } 'public.play_event', 'radio.listen_event';
		is($told, $node->safe_psql('postgres', sprintf(q{SELECT string_agg(coalesce(trunc((%s)::numeric)::text, 'NaN'), ' ' ORDER BY event::text COLLATE "C")
			FROM playevent.health}, $column{$metric} // $metric)), "P10: $metric");
	}
	is(join(' ', map { $metrics{playevent_log_most_slots}{$_} > 0 } 'public.play_event', 'radio.listen_event'), '1 1', 'P8: pg_monitor is told of slots');
	is($metrics{playevent_log_verdicts_of_a_day}{'public.play_event'}, 3, 'P8: and of verdicts');
	is($metrics{playevent_rows_inserted_total}{'public.play_event'}, 100, 'P10: rows inserted');

	# What is wrong with one
	$node->safe_psql('postgres', 'ALTER TABLE play_event DISABLE TRIGGER ALL');
	my $locker = $node->background_psql('postgres');
	$locker->query_safe('BEGIN; LOCK TABLE radio.listen_event, radio.listen_counter_slot, radio.listen_daily_slot IN ACCESS EXCLUSIVE MODE');
	scrape();
	is($metrics{pg_exporter_last_scrape_error}{''}, 0, 'P10: a log that is locked is no error');
	is($metrics{playevent_log_intact}{'public.play_event'}, 0, 'P10: a log that is not intact is told of');
	is($metrics{playevent_log_intact}{'radio.listen_event'}, 'NaN', 'P10: of one that is locked it is not known');
	is($metrics{playevent_log_most_slots}{'radio.listen_event'}, 'NaN', 'P10: nor its slots');
	is($metrics{playevent_log_log_bytes}{'radio.listen_event'}, $node->safe_psql('postgres', q{SELECT log_bytes FROM playevent.health WHERE event = 'radio.listen_event'::regclass}),
		'P10: but its size');
	$locker->query_safe('COMMIT');
	$locker->quit;
	$node->safe_psql('postgres', q{SELECT playevent.attach_log('play_event', track => 'track')});
	scrape();
	is(join(' ', map { $metrics{playevent_log_intact}{$_} } 'public.play_event', 'radio.listen_event'), '1 1', 'P10: and when it is over');

	$process->kill_kill;
	unlike($said, qr/error.*playevent_|panic/i, 'P10: nor does it complain of them');
}

# The dashboard and the alerts ask for what is told.

my $dashboard = JSON::PP->new->decode(slurp_file("$watch/grafana.json"));
my %asked;

sub ask
{
	my ($where, $expression) = @_;
	my @names = $expression =~ /\b(playevent_\w+)\b/g;

	ok(@names > 0, "P10: $where asks for something");
	is_deeply([ grep { !exists $known{$_} } @names ], [], "P10: $where asks for what is told");
	@asked{@names} = ();
	return;
}
foreach my $panel (@{ $dashboard->{panels} })
{
	ask("panel \"$panel->{title}\"", $_->{expr}) foreach @{ $panel->{targets} };
	is($panel->{datasource}{uid}, '${datasource}', "P10: panel \"$panel->{title}\" takes any data source");
	isnt($panel->{description}, '', "P10: panel \"$panel->{title}\" says what it means");
}
ask("variable \"$_->{name}\"", $_->{query}{query}) foreach grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} };
is(scalar(keys %{ { map { $_->{id} => 1 } @{ $dashboard->{panels} } } }), scalar(@{ $dashboard->{panels} }), 'P10: each panel has an id of its own');
my %place;
foreach my $at (map { $_->{gridPos} } @{ $dashboard->{panels} })
{
	foreach my $x ($at->{x} .. $at->{x} + $at->{w} - 1)
	{
		$place{"$x $_"}++ foreach $at->{y} .. $at->{y} + $at->{h} - 1;
	}
}
is(scalar(grep { $_ > 1 } values %place), 0, 'P10: no panel is on another');
is(scalar(grep { (split / /)[0] > 23 } keys %place), 0, 'P10: nor off the page');
is_deeply([ grep { !exists $asked{$_} && !/_(datname|event|part|slots_seen|slots_vacuumed_seconds)$/ } sort keys %known ], [], 'P10: the dashboard shows what is told');

my $alerts = slurp_file("$watch/alerts.yaml");
ask("an alert", $_) foreach $alerts =~ /^        expr: (.*)$/mg;
SKIP:
{
	skip 'promtool is not installed: the alerts\' syntax is not looked at', 1 unless $promtool;
	my $checked = system($promtool, 'check', 'rules', "$watch/alerts.yaml");
	is($checked, 0, 'P10: Prometheus takes the alerts');
}

# A standby, which has no statistics of its own

my $of_data = q{SELECT event, intact, log_bytes, slot_bytes, most_slots, worst_keys, slots_seen, partitions, partitioned_until, maintained_at, verdicts_of_a_day, last_verdict_at
	FROM playevent.health ORDER BY event::text};
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', $of_data), $node->safe_psql('postgres', $of_data), 'P6: a standby tells the same');
$standby->stop;

# Dumps

my $health = q{SELECT event, maintained_at, maintain_undone FROM playevent.health ORDER BY event::text};
my $before = $node->safe_psql('postgres', $health);
like($before, qr/^radio\.listen_event\|20.*\|0$/m, 'P7: a log was maintained');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'P7: dumped');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('copy'), $dump ], 'P7: restored');
is($node->safe_psql('copy', $health), $before, 'P7: and it is known when');

$node->stop;
is(complaints($node, 0), '', 'nothing bad in the server log');
done_testing();
