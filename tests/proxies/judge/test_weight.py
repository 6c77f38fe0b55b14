"""What a judge counts in an ensemble: all where it knows, nothing where it guesses, and why."""

import json

import numpy as np
import pytest

from mimar.errors import InputError
from mimar.llm import UniformLLM
from mimar.proxies import ProxyInputs, hpm, nonembedding_params
from mimar.proxies.judge import Anchors, JudgeWeight, Panel, fit_anchors, judge_weight
from mimar.testing import ScriptedJudge, ScriptedLLM


@pytest.fixture
def weigh(subjects, planted):
    """LLM → the weight of a judge with 16 anchors, held against the planted order."""

    def weight(llm, seed=0, **more):
        chosen = subjects[:16]
        anchors = fit_anchors(Panel(llm, "s", seed), chosen)
        sizes = [nonembedding_params(ProxyInputs(subject)) for subject in chosen]
        return judge_weight(anchors, {"measured": [planted[s.description] for s in chosen], **more}, sizes)

    return weight


def test_a_model_that_knows_the_planted_order_has_full_weight(weigh, knowing):
    found = weigh(knowing)
    assert (found.weight, found.consistency, found.agreement) == pytest.approx((1, 1, 1))
    assert found.yardstick == "measured"
    assert "agree with each other by τ 1.00; it agrees with measured at equal size by τ 1.00" in found.reason


def test_random_answers_have_no_weight(weigh):
    found = [weigh(UniformLLM(), seed) for seed in range(60)]
    assert [each.weight for each in found if each.weight > 0] == []
    assert sum(each.agreement is None for each in found) >= 57  # its self-consistency alone tells, but for chance


def test_random_orders_have_no_weight(weigh):
    """Whole random permutations, so that all pairs are compared."""
    found = [weigh(ScriptedJudge(lambda _: 0.0, noise=1.0), seed) for seed in range(60)]
    assert [each for each in found if each.weight > 0] == []
    assert abs(np.mean([each.consistency for each in found])) < 0.05


def test_the_order_shown_has_no_weight(weigh):
    as_shown = ScriptedLLM(lambda messages, schema, seed: json.dumps({"ranking": list(range(1, 17))}))
    found = weigh(as_shown)
    assert found.weight == 0
    assert abs(found.consistency) < 0.3
    assert found.reason.startswith("its answers agree with each other by τ")


def test_the_opposite_order_has_no_weight(weigh, planted):
    found = weigh(ScriptedJudge(lambda description: -planted[description]))
    assert (found.weight, found.agreement) == (0, pytest.approx(-1))


def test_knowing_that_larger_is_better_has_no_weight(weigh, by_size):
    """Such a model agrees with any score that grows with size, but not at equal size."""
    found = weigh(by_size)
    assert found.weight == 0
    assert found.consistency == 1
    assert "agrees with measured at equal size by τ 0.00" in found.reason


def test_the_less_a_model_knows_the_less_it_counts(weigh, planted):
    spread = np.std(list(planted.values()))
    weights = [
        np.mean([weigh(ScriptedJudge(planted.__getitem__, noise=noise * spread), seed).weight for seed in range(8)])
        for noise in (0.0, 0.2, 0.6, 3.0)
    ]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == 1
    assert 0.3 < weights[1] < 0.95
    assert weights[3] < 0.1


def test_the_best_of_several_yardsticks_counts(weigh, knowing, subjects):
    other = [hpm(ProxyInputs(subject)) for subject in subjects[:16]]
    known = {subject.description: value for subject, value in zip(subjects, other, strict=False)}
    for llm, name in ((knowing, "measured"), (ScriptedJudge(known.__getitem__), "hpm")):
        found = weigh(llm, hpm=other)
        assert (found.yardstick, found.agreement, found.weight) == (name, pytest.approx(1), pytest.approx(1))


def test_one_answer_shows_no_consistency(subjects, planted):
    values = tuple(planted[subject.description] for subject in subjects[:6])
    single = Anchors(tuple(s.description for s in subjects[:6]), values, None, None, 1)
    found = judge_weight(single, {"measured": values}, range(6))
    assert found.weight == 0
    assert "usable answers: 1" in found.reason


def test_weights_survive_json(weigh, knowing):
    for found in (weigh(knowing), JudgeWeight(0.0, "no key")):
        assert JudgeWeight.from_json(json.loads(json.dumps(found.to_json()))) == found
    for damaged in (None, {"reason": "?"}, {"weight": "full", "reason": "?"}, {"weight": 1, "reason": "?", "more": 2}):
        with pytest.raises(InputError, match="weight of a judge"):
            JudgeWeight.from_json(damaged)
