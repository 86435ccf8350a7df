# What several of the tests here need.

package PlayEvent;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(random_seed differences exact complaints);

# Seed rand() from PLAYEVENT_SEED, or at random, and say with what.
sub random_seed
{
	my $seed = $ENV{PLAYEVENT_SEED} // (time ^ $$ << 15) & 0x7fffffff;
	srand($seed);
	note "PLAYEVENT_SEED=$seed repeats this";
	return $seed;
}

# A query for the keys that differ by a GROUP BY of our own and those that
# differ by verify: in one statement, so in one snapshot.
sub differences
{
	my ($log) = @_;
	return qq{
		WITH logged AS (SELECT track_entry_key, release_id, bucket, count(*)
						FROM ${log}_event GROUP BY 1, 2, 3),
			 counted AS (SELECT track_entry_key, release_id, bucket, ${log}s
						 FROM ${log}_counter)
		SELECT (SELECT count(*) FROM ((TABLE logged EXCEPT TABLE counted) UNION ALL
									  (TABLE counted EXCEPT TABLE logged)) d),
			   (SELECT count(*) FROM playevent.verify('${log}_event'))};
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
		  || /\(PID (\d+)\) was terminated by signal/ && !$killed{$1}
	} map { "$_\n" } split /\n/, slurp_file($node->logfile, $offset);
}

1;
