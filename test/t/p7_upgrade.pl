# P7 and P11: pg_upgrade keeps logs exact, and what was sealed and retired, by copying
# and by linking; and ALTER EXTENSION UPDATE leads from every version there is to the very same objects.
#
# PLAYEVENT_OLD_PG_CONFIG names the pg_config of the major to upgrade from.
# Without it pg_upgrade runs from this major to itself.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Cwd;
use Installation;
use IPC::Run;
use LogState;
use PlayEvent qw(complaints);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = getcwd();
my $dir = PostgreSQL::Test::Utils::tempdir();

# pg_upgrade loads what the old cluster needs from where servers keep their
# libraries, whatever the settings say.  So make an installation of our own.
my %installed;

sub install
{
	my ($pg_config) = @_;
	my ($major) = qx{'$pg_config' --version} =~ /(\d+)/;

	return $installed{$major} //= installation($pg_config, copy_tree("$dir/$major.build"), "$dir/$major");
}

my $this = $ENV{PG_CONFIG} || 'pg_config';
my $new_install = install($this);
my $old_install = install($ENV{PLAYEVENT_OLD_PG_CONFIG} || $this);

# The settings that tests are given are for the other installation.
delete local $ENV{TEMP_CONFIG};

sub new_node
{
	my ($name, $install) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, install_path => $install);

	# 18 changed the default of checksums.
	$node->init(extra => [ '--encoding=UTF8', '--locale=C', '--data-checksums' ]);
	$node->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
	return $node;
}

my @relations = qw(play_event play_counter play_by_track play_by_release listens listens_counter
	hear_event hear_counter hear_daily hear_manifest hear_counter_retired hear_event_p202001);

# A site at work: what its sessions run are prepared plans, of psql's and of a
# function's.
my $play_plans = q{
	PREPARE play AS INSERT INTO play_event (track_entry_key, bucket) VALUES ($1, $2);
	PREPARE reading AS SELECT plays FROM play_counter WHERE track_entry_key = $1;
} . join('', map { "EXECUTE play('k$_', 'most'); EXECUTE reading('k$_'); SELECT play_some('k$_');\n" } 1 .. 8);

sub make_site
{
	my ($node, $version) = @_;

	$node->safe_psql('postgres', 'CREATE DATABASE site');
	$node->safe_psql('site', 'CREATE EXTENSION playevent' . ($version ? " VERSION '$version'" : ''));
	$node->safe_psql('site', q{
		CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint, is_deleted boolean NOT NULL DEFAULT false);
		INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 40) i;
		SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted');
		CREATE TABLE listens (song text NOT NULL, album bigint, heard text NOT NULL) PARTITION BY LIST (heard);
		CREATE TABLE listens_half PARTITION OF listens FOR VALUES IN ('half');
		CREATE TABLE listens_rest PARTITION OF listens DEFAULT PARTITION BY HASH (song);
		CREATE TABLE listens_rest_1 PARTITION OF listens_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE listens_rest_2 PARTITION OF listens_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		SELECT playevent.attach_log('listens', track => 'track', key_column => 'song', release_column => 'album',
									kind_column => 'heard', kinds => '{half,all}', check_kinds => false);
		SELECT playevent.create_log('hear', track => 'track', partition_by => 'month', retain => '13 months');
		SELECT playevent.make_partition('hear_event', format('hear_event_p20200%s', i), format('''2020-0%s-01Z''', i), format('''2020-0%s-01Z''', i + 1))
		FROM generate_series(1, 4) i;
		INSERT INTO hear_event (track_entry_key, bucket, created_at, event_id)
		SELECT 'k' || i % 15, 'most', '2020-01-02 00:00Z'::timestamptz + i * interval '1 day', gen_random_uuid() FROM generate_series(1, 100) i;
		SELECT playevent.seal('hear_event', '2020-04-01 00:00Z');
		SELECT playevent.retire('hear_event', '2020-02-01 00:00Z');
		CREATE FUNCTION play_some(track text) RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO play_event (track_entry_key, bucket) VALUES (track, 'partial'), (track, 'complete');
			INSERT INTO listens (song, heard) VALUES (track, 'half'), (track, 'all');
		END
		$$});

	# several slots of one track
	my @sessions = map { $node->background_psql('site') } 1 .. 3;
	$_->query_safe("BEGIN; SELECT play_some('k1')") foreach @sessions;
	$_->query_safe('COMMIT') foreach @sessions;
	$_->quit foreach @sessions;

	$node->safe_psql('site', $play_plans);
	$node->safe_psql('site', q{UPDATE track SET release_id = 99 WHERE entry_key = 'k2'});
	$node->safe_psql('site', $play_plans);
	return;
}

#
# pg_upgrade
#
my $old = new_node('old', $old_install);
my ($from, $to) = map { ($_->config_data('--version') =~ /(\d+)/) } ($old, my $probe = new_node('copied', $new_install));
note("pg_upgrade from $from to $to");

$old->start;
make_site($old);
is(not_exact($old, 'site'), '', 'the old cluster is exact');
is(not_kept($old, 'site'), '', 'and what was sealed and retired is as it was');
is($old->safe_psql('site', q{SELECT count(*) > 1 FROM play_counter_slot WHERE (track_entry_key, bucket) = ('k1', 'partial')}),
	't', 'a track has several slots');
$old->safe_psql('site', q{
	BEGIN;
	SELECT play_some('k3');
	PREPARE TRANSACTION 'under way'});
$old->stop;

sub upgrade
{
	my ($new, @options) = @_;
	my ($out, $ok) = ('');

	# It writes to where it runs, and its sockets are there too: a short path.
	my $here = getcwd();
	chdir $dir or die;
	$ok = IPC::Run::run([
			"$new_install/bin/pg_upgrade", '-d', $old->data_dir, '-D', $new->data_dir,
			'-b', "$old_install/bin", '-B', "$new_install/bin", '-s', $new->host,
			'-p', $old->port, '-P', $new->port, @options ],
		'>', \$out, '2>&1');
	chdir $here or die;
	note($out);
	return ($ok ? 'ok' : 'failed', $out);
}

# What is prepared would be lost; so pg_upgrade refuses.
my ($result, $out) = upgrade($probe, '--check');
is($result, 'failed', 'P7: pg_upgrade with a prepared transaction: fails');
like($out, qr/The source cluster contains prepared transactions/, 'P7: pg_upgrade with a prepared transaction: says so');
$old->start;
$old->safe_psql('site', q{COMMIT PREPARED 'under way'});
is(not_exact($old, 'site'), '', 'the old cluster is exact once that is committed');
my $content = log_content($old, 'site', @relations);
my $state = log_state($old, 'site');
$old->stop;

# Linking last: the old cluster is none afterwards.
foreach my $mode ('--copy', '--link')
{
	my $way = "pg_upgrade from $from to $to" . ($mode eq '--copy' ? '' : " $mode");
	my $new = $mode eq '--copy' ? $probe : new_node('linked', $new_install);

	($result, $out) = upgrade($new, $mode eq '--copy' ? () : ($mode));
	is($result, 'ok', "P7: $way: succeeds") or diag($out);
	$new->start;
	is(log_content($new, 'site', @relations), $content, "P7: $way: all plays and counters are there");
	is(not_exact($new, 'site'), '', "P7: $way: the counters are exact");
	is(not_kept($new, 'site'), '', "P11: $way: what was sealed and retired is as it was");
	is(log_state($new, 'site'), $state, "P7: $way: the triggers are as they were");
	is(log_faults($new, 'site'), '', "P7: $way: plays are counted on, and can't be changed");

	$new->safe_psql('site', 'ANALYZE');
	$new->safe_psql('site', $play_plans);
	is(not_exact($new, 'site'), '', "P7: $way: exact after more plays");
	is($new->safe_psql('site', q{
			SELECT playevent.compact(event) > 0 FROM playevent.log WHERE event::text <> 'hear_event' ORDER BY event::text}),
		"t\nt", "P7: $way: spare slots can be merged");
	is(not_exact($new, 'site'), '', "P7: $way: and then it is exact");

	# What was sealed can be retired.
	is($new->safe_psql('site', q{
			SELECT playevent.retire('hear_event', '2020-03-01 00:00Z');
			SELECT sum(hears), (SELECT count(*) FROM hear_event) FROM hear_counter}),
		"1\n100|42", "P11: $way: another partition is retired, and counted");
	is(not_exact($new, 'site') . not_kept($new, 'site'), '', "P11: $way: and all is as it was");

	# New partitions are looked after: the event triggers came along.
	$new->safe_psql('site', q{
		CREATE TABLE listens_new PARTITION OF listens FOR VALUES IN ('new');
		INSERT INTO listens (song, heard) VALUES ('k1', 'new')});
	my (undef, undef, $err) = $new->psql('site', 'TRUNCATE listens_new');
	like($err, qr/table "listens_new" is append-only/, "P1: $way: a new partition refuses TRUNCATE");

	$new->safe_psql('postgres', 'CREATE EXTENSION playevent');
	is(extension_objects($new, 'site'), extension_objects($new, 'postgres'),
		"P7: $way: the extension is as if created anew");
	$new->stop;
	is(complaints($new, 0), '',
		"$way: nothing bad in the server log");
}

SKIP:
{
	skip 'PLAYEVENT_OLD_PG_CONFIG does not name the pg_config of an older major', 1 if $from == $to;
	cmp_ok($from, '<', $to, 'P7: pg_upgrade to a newer major');
}

#
# ALTER EXTENSION playevent UPDATE, from every version with an install script.
#
my $node = new_node('versions', $new_install);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION playevent');
my $fresh = extension_objects($node, 'postgres');
my $current = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'playevent'});

# names without a second --
my @versions = map { m{/playevent--((?:(?!--).)+)\.sql$} ? $1 : () } map { glob("$source/sql/$_") } 'playevent--*.sql', 'released/*.sql';
ok((grep { $_ eq $current } @versions), "there is an install script of version $current");
is($node->safe_psql('postgres', qq{
		SELECT source FROM pg_extension_update_paths('playevent') WHERE target = '$current' AND path IS NULL}),
	'', "every version can be updated to $current");

foreach my $version (@versions)
{
	make_site($node, $version);
	$content = log_content($node, 'site', @relations);
	$state = log_state($node, 'site');

	# a session from before, with its plans
	my $session = $node->background_psql('site');
	$session->query_safe(q{SELECT play_some('k1')});
	$session->query_safe(q{PREPARE play AS INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')});
	$session->query_safe('EXECUTE play') foreach (1 .. 6);

	$node->safe_psql('site', 'ALTER EXTENSION playevent UPDATE');
	is($node->safe_psql('site', q{SELECT extversion FROM pg_extension WHERE extname = 'playevent'}),
		$current, "update from $version: leads to $current");
	is(extension_objects($node, 'site'), $fresh, "P7: update from $version: the objects are those of a fresh $current");
	is(not_exact($node, 'site'), '', "P7: update from $version: the counters are exact");
	is(join("\n", grep { !/^\S+ is / } split /\n/, log_state($node, 'site')),
		join("\n", grep { !/^\S+ is / } split /\n/, $state),
		"P7: update from $version: the triggers are as they were");
	is($node->safe_psql('site', 'SELECT count(*) FROM playevent.log WHERE intact'),
		'3', "P7: update from $version: logs are intact");
	is(log_faults($node, 'site'), '', "P7: update from $version: plays are counted on, and can't be changed");
	$session->query_safe(q{EXECUTE play});
	$session->query_safe(q{SELECT play_some('k1')});
	$session->quit;
	is(not_exact($node, 'site'), '', "P7: update from $version: and so are those of a session from before");
	$node->safe_psql('postgres', 'DROP DATABASE site');
}
$node->stop;
is(complaints($_, 0), '', 'nothing bad in the server log')
  foreach ($old, $node);
done_testing();
