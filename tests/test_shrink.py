"""A parent, text, a device and budgets → a search over its sub-networks."""

import numpy as np
import pytest
import torch
from tests.elastic.conftest import made

from mimar.cli._strategies import CLASSIC
from mimar.elastic import ElasticSpace, SubNetwork, SuperNetwork, block_scores, extract, judge, load_parent, text_loss
from mimar.errors import BudgetError, InputError
from mimar.hardware import Workload, load_profile
from mimar.objectives import Budget, losses
from mimar.pareto import front
from mimar.shrink import DIVERGENCE, LOSS, Knapsack, Known, Lessons, ShrinkEvaluator, shrink_task, spread, tune
from mimar.shrink._knapsack import PRIOR, SPREAD, _posterior
from mimar.shrink._within import at_most
from mimar.strategy import Started
from mimar.study import Study

USE = (load_profile("laptop-cpu"), Workload(64, prompt_tokens=16))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    made("llama").save_pretrained(folder)
    ids = torch.randint(0, 101, (6, 12), generator=torch.Generator().manual_seed(1))
    network = SuperNetwork.of(load_parent(str(folder)), ids)
    space = ElasticSpace.of(network.parent.arch, "G", steps=4)
    return network, space, block_scores(network, space, ids), ids


def given(parts):
    """What a task is made of."""
    network, space, scores, ids = parts
    return network, Known(space, *USE), scores, ids


def size(parts):
    return SubNetwork.whole(parts[1].parent).block_params(parts[1].parent)


def test_a_search_finds_a_front_within_the_budget(parts):
    most = 0.8 * size(parts)
    task = shrink_task(*given(parts), budgets=[Budget("block_params", "max", most)])
    study = Study(task.problem, CLASSIC["nsga2"](task.problem, 0), task.evaluator, prepare=task.evaluator.prepare)
    study.run(24)
    front = study.front()
    assert len(front) > 2
    assert all(trial.metrics["block_params"] <= most for trial in front)
    trial = front[0]
    judged = judge(parts[0], [trial.architecture], parts[3])
    assert trial.metrics[DIVERGENCE] == pytest.approx(judged.divergences[0], rel=1e-4)
    assert trial.metrics[LOSS] == pytest.approx(judged.losses[0], rel=1e-4)
    model = extract(parts[0], trial.architecture)
    assert trial.metrics[LOSS] == pytest.approx(text_loss(model, parts[3]), rel=1e-4)
    assert 0 < task.evaluator.spent < task.evaluator.naive
    assert study.hypervolume() > 0


def test_a_search_starts_from_the_best_by_the_scores_and_from_more_even_ones(parts):
    space, scores = parts[1], parts[2]
    task = shrink_task(*given(parts), budgets=[Budget("block_params", "max", 0.9 * size(parts))])
    others = task.starts[1:]
    assert len(others) > 3
    most = 0.9 * size(parts)
    assert all(sub.block_params(space.parent) <= most for sub in task.starts)
    foretold = [scores.foretold(sub) for sub in task.starts]
    assert foretold[0] == min(foretold)
    rng = np.random.default_rng(0)
    fitting = [sub for _ in range(300) if (sub := space.sample(rng)).block_params(space.parent) <= most]
    assert foretold[0] <= min(map(scores.foretold, fitting))
    assert min(sub.block_params(space.parent) for sub in others) < 0.7 * most


def test_scores_that_are_drawn_together_are_alike(parts):
    scores = parts[2]
    alike, half = scores.evened(1.0), scores.evened(0.5)
    assert scores.evened(0.0) == scores
    assert all(curve == pytest.approx(alike.mlp[0]) for curve in alike.mlp)
    mean = np.mean([curve[64] for curve in scores.mlp])
    assert alike.mlp[1][64] == pytest.approx(mean)
    assert half.mlp[1][64] == pytest.approx((mean + scores.mlp[1][64]) / 2)
    assert half.attention[0][3] == 0.0


@pytest.mark.parametrize(
    ("metric", "kind", "share"),
    [("memory_bytes", "max", 0.9), ("decode_tokens_per_second", "min", 1.1), ("params", "max", 0.9)],
)
def test_budgets_on_the_device_are_kept(parts, metric, kind, share):
    whole = SubNetwork.whole(parts[1].parent)
    known = shrink_task(*given(parts)).problem.known
    budget = Budget(metric, kind, share * known(whole)[metric])
    task = shrink_task(*given(parts), budgets=[budget])
    assert budget.broken(known(task.starts[0])) is None
    assert task.problem.check(task.starts[0]) == ()
    assert "over budget" in task.problem.check(whole)[0]


def test_what_cannot_be_is_a_sentence(parts):
    with pytest.raises(BudgetError, match="no sub-network of the space keeps all budgets"):
        shrink_task(*given(parts), budgets=[Budget("memory_bytes", "max", 10.0)])
    with pytest.raises(InputError, match="unknown objective 'beauty'"):
        shrink_task(*given(parts), objectives=("beauty",))
    with pytest.raises(InputError, match="unknown metric 'beauty'"):
        shrink_task(*given(parts), budgets=[Budget("beauty", "max", 1.0)])
    with pytest.raises(InputError, match="unknown metric 'loss'"):  # of which nothing is known before it is run
        shrink_task(*given(parts), budgets=[Budget("loss", "max", 1.0)])


def nearest_of_many(space, rng):
    """Of a size drawn evenly from half of the parent to all of it, in another way than the fine-tune draws."""
    wanted = (0.5 + 0.5 * rng.random()) * SubNetwork.whole(space.parent).block_params(space.parent)
    return min((space.sample(rng) for _ in range(64)), key=lambda sub: abs(sub.block_params(space.parent) - wanted))


def test_one_fine_tune_brings_all_sub_networks_nearer(parts, tmp_path):
    """On text that it did not see; the whole network hardly changes, and a second run takes the first one's end."""
    network, space, _, _ = parts
    draw = torch.Generator().manual_seed(7)
    text = torch.randint(0, 101, (4000,), generator=draw).numpy().astype(np.int32)
    judged = torch.randint(0, 101, (8, 12), generator=draw)
    lessons = Lessons(60_000, 1e-3, 1.0, "float32", text, judged.numpy())
    rows = []
    tuned = tune(network, space, lessons, tmp_path, identity={}, on_row=rows.append).network
    subs = [nearest_of_many(space, np.random.default_rng(seed)) for seed in range(16)]
    before, after = (np.median(judge(each, subs, judged).divergences) for each in (network, tuned))
    assert after < 0.8 * before
    (whole,) = judge(tuned, [SubNetwork.whole(space.parent)], judged).divergences
    assert whole < 0.15 * before
    assert tuned.original is network.parent
    wanted = (DIVERGENCE, "block_params")
    task = shrink_task(tuned, Known(space, *USE), block_scores(tuned, space, judged), judged, objectives=wanted)
    assert task.problem.reference.ideal[0] == pytest.approx(whole)  # what cuts cost comes on top of that
    again = tune(network, space, lessons, tmp_path, identity={}, on_row=rows.append).network
    assert torch.equal(again.parent.layers[1].mlp.down, tuned.parent.layers[1].mlp.down)


def test_spread_sub_networks_are_of_all_sizes_and_shapes(parts):
    space = parts[1]
    subs = spread(space, 20)
    shares = [sub.block_params(space.parent) / size(parts) for sub in subs]
    wanted = 0.5125 + 0.025 * np.arange(20)
    assert all(shares <= wanted)
    assert all(wanted[:-1] - 0.07 < shares[:-1])
    assert shares[-1] > 0.8  # the least cut of this small space leaves less than 0.99
    assert subs == spread(space, 20)
    assert len(set(subs) | set(spread(space, 20, seed=1))) > 20


class _Sum:
    """A world in which what a sub-network costs is a sum over its parts, each score times a factor nobody knows."""

    def __init__(self, task, scores):
        self.task, self.scores = task, scores.evened(PRIOR)
        self.factors = np.random.default_rng(6).uniform(0.3, 3.0, (2, len(scores.mlp)))
        self.begin = task.problem.reference.ideal[0]

    def cost(self, sub):
        return float((self.factors * self.scores.parts(sub)).sum())

    def evaluate(self, arch, fidelity="full"):
        return {**self.task.problem.known(arch), LOSS: self.begin + self.cost(arch)}


def test_a_knapsack_learns_what_the_scores_did_not_know(parts):
    """With the factors it would find the best; without it comes near, nearer than the scores and a local search."""
    network, scores, ids = parts[0], parts[2], parts[3]
    space = ElasticSpace.of(network.parent.arch, "G", steps=8)
    scores = block_scores(network, space, ids)
    most = at_most(0.8 * size(parts))
    task = shrink_task(network, Known(space, *USE), scores, ids, budgets=[most])
    world = _Sum(task, scores)
    ends = []
    for strategy in (Knapsack(task, scores, 0), CLASSIC["local"](task.problem, 0)):
        study = Study(task.problem, Started(strategy, task.problem, task.starts, 0), world)
        study.run(32)
        ends.append(min(trial.metrics[LOSS] for trial in study.trials) - world.begin)
    best = world.cost(task.within.best(world.scores.times(world.factors)))
    begin = min(world.cost(sub) for sub in task.starts)
    assert begin > 1.05 * best
    assert ends[0] == pytest.approx(best, rel=0.01)
    assert ends[0] <= ends[1]


def test_factors_of_scores_are_learnt_from_sums():
    """Relative to the common one; the more trials, the surer."""
    rng = np.random.default_rng(0)
    factors = rng.uniform(0.7, 1.4, 10)
    parts = [rng.uniform(0.0, 1.0, (2, 5)) for _ in range(400)]
    costs = [3.0 * float(each.flatten() @ factors) for each in parts]
    common = sum(costs) / sum(each.sum() for each in parts)
    few, all_of_them = (_posterior(parts[:count], costs[:count], 10) for count in (10, 400))
    assert all_of_them[0] == pytest.approx(3.0 * factors / common, abs=0.02)
    assert np.trace(all_of_them[1]) < 0.1 * np.trace(few[1]) < 0.1 * 10 * SPREAD**2
    mean, covariance = _posterior([], [], 10)
    assert (mean == 1).all()
    assert np.diag(covariance) == pytest.approx(SPREAD**2)


def test_a_knapsack_wants_a_figure_to_learn_from(parts):
    task = shrink_task(*given(parts), budgets=[at_most(0.8 * size(parts))], objectives=("params",))
    with pytest.raises(InputError, match="knapsack needs divergence or loss among the objectives"):
        Knapsack(task, parts[2], 0)


def test_candidates_that_cannot_reach_the_front_are_given_up(parts):
    """The front is that of whole evaluations; what was given up is on neither."""
    network, space, scores, _ = parts
    ids = torch.randint(0, 101, (24, 12), generator=torch.Generator().manual_seed(5))
    budget, wanted = at_most(0.95 * size(parts)), (DIVERGENCE, "block_params")
    task = shrink_task(network, Known(space, *USE), scores, ids, budgets=[budget], objectives=wanted)
    rng = np.random.default_rng(0)
    subs = [space.sample(rng) for _ in range(24)]
    raced, whole = task.evaluator, ShrinkEvaluator(network, ids, task.problem.known)
    fronts = []
    for evaluator in (raced, whole):
        evaluator.prepare(subs)
        rows = [evaluator.evaluate(sub) for sub in subs]
        points = losses(rows, task.problem.objectives)
        fronts.append({int(number) for number in front(points)})
    assert raced.spent < whole.spent
    assert fronts[0] == fronts[1]


def test_a_batch_that_was_left_amid_is_raced_again(parts):
    """Otherwise what is given up, and what it is estimated at, would be another thing."""
    network, space, scores, ids = parts
    task, again = (
        shrink_task(network, Known(space, *USE), scores, ids, budgets=[at_most(0.95 * size(parts))]) for _ in "ab"
    )
    rng = np.random.default_rng(0)
    subs = [space.sample(rng) for _ in range(8)]
    task.evaluator.prepare(subs)
    rows = [task.evaluator.evaluate(sub) for sub in subs]
    for sub, row in zip(subs[:3], rows, strict=False):
        again.evaluator.recall(sub, row)
    again.evaluator.prepare(subs)
    assert [again.evaluator.evaluate(sub) for sub in subs] == rows
    assert again.evaluator.spent == task.evaluator.spent
