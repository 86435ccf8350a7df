# Installation: installations of Postgres of a test's own, with the extension put
# in as anyone would, and what the extension's objects are.

package Installation;

use strict;
use warnings;

use Cwd;
use Exporter qw(import);
use File::Basename;
use File::Copy;
use File::Path qw(make_path);
use IPC::Run;

our @EXPORT = qw(copy_tree make_install installation extension_objects);

my $source = getcwd();

# Copy what is built of the source tree that the tests run in, and what is
# compiled already if $compiled.
sub copy_tree
{
	my ($to, $compiled) = @_;

	make_path("$to/src", "$to/sql/parts", "$to/sql/released");
	copy($_, "$to/") foreach (map { "$source/$_" } qw(Makefile META.json CHANGELOG.md playevent.control));
	copy($_, "$to/src/") foreach (glob("$source/src/*.[ch]"));
	copy($_, "$to/sql/") foreach (glob("$source/sql/playevent--*--*.sql"));
	copy($_, "$to/sql/parts/") foreach (glob("$source/sql/parts/*.sql"));
	copy($_, "$to/sql/released/") foreach (glob("$source/sql/released/*.sql"));

	# Last, so that they are newer
	copy($_, "$to/src/") foreach ($compiled ? glob("$source/src/*.o") : ());
	return $to;
}

sub make_install
{
	my ($pg_config, $tree, $root) = @_;
	my $log = '';

	IPC::Run::run([ 'make', '-s', '-C', $tree, "PG_CONFIG=$pg_config", 'with_llvm=no', "DESTDIR=$root", 'install' ],
		'>', \$log, '2>&1') or die "make install with $pg_config: $log";
	return;
}

# An installation under $root, with the extension as it is in $tree; returns its
# path.  Programs are copied, for Postgres finds its files from where they are;
# the rest is linked.
sub installation
{
	my ($pg_config, $tree, $root) = @_;
	my %at = map { $_ => qx{'$pg_config' --$_} =~ s/\n//r } qw(bindir pkglibdir sharedir);

	make_install($pg_config, $tree, $root);
	make_path("$root$at{bindir}");
	foreach my $program (glob("$at{bindir}/*"))
	{
		copy($program, "$root$at{bindir}/");
		chmod 0755, "$root$at{bindir}/" . basename($program);
	}
	foreach my $folder (dirname($at{bindir}) . '/lib', $at{pkglibdir}, $at{sharedir}, "$at{sharedir}/extension")
	{
		make_path("$root$folder");
		foreach my $file (glob("$folder/*"))
		{
			my $here = "$root$file";

			next if -e $here || $file eq $at{pkglibdir} || $file eq "$at{sharedir}/extension";
			symlink($file, $here) or die "symlink $here: $!";
		}
	}
	return $root . dirname($at{bindir});
}

# The extension's objects in all detail: definition, owner, rights, comment.
# pg_upgrade does not spell out those rights that functions have by default.
sub extension_objects
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
		SET search_path = pg_catalog;
		WITH member AS (
			SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
			WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'playevent'
			UNION ALL
			SELECT 'pg_extension'::regclass, oid FROM pg_extension WHERE extname = 'playevent')
		SELECT i.type, i.identity,
			   obj_description(m.objid, c.relname),
			   CASE i.type WHEN 'function' THEN pg_get_functiondef(m.objid)
						   WHEN 'view' THEN pg_get_viewdef(m.objid) END,
			   (SELECT jsonb_build_array(coalesce(proacl, acldefault('f', proowner)), proowner)
				FROM pg_proc p WHERE m.classid = 'pg_proc'::regclass AND p.oid = m.objid),
			   (SELECT jsonb_build_array(relacl, relowner, reloptions)
				FROM pg_class r WHERE m.classid = 'pg_class'::regclass AND r.oid = m.objid),
			   (SELECT to_jsonb(e) - '{oid,evtfoid}'::text[] || jsonb_build_object('function', evtfoid::regprocedure)
				FROM pg_event_trigger e WHERE m.classid = 'pg_event_trigger'::regclass AND e.oid = m.objid),
			   (SELECT jsonb_build_array(nspacl, nspowner)
				FROM pg_namespace n WHERE m.classid = 'pg_namespace'::regclass AND n.oid = m.objid),
			   (SELECT to_jsonb(e) - '{oid,extnamespace}'::text[]
				FROM pg_extension e WHERE m.classid = 'pg_extension'::regclass AND e.oid = m.objid),
			   (SELECT jsonb_agg(jsonb_build_array(p.privtype, p.initprivs, p.objsubid) ORDER BY p.objsubid)
				FROM pg_init_privs p WHERE p.classoid = m.classid AND p.objoid = m.objid AND m.classid <> 'pg_proc'::regclass)
		FROM member m JOIN pg_class c ON c.oid = m.classid,
			 pg_identify_object(m.classid, m.objid, 0) i
		ORDER BY 1, 2});
}

1;
