"""Niches: the space cut into cells by complexity, so that no kind of candidate crowds out the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np

from mimar.strategy._feasible import draw
from mimar.strategy._protocol import Axis, Problem

A = TypeVar("A")

SAMPLE = 64
"""Random candidates whose quantiles are the edges of cells that the problem does not state."""


class Niches(Generic[A]):
    """A grid over the problem's axes; a candidate's niche is its cell, a number below `count`.

    Edges that an axis leaves open are quantiles of random candidates inside the budgets. A problem without axes is one
    niche.
    """

    def __init__(self, problem: Problem[A], seed: int) -> None:
        rng = np.random.default_rng([seed, SAMPLE])
        self._axes = problem.axes
        open_ = any(not axis.edges for axis in self._axes)
        drawn = [draw(problem, (), rng) for _ in range(SAMPLE)] if open_ else []
        sample = [arch for arch in drawn if arch is not None]
        self._edges = [axis.edges or _quantiles(axis, sample) for axis in self._axes]

    @property
    def count(self) -> int:
        """Number of niches."""
        return int(np.prod([len(edges) + 1 for edges in self._edges], dtype=np.int64))

    def of(self, arch: A) -> int:
        """The niche of a candidate."""
        cell = 0
        for axis, edges in zip(self._axes, self._edges, strict=True):
            cell = cell * (len(edges) + 1) + int(np.searchsorted(edges, axis.value(arch), side="right"))
        return cell

    def ranges(self, niche: int) -> list[tuple[str, float, float]]:
        """Of each axis its name, the least value of the niche and the least value beyond it (infinite at the ends)."""
        found: list[tuple[str, float, float]] = []
        for axis, edges in zip(reversed(self._axes), reversed(self._edges), strict=True):
            niche, cell = divmod(niche, len(edges) + 1)
            low, high = list(pairwise([-np.inf, *edges, np.inf]))[cell]
            found.append((axis.name, float(low), float(high)))
        return found[::-1]


def _quantiles(axis: Axis[A], sample: Sequence[A]) -> tuple[float, ...]:
    """Edges of about equally full cells; fewer where values repeat."""
    values = [axis.value(arch) for arch in sample]
    inner = np.linspace(0, 1, axis.cells + 1)[1:-1]
    return tuple(float(edge) for edge in np.unique(np.quantile(values, inner)) if edge > min(values)) if values else ()


def describe_niche(ranges: Sequence[tuple[str, float, float]]) -> str:
    """The ranges as a phrase."""
    return ", ".join(_range(*each) for each in ranges) or "all of the space"


def _range(name: str, low: float, high: float) -> str:
    if low == -np.inf:
        return f"{name} below {high:.4g}"
    return f"{name} of at least {low:.4g}" if high == np.inf else f"{name} of at least {low:.4g} and below {high:.4g}"
