"""DARTS as a strategy: what it trains, what it proposes, and that it keeps the contract where it applies."""

from collections import Counter

import numpy as np
import pytest

from mimar.errors import InputError
from mimar.space import TransformerSpace, illegal_reasons
from mimar.strategy import Darts
from mimar.strategy._darts import mixed_task
from mimar.testing import check_strategy, layerdrop_problem, toy_problem
from mimar.training import ByteTokenizer, Recipe, TokenData
from mimar.trial import Proposal, Trial

SPACE = TransformerSpace().restricted(
    num_layers=[4, 6, 8],
    hidden_size=[256, 320],
    mixer=["none", "convolution", "attention"],
    feed_forward=["none", "ffn"],
)
TOY = toy_problem(SPACE)
DATA = TokenData.of(["the cat sat on the mat. a dog ran after the cat. " * 200], [], ByteTokenizer())
RECIPE = Recipe(tokens=10 * 64, context_length=16, batch_tokens=64)


def made(seed=0, problem=TOY.problem, recipe=RECIPE, **options):
    return Darts(problem, seed, DATA, recipe, **options)


def test_keeps_the_contract():
    check_strategy(lambda problem, seed: made(seed, problem), TOY, rounds=3)


def test_the_strongest_operations_come_first_and_then_by_strength():
    told = []
    strategy = made(on_epoch=told.append)
    assert not strategy.epochs
    proposals = strategy.ask(60)
    assert strategy.epochs == tuple(told)
    strengths = {role: np.mean(rows, axis=0) for role, rows in strategy.epochs[-1].strengths.items()}
    assert set(strengths) == {"mixer", "feed_forward"}
    first = proposals[0].architecture.blocks[0]
    assert first.mixer.kind == SPACE.layer["mixer"][int(np.argmax(strengths["mixer"]))]
    drawn = Counter(each.architecture.blocks[0].mixer.kind for each in proposals)
    assert len(drawn) > 1
    assert len({each.architecture for each in proposals}) == len(proposals)
    assert {each.origin for each in proposals} == {"darts"}


def test_a_start_of_the_users_is_not_proposed_again():
    """And does not take the place of the candidate with the strongest operations."""
    strategy, other = made(), made()
    expected = [proposal.architecture for proposal in strategy.ask(3)]
    known = [Trial(number, Proposal(arch, "start"), "complete", {}) for number, arch in enumerate(expected[1:])]
    other.tell(known)
    found = [proposal.architecture for proposal in other.ask(3)]
    assert found[0] == expected[0]
    assert not {*found} & {*expected[1:]}


def test_it_trains_once():
    told = []
    strategy = made(on_epoch=told.append)
    strategy.ask(2)
    count = len(told)
    strategy.tell(())
    strategy.ask(2)
    assert len(told) == count


@pytest.mark.parametrize("seed", range(12))
def test_the_mixed_model_is_legal_whatever_the_space_leaves(seed):
    rng = np.random.default_rng(seed)
    full = TransformerSpace()
    domains = {**full.sizes, **full.layer, **full.final}
    few = {name: rng.permutation(options)[: rng.integers(1, 3)].tolist() for name, options in domains.items()}
    template, operations = mixed_task(full.restricted(**few), 256, 64)
    for mixer in operations.mixers:
        for part in operations.feed_forwards:
            if mixer.kind == "none":
                continue
            softmax = mixer.kind in ("attention", "sliding_window", "block_sparse")
            block = type(template.blocks[0])(mixer, part)
            position = template.position if softmax else "none"
            arch = type(template)(template.hidden_size, (block,), 256, 64, position=position)
            assert illegal_reasons(arch) == ()


def test_other_spaces_are_refused():
    with pytest.raises(InputError, match="Transformer"):
        made(problem=layerdrop_problem().problem)
