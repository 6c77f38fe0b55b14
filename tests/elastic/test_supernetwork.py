"""Layers that can be cut: the same function when whole, the best that is left when not."""

from dataclasses import replace

import pytest
import torch
from tests.elastic.conftest import MODELS, made
from tests.elastic.test_load import run
from torch.nn import functional as F

from mimar.elastic import Layer, SubNetwork, load_parent
from mimar.elastic._extract import extract
from mimar.elastic._forward import logits, rotary, run_layer
from mimar.elastic._importance import Refit, elimination_order
from mimar.elastic._supernetwork import SuperNetwork, _of_each


@pytest.fixture
def network(request, tmp_path, ids):
    made(getattr(request, "param", "biases")).save_pretrained(tmp_path)
    parent = load_parent(str(tmp_path))
    return parent, SuperNetwork.of(parent, ids)


def run_layers(parent, layers, ids):
    stream, turn = F.embedding(ids, parent.embedding), rotary(parent.facts, parent.config, ids.shape[1])
    for layer in layers:
        stream = run_layer(layer, stream, turn, parent.facts)
    return logits(parent, stream)


@pytest.mark.parametrize("network", MODELS, indirect=True)
def test_the_whole_is_the_parent(network, ids):
    parent, net = network
    whole = run_layers(net.parent, net.layers(SubNetwork.whole(parent.arch)), ids)
    torch.testing.assert_close(whole, run(parent, ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", MODELS, indirect=True)
def test_a_part_is_the_masked_parent(network, ids):
    """What is cut off computes nothing: zeros in its place, with the re-fitted weights, give the same logits."""
    parent, net = network
    sub = SubNetwork((2, 0, 1), (64, 32, 0))
    size, group = parent.facts.head_size, 2

    def masked(number):
        layer, (kv_heads, inner) = net.parent.layers[number], sub.sizes[number]
        output, down = torch.zeros_like(layer.attention.output), torch.zeros_like(layer.mlp.down)
        biases = layer.attention.biases
        if kv_heads:
            wide = kv_heads * group * size
            output[:, :wide] = net.outputs[number].weights(wide)
        else:
            biases = (*biases[:3], None)
        if inner:
            down[:, :inner] = net.downs[number].weights(inner)
        return Layer(replace(layer.attention, output=output, biases=biases), replace(layer.mlp, down=down))

    expected = run_layers(net.parent, map(masked, range(3)), ids)
    torch.testing.assert_close(run_layers(net.parent, net.layers(sub), ids), expected, rtol=1e-4, atol=1e-4)


def test_the_parent_is_never_changed(network, ids):
    parent, net = network
    before = run(parent, ids)
    layer = next(net.layers(SubNetwork((1, 1, 1), (32, 32, 32))))
    assert layer.mlp.up.data_ptr() == net.parent.layers[0].mlp.up.data_ptr(), "expected a view"
    torch.testing.assert_close(run(parent, ids), before, rtol=0, atol=0)


def _moments(inputs, rank, seed=0):
    """Inputs of which only `rank` are independent; moments of 400 samples."""
    noise = torch.Generator().manual_seed(seed)
    sources = torch.randn(400, rank, generator=noise)
    mix = torch.randn(rank, inputs, generator=noise)
    return sources @ mix


def test_inputs_that_say_nothing_new_go_first():
    """Ten independent inputs among copies and silence: the last ten to go are one of each."""
    noise = torch.Generator().manual_seed(3)
    own = torch.randn(500, 10, generator=noise)
    inputs = torch.cat([own, own * 0.5, torch.zeros(500, 12)], dim=1)
    shuffled = torch.randperm(32, generator=noise)
    inputs = inputs[:, shuffled]
    weight = torch.randn(7, 32, generator=noise)
    order = elimination_order(inputs.T @ inputs / 500, weight)
    assert sorted(order.tolist()) == list(range(32))
    sources = shuffled[order[:10]] % 10
    assert all(shuffled[number] < 20 for number in order[:10])
    assert sorted(sources.tolist()) == list(range(10)), f"expected one of each source first, got {sources}"


def test_eliminating_beats_the_norm_of_weights():
    """Correlated inputs: what the rest can replace is not seen by looking at each input alone."""
    for seed in range(3):
        inputs = _moments(64, 24, seed) + 0.1 * torch.randn(400, 64, generator=torch.Generator().manual_seed(9))
        weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(seed + 10))
        moments = inputs.T @ inputs / 400
        alone = (moments.diagonal() * weight.square().sum(0)).argsort(descending=True)

        def error(order, moments=moments, weight=weight, inputs=inputs):
            kept = Refit.of(moments[order][:, order], weight[:, order]).weights(20)
            return (inputs[:, order[:20]] @ kept.T - inputs @ weight.T).square().mean()

        assert error(elimination_order(moments, weight)) < 0.8 * error(alone)


def test_groups_stay_together():
    noise = torch.Generator().manual_seed(5)
    inputs = torch.randn(300, 24, generator=noise)
    inputs[:, 8:16] *= 0.01
    order = elimination_order(inputs.T @ inputs / 300, torch.randn(5, 24, generator=noise), group=8)
    assert sorted(order.tolist()) == [0, 1, 2]
    assert order[-1] == 1


def test_refitted_weights_are_those_of_ridge_regression():
    noise = torch.Generator().manual_seed(0)
    inputs, weight = torch.randn(300, 12, generator=noise).double(), torch.randn(5, 12, generator=noise).double()
    inputs[:, 6:] += inputs[:, :6]
    moments = inputs.T @ inputs / 300
    refit = Refit.of(moments, weight)
    level = 0.1 * moments.diagonal().mean()
    for count in (1, 5, 11):
        kept = moments[:count, :count] + level * torch.eye(count)
        target = weight @ moments[:, :count] + level * weight[:, :count]
        torch.testing.assert_close(refit.weights(count), torch.linalg.solve(kept, target.T).T)
    torch.testing.assert_close(refit.weights(12), weight)


def test_an_extracted_model_has_the_logits_of_the_sub_network(network, ids):
    _, net = network
    sub = SubNetwork((2, 0, 1), (64, 0, 128))
    model = extract(net, sub)
    assert model.arch == sub.architecture(net.parent.arch)
    assert len(model.layers) == model.arch.num_layers == 2
    torch.testing.assert_close(run(model, ids), run_layers(net.parent, net.layers(sub), ids))


@pytest.mark.parametrize(("texts", "each"), [(1, 16), (2, 8), (3, 5), (4, 4), (40, 1)])
def test_gradients_are_taken_on_as_many_windows_of_each_text(texts, each):
    """Texts take turns in what is given, so that every eighth window may be of the same one."""
    some = _of_each(torch.arange(128)[:, None], texts)
    assert torch.bincount(some[:, 0] % texts, minlength=texts).tolist() == [each] * texts
    assert some[-1] - some[0] >= 128 / 2 or texts == 40
