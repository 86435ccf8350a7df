"""Makes a log of the table of plays."""
from django.contrib.postgres.operations import CreateExtension
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("listening", "0001_tables")]
    operations = [
        CreateExtension("playevent"),
        migrations.RunSQL(
            """
            ALTER TABLE listening_play ALTER COLUMN created_at SET DEFAULT now();
            SELECT playevent.attach_log('listening_play', name => 'play', kinds => '{partial,most,complete}',
                created_column => 'created_at', track => 'listening_track', track_deleted => 'is_deleted',
                unknown_track => 'reject');
            """,
            reverse_sql="""
            DO $$
            DECLARE
                trigger name;
            BEGIN
                FOR trigger IN
                    SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                     WHERE t.tgrelid = 'listening_play'::regclass AND p.pronamespace = 'playevent'::regnamespace
                LOOP
                    EXECUTE format('DROP TRIGGER %I ON listening_play', trigger);
                END LOOP;
            END $$;
            DROP TABLE play_counter_slot, play_daily_slot, play_verdict CASCADE;
            DROP FUNCTION record_play, record_play_heard, record_plays, record_plays_heard, play_bucket_of;
            ALTER TABLE listening_play DROP CONSTRAINT playevent_kinds, DROP COLUMN day,
                ALTER COLUMN created_at DROP DEFAULT;
            """),
    ]
