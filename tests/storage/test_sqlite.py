"""What can be wrong with a file: each ends in its documented error, and nothing stored is lost."""

import os
import resource
import signal
import sqlite3
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from mimar.errors import ForeignFileError, InputError, NewerVersionError, StorageError, StorageFullError
from mimar.storage import Event, SQLiteStorage

EVENTS = [Event("study", {"seed": 0}), *(Event("trial", {"id": i, "text": "x" * 2000}) for i in range(60))]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.db"


def written(path, events=EVENTS):
    storage = SQLiteStorage(path)
    for event in events:
        storage.append(event)
    storage.close()
    return path


def read(path):
    storage = SQLiteStorage(path, read_only=True)
    events = list(storage.events())
    storage.close()
    return events


def fill(storage, stored):
    for event in EVENTS:
        storage.append(event)
        stored.append(event)


def execute(path, *statements):
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    "content",
    [b"hidden_size = 512\n", b"x", b"SQLite format 3\0" + b"\xff" * 600, b"{}" * 5000, bytes(range(256)) * 40],
    ids=["text", "one byte", "header only", "json", "binary"],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_study_is_refused_and_left_alone(path, content, read_only):
    path.write_bytes(content)
    with pytest.raises(ForeignFileError, match=r"study.db is not a mimar study, or is damaged"):
        SQLiteStorage(path, read_only=read_only)
    assert path.read_bytes() == content


@pytest.mark.parametrize("statement", ["CREATE TABLE songs (title TEXT)", "PRAGMA user_version = 7"])
def test_an_sqlite_file_of_another_program_is_refused_and_left_alone(path, statement):
    execute(path, statement)
    before = path.read_bytes()
    with pytest.raises(ForeignFileError, match="an SQLite file of another program: choose another path"):
        SQLiteStorage(path)
    assert path.read_bytes() == before


def test_a_newer_version_is_refused(path):
    execute(written(path), "PRAGMA user_version = 99")
    with pytest.raises(NewerVersionError, match=r"file version 99, this one reads up to 1.*upgrade mimar"):
        SQLiteStorage(path)


def test_an_empty_file_becomes_a_study_but_is_none_yet(path):
    path.touch()
    with pytest.raises(ForeignFileError, match="is empty: expected a mimar study"):
        SQLiteStorage(path, read_only=True)
    assert read(written(path)) == EVENTS


def test_a_missing_study_is_bad_input(path):
    for options in ({"read_only": True}, {"create": False}):
        with pytest.raises(InputError, match=r"no study at .*study.db: check the path"):
            SQLiteStorage(path, **options)
    assert not path.exists()


@pytest.mark.parametrize("place", ["missing/study.db", "file/study.db", ""])
def test_a_path_that_cannot_be_created_is_a_storage_error(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="check that its folder exists, is writable and has room"):
        SQLiteStorage(tmp_path / place)


def damaged(path, first):
    content = bytearray(written(path).read_bytes())
    content[first : first + 4096] = b"\xa5" * 4096
    path.write_bytes(content)


@pytest.mark.parametrize("first", [200, 4096, 8192, 20480])
def test_a_damaged_page_is_noticed(path, first):
    damaged(path, first)
    with pytest.raises(ForeignFileError, match="damaged"):
        read(path)


def test_a_damaged_body_is_noticed(path):
    execute(written(path), "UPDATE events SET body = '{\"id\": ' WHERE position = 3")
    with pytest.raises(ForeignFileError, match=r"is damaged: an entry is not JSON.*restore a backup"):
        read(path)


def insert_foreign_event(path, position):
    """What a program that knows nothing of our lock can do."""
    execute(path, f"INSERT INTO events VALUES ({position}, 'trial', '{{}}', 0)")


def test_a_writer_that_no_lock_kept_out_is_noticed_and_nothing_is_lost(path):
    storage = SQLiteStorage(path)
    storage.append(EVENTS[0])
    insert_foreign_event(path, 1)
    for _ in range(2):
        with pytest.raises(StorageError, match=r"another process is writing to .*study.db: wait for it to end"):
            storage.append(EVENTS[1])
    storage.close()
    assert read(path) == [EVENTS[0], Event("trial", {})]


def test_a_study_that_another_writer_began_meanwhile_stays(path):
    """Where no lock kept it out, and this one has stored nothing."""
    storage = SQLiteStorage(path)
    insert_foreign_event(path, 0)
    with pytest.raises(StorageError, match="another process is writing"):
        storage.append(EVENTS[0])
    storage.close()
    assert read(path) == [Event("trial", {})]


@pytest.mark.parametrize("version", [-1, 0])
def test_a_damaged_version_is_said(path, version):
    execute(written(path), f"PRAGMA user_version = {version}")
    for read_only in (False, True):
        with pytest.raises(ForeignFileError, match=f"is damaged: its version is {version}"):
            SQLiteStorage(path, read_only=read_only)


def test_a_locked_file_is_a_storage_error(path, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **options: connect(*a, **{**options, "timeout": 0.05}))
    storage = SQLiteStorage(written(path))
    other = connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="is locked by another process"):
        storage.append(EVENTS[0])
    other.execute("ROLLBACK")
    other.close()
    storage.append(Event("stop", {}))
    storage.close()
    assert read(path) == [*EVENTS, Event("stop", {})]


def test_a_reader_sees_a_study_that_is_being_written(path):
    writer = SQLiteStorage(path)
    writer.append(EVENTS[0])
    assert read(path) == EVENTS[:1]
    reader = SQLiteStorage(path, read_only=True)
    with pytest.raises(StorageError):
        reader.append(EVENTS[1])
    reader.close()
    writer.append(EVENTS[1])
    writer.close()
    assert read(path) == EVENTS[:2]


def test_a_full_disk_loses_nothing_and_writing_goes_on_once_there_is_room(path):
    storage = SQLiteStorage(path)
    storage._db.execute("PRAGMA max_page_count = 12")  # SQLite's own limit: the same SQLITE_FULL as a full disk gives
    stored = []
    with pytest.raises(StorageFullError, match=r"no room left on the disk for .*study.db: free some.*--resume"):
        fill(storage, stored)
    assert 10 < len(stored) < len(EVENTS)
    assert list(storage.events()) == stored
    storage._db.execute("PRAGMA max_page_count = 1000000")
    storage.append(EVENTS[len(stored)])
    storage.close()
    assert read(path) == EVENTS[: len(stored) + 1]


def test_a_writer_that_no_lock_kept_out_is_noticed_after_a_failed_write_too(path):
    storage = SQLiteStorage(path)
    storage._db.execute("PRAGMA max_page_count = 12")
    stored = []
    with pytest.raises(StorageFullError):
        fill(storage, stored)
    insert_foreign_event(path, len(stored))
    storage._db.execute("PRAGMA max_page_count = 1000000")
    with pytest.raises(StorageError, match="another process is writing"):
        storage.append(EVENTS[0])
    storage.close()
    assert read(path) == [*stored, Event("trial", {})]


@contextmanager
def file_size_limit(size):
    """No file may grow beyond `size` bytes; a write beyond it is cut short, as on a device that runs out of room."""
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_failing_write_of_the_operating_system_loses_nothing(path):
    storage = SQLiteStorage(path)
    stored = []
    with file_size_limit(60_000), pytest.raises(StorageError, match=r"study\.db"):
        fill(storage, stored)
    assert 0 < len(stored) < len(EVENTS)
    storage.append(EVENTS[len(stored)])
    storage.close()
    assert read(path) == EVENTS[: len(stored) + 1]


@contextmanager
def read_only_folder(content=None, mode=0o444):
    """A folder that this process may not write to, also when the tests run as root; its study has this `mode`."""
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), os.geteuid() == 0
        if content is not None:
            (folder / "study.db").write_bytes(content)
            (folder / "study.db").chmod(mode)
        folder.chmod(0o555)
        if root:
            os.seteuid(65534)
        try:
            yield folder / "study.db"
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_a_read_only_folder_is_a_storage_error():
    with read_only_folder() as path, pytest.raises(StorageError, match="check that its folder exists, is writable"):
        SQLiteStorage(path)


def test_a_study_in_a_read_only_folder_can_be_read_but_not_continued(path):
    with read_only_folder(written(path).read_bytes()) as place:
        assert read(place) == EVENTS
        with pytest.raises(StorageError):
            SQLiteStorage(place).append(EVENTS[0])


def test_an_unreadable_file_is_a_storage_error(path):
    content = written(path).read_bytes()
    with read_only_folder(content, mode=0) as place, pytest.raises(StorageError, match="cannot read or write"):
        read(place)


def test_a_closed_storage_cannot_be_used(path):
    storage = SQLiteStorage(path)
    storage.close()
    with pytest.raises(StorageError):
        storage.append(EVENTS[0])
