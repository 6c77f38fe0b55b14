"""What a journal holds, and the contract of what holds it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

EventKind = Literal["study", "ask", "call", "judge", "trial", "stop", "measured"]


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a study's journal.

    kind: ``study`` (the settings, always first), ``ask`` (how many candidates were asked for), ``call`` (an LLM call
      of the strategy), ``judge`` (one of a score), ``trial`` (a result), ``stop`` (why a run ended), ``measured`` (what
      was found, beside what it is compared with).
    body: plain JSON data.
    """

    kind: EventKind
    body: Mapping[str, Any]


def encoded(body: Mapping[str, Any]) -> str:
    """`body` as ASCII JSON, which keeps any text, lone surrogates included; ValueError or TypeError for other data."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False)


class Storage(Protocol):
    """An append-only journal: what was appended is on disk when `append` returns and never changes."""

    def append(self, event: Event) -> None:
        """Add one event; nothing is added by a StorageError, nor by the TypeError or ValueError of a body not JSON."""
        ...

    def events(self, *kinds: EventKind) -> Iterator[Event]:
        """Events of these `kinds`, all without any, in the order in which they were appended."""
        ...

    def close(self) -> None:
        """Release the file; the storage cannot be used afterwards."""
        ...
