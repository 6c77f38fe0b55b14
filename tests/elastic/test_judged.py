"""Candidates judged together: the same figures as one by one, for fewer layers."""

import math

import numpy as np
import pytest
import torch
from tests.elastic.test_load import run
from tests.elastic.test_supernetwork import run_layers
from torch.nn import functional as F

from mimar.elastic import ElasticSpace, SubNetwork
from mimar.elastic._judged import PIECES, among_the_best, judge, on_the_front


@pytest.fixture(scope="module")
def text():
    return torch.randint(0, 101, (16, 10), generator=torch.Generator().manual_seed(2))


def candidates(network, count):
    space, rng = ElasticSpace.of(network.parent.arch, steps=4), np.random.default_rng(0)
    return [space.sample(rng) for _ in range(count)]


def test_the_parent_is_no_distance_from_itself(network, text):
    (loss,) = judge(network, [SubNetwork.whole(network.parent.arch)], text).divergences
    assert abs(loss) < 1e-5


def test_is_the_divergence_of_probabilities(network, text):
    sub = SubNetwork((3, 0, 2), (64, 128, 0))
    expected = run(network.parent, text).log_softmax(-1)
    found = run_layers(network.parent, network.layers(sub), text).log_softmax(-1)
    by_hand = F.kl_div(found, expected, reduction="batchmean", log_target=True) / text.shape[1]
    (loss,) = judge(network, [sub], text).divergences
    assert loss == pytest.approx(float(by_hand), rel=1e-4)


def test_together_is_one_by_one(network, text):
    subs = candidates(network, 8)
    together, alone = judge(network, subs, text), [judge(network, [sub], text) for sub in subs]
    assert together.divergences == pytest.approx([each.divergences[0] for each in alone], rel=1e-4)
    assert together.naive == sum(each.spent for each in alone) == sum(len(sub.kept_layers) for sub in subs)


def test_what_candidates_begin_with_is_run_once(network, text):
    subs = [
        SubNetwork((3, 3, 1), (128, 128, 64)),
        SubNetwork((3, 3, 2), (128, 128, 64)),
        SubNetwork((3, 0, 2), (128, 0, 64)),
        SubNetwork((3, 3, 1), (128, 128, 64)),
    ]
    judged = judge(network, subs, text)
    assert judged.naive == 11.0
    assert judged.spent == 5.0  # the first; the second; the third of three candidates, two of which are the same
    assert judged.divergences[0] == judged.divergences[3]


def test_a_race_keeps_the_best_and_saves(network, text):
    subs = candidates(network, 20)
    whole, race = judge(network, subs, text), judge(network, subs, text, among_the_best(3))
    best = np.argsort(whole.divergences)[:3]
    assert np.argsort(race.divergences)[:3].tolist() == best.tolist()
    assert [race.divergences[number] for number in best] == pytest.approx(
        [whole.divergences[number] for number in best]
    )
    assert race.spent < 0.6 * whole.spent
    assert sum(map(math.isinf, race.divergences)) > 5


def test_a_race_for_the_front_keeps_what_no_smaller_one_beats(network, text):
    subs = candidates(network, 20)
    sizes = [sub.block_params(network.parent.arch) for sub in subs]
    whole, race = judge(network, subs, text), judge(network, subs, text, on_the_front(np.array(sizes)[:, None]))
    front = [
        a
        for a in range(20)
        if not any(sizes[b] <= sizes[a] and whole.divergences[b] < whole.divergences[a] for b in range(20) if b != a)
    ]
    assert [race.divergences[a] for a in front] == pytest.approx([whole.divergences[a] for a in front])
    assert race.spent < whole.spent


def losses(rng, means, sequences):
    """Of candidates by what they lose on the whole: with long tails, and alike within a sequence."""
    alike, own = rng.exponential(size=(len(means), sequences, 1)), rng.exponential(size=(len(means), sequences, PIECES))
    return np.asarray(means)[:, None, None] + alike + own


@pytest.mark.parametrize("sequences", [4, 8, 16])
def test_an_equal_is_hardly_ever_given_up(sequences):
    rng, keep = np.random.default_rng(0), among_the_best(1)
    kept = [keep(losses(rng, [0.0, 0.0], sequences), range(2)) for _ in range(2000)]
    assert np.mean(kept) > 0.99


def test_an_equal_that_differs_by_sequence_alone_is_hardly_ever_given_up():
    """What most pairs show of the text is not true of its own, and fewer are kept where only that is asked."""
    rng, keep, kept = np.random.default_rng(0), among_the_best(1), list[np.bool_]()
    for _ in range(1000):
        found = rng.standard_normal((8, 4, PIECES))
        found[0] += 3 * rng.standard_normal((4, 1))
        kept.append(keep(found, range(8))[0])
    assert np.mean(kept) > 0.975


def test_four_sequences_tell_what_is_far_behind():
    rng, keep = np.random.default_rng(0), among_the_best(1)
    kept = np.array([keep(losses(rng, [0.0, 4.0], 4), range(2)) for _ in range(500)])
    assert kept[:, 0].all()
    assert kept[:, 1].mean() < 0.5  # by the means of whole sequences most are kept


def test_losses_alone_are_the_same_without_the_parent(network, text):
    subs = candidates(network, 5)
    both, alone = judge(network, subs, text), judge(network, subs, text, loss_alone=True)
    np.testing.assert_allclose(alone.losses, both.losses, rtol=1e-6)
    assert np.isnan(alone.divergences).all()
    assert alone.estimates()[:, 1] == pytest.approx(both.losses)
