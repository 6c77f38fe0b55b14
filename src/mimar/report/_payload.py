"""The numbers behind the page's plots, in columns: rounded to what a plot can show, cut to what it can draw."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from mimar.errors import visible
from mimar.objectives import complete_trials, losses
from mimar.pareto import front
from mimar.report._accounting import hypervolume_curve, operator_shares
from mimar.report._data import ReportData
from mimar.report._describe import describe_architecture
from mimar.report._display import display_of
from mimar.report._front import export_command
from mimar.space import Architecture
from mimar.trial import Trial

T = TypeVar("T")

DRAWN_TRIALS = 5000
"""Trials in the plots at most; a browser stays quick and the page small. The page states the cut."""

SHARE_STRETCH, SHARE_STRETCHES = 15, 40
"""Evaluations over which an operator's share is taken, and how many such stretches are drawn at most."""

_SHAPE_COLUMNS = ("layers", "hidden size", "heads", "kv heads", "feed-forward width")


def payload(data: ReportData) -> dict[str, Any]:
    """Plain data for the page's script; every list of trials has the same order: front first, then the others.

    axes: one a metric or size, with its values over the trials, its budgets and the familiar shapes' values, all in
      shown units; null where a value is absent or not finite.
    order: at which evaluation (from 1) each trial came.
    """
    done = complete_trials(data.trials)
    on_front, others = _drawn(data, done)
    drawn = [*on_front, *others]
    trials = [done[i] for i in drawn]
    origins = list(dict.fromkeys(trial.proposal.origin for trial in data.trials))
    ends, shares = operator_shares(data.trials, max(1, min(SHARE_STRETCHES, len(done) // SHARE_STRETCH)))
    return {
        "axes": [*_metric_axes(data, trials), *_shape_axes(trials)],
        "objectives": [objective.metric for objective in data.objectives],
        "ids": [trial.id for trial in trials],
        "order": [i + 1 for i in drawn],
        "front": len(on_front),
        "origins": [visible(origin) for origin in origins],
        "origin": [origins.index(trial.proposal.origin) for trial in trials],
        "descriptions": [describe_architecture(trial.architecture) for trial in trials],
        "commands": [visible(export_command(data, trial)) for trial in trials[: len(on_front)]],
        "familiar": [visible(shape.name) for shape in data.familiar],
        "hypervolume": _steps(data),
        "shares": {"ends": ends, "of": [[visible(origin), values] for origin, values in shares.items()]},
    }


def embedded_json(value: Any) -> str:
    """JSON that can stand inside a ``<script type="application/json">`` whatever text it holds.

    ``<``, ``>`` and ``&`` cannot end the element or open a comment when written as escapes; U+2028 and U+2029 are
    escaped with all else that is not ASCII.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of `items`, evenly spaced from first to last."""
    if len(items) <= count:
        return list(items)
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, count)] if count > 0 else []


def _drawn(data: ReportData, done: Sequence[Trial[Architecture]]) -> tuple[list[int], list[int]]:
    """Positions among `done` of the front members and of the others that are drawn."""
    members = [int(i) for i in front(losses([trial.metrics for trial in done], data.objectives))]
    inside = set(members)
    shown = evenly(members, DRAWN_TRIALS)
    return shown, evenly([i for i in range(len(done)) if i not in inside], DRAWN_TRIALS - len(shown))


def _metric_axes(data: ReportData, trials: Sequence[Trial[Architecture]]) -> list[dict[str, Any]]:
    directions = {objective.metric: objective.direction for objective in data.objectives}
    names = dict.fromkeys([*directions, *(name for trial in trials for name in trial.metrics)])
    return [
        {
            "key": name,
            "title": display_of(name).title,
            "better": directions.get(name, ""),
            "values": _shown(name, (trial.metrics.get(name) for trial in trials)),
            "budgets": [
                [budget.kind, *_shown(name, [budget.limit])] for budget in data.budgets if budget.metric == name
            ],
            "familiar": _shown(name, (shape.metrics.get(name) for shape in data.familiar)),
        }
        for name in names
    ]


def _shape_axes(trials: Sequence[Trial[Architecture]]) -> list[dict[str, Any]]:
    rows = [_sizes(trial.architecture) for trial in trials]
    return [
        {
            "key": name,
            "title": name,
            "better": "",
            "values": [_rounded(row[column]) for row in rows],
            "budgets": [],
            "familiar": [],
        }
        for column, name in enumerate(_SHAPE_COLUMNS)
    ]


def _sizes(arch: Architecture) -> tuple[float | None, ...]:
    """In the order of `_SHAPE_COLUMNS`; means over the layers that have heads or a feed-forward part."""
    headed = [block.mixer for block in arch.blocks if block.mixer.num_heads]
    widths = [block.feed_forward.intermediate_size for block in arch.blocks if block.feed_forward.intermediate_size]
    heads, kv_heads = [mixer.num_heads for mixer in headed], [mixer.num_kv_heads for mixer in headed]
    return (arch.num_layers, arch.hidden_size, _mean(heads), _mean(kv_heads), _mean(widths))


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None


def _shown(metric: str, values: Iterable[float | None]) -> list[float | None]:
    scale = display_of(metric).scale
    return [None if value is None else _rounded(value * scale) for value in values]


def _rounded(value: float | None) -> float | None:
    """Five significant digits; None for what JSON cannot hold."""
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None


def _steps(data: ReportData) -> dict[str, list[float]]:
    """The hypervolume curve at the evaluations where it rises, and at the last."""
    curve = hypervolume_curve(data.trials, data.objectives, data.reference)
    rises = np.flatnonzero(np.diff(curve, prepend=0.0))
    kept = np.union1d(rises, [len(curve) - 1]) if len(curve) else rises
    return {"evaluations": [int(i) + 1 for i in kept], "values": [float(f"{curve[i]:.6g}") for i in kept]}
