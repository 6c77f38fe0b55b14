"""The contract suite over every search space."""

import inspect
from typing import get_args

import numpy as np
import pytest

import mimar.space
import mimar.testing
from mimar.errors import ArchitectureError, InputError
from mimar.space import Architecture, Block, Defaults, FeedForward, Mixer, MixerKind, ProductSpace, TransformerSpace
from mimar.testing import check_reachable, check_space

ODD = Architecture(
    hidden_size=320,
    blocks=(
        Block(Mixer("attention", 20, 4, 33), FeedForward("swiglu", 1088, "silu")),
        Block(Mixer("convolution", kernel_size=5), FeedForward("moe", 192, "relu2", num_experts=3, top_k=2)),
    )
    * 3,
    vocab_size=1000,
    context_length=48,
    position="alibi",
    tied_embeddings=False,
    dropout=0.1,
)
"""Legal, and outside the default space in nearly every respect; an odd head size goes with ALiBi but not with RoPE."""

LONG = Defaults(context_length=4096)
SMALL_LAYERS = {"num_layers": [4], "num_heads": [8], "head_size": [64], "queries_per_kv": [1, 8], "ratio": [4.0]}

WORDS = {"depth": (1, 2, 3), "width_1": (64, 96), "width_2": (64, 96), "width_3": (64, 96), "norm": ("pre", "post")}


def as_deep_as_it_is(arch):
    """Widths of layers that are not there are held at the first."""
    depth, *widths, norm = arch
    return (depth, *(width if layer < depth else 64 for layer, width in enumerate(widths)), norm)


SPACES = {
    "uniform": TransformerSpace(),
    "per-layer": TransformerSpace("per-layer"),
    "other defaults": TransformerSpace(defaults=Defaults(50257, 128, tied_embeddings=False, dropout=0.1)),
    "context below every window": TransformerSpace("per-layer", Defaults(context_length=32)),
    "rope only": TransformerSpace("per-layer").restricted(position=["rope"]),
    "math kernel only": TransformerSpace().restricted(attention_kernel=["math"]),
    "rope only, few attend": TransformerSpace().restricted(position=["rope"], mixer=["linear", "none", "attention"]),
    "four queries for each kv head": TransformerSpace("per-layer").restricted(queries_per_kv=[4]),
    "nine heads": TransformerSpace().restricted(num_heads=[9]),
    "top 4 experts": TransformerSpace("per-layer").restricted(top_k=[4], feed_forward=["moe", "ffn"]),
    "few experts": TransformerSpace().restricted(top_k=[4], num_experts=[4]),
    "shared layers": TransformerSpace("per-layer").restricted(layer_sharing=[4]),
    "no feed-forward": TransformerSpace("per-layer").restricted(feed_forward=["none"]),
    "no heads": TransformerSpace().restricted(mixer=["convolution", "none"]),
    "phone": TransformerSpace().restricted(mixer=["attention"], activation=["relu"], norm=["layernorm"]),
    "including an odd architecture": TransformerSpace().including(ODD),
    "restricted, then including": TransformerSpace("per-layer").restricted(position=["rope"]).including(ODD),
    "product": ProductSpace(WORDS),
    "product of few networks": ProductSpace(WORDS, as_deep_as_it_is),
}


def _seed(name):
    return np.random.default_rng(sorted(SPACES).index(name))


@pytest.mark.parametrize("name", SPACES)
def test_keeps_the_contract(name):
    check_space(SPACES[name], _seed(name), samples=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_keeps_the_contract_over_many_samples(name):
    check_space(SPACES[name], _seed(name), samples=100)


REACHABLE = {
    # one kind of mixer in every layer cannot be none
    "uniform": TransformerSpace(defaults=LONG).restricted(mixer=[m for m in get_args(MixerKind) if m != "none"]),
    "per-layer": TransformerSpace("per-layer", LONG).restricted(
        **SMALL_LAYERS, window=[64, 2048], kernel_size=[3, 31], layer_sharing=[1]
    ),
    "product": ProductSpace(WORDS),
}


@pytest.mark.parametrize("name", REACHABLE)
def test_every_choice_is_reachable(name):
    check_reachable(REACHABLE[name], np.random.default_rng(1))


def test_every_exported_space_is_listed():
    exported = {
        value
        for package in (mimar.space, mimar.testing)
        for name in package.__all__
        if inspect.isclass(value := getattr(package, name)) and name.endswith("Space") and name != "SearchSpace"
    }
    assert exported == {type(space) for space in SPACES.values()}


def test_a_combination_that_is_none_is_refused_with_every_reason():
    space = ProductSpace(WORDS, as_deep_as_it_is)
    assert space.validate((1, 64, 64)) == ("expected 5 choices, got 3",)
    assert space.validate((4, 64, 64, 64, "none")) == ("depth must be one of 1, 2, 3", "norm must be one of pre, post")
    assert space.validate((1, 64, 96, 64, "pre")) == ("variables that do not matter must have their first choice",)
    with pytest.raises(ArchitectureError) as error:
        space.from_json({"depth": True, "width_1": 64, "width_2": 64, "width_3": 64, "norm": "pre", "x": 1})
    assert error.value.reasons == ("depth must be one of 1, 2, 3", "unknown field 'x'")


def test_where_no_other_combination_can_be_reached_a_mutant_is_the_same():
    space = ProductSpace({"use": (0,), "width": (1, 2)}, lambda arch: (arch[0], 1))
    assert space.mutate((0, 1), np.random.default_rng(0)) == (0, 1)


def test_truth_values_are_no_choices():
    with pytest.raises(InputError, match="bias: use 0 and 1"):
        ProductSpace({"bias": (False, True)})
