from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.objectives import Objective, losses
from mimar.pareto import Reference
from mimar.strategy._evolution import RegularisedEvolution
from mimar.strategy._protocol import Problem
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")

SUM = Objective("scalarised", "min")


class Scalarised(Generic[A]):
    """Regularised evolution of one number: Σ λ_i · loss_i, the textbook way to several objectives.

    Losses are counted in units of the problem's frame, 0 at its ideal and 1 at its reference point, so that weights
    compare. One search finds one trade-off, which is what Pareto search is held against.

    weights: metric of an objective → λ, at least 0; those not named weigh 1.
    """

    name = "scalarised"
    traits = Traits()

    def __init__(self, problem: Problem[A], seed: int, weights: Mapping[str, float] | None = None) -> None:
        self._problem = problem
        self._weights = checked_weights(problem.objectives, weights or {})
        single = replace(problem, objectives=(SUM,), reference=Reference((1.0,), (0.0,)))
        self._inner = RegularisedEvolution(single, seed)

    def ask(self, n: int) -> Sequence[Proposal[A]]:
        """What evolution asks for."""
        return self._inner.ask(n)

    def tell(self, trials: Sequence[Trial[A]]) -> None:
        """Tell evolution the weighted sum of each."""
        self._inner.tell([replace(trial, metrics=self._with_sum(trial.metrics)) for trial in trials])

    def _with_sum(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        if not metrics:  # of a candidate that was not evaluated
            return metrics
        scaled = self._problem.reference.scaled(losses([metrics], self._problem.objectives)[0])
        return {**metrics, SUM.metric: float(self._weights @ scaled)}


def checked_weights(objectives: Sequence[Objective], given: Mapping[str, float]) -> NDArray[np.float64]:
    """λ of each objective (m,), 1 where none is given; InputError for a metric that is none, or no usable weight."""
    names = [objective.metric for objective in objectives]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InputError(f"no objective is called {unknown[0]!r}: weights are for {', '.join(names)}")
    found = np.asarray([float(given.get(name, 1.0)) for name in names])
    if not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise InputError(f"weights must be at least 0 and not all 0, got {dict(given)}")
    return found
