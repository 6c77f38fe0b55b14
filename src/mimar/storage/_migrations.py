"""Numbered migrations: entry i brings a file from version i to version i + 1; released entries never change."""

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
