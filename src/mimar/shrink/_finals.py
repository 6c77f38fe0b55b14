"""The choice among the best of a search, on text that it did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mimar.elastic import SubNetwork
from mimar.objectives import Objective, complete_trials
from mimar.shrink._task import FIGURES
from mimar.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import SuperNetwork

FINALISTS: Final = 4
"""The best of a search that are judged once more: the best of many on little text is often the luckiest."""


@dataclass(frozen=True)
class Finalist:
    """value: its loss or divergence on the text of the finals. behind: how much
    more that is than the winner's, and error: the standard error of this, which the text's windows have in common.
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
    """The best trials by `objective`, judged again on `ids` (sequences, tokens), the best first.

    None where the objective is neither loss nor divergence, or there is no text.
    """
    from mimar.elastic import judge

    if objective.metric not in FIGURES or not len(ids):
        return []
    ranked = sorted(complete_trials(trials), key=lambda trial: objective.sign * trial.metrics[objective.metric])
    best = ranked[:FINALISTS]
    rows = judge(network, [trial.architecture for trial in best], ids).rows[:, :, FIGURES.index(objective.metric)]
    values = rows.mean(axis=1)
    behind = rows - rows[np.argmin(values)]
    errors = behind.std(axis=1, ddof=1) / np.sqrt(len(ids)) if len(ids) > 1 else np.zeros(len(best))
    found = map(Finalist, best, values.tolist(), behind.mean(axis=1).tolist(), errors.tolist())
    return sorted(found, key=lambda each: each.value)
