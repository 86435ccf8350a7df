"""Makes the site's tables; by makemigrations."""
import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Release",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("title", models.CharField(max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name="Track",
            fields=[
                ("entry_key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("is_deleted", models.BooleanField(default=False)),
                ("release", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL,
                                              to="listening.release")),
            ],
        ),
        migrations.CreateModel(
            name="TrackPlays",
            fields=[
                ("track", models.OneToOneField(db_column="track_entry_key", primary_key=True, related_name="played",
                                               on_delete=django.db.models.deletion.DO_NOTHING, serialize=False,
                                               to="listening.track")),
                ("partial", models.BigIntegerField()),
                ("most", models.BigIntegerField()),
                ("complete", models.BigIntegerField()),
                ("plays", models.BigIntegerField()),
            ],
            options={"db_table": "play_by_track", "managed": False},
        ),
        migrations.CreateModel(
            name="Play",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("bucket", models.CharField(choices=[("partial", "Partial"), ("most", "Most"), ("complete", "Complete")],
                                            max_length=10)),
                ("event_id", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("release", models.ForeignKey(db_constraint=False, editable=False, null=True,
                                              on_delete=django.db.models.deletion.DO_NOTHING, to="listening.release")),
                ("track", models.ForeignKey(db_column="track_entry_key", db_constraint=False,
                                            on_delete=django.db.models.deletion.DO_NOTHING, to="listening.track")),
            ],
        ),
    ]
