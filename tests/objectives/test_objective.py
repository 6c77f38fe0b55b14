"""Objectives, budgets and the evaluator of `design`."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mimar.objectives
from mimar.objectives import Budget, DesignEvaluator, Evaluator, Objective, losses

positive = st.floats(1e-3, 1e9)


def test_losses_are_to_be_minimised():
    objectives = (Objective("score", "max"), Objective("params", "min"))
    points = losses([{"params": 5.0, "score": 2.0, "extra": 1.0}, {"params": 3.0, "score": 1.0}], objectives)
    assert points.tolist() == [[-2.0, 5.0], [-1.0, 3.0]]
    assert losses([], objectives).shape == (0, 2)


@given(kind=st.sampled_from(["min", "max"]), limit=positive, value=positive)
def test_a_budget_is_broken_exactly_where_there_is_an_excess(kind, limit, value):
    budget = Budget("latency", kind, limit)
    broken, excess = budget.broken({"latency": value}), budget.excess({"latency": value})
    assert (broken is None) is (value <= limit if kind == "max" else value >= limit)
    assert excess >= 0
    assert (excess == 0) is (broken is None) or value == pytest.approx(limit)


def test_a_broken_budget_says_what_it_is_and_what_came():
    assert Budget("params", "max", 30e6).broken({"params": 4.2e7}) == (
        "over budget: params must be at most 3e+07, got 4.2e+07"
    )
    assert "at least 40" in str(Budget("tokens_per_second", "min", 40).broken({"tokens_per_second": 10}))
    assert Budget("tokens_per_second", "min", 40).excess({"tokens_per_second": 0.0}) > 1e6


def test_the_design_evaluator_joins_hardware_and_score():
    evaluator: Evaluator = DesignEvaluator(hardware=lambda arch: {"params": 2.0 * arch}, score=lambda arch: arch + 0.5)
    assert evaluator.evaluate(4) == {"params": 8.0, "score": 4.5}


def test_the_design_evaluator_hears_of_candidates_beforehand():
    told = []
    DesignEvaluator(lambda _: {"a": 1.0}, lambda _: 2.0).prepare([1, 2])
    DesignEvaluator(lambda _: {"a": 1.0}, lambda _: 2.0, told.append).prepare([1, 2])
    assert told == [[1, 2]]


def test_every_exported_evaluator_is_tested_here():
    evaluators = {
        name
        for name in mimar.objectives.__all__
        if inspect.isclass(value := getattr(mimar.objectives, name)) and hasattr(value, "evaluate")
    }
    assert evaluators - {"Evaluator"} == {"DesignEvaluator"}
    assert np.isfinite(list(DesignEvaluator(lambda _: {"a": 1.0}, lambda _: 2.0).evaluate(0).values())).all()
