"""Offspring screened by a surrogate: evolve on what it expects, evaluate only what should gain most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import numpy as np

from mimar import pareto
from mimar.strategy._archive import Archive
from mimar.strategy._feasible import breed
from mimar.strategy._protocol import Problem
from mimar.strategy._selection import Survivors, order, tournaments
from mimar.strategy._surrogate import Surrogate
from mimar.trial import Proposal

A = TypeVar("A")

Roots: TypeAlias = tuple[int, ...]
"""Ids of the trials that a candidate descends from."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Size of the inner search, in candidates that only the surrogate judges.

    finalists: so many of what it finds are compared by hypervolume, more where more are asked for. crossover:
    probability of two parents.
    """

    generations: int
    population: int
    finalists: int
    crossover: float


EFFORT = Effort(generations=10, population=80, finalists=96, crossover=0.9)
"""About 800 candidates a round that only the surrogate judges, where the paper has 5,000 to 20,000: each search but the
first goes on from the one before, and sixty generations in every round found no better candidates."""

FIRST = 6
"""Times as many generations in a search that has nothing to go on from."""


def round_size(trials: int) -> int:
    """Candidates to measure before the surrogate is fitted anew: early rounds are small, as they teach most."""
    return max(2, trials // 40)


class Screen(Generic[A]):
    """An inner NSGA-II on what a surrogate hopes for; what it found and nobody measured starts its next search."""

    def __init__(self, problem: Problem[A], effort: Effort) -> None:
        self._problem = problem
        self._effort = effort
        self._surrogate = Surrogate(problem)
        self._left: dict[A, Roots] = {}

    def propose(self, archive: Archive[A], best: Survivors[A], n: int, rng: np.random.Generator) -> list[Proposal[A]]:
        """`n` new candidates, fewer where nothing new was found; origin ``screened``.

        Of what the inner search finds, those are picked greedily that are hoped to add the most hypervolume to the
        front and to those picked before them. archive: with at least two complete trials, `best` among them.
        """
        self._surrogate.learn(archive.complete)
        found, points = self._search(archive, best, rng)
        finalists = [int(i) for i in order(points)[: max(n, self._effort.finalists)]]
        candidates = list(found)
        front = best.points[pareto.front(best.points)]
        picked = [candidates[finalists[i]] for i in _greedy(self._problem, front, points[finalists], n)]
        for arch in picked:
            archive.mark(arch)
        self._left = {candidates[i]: found[candidates[i]] for i in finalists}
        return [Proposal(arch, "screened", found[arch]) for arch in picked]

    def _search(
        self, archive: Archive[A], best: Survivors[A], rng: np.random.Generator
    ) -> tuple[dict[A, Roots], pareto.Points]:
        """New candidates, each with the trials it descends from, and what is hoped for each (n, m)."""
        size = self._effort.population
        found = {arch: roots for arch, roots in self._left.items() if arch not in archive}
        hopes = self._surrogate.hopes(list(found))
        roots = {trial.architecture: (trial.id,) for trial in best.trials[:size]} | found
        population, points = list(roots), np.vstack([best.points[:size], hopes])
        for _ in range(self._effort.generations * (1 if self._left else FIRST)):
            children = self._children(roots, population, tournaments(points, 2, 2 * size, rng), archive, rng)
            if not children:
                break
            found |= children
            roots |= children
            hoped = self._surrogate.hopes(list(children))
            hopes = np.vstack([hopes, hoped])
            population, points = [*population, *children], np.vstack([points, hoped])
            keep = order(points)[:size]
            population, points = [population[int(i)] for i in keep], points[keep]
        return found, hopes

    def _children(
        self,
        roots: Mapping[A, Roots],
        population: Sequence[A],
        winners: Sequence[int],
        archive: Archive[A],
        rng: np.random.Generator,
    ) -> dict[A, Roots]:
        """A new child of each pair of winners; few have none."""
        children: dict[A, Roots] = {}
        for first, second in zip(winners[::2], winners[1::2], strict=True):
            two = rng.random() < self._effort.crossover
            parents = (population[first], population[second]) if two else (population[first],)
            child = breed(self._problem, parents, archive, rng)
            if child is not None and child not in roots:
                children[child] = tuple(sorted({root for parent in parents for root in roots[parent]}))[:4]
        return children


def _greedy(problem: Problem[A], kept: pareto.Points, expected: pareto.Points, n: int) -> list[int]:
    """Indices of `n` points, each adding the most hypervolume to those `kept` and to those before it."""
    if n >= len(expected):
        return list(range(len(expected)))
    left, chosen = list(range(len(expected))), list[int]()
    while left and len(chosen) < n:
        volume = [problem.reference.hypervolume(np.vstack([kept, expected[i]])) for i in left]
        best = left.pop(int(np.argmax(volume)))
        kept = np.vstack([kept, expected[best]])
        chosen.append(best)
    return chosen
