"""Makes the site's tables."""
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "release",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("title", sa.String(200), nullable=False))
    op.create_table(
        "track",
        sa.Column("entry_key", sa.String(100), primary_key=True),
        sa.Column("release_id", sa.BigInteger, sa.ForeignKey("release.id")),
        sa.Column("is_deleted", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "play_event",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("track_entry_key", sa.String(100), nullable=False),
        sa.Column("release_id", sa.BigInteger),
        sa.Column("bucket", sa.Enum("partial", "most", "complete", name="play_bucket"), nullable=False),
        sa.Column("event_id", UUID, unique=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()))


def downgrade():
    op.drop_table("play_event")
    op.execute("DROP TYPE play_bucket")
    op.drop_table("track")
    op.drop_table("release")
