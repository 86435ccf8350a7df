#!/usr/bin/python3
"""test.py: a site with SQLAlchemy and Alembic, as the owner of its database.  From
the environment: PGHOST, PGPORT, PGUSER, PGDATABASE."""
import sys
import uuid
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import Base, Play, Release, Track

here = Path(__file__).parent
sys.path.append(str(here.parent))
from tap import check  # noqa: E402

engine = create_engine("postgresql+psycopg2://", future=True)
config = Config()
config.set_main_option("script_location", str(here / "migrations"))


def ask(sql, **parameters):
    with engine.begin() as connection:
        return [tuple(row) for row in connection.execute(text(sql), parameters)]


def refusal(act):
    """The SQLSTATE and the message of what the database refuses."""
    try:
        with Session(engine, future=True) as session, session.begin():
            act(session)
    except DBAPIError as error:
        return error.orig.pgcode, str(error.orig).splitlines()[0]
    return None, None


append_only = ("23001", 'table "play_event" is append-only')

command.upgrade(config, "head")
first = uuid.uuid4()
with Session(engine, future=True) as session:
    session.add_all([Release(id=7, title="Silver River LP"), Track(entry_key="loose")])
    session.flush()
    session.add(Track(entry_key="river", release_id=7))
    session.commit()

    loose = Play(track_entry_key="loose", bucket="complete")
    session.add(loose)
    play = Play(track_entry_key="river", bucket="most", event_id=first)
    session.add(play)
    session.flush()  # reads its release
    check("P2: SQLAlchemy: the release is the track's, and read back", vars(play).get("release_id"), 7)
    check("P2: SQLAlchemy: a loose track's play has none", loose.release_id, None)
    session.commit()

    again = insert(Play).values(track_entry_key="river", bucket="most", event_id=first).on_conflict_do_nothing()
    result = session.execute(again)  # leaves out a play that is there
    check("P3: SQLAlchemy: on_conflict_do_nothing leaves out a play that is there", result.rowcount, 0)
    heard = {"track": "river", "heard": 0.97, "event_id": str(first)}
    id = session.scalar(text("SELECT record_play_heard(:track, :heard, :event_id)"), heard)
    check("P3: SQLAlchemy: record_play_heard returns the id of the first play", id, play.id)
    session.commit()
check("P9: SQLAlchemy: an unknown track is refused",
      refusal(lambda session: session.add(Play(track_entry_key="nowhere", bucket="most")))[0], "23503")


def update(session):
    session.scalars(select(Play)).first().bucket = "partial"


check("P1: SQLAlchemy: an update is refused", refusal(update), append_only)
check("P1: SQLAlchemy: a delete is refused",
      refusal(lambda session: session.delete(session.scalars(select(Play)).first())), append_only)
check("P1: SQLAlchemy: a delete of a query is refused", refusal(lambda session: session.query(Play).delete()), append_only)

check("P3: SQLAlchemy: the view says what was played",
      ask("SELECT track_entry_key, partial, most, complete, plays FROM play_by_track ORDER BY 1"),
      [("loose", 0, 0, 1, 1), ("river", 0, 1, 0, 1)])
check("P3: SQLAlchemy: top says so too", ask("SELECT key, plays FROM playevent.top('play_event', lim => :lim) ORDER BY key", lim=2),
      [("loose", 1), ("river", 1)])
check("P3: SQLAlchemy: counters are exact", ask("SELECT * FROM playevent.verify('play_event')"), [])

unlike = []
scripts = ScriptDirectory.from_config(config)
with EnvironmentContext(config, scripts, fn=lambda revision, context: unlike.extend(compare_metadata(context, Base.metadata)) or []):
    scripts.run_env()
check("P10: Alembic: autogenerate leaves a log alone", unlike, [])
command.downgrade(config, "0001")
with engine.begin() as connection:
    connection.execute(text("DELETE FROM play_event WHERE track_entry_key = 'loose'"))
check("P10: Alembic: after downgrade, the table is an ordinary one", ask("SELECT release_id FROM play_event"), [(7,)])
command.upgrade(config, "head")
check("P10: Alembic: and after upgrade, a log of the plays that are there",
      ask("SELECT track_entry_key, plays FROM play_by_track"), [("river", 1)])
command.downgrade(config, "base")
check("P10: Alembic: nothing is left in the end", inspect(engine).get_table_names(), ["alembic_version"])
