"""Likelihoods and losses of a model, against what transformers makes of the same weights."""

import numpy as np
import pytest
import torch
from tests.elastic.conftest import made

from mimar.elastic import Trainable, load_parent, log_likelihoods, model_logits, state_dict, text_loss
from mimar.training import Distillation, Recipe, TokenData, train


@pytest.fixture(scope="module")
def theirs():
    return made("llama")


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    return load_parent(str(folder))


def test_a_text_has_the_loss_of_transformers(ours, theirs, ids):
    with torch.no_grad():
        expected = theirs(ids, labels=ids).loss
    assert text_loss(ours, ids) == pytest.approx(float(expected), rel=1e-5)


def test_likelihoods_are_those_of_transformers(ours, theirs):
    """Of different lengths, some of the same context, some of one token only."""
    rng = np.random.default_rng(0)
    pairs = [
        (rng.integers(101, size=n).tolist(), rng.integers(101, size=m).tolist())
        for n, m in zip((1, 5, 9, 30), (3, 1, 7, 2), strict=True)
    ]
    pairs += [(pairs[1][0], [token]) for token in (3, 4, 5)]
    found = log_likelihoods(ours, pairs)
    for (context, after), value in zip(pairs, found, strict=True):
        row = torch.tensor([[*context, *after]])
        with torch.no_grad():
            answers = theirs(row).logits[0].log_softmax(-1)
        expected = sum(float(answers[len(context) - 1 + n, token]) for n, token in enumerate(after))
        assert value == pytest.approx(expected, rel=1e-4)


def test_what_is_too_long_loses_its_start(ours):
    context = list(range(100))
    assert log_likelihoods(ours, [(context, [7, 8])]) == pytest.approx(log_likelihoods(ours, [(context[37:], [7, 8])]))


def test_a_model_learns_from_its_teacher_and_keeps_its_embedding(ours, ids):
    data = TokenData(ids.flatten().numpy().astype(np.int32), ids.flatten().numpy().astype(np.int32), 101, 1.0)
    recipe = Recipe(2000, context_length=11, batch_tokens=66, learning_rate=3e-3)
    module = Trainable(ours)
    assert torch.allclose(module(ids), model_logits(ours, ids))
    train(module, data, recipe, teacher=Distillation(lambda some: model_logits(ours, some).flip(-1), 1.0))
    trained = module.trained()
    wanted = model_logits(ours, ids).flip(-1)

    def apart(model):
        return torch.nn.functional.kl_div(
            model_logits(model, ids).log_softmax(-1).flatten(0, 1), wanted.log_softmax(-1).flatten(0, 1),
            reduction="batchmean", log_target=True,
        )  # fmt: skip

    assert apart(trained) < 0.6 * apart(ours)
    before, after = state_dict(ours), state_dict(trained)
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    assert not torch.equal(before["model.norm.weight"], after["model.norm.weight"])
    assert torch.equal(before["model.norm.weight"], state_dict(ours)["model.norm.weight"])
