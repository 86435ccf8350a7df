# What tests have in common that stop statements in the middle: clients whose
# statements carry a name in a comment, by which the server's log tells how often
# each was stopped; harassing and limits.

package Interrupt;

use strict;
use warnings;

use Exporter qw(import);
use IPC::Run;
use List::Util qw(shuffle);
use PlayEvent;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw($node $dir %statements %only_client @logs $meet $deep
	start_node start_psql finish_psql stops memory_contexts stop_all whole_and_exact limited limited_memory);

our $node;
our $dir;
our %statements;	# what is to be stopped, by the names of those that count
our %only_client;	# the number of the only client that may run it, if so
our @logs;			# to be checked

my $victims = 4;

# Memory that is freed shall go back to the system, so that a limit on it is met.
$ENV{MALLOC_MMAP_THRESHOLD_} = 65536;

# Small WAL segments, since a limit on the size of files holds for them too; and
# no JIT, since LLVM ends the process when there is no memory.
sub start_node
{
	my ($name) = @_;
	$dir = PostgreSQL::Test::Utils::tempdir();
	$node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--wal-segsize=1' ]);
	$node->append_conf('postgresql.conf', q{
max_connections = 30
max_prepared_transactions = 10
max_wal_size = 1GB
synchronous_commit = off
autovacuum = off
jit = off
});
	$node->start;
	$node->safe_psql('postgres', q{
	-- What a session should have none of when no transaction is open.
	CREATE VIEW left_behind AS
		SELECT locktype || ' ' || coalesce(relation::regclass::text, '') || ' ' || mode AS what
		FROM pg_locks
		WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'
		  AND coalesce(relation::regclass::text, '') !~ '^pg_|^left_behind$'
		UNION ALL
		SELECT name FROM pg_backend_memory_contexts
		WHERE name LIKE 'playevent%' AND name !~ '^playevent (.* bindings|log names|record plans)$'
		  AND NOT (name = 'playevent binding' AND ident IS NULL);

	-- Cancels or terminates one session at work after another, until told to stop.
	CREATE TABLE done ();
	CREATE PROCEDURE harass(how text, seconds float8) LANGUAGE plpgsql AS $$
	DECLARE
		victim int;
	BEGIN
		LOOP
			SELECT pid INTO victim FROM pg_stat_activity
			WHERE application_name = 'victim' AND state = 'active' AND query LIKE '%/* % */%'
			ORDER BY random() LIMIT 1;
			IF FOUND AND how = 'cancel' THEN
				PERFORM pg_cancel_backend(victim);
			ELSIF FOUND THEN
				PERFORM pg_terminate_backend(victim);
			END IF;
			PERFORM pg_sleep(random() * seconds);
			COMMIT;
			EXIT WHEN EXISTS (SELECT FROM done);
		END LOOP;
	END
	$$;
	});
	return;
}

sub start_psql
{
	my ($name, $sql, $application) = @_;
	append_to_file("$dir/$name.sql", $sql);
	local $ENV{PGAPPNAME} = $application // 'tester';
	my $session = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', "$dir/$name.sql" ],
		'>', "$dir/$name.out", '2>', "$dir/$name.err");
	return { session => $session, name => $name };
}

# Its output, and what it said of errors.
sub finish_psql
{
	my ($client) = @_;
	$client->{session}->finish;
	return map { slurp_file("$dir/$client->{name}.$_") } 'out', 'err';
}

# How often statements of each name were stopped, by the server's log.
sub stops
{
	my ($offset, $message) = @_;
	my %stops;
	my ($stopped) = (0);

	foreach my $line (split /\n/, slurp_file($node->logfile, $offset))
	{
		$stopped = $line =~ $message if $line =~ / (?:ERROR|FATAL):  /;
		$stops{$1}++ if $line =~ m{LOG:  stopped: /\* (\w+) \*/};
		if ($stopped && $line =~ m{STATEMENT:  .*/\* (\w+) \*/})
		{
			$stops{$1}++;
			$stopped = 0;
		}
	}
	return %stops;
}

# How often memory ran out in each context, by the server's log.
sub memory_contexts
{
	my ($offset) = @_;
	my %contexts;
	$contexts{$_}++ foreach (slurp_file($node->logfile, $offset) =~ /Failed on request .* in memory context "(.*?)"/g);
	return %contexts;
}

# What was prepared when its client was stopped is finished either way.
sub finish_prepared
{
	foreach my $gid (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
	{
		$node->safe_psql('postgres', any('COMMIT', 'ROLLBACK') . " PREPARED '$gid'");
	}
	return;
}

# Needs a view half_recorded.
sub whole_and_exact
{
	my ($name) = @_;
	exact($node, "P3: $name: counters equal the log", @logs);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM half_recorded'),
		0, "P3: $name: every statement is recorded as a whole or not at all");
	return;
}

# Some statements disturb others more than a play would: these are for one client
# alone.
sub script
{
	my ($client, $before, @names) = @_;
	@names = grep { ($only_client{$_} // $client) == $client } @names;
	my $sql = join '', map { &$before() . $statements{$_} . "ROLLBACK;\n" } shuffle((@names) x 2);
	$sql .= "RESET statement_timeout;\nSELECT 'left behind', what FROM left_behind;\nSELECT 'end';\n";
	return $sql;
}

my $run = 0;

# Run clients until each of these statements was stopped so often.  Returns what
# they said of errors, how many sessions went on to their end, and what they
# printed.
sub stop_all
{
	my ($name, $message, $often, $harass, $before, @names) = @_;
	my $offset = -s $node->logfile;
	my %stops;
	my ($output, $errors, $ended) = ('', '', 0);
	my $harasser;

	if ($harass)
	{
		$node->safe_psql('postgres', 'TRUNCATE done');
		$harasser = start_psql("harass$run", "CALL harass($harass);\n");
	}
	foreach my $try (1 .. 200)
	{
		$run++;
		my @clients = map {
			start_psql("victim$run.$_", script($_, $before, @names), 'victim')
		} 1 .. $victims;
		foreach my $client (@clients)
		{
			my ($out, $err) = finish_psql($client);
			$output .= $out;
			$errors .= $err;
			$ended++ if $out =~ /^end$/m;
		}
		finish_prepared();
		%stops = stops($offset, $message);
		last unless grep { ($stops{$_} // 0) < $often } @names;
	}
	if ($harasser)
	{
		$node->safe_psql('postgres', 'INSERT INTO done DEFAULT VALUES');
		is((finish_psql($harasser))[1], '', "$name: nothing was wrong with the harassing");
	}

	cmp_ok($stops{$_} // 0, '>=', $often, "$name: stopped $_") foreach (@names);
	whole_and_exact($name);
	is(join('', $output =~ /^(left behind.*\n)/mg), '',
		"P3: $name: sessions have no lock and no memory left");
	is(complaints($node, $offset), '', "$name: the server's log has no complaint");
	return ($errors, $ended, $output);
}

#
# No disk and no memory: limits that are put on a session, while it waits for
# its next statement.
#
my %unlimited = map {
	my $soft = `prlimit --pid $$ --$_ --noheadings --raw --output SOFT`;
	die 'prlimit of util-linux is needed' if $? != 0;
	chomp $soft;
	$_ => $soft
} 'as', 'fsize';

# Statements under a limit, for psql; $value is for the shell.
sub limited
{
	my ($limit, $value, $sql) = @_;
	return "\\! prlimit --pid \$PID --$limit=$value:\n"
	  . $sql . "ROLLBACK;\n"
	  . "\\! prlimit --pid \$PID --$limit=$unlimited{$limit}:\n";
}

our $meet = "SELECT pg_backend_pid() AS pid \\gset\n\\setenv PID :pid\n";

# A session that is to be limited has met all it needs and has grown its stack, as
# it can't do so any more: by JSON, whose parser needs no other memory, as what is
# freed would be had again.
our $deep = "SELECT 'deep', json_typeof((repeat('[', 3000) || repeat(']', 3000))::json);\n";

# So much more than it has, at most.
sub limited_memory
{
	my ($most, $sql) = @_;
	return limited('as',
		'$(( $(cut -d " " -f 1 /proc/$PID/statm) * $(getconf PAGESIZE) + ' . int(rand $most) . ' ))', $sql);
}

1;
