# What the documents show is what happens: their SQL runs, in order, and says what
# they say it does; they name every function there is for users; and their links
# lead somewhere.
#
# A document is the blocks of SQL in it, in a database of its own.  A block behind
# it without a language is what psql says to it.  Documents go on where others
# end: %after.  To have what is said now in place of what is shown:
# PLAYEVENT_SHOW=directory, where the documents are to be written.

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::Bin/../..";

# What a document's examples begin with, and up to which section.
my %after = (
	'sql/README.md' => [ [ 'README.md', 'Is it for you?' ] ],
	'sql/OPERATIONS.md' => [ [ 'README.md', 'Is it for you?' ], ['sql/README.md'] ]);

# Why a block is not run.
my %not_run = (
	qr/\bcron\.schedule\b/ => 'needs pg_cron: p11_cron.pl has it',
	qr/LIKE play_event INCLUDING ALL/ => 'needs a default partition: p11_partman.pl runs it',
	qr/\bproxy\b|plproxy/ => 'needs other servers, and PL\/Proxy: p13_proxy.pl has them',
	qr/create_reference_table|citus_schema_distribute/ => 'needs a Citus cluster: test/citus has it',
	qr/CREATE SUBSCRIPTION/ => 'needs other servers: p3_logical.pl has them',
	qr/FOR TABLE play_event \(/ => 'is in place of the block before: p3_logical.pl runs it');
my $needs_hll = qr/\bhll\b|play_listeners/;

# Languages that others read, or nobody runs.
my %no_sql = map { $_ => 1 } qw(sh text yaml dockerfile js python go csharp ruby);

# What runs a document's examples in such languages, in their order: each of their
# lines is one of that file.
my %run_by = (
	'README.md' => [
		'test/web/server.js', 'test/web/clients/play.py', 'test/web/clients/play.go', 'test/dotnet/Site/PlayRecorder.cs' ],
	'sql/README.md' => [
		(map { "test/dotnet/Site/$_" } 'Entities.cs', 'SiteContext.cs', 'Migrations/20261101000001_CountPlays.cs', 'Entities.cs', 'SiteContext.cs',
			'PlayRecorder.cs', 'WebTier.cs'),
		map { "test/orm/$_" } 'django/listening/models.py', 'django/listening/migrations/0002_count_plays.py', 'django/test.py',
		'alembic/migrations/versions/0002_count_plays.py', 'alembic/test.py', 'alembic/migrations/env.py',
		'knex/migrations/0002_count_plays.js', 'knex/test.js', 'rails/migrate/20261101000001_count_plays.rb', 'rails/test.rb' ]);

my $node = PostgreSQL::Test::Cluster->new('documents');
$node->init;
$node->start;
my $has_hll = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hll'});

# The blocks of a document, up to a section: what is before each, its language,
# its text, and what is shown of its output, if anything.
sub blocks
{
	my ($document, $until) = @_;
	my $text = slurp_file("$root/$document");
	my @blocks;

	$text =~ s/^## \Q$until\E\n.*//ms if defined $until;
	while ($text =~ /\G(.*?)^```(\S*)\n(.*?)^```\n/gms)
	{
		my ($before, $language, $content) = ($1, $2, $3);

		if ($language eq '' && $before eq '' && @blocks && $blocks[-1]{language} eq 'sql')
		{
			$blocks[-1]{shown} = $content;
			next;
		}
		push @blocks, { document => $document, language => $language, sql => $content };
	}
	return @blocks;
}

# What is in a text's lines, but for their margins
sub lines
{
	return grep { $_ ne '' } map { s/^\s+|\s+$//gr } split /\n/, $_[0];
}

# Run a document's blocks of SQL in one session, in a database of their own; each
# gets what psql says.
sub run
{
	my @blocks = @_;
	my $script = '';
	my $said = '';
	my $n = 0;

	$node->safe_psql('postgres', 'CREATE DATABASE documents');
	$script .= "\\echo block $_->{n}\n$_->{sql}" foreach map { $_->{n} = ++$n; $_ } @blocks;

	# Days are UTC's; notices are not shown.
	local $ENV{PGOPTIONS} = '-c timezone=UTC -c client_min_messages=warning';
	IPC::Run::run [ 'psql', '-XqP', 'pager=off', '-d', $node->connstr('documents') ], '<', \$script, '>&', \$said;
	while ($said =~ /\Gblock (\d+)\n(.*?)(?=^block \d+\n|\z)/gms)
	{
		my ($i, $answer) = ($1 - 1, $2);

		# psql ends each result with an empty line.
		$answer =~ s/\n\n\z/\n/;
		$blocks[$i]{said} = $answer;
	}

	$node->safe_psql('postgres', 'DROP DATABASE documents');
	$node->safe_psql('postgres', "DROP ROLE $_")
	  foreach split /\n/, $node->safe_psql('postgres', q{
		SELECT quote_ident(rolname) FROM pg_roles WHERE rolname NOT LIKE 'pg\_%' AND NOT rolsuper});
	return;
}

my @documents = map { s{^\Q$root\E/}{}r } sort map { glob "$root/$_" } '*.md', '*/*.md', 'test/*/*.md';
cmp_ok(scalar @documents, '>=', 7, 'there are documents') or diag "@documents";

my %used;
foreach my $document (@documents)
{
	my @shown = blocks($document);
	my $odd = join ' ', map { "'$_->{language}'" } grep { $_->{language} ne 'sql' && !$no_sql{ $_->{language} } } @shown;
	is($odd, '', "$document: each block is SQL, what it says, or in a known language");

	if ($run_by{$document})
	{
		my @sources = @{ $run_by{$document} };
		my @examples = grep { $_->{language} =~ /^(?:js|python|go|csharp|ruby)$/ } @shown;
		is(scalar @examples, scalar @sources, "$document: all examples in other languages are run");
		foreach my $i (0 .. $#sources)
		{
			my @rest = lines(slurp_file("$root/$sources[$i]"));
			my @missing = grep {
				my $line = $_;
				shift @rest while @rest && $rest[0] ne $line;
				!defined shift @rest;
			} lines($examples[$i]{sql} // 'none');
			is($missing[0], undef, "$document: $sources[$i] has the lines of the example, in their order");
		}
	}
	next unless grep { $_->{language} eq 'sql' } @shown;

	my @blocks;
	foreach my $block ((map { blocks(@$_) } @{ $after{$document} // [] }), @shown)
	{
		next if $block->{language} ne 'sql';
		my ($reason) = grep { $block->{sql} =~ /$_/ } keys %not_run;
		if (defined $reason)
		{
			$used{$reason} = 1;
			next;
		}
		push @blocks, $block if $has_hll || $block->{sql} !~ $needs_hll;
	}
	run(@blocks);

	foreach my $block (grep { $_->{document} eq $document } @blocks)
	{
		my ($first) = $block->{sql} =~ /^(.*)/;
		my $name = "$document, \"$first\"";

		if (defined $block->{shown} && $ENV{PLAYEVENT_SHOW})
		{
			$block->{replaced} = 1;
		}
		elsif (defined $block->{shown})
		{
			is($block->{said}, $block->{shown}, "$name says what is shown");
		}
		else
		{
			unlike($block->{said} // 'not run', qr/^ERROR|^FATAL|^not run/m, "$name runs");
		}
	}
	if ($ENV{PLAYEVENT_SHOW})
	{
		my $text = slurp_file("$root/$document");
		foreach my $block (grep { $_->{replaced} } @blocks)
		{
			$text =~ s/(^```sql\n\Q$block->{sql}\E```\n```\n).*?(?=^```\n)/$1$block->{said}/ms or die $block->{sql};
		}
		my $file = "$ENV{PLAYEVENT_SHOW}/" . ($document =~ s{/}{+}gr);
		unlink $file;
		append_to_file($file, $text);
	}
}
is(join(' ', grep { !$used{$_} } keys %not_run), '', 'what is not run is there');

#
# The reference has all functions and views for users, and all their arguments.
#
my $reference = slurp_file("$root/sql/README.md");
$node->safe_psql('postgres', 'CREATE EXTENSION playevent');
my @called = split /\n/, $node->safe_psql('postgres', q{
	SELECT name FROM (
		SELECT 'playevent.' || p.proname AS name, d.description FROM pg_proc p
		  JOIN pg_description d ON d.classoid = 'pg_proc'::regclass AND d.objoid = p.oid
		 WHERE p.pronamespace = 'playevent'::regnamespace
		   AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
		 UNION ALL
		SELECT 'playevent.' || c.relname, d.description FROM pg_class c
		  JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
		 WHERE c.relnamespace = 'playevent'::regnamespace) AS o
	WHERE description NOT LIKE 'internal: %' ORDER BY 1});
cmp_ok(scalar @called, '>', 10, 'there are functions for users');
foreach my $name (@called)
{
	like($reference, qr/^\| `\Q$name\E[`(]/m, "$name is in the reference");
}
my @arguments = split /\n/, $node->safe_psql('postgres', q{
	SELECT DISTINCT unnest(proargnames) FROM pg_proc
	 WHERE oid IN ('playevent.create_log'::regproc, 'playevent.attach_log'::regproc) ORDER BY 1});
my ($table) = $reference =~ /^## Arguments\n(.*?)^## /ms;
foreach my $name (@arguments)
{
	like($table, qr/^\|[^|]*`$name`/m, "argument $name is in the reference");
}

#
# Links lead to files that are there, and to headings.
#
sub anchors
{
	my ($text) = @_;
	$text =~ s/^```.*?^```\n//gms;
	return map { my $heading = lc; $heading =~ s/[^\w\- ]//g; $heading =~ s/ /-/gr } $text =~ /^#+ (.*)$/gm;
}

foreach my $document (@documents)
{
	my ($directory) = $document =~ m{^(.*/)?};
	my $text = slurp_file("$root/$document");
	my @broken;

	$text =~ s/^```.*?^```\n//gms;
	foreach my $link ($text =~ /\]\(([^)\s]+)\)/g)
	{
		next if $link =~ /^https?:/;
		my ($file, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
		my $path = $file eq '' ? $document : ($directory // '') . $file;

		push @broken, $link
		  if !-e "$root/$path"
		  || defined $anchor && !grep { $_ eq $anchor } anchors(slurp_file("$root/$path"));
	}
	is("@broken", '', "$document: links lead somewhere");
}

$node->stop;
done_testing();
