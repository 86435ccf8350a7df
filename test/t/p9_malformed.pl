# P9: a hundred thousand inputs that can't be plays, through SQL, the extended
# protocol and COPY: ill-encoded, over-long, of wrong types and formats, broken
# lines; and triggers and functions of the extension with arguments they can't
# work with.  Nothing crashes, nothing fails with an internal error (XX000), and
# what is refused is neither logged nor counted (P3).  In databases of other
# encodings too.
#
#	PLAYEVENT_INPUTS	how many are to be refused, 100000
#	PLAYEVENT_SEED		of the random numbers, printed

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PlayEvent qw(any chance differences);
use Wire;

my $wanted = $ENV{PLAYEVENT_INPUTS} // 100_000;
my $seed = $ENV{PLAYEVENT_SEED} // int(rand(1_000_000_000));
note("PLAYEVENT_SEED=$seed");
srand($seed);

# Of the inputs, so many are calls with wrong arguments; they are slower.
my $wanted_calls = int($wanted / 25);

my $node = PostgreSQL::Test::Cluster->new('malformed');
$node->init;
$node->append_conf('postgresql.conf', q{
max_prepared_transactions = 10
autovacuum = off
log_min_messages = log
});
$node->start;

my $schema = q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key text PRIMARY KEY, release_id bigint,
		is_deleted boolean NOT NULL DEFAULT false, note text);
	INSERT INTO track VALUES ('k1', 7), ('k2', 8);
	SELECT playevent.create_log('play', track => 'track', track_deleted => 'is_deleted');
	SELECT playevent.create_log('strict', track => 'track', unknown_track => 'reject');
	CREATE TABLE part_event (track_entry_key text NOT NULL, release_id bigint,
		bucket play_bucket NOT NULL, month int NOT NULL) PARTITION BY LIST (month);
	CREATE TABLE part_1 PARTITION OF part_event FOR VALUES IN (1);
	SELECT playevent.attach_log('part_event', track => 'track');
	CREATE TABLE victim (track_entry_key text, release_id bigint, bucket play_bucket, plays bigint);
	CREATE TABLE odd_slot (track_entry_key text, release_id bigint, bucket play_bucket, plays bigint NOT NULL);
	CREATE INDEX ON odd_slot (track_entry_key);
};

sub database
{
	my ($name, $encoding) = @_;
	$node->safe_psql('postgres',
		"CREATE DATABASE $name TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	$node->safe_psql($name, $schema);
	my $wire = Wire->connect($node, $name);
	my $result = $wire->query("SET client_min_messages = warning; SET client_encoding = '$encoding'");
	die $result->{error}{M} if $result->{error};
	return $wire;
}

sub bytes { my ($n) = @_; return join '', map { chr int rand 256 } 1 .. $n; }

# What a key may be made of: characters of one to four bytes, and what none is.
my @pieces = (
	'k', 'K1', ' ', "\t", "\n", "\r", "\\", '\\N', '\\.', "'", '"', '$$', '%s', '{}', ',', ';', '--', '/*', "\x01", "\x7f",
	"\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x8e\xb5", "\xef\xbb\xbf", "\xe2\x80\xae", "e\xcc\x81",
	"\x80", "\xbf", "\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf",
	"\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x8e",
	"\x8f\xa1", "\x8e", "\xa4\xa2");

sub key
{
	my $form = int rand 100;
	return 'k' . int rand 3 if $form < 10;
	return bytes(any(1 .. 5, 20, 99 .. 102)) if $form < 30;
	return 'x' x any(0, 1, 99, 100, 101, 102, 103, 255, 256, 1000) if $form < 45;
	return "\xc3\xbc" x any(50, 51, 99, 100, 101) if $form < 50;
	return any('x', "\xc3\xbc") x any(2000, 8191, 8192, 30000) if $form < 51;
	return join '', map { any(@pieces) } 1 .. any(1 .. 4, 30);
}

sub number
{
	return any('-1', '0', '9223372036854775807', '9223372036854775808', '-9223372036854775809', '9' x 30, '1e400', '-1e-400',
		'NaN', 'Infinity', '1.5', '0x1F', '1_000', '', ' ', '+', '-', '7 7', "7\x00", 'seven', '2147483648', bytes(3));
}

sub bucket
{
	return any('most', 'most', 'complete', 'partial', 'Most', 'most ', 'half', '', '0', '1', 'x' x 63, 'x' x 64, 'x' x 300,
		"\xff", "mo\x00st", 'NULL', '{most}', bytes(4));
}

my %value = (
	track_entry_key => \&key,
	bucket => \&bucket,
	release_id => \&number,
	id => \&number,
	month => sub { return any(1, 1, 1, number()); },
	event_id => sub {
		return any('', 'x', '0' x 32, '0' x 31, '0' x 33, 'g' x 32, '00000000-0000-0000-0000-000000000001',
			'{00000000-0000-0000-0000-00000000000', bytes(16), bytes(15));
	},
	anon_id => \&key,
	created_at => sub {
		return any('now', 'soon', 'infinity', '-infinity', 'epoch', '2026-02-30', '294277-01-01', '4714-01-01 BC', '0000-00-00',
			'2026-01-01 25:00', '1e9', '', bytes(8));
	},
	played => \&number);

my %columns = (
	play_event => [qw(release_id id event_id anon_id created_at played)],
	strict_event => [qw(release_id id event_id anon_id created_at played)],
	part_event => [qw(release_id month)],
	part_1 => [qw(release_id month)]);

# A table to insert into, and values of some of its columns.
sub row
{
	my $table = any('play_event', 'play_event', 'strict_event', 'part_event', 'part_1');
	my @names = chance(97) ? ('track_entry_key', 'bucket') : any([], ['bucket'], ['track_entry_key'])->@*;
	push @names, 'month' if $table =~ /part/;
	push @names, grep { $_ ne 'month' && chance(15) } $columns{$table}->@*;
	push @names, any(@names) if @names && chance(1);
	return ($table, \@names, [ map { chance(3) ? undef : $value{$_}->() } @names ]);
}

#
# The ways in.  Each returns a message.
#
sub literal
{
	my ($value) = @_;
	return 'NULL' if !defined $value;
	my $form = int rand 100;
	my $quoted = $value =~ s/'/''/gr;
	return "'$quoted'" if $form < 60;
	return 'E' . "'" . join('', map {
		my $escape = int rand 10;
		$escape < 5 ? sprintf('\\x%02x', ord) : $escape < 7 ? sprintf('\\%03o', ord)
		  : $escape < 8 ? sprintf('\\u%04x', any(0, 0xd800, 0xdfff, 0xfeff, ord)) : $escape < 9 ? sprintf('\\U%08x', any(0x110000, 0xffffffff, ord))
		  : $_ eq "'" ? "''" : $_ eq '\\' ? '\\\\' : $_
	} split //, substr($value, 0, 120)) . "'" if $form < 75;
	return "U&'" . sprintf(any('\\%04X', '\\+%06X', '\\%02X'), any(0, 0xd800, 0x110000, 0x20ac)) . "'" if $form < 80;
	return "convert_from('\\x" . unpack('H*', substr $value, 0, 200) . "', 'UTF8')" if $form < 88;
	return "'$quoted'::" . any('text', 'bytea', 'int', 'bigint', 'play_bucket', 'name', 'json', 'xml', 'int[]', 'varchar(3)') if $form < 96;
	return any('1', '1.5', 'true', 'ARRAY[1]', 'ROW(1)', 'current_user', '(SELECT 1)', '(SELECT 1, 2)', 'count(*)', '1/0', 'NOW()',
		"'", "\$\$k1", 'DEFAULT', '', ')', "repeat('x', 200)", "repeat('x', 300000)");
}

sub by_literals
{
	my ($table, $names, $values) = row();
	my $list = join ', ', map { literal($_) } @$values;
	my $good = @$names == 2 && chance(20) ? "('k1', 'most'), " : '';
	return Wire::simple_query("INSERT INTO $table (" . join(', ', @$names) . ") VALUES $good($list)"
		. (chance(5) ? ' ON CONFLICT DO NOTHING' : ''));
}

sub by_parameters
{
	my ($table, $names, $values) = row();
	my @formats = chance(30) ? (any(0, 1, 2, 65535)) : map { chance(25) ? 1 : 0 } @$names;
	@formats = () if chance(10);
	push @formats, 0 if chance(2);
	push @$values, 'one more' if chance(2);
	my @types = chance(15) ? map { any(0, 16, 17, 20, 23, 25, 1043, 2950) } @$names : ();
	return Wire::extended_query("INSERT INTO $table (" . join(', ', @$names) . ') VALUES ('
		. join(', ', map { "\$$_" } 1 .. @$names) . ')', $values, \@formats, \@types);
}

sub copy_field
{
	my ($value) = @_;
	return any('\\N', '', 'NULL') if !defined $value;
	return $value if chance(40);
	return any('"', "\\") . $value if chance(5);
	return join '', map {
		my $escape = int rand 10;
		$escape < 3 ? sprintf('\\x%02x', ord) : $escape < 5 ? sprintf('\\%03o', ord) : $_
	} split //, substr($value, 0, 300);
}

sub by_copy
{
	my ($table, $names, $values) = row();
	my $list = @$names ? ' (' . join(', ', @$names) . ')' : '';
	my $form = int rand 10;
	if ($form < 2)
	{
		# binary: a header, then for each row the number of fields, and each with its length
		my $data = any("PGCOPY\n\xff\r\n\0", "PGCOPY\n\xff\r\n\0", "PGCOPY\n\xff\r\n\0", "PGCOPY\n", bytes(11))
		  . pack('NN', any(0, 0, 0, 1 << 16, 1), any(0, 0, 0, 100));
		$data .= pack('n', @$names + any(0, 0, 0, 1, -1))
		  . join('', map { defined $_ ? pack('N', length($_) + any(0, 0, 0, 0, 1, -1, 1 << 30)) . $_ : pack('N', any(0xffffffff, 0xfffffffe)) } @$values);
		$data .= any(pack('n', 65535), '', "\0", bytes(5));
		return Wire::copy("COPY $table$list FROM STDIN (FORMAT binary)", $data);
	}
	my $csv = $form < 5;
	my @fields = map { $csv && defined $_ && chance(50) ? '"' . ($_ =~ s/"/""/gr) . '"' : copy_field($_) } @$values;
	push @fields, 'more' if chance(5);
	pop @fields if chance(5);
	my $line = join($csv ? ',' : "\t", @fields) . any("\n", "\n", "\n", "\r\n", "\r", '');
	my $good = @$names == 2 && chance(30) ? ($csv ? "k1,most\n" : "k1\tmost\n") : '';
	return Wire::copy("COPY $table$list FROM STDIN"
		. ($csv ? ' (FORMAT csv' . any('', '', ', HEADER', ", QUOTE '\"', ESCAPE ''''", ', FORCE_NOT_NULL (bucket)') . ')' : any('', '', '', " (DELIMITER ',')", " (NULL '')", " (ENCODING 'LATIN1')", " (ENCODING 'SJIS')")),
		$good . $line . (chance(3) ? "\\.\n" : '') . $good);
}

#
# Triggers of ours with arguments that somebody made up, and statements that
# fire them.  All is rolled back.
#
my %arguments = (
	resolve => [ 'track', 'entry_key', 'release_id', 'is_deleted', 'record', 'track_entry_key', 'release_id' ],
	count => [ 'odd_slot', 'plays', 'track_entry_key', 'release_id', 'bucket' ],
	sum => [ 'odd_slot', 'plays', 'release_id', 'track_entry_key', 'bucket' ],
	sketch => [ 'odd_slot', 'plays', 'release_id', 'track_entry_key', 'bucket' ],
	day => [ 'day', 'played_at', 'created_at' ],
	slot_guard => [ 'victim', 'count', 'plays', 'track_entry_key', 'release_id', 'bucket' ],
	flush => [ 'origin' ], append_only => []);
my @words = ('', 'track', 'entry_key', 'release_id', 'is_deleted', 'note', 'record', 'reject', 'track_entry_key', 'bucket', 'plays', 'id',
	'month', 'odd_slot', 'play_counter_slot', 'play_event', 'part_event', 'play_counter', 'victim', 'pg_class', 'pg_catalog.pg_class',
	'track_pkey', 'count', 'sum', 'sketch', 'origin', 'day', 'created_at', 'ctid', 'xmin', 'tableoid', 'oid', 'nowhere', 'no.where', 'a.b.c', '"', '"track', '"track"', '.', 'public.', 'x' x 70, "\xc3\xbc", '0', '1');

sub quoted { return "'" . ($_[0] =~ s/'/''/gr) . "'"; }

sub trigger_calls
{
	my $function = any(sort keys %arguments);
	my @arguments = $arguments{$function}->@*;
	$arguments[ rand @arguments ] = any(@words) foreach (1 .. any(0, 1, 1, 1, 2));
	@arguments = map { any(@words) } 1 .. rand 12 if chance(15);
	push @arguments, any(@words) if chance(10);
	pop @arguments if chance(10);
	my $table = any('victim', 'victim', 'play_event', 'part_event', 'part_1', 'odd_slot', 'play_counter_slot', 'track');
	my $event = any('INSERT', 'INSERT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'INSERT OR UPDATE OR DELETE');
	my ($timing, $level) = chance(50) ? (any('BEFORE', 'AFTER'), any('ROW', 'STATEMENT'))
	  : $function eq 'resolve' ? ('BEFORE', 'ROW') : $function =~ /^(count|sum|sketch)$/ ? ('AFTER', 'ROW') : $function eq 'flush' ? ('AFTER', 'STATEMENT')
	  : ('BEFORE', any('ROW', 'STATEMENT'));
	my @fire = map { any(
		"INSERT INTO victim VALUES ('k1', 1, 'most', 1), (NULL, NULL, NULL, NULL)",
		"INSERT INTO victim SELECT 'k' || i, i, 'most', i FROM generate_series(1, 5) i",
		"INSERT INTO play_event (track_entry_key, bucket) VALUES ('k1', 'most')",
		"INSERT INTO part_event (track_entry_key, bucket, month) VALUES ('k1', 'most', 1)",
		"INSERT INTO part_1 (track_entry_key, bucket, month) VALUES ('k1', 'most', 1)",
		"INSERT INTO odd_slot VALUES ('k1', 1, 'most', 1)",
		"INSERT INTO track VALUES ('k3', 1)",
		'UPDATE victim SET plays = 1', 'DELETE FROM victim', 'TRUNCATE victim', 'UPDATE track SET release_id = 1',
		'ALTER TABLE odd_slot RENAME TO odd_slots', 'ALTER TABLE victim RENAME TO "the victim"', 'ALTER TABLE play_event RENAME TO listened',
		'ALTER TABLE play_counter_slot RENAME TO counts', 'ALTER SCHEMA public RENAME TO private', 'CREATE SCHEMA other; ALTER TABLE victim SET SCHEMA other',
		"ALTER TABLE $table DISABLE TRIGGER ALL; ALTER TABLE $table ENABLE TRIGGER ALL", "ALTER TABLE $table DISABLE TRIGGER odd; ALTER TABLE $table ENABLE TRIGGER USER",
		'SELECT * FROM playevent.counter', 'SELECT * FROM playevent.guard', "SELECT playevent.attach_log('$table', 'track')",
		"SELECT playevent.add_counter('$table', 'odd_counter', '{bucket}')",
		"SELECT playevent.add_counter('$table', 'odd_sum', '{bucket}', '" . any('release_id', 'id', 'month', 'plays', 'note', 'nowhere') . "')", "SELECT playevent.drop_counter('$table', 'odd')",
		'ALTER TABLE odd_slot RENAME plays TO played', 'ALTER TABLE odd_slot ADD more int', 'DROP TABLE odd_slot CASCADE',
		"SELECT playevent.verify('$table')", "SELECT playevent.rebuild('$table')", "SELECT playevent.compact('$table')",
		"SELECT playevent.check_log('$table')", 'SELECT * FROM playevent.log', 'SAVEPOINT s') } 1 .. 4;
	my $insert = $table =~ /^(play_event|part_event|part_1)$/ ? "INSERT INTO $table (track_entry_key, bucket" . ($table =~ /part/ ? ', month' : '') . ") VALUES ('k1', 'most'" . ($table =~ /part/ ? ', 1' : '') . ')'
	  : $table eq 'track' ? "INSERT INTO track VALUES ('k4', 1)" : "INSERT INTO $table VALUES ('k1', 1, 'most', 1)";
	my $prepare = chance(20) ? "; PREPARE TRANSACTION 'odd'" : '';
	return (
		Wire::simple_query("BEGIN; CREATE TRIGGER odd $timing $event ON $table FOR EACH $level EXECUTE FUNCTION playevent.$function("
			. join(', ', map { quoted($_) } @arguments) . "); $insert; " . join('; ', @fire) . $prepare),
		Wire::simple_query('ROLLBACK'),
		$prepare ? Wire::simple_query("ROLLBACK PREPARED 'odd'") : ());
}

#
# Functions of ours with arguments of the right type and little else.
#
my %pool = (
	regclass => [ qw(play_event strict_event part_event part_1 track play_counter play_counter_slot victim odd_slot track_pkey
		play_event_id_seq playevent.log pg_class pg_proc information_schema.tables 0 1 99999 4294967295) ],
	name => [ @words ],
	text => [ @words, 'x' x 3000, "\n", '%I', "'; DROP TABLE track; --" ],
	'text[]' => [ '{}', '{most}', '{a,b}', '{a,a}', '{NULL}', '{""}', '{{a,b},{c,d}}', '[0:1]={a,b}', '{' . ('x' x 64) . '}', '{' . join(',', 1 .. 2000) . '}', '{plays}', '{bucket}' ],
	'name[]' => [ '{}', '{a,b}', '{NULL}' ],
	boolean => [ 'true', 'false' ],
	regrole => [ '0', '99999', '4294967295', scalar getpwuid($<), 'pg_read_all_data' ],
	bytea => [ '\x', '\x00', '\x0000', '\x6100', '\x61', '\xff00', '\xc3', '\x' . '6100' x 3000 ],
	oid => [ '0', '11', '2200', '99999', '4294967295' ],
	other => [ '0', '1', '-1', '', '{}', 'now', '1 day', '2020-01-01', 'x' ],
	regproc => [ '0', '99999', 'playevent.sum', 'playevent.resolve', 'pg_catalog.now' ],
	'double precision[]' => [ '{}', '{0.5}', '{NULL}', '{NaN}', '{-1,2}', '{{0.1,0.2}}', '[0:1]={0.1,0.5}', '{1e-320,Infinity}' ],
	'uuid[]' => [ '{}', '{NULL}', '{00000000-0000-4000-8000-000000000001}' ]);
my @functions;

# A batch that says how much was heard; what is wrong with a row is in its receipt.
sub heard_call
{
	my $n = any(0, 1, 2, 3);
	my @arrays = map { my $value = $_; 'ARRAY[' . join(', ', map { literal($value->()) } 1 .. $n + (chance(5) ? 1 : 0)) . ']' } \&key, \&number, $value{event_id};
	return "record_plays_heard($arrays[0]::text[], $arrays[1]::double precision[]" . any('', '', ", $arrays[2]::uuid[]", ", NULL, $arrays[0]::text[]") . ')'
	  if chance(60);
	return 'record_plays_heard(' . quoted(any('{}', '{k1}', '{k1,k2}', '{NULL}', '{{k1}}', '[0:1]={k1,k2}')) . '::text[], '
	  . quoted(any($pool{'double precision[]'}->@*)) . '::double precision[], ' . quoted(any($pool{'uuid[]'}->@*)) . '::uuid[])';
}

sub function_call
{
	return (Wire::simple_query('BEGIN; SELECT * FROM ' . heard_call()), Wire::simple_query('ROLLBACK')) if chance(10);
	my ($function, @types) = any(@functions)->@*;
	my @arguments = map {
		my $type = $_;
		$type eq 'regclass' && $function =~ /_log/ && chance(60) ? any(quoted('track'), quoted('victim'), quoted('play_event')) . '::regclass'
		  : chance(12) ? "NULL::$type" : quoted(any(($pool{$type} // $pool{other})->@*)) . "::$type";
	} @types;
	my $named = chance(50) && $function =~ /^(create|attach)_log$/;
	my $call = "playevent.$function(" . join(', ', @arguments) . ')';
	if ($function eq 'create_log' && $named)
	{
		$call = 'playevent.create_log(' . quoted(any(@words)) . ", track => 'track', " . any(
			'kinds => ' . quoted(any($pool{'text[]'}->@*)), 'kind => ' . quoted(any(@words)), 'track_deleted => ' . quoted(any(@words)),
			'track_release => ' . quoted(any(@words)), 'ingest_role => ' . quoted(any($pool{regrole}->@*)) . '::regrole') . ')';
	}
	elsif ($function eq 'attach_log' && $named)
	{
		$call = 'playevent.attach_log(' . quoted(any('victim', 'odd_slot', 'track', 'play_event')) . ", track => 'track', " . any(
			'kinds => ' . quoted(any($pool{'text[]'}->@*)), 'kind_column => ' . quoted(any(@words)),
			'key_column => ' . quoted(any(@words)), 'release_column => ' . quoted(any(@words))) . ')';
	}
	return (Wire::simple_query('BEGIN; SELECT ' . (chance(20) ? '* FROM ' : '') . $call), Wire::simple_query('ROLLBACK'));
}

#
# Sending them, and what comes back
#
my %states;			# how often each SQLSTATE
my %internal;		# messages of internal errors, each with an input
my @warnings;
my ($refused, $accepted) = (0, 0);

# Inputs, each one or more messages, of which all but the first put things in
# order again.
sub send_all
{
	my ($wire, @inputs) = @_;
	while (@inputs)
	{
		my (@batch, $size);
		do
		{
			push @batch, shift @inputs;
			$size += length foreach ($batch[-1]->@*);
		} while (@inputs && @batch < 100 && $size + length($inputs[0][0]) < 50_000);
		$wire->send(join '', map { @$_ } @batch);
		foreach my $input (@batch)
		{
			my $result = $wire->result;
			push @warnings, map { $_->{M} } grep { $_->{M} =~ /leak|not closed|not counted/ } $result->{notices}->@*;
			if ($result->{error})
			{
				my $state = $result->{error}{C};
				$states{$state}++;
				$refused++;
				$internal{ $result->{error}{M} } //= $input->[0] =~ s/[^ -~]/./gr if $state =~ /^XX/;
			}
			else { $accepted++; }

			foreach my $message ($input->@[ 1 .. $#$input ])
			{
				push @warnings, map { $_->{M} } grep { $_->{M} =~ /leak|not closed/ } $wire->result->{notices}->@*;
			}
		}
	}
	return;
}

sub exact
{
	my ($wire, $name) = @_;
	my @differences;
	foreach my $log ('play', 'strict', 'part')
	{
		my $result = $wire->query(differences($log));
		push @differences, $result->{error} ? $result->{error}{M} : $result->{rows}[0]->@*;
	}
	is_deeply(\@differences, [ (0) x 6 ], "P3: counters equal the log after $name");
	return;
}

sub logged { my ($wire) = @_; return $wire->query('SELECT count(*) FROM play_event')->{rows}[0][0]; }

my $wire = database('utf8', 'UTF8');
foreach my $way ([ 'literals', \&by_literals, 0.4 ], [ 'parameters', \&by_parameters, 0.32 ], [ 'COPY', \&by_copy, 0.28 ])
{
	my ($name, $make, $share) = @$way;
	my $until = $refused + ($wanted - $wanted_calls) * $share;
	while ($refused < $until)
	{
		send_all($wire, map { [ $make->() ] } 1 .. 2000);
	}
	exact($wire, "malformed $name");
}
cmp_ok($accepted, '>', 0, 'P9: some were plays after all');
cmp_ok(logged($wire), '>', 0, 'P9: and are in the log');

# Whatever of the calls works is rolled back.
my $logged = logged($wire);
@functions = map { [ $_->[0], split /\|/, $_->[1] ] } $wire->query(q{
	SELECT proname, coalesce(string_agg(format_type(t, NULL), '|' ORDER BY ord), '')
	  FROM pg_proc LEFT JOIN LATERAL unnest(proargtypes::oid[]) WITH ORDINALITY AS u(t, ord) ON true
	 WHERE pronamespace = 'playevent'::regnamespace GROUP BY pg_proc.oid, proname ORDER BY proname})->{rows}->@*;
cmp_ok(scalar @functions, '>', 15, 'P9: all functions are called');
my $until = $refused + $wanted_calls;
while ($refused < $until)
{
	send_all($wire, map { chance(50) ? [ trigger_calls() ] : [ function_call() ] } 1 .. 200);
}
is(logged($wire), $logged, 'P9: calls that were rolled back left nothing');
exact($wire, 'wrong arguments of triggers and functions');
$wire->close;

# Other encodings: a key in the database's own, the same from a client that
# speaks UTF-8, one that can't be said in it; and more that is malformed.
foreach my $encoding (
	[ 'SQL_ASCII', "\xfc\xff", undef, undef ],
	[ 'LATIN1', "k\xfc", "k\xc3\xbc", "\xe6\x97\xa5" ],
	[ 'EUC_JP', "\xc6\xfc\xcb\xdc", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x8e\xb5" ])
{
	my ($name, $own, $utf8, $unspeakable) = @$encoding;
	my $play = sub { return "INSERT INTO play_event (track_entry_key, bucket) VALUES ('$_[0]', 'most')"; };
	$wire = database(lc $name, $name);
	is($wire->query("INSERT INTO track VALUES ('$own', 9)")->{error}, undef, "P9: $name: a track");
	is($wire->query($play->($own))->{error}, undef, "P9: $name: a play of it");
	is($wire->query('SELECT release_id FROM play_event')->{rows}[0][0], 9, "P2: $name: its release");
	my $plays = 1;
	if (defined $utf8)
	{
		$wire->query("SET client_encoding = 'UTF8'");
		is($wire->query($play->($utf8))->{error}, undef, "P9: $name: the same from a client that speaks UTF8");
		$plays++;
		is($wire->query($play->($unspeakable))->{error}{C}, '22P05', "P9: $name: what can't be said in it");
		is_deeply($wire->query('SELECT track_entry_key, release_id, plays FROM play_counter')->{rows},
			[ [ $utf8, 9, 2 ] ], "P3: $name: counted as one");
		$wire->query("SET client_encoding = '$name'");
	}
	is_deeply($wire->query('SELECT track_entry_key, release_id, plays FROM play_counter')->{rows},
		[ [ $own, 9, $plays ] ], "P3: $name: counted in its own");
	send_all($wire, map { [ any(\&by_literals, \&by_parameters, \&by_copy)->() ] } 1 .. 2000);
	exact($wire, "malformed inputs in $name");
	$wire->close;
}

cmp_ok($refused, '>=', $wanted, 'P9: as many were refused as wanted');
is(join("\n", map { "$_: $internal{$_}" } sort keys %internal), '', 'P9: none with an internal error');
is_deeply(\@warnings, [], 'P9: none with a warning of leaks');
note("seed $seed: $refused refused, $accepted were plays or calls after all");
note("$_: $states{$_}") foreach (sort keys %states);

$node->stop;
unlike(slurp_file($node->logfile), qr/leak|not closed|TRAP:|PANIC:|terminated by signal/,
	'P9: the server has nothing to complain of');
done_testing();
