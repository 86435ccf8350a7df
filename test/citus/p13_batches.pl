# P13, P9 and P3: a batch that is recorded in a log that is spread over nodes of Citus
# gets the receipts that it gets on one server, in order, on whatever node it is
# sent; nothing is lost, and nothing counted twice.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Citus;
use PlayEvent qw(slowdown traffic_options);

my @nodes = new_cluster(2);
my ($coordinator, @workers) = @nodes;

sub as
{
	my ($role, $node, $query) = @_;
	return $node->safe_psql('postgres', $query, extra_params => [ '-U', $role ]);
}

# What a query returns, or its SQLSTATE and message; of whichever log.
sub outcome
{
	my ($node, $query) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$query", extra_params => [ '-U', 'web' ]);
	$out = join ' ', $err =~ /ERROR:  (\w{5}): (.*)/ if $status != 0;
	return $out =~ s/\bnear_/play_/gr =~ s/record_nears/record_plays/gr;
}

# An event_id
sub id
{
	my ($n) = @_;
	return sprintf '00000000-0000-0000-0000-%012d', $n;
}

# A query of receipts, of rows of a key, a kind, an event_id and a listener
sub batch
{
	my ($log, @rows) = @_;
	my @arrays;
	foreach my $c (0 .. 3)
	{
		push @arrays, 'ARRAY[' . join(', ', map { defined $_->[$c] ? $_->[$c] =~ /^\w+\(/ ? $_->[$c] : "'$_->[$c]'" : 'NULL' } @rows) . ']';
	}
	return "SELECT ord, status, reason FROM record_${log}s($arrays[0]::text[], $arrays[1]::${log}_bucket[], $arrays[2]::uuid[], $arrays[3]::text[])";
}

#
# Two logs, one of which is distributed, with constraints and a trigger of the app's
#

foreach my $log ('near', 'play')
{
	as('site', $coordinator, qq{
		CREATE DOMAIN ${log}_token AS text CHECK (VALUE <> 'never');
		CREATE TABLE track_$log (entry_key text PRIMARY KEY, release_id bigint, is_deleted boolean NOT NULL DEFAULT false);
		INSERT INTO track_$log SELECT 'k' || i, i % 7 FROM generate_series(0, 50) i;
		CREATE TABLE place_$log (place int PRIMARY KEY);
		INSERT INTO place_$log VALUES (0);
		SELECT playevent.create_log('$log', track => 'track_$log', track_deleted => 'is_deleted', unknown_track => 'reject', ingest_role => 'web');
		ALTER TABLE ${log}_event ALTER COLUMN anon_id TYPE ${log}_token;
		ALTER TABLE ${log}_event ADD CONSTRAINT ${log}_no_spaces CHECK (anon_id NOT LIKE '% %');
		ALTER TABLE ${log}_event ADD COLUMN seconds bigint NOT NULL DEFAULT 1;
		ALTER TABLE ${log}_event ADD COLUMN inverse int GENERATED ALWAYS AS (1 / nullif(length(anon_id) - 7, 8)) STORED;
		CREATE INDEX ${log}_anon ON ${log}_event (anon_id);
		SELECT playevent.add_counter('${log}_event', '${log}_seconds', '{track_entry_key}', 'seconds')});
}
as('site', $coordinator, q{
	BEGIN;
	SELECT create_reference_table('track_play');
	SELECT create_reference_table('place_play');
	SELECT playevent.distribute_log('play_event', 8);
	COMMIT});
foreach my $log ('near', 'play')
{
	as('site', $coordinator, qq{
		SET citus.enable_unsafe_triggers = on;
		ALTER TABLE ${log}_event ADD COLUMN place int DEFAULT 0;
		ALTER TABLE ${log}_event ADD CONSTRAINT ${log}_place_fk FOREIGN KEY (place) REFERENCES place_$log;
		CREATE FUNCTION ${log}_app() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			IF NEW.anon_id = 'bad' THEN RAISE EXCEPTION 'not this one'; END IF;
			IF NEW.anon_id = 'skip' THEN RETURN NULL; END IF;
			RETURN NEW;
		END \$\$;
		CREATE TRIGGER app BEFORE INSERT ON ${log}_event FOR EACH ROW EXECUTE FUNCTION ${log}_app()});
}

my $size = as('site', $coordinator, 'SELECT count(*) FROM play_event');
sub same_receipts
{
	my ($name, @rows) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $near = outcome($coordinator, batch('near', @rows));
	my $node = $nodes[ $size++ % @nodes ];
	return is(outcome($node, batch('play', @rows)), $near, "P9: $name, as on one server, on " . $node->name);
}

#
# Receipts
#

my @good = map { [ "k$_", 'most', id($_), "a$_" ] } 1 .. 40;
my @faults = (
	[ 'no key', [ undef, 'most', id(101), 'a' ] ],
	[ 'an empty key', [ '', 'most', id(102), 'a' ] ],
	[ 'a key that is too long', [ 'x' x 101, 'most', id(103), 'a' ] ],
	[ 'no kind', [ 'k1', undef, id(104), 'a' ] ],
	[ 'an unknown track', [ 'unknown', 'most', id(105), 'a' ] ],
	[ 'a CHECK', [ 'k2', 'most', id(106), 'a b' ] ],
	[ 'a domain', [ 'k3', 'most', id(107), 'never' ] ],
	[ 'a trigger that refuses', [ 'k4', 'most', id(108), 'bad' ] ],
	[ 'a trigger that leaves out', [ 'k5', 'most', id(109), 'skip' ] ],
	[ 'a generated column', [ 'k6', 'most', id(110), '7 chars' =~ s/ /_/r ] ],
	[ 'a row that is too large for an index', [ 'k7', 'most', id(111), q{concat((SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) i))} ] ],
);
my $exact = sub
{
	my ($name) = @_;
	my ($near, $play) = map { as('site', $coordinator, "SELECT track_entry_key, release_id, bucket, event_id, anon_id, inverse FROM ${_}_event ORDER BY 1, 4, 5, 3") } 'near', 'play';
	is($play, $near, "P3: $name: the same rows");
	shards_are_exact(\@nodes, $name, scalar(() = $near =~ /^/mg));
};

foreach my $n (0 .. 2)
{
	same_receipts("a batch without a fault, time $n", @good[ 0 .. 19 ]);
}
foreach my $fault (@faults)
{
	my ($name, $row) = @$fault;
	same_receipts($name, @good[ 0, 21 ], $row, @good[ 22, 1 ], $row);
}
same_receipts('all at once', (map { $_->[1] } @faults), @good, reverse @good);
same_receipts('an event_id of a row that is rejected is free for the next', [ 'k8', 'most', id(120), 'bad' ],
	[ 'k8', 'complete', id(120), 'good' ], [ 'k8', 'most', id(120), 'late' ]);
same_receipts('without event_ids', map { [ $_->[0], $_->[1], undef, undef ] } @good, $faults[4][1]);
$exact->('receipts');

my $long = sub
{
	my ($log) = @_;
	return qq{SELECT status, count(*) FROM record_${log}s((SELECT array_agg('k' || i % 50) FROM generate_series(1, 1300) i),
		array_fill('most'::${log}_bucket, '{1300}'), (SELECT array_agg(('00000000-0000-0000-0000-' || lpad((i * 7919 % 1301 + 5000)::text, 12, '0'))::uuid) FROM generate_series(1, 1300) i)) GROUP BY 1};
};
foreach my $node (@nodes)
{
	is(outcome($node, $long->('play')), outcome($coordinator, $long->('near')), 'P13: a long batch, on ' . $node->name);
}
$exact->('a long batch');

#
# Ids
#

# Each status, how often its id is that of the row with this key and event_id, and how many ids.
my $ids = q{
	WITH sent AS (SELECT array_agg('k' || i % 40 ORDER BY i) AS keys, array_agg(CASE WHEN i % 3 < 2 THEN ('00000000-0000-0000-0001-' || lpad((i % 10)::text, 12, '0'))::uuid END ORDER BY i) AS ids
		FROM generate_series(0, 59) i),
	receipt AS MATERIALIZED (SELECT r.*, keys[r.ord] AS key, ids[r.ord] AS event_id
		FROM sent, record_plays(keys, array_fill('most'::play_bucket, '{60}'), ids) r)
	INSERT INTO receipts SELECT * FROM receipt;
	SELECT r.status, count(*), count(p.id), count(DISTINCT r.id) FROM receipts r
	  LEFT JOIN play_event p ON p.id = r.id AND p.track_entry_key = r.key AND p.event_id IS NOT DISTINCT FROM r.event_id
	 GROUP BY 1 ORDER BY 1;
	SELECT count(DISTINCT id) FROM receipts;
	SELECT bool_and(ord = row_number) FROM (SELECT ord, row_number() OVER () FROM receipts) o};
$ids = "CREATE TEMP TABLE receipts (ord int, status text, id bigint, reason text, key text, event_id uuid);" . $ids;
# Of 60 rows 20 have no event_id; the other 40 name 26 of one track and one event_id each.
my $pairs = do { my %p; $p{ $_ % 40 . ' ' . $_ % 10 } = 1 foreach grep { $_ % 3 < 2 } 0 .. 59; scalar keys %p };
is(as('site', $workers[0], $ids), sprintf("duplicate|%d|%1\$d|%1\$d\nrecorded|%d|%2\$d|%2\$d\n%2\$d\nt", 40 - $pairs, 20 + $pairs),
	'P3: ids are those of the rows; event_ids are unique for each track');
is(as('site', $workers[1], $ids), sprintf("duplicate|40|40|%d\nrecorded|20|20|20\n%d\nt", $pairs, 20 + $pairs),
	'P3: and those of a retry, from another node, are the first ones\'');

#
# Whole transactions
#

my $rows = as('site', $coordinator, 'SELECT count(*) FROM play_event');
my $three = q{SELECT count(*) FROM record_plays('{k1,k2,k3}', '{most,most,most}', NULL, '{t,t,"t t"}')};
foreach my $node (@nodes)
{
	as('site', $node, qq{BEGIN; $three; ROLLBACK; BEGIN; $three; SAVEPOINT s; $three; ROLLBACK TO s; $three; COMMIT;
		DO \$\$ BEGIN PERFORM 1 FROM record_plays('{k1,k2,k3}', '{most,most,most}'); RAISE EXCEPTION 'x'; EXCEPTION WHEN raise_exception THEN NULL; END \$\$;
		BEGIN ISOLATION LEVEL REPEATABLE READ; $three; COMMIT; BEGIN ISOLATION LEVEL SERIALIZABLE; $three; COMMIT});
	$rows += 8;
	shards_are_exact(\@nodes, 'savepoints, ROLLBACK and isolation levels, on ' . $node->name, $rows);
}

# A track that the same transaction has changed; batches that find firsts open no further connections.
as('site', $coordinator, q{BEGIN;
	SELECT count(*) FROM record_plays(array_fill('k1'::text, '{3}') || '{k2,k3,k4,k5,k6,k7,k8,k9}'::text[], array_fill('most'::play_bucket, '{11}'),
		(SELECT array_agg(('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid) FROM unnest('{1,1,7001,2,3,4,5,6,7,8,9}'::int[]) i));
	UPDATE track_play SET release_id = 100;
	SELECT count(*) FROM record_plays('{k1,k2,k3,k4,k5,k6,k7,k8,k9}', array_fill('most'::play_bucket, '{9}'), NULL, array_fill('new'::text, '{9}'));
	COMMIT});
$rows += 10;
is($coordinator->safe_psql('postgres', q{SELECT release_id, count(*) FROM play_event WHERE anon_id = 'new' GROUP BY 1}), '100|9',
	'P2: a release that the same transaction has set');
shards_are_exact(\@nodes, 'after it', $rows);

#
# What is the server's fault is an error
#

sub same_error
{
	my ($name, $change, $undo, $state) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	as('site', $coordinator, $change =~ s/LOG/$_/gr) foreach 'near', 'play';
	my $near = outcome($coordinator, batch('near', @good[ 20 .. 24 ], $faults[5][1], [ 'k1', 'most' ]));
	like($near, qr/^$state /, "P9: $name is an error");
	foreach my $node (@nodes)
	{
		is(outcome($node, batch('play', @good[ 20 .. 24 ], $faults[5][1], [ 'k1', 'most' ])), $near, "P9: as on one server, on " . $node->name);
	}
	as('site', $coordinator, $undo =~ s/LOG/$_/gr) foreach 'near', 'play';
	return;
}
same_error('a column that nobody gives a value', 'ALTER TABLE LOG_event ADD COLUMN must int NOT NULL DEFAULT 0; ALTER TABLE LOG_event ALTER COLUMN must DROP DEFAULT',
	'ALTER TABLE LOG_event DROP COLUMN must', '23502');
same_error('a default that the app\'s constraint refuses', 'ALTER TABLE LOG_event ALTER COLUMN place SET DEFAULT 7',
	'ALTER TABLE LOG_event ALTER COLUMN place SET DEFAULT 0', '23503');
same_error('a counter whose sum is full', 'ALTER TABLE LOG_event ALTER COLUMN seconds SET DEFAULT 9223372036854775807',
	'ALTER TABLE LOG_event ALTER COLUMN seconds SET DEFAULT 1', '22003');
shards_are_exact(\@nodes, 'P9: nothing of them is recorded', $rows);

# Ids that are there already
foreach my $log ('near', 'play')
{
	as('site', $coordinator, qq{INSERT INTO ${log}_event (id, track_entry_key, bucket) SELECT 500000 + i, 'k1', 'most' FROM generate_series(0, 3) i;
		SELECT setval('${log}_event_id_seq', 499999)});
}
my $behind = batch('near', map { [ "k$_", 'most' ] } 0 .. 3);
my $near = outcome($coordinator, $behind);
like($near, qr/^23505 /, 'P9: a sequence that is behind is an error');
is(outcome($coordinator, $behind =~ s/near/play/gr), $near, 'P9: as on one server');

#
# Beside each other: batches that share event_ids, in any order, with a row that is rejected
#

my $before = $coordinator->safe_psql('postgres', 'SELECT count(*) FROM play_event');
my @options = traffic_options(PostgreSQL::Test::Utils::tempdir(), batch => [ 1, q{
SELECT count(r.id) FROM (SELECT array_agg(CASE i WHEN 7 THEN 'unknown' ELSE 'k' || i % 50 END ORDER BY md5(i + :n || '')) AS keys, array_agg(('00000000-0000-0000-0003-' || lpad(i::text, 12, '0'))::uuid ORDER BY md5(i + :n || '')) AS ids FROM generate_series(0, 1999) i WHERE i = 7 OR (i + :n) % 90 < 5 AND i < :n % 2000) s, record_plays(keys, array_fill('most'::play_bucket, ARRAY[cardinality(keys)]), ids) r;} ]);
my @clients;
foreach my $node (@nodes)
{
	my %client = (out => '');
	$client{run} = IPC::Run::start([ 'pgbench', '-n', '-U', 'web', '-h', $node->host, '-p', $node->port,
		'-c', 3, '-t', int 30 / slowdown() + 1, @options, 'postgres' ], '<', \undef, '>&', \$client{out});
	push @clients, \%client;
}
foreach my $client (@clients)
{
	ok($client->{run}->finish, 'P4: batches with the same event_ids don\'t wait for each other in a circle') || diag $client->{out};
}
my $new = $coordinator->safe_psql('postgres', q{SELECT count(*), count(DISTINCT event_id) FROM play_event WHERE event_id::text LIKE '00000000-0000-0000-0003-%'});
like($new, qr/^(\d+)\|\1$/, 'P3: each play is there once');
shards_are_exact(\@nodes, 'P3: beside each other', $before + (split /\|/, $new)[0]);
shells_are_empty(\@nodes, 'P13: nothing has ever gone into a shell');

$_->stop foreach @nodes;
done_testing();
