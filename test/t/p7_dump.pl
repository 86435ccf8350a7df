# P7 and P11: dumps.  Whichever way a database is dumped and restored, its counters are
# exact afterwards and its triggers as they were; or the restore fails with an
# error that tells the way.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;

use Dumps;
use IPC::Run;
use LogState;
use PlayEvent qw(complaints);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

start_node('dump');

#
# A site with logs of every kind: two of one schema; one whose names all need
# quoting; a partitioned one, and another of which partitions are sealed, and one was
# retired; three of these with sums; and two of different owners, on tracks of one of
# them, one of which doesn't count replicated rows.
#
$node->safe_psql('postgres', q{
	CREATE ROLE dump_app;
	CREATE ROLE dump_shop;
	CREATE ROLE dump_web;
	CREATE ROLE dump_restorer LOGIN;
	CREATE DATABASE site});
$node->safe_psql('site', <<'SQL');
CREATE EXTENSION playevent;
CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint, is_deleted boolean NOT NULL DEFAULT false);
INSERT INTO track SELECT 'k' || i, i % 7 FROM generate_series(1, 40) i;
SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted', ingest_role => 'dump_web');
ALTER TABLE play_event ADD seconds int DEFAULT floor(random() * 100)::int - 20;
SELECT playevent.add_counter('play_event', 'play_seconds', '{track_entry_key,day}', 'seconds');
CREATE TABLE release (id bigint PRIMARY KEY);
INSERT INTO release VALUES (1), (2);
SELECT playevent.create_log('share', track => 'track', kind => 'channel', kinds => '{link,embed}', release => 'release');

CREATE SCHEMA "Odd ""Schema""";
CREATE SCHEMA "kata.log";
CREATE TABLE "kata.log"."tr\ack '1'" ("the key" text PRIMARY KEY, "of" int, "gone at" timestamptz);
INSERT INTO "kata.log"."tr\ack '1'" SELECT 'k' || i, i FROM generate_series(1, 9) i;
SET search_path = "Odd ""Schema""";
SELECT playevent.create_log('It''s "odd"', track => '"kata.log"."tr\ack ''1''"',
	track_key => 'the key', track_release => 'of', track_deleted => 'gone at',
	kind => 'what kind', kinds => '{"a \"b\"",c''d}');

CREATE SCHEMA elsewhere;
SET search_path = public;
CREATE TABLE listens (id bigserial, song text NOT NULL, album bigint, heard text NOT NULL,
	at timestamptz NOT NULL DEFAULT now()) PARTITION BY RANGE (at);
CREATE TABLE listens_old PARTITION OF listens FOR VALUES FROM (MINVALUE) TO ('2020-01-01') PARTITION BY LIST (heard);
CREATE TABLE listens_old_half PARTITION OF listens_old FOR VALUES IN ('half');
CREATE TABLE elsewhere.listens_old_rest PARTITION OF listens_old DEFAULT;
CREATE TABLE listens_new PARTITION OF listens DEFAULT;
SELECT playevent.attach_log('listens', track => 'track', track_deleted => 'is_deleted',
	key_column => 'song', release_column => 'album', kind_column => 'heard', kinds => '{half,all}');
ALTER TABLE listens ADD minutes smallint DEFAULT 3;
SELECT playevent.add_counter('listens', 'listens_minutes', '{album,heard}', 'minutes');

SELECT playevent.create_log('hear', track => 'track', track_deleted => 'is_deleted', partition_by => 'month', retain => '13 months');
ALTER TABLE hear_event ADD seconds int DEFAULT 11;
SELECT playevent.add_counter('hear_event', 'hear_seconds', '{track_entry_key,day}', 'seconds');
SELECT playevent.make_partition('hear_event', format('hear_event_p20200%s', i), format('''2020-0%s-01Z''', i), format('''2020-0%s-01Z''', i + 1))
	FROM generate_series(1, 4) i;

CREATE SCHEMA app AUTHORIZATION dump_app;
CREATE SCHEMA shop AUTHORIZATION dump_shop;
SET SESSION AUTHORIZATION dump_app;
SET search_path = app;
CREATE TABLE track (entry_key text PRIMARY KEY, release_id uuid);
INSERT INTO track SELECT 'k' || i, gen_random_uuid() FROM generate_series(1, 9) i;
SELECT playevent.create_log('play', track => 'track');
GRANT USAGE ON SCHEMA app TO dump_shop;
GRANT SELECT ON track TO dump_shop;
SET SESSION AUTHORIZATION dump_shop;
SET search_path = shop;
SELECT playevent.create_log('play', track => 'app.track', unknown_track => 'reject', count_replicated => false);
RESET SESSION AUTHORIZATION;
SQL

# Events and counters, each pair in order.
my @odd = map { qq{"Odd ""Schema"""."It's ""odd""_$_"} } qw(event counter);
my @play = qw(public.play_event public.play_counter public.play_daily public.play_seconds);
my @relations = (@play, qw(public.share_event public.share_counter), @odd,
	qw(public.listens public.listens_counter public.listens_minutes
	   public.hear_event public.hear_counter public.hear_daily public.hear_seconds
	   public.hear_counter_slot public.hear_counter_retired public.hear_daily_retired public.hear_seconds_retired
	   public.hear_manifest public.hear_event_p202001
	   app.play_event app.play_counter shop.play_event shop.play_counter));

# Plays; of one track in several slots, since transactions overlap.
my $some_plays = <<"SQL";
INSERT INTO play_event (track_entry_key, bucket)
	SELECT 'k' || i % 50, (ARRAY['partial', 'most', 'complete'])[1 + i % 3]::play_bucket FROM generate_series(1, 300) i;
INSERT INTO share_event (track_entry_key, channel) SELECT 'k' || i % 5, 'link' FROM generate_series(1, 20) i;
INSERT INTO share_event (release_id, channel) VALUES (1, 'link'), (2, 'embed');
INSERT INTO $odd[0] (track_entry_key, "what kind") SELECT 'k' || i % 20, 'a "b"' FROM generate_series(1, 40) i;
INSERT INTO listens (song, heard, at)
	SELECT 'k' || i % 9, (ARRAY['half', 'all'])[1 + abs(i) % 2], '2019-12-31'::date + i FROM generate_series(-6, 6) i;
INSERT INTO app.play_event (track_entry_key, bucket) SELECT 'k' || i % 12, 'most' FROM generate_series(1, 40) i;
INSERT INTO shop.play_event (track_entry_key, bucket) SELECT 'k' || 1 + i % 8, 'most' FROM generate_series(1, 40) i;
SQL
my @sessions = map { $node->background_psql('site') } 1 .. 3;
$_->query_safe("BEGIN; INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')") foreach @sessions;
$_->query_safe('COMMIT') foreach @sessions;
$_->quit foreach @sessions;
$node->safe_psql('site', $some_plays);
$node->safe_psql('site', $some_plays);
$node->safe_psql('site', q{
	INSERT INTO hear_event (track_entry_key, bucket, anon_id, event_id, created_at)
		SELECT 'k' || i % 15, 'most', 'l' || i % 4, gen_random_uuid(), '2020-01-02 00:00Z'::timestamptz + i * interval '1 day' FROM generate_series(1, 100) i;
	INSERT INTO hear_event (track_entry_key, bucket, anon_id, event_id) SELECT 'k' || i, 'partial', 'l', gen_random_uuid() FROM generate_series(1, 10) i;
	SELECT playevent.seal('hear_event', '2020-04-01 00:00Z');
	SELECT playevent.retire('hear_event', '2020-02-01 00:00Z')});
my $heard = 'SELECT sum(hears) FROM hear_counter';
is($node->safe_psql('site', "SELECT count(*) FROM hear_event; $heard"), "81\n110", 'P11: a partition is retired, and counted');

# Releases changed since: a play keeps the one that it had.
$node->safe_psql('site', q{
	INSERT INTO shop.play_event (track_entry_key, bucket) VALUES ('k9', 'most');
	UPDATE track SET release_id = release_id + 100 WHERE release_id < 3;
	UPDATE track SET is_deleted = true WHERE entry_key = 'k4';
	DELETE FROM track WHERE entry_key = 'k5';
	DELETE FROM app.track WHERE entry_key = 'k9';
	UPDATE app.track SET release_id = gen_random_uuid() WHERE entry_key = 'k1'});

my $content = log_content($node, 'site', @relations);
my $play_content = log_content($node, 'site', @play);
my $state = log_state($node, 'site');
is($node->safe_psql('site', 'SELECT count(*), bool_and(intact) FROM playevent.log'),
	'7|t', 'seven logs are there');
is(not_exact($node, 'site'), '', 'and exact');
is(not_kept($node, 'site'), '', 'and what was sealed and retired is as it was');
is($node->safe_psql('site', q{SELECT count(*) > 1 FROM play_counter_slot
		WHERE (track_entry_key, bucket) = ('k1', 'most')}),
	't', 'a track has several slots');
is(log_faults($node, 'site'), '', 'log_faults finds nothing wrong with them');

my $rebuild = 'SELECT playevent.rebuild(event) FROM playevent.log';
my @stop = ('-v', 'ON_ERROR_STOP=1');

# In another order: what the pattern finds in pg_restore's list goes first, of
# all that is not pre-data.
sub by_reordered_restore
{
	my ($db, $file, $first) = @_;
	my ($list) = run_command([ 'pg_restore', '-l', $file ]);
	my ($before) = run_command([ 'pg_restore', '-l', '--section=pre-data', $file ]);
	my %is_before = map { $_ => 1 } grep { /^\d/ } split /\n/, $before;
	my @rest = grep { /^\d/ && !$is_before{$_} } split /\n/, $list;
	my @hasty = grep { /$first/ } @rest;

	note(join "\n", 'first:', @hasty);
	unlink "$file.list";
	append_to_file("$file.list", "$_\n")
	  foreach ((grep { $is_before{$_} } split /\n/, $list), @hasty, grep { !/$first/ } @rest);
	return by_pg_restore($db, $file, '-e', '-L', "$file.list");
}

# Everything is as it was at the site.
sub restored
{
	my ($on, $db, $way) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(log_content($on, $db, @relations), $content, "P7: $way: all plays and counters are there");
	is(not_exact($on, $db), '', "P7: $way: the counters are exact");
	is(not_kept($on, $db), '', "P11: $way: what was sealed and retired is as it was");
	is(log_state($on, $db), $state, "P7: $way: the triggers are as they were");
	is(log_faults($on, $db), '', "P7: $way: plays are counted on, and can't be changed");
	return;
}

# Nothing but one log, of everything, is there and in order.
sub restored_play
{
	my ($db, $way) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(log_content($node, $db, @play), $play_content, "P7: $way: its plays and counters are there");
	is($node->safe_psql($db, 'SELECT event, intact FROM playevent.log'), 'play_event|t', "P7: $way: it is a log");
	is(not_exact($node, $db), '', "P7: $way: it is exact");
	is(log_faults($node, $db), '', "P7: $way: its plays are counted on, and can't be changed");
	return;
}

sub succeeded
{
	my ($way, @result) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(' ', @result), 'ok ', "P7: $way: succeeds without a word");
	return;
}

#
# All of it, in every format.
#
my $second = PostgreSQL::Test::Cluster->new('second');
$second->init;
$second->start;
my ($result, $err) = try_to('pg_dumpall', '-f', "$dir/all");
is("$result$err", 'ok', 'pg_dumpall');
($result, $err) = by_psql('postgres', "$dir/all", '-h', $second->host, '-p', $second->port);
is(join("\n", grep { /ERROR|FATAL/ && !/role ".*" already exists/ } split /\n/, $err),
	'', 'P7: pg_dumpall: no error but of the superuser that is there already');
restored($second, 'site', 'pg_dumpall');
is($second->safe_psql('site', q{
		SET ROLE dump_web;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most');
		DO $$ BEGIN
			PERFORM record_play('k1', play_bucket_of(0.5));
			PERFORM record_plays('{k1,k2}', '{most,most}');
		END $$;
		RESET ROLE;
		SELECT * FROM playevent.verify('play_event')}),
	'', 'P8: pg_dumpall: the web role may insert, and call the functions');
$second->stop;

my $plain = dump_of('site');
my $db = new_database();
succeeded('plain', by_psql($db, $plain, @stop));

# A dump of the restored database is the same again.
($result, $err) = try_to('pg_dump', '-d', $db, '-f', "$dir/again");
is(join("\n", grep { !/^\\(un)?restrict / } split /\n/, slurp_file("$dir/again")),
	join("\n", grep { !/^\\(un)?restrict / } split /\n/, slurp_file($plain)),
	'P7: plain: dumped again, it is the same');
restored($node, $db, 'plain');
is($node->safe_psql($db, "SELECT has_schema_privilege('dump_web', 'playevent', 'USAGE'), has_table_privilege('dump_web', 'playevent.log', 'SELECT')"),
	't|t', "P8: plain: everyone may use the extension's schema and its view");

my $custom = dump_of('site', '-Fc');
$db = new_database();
succeeded('custom', by_pg_restore($db, $custom, '-e'));
restored($node, $db, 'custom');

$db = new_database();
succeeded('custom, -1', by_pg_restore($db, $custom, '-1'));
restored($node, $db, 'custom, -1');

$db = new_database();
succeeded('custom, -j 4', by_pg_restore($db, $custom, '-e', '-j', 4));
restored($node, $db, 'custom, -j 4');

# By several workers, a table's triggers wait for its own rows.  A partitioned one
# has none, so its triggers may come before its partitions' rows.
$db = new_database();
succeeded("a root's triggers first",
	by_reordered_restore($db, $custom, qr/ (?:TRIGGER public listens |(?:TABLE DATA|CONSTRAINT) public (?:track|listens_counter_slot) )/));
restored($node, $db, "a root's triggers first");
{
	local $ENV{PGOPTIONS} = '-c session_replication_role=replica';
	$db = new_database();
	succeeded("a root's triggers first, as a replica",
		by_reordered_restore($db, $custom, qr/ (?:TRIGGER public listens(?:_old)? |(?:TABLE DATA|CONSTRAINT) public (?:track|listens_counter_slot) )/));
}
restored($node, $db, "a root's triggers first, as a replica");

$db = new_database();
succeeded('tar', by_pg_restore($db, dump_of('site', '-Ft'), '-e'));
restored($node, $db, 'tar');

$db = new_database();
succeeded('inserts', by_psql($db, dump_of('site', '--column-inserts'), @stop));
restored($node, $db, 'inserts');

$db = new_database();
succeeded('partitions by way of their root', by_pg_restore($db, dump_of('site', '-Fc', '--load-via-partition-root'), '-e', '-j', 4));
restored($node, $db, 'partitions by way of their root');

# All belong to whoever restores, who is no superuser.
$db = new_database('', 'dump_restorer');
succeeded('--no-owner', by_pg_restore($db, $custom, '-e', '--no-owner', '-U', 'dump_restorer'));
restored($node, $db, '--no-owner');
is($node->safe_psql($db, q{
		SELECT DISTINCT relowner::regrole FROM pg_class c JOIN playevent.log l ON c.oid IN (l.event, l.counter_slot, l.track)}),
	'dump_restorer', 'P7: --no-owner: every log belongs to whoever restored it');

#
# Section by section.
#
my @sections = qw(pre-data data post-data);
$db = new_database();
succeeded("section $_", by_pg_restore($db, $custom, '-e', "--section=$_")) foreach @sections;
restored($node, $db, 'section by section');

$db = new_database();
succeeded("section $_, dumped alone", by_psql($db, dump_of('site', "--section=$_"), @stop)) foreach @sections;
restored($node, $db, 'sections dumped one by one');

# Data last: the triggers are there already.
my $refused = qr/ERROR:  table ".*_slot" is written by playevent alone
.*HINT:  To restore data alone, use --disable-triggers\./s;
$db = new_database();
succeeded("section $_", by_pg_restore($db, $custom, '-e', "--section=$_")) foreach qw(pre-data post-data);
($result, $err) = by_pg_restore($db, $custom, '--section=data');
is($result, 'failed', 'P7: data after its triggers: fails');
like($err, $refused, 'P7: data after its triggers: the error tells the way');
is(not_exact($node, $db), '', 'P7: data after its triggers: no play is counted twice');

#
# Schema first, then data.
#
my $schema = dump_of('site', '--schema-only');
my $data = dump_of('site', '--data-only');

sub database_with_schema
{
	my $db = new_database();

	succeeded('--schema-only', by_psql($db, $schema, @stop));
	return $db;
}

# With the triggers enabled, they would count what the slots hold already, and
# put the releases of today, if any, in the place of those recorded.
$db = database_with_schema();
is(log_state($node, $db), $state, 'P7: --schema-only: the triggers are as they were');
is(log_content($node, $db, map { "playevent.verify('$_')" } qw(play_event app.play_event)),
	"playevent.verify('play_event')|0|\nplayevent.verify('app.play_event')|0|", 'P7: --schema-only: and exact');
($result, $err) = by_psql($db, $data);
like($err, $refused, 'P7: --data-only, triggers enabled: the error tells the way');
is(not_exact($node, $db), '', 'P7: --data-only, triggers enabled: no play is counted twice');
is($node->safe_psql($db, 'SELECT count(*) = (SELECT sum(plays) FROM play_counter) FROM play_event'),
	't', 'P7: --data-only, triggers enabled: as many counted as logged');

$db = database_with_schema();
($result, $err) = by_pg_restore($db, $custom, '--data-only', '-j', 4);
is($result, 'failed', 'P7: --data-only, triggers enabled, -j 4: fails');
like($err, $refused, 'P7: --data-only, triggers enabled, -j 4: the error tells the way');
is(not_exact($node, $db), '', 'P7: --data-only, triggers enabled, -j 4: no play is counted twice');

$db = database_with_schema();
($result, $err) = by_pg_restore($db, $custom, '--data-only', '-1');
is($result, 'failed', 'P7: --data-only, triggers enabled, -1: fails');
like($err, $refused, 'P7: --data-only, triggers enabled, -1: the error tells the way');
is($node->safe_psql($db, 'SELECT (SELECT count(*) FROM play_event) + (SELECT count(*) FROM play_counter_slot)'),
	'0', 'P7: --data-only, triggers enabled, -1: restores nothing');

# The error's way.
foreach my $way ('dumped', 'restored')
{
	my $name = "--data-only --disable-triggers, $way so";

	$db = database_with_schema();
	succeeded($name, $way eq 'dumped' ?
		  by_psql($db, dump_of('site', '--data-only', '--disable-triggers'), @stop) :
		  by_pg_restore($db, $custom, '-e', '--data-only', '--disable-triggers', '-j', 4));
	restored($node, $db, $name);
}

# A second time it can't be restored, and if its slots are, they are set right.
($result, $err) = by_pg_restore($db, $custom, '--data-only', '--disable-triggers', '-1');
is($result, 'failed', 'P7: data restored twice, -1: fails');
is(log_content($node, $db, @relations), $content, 'P7: data restored twice, -1: changes nothing');
($result, $err) = by_pg_restore($db, $custom, '--data-only', '--disable-triggers', '-t', 'play_event', '-t', 'play_counter_slot');
is($result, 'failed', 'P7: data restored twice: fails');
like($err, qr/duplicate key value violates unique constraint "play_event_pkey"/, 'P7: data restored twice: says why');
restored($node, $db, 'data restored twice');

# By someone who is no superuser.
$db = new_database('', 'dump_restorer');
succeeded('--schema-only, --no-owner',
	by_pg_restore($db, $custom, '-e', '--schema-only', '--no-owner', '-U', 'dump_restorer'));
succeeded('--data-only --disable-triggers, by the owner',
	by_pg_restore($db, $custom, '-e', '--data-only', '--disable-triggers', '-U', 'dump_restorer'));
restored($node, $db, '--data-only --disable-triggers, by the owner');

# The same by hand, at the root of partitions too.
$node->safe_psql($db, join '', map {
	"ALTER TABLE $_ DISABLE TRIGGER ALL; ALTER TABLE $_ ENABLE TRIGGER ALL;
	 ALTER TABLE $_ DISABLE TRIGGER USER; ALTER TABLE $_ ENABLE TRIGGER USER;"
} qw(listens play_event play_counter_slot shop.play_event));
is(log_state($node, $db), $state, 'P1: DISABLE and ENABLE TRIGGER ALL or USER leave the triggers as they were');

# A dump's ENABLE TRIGGER ALL makes ALWAYS of what was made so, and nothing else;
# were the event trigger not there to see to that, it would show, and attach_log
# mend it.
$node->safe_psql($db, q{
	ALTER EVENT TRIGGER playevent_watch_partitions DISABLE;
	ALTER TABLE elsewhere.listens_old_rest DISABLE TRIGGER ALL;
	ALTER TABLE elsewhere.listens_old_rest ENABLE TRIGGER ALL;
	ALTER TABLE share_counter_slot DISABLE TRIGGER ALL;
	ALTER TABLE share_counter_slot ENABLE TRIGGER ALL;
	ALTER TABLE shop.play_event DISABLE TRIGGER ALL;
	ALTER TABLE shop.play_event ENABLE TRIGGER ALL;
	ALTER EVENT TRIGGER playevent_watch_partitions ENABLE ALWAYS});
is($node->safe_psql($db, 'SELECT event FROM playevent.log WHERE NOT intact ORDER BY event::text'),
	"listens\nshare_event\nshop.play_event",
	'P7: the view playevent.log tells what is not as it was made, be it a partition or slots');
$node->safe_psql($db, q{
	SELECT playevent.attach_log(event, track, track_key, track_release, track_deleted, unknown_track,
		count_replicated, NULL, key_column, release_column, kind_column,
		release => release, release_key => release_key)
	FROM playevent.log WHERE NOT intact});
restored($node, $db, 'triggers of partitions and slots weakened, then attach_log');

# Without the slots.
my @no_slots = ('-T', '*_slot', '-n', 'public');
$db = database_with_schema();
($result, $err) = by_psql($db, dump_of('site', '--data-only', @no_slots));
like($err, qr/ERROR:  table "hear_event_p20200$_" is sealed
.*HINT:  .*To restore data alone, use --disable-triggers\./s, "P11: data with triggers enabled: sealed partition $_ takes none, and the error tells the way")
  foreach (1 .. 3);
is(not_exact($node, $db), '', 'P7: data with triggers enabled: exact');
like(not_kept($node, $db), qr/hear_event: manifest: no entry tells of partition hear_event_p20200$_, which is sealed/, 'P11: data with triggers enabled: what is missing shows')
  foreach (2 .. 3);
$db = database_with_schema();
($result, $err) = by_psql($db, dump_of('site', '--data-only', @no_slots, '-T', 'hear_*', '-T', '*_retired', '-T', '*_manifest', '-T', '*_verdict'));
unlike($err, qr/ERROR/, 'P7: data without slots, triggers enabled: no error');
like($err, qr/WARNING:  releases brought to table "play_event" were replaced
.*HINT:  To restore them as they were, .*use --disable-triggers, as a superuser/s,
	'P7: data without slots, triggers enabled: a warning tells what becomes of the releases');
is(not_exact($node, $db), '', 'P7: data without slots, triggers enabled: exact');
is($node->safe_psql($db, 'SELECT sum(plays) FROM play_counter'),
	$node->safe_psql('site', 'SELECT sum(plays) FROM play_counter'),
	'P7: data without slots, triggers enabled: all is counted');

$db = database_with_schema();
succeeded('data without slots or triggers', by_psql($db, dump_of('site', '--data-only', '--disable-triggers', @no_slots), @stop));
is(log_content($node, $db, @play), $play_content, 'P7: data without slots or triggers: it is counted');
is(not_exact($node, $db), '', 'P7: data without slots or triggers: exact');
is($node->safe_psql($db, $heard), '110', 'P11: data without slots or triggers: what was retired is counted');
is(not_kept($node, $db), '', 'P11: data without slots or triggers: it is as it was');

# What was left out shows when all triggers are there, and is made good; which
# pg_restore tells nobody but the server's log.
my @slots = map { "${_}_slot" } ('play_counter', 'play_daily', 'share_counter', 'share_daily', 'listens_counter',
	q{It's "odd"_counter}, q{It's "odd"_daily});
my %left_out = (
	slots => [ map { "--exclude-table-data=$_" } '*_slot', '"Odd ""Schema""".*_slot' ],
	logs => [ map { "--exclude-table-data=$_" } '"Odd ""Schema""".*_event', qw(*_event listens_new listens_old_half elsewhere.*) ]);
foreach my $what (sort keys %left_out)
{
	my $plain = dump_of('site', @{ $left_out{$what} });
	my $custom = dump_of('site', '-Fc', @{ $left_out{$what} });

	foreach my $by (qw(psql pg_restore), 'pg_restore -j 4')
	{
		my $way = "the data of $what left out, $by";
		my $offset = -s $node->logfile;

		$db = new_database();
		($result, $err) = $by eq 'psql' ? by_psql($db, $plain, @stop) :
		  by_pg_restore($db, $custom, '-e', $by =~ /-j/ ? ('-j', 4) : ());
		is($result, 'ok', "P7: $way: succeeds");
		my $said = slurp_file($node->logfile, $offset);
		foreach my $slot (@slots)
		{
			my @warnings = $what eq 'slots' ?
			  $said =~ /WARNING:  counts in table "\Q$slot\E" were not those of the rows in table "/g :
			  $said =~ /WARNING:  counts in table "\Q$slot\E" have been removed, for table "[^\n]*" has no such rows\n/g;
			is(@warnings, 1, "P7: $way: of $slot there is a warning");
		}
		restored($node, $db, $way) if $what eq 'slots';
		is($node->safe_psql($db, 'SELECT count(*) FROM play_counter'), '0', "P7: $way: nothing is counted")
		  if $what eq 'logs';
		is(not_exact($node, $db), '', "P7: $way: exact");
		is(log_state($node, $db), $state, "P7: $way: the triggers are as they were");
	}
}

# What was retired can't be told from anything else: it shows that it is missing.
my %not_kept = (
	'*_retired' => "hear_event: counter by track_entry_key, day, sum of seconds: what was retired is not what the manifest says
hear_event: counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says
hear_event: counter by track_entry_key, release_id, day: what was retired is not what the manifest says",
	'*_manifest' => "hear_event: manifest: no entry tells of partition hear_event_p202002, which is sealed
hear_event: manifest: no entry tells of partition hear_event_p202003, which is sealed
hear_event: counter by track_entry_key, day, sum of seconds: what was retired is not what the manifest says
hear_event: counter by track_entry_key, release_id, bucket: what was retired is not what the manifest says
hear_event: counter by track_entry_key, release_id, day: what was retired is not what the manifest says",
	'*_event_key' => 'hear_event: event_ids of 10 plays are not known any more: sent again, they would be recorded again',
	'hear_event_p202001' => 'hear_event, hear_event_p202001: table hear_event_p202001 has 0 rows, and had 29',
	'hear_event_p202002' => 'hear_event, hear_event_p202002: table hear_event_p202002 has 0 rows, and had 29');
foreach my $what (sort keys %not_kept)
{
	my $way = "the data of $what left out";

	$db = new_database();
	($result, $err) = by_pg_restore($db, dump_of('site', '-Fc', "--exclude-table-data=$what"), '-e', '-j', 4);
	is($result, 'ok', "P7: $way: succeeds");
	is(index(not_kept($node, $db) . "\n", "$not_kept{$what}\n"), 0, "P11: $way: it shows") or diag(not_kept($node, $db));
	isnt(not_exact($node, $db), '', "P11: $way: and in verify") if $what =~ /2$/;
	is(not_exact($node, $db), '', "P11: $way: counters are those of the rows") if $what !~ /2$/;
	is($node->safe_psql($db, 'SELECT bool_and(intact) FROM playevent.log'), 't', "P11: $way: triggers are there");
}

#
# Single tables.
#
my $attach = q{SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted')};
my $basis = q{CREATE EXTENSION playevent; CREATE TYPE play_bucket AS ENUM ('partial', 'most', 'complete')};
my @event = map { ('-t', $_) } qw(public.track public.play_event);

$db = new_database();
($result, $err) = by_psql($db, dump_of('site', @event), @stop);
is($result, 'failed', 'P7: event table alone, type missing: fails');
like($err, qr/type "public.play_bucket" does not exist/, 'P7: event table alone, type missing: says what is missing');

$db = new_database($basis);
succeeded('event table alone', by_psql($db, dump_of('site', @event), @stop));
foreach my $statement (q{INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')},
	q{SELECT * FROM playevent.verify('play_event')})
{
	($result, undef, $err) = $node->psql($db, $statement);
	like($err, qr/ERROR:  slot table "play_counter_slot" does not exist\n.*HINT:.*playevent\.attach_log/s,
		"P7: event table alone: $statement tells what is missing and the way");
}
is($node->safe_psql($db, 'SELECT intact FROM playevent.log'), 'f', 'P7: event table alone: not intact');
$node->safe_psql($db, $attach);
restored_play($db, 'event table alone, then attach_log');

$db = new_database($basis);
succeeded('event and slots', by_psql($db, dump_of('site', @event, map { ('-t', "public.play_$_") } qw(counter_slot daily_slot seconds_slot verdict)), @stop));
is(not_exact($node, $db), '', 'P7: event and slots: exact');
is($node->safe_psql($db, 'SELECT intact FROM playevent.log'), 't', 'P7: event and slots: intact');
is(log_faults($node, $db), '', 'P7: event and slots: plays are counted on');

$db = new_database($basis);
succeeded('all of one log', by_psql($db, dump_of('site', @event, '-t', 'public.play_*'), @stop));
restored_play($db, 'all of one log');

# pg_restore leaves out the triggers.
$db = new_database($basis);
succeeded('pg_restore of tables',
	by_pg_restore($db, $custom, '-e', '-n', 'public', map { ('-t', $_) } qw(track play_event play_counter_slot play_daily_slot play_seconds_slot)));
($result, undef, $err) = $node->psql($db, q{SELECT * FROM playevent.verify('play_event')});
like($err, qr/ERROR:  table "play_event" is not a log\n.*HINT:.*playevent\.attach_log/s,
	'P7: pg_restore of tables: verify tells that there is no log, and the way');
$node->safe_psql($db, q{
	ALTER TABLE track ADD PRIMARY KEY (entry_key);
	ALTER TABLE play_event ALTER id ADD GENERATED BY DEFAULT AS IDENTITY (START 1000000)});
($result, undef, $err) = $node->psql($db, $attach);
like($err, qr/ERROR:  slot table "play_counter_slot" has no usable index on its key\n.*HINT:  Create one: CREATE INDEX/s,
	'P7: pg_restore of tables: attach_log tells what else is missing');
$node->safe_psql($db, "CREATE INDEX ON play_counter_slot (track_entry_key, release_id, bucket);
	CREATE INDEX ON play_daily_slot (track_entry_key); CREATE INDEX ON play_seconds_slot (track_entry_key); $attach");
restored_play($db, 'pg_restore of tables, then attach_log');

#
# To where something is already.
#
$db = new_database('CREATE EXTENSION playevent');
succeeded('the extension there already', by_pg_restore($db, $custom, '-e'));
restored($node, $db, 'the extension there already');

$db = new_database('CREATE EXTENSION playevent');
succeeded('--clean, the extension there already', by_pg_restore($db, $custom, '-e', '--clean', '--if-exists'));
restored($node, $db, '--clean, the extension there already');

# Logs there already, with other plays.
$node->safe_psql($db, $some_plays);
($result, $err) = by_pg_restore($db, $custom);
is($result, 'failed', 'P7: the log there already: fails');
like($err, qr/relation "play_event" already exists/, 'P7: the log there already: says so');
like($err, $refused, 'P7: the log there already: and that slots are refused');
is(not_exact($node, $db), '', 'P7: the log there already: exact');
is(log_state($node, $db), $state, 'P7: the log there already: its triggers are as they were');
# Postgres can't drop the primary key of a partition, and goes on to drop the table.
($result, $err) = by_psql($db, dump_of('site', '--clean', '--if-exists'));
is(join("\n", grep { /\S/ && !/ERROR:  cannot drop inherited constraint/ } split /\n/, $err), '', 'P7: --clean, the log there already: no other error');
restored($node, $db, '--clean, the log there already');

#
# Dumped by several workers while plays come in.
#
append_to_file("$dir/play.pgbench", q{
	\set n random_zipfian(1, 60, 1.1)
	BEGIN;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k' || :n, 'most');
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'partial');
	END;
});
my $count = 'SELECT count(*) FROM play_event';
my $before = $node->safe_psql('site', $count);
my $traffic = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 4, '-T', 10 * $PostgreSQL::Test::Utils::timeout_default, '-f', "$dir/play.pgbench", 'site' ],
	'>', "$dir/pgbench.out", '2>', "$dir/pgbench.err");
$node->poll_query_until('site', "SELECT count(*) > $before + 100 FROM play_event") or die 'no traffic';
$before = $node->safe_psql('site', $count);
my $directory = dump_of('site', '-Fd', '-j', 4);
my $after = $node->safe_psql('site', $count);
$traffic->signal('TERM');
$traffic->finish;
cmp_ok($before, '<', $after, 'plays came in during the dump');
$db = new_database();
succeeded('directory, -j 4, under load', by_pg_restore($db, $directory, '-e', '-j', 4));
is(not_exact($node, $db), '', 'P7: directory, -j 4, under load: exact');
is(log_state($node, $db), $state, 'P7: directory, -j 4, under load: the triggers are as they were');
is(log_faults($node, $db), '', 'P7: directory, -j 4, under load: plays are counted on');
my $restored = $node->safe_psql($db, $count);
cmp_ok($restored, '>=', $before, 'P7: directory, -j 4, under load: no play is missing from before');
cmp_ok($restored, '<=', $after, 'P7: directory, -j 4, under load: none is from after');

$node->stop;
is(complaints($_, 0), '', 'nothing bad in the server log')
  foreach ($node, $second);
done_testing();
