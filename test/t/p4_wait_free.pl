# P4: 16 clients on one track, at each isolation level: no error, no wait for
# another transaction, exact totals; so too while others lock the slots, in each
# strength, and let go again.  And P3 meanwhile: in every snapshot that is looked
# at, counters equal the log.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use PlayEvent;
use Test::More;

my $clients = 16;
my $transactions = int(250 / slowdown());

my $node = PostgreSQL::Test::Cluster->new('wait_free');
$node->init;

# The server's log tells of waits that nobody looked at.
$node->append_conf('postgresql.conf', q{
max_connections = 50
log_lock_waits = on
deadlock_timeout = 1ms
log_line_prefix = '%m [%p] %a '
});
$node->start;

# watch() looks again and again, each time in a transaction of its own, until
# nothing works any more, and returns how often it looked while clients were at
# work, how many of them it found waiting for a lock that others hold to the end
# of their transaction, so any but that for extending a file, and in how many
# snapshots the counters differed from the log.
$node->safe_psql('postgres', q{
	CREATE EXTENSION playevent;
	CREATE TABLE track (entry_key varchar(100) PRIMARY KEY, release_id bigint);
	INSERT INTO track VALUES ('hot', 7), ('warm', 8);
	SELECT playevent.create_log('play', track => 'track');
	CREATE TABLE ordinary_counter (track_entry_key text PRIMARY KEY, plays bigint);
	INSERT INTO ordinary_counter VALUES ('hot', 0), ('warm', 0);

	CREATE TABLE watched (looks bigint, waits bigint, inexact bigint);
	CREATE TABLE done ();
	CREATE PROCEDURE watch() LANGUAGE plpgsql AS $$
	DECLARE
		looks bigint := 0;
		waits bigint := 0;
		inexact bigint := 0;
		busy bigint;
		waiting bigint;
		difference bigint;
	BEGIN
		LOOP
			SELECT count(*) FILTER (WHERE state <> 'idle'),
				   count(*) FILTER (WHERE wait_event_type = 'Lock' AND wait_event <> 'extend')
			  INTO busy, waiting
			  FROM pg_stat_activity WHERE application_name = 'traffic';
			waiting := waiting + (SELECT count(*)
				FROM pg_locks l JOIN pg_stat_activity a USING (pid)
				WHERE NOT l.granted AND l.locktype <> 'extend' AND a.application_name = 'traffic');
			SELECT (SELECT count(*) FROM play_event) - (SELECT coalesce(sum(plays), 0) FROM play_counter)
			  INTO difference;
			looks := looks + (busy > 0)::int;
			waits := waits + waiting;
			inexact := inexact + (difference <> 0)::int;
			COMMIT;
			EXIT WHEN EXISTS (SELECT FROM done);
		END LOOP;
		INSERT INTO watched VALUES (looks, waits, inexact);
	END
	$$;
});

# One track and nothing else; and two tracks in either order.  A transaction
# stays open over several round trips, so that there are always others in
# progress on the same key.
my $dir = PostgreSQL::Test::Utils::tempdir();
my %scripts = (
	one => q{
		BEGIN;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('hot', 'complete');
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('hot', 'complete'), ('hot', 'partial');
		COMMIT;
	},
	forth => q{
		BEGIN;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('hot', 'complete');
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('warm', 'complete');
		COMMIT;
	},
	back => q{
		BEGIN;
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('warm', 'complete');
		INSERT INTO play_event (track_entry_key, bucket) VALUES ('hot', 'complete');
		COMMIT;
	},
	read => q{
		BEGIN;
		SELECT sum(plays) FROM play_counter WHERE track_entry_key = 'hot';
		SELECT count(*) FROM play_event WHERE track_entry_key = 'hot';
		COMMIT;
	},
	ordinary => q{
		BEGIN;
		UPDATE ordinary_counter SET plays = plays + 1 WHERE track_entry_key = 'hot';
		SELECT 1;
		COMMIT;
	});
foreach my $strength ('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE')
{
	$scripts{"lock_$strength"} = qq{
		BEGIN;
		SELECT plays FROM play_counter_slot LIMIT 3 FOR $strength SKIP LOCKED;
		SELECT plays FROM play_daily_slot LIMIT 3 FOR $strength SKIP LOCKED;
		SELECT 1;
		COMMIT;
	};
}
append_to_file("$dir/$_.sql", $scripts{$_}) foreach (keys %scripts);
my @lockers = map { ('--file', "$dir/$_.sql") } grep { /^lock_/ } sort keys %scripts;

# How often the server's log tells that sessions of this name waited for another
# transaction.
sub waits_of
{
	my ($name) = @_;
	my $log = slurp_file($node->logfile);

	return scalar(() = $log =~
		  /\Q$name\E LOG:  process \d+ still waiting for \w+ on (?:transaction|tuple)/g);
}

# Run pgbench on these scripts under watch(); returns its output and exit code
# and what watch() saw.
sub traffic
{
	my ($level, @names) = @_;

	$node->safe_psql('postgres', 'TRUNCATE watched, done');
	my ($watch_out, $watch_err) = ('', '');
	my $watcher = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'CALL watch()' ],
		'>', \$watch_out, '2>', \$watch_err);
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'CALL watch()' AND state = 'active'})
	  or die 'nobody watches';

	local $ENV{PGAPPNAME} = 'traffic';
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . $level =~ s/ /\\ /gr;
	my ($out, $err) = ('', '');
	IPC::Run::run(
		[ 'pgbench', '--no-vacuum', '--client', $clients, '--jobs', 2,
		  '--transactions', $transactions, '--protocol', 'prepared',
		  (map { ('--file', "$dir/$_.sql") } @names),
		  $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	my $status = $?;
	delete $ENV{PGOPTIONS};
	delete $ENV{PGAPPNAME};

	$node->safe_psql('postgres', 'INSERT INTO done DEFAULT VALUES');
	$watcher->finish or diag($watch_err);
	my ($looks, $waits, $inexact) = split /\|/,
	  $node->safe_psql('postgres', 'TABLE watched');
	return ("$out$err", $status, $looks, $waits, $inexact);
}

my $inserted = 0;
my $from = -s $node->logfile;
my $all = $clients * $transactions;

foreach my $level ('read committed', 'repeatable read', 'serializable')
{
	foreach my $names ([ 'one' ], [ 'forth', 'back' ])
	{
		my $title = "$level, " . join(' and ', @$names);
		my ($output, $status, $looks, $waits, $inexact) = traffic($level, @$names);
		my $rows = $all * ($names->[0] eq 'one' ? 3 : 2);

		is($status, 0, "P4: pgbench ends well ($title)");
		like($output, qr{actually processed: $all/$all$}m,
			"P4: every transaction is processed ($title)");
		like($output, qr{failed transactions: 0 \(}, "P4: none of them failed ($title)");
		cmp_ok($looks, '>', 0, "P4: the clients were watched ($title)");
		is($waits, 0, "P4: nobody waits for a transaction, row or table ($title)");
		is($inexact, 0, "P3: counters equal the log in each of $looks snapshots ($title)");

		$inserted += $rows;
		is($node->safe_psql('postgres', q{
				SELECT (SELECT count(*) FROM play_event), (SELECT sum(plays) FROM play_counter),
					   (SELECT count(*) FROM playevent.verify('play_event'))}),
			"$inserted|$inserted|0", "P3: totals are exact ($title)");
	}
}

# A key has about as many slots as transactions were ever adding to it at once.
# Some more may be made when all were newer than a snapshot, or a scan missed
# one; but they do not grow with the number of plays.
cmp_ok($node->safe_psql('postgres', q{
		SELECT max(n) FROM (SELECT count(*) AS n FROM play_counter_slot
							GROUP BY track_entry_key, release_id, bucket) s}),
	'<=', 4 * $clients, 'P4: the hottest key has few slots');

my $log = slurp_file($node->logfile, $from);
is(() = $log =~ /(ERROR|FATAL|PANIC):/g, 0, 'P4: the server reports no error')
  or diag(join "\n", $log =~ /^(.*(?:ERROR|FATAL|PANIC): .*)$/mg);
unlike($log, qr/could not serialize|deadlock/,
	'P4: the server reports neither serialisation failure nor deadlock');

# The same with readers, who in SERIALIZABLE read what the others write.  They
# write nothing, so even then there is nothing to fail.
my ($output) = traffic('serializable', 'one', 'read');
note('serializable, with readers: ' . join ', ', $output =~ /^(number of (?:transactions actually|failed).*)$/mg);
is($node->safe_psql('postgres', "SELECT count(*) FROM playevent.verify('play_event')"),
	0, 'P3: totals are exact (serializable, with readers)');

# Beside sessions that lock slots and let go again, which at times comes between a
# look at a slot and its update.
foreach my $level ('read committed', 'serializable')
{
	my ($lockers_out, $lockers_err) = ('', '');
	$ENV{PGAPPNAME} = 'lockers';
	my $lockers = IPC::Run::start(
		[ 'pgbench', '--no-vacuum', '--client', 4, '--transactions', 1_000_000,
		  @lockers, $node->connstr('postgres') ],
		'>', \$lockers_out, '2>', \$lockers_err);
	delete $ENV{PGAPPNAME};
	my $all_lock = q{SELECT count(*) = 4 FROM pg_stat_activity WHERE application_name = 'lockers'};
	$node->poll_query_until('postgres', $all_lock) or die 'nobody locks';
	my ($output, $status, undef, $waits) = traffic($level, 'forth', 'back');
	is($node->safe_psql('postgres', $all_lock), 't', "P4: slots were locked all the while ($level)");
	$lockers->kill_kill;
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'lockers'})
	  or die 'somebody locks still';

	is($status, 0, "P4: pgbench ends well ($level, beside row locks)");
	like($output, qr{failed transactions: 0 \(}, "P4: no transaction fails ($level, beside row locks)");
	is($waits, 0, "P4: nobody waits for who locks a slot ($level)");
	is($node->safe_psql('postgres', q{
			SELECT (SELECT count(*) FROM play_event) - (SELECT sum(plays) FROM play_counter),
				   (SELECT count(*) FROM playevent.verify('play_event'))}),
		'0|0', "P3: totals are exact ($level, beside row locks)");
}
is(waits_of('traffic'), 0, "P4: nor does the server's log tell of a wait");

# A test that finds no waits must be able to: an ordinary counter has them.
my (undef, undef, undef, $waits) = traffic('read committed', 'ordinary');
cmp_ok($waits, '>', 0, 'P4: waits on an ordinary counter are noticed');
cmp_ok(waits_of('traffic'), '>', 0, "P4: the server's log tells of them too");

$node->stop;
done_testing();
