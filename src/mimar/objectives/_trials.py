from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from mimar import pareto
from mimar.objectives._objective import Objective, losses
from mimar.trial import Trial

A = TypeVar("A")


def complete_trials(trials: Iterable[Trial[A]]) -> list[Trial[A]]:
    """The evaluated trials, in the order given."""
    return [trial for trial in trials if trial.status == "complete"]


def front_trials(trials: Iterable[Trial[A]], objectives: Sequence[Objective]) -> list[Trial[A]]:
    """The non-dominated evaluated trials, in the order given; equal ones all stay."""
    done = complete_trials(trials)
    return [done[int(i)] for i in pareto.front(losses([trial.metrics for trial in done], objectives))]
