# P3 and P13: tracks over several servers, behind PL/Proxy, by the statements and commands of
# sql/OPERATIONS.md.  Clients play through the proxy while a node is killed, and while a
# shard moves to another one.  What they send again is there once, on the shard
# of its track; and all that the proxy tells is what a count of our own over all
# shards comes to.
#
# Debian's postgresql-…-plproxy; without it, nothing is tested.
#
# PLAYEVENT_SEED repeats what the clients send, if not how they meet.

use strict;
use warnings;

use Digest::SHA qw(sha256);
use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::INET;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use PlayEvent qw(slowdown random_seed any chance differences kill_server complaints);

# To begin with, only as many servers as it takes to tell whether there is PL/Proxy
my $proxy = PostgreSQL::Test::Cluster->new('proxy');
$proxy->init;
$proxy->start;
if ($proxy->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'plproxy'}) eq '0')
{
	$proxy->stop;
	plan skip_all => 'extension plproxy is not available';
}
random_seed();

#
# The document's blocks, by what their first lines say; connections are to the test's
# servers.
#
my ($section) = slurp_file("$FindBin::RealBin/../../sql/OPERATIONS.md") =~ /^## Tracks over several servers, behind PL\/Proxy\n(.*?)^## /ms;
my @blocks = map { { text => $_, used => 0 } } $section =~ /^```(?:sql|sh)\n(.*?)^```\n/gms;
my (%server, %node);
my $password = 'a password';

sub here
{
	my ($text) = @_;

	my $hosts = join '|', keys %server;
	$text =~ s/host=($hosts) /'host=' . $server{$1}->host . ' port=' . $server{$1}->port . ' '/ge;
	$text =~ s/-h ($hosts) /'-h ' . $server{$1}->host . ' -p ' . $server{$1}->port . ' '/ge;
	$text =~ s/password=…/password=unused/g;
	$text =~ s/'…'/'$password'/g;
	return $text;
}

sub block
{
	my ($beginning) = @_;

	my @found = grep { $_->{text} =~ /^(?:-- )?\Q$beginning\E/ } @blocks;
	die scalar(@found) . " blocks begin with \"$beginning\"" if @found != 1;
	$found[0]{used} = 1;
	return here($found[0]{text});
}

# By psql, since a block may have commands of its
sub run_block
{
	my ($node, $database, $beginning, %change) = @_;

	my $text = block($beginning);
	foreach my $from (sort keys %change)
	{
		$text =~ s/$from/$change{$from}/g or die "$beginning has no $from";
	}
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	my ($status, $out, $err) = $node->psql($database, $text, on_error_stop => 1);

	# Who is to be ended may have gone.
	$err =~ s/^psql:<stdin>:\d+: WARNING:  PID \d+ is not a PostgreSQL backend process\n?//mg;
	is("$status$err", '0', "P13: \"$beginning\": runs on " . $node->name) or die $text;
	return $out;
}

#
# The servers.  Whoever is the proxy's has to say a password.
#
my $tracks = PostgreSQL::Test::Cluster->new('tracks');
$tracks->init(allows_streaming => 'logical');
$tracks->append_conf('postgresql.conf', "max_wal_senders = 20\nmax_replication_slots = 20\n");
$tracks->start;
$server{tracks} = $tracks;
foreach my $number (1 .. 3)
{
	my $node = PostgreSQL::Test::Cluster->new("node_$number");
	$node->init;
	$node->append_conf('postgresql.conf', "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\nmax_logical_replication_workers = 12\nmax_worker_processes = 20\n");
	my $hba = $node->data_dir . '/pg_hba.conf';
	my $trusted = slurp_file($hba);
	unlink $hba;
	append_to_file($hba, "local all proxy scram-sha-256\n$trusted");
	$node->start;
	$server{"node-$number"} = $node;
}

# Which has the shard
my @node_of = @server{qw(node-1 node-1 node-2 node-2)};

run_block($server{"node-$_"}, 'postgres', 'on each node') foreach (1 .. 3);
foreach my $number (0 .. 3)
{
	run_block($node_of[$number], 'postgres', 'on its node, for each shard', 'site_0' => "site_$number");
	run_block($node_of[$number], "site_$number", 'in each shard; the right', '(?<=WITH )4(?=;)' => 4 + $number);
}

# The site's tracks: 50, of 8 releases and of none.
my %release = map { ("k$_" => $_ % 9 == 8 ? '' : $_ % 9) } 0 .. 49;
$tracks->safe_psql('postgres', 'CREATE DATABASE site');
$tracks->safe_psql('site', q{
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint, is_deleted boolean NOT NULL DEFAULT false, title text);
	INSERT INTO track SELECT 'k' || i, nullif(i % 9, 8) FROM generate_series(0, 49) i});
run_block($tracks, 'site', 'where the tracks are' . "\nCREATE ROLE");
run_block($node_of[$_], "site_$_", 'in each shard, as a superuser', tracks_0 => "tracks_$_") foreach (0 .. 3);
my $has_tracks = q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel};
$node_of[$_]->poll_query_until("site_$_", $has_tracks) foreach (0 .. 3);

$proxy->safe_psql('postgres', 'CREATE DATABASE proxy');
foreach my $part ("\nCREATE ROLE", ': which shard', ': batches', ': reading', ': rights')
{
	run_block($proxy, 'proxy', "in the proxy database$part");
}

#
# Questions to ask
#
my %acknowledged;    # event_id => id
my %sent;            # event_id => track|kind

# As somebody, through the proxy
sub ask
{
	my ($role, $query, %params) = @_;

	return $proxy->psql('proxy', $query, extra_params => [ '-U', $role ], on_error_stop => 1, %params);
}

sub told
{
	my ($role, $query) = @_;

	my ($status, $out, $err) = ask($role, $query);
	return $err =~ s/^NOTICE:  PL\/Proxy: dropping stale conn\n?//gmr . $out;
}

sub fails
{
	my ($role, $query, $message, $name) = @_;
	my (undef, $out, $err) = ask($role, "\\set VERBOSITY verbose\n$query");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($out . $err, $message, $name);
	return;
}

# The shard a key is on, by our own reckoning
sub shard_of { return ord(sha256($_[0])) % 4; }

# All plays there are: shard|id|track|release|kind|event_id
sub rows
{
	return map {
		split /\n/, $node_of[$_]->safe_psql("site_$_",
			"SELECT $_, id, track_entry_key, release_id, bucket, event_id FROM play_event")
	} 0 .. 3;
}

# Each shard is exact; what the proxy tells is the sum of all rows; a play is once
# in all, where it belongs, and under the id that was told.
sub exact_everywhere
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node_of[$_]->safe_psql("site_$_", differences('play')), '0|0', "P3: $name: shard $_: exact") foreach (0 .. 3);
	is(told('reader', 'SELECT count(*) FROM play_verify()'), 0, "P3: $name: verify, through the proxy, has nothing to say");

	my (%track, %release_of, %kind, %at, %played, @wrong);
	foreach my $row (rows())
	{
		my ($shard, $id, $track, $release, $kind, $event_id) = split /\|/, $row, -1;
		$track{$track}{$kind}++;
		$release_of{$release}{$kind}++ if $release ne '';
		push @wrong, "$row is not of shard " . shard_of($track) if shard_of($track) != $shard;
		push @wrong, "$row has an id of another shard" if $id % 4 != $shard;
		push @wrong, "id $id is there twice" if $at{$id}++;
		push @wrong, "$row has another release than its track" if exists $release{$track} && $release ne $release{$track};
		next if $event_id eq '';
		push @wrong, "$event_id is there twice" if exists $played{$event_id};
		$played{$event_id} = [ $id, "$track|$kind" ];
		push @wrong, "$row is not what was sent" if exists $sent{$event_id} && $sent{$event_id} ne "$track|$kind";
	}
	foreach my $event_id (keys %acknowledged)
	{
		push @wrong, "$event_id was acknowledged as $acknowledged{$event_id}"
		  if ($played{$event_id}[0] // 'none') ne $acknowledged{$event_id};
	}
	is(join("\n", @wrong[ 0 .. ($#wrong > 9 ? 9 : $#wrong) ]), '', "P3: $name: each play is once, where it belongs");

	my $line = sub { my ($of) = @_; my @n = map { $of->{$_} // 0 } qw(partial most complete); return join '|', @n, $n[0] + $n[1] + $n[2]; };
	foreach my $by ([ track => text => \%track ], [ release => bigint => \%release_of ])
	{
		my ($what, $type, $counts) = @$by;
		my @keys = sort keys %$counts;
		my %plays = map { ($_ => (split /\|/, $line->($counts->{$_}))[3]) } @keys;
		is(told('reader', "SELECT k.key, c.* FROM unnest('{" . join(',', @keys) . "}'::${type}[]) WITH ORDINALITY AS k(key, n)
				CROSS JOIN LATERAL play_by_$what(k.key) AS c ORDER BY k.n"),
			join("\n", map { "$_|" . $line->($counts->{$_}) } @keys), "P3: $name: counts by $what, through the proxy");
		my @top = sort { $plays{$b} <=> $plays{$a} || $a cmp $b } @keys;
		splice @top, 5 if @top > 5;
		is(told('reader', "SELECT key, plays FROM play_top(by => '$what', lim => 5)"),
			join("\n", map { "$_|$plays{$_}" } @top), "P3: $name: top by $what, through the proxy");
	}
	my $all = scalar(keys %at);
	is(told('reader', 'SELECT sum(plays) FROM play_series()'), $all, "P3: $name: series, through the proxy, of all $all plays");
	return;
}

#
# It is as on one server
#
my @key = map { my $shard = $_; (grep { shard_of($_) == $shard } map { "k$_" } 0 .. 49)[0] } 0 .. 3;
my $some = 'b6dd04a2-7c3a-4b7e-9d1f-3d0c2a4f5e6';
foreach my $shard (0 .. 3)
{
	is(told('web', "SELECT record_play('$key[$shard]', 'most', '$some$shard') % 4"), $shard, "P13: shard $shard: a play is recorded there");
}
is(told('web', "SELECT record_play('$key[1]', 'most', '${some}1')"), told('web', "SELECT record_play('$key[1]', 'complete', '${some}1')"),
	'P3: a retry gets the id of the first');
is(told('web', "SELECT record_play_heard('$key[2]', 0.97, event_id => '${some}7') > 0, record_play_heard('$key[2]', 0.01)"), 't|', 'P13: record_play_heard');
my $batch = qq{ARRAY['$key[3]', '$key[0]', NULL, '$key[3]', '', '$key[1]', '$key[0]', '$key[2]'],
	ARRAY['most', 'complete', 'most', 'partial', 'most', 'most', NULL, 'most']};
is(told('web', "SELECT ord, status, id % 4, reason FROM record_plays($batch, ARRAY[NULL, '${some}8', NULL, '${some}9', NULL, '${some}1', NULL, '${some}a']::uuid[])"),
	"1|recorded|3|\n2|recorded|0|\n3|rejected||no key\n4|recorded|3|\n5|rejected||empty key\n6|duplicate|1|\n7|rejected||no kind\n8|recorded|2|",
	"P13: receipts come in the caller's order");
is(told('web', "SELECT string_agg(status, ' ' ORDER BY ord) FROM record_plays($batch)"),
	'recorded recorded rejected recorded rejected recorded rejected recorded', 'P13: a batch without event_ids and listeners');
is(told('web', "SELECT count(*) FROM record_plays('{}', '{}')"), 0, 'P13: an empty batch');
fails('web', "SELECT * FROM record_plays('{k1,k2}', '{most}')", qr/ERROR:  2202E: arrays differ in length/, 'P9: arrays of different length');
fails('web', "SELECT * FROM record_plays('{k1,k2}', '{most,most}', '{}')", qr/ERROR:  2202E:/, 'P9: an array of event_ids of another length');
fails('web', "SELECT * FROM record_plays(NULL, '{most}')", qr/ERROR:  22004: an array is missing/, 'P9: an array is missing');
fails('web', "SELECT record_play('$key[2]', 'none')", qr/ERROR:  22P02: public\.record_play\(4\): \[site_2\] REMOTE ERROR: invalid input value for enum play_bucket: "none"/, 'P9: an unknown kind');
fails('web', "SELECT record_play(NULL, 'most')", qr/ERROR:  23502: .*\[site_0\].*column "track_entry_key" of table "play_event"/, 'P9: no key');
fails('web', "SELECT record_play_heard('$key[2]', 1.1)", qr/ERROR:  22003: .*\[site_2\]/, 'P9: more than all was heard');
fails('web', "SELECT * FROM record_plays(ARRAY['$key[2]', '$key[0]'], '{none,none}')", qr/ERROR:  22P02:/, 'P9: an unknown kind in a batch');
is(told('web', "BEGIN; SELECT record_play('$key[1]', 'most', '${some}b') > 0; ROLLBACK"), 't', 'P13: a play');
is((grep { /\|${some}b$/ } rows()), 1, 'P13: ROLLBACK on the proxy leaves it there');
exact_everywhere('some plays');

# Rights
fails('web', $_, qr/ERROR:  42501: /, "P8: not the web role's: $_")
  foreach (q{SELECT * FROM record_plays_apart('{0}', '{1}', '{k1}', '{most}', '{NULL}', '{NULL}')}, 'SELECT * FROM play_top()', 'SELECT * FROM play_verify()',
	q{CREATE USER MAPPING FOR web SERVER plays}, q{ALTER SERVER plays OPTIONS (SET p0 'dbname=postgres')});
fails('reader', "SELECT record_play('k1', 'most')", qr/ERROR:  42501:/, "P8: nor is recording the reader's");
is(told($_, 'SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL'), 0, "P8: $_ can't read the password") foreach (qw(web reader));
{
	my ($status, undef, $err) = $node_of[0]->psql('site_0', 'SELECT 1', extra_params => [ '-U', 'proxy', '-w' ]);
	isnt($status, 0, 'P8: whoever connects as the proxy must know it');
	local $ENV{PGPASSWORD} = $password;
	foreach my $statement ("INSERT INTO play_event (id, track_entry_key, bucket) VALUES (1, 'k1', 'most')", 'SELECT * FROM track', 'DELETE FROM play_event',
		"SELECT playevent.rebuild('play_event')")
	{
		(undef, undef, $err) = $node_of[0]->psql('site_0', $statement, extra_params => [ '-U', 'proxy', '-w' ]);
		like($err, qr/permission denied|must be owner/, "P8: and may do little: not $statement");
	}
}

# The first error finds that there is no mapping.  So the document says.
is($proxy->safe_psql('proxy', q{SELECT count(*) FROM pg_user_mappings}), 1, 'P8: there is a mapping');

#
# A track that is published is on all shards
#
run_block($tracks, 'site', 'where the tracks are: nothing waits');
my ($names) = $section =~ /^```text\n(synchronous_standby_names = .*\n)```\n/m;
$tracks->append_conf('postgresql.conf', $names);
$tracks->reload;
foreach my $number (10 .. 17)
{
	run_block($tracks, 'site', 'where the tracks are: when COMMIT returns', k10 => "new$number", '(?<=, )8' => $number);
	$release{"new$number"} = $number;
	is(told('web', "SELECT record_play('new$number', 'most') > 0"), 't', "P2: track new$number is played at once");
}
is(join(' ', sort map { (split /\|/)[3] } grep { /\|new/ } rows()), '10 11 12 13 14 15 16 17', 'P2: and has its release');
exact_everywhere('new tracks');

#
# Clients that play: each file has statements, each play an event_id.  They go on
# after errors; what they were told is noted, and what was no error.
#
my $clients = 4;
my $serial = 0;
my @files;

sub uuid { return sprintf '%08x-0000-4000-8000-%012x', rand(2**32), ++$serial; }

sub play
{
	my $event_id = uuid();
	my $track = 'k' . (chance(50) ? int(rand(5)) : int(rand(50)));
	my $kind = any(qw(partial most complete));
	$sent{$event_id} = "$track|$kind";
	return ($event_id, $track, $kind);
}

sub write_files
{
	my ($name, $statements) = @_;
	@files = map { PostgreSQL::Test::Utils::tempdir() . "/$name$_.sql" } 1 .. $clients;
	foreach my $file (@files)
	{
		my $script = "\\set VERBOSITY sqlstate\n";
		foreach (1 .. $statements / slowdown())
		{
			if (chance(80))
			{
				my ($event_id, $track, $kind) = play();
				$script .= "SELECT '$event_id', " .
				  (chance(50) ? "record_play('$track', '$kind', '$event_id');\n" :
					sprintf "record_play_heard('%s', %s, event_id => '%s');\n", $track, { partial => 0.2, most => 0.6, complete => 1 }->{$kind}, $event_id);
				next;
			}
			my (@event_ids, @tracks, @kinds);
			foreach (1 .. 8)
			{
				my ($event_id, $track, $kind) = play();
				push @event_ids, $event_id;
				push @tracks, $track;
				push @kinds, $kind;
			}
			my ($event_ids, $tracks_sent, $kinds) = map { "'{" . join(',', @$_) . "}'" } \@event_ids, \@tracks, \@kinds;
			$script .= "SELECT (${event_ids}::uuid[])[ord], id FROM record_plays($tracks_sent, $kinds, $event_ids);\n";
		}
		append_to_file($file, $script);
	}
	return;
}

sub start_clients
{
	my ($out, $err) = @_;
	return map {
		my $n = $_;
		IPC::Run::start([ 'psql', '-XAtq', '-U', 'web', '-d', $proxy->connstr('proxy'), '-f', $files[$n] ], '>', \$out->[$n], '2>', \$err->[$n])
	} 0 .. $#files;
}

# What came of it: how many plays were acknowledged; SQLSTATEs with their numbers
sub finish_clients
{
	my ($out, $err, @clients) = @_;
	my $acknowledged = 0;
	my %state;

	$_->finish foreach (@clients);
	foreach my $line (map { split /\n/ } @$out)
	{
		my ($event_id, $id) = $line =~ /^([0-9a-f-]{36})\|(\d+)$/ or die $line;
		die "$event_id was $acknowledged{$event_id}, and is $id" if exists $acknowledged{$event_id} && $acknowledged{$event_id} != $id;
		$acknowledged{$event_id} = $id;
		$acknowledged++;
	}
	foreach my $line (map { split /\n/ } @$err)
	{
		my ($state) = $line =~ /ERROR:  (\w{5})$/;
		$state{$state}++ if defined $state;
		die $line if !defined $state && $line !~ /NOTICE:  00000|WARNING:  57P0/;
	}
	return ($acknowledged, join ' ', map { "$_ ($state{$_})" } sort keys %state);
}

# Send all of it again, until nothing fails: as the web tier would
sub all_is_there
{
	my ($name) = @_;
	my (@out, @err);

	my ($acknowledged, $errors) = finish_clients(\@out, \@err, start_clients(\@out, \@err));
	is($errors, '', "P3: $name: what is sent again is received");
	is(scalar(keys %acknowledged), scalar(keys %sent), "P3: $name: all plays are acknowledged");
	exact_everywhere($name);
	return;
}

# Errors that the document lists
my $documented = qr/^(?:(?:XX000|57P0[123]) \(\d+\) ?)+$/;
like($section, qr/\b$_\b/, "OPERATIONS tells of $_") foreach (qw(XX000 57P01 57P02 57P03 57014));

# A session that is connected to all shards
my $session = $proxy->background_psql('proxy', extra_params => [ '-U', 'web' ], on_error_stop => 0);
$session->query_safe("SELECT record_play('$_', 'most')") foreach (@key);

#
# A node is killed, and is away for a while
#
my $node_2 = $server{'node-2'};
my $count = 'SELECT count(*) FROM play_event';
write_files('killed', 2000);
my (@out, @err);
my @clients = start_clients(\@out, \@err);
$node_2->poll_query_until('site_3', "SELECT count(*) > 100 / @{[slowdown()]} FROM play_event") or die 'no traffic';
my @before = map { $server{'node-1'}->safe_psql("site_$_", $count) } 0, 1;
kill_server($node_2);
my ($acknowledged, $errors) = finish_clients(\@out, \@err, @clients);
like($errors, $documented, 'P13: a node is killed: plays fail as the document says');
cmp_ok($acknowledged, '>', 0, "P13: a node is killed: $acknowledged plays were acknowledged; errors: $errors");
cmp_ok($server{'node-1'}->safe_psql("site_$_", $count), '>', $before[$_], "P13: a node is killed: shard $_ went on") foreach (0, 1);
is($server{'node-1'}->safe_psql("site_$_", differences('play')), '0|0', "P3: a node is killed: shard $_: exact") foreach (0, 1);

my $down = qr/ERROR:  XX000: PL\/Proxy function public\.\w+\(\d\): \[site_[23]\] PQconnect\w+: connection to server .* failed: /;
fails('web', "SELECT record_play('$key[2]', 'most')", $down, 'P13: a node is down: a play of its tracks');
fails('web', "SELECT * FROM record_plays(ARRAY['$key[2]', '$key[0]'], '{most,most}', '{${some}c,${some}d}')", $down, 'P13: a node is down: a batch with its tracks');
fails('reader', "SELECT * FROM play_by_track('$key[2]')", $down, 'P13: a node is down: a count of its tracks');
fails('reader', $_, $down, "P13: a node is down: $_")
  foreach ('SELECT * FROM play_by_release(1)', 'SELECT * FROM play_top()', 'SELECT * FROM play_series()', 'SELECT * FROM play_verify()');
is(told('web', "SELECT record_play('$key[0]', 'most', '${some}e') > 0"), 't', 'P13: a node is down: a play of other tracks');
is(told('web', "SELECT status FROM record_plays(ARRAY['$key[0]', '$key[1]'], '{most,most}')"), "recorded\nrecorded", 'P13: a node is down: a batch of other tracks');
like(told('reader', "SELECT plays FROM play_by_track('$key[0]')"), qr/^\d+$/, 'P13: a node is down: a count of other tracks');

# A machine that takes connections and says nothing
{
	my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
	my $there = $proxy->safe_psql('proxy', q{SELECT substr(o, 4) FROM pg_foreign_server, unnest(srvoptions) AS o WHERE o LIKE 'p2=%'});
	$proxy->safe_psql('proxy', "ALTER SERVER plays OPTIONS (SET p2 'host=127.0.0.1 port=@{[$silent->sockport]} dbname=site_2')");
	fails('web', "SET statement_timeout = '1s'; SELECT record_play('$key[2]', 'most')", qr/ERROR:  57014:/, 'P13: a node does not answer: statement_timeout ends it');
	is(told('web', "SELECT record_play('$key[0]', 'most') > 0"), 't', 'P13: a node does not answer: a play of other tracks');
	$proxy->safe_psql('proxy', "ALTER SERVER plays OPTIONS (SET p2 '$there')");
}

# A track that changes meanwhile, without waiting
$tracks->safe_psql('site', q{UPDATE track SET release_id = 77 WHERE entry_key = 'new10'});

$node_2->start;
my ($said) = $session->query("SELECT record_play('$key[2]', 'most')");
($said) = $session->query("SELECT record_play('$key[2]', 'most')") if $said !~ /^\d+$/;
like($said, qr/^\d+$/, 'P13: the node is back: a session that was connected goes on, with the second call at the latest');
all_is_there('a node was killed');
is(told('web', "SELECT status FROM record_plays(ARRAY['$key[2]', '$key[0]'], '{most,most}', '{${some}c,${some}d}')") =~ /^recorded\n(?:recorded|duplicate)$/, 1,
	'P3: the batch that failed is sent again');
foreach my $shard (0 .. 3)
{
	$node_of[$shard]->poll_query_until("site_$shard", q{SELECT release_id = 77 FROM track WHERE entry_key = 'new10'})
	  or die "no tracks in shard $shard";
}
pass('P2: the node is back: tracks have caught up');

# Shut down in order, its sessions are told so.
$node_2->restart;
($said, my $failed) = $session->query("SELECT record_play('$key[3]', 'most')");
($said) = $session->query("SELECT record_play('$key[3]', 'most')") if $said !~ /^\d+$/;
like($said, qr/^\d+$/, 'P13: restarted: a session goes on, with the second call at the latest');
exact_everywhere('restarted');

#
# A shard moves to another node, while plays come
#
write_files('moved', 1500);
(@out, @err) = ();
@clients = start_clients(\@out, \@err);
my $rows = $node_2->safe_psql('site_3', $count);
$node_2->poll_query_until('site_3', "SELECT count(*) > $rows + 30 / @{[slowdown()]} FROM play_event") or die 'no traffic';
run_block($node_2, 'postgres', 'on the old node: close');
my $closed = $node_2->safe_psql('site_3_moved', $count);
my $others = $server{'node-1'}->safe_psql('site_0', $count);
fails('web', "SELECT record_play('$key[3]', 'most')", qr/ERROR:  XX000: .*\[site_3\].*(?:too many connections for database|does not exist)/, 'P13: a shard is closed');
{
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	my (undef, $complaint) = run_command([ 'sh', '-ec', 'cd ' . PostgreSQL::Test::Utils::tempdir() . "\n" . block('psql -h node-3 -d postgres -c "CREATE DATABASE site_3') ]);
	is($complaint, '', 'P13: "psql -h node-3": runs without complaint');
}
my $check = block('in the new shard, before');
$server{'node-3'}->poll_query_until('site_3', $check, 't|0') or die 'the new shard does not get its tracks';
$node_of[3] = $server{'node-3'};
is($node_of[3]->safe_psql('site_3', $count), $closed, 'P3: the new shard has the plays of the old one');
is($node_2->safe_psql('site_3_moved', $count), $closed, 'P3: and nothing came to that any more');
run_block($proxy, 'proxy', 'in the proxy database: open the shard');
is(($session->query("SELECT record_play('$key[3]', 'most')"))[0] =~ /^\d+$/, 1, 'P13: a session that was connected finds the new one');
($acknowledged, $errors) = finish_clients(\@out, \@err, @clients);
like($errors, $documented, 'P13: a shard moves: plays fail as the document says');
note("a shard moves: $acknowledged plays were acknowledged; errors: $errors");
all_is_there('a shard has moved');
cmp_ok($node_of[3]->safe_psql('site_3', $count), '>', $closed, 'P13: the new shard is played to');
is($node_of[3]->safe_psql('site_3', 'SELECT intact FROM playevent.log'), 't', 'P13: and is intact');
$node_2->safe_psql('postgres', 'DROP DATABASE site_3_moved');
run_block($tracks, 'site', 'where the tracks are: when COMMIT returns', k10 => 'newer', '(?<=, )8' => 18);
$release{newer} = 18;
is(told('web', "SELECT record_play('newer', 'most') > 0"), 't', 'P2: a track is published to the shards, where they are now');
exact_everywhere('the old shard has gone');

#
# A shard moves by logical replication, and is closed at the end alone.  Its
# verdicts go along.
#
my $decide = sub {
	my ($node, $function) = @_;
	return $node->safe_psql('site_2', "SET ROLE site;
		SELECT playevent.$function('play_event', ARRAY(SELECT id FROM play_event WHERE track_entry_key = '$key[2]' ORDER BY id LIMIT 7), 'a test')");
};
my $plays = told('reader', "SELECT plays FROM play_by_track('$key[2]')");
is($decide->($node_2, 'void'), 7, 'P12: plays of a shard are voided there');
is(told('reader', "SELECT plays FROM play_by_track('$key[2]')"), $plays - 7, 'P12: and count no more, through the proxy');
write_files('large', 500);
(@out, @err) = ();
@clients = start_clients(\@out, \@err);
my $node_3 = $server{'node-3'};
{
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	my (undef, $complaint) = run_command([ 'sh', '-ec', 'cd ' . PostgreSQL::Test::Utils::tempdir() . "\n" . block('psql -h node-3 -d postgres -c "CREATE DATABASE site_2') ]);
	is($complaint, '', 'P13: a large shard: its schema is copied');
}
run_block($node_2, 'site_2', 'in the old shard, whose plays');
run_block($node_3, 'site_2', 'in the new shard, of which');
$node_3->poll_query_until('site_2', $has_tracks) or die 'the new shard does not get its rows';
$node_3->safe_psql('site_2', q{SELECT playevent.rebuild('play_event')});

# Those that play while rows are copied have nothing to complain of; those that do
# when the old one is closed, have.
($acknowledged, $errors) = finish_clients(\@out, \@err, @clients);
is($errors, '', "P13: a large shard: all $acknowledged plays are recorded while rows are copied");
write_files('closed', 1500);
(@out, @err) = ();
$rows = $node_2->safe_psql('site_2', $count);
@clients = start_clients(\@out, \@err);
$node_2->poll_query_until('site_2', "SELECT count(*) > $rows + 30 / @{[slowdown()]} FROM play_event") or die 'no traffic';
run_block($node_2, 'postgres', 'on the old node: nobody');
cmp_ok($node_2->safe_psql('site_2', $count), '>=', $rows, 'P13: a large shard: it was played to until it is closed');
my $both = block('in the old and the new shard');
my $state = $node_2->safe_psql('site_2', $both);
$node_3->poll_query_until('site_2', $both, $state) or die 'the new shard does not catch up';
run_block($node_3, 'site_2', 'in the new shard: ids');
run_block($node_2, 'postgres', 'on the old node: nor');
is($node_2->safe_psql('site_2_moved', $both), $state, 'P3: a large shard: nobody was late');
is($node_3->safe_psql('site_2', $both), $state, 'P3: a large shard: all is there');
run_block($node_3, 'site_2', 'in the new shard: the name');
$node_of[2] = $node_3;
run_block($proxy, 'proxy', 'in the proxy database: open the large');
($acknowledged, $errors) = finish_clients(\@out, \@err, @clients);
like($errors, $documented, 'P13: a large shard: plays fail as the document says');
note("a large shard moves: $acknowledged plays were acknowledged; errors: $errors");
is($node_3->safe_psql('site_2', q{SELECT count(*) FROM playevent.verify('play_event')}), 0, 'P12: a large shard: exact, less what was voided');
is($decide->($node_3, 'reinstate'), 7, 'P12: a large shard: what was voided before');
all_is_there('a large shard has moved');
is($node_3->safe_psql('site_2', 'SELECT intact FROM playevent.log'), 't', 'P13: a large shard: intact');
$node_2->safe_psql('postgres', 'DROP DATABASE site_2_moved');
run_block($tracks, 'site', 'where the tracks are: when COMMIT returns', k10 => 'newest', '(?<=, )8' => 19);
$release{newest} = 19;
is(told('web', "SELECT record_play('newest', 'most') > 0"), 't', 'P2: a large shard: tracks are published to it');
exact_everywhere('the old large shard has gone');

#
# verify tells which shard is wrong
#
$node_of[1]->safe_psql('site_1', qq{
	ALTER TABLE play_event DISABLE TRIGGER playevent_count;
	INSERT INTO play_event (track_entry_key, bucket) VALUES ('$key[1]', 'most')});
like(told('reader', 'SELECT DISTINCT shard, track_entry_key FROM play_verify()'), qr/^site_1\|$key[1]$/, 'P3: verify tells which shard is wrong');
$node_of[1]->safe_psql('site_1', q{
	SET client_min_messages = error;
	ALTER TABLE play_event ENABLE ALWAYS TRIGGER playevent_count;
	SELECT playevent.rebuild('play_event')});
exact_everywhere('rebuilt');

#
# A password in .pgpass instead
#
$session->quit;
my $passfile = PostgreSQL::Test::Utils::tempdir() . '/pgpass';
append_to_file($passfile, "*:*:*:proxy:$password\n");
chmod 0600, $passfile or die $!;
$proxy->safe_psql('proxy', 'ALTER USER MAPPING FOR site SERVER plays OPTIONS (DROP password)');
fails('web', "SELECT record_play('k1', 'most')", qr/ERROR:  XX000: .*no password supplied/, 'P8: no password');
{
	local $ENV{PGPASSFILE} = $passfile;
	$proxy->restart;
}
is(told('web', "SELECT record_play('k1', 'most') > 0"), 't', 'P8: a password in .pgpass');
exact_everywhere('with .pgpass');

is(join("\n", map { $_->{text} =~ s/\n.*//sr } grep { !$_->{used} } @blocks), '', 'all that OPERATIONS shows of it was run');
my @servers = ($proxy, $tracks, @server{qw(node-1 node-2 node-3)});
$_->stop foreach (@servers);
is(complaints($_, 0), '', $_->name . ': nothing bad in the server log') foreach (@servers);
done_testing();
