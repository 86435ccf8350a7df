# What people do to a log of a history (Model/History.pm) beside playing to it: tables,
# schemas, triggers and kinds get other names, triggers are lost, doubled, disabled
# and enabled, slots are written to behind its back.  After each such thing all is
# exact, or intact is false, or an insert fails; and after the remedy all is exact.
# By a session that is in no transaction.

package Model::Alterations;

use strict;
use warnings;

use Exporter qw(import);
use Model::History;
use Model::Looks;
use Model::Plays;

our @EXPORT = qw(%alterations);

my $attach = q{SELECT playevent.attach_log('play_event', track => 'track', track_deleted => 'is_deleted')};

# An error, if the log is not as intact as it should be
sub is_intact
{
	my ($wanted, $table) = @_;
	$table //= 'play_event';
	return "DO \$\$BEGIN IF (SELECT intact FROM playevent.log WHERE event = '$table'::regclass) IS DISTINCT FROM $wanted"
	  . " THEN RAISE 'intact is not $wanted'; END IF; END\$\$";
}

# Plays that are made between two statements, in one transaction; by replica, they
# bring their releases, for no trigger finds them.
sub play_between
{
	my ($session, $before, $after, %options) = @_;
	my $tx = $model->begin('READ COMMITTED');
	my ($plays) = random_plays($tx, 'play', bad => 0, plain => 1, %options);
	record($tx, $plays, undef, %options);
	run($session, join '; ', 'BEGIN', $before,
		insert_values($options{table} // 'play_event', $plays, $options{replica}), $after, 'COMMIT');
	$model->commit($tx);
	return;
}

sub renamed
{
	my ($rename, $back, $table) = @_;
	return sub {
		my ($session) = @_;
		play_between($session, $rename, is_intact('true', $table) . "; $back", table => $table);
		return;
	};
}

my %all = (play => 'x', track => 'w');

our %alterations = (
	'log renamed' => [ \%all, renamed('ALTER TABLE play_event RENAME TO listened',
		'ALTER TABLE listened RENAME TO play_event', 'listened') ],
	'log moved' => [ \%all, renamed('CREATE SCHEMA elsewhere; ALTER TABLE play_event SET SCHEMA elsewhere',
		'ALTER TABLE elsewhere.play_event SET SCHEMA history; DROP SCHEMA elsewhere', 'elsewhere.play_event') ],
	'slots moved' => [ \%all, renamed('CREATE SCHEMA elsewhere; ALTER TABLE play_daily_slot SET SCHEMA elsewhere',
		'ALTER TABLE elsewhere.play_daily_slot SET SCHEMA history; DROP SCHEMA elsewhere') ],
	'trigger renamed' => [ \%all, sub {
		my ($session) = @_;
		my $trigger = 'playevent_' . any(qw(count count_play_daily flush resolve append_only day));
		renamed("ALTER TRIGGER $trigger ON play_event RENAME TO zz_other",
			"ALTER TRIGGER zz_other ON play_event RENAME TO $trigger")->($session);
		return; } ],
	'kind renamed' => [ \%all, sub {
		my ($session) = @_;
		run($session, q{BEGIN; ALTER TYPE play_bucket RENAME VALUE 'most' TO 'mostly'; SELECT play_bucket_of(0.6); }
			. q{SELECT * FROM play_by_track; ALTER TYPE play_bucket RENAME VALUE 'mostly' TO 'most'; COMMIT});
		return; } ],
	'counted column renamed' => [ \%all, sub {
		my ($session) = @_;
		run($session, 'ALTER TABLE play_event RENAME release_id TO album');
		run($session, "INSERT INTO play_event (track_entry_key, bucket) VALUES ('t1', 'most')", '42703');
		run($session, 'ALTER TABLE play_event RENAME album TO release_id');
		return; } ],

	# A counter that has lost its trigger doesn't count, and shows it.
	'trigger lost' => [ \%all, sub {
		my ($session) = @_;
		my $trigger = any(qw(playevent_count playevent_count_play_daily playevent_flush playevent_append_only playevent_append_only_truncate));
		play_between($session, "DROP TRIGGER $trigger ON play_event; " . is_intact('false'),
			"$attach; " . is_intact('true'));
		return; } ],
	'guard lost' => [ \%all, sub {
		my ($session) = @_;
		my $slots = any(qw(play_counter_slot play_daily_slot));
		run($session, "DROP TRIGGER playevent_slot_guard ON $slots; DROP TRIGGER playevent_slot_guard_row ON $slots");
		run($session, is_intact('false'));
		run($session, "INSERT INTO play_event (track_entry_key, bucket) VALUES ('t1', 'most')", '55000');
		run($session, $attach);
		run($session, is_intact('true'));
		return; } ],
	'trigger doubled' => [ \%all, sub {
		my ($session) = @_;
		run($session, q{CREATE TRIGGER again AFTER INSERT ON play_event FOR EACH ROW EXECUTE FUNCTION }
			. q{playevent.count('play_counter_slot', 'plays', 'track_entry_key', 'release_id', 'bucket')});
		run($session, is_intact('false'));
		run($session, "INSERT INTO play_event (track_entry_key, bucket) VALUES ('t1', 'most')", '55000');
		run($session, $attach);
		run($session, is_intact('true'));
		return; } ],
	'renamed, then made again' => [ \%all, sub {
		my ($session) = @_;
		run($session, 'ALTER TRIGGER playevent_count ON play_event RENAME TO count_plays; DROP TRIGGER playevent_flush ON play_event');
		run($session, $attach);
		run($session, 'ALTER TRIGGER count_plays ON play_event RENAME TO playevent_count');
		run($session, is_intact('true'));
		return; } ],

	# What restores of data do
	'log closed' => [ \%all, sub {
		my ($session) = @_;
		play_between($session, 'ALTER TABLE play_event DISABLE TRIGGER ALL; ' . is_intact('false'),
			'ALTER TABLE play_event ENABLE TRIGGER ALL; ' . is_intact('true'), replica => 1);
		return; } ],
	'slots closed' => [ \%all, sub {
		my ($session) = @_;
		my $slots = any(qw(play_counter_slot play_daily_slot));
		my $harm = any("UPDATE $slots SET plays = plays + 1", "DELETE FROM $slots WHERE ctid IN (SELECT ctid FROM $slots LIMIT 2)",
			"INSERT INTO $slots SELECT * FROM $slots",
			any_snapshot_held() ? () : "TRUNCATE $slots");  # which older snapshots see
		run($session, "BEGIN; ALTER TABLE $slots DISABLE TRIGGER ALL; $harm; ALTER TABLE $slots ENABLE TRIGGER ALL; "
			. is_intact('true') . '; COMMIT');
		return; } ]);

1;
