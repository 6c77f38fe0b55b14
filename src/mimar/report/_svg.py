"""The front as one static picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mimar.errors import UnknownNameError
from mimar.objectives import Budget, complete_trials, front_trials
from mimar.report._axis import Axis, axis_over
from mimar.report._data import ReportData
from mimar.report._display import display_of
from mimar.report._frame import Frame
from mimar.report._marks import FAINT, INK, dot, label, line, picture, shade
from mimar.report._names import diamonds

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 64, 60
INNER = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
"""Where points lie."""

_FRONT, BOUND, _FAMILIAR = "#0b6bb5", "#b3261e", "#7a3e9d"


@dataclass(frozen=True, slots=True)
class _Frame:
    """Two metrics and the frame they are drawn in; points are in pixels."""

    x: str
    y: str
    inner: Frame

    def point(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        return self.inner.point(_shown(self.x, metrics[self.x]), _shown(self.y, metrics[self.y]))


def front_svg(data: ReportData, x: str, y: str) -> str:
    """The evaluated trials over the metrics `x` and `y`: front, dominated ones, budgets and familiar shapes.

    UnknownNameError when trials exist and none has the metric `x` or `y`.
    """
    done = [dict(trial.metrics) for trial in complete_trials(data.trials)]
    known = tuple(dict.fromkeys(name for metrics in done for name in metrics))
    for name in (x, y):
        if done and name not in known:
            raise UnknownNameError("metric", name, known)
    done = [metrics for metrics in done if x in metrics and y in metrics]
    front = [trial.metrics for trial in front_trials(data.trials, data.objectives)]
    members = [metrics for metrics in front if x in metrics and y in metrics]
    familiar = {shape.name: shape.metrics for shape in data.familiar if x in shape.metrics and y in shape.metrics}
    across, up = (_axis(data, name, [*done, *familiar.values()]) for name in (x, y))
    frame = _Frame(x, y, Frame(across, up, INNER))
    title = f"Pareto front: {display_of(y).label} against {display_of(x).label}"
    marks = [
        *frame.inner.grid(display_of(x).title, display_of(y).title),
        *(mark for budget in data.budgets for mark in _bound(frame, budget)),
        *(dot(frame.point(metrics), 3, FAINT, 0.5) for metrics in done),
        *_stairs(frame, data, members),
        *(dot(frame.point(metrics), 5.5, _FRONT, 1) for metrics in members),
        *diamonds({name: frame.point(metrics) for name, metrics in familiar.items()}, INNER, _FAMILIAR),
        *_legend(len(members), len(done)),
    ]
    return picture(title, (WIDTH, HEIGHT), marks)


def _axis(data: ReportData, metric: str, points: Sequence[Mapping[str, float]]) -> Axis:
    limits = [budget.limit for budget in data.budgets if budget.metric == metric]
    values = [*(metrics[metric] for metrics in points), *limits]
    return axis_over(_shown(metric, value) for value in values)


def _shown(metric: str, value: float) -> float:
    return value * display_of(metric).scale


def _bound(frame: _Frame, budget: Budget) -> list[str]:
    """The forbidden side shaded, its edge dashed; nothing for a budget on another metric."""
    limit = _shown(budget.metric, budget.limit)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    marks: list[str] = []
    if budget.metric == frame.x:
        edge = frame.inner.left(limit)
        start, end = (edge, right) if budget.kind == "max" else (LEFT, edge)
        marks += [shade((start, TOP), (end, bottom), BOUND), line((edge, TOP), (edge, bottom), BOUND, "6 4")]
    if budget.metric == frame.y:
        edge = frame.inner.top(limit)
        start, end = (TOP, edge) if budget.kind == "max" else (edge, bottom)
        marks += [shade((LEFT, start), (right, end), BOUND), line((LEFT, edge), (right, edge), BOUND, "6 4")]
    return marks


def _stairs(frame: _Frame, data: ReportData, members: Sequence[Mapping[str, float]]) -> list[str]:
    """The attainment line, where the picture shows the only two objectives: the front dominates what lies behind it."""
    signs = {objective.metric: objective.sign for objective in data.objectives}
    if set(signs) != {frame.x, frame.y} or len(members) < 2:
        return []
    ordered = sorted(members, key=lambda metrics: (signs[frame.x] * metrics[frame.x], metrics[frame.y]))
    path = "M{:.1f},{:.1f}".format(*frame.point(ordered[0]))
    for metrics in ordered[1:]:
        path += "H{:.1f}V{:.1f}".format(*frame.point(metrics))
    return [f'<path d="{path}" fill="none" stroke="{_FRONT}" stroke-width="2" stroke-opacity="0.45"/>']


def _legend(members: int, evaluated: int) -> list[str]:
    y = 34
    return [
        dot((LEFT + 4, y - 5), 5.5, _FRONT, 1),
        label(f"Pareto front ({members})", (LEFT + 16, y), INK),
        dot((LEFT + 174, y - 5), 3, FAINT, 0.8),
        label(f"evaluated ({evaluated})", (LEFT + 184, y), INK),
        f'<path d="M{LEFT + 334},{y - 12}l7,7l-7,7l-7,-7z" fill="{_FAMILIAR}"/>',
        label("familiar shape", (LEFT + 347, y), INK),
        shade((LEFT + 480, y - 13), (LEFT + 500, y + 3), BOUND),
        label("outside a budget", (LEFT + 508, y), INK),
    ]
