"""Drawing and breeding inside budgets: at what cost, how diverse, and where next to nothing is left."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mimar.shapes import parameters
from mimar.space import Architecture, Block, FeedForward, Mixer, TransformerSpace
from mimar.strategy import RandomSearch, breed, draw
from mimar.testing import toy_problem

LEAST = Architecture(
    256,
    (Block(Mixer("attention", 4, 1, 32), FeedForward("none")),) * 4,
    position="none",
    norm_placement="post",
    layer_sharing=4,
)
SPACES = {scope: TransformerSpace(scope) for scope in ("uniform", "per-layer")}


class Counted:
    """The toy problem with an anchor, and how often its excess was asked for."""

    def __init__(self, space, max_params, anchor=LEAST):
        self.calls = 0
        self._excess = toy_problem(space, max_params=max_params).problem.excess
        self.problem = replace(
            toy_problem(space, max_params=max_params).problem, excess=self._counted_excess, anchor=anchor
        )

    def _counted_excess(self, arch):
        self.calls += 1
        return self._excess(arch)


def drawn(problem, count, seed=0):
    rng, found = np.random.default_rng(seed), {}
    for _ in range(count):
        arch = draw(problem, found, rng)
        if arch is not None:
            found[arch] = None
    return list(found)


def entropies(space, candidates):
    """Bits in each variable of the candidates."""
    found = {}
    for name in space.variables:
        shares = [n / len(candidates) for n in Counter(space.to_choices(arch)[name] for arch in candidates).values()]
        found[name] = -sum(share * math.log2(share) for share in shares)
    return found


@pytest.mark.parametrize("scope", SPACES)
def test_draws_near_the_least_size_are_cheap_and_never_fail(scope):
    counted = Counted(SPACES[scope], 1.003 * parameters(LEAST))
    found = drawn(counted.problem, 20)
    assert len(found) == 20
    assert all(not counted.problem.check(arch) for arch in found)
    assert counted.calls <= 20 * 100  # one start each: the walk, the crossovers, the steps inside


def test_draws_near_the_least_size_differ_in_all_that_costs_nothing():
    problem = Counted(SPACES["uniform"], 1.003 * parameters(LEAST)).problem
    found = drawn(problem, 60)
    for name, least in {"topology": 2, "norm": 2, "norm_placement": 3, "mixer": 3, "position": 3, "window": 4}.items():
        assert len({problem.space.to_choices(arch)[name] for arch in found}) >= least, name


def test_the_anchor_leaves_draws_diverse_where_there_is_room():
    """Draws that walked all the way themselves are the yardstick."""
    free = Counted(SPACES["uniform"], 30e6, anchor=None).problem
    led = Counted(SPACES["uniform"], 30e6).problem
    yardstick, found = entropies(free.space, drawn(free, 150)), entropies(led.space, drawn(led, 150))
    assert sum(found.values()) > 0.95 * sum(yardstick.values())
    assert all(found[name] > yardstick[name] - 0.6 for name in found)


def test_a_draw_without_budgets_costs_one_look():
    counted = Counted(SPACES["uniform"], 1e12)
    assert len(drawn(counted.problem, 20)) == 20
    assert counted.calls == 20


def test_without_an_anchor_nothing_is_drawn_where_nothing_is_inside():
    assert drawn(Counted(SPACES["uniform"], 1e3, anchor=None).problem, 1) == []


@pytest.mark.parametrize("scope", SPACES)
def test_the_same_seed_draws_and_breeds_the_same(scope):
    problem = Counted(SPACES[scope], 1.01 * parameters(LEAST)).problem
    first, again = drawn(problem, 4, seed=7), drawn(problem, 4, seed=7)
    assert first == again
    bred = [breed(problem, tuple(first[:2]), first, np.random.default_rng(3)) for _ in range(2)]
    assert bred[0] == bred[1]
    assert bred[0] is not None


def test_children_near_the_least_size_take_after_their_parent():
    problem = Counted(SPACES["uniform"], 1.003 * parameters(LEAST)).problem
    space, rng = problem.space, np.random.default_rng(0)
    parents = drawn(problem, 20)
    children = [breed(problem, (parent,), parents, rng) for parent in parents]
    assert None not in children

    def differing(a, b):
        first, second = space.to_choices(a), space.to_choices(b)
        return sum(first[name] != second[name] for name in first)

    to_parent = np.mean([differing(a, b) for a, b in zip(parents, children, strict=True)])
    to_stranger = np.mean([differing(a, b) for a, b in zip(parents, children[1:] + children[:1], strict=True)])
    assert to_parent < 0.8 * to_stranger


def test_an_exhausted_space_is_given_up_after_one_vain_draw():
    tiny = TransformerSpace().restricted(
        num_layers=[4],
        hidden_size=[256],
        layer_sharing=[1],
        topology=["sequential"],
        norm=["rmsnorm"],
        norm_placement=["pre"],
        mixer=["convolution"],
        feed_forward=["none"],
        position=["none"],
    )
    counted = Counted(tiny, 1e9, anchor=None)
    search = RandomSearch(counted.problem, 0)
    first = search.ask(16)
    assert {proposal.architecture.blocks[0].mixer.kernel_size for proposal in first} == {3, 4, 7, 15, 31}
    counted.calls = 0
    assert search.ask(16) == []
    assert counted.calls == 20
