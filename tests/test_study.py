"""The loop and its journal: whatever stops a study, resuming it gives the trials of one that was never stopped."""

import contextlib
import itertools
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from mimar.errors import CandidateError, ProviderError
from mimar.space import TransformerSpace
from mimar.storage import MemoryStorage, SQLiteStorage
from mimar.strategy import AdaptivePortfolio
from mimar.study import Study, journalled, read_journal
from mimar.testing import layerdrop_problem, toy_problem

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
    """A storage whose process ends right after append number `at`; the stop of a run that came to its end is free."""

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


@pytest.fixture
def open_study(make_strategy, unreliable_llm):
    """(storage, evaluator) → the study, with its LLM calls recorded, and the live LLM behind them."""

    def opened(storage, evaluator=None, toy=TOY, settings=None):
        llm = unreliable_llm(toy.problem.space)
        strategy = make_strategy(toy.problem, 3, journalled(llm, storage))
        evaluator = evaluator or Flaky(toy)
        return Study(toy.problem, strategy, evaluator, storage=storage, settings=settings, batch=BATCH), llm

    return opened


def run(study, trials=TRIALS):
    """Run to the end, whatever the end is; the trials without their wall time."""
    with contextlib.suppress(ProviderError):
        study.run(trials)
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


UNINTERRUPTED = {}
"""By strategy: it is the same for all tests."""


@pytest.fixture
def uninterrupted(open_study, strategy_case):
    if strategy_case not in UNINTERRUPTED:
        storage = MemoryStorage()
        study, _ = open_study(storage)
        UNINTERRUPTED[strategy_case] = run(study), recorded(storage)
    return UNINTERRUPTED[strategy_case]


@pytest.mark.parametrize("every", [1, 7])
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


@pytest.mark.parametrize("at", [1, 7, 15])
def test_ctrl_c_during_an_evaluation_gives_the_same_trials(open_study, uninterrupted, at):
    storage = MemoryStorage()
    study, _ = open_study(storage, InterruptedAt(TOY, at))
    ended = study.run(TRIALS)
    evaluated = sum(trial.status != "invalid" for trial in uninterrupted[0])
    assert ended == ("interrupted" if at <= evaluated else "nothing new found")  # one shot is over before the others
    assert read_journal(storage).stops == [ended]
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
    assert len(longer) > len(first) or read_journal(storage).stops[-1] in ("LLM failed", "nothing new found")
    assert evaluator.calls == sum(trial.status != "invalid" for trial in longer[len(first) :])
    assert run(open_study(storage)[0], TRIALS) == longer


def test_sqlite_and_memory_hold_the_same(open_study, uninterrupted, tmp_path):
    storage = SQLiteStorage(tmp_path / "study.db")
    trials = run(open_study(storage)[0])
    assert (trials, recorded(storage)) == uninterrupted
    storage.close()


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
    """Start the study in a process of its own and kill it at a random instant; how often that was before its end."""
    rng, amid = random.Random(seed), 0
    for _ in range(kills):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "running\n"
            before = [event.kind for event in _events(path)]
            time.sleep(rng.uniform(0, 0.08))
            child.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
        kinds = [event.kind for event in _events(path)]
        assert kinds[: len(before)] == before
        amid += kinds.count("trial") < 60
    return amid


def _events(path):
    storage = SQLiteStorage(path, read_only=True)
    events = list(storage.events())
    storage.close()
    return events


def finished(storage):
    """The trials of the same study run to its end in this process."""
    study = Study(DROP.problem, AdaptivePortfolio(DROP.problem, 5, initial=12), DROP, storage=storage, batch=4)
    assert study.run(60) == "enough trials"
    return timeless(study)


def check_kills(path, kills, seed):
    assert killed_study(path, kills, seed) > 0
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
