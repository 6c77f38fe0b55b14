"""Offspring screened by a surrogate: evolve on what it expects, evaluate only what should gain most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mimar import pareto
from mimar.strategy._archive import Archive
from mimar.strategy._feasible import breed
from mimar.strategy._protocol import Problem
from mimar.strategy._selection import Survivors, order, tournaments
from mimar.trial import Proposal

A = TypeVar("A")

Expect = Callable[[Sequence[A]], pareto.Points]
"""Candidates → expected losses (n, m)."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Size of the inner search, in candidates that only the surrogate judges.

    finalists: so many of what it finds are compared by hypervolume. crossover: probability of two parents.
    """

    generations: int
    population: int
    finalists: int
    crossover: float


def screened(
    problem: Problem[A],
    archive: Archive[A],
    best: Survivors[A],
    n: int,
    rng: np.random.Generator,
    *,
    expect: Expect[A],
    effort: Effort,
) -> list[Proposal[A]]:
    """`n` new candidates from an inner NSGA-II on expected losses, which starts from `best`; origin ``screened``.

    Of what it finds, those are picked greedily that are expected to add the most hypervolume to the front and to those
    picked before them.
    """
    found = _inner_search(problem, archive, best, rng, expect=expect, effort=effort)
    if not found:
        return []
    candidates = list(found)
    expected = expect(candidates)
    finalists = [int(i) for i in order(expected)[: effort.finalists]]
    chosen = _greedy(problem, best.points[pareto.front(best.points)], expected[finalists], n)
    picked = [candidates[finalists[i]] for i in chosen]
    for arch in picked:
        archive.mark(arch)
    return [Proposal(arch, "screened", found[arch]) for arch in picked]


def _inner_search(
    problem: Problem[A],
    archive: Archive[A],
    best: Survivors[A],
    rng: np.random.Generator,
    *,
    expect: Expect[A],
    effort: Effort,
) -> dict[A, tuple[int, ...]]:
    """New candidates of a few generations on expected losses, each with the trials it descends from."""
    size = effort.population
    origin: dict[A, tuple[int, ...]] = {trial.architecture: (trial.id,) for trial in best.trials[:size]}
    population: list[A] = list(origin)
    points = best.points[:size]
    new: dict[A, tuple[int, ...]] = {}
    for _ in range(effort.generations):
        winners = tournaments(points, 2, 2 * size, rng)
        children: dict[A, tuple[int, ...]] = {}
        for first, second in zip(winners[::2], winners[1::2], strict=True):
            two = rng.random() < effort.crossover
            parents = (population[first], population[second]) if two else (population[first],)
            child = breed(problem, parents, archive, rng)
            if child is not None and child not in origin:
                children[child] = tuple(sorted({root for parent in parents for root in origin[parent]}))[:4]
        if not children:
            break
        new |= children
        origin |= children
        points = np.vstack([points, expect(list(children))])
        population += list(children)
        keep = order(points)[:size]
        population, points = [population[int(i)] for i in keep], points[keep]
    return new


def _greedy(problem: Problem[A], kept: pareto.Points, expected: pareto.Points, n: int) -> list[int]:
    """Indices of `n` points, each adding the most hypervolume to those `kept` and to those before it."""
    left, chosen = list(range(len(expected))), list[int]()
    while left and len(chosen) < n:
        volume = [problem.reference.hypervolume(np.vstack([kept, expected[i]])) for i in left]
        best = left.pop(int(np.argmax(volume)))
        kept = np.vstack([kept, expected[best]])
        chosen.append(best)
    return chosen
