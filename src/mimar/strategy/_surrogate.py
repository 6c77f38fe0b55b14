"""What a search expects of candidates that nobody has evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar import pareto
from mimar.objectives import Objective, losses
from mimar.predict import ChoiceProcess
from mimar.strategy._protocol import Problem
from mimar.trial import Trial

A = TypeVar("A")

LEARNT = 500
"""So many of the latest trials are learnt from: a fit costs the same however long the search lasts."""

BEYOND = 0.1
"""Losses farther behind the reference point than this share of the frame count as that: how bad is of no interest, and
a few disasters would decide the fit."""

OPTIMISM = 0.5
"""In standard deviations, as a lower confidence bound (Srinivas et al., GP-UCB, 2010)."""

GROWTH = 1.25
"""A model's settings are weighed anew when there are so many times the trials there were then."""


class Surrogate(Generic[A]):
    """Expected losses: what costs nothing is computed, each other objective is predicted by a `ChoiceProcess`."""

    def __init__(self, problem: Problem[A]) -> None:
        self._problem = problem
        self._models: dict[Objective, ChoiceProcess] = {}
        self._weighed = 0

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """Fit to the latest of `trials`, complete ones, at least 2."""
        total, trials = len(trials), trials[-LEARNT:]
        known = self._problem.known(trials[0].architecture)
        rows = [self._problem.space.to_choices(trial.architecture) for trial in trials]
        anew = not self._models or total >= GROWTH * self._weighed
        points = losses([trial.metrics for trial in trials], self._problem.objectives)
        low, high = np.asarray(self._problem.reference.ideal), np.asarray(self._problem.reference.point)
        points = np.minimum(points, high + BEYOND * (high - low))
        for objective, column in zip(self._problem.objectives, points.T, strict=True):
            if objective.metric not in known:
                like = None if anew else self._models[objective]
                self._models[objective] = ChoiceProcess.fit(self._problem.space.variables, rows, column, like)
        self._weighed = total if anew else self._weighed

    def hopes(self, candidates: Sequence[A]) -> pareto.Points:
        """After `learn`: losses (n, m) half a deviation better than expected, as what is known badly is worth a try."""
        expected, deviation = self.with_deviations(candidates)
        return expected - OPTIMISM * deviation

    def with_deviations(self, candidates: Sequence[A]) -> tuple[pareto.Points, pareto.Points]:
        """Expected losses and their standard deviations, each (n, m); 0 where a metric is computed."""
        objectives = self._problem.objectives
        expected, deviation = np.zeros((2, len(candidates), len(objectives)))
        known = [self._problem.known(arch) for arch in candidates]
        rows = [self._problem.space.to_choices(arch) for arch in candidates] if self._models else []
        for i, objective in enumerate(objectives):
            if objective in self._models:
                expected[:, i], deviation[:, i] = self._models[objective].predict(rows)
            else:
                expected[:, i] = [objective.sign * metrics[objective.metric] for metrics in known]
        return expected, deviation
