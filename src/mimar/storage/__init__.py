"""Where a study is kept: an append-only journal."""

from mimar.storage._event import Event, EventKind, Storage
from mimar.storage._memory import MemoryStorage
from mimar.storage._sqlite import SQLiteStorage
from mimar.storage._writer_lock import WriterLock

__all__ = ["Event", "EventKind", "MemoryStorage", "SQLiteStorage", "Storage", "WriterLock"]
