"""A study whose score is a language model: its calls have a journal of their own, and a resumed study is the same."""

import itertools
import json
from dataclasses import replace

import pytest

from mimar.design import COSTLY_REFERENCE_SAMPLE, design_task, drawn_sample
from mimar.errors import ProviderError
from mimar.hardware import Workload, load_profile
from mimar.llm import CostLimited, ReplayLLM
from mimar.objectives import Budget
from mimar.proxies import DecoderSubject
from mimar.proxies.judge import LLMJudge, Panel, fit_anchors, judge_summary
from mimar.space import TransformerSpace
from mimar.storage import MemoryStorage
from mimar.strategy import AdaptivePortfolio, RandomSearch
from mimar.study import Study, journalled, journalled_judge, read_journal
from mimar.testing import FaultyLLM, ScriptedJudge, ScriptedLLM

SPACE = TransformerSpace().restricted(num_layers=[4, 6, 8], hidden_size=[256, 320, 384, 448])
PROFILE = load_profile("laptop-cpu")
WORKLOAD = Workload(1024)
BUDGETS = (Budget("params", "max", 60e6),)
TRIALS = 20


def quality(description):
    """Made up, but the same in every process."""
    return sum(ord(letter) * (i % 7 + 1) for i, letter in enumerate(description)) % 1009


def undecided():
    """Its answers to one list differ, and with them every value that is not read from the journal."""
    return ScriptedJudge(quality, noise=300.0)


PLAIN = design_task(SPACE, PROFILE, WORKLOAD, budgets=BUDGETS)
DRAWN = drawn_sample(PLAIN.problem, COSTLY_REFERENCE_SAMPLE, 0)
ANCHORS = fit_anchors(Panel(ScriptedJudge(quality), "s"), [DecoderSubject(arch) for arch in DRAWN])


pytestmark = pytest.mark.usefixtures("little_effort")


class Crash(BaseException):
    """The end of the process, as far as a test in one process can have it."""


class Crashing:
    """A storage whose process ends right after append number `at`."""

    def __init__(self, inner, at):
        self.inner = inner
        self.left = at

    def append(self, event):
        self.inner.append(event)
        self.left -= event.kind != "stop"
        if self.left == 0:
            raise Crash

    def events(self, *kinds):
        return self.inner.events(*kinds)

    def close(self):
        self.inner.close()


def opened(storage, llm, make=RandomSearch, on_call=lambda _: None):
    """A study of the design task with the judge as its score, over `storage`."""
    judge = LLMJudge(ANCHORS, Panel(journalled_judge(llm, storage, on_call), "s"))
    task = design_task(SPACE, PROFILE, WORKLOAD, judge, budgets=BUDGETS, reference=PLAIN.problem.reference)
    strategy = make(task.problem, 0)
    return Study(task.problem, strategy, task.evaluator, storage=storage, prepare=task.evaluator.prepare)


def timeless(study):
    return [replace(trial, seconds=0.0) for trial in study.trials]


def kinds(storage):
    return [event.kind for event in storage.events()]


def test_a_batch_is_judged_before_its_first_trial_is_stored():
    storage, llm = MemoryStorage(), undecided()
    assert opened(storage, llm).run(16) == "enough trials"
    batch = ["ask", "judge", "judge", "judge", *["trial"] * 8]
    assert kinds(storage) == ["study", *batch, *batch, "stop"]
    assert [len(shown) for shown in llm.shown] == [len(ANCHORS.strengths) + 8] * 6
    found = judge_summary(read_journal(storage).judgements)
    assert (found.calls, found.candidates) == (6, len(ANCHORS.strengths) + 16)


@pytest.mark.parametrize("make", [RandomSearch, AdaptivePortfolio])
def test_a_study_that_dies_at_any_instant_goes_on_with_the_same_values(make):
    """Also between two answers to one list, and between them and the trials."""
    whole = MemoryStorage()
    straight = opened(whole, undecided(), make)
    straight.run(TRIALS)
    events = len(kinds(whole)) - 1
    for at in range(1, events + 1):
        storage, calls = MemoryStorage(), []
        with pytest.raises(Crash):
            opened(Crashing(storage, at), undecided(), make).run(TRIALS)
        held = len(read_journal(storage).judgements)
        resumed = opened(storage, undecided(), make, calls.append)
        resumed.run(TRIALS)
        assert timeless(resumed) == timeless(straight)
        assert held + len(calls) == len(read_journal(whole).judgements)  # nothing was asked twice


def test_a_study_that_dies_after_every_few_appends_goes_on_with_the_same_values():
    straight = opened(MemoryStorage(), undecided())
    straight.run(TRIALS)
    storage = MemoryStorage()
    for _ in range(100):
        study = opened(Crashing(storage, 5), undecided())
        try:
            study.run(TRIALS)
            break
        except Crash:
            continue
    assert timeless(study) == timeless(straight)


def test_a_finished_study_is_read_back_without_a_call():
    storage = MemoryStorage()
    first = opened(storage, undecided())
    first.run(TRIALS)
    idle = undecided()
    again = opened(storage, idle)
    again.run(TRIALS)
    assert timeless(again) == timeless(first)
    assert idle.shown == []
    again = opened(storage, idle)
    again.run(TRIALS + 8)
    assert timeless(again)[:TRIALS] == timeless(first)
    assert len(idle.shown) == 3


def test_broken_replies_and_failures_are_replayed_as_they_came():
    def failing():
        return FaultyLLM(undecided(), 0.3, 5)

    whole = MemoryStorage()
    straight = opened(whole, failing())
    straight.run(TRIALS)
    assert {record.error.kind for record in read_journal(whole).judgements if record.error} > {"BilledReplyError"}
    again = opened(whole, ScriptedLLM([], name="scripted judge"))
    again.run(TRIALS)
    assert timeless(again) == timeless(straight)


def dying(after, until=10**9):
    """Answers `after` calls, then the provider is down until call `until`."""
    count, judge = itertools.count(), undecided()

    def reply(messages, schema, seed):
        if after <= next(count) < until:
            raise ProviderError("the provider answered HTTP 503")
        return judge.complete(messages, None, temperature=0.0, seed=seed, max_tokens=99).text

    return ScriptedLLM(reply)


def test_a_dead_provider_ends_the_run_and_a_later_one_goes_on_with_the_same_values():
    straight = opened(MemoryStorage(), dying(10**9))
    straight.run(TRIALS)
    storage = MemoryStorage()
    for calls in (4, 0):  # the second time it is still down
        before = len(read_journal(storage).trials)
        with pytest.raises(ProviderError, match="HTTP 503"):
            opened(storage, dying(calls)).run(TRIALS)
        assert len(read_journal(storage).trials) in (before, 8)
    assert read_journal(storage).stops == ["LLM failed"] * 2
    resumed = opened(storage, dying(10**9))
    assert resumed.run(TRIALS) == "enough trials"
    assert [trial.status for trial in resumed.trials] == ["complete"] * TRIALS
    assert timeless(opened_again(storage)) == timeless(resumed)
    assert timeless(resumed) == timeless(straight)


def opened_again(storage):
    study = opened(storage, ScriptedLLM([]))
    study.run(TRIALS)
    return study


def test_a_cost_limit_ends_the_run():
    storage = MemoryStorage()

    def priced():
        judge = undecided()
        return ScriptedLLM(
            lambda messages, schema, seed: (
                judge.complete(messages, None, temperature=0.0, seed=seed, max_tokens=99).text
            ),
            price=0.01,
        )

    with pytest.raises(Exception, match="raise --max-cost to go on"):
        opened(storage, CostLimited(priced(), 0.035)).run(TRIALS)
    assert len(read_journal(storage).trials) == 8
    resumed = opened(storage, priced())
    resumed.run(TRIALS)
    straight = opened(MemoryStorage(), priced())
    straight.run(TRIALS)
    assert timeless(resumed) == timeless(straight)


def test_calls_of_strategy_and_score_do_not_mix():
    """Both ask the same model; each is answered from its own part of the journal, and a replay has both."""

    def both():
        judge = undecided()

        def reply(messages, schema, seed):
            if "ranking" in schema["properties"]:
                return judge.complete(messages, None, temperature=0.0, seed=seed, max_tokens=99).text
            return json.dumps({"candidates": [SPACE.to_json(arch) for arch in DRAWN[:2]]})

        return ScriptedLLM(reply)

    def make(llm, storage):
        from mimar.strategy import Brief

        def strategy(problem, seed):
            return AdaptivePortfolio.with_llm(problem, seed, journalled(llm, storage), Brief("none", "a bench"))

        return strategy

    storage, llm = MemoryStorage(), both()
    first = opened(storage, llm, make(llm, storage))
    first.run(60)
    journal = read_journal(storage)
    assert journal.calls
    assert journal.judgements
    assert llm.calls == len(journal.calls) + len(journal.judgements)
    silent = ScriptedLLM([])
    again = opened(storage, silent, make(silent, storage))
    again.run(60)
    assert timeless(again) == timeless(first)
    replay, fresh = ReplayLLM([*journal.calls, *journal.judgements]), MemoryStorage()
    replayed = opened(fresh, replay, make(replay, fresh))
    replayed.run(60)
    assert timeless(replayed) == timeless(first)
