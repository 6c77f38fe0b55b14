"""Shared weights: every architecture is itself in them, and what one learns the others have."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mimar.shapes import nonembedding_parameters
from mimar.space import Architecture, Block, Defaults, FeedForward, Mixer, TransformerSpace
from mimar.supernet import SharedDecoder, train_shared
from mimar.training import ByteTokenizer, Recipe, TokenData, validation_loss

SPACE = TransformerSpace(
    "per-layer",
    Defaults(256, 64),
    {
        "num_layers": (1, 2, 4), "layer_sharing": (1, 2), "hidden_size": (64, 128),
        "topology": ("sequential", "parallel"),
        "norm": ("rmsnorm", "layernorm"), "norm_placement": ("pre", "post", "sandwich"),
    },
    {
        **TransformerSpace().layer, "num_heads": (1, 2, 4), "head_size": (16, 32, 64), "queries_per_kv": (1, 2, 4),
        "window": (8, 16), "ratio": (2.0, 4.0), "num_experts": (4,), "top_k": (1, 2),
    },
)  # fmt: skip
RNG = np.random.default_rng(0)
ARCHS = [SPACE.sample(RNG) for _ in range(300)]
TEXT = "the cat sat on the mat. a dog ran after the cat. " * 300
DATA = TokenData.of([TEXT], [], ByteTokenizer())


@pytest.fixture(scope="module")
def shared():
    return SharedDecoder(ARCHS)


@given(index=st.integers(0, len(ARCHS) - 1))
@settings(max_examples=60, deadline=None)
def test_an_extracted_model_gives_the_same_logits(shared, index):
    ids = torch.randint(256, (2, 24), generator=torch.Generator().manual_seed(index))
    shared.choose(ARCHS[index])
    with torch.no_grad():
        torch.testing.assert_close(shared(ids), shared.extract(ARCHS[index]).eval()(ids))


def test_gradients_reach_the_part_that_is_used_and_no_other(shared):
    small = replace(ARCHS[0], hidden_size=64, blocks=(Block(Mixer("convolution", kernel_size=3), FeedForward("none")),),
                    position="none", norm_placement="pre", attention_kernel="flash", layer_sharing=1)  # fmt: skip
    shared.zero_grad()
    shared.choose(small)
    shared(torch.arange(20)[None]).square().mean().backward()
    taps = dict(shared.named_parameters())["_shared.blocks/0/pre/convolution/mixer/taps"].grad
    assert taps[:64, -3:].abs().min() > 0
    assert not taps[64:].any()
    assert not taps[:, :-3].any()
    touched = {name for name, each in shared.named_parameters() if each.grad is not None and each.grad.any()}
    assert not any("softmax" in name or "blocks/1" in name for name in touched)


def test_softmax_mixers_share_and_placements_do_not(shared):
    attention = Block(Mixer("attention", 2, 1, 32), FeedForward("ffn", 128, "gelu"))
    window = Block(Mixer("sliding_window", 2, 1, 32, window=8), FeedForward("ffn", 128, "relu"))
    one, other = (Architecture(64, (block,), 256, 64) for block in (attention, window))
    a, b, c = (shared.weights(arch) for arch in (one, other, replace(one, norm_placement="post")))
    key = "blocks.0.mixer.query.weight"
    assert a[key].data_ptr() == b[key].data_ptr() != c[key].data_ptr()
    assert a["embedding.weight"].data_ptr() == c["embedding.weight"].data_ptr()


def test_beyond_the_shared_weights_are_initial_ones(shared):
    small = Block(Mixer("convolution", kernel_size=3), FeedForward("ffn", 128, "gelu"))
    large = Block(Mixer("convolution", kernel_size=31), FeedForward("ffn", 1024, "gelu"))
    one, other = (Architecture(64, (block,) * 5, 256, 64, position="none") for block in (small, large))
    with torch.no_grad():
        ours, theirs = shared.weights(one), shared.weights(other)
    assert torch.equal(theirs["blocks.0.mixer.taps"][:, -3:], ours["blocks.0.mixer.taps"])
    up, wider = ours["blocks.0.feed_forward.up.weight"], theirs["blocks.0.feed_forward.up.weight"]
    assert wider.shape == (1024, 64)
    assert torch.equal(wider[:128], up)
    assert wider[512:].std() == pytest.approx(0.02, rel=0.05)
    assert torch.equal(theirs["blocks.4.mixer_norm.weight"], torch.ones(64))
    again = shared.weights(other)
    assert all(torch.equal(value, again[name]) for name, value in theirs.items())
    shared.extract(other)


def trained_and_watched(recipe):
    """Shared weights of forty, and which of them each pass trained."""
    seen = []

    class Watched(SharedDecoder):
        def choose(self, arch):
            seen.append(arch)
            super().choose(arch)

    shared = Watched(ARCHS[:40])
    train_shared(shared, DATA, recipe, lambda rng: ARCHS[int(rng.integers(40))])
    return shared, seen


def test_each_step_trains_the_smallest_the_largest_and_others():
    shared, seen = trained_and_watched(Recipe(tokens=3 * 256, context_length=32, batch_tokens=256))
    steps = [seen[i : i + 4] for i in range(0, 12, 4)]
    assert all(step[0] == shared.smallest and step[-1] == shared.largest for step in steps)
    assert len({arch for step in steps for arch in step[1:3]}) > 2
    assert nonembedding_parameters(shared.smallest) == min(map(nonembedding_parameters, ARCHS[:40]))


@pytest.mark.parametrize("sequences", [1, 2, 5])
def test_steps_of_few_sequences_train_all_of_them_in_turn(sequences):
    recipe = Recipe(tokens=8 * 32 * sequences, context_length=32, batch_tokens=32 * sequences)
    shared, seen = trained_and_watched(recipe)
    assert seen[-1] == shared.largest
    assert seen.count(shared.smallest) >= len(seen) // 4
    assert seen.count(shared.largest) >= len(seen) // 4
    assert len(set(seen)) > 3


def test_what_is_learnt_together_helps_those_that_were_never_trained():
    pool = [arch for arch in ARCHS if arch.norm_placement == "pre"][:40]
    held_out = [arch for arch in ARCHS if arch.norm_placement == "pre"][40:48]
    shared = SharedDecoder(pool + held_out)
    batches = DATA.validation_batches(4096, 16, 32)
    before = [shared.inherited_loss(arch, batches) for arch in held_out]
    recipe = Recipe(tokens=120 * 512, context_length=32, batch_tokens=512, learning_rate=5e-3)
    train_shared(shared, DATA, recipe, lambda rng: pool[int(rng.integers(len(pool)))])
    after = [shared.inherited_loss(arch, batches) for arch in held_out]
    assert np.median(after) < 0.75 * np.median(before)
    assert after[0] == pytest.approx(validation_loss(shared.extract(held_out[0]), batches), abs=1e-5)


def test_equal_seeds_give_equal_weights():
    def trained():
        shared = SharedDecoder(ARCHS[:20])
        recipe = Recipe(tokens=3 * 256, context_length=32, batch_tokens=256)
        train_shared(shared, DATA, recipe, lambda rng: ARCHS[int(rng.integers(20))])
        return shared

    one, other = trained(), trained()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
