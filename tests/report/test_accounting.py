"""Accounting identities: nothing is lost between operators, and credit is the hypervolume."""

from dataclasses import asdict

import numpy as np
import pytest

from mimar.objectives import losses
from mimar.pareto import Reference
from mimar.report import hypervolume_curve, operator_accounting, operator_shares, rejection_counts
from mimar.trial import Proposal, Trial


def points_of(data):
    return losses([trial.metrics for trial in data.trials if trial.status == "complete"], data.objectives)


def test_credits_sum_to_the_final_hypervolume(data):
    rows = operator_accounting(data.trials, data.objectives, data.reference)
    final = data.reference.hypervolume(points_of(data))
    assert final > 0
    assert sum(row.credit for row in rows) == pytest.approx(final, rel=1e-9)
    assert all(row.credit >= 0 for row in rows)


def test_shares_sum_to_one_and_counts_to_all_trials(data):
    rows = operator_accounting(data.trials, data.objectives, data.reference)
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    assert all(row.proposed == row.evaluated + row.invalid + row.failed for row in rows)
    assert sum(row.proposed for row in rows) == len(data.trials)
    assert {row.origin for row in rows} == {"random", "mutation", "crossover", "llm"}
    for status, field in (("invalid", "invalid"), ("failed", "failed"), ("complete", "evaluated")):
        wanted = sum(trial.status == status for trial in data.trials)
        assert wanted > 0
        assert sum(getattr(row, field) for row in rows) == wanted


def test_json_form_is_the_row_without_its_key(data):
    row = operator_accounting(data.trials, data.objectives, data.reference)[0]
    assert {"origin": row.origin, **row.to_json()} == asdict(row)


def test_curve_never_falls_and_ends_at_the_hypervolume(data):
    curve = hypervolume_curve(data.trials, data.objectives, data.reference)
    points = points_of(data)
    assert curve.shape == (len(points),)
    assert np.all(np.diff(curve) >= 0)
    for n in (1, 7, len(points)):
        assert curve[n - 1] == pytest.approx(data.reference.hypervolume(points[:n]), rel=1e-9)


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_gains_are_the_steps_of_the_hypervolume_also_with_ties(columns):
    points = np.round(np.random.default_rng(columns).uniform(-0.2, 1.2, (150, columns)), 1)
    frame = Reference((1.0,) * columns, (0.0,) * columns)
    volumes = [frame.hypervolume(points[:n]) for n in range(len(points) + 1)]
    np.testing.assert_allclose(frame.gains(points), np.diff(volumes), atol=1e-12)


def test_shares_of_each_stretch_sum_to_one(data):
    ends, shares = operator_shares(data.trials, 7)
    assert len(ends) == 7
    assert ends[-1] == len(points_of(data))
    np.testing.assert_allclose(np.sum(list(shares.values()), axis=0), 1.0)
    assert operator_shares(data.trials[:1], 40)[0] == [1]


def test_rejections_are_counted_by_rule(data):
    counts = rejection_counts(data.trials)
    assert counts == {"over budget: params must be at most 3e+07": 40, "the score is not finite": 8}
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_one_proposal_counts_once_for_a_rule_it_breaks_twice():
    reasons = ("layer 1: no", "layer 2: no", "y" * 5000)
    trial = Trial(0, Proposal(None, "llm", reasons=reasons), "invalid", reasons=reasons)
    assert rejection_counts([trial]) == {"no": 1, "y" * 160: 1}


def test_nothing_evaluated(data):
    rejected = [trial for trial in data.trials if trial.status != "complete"]
    rows = operator_accounting(rejected, data.objectives, data.reference)
    assert {(row.share, row.credit, row.evaluated, row.on_front) for row in rows} == {(0.0, 0.0, 0, 0)}
    assert operator_accounting([], data.objectives, data.reference) == []
    assert hypervolume_curve([], data.objectives, data.reference).shape == (0,)
    assert operator_shares([], 5) == ([], {})
