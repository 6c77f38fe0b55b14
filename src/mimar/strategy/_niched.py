from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar import pareto
from mimar.errors import InputError
from mimar.objectives import losses
from mimar.strategy._archive import Archive
from mimar.strategy._feasible import breed
from mimar.strategy._niches import Niches
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")

ATTEMPTS = 8
"""Children bred for one that stays in the niche; the last is taken wherever it lies."""


class NicheArchive(Generic[A]):
    """Complete trials by niche, each niche with its own Pareto front."""

    def __init__(self, problem: Problem[A], seed: int, *, partition: bool = True) -> None:
        self._objectives = problem.objectives
        self._niches = Niches(problem, seed) if partition else None
        self.members: list[list[Trial[A]]] = [[] for _ in range(self.count)]

    @property
    def count(self) -> int:
        """Number of niches."""
        return self._niches.count if self._niches else 1

    def of(self, arch: A) -> int:
        """The niche of a candidate."""
        return self._niches.of(arch) if self._niches else 0

    def ranges(self, niche: int) -> list[tuple[str, float, float]]:
        """As `Niches.ranges`."""
        return self._niches.ranges(niche) if self._niches else []

    def add(self, trials: Sequence[Trial[A]]) -> None:
        """Let complete trials join their niches."""
        for trial in trials:
            if trial.status == "complete":
                self.members[self.of(trial.architecture)].append(trial)

    def nearest(self, niche: int) -> int:
        """The niche itself where it has members, else the one with any whose number is closest."""
        return min((i for i in range(self.count) if self.members[i]), key=lambda i: abs(i - niche), default=niche)

    def front(self, niche: int) -> list[Trial[A]]:
        """Those of a niche that are not dominated inside it."""
        members = self.members[niche]
        points = losses([trial.metrics for trial in members], self._objectives)
        return [members[int(i)] for i in pareto.front(points)]


class NichedEvolution(Generic[A]):
    """Crossover or mutation of Pareto parents within niches, which take turns; what PEL-NAS is without its LLM.

    partition: False makes the whole space one niche, to see what the partition is worth.
    """

    name = "niches"
    traits = Traits()

    def __init__(self, problem: Problem[A], seed: int, *, initial: int = 16, partition: bool = True) -> None:
        if initial < 1:
            raise InputError(f"initial must be at least 1, got {initial}: children need parents")
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._archive: Archive[A] = Archive(problem.objectives)
        self._kept: NicheArchive[A] = NicheArchive(problem, seed, partition=partition)
        self._initial = initial
        self._turn = 0

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Random candidates at first, then children, one a niche in turn."""
        if len(self._archive.complete) < self._initial:
            return draw_many(self._problem, self._archive, n, self._rng)
        bred = (self._child() for _ in range(n))
        return [proposal for proposal in bred if proposal is not None]

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Let the trials join their niches."""
        self._archive.add(trials)
        self._kept.add(trials)

    def _child(self) -> Proposal[A] | None:
        niche, parents = self._parents()
        found: A | None = None
        for _ in range(ATTEMPTS):
            child = breed(self._problem, tuple(parent.architecture for parent in parents), self._archive, self._rng)
            found = found if child is None else child
            if child is not None and self._kept.of(child) == niche:
                break
        if found is None:
            return None
        self._archive.mark(found)
        origin = "mutation" if len(parents) == 1 else "crossover"
        return Proposal(found, origin, tuple(parent.id for parent in parents))

    def _parents(self) -> tuple[int, list[Trial[A]]]:
        """The next niche that has any, and one or two from its front."""
        while not self._kept.members[self._turn % self._kept.count]:
            self._turn += 1
        niche = self._turn % self._kept.count
        self._turn += 1
        front = self._kept.front(niche)
        two = len(front) > 1 and self._rng.random() < 0.5
        chosen = self._rng.choice(len(front), size=2 if two else 1, replace=False)
        return niche, [front[int(i)] for i in chosen]
