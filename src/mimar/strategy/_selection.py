"""Selection by non-domination rank and crowding, for any number of objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimar import pareto
from mimar.trial import Trial

A = TypeVar("A")


def order(points: pareto.Points) -> NDArray[np.intp]:
    """Indices from best to worst: by rank, then crowding within it (Deb et al., NSGA-II, 2002), then age."""
    rank = pareto.ranks(points)
    crowding = np.zeros(len(points))
    for level in np.unique(rank):
        members = np.flatnonzero(rank == level)
        crowding[members] = pareto.crowding_distance(points[members])
    return np.lexsort((np.arange(len(points)), -crowding, rank))


def tournaments(points: pareto.Points, size: int, count: int, rng: np.random.Generator) -> list[int]:
    """Winners of `count` tournaments among the same points."""
    place = np.empty(len(points), dtype=np.intp)
    place[order(points)] = np.arange(len(points))
    entrants = rng.integers(len(points), size=(count, size))
    return [int(row[np.argmin(place[row])]) for row in entrants]


class Survivors(Generic[A]):
    """The best trials so far by `order`, at most `size`: parents for what comes next.

    trials: in the order of `points` (n, m), their losses.
    """

    def __init__(self, size: int, objectives: int) -> None:
        self._size = size
        self.trials: list[Trial[A]] = []
        self.points: pareto.Points = np.empty((0, objectives))

    def add(self, trials: Sequence[Trial[A]], points: pareto.Points) -> None:
        """Let `trials` compete with those that survive."""
        alive = [*self.trials, *trials]
        together = np.vstack([self.points, points])
        keep = order(together)[: self._size]
        self.trials = [alive[int(i)] for i in keep]
        self.points = together[keep]
