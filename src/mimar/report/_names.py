"""Named points: their names stand where they hide neither each other nor a point, if there is such a place."""

from __future__ import annotations

from collections.abc import Mapping

from mimar.report._frame import Box
from mimar.report._marks import label

LETTER = 7.8
"""Pixels that a letter of a name takes, a little more than most."""

Point = tuple[float, float]


def diamonds(points: Mapping[str, Point], frame: Box, fill: str) -> list[str]:
    """A diamond at each point, in pixels, and its name inside `frame`."""
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in points.values()]
    marks = [f'<path d="M{x:.1f},{y - 7:.1f}l7,7l-7,7l-7,-7z" fill="{fill}"/>' for x, y in points.values()]
    halo = 'stroke="#ffffff" stroke-width="4" paint-order="stroke"'  # keeps the name legible over dots
    for name, (x, y) in points.items():
        half = LETTER * len(name) / 2
        inwards = min(max(x, frame[0] + half), frame[2] - half)
        middles = [(inwards, y + 22), (inwards, y - 12), (x + 12 + half, y + 5), (x - 12 - half, y + 5)]
        boxes = {(left, low): (left - half, low - 13, left + half, low + 3) for left, low in middles}
        free = [
            at for at, box in boxes.items() if _inside(box, frame) and not any(_overlap(box, each) for each in taken)
        ]
        at = free[0] if free else middles[0]
        taken.append(boxes[at])
        marks.append(label(name, at, fill, "middle", halo))
    return marks


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
