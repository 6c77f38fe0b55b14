"""The contract of an executor, and the one that works in this process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

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
        """(index into `items`, outcome) for every item, in the order in which they finish."""
        ...


class SerialExecutor:
    """One after the other, in this process."""

    def map(self, evaluate: Callable[[T], Mapping[str, float]], items: Sequence[T]) -> Iterator[tuple[int, Outcome]]:
        """(index, outcome) in order."""
        return ((index, outcome(evaluate, item)) for index, item in enumerate(items))


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
