"""Predictor-screened offspring: breed many, keep those a surrogate expects to add the most hypervolume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from mimar import pareto
from mimar.objectives import losses
from mimar.predict import Features, Ridge
from mimar.strategy._archive import Archive
from mimar.strategy._feasible import breed
from mimar.strategy._protocol import Problem
from mimar.strategy._selection import tournaments
from mimar.trial import Proposal, Trial

A = TypeVar("A")


def screened(
    problem: Problem[A], archive: Archive[A], n: int, rng: np.random.Generator, *, pool: int = 12
) -> list[Proposal[A]]:
    """`n` children chosen from about ``pool * n``.

    Metrics that cost nothing are computed, the others predicted by ridge regression on the space's choices. Children
    are picked greedily by the hypervolume they are expected to add to the front and to those picked before them.
    """
    children = _offspring(problem, archive, pool * n, rng)
    if not children:
        return []
    expected = _expected_losses(problem, archive, [arch for arch, _ in children])
    kept = archive.losses[pareto.front(archive.losses)]
    chosen: list[Proposal[A]] = []
    left = list(range(len(children)))
    while left and len(chosen) < n:
        base = problem.reference.hypervolume(kept)
        gain = [problem.reference.hypervolume(np.vstack([kept, expected[i]])) - base for i in left]
        best = left.pop(int(np.argmax(gain)))
        kept = np.vstack([kept, expected[best]])
        arch, parents = children[best]
        archive.mark(arch)
        chosen.append(Proposal(arch, "screened", parents))
    return chosen


def _offspring(
    problem: Problem[A], archive: Archive[A], count: int, rng: np.random.Generator
) -> list[tuple[A, tuple[int, ...]]]:
    winners = tournaments(archive.losses, 3, 2 * count, rng)
    found: dict[A, tuple[int, ...]] = {}
    for first, second in zip(winners[::2], winners[1::2], strict=True):
        parents = [archive.complete[first], *([archive.complete[second]] if rng.random() < 0.5 else [])]
        arch = breed(problem, tuple(parent.architecture for parent in parents), archive, rng)
        if arch is not None:
            found.setdefault(arch, tuple(parent.id for parent in parents))
    return list(found.items())


def _expected_losses(problem: Problem[A], archive: Archive[A], candidates: Sequence[A]) -> pareto.Points:
    metrics: list[dict[str, float]] = [dict(problem.known(arch)) for arch in candidates]
    unknown = [objective.metric for objective in problem.objectives if objective.metric not in metrics[0]]
    if unknown:
        features = Features(problem.space.variables)
        seen = features.encode([problem.space.to_choices(trial.architecture) for trial in archive.complete])
        new = features.encode([problem.space.to_choices(arch) for arch in candidates])
        for name in unknown:
            for row, value in zip(metrics, _predicted(name, archive.complete, seen, new), strict=True):
                row[name] = float(value)
    return losses(metrics, problem.objectives)


def _predicted(name: str, trials: Sequence[Trial[Any]], seen: pareto.Points, new: pareto.Points) -> pareto.Points:
    """Ridge on the metric, on its logarithm where it is positive throughout: sizes act as factors."""
    values = np.asarray([trial.metrics[name] for trial in trials])
    if np.all(values > 0):
        return np.exp(Ridge.fit(seen, np.log(values)).predict(new))
    return Ridge.fit(seen, values).predict(new)
