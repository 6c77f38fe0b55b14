"""How a design task finds its feet where budgets leave little."""

import logging

import pytest

from mimar import Budget, Defaults, TransformerSpace, Workload, design_task, load_profile
from mimar.strategy import RandomSearch

WORKLOAD = Workload(context=64, prompt_tokens=16)
TINY = {
    "num_layers": [4],
    "hidden_size": [256],
    "layer_sharing": [1],
    "topology": ["sequential"],
    "norm": ["rmsnorm"],
    "norm_placement": ["pre"],
    "mixer": ["convolution"],
    "feed_forward": ["none"],
}


def task(scope="uniform", budgets=(), **only):
    space = TransformerSpace(scope, Defaults(vocab_size=1000, context_length=64)).restricted(**only)
    return design_task(space, load_profile("laptop-cpu"), WORKLOAD, budgets=budgets)


@pytest.mark.parametrize("scope", ["uniform", "per-layer"])
def test_two_tight_budgets_together_leave_an_anchor_and_candidates(scope):
    found = task(scope, [Budget("params", "max", 4e5), Budget("decode_tokens_per_second", "min", 6000)])
    problem = found.problem
    assert problem.anchor is not None
    assert problem.check(problem.anchor) == ()
    proposals = RandomSearch(problem, 0).ask(8)
    assert len({proposal.architecture for proposal in proposals}) == 8
    assert all(problem.check(proposal.architecture) == () for proposal in proposals)


def test_a_space_with_next_to_nothing_in_it_is_said_to_be_so(caplog):
    with caplog.at_level(logging.WARNING):
        task(**TINY)
    (message,) = caplog.messages
    assert "64 random candidates gave 10 different architectures" in message


def test_a_space_with_room_is_not_remarked_upon(caplog):
    with caplog.at_level(logging.WARNING):
        task(budgets=[Budget("params", "max", 30e6)])
    assert caplog.messages == []
