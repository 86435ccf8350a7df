# P12: kill -9 in the middle of void, reinstate and forget_listener: either all of it
# is done or nothing, counters equal the rows that count, and nobody's token is left
# in a part of a call.
#
# PLAYEVENT_SEED repeats when kills come, if not what they meet.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use PlayEvent;
use Test::More;
use Time::HiRes qw(time usleep);

random_seed();
my $rounds = 8;
my $rows = int(40_000 / slowdown());

my $node = PostgreSQL::Test::Cluster->new('judged');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 60\nautovacuum_naptime = 1s\n");
$node->start;
$node->safe_psql('postgres', qq{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(0, 49) i;
	SELECT playevent.create_log('play', track => 'track');
	SELECT playevent.add_counter('play_event', 'by_listener', '{anon_id,bucket}');
	INSERT INTO play_event (track_entry_key, bucket, anon_id)
		SELECT 'k' || n % 50, (enum_range(NULL::play_bucket))[1 + n % 3], 'l' || n % 5 FROM generate_series(1, $rows) n;
	SELECT playevent.void('play_event', '{}', 'made ready')});

# How many keys differ from the rows that count, and whether the log is as it was made
my $wrong = q{SELECT (SELECT count(*) FROM playevent.verify('play_event')), (SELECT count(*) FROM playevent.log WHERE NOT intact),
	(SELECT count(*) FROM play_valid) - (SELECT sum(plays) FROM play_counter)};

# What was done to the log, in numbers: rows that don't count, and those of a listener
sub state_of
{
	my ($listener) = @_;
	return $node->safe_psql('postgres', qq{SELECT (SELECT count(*) FROM play_event) - (SELECT count(*) FROM play_valid),
		(SELECT count(*) FROM play_event WHERE anon_id = '$listener')});
}

# Processes that were killed may hold on to the server's shared memory until someone
# reaps them.
sub start_again
{
	foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $node->start(fail_ok => 1);
		$node->stop('fast', fail_ok => 1);
		usleep(100_000);
	}
	die 'the server does not start again';
}

my %calls = (
	void => q{SELECT playevent.void('play_event', ARRAY(SELECT id FROM play_event WHERE id % 3 = 0), 'bots')},
	reinstate => q{SELECT playevent.reinstate('play_event', ARRAY(SELECT id FROM play_event WHERE id % 3 = 0), 'no bots')},
	forget => q{SELECT playevent.forget_listener('play_event', 'LISTENER')});

# How long each takes, and what it does
my %takes;
foreach my $what (qw(void reinstate))
{
	my $began = time;
	$node->safe_psql('postgres', $calls{$what});
	$takes{$what} = time - $began;
}
$takes{forget} = $takes{void};
is($node->safe_psql('postgres', $wrong), '0|0|0', 'P12: counters are what rows that count say');

my %ends;
foreach my $round (1 .. $rounds)
{
	my $what = (qw(void reinstate forget))[$round % 3];
	my $listener = 'l' . $round % 5;
	my $call = $calls{$what} =~ s/LISTENER/$listener/r;
	my $before = state_of($listener);
	my $offset = -s $node->logfile;
	my %said = (out => '', err => '');
	my $session = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', $call ],
		'<', '/dev/null', '>', \$said{out}, '2>', \$said{err});

	usleep(rand($takes{$what}) * 1_000_000);
	$node->stop('immediate');
	$session->finish;
	start_again();
	my $after = state_of($listener);
	$ends{ $after eq $before ? 'nothing' : 'all' }++;

	# All of a call: a third of the rows, or every row of a listener, as it has few.
	if ($after ne $before)
	{
		my ($voided, $left) = split /\|/, $after;
		my $third = $node->safe_psql('postgres', 'SELECT count(*) FROM play_event WHERE id % 3 = 0');
		my $due = $what eq 'void' ? $voided == $third : $what eq 'reinstate' ? $voided == 0 : $left == 0;
		ok($due, "P12: round $round, $what: done as a whole");
	}
	is($node->safe_psql('postgres', $wrong), '0|0|0', "P12: round $round, $what: counters are what rows that count say");
	unlike(slurp_file($node->logfile, $offset), qr/PANIC|TRAP|memory leak|leaked|not closed/, "P6: round $round: the server says nothing of a fault");
	$node->safe_psql('postgres', $call);
	is($node->safe_psql('postgres', $wrong), '0|0|0', "P12: round $round, $what: called again, likewise");
}
note(join ', ', map { "$_: $ends{$_}" } sort keys %ends);
$node->stop;

done_testing();
