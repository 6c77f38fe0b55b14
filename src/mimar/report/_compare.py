"""Several studies side by side: hypervolume in one frame at equal numbers of evaluations, and rank tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mimar.errors import InputError
from mimar.objectives import Objective, complete_trials, losses
from mimar.pareto import Points, Reference, front
from mimar.report._accounting import hypervolume_curve
from mimar.trial import Trial


@dataclass(frozen=True, slots=True)
class Contender:
    """A study to compare. group: what studies that differ in nothing but the seed have in common."""

    name: str
    group: str
    objectives: tuple[Objective, ...]
    trials: tuple[Trial[Any], ...]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """What one study found. hypervolume: in the common frame, after the common number of evaluations; final: after all
    of its own. best: of each objective, in its own unit. on_front: members of the front of all studies together, after
    all evaluations.
    """

    name: str
    group: str
    evaluated: int
    hypervolume: float
    final: float
    best: Mapping[str, float]
    on_front: int


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Studies of one group. wins: chance that one of them has more hypervolume than one of the best group, ties as half
    (Vargha and Delaney, 2000). p_value: that both are alike, by the rank test of Mann and Whitney, two-sided; both are
    None for the best group itself, and where a group has one study, since then there is nothing to tell chance by.
    """

    group: str
    studies: int
    median: float
    low: float
    high: float
    wins: float | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """evaluations: the number at which all are compared, that of the shortest study. curves: name → hypervolume after
    each evaluation.
    """

    evaluations: int
    reference: Reference
    studies: tuple[StudyRow, ...]
    groups: tuple[GroupRow, ...]
    curves: Mapping[str, tuple[float, ...]]

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the curves."""
        return {
            "evaluations": self.evaluations,
            "studies": [asdict(row) for row in self.studies],
            "groups": [asdict(row) for row in self.groups],
        }


def compare(contenders: Sequence[Contender]) -> Comparison:
    """Compare two studies or more. The frame goes from the worst to the best that any of them found.

    InputError: other objectives, one study alone or twice, or one without any complete trial.
    """
    _require_comparable(contenders)
    objectives = contenders[0].objectives
    points = [losses([trial.metrics for trial in complete_trials(each.trials)], objectives) for each in contenders]
    together = np.concatenate(points)
    frame = _frame(together)
    curves = {each.name: tuple(hypervolume_curve(each.trials, objectives, frame).tolist()) for each in contenders}
    shared = min(len(part) for part in points)
    best = set(front(together).tolist())
    starts = np.cumsum([0, *map(len, points)])
    rows = tuple(
        StudyRow(
            name=each.name,
            group=each.group,
            evaluated=len(part),
            hypervolume=curves[each.name][shared - 1],
            final=curves[each.name][-1],
            best={o.metric: o.sign * float(part[:, i].min()) for i, o in enumerate(objectives)},
            on_front=sum(start <= index < start + len(part) for index in best),
        )
        for each, part, start in zip(contenders, points, starts.tolist(), strict=False)
    )
    return Comparison(shared, frame, rows, _groups(rows), curves)


def _require_comparable(contenders: Sequence[Contender]) -> None:
    names = [each.name for each in contenders]
    if len(set(names)) < max(2, len(names)):
        raise InputError(f"expected two or more different studies to compare, got {', '.join(names)}")
    first = contenders[0]
    for each in contenders:
        if each.objectives != first.objectives:
            listed = (", ".join(o.metric for o in one.objectives) for one in (first, each))
            raise InputError(
                f"studies with different objectives cannot be compared: {first.name} has {next(listed)}; "
                f"{each.name} has {next(listed)}"
            )
        if not complete_trials(each.trials):
            raise InputError(f"{each.name} holds no evaluated trial yet: continue it with --resume")


def _frame(points: Points) -> Reference:
    worst, best = points.max(axis=0), points.min(axis=0)
    worst = np.where(worst > best, worst, best + np.maximum(1.0, np.abs(best)))
    return Reference(tuple(worst.tolist()), tuple(best.tolist()))


def _groups(rows: Sequence[StudyRow]) -> tuple[GroupRow, ...]:
    """The best median first."""
    found = dict[str, list[float]]()
    for row in rows:
        found.setdefault(row.group, []).append(row.hypervolume)
    ranked = sorted(found, key=lambda group: -float(np.median(found[group])))
    return tuple(_group(group, found[group], None if group == ranked[0] else found[ranked[0]]) for group in ranked)


def _group(group: str, values: Sequence[float], best: Sequence[float] | None) -> GroupRow:
    from scipy.stats import mannwhitneyu

    wins = p_value = None
    if best is not None and min(len(values), len(best)) > 1:
        test = mannwhitneyu(values, best)
        wins, p_value = float(test.statistic) / (len(values) * len(best)), float(test.pvalue)
    return GroupRow(group, len(values), float(np.median(values)), min(values), max(values), wins, p_value)
