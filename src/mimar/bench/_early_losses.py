"""How well cheaper evaluations tell the loss that a training of a table ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimar.bench._measures import measure
from mimar.bench._tiny_table import TinyTable
from mimar.bench._truth import Truth
from mimar.errors import InputError
from mimar.predict import Learner, LearningCurves, calibration, held_out

Floats = NDArray[np.float64]

FOLDS: Final = 5
"""Parts of the table, of which each is predicted from the others."""

FEWEST: Final = 7
"""Rows of a table whose ends are predicted: with fewer, too few are left to learn from beside a part."""

LEVEL: Final = 0.8
"""Of the interval that is checked."""


@dataclass(frozen=True, slots=True)
class CheapLoss:
    """One cheaper evaluation against the loss in the end.

    name: share of the training, or how else. tau to top10_overlap: as in `Measures`, for the loss as it stands. error:
    root mean square error in nats of what `LearningCurves` expects from the readings until then, fitted to other rows;
    within: share of the losses in its 80 % interval; None where there is no curve, or too few rows.
    """

    name: str
    tau: float | None
    tau_iso: float | None
    regret_iso: float
    top10_overlap: float | None
    error: float | None = None
    within: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def cheap_loss(name: str, losses: Mapping[str, float], truth: Truth) -> CheapLoss:
    """`losses` by id against `truth`, the same table as `load_truth` reads it; those that are no numbers rank last.

    InputError: none is a number.
    """
    found = np.asarray([losses[row.id] for row in truth.rows])
    usable = np.isfinite(found)
    if not usable.any():
        raise InputError(f"{name}: every loss of {truth.name} is infinite or no number")
    measures = measure(truth, -np.where(usable, found, found[usable].max() + 1.0))
    return CheapLoss(name, measures.tau, measures.tau_iso, measures.regret_iso, measures.top10_overlap)


def early_losses(table: TinyTable, truth: Truth) -> list[CheapLoss]:
    """A row for each share of the training at which the table has losses."""
    names = list(table.rows[0].curve)
    curves = np.asarray([[row.curve[name] for name in names] for row in table.rows])
    ends = np.asarray([row.loss for row in table.rows])
    found: list[CheapLoss] = []
    for count, name in enumerate(names, 1):
        row = cheap_loss(name, {row.id: row.curve[name] for row in table.rows}, truth)
        if len(ends) < FEWEST:
            found.append(row)
            continue
        report = calibration(*_extrapolated(curves[:, :count], ends), ends)
        found.append(replace(row, error=report.rmse, within=report.within[LEVEL]))
    return found


def _extrapolated(curves: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """Expected ends and deviations (n,), each row from a fit to the other parts."""
    rng = np.random.default_rng(0)
    parts = rng.permutation(np.arange(len(ends)) % FOLDS)
    curve = Learner("learning curves", "mimar", lambda x, y, _: LearningCurves.fit(x, y))
    return held_out(curve, curves, ends, parts, rng)
