"""models.py: the site's tables."""
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Enum, FetchedValue, ForeignKey, String, false, func
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.orm import declarative_base

Base = declarative_base()


class Release(Base):
    __tablename__ = "release"
    id = Column(BigInteger, primary_key=True)
    title = Column(String(200), nullable=False)


class Track(Base):
    __tablename__ = "track"
    entry_key = Column(String(100), primary_key=True)
    release_id = Column(ForeignKey("release.id"))
    is_deleted = Column(Boolean, nullable=False, server_default=false())


class Play(Base):
    """Written once: an update or a delete fails."""
    __tablename__ = "play_event"
    __mapper_args__ = {"eager_defaults": True}
    id = Column(BigInteger, primary_key=True)
    track_entry_key = Column(String(100), nullable=False)
    release_id = Column(BigInteger, FetchedValue())  # the database fills it in
    bucket = Column(Enum("partial", "most", "complete", name="play_bucket"), nullable=False)
    event_id = Column(UUID(as_uuid=True), unique=True)
    created_at = Column(DateTime(timezone=True), nullable=False, server_default=func.now())
