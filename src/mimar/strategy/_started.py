from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.strategy._feasible import breed
from mimar.strategy._protocol import Problem, Strategy
from mimar.trial import Proposal, Trial

A = TypeVar("A")


class Started(Generic[A]):
    """Another strategy that begins from a given candidate: the first ask is the candidate and its mutants.

    A candidate outside the budgets is put forward with its reasons and its mutants walk towards the budgets.
    """

    def __init__(self, inner: Strategy[A], problem: Problem[A], start: A, seed: int) -> None:
        self._inner = inner
        self._problem = problem
        self._start = start
        self._rng = np.random.default_rng([seed, 1])
        self._begun = False

    @property
    def name(self) -> str:
        """The name of the strategy that goes on."""
        return self._inner.name

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """The start and its mutants the first time, then what the inner strategy asks."""
        if self._begun:
            return self._inner.ask(n)
        self._begun = True
        reasons = self._problem.check(self._start)
        found: dict[A, Proposal[A]] = {self._start: Proposal(self._start, "start", reasons=reasons)}
        for _ in range(n if reasons else n - 1):
            mutant = breed(self._problem, (self._start,), found, self._rng)
            if mutant is not None:
                found[mutant] = Proposal(mutant, "start")
        return tuple(found.values())

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Tell the inner strategy, which learns from the start as from any trial."""
        self._inner.tell(trials)
