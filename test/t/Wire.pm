# A client of Postgres's protocol, for tests that must say byte by byte what is
# sent, read SQLSTATEs, and have several statements under way at once.  Over the
# Unix socket of a test server, which trusts everyone.
#
#	my $session = Wire->connect($node, 'postgres');
#	my $result = $session->query('SELECT 1');
#
# A result is a hash:
#	rows		array of arrays of values, undef for null
#	tags		command tags
#	error		undef, or the error's fields by their letters: C is the SQLSTATE,
#				M the message
#	notices		the same of each notice or warning
#	status		I, T or E: idle, in a transaction, in a failed one

package Wire;

use strict;
use warnings;

use IO::Select;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils ();

sub connect
{
	my ($class, $node, $database) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path)
	  or die "could not connect to $path: $!";
	my $self = bless {
		socket => $socket, select => IO::Select->new($socket), buffer => '' }, $class;
	my $startup = pack('N(Z*)*', 196608,
		'user', scalar getpwuid($<), 'database', $database, '');
	$self->_write(pack('N', length($startup) + 4) . $startup);
	my $result = $self->result;
	die "could not connect: $result->{error}{M}" if $result->{error};
	return $self;
}

sub close
{
	my ($self) = @_;
	$self->_write(message('X', ''));
	$self->{socket}->close;
	return;
}

# One message, as bytes to be sent.
sub message
{
	my ($type, $body) = @_;
	return $type . pack('N', length($body) + 4) . $body;
}

sub simple_query
{
	my ($sql) = @_;
	return message('Q', $sql . "\0");
}

# COPY ... FROM STDIN and its data, without waiting to be asked for it.
sub copy
{
	my ($sql, $data) = @_;
	return simple_query($sql) . message('d', $data) . message('c', '');
}

# A statement with parameters, each undef or a value and its format (0 for
# text, 1 for binary) and type (0 for unspecified).
sub extended_query
{
	my ($sql, $values, $formats, $types) = @_;
	my $n = @$values;
	return message('P', "\0$sql\0" . pack('n/N*', @{ $types // [] }))
	  . message('B', "\0\0" . pack('n/n*', @{ $formats // [] }) . pack('n', $n)
		  . join('', map { defined $_ ? pack('N/a*', $_) : pack('N', 0xffffffff) } @$values)
		  . pack('n', 0))
	  . message('E', "\0" . pack('N', 0))
	  . message('S', '');
}

sub query
{
	my ($self, $sql) = @_;
	$self->send(simple_query($sql));
	return $self->result;
}

# Several statements in one go; then as many results are to be read.  Their
# answers must fit the socket's buffer.
sub send
{
	my ($self, $bytes) = @_;
	$self->_write($bytes);
	return;
}

# Has the server said anything that was not read?
sub has_answer
{
	my ($self) = @_;
	return length $self->{buffer} || scalar $self->{select}->can_read(0);
}

# Read up to where the server is ready for the next statement.
sub result
{
	my ($self) = @_;
	my %result = (rows => [], tags => [], notices => []);
	for (;;)
	{
		my ($type, $body) = $self->_message;
		if ($type eq 'D') { push @{ $result{rows} }, _row($body); }
		elsif ($type eq 'C') { push @{ $result{tags} }, unpack('Z*', $body); }
		elsif ($type eq 'E')
		{
			$result{error} = _fields($body);
			die "server ended the session: $result{error}{C} $result{error}{M}\n"
			  if $result{error}{S} =~ /FATAL|PANIC/;
		}
		elsif ($type eq 'N') { push @{ $result{notices} }, _fields($body); }
		elsif ($type eq 'Z')
		{
			$result{status} = $body;
			return \%result;
		}
	}
}

sub _row
{
	my ($body) = @_;
	my $at = 2;
	my @row;
	foreach (1 .. unpack('n', $body))
	{
		my $length = unpack('l>', substr($body, $at, 4));
		$at += 4;
		if ($length < 0) { push @row, undef; next; }
		push @row, substr($body, $at, $length);
		$at += $length;
	}
	return \@row;
}

sub _fields
{
	my ($body) = @_;
	return { map { length $_ ? (substr($_, 0, 1), substr($_, 1)) : () } split /\0/, $body };
}

sub _message
{
	my ($self) = @_;
	$self->_fill(5);
	my ($type, $length) = unpack('aN', $self->{buffer});
	$self->_fill(1 + $length);
	my $body = substr($self->{buffer}, 5, $length - 4);
	substr($self->{buffer}, 0, 1 + $length) = '';
	return ($type, $body);
}

sub _fill
{
	my ($self, $wanted) = @_;
	while (length($self->{buffer}) < $wanted)
	{
		$self->{select}->can_read($PostgreSQL::Test::Utils::timeout_default)
		  or die "the server does not answer\n";
		sysread($self->{socket}, $self->{buffer}, 65536, length $self->{buffer})
		  or die "the server closed the connection\n";
	}
	return;
}

sub _write
{
	my ($self, $bytes) = @_;
	local $SIG{PIPE} = 'IGNORE';
	my $at = 0;
	while ($at < length $bytes)
	{
		$at += syswrite($self->{socket}, $bytes, length($bytes) - $at, $at)
		  // die "the server closed the connection\n";
	}
	return;
}

1;
