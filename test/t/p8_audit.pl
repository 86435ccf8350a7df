# P8: a module that has a word about rights on tables sees the INSERT of a batch,
# which goes in without one where nobody asks.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PlayEvent;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The module
my $audit = module_from('audit.c');

my $node = PostgreSQL::Test::Cluster->new('audit');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	SET client_min_messages = warning;
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
	INSERT INTO track VALUES ('k1', 1);
	SELECT playevent.create_log('play', track => 'track')});

# What statements the module was asked about, in a session that records a batch
sub audited
{
	my ($load) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"$load \\set SHOW_CONTEXT always\nSELECT status FROM record_plays('{k1,k1}', '{most,most}')");
	is($status, 0, 'no error');
	is($out, "recorded\nrecorded", 'P3: the batch is recorded');
	return $err;
}

unlike(audited(''), qr/audited/, 'nobody asks');
like(audited("LOAD '$audit';\n"), qr/audited\nCONTEXT:  SQL statement "INSERT INTO public\.play_event /,
	'P8: the module sees the INSERT');
is($node->safe_psql('postgres', q{SELECT count(*) FROM play_event, playevent.verify('play_event')}), 0, 'P3: exact');

$node->stop;
done_testing();
