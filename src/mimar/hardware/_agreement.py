"""How well predictions agree with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError


@dataclass(frozen=True, slots=True)
class Agreement:
    """Predictions against truth: median and largest |predicted / true − 1|, Spearman's ρ, over n values."""

    n: int
    median_error: float
    largest_error: float
    spearman: float


def agreement(
    predicted: Sequence[float] | NDArray[np.float64], true: Sequence[float] | NDArray[np.float64]
) -> Agreement:
    """`InputError` with fewer than two values."""
    from scipy.stats import spearmanr

    if len(true) < 2 or len(predicted) != len(true):
        raise InputError(f"expected two or more values and as many predictions, got {len(true)} and {len(predicted)}")
    errors = abs(np.asarray(predicted) / np.asarray(true) - 1)
    ranks = np.asarray(spearmanr(predicted, true))[0]
    return Agreement(len(true), float(np.median(errors)), float(errors.max()), float(ranks))
