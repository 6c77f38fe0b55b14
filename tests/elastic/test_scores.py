"""Block scores, and the best sub-network within a budget by them."""

import json
from itertools import product

import pytest
import torch

from mimar.elastic import ElasticSpace, SubNetwork
from mimar.elastic._block_scores import BlockScores
from mimar.elastic._judged import judge
from mimar.elastic._knapsack import best_within
from mimar.elastic._scores import _spread, block_scores
from mimar.errors import BudgetError
from mimar.shapes import attention_parameters, feed_forward_parameters


@pytest.fixture(scope="module")
def text():
    return torch.randint(0, 101, (5, 10), generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def scores(network, text):
    return block_scores(network, ElasticSpace.of(network.parent.arch, steps=4), text)


def test_a_score_is_what_the_change_alone_does(network, text, scores):
    whole = SubNetwork((3, 3, 3), (128, 128, 128))
    subs = {
        (0, 1, 128): SubNetwork((1, 3, 3), whole.intermediate),
        (1, 0, 128): SubNetwork((3, 0, 3), whole.intermediate),
        (2, 3, 64): SubNetwork(whole.kv_heads, (128, 128, 64)),
        (0, 3, 0): SubNetwork(whole.kv_heads, (0, 128, 128)),
    }
    losses = judge(network, list(subs.values()), text).divergences
    assert [scores.of_layer(*at) for at in subs] == pytest.approx(losses, rel=1e-3)
    assert scores.foretold(whole) == 0.0
    both = scores.foretold(SubNetwork((1, 3, 3), (128, 128, 64)))
    assert both == pytest.approx(losses[0] + losses[2], rel=1e-3)


def test_hidden_states_are_kept(scores):
    """Four options for each of three layers: from their own layer on, and the parent once."""
    assert scores.naive == 3 * 4 * 3
    assert scores.spent == 3 + 4 * (3 + 2 + 1)


def test_sizes_between_follow_what_is_expected(network, scores):
    for curve, (_, expected) in zip(scores.mlp, network.expected, strict=True):
        assert curve[128] == 0.0
        ratios = curve[0] / float(expected[0]), curve[64] / float(expected[64])
        assert curve[32] == pytest.approx(float(expected[32]) * sum(ratios) / 2)
        assert curve[96] == pytest.approx(float(expected[96]) * ratios[1])


def test_scores_survive_a_file(scores):
    assert BlockScores.from_json(json.loads(json.dumps(scores.to_json()))) == scores


def test_the_least_size_and_one_between_are_measured():
    assert _spread(range(0, 1537, 64)) == [0, 768]
    assert _spread((0, 1, 2, 3)) == [0, 1]
    assert _spread((0, 128)) == [0]
    assert _spread((128,)) == []


def _cost(parent):
    hidden = parent.hidden_size

    def cost(number, sizes):
        if not any(sizes):
            return 0
        layers = tuple(sizes if n == number else (0, 0) for n in range(parent.num_layers))
        (block,) = SubNetwork(*map(tuple, zip(*layers, strict=True))).architecture(parent).blocks
        return attention_parameters(block, hidden) + feed_forward_parameters(block, hidden)

    return cost


@pytest.mark.parametrize("form", ["R", "G", "U"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_the_knapsack_is_exact(network, scores, form, share):
    """Compared with every sub-network that there is."""
    parent = network.parent.arch
    space = ElasticSpace.of(parent, form, steps=4)
    budget = share * SubNetwork.whole(parent).block_params(parent)
    options = list(product(range(4), (0, 32, 64, 96, 128)))
    everything = (SubNetwork(*map(tuple, zip(*sizes, strict=True))) for sizes in product(options, repeat=3))
    legal = [sub for sub in everything if sub.block_params(parent) <= budget and not space.validate(sub)]
    best = min(map(scores.foretold, legal))
    found = best_within(space, scores, [(_cost(parent), budget)])
    assert found in legal
    assert scores.foretold(found) == pytest.approx(best, rel=1e-3)


def test_all_limits_are_kept(network, scores):
    parent = network.parent.arch
    space, whole = ElasticSpace.of(parent, steps=4), SubNetwork.whole(parent).block_params(parent)
    limits = [(_cost(parent), 0.8 * whole), (lambda _, sizes: sizes[0], 4)]
    found = best_within(space, scores, limits)
    assert sum(found.kv_heads) <= 4
    assert found.block_params(parent) <= 0.8 * whole
    assert scores.foretold(found) > scores.foretold(best_within(space, scores, limits[:1]))


def test_an_impossible_budget_is_a_sentence(network, scores):
    space = ElasticSpace.of(network.parent.arch, "R", steps=4, protected=(0, 1, 2))
    with pytest.raises(BudgetError, match="no sub-network of the space keeps all budgets"):
        best_within(space, scores, [(_cost(network.parent.arch), 5)])


def test_in_gguf_another_first_layer_is_found_where_it_is_better(network):
    """Layer 0 costs nothing to drop, its attention everything to keep without the rest."""
    parent = network.parent.arch
    nothing = {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}
    dear = {0: 1.0, 1: 0.9, 2: 0.8, 3: 0.0}
    scores = BlockScores((nothing, dear, dear), tuple({0: 0.0, 128: 0.0} for _ in range(3)), 0.0, 0.0)
    space = ElasticSpace.of(parent, "G", steps=1)
    found = best_within(space, scores, [(lambda _, sizes: sizes[0], 6)])
    assert found.kept_layers[0] == 1
    assert scores.foretold(found) == 0.0
    assert space.validate(found) == ()
