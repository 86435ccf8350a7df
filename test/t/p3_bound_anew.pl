# P3 and P10: a counter that is bound anew for one partition, as after an ANALYZE of
# its slots, goes on working for the others too, in transactions to come.  What is
# freed is filled with rubbish, for nobody to find it as it was.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PlayEvent;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('bound_anew');
$node->init;
{
	local $ENV{MALLOC_PERTURB_} = 165;
	$node->start;
}
$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
	INSERT INTO track VALUES ('a', 1);
	CREATE TABLE play_event (track_entry_key text NOT NULL, release_id bigint, bucket text NOT NULL)
		PARTITION BY LIST (bucket);
	CREATE TABLE play_most PARTITION OF play_event FOR VALUES IN ('most');
	CREATE TABLE play_all PARTITION OF play_event FOR VALUES IN ('all');
	SELECT playevent.attach_log('play_event', track => 'track')});
my ($status, undef, $err) = $node->psql('postgres', q{
	INSERT INTO play_event VALUES ('a', NULL, 'most'), ('a', NULL, 'all');
	ANALYZE play_counter_slot;
	INSERT INTO play_event VALUES ('a', NULL, 'most');
	INSERT INTO play_event VALUES ('a', NULL, 'all')});
is($status, 0, 'P10: each partition looks again') or diag($err);
is($node->safe_psql('postgres', q{SELECT count(*) FROM playevent.verify('play_event')}), '0', 'P3: and counts');
done_testing();
