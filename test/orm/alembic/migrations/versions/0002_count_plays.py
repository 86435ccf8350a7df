"""Makes a log of the table of plays."""
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("CREATE EXTENSION playevent")
    op.execute("""
        SELECT playevent.attach_log('play_event', created_column => 'created_at',
            track => 'track', track_deleted => 'is_deleted', unknown_track => 'reject')
    """)


def downgrade():
    op.execute("""
        DO $$
        DECLARE
            trigger name;
        BEGIN
            FOR trigger IN
                SELECT t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                 WHERE t.tgrelid = 'play_event'::regclass AND p.pronamespace = 'playevent'::regnamespace
            LOOP
                EXECUTE format('DROP TRIGGER %I ON play_event', trigger);
            END LOOP;
        END $$
    """)
    op.execute("DROP TABLE play_counter_slot, play_daily_slot, play_verdict CASCADE")
    op.execute("DROP FUNCTION record_play, record_play_heard, record_plays, record_plays_heard, play_bucket_of")
    op.drop_column("play_event", "day")
    op.execute("DROP EXTENSION playevent")
