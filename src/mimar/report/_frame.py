"""Two axes and the rectangle between them."""

from __future__ import annotations

from dataclasses import dataclass

from mimar.report._axis import Axis
from mimar.report._display import format_number
from mimar.report._marks import GRID, INK, SOFT, label, line

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Values on two axes → pixels in a box."""

    across: Axis
    up: Axis
    box: Box

    def left(self, value: float) -> float:
        """Pixels from the left edge of the picture."""
        return self.box[0] + (self.box[2] - self.box[0]) * self.across.place(value)

    def top(self, value: float) -> float:
        """Pixels from its upper edge."""
        return self.box[3] - (self.box[3] - self.box[1]) * self.up.place(value)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Both."""
        return self.left(x), self.top(y)

    def grid(self, x: str, y: str) -> list[str]:
        """Lines at round values of both axes, with these values, and the names of the axes."""
        left, top, right, bottom = self.box
        marks = list[str]()
        for value in self.across.ticks():
            place = self.left(value)
            marks.append(line((place, top), (place, bottom), GRID))
            marks.append(label(format_number(value), (place, bottom + 20), SOFT, "middle"))
        for value in self.up.ticks():
            place = self.top(value)
            marks.append(line((left, place), (right, place), GRID))
            marks.append(label(format_number(value), (left - 10, place + 5), SOFT, "end"))
        middle = (top + bottom) / 2
        turned = f'transform="rotate(-90 20 {middle})"'
        return [
            *marks,
            label(x, ((left + right) / 2, bottom + 46), INK, "middle"),
            label(y, (20, middle), INK, "middle", turned),
        ]
