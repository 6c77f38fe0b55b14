"""Who brought what: credit and share of each operator, hypervolume over evaluations, reasons of rejection."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimar.objectives import Objective, complete_trials, losses
from mimar.pareto import Reference, front
from mimar.trial import FULL, Trial

REASON_LENGTH = 160
"""Characters of a reason that are kept when reasons are counted; an LLM's whole answer may hang on one."""


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """What one operator did; ``proposed = evaluated + invalid + failed``.

    evaluated: trials with metrics. on_front: of these, how many are non-dominated at the end.
    share: of all evaluated trials, 0 to 1. credit: hypervolume its trials added, each over all trials before it.
    """

    origin: str
    proposed: int
    evaluated: int
    invalid: int
    failed: int
    on_front: int
    share: float
    credit: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, without `origin`, by which rows are keyed."""
        return {
            "proposed": self.proposed,
            "evaluated": self.evaluated,
            "invalid": self.invalid,
            "failed": self.failed,
            "on_front": self.on_front,
            "share": self.share,
            "credit": self.credit,
        }


def operator_accounting(
    trials: Sequence[Trial[Any]], objectives: Sequence[Objective], reference: Reference
) -> list[OperatorRow]:
    """One row an operator, in order of first appearance; shares sum to 1 and credits to the final hypervolume.

    reference: the frame in losses; credit is in units of its box.
    """
    done = complete_trials(trials)
    points = losses([trial.metrics for trial in done], objectives)
    origins = [trial.proposal.origin for trial in done]
    credit = _sums(origins, reference.gains(points))
    on_front = Counter(origins[int(i)] for i in front(points))
    counts = Counter((trial.proposal.origin, trial.status) for trial in _last_words(trials))
    return [
        OperatorRow(
            origin=origin,
            proposed=sum(counts[origin, status] for status in ("complete", "partial", "invalid", "failed")),
            evaluated=counts[origin, "complete"],
            invalid=counts[origin, "invalid"],
            failed=counts[origin, "failed"],
            on_front=on_front[origin],
            share=counts[origin, "complete"] / len(done) if done else 0.0,
            credit=credit.get(origin, 0.0),
        )
        for origin in dict.fromkeys(trial.proposal.origin for trial in trials)
    ]


def evaluations(trials: Sequence[Trial[Any]]) -> dict[str, int]:
    """Fidelity → evaluations at it, failed ones included, in order of first appearance."""
    return dict(Counter(trial.proposal.fidelity for trial in trials if trial.status != "invalid"))


def evaluation_words(trials: Sequence[Trial[Any]]) -> str:
    """``score 96, 10% 32, full 3``; empty where nothing was evaluated at less than full fidelity."""
    counts = evaluations(trials)
    return ", ".join(f"{fidelity} {count:,}" for fidelity, count in counts.items()) if set(counts) - {FULL} else ""


def _last_words(trials: Sequence[Trial[Any]]) -> list[Trial[Any]]:
    """All trials but those of candidates that came again to be evaluated more thoroughly."""
    if all(trial.status != "partial" for trial in trials):
        return list(trials)
    later = {trial.proposal.architecture: trial.id for trial in trials if trial.proposal.architecture is not None}
    return [trial for trial in trials if trial.status != "partial" or later[trial.proposal.architecture] == trial.id]


def hypervolume_curve(
    trials: Sequence[Trial[Any]], objectives: Sequence[Objective], reference: Reference
) -> NDArray[np.float64]:
    """Hypervolume after each evaluation, shape (evaluated,), in units of the reference's box; never falls."""
    points = losses([trial.metrics for trial in complete_trials(trials)], objectives)
    return np.cumsum(reference.gains(points))


def operator_shares(trials: Sequence[Trial[Any]], bins: int) -> tuple[list[int], dict[str, list[float]]]:
    """Each operator's share of the evaluations in consecutive stretches of the search.

    Returns the number of evaluations at the end of each of at most `bins` stretches, and origin → one share a stretch.
    """
    origins = [trial.proposal.origin for trial in complete_trials(trials)]
    ends = sorted({round(len(origins) * (i + 1) / bins) for i in range(bins)} - {0})
    stretches = [origins[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    names = dict.fromkeys(origins)
    return ends, {name: [part.count(name) / len(part) for part in stretches] for name in names}


def rejection_counts(trials: Sequence[Trial[Any]]) -> dict[str, int]:
    """Reason → rejected or failed trials that gave it, most frequent first.

    What came ("…, got 513") and where ("layer 3: …") are left out, so that one broken rule is one row.
    """
    counts = Counter(reason for trial in trials for reason in {_rule(reason) for reason in trial.reasons})
    return dict(counts.most_common())


def _sums(names: Sequence[str], values: NDArray[np.float64]) -> Mapping[str, float]:
    totals: dict[str, float] = {}
    for name, value in zip(names, values.tolist(), strict=True):
        totals[name] = totals.get(name, 0.0) + value
    return totals


def _rule(reason: str) -> str:
    where_removed = re.sub(r"^layer \d+: ", "", reason)
    return where_removed.split(", got ")[0][:REASON_LENGTH]
