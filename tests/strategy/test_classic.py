"""What the classic strategies are known for, on problems whose answers are known."""

from functools import cache
from statistics import median

import numpy as np
import pytest

from mimar.bench import search_runs, search_truth
from mimar.errors import InputError
from mimar.objectives import Objective
from mimar.strategy import LINAS, NSGA2, LocalSearch, RandomSearch, ReinforcementLearning, Scalarised
from mimar.strategy._reinforce import Policy
from mimar.study import Study
from mimar.testing import layerdrop_problem
from mimar.trial import Trial

DROP = layerdrop_problem()
TRUTH = search_truth("layerdrop")
SEEDS = 5


@cache
def share(make, budget):
    return median(run.hv_share for run in search_runs(TRUTH, {"it": make}, [budget], SEEDS))


@pytest.mark.slow
def test_linas_comes_close_to_the_exact_front_in_150_evaluations():
    runs = search_runs(TRUTH, {"linas": LINAS}, [150], 3)
    assert median(run.hv_share for run in runs) >= 0.965


def test_nsga2_comes_close_to_the_exact_front_in_2000_evaluations():
    assert share(NSGA2, 2000) >= 0.957


def test_reinforcement_learning_beats_random_search():
    assert share(ReinforcementLearning, 2000) > share(RandomSearch, 2000) + 0.1


def test_local_search_beats_random_search():
    assert share(LocalSearch, 500) > share(RandomSearch, 500) + 0.05


def searched(make, trials, seed=0):
    strategy = make(DROP.problem, seed)
    study = Study(DROP.problem, strategy, DROP)
    study.run(trials)
    return study.trials


def test_a_climb_tries_mutants_of_its_front_only_until_it_is_stuck():
    trials = searched(lambda problem, seed: LocalSearch(problem, seed, starts=4, patience=2), 900)
    known = {trial.id: trial.architecture for trial in trials}
    mutants = [trial for trial in trials if trial.proposal.origin == "mutation"]
    assert len(mutants) > 100
    for trial in mutants:
        (parent,) = trial.proposal.parents
        assert sum(a != b for a, b in zip(trial.architecture, known[parent], strict=True)) == 1
    tries = [trial.proposal.parents[0] for trial in mutants]
    assert max(map(tries.count, tries)) == 2
    assert sum(trial.proposal.origin == "random" for trial in trials) > 8  # more than one climb


def best_sum(trials, weights):
    return min(weights @ np.asarray([trial.metrics["cost"], trial.metrics["damage"]]) for trial in trials)


@pytest.mark.parametrize("weights", [{"cost": 4.0}, {"damage": 4.0}], ids=["cost", "damage"])
def test_the_scalarised_search_minimises_the_weighted_sum_it_was_given(weights):
    vector = np.asarray([weights.get("cost", 1.0), weights.get("damage", 1.0)])
    found = [best_sum(searched(lambda p, s: Scalarised(p, s, weights), 300, seed), vector) for seed in range(SEEDS)]
    other = {"cost": weights.get("damage", 1.0), "damage": weights.get("cost", 1.0)}
    wrong = [best_sum(searched(lambda p, s: Scalarised(p, s, other), 300, seed), vector) for seed in range(SEEDS)]
    chance = [best_sum(searched(RandomSearch, 300, seed), vector) for seed in range(SEEDS)]
    assert median(found) < median(wrong)
    assert median(found) < median(chance)


@pytest.mark.parametrize(("weights", "complaint"), [
    ({"speed": 1.0}, "no objective is called 'speed'"), ({"cost": -1.0}, "at least 0"),
    ({"cost": 0.0, "damage": 0.0}, "not all 0"), ({"cost": float("nan")}, "at least 0"),
])  # fmt: skip
def test_weights_that_are_none_are_refused(weights, complaint):
    with pytest.raises(InputError, match=complaint):
        Scalarised(DROP.problem, 0, weights)


def test_a_policy_step_is_the_gradient_of_reinforce_with_entropy():
    """Against finite differences of advantage · log π + entropy · H in the logits."""
    rate, entropy, picks = 1e-6, 0.3, np.asarray([2, 0])
    policy = Policy([3, 2], rate=rate, entropy=entropy)
    start = [np.asarray([0.3, -0.2, 0.1]), np.asarray([0.5, -0.4])]
    policy._logits = [logits.copy() for logits in start]
    policy.punish(picks)  # an advantage of −1
    moved = [(after - before) / rate for after, before in zip(policy._logits, start, strict=True)]

    def value(logits, pick):
        shares = np.exp(logits) / np.exp(logits).sum()
        return -np.log(shares[pick]) - entropy * np.sum(shares * np.log(shares))

    for logits, pick, step in zip(start, picks, moved, strict=True):
        numeric = [(value(logits + d, pick) - value(logits - d, pick)) / 2e-5 for d in 1e-5 * np.eye(len(logits))]
        np.testing.assert_allclose(step, numeric, rtol=1e-4, atol=1e-6)


def test_the_first_reward_is_a_baseline_and_no_step():
    policy = Policy([2], rate=0.1, entropy=0.0)
    policy.reward(np.asarray([0]), -0.4)
    assert policy.probabilities()[0] == pytest.approx([0.5, 0.5])
    policy.reward(np.asarray([1]), -0.3)
    assert policy.probabilities()[0][1] > 0.5


def test_a_policy_learns_which_option_pays():
    policy, rng = Policy([4], rate=0.1, entropy=0.0), np.random.default_rng(0)
    for _ in range(400):
        picks = policy.draw(rng)
        policy.reward(picks, float(picks[0] == 2) + 0.1 * rng.normal())
    assert policy.probabilities()[0][2] > 0.9


def test_one_objective_is_searched_by_one_policy():
    from dataclasses import replace

    from mimar.pareto import Reference

    alone = replace(DROP.problem, objectives=(Objective("damage", "min"),), reference=Reference((1.0,), (0.0,)))
    trials = Study(alone, ReinforcementLearning(alone, 0), DROP)
    trials.run(600)
    late = [trial.metrics["damage"] for trial in trials.trials[-50:]]
    early = [trial.metrics["damage"] for trial in trials.trials[:50]]
    assert np.mean(late) < 0.5 * np.mean(early)


@pytest.mark.parametrize(("status", "learns"), [("invalid", False), ("failed", True)])
def test_reinforcement_learning_holds_nothing_against_what_was_passed_over(status, learns):
    told, other = ReinforcementLearning(DROP.problem, 0), ReinforcementLearning(DROP.problem, 0)
    proposals = told.ask(64)
    other.ask(64)
    told.tell([Trial(i, proposal, status, reasons=("why",)) for i, proposal in enumerate(proposals)])
    other.tell(())
    changed = [each.architecture for each in told.ask(64)] != [each.architecture for each in other.ask(64)]
    assert changed == learns
