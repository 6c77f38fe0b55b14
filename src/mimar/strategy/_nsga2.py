from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.strategy._archive import Archive
from mimar.strategy._evolution import breed_many
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._selection import Survivors, tournaments
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")


class NSGA2(Generic[A]):
    """NSGA-II (Deb et al., 2002): binary tournaments, uniform crossover and mutation, survival by rank and crowding.

    crossover: probability that a child has two parents.
    """

    name = "nsga2"
    traits = Traits()

    def __init__(self, problem: Problem[A], seed: int, *, population: int = 32, crossover: float = 0.9) -> None:
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._archive: Archive[A] = Archive(problem.objectives)
        self._size = population
        self._crossover = crossover
        self._alive: Survivors[A] = Survivors(population, len(problem.objectives))

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Random candidates until the population is full, then children."""
        if len(self._alive.trials) < self._size:
            return draw_many(self._problem, self._archive, n, self._rng)
        winners = tournaments(self._alive.points, 2, 2 * n, self._rng)
        proposals: list[Proposal[A]] = []
        for first, second in zip(winners[::2], winners[1::2], strict=True):
            two = first != second and self._rng.random() < self._crossover
            parents = tuple(self._alive.trials[i] for i in ((first, second) if two else (first,)))
            origin = "crossover" if two else "mutation"
            proposals += breed_many(self._problem, self._archive, [parents], origin, self._rng)
        return proposals

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Survival of the best among parents and children."""
        told = len(self._archive.complete)
        self._archive.add(trials)
        self._alive.add(self._archive.complete[told:], self._archive.losses[told:])
