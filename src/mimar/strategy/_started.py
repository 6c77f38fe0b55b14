from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.strategy._feasible import breed
from mimar.strategy._protocol import Problem, Strategy
from mimar.trial import Proposal, Trial

A = TypeVar("A")


class Started(Generic[A]):
    """Another strategy that begins from given candidates: they are asked first, then mutants of the last one fill up.

    A candidate outside the budgets is put forward with its reasons and its mutants walk towards the budgets.
    """

    def __init__(self, inner: Strategy[A], problem: Problem[A], starts: Sequence[A], seed: int) -> None:
        self._inner = inner
        self._problem = problem
        self._starts = list(starts)
        self._rng = np.random.default_rng([seed, 1])
        self._asked: set[A] = set()

    @property
    def name(self) -> str:
        """The name of the strategy that goes on."""
        return self._inner.name

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """The starts and mutants until all starts were asked, then what the inner strategy asks."""
        if not self._starts:
            return self._inner.ask(n)
        found: list[Proposal[A]] = []
        while self._starts and len(found) < n:
            start = self._starts.pop(0)
            if start not in self._asked:
                found.append(Proposal(start, "start", reasons=self._problem.check(start)))
                self._asked.add(start)
            missing = n - sum(not proposal.reasons for proposal in found)
            for _ in range(0 if self._starts else missing):
                mutant = breed(self._problem, (start,), self._asked, self._rng)
                if mutant is not None:
                    found.append(Proposal(mutant, "start"))
                    self._asked.add(mutant)
        return tuple(found)

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Tell the inner strategy, which learns from the starts as from any trial."""
        self._inner.tell(trials)
