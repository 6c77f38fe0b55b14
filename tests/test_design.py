"""The evaluator of a design task can be sent to another process."""

import pickle

import numpy as np
import pytest

from mimar import Budget, Defaults, TransformerSpace, Workload, adw, design_task, load_profile, zerolm
from mimar.errors import InputError
from mimar.objectives import DesignEvaluator
from mimar.proxies import RZ_NAS_MEMBERS, fit_standardiser, rz_nas_ensemble

SPACE = TransformerSpace(defaults=Defaults(vocab_size=256, context_length=16)).restricted(
    num_layers=[4], hidden_size=[256], mixer=["attention"]
)


def sampled(count):
    rng = np.random.default_rng(3)
    return [SPACE.sample(rng) for _ in range(count)]


@pytest.fixture
def evaluator_of():
    def make(score) -> DesignEvaluator:
        workload = Workload(context=16, prompt_tokens=8)
        budgets = [Budget("params", "max", 1e9)]
        return design_task(SPACE, load_profile("a100"), workload, score, budgets=budgets).evaluator

    return make


@pytest.mark.parametrize("score", [adw, zerolm(), None], ids=["default", "parametrised", "sampled ensemble"])
def test_an_evaluator_that_travelled_gives_the_same_metrics(evaluator_of, score):
    score = score or rz_nas_ensemble(fit_standardiser(RZ_NAS_MEMBERS, sampled(2), 0))
    evaluator = evaluator_of(score)
    here = [evaluator.evaluate(arch) for arch in sampled(3)]  # first, so that its memory is not empty
    there = pickle.loads(pickle.dumps(evaluator))
    assert [there.evaluate(arch) for arch in sampled(3)] == here


def test_the_memory_stays_at_home(evaluator_of):
    evaluator = evaluator_of(adw)
    before = len(pickle.dumps(evaluator))
    for arch in sampled(20):
        evaluator.evaluate(arch)
    assert len(pickle.dumps(evaluator)) == before


def test_hardware_metrics_are_worked_out_once(evaluator_of):
    hardware = evaluator_of(adw).hardware
    first, again = sampled(1), sampled(1)
    assert first[0] is not again[0]
    assert hardware(first[0]) is hardware(again[0])


def test_a_budget_on_the_score_is_refused():
    with pytest.raises(InputError, match="make it an objective"):
        design_task(SPACE, load_profile("a100"), Workload(16, prompt_tokens=8), budgets=[Budget("score", "min", 1.0)])
