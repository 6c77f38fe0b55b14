"""The front as one static picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mimar.errors import UnknownNameError
from mimar.objectives import Budget, complete_trials, front_trials
from mimar.report._axis import Axis, axis_over
from mimar.report._data import ReportData
from mimar.report._display import display_of, format_number
from mimar.report._marks import FAINT, GRID, INK, SOFT, dot, label, line, picture, shade

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 64, 60
LETTER = 7.8
"""Pixels that a letter of a name takes, a little more than most."""

_FRONT, BOUND, _FAMILIAR = "#0b6bb5", "#b3261e", "#7a3e9d"


@dataclass(frozen=True, slots=True)
class _Frame:
    """Two metrics and the rectangle they are drawn in; points are in pixels."""

    x: str
    y: str
    across: Axis
    up: Axis

    def point(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        return self.left(_shown(self.x, metrics[self.x])), self.top(_shown(self.y, metrics[self.y]))

    def left(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * self.across.place(value)

    def top(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self.up.place(value)


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
    frame = _Frame(x, y, *(_axis(data, name, [*done, *familiar.values()]) for name in (x, y)))
    title = f"Pareto front: {display_of(y).label} against {display_of(x).label}"
    marks = [
        *_grid(frame),
        *(mark for budget in data.budgets for mark in _bound(frame, budget)),
        *(dot(frame.point(metrics), 3, FAINT, 0.5) for metrics in done),
        *_stairs(frame, data, members),
        *(dot(frame.point(metrics), 5.5, _FRONT, 1) for metrics in members),
        *_known_shapes(frame, familiar),
        *_legend(len(members), len(done)),
    ]
    return picture(title, (WIDTH, HEIGHT), marks)


def _axis(data: ReportData, metric: str, points: Sequence[Mapping[str, float]]) -> Axis:
    limits = [budget.limit for budget in data.budgets if budget.metric == metric]
    values = [*(metrics[metric] for metrics in points), *limits]
    return axis_over(_shown(metric, value) for value in values)


def _shown(metric: str, value: float) -> float:
    return value * display_of(metric).scale


def _grid(frame: _Frame) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    marks: list[str] = []
    for value in frame.across.ticks():
        place = frame.left(value)
        marks.append(line((place, TOP), (place, bottom), GRID))
        marks.append(label(format_number(value), (place, bottom + 20), SOFT, "middle"))
    for value in frame.up.ticks():
        place = frame.top(value)
        marks.append(line((LEFT, place), (right, place), GRID))
        marks.append(label(format_number(value), (LEFT - 10, place + 5), SOFT, "end"))
    middle = (TOP + bottom) / 2
    turned = f'transform="rotate(-90 20 {middle})"'
    return [
        *marks,
        label(display_of(frame.x).title, ((LEFT + right) / 2, HEIGHT - 14), INK, "middle"),
        label(display_of(frame.y).title, (20, middle), INK, "middle", turned),
    ]


def _bound(frame: _Frame, budget: Budget) -> list[str]:
    """The forbidden side shaded, its edge dashed; nothing for a budget on another metric."""
    limit = _shown(budget.metric, budget.limit)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    marks: list[str] = []
    if budget.metric == frame.x:
        edge = frame.left(limit)
        start, end = (edge, right) if budget.kind == "max" else (LEFT, edge)
        marks += [shade((start, TOP), (end, bottom), BOUND), line((edge, TOP), (edge, bottom), BOUND, "6 4")]
    if budget.metric == frame.y:
        edge = frame.top(limit)
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


def _known_shapes(frame: _Frame, familiar: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Diamonds, and their names where they hide neither each other nor a diamond, if there is such a place."""
    points = {name: frame.point(metrics) for name, metrics in familiar.items()}
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in points.values()]
    marks = [f'<path d="M{x:.1f},{y - 7:.1f}l7,7l-7,7l-7,-7z" fill="{_FAMILIAR}"/>' for x, y in points.values()]
    halo = 'stroke="#ffffff" stroke-width="4" paint-order="stroke"'  # keeps the name legible over dots
    for name, (x, y) in points.items():
        half = LETTER * len(name) / 2
        inwards = min(max(x, LEFT + half), WIDTH - RIGHT - half)
        middles = [(inwards, y + 22), (inwards, y - 12), (x + 12 + half, y + 5), (x - 12 - half, y + 5)]
        boxes = {(left, low): (left - half, low - 13, left + half, low + 3) for left, low in middles}
        free = [at for at, box in boxes.items() if _inside(box) and not any(_overlap(box, each) for each in taken)]
        at = free[0] if free else middles[0]
        taken.append(boxes[at])
        marks.append(label(name, at, _FAMILIAR, "middle", halo))
    return marks


Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


def _inside(box: Box) -> bool:
    return box[0] >= LEFT and box[1] >= TOP and box[2] <= WIDTH - RIGHT and box[3] <= HEIGHT - BOTTOM


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


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
