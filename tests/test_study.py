"""The loop and its journal: whatever stops a study, resuming it gives the trials of one that was never stopped."""

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from mimar.errors import (
    CandidateError,
    ForeignFileError,
    InputError,
    LLMError,
    NewerVersionError,
    ProviderError,
    ReplayError,
    StorageError,
    StorageFullError,
)
from mimar.executor import SerialExecutor
from mimar.llm import Recording, ReplayLLM
from mimar.space import TransformerSpace
from mimar.storage import Event, MemoryStorage, SQLiteStorage
from mimar.strategy import Brief, RandomSearch, ZeroLMLoop
from mimar.study import PATIENCE, Study, read_journal
from mimar.testing import ScriptedLLM, layerdrop_problem, toy_problem

TOY = toy_problem(TransformerSpace().restricted(num_layers=[4, 6, 8], hidden_size=[256, 320, 384, 448]))
DROP = layerdrop_problem()
TRIALS = 26
BATCH = 6


class Flaky:
    """The toy's evaluator; a share of the candidates fails, which ones depends on the candidate alone."""

    def __init__(self, toy):
        self.toy = toy
        self.calls = 0

    def evaluate(self, arch, fidelity="full"):
        self.calls += 1
        metrics = self.toy.measure(arch)
        if int(1e6 * sum(metrics.values())) % 7 == 0:
            raise CandidateError("out of memory: batch 1 needs 9 GB")
        return metrics


class InterruptedAt(Flaky):
    """Ctrl-C comes during evaluation number `at`."""

    def __init__(self, toy, at):
        super().__init__(toy)
        self.at = at

    def evaluate(self, arch, fidelity="full"):
        if self.calls + 1 == self.at:
            raise KeyboardInterrupt
        return super().evaluate(arch, fidelity)


class Crash(BaseException):
    """The end of the process, as far as a test in one process can have it."""


class Crashing:
    """A storage whose process ends right after append number `at`."""

    def __init__(self, inner, at):
        self.inner = inner
        self.left = at

    def append(self, event):
        self.inner.append(event)
        self.left -= 1
        if self.left == 0:
            raise Crash

    def events(self):
        return self.inner.events()

    def close(self):
        self.inner.close()


@pytest.fixture
def open_study(make_strategy, unreliable_llm):
    """(storage, evaluator) → the study, with its LLM calls recorded, and the live LLM behind them."""

    def opened(storage, evaluator=None, toy=TOY, settings=None):
        llm = unreliable_llm(toy.problem.space)
        past = read_journal(storage).calls
        recording = Recording(llm, past, lambda record: storage.append(Event("call", record.to_json())))
        strategy = make_strategy(toy.problem, 3, recording)
        evaluator = evaluator or Flaky(toy)
        return Study(toy.problem, strategy, evaluator, storage=storage, settings=settings, batch=BATCH), llm

    return opened


def run(study, trials=TRIALS):
    """Run to the end, whatever the end is; the trials without their wall time."""
    try:
        study.run(trials)
    except LLMError as error:
        assert isinstance(error, ProviderError)
    return timeless(study)


def timeless(study):
    return [replace(trial, seconds=0.0) for trial in study.trials]


def recorded(storage):
    """The journal without what differs between two runs of the same study: wall times and stops."""
    return [(event.kind, stripped(event.body)) for event in storage.events() if event.kind != "stop"]


def stripped(body):
    if not isinstance(body, dict):
        return body
    return {name: stripped(value) for name, value in body.items() if name not in ("seconds", "usage")}


@pytest.fixture
def uninterrupted(open_study):
    storage = MemoryStorage()
    study, _ = open_study(storage)
    return run(study), recorded(storage)


@pytest.mark.parametrize("every", [1, 2, 3, 7, 20])
def test_a_study_that_ends_after_every_few_appends_gives_the_same_trials(open_study, uninterrupted, every):
    storage, starts = MemoryStorage(), 0
    while True:
        starts += 1
        before = recorded(storage)
        try:
            trials = run(open_study(Crashing(storage, every))[0])
        except Crash:
            assert recorded(storage)[: len(before)] == before
            assert len(recorded(storage)) >= len(before)
        else:
            break
    assert (trials, recorded(storage)) == uninterrupted
    assert starts >= len(recorded(storage)) // every


@pytest.mark.parametrize("at", [1, 2, 6, 7, 15])
def test_ctrl_c_during_an_evaluation_gives_the_same_trials(open_study, uninterrupted, at):
    storage = MemoryStorage()
    study, _ = open_study(storage, InterruptedAt(TOY, at))
    assert study.run(TRIALS) == "interrupted"
    assert read_journal(storage).stops == ["interrupted"]
    trials = run(open_study(storage)[0])
    assert (trials, recorded(storage)) == uninterrupted


def test_nothing_is_done_twice(open_study):
    """Evaluations and LLM calls of all runs together are those on record, each once."""
    storage, evaluations, calls = MemoryStorage(), 0, 0
    for crash_at in itertools.chain(range(5, 60, 9), [10**9]):
        evaluator = Flaky(TOY)
        try:
            study, llm = open_study(Crashing(storage, crash_at), evaluator)
            run(study)
        except Crash:
            pass
        evaluations, calls = evaluations + evaluator.calls, calls + llm.calls
    journal = read_journal(storage)
    assert calls == len(journal.calls)
    assert evaluations == sum(trial["status"] != "invalid" for trial in journal.trials.values())
    ids = [event.body["id"] for event in storage.events() if event.kind == "trial"]
    assert sorted(ids) == list(range(len(ids)))


def test_a_finished_study_can_be_extended(open_study):
    storage = MemoryStorage()
    first = run(open_study(storage)[0], 10)
    evaluator = Flaky(TOY)
    study, _ = open_study(storage, evaluator)
    longer = run(study, TRIALS)
    assert longer[: len(first)] == first
    assert len(longer) > len(first) or read_journal(storage).stops[-1] == "LLM failed"
    assert evaluator.calls == sum(trial.status != "invalid" for trial in longer[len(first) :])
    assert run(open_study(storage)[0], TRIALS) == longer


@pytest.mark.parametrize("case", ["random", "adaptive with an LLM"])
def test_sqlite_and_memory_hold_the_same(case, tmp_path, unreliable_llm):
    from_conftest = {"random": lambda problem, llm: RandomSearch(problem, 3)}
    from_conftest["adaptive with an LLM"] = lambda problem, llm: ZeroLMLoop(problem, 3, llm, Brief("b", "d"))
    journals = []
    for storage in (MemoryStorage(), SQLiteStorage(tmp_path / "s.db")):
        llm = Recording(
            unreliable_llm(TOY.problem.space), (), lambda r, s=storage: s.append(Event("call", r.to_json()))
        )
        study = Study(TOY.problem, from_conftest[case](TOY.problem, llm), Flaky(TOY), storage=storage, batch=BATCH)
        run(study)
        journals.append(recorded(storage))
        storage.close()
    assert journals[0] == journals[1]


CHILD = """
import sys, time
from pathlib import Path
from mimar.storage import SQLiteStorage
from mimar.strategy import AdaptivePortfolio
from mimar.study import Study
from mimar.testing import layerdrop_problem

toy = layerdrop_problem()

class Slow:
    def evaluate(self, arch, fidelity="full"):
        time.sleep(0.002)
        return toy.measure(arch)

storage = SQLiteStorage(Path(sys.argv[1]))
study = Study(toy.problem, AdaptivePortfolio(toy.problem, 5, initial=12), Slow(), storage=storage, batch=4)
print("running", flush=True)
print(study.run(60), flush=True)
storage.close()
"""


def killed_study(path, kills, seed):
    """Start the study in a process of its own, kill it at a random instant, and so on; False when it got to the end."""
    rng = random.Random(seed)
    for _ in range(kills):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "running\n"
            before = [event.kind for event in _events(path)]
            time.sleep(rng.uniform(0, 0.08))
            child.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
        assert [event.kind for event in _events(path)][: len(before)] == before


def _events(path):
    storage = SQLiteStorage(path, read_only=True)
    events = list(storage.events())
    storage.close()
    return events


def finished(storage):
    """The trials of the same study run to its end in this process."""
    from mimar.strategy import AdaptivePortfolio

    study = Study(DROP.problem, AdaptivePortfolio(DROP.problem, 5, initial=12), DROP, storage=storage, batch=4)
    assert study.run(60) == "enough trials"
    return timeless(study)


def check_kills(path, kills, seed):
    killed_study(path, kills, seed)
    storage = SQLiteStorage(path)
    assert finished(storage) == finished(MemoryStorage())
    ids = [event.body["id"] for event in storage.events() if event.kind == "trial"]
    assert sorted(ids) == list(range(60))
    storage.close()


def test_kill_at_any_instant(tmp_path):
    check_kills(tmp_path / "study.db", kills=4, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_many_kills_at_any_instant(tmp_path, seed):
    check_kills(tmp_path / "study.db", kills=12, seed=seed + 1)


# What a study does with single trials


def simple(toy=DROP, seed=0, **options):
    return Study(toy.problem, RandomSearch(toy.problem, seed), options.pop("evaluator", toy), **options)


def test_failed_candidates_are_stored_with_their_reason_and_do_not_count():
    storage, evaluator = MemoryStorage(), Flaky(TOY)
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
    storage, evaluator = MemoryStorage(), Flaky(TOY)
    strategy = ZeroLMLoop(TOY.problem, 1, unreliable_llm(TOY.problem.space), Brief("b", "d"))
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
    class Buggy(InterruptedAt):
        def evaluate(self, arch, fidelity="full"):
            if self.calls + 1 == self.at:
                raise ZeroDivisionError
            return super().evaluate(arch, fidelity)

    storage = MemoryStorage()
    with pytest.raises(ZeroDivisionError):
        simple(storage=storage, evaluator=Buggy(DROP, 5)).run(20)
    assert len(read_journal(storage).trials) == 4
    resumed, straight = simple(storage=storage), simple()
    for study in (resumed, straight):
        study.run(20)
    assert timeless(resumed) == timeless(straight)


def test_trials_are_told_in_proposal_order_whatever_finishes_first():
    class Backwards:
        def map(self, evaluate, items):
            return reversed(list(SerialExecutor().map(evaluate, items)))

    seen = []
    study = simple(executor=Backwards(), on_trial=seen.append)
    straight = simple()
    for each in (study, straight):
        each.run(16)
    assert timeless(study) == timeless(straight)
    assert [trial.id for trial in seen] == [*range(7, -1, -1), *range(15, 7, -1)]


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
    with pytest.raises(StorageError, match=r"trial 0 of the study cannot be reproduced.*start a new study"):
        simple(storage=storage, seed=1).run(5)
    assert list(storage.events()) == before


def test_a_run_that_ended_amid_a_batch_is_not_continued_in_place():
    study = simple(evaluator=InterruptedAt(DROP, 3))
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
        import json

        import numpy as np

        if calls <= next(count) < until:
            raise ProviderError("the provider answered HTTP 503")
        rng = np.random.default_rng(seed)
        return json.dumps({"candidates": [space.to_json(space.sample(rng)) for _ in range(8)]})

    return ScriptedLLM(reply)


def llm_study(storage, llm):
    past = read_journal(storage).calls
    recording = Recording(llm, past, lambda record: storage.append(Event("call", record.to_json())))
    strategy = ZeroLMLoop(TOY.problem, 2, recording, Brief("b", "d"))
    return Study(TOY.problem, strategy, TOY, storage=storage)


def test_an_llm_that_fails_for_good_ends_the_run_and_a_later_one_goes_on():
    storage = MemoryStorage()
    with pytest.raises(ProviderError, match="HTTP 503"):
        llm_study(storage, outage(2)).run(40)
    journal = read_journal(storage)
    assert journal.stops == ["LLM failed"]
    stored = list(storage.events())
    with pytest.raises(ProviderError):  # still down
        llm_study(storage, outage(0)).run(40)
    assert list(storage.events())[: len(stored)] == stored
    back = outage(10**9)
    study = llm_study(storage, back)
    assert study.run(40) == "enough trials"
    assert back.calls > 0
    trials = timeless(study)
    again = llm_study(storage, outage(0))
    assert again.run(40) == "enough trials"
    assert timeless(again) == trials


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
    strategy = ZeroLMLoop(TOY.problem, 99, ReplayLLM(calls), Brief("b", "d"))
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
    stored = _events(path)
    assert len(stored) > 5
    storage = SQLiteStorage(path)
    resumed, straight = simple(storage=storage), simple()
    for each in (resumed, straight):
        each.run(60)
    assert timeless(resumed) == timeless(straight)
    assert list(storage.events())[: len(stored)] == stored
    storage.close()


def test_a_second_study_on_the_same_file_is_refused_and_nothing_is_lost(tmp_path):
    path = tmp_path / "study.db"
    first, second = SQLiteStorage(path), SQLiteStorage(path)
    simple(storage=first).run(8)
    with pytest.raises(StorageError, match="another process is writing"):
        simple(storage=second).run(20)
    simple(storage=first).run(16)
    first.close()
    second.close()
    assert len({event.body["id"] for event in _events(path) if event.kind == "trial"}) == 16


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
