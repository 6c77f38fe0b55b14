"""Steps, passes and the learning rate over a training."""

from dataclasses import replace

import pytest

from mimar.errors import InputError
from mimar.training import Recipe, precision_named

RECIPE = Recipe(tokens=100_000, context_length=100, batch_tokens=1050, learning_rate=1.0, warmup=0.1, final_share=0.2)


def test_steps_cover_the_tokens_with_whole_sequences():
    assert RECIPE.sequences == 10
    assert RECIPE.steps == 100
    assert replace(RECIPE, tokens=100_001).steps == 101


def test_the_rate_rises_to_its_height_then_falls_to_its_end():
    rates = [RECIPE.rate(step) for step in range(RECIPE.steps)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.2)
    middle = RECIPE.rate(10 + 89 // 2)
    assert middle == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("tokens", [1, 1000, 2000])
def test_a_training_of_a_step_or_two_has_rates(tokens):
    recipe = replace(RECIPE, tokens=tokens)
    assert all(0.0 < recipe.rate(step) <= 1.0 for step in range(recipe.steps))


def test_passes_share_out_the_sequences():
    rows = list(range(RECIPE.sequences))
    assert [rows[part] for part in replace(RECIPE, micro_batch=4).passes] == [rows[:4], rows[4:8], rows[8:]]
    assert [rows[part] for part in RECIPE.passes] == [rows]


@pytest.mark.parametrize("wrong", [
    {"tokens": 0}, {"context_length": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"clip": -1.0},
    {"warmup": 1.5}, {"final_share": -0.1}, {"batch_tokens": 99},
    {"micro_batch": -1}, {"weight_decay": -0.1}, {"betas": (0.9, 1.0)},
])  # fmt: skip
def test_what_cannot_be_trained_with_is_refused(wrong):
    with pytest.raises(InputError):
        replace(RECIPE, **wrong)


def test_a_precision_has_a_name():
    assert precision_named("bfloat16") == "bfloat16"
    with pytest.raises(InputError, match="float32 or bfloat16"):
        precision_named("fp8")
