from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.strategy._archive import Archive
from mimar.strategy._feasible import draw
from mimar.strategy._protocol import Problem
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")


class RandomSearch(Generic[A]):
    """Independent random candidates inside the budgets, never one twice."""

    name = "random"
    traits = Traits(multi_round=False)

    def __init__(self, problem: Problem[A], seed: int) -> None:
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._archive: Archive[A] = Archive(problem.objectives)

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Up to `n` new random candidates."""
        return draw_many(self._problem, self._archive, n, self._rng)

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Remember what was tried."""
        self._archive.add(trials)


def draw_many(problem: Problem[A], archive: Archive[A], n: int, rng: np.random.Generator) -> list[Proposal[A]]:
    """Up to `n` new random proposals, alike neither to each other nor to anything in `archive`."""
    found: list[Proposal[A]] = []
    while len(found) < n and (arch := draw(problem, archive, rng)) is not None:
        archive.mark(arch)
        found.append(Proposal(arch, "random"))
    return found
