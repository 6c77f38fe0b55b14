"""A study gives the same trials in every executor, whatever finishes first."""

import random
import time
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimar.errors import CandidateError
from mimar.executor import ProcessExecutor, RayExecutor, SerialExecutor, outcome
from mimar.space import TransformerSpace
from mimar.storage import MemoryStorage
from mimar.strategy import NSGA2, RandomSearch, RegularisedEvolution
from mimar.study import Study
from mimar.testing import toy_problem

SPACE = TransformerSpace().restricted(num_layers=[4, 6, 8], hidden_size=[256, 320, 384, 448])
TOY = toy_problem(SPACE)


@dataclass(frozen=True)
class Dawdling:
    """The toy's metrics after a time that differs from candidate to candidate; those of eight layers fail."""

    slowest: float

    def evaluate(self, arch, fidelity="full"):
        time.sleep(random.Random(repr(arch)).uniform(0, self.slowest))
        if arch.num_layers == 8:
            raise CandidateError("eight layers are too many")
        return TOY.measure(arch)


class Shuffled:
    """Everything at once, and what came of it in random order."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def map(self, evaluate, items):
        found = [(index, outcome(evaluate, item)) for index, item in enumerate(items)]
        self.rng.shuffle(found)
        return iter(found)


def trials(executor, strategy, seed, batch, slowest=0.0):
    study = Study(TOY.problem, strategy(TOY.problem, seed), Dawdling(slowest), executor=executor, batch=batch)
    study.run(12)
    return [replace(trial, seconds=0.0) for trial in study.trials]


@given(
    strategy=st.sampled_from([RandomSearch, RegularisedEvolution, NSGA2]),
    seed=st.integers(0, 2**32),
    batch=st.integers(1, 9),
    order=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_the_order_of_finishing_does_not_matter(strategy, seed, batch, order):
    assert trials(Shuffled(order), strategy, seed, batch) == trials(SerialExecutor(), strategy, seed, batch)


@pytest.fixture(scope="module")
def processes():
    with ProcessExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def cluster():
    with RayExecutor() as executor:
        yield executor


SEARCHES = given(
    strategy=st.sampled_from([RandomSearch, RegularisedEvolution, NSGA2]),
    seed=st.integers(0, 2**32),
    batch=st.integers(1, 9),
)
FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same_trials(executor, strategy, seed, batch):
    expected = trials(SerialExecutor(), strategy, seed, batch)
    assert trials(executor, strategy, seed, batch, slowest=0.01) == expected
    assert {trial.status for trial in expected} <= {"complete", "failed"}


@SEARCHES
@FEW
def test_processes_give_the_trials_of_one(processes, strategy, seed, batch):
    same_trials(processes, strategy, seed, batch)


@pytest.mark.slow
@SEARCHES
@FEW
def test_ray_gives_the_trials_of_one(cluster, strategy, seed, batch):
    same_trials(cluster, strategy, seed, batch)


def test_a_study_stopped_in_one_executor_goes_on_in_another(processes):
    storage = MemoryStorage()

    def study(executor):
        return Study(TOY.problem, NSGA2(TOY.problem, 5), Dawdling(0.005), executor=executor, storage=storage)

    study(processes).run(6)
    resumed = study(SerialExecutor())
    resumed.run(12)
    whole = Study(TOY.problem, NSGA2(TOY.problem, 5), Dawdling(0.0), batch=8)
    whole.run(6)
    whole.run(12)
    assert [replace(t, seconds=0.0) for t in resumed.trials] == [replace(t, seconds=0.0) for t in whole.trials]
