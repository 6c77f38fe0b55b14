"""Objectives and budgets: what is optimised, and what must be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mimar.pareto import Points

Direction = Literal["max", "min"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric and whether more (``max``) or less (``min``) of it is better."""

    metric: str
    direction: Direction

    @property
    def sign(self) -> float:
        """Factor that turns the metric into something to minimise."""
        return -1.0 if self.direction == "max" else 1.0


@dataclass(frozen=True, slots=True)
class Budget:
    """A bound every candidate keeps: the metric is at most (``max``) or at least (``min``) `limit`."""

    metric: str
    kind: Direction
    limit: float

    @property
    def bound(self) -> str:
        """The kind in words."""
        return "at most" if self.kind == "max" else "at least"

    def excess(self, metrics: Mapping[str, float]) -> float:
        """How far the metric lies outside, relative to the limit; 0 when the budget is kept."""
        value = metrics[self.metric]
        ratio = value / self.limit if self.kind == "max" else self.limit / max(value, 1e-300)
        return max(0.0, ratio - 1.0)

    def broken(self, metrics: Mapping[str, float]) -> str | None:
        """A sentence when the budget is not kept, None when it is."""
        value = metrics[self.metric]
        kept = value <= self.limit if self.kind == "max" else value >= self.limit
        if kept:
            return None
        return f"over budget: {self.metric} must be {self.bound} {self.limit:,.6g}, got {value:,.6g}"


def losses(metrics: Sequence[Mapping[str, float]], objectives: Sequence[Objective]) -> Points:
    """Metrics as points to minimise, shape (n, m), in the order of `objectives`."""
    points = np.empty((len(metrics), len(objectives)))
    for column, objective in enumerate(objectives):
        points[:, column] = [row[objective.metric] for row in metrics]
        points[:, column] *= objective.sign
    return points
