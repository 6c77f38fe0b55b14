"""Choices of any space → numeric features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimar.space import Choice, are_numbers

ONE_HOT = 8
"""Numbers with at most this many choices are treated as words: few levels need no assumption about their shape."""


@dataclass(frozen=True)
class Features:
    """Encoder of a space's choices: words and numbers of few choices one-hot, other numbers as log(1 + x), squared too.

    variables: name → choices, as `SearchSpace.variables` gives them.
    """

    variables: Mapping[str, tuple[Choice, ...]]

    def encode(self, rows: Sequence[Mapping[str, Choice]]) -> NDArray[np.float64]:
        """Feature matrix, shape (n rows, number of features)."""
        columns: list[NDArray[np.float64]] = []
        for name, options in self.variables.items():
            values = [row[name] for row in rows]
            if len(options) <= ONE_HOT or not are_numbers(options):
                columns += [np.asarray([value == option for value in values], dtype=np.float64) for option in options]
            else:
                scale = max(abs(np.log1p(float(option))) for option in options)
                column = np.log1p(np.asarray(values, dtype=np.float64)) / scale
                columns += [column, column**2]
        return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0))
