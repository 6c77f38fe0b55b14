"""Predictor-screened offspring: evolve on a surrogate's predictions, evaluate only what it expects to gain most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from mimar import pareto
from mimar.objectives import losses
from mimar.predict import Features, MetricModel
from mimar.strategy._archive import Archive
from mimar.strategy._feasible import breed
from mimar.strategy._protocol import Problem
from mimar.strategy._selection import Survivors, order, tournaments
from mimar.trial import Proposal, Trial

A = TypeVar("A")

Expect = Callable[[Sequence[A]], pareto.Points]
"""Candidates → expected losses (n, m)."""

GENERATIONS = 6
POPULATION = 40
FINALISTS = 48
"""Size of the inner search on predictions, and how many of its candidates are compared by hypervolume."""

LEARNT = 1000
"""The surrogate learns from so many of the latest trials: a batch costs the same however long the search lasts."""


def screened(
    problem: Problem[A], archive: Archive[A], best: Survivors[A], n: int, rng: np.random.Generator
) -> list[Proposal[A]]:
    """`n` new candidates from an inner NSGA-II on expected losses (LINAS, Cummings et al., 2022, in small).

    Metrics that cost nothing are computed, the others predicted from the latest trials by ridge regression on the
    space's choices. The inner search starts from `best`. Of what it finds, those are picked greedily that are expected
    to add the most hypervolume to the front and to those picked before them.
    """
    expect = _surrogate(problem, archive.complete[-LEARNT:])
    found = _inner_search(problem, archive, best, expect, rng)
    if not found:
        return []
    candidates = list(found)
    expected = expect(candidates)
    finalists = [int(i) for i in order(expected)[:FINALISTS]]
    chosen = _greedy(problem, best.points[pareto.front(best.points)], expected[finalists], n)
    picked = [candidates[finalists[i]] for i in chosen]
    for arch in picked:
        archive.mark(arch)
    return [Proposal(arch, "screened", found[arch]) for arch in picked]


def _surrogate(problem: Problem[A], trials: Sequence[Trial[A]]) -> Expect[A]:
    features = Features(problem.space.variables)
    known = problem.known(trials[0].architecture)
    unknown = [objective.metric for objective in problem.objectives if objective.metric not in known]
    seen = features.encode([problem.space.to_choices(trial.architecture) for trial in trials])
    models = {name: MetricModel.fit(seen, np.asarray([trial.metrics[name] for trial in trials])) for name in unknown}

    def expect(candidates: Sequence[A]) -> pareto.Points:
        rows = [dict(problem.known(arch)) for arch in candidates]
        encoded = features.encode([problem.space.to_choices(arch) for arch in candidates]) if unknown else seen
        for name, model in models.items():
            for row, value in zip(rows, model.predict(encoded), strict=True):
                row[name] = float(value)
        return losses(rows, problem.objectives)

    return expect


def _inner_search(
    problem: Problem[A], archive: Archive[A], best: Survivors[A], expect: Expect[A], rng: np.random.Generator
) -> dict[A, tuple[int, ...]]:
    """New candidates of a few generations on expected losses, each with the trials it descends from."""
    origin: dict[A, tuple[int, ...]] = {trial.architecture: (trial.id,) for trial in best.trials[:POPULATION]}
    population: list[A] = list(origin)
    points = best.points[:POPULATION]
    new: dict[A, tuple[int, ...]] = {}
    for _ in range(GENERATIONS):
        winners = tournaments(points, 2, 2 * POPULATION, rng)
        children: dict[A, tuple[int, ...]] = {}
        for first, second in zip(winners[::2], winners[1::2], strict=True):
            parents = (population[first], population[second]) if rng.random() < 0.5 else (population[first],)
            child = breed(problem, parents, archive, rng)
            if child is not None and child not in origin:
                children[child] = tuple(sorted({root for parent in parents for root in origin[parent]}))[:4]
        if not children:
            break
        new |= children
        origin |= children
        points = np.vstack([points, expect(list(children))])
        population += list(children)
        keep = order(points)[:POPULATION]
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
