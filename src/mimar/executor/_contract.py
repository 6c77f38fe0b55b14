"""The contract of an executor, and what an evaluation comes to wherever it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from mimar.errors import CandidateError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one evaluation: metrics, or the reason why there are none. `seconds` is wall time."""

    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    failure: str | None = None
    seconds: float = 0.0


class Executor(Protocol):
    """Evaluates candidates somewhere."""

    def map(self, evaluate: Callable[[T], Mapping[str, float]], items: Sequence[T]) -> Iterator[tuple[int, Outcome]]:
        """(index into `items`, outcome) for every item, in the order in which they finish.

        An error that is no CandidateError is raised. Where the caller leaves off early, what still runs is given up.
        """
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one candidate may take before it is given up as failed.

    seconds: wall time of its evaluation. memory_bytes: memory of the process that evaluates it, Python and torch (about
    half a gigabyte) included.
    """

    seconds: float = math.inf
    memory_bytes: float = math.inf


NO_LIMITS: Final = Limits()


def outcome(evaluate: Callable[[T], Mapping[str, float]], item: T) -> Outcome:
    """Evaluate one candidate; a failed candidate is an outcome, a broken system raises."""
    start = time.perf_counter()
    try:
        metrics = {name: float(value) for name, value in evaluate(item).items()}
    except CandidateError as failure:
        return Outcome(failure=str(failure) or "no reason given", seconds=time.perf_counter() - start)
    seconds = time.perf_counter() - start
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    if wrong:
        return Outcome(failure=f"{', '.join(wrong)} is not a finite number", seconds=seconds)
    return Outcome(metrics, seconds=seconds)
