# LogState: what a database's logs are, for tests that compare them before and
# after a dump, an upgrade or a DROP EXTENSION.

package LogState;

use strict;
use warnings;

use Exporter qw(import);
our @EXPORT = qw(log_state log_content log_faults not_exact not_kept);

# All logs, playevent's triggers, and the functions of the schemas that logs are
# in; starting with the table's name, or with CREATE.
sub log_state
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
		SET search_path = pg_catalog;
		SELECT concat_ws(' ', event, 'is', to_jsonb(l)) FROM playevent.log l
		UNION ALL
		SELECT concat_ws(' ', t.tgrelid::regclass, t.tgname, t.tgenabled,
						 CASE WHEN t.tgparentid = 0 THEN pg_get_triggerdef(t.oid) ELSE 'inherited' END)
		FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
		WHERE p.pronamespace = 'playevent'::regnamespace
		UNION ALL
		SELECT concat_ws(' ', pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'))
		FROM pg_proc p
		WHERE p.prokind = 'f' AND p.pronamespace IN (
			SELECT c.relnamespace FROM playevent.log l JOIN pg_class c ON c.oid = l.event)
		ORDER BY 1});
}

# The rows of tables and views.
sub log_content
{
	my ($node, $db, @relations) = @_;

	return $node->safe_psql($db, join ";\n", map {
		q{SELECT '} . s/'/''/gr . qq{', count(*), string_agg(r::text, ' ' ORDER BY r::text COLLATE "C")
		  FROM $_ r}} @relations);
}

# What is wrong with what was retired, and with archives, in all logs.
sub not_kept
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
		CREATE FUNCTION pg_temp.not_kept() RETURNS SETOF text LANGUAGE plpgsql AS $$
		DECLARE
			log record;
			part regclass;
		BEGIN
			FOR log IN SELECT l.event, playevent.manifest(l.event) AS manifest FROM playevent.log l ORDER BY 1 LOOP
				CONTINUE WHEN log.manifest IS NULL;
				RETURN QUERY SELECT format('%s: %s', log.event, v.problem) FROM playevent.verify_archive(log.event) v;
				FOR part IN EXECUTE format(
					'SELECT DISTINCT to_regclass(format(''%%I.%%I'', playevent.schema_of(%L::regclass), part))
					   FROM %s WHERE action = ''seal'' ORDER BY 1', log.event, log.manifest)
				LOOP
					RETURN QUERY SELECT format('%s, %s: %s', log.event, part, v.problem) FROM playevent.verify_archive(log.event, part) v;
				END LOOP;
			END LOOP;
		END
		$$;
		SELECT pg_temp.not_kept()});
}

# What verify has to say, of all logs.
sub not_exact
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
		SELECT event, v.* FROM playevent.log, playevent.verify(event) v ORDER BY 1, 2, 3, 4});
}

# Play on in every log, and undo it: are plays counted, is what was played
# beyond anyone's reach, partitions and slots included?  Returns what is wrong.
sub log_faults
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
		SET client_min_messages = error;
		CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text
		LANGUAGE plpgsql AS $$
		BEGIN
			EXECUTE statement;
			RETURN 'done';
		EXCEPTION WHEN OTHERS THEN
			RETURN SQLSTATE;
		END
		$$;
		CREATE FUNCTION pg_temp.faults() RETURNS SETOF text
		LANGUAGE plpgsql AS $$
		DECLARE
			log playevent.log;
			role text;
			statement text;
			result text;
			before bigint;
			after bigint;
		BEGIN
			FOR log IN SELECT * FROM playevent.log LOOP
				FOREACH role IN ARRAY ARRAY['origin', 'replica'] LOOP
					PERFORM set_config('session_replication_role', role, true);
					CONTINUE WHEN role = 'replica' AND NOT log.count_replicated;
					EXECUTE format('SELECT sum(%I) FROM %s', log.count_column, log.counter_slot) INTO before;
					EXECUTE format(
						'INSERT INTO %1$s (%2$I, %3$I) SELECT %2$I, %3$I FROM %1$s
						 WHERE %2$I IN (SELECT %4$I FROM %5$s) LIMIT 5',
						log.event, log.key_column, log.kind_column, log.track_key, log.track);
					EXECUTE format('SELECT sum(%I) FROM %s', log.count_column, log.counter_slot) INTO after;
					IF after IS DISTINCT FROM before + 5 THEN
						RETURN NEXT format('%s: 5 plays counted as %s as %s', log.event, after - before, role);
					END IF;
					RETURN QUERY SELECT format('%s: %s', log.event, v) FROM playevent.verify(log.event) v;
				END LOOP;

				FOR role, statement IN
					SELECT r, format(template, relation, log.key_column)
					  FROM (SELECT log.event UNION SELECT relid FROM pg_partition_tree(log.event)
							UNION SELECT log.counter_slot) AS relations (relation),
						   (VALUES ('UPDATE %s SET %2$I = %2$I'), ('DELETE FROM %s'), ('TRUNCATE %s')) AS t (template),
						   (VALUES ('origin'), ('replica')) AS r (r)
					UNION ALL
					SELECT r, format('INSERT INTO %1$s SELECT * FROM %1$s LIMIT 1', log.counter_slot)
					  FROM (VALUES ('origin'), ('replica')) AS r (r)
				LOOP
					PERFORM set_config('session_replication_role', role, true);
					result := pg_temp.outcome(statement);
					-- A partition for rows to come has none that it could keep.
					IF result = 'done' AND statement !~ '^TRUNCATE'
					   AND pg_temp.outcome(format('SELECT 1 / count(*) FROM %s', substring(statement FROM '(?:UPDATE|FROM) (.+?)(?: SET .*)?$'))) = '22012' THEN
						CONTINUE;
					END IF;
					IF result <> '23001' THEN
						RETURN NEXT format('%s as %s: %s', statement, role, result);
					END IF;
				END LOOP;
				PERFORM set_config('session_replication_role', 'origin', true);
			END LOOP;
		END
		$$;
		BEGIN;
		SELECT pg_temp.faults();
		ROLLBACK});
}

1;
