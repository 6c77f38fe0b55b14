"""The contract suite over every strategy, on a budgeted Transformer problem and on one of another kind."""

import inspect

import pytest

import mimar.strategy
from mimar.space import TransformerSpace
from mimar.testing import check_strategy, layerdrop_problem, toy_problem
from mimar.trial import Proposal

TOYS = {
    "transformer": toy_problem(TransformerSpace().restricted(num_layers=[4, 6, 8], hidden_size=[256, 320, 384, 448])),
    "layer drop": layerdrop_problem(),
    "five architectures": toy_problem(
        TransformerSpace().restricted(
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
    ),
}


@pytest.mark.parametrize("toy", TOYS.values(), ids=TOYS)
def test_keeps_the_contract(make_strategy, unreliable_llm, toy):
    check_strategy(lambda problem, seed: make_strategy(problem, seed, unreliable_llm(problem.space)), toy)


def test_every_exported_strategy_is_listed(strategy_classes):
    exported = {
        value
        for name in mimar.strategy.__all__
        if inspect.isclass(value := getattr(mimar.strategy, name)) and hasattr(value, "ask") and name != "Strategy"
    }
    assert exported == strategy_classes | {mimar.strategy.Cascade, mimar.strategy.Darts}  # have tests of their own


class Wrapped:
    """A strategy whose proposals are tampered with."""

    name = "wrapped"

    def __init__(self, problem, seed, tamper):
        self._inner = mimar.strategy.RandomSearch(problem, seed)
        self._tamper = tamper

    def ask(self, n):
        return self._tamper(self._inner.ask(n))

    def tell(self, trials):
        self._inner.tell(trials)


FIRST = (0,) * 20
FLAWS = {
    "new candidates only": lambda proposals: [Proposal(FIRST, "random"), *proposals[1:]],
    "at most 6 good candidates": lambda proposals: [*proposals, Proposal(FIRST, "random")],
    "pass the check": lambda proposals: [Proposal((7,) * 20, "random"), *proposals[1:]],
    "an architecture or a reason": lambda proposals: [Proposal(None, "random"), *proposals[1:]],
    "operator's name": lambda proposals: [Proposal(proposals[0].architecture, ""), *proposals[1:]],
    "parents among": lambda proposals: [Proposal(proposals[0].architecture, "x", (999,)), *proposals[1:]],
    "at least one good": lambda proposals: [],
}


@pytest.mark.parametrize("complaint", FLAWS)
def test_the_suite_notices(complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_strategy(lambda problem, seed: Wrapped(problem, seed, FLAWS[complaint]), TOYS["layer drop"])
