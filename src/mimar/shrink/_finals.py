"""The choice among the best of a search, on text that it did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mimar.elastic import SubNetwork
from mimar.objectives import Objective, complete_trials
from mimar.shrink._task import FIGURES, LOSS
from mimar.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import SuperNetwork


FINALISTS: Final = 4
"""The best of a search that are judged once more: the best of many on little text is often the luckiest."""


@dataclass(frozen=True)
class Finalist:
    """value: its loss or divergence on the text of the finals, an estimate where it was surely worse before the end.
    behind: how much more that is than the winner's on what both have read, and error: the standard error of this.
    """

    trial: Trial[SubNetwork]
    value: float
    behind: float
    error: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"id": self.trial.id, "value": self.value, "behind": self.behind, "error": self.error}


def finals(
    network: SuperNetwork, trials: Sequence[Trial[SubNetwork]], objective: Objective, ids: Tensor
) -> list[Finalist]:
    """The best trials by `objective`, judged again on `ids` (sequences, tokens), the best first; what is surely worse
    than another is given up on the way.

    Nothing where the objective is neither loss nor divergence, or there is no text.
    """
    from mimar.elastic import among_the_best, judge

    if objective.metric not in FIGURES or not len(ids):
        return []
    ranked = sorted(complete_trials(trials), key=lambda trial: objective.sign * trial.metrics[objective.metric])
    best = ranked[:FINALISTS]
    axis, subs = FIGURES.index(objective.metric), [trial.architecture for trial in best]
    judged = judge(network, subs, ids, among_the_best(1), axis, loss_alone=objective.metric == LOSS)
    rows, values = judged.rows[:, :, axis], judged.estimates()[:, axis]
    winner = rows[np.argmin(values)]
    found = (
        Finalist(trial, float(value), *_behind(row, winner))
        for trial, row, value in zip(best, rows, values, strict=True)
    )
    return sorted(found, key=lambda each: each.value)


def _behind(row: NDArray[np.float64], winner: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard error of how much more one is than the other, (sequences,) each, where both are known."""
    more = (row - winner)[np.isfinite(row)]
    return float(more.mean()), float(more.std(ddof=1) / np.sqrt(len(more))) if len(more) > 1 else 0.0
