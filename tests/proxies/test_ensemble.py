"""The ensemble, its standardiser, and ZeroLM's α."""

import json
from itertools import combinations

import numpy as np
import pytest

from mimar.errors import InputError
from mimar.proxies import (
    RZ_NAS_MEMBERS,
    DecoderSubject,
    Ensemble,
    Standardiser,
    decoder_inputs,
    depth_width,
    fit_alpha,
    fit_standardiser,
    hpm,
    rz_nas_ensemble,
    score_population,
    spectrum,
)
from mimar.testing._proxy_contract import PROBE_ARCHITECTURES

ARCHITECTURES = [PROBE_ARCHITECTURES[label] for label in ("multi_head", "moe", "deep", "no_feed_forward", "sinusoidal")]


def test_rz_nas_is_the_weighted_sum_of_z_scores():
    standardiser = fit_standardiser(RZ_NAS_MEMBERS, ARCHITECTURES, seed=4)
    scores = np.array([score_population(member, ARCHITECTURES, seed=4) for member in RZ_NAS_MEMBERS])
    z = (scores - scores.mean(axis=1, keepdims=True)) / scores.std(axis=1, keepdims=True)
    expected = np.array([0.30, 0.25, 0.20, 0.25]) @ z
    assert [m.name for m in RZ_NAS_MEMBERS] == ["synflow", "ntk", "spectrum", "parameter_efficiency"]
    assert score_population(rz_nas_ensemble(standardiser), ARCHITECTURES, seed=4) == pytest.approx(expected)


def counted(calls):
    """A member that counts how often it is asked, and what it was told beforehand."""

    class Counted:
        name, needs, cost, higher_is_better, source = "counted", frozenset({"shapes"}), "language model", True, "test"

        def prepare(self, subjects):
            calls.append(("told", len(subjects)))

        def __call__(self, inputs):
            calls.append(("asked", 1))
            return float(inputs.shapes.params)

    return Counted()


def test_a_judge_joins_with_its_weight():
    calls = []
    standardiser = fit_standardiser((*RZ_NAS_MEMBERS, judge := counted(calls)), ARCHITECTURES, seed=4)
    plain = score_population(rz_nas_ensemble(standardiser), ARCHITECTURES, seed=4)
    params = np.array([decoder_inputs(arch).shapes.params for arch in ARCHITECTURES])
    z = (params - params.mean()) / params.std()
    for weight in (0.3, 1.0):
        joined = rz_nas_ensemble(standardiser, judge, weight)
        assert (joined.weights[-1], joined.cost) == (weight, "language model")
        assert score_population(joined, ARCHITECTURES, seed=4) == pytest.approx(plain + weight * z)


def test_a_judge_without_weight_is_neither_told_nor_asked():
    calls = []
    standardiser = fit_standardiser(RZ_NAS_MEMBERS, ARCHITECTURES, seed=4)
    without = rz_nas_ensemble(standardiser, counted(calls), 0.0)
    assert without == rz_nas_ensemble(standardiser)
    assert calls == []


def test_members_are_told_what_comes():
    calls = []
    judge = counted(calls)
    standardiser = fit_standardiser((hpm, judge), ARCHITECTURES, seed=4)
    assert calls[0] == ("told", len(ARCHITECTURES))
    calls.clear()
    Ensemble("two", (hpm, judge), (1.0, 1.0), standardiser, "test").prepare(
        [DecoderSubject(arch) for arch in ARCHITECTURES[:3]]
    )
    assert calls == [("told", 3)]


def test_ensemble_needs_what_its_members_need():
    standardiser = Standardiser({"hpm": (0.0, 1.0), "spectrum": (0.0, 1.0)})
    both = Ensemble("both", (hpm, spectrum), (1.0, 1.0), standardiser, "test")
    assert both.needs == {"shapes", "weights", "data"}
    assert both.cost == "forward"


def test_reference_survives_json():
    standardiser = fit_standardiser((hpm, depth_width), ARCHITECTURES, seed=0)
    assert Standardiser.from_json(json.loads(json.dumps(standardiser.to_json()))) == standardiser


@pytest.mark.parametrize("data", [None, [], {"hpm": 3}, {"hpm": {"mean": 1}}, {"hpm": {"mean": "much", "std": 1}}])
def test_damaged_reference_is_refused(data):
    with pytest.raises(InputError, match="fit_standardiser"):
        Standardiser.from_json(data)


def test_member_without_spread_counts_nothing():
    standardiser = fit_standardiser((hpm, depth_width), [ARCHITECTURES[0], ARCHITECTURES[3]], seed=0)
    assert standardiser.moments["depth_width"] == (128.0, 0.0)
    ensemble = Ensemble("two", (hpm, depth_width), (1.0, 5.0), standardiser, "test")
    deep = decoder_inputs(PROBE_ARCHITECTURES["deep"])
    assert ensemble(deep) == pytest.approx(standardiser.z("hpm", hpm(deep)))


def test_ill_made_ensembles_are_refused():
    standardiser = Standardiser({"hpm": (0.0, 1.0)})
    with pytest.raises(InputError, match="one weight for each member, got 1 and 2"):
        Ensemble("bad", (hpm,), (1.0, 2.0), standardiser, "test")
    with pytest.raises(InputError, match="lacks depth_width"):
        Ensemble("bad", (hpm, depth_width), (1.0, 2.0), standardiser, "test")
    with pytest.raises(InputError, match="at least 2 architectures"):
        fit_standardiser((hpm,), ARCHITECTURES[:1], seed=0)


def test_ragged_batch_is_refused():
    with pytest.raises(InputError, match=r"lengths \[2, 3\]"):
        spectrum(decoder_inputs(ARCHITECTURES[0], token_ids=((1, 2, 3), (1, 2))))
    with pytest.raises(InputError, match=r"lengths \[\]"):
        spectrum(decoder_inputs(ARCHITECTURES[0], token_ids=()))


def slow_tau(a, b):
    """Kendall τ-b by counting pairs."""
    signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in combinations(range(len(a)), 2)]
    pairs = sum(x * y for x, y in signs)
    return pairs / np.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs))


@pytest.mark.parametrize("truth", [0.7, -0.9, 1.3])
def test_fit_alpha_is_the_mean_of_the_best_two(truth):
    rng = np.random.default_rng(0)
    parts = rng.integers(1, 60, (40, 2)).astype(float)
    labels = truth * parts[:, 0] + (1 - truth) * parts[:, 1] + rng.normal(0, 6, 40)
    grid = [step / 10 for step in range(-15, 16)]
    strength = {a: abs(slow_tau(a * parts[:, 0] + (1 - a) * parts[:, 1], labels)) for a in grid}
    best = sorted(grid, key=lambda a: -strength[a])[:2]
    assert fit_alpha(parts, labels) == pytest.approx(sum(best) / 2)
    assert abs(fit_alpha(parts, labels) - truth) < 0.25


def test_fit_alpha_refuses_what_says_nothing():
    with pytest.raises(InputError, match="not all equal"):
        fit_alpha(np.ones((5, 2)), np.ones(5))
    with pytest.raises(InputError, match="shape"):
        fit_alpha(np.ones((5, 3)), np.arange(5.0))
