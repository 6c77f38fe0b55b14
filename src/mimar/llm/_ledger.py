"""What all calls together consumed and brought."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ._call import CallRecord


@dataclass(frozen=True, slots=True)
class Ledger:
    """A fold over call records: calls, tokens, US dollars, seconds, and unique valid candidates.

    Cached calls count as calls, but their tokens, cost and seconds are not spent and not added.
    judging: of the calls, those that rank candidates and propose none.
    """

    calls: int = 0
    failed: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    unique_valid: int = 0
    judging: int = 0

    @property
    def candidates_per_call(self) -> float:
        """Unique valid candidates per call that proposes some; 0 before the first."""
        proposing = self.calls - self.judging
        return self.unique_valid / proposing if proposing else 0.0

    def add(self, record: CallRecord) -> Ledger:
        """The ledger after one more call; what came of its reply is known to the study alone.

        What the cost limit kept from being asked was no call.
        """
        if not record.was_made:
            return self
        usage, spent = record.usage, not record.usage.cached
        return replace(
            self,
            calls=self.calls + 1,
            failed=self.failed + (record.error is not None),
            cached=self.cached + usage.cached,
            input_tokens=self.input_tokens + spent * usage.input_tokens,
            output_tokens=self.output_tokens + spent * usage.output_tokens,
            cost=self.cost + spent * usage.cost,
            seconds=self.seconds + spent * usage.seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, with `candidates_per_call`."""
        return {
            "calls": self.calls,
            "failed": self.failed,
            "cached": self.cached,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": self.cost,
            "seconds": self.seconds,
            "unique_valid": self.unique_valid,
            "judging": self.judging,
            "candidates_per_call": self.candidates_per_call,
        }
