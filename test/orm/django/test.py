#!/usr/bin/python3
"""test.py: a site in Django, as the owner of its database.  From the environment:
PGHOST, PGPORT, PGUSER, PGDATABASE."""
import os
import sys
import uuid
from pathlib import Path

import django
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import Error, connection, models
from django.db.migrations.recorder import MigrationRecorder

sys.path.append(str(Path(__file__).parents[1]))
from tap import check  # noqa: E402

settings.configure(
    INSTALLED_APPS=["listening"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
        "USER": os.environ["PGUSER"], "NAME": os.environ["PGDATABASE"],
    }})
django.setup()
from listening.models import Play, Release, Track, TrackPlays  # noqa: E402


def ask(sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def sqlstate(error):
    """By psycopg 3, which newer Djangos take where it is there, or by psycopg2."""
    return error.sqlstate if hasattr(error, "sqlstate") else error.pgcode


def refusal(call):
    """The SQLSTATE and the message of what the database refuses."""
    try:
        call()
    except Error as error:
        return sqlstate(error.__cause__), str(error).splitlines()[0]
    return None, None


append_only = ("23001", 'table "listening_play" is append-only')

call_command("migrate", verbosity=0)
call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
release = Release.objects.create(title="Silver River LP")
Track.objects.create(entry_key="river", release=release)
Track.objects.create(entry_key="loose")

first = uuid.uuid4()
play = Play.objects.create(track_id="river", bucket=Play.Bucket.MOST, event_id=first)
play.refresh_from_db()  # reads its release
check("P2: Django: the release is the track's", play.release_id, release.id)
loose = Play.objects.create(track_id="loose", bucket="complete")
loose.refresh_from_db()
check("P2: Django: a loose track's play has none", loose.release_id, None)
again, created = Play.objects.get_or_create(
    event_id=first, defaults={"track_id": "river", "bucket": Play.Bucket.MOST})
check("P3: Django: get_or_create finds the first play", (again.id, created), (play.id, False))
plays = [Play(track_id="river", bucket="most", event_id=first), Play(track_id="river", bucket="partial")]
Play.objects.bulk_create(plays, ignore_conflicts=True)  # leaves out those that are there
check("P3: Django: bulk_create leaves out a play that is there", Play.objects.count(), 3)
with connection.cursor() as cursor:
    cursor.execute("SELECT record_play_heard(%s, %s, %s)", ["river", 0.97, first])
    check("P3: Django: record_play_heard returns the id of the first play", cursor.fetchone(), (play.id,))
check("P9: Django: an unknown track is refused",
      refusal(lambda: Play.objects.create(track_id="nowhere", bucket="most"))[0], "23503")

play.bucket = Play.Bucket.COMPLETE
check("P1: Django: save of a play that is there is refused", refusal(play.save), append_only)
check("P1: Django: delete is refused", refusal(play.delete), append_only)
check("P1: Django: update of a query is refused", refusal(lambda: Play.objects.update(bucket="most")), append_only)

on_release = Play._meta.get_field("release").remote_field
for action in models.SET_NULL, models.CASCADE:
    on_release.on_delete = action
    check(f"P1: Django: a release can't be deleted with {action.__name__}", refusal(release.delete), append_only)
on_release.on_delete = models.PROTECT
try:
    release.delete()
except models.ProtectedError:
    check("P1: Django: PROTECT keeps the release", Release.objects.count(), 1)
on_release.on_delete = models.DO_NOTHING
gone = release.id
release.delete()
play.refresh_from_db()
check("P1: Django: DO_NOTHING lets the release go, and the play keeps it", play.release_id, gone)

try:
    call_command("flush", interactive=False, verbosity=0)
except CommandError as error:  # as TransactionTestCase's does
    check("P1: Django: flush is refused", sqlstate(error.__cause__.__cause__), "23001")

check("P3: Django: the view says what was played",
      list(TrackPlays.objects.order_by("track").values_list("track", "partial", "most", "complete", "plays")),
      [("loose", 0, 0, 1, 1), ("river", 1, 1, 0, 2)])
check("P3: Django: top says so too", ask("SELECT key, plays FROM playevent.top('listening_play')"), [("river", 2), ("loose", 1)])
check("P3: Django: counters are exact", ask("SELECT * FROM playevent.verify('listening_play')"), [])

call_command("migrate", "listening", "0001", verbosity=0)
Play.objects.filter(track="loose").delete()
check("P10: Django: after the migration back, the table is an ordinary one", Play.objects.count(), 2)
call_command("migrate", verbosity=0)
check("P10: Django: and after the migration forth, a log of the plays that are there",
      list(TrackPlays.objects.values_list("track", "plays")), [("river", 2)])
call_command("migrate", "listening", "zero", verbosity=0)
check("P10: Django: nothing is left in the end",
      ask("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND relname NOT LIKE 'django%%'"), [])
