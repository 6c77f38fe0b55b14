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
        self._seen: set[A] = set()
        self._losses: pareto.Points = np.empty((64, len(self._objectives)))  # the first rows are in use

    def add(self, trials: Sequence[Trial[A]]) -> None:
        """Remember `trials`, whatever their status."""
        done = [trial for trial in trials if trial.status == "complete"]
        for trial in trials:
            if trial.proposal.architecture is not None:
                self._seen.add(trial.proposal.architecture)
        begin, end = len(self.complete), len(self.complete) + len(done)
        while end > len(self._losses):  # doubled, so that a long search does not copy all of it at each tell
            self._losses = np.vstack([self._losses, np.empty_like(self._losses)])
        self._losses[begin:end] = losses([trial.metrics for trial in done], self._objectives)
        self.complete += done

    def mark(self, arch: A) -> None:
        """Note that `arch` is being proposed, before its trial is told."""
        self._seen.add(arch)

    @property
    def losses(self) -> pareto.Points:
        """Losses of the complete trials, shape (n, m)."""
        return self._losses[: len(self.complete)]

    def __contains__(self, arch: A) -> bool:
        return arch in self._seen

    def front(self) -> list[Trial[A]]:
        """The non-dominated complete trials, in order of id."""
        return [self.complete[int(i)] for i in pareto.front(self.losses)]
