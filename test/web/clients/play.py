#!/usr/bin/python3
"""play.py: records a play or a share from Python, and prints its id."""
import sys
import uuid

import psycopg


def record_play(connection, track, heard, event_id):
    return connection.execute(  # None: too short to be a play
        "SELECT record_play_heard(%s, %s, event_id => %s)", (track, heard, event_id)).fetchone()[0]


def record_share(connection, track, channel, event_id):
    return connection.execute(
        "SELECT record_share(%s, %s, event_id => %s)", (track, channel, event_id)).fetchone()[0]


if __name__ == "__main__":
    kind, track, what, event_id = sys.argv[1:]
    with psycopg.connect(autocommit=True) as connection:
        if kind == "play":
            print(record_play(connection, track, float(what), uuid.UUID(event_id)))
        else:
            print(record_share(connection, track, what, uuid.UUID(event_id)))
