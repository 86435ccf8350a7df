# P7 and P11: restores that go another way than planned: by a role that is no superuser
# into tables with foreign keys, twice, in part, over what is there, of logs that
# were renamed, without privileges.  Afterwards each log is exact, or not intact;
# and where something is lost, an error or a warning says so.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Dumps;
use LogState;
use PlayEvent qw(complaints);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

start_node('restore');

# Every log is exact, intact, and goes on counting, if there is anything to play
# again; b_parted_none has no rows that could be changed.
sub is_exact
{
	my ($db, $way, $is_empty) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(not_exact($node, $db), '', "P7: $way: exact");
	is(not_kept($node, $db), '', "P11: $way: what was sealed and retired is as it was") unless $is_empty;
	is($node->safe_psql($db, 'SELECT event FROM playevent.log WHERE NOT intact'), '', "P7: $way: intact");
	is(join("\n", grep { !/ b_parted_none / } split /\n/, log_faults($node, $db)), '',
		"P7: $way: plays are counted on, and can't be changed")
	  unless $is_empty;
	return;
}

# Every log is exact, or says that something is missing: not intact, or verify
# fails.
sub is_not_silently_wrong
{
	my ($db, $way) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $event (split /\n/, $node->safe_psql($db, 'SELECT event FROM playevent.log WHERE intact'))
	{
		my ($result, $out, $err) = $node->psql($db, qq{SELECT * FROM playevent.verify('$event')});

		ok($result != 0 || $out eq '', "P7: $way: $event is exact, or not intact, or verify fails") or diag($out);
	}
	return;
}

#
# The logs of an owner who is no superuser, with foreign keys: one whose table
# comes before its slots in a dump, one whose comes after, and a partitioned one.
# The tracks have other releases by now.
#
$node->safe_psql('postgres', q{
	CREATE ROLE restore_owner LOGIN;
	CREATE ROLE restore_web LOGIN;
	CREATE ROLE restore_other LOGIN;
	CREATE DATABASE site OWNER restore_owner});
my $site_sql = <<'SQL';
SET SESSION AUTHORIZATION restore_owner;
CREATE TABLE album (id bigint PRIMARY KEY);
INSERT INTO album SELECT generate_series(0, 99);
CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 20) i;
CREATE TABLE listens (id bigserial PRIMARY KEY, song text NOT NULL, album_id bigint REFERENCES album, heard text NOT NULL);
SELECT playevent.attach_log('listens', track => 'track', key_column => 'song', release_column => 'album_id',
	kind_column => 'heard', kinds => '{half}', check_kinds => false);
SELECT playevent.create_log('play', track => 'track', ingest_role => 'restore_web');
ALTER TABLE play_event ADD FOREIGN KEY (release_id) REFERENCES album;
CREATE TABLE a_parted (id bigserial, song text NOT NULL, album_id bigint REFERENCES album, heard text NOT NULL, at int NOT NULL DEFAULT 5)
	PARTITION BY RANGE (at);
CREATE TABLE a_parted_1 PARTITION OF a_parted FOR VALUES FROM (0) TO (10);
CREATE TABLE b_parted_2 PARTITION OF a_parted FOR VALUES FROM (10) TO (20);
CREATE TABLE b_parted_none PARTITION OF a_parted DEFAULT;
SELECT playevent.attach_log('a_parted', track => 'track', key_column => 'song', release_column => 'album_id',
	kind_column => 'heard', kinds => '{half}', check_kinds => false);
INSERT INTO listens (song, heard) SELECT 'k' || 1 + i % 20, 'half' FROM generate_series(1, 90) i;
INSERT INTO play_event (track_entry_key, bucket) SELECT 'k' || 1 + i % 20, 'most' FROM generate_series(1, 90) i;
INSERT INTO a_parted (song, heard, at) SELECT 'k' || 1 + i % 20, 'half', i % 20 FROM generate_series(1, 90) i;
SELECT playevent.create_log('hear', track => 'track', partition_by => 'month', retain => '13 months');
SELECT playevent.make_partition('hear_event', format('hear_event_p20200%s', i), format('''2020-0%s-01Z''', i), format('''2020-0%s-01Z''', i + 1))
FROM generate_series(1, 4) i;
INSERT INTO hear_event (track_entry_key, bucket, created_at, event_id)
SELECT 'k' || 1 + i % 15, 'most', '2020-01-02 00:00Z'::timestamptz + i * interval '1 day', gen_random_uuid() FROM generate_series(1, 100) i;
SELECT playevent.seal('hear_event', '2020-04-01 00:00Z');
SELECT playevent.retire('hear_event', '2020-02-01 00:00Z');
UPDATE track SET release_id = release_id + 50 WHERE release_id < 3;
SQL
$node->safe_psql('site', "CREATE EXTENSION playevent; $site_sql");
my @relations = qw(listens listens_counter play_event play_counter play_daily a_parted a_parted_counter
	hear_event hear_counter hear_daily hear_counter_retired hear_manifest hear_event_p202001);
my $content = log_content($node, 'site', @relations);
my $state = log_state($node, 'site');
my $releases_replaced = qr/WARNING:  releases brought to table "(?:listens|play_event|a_parted_1|b_parted_2)" were replaced
.*HINT:  To restore them as they were, /s;

sub said_by_server
{
	my ($offset) = @_;

	return slurp_file($node->logfile, $offset);
}

#
# Data alone, by the owner.  What pg_restore is warned of stands in the server's
# log only.
#
my $schema = dump_of('site', '-Fc', '--schema-only');
my %dumps = (
	custom => dump_of('site', '-Fc'),
	'custom, inserts' => dump_of('site', '-Fc', '--inserts'),
	plain => dump_of('site', '--data-only', '--disable-triggers'),
	'plain, inserts' => dump_of('site', '--data-only', '--disable-triggers', '--column-inserts'));

sub owners_database
{
	my $db = new_database('', 'restore_owner');
	my ($result, $err) = by_pg_restore($db, $schema, '-e', '-U', 'restore_owner');

	is("$result$err", 'ok', 'P7: --schema-only, by the owner');
	return $db;
}

foreach my $dump (sort keys %dumps)
{
	foreach my $how ($dump =~ /plain/ ? ('', '-1') : ('', '-j 4', '-1'))
	{
		my $way = "data alone by the owner, foreign keys, $dump" . ($how ? ", $how" : '');
		my $db = owners_database();
		my $offset = -s $node->logfile;
		my @options = ('-U', 'restore_owner', split / /, $how);

		# Several workers may bring plays before their albums.
		$node->safe_psql($db, 'INSERT INTO album SELECT generate_series(0, 99)') if $how eq '-j 4';
		my ($result, $err) = $dump =~ /plain/ ? by_psql($db, $dumps{$dump}, @options) :
		  by_pg_restore($db, $dumps{$dump}, '--data-only', '--disable-triggers', @options);

		like($err, qr/permission denied: "RI_ConstraintTrigger_c_\d+" is a system trigger/, "P7: $way: an error says what is refused");
		is_exact($db, $way, $how eq '-1');
		is($node->safe_psql($db, 'SELECT (SELECT count(*) FROM listens), (SELECT count(*) FROM play_event), (SELECT count(*) FROM a_parted)'),
			$how eq '-1' ? '0|0|0' : '90|90|90', "P7: $way: " . ($how eq '-1' ? 'nothing' : 'every play') . ' is there');
		next if $how eq '-1';
		like(said_by_server($offset), $releases_replaced, "P7: $way: a warning tells what becomes of the releases");
		like($err, $releases_replaced, "P7: $way: to psql too") if $dump =~ /plain/;
		is(() = said_by_server($offset) =~ /WARNING:  releases brought to table "listens"/g, 1, "P7: $way: once a table");
	}
}

# As a superuser, all is as it was.
foreach my $dump (sort keys %dumps)
{
	foreach my $how ($dump =~ /plain/ ? ('', '-1') : ('', '-j 4', '-1'))
	{
		my $way = "data alone by a superuser, $dump" . ($how ? ", $how" : '');
		my $db = owners_database();
		my @options = split / /, $how;
		my ($result, $err) = $dump =~ /plain/ ? by_psql($db, $dumps{$dump}, @options) :
		  by_pg_restore($db, $dumps{$dump}, '--data-only', '--disable-triggers', @options);

		is("$result$err", 'ok', "P7: $way: succeeds without a word");
		is(log_content($node, $db, @relations), $content, "P7: $way: all plays and counters are there");
		is(log_state($node, $db), $state, "P7: $way: the triggers are as they were");
		is_exact($db, $way);

		# Once more: keys keep some rows out, and others are there twice.
		($result, $err) = $dump =~ /plain/ ? by_psql($db, $dumps{$dump}) :
		  by_pg_restore($db, $dumps{$dump}, '--data-only', '--disable-triggers', grep { $_ ne '-1' } @options);
		like($err, qr/duplicate key value violates unique constraint "listens_pkey"/, "P7: $way, twice: an error");
		is($node->safe_psql($db, 'SELECT (SELECT sum(listens) FROM listens_counter), (SELECT sum(plays) FROM play_counter)'),
			'90|90', "P7: $way, twice: what is there once is counted once");
		is_exact($db, "$way, twice");
	}
}

# The whole database, by the owner, as one: the releases are those of the dump.
{
	my $db = new_database('', 'restore_owner');
	my ($result, $err) = by_pg_restore($db, $dumps{custom}, '-e', '-j', 4, '-U', 'restore_owner');

	is("$result$err", 'ok', 'P7: everything by the owner: succeeds without a word');
	is(log_content($node, $db, @relations), $content, 'P7: everything by the owner: all plays and counters are there');
	is_exact($db, 'everything by the owner');
}

# Data into logs that have plays already: those are added to.
foreach my $how ('', '-j 4')
{
	my $way = 'data alone into logs in use' . ($how ? ", $how" : '');
	my $db = owners_database();

	$node->safe_psql($db, q{
		INSERT INTO album VALUES (1000), (1001);
		INSERT INTO track VALUES ('here', 1000);
		INSERT INTO listens (id, song, heard) SELECT 1000 + i, 'here', 'half' FROM generate_series(1, 5) i;
		INSERT INTO a_parted (song, heard, at) SELECT 'here', 'half', i FROM generate_series(1, 15) i;
		INSERT INTO play_event (id, track_entry_key, bucket) OVERRIDING SYSTEM VALUE SELECT 1000 + i, 'here', 'most' FROM generate_series(1, 5) i});
	my ($result, $err) = by_pg_restore($db, $dumps{custom}, '--data-only', '--disable-triggers', split / /, $how);
	is("$result$err", 'ok', "P7: $way: succeeds");
	is($node->safe_psql($db, 'SELECT (SELECT sum(listens) FROM listens_counter), (SELECT sum(plays) FROM play_counter), (SELECT sum(a_parteds) FROM a_parted_counter)'),
		'95|95|105', "P7: $way: all is counted");
	is_exact($db, $way);
}

# Parts of the data
my @one_by_one = qw(album track b_parted_2 listens_counter_slot play_event a_parted_counter_slot listens play_daily_slot a_parted_1 play_counter_slot);
{
	my $db = owners_database();
	foreach my $table (@one_by_one, qw(hear_event_p202003 hear_manifest hear_counter_slot hear_event_p202001 hear_daily_retired hear_event_p202004
		hear_daily_slot hear_counter_retired hear_event_p202002))
	{
		my ($result, $err) = by_pg_restore($db, $dumps{custom}, '-e', '--data-only', '--disable-triggers', '--strict-names', '-t', $table);

		is("$result$err", 'ok', "P7: data of $table alone: succeeds without a word");
		is_not_silently_wrong($db, "after $table alone");
	}
	$node->safe_psql($db, "SELECT setval(pg_get_serial_sequence(t, 'id'), 1000) FROM unnest('{listens,a_parted,play_event,hear_event}'::text[]) t");
	is_exact($db, 'tables one by one');
	is(log_content($node, $db, @relations), $content, 'P7: tables one by one: all plays and counters are there');
}
foreach my $left_out (@one_by_one)
{
	next if $left_out =~ /album|track/;
	foreach my $user ('restore_owner', '')
	{
		my $way = "data alone but $left_out" . ($user ? ', by the owner' : '');
		my $db = owners_database();
		my ($result, $err) = by_psql($db, dump_of('site', '--data-only', '--disable-triggers', '-T', $left_out), $user ? ('-U', $user) : ());

		is_exact($db, $way, $left_out !~ /slot/);
	}
}

#
# Options that leave things out, or put them elsewhere
#
foreach my $options (
	[], ['--no-owner'], ['--no-privileges'], ['--no-comments'], ['--no-security-labels'], ['--no-tablespaces'],
	['--no-owner', '--no-privileges', '-1'], ['--enable-row-security'], ['--no-table-access-method'])
{
	my $way = "pg_restore @$options";
	my $db = new_database();
	my @known = grep { $_ ne '--no-table-access-method' || (try_to('pg_restore', '--help'))[0] eq 'ok' && `pg_restore --help` =~ /no-table-access-method/ } @$options;
	my ($result, $err) = by_pg_restore($db, $dumps{custom}, '-e', @known);

	is("$result$err", 'ok', "P7: $way: succeeds without a word");
	is(log_content($node, $db, @relations), $content, "P7: $way: all plays and counters are there");
	is_exact($db, $way);

	# Over what is there, which has gone on; but Postgres can't drop the primary key of a
	# partition alone.
	$node->safe_psql($db, 'DROP TABLE hear_event CASCADE');
	$node->safe_psql($db, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')});
	($result, $err) = by_pg_restore($db, $dumps{custom}, '-e', '--clean', '--if-exists', @known);
	is("$result$err", 'ok', "P7: $way --clean: succeeds without a word");
	is(log_content($node, $db, @relations), $content, "P7: $way --clean: all plays and counters are there");
	is_exact($db, "$way --clean");
}

# Without privileges, everybody may call the functions that act as the owner; the
# statements of sql/OPERATIONS.md take that back.
{
	my $may = q{SELECT count(*) FILTER (WHERE has_function_privilege('restore_other', oid, 'EXECUTE')),
		count(*) FILTER (WHERE has_function_privilege('restore_web', oid, 'EXECUTE'))
		FROM pg_proc WHERE proname IN ('record_play', 'record_plays')};
	my $db = new_database();
	my ($result, $err) = by_pg_restore($db, $dumps{custom}, '-e', '--no-privileges');

	is("$result$err", 'ok', 'P8: --no-privileges: succeeds');
	is($node->safe_psql('site', $may), '0|2', 'P8: the web role alone may record');
	is($node->safe_psql($db, $may), '3|3', 'P8: --no-privileges: everybody may record, in the owner\'s name');
	my ($revoke) = slurp_file("$FindBin::Bin/../../sql/OPERATIONS.md") =~ /^(SELECT format\('REVOKE ALL ON FUNCTION .*?\\gexec)$/ms;
	isnt($revoke, undef, 'P8: OPERATIONS has statements to take that back');
	is((by_psql($db, do { append_to_file("$dir/revoke.sql", $revoke); "$dir/revoke.sql" }, '-v', 'ON_ERROR_STOP=1'))[0],
		'ok', 'P8: OPERATIONS\' statements work');
	is($node->safe_psql($db, $may), '0|0', 'P8: OPERATIONS\' statements: nobody may, until it is granted');
	is_exact($db, '--no-privileges, then revoked');
}

# One schema, or one log
{
	my $db = new_database('CREATE EXTENSION playevent');
	my ($result, $err) = by_pg_restore($db, $dumps{custom}, '-e', '-n', 'public');

	is("$result$err", 'ok', 'P7: -n public: succeeds without a word');
	is(log_content($node, $db, @relations), $content, 'P7: -n public: all plays and counters are there');
	is_exact($db, '-n public');

	$db = new_database('CREATE EXTENSION playevent');
	($result, $err) = by_psql($db, dump_of('site', '-t', 'listens*', '-t', 'album', '-t', 'track', '--strict-names'), '-v', 'ON_ERROR_STOP=1');
	is("$result$err", 'ok', 'P7: -t of a log and its slots: succeeds without a word');
	is_exact($db, '-t of a log and its slots');

	# Slots, then the log, from two dumps of two moments
	$db = new_database('CREATE EXTENSION playevent');
	my $slots = dump_of('site', '-t', 'listens_counter_slot');
	my $log = dump_of('site', '-t', 'listens', '-t', 'listens_verdict', '-t', 'listens_counter', '-t', 'album', '-t', 'track', '--exclude-table-data=listens');
	($result, $err) = by_psql($db, $slots, '-v', 'ON_ERROR_STOP=1');
	is("$result$err", 'ok', 'P7: slots alone: succeeds');
	($result, $err) = by_psql($db, $log, '-v', 'ON_ERROR_STOP=1');
	is($result, 'ok', 'P7: slots, then the log without its rows: succeeds');
	like($err, qr/WARNING:  counts in table "listens_counter_slot" have been removed, for table "listens" has no such rows/,
		'P7: slots, then the log without its rows: a warning');
	is_exact($db, 'slots, then the log without its rows', 1);
}

# Sections, in the wrong order too
foreach my $order ([qw(pre-data data post-data)], [qw(pre-data post-data data)])
{
	my $way = "sections @$order";
	my $db = new_database();

	by_pg_restore($db, $dumps{custom}, "--section=$_", $order->[2] eq 'data' ? '--disable-triggers' : ()) foreach @$order;
	is_exact($db, $way);
	is($node->safe_psql($db, 'SELECT count(*) FROM listens'), '90', "P7: $way: the plays are there");
}

#
# A log that was renamed and moved, its slots in yet another schema: guards and
# triggers name each other by then.
#
$node->safe_psql('site', q{
	CREATE SCHEMA moved AUTHORIZATION restore_owner;
	CREATE SCHEMA "kept there" AUTHORIZATION restore_owner;
	ALTER TABLE listens RENAME TO "heard songs";
	ALTER TABLE "heard songs" SET SCHEMA moved;
	ALTER TABLE listens_counter_slot SET SCHEMA "kept there";
	ALTER TABLE "kept there".listens_counter_slot RENAME TO "the counts";
	ALTER TABLE a_parted RENAME TO z_parted;
	ALTER SCHEMA moved RENAME TO "moved away"});
is_exact('site', 'renamed and moved');
my @moved = ('"moved away"."heard songs"', '"kept there"."the counts"', 'z_parted', 'a_parted_counter');
$content = log_content($node, 'site', @moved);
$state = log_state($node, 'site');
{
	my $custom = dump_of('site', '-Fc');
	my $db = new_database();
	my ($result, $err) = by_pg_restore($db, $custom, '-e', '-j', 4);

	is("$result$err", 'ok', 'P7: a log that was moved: succeeds without a word');
	is(log_content($node, $db, @moved), $content, 'P7: a log that was moved: all plays and slots are there');
	is(log_state($node, $db), $state, 'P7: a log that was moved: the triggers are as they were');
	is_exact($db, 'a log that was moved');

	$db = new_database('', 'restore_owner');
	by_pg_restore($db, $custom, '--schema-only', '-U', 'restore_owner');
	by_pg_restore($db, $custom, '--data-only', '--disable-triggers', '-U', 'restore_owner');
	is_exact($db, 'a log that was moved, data alone by the owner');
}

#
# Tables whose owner has policies
#
$node->safe_psql('site', q{
	ALTER TABLE play_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY everything ON play_event USING (true);
	ALTER TABLE play_counter_slot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY everything ON play_counter_slot USING (true)});
{
	my $db = new_database();
	my ($result, $err) = by_pg_restore($db, dump_of('site', '-Fc', '--enable-row-security', '--inserts'), '-e', '--enable-row-security');

	is("$result$err", 'ok', 'P7: --enable-row-security: succeeds without a word');
	is(not_exact($node, $db), '', 'P7: --enable-row-security: exact');
	is($node->safe_psql($db, 'SELECT count(*) FROM play_event'), '90', 'P7: --enable-row-security: the plays are there');

	$db = new_database();
	by_psql($db, dump_of('site', '--schema-only'));
	($result, $err) = by_psql($db, dump_of('site', '--data-only', '--disable-triggers', '--enable-row-security', '--inserts'), '-v', 'ON_ERROR_STOP=1');
	is("$result$err", 'ok', 'P7: --enable-row-security, data alone: succeeds without a word');
	is(not_exact($node, $db), '', 'P7: --enable-row-security, data alone: exact');
	is($node->safe_psql($db, 'SELECT bool_and(intact) FROM playevent.log'), 't', 'P7: --enable-row-security, data alone: intact');
}

#
# Sketches of listeners
#
SKIP:
{
	skip 'extension hll is not available', 1
	  unless $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hll'});

	$node->safe_psql('postgres', 'CREATE DATABASE heard');
	$node->safe_psql('heard', q{
		CREATE EXTENSION hll;
		CREATE EXTENSION playevent;
		CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
		INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 20) i;
		SELECT playevent.create_log('play', track => 'track');
		SELECT playevent.add_listener_sketch('play_event');
		INSERT INTO play_event (track_entry_key, bucket, anon_id) SELECT 'k' || 1 + i % 20, 'most', 'l' || i % 17 FROM generate_series(1, 90) i});
	my $schema = dump_of('heard', '--schema-only');
	my $estimate = q{SELECT track_entry_key, round(hll_cardinality(hll_union_agg(listeners))) FROM play_listeners GROUP BY 1 ORDER BY 1};
	my $before = $node->safe_psql('heard', $estimate);

	foreach my $left_out ('nothing', 'play_listeners_slot', 'play_event')
	{
		my $way = "sketches, data alone but $left_out";
		my $db = new_database();

		by_psql($db, $schema);
		my ($result, $err) = by_psql($db, dump_of('heard', '--data-only', '--disable-triggers', $left_out eq 'nothing' ? () : ('-T', $left_out)));
		is("$result$err", 'ok', "P7: $way: succeeds without a word");
		is($node->safe_psql($db, $estimate), $left_out eq 'play_event' ? '' : $before, "P7: $way: the listeners are those of the rows");
		is_exact($db, $way) if $left_out ne 'play_event';
		is(not_exact($node, $db), '', "P7: $way: nothing differs");
	}
	foreach my $left_out ('play_listeners_slot', 'play_event')
	{
		my $way = "sketches, without the data of $left_out";
		my $db = new_database();
		my ($result, $err) = by_pg_restore($db, dump_of('heard', '-Fc', "--exclude-table-data=$left_out"), '-e', '-j', 4);

		is($result, 'ok', "P7: $way: succeeds");
		is($node->safe_psql($db, $estimate), $left_out eq 'play_event' ? '' : $before, "P7: $way: the listeners are those of the rows");
		is(not_exact($node, $db), '', "P7: $way: nothing differs");
	}
}

#
# Others at the table
#
$node->safe_psql('postgres', 'CREATE DATABASE busy');
$node->safe_psql('busy', 'CREATE EXTENSION playevent; ' . ($site_sql =~ s/^SET SESSION AUTHORIZATION restore_owner;//r));
{
	# Whoever is counting does not hinder, nor is he taken for uncounted.
	my $session = $node->background_psql('busy');
	my $closing = $node->background_psql('busy');

	$closing->query_safe(q{
		SET client_min_messages = error;
		ALTER TABLE b_parted_2 DISABLE TRIGGER ALL;
		INSERT INTO b_parted_2 (song, heard, at) VALUES ('k1', 'half', 11)});
	$session->query_safe(q{BEGIN; INSERT INTO a_parted (song, heard, at) VALUES ('k1', 'half', 1)});
	$closing->query_safe('ALTER TABLE b_parted_2 ENABLE TRIGGER ALL');
	$session->query_safe('COMMIT');
	is_exact('busy', 'while another counts');

	# Locks that can't be had make it a warning.
	$session->query_safe('BEGIN; LOCK TABLE a_parted_1 IN ACCESS EXCLUSIVE MODE');
	$node->safe_psql('busy', q{
		SET client_min_messages = error;
		ALTER TABLE b_parted_2 DISABLE TRIGGER ALL;
		INSERT INTO b_parted_2 (song, heard, at) VALUES ('k2', 'half', 11)});
	my ($result, $out, $err) = $node->psql('busy', q{SET lock_timeout = 1; ALTER TABLE b_parted_2 ENABLE TRIGGER ALL});
	is($result, 0, 'P10: a lock that can\'t be had does not end the command');
	like($err, qr/WARNING:  could not compare table "b_parted_2" with its counters: canceling statement due to lock timeout
HINT:  .*playevent\.rebuild/, 'P10: a warning tells the way');

	# Whoever cancels it means the command.
	$node->safe_psql('busy', 'ALTER TABLE b_parted_2 DISABLE TRIGGER ALL');
	($result, $out, $err) = $node->psql('busy', q{SET statement_timeout = 200; ALTER TABLE b_parted_2 ENABLE TRIGGER ALL});
	like($err, qr/ERROR:  canceling statement due to statement timeout/, 'P10: a command that is canceled ends');
	$session->query_safe('COMMIT');
	isnt($node->safe_psql('busy', q{SELECT intact FROM playevent.log WHERE event = 'a_parted'::regclass}), 't',
		'P10: and the triggers are still disabled');
	$node->safe_psql('busy', 'SET client_min_messages = error; ALTER TABLE b_parted_2 ENABLE TRIGGER ALL');
	is_exact('busy', 'after all');

	# Two who enable triggers at once: the second does what the first left to him.
	$node->safe_psql('busy', q{
		SET client_min_messages = error;
		ALTER TABLE a_parted_1 DISABLE TRIGGER ALL; ALTER TABLE b_parted_2 DISABLE TRIGGER ALL;
		ALTER TABLE a_parted_counter_slot DISABLE TRIGGER ALL;
		INSERT INTO a_parted_1 (song, heard, at) VALUES ('k1', 'half', 1);
		INSERT INTO b_parted_2 (song, heard, at) VALUES ('k1', 'half', 11);
		INSERT INTO a_parted_counter_slot VALUES ('k1', 1, 'half', 1)});
	my @sessions = ($session, $closing, $node->background_psql('busy'));
	my @tables = qw(a_parted_1 b_parted_2 a_parted_counter_slot);
	foreach my $i (0 .. 2)
	{
		$sessions[$i]->query_until(qr/started/, "\\echo started\nSET client_min_messages = error;\nBEGIN;\nALTER TABLE $tables[$i] ENABLE TRIGGER ALL;\n");
		$node->poll_query_until('busy', $i == 0 ?
			q{SELECT count(*) = 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = 'busy'} :
			qq{SELECT count(*) = $i FROM pg_locks WHERE NOT granted}) or die 'no such state';
	}
	foreach my $s (@sessions)
	{
		$s->query_safe('COMMIT');
	}
	$_->quit foreach @sessions;
	is_exact('busy', 'triggers enabled by three at once');
}

#
# Verdicts come after all else.  A sketch has the listeners of plays that don't
# count by then, whom nothing takes out of it.
#
SKIP:
{
	skip 'extension hll is not available', 4
	  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hll'}) == 0;
	$node->safe_psql('postgres', 'CREATE DATABASE judged');
	$node->safe_psql('judged', q{
		CREATE EXTENSION hll;
		CREATE EXTENSION playevent;
		CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint);
		INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 20) i;
		SELECT playevent.create_log('play', track => 'track');
		SELECT playevent.add_listener_sketch('play_event');
		INSERT INTO play_event (track_entry_key, bucket, anon_id) SELECT 'k' || 1 + i % 20, 'most', 'l' || i FROM generate_series(1, 200) i;
		SELECT playevent.void('play_event', ARRAY(SELECT id FROM play_event WHERE id % 9 = 0), 'bots')});
	my $dump = dump_of('judged', '-Fc');
	my $query = q{SELECT count(*) FROM playevent.verify('play_event');
		SELECT sum(round(hll_cardinality(listeners))) FROM play_listeners; SELECT sum(plays) FROM play_counter};
	is($node->safe_psql('judged', $query), "0\n178\n178", 'P12: plays that are voided');
	my $db = new_database();
	foreach my $options ([ '--schema-only' ], [ '--data-only', '--disable-triggers' ])
	{
		my ($result, $err) = by_pg_restore($db, $dump, @$options);
		is("$result$err", 'ok', "P7: @$options");
	}
	is($node->safe_psql($db, $query), "0\n178\n178", 'P7: sketches have nobody whose plays were voided');
}

$node->stop;
is(complaints($node, 0), '', 'nothing bad in the server log');
done_testing();
