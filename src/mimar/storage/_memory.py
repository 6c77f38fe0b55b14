from __future__ import annotations

import json
from collections.abc import Iterator

from mimar.storage._event import Event, EventKind, encoded


class MemoryStorage:
    """A journal that lives as long as the process; bodies are kept as text, so that no caller can change them."""

    def __init__(self) -> None:
        self._events: list[tuple[EventKind, str]] = []

    def append(self, event: Event) -> None:
        """Add one event."""
        self._events.append((event.kind, encoded(event.body)))

    def events(self, *kinds: EventKind) -> Iterator[Event]:
        """The events so far."""
        wanted = [each for each in self._events if not kinds or each[0] in kinds]
        return (Event(kind, json.loads(text)) for kind, text in wanted)

    def close(self) -> None:
        """Nothing to release."""
