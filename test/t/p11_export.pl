# P11: an archive is exported by the commands of sql/OPERATIONS.md: as csv, whose SHA-256
# is what the manifest says; and as a dump, which is restored in another cluster, with
# no log there, and compared with the manifest that came along.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use LogState;
use PlayEvent qw(complaints);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $document = slurp_file("$FindBin::RealBin/../../sql/OPERATIONS.md");
my ($section) = $document =~ /^### Archives\n(.*?)^##/ms;
my ($as_csv, $as_dump, $later) = $section =~ /^```sh\n(.*?)^```\n/gms;
ok(defined $later, 'OPERATIONS has three blocks of commands');

my ($site, $other) = map { PostgreSQL::Test::Cluster->new($_) } qw(site other);
foreach my $node ($site, $other)
{
	$node->init;
	$node->start;
}

# What sh prints that runs these commands here.
sub run_on
{
	my ($node, $commands) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGTZ => 'Asia/Kathmandu', PGDATESTYLE => 'German');
	my ($out, $err) = run_command([ 'sh', '-ec', "cd '$dir'\n$commands" ]);

	is($err, '', 'P11: no error');
	return $out;
}

# All that csv, time zones and encodings make difficult
$site->safe_psql('postgres', 'CREATE DATABASE site');
$site->safe_psql('site', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 3 FROM generate_series(0, 9) i;
	SELECT playevent.create_log('play', track => 'track', partition_by => 'month', heard => true);
	ALTER TABLE play_event ADD COLUMN note text, ADD COLUMN "odd ""col""" text, ADD COLUMN bytes bytea, ADD COLUMN took interval,
		ADD COLUMN share double precision, ADD COLUMN seen timestamp[], ADD COLUMN gone int;
	ALTER TABLE play_event DROP COLUMN gone;
	SELECT playevent.make_partition('play_event', 'play_event_p202001', $$'2020-01-01Z'$$, $$'2020-02-01Z'$$);
	INSERT INTO play_event (track_entry_key, bucket, created_at, event_id, anon_id, heard, note, "odd ""col""", bytes, took, share, seen)
	SELECT 'k' || i % 7, 'most', '2020-01-01Z'::timestamptz + i * interval '1 hour 0.001 s', gen_random_uuid(), 'l' || i, i / 700.0,
		   (ARRAY['', NULL, 'a,b', 'say "so"', E'two\nlines', E'\r', '\.', 'größer', ' '])[1 + i % 9], i, decode(md5(i::text), 'hex'),
		   i * interval '1 hour -1 day', pi() * i, ARRAY['2020-01-01'::timestamp + i * interval '1 day', NULL]
	  FROM generate_series(0, 700) i;
	SELECT playevent.seal('play_event', '2020-02-01 00:00Z');
	SELECT playevent.retire('play_event', '2020-02-01 00:00Z')});
is($site->safe_psql('site', 'SELECT count(*) FROM play_event_p202001'), 701, 'a partition is retired');
is(not_kept($site, 'site'), '', 'and as it was');

my ($hash, $said) = run_on($site, $as_csv) =~ /^(\w{64})\s+-\n(\w{64})$/;
is($hash, $said, 'P11: as csv: sha256sum says what the manifest says');
my $csv = slurp_file("$dir/play_event_p202001.csv");
cmp_ok(length $csv, '>', 50_000, 'P11: as csv: the rows are there');
unlike($csv, qr/,l700,/, 'P11: as csv: but for who listened');

run_on($site, $as_dump);

# A partition has the same digest in every encoding; and one where bytes stand for
# nothing is sealed and retired, too.
my %digest;
foreach (
	[ 'UTF8', "convert_from('\\x6772c3bc6e', 'UTF8')", "'k'" ],
	[ 'WIN1252', "convert_from('\\x6772c3bc6e', 'UTF8')", "E'k\\x81'" ],
	[ 'SQL_ASCII', "E'gr\\xfcn'", "E'k\\x81'" ])
{
	my ($encoding, $word, $bytes) = @$_;
	my $database = lc "in_$encoding";
	$site->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	$digest{$encoding} = $site->safe_psql($database, qq{
		CREATE EXTENSION playevent;
		CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
		SET client_min_messages = warning;
		SELECT FROM playevent.create_log('play', track => 'track', partition_by => 'month');
		SELECT FROM (VALUES ('2020-01', '2020-02'), ('2020-02', '2020-03')) v (month, next),
			playevent.make_partition('play_event', 'play_' || month, format('%L', month || '-01Z'), format('%L', next || '-01Z'));
		INSERT INTO play_event (track_entry_key, bucket, played_at, created_at) VALUES
			($word, 'most', '2020-01-02Z', '2020-01-02Z'), ($bytes, 'most', '2020-02-02Z', '2020-02-02Z');
		SELECT FROM playevent.seal('play_event', '2020-03-01Z');
		SELECT FROM playevent.retire('play_event', '2020-03-01Z');
		SELECT digest FROM play_manifest WHERE action = 'seal' AND part = 'play_2020-01'});
	is($site->safe_psql($database, q{SELECT v.* FROM play_manifest m, playevent.verify_archive('play_event', quote_ident(m.part)) v WHERE m.action = 'seal'}),
		'', "P11: $encoding: archives are what they were");
	is($site->safe_psql($database, q{SELECT count(*) FROM play_manifest WHERE action = 'retire'}), '2', "P11: $encoding: all is retired");
}
is($digest{WIN1252}, $digest{UTF8}, 'P11: digests are of UTF-8, whatever the encoding');
isnt($digest{SQL_ASCII}, $digest{UTF8}, 'P11: but in SQL_ASCII, which says nothing of its bytes');
$site->stop;

# Years later
$other->safe_psql('postgres', 'CREATE DATABASE archive');
is(run_on($other, $later), '', 'P11: as a dump, restored: verify_archive finds nothing');
is($other->safe_psql('archive', 'SELECT count(*), (SELECT count(*) FROM play_manifest) FROM play_event_p202001'), '701|2', 'P11: as a dump, restored: all is there');
is($other->safe_psql('archive', 'SELECT count(*) FROM playevent.log'), '0', 'P11: as a dump, restored: it is no log');
foreach my $statement (q{DELETE FROM play_event_p202001}, q{INSERT INTO play_event_p202001 TABLE play_event_p202001}, q{DELETE FROM play_manifest})
{
	isnt(($other->psql('archive', $statement))[0], 0, "P1: as a dump, restored: $statement is refused");
}
$other->safe_psql('archive', q{
	ALTER TABLE play_event_p202001 DISABLE TRIGGER ALL;
	UPDATE play_event_p202001 SET share = share + 1e-12 WHERE id = 77;
	ALTER TABLE play_event_p202001 ENABLE TRIGGER ALL});
is($other->safe_psql('archive', q{SELECT * FROM playevent.verify_archive('play_manifest', 'play_event_p202001')}),
	'table play_event_p202001: its rows are not those that entry 1 of the manifest tells of', 'P11: as a dump, restored: a changed row is found');

$other->stop;
is(complaints($_, 0), '', 'nothing bad in the log of ' . $_->name)
  foreach ($site, $other);
done_testing();
