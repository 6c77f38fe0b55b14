"""Reading architectures from JSON that may be anything."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimar.errors import ArchitectureError
from mimar.space import (
    Architecture,
    Block,
    Defaults,
    FeedForward,
    Mixer,
    TransformerSpace,
    architecture_from_json,
    architecture_to_json,
    illegal_reasons,
)

SMOL = Architecture(576, (Block(Mixer("attention", 9, 3, 64), FeedForward("swiglu", 1536, "silu")),) * 30, 49152, 2048)
MIXED = Architecture(
    512,
    (
        Block(Mixer("attention", 8, 2, 64), FeedForward("swiglu", 1536, "silu")),
        Block(Mixer("sliding_window", 8, 8, 64, 128), FeedForward("moe", 512, "gelu", 4, 2)),
        Block(Mixer("convolution", kernel_size=7), FeedForward("ffn", 2048, "relu2")),
        Block(Mixer("none"), FeedForward("geglu", 1024, "gelu")),
        Block(Mixer("linear", 8, 4, 32), FeedForward("none")),
    ),
)
SPACES = [TransformerSpace(), TransformerSpace("per-layer").restricted(num_layers=[4, 6, 8])]

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    leaves, lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=8), part, max_size=4)
)
seeds = st.integers(0, 2**32 - 1)


def read_or_refuse(data):
    """The architecture, which is then legal, or None when it was refused in the way that is promised."""
    arch, reasons = None, ()
    try:
        arch = architecture_from_json(data)
    except ArchitectureError as error:
        reasons = error.reasons
    assert all(isinstance(reason, str) and 0 < len(reason) < 400 for reason in reasons)
    assert reasons if arch is None else illegal_reasons(arch) == ()
    return arch


@given(seed=seeds)
@pytest.mark.parametrize("space", SPACES, ids=["uniform", "per-layer"])
def test_both_forms_read_back_to_the_same_value(space, seed):
    arch = space.sample(np.random.default_rng(seed))
    assert space.from_json(json.loads(json.dumps(space.to_json(arch)))) == arch
    assert architecture_from_json(architecture_to_json(arch)) == arch


@given(data=values)
def test_anything_is_read_or_refused(data):
    read_or_refuse(data)
    read_or_refuse({"architecture": data})
    read_or_refuse({"hidden_size": 512, "layers": data})


def paths(data, prefix=()):
    """Every place in `data`, as a tuple of keys."""
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in parts:
        yield (*prefix, key)
        yield from paths(part, (*prefix, key))


@given(seed=seeds, value=values, place=st.integers(0, 10_000))
@pytest.mark.parametrize("space", SPACES, ids=["uniform", "per-layer"])
def test_one_wrong_value_anywhere_is_read_or_refused(space, seed, value, place):
    data = copy.deepcopy(space.to_json(space.sample(np.random.default_rng(seed))))
    *way, last = (found := list(paths(data)))[place % len(found)]
    target = data
    for key in way:
        target = target[key]
    target[last] = value
    arch = read_or_refuse(data)
    if arch is not None:
        assert architecture_from_json(architecture_to_json(arch)) == arch


ILLEGAL = {
    "hidden_size": [0, -64, 100, 576.0, True, None, "576", 10**400, [576]],
    "num_layers": [0, -1, 2000, 10**9, 1.5],
    "num_heads": [0, 7, -9, 10**30],
    "num_kv_heads": [0, 2, 9, 10],
    "head_size": [0, 63, -2],
    "intermediate_size": [0, 100, -64, "wide"],
    "attention_type": ["multi_head", "multi_query", "flash", "", 3, ["linear"], "sliding_window", "convolution"],
    "activation": ["tanh", "", None, {}],
    "position_encoding": ["learned", None, 0],
    "norm": ["batchnorm", ["rmsnorm"]],
    "norm_placement": ["both"],
    "topology": ["graph"],
    "layer_sharing": [0, 4, 7],
    "attention_kernel": ["triton"],
    "dropout": [-0.1, 1.0, float("nan"), float("inf"), 10**400, "0.1"],
    "vocab_size": [0, 1, -5],
    "context_length": [0, -1],
    "tied_embeddings": [1, "yes", None],
    "feed_forward": ["moe", "conv"],
    "window": [128],
    "kernel_size": [3],
    "num_experts": [4],
    "surprise": [1],
}

NAMED_AS = {
    "attention_type": ("attention", "window", "kernel_size"),
    "num_kv_heads": ("kv_heads", "kv heads"),
    "feed_forward": ("feed_forward", "num_experts"),
    "num_layers": ("num_layers",),
    "position_encoding": ("position",),
    "surprise": ("unknown field 'surprise'",),
}
"""Words that point to a wrong field where its own name is not in the reason."""


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, wrong in ILLEGAL.items() for value in wrong])
def test_every_illegal_value_is_refused_and_named(name, value):
    data = architecture_to_json(SMOL) | {name: value}
    with pytest.raises(ArchitectureError) as caught:
        architecture_from_json(data)
    words = NAMED_AS.get(name, (name,))
    assert any(word in reason for reason in caught.value.reasons for word in words), caught.value.reasons


@pytest.mark.parametrize("name", ["hidden_size", "num_layers", "attention_type", "num_heads", "activation", "norm"])
def test_a_missing_field_is_named(name):
    data = {key: value for key, value in architecture_to_json(SMOL).items() if key != name}
    with pytest.raises(ArchitectureError, match=f"{name} must be"):
        architecture_from_json(data)


@pytest.mark.parametrize("check", [True, False])
def test_an_empty_object_lacks_all_fields(check):
    with pytest.raises(ArchitectureError) as caught:
        architecture_from_json({}, check=check)
    assert any("hidden_size must be" in reason for reason in caught.value.reasons)
    assert any("num_layers must be" in reason for reason in caught.value.reasons)


def test_all_reasons_are_given_at_once():
    data = architecture_to_json(SMOL) | {"hidden_size": "big", "norm": "none", "topology": 1, "extra": 0}
    with pytest.raises(ArchitectureError) as caught:
        architecture_from_json(data)
    assert len(caught.value.reasons) >= 4


def test_one_wrong_word_brings_one_complaint():
    body = architecture_to_json(SMOL) | {"feed_forward": "swiglu", "activation": "tanh"}
    with pytest.raises(ArchitectureError) as caught:
        architecture_from_json(body)
    assert len(caught.value.reasons) == 1
    read = architecture_from_json(body | {"feed_forward": "glu", "activation": "sigmoid"})
    assert read.blocks[0].feed_forward.kind == "glu"


@pytest.mark.parametrize("depth", [50, 500, 900, 960])
def test_deep_nesting_is_refused(depth):
    data = []
    for _ in range(depth - 1):
        data = [data]
    for field in ("hidden_size", "layers", "norm", "surprise"):
        assert read_or_refuse({"hidden_size": 512, field: data}) is None


def test_the_wrapper_and_its_comments_are_ignored():
    body = architecture_to_json(MIXED)
    wrapped = {"model_name": "m", "architecture": body, "estimated_metrics": {"params": 1}}
    assert architecture_from_json(wrapped) == MIXED
    assert architecture_from_json(body | {"rationale": "because"}) == MIXED


def test_what_the_user_decides_may_be_left_out():
    body = {"num_layers": 4, "hidden_size": 256, "attention_type": "multi_query", "num_heads": 4}
    body |= {"intermediate_size": 512, "activation": "swiglu", "position_encoding": "rope", "norm": "rmsnorm"}
    arch = architecture_from_json(body, Defaults(1000, 77, False, 0.2))
    assert (arch.vocab_size, arch.context_length, arch.tied_embeddings, arch.dropout) == (1000, 77, False, 0.2)
    assert arch.blocks[0].mixer == Mixer("attention", 4, 1, 64)


def test_the_forms_are_plain_and_chosen_by_uniformity():
    assert "layers" not in architecture_to_json(SMOL)
    assert len(architecture_to_json(MIXED)["layers"]) == 5
    for arch in (SMOL, MIXED):
        assert architecture_from_json(json.loads(json.dumps(architecture_to_json(arch)))) == arch


def test_layers_that_were_read_before_make_no_other_number_one():
    """Equal layers are looked up; 1, 1.0 and True are equal in Python and not the same here."""
    layer = {"mixer": {"kind": "attention", "num_heads": 1, "num_kv_heads": 1, "head_size": 64}}
    layer["feed_forward"] = {"kind": "ffn", "intermediate_size": 128, "activation": "relu"}
    other = {"mixer": {"kind": "none"}, "feed_forward": layer["feed_forward"]}
    data = {"hidden_size": 64, "layers": [layer, other], "position_encoding": "rope", "norm": "rmsnorm"}
    first = architecture_from_json(data)
    assert architecture_from_json(copy.deepcopy(data)).blocks[0] is first.blocks[0]
    for wrong in (True, 1.0, "1", None, [1]):
        spoilt = copy.deepcopy(data)
        spoilt["layers"][0]["mixer"]["num_heads"] = wrong
        with pytest.raises(ArchitectureError, match="num_heads must be a whole number"):
            architecture_from_json(spoilt)
    spoilt = copy.deepcopy(data)
    spoilt["layers"][1]["colour"] = "red"
    with pytest.raises(ArchitectureError, match="colour"):
        architecture_from_json(spoilt)


def test_an_architecture_without_layers_is_kept_as_it_was_proposed():
    """A language model may propose it; it is stored beside the reasons why it was rejected."""
    proposed = {**architecture_to_json(TransformerSpace().sample(np.random.default_rng(0))), "num_layers": 0}
    arch = architecture_from_json(proposed, check=False)
    assert arch.num_layers == 0
    assert architecture_from_json(architecture_to_json(arch), check=False) == arch
    with pytest.raises(ArchitectureError):
        architecture_from_json(architecture_to_json(arch))
