"""What every `Storage` owes its callers, as checks to run over an implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mimar.storage import Event, Storage

BODIES: tuple[dict[str, Any], ...] = (
    {"seed": 0, "batch": 8},
    {"n": 8},
    {"text": "ğüşıöç 模型 😀 \u0000 \u2028 '; DROP TABLE events; -- \" \\ \ud800"},
    {"metrics": {"score": -1.5e-300, "tokens": 2**53, "ratio": 8 / 3}, "reasons": [], "architecture": None},
    {"": {"deep": [[[[{"x": [True, False, None]}]]]]}},
)
"""Bodies that a journal must give back as they were: any text, exact numbers, empty and nested values."""

BIG = 4_000_000
"""Characters of the biggest body that is tried: more than any reply of a language model."""


def check_storage(open_storage: Callable[[], Storage]) -> None:
    """Every check below on one journal, empty at first, which `open_storage` opens anew at each call."""
    storage = open_storage()
    assert list(storage.events()) == [], "expected an empty journal"
    expected = check_order(storage)
    check_refused_body(storage)
    check_independence(storage)
    expected.append(Event("stop", {"reasons": ["first"]}))
    storage.close()
    check_reopened(open_storage, expected)


def check_order(storage: Storage) -> list[Event]:
    """Events come back as they were and in order, also while others are being appended; returns them."""
    expected = [Event("trial", body) for body in BODIES]
    expected += [Event("call", {"reply": "x" * BIG}), Event("ask", {"n": 1}), Event("trial", {"id": 1})]
    expected += [Event("stop", {"reasons": ["enough"]}), Event("call", {"reply": "y"})]
    for count, event in enumerate(expected):
        reading = storage.events()
        before = [next(reading) for _ in range(count)]
        storage.append(event)
        assert before == expected[:count], f"expected the first {count} events as they were appended"
    assert list(storage.events()) == expected, "expected all events in the order in which they were appended"
    some = [event for event in expected if event.kind in ("stop", "call")]
    assert list(storage.events("stop", "call")) == some, "expected the events of these kinds in the order of all"
    return expected


def check_refused_body(storage: Storage) -> None:
    """A body that is not JSON is refused and leaves nothing behind."""
    before = list(storage.events())
    for wrong in (float("nan"), float("inf"), object(), {1, 2}):
        try:
            storage.append(Event("trial", {"value": wrong}))
        except (TypeError, ValueError):
            assert list(storage.events()) == before, f"expected nothing to be added for {wrong!r}"
        else:
            raise AssertionError(f"expected {wrong!r} to be refused")


def check_independence(storage: Storage) -> None:
    """What was appended never changes, whatever callers do with the values they passed or got."""
    reasons = ["first"]
    storage.append(Event("stop", {"reasons": reasons}))
    reasons.append("second")
    for event in storage.events():
        if event.kind == "stop":
            event.body["reasons"].append("third")
    assert list(storage.events())[-1].body == {"reasons": ["first"]}, "expected the event as it was appended"


def check_reopened(open_storage: Callable[[], Storage], expected: list[Event]) -> None:
    """A journal that is opened again holds what was appended, and goes on from there."""
    for extra in range(3):
        storage = open_storage()
        assert list(storage.events()) == expected, "expected the same events after opening the journal again"
        expected.append(Event("ask", {"n": extra}))
        storage.append(expected[-1])
        storage.close()
    storage = open_storage()
    assert list(storage.events()) == expected
    storage.close()
