"""The contract suite over every storage."""

import inspect

import pytest

import mimar.storage
from mimar.storage import Event, MemoryStorage, SQLiteStorage
from mimar.testing import check_storage


def memory(tmp_path):
    journal = MemoryStorage()
    return lambda: journal


def sqlite(tmp_path):
    return lambda: SQLiteStorage(tmp_path / "study ü?#%.db")


OPENERS = {MemoryStorage: memory, SQLiteStorage: sqlite}


@pytest.mark.parametrize("kind", OPENERS, ids=lambda kind: kind.__name__)
def test_keeps_the_contract(kind, tmp_path):
    check_storage(OPENERS[kind](tmp_path))


def test_every_exported_storage_is_listed():
    exported = {
        value
        for name in mimar.storage.__all__
        if inspect.isclass(value := getattr(mimar.storage, name)) and name.endswith("Storage") and name != "Storage"
    }
    assert exported == set(OPENERS)


def test_the_suite_notices_a_journal_that_shares_its_bodies():
    class Sharing:
        def __init__(self):
            self.kept = []

        def append(self, event):
            mimar.storage._event.encoded(event.body)
            self.kept.append(event)

        def events(self, *kinds):
            return (event for event in self.kept if not kinds or event.kind in kinds)

        def close(self):
            pass

    journal = Sharing()
    with pytest.raises(AssertionError, match="expected the event as it was appended"):
        check_storage(lambda: journal)
    assert journal.kept[0] == Event("trial", {"seed": 0, "batch": 8})
