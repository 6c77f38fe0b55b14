from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.errors import InputError
from mimar.strategy._archive import Archive
from mimar.strategy._evolution import breed_many
from mimar.strategy._protocol import Problem
from mimar.strategy._random import draw_many
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")


class LocalSearch(Generic[A]):
    """Pareto local search with restarts (Paquete, Chiarandini and Stützle, 2004; White et al., Exploring the Loss
    Landscape in Neural Architecture Search, 2021, for one objective).

    A climb starts from random candidates; mutants of the members of its front are tried, of those tried least first.
    When `patience` mutants of every member have not joined the front, the next climb starts. With one objective this
    is hill climbing.

    starts: random candidates that begin a climb, at least 1.
    """

    name = "local"
    traits = Traits()

    def __init__(self, problem: Problem[A], seed: int, *, starts: int = 8, patience: int | None = None) -> None:
        if starts < 1:
            raise InputError(f"starts must be at least 1, got {starts}")
        self._problem = problem
        self._rng = np.random.default_rng(seed)
        self._archive: Archive[A] = Archive(problem.objectives)
        self._climb: Archive[A] = Archive(problem.objectives)
        self._starts = starts
        self._patience = patience or 2 * len(problem.space.variables)
        self._tried: dict[int, int] = {}

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """Random candidates at the foot of a climb, then mutants of its front."""
        if len(self._climb.complete) < self._starts:
            return draw_many(self._problem, self._archive, n, self._rng)
        parents = self._parents(n)
        if not parents:
            self._climb = Archive(self._problem.objectives)
            return self.ask(n)
        found = breed_many(self._problem, self._archive, parents, "mutation", self._rng)
        return found or draw_many(self._problem, self._archive, n, self._rng)

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Let the trials join the climb."""
        self._archive.add(trials)
        self._climb.add(trials)

    def _parents(self, n: int) -> list[tuple[Trial[A], ...]]:
        """At most `n` members of the front, of those tried least first; none when all have been tried enough."""
        front = self._climb.front()
        found: list[tuple[Trial[A], ...]] = []
        for _ in range(n):
            fresh = [trial for trial in front if self._tried.get(trial.id, 0) < self._patience]
            if not fresh:
                break
            parent = min(fresh, key=lambda trial: self._tried.get(trial.id, 0))
            self._tried[parent.id] = self._tried.get(parent.id, 0) + 1
            found.append((parent,))
        return found
