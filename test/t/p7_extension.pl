# P7 and P3: the extension goes and comes back, the database, its logs and their
# owners get other names: no row is lost, and where plays were not counted
# meanwhile, attach_log counts them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use LogState;
use PlayEvent qw(complaints);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('extension');
$node->init;
$node->start;

sub fails
{
	my ($db, $statement, $message, $name, %params) = @_;
	my (undef, undef, $err) = $node->psql($db, $statement, %params);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($err, $message, $name);
	return;
}

sub exact
{
	my ($db, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(not_exact($node, $db), '', "P3: $name: the counters are exact");
	is(log_faults($node, $db), '', "P1: $name: plays are counted on, and can't be changed");
	return;
}

#
# Who may create it, and where.
#
$node->safe_psql('postgres', q{
	CREATE ROLE ext_app LOGIN;
	CREATE ROLE ext_shop LOGIN;
	CREATE ROLE ext_web;
	CREATE DATABASE site OWNER ext_app});
my @as_app = (extra_params => [ '-U', 'ext_app' ]);
my @as_shop = (extra_params => [ '-U', 'ext_shop' ]);

fails('site', 'CREATE EXTENSION playevent', qr/permission denied to create extension "playevent"/,
	'P8: CREATE EXTENSION needs CREATE on the database', @as_shop);
fails('site', 'CREATE EXTENSION playevent SCHEMA public', qr/extension "playevent" must be installed in schema "pg_catalog"/,
	'P7: CREATE EXTENSION in another schema fails', @as_app);

# What waits in the schema is not taken for the extension's.
$node->safe_psql('site', 'CREATE SCHEMA playevent', @as_app);
fails('site', 'CREATE EXTENSION playevent', qr/schema "playevent" already exists/,
	'P8: CREATE EXTENSION where there is such a schema already fails', @as_app);
$node->safe_psql('site', 'DROP SCHEMA playevent', @as_app);

$node->safe_psql('site', 'CREATE EXTENSION playevent', @as_app);
is($node->safe_psql('site', q{SELECT extowner::regrole FROM pg_extension WHERE extname = 'playevent'}),
	'ext_app', 'P8: who may create in the database needs no superuser for the extension');
fails('site', 'ALTER EXTENSION playevent SET SCHEMA public', qr/extension "playevent" does not support SET SCHEMA/,
	'P7: ALTER EXTENSION SET SCHEMA is refused');

#
# Logs of two owners, one of them partitioned and one with odd names.
#
$node->safe_psql('site', q{GRANT USAGE, CREATE ON SCHEMA public TO ext_shop}, @as_app);
$node->safe_psql('site', <<'SQL', @as_app);
CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint, is_deleted boolean NOT NULL DEFAULT false);
INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 40) i;
GRANT SELECT ON track TO ext_shop;
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted', ingest_role => 'ext_web');
ALTER TABLE play_event ADD seconds int DEFAULT floor(random() * 100)::int - 20;
SELECT playevent.add_counter('play_event', 'play_seconds', '{track_entry_key,day}', 'seconds');
SELECT playevent.create_log('Odd "one''s"', track => 'track', kind => 'a kind', kinds => '{x,y}');
INSERT INTO play_event (track_entry_key, bucket)
	SELECT 'k' || i % 50, (ARRAY['partial', 'most', 'complete'])[1 + i % 3]::play_bucket FROM generate_series(1, 300) i;
INSERT INTO "Odd ""one's""_event" (track_entry_key, "a kind") SELECT 'k' || i % 5, 'x' FROM generate_series(1, 20) i;
SQL
$node->safe_psql('site', <<'SQL', @as_shop);
CREATE TABLE listens (song text NOT NULL, album bigint, heard text NOT NULL) PARTITION BY LIST (heard);
CREATE TABLE listens_half PARTITION OF listens FOR VALUES IN ('half');
CREATE TABLE listens_rest PARTITION OF listens DEFAULT;
SELECT playevent.attach_log('listens', track => 'track', key_column => 'song', release_column => 'album',
							kind_column => 'heard', kinds => '{half,all}', check_kinds => false, unknown_track => 'reject');
INSERT INTO listens (song, heard) SELECT 'k' || 1 + i % 30, (ARRAY['half', 'all'])[1 + i % 2] FROM generate_series(1, 100) i;
SQL

# one track in several slots
my @sessions = map { $node->background_psql('site') } 1 .. 3;
$_->query_safe("BEGIN; INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')") foreach @sessions;
$_->query_safe('COMMIT') foreach @sessions;
$_->quit foreach @sessions;

my @events = ('play_event', q{"Odd ""one's""_event"}, 'listens');
my @slots = ('play_counter_slot', q{"Odd ""one's""_counter_slot"}, 'listens_counter_slot');
my @views = qw(play_counter play_by_track play_by_release listens_counter listens_by_track listens_by_release);
my $state = log_state($node, 'site');
my $content = log_content($node, 'site', @events, @slots, @views);
is($node->safe_psql('site', 'SELECT count(*), bool_and(intact) FROM playevent.log'), '3|t', 'three logs are there');
exact('site', 'to begin with');

#
# It doesn't go by accident.
#
my $goes = qr/ERROR:  cannot drop .*DETAIL:.*HINT:/s;
fails('site', 'DROP EXTENSION playevent', qr/$goes/, 'P7: DROP EXTENSION is refused while there are logs', @as_app);
foreach my $what ('SCHEMA playevent', 'FUNCTION playevent.count()', 'VIEW playevent.log',
	'FUNCTION playevent.append_only() CASCADE', 'EVENT TRIGGER playevent_watch_partitions')
{
	fails('site', "DROP $what", qr/ERROR:  cannot drop .* because (?:extension playevent|other objects)/, "P7: DROP $what is refused");
}
is(log_state($node, 'site'), $state, 'P7: all triggers are still there');

#
# It goes with CASCADE, by its owner's word, and leaves every row.
#
sub drop_extension
{
	$node->safe_psql('site', 'DROP EXTENSION playevent CASCADE', @as_app);
	return;
}

# With the arguments of before; each by the table's owner.
sub attach_all
{
	$node->safe_psql('site', q{
		SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted');
		SELECT playevent.attach_log('"Odd ""one''s""_event"', track => 'track', kind_column => 'a kind')}, @as_app);
	$node->safe_psql('site', q{
		SELECT playevent.attach_log('listens', track => 'track', key_column => 'song', release_column => 'album',
									kind_column => 'heard', unknown_track => 'reject')}, @as_shop);
	return;
}

# Sessions that have played before have plans, and remember where slots are.
my $session = $node->background_psql('site');
$session->query_safe(q{PREPARE play AS INSERT INTO play_event (track_entry_key, bucket) VALUES ($1, 'most')});
$session->query_safe(q{PREPARE listen AS INSERT INTO listens (song, heard) VALUES ($1, 'half')});
$session->query_safe(q{EXECUTE play('k1'); EXECUTE listen('k1')}) foreach (1 .. 7);
$content = log_content($node, 'site', @events, @slots, @views);

drop_extension();
is(log_content($node, 'site', @events, @slots, @views), $content, 'P7: DROP EXTENSION CASCADE keeps every row of logs and slots');
is($node->safe_psql('site', q{
		SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'playevent%'
		UNION ALL SELECT count(*) FROM pg_event_trigger
		UNION ALL SELECT count(*) FROM pg_namespace WHERE nspname = 'playevent'}),
	"0\n0\n0", 'P7: DROP EXTENSION CASCADE leaves no trigger and no schema');

$node->safe_psql('site', 'CREATE EXTENSION playevent', @as_app);
is($node->safe_psql('site', 'SELECT count(*) FROM playevent.log'), '0', 'P7: CREATE EXTENSION alone makes nothing a log');
attach_all();
is(log_content($node, 'site', @events, @slots, @views), $content, 'P7: back with attach_log: every row is as it was');
is(log_state($node, 'site'), $state, 'P7: back with attach_log: so is every trigger');
exact('site', 'back with attach_log');

# Plays that came in between, rows that went, slots that someone wrote to.
drop_extension();
$session->query_safe(q{EXECUTE play('k2'); EXECUTE listen('k2')}) foreach (1 .. 3);
$node->safe_psql('site', q{
	INSERT INTO play_event (track_entry_key, bucket) SELECT 'between', 'most' FROM generate_series(1, 1500);
	INSERT INTO play_event (track_entry_key, release_id, bucket) VALUES ('k1', 77, 'most');
	DELETE FROM play_event WHERE track_entry_key = 'k9';
	UPDATE play_counter_slot SET plays = plays + 5 WHERE track_entry_key = 'k8';
	DELETE FROM play_counter_slot WHERE track_entry_key = 'k7';
	TRUNCATE listens_rest;
	CREATE TABLE listens_more PARTITION OF listens FOR VALUES IN ('more');
	INSERT INTO listens (song, heard) VALUES ('k3', 'more');
	ALTER TABLE listens DETACH PARTITION listens_rest;
	ALTER TABLE listens ATTACH PARTITION listens_rest DEFAULT;
	INSERT INTO listens (song, heard) VALUES ('k4', 'all');
	ALTER TABLE listens_more OWNER TO ext_shop});
$node->safe_psql('site', 'CREATE EXTENSION playevent', @as_app);
attach_all();
exact('site', 'plays between');
is($node->safe_psql('site', q{SELECT release_id, plays FROM play_counter WHERE track_entry_key = 'between'}),
	'|1500', 'P3: plays between: they are counted, with the release that they have: none');
is($node->safe_psql('site', q{SELECT plays FROM play_counter WHERE (track_entry_key, release_id) = ('k1', 77)}),
	'1', 'P3: plays between: or the one that they were given');
is(join("\n", grep { !/listens_more/ } split /\n/, log_state($node, 'site')), $state,
	'P7: plays between: every trigger is as it was');
$session->query_safe(q{EXECUTE play('k2'); EXECUTE listen('k2')}) foreach (1 .. 3);
exact('site', 'a session that was there all along');

# All in one transaction, with plays before, still pending, and after.
$node->safe_psql('site', q{
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
	INSERT INTO listens_half (song, heard) VALUES ('k1', 'half'), ('k2', 'half');
	DROP EXTENSION playevent CASCADE;
	INSERT INTO listens_half (song, heard) VALUES ('k1', 'half');
	SET LOCAL ROLE ext_app;
	CREATE EXTENSION playevent;
	RESET ROLE;
	SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted');
	SELECT playevent.attach_log('"Odd ""one''s""_event"', track => 'track', kind_column => 'a kind');
	SELECT playevent.attach_log('listens', track => 'track', key_column => 'song', release_column => 'album',
								kind_column => 'heard', unknown_track => 'reject');
	INSERT INTO listens_half (song, heard) VALUES ('k1', 'half');
	COMMIT});
exact('site', 'gone and back in a transaction that plays');
$node->safe_psql('site', q{
	BEGIN;
	INSERT INTO listens_half (song, heard) VALUES ('k1', 'half');
	DROP EXTENSION playevent CASCADE;
	ROLLBACK});
exact('site', 'DROP EXTENSION undone');

#
# The schema by another name: what counts does so still.
#
$node->safe_psql('site', q{
	ALTER SCHEMA playevent RENAME TO renamed;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
	INSERT INTO listens_half (song, heard) VALUES ('k1', 'half')});
is($node->safe_psql('site', q{SELECT * FROM renamed.verify('play_event') UNION ALL SELECT * FROM renamed.verify('listens')}),
	'', 'P3: schema renamed: the counters are exact');
fails('site', q{SELECT renamed.attach_log('play_event', track => 'track')}, qr/schema "playevent" does not exist/,
	'P10: schema renamed: attach_log says what is missing');
$node->safe_psql('site', 'ALTER SCHEMA renamed RENAME TO playevent');
exact('site', 'schema renamed back');

#
# The database renamed, and copied.
#
$session->quit;
$node->safe_psql('postgres', 'ALTER DATABASE site RENAME TO "Other site"');
exact('Other site', 'database renamed');
$content = log_content($node, 'Other site', @events, @views);
$state = log_state($node, 'Other site');
foreach my $strategy (qw(wal_log file_copy))
{
	my $db = "site_$strategy";

	$node->safe_psql('postgres', qq{CREATE DATABASE $db TEMPLATE "Other site" STRATEGY $strategy});
	is(log_content($node, $db, @events, @views), $content, "P7: CREATE DATABASE by $strategy: plays and counters are there");
	is(log_state($node, $db), $state, "P7: CREATE DATABASE by $strategy: triggers too");
	exact($db, "CREATE DATABASE by $strategy");
	$node->safe_psql($db, q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')});
	is(not_exact($node, $db), '', "P3: CREATE DATABASE by $strategy: exact after another play");
}
is(log_content($node, 'Other site', @events, @views), $content, 'P7: plays in a copy are its own');

#
# Logs by other names, in other schemas and other hands.
#
my $db = 'site_wal_log';
$session = $node->background_psql($db);
my $play = q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')};
my $listened = q{INSERT INTO listened (track_entry_key, bucket) VALUES ('k1', 'most')};
$session->query_safe($play);
$node->safe_psql($db, 'ALTER TABLE play_event RENAME TO listened');
$session->query_safe($listened);
$node->safe_psql($db, $listened);
exact($db, 'event table renamed');

# Mended under its new name, it counts where it did.
$node->safe_psql($db, q{
	ALTER TABLE listened DISABLE TRIGGER ALL;
	INSERT INTO listened (track_entry_key, bucket) VALUES ('k1', 'most');
	SELECT playevent.attach_log('listened', track => 'track', track_deleted => 'is_deleted');
	INSERT INTO listened (track_entry_key, bucket) VALUES ('k1', 'most')});
exact($db, 'event table renamed, then attached again');
is($node->safe_psql($db, q{
		SELECT counter_slot, count_column, (SELECT sum(plays) FROM play_counter) = (SELECT count(*) FROM listened)
		FROM playevent.log WHERE event = 'listened'::regclass}),
	'play_counter_slot|plays|t', 'P3: event table renamed, then attached again: its views are still right');

# A new table by the old name is another log: the counters are taken.
$node->safe_psql($db, q{CREATE TABLE play_event (LIKE listened INCLUDING ALL); ALTER TABLE play_event OWNER TO ext_app});
fails($db, q{SELECT playevent.attach_log('play_event', track => 'track')},
	qr/ERROR:  table "play_counter_slot" keeps the counts of log "listened"\n.*HINT:/s,
	'P3: a second log can not have the counters of the first');
exact($db, 'a second log by the old name refused');
$node->safe_psql($db, 'DROP TABLE play_event; ALTER TABLE listened RENAME TO play_event');

$node->safe_psql($db, 'ALTER TABLE play_counter_slot RENAME TO counts');
$node->safe_psql($db, $play);
exact($db, 'slot table renamed');
is($node->safe_psql($db, q{SELECT counter_slot, intact FROM playevent.log WHERE event = 'play_event'::regclass}),
	'counts|t', 'P10: slot table renamed: the log knows it');
$node->safe_psql($db, 'ALTER TABLE counts RENAME TO play_counter_slot');
exact($db, 'slot table renamed back');

$node->safe_psql($db, q{
	CREATE SCHEMA archive;
	GRANT USAGE ON SCHEMA archive TO ext_app, ext_shop;
	ALTER TABLE play_daily_slot SET SCHEMA archive;
	ALTER TABLE play_counter_slot SET SCHEMA archive});
$node->safe_psql($db, $play);
exact($db, 'slot tables in another schema');
$node->safe_psql($db, 'ALTER TABLE play_event SET SCHEMA archive');
$node->safe_psql($db, q{INSERT INTO archive.play_event (track_entry_key, bucket) VALUES ('k1', 'most')});
exact($db, 'event table in another schema');
$node->safe_psql($db, 'ALTER TABLE track SET SCHEMA archive');
fails($db, q{INSERT INTO listens (song, heard) VALUES ('k1', 'half')},
	qr/ERROR:  track table "track" does not exist\n.*HINT:/s, 'P10: the other log, which has it no longer, says so too');
$node->safe_psql($db, q{
	ALTER TABLE listens SET SCHEMA archive;
	ALTER TABLE listens_counter_slot SET SCHEMA archive;
	ALTER TABLE "Odd ""one's""_event" SET SCHEMA archive;
	ALTER TABLE "Odd ""one's""_counter_slot" SET SCHEMA archive;
	ALTER TABLE "Odd ""one's""_daily_slot" SET SCHEMA archive});
exact($db, 'all in another schema, partitions left behind');

# Handed over.
fails($db, q{ALTER TABLE archive.play_event OWNER TO ext_shop;
			 INSERT INTO archive.play_event (track_entry_key, bucket) VALUES ('k1', 'most')},
	qr/ERROR:  must be owner of table play_counter_slot\n.*HINT:.*OWNER TO/s,
	'P8: event table given to someone else: an insert says what else is to be');
$node->safe_psql($db, 'REASSIGN OWNED BY ext_app TO ext_shop');
exact($db, 'REASSIGN OWNED');
$node->safe_psql($db, 'DROP OWNED BY ext_web');
exact($db, 'DROP OWNED of the web role');

# The owner of the extension and of all logs takes everything along.
$session->quit;
$node->safe_psql($db, 'DROP OWNED BY ext_shop CASCADE');
is($node->safe_psql($db, q{
		SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'playevent%'
		UNION ALL SELECT count(*) FROM pg_event_trigger
		UNION ALL SELECT count(*) FROM pg_extension WHERE extname = 'playevent'}),
	"0\n0\n0", 'P7: DROP OWNED BY the owner leaves nothing of the extension');

# `make uninstall` before DROP EXTENSION: the event triggers' library is gone.
my $places = $node->safe_psql('postgres', q{
	SELECT string_agg(format('%s = %L', name, '/nowhere'), E'\n') FROM pg_settings
	WHERE name IN ('extension_destdir', 'dynamic_library_path')});
$node->append_conf('postgresql.conf', $places);
$node->restart;
SKIP:
{
	skip 'the library is installed', 2
	  if -e `pg_config --pkglibdir` =~ s/\n//r . '/playevent.so';
	fails('site_file_copy', 'CREATE TABLE plain (n int)', qr/could not access file/, 'P10: without its library, DDL fails');
	my ($status) = $node->psql('site_file_copy', 'DROP EXTENSION playevent CASCADE; CREATE TABLE plain (n int)');
	is($status, 0, 'P10: but not DROP EXTENSION, nor what comes after it');
}

$node->stop;
is(complaints($node, 0), '', 'nothing bad in the server log');
done_testing();
