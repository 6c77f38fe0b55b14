"""Mixed operations: one alone is itself, a planted best one wins, a planted collapse is flagged and ends the search."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimar.errors import InputError
from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.supernet import MixedDecoder, Operations, is_collapsed, search_operations, strongest
from mimar.training import Recipe, TokenData

NONE, ATTENTION = Mixer("none"), Mixer("attention", 2, 2, 32)
WINDOW, CONVOLUTION = Mixer("sliding_window", 2, 2, 32, window=4), Mixer("convolution", kernel_size=2)
GATED, NO_PART = FeedForward("swiglu", 128, "silu"), FeedForward("none")
TEMPLATE = Architecture(64, (Block(ATTENTION, GATED),) * 2, vocab_size=32, context_length=32)
FOLLOW = np.random.default_rng(1).permutation(32)
RECIPE = Recipe(tokens=250 * 512, context_length=32, batch_tokens=512, learning_rate=4e-3)


def text(follow, seed=0):
    """Tokens (n,) of which each is `follow` of those before it, now and then of none."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(32, size=40_000).astype(np.int32)
    for place in range(32, len(tokens)):
        if rng.random() < 0.8:
            tokens[place] = follow(tokens[:place])
    return TokenData(tokens[:36_000], tokens[36_000:], 32, 1.0)


def test_one_operation_alone_is_that_operation():
    mixed = MixedDecoder(TEMPLATE, Operations((ATTENTION,), (GATED,)), torch.Generator().manual_seed(3))
    plain = build(TEMPLATE, generator=torch.Generator().manual_seed(3))
    names = zip(mixed.state_dict().values(), plain.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in names)
    ids = torch.arange(20)[None]
    torch.testing.assert_close(mixed(ids), plain(ids))


def test_strengths_begin_equal_and_sum_to_one():
    operations = Operations((ATTENTION, CONVOLUTION, NONE), (GATED, NO_PART))
    strengths = MixedDecoder(TEMPLATE, operations, torch.Generator()).strengths()
    assert strengths["mixer"] == ((pytest.approx(1 / 3),) * 3,) * 2
    assert strengths["feed_forward"] == ((0.5, 0.5),) * 2


@pytest.mark.slow
def test_a_planted_best_operation_is_recovered():
    """What follows depends on the token twelve places back: only full attention can see it."""
    operations = Operations((NONE, WINDOW, CONVOLUTION, replace(ATTENTION)), (GATED,))
    data = text(lambda past: past[-12])
    epochs = search_operations(TEMPLATE, operations, data, replace(RECIPE, tokens=900 * 512), epochs=10)
    chosen = strongest(epochs)
    best = {int(np.argmax(row)) for row in chosen.strengths["mixer"]}
    assert 3 in best
    assert max(row[3] for row in chosen.strengths["mixer"]) > 0.5
    assert not chosen.collapsed


def test_a_planted_nearest_operation_is_recovered():
    """What follows is a function of the token before the last: only a mixer sees it, only a part can compute it."""
    operations = Operations((NONE, CONVOLUTION), (NO_PART, GATED))
    template = replace(TEMPLATE, blocks=TEMPLATE.blocks[:1])
    epochs = search_operations(template, operations, text(lambda past: FOLLOW[past[-2]]), RECIPE, epochs=5)
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5]
    assert epochs[0].strengths["mixer"][0] == pytest.approx((0.5, 0.5))
    found = strongest(epochs)
    assert [kind for role in ("mixer", "feed_forward") for kind, _ in found.strongest(role)] == [
        "convolution",
        "swiglu",
    ]
    assert found.strengths["mixer"][0][1] > 0.52
    assert found.to_json()["mixer"][0] == dict(zip(("none", "convolution"), found.strengths["mixer"][0], strict=True))
    assert epochs[-1].validation_loss < epochs[0].validation_loss
    assert not any(epoch.collapsed for epoch in epochs)


def test_a_planted_collapse_is_flagged_and_ends_the_search():
    """What follows is a function of the last token, which embedding and head alone can learn: operations add noise."""
    operations = Operations((NONE, ATTENTION), (NO_PART, GATED))
    told = []
    template = replace(TEMPLATE, tied_embeddings=False)
    data = text(lambda past: FOLLOW[past[-1]])
    epochs = search_operations(template, operations, data, RECIPE, epochs=8, on_epoch=told.append)
    assert told == list(epochs)
    assert [epoch.collapsed for epoch in epochs] == [False, True, True]
    assert strongest(epochs) == epochs[0]


@pytest.mark.parametrize("steps", [20, 29, 7])
def test_there_are_as_many_epochs_as_asked_for(steps):
    seen = []
    recipe = replace(RECIPE, tokens=steps * RECIPE.batch_tokens)
    operations = Operations((ATTENTION, Mixer("convolution", kernel_size=3)), (GATED,))
    search_operations(TEMPLATE, operations, text(lambda past: past[-1]), recipe, epochs=5, on_epoch=seen.append)
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4, 5]


def test_layers_may_be_without_feed_forward_parts():
    operations = Operations((ATTENTION, Mixer("convolution", kernel_size=3)), (NO_PART,))
    recipe = replace(RECIPE, tokens=8 * RECIPE.batch_tokens)
    epochs = search_operations(TEMPLATE, operations, text(lambda past: past[-1]), recipe, epochs=2)
    assert epochs[-1].strengths["feed_forward"] == ((1.0,),) * TEMPLATE.num_layers
    assert epochs[-1].strengths["mixer"] != epochs[0].strengths["mixer"]


def test_what_counts_as_collapse():
    kinds = {"mixer": ("none", "attention"), "feed_forward": ("swiglu",)}
    lost, kept = (0.7, 0.3), (0.3, 0.7)
    rest = {"feed_forward": ((1.0,),) * 2}
    assert is_collapsed({"mixer": (lost, kept, lost), **rest}, kinds)
    assert not is_collapsed({"mixer": (lost, kept), **rest}, kinds)
    assert not is_collapsed({"mixer": ((0.5, 0.5),) * 2, **rest}, kinds)
    assert not is_collapsed({"mixer": (lost, lost), **rest}, {**kinds, "mixer": ("attention", "linear")})
    alone = {"mixer": ("attention", "linear"), "feed_forward": ("none",)}
    assert not is_collapsed({"mixer": (lost, kept), **rest}, alone)  # there is no choice in which it won


def test_where_all_epochs_collapsed_the_first_counts():
    rows = search_operations(
        TEMPLATE,
        Operations((ATTENTION,), (GATED,)),
        text(lambda past: past[-1]),
        replace(RECIPE, tokens=2048),
        epochs=2,
    )
    assert strongest([replace(row, collapsed=True) for row in rows]) == replace(rows[0], collapsed=True)


def test_heads_of_two_sizes_share_no_table():
    with pytest.raises(InputError, match="one size"):
        MixedDecoder(TEMPLATE, Operations((ATTENTION, Mixer("attention", 2, 2, 16)), (GATED,)), torch.Generator())
