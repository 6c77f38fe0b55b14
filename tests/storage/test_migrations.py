"""Files of older versions: one that version 1 wrote, and steps to versions that do not exist yet."""

import sqlite3
from contextlib import closing

import pytest

from mimar.errors import StorageError
from mimar.storage import Event, SQLiteStorage, _sqlite
from mimar.storage._migrations import MIGRATIONS

NEXT = "ALTER TABLE events ADD COLUMN note TEXT NOT NULL DEFAULT ''; CREATE TABLE notes (text TEXT) STRICT;"


@pytest.fixture
def path(study_of_version_1):
    return study_of_version_1


def events(path, **options):
    with closing(SQLiteStorage(path, **options)) as storage:
        return list(storage.events())


def version(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


@pytest.fixture
def upgraded(monkeypatch):
    """Makes this mimar one of a later version, whose steps from the released ones are given."""

    def upgrade(*steps):
        monkeypatch.setattr(_sqlite, "MIGRATIONS", (*MIGRATIONS, *steps))
        monkeypatch.setattr(_sqlite, "VERSION", len(MIGRATIONS) + len(steps))
        return len(MIGRATIONS) + len(steps)

    return upgrade


@pytest.mark.parametrize("read_only", [True, False])
def test_what_version_1_wrote_is_read(path, read_only):
    kept = events(path, read_only=read_only)
    assert [event.kind for event in kept] == ["study", "ask", *["trial"] * 6, "stop"]
    assert kept[0].body["kind"] == "design"
    assert kept[-1].body["reason"] == "enough trials"


def test_a_writer_brings_an_older_file_up_to_date_and_loses_nothing(path, upgraded):
    before = events(path, read_only=True)
    newest = upgraded("CREATE TABLE first (x TEXT) STRICT;", NEXT)
    with closing(SQLiteStorage(path)) as storage:
        storage.append(Event("stop", {"reason": "later"}))
    assert events(path, read_only=True) == [*before, Event("stop", {"reason": "later"})]
    assert version(path) == newest
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(note) FROM events").fetchone()[0] == len(before) + 1


def test_a_reader_sees_an_older_file_in_the_new_form_and_leaves_it_alone(path, upgraded):
    before, content = events(path, read_only=True), path.read_bytes()
    upgraded("UPDATE events SET body = json_set(body, '$.renamed', 1);")
    assert events(path, read_only=True) == [Event(each.kind, {**each.body, "renamed": 1}) for each in before]
    assert path.read_bytes() == content
    assert version(path) == 1


def test_a_step_that_fails_half_way_changes_nothing(path, upgraded, monkeypatch):
    before = events(path, read_only=True)
    upgraded("ALTER TABLE events ADD COLUMN note TEXT; DROP TABLE missing;")
    with pytest.raises(StorageError, match="no such table"):
        SQLiteStorage(path)
    monkeypatch.undo()
    assert version(path) == 1
    assert events(path) == before
