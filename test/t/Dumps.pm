# What tests of dumps have in common: a server, and the programs that dump and
# restore its databases.

package Dumps;

use strict;
use warnings;

use Exporter qw(import);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw($node $dir start_node try_to dump_of new_database by_psql by_pg_restore);

our $node;
our $dir;

my $dumps = 0;
my $databases = 0;

# What is run connects to this server, unless told otherwise.
sub start_node
{
	my ($name) = @_;
	$dir = PostgreSQL::Test::Utils::tempdir();
	$node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', 'max_connections = 50');
	$node->start;
	$ENV{PGHOST} = $node->host;
	$ENV{PGPORT} = $node->port;
	return;
}

# Run a program; returns whether it succeeded, and what it complained of.
sub try_to
{
	my @command = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run(\@command, '>', \$out, '2>', \$err);

	note("@command\n$err");
	return (($ok ? 'ok' : 'failed'), $err);
}

sub dump_of
{
	my ($db, @options) = @_;
	my $file = "$dir/dump" . ++$dumps;
	my ($result, $err) = try_to('pg_dump', '-d', $db, '-f', $file, @options);

	die "pg_dump @options: $err" unless "$result$err" eq 'ok';
	return $file;
}

sub new_database
{
	my ($sql, $owner) = @_;
	my $db = 'restored' . ++$databases;

	$node->safe_psql('postgres', "CREATE DATABASE $db" . ($owner ? " OWNER $owner" : ''));
	$node->safe_psql($db, $sql) if $sql;
	return $db;
}

# Of psql's options, the caller gives what to do about errors.
sub by_psql
{
	my ($db, $file, @options) = @_;

	return try_to('psql', '-Xq', '-d', $db, '-f', $file, @options);
}

sub by_pg_restore
{
	my ($db, $file, @options) = @_;

	return try_to('pg_restore', '-d', $db, @options, $file);
}

1;
