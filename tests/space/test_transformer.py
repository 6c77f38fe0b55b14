"""What the Transformer space adds to the contract: narrowing, widening, its schema and its moves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimar.errors import InputError
from mimar.llm import schema_error
from mimar.space import (
    Architecture,
    Block,
    Defaults,
    FeedForward,
    Mixer,
    TransformerSpace,
    illegal_reasons,
    schema_fields,
)

GPT2 = Architecture(
    768,
    (Block(Mixer("attention", 12, 12, 64), FeedForward("ffn", 3072, "gelu")),) * 12,
    vocab_size=50257,
    position="sinusoidal",
    norm="layernorm",
)
seeds = st.integers(0, 2**32 - 1)


def test_an_unknown_variable_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"unknown variable 'heads': expected one of num_layers, .*attention_kernel"):
        TransformerSpace().restricted(heads=[4])


def test_a_variable_without_choices_is_refused():
    with pytest.raises(InputError, match=r"no choice of num_heads is left: expected some of \(4, .*got \[3\]"):
        TransformerSpace().restricted(num_heads=[3])


def test_a_space_without_any_legal_architecture_says_so():
    space = TransformerSpace().restricted(mixer=["none"])
    with pytest.raises(InputError, match="no legal choice of mixer is left"):
        space.sample(np.random.default_rng(0))


@given(seed=seeds)
def test_restricted_samples_keep_the_restriction(seed):
    space = TransformerSpace("per-layer").restricted(
        mixer=["attention", "convolution"], num_layers=[6], norm=["rmsnorm"]
    )
    arch = space.sample(np.random.default_rng(seed))
    assert arch.num_layers == 6
    assert arch.norm == "rmsnorm"
    assert {block.mixer.kind for block in arch.blocks} <= {"attention", "convolution"}


@given(seed=seeds)
def test_including_holds_any_legal_architecture(seed):
    rng = np.random.default_rng(seed)
    foreign = TransformerSpace("per-layer", Defaults(999, 4096, False, 0.3)).restricted(num_layers=[5, 6, 7])
    arch = foreign.sample(rng)
    home = TransformerSpace().restricted(num_heads=[8], norm=["rmsnorm"], ratio=[4.0])
    space = home.including(arch)
    assert space.validate(arch) == ()
    assert space.from_choices(space.to_choices(arch)) == arch
    assert space.validate(space.mutate(arch, rng)) == ()


def test_including_keeps_a_uniform_space_uniform():
    space = TransformerSpace().including(GPT2)
    assert space.scope == "uniform"
    assert space.validate(GPT2) == ()
    assert space.defaults.vocab_size == 50257


def test_every_foreign_value_is_a_reason():
    space = TransformerSpace().restricted(num_layers=[4, 8], norm=["rmsnorm"], feed_forward=["swiglu"])
    reasons = space.validate(GPT2)
    for word in ("vocabulary", "num_layers", "norm", "feed_forward"):
        assert any(reason.startswith(word) for reason in reasons), (word, reasons)
    mixed = replace(GPT2, blocks=(*GPT2.blocks[:-1], Block(Mixer("none"), GPT2.blocks[0].feed_forward)))
    assert "all layers must be alike in this space" in space.validate(mixed)


def test_illegal_and_foreign_reasons_come_together():
    wrong = replace(GPT2, hidden_size=700, dropout=0.5)
    assert set(illegal_reasons(wrong)) < set(TransformerSpace().validate(wrong))


@given(seed=seeds)
def test_an_architecture_fits_the_schema_without_what_is_given_or_implied(seed):
    space = TransformerSpace().restricted(attention_kernel=["flash"], mixer=["attention", "convolution"])
    arch = space.sample(np.random.default_rng(seed))
    fields = schema_fields(space.schema())
    data = {name: value for name, value in space.to_json(arch).items() if name in fields}
    if data["attention_type"] in ("multi_head", "multi_query"):
        del data["num_kv_heads"]
    assert schema_error(data, space.schema()) is None
    assert space.from_json(data) == arch


def test_the_schema_offers_no_window_that_is_wider_than_the_context():
    for context, windows in ((4096, [64, 128, 256, 512, 1024, 2048]), (512, [64, 128, 256, 512])):
        fields = schema_fields(TransformerSpace(defaults=Defaults(context_length=context)).schema())
        assert fields["window"]["enum"] == windows
    fields = schema_fields(TransformerSpace(defaults=Defaults(context_length=32)).schema())
    assert "window" not in fields
    assert "sliding_window" not in fields["attention_type"]["enum"]


@given(seed=seeds)
@pytest.mark.parametrize("scope", ["uniform", "per-layer"])
def test_a_mutant_is_near_and_a_child_has_its_parents_genes(scope, seed):
    rng = np.random.default_rng(seed)
    space = TransformerSpace(scope).restricted(num_layers=[6, 8], layer_sharing=[1])
    first, second = space.sample(rng), space.sample(rng)
    a, b = space.to_choices(first), space.to_choices(second)
    child = space.to_choices(space.cross(first, second, rng))
    for name in ("num_layers", "hidden_size", "norm", "topology"):
        assert child[name] in (a[name], b[name])
    mutant = space.to_choices(space.mutate(first, rng))
    assert any(mutant[name] != a[name] for name in a)


def test_most_mutants_change_few_variables():
    rng = np.random.default_rng(0)
    space = TransformerSpace("per-layer").restricted(num_layers=[8], layer_sharing=[1])
    changed = []
    for _ in range(60):
        arch = space.sample(rng)
        before, after = space.to_choices(arch), space.to_choices(space.mutate(arch, rng))
        changed.append(sum(before[name] != after[name] for name in before))
    assert min(changed) >= 1
    assert np.median(changed) <= 12  # of 98: one global setting, or one setting of one or of all eight layers
