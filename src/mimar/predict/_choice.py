"""Which learner to trust, and how far to trust what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.predict._gaussian_process import gaussian_process
from mimar.predict._learner import Array, Learner, Predictor
from mimar.predict._linear import ridge
from mimar.predict._networks import network_ensemble
from mimar.predict._svr import svr
from mimar.predict._trees import boosted_trees

LEARNERS = (ridge, svr, gaussian_process, boosted_trees, network_ensemble)
"""Every learner, the plainest first."""

LEVELS = {0.5: 0.6744897501960817, 0.8: 1.2815515655446004, 0.95: 1.959963984540054}
"""Share of a normal distribution within so many deviations of its mean."""

SMALLEST_SAMPLE = 10
"""So that each fold of five leaves enough rows to fit."""


@dataclass(frozen=True)
class Calibration:
    """How predictions compare with values that were held out.

    rmse: root mean square error, units of y. within: level → share of values in the central interval that should hold
    that share. nll: mean negative log-likelihood of a value under the predicted normal distribution, in nats and units
    of y; lower is better, and its differences between predictors are what counts.
    """

    rmse: float
    within: Mapping[float, float]
    nll: float


def calibration(mean: Array, deviation: Array, y: Array) -> Calibration:
    """The report of predictions `mean` and `deviation` (n,) against measured y (n,); deviations are positive."""
    if not (mean.shape == deviation.shape == y.shape) or not len(y) or not (deviation > 0).all():
        raise InputError(
            f"expected as many means, positive deviations and values, got shapes {mean.shape}, {deviation.shape}, "
            f"{y.shape} and a least deviation of {deviation.min(initial=np.inf)}"
        )
    error = np.abs(y - mean)
    within = {level: float(np.mean(error <= width * deviation)) for level, width in LEVELS.items()}
    nll = np.mean((error / deviation) ** 2 / 2 + np.log(deviation)) + np.log(2 * np.pi) / 2
    return Calibration(float(np.sqrt(np.mean(error**2))), within, float(nll))


def held_out(
    learner: Learner, x: Array, y: Array, folds: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Mean and deviation (n,) of each row by a predictor that was fitted on the other folds; folds (n,) are labels."""
    mean, deviation = np.empty(len(y)), np.empty(len(y))
    for fold in np.unique(folds):
        test = folds == fold
        mean[test], deviation[test] = learner.fit(x[~test], y[~test], rng).predict(x[test])
    return mean, deviation


@dataclass(frozen=True)
class Chosen:
    """The learner with the least held-out error, fitted on all rows, and every learner's `Calibration` by name."""

    learner: Learner
    predictor: Predictor
    reports: Mapping[str, Calibration]


def choose_predictor(
    x: Array, y: Array, rng: np.random.Generator, learners: Sequence[Learner] = LEARNERS, folds: int = 5
) -> Chosen:
    """The learner whose `folds`-fold cross-validation has the least root mean square error; a tie goes to the first.

    x (n, d), y (n,), n ≥ 10; all learners see the same folds. The reports are those of the cross-validation.
    """
    if len(y) < SMALLEST_SAMPLE or not learners or not 2 <= folds <= len(y):
        raise InputError(
            f"expected at least {SMALLEST_SAMPLE} rows, a learner, and from 2 folds to as many as rows, got "
            f"{len(y)} rows, {len(learners)} learners and {folds} folds; measure more first"
        )
    parts = rng.permutation(np.arange(len(y)) % folds)
    reports = {learner.name: calibration(*held_out(learner, x, y, parts, rng), y) for learner in learners}
    best = min(learners, key=lambda learner: reports[learner.name].rmse)
    return Chosen(best, best.fit(x, y, rng), reports)
