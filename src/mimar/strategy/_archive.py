"""What a search remembers: trials so far, their losses, their front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar import pareto
from mimar.objectives import Objective, losses
from mimar.trial import Trial

A = TypeVar("A")


class Archive(Generic[A]):
    """All trials told so far, and every architecture ever proposed, so that none is proposed twice."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = tuple(objectives)
        self.complete: list[Trial[A]] = []
        self._seen: dict[A, int | None] = {}
        self._losses: pareto.Points = np.empty((0, len(self._objectives)))

    def add(self, trials: Sequence[Trial[A]]) -> None:
        """Remember `trials`, whatever their status."""
        done = [trial for trial in trials if trial.status == "complete"]
        for trial in trials:
            if trial.proposal.architecture is not None:
                self._seen[trial.proposal.architecture] = trial.id
        self.complete += done
        self._losses = np.vstack([self._losses, losses([trial.metrics for trial in done], self._objectives)])

    def mark(self, arch: A) -> None:
        """Note that `arch` is being proposed, before its trial is told."""
        self._seen.setdefault(arch, None)

    @property
    def losses(self) -> pareto.Points:
        """Losses of the complete trials, shape (n, m)."""
        return self._losses

    def __contains__(self, arch: A) -> bool:
        return arch in self._seen

    def trial_of(self, arch: A) -> int | None:
        """Id of the trial that had `arch`, None when it was never told."""
        return self._seen.get(arch)

    def front(self) -> list[Trial[A]]:
        """The non-dominated complete trials, in order of id."""
        return [self.complete[int(i)] for i in pareto.front(self._losses)]


def scaled(points: pareto.Points, base: pareto.Points) -> pareto.Points:
    """`points` in units in which `base` spans 0 to 1 in each objective; a constant objective stays 0 wide."""
    low, high = base.min(axis=0), base.max(axis=0)
    return (points - low) / np.where(high > low, high - low, 1.0)
