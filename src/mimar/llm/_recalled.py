"""Record every live call, and answer a call that is on record by what is asked, whatever came before it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from ._call import Call, CallRecord
from ._protocol import LLM, Message, Reply
from ._recording import ask_on_record


@final
class Recalled:
    """Answers a call from the records in `past` that have its key, in their order; else asks `llm` and reports to
    `on_call`.

    Unlike `Recording` it does not expect calls in a fixed order, so that calls of two kinds need no common sequence.
    Recorded failures are raised again, as errors of the same class, each once; the last record is given again and
    again where it is a reply, so that nothing that was answered is paid for twice.
    """

    def __init__(self, llm: LLM, past: Sequence[CallRecord], on_call: Callable[[CallRecord], None]) -> None:
        self._llm = llm
        self._on_call = on_call
        self._past: dict[str, deque[CallRecord]] = defaultdict(deque)
        for record in past:
            self._past[record.key].append(record)

    @property
    def name(self) -> str:
        """The name of the wrapped model."""
        return self._llm.name

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`."""
        call = Call(tuple(messages), schema, temperature, seed, max_tokens)
        records = self._past.get(call.key(self.name))
        if records:
            is_kept = len(records) == 1 and records[0].error is None
            return (records[0] if is_kept else records.popleft()).outcome()
        return ask_on_record(self._llm, call, self._on_call)
