"""One writer a study: an advisory lock on a file of its own beside the study."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO, final

from mimar.errors import StorageError


@final
class WriterLock:
    """Held from construction to `release`; the system drops it when the process ends, however that happens.

    The lock lies on ``STUDY-lock`` and not on the study itself: a process that closes any second handle of an SQLite
    file loses SQLite's own locks on it (https://sqlite.org/howtocorrupt.html, section 2.2). It keeps out other handles
    of the same process as well. On Windows there is none: a second writer is noticed when it writes.
    Raises StorageError when the lock is taken, OSError when its file cannot be made.
    """

    def __init__(self, study: Path) -> None:
        self._path = study.with_name(f"{study.name}-lock")
        self._file: IO[bytes] | None = None if sys.platform == "win32" else _locked(self._path, study)

    def release(self) -> None:
        """Let the next writer in and leave no file."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # a file that cannot be removed does no harm: it is not locked any more
            self._path.unlink()  # while the lock is held, so that it is never the next writer's
        self._file.close()


def _locked(path: Path, study: Path) -> IO[bytes]:
    """The file at `path`, opened and locked."""
    while True:
        file = path.open("ab")
        try:
            _lock(file, study)
            if _is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # the last writer removed it between our opening and our locking it


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO[bytes], study: Path) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StorageError(
            f"another process is writing to {study}, or another SQLiteStorage of this one: "
            "wait for it to end, or use another file"
        ) from error
