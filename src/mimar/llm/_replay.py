"""Answer from records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from mimar.errors import ReplayError

from ._call import Call, CallRecord
from ._protocol import Message, Reply


@final
class ReplayLLM:
    """Answers calls from `past` by key, in any order; a call recorded several times in the recorded order.

    After the last recording of a call that one is repeated. Usage is as recorded and marked `cached`.
    """

    def __init__(self, past: Sequence[CallRecord]) -> None:
        self._names = tuple(dict.fromkeys(record.llm for record in past))
        self._records: dict[str, list[CallRecord]] = defaultdict(list)
        for record in past:
            self._records[record.key].append(record)

    @property
    def name(self) -> str:
        """The name of the recorded model, so that keys of a replayed study equal those on record."""
        return self._names[0] if self._names else "replay"

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`, with the recorded outcome; raises `ReplayError` for a call that is not on record."""
        call = Call(tuple(messages), schema, temperature, seed, max_tokens)
        for name in self._names:
            records = self._records.get(call.key(name))
            if records:
                record = records.pop(0) if len(records) > 1 else records[0]
                return record.outcome(replace(record.usage, cached=True))
        last = messages[-1].content if messages else ""
        raise ReplayError(
            f"expected one of {len(self._records)} recorded calls, got a new one (seed {seed}, ending in "
            f"{last[-60:]!r}): replay with the options and the version of the recorded run"
        )
