"""The bandit that shares out candidates."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mimar.strategy import Bandit, Exchange

ARMS = ("mutation", "crossover", "screened", "random", "llm")
gains = st.dictionaries(st.sampled_from(ARMS), st.floats(0, 1e3))
costs = st.dictionaries(st.sampled_from(ARMS), st.just(0.0) | st.floats(1e-3, 1e3))


@given(updates=st.lists(st.tuples(gains, costs), max_size=8))
@example(updates=[({"mutation": 1.0}, {})])
@example(updates=[({"mutation": 5e-324}, {"mutation": 10.0})])
def test_shares_are_probabilities_and_none_falls_below_the_floor(updates):
    bandit = Bandit.among(ARMS)
    for gain, cost in updates:
        bandit = bandit.updated(gain, cost)
    shares = bandit.shares()
    assert tuple(shares) == ARMS
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) >= bandit.floor - 1e-12


def test_all_are_equal_at_first():
    assert Bandit.among(ARMS).shares() == pytest.approx(dict.fromkeys(ARMS, 0.2))


def test_a_trusted_operator_leads_until_others_gain_more():
    bandit = Bandit.among(ARMS, trusted="screened")
    assert bandit.shares()["screened"] > 0.9
    for _ in range(10):
        bandit = bandit.updated({"screened": 0.1, "llm": 0.3}, {"screened": 1.0, "llm": 1.0})
    assert bandit.shares()["llm"] > 0.6


def test_a_round_that_gains_nothing_teaches_nothing_yet():
    bandit = Bandit.among(ARMS, trusted="screened").updated({}, {"screened": 2.0})
    assert bandit.shares()["screened"] > 0.8
    for _ in range(20):
        bandit = bandit.updated({}, {"screened": 2.0})
    assert bandit.shares()["screened"] < 0.5


def test_the_share_follows_gain_per_cost():
    bandit = Bandit.among(("a", "b", "c")).updated({"a": 1.0, "b": 1.0}, {"a": 10.0, "b": 40.0, "c": 10.0})
    shares = bandit.shares()
    assert shares["a"] > shares["b"] > shares["c"]


def test_the_past_fades_so_that_a_share_can_be_won_back():
    bandit = Bandit.among(("a", "b")).updated({"a": 1.0}, {"a": 10.0, "b": 10.0})
    assert bandit.shares()["a"] > 0.8
    for _ in range(30):
        bandit = bandit.updated({"b": 0.1}, {"a": 1.0, "b": 1.0})
    assert bandit.shares()["b"] > 0.8


def test_one_lucky_candidate_decides_little():
    shares = Bandit.among(("a", "b")).updated({"a": 0.3}, {"a": 1.0, "b": 1.0}).shares()
    assert shares["a"] < 0.9


@given(n=st.integers(0, 30), seed=st.integers(0, 1000))
def test_all_candidates_are_allotted(n, seed):
    counts = Bandit.among(ARMS).allot(n, np.random.default_rng(seed))
    assert tuple(counts) == ARMS
    assert sum(counts.values()) == n
    assert min(counts.values()) >= 0


def test_the_allotment_follows_the_shares():
    bandit = Bandit.among(("a", "b")).updated({"a": 9.0, "b": 1.0}, {"a": 100.0, "b": 100.0})
    counts = bandit.allot(20_000, np.random.default_rng(0))
    assert counts["a"] / 20_000 == pytest.approx(bandit.shares()["a"], abs=0.02)


def test_tokens_and_dollars_are_exchanged_for_evaluations():
    assert Exchange(tokens=500, dollars=0.02).cost(3, 1000, 0.05) == pytest.approx(3 + 2 + 2.5)
