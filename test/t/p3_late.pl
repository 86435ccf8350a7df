# P3 and P5: plays that another extension records when a transaction is about to
# commit.  Before playevent has written what is pending, they are counted;
# afterwards it is too late, which must not go by in silence.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PlayEvent;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The other extension
my $late = module_from('late.c');

my $node = PostgreSQL::Test::Cluster->new('late');
$node->init;
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 2');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
	INSERT INTO track VALUES ('k1', 1), ('k2', 2);
	CREATE TABLE play_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL)
		PARTITION BY LIST (bucket);
	CREATE TABLE play_most PARTITION OF play_event FOR VALUES IN ('most');
	SELECT playevent.attach_log('play_event', track => 'track')});

# A session that plays k1 and lets the other extension play k2: loaded before
# playevent, it is called after it.
sub play
{
	my ($first, $second, $statements) = @_;
	my ($status, undef, $err) = $node->psql('postgres', join("\n", map({ "LOAD '$_';" } $first, $second), $statements));
	is($status, 0, 'no error');
	return $err;
}

sub uncounted
{
	return $node->safe_psql('postgres',
		q{SELECT string_agg(track_entry_key || ' ' || logged - counted, ',') FROM playevent.verify('play_event')});
}

my $k2 = q{'INSERT INTO play_most VALUES (''k2'', NULL, ''most'')'};
my %ways = (
	commit => "BEGIN; SET late.at_commit = $k2; INSERT INTO play_most VALUES ('k1', NULL, 'most'); COMMIT;",
	prepare => "BEGIN; SET late.at_commit = $k2; INSERT INTO play_most VALUES ('k1', NULL, 'most');
		PREPARE TRANSACTION 'late'; COMMIT PREPARED 'late';",
	release => "BEGIN; SAVEPOINT a; SET late.at_release = $k2; INSERT INTO play_most VALUES ('k1', NULL, 'most');
		RELEASE a; COMMIT;");

foreach my $way (sort keys %ways)
{
	is(play('playevent', $late, $ways{$way}), '', "P3: $way: plays recorded in time bring no warning");
	is(uncounted(), '', "P3: $way: and are counted");

	like(play($late, 'playevent', $ways{$way}),
		qr/^[^\n]*WARNING:  plays recorded by a pre-commit callback were not counted\n[^\n]*HINT:[^\n]*playevent\.rebuild[^\n]*$/,
		"P3: $way: later ones bring a warning that says what to do");
	is(uncounted(), 'k2 1', "P3: $way: verify shows them, and no other");
	$node->safe_psql('postgres', q{SELECT playevent.rebuild('play_event')});
	exact($node, "P3: $way: rebuild counts them", 'play');
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM play_event'), 12, 'P3: all plays are in the log');

$node->stop;
done_testing();
