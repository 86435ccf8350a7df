import uuid

from django.db import models


class Release(models.Model):
    title = models.CharField(max_length=200)


class Track(models.Model):
    entry_key = models.CharField(primary_key=True, max_length=100)
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL)
    is_deleted = models.BooleanField(default=False)


class Play(models.Model):
    """Written once: an update or a delete fails.  The database fills in the release."""

    class Bucket(models.TextChoices):
        PARTIAL = "partial"
        MOST = "most"
        COMPLETE = "complete"

    id = models.BigAutoField(primary_key=True)
    track = models.ForeignKey(
        Track, db_column="track_entry_key", db_constraint=False, on_delete=models.DO_NOTHING)
    release = models.ForeignKey(
        Release, null=True, editable=False, db_constraint=False, on_delete=models.DO_NOTHING)
    bucket = models.CharField(max_length=10, choices=Bucket.choices)
    event_id = models.UUIDField(unique=True, default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)


class TrackPlays(models.Model):
    """A view of the log: plays by track, and by bucket."""

    track = models.OneToOneField(
        Track, primary_key=True, db_column="track_entry_key", on_delete=models.DO_NOTHING, related_name="played")
    partial = models.BigIntegerField()
    most = models.BigIntegerField()
    complete = models.BigIntegerField()
    plays = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "play_by_track"
