"""One axis of a picture: its range, its scale, its ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_WIDE = 8
"""Values that span more than this factor are read better on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of shown values, low < high; logarithmic when `log`, both ends then above 0."""

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        return (self._bent(value) - self._bent(self.low)) / (self._bent(self.high) - self._bent(self.low))

    def ticks(self) -> list[float]:
        """Round values inside the range: 1, 2, 5 × 10ⁿ on a logarithmic axis, else at most seven even steps."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        else:
            step = _round_step((self.high - self.low) / 6)
            first = math.ceil(self.low / step)
            found = [n * step for n in range(first, first + 12)]
        return [value for value in found if self.low <= value <= self.high]

    def _bent(self, value: float) -> float:
        return math.log10(value) if self.log else value


MARGIN = 0.06
"""Of the length of an axis, at each end."""


def axis_over(values: Iterable[float]) -> Axis:
    """The axis that holds all `values` with a margin at each end; 0 to 1 when there are none."""
    kept = [value for value in values if math.isfinite(value)]
    if not kept:
        return Axis(0.0, 1.0, log=False)
    low, high = min(kept), max(kept)
    if low > 0 and high > _WIDE * low:
        room = (high / low) ** MARGIN
        return Axis(low / room, high * room, log=True)
    room = (high - low) * MARGIN or abs(low) * 0.1 or 1.0
    return Axis(low - room, high + room, log=False)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
