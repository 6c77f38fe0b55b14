"""Closed-form sizes against counts made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimar import shapes
from mimar.space import SOFTMAX_MIXERS, Architecture, Block, Defaults, FeedForward, Mixer, TransformerSpace

GPT2 = Architecture(
    768,
    (Block(Mixer("attention", 12, 12, 64), FeedForward("ffn", 3072, "gelu")),) * 12,
    50257,
    position="sinusoidal",
    norm="layernorm",
)
SMOL = Architecture(576, (Block(Mixer("attention", 9, 3, 64), FeedForward("swiglu", 1536, "silu")),) * 30, 49152, 2048)
seeds = st.integers(0, 2**32 - 1)
scopes = pytest.mark.parametrize("scope", ["uniform", "per-layer"])


def sample(scope, seed):
    space = TransformerSpace(scope, Defaults(vocab_size=1000)).restricted(num_layers=[4, 6, 8])
    return space.sample(np.random.default_rng(seed))


def test_a_gpt2_like_model_by_hand():
    embedding = 50257 * 768
    layer = 4 * 768 * 768 + 2 * 768 * 3072 + 2 * 2 * 768  # four projections, two matrices, two norms with bias
    assert shapes.parameters(GPT2) == embedding + 12 * layer + 2 * 768 == 123_570_432
    assert shapes.parameters(replace(GPT2, tied_embeddings=False)) == 123_570_432 + embedding


def test_smollm2_135m():
    assert shapes.parameters(SMOL) == 134_515_008
    assert shapes.embedding_parameters(SMOL) == 49152 * 576
    assert shapes.attention_parameters(SMOL.blocks[0], 576) == 576 * (576 + 192 + 192 + 576)
    assert shapes.feed_forward_parameters(SMOL.blocks[0], 576) == 3 * 576 * 1536


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"norm": "layernorm"}, 61 * 576),
        ({"norm_placement": "post"}, -576),
        ({"norm_placement": "sandwich"}, 60 * 576),
        ({"topology": "parallel"}, -30 * 576),
        ({"topology": "parallel", "norm_placement": "sandwich"}, 0),
        ({"layer_sharing": 2}, -15 * (576 * 1536 + 3 * 576 * 1536 + 2 * 576)),
        ({"position": "alibi"}, 0),
        ({"attention_kernel": "math"}, 0),
    ],
    ids=str,
)
def test_what_each_setting_adds_to_smollm2(change, difference):
    assert shapes.parameters(replace(SMOL, **change)) == 134_515_008 + difference


@pytest.mark.parametrize(
    ("mixer", "weights"),
    [
        (Mixer("linear", 4, 2, 32), 64 * (128 + 64 + 64 + 128)),
        (Mixer("sliding_window", 4, 1, 16, 8), 64 * (64 + 16 + 16 + 64)),
        (Mixer("convolution", kernel_size=7), 3 * 64 * 64 + 7 * 64),
        (Mixer("none"), 0),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_weights_of_each_mixer(mixer, weights):
    assert shapes.attention_parameters(Block(mixer, FeedForward("none")), 64) == weights


@pytest.mark.parametrize(
    ("part", "weights"),
    [
        (FeedForward("ffn", 128, "gelu"), 2 * 64 * 128),
        (FeedForward("glu", 128, "sigmoid"), 3 * 64 * 128),
        (FeedForward("moe", 128, "silu", 4, 2), 4 * 3 * 64 * 128 + 4 * 64),
        (FeedForward("none"), 0),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_weights_of_each_feed_forward_part(part, weights):
    assert shapes.feed_forward_parameters(Block(Mixer("none"), part), 64) == weights


@scopes
@given(seed=seeds)
def test_the_matrices_add_up_to_the_totals(scope, seed):
    arch = sample(scope, seed)
    matrices = shapes.matrices(arch)
    assert len({matrix.name for matrix in matrices}) == len(matrices)
    assert sum(matrix.size for matrix in matrices) == shapes.parameters(arch)
    assert sum(m.size for m in matrices if m.role != "embedding") == shapes.nonembedding_parameters(arch)
    assert all(m.rows > 0 and m.cols > 0 and 0 < m.active <= 1 and m.layer < arch.num_layers for m in matrices)
    owners = {matrix.layer for matrix in matrices} - {-1}
    assert owners == set(range(0, arch.num_layers, arch.layer_sharing))


def seen_by(mixer, position):
    """The positions that one position attends to, by the definition of each mixer."""
    if mixer.kind == "attention":
        return range(position + 1)
    if mixer.kind == "sliding_window":
        return range(max(0, position - mixer.window + 1), position + 1)
    return range(max(0, (position // mixer.window - 1) * mixer.window), position + 1)


@pytest.mark.parametrize("kind", sorted(SOFTMAX_MIXERS))
@pytest.mark.parametrize("window", [1, 2, 3, 7, 64])
def test_attended_pairs_against_brute_force(kind, window):
    mixer = Mixer(kind, 2, 2, 8, 0 if kind == "attention" else window)
    for tokens in (0, 1, 2, 3, 5, 7, 8, 20, 63, 64, 65, 130):
        assert shapes.attended_pairs(mixer, tokens) == sum(len(seen_by(mixer, p)) for p in range(tokens))


@pytest.mark.parametrize("kind", ["linear", "convolution", "none"])
def test_mixers_without_softmax_attend_to_no_pairs(kind):
    assert shapes.attended_pairs(Mixer(kind), 100) == 0


def test_flops_by_hand():
    tokens = 10
    linear = 2 * tokens * 30 * (4 * 576 * 576 - 2 * 576 * 384 + 3 * 576 * 1536)
    logits = 2 * tokens * 49152 * 576
    scores = 30 * 4 * 576 * (tokens * (tokens + 1) // 2)
    assert shapes.flops(SMOL, tokens) == linear + logits + scores


def test_only_the_chosen_experts_cost_flops():
    dense = Block(Mixer("none"), FeedForward("ffn", 128, "silu"))
    sparse = Block(Mixer("none"), FeedForward("moe", 128, "silu", 8, 2))
    counts = [shapes.flops(Architecture(64, (block,), vocab_size=2), 1) for block in (dense, sparse)]
    assert counts[0] == 2 * 2 * 64 * 128 + 2 * 2 * 64
    assert counts[1] == pytest.approx(2 * 2 * 3 * 64 * 128 + 2 * 8 * 64 + 2 * 2 * 64)


@scopes
@given(seed=seeds, tokens=st.integers(1, 3000))
def test_flops_grow_with_tokens_and_layers(scope, seed, tokens):
    arch = sample(scope, seed)
    deeper = replace(arch, blocks=(*arch.blocks, *arch.blocks[-arch.layer_sharing :]))
    assert shapes.flops(arch, tokens) < shapes.flops(arch, tokens + 1)
    assert shapes.flops(arch, tokens) < shapes.flops(deeper, tokens)
    assert shapes.parameters(arch) < shapes.parameters(deeper)


@given(seed=seeds)
def test_sharing_saves_parameters_and_no_flops(seed):
    arch = sample("uniform", seed)
    apart = replace(arch, layer_sharing=1)
    assert shapes.flops(arch, 64) == shapes.flops(apart, 64)
    assert (shapes.parameters(arch) < shapes.parameters(apart)) is (arch.layer_sharing > 1)
