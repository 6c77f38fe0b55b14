"""Record every live call, and answer the calls of an interrupted run from its records."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from mimar.errors import LLMError, ReplayError

from ._call import Call, CallRecord
from ._protocol import LLM, Message, Reply


@final
class Recording:
    """Answers the first ``len(past)`` calls from `past`, in order, then asks `llm` and reports to `on_call`.

    Failed calls are recorded and replayed like successes, as errors of the same class, so that a resumed run
    sees what the uninterrupted one saw. Use it as the outermost wrapper.
    """

    def __init__(self, llm: LLM, past: Sequence[CallRecord], on_call: Callable[[CallRecord], None]) -> None:
        self._llm = llm
        self._past = tuple(past)
        self._on_call = on_call
        self._answered = 0

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
        """As `LLM.complete`; raises `ReplayError` when a call differs from the recorded one it should repeat."""
        call = Call(tuple(messages), schema, temperature, seed, max_tokens)
        if self._answered < len(self._past):
            record = self._past[self._answered]
            _check_same(call, self.name, record, self._answered)
            self._answered += 1
            return record.outcome()
        return ask_on_record(self._llm, call, self._on_call)


def ask_on_record(llm: LLM, call: Call, on_call: Callable[[CallRecord], None]) -> Reply:
    """Put `call` to `llm` and report what came of it, failures too, before it is returned or raised."""
    start = time.monotonic()
    try:
        reply = call.ask(llm)
    except ReplayError:
        raise
    except LLMError as error:
        on_call(CallRecord.of_error(call, llm.name, error, time.monotonic() - start))
        raise
    on_call(CallRecord.of_reply(call, llm.name, reply))
    return reply


def _check_same(call: Call, llm_name: str, record: CallRecord, index: int) -> None:
    if call.key(llm_name) == record.key:
        return
    asked = {"llm": llm_name, **call.to_json()}
    stored = {"llm": record.llm, **record.call.to_json()}
    differing = [name for name, value in asked.items() if value != stored[name]]
    details = "; ".join(f"{name}: recorded {stored[name]!r:.60}, asked {asked[name]!r:.60}" for name in differing)
    raise ReplayError(
        f"call {index + 1} is not the one on record ({details or 'its key'}): resume with the language model, the "
        "strategy, the problem and the version of mimar of the first run, or begin a new study"
    )
