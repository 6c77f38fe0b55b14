"""Every measure against a slow one that counts."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from mimar.bench import Truth, TruthRow, measure
from mimar.bench._measures import (
    bootstrap_interval,
    regret_iso,
    rho,
    size_bins,
    tau,
    tau_added,
    tau_iso,
    tau_within,
    top_overlap,
)
from mimar.proxies import DecoderSubject
from mimar.testing._proxy_contract import PROBE_ARCHITECTURES

SUBJECT = DecoderSubject(next(iter(PROBE_ARCHITECTURES.values())))
columns = st.integers(5, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-4, 4).map(float), min_size=n, max_size=n)] * 2)
)


def slow_tau(a, b):
    signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in combinations(range(len(a)), 2)]
    norm = np.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs))
    return sum(x * y for x, y in signs) / norm if norm else None


def truth_of(labels, sizes, cells=None, *, higher=True, bin_size=5):
    cells = cells or [None] * len(labels)
    rows = tuple(
        TruthRow(str(i), SUBJECT, float(label), float(size), cell)
        for i, (label, size, cell) in enumerate(zip(labels, sizes, cells, strict=True))
    )
    return Truth("made_up", rows, "score", higher, bin_size, "any")


@given(columns)
@settings(deadline=None, max_examples=50)
def test_tau_and_rho(pair):
    a, b = map(np.array, pair)
    assert tau(a, b) == (None if slow_tau(a, b) is None else pytest.approx(slow_tau(a, b)))
    if np.ptp(a) and np.ptp(b):
        assert rho(a, b) == pytest.approx(spearmanr(a, b).statistic)
    else:
        assert rho(a, b) is None


@pytest.mark.parametrize("seed", range(6))
def test_what_a_score_adds_is_the_partial_correlation_of_pair_orders(seed):
    """Kendall's partial τ is the partial correlation of the signs of all pairs, where no values are equal."""
    rng = np.random.default_rng(seed)
    scores, goodness, given = rng.permuted(np.tile(np.arange(15.0), (3, 1)), axis=1)
    signs = [np.sign(np.subtract.outer(side, side))[np.triu_indices(15, 1)] for side in (scores, goodness, given)]
    mine, truth, other = (side / np.linalg.norm(side) for side in signs)
    rest, left = mine - (mine @ other) * other, truth - (truth @ other) * other
    expected = rest @ left / np.linalg.norm(rest) / np.linalg.norm(left)
    assert tau_added(scores, goodness, given, [np.arange(15)]) == pytest.approx(expected)


def test_a_score_adds_nothing_to_itself_and_all_to_one_that_says_nothing():
    rng = np.random.default_rng(0)
    scores, goodness = rng.normal(size=(2, 20))
    bins = [np.arange(10), np.arange(10, 20)]
    assert tau_added(scores, goodness, scores, bins) == 0
    assert tau_added(scores, goodness, -scores, bins) == 0
    assert tau_added(np.ones(20), goodness, scores, bins) == 0
    assert tau_added(scores, goodness, np.ones(20), bins) == pytest.approx(tau_iso(scores, goodness, bins))
    assert tau_added(scores + 9 * goodness, goodness, scores, bins) > 0.5


@pytest.mark.parametrize("seed", range(8))
def test_pick_and_top_are_means_over_all_ways_to_break_ties(seed):
    """As many random orders of equal rows give on average; here all rows are in one bin."""
    rng = np.random.default_rng(seed)
    scores, goodness = rng.integers(-2, 3, (2, 12 + 5 * seed)) + 9.0
    best = goodness.max()
    picks = [100 * (best - g) / best for s, g in zip(scores, goodness, strict=True) if s == scores.max()]
    assert regret_iso(scores, goodness, [np.arange(len(scores))]) == pytest.approx(np.mean(picks))
    count, overlaps = round(len(scores) / 10), []
    for _ in range(1000):
        mine, theirs = (
            sorted(rng.permutation(len(side)), key=side.__getitem__)[-count:] for side in (scores, goodness)
        )
        overlaps.append(len(set(mine) & set(theirs)) / count)
    assert top_overlap(scores, goodness) == pytest.approx(
        np.mean(overlaps), abs=4 * np.std(overlaps) / 1000**0.5 + 1e-9
    )


def test_the_order_of_rows_decides_nothing_where_sizes_differ():
    rng = np.random.default_rng(0)
    labels, scores, sizes = rng.integers(1, 5, 60), rng.integers(0, 4, 60).astype(float), rng.permutation(60)
    cells = [(int(c), 64) for c in rng.integers(0, 3, 60)]
    shuffled = rng.permutation(60)
    one = measure(truth_of(labels, sizes, cells), scores)
    other = measure(truth_of(labels[shuffled], sizes[shuffled], [cells[i] for i in shuffled]), scores[shuffled])
    for name in ("tau", "rho", "tau_within", "tau_iso", "regret_iso", "top10_overlap"):
        assert getattr(one, name) == pytest.approx(getattr(other, name)), name


def test_signs_count_and_lower_can_be_better():
    labels = np.arange(1.0, 41.0)
    best = measure(truth_of(labels, labels), labels)
    assert (best.tau, best.rho, best.tau_iso, best.regret_iso, best.top10_overlap) == pytest.approx((1, 1, 1, 0, 1))
    worst = measure(truth_of(labels, labels, higher=False), labels)
    assert (worst.tau, worst.rho, worst.tau_iso, worst.top10_overlap) == pytest.approx((-1, -1, -1, 0))
    lost = [100 * 4 / low for low in labels[::5]]  # each bin of five: the largest is picked, the smallest is best
    assert worst.regret_iso == pytest.approx(np.mean(lost))


def test_a_score_that_says_nothing():
    labels = np.arange(1.0, 21.0)
    flat = measure(truth_of(labels, labels, [(2, 64)] * 20), np.zeros(20))
    assert (flat.tau, flat.rho, flat.tau_within, flat.ci95) == (None, None, None, None)
    assert flat.tau_iso == 0
    assert flat.top10_overlap == pytest.approx(0.1)


def test_within_cells_are_weighted_by_rows_and_small_ones_left_out():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 24))
    cells = [(2, 64)] * 5 + [(2, 128)] * 12 + [(4, 64)] * 4 + [None] * 3
    expected = (5 * kendalltau(a[:5], b[:5])[0] + 12 * kendalltau(a[5:17], b[5:17])[0]) / 17
    assert tau_within(a, b, cells) == pytest.approx(expected)
    assert tau_within(a, b, [(0, 0)] * 4 + [None] * 20) is None


def test_bins_are_equal_in_count_and_ordered_by_size():
    sizes = np.random.default_rng(2).integers(0, 9, 47).astype(float)
    bins = size_bins(sizes, 10)
    assert sorted(map(len, bins)) == [11, 12, 12, 12]
    assert np.all(np.diff(sizes[np.concatenate(bins)]) >= 0)
    assert len(size_bins(sizes, 100)) == 1


def test_a_bin_without_order_counts_nothing():
    goodness = np.array([1.0, 2, 3, 4, 5, 6])
    scores = np.array([1.0, 2, 3, 7, 7, 7])
    assert tau_iso(scores, goodness, size_bins(goodness, 3)) == pytest.approx(0.5)


def test_noise_in_the_last_digits_is_no_order():
    labels = np.arange(1.0, 31.0)
    scores = 3.7 + np.random.default_rng(0).normal(size=30) * 1e-15
    assert measure(truth_of(labels, labels), scores).tau is None
    assert measure(truth_of(labels, labels), -1e9 + labels).tau == 1


def test_the_interval_is_that_of_a_plain_bootstrap():
    rng = np.random.default_rng(3)
    a = rng.normal(size=60)
    b = a + rng.normal(size=60)
    draws = np.random.default_rng(9).integers(60, size=(2000, 60))
    expected = np.percentile([kendalltau(a[rows], b[rows])[0] for rows in draws], (2.5, 97.5))
    interval = bootstrap_interval(a, b)
    assert interval == pytest.approx(expected, abs=0.04)
    assert interval[0] < tau(a, b) < interval[1]
    assert bootstrap_interval(a, b) == interval
