# P3, P4: the trigger that the reference shows for live numbers: a notification a
# second and track at most, in the same transaction as the play, however plays are
# recorded; nobody waits for another's, and none fails because of it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PlayEvent;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $reference = slurp_file("$FindBin::RealBin/../../sql/README.md");
my ($section) = $reference =~ /^## Live numbers\n(.*?)^## /ms;
my ($trigger) = grep { /tell_plays/ } $section =~ /^```sql\n(.*?)^```/gms;
ok(defined $trigger, 'the reference shows a trigger') or BAIL_OUT('there is nothing to test');

my $node = PostgreSQL::Test::Cluster->new('live');
$node->init;
$node->append_conf('postgresql.conf', 'max_connections = 50');
$node->start;
$node->safe_psql('postgres', qq{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || n, n FROM generate_series(1, 100) n;
	CREATE ROLE web LOGIN;
	SELECT playevent.create_log('play', track => 'track', ingest_role => 'web');
	$trigger});

# What a session is told of that listens while these statements run, by other
# sessions or its own.
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN plays');

sub told
{
	my $said = $listener->query('SELECT 1');
	return join ' ', sort $said =~ /Asynchronous notification "plays" with payload "(\w+)"/g;
}

# No test hangs on how long anything takes: tracks are made due, or not.
sub due { $node->safe_psql('postgres', "UPDATE play_told SET told_at = '-infinity'"); return; }
sub not_due { $node->safe_psql('postgres', "UPDATE play_told SET told_at = 'infinity'"); return; }

my $play = q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('%s', 'most')};

#
# Each way to record, as the web role
#
my %ways = (
	'an INSERT' => q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')},
	'record_play' => q{SELECT record_play('k1', 'most')},
	'record_play_heard' => q{SELECT record_play_heard('k1', 0.7)},
	'record_plays' => q{SELECT count(*) FROM record_plays('{k1,k3,k1}', '{most,most,partial}')},
	'COPY' => "COPY play_event (track_entry_key, bucket) FROM stdin;\nk1\tmost\nk3\tmost\n\\.\n");
foreach my $way (sort keys %ways)
{
	due();
	$node->safe_psql('postgres', $ways{$way}, extra_params => [ '-U', 'web' ]);
	is(told(), 'k1', "P3: $way is told of, once, and tracks that nobody asked for are not");
	not_due();
	$node->safe_psql('postgres', $ways{$way}, extra_params => [ '-U', 'web' ]);
	is(told(), '', "P4: $way so soon after is not");
}
due();
$node->safe_psql('postgres', q{INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || n, 'most' FROM generate_series(1, 100) n});
is(told(), 'k1 k2', 'P3: a statement that plays several');
due();
$node->safe_psql('postgres', "BEGIN; " . sprintf($play, 'k1') . '; ROLLBACK');
is(told(), '', 'P3: what is rolled back is not told of');
$node->safe_psql('postgres', sprintf($play, 'k1'));
is(told(), 'k1', 'P3: and the next is');

#
# Beside another transaction that is to tell
#
my $other = $node->background_psql('postgres');
foreach my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	due();
	$other->query_safe('BEGIN');
	$other->query_safe(sprintf $play, 'k1');
	my ($status, undef, $err) = $node->psql('postgres',
		"SET lock_timeout = '1ms'; BEGIN ISOLATION LEVEL $level; " . sprintf($play, 'k1') . '; ' . sprintf($play, 'k1') . '; COMMIT');
	is($status, 0, "P4: nobody waits for whoever is to tell, at $level") or diag($err);
	is(told(), '', 'P4: nor tells of it himself');
	$other->query_safe('COMMIT');
	is(told(), 'k1', 'P3: he does when he commits');

	# A snapshot of before another has told
	due();
	$other->query_safe("BEGIN ISOLATION LEVEL $level");
	$other->query_safe('SELECT count(*) FROM play_event');
	$node->safe_psql('postgres', sprintf $play, 'k1');
	is(told(), 'k1', 'P3: told meanwhile');
	not_due();
	$other->query_safe(sprintf $play, 'k1');
	$other->query_safe('COMMIT');
	is(told(), '', "P4: no error and not twice, at $level");
}
$other->quit;

#
# Many at once: so many as seconds have passed, and one, for each of two tracks
#
my $dir = PostgreSQL::Test::Utils::tempdir();
foreach my $level ('read committed', 'repeatable read', 'serializable')
{
	due();
	append_to_file("$dir/play.pgbench", "\\set n random(1, 2)\nINSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :n, 'most'), ('k' || 3 - :n, 'most');\n")
	  unless -e "$dir/play.pgbench";
	my $before = $node->safe_psql('postgres', 'SELECT count(*), clock_timestamp() FROM play_event');
	my ($rows, $started) = split /\|/, $before;
	local $ENV{PGOPTIONS} = "-c default_transaction_isolation=" . ($level =~ s/ /\\ /r);
	my $transactions = int(100 / slowdown()) + 1;
	command_ok([ 'pgbench', '-n', '-c', 16, '-j', 2, '-t', $transactions, '-f', "$dir/play.pgbench", $node->connstr('postgres') ],
		"P4: 16 clients at $level");
	delete local $ENV{PGOPTIONS};
	my $seconds = $node->safe_psql('postgres', "SELECT ceil(extract(epoch FROM clock_timestamp() - '$started'))");
	my @told = split / /, told();
	if ($level eq 'read committed')
	{
		cmp_ok(scalar @told, '>=', 2, 'P3: both are told of');
		cmp_ok(scalar(grep { $_ eq $told[0] } @told), '<=', $seconds + 1, 'P4: and no more often than once a second');
		cmp_ok(scalar(grep { $_ ne $told[0] } @told), '<=', $seconds + 1, 'P4: so with the other');
	}
	else
	{
		is("@told", '', 'P4: at this level nobody is told');
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM play_event') - $rows, 2 * 16 * $transactions, "P3: all are recorded, at $level");
}
exact($node, 'P3: and counted', 'play');
$listener->quit;
is(complaints($node, 0), '', 'nothing leaked');
$node->stop;
done_testing();
