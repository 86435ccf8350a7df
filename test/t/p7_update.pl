# P7 and P3: the extension is updated while plays go on, by the example in
# test/update/.  Whatever library a session has, and whatever script the database:
# plays are counted exactly, or there is an error that says what is missing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Installation;
use IPC::Run;
use LogState;
use PlayEvent qw(complaints);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
my $root = "$dir/i";

# Two trees to install from, in place of one another, as a package's files are.
# What is compiled with other flags doesn't go with what is compiled here.
my %tree = map { $_ => copy_tree("$dir/$_", !$ENV{BUILD_FLAGS}) } qw(old new);
my ($old, $new) = split ' ', qx{bash '$FindBin::RealBin/../update/next.sh' '$tree{new}'};
my $newer = 'playevent_count_' . $new =~ s/\./_/gr;
make_install($pg_config, $tree{new}, "$dir/unused");

sub put_in
{
	my ($which) = @_;
	make_install($pg_config, $tree{$which}, $root);
	return;
}

my $install = installation($pg_config, $tree{old}, $root);
delete local $ENV{TEMP_CONFIG};
my $node = PostgreSQL::Test::Cluster->new('update', install_path => $install);
$node->init;
$node->append_conf('postgresql.conf', 'shared_preload_libraries = playevent');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE site');
$node->safe_psql('site', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 20) i;
	SELECT playevent.create_log('play', track => 'track');
	CREATE TABLE done ();

	-- Plays on, each time in a transaction of its own.
	CREATE PROCEDURE play_on() LANGUAGE plpgsql AS $$
	DECLARE
		i int := 0;
	BEGIN
		LOOP
			i := i + 1;
			INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || i % 20, 'most'), ('k1', 'complete');
			PERFORM record_play_heard('k1', 0.97);
			COMMIT;
			EXIT WHEN EXISTS (SELECT FROM done);
		END LOOP;
	END
	$$});

my $play = q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')};
my $heard = q{SELECT record_play_heard('k1', 0.97) IS NOT NULL};
my $update = 'ALTER EXTENSION playevent UPDATE';
my $library = 'SELECT playevent.library_version()';
my $objects = extension_objects($node, 'site');
my $missing = qr/ERROR:  could not find function "$newer" in file ".*playevent/;
my $stale = qr/ERROR:  the library of playevent that this session has loaded is $old\.\d+, and $new is needed\nHINT:  Install $new and connect again/;

sub session { return $node->background_psql('site', on_error_stop => 0); }

sub is_exact
{
	my ($when) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(not_exact($node, 'site') . log_faults($node, 'site'), '', "P3: $when: exact, and plays are counted on");
	return;
}

# A session's statement fails, and the session goes on.
sub refuses
{
	my ($session, $statement, $error, $name) = @_;

	$session->query($statement);
	my $said = $session->{stderr};
	$session->{stderr} = '';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($said, $error, "P7: $name");
	is($session->query_safe('SELECT 1'), '1', "P7: $name: the session goes on");
	return;
}

#
# Preloaded: whoever connects has the old library.
#
put_in('new');
my $session = session();
like($session->query_safe($library), qr/^$old\./, 'a session that connects after the files were replaced has the preloaded library');
refuses($session, $update, $stale, 'old library, preloaded, and new script');
is(extension_objects($node, 'site'), $objects, 'P7: nothing was updated');
$session->quit;
is_exact('old library, preloaded, and old script');

#
# Not preloaded: a session has the library of when it loaded it.
#
put_in('old');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{''});
$node->restart;
my ($pooled, $open) = (session(), session());
foreach my $from_before ($pooled, $open)
{
	$from_before->query_safe("PREPARE play AS $play; PREPARE heard AS $heard");
	$from_before->query_safe('EXECUTE play; EXECUTE heard') foreach (1 .. 6);
}
put_in('new');

# New library, old script: as soon as a package is upgraded.
like($node->safe_psql('site', $library), qr/^$new\./, 'a session that connects after the files were replaced has the new library');
is($node->safe_psql('site', q{
		SELECT count(fmgr_c_validator(p.oid)::text) > 60 FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid
		  JOIN pg_extension e ON e.oid = d.refobjid
		 WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'playevent'
		   AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')}),
	't', 'P7: new library and old script: all functions of the script are in the library');
$node->safe_psql('site', "$play; $heard");
is_exact('new library and old script');

# Old library, new script
like($pooled->query_safe($library), qr/^$old\./, 'a session from before has the old library');
refuses($pooled, $update, $stale, 'old library and new script');
refuses($pooled, qq{CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE c AS '\$libdir/playevent', '$newer'},
	$missing, 'old library, and a script that does not ask');
is(extension_objects($node, 'site'), $objects, 'P7: nothing was updated');
$pooled->query_safe('EXECUTE play; EXECUTE heard');
is_exact('old library and old script, beside the new library');

#
# The update, while sessions of both libraries play.
#
my (@traffic, @said);
sub begin_traffic
{
	my ($library) = @_;
	my $said = '';

	push @said, \$said;
	push @traffic, IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('site'), map { ('-c', $_) }
				"SET application_name = '$library'", $heard, 'CALL play_on()' ], '>&', $said[-1]);
	ok($node->poll_query_until('site', qq{
			SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '$library' AND query LIKE 'CALL%'}),
		"plays go on with the $library library");
	return;
}

my $rows = 'SELECT count(*) FROM play_event';

sub more_plays
{
	my $before = $node->safe_psql('site', $rows);
	return $node->poll_query_until('site', "SELECT (SELECT count(*) FROM play_event) > $before");
}

put_in('old');
begin_traffic('old');
put_in('new');
begin_traffic('new') foreach (1 .. 2);
$open->query_safe('BEGIN; EXECUTE play; EXECUTE heard');
ok(more_plays(), 'they play');

$node->safe_psql('site', $update);
is($node->safe_psql('site', q{SELECT extversion FROM pg_extension WHERE extname = 'playevent'}),
	$new, 'P7: the extension is updated while plays go on');
is(not_exact($node, 'site'), '', 'P3: updated beside plays: exact');
ok(more_plays(), 'P7: with the new library they go on');
$node->safe_psql('site', 'INSERT INTO done DEFAULT VALUES');
$_->finish foreach @traffic;
like(${ $said[0] }, $missing, 'P7: those with the old library fail, and say why');
is(not_exact($node, 'site'), '', 'P3: and then it is exact');
is(${ $said[$_] }, "t\n", 'P7: those with the new library never failed') foreach (1, 2);

# Sessions from before fail at their next play, until they connect again.
refuses($pooled, 'EXECUTE play', $missing, 'a play by a pooled connection with the old library');
refuses($pooled, $heard, qr/ERROR:  could not find function "playevent_\w+" in file/, 'the same by a record function');
is($pooled->query_safe("SELECT sum(plays) = ($rows) FROM play_counter"), 't', 'P3: it reads the counts as they are');
refuses($pooled, 'CREATE TABLE anything (); DROP TABLE anything; SELECT 1 / 0', qr/^\S* ?ERROR:  division by zero\s*$/, 'and other DDL goes on');

# A transaction that has its locks need not have noticed.
$open->query('EXECUTE play');
like($open->{stderr}, qr/^$|$missing/, 'P7: a transaction that was open goes on with the old function, or fails');
$open->{stderr} = '';
$open->query_safe('COMMIT');
is(not_exact($node, 'site'), '', 'P3: and then it is exact');
$_->quit foreach ($pooled, $open);
$pooled = session();
$pooled->query_safe("$play; $heard");
$pooled->quit;
is_exact('connected again');

# What it leads to
$node->safe_psql('postgres', 'CREATE EXTENSION playevent');
is(extension_objects($node, 'site'), extension_objects($node, 'postgres'), 'P7: the objects are those of a new installation');

#
# The package goes back to the old library: the database doesn't.
#
put_in('old');
$session = session();
like($session->query_safe($library), qr/^$old\./, 'a new session has the old library');
refuses($session, $play, $missing, 'a play with a library that is older than the script');
refuses($session, "ALTER EXTENSION playevent UPDATE TO '$old'",
	qr/ERROR:  extension "playevent" has no update path from version "$new" to version "$old"/, 'there is no way back');
$session->quit;
put_in('new');
is_exact('the new library again');

$node->stop;
is(complaints($node, 0), '', 'nothing bad in the server log');
done_testing();
