"""Weights by their names in transformers, there and back."""

import pytest
import torch
from tests.elastic.conftest import MODELS, made
from tests.elastic.test_load import run

from mimar.elastic import SubNetwork, load_parent
from mimar.elastic._checkpoint import assemble, state_dict
from mimar.elastic._extract import extract
from mimar.elastic._supernetwork import SuperNetwork


@pytest.mark.parametrize("name", MODELS)
def test_names_are_those_of_transformers(name, tmp_path):
    model = made(name)
    model.save_pretrained(tmp_path)
    found, theirs = state_dict(load_parent(str(tmp_path))), dict(model.named_parameters())
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[key], theirs[key]) for key in found)


@pytest.mark.parametrize("name", ["biases", "qwen3"])
def test_a_sub_network_comes_back_from_its_weights(name, tmp_path, ids):
    made(name).save_pretrained(tmp_path)
    parent = load_parent(str(tmp_path))
    model = extract(SuperNetwork.of(parent, ids), SubNetwork((2, 0, 1), (64, 32, 0)))
    again = assemble(model.arch, model.facts, model.config, state_dict(model).get)
    torch.testing.assert_close(run(again, ids), run(model, ids), rtol=0, atol=0)
    assert [(layer.attention is None, layer.mlp is None) for layer in again.layers] == [
        (False, False), (True, False), (False, True)
    ]  # fmt: skip
