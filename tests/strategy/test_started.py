"""A search that begins from given candidates."""

import numpy as np

from mimar.strategy import RandomSearch, Started
from mimar.study import Study
from mimar.testing import layerdrop_problem


def asked(starts, sizes, problem):
    strategy = Started(RandomSearch(problem, 0), problem, starts, 0)
    return [strategy.ask(n) for n in sizes]


def test_all_starts_come_first_and_then_mutants_of_the_last():
    problem = layerdrop_problem().problem
    rng = np.random.default_rng(0)
    starts = [problem.space.sample(rng) for _ in range(5)]
    first, second, third = asked(starts, (3, 6, 4), problem)
    assert [proposal.architecture for proposal in first] == starts[:3]
    assert [proposal.architecture for proposal in second[:2]] == starts[3:]
    assert len(second) == 6
    differences = [
        sum(a != b for a, b in zip(proposal.architecture, starts[-1], strict=True)) for proposal in second[2:]
    ]
    assert all(0 < count < 8 for count in differences)
    assert {proposal.origin for proposal in (*first, *second)} == {"start"}
    assert "start" not in {proposal.origin for proposal in third}


def test_nothing_is_asked_twice_where_an_ask_splits_the_starts():
    """Of ten switches each mutant of the last start may be one of the others, which were asked before."""
    problem = layerdrop_problem().problem
    last = problem.space.sample(np.random.default_rng(0))
    near = {problem.space.mutate(last, np.random.default_rng(seed)) for seed in range(20)} - {last}
    starts = [*sorted(near), last]
    first, second = asked(starts, (len(near), 20), problem)
    architectures = [proposal.architecture for proposal in (*first, *second)]
    assert len(second) > 10
    assert len(set(architectures)) == len(architectures)


def test_no_starts_change_nothing():
    problem = layerdrop_problem().problem
    (first,) = asked([], (4,), problem)
    assert [p.architecture for p in first] == [p.architecture for p in RandomSearch(problem, 0).ask(4)]


def test_a_study_evaluates_every_start():
    truth = layerdrop_problem()
    starts = [truth.problem.space.sample(np.random.default_rng(seed)) for seed in range(12)]
    study = Study(truth.problem, Started(RandomSearch(truth.problem, 0), truth.problem, starts, 0), truth)
    study.run(16)
    assert [trial.architecture for trial in study.trials[:12]] == starts
