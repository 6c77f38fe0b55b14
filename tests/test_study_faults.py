"""What a study does with bad candidates, changed settings, failing language models and spoiled files."""

import itertools
import json
import os
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from mimar.errors import (
    CandidateError,
    ForeignFileError,
    InputError,
    NewerVersionError,
    ProviderError,
    ReplayError,
    StorageError,
    StorageFullError,
)
from mimar.executor import SerialExecutor
from mimar.llm import Message, ReplayLLM
from mimar.space import TransformerSpace
from mimar.storage import MemoryStorage, SQLiteStorage
from mimar.strategy import Brief, LLMSearch, RandomSearch, ZeroLM
from mimar.study import PATIENCE, Study, journalled, read_journal
from mimar.testing import ScriptedLLM, layerdrop_problem, toy_problem

TOY = toy_problem(TransformerSpace().restricted(num_layers=[4, 6, 8], hidden_size=[256, 320, 384, 448]))
DROP = layerdrop_problem()


def zerolm(problem, seed, llm):
    return LLMSearch(problem, seed, ZeroLM(problem, llm, Brief("b", "d")))


class Stumbling:
    """The toy's evaluator, but evaluation number `at` raises `error`."""

    def __init__(self, toy, at, error):
        self.toy = toy
        self.at = at
        self.error = error
        self.calls = 0

    def evaluate(self, arch, fidelity="full"):
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.toy.measure(arch)


class Tight(Stumbling):
    """Every fourth candidate fails."""

    def __init__(self, toy):
        super().__init__(toy, 0, CandidateError("out of memory: batch 1 needs 9 GB"))

    def evaluate(self, arch, fidelity="full"):
        self.at = (self.calls // 4 + 1) * 4
        return super().evaluate(arch, fidelity)


def timeless(study):
    return [replace(trial, seconds=0.0) for trial in study.trials]


def stored(path):
    storage = SQLiteStorage(path, read_only=True)
    events = list(storage.events())
    storage.close()
    return events


# What a study does with single trials


def simple(toy=DROP, seed=0, **options):
    return Study(toy.problem, RandomSearch(toy.problem, seed), options.pop("evaluator", toy), **options)


def test_failed_candidates_are_stored_with_their_reason_and_do_not_count():
    storage, evaluator = MemoryStorage(), Tight(TOY)
    study = simple(TOY, evaluator=evaluator, storage=storage)
    assert study.run(20) == "enough trials"
    failed = [trial for trial in study.trials if trial.status == "failed"]
    assert failed
    assert len(study.trials) - len(failed) == 20
    for trial in failed:
        assert trial.reasons == ("out of memory: batch 1 needs 9 GB",)
        assert trial.metrics == {}
        assert read_journal(storage).trials[trial.id]["reasons"] == ["out of memory: batch 1 needs 9 GB"]


def test_rejected_candidates_are_stored_with_their_reasons_and_never_evaluated(unreliable_llm):
    storage, evaluator = MemoryStorage(), Tight(TOY)
    strategy = zerolm(TOY.problem, 1, unreliable_llm(TOY.problem.space))
    study = Study(TOY.problem, strategy, evaluator, storage=storage)
    study.run(12)
    rejected = [trial for trial in study.trials if trial.status == "invalid"]
    reasons = {reason for trial in rejected for reason in trial.reasons}
    for expected in ("repeats an earlier", "num_layers must be a whole number, got 'many'", "expected a JSON object"):
        assert any(expected in reason for reason in reasons), (expected, reasons)
    assert evaluator.calls == sum(trial.status != "invalid" for trial in study.trials)
    assert all(read_journal(storage).trials[trial.id]["reasons"] == list(trial.reasons) for trial in rejected)


def test_a_metric_that_is_not_finite_fails_the_candidate():
    class Odd:
        def evaluate(self, arch, fidelity="full"):
            return {"cost": float("nan") if arch[0] else 0.5, "damage": 0.5}

    study = simple(evaluator=Odd())
    study.run(4)
    wrong = [trial for trial in study.trials if trial.status == "failed"]
    assert {trial.reasons for trial in wrong} == {("cost is not a finite number",)}
    assert all(trial.architecture[0] == 0 for trial in study.front())


def test_a_bug_in_the_evaluator_is_raised_and_the_study_can_be_resumed():
    storage = MemoryStorage()
    with pytest.raises(ZeroDivisionError):
        simple(storage=storage, evaluator=Stumbling(DROP, 5, ZeroDivisionError())).run(20)
    assert len(read_journal(storage).trials) == 4
    resumed, straight = simple(storage=storage), simple()
    for study in (resumed, straight):
        study.run(20)
    assert timeless(resumed) == timeless(straight)


def test_trials_are_told_in_proposal_order_whatever_finishes_first():
    class Backwards:
        def map(self, evaluate, items):
            return reversed(list(SerialExecutor().map(evaluate, items)))

    class Listening(RandomSearch):
        def tell(self, trials):
            told.extend(trial.id for trial in trials)
            super().tell(trials)

    seen, told = [], []
    strategy = Listening(DROP.problem, 0)
    study = Study(DROP.problem, strategy, DROP, executor=Backwards(), on_trial=seen.append)
    straight = simple()
    for each in (study, straight):
        each.run(16)
    assert timeless(study) == timeless(straight)
    assert [trial.id for trial in seen] == [*range(7, -1, -1), *range(15, 7, -1)]
    assert told == list(range(16))


def test_front_and_hypervolume_are_those_of_the_complete_trials():
    study = simple(DROP)
    assert study.front() == []
    assert study.hypervolume() == 0.0
    study.run(30)
    points = [tuple(trial.metrics.values()) for trial in study.front()]
    assert points
    for trial in study.trials:
        cost, damage = trial.metrics["cost"], trial.metrics["damage"]
        assert any(c <= cost and d <= damage for c, d in points)
    area, edge = 0.0, 1.0
    for cost, damage in sorted(points):
        area, edge = area + (1 - cost) * (edge - damage), damage
    assert study.hypervolume() == pytest.approx(area)


def test_a_small_space_is_exhausted_and_the_search_ends():
    space = TransformerSpace().restricted(
        num_layers=[4], hidden_size=[256], layer_sharing=[1], topology=["sequential"], norm=["rmsnorm"],
        norm_placement=["pre"], mixer=["convolution"], feed_forward=["none"], position=["none"],
        attention_kernel=["flash"],
    )  # fmt: skip
    toy, storage = toy_problem(space), MemoryStorage()
    study = simple(toy, storage=storage)
    assert study.run(100) == "nothing new found"
    assert len(study.trials) == 5  # kernel sizes
    assert len(read_journal(storage).asks) == PATIENCE + 1
    assert simple(toy, storage=storage).run(100) == "nothing new found"


def test_a_study_whose_every_evaluation_fails_ends():
    class Broken:
        def evaluate(self, arch, fidelity="full"):
            raise CandidateError("no device")

    study = simple(evaluator=Broken())
    assert study.run(10) == "nothing new found"
    assert {trial.status for trial in study.trials} == {"failed"}


# Settings, and what is resumed by mistake


def test_other_settings_are_refused_and_named(tmp_path):
    settings = {"seed": 0, "budgets": [["params", 30e6]], "device": "this"}
    for storage in (MemoryStorage(), SQLiteStorage(tmp_path / "s.db")):
        simple(storage=storage, settings=settings).run(3)
        before = list(storage.events())
        changed = {**settings, "seed": 1, "llm": "none"}
        del changed["device"]
        with pytest.raises(InputError, match=r"other settings \(seed, llm, device\): resume it without changing them"):
            simple(storage=storage, settings=changed)
        with pytest.raises(InputError, match="batch"):
            simple(storage=storage, settings=settings, batch=3)
        assert list(storage.events()) == before
        storage.close()


def test_settings_are_compared_as_the_journal_holds_them(tmp_path):
    settings = {"budgets": (("params", 30e6),), "seed": 0}
    for _ in range(2):
        storage = SQLiteStorage(tmp_path / "s.db")
        simple(storage=storage, settings=settings).run(3)
        storage.close()


def test_a_journal_of_another_search_is_not_continued():
    storage = MemoryStorage()
    simple(storage=storage, seed=0).run(5)
    before = list(storage.events())
    wanted = r"trial 0 of the study cannot be reproduced.*the strategy or its seed, .* or start a new study"
    with pytest.raises(StorageError, match=wanted):
        simple(storage=storage, seed=1).run(5)
    assert list(storage.events()) == before


class FirstAndLast:
    """An executor that finishes the last candidate of a batch, then the first, and is interrupted."""

    def map(self, evaluate, items):
        outcomes = list(SerialExecutor().map(evaluate, items))
        if outcomes:  # none where the whole batch is on record
            yield outcomes[-1]
            yield outcomes[0]
            raise KeyboardInterrupt


def test_a_batch_that_was_cut_short_counts_as_far_as_it_was_stored():
    storage = MemoryStorage()
    simple(storage=storage).run(8)
    study = simple(storage=storage, executor=FirstAndLast())
    assert study.run(20) == "interrupted"
    whole = simple()
    whole.run(16)
    expected = [timeless(whole)[number] for number in (*range(9), 15)]
    assert timeless(study) == expected
    assert sorted(read_journal(storage).trials) == [trial.id for trial in expected]
    alone = simple(storage=storage)
    alone.run(16)
    assert timeless(alone) == timeless(whole)
    front = {trial.id for trial in expected if not any(dominates(other, trial) for other in expected)}
    assert {trial.id for trial in study.front()} == front
    assert 0 < study.hypervolume() <= whole.hypervolume()


def dominates(a, b):
    (cost, damage), (cost_b, damage_b) = a.metrics.values(), b.metrics.values()
    return cost <= cost_b and damage <= damage_b and (cost, damage) != (cost_b, damage_b)


def test_each_trial_is_shown_once_and_already_counts_then():
    """Also where rejected candidates, which are stored first, stand behind others in their batch."""
    space, seen = TOY.problem.space, []

    def spoiled(messages, schema, seed):
        rng = np.random.default_rng(seed)
        return json.dumps({"candidates": [space.to_json(space.sample(rng)), None, space.to_json(space.sample(rng))]})

    def show(trial):
        seen.append(trial.id)
        assert [t.id for t in study.trials] == sorted(seen)

    strategy = zerolm(TOY.problem, 2, ScriptedLLM(spoiled))
    study = Study(TOY.problem, strategy, TOY, on_trial=show)
    study.run(8)
    assert seen != sorted(seen) == list(range(len(study.trials)))


def test_a_run_that_ended_amid_a_batch_is_not_continued_in_place():
    study = simple(evaluator=Stumbling(DROP, 3, KeyboardInterrupt()))
    assert study.run(20) == "interrupted"
    with pytest.raises(InputError, match="build a Study over the same storage with a fresh strategy"):
        study.run(20)


def test_a_run_that_came_to_its_end_is_continued_in_place():
    study = simple()
    study.run(8)
    study.run(16)
    straight = simple()
    straight.run(16)
    assert timeless(study) == timeless(straight)


# The LLM


def outage(calls, until=10**9):
    """A model that answers the first `calls` calls, then fails until call `until`."""
    space, count = TOY.problem.space, itertools.count()

    def reply(messages, schema, seed):
        if calls <= next(count) < until:
            raise ProviderError("the provider answered HTTP 503")
        rng = np.random.default_rng(seed)
        return json.dumps({"candidates": [space.to_json(space.sample(rng)) for _ in range(8)]})

    return ScriptedLLM(reply)


def llm_study(storage, llm):
    strategy = zerolm(TOY.problem, 2, journalled(llm, storage))
    return Study(TOY.problem, strategy, TOY, storage=storage)


def test_an_llm_that_fails_for_good_ends_the_run_and_a_later_one_goes_on():
    storage = MemoryStorage()
    with pytest.raises(ProviderError, match="HTTP 503"):
        llm_study(storage, outage(2)).run(40)
    journal = read_journal(storage)
    assert journal.stops == ["LLM failed"]
    before = list(storage.events())
    still_down = outage(0)
    with pytest.raises(ProviderError):
        llm_study(storage, still_down).run(40)
    assert still_down.calls == 1
    assert list(storage.events())[: len(before)] == before
    for _ in range(12):  # however often it is tried meanwhile
        with pytest.raises(ProviderError):
            llm_study(storage, outage(0)).run(40)
    back = outage(10**9)
    study = llm_study(storage, back)
    assert study.run(40) == "enough trials"
    assert back.calls > 0
    trials = timeless(study)
    again = llm_study(storage, outage(0))
    assert again.run(40) == "enough trials"
    assert timeless(again) == trials


def test_calls_are_journalled_and_reported_once():
    storage, reported = MemoryStorage(), []

    def asked(seed):
        llm = journalled(ScriptedLLM(lambda messages, schema, seed: f"reply {seed}"), storage, reported.append)
        return [
            llm.complete((Message("user", "hi"),), None, temperature=0.5, seed=s, max_tokens=9).text
            for s in range(seed)
        ]

    assert asked(2) == ["reply 0", "reply 1"]
    assert asked(3) == ["reply 0", "reply 1", "reply 2"]
    assert [record.call.seed for record in reported] == [0, 1, 2]
    assert list(read_journal(storage).calls) == reported
    other = journalled(ScriptedLLM(["x"], name="other"), storage)
    with pytest.raises(ReplayError, match=r"not the one on record.*resume with the language model, the strategy"):
        other.complete((Message("user", "hi"),), None, temperature=0.5, seed=0, max_tokens=9)


def test_recorded_calls_are_not_repeated():
    storage, llm = MemoryStorage(), outage(10**9)
    trials = llm_study(storage, llm)
    trials.run(20)
    calls, again = llm.calls, outage(0)
    assert calls == len(read_journal(storage).calls) > 0
    resumed = llm_study(storage, again)
    resumed.run(20)
    assert again.calls == 0
    assert timeless(resumed) == timeless(trials)


def test_a_replayed_study_that_asks_something_new_is_an_error_and_no_outage():
    storage = MemoryStorage()
    llm_study(storage, outage(10**9)).run(8)
    calls = read_journal(storage).calls
    strategy = zerolm(TOY.problem, 99, ReplayLLM(calls))
    with pytest.raises(ReplayError, match="replay with the options"):
        Study(TOY.problem, strategy, TOY).run(8)


# Files


def test_a_full_disk_stops_the_study_and_loses_nothing(tmp_path):
    path = tmp_path / "study.db"
    storage = SQLiteStorage(path)
    study = simple(storage=storage)
    storage._db.execute("PRAGMA max_page_count = 6")
    with pytest.raises(StorageFullError, match="no room left"):
        study.run(200)
    storage.close()
    before = stored(path)
    assert len(before) > 5
    storage = SQLiteStorage(path)
    resumed, straight = simple(storage=storage), simple()
    for each in (resumed, straight):
        each.run(60)
    assert timeless(resumed) == timeless(straight)
    assert list(storage.events())[: len(before)] == before
    storage.close()


def test_a_second_study_on_the_same_file_is_refused_and_nothing_is_lost(tmp_path):
    path = tmp_path / "study.db"
    first = SQLiteStorage(path)
    study = simple(storage=first)
    study.run(8)
    with pytest.raises(StorageError, match="another process is writing"):
        simple(storage=SQLiteStorage(path)).run(20)
    study.run(16)
    first.close()
    assert len({event.body["id"] for event in stored(path) if event.kind == "trial"}) == 16


def spoil_nothing(path):
    path.write_text("# notes, not a study\n")


def spoil_body(path):
    db = sqlite3.connect(path)
    db.execute("UPDATE events SET body = substr(body, 1, 9) WHERE position = 4")
    db.commit()
    db.close()


def spoil_page(path):
    content = bytearray(path.read_bytes())
    content[4096:8192] = os.urandom(4096)
    path.write_bytes(content)


def spoil_version(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 7")
    db.close()


SPOILED = {
    spoil_nothing: ForeignFileError,
    spoil_body: ForeignFileError,
    spoil_page: ForeignFileError,
    spoil_version: NewerVersionError,
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_spoiled_file_is_refused_and_left_as_it_is(tmp_path, spoil):
    path = tmp_path / "study.db"
    storage = SQLiteStorage(path)
    simple(storage=storage).run(20)
    storage.close()
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(SPOILED[spoil], match=r"study\.db"):
        resume(path)
    assert path.read_bytes() == before


def resume(path):
    storage = SQLiteStorage(path)
    try:
        simple(storage=storage).run(40)
    finally:
        storage.close()


class Verdicts:
    """Random candidates, of which those at `rejected` are put forward as too large."""

    def __init__(self, *rejected):
        self._strategy = RandomSearch(TOY.problem, 0)
        self._rejected = rejected
        self._count = itertools.count()

    def ask(self, n):
        return [
            replace(p, reasons=("too large",) * (next(self._count) in self._rejected)) for p in self._strategy.ask(n)
        ]

    def tell(self, trials):
        pass


@pytest.mark.parametrize(("first", "then"), [((1,), ()), ((), (1,))])
def test_a_candidate_that_was_judged_otherwise_is_noticed(first, then):
    """A rejected one has no metrics, an accepted one was evaluated: neither can be taken for the other."""
    storage = MemoryStorage()
    Study(TOY.problem, Verdicts(*first), TOY, storage=storage).run(3)
    before = list(storage.events())
    with pytest.raises(StorageError, match=r"trial 1 of the study.*another verdict.*the problem's check"):
        Study(TOY.problem, Verdicts(*then), TOY, storage=storage).run(3)
    assert list(storage.events()) == before
