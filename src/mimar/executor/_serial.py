"""The executor that works in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar, final

from mimar.executor._contract import Outcome, outcome

T = TypeVar("T")


@final
class SerialExecutor:
    """One after the other, in this process."""

    def map(self, evaluate: Callable[[T], Mapping[str, float]], items: Sequence[T]) -> Iterator[tuple[int, Outcome]]:
        """(index, outcome) in order."""
        return ((index, outcome(evaluate, item)) for index, item in enumerate(items))
