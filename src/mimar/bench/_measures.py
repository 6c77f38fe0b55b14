"""How well scores rank measured architectures. Scores and goodness are both higher-is-better; signs count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimar.bench._truth import Truth

Floats = NDArray[np.float64]
Cell = tuple[int, int]

RESAMPLES = 250
SMALLEST_CELL = 5
_DIGITS = 12
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class Measures:
    """Agreement of one score with one truth; None where it is not defined.

    tau, rho: Kendall τ-b and Spearman ρ over all rows. ci95: bootstrap interval of `tau`.
    tau_within: τ-b inside cells of equal depth and width. tau_iso, regret_iso: τ-b and regret in percent of the pick
    inside bins of equal size. top10_overlap: share of the best tenth by score that is among the best tenth by result.
    tau_added: partial τ-b inside bins of equal size, another score being given: what this one adds to that one.
    """

    tau: float | None
    rho: float | None
    tau_within: float | None
    tau_iso: float | None
    regret_iso: float
    top10_overlap: float | None
    ci95: tuple[float, float] | None
    tau_added: float | None = None


def measure(truth: Truth, scores: ArrayLike, given: ArrayLike | None = None) -> Measures:
    """All measures of `scores` (n,) against the labels of `truth`; `tau_added` only where a score (n,) is given.

    Scores that differ by less than a part in 10¹² count as equal: sums of the same terms in another order do.
    """
    distinct = rounded(np.asarray(scores, dtype=np.float64))
    other = None if given is None else rounded(np.asarray(given, dtype=np.float64))
    labels = truth.labels
    goodness = labels if truth.higher_is_better else -labels
    bins = size_bins(truth.sizes, truth.bin_size)
    return Measures(
        tau=tau(distinct, goodness),
        rho=rho(distinct, goodness),
        tau_within=tau_within(distinct, goodness, [row.cell for row in truth.rows]),
        tau_iso=tau_iso(distinct, goodness, bins),
        regret_iso=regret_iso(distinct, goodness, bins),
        top10_overlap=top_overlap(distinct, goodness),
        ci95=bootstrap_interval(distinct, goodness),
        tau_added=None if other is None else tau_added(distinct, goodness, other, bins),
    )


def rounded(values: Floats) -> Floats:
    """Values to 12 significant digits."""
    scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values))))
    return np.round(values * scale) / scale


def tau(scores: Floats, goodness: Floats) -> float | None:
    """Kendall τ-b (Kendall, The Treatment of Ties in Ranking Problems, 1945); None where either side is constant."""
    from scipy.stats import kendalltau

    return _defined(cast("tuple[float, float]", kendalltau(scores, goodness))[0])


def rho(scores: Floats, goodness: Floats) -> float | None:
    """Spearman ρ: the correlation of mean ranks; None where either side is constant."""
    from scipy.stats import rankdata

    a, b = (np.asarray(rankdata(side)) - (len(side) + 1) / 2 for side in (scores, goodness))
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else None


def tau_within(scores: Floats, goodness: Floats, cells: Sequence[Cell | None]) -> float | None:
    """Mean τ-b of the cells with at least 5 rows, weighted by rows; cells where τ is not defined are left out."""
    members: defaultdict[Cell, list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        if cell is not None:
            members[cell].append(index)
    found = ((len(rows), tau(scores[rows], goodness[rows])) for rows in members.values() if len(rows) >= SMALLEST_CELL)
    known = [(rows, value) for rows, value in found if value is not None]
    return sum(rows * value for rows, value in known) / sum(rows for rows, _ in known) if known else None


def size_bins(sizes: Floats, bin_size: int) -> list[NDArray[np.intp]]:
    """Row numbers in bins of about `bin_size` rows, by ascending size; rows of one size stay in order."""
    order = np.argsort(sizes, kind="stable")
    return np.array_split(order, max(1, len(order) // bin_size))


def tau_iso(scores: Floats, goodness: Floats, bins: Iterable[NDArray[np.intp]]) -> float:
    """Mean τ-b of the bins; a bin in which the score does not tell architectures apart counts 0."""
    return float(np.mean([tau(scores[rows], goodness[rows]) or 0.0 for rows in bins]))


def tau_added(scores: Floats, goodness: Floats, given: Floats, bins: Iterable[NDArray[np.intp]]) -> float:
    """Mean over bins of Kendall's partial τ of scores and goodness, `given` held fixed (Kendall, Partial rank
    correlation, 1942); a bin where it is not defined counts 0. It tells by how much a second score can help a first.
    """
    return float(np.mean([_partial_tau(scores[rows], goodness[rows], given[rows]) for rows in bins]))


def _partial_tau(scores: Floats, goodness: Floats, given: Floats) -> float:
    direct, known, shared = tau(scores, goodness), tau(given, goodness), tau(scores, given)
    if direct is None:
        return 0.0
    if known is None or shared is None:  # what is given tells nothing apart
        return direct
    rest = (1 - known**2) * (1 - shared**2)
    return (direct - known * shared) / rest**0.5 if rest > _NOTHING else 0.0


def regret_iso(scores: Floats, goodness: Floats, bins: Iterable[NDArray[np.intp]]) -> float:
    """Mean over bins of what the pick, the row of the highest score, lacks to the best row, in percent of the best.

    Among rows of equal score each is as likely to be picked, so that the order of rows decides nothing.
    """
    found = [(goodness[rows].max(), goodness[rows[scores[rows] == scores[rows].max()]].mean()) for rows in bins]
    return float(np.mean([100 * (best - picked) / abs(best) if best else 0.0 for best, picked in found]))


def top_overlap(scores: Floats, goodness: Floats) -> float:
    """Share of the best tenth by score that is among the best tenth by result.

    Equal rows at the edge of a tenth share the places that are left there.
    """
    count = max(1, round(len(scores) / 10))
    return float(_places(scores, count) @ _places(goodness, count)) / count


def _places(values: Floats, count: int) -> Floats:
    """For each row its share in the `count` first places."""
    edge = np.partition(values, -count)[-count]
    above, at = values > edge, values == edge
    return above + at * ((count - above.sum()) / at.sum())


def bootstrap_interval(scores: Floats, goodness: Floats, resamples: int = RESAMPLES) -> tuple[float, float] | None:
    """2.5th and 97.5th percentile of τ-b over rows drawn with replacement, 250 times from a fixed seed.

    The percentile interval of Efron (1979). None where τ is not defined.
    """
    rng = np.random.default_rng(len(scores))
    found: list[float] = []
    for _ in range(resamples):
        rows = rng.integers(len(scores), size=len(scores))
        value = tau(scores[rows], goodness[rows])
        if value is not None:
            found.append(value)
    if not found:
        return None
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
