"""Cheaper trainings: what their names mean, and that what they train is as legal as what it stands for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mimar.errors import InputError
from mimar.models import build
from mimar.shapes import nonembedding_parameters
from mimar.space import TransformerSpace, illegal_reasons
from mimar.training import Fidelity, Recipe, narrower, shallower, train

SPACES = (TransformerSpace("uniform"), TransformerSpace("per-layer"))


def test_names():
    assert Fidelity.named("full") == Fidelity()
    assert Fidelity.named("10%") == Fidelity(steps=0.1)
    assert Fidelity.named("25% + width=0.5+data=10%") == Fidelity(steps=0.25, width=0.5, data=0.1)
    assert Fidelity.named("0.5") == Fidelity(steps=0.5)


@pytest.mark.parametrize("text", ["", "half", "width", "heads=0.5", "10%+20%", "width=", "0%", "150%", "nan", "-10%"])
def test_names_that_mean_nothing(text):
    with pytest.raises(InputError):
        Fidelity.named(text)


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.05, 0.25, 0.5, 0.7, 0.99]), scope=st.sampled_from([0, 1]))
@settings(max_examples=150, deadline=None)
def test_smaller_stays_legal_and_of_its_kind(seed, share, scope):
    arch = SPACES[scope].sample(np.random.default_rng(seed))
    for smaller in (
        narrower(arch, share),
        shallower(arch, share),
        Fidelity(width=share, depth=share).architecture(arch),
    ):
        assert illegal_reasons(smaller) == ()
        assert nonembedding_parameters(smaller) <= nonembedding_parameters(arch)
        assert {block.mixer.kind for block in smaller.blocks} <= {block.mixer.kind for block in arch.blocks}
        assert replace(smaller, hidden_size=arch.hidden_size, blocks=arch.blocks) == arch


def test_sizes_come_near(arch):
    wide = replace(arch, hidden_size=512)
    assert narrower(wide, 0.5).hidden_size == 256
    deep = replace(arch, blocks=arch.blocks[:1] * 12)
    assert shallower(deep, 0.25).num_layers == 3
    assert narrower(deep, 1.0) == shallower(deep, 1.0) == deep


def test_less_of_everything(data):
    recipe = Recipe(tokens=10_000, context_length=64, batch_tokens=256)
    share = Fidelity(steps=0.5, data=0.25, context=0.5)
    assert share.recipe(recipe) == replace(recipe, context_length=32)
    assert share.recipe(recipe).sequences == 2 * recipe.sequences
    assert share.last_step(recipe) == recipe.steps // 2
    assert np.array_equal(share.text(data).train, data.train[: len(data.train) // 4])
    assert np.array_equal(share.text(data).validation, data.validation)


def test_a_pause_changes_nothing(arch, data, tmp_path):
    recipe = Recipe(tokens=20 * 256, context_length=32, batch_tokens=256)
    whole, paused = build(arch), build(arch)
    result = train(whole, data, recipe)
    first = train(paused, data, recipe, folder=tmp_path, until=7)
    assert first.rows[-1]["step"] == 7
    assert first.tokens == 7 * 256
    assert first.validation_loss > result.validation_loss
    again = build(arch)
    assert train(again, data, recipe, folder=tmp_path).validation_loss == result.validation_loss
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
