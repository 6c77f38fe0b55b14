"""Named lines over one axis as one static picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mimar.report._axis import axis_over
from mimar.report._frame import Frame
from mimar.report._marks import INK, dot, label, line, picture

WIDTH, HEIGHT = 860, 520
LEFT, TOP, BOTTOM = 78, 50, 60
LETTER = 8.8
"""Pixels that a letter of a name takes, a little more than most."""
LETTERS = 36
"""Most of a name that are shown."""
ROW = 17
"""Pixels between two names at the right edge."""

COLOURS = (
    "#0b6bb5", "#b3261e", "#2e7d32", "#7a3e9d", "#c77700", "#00838f", "#5d4037", "#ad1457", "#546e7a", "#9e9d24",
    "#283593", "#e64a19",
)  # fmt: skip

Point = tuple[float, float]


def lines_svg(title: str, x: str, y: str, lines: Mapping[str, Sequence[Point]]) -> str:
    """Each of `lines` through its points, named at its right end; `x` and `y` name the axes.

    An axis is logarithmic where its values span more than a factor of eight. Of points in a row at one height only the
    ends are drawn, and long names lose their middle.
    """
    points = [point for line_ in lines.values() for point in line_]
    across, up = (axis_over(point[i] for point in points) for i in (0, 1))
    shown = {name: _short(name) for name in lines}
    lines = {name: _bends(line_) for name, line_ in lines.items()}
    right, bottom = WIDTH - 30 - LETTER * max(map(len, shown.values()), default=0), HEIGHT - BOTTOM

    frame = Frame(across, up, (LEFT, TOP, right, bottom))

    def placed(point: Point) -> Point:
        return frame.point(*point)

    marks = [label(title, (LEFT, 30), INK), *frame.grid(x, y)]
    ends = {name: placed(line_[-1]) for name, line_ in lines.items() if line_}
    places = _apart({name: end[1] for name, end in ends.items()})
    for index, (name, end) in enumerate(ends.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = "L".join(f"{left:.1f},{top:.1f}" for left, top in map(placed, lines[name]))
        dashes = "none" if index < len(COLOURS) else "7 4"
        marks.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        marks += [dot(placed(point), 3, colour, 1) for point in lines[name]]
        marks.append(line(end, (right + 12, places[name] - 5), colour, "2 3"))
        marks.append(label(shown[name], (right + 16, places[name]), colour))
    return picture(title, (WIDTH, HEIGHT), marks)


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS // 2 - 1]}…{name[-LETTERS // 2 :]}"


def _bends(points: Sequence[Point]) -> list[Point]:
    """`points` without those that have neighbours of the same height on both sides."""
    last = len(points) - 1
    heights = [height for _, height in points]
    return [
        point for i, point in enumerate(points) if i in (0, last) or not heights[i - 1] == heights[i] == heights[i + 1]
    ]


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Heights moved so that names do not touch, in the same order: pushed down, then up from the lower edge."""
    found: dict[str, float] = {}
    lowest = TOP
    for name in sorted(heights, key=lambda name: heights[name]):
        found[name] = lowest = max(heights[name] + 5, lowest)
        lowest += ROW
    highest = HEIGHT - 10.0
    for name in reversed(list(found)):
        found[name] = min(found[name], highest)
        highest = found[name] - ROW
    return found
