"""Gates around a strategy: who goes on, what the inner strategy hears, and that a resumed study is the same."""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pytest

from mimar.errors import CandidateError, InputError
from mimar.objectives import Objective
from mimar.space import TransformerSpace
from mimar.storage import MemoryStorage
from mimar.strategy import LINAS, NSGA2, AdaptivePortfolio, Brief, Cascade, Gate, RandomSearch
from mimar.study import Study
from mimar.testing import ScriptedLLM, toy_problem
from mimar.trial import Trial

TOY = toy_problem(TransformerSpace().restricted(num_layers=[4, 6, 8], hidden_size=[256, 320, 384, 448]))
GATES = (Gate("score", 4), Gate("predictor", 2), Gate("10%", 3), Gate("50%", 2))
STAND_IN = Objective("score", "max")
OFF = {"10%": 0.5, "50%": 0.2, "full": 0.0}


@dataclass
class Rungs:
    """Quality is what the toy says, less at low fidelity; `score` agrees with it roughly."""

    evaluated: list = field(default_factory=list)
    fails: bool = False

    def evaluate(self, arch, fidelity="full"):
        self.evaluated.append((arch, fidelity))
        metrics = TOY.measure(arch)
        if fidelity == "score":
            return {"flops": metrics["flops"], "score": round(metrics["quality"], 1)}
        if self.fails or int(1e6 * metrics["quality"]) % 11 == 0:
            raise CandidateError("the loss is nan after 3 steps")
        return {"flops": metrics["flops"], "quality": metrics["quality"] - OFF[fidelity]}


class Listening(RandomSearch):
    """Random search that keeps what it is told."""

    def __init__(self, problem, seed):
        super().__init__(problem, seed)
        self.told = []

    def tell(self, trials):
        self.told.append(list(trials))
        super().tell(trials)


def cascade(inner=NSGA2, gates=GATES, seed=0):
    return Cascade(inner(TOY.problem, seed), TOY.problem, gates, STAND_IN)


def study(strategy, evaluator, storage=None):
    return Study(TOY.problem, strategy, evaluator, storage=storage, batch=4)


def test_each_gate_lets_its_share_through():
    strategy, evaluator = cascade(RandomSearch, GATES[:3]), Rungs()
    done = study(strategy, evaluator)
    assert done.run(8) == "enough trials"
    at = Counter(fidelity for _, fidelity in evaluator.evaluated)
    assert at["score"] >= 8 * 24
    assert list(strategy.counts) == ["in budget", "score", "predictor", "10%", "full"]
    (put, fit), scored, predicted, tenth, whole = strategy.counts.values()
    assert put == fit == scored[0] == at["score"]
    assert scored[1] == predicted[0] == at["score"] / 4
    assert predicted[1] == tenth[0] == at["10%"] == at["score"] / 8
    assert tenth[1] == whole[0] == at["full"]
    assert whole[1] == 8 == sum(trial.status == "complete" for trial in done.trials)


@pytest.mark.parametrize("kind", [LINAS, AdaptivePortfolio])
def test_those_that_propose_few_at_a_time_fill_what_gates_are_to_choose_from(kind):
    strategy = cascade(lambda problem, seed: kind(problem, seed, fill=True), GATES[:3])
    assert study(strategy, Rungs()).run(12) == "enough trials"
    for (came, passed), gate in zip(list(strategy.counts.values())[1:], GATES[:3], strict=False):
        assert came / passed > 0.8 * gate.factor


def random_candidates(messages, schema, seed):
    space, rng = TOY.problem.space, np.random.default_rng(seed)
    return json.dumps({"candidates": [space.to_json(space.sample(rng)) for _ in range(4)]})


@pytest.mark.parametrize("llm", [False, True])
@pytest.mark.parametrize("kind", [LINAS, AdaptivePortfolio])
def test_every_ask_behind_gates_is_answered_in_full(kind, llm):
    """However many are asked for, and though a language model makes a few at a time."""
    if llm and kind is LINAS:
        pytest.skip("it has none")
    scripted, brief = ScriptedLLM(random_candidates), Brief("none", "A test bench.")
    strategy = kind.with_llm(TOY.problem, 0, scripted, brief, fill=True) if llm else kind(TOY.problem, 0, fill=True)
    for _ in range(4):
        asked = strategy.ask(150)
        good = [each for each in asked if not each.reasons]
        assert len(good) >= 150
        trials = [Trial(n, each, "complete", TOY.measure(each.architecture)) for n, each in enumerate(good[:20])]
        strategy.tell(trials)


def test_gates_that_round_up_let_no_more_through_than_are_asked_for():
    strategy = cascade(RandomSearch, (Gate("score", 1.5), Gate("10%", 1.5)))
    for n in (1, 2, 3):
        for _ in range(2):
            asked = strategy.ask(n)
            strategy.tell([_partial(number, proposal) for number, proposal in enumerate(asked)])
        whole = strategy.ask(n)
        assert {each.fidelity for each in whole} == {"full"}
        assert len(whole) == n
        strategy.tell([replace(_partial(number, each), status="complete") for number, each in enumerate(whole)])


def _partial(number, proposal):
    metrics = {**TOY.measure(proposal.architecture), "score": float(number)}
    return Trial(number, proposal, "partial", metrics=metrics)


def test_the_best_go_on():
    strategy, evaluator = cascade(RandomSearch, (Gate("50%", 4),)), Rungs()
    study(strategy, evaluator).run(4)
    quality = {fidelity: [] for fidelity in ("50%", "full")}
    for arch, fidelity in evaluator.evaluated:
        quality[fidelity].append(TOY.measure(arch))
    dominated = [
        any(other["quality"] > one["quality"] and other["flops"] < one["flops"] for other in quality["50%"])
        for one in quality["full"]
    ]
    assert not all(dominated)
    assert sum(dominated) <= 1


def test_what_fell_out_is_told_as_it_would_have_ended():
    inner = Listening(TOY.problem, 0)
    strategy = Cascade(inner, TOY.problem, GATES[:1] + GATES[2:], STAND_IN)
    study(strategy, Rungs()).run(20)
    by_status = Counter(trial.status for round_ in inner.told for trial in round_)
    assert set(by_status) == {"complete", "invalid", "failed"}
    told = [trial for trial in inner.told[-1] if trial.status == "complete"]
    partly = [trial for trial in told if trial.proposal.fidelity != "full"]
    assert {trial.proposal.fidelity for trial in partly} == {"10%", "50%"}
    for trial in partly:
        assert trial.metrics["quality"] == pytest.approx(TOY.measure(trial.architecture)["quality"], abs=0.02)
    passed_over = [trial for trial in inner.told[-1] if trial.status == "invalid"]
    assert all("passed over" in trial.reasons[0] and not trial.metrics for trial in passed_over)


def test_every_proposal_is_told_once_and_in_order():
    inner = Listening(TOY.problem, 0)
    asked = []
    ask = inner.ask
    inner.ask = lambda n: asked.append(ask(n)) or asked[-1]
    study(Cascade(inner, TOY.problem, GATES, STAND_IN), Rungs()).run(9)
    for proposals, told in zip(asked, inner.told, strict=True):
        assert [each.architecture for each in proposals] == [each.architecture for each in told]


@pytest.mark.parametrize("inner", [NSGA2, LINAS])
def test_a_study_that_goes_on_evaluates_nothing_twice(inner):
    storage = MemoryStorage()
    first = study(cascade(inner), Rungs(), storage)
    first.run(3)
    second = study(strategy := cascade(inner), rest := Rungs(), storage)
    second.run(10)
    assert second.trials[: len(first.trials)] == first.trials
    assert len(rest.evaluated) == len(second.trials) - len(first.trials)
    assert strategy.counts["full"][1] == 10


class Stopping(Rungs):
    """Ctrl-C at an evaluation."""

    at: int = 0

    def evaluate(self, arch, fidelity="full"):
        if len(self.evaluated) + 1 == self.at:
            raise KeyboardInterrupt
        return super().evaluate(arch, fidelity)


@cache
def never_stopped():
    whole = study(cascade(LINAS), evaluator := Rungs())
    whole.run(8)
    return whole, evaluator


@pytest.mark.parametrize("place", range(8))
def test_stopped_at_any_gate_it_goes_on_as_if_it_never_had(place):
    whole, evaluator = never_stopped()
    fidelities = [fidelity for _, fidelity in evaluator.evaluated]
    begins = [i + 1 for i in range(1, len(fidelities)) if fidelities[i] != fidelities[i - 1]]
    assert len(begins) > 4
    at = ([3, *begins, len(fidelities)])[place % (len(begins) + 2)]
    storage = MemoryStorage()
    stopping = Stopping()
    stopping.at = at
    assert study(cascade(LINAS), stopping, storage).run(8) == "interrupted"
    resumed = study(cascade(LINAS), rest := Rungs(), storage)
    assert resumed.run(8) == "enough trials"
    assert [(t.proposal, t.metrics) for t in resumed.trials] == [(t.proposal, t.metrics) for t in whole.trials]
    assert len(rest.evaluated) == len(evaluator.evaluated) - (at - 1)


@pytest.mark.parametrize("gates", [(Gate("10%", 2),), (Gate("score", 4), Gate("10%", 2))])
def test_where_all_fail_the_search_ends(gates):
    """Also where each candidate passes a gate or two before it fails."""
    done = study(cascade(RandomSearch, gates), Rungs(fails=True))
    assert done.run(4) == "nothing new found"
    failed = [trial for trial in done.trials if trial.status != "partial"]
    assert {trial.status for trial in failed} == {"failed"}
    assert failed[0].reasons == ("the loss is nan after 3 steps",)


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ((Gate("predictor", 2),), "before it"),
        ((Gate("10%", 2), Gate("10%", 3)), "another"),
        ((Gate("full", 2),), "full"),
    ],
)
def test_gates_that_make_no_sense(gates, words):
    with pytest.raises(InputError, match=words):
        cascade(RandomSearch, gates)


@pytest.mark.parametrize("factor", [0.5, 0.0, float("inf"), float("nan")])
def test_a_gate_lets_some_through(factor):
    with pytest.raises(InputError, match="at least 1"):
        Gate("score", factor)
