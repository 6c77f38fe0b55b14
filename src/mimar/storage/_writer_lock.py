"""One writer a file: an advisory lock on a file of its own beside it."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import IO, Final, final
from weakref import WeakSet

from mimar.errors import StorageError


@final
class WriterLock:
    """Held from construction to `release`; the system drops it when the process ends, however that happens.

    The lock lies on ``FILE-lock`` and not on the file itself: a process that closes any second handle of an SQLite
    file loses SQLite's own locks on it (https://sqlite.org/howtocorrupt.html, section 2.2). It keeps out other handles
    of the same process as well. There is none on Windows and in folders whose system has no locks.
    Processes that are forked meanwhile do not hold it.
    Raises StorageError when the lock is taken, OSError when its file cannot be made.
    """

    def __init__(self, target: Path) -> None:
        self._path = target.with_name(f"{target.name}-lock")
        self._file: IO[bytes] | None = None if sys.platform == "win32" else _locked(self._path, target)
        _held.add(self)

    def release(self) -> None:
        """Let the next writer in and leave no file."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # a file that cannot be removed does no harm: it is not locked any more
            self._path.unlink()  # while the lock is held, so that it is never the next writer's
        self._file.close()
        self._file = None

    def leave(self) -> None:
        """To whoever else holds it: the process that this one was forked from."""
        if self._file is not None:
            self._file.close()
            self._file = None


_held: Final = WeakSet[WriterLock]()


def _leave_all() -> None:
    """In a forked process: else the lock would outlive the one that took it."""
    for lock in _held:
        lock.leave()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_leave_all)


def _locked(path: Path, target: Path) -> IO[bytes]:
    """The file at `path`, opened and locked."""
    while True:
        file = path.open("ab")
        try:
            _lock(file, target)
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


NO_LOCKS: Final = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS)
"""What some network folders answer."""


def _lock(file: IO[bytes], target: Path) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise StorageError(
            f"another process is writing to {target}, or this one already: wait for it to end, or use another file"
        ) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
