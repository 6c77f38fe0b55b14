"""Strengths from rankings: the model of Bradley and Terry (Rank analysis of incomplete block designs, 1952).

That a beats b has the probability 1 / (1 + e^(b − a)) of their strengths a and b. A ranking counts as one comparison
for each pair of what it ranks. A normal prior keeps a network that beat all others finite, and one never compared at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PRIOR_DEVIATION = 3.0
"""Standard deviation of the prior, in units of strength."""

GAMES = 3.0
"""Comparisons that a pair counts for, however many rankings its rate comes from: a lost answer changes no scale."""

FEWEST_SHARED = 3
"""Networks that two rankings must share for their agreement to be looked at."""

CHANCE_DEVIATIONS = 2.326
"""Standard deviations above its mean that a normal variable exceeds in one of 100 cases."""

_STEPS = 200
_REACH = 40.0


@dataclass(frozen=True, slots=True)
class Ballots:
    """What came of asking for one list several times.

    count: networks in the list. rankings: for each answer the places of networks, the best first; some may be missing.
    complaint: what was wrong with the last reply that could not be used.
    """

    count: int
    rankings: tuple[tuple[int, ...], ...]
    complaint: str = ""

    @property
    def consistency(self) -> float | None:
        """Mean Kendall τ between answers, over what both rank; None with fewer than two answers."""
        taus = [tau for tau, _ in self._agreements()]
        return float(np.mean(taus)) if taus else None

    @property
    def chance(self) -> float | None:
        """What the consistency of random answers exceeds in one of 100 cases; None where there is no consistency.

        By the normal limit: Kendall τ of two random orders of n has the variance 2 (2n + 5) / 9n (n − 1).
        """
        variances = [2 * (2 * n + 5) / (9 * n * (n - 1)) for _, n in self._agreements()]
        return CHANCE_DEVIATIONS * float(np.sqrt(sum(variances))) / len(variances) if variances else None

    def _agreements(self) -> list[tuple[float, int]]:
        """For each two answers Kendall τ over the networks that both rank, and how many these are."""
        found: list[tuple[float, int]] = []
        for a, b in combinations(self.rankings, 2):
            shared = [place for place in a if place in b]
            if len(shared) >= FEWEST_SHARED:
                tau = kendall(range(len(shared)), [b.index(place) for place in shared])
                found.append((tau or 0.0, len(shared)))
        return found

    def rates(self) -> Floats:
        """(count, count): the share of answers that rank one before the other, NaN where none ranks both."""
        wins = np.zeros((self.count, self.count))
        for ranking in self.rankings:
            for better, worse in combinations(ranking, 2):
                wins[better, worse] += 1
        seen = wins + wins.T
        return np.divide(wins, seen, out=np.full_like(wins, np.nan), where=seen > 0)


def strengths(rates: Floats) -> Floats:
    """The most probable strengths (n,) under the prior, from `Ballots.rates`."""
    count = len(rates)
    games = GAMES * np.isfinite(rates)
    won = games * np.nan_to_num(rates)
    found = np.zeros(count)
    for _ in range(_STEPS):
        expected = _chance(found[:, None] - found[None, :])
        slope = (won - games * expected).sum(axis=1) - found / PRIOR_DEVIATION**2
        weights = games * expected * (1 - expected)
        curvature = np.diag(weights.sum(axis=1) + PRIOR_DEVIATION**-2) - weights
        step = np.linalg.solve(curvature, slope)
        found = found + step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-10:
            break
    return found


def placed(rates: Floats, anchors: Floats) -> float | None:
    """The most probable strength of one network from its `rates` (n,) against `anchors` of known strengths (n,).

    Nothing else is looked at. None where it was compared with none of them.
    """
    compared = np.isfinite(rates)
    if not compared.any():
        return None
    low, high = -_REACH, _REACH
    for _ in range(_STEPS):  # the slope falls with the strength, so that halving finds its zero
        middle = (low + high) / 2
        surplus = GAMES * float((rates - _chance(middle - anchors))[compared].sum())
        low, high = (middle, high) if surplus > middle / PRIOR_DEVIATION**2 else (low, middle)
    return (low + high) / 2


def kendall(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> float | None:
    """Kendall τ-b of two lists of values; None where either is constant."""
    x, y = _signs(a), _signs(b)
    pairs = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / pairs if pairs else None


def _signs(values: Sequence[float] | Floats) -> Floats:
    listed = np.asarray(values, dtype=np.float64)
    return np.sign(listed[:, None] - listed[None, :])


def _chance(lead: Floats) -> Floats:
    return 1 / (1 + np.exp(-lead))
