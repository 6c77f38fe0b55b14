"""Strengths from rankings, and what rankings of one list say of who gave them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import kendalltau

from mimar.proxies.judge import Ballots, strengths
from mimar.proxies.judge._strength import GAMES, PRIOR_DEVIATION, kendall, placed


def rankings(count, most=4):
    whole = st.permutations(range(count))
    cut = st.tuples(whole, st.integers(2, count)).map(lambda pair: tuple(pair[0][: pair[1]]))
    return st.lists(cut, min_size=1, max_size=most)


def log_posterior(values, rates):
    """Of the model that `_strength` states, written out pair by pair."""
    total = -sum(value**2 for value in values) / (2 * PRIOR_DEVIATION**2)
    for i in range(len(values)):
        for j in range(len(values)):
            if i != j and np.isfinite(rates[i, j]):
                total -= GAMES * rates[i, j] * np.log1p(np.exp(values[j] - values[i]))
    return total


@given(rankings(5))
def test_strengths_are_the_most_probable_ones(found):
    rates = Ballots(5, tuple(found)).rates()
    best = minimize(lambda values: -log_posterior(values, rates), np.zeros(5), tol=1e-9).x
    assert strengths(rates) == pytest.approx(best, abs=1e-3)


@given(rankings(6), st.lists(st.floats(-5, 5), min_size=5, max_size=5))
def test_a_place_among_anchors_is_the_most_probable_one(found, anchors):
    rates, fixed = Ballots(6, tuple(found)).rates(), np.array(anchors)
    value = placed(rates[5, :5], fixed)
    if not np.isfinite(rates[5, :5]).any():
        assert value is None
        return
    alone = rates.copy()
    alone[:5, :5] = np.nan
    grid = [value + step for step in (-0.01, 0.0, 0.01)]
    assert np.argmax([log_posterior([*fixed, each], alone) for each in grid]) == 1


@given(st.permutations(range(20)))
def test_answers_that_agree_give_their_order(order):
    found = strengths(Ballots(20, (tuple(order),) * 3).rates())
    assert sorted(range(20), key=lambda place: -found[place]) == list(order)
    assert np.isfinite(found).all()


def test_a_lost_answer_changes_no_scale():
    one, three = (strengths(Ballots(6, (tuple(range(6)),) * answers).rates()) for answers in (1, 3))
    assert one == pytest.approx(three)


def test_what_was_never_compared_has_no_strength():
    found = strengths(Ballots(4, ((0, 1, 2),)).rates())
    assert found[0] > found[1] > found[2]
    assert found[3] == 0


@given(st.lists(st.integers(0, 4), min_size=4, max_size=9), st.randoms())
def test_kendall_is_that_of_scipy(values, random):
    other = [random.randint(0, 4) for _ in values]
    expected = kendalltau(values, other)[0]
    found = kendall(values, other)
    assert (found is None) if np.isnan(expected) else found == pytest.approx(expected)


def test_consistency_is_the_mean_tau_of_each_two_answers():
    up, down = (0, 1, 2, 3), (3, 2, 1, 0)
    assert Ballots(4, (up, up, up)).consistency == 1
    assert Ballots(4, (up, down)).consistency == -1
    assert Ballots(4, (up, up, down)).consistency == pytest.approx(-1 / 3)
    assert Ballots(4, (up, (2, 0, 1))).consistency == pytest.approx(-1 / 3)  # over the three that both rank
    for too_little in ((), (up,), (up, (3, 1))):
        assert (Ballots(4, too_little).consistency, Ballots(4, too_little).chance) == (None, None)


@pytest.mark.parametrize(("count", "shown"), [(12, 12), (16, 16), (16, 10)])
def test_random_answers_exceed_chance_in_about_one_of_a_hundred_cases(count, shown):
    rng = np.random.default_rng(count)
    drawn = [Ballots(count, tuple(tuple(rng.permutation(count)[:shown]) for _ in range(3))) for _ in range(800)]
    share = np.mean([ballots.consistency > ballots.chance for ballots in drawn])
    assert 0.001 < share < 0.03
