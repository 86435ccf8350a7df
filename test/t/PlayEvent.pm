# What several of the tests here need.

package PlayEvent;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(slowdown real_plays random_seed any chance differences traffic_options exact complaints
	kill_server is_back clear_up_after module_from);

# How many times as long as usual everything takes: PLAYEVENT_SLOWDOWN, as under
# valgrind.  Loads are so much smaller, and limits of time so much longer.
sub slowdown
{
	return $ENV{PLAYEVENT_SLOWDOWN} || 1;
}

# Write the plays that PLAYEVENT_PLAYS names, gzipped csv, to this file.
sub real_plays
{
	my ($file) = @_;
	my $plays;
	my $line = 0;
	gunzip($ENV{PLAYEVENT_PLAYS} => \$plays)
	  or die "cannot read $ENV{PLAYEVENT_PLAYS}: $GunzipError";
	append_to_file($file, join '', grep { $line++ % slowdown() == 0 } split /^/, $plays);
	return;
}

# Seed rand() from PLAYEVENT_SEED, or at random, and say with what.
sub random_seed
{
	my $seed = $ENV{PLAYEVENT_SEED} // (time ^ $$ << 15) & 0x7fffffff;
	srand($seed);
	note "PLAYEVENT_SEED=$seed repeats this";
	return $seed;
}

sub any { return $_[ rand @_ ]; }
sub chance { my ($of_hundred) = @_; return rand(100) < $of_hundred; }

# A query for how many keys differ by a GROUP BY of our own, and by verify: in
# one statement, so in one snapshot.
sub differences
{
	my ($log, $kind) = @_;
	$kind //= 'bucket';
	return qq{
		WITH logged AS (SELECT track_entry_key, release_id, $kind, count(*)
						FROM ${log}_event GROUP BY 1, 2, 3),
			 counted AS (SELECT track_entry_key, release_id, $kind, ${log}s
						 FROM ${log}_counter)
		SELECT (SELECT count(*) FROM ((TABLE logged EXCEPT TABLE counted) UNION ALL
									  (TABLE counted EXCEPT TABLE logged)) d),
			   (SELECT count(*) FROM playevent.verify('${log}_event'))};
}

# pgbench's options for traffic of weighted scripts, which it writes to $dir:
# each has a track k of a few favourites, any track l, and a number n.
sub traffic_options
{
	my ($dir, %traffic) = @_;
	my @options;
	foreach my $name (sort keys %traffic)
	{
		my ($weight, $script) = @{ $traffic{$name} };
		append_to_file("$dir/$name.pgbench",
			"\\set k random_zipfian(0, 49, 1.3)\n\\set l random(0, 49)\n\\set n random(1, 1000000000)\n$script\n");
		push @options, '-f', "$dir/$name.pgbench\@$weight";
	}
	return @options;
}

# Check that these logs' counters equal them.
sub exact
{
	my ($node, $name, @logs) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($node->safe_psql('postgres', join(' UNION ALL ', map { '(' . differences($_) . ')' } @logs)),
		join("\n", map { '0|0' } @logs), $name);
}

# The lines of a server's log since $offset that tell of a leak or a crash,
# but for the end of processes that the test has killed.
sub complaints
{
	my ($node, $offset, @killed) = @_;
	my %killed = map { $_ => 1 } @killed;
	return join '', grep {
		/WARNING:.*(?:leak|still referenced|not closed|not counted)|TRAP:|PANIC:/
		  || /terminated by signal/ && !(/\(PID (\d+)\) was/ && $killed{$1})
	} map { "$_\n" } split /\n/, slurp_file($node->logfile, $offset);
}

# Compile a file beside the tests; returns the path of the module for the server.
sub module_from
{
	my ($file) = @_;
	my $module = PostgreSQL::Test::Utils::tempdir() . '/' . $file =~ s/c$/so/r;
	my $pg_config = $ENV{PG_CONFIG} || 'pg_config';
	my ($cc, $cppflags, $cflags, $cflags_sl, $headers) =
	  map { qx{'$pg_config' --$_} =~ s/\n//r } qw(cc cppflags cflags cflags_sl includedir-server);
	is(system("$cc $cppflags $cflags $cflags_sl -shared -I'$headers' -o '$module' '$FindBin::RealBin/$file'"),
		0, "$file compiles");
	return $module;
}

# State and parent of a process.
sub process_status
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/stat" or return ('', 0);
	my ($state, $parent) = (readline($file) // '') =~ /.*\) (\S) (\d+)/s;
	return ($state // '', $parent // 0);
}

# Kill -9 all of a server; returns the postmaster's children.  The postmaster is
# stopped first, so that it neither restarts a process nor forks one that we
# miss: that might wait forever for an LWLock of one that is gone, and would hold
# on to the shared memory.
sub kill_server
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	kill 'STOP', $postmaster;
	usleep(1_000) until (process_status($postmaster))[0] =~ /^[TZ]?$/;
	my @children = grep { (process_status($_))[1] == $postmaster } map { m{(\d+)$} } glob '/proc/[0-9]*';
	$node->kill9;
	kill 'KILL', @children;
	return @children;
}

# Wait until a server that restarts by itself takes connections.  Not by
# poll_query_until, which dies if psql is gone before it is told the query.
sub is_back
{
	my ($node) = @_;
	my @psql = ('psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT');
	foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if IPC::Run::run(\@psql, '<', \undef, '>&', \my $said);
		usleep(100_000);
	}
	return 0;
}

# What a killed server has left in shared memory goes when it starts again; of one
# that won't, by a start that only checks.
sub clear_up_after
{
	my ($node) = @_;
	unlink $node->data_dir . '/postmaster.pid';
	run_log([ 'postgres', '--check', '-D', $node->data_dir ]) or diag('shared memory of ' . $node->name . ' is left');
	return;
}

1;
