# meta.pl DIRECTORY: is META.json there what PGXN asks of a distribution, by version
# 1.0 of its specification (pgxn.org/spec), and does it say what the control file and
# the change log say?  Prints what is wrong, and fails if there is anything.  Files
# that are provided are looked for if the directory has the install script.

use strict;
use warnings;

use JSON::PP;

my $directory = shift;
my @wrong;
my $semver = qr/^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[A-Za-z][0-9A-Za-z-]*)?$/;
my $range = qr/^(?:(?:[<>]=?|[!=]=)\s*)?\d+(?:\.\d+){0,2}(?:-[A-Za-z][0-9A-Za-z-]*)?$/;

sub text_of
{
	my ($file) = @_;
	open my $handle, '<', "$directory/$file" or die "$file: $!\n";
	local $/ = undef;
	return scalar <$handle>;
}

sub check
{
	my ($is, $what) = @_;
	push @wrong, $what unless $is;
	return $is;
}

sub is_string { my ($value) = @_; return defined $value && !ref $value && length $value; }
sub is_map { my ($value) = @_; return ref $value eq 'HASH' && %$value; }
sub is_term { my ($value) = @_; return is_string($value) && $value =~ m{^[^\s/\\[:cntrl:]]{2,255}$}; }

# Keys that a map may have, and those that it must; others begin with x_.
sub check_keys
{
	my ($map, $name, $must, @may) = @_;
	return unless check(is_map($map), "$name: is no map, or empty");
	my %known = map { $_ => 1 } @$must, @may;
	check(exists $map->{$_}, "$name: has no \"$_\"") foreach @$must;
	check($known{$_} || /^x_/i, "$name: \"$_\" is not known") foreach sort keys %$map;
	return;
}

my $meta = decode_json(text_of('META.json'));
check_keys($meta, 'META.json', [qw(name version abstract maintainer license provides meta-spec)],
	qw(description generated_by no_index prereqs release_status resources tags));
check(is_term($meta->{name}), 'name: is none');
check(is_string($meta->{abstract}), 'abstract: is empty');
check(is_string($_), 'maintainer: is empty')
  foreach ref $meta->{maintainer} eq 'ARRAY' ? @{ $meta->{maintainer} } : $meta->{maintainer};
check(is_string($meta->{version}) && $meta->{version} =~ $semver, 'version: is none by semver.org 1.0');

my %licenses = map { $_ => 1 } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1
  gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib
  open_source restricted unrestricted unknown);
check(is_map($meta->{license}) || $licenses{ $_ // '' }, 'license: is not in the list')
  foreach ref $meta->{license} eq 'ARRAY' ? @{ $meta->{license} } : $meta->{license};
check(($meta->{release_status} // 'stable') =~ /^(?:stable|testing|unstable)$/, 'release_status: is none');

check_keys($meta->{'meta-spec'}, 'meta-spec', ['version'], 'url');
check($meta->{'meta-spec'}{version} eq '1.0.0', 'meta-spec: its version is not 1.0.0');

foreach my $phase (sort keys %{ $meta->{prereqs} // {} })
{
	my $relations = $meta->{prereqs}{$phase};
	check($phase =~ /^(?:configure|build|test|runtime|develop|x_.*)$/, "prereqs: $phase is no phase");
	check_keys($relations, "prereqs: $phase", [], qw(requires recommends suggests conflicts));
	foreach my $needed (map { %$_ ? $_ : () } values %$relations)
	{
		check(is_term($_), "prereqs: $phase: $_ is no name") foreach sort keys %$needed;
		check(!(grep { $_ ne '0' && $_ !~ $range } split /\s*,\s*/), "prereqs: $phase: $_ is no range of versions")
		  foreach values %$needed;
	}
}

my %seen;
foreach my $tag (@{ $meta->{tags} // [] })
{
	check(is_string($tag) && $tag =~ m{^[^/\\[:cntrl:]]{1,255}$} && !$seen{ lc $tag }++, "tags: \"$tag\" is none, or there twice");
}

my ($default) = text_of('playevent.control') =~ /^default_version = '(.*)'/m;
my $built = -e "$directory/sql/playevent--$default.sql";
check(is_map($meta->{provides}), 'provides: is no map, or empty');
foreach my $extension (sort keys %{ $meta->{provides} // {} })
{
	my $provided = $meta->{provides}{$extension};
	check(is_term($extension), "provides: $extension is no name");
	check_keys($provided, "provides: $extension", [qw(file version)], qw(abstract docfile));
	check(($provided->{version} // '') =~ $semver, "provides: $extension: version is none");
	foreach my $file (grep { defined } @$provided{qw(file docfile)})
	{
		check(-e "$directory/$file" || !$built, "provides: $extension: there is no $file");
	}
	check(($provided->{version} // '') eq $meta->{version}, "provides: $extension has another version");
}
check($meta->{provides}{playevent}{file} eq "sql/playevent--$default.sql", 'provides: playevent has another file');

# One version, in three files
my ($last, $date) = text_of('CHANGELOG.md') =~ /^## (\S+) \((.+)\)$/m;
check($meta->{version} =~ /^\Q$default\E\.\d+$/, "version: the control file says $default");
check($meta->{version} eq $last, "version: CHANGELOG.md says $last");
check($date =~ /^(?:unreleased|\d{4}-\d\d-\d\d)$/, "CHANGELOG.md: \"$date\" is no date");
check($date eq 'unreleased' || ($meta->{release_status} // 'stable') eq 'stable', 'release_status: it is released and not stable');

print map { "$_\n" } @wrong;
exit(@wrong > 0);
