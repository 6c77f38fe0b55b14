"""The journal as one SQLite file; each append is one durable transaction."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, cast

from mimar.errors import ForeignFileError, InputError, NewerVersionError, StorageError, StorageFullError
from mimar.storage._event import Event, EventKind, encoded
from mimar.storage._migrations import APPLICATION_ID, MIGRATIONS, VERSION
from mimar.storage._writer_lock import WriterLock

SMALLEST: Final = 512
"""Bytes of the smallest SQLite file that is not empty: one page (https://sqlite.org/fileformat.html, section 1.3.2)."""


class SQLiteStorage:
    """Append-only journal in an SQLite file (write-ahead log, synchronous FULL).

    A power loss at any instant loses at most the append under way. Opening it for writing while another writer has it
    open is a StorageError at once, before anything is written; readers come and go as they like. Where no lock can
    tell (another machine, Windows), a second writer is still noticed: positions are handed out by this object, and an
    append at one that is taken fails with a StorageError.
    A file of an older version is brought up to date when it is opened for writing, in one transaction; a reader of one
    looks at a copy in memory and leaves the file as it is.
    A file that was made here and holds no event yet when it is closed is removed.
    """

    def __init__(self, path: Path, *, create: bool = True, read_only: bool = False) -> None:
        self.path = path
        if path.is_dir():
            raise StorageError(
                f"cannot read or write {path} (a folder): check that its folder exists, is writable and has room"
            )
        if not path.exists() and (read_only or not create):
            raise InputError(f"no study at {path}: check the path, or start one (without --resume)")
        self._file = Path(os.path.realpath(path))  # SQLite's log and our lock lie beside the file, not beside a link
        self._next = 0
        with ExitStack() as undo, _explained(path):
            if not read_only:
                undo.callback(WriterLock(self._file).release)
            self._is_new = not self._file.exists()  # asked under the lock: what appears later is ours
            _check_size(self._file, path)
            self._db = _connect(self._file, read_only)
            undo.callback(self._leave)
            self._prepare(read_only)
            self._ending = undo.pop_all()

    def append(self, event: Event) -> None:
        """Add one event durably; StorageFullError, or StorageError when another process writes to the same study."""
        row = (self._next, event.kind, encoded(event.body), time.time())
        self._next += 1  # before the write: Ctrl-C after it must not make the next append look foreign
        try:
            with _explained(self.path), self._db:
                self._db.execute("INSERT INTO events (position, kind, body, written_at) VALUES (?, ?, ?, ?)", row)
        except StorageError:
            self._next -= 1
            raise

    def events(self, *kinds: EventKind) -> Iterator[Event]:
        """Events in order, read lazily."""
        wanted = f"WHERE kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        with _explained(self.path):
            for kind, body in self._db.execute(f"SELECT kind, body FROM events {wanted} ORDER BY position", kinds):
                yield Event(kind, _read_body(self.path, body))

    def close(self) -> None:
        """Close the file and let another writer in."""
        self._ending.close()

    def _leave(self) -> None:
        """Have SQLite be done with the file; one that came to nothing goes."""
        is_empty = self._is_new and self._is_empty()
        self._db.close()
        if is_empty:
            self._file.unlink(missing_ok=True)

    def _is_empty(self) -> bool:
        """Whether nobody has stored anything: where there are no locks another writer may have."""
        if self._next:
            return False
        try:
            made = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone()
            return not (made and self._db.execute("SELECT 1 FROM events LIMIT 1").fetchone())
        except sqlite3.Error:
            return True

    def _prepare(self, read_only: bool) -> None:
        version = _checked_version(self._db, self.path)
        if read_only and not version:
            raise ForeignFileError(f"{self.path} is empty: expected a mimar study; choose another file")
        if not read_only:
            self._db.execute("PRAGMA synchronous = FULL")
        elif version < VERSION:
            self._db = _copied(self._db)
        self._migrate(version)
        row = self._db.execute("SELECT coalesce(max(position), -1) + 1 FROM events").fetchone()
        self._next = int(row[0])

    def _migrate(self, version: int) -> None:
        if version == VERSION:
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        script = "".join(MIGRATIONS[version:])
        self._db.executescript(
            f"BEGIN; {script} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        )


def _check_size(file: Path, path: Path) -> None:
    """Refuses a file that SQLite may take for an empty one and write over, as it does with very short ones.

    Only its size is asked: to open and close the file here would drop the locks that SQLite holds in this process.
    """
    if file.is_file() and 0 < file.stat().st_size < SMALLEST:
        raise ForeignFileError(f"{path} is not a mimar study, or is damaged: choose another file")


def _connect(file: Path, read_only: bool) -> sqlite3.Connection:
    mode = "mode=rwc"
    if read_only:
        # Without a log nobody writes; immutable then reads where no lock file can be made, as in a read-only folder.
        mode = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "mode=ro&immutable=1"
    return sqlite3.connect(f"{file.as_uri()}?{mode}", uri=True, timeout=10, check_same_thread=False)


def _copied(db: sqlite3.Connection) -> sqlite3.Connection:
    """The same in memory, for a reader of an older version, which brings no file up to date; closes `db`."""
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    with closing(db):
        db.backup(copy)
    return copy


def _checked_version(db: sqlite3.Connection, path: Path) -> int:
    """Version of the file, 0 for an empty one; refuses files of others and of newer versions."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (tables or version):
        raise ForeignFileError(f"{path} is an SQLite file of another program: choose another path for the study")
    if version < 0 or (tables and not version):
        raise ForeignFileError(f"{path} is damaged: its version is {version}; restore a backup")
    if version > VERSION:
        raise NewerVersionError(
            f"{path} was written by a newer mimar (file version {version}, this one reads up to {VERSION}): "
            "upgrade mimar to open it"
        )
    return version


def _read_body(path: Path, body: str) -> dict[str, Any]:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ForeignFileError(f"{path} is damaged: an entry is not JSON ({error}); restore a backup") from error
    if not isinstance(read, dict):
        raise ForeignFileError(f"{path} is damaged: an entry is no JSON object; restore a backup")
    return cast("dict[str, Any]", read)


@contextmanager
def _explained(path: Path) -> Generator[None]:
    """Turns SQLite's errors into ours, each with what to do."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise StorageError(
            f"another process is writing to {path}: wait for it to end and continue with --resume, or use another file"
        ) from error
    except (OSError, sqlite3.OperationalError) as error:
        text = str(error)  # the operating system's errors carry the path, so that its words must not be searched
        of_system = isinstance(error, OSError)
        if error.errno == errno.ENOSPC if of_system else "full" in text:
            raise StorageFullError(
                f"no room left on the disk for {path}: free some and continue with --resume; all stored trials are safe"
            ) from error
        if not of_system and "locked" in text:
            raise StorageError(
                f"{path} is locked by another process: wait for it to end, or use another file"
            ) from error
        raise StorageError(
            f"cannot read or write {path} ({text}): check that its folder exists, is writable and has room"
        ) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter where SQLite's own message is damaged
        raise ForeignFileError(f"{path} is not a mimar study, or is damaged ({error}): choose another file") from error
