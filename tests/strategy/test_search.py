"""How well the searchers search, on problems where that is known; medians over seeds."""

import json
import logging
from functools import cache
from statistics import median

import numpy as np
import pytest

from mimar import pareto
from mimar.errors import InputError, ProviderError, ReplayError
from mimar.space import TransformerSpace
from mimar.strategy import NSGA2, AdaptivePortfolio, Brief, LLMSearch, RandomSearch, RegularisedEvolution, ZeroLM
from mimar.study import Study
from mimar.testing import LayerDrop, ScriptedLLM, layerdrop_problem, toy_problem

BRIEF = Brief("none", "A test bench.")
DROP = layerdrop_problem()
WIDE = toy_problem(TransformerSpace().restricted(layer_sharing=[1], attention_kernel=["flash"]), max_params=1e9)
TOYS = {"layer drop": DROP, "transformer": WIDE}
SEEDS = range(7)


def evolution(problem, seed):
    return RegularisedEvolution(problem, seed, population=24, entrants=6)


def nsga2(problem, seed):
    return NSGA2(problem, seed, population=20)


def searched(make, toy, seed, trials=150):
    study = Study(toy.problem, make(toy.problem, seed), toy)
    study.run(trials)
    return study


@cache
def volume(make, toy="layer drop", trials=120):
    seeds = SEEDS if toy == "layer drop" else SEEDS[:3]  # a move of the Transformer space takes its time
    return median(searched(make, TOYS[toy], seed, trials).hypervolume() for seed in seeds)


def zerolm(problem, seed, llm, brief):
    return LLMSearch(problem, seed, ZeroLM(problem, llm, brief))


def with_llm(script):
    return lambda problem, seed: AdaptivePortfolio.with_llm(problem, seed, ScriptedLLM(script), BRIEF)


def test_the_exact_front_of_the_layerdrop_problem():
    front = LayerDrop.seeded(0).front()
    assert len(front) == 202
    assert pareto.hypervolume(front, np.ones(2)) == pytest.approx(0.769034, abs=1e-6)


def test_random_search_reaches_the_published_share_of_the_exact_front():
    assert volume(RandomSearch, trials=150) / 0.769034 == pytest.approx(0.694, abs=0.02)


@pytest.mark.parametrize("make", [evolution, nsga2, AdaptivePortfolio])
@pytest.mark.parametrize("toy", TOYS)
def test_beats_random_search(make, toy):
    trials = {"layer drop": 120, "transformer": 60}[toy]
    assert volume(make, toy, trials) > 1.03 * volume(RandomSearch, toy, trials)


WORDS = {
    "why": "w", "patterns": "p", "mistakes": "m", "guidance": "g", "positive": ["p"], "negative": ["n"],
    "instruction": "i", "suggestion": "s",
}  # fmt: skip


def answered(schema, candidates):
    """The candidates, or words where the question is for those."""
    asked = schema["properties"]
    return json.dumps({name: candidates if name == "candidates" else WORDS.get(name, "because") for name in asked})


def prose(messages, schema, seed):
    return "A deeper network with fewer heads would be a sensible choice. " * 20


def illegal(messages, schema, seed):
    return answered(schema, [{"layer_0": 9}] * 4)


def repeated(messages, schema, seed):
    return answered(schema, [DROP.problem.space.to_json((4,) * 20)] * 4)


def worthless(messages, schema, seed):
    """Legal and new, but dominated: the outer layers, which matter most, are always dropped."""
    rng = np.random.default_rng(seed)
    found = [(0, *(int(option) for option in rng.integers(3, 5, size=18)), 0) for _ in range(4)]
    return answered(schema, [DROP.problem.space.to_json(arch) for arch in found])


@pytest.mark.parametrize("script", [prose, illegal, repeated, worthless], ids=lambda script: script.__name__)
def test_a_useless_llm_does_little_harm(script):
    helped = volume(with_llm(script))
    assert helped > 0.95 * volume(AdaptivePortfolio)
    assert helped > 0.97 * volume(evolution)


@pytest.fixture(scope="module")
def strong():
    """A script that knows the problem: it proposes what a long search has found."""
    pool = [trial.architecture for trial in searched(nsga2, DROP, 0, 2500).front()]

    def reply(messages, schema, seed):
        picks = np.random.default_rng(seed).choice(len(pool), size=4, replace=False)
        return answered(schema, [DROP.problem.space.to_json(pool[int(i)]) for i in picks])

    return reply


def test_the_share_of_a_strong_llm_grows_and_pays(strong):
    shares = []
    for seed in SEEDS:
        trials = searched(with_llm(strong), DROP, seed, 80).trials
        late = [trial.proposal.origin for trial in trials if trial.status == "complete"][30:]
        shares.append(sum(origin.startswith("llm") for origin in late) / len(late))
    assert median(shares) > 1.5 * 0.2  # an equal share of five operators is 0.2
    assert volume(with_llm(strong), trials=30) > 1.05 * volume(AdaptivePortfolio, trials=30)


def calls_of(script, trials=120):
    counts = []
    for seed in SEEDS:
        llm = ScriptedLLM(script)
        Study(DROP.problem, AdaptivePortfolio.with_llm(DROP.problem, seed, llm, BRIEF), DROP).run(trials)
        counts.append(llm.calls)
    return median(counts)


@pytest.mark.parametrize("script", [prose, worthless], ids=lambda script: script.__name__)
def test_a_useless_llm_is_asked_far_less_often_than_a_strong_one(script, strong):
    assert 1 <= calls_of(script) <= 0.5 * calls_of(strong)


SAID = "the search goes on without the LLM for now: the provider answered HTTP 503"


def ailing(strong, dead):
    """A strong LLM whose calls fail where `dead` (number of the call, from 1) is true."""

    def answer(messages, schema, seed):
        if dead(llm.calls):
            raise ProviderError("the provider answered HTTP 503")
        return strong(messages, schema, seed)

    llm = ScriptedLLM(answer)
    return llm


def test_the_search_goes_on_without_a_dead_llm_and_says_so(strong, caplog):
    llm = ailing(strong, lambda call: call > 2)
    study = Study(DROP.problem, AdaptivePortfolio.with_llm(DROP.problem, 0, llm, BRIEF), DROP)
    with caplog.at_level(logging.WARNING):
        assert study.run(300) == "enough trials"
    failed = [trial.id for trial in study.trials if trial.reasons == (SAID,)]
    assert llm.calls == 2 + len(failed) <= 2 + np.log2(300)
    assert caplog.messages == [SAID] * len(failed)
    assert not any(trial.proposal.by_llm for trial in study.trials[failed[0] + 1 :] if not trial.reasons)
    waits = np.diff(failed)
    assert waits[-2:].sum() > 3 * waits[:2].sum(), waits


def test_an_llm_that_recovers_is_asked_again_and_wins_its_share_back(strong):
    shares = []
    for seed in SEEDS:
        llm = ailing(strong, lambda call: 3 <= call <= 4)
        study = Study(DROP.problem, AdaptivePortfolio.with_llm(DROP.problem, seed, llm, BRIEF), DROP)
        study.run(150)
        origins = [trial.proposal.origin for trial in study.trials if trial.status == "complete"]
        shares.append(sum(origin.startswith("llm") for origin in origins[100:]) / 50)
    assert median(shares) > 0.2  # an equal share of five operators


def test_the_operators_need_parents():
    with pytest.raises(InputError, match="at least 2, got 1"):
        AdaptivePortfolio(DROP.problem, 0, initial=1)


@pytest.mark.parametrize("make", [AdaptivePortfolio.with_llm, zerolm])
def test_a_call_that_was_never_recorded_is_no_dead_llm(make):
    strategy = make(DROP.problem, 0, ScriptedLLM([]), BRIEF)
    with pytest.raises(ReplayError):
        Study(DROP.problem, strategy, DROP).run(60)


def test_zerolm_gives_up_after_a_few_failures_in_a_row_only():
    def stumbles(messages, schema, seed):
        if llm.calls % 3:
            raise ProviderError("the provider answered HTTP 500")
        rng = np.random.default_rng(seed)
        space = DROP.problem.space
        return json.dumps({"candidates": [space.to_json(space.sample(rng)) for _ in range(8)]})

    llm = ScriptedLLM(stumbles)
    study = Study(DROP.problem, zerolm(DROP.problem, 0, llm, BRIEF), DROP)
    assert study.run(24) == "enough trials"
    assert sum(trial.status == "invalid" for trial in study.trials) == 6


def test_operators_are_named_and_have_parents():
    study = searched(AdaptivePortfolio, DROP, 0, 120)
    parents = {"random": {0}, "mutation": {1}, "crossover": {1, 2}, "screened": {1, 2, 3, 4}}
    found = {trial.proposal.origin for trial in study.trials}
    assert {"random", "screened"} <= found <= set(parents)
    assert found & {"mutation", "crossover"}
    assert all(len(trial.proposal.parents) in parents[trial.proposal.origin] for trial in study.trials)


def test_the_portfolio_comes_close_to_the_exact_front_of_layer_drop_in_150_evaluations():
    exact = DROP.problem.reference.hypervolume(LayerDrop.seeded(0).front())
    shares = [searched(AdaptivePortfolio, DROP, seed, 150).hypervolume() / exact for seed in range(3)]
    assert np.median(shares) >= 0.9
