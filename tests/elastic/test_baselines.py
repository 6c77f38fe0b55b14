"""The usual ways to make a model smaller."""

import numpy as np
import pytest
import torch
from tests.elastic.conftest import made

from mimar.elastic import ElasticSpace, SubNetwork, load_parent, model_logits
from mimar.elastic._baselines import block_influences, by_magnitude, random_within, short_gpt, uniform_width
from mimar.elastic._extract import extract
from mimar.errors import BudgetError


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    made("llama").save_pretrained(folder)
    return load_parent(str(folder))


def test_one_width_for_all(parent):
    arch, whole = parent.arch, SubNetwork.whole(parent.arch)
    sub = uniform_width(parent, int(0.8 * whole.block_params(arch)))
    assert sub == SubNetwork((3, 3, 3), (96, 64, 64))
    assert sub.block_params(arch) <= 0.8 * whole.block_params(arch) < sub.block_params(arch) + 3 * 32 * 96
    assert uniform_width(parent, SubNetwork((3, 3, 3), (64, 64, 64)).block_params(arch)).intermediate == (64, 64, 64)
    assert uniform_width(parent, whole.block_params(arch)) == whole
    kept = uniform_width(parent, int(0.8 * whole.block_params(arch)), protected=(0,))
    assert kept.intermediate == (128, 64, 32)
    alike = uniform_width(parent, int(0.8 * whole.block_params(arch)), filled=False)
    assert alike == SubNetwork((3, 3, 3), (64, 64, 64))
    with pytest.raises(BudgetError, match="no uniform width leaves at most 10"):
        uniform_width(parent, 10)


def test_layers_that_change_little_go_first(parent, ids):
    influences = block_influences(parent, ids)
    assert len(influences) == 3
    assert all(0 < each < 2 for each in influences)
    weak = torch.no_grad()
    with weak:
        layer = parent.layers[1]
        layer.attention.output.mul_(1e-3)
        layer.mlp.down.mul_(1e-3)
    quiet = block_influences(parent, ids)
    with weak:
        layer.attention.output.mul_(1e3)
        layer.mlp.down.mul_(1e3)
    assert np.argmin(quiet) == 1
    assert quiet[1] < 1e-3
    most = int(0.7 * SubNetwork.whole(parent.arch).block_params(parent.arch))
    assert short_gpt(parent, quiet, most).kept_layers == (0, 2)
    with pytest.raises(BudgetError, match="one whole layer has more than 10"):
        short_gpt(parent, quiet, 10)


def test_the_order_of_magnitudes_changes_nothing_while_all_is_there(parent, ids):
    net = by_magnitude(parent)
    whole = extract(net, SubNetwork.whole(parent.arch))
    torch.testing.assert_close(model_logits(whole, ids), model_logits(parent, ids), rtol=1e-4, atol=1e-4)
    mlp = net.parent.layers[0].mlp
    norms = mlp.gate.norm(dim=1) * mlp.up.norm(dim=1) * mlp.down.norm(dim=0)
    assert torch.equal(norms, norms.sort(descending=True).values)
    narrow = net.layer(0, 3, 64).mlp
    torch.testing.assert_close(narrow.down, mlp.down[:, :64])


def test_a_random_one_is_near_the_budget(parent):
    space = ElasticSpace.of(parent.arch, steps=4)
    most = int(0.75 * SubNetwork.whole(parent.arch).block_params(parent.arch))
    sub = random_within(space, most, np.random.default_rng(0))
    assert 0.9 * most < sub.block_params(parent.arch) <= most
    assert space.validate(sub) == ()
    with pytest.raises(BudgetError, match="none of 200 random"):
        random_within(ElasticSpace.of(parent.arch, protected=(0, 1, 2)), most, np.random.default_rng(0))
