"""Stop before money runs over a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from mimar.errors import CostLimitError

from ._errors import BilledReplyError
from ._protocol import LLM, Message, Reply


@final
class CostLimited:
    """Refuses further calls once `limit` US dollars are spent; `spent` is what earlier calls have cost already.

    Prices are known only after a call, so the last one may exceed the limit by its own price.
    """

    def __init__(self, llm: LLM, limit: float, spent: float = 0.0) -> None:
        self._llm = llm
        self._limit = limit
        self._spent = spent

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
        """As `LLM.complete`; raises `CostLimitError` before the call when the limit is reached."""
        if self._spent >= self._limit:
            raise CostLimitError(
                f"the cost limit of ${self._limit:g} is reached (${self._spent:.4f} spent): raise --max-cost to go on"
            )
        try:
            reply = self._llm.complete(messages, schema, temperature=temperature, seed=seed, max_tokens=max_tokens)
        except BilledReplyError as error:
            self._spent += 0.0 if error.usage.cached else error.usage.cost
            raise
        self._spent += 0.0 if reply.usage.cached else reply.usage.cost
        return reply
