from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.errors import InputError
from mimar.strategy._archive import Archive
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._screen import EFFORT, Effort, Screen, round_size
from mimar.strategy._selection import Survivors
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")

PARENTS = 256
"""The best trials that are kept: a front to add hypervolume to; the inner search starts from its first members."""


class LINAS(Generic[A]):
    """LINAS (Cummings et al., A Hardware-Aware Framework for Accelerating Neural Architecture Search, 2022).

    Measure, refit a predictor of each objective on the latest trials, search with NSGA-II on predictions alone, measure
    the best of what it found. The paper measures 50 a round; here a round is one for every forty trials so far, at
    least 2, as early rounds teach most, and each inner search goes on from what the last one left. The predictor is a
    Gaussian process on choices, and measured is what promises to add the most hypervolume, half a deviation of optimism
    included.

    initial: random candidates before the first round, at least 2. fill: behind gates, which sort most candidates out
    before they cost much, every ask is answered in full.
    """

    name = "linas"
    traits = Traits(data_free=False, hardware_aware=True)

    def __init__(
        self, problem: Problem[A], seed: int, *, initial: int = 12, effort: Effort = EFFORT, fill: bool = False
    ) -> None:
        if initial < 2:
            raise InputError(f"initial must be at least 2, got {initial}: a predictor needs something to learn from")
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._archive: Archive[A] = Archive(problem.objectives)
        self._best: Survivors[A] = Survivors(PARENTS, len(problem.objectives))
        self._screen = Screen(problem, effort)
        self._initial = initial
        self._fill = fill
        self._round: list[Proposal[A]] = []

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """What is left of the round, or of a new one; random candidates at first and where nothing new was found."""
        trials = len(self._archive.complete)
        if trials < self._initial:
            count = n if self._fill else min(n, self._initial - trials)
            return draw_many(self._problem, self._archive, count, self._rng)
        if not self._round:
            size = n if self._fill else round_size(trials)
            self._round = self._screen.propose(self._archive, self._best, size, self._rng)
        asked, self._round = self._round[:n], self._round[n:]
        missing = n - len(asked) if self._fill or not asked else 0
        return [*asked, *draw_many(self._problem, self._archive, missing, self._rng)]

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Remember the trials for the next round."""
        told = len(self._archive.complete)
        self._archive.add(trials)
        self._best.add(self._archive.complete[told:], self._archive.losses[told:])
