"""Numbered migrations: entry i brings a file from version i to version i + 1; released entries never change.

events: position 0, 1, … without gaps; kind and body of an `Event`, the body as JSON; written_at is the wall time of the
append in seconds since 1970 (UTC). No search reads it, since results must not depend on the clock: it is there for
people who ask the file when something happened.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x6D696D61
"""SQLite's application_id of a study file: the letters "mima"."""

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE events (
        position INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        written_at REAL NOT NULL
    ) STRICT;
    """,
)

VERSION: Final = len(MIGRATIONS)
"""Version of the file layout this mimar writes."""
