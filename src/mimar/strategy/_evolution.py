from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.strategy._archive import Archive
from mimar.strategy._feasible import breed
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._selection import tournaments
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")


class RegularisedEvolution(Generic[A]):
    """Mutation of tournament winners in a population where the oldest die (Real et al., 2019, "aging evolution").

    With several objectives the winner is the entrant of the best non-domination rank, the least crowded on a tie.
    """

    name = "evolution"
    traits = Traits()

    def __init__(self, problem: Problem[A], seed: int, *, population: int = 48, entrants: int = 12) -> None:
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._archive: Archive[A] = Archive(problem.objectives)
        self._population = population
        self._entrants = entrants

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Random candidates until half the population has been seen, then mutants."""
        alive = self._archive.complete[-self._population :]
        if len(alive) < self._population // 2:
            return draw_many(self._problem, self._archive, n, self._rng)
        points = self._archive.losses[-self._population :]
        winners = tournaments(points, self._entrants, n, self._rng)
        return breed_many(self._problem, self._archive, [(alive[i],) for i in winners], "mutation", self._rng)

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Let the new trials join; the oldest leave."""
        self._archive.add(trials)


def breed_many(
    problem: Problem[A],
    archive: Archive[A],
    parents: Sequence[tuple[Trial[A], ...]],
    origin: str,
    rng: np.random.Generator,
) -> list[Proposal[A]]:
    """One new child for each tuple of parents; fewer where nothing new was found."""
    found: list[Proposal[A]] = []
    for group in parents:
        arch = breed(problem, tuple(parent.architecture for parent in group), archive, rng)
        if arch is not None:
            archive.mark(arch)
            found.append(Proposal(arch, origin, tuple(parent.id for parent in group)))
    return found
