"""Pareto dominance, ranks, crowding and quality indicators; every function takes points to be *minimised*.

Points are arrays of shape (n, m): n candidates, m objectives. Negate a column to maximise it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import moocore  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Points",
    "Reference",
    "RunningFront",
    "crowding_distance",
    "dominates",
    "front",
    "hypervolume",
    "igd_plus",
    "ranks",
]

Points = NDArray[np.float64]

STRETCH = 256
"""Points held to a front at a time: most of a long search are covered, which is cheap to see of many at once."""


def dominates(a: Points, b: Points) -> bool:
    """True when `a` (m,) is at least as good as `b` (m,) everywhere and better somewhere."""
    return bool(np.all(a <= b) and np.any(a < b))


def front(points: Points) -> NDArray[np.intp]:
    """Indices (ascending) of the non-dominated points; equal points all stay."""
    if len(points) == 0:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(moocore.is_nondominated(points, keep_weakly=True))


def ranks(points: Points) -> NDArray[np.int64]:
    """Non-domination rank of each point, 0 for the front (Deb et al., NSGA-II, 2002, section III-A)."""
    if len(points) == 0:
        return np.empty(0, dtype=np.int64)
    return np.asarray(moocore.pareto_rank(points), dtype=np.int64)


def crowding_distance(points: Points) -> NDArray[np.float64]:
    """Crowding distance of each point among `points`, inf at the ends (Deb et al., NSGA-II, 2002, section III-B)."""
    n, m = points.shape
    distance = np.zeros(n)
    for column in range(m if n else 0):
        order = np.argsort(points[:, column], kind="stable")
        values = points[order, column]
        span = values[-1] - values[0]
        distance[order[[0, -1]]] = np.inf
        if span > 0 and n > 2:
            distance[order[1:-1]] += (values[2:] - values[:-2]) / span
    return distance


def hypervolume(points: Points, reference: Points) -> float:
    """Volume dominated by `points` up to `reference` (m,), in the product of the objectives' units."""
    inside = points[np.all(points < reference, axis=1)] if len(points) else points
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0


def igd_plus(points: Points, target: Points) -> float:
    """Mean modified distance from each point of the `target` front to `points` (Ishibuchi et al., IGD+, 2015)."""
    return float(moocore.igd_plus(points, ref=target)) if len(points) else float("inf")


@dataclass(frozen=True, slots=True)
class Reference:
    """A fixed frame in which hypervolume is measured, so that a value never changes afterwards.

    point: the reference point (m,); only what is better in every objective counts.
    ideal: a good value of each objective (m,); the box from `ideal` to `point` has volume 1, points beyond it add more.
    """

    point: tuple[float, ...]
    ideal: tuple[float, ...]

    def scaled(self, points: Points) -> Points:
        """`points` (…, m) in units of the box: 0 at `ideal`, 1 at `point`."""
        low, high = np.asarray(self.ideal), np.asarray(self.point)
        return (points - low) / (high - low)

    def hypervolume(self, points: Points) -> float:
        """Hypervolume of `points` (n, m) in units of the box."""
        return hypervolume(self.scaled(points), np.ones(len(self.point)))

    def gains(self, points: Points) -> NDArray[np.float64]:
        """Hypervolume that each point (n,) adds to those before it; not to be written to."""
        if points.shape[1:] != (len(self.point),):
            raise ValueError(f"points must have {len(self.point)} objectives, got the shape {points.shape}")
        return _gains(self, np.asarray(points, dtype=np.float64).tobytes())


@lru_cache(maxsize=1)
def _gains(frame: Reference, packed: bytes) -> NDArray[np.float64]:
    """Of points as bytes: a page asks for the same ones twice."""
    points = np.frombuffer(packed).reshape(-1, len(frame.point))
    running, found = RunningFront(frame), np.zeros(len(points))
    for begin in range(0, len(points), STRETCH):
        stretch = points[begin : begin + STRETCH]
        for i in np.flatnonzero(~running.covers(stretch)):
            found[begin + i] = running.add(stretch[i])
    found.flags.writeable = False
    return found


class RunningFront:
    """The front of the points added so far and its hypervolume; adding one costs no more for the covered ones."""

    def __init__(self, frame: Reference) -> None:
        self._frame = frame
        self.points: Points = np.empty((0, len(frame.point)))
        self.volume = 0.0

    def covers(self, points: Points) -> NDArray[np.bool_]:
        """Of each of `points` (n, m), whether one added so far is as good in every objective."""
        found = np.ones((len(points), len(self.points)), dtype=bool)
        for mine, theirs in zip(self.points.T, points.T, strict=True):
            found &= mine <= theirs[:, None]
        return np.asarray(found.any(axis=1))

    def add(self, point: Points) -> float:
        """Add one point (m,); returns the hypervolume it brings, 0 when it is covered already."""
        if np.any(np.all(self.points <= point, axis=1)):
            return 0.0
        self.points = np.vstack([self.points[~np.all(self.points >= point, axis=1)], point])
        before, self.volume = self.volume, self._frame.hypervolume(self.points)
        return self.volume - before
