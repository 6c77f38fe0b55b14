"""What a change of the stream costs, by gradients, against what it costs."""

import pytest
import torch
from torch.nn import functional as F

from mimar.elastic._forward import logits, rotary, run_layer
from mimar.elastic._importance import Refit, damped
from mimar.elastic._sensitivity import root, sensitivities


def test_the_last_layer_has_the_fisher_information_of_the_head(network):
    """That is Jᵀ (diag p − p pᵀ) J for the Jacobian J of the logits, mean over tokens."""
    parent = network.parent
    ids = torch.randint(0, 101, (60, 12), generator=torch.Generator().manual_seed(3))
    found = sensitivities(parent, ids)[-1].mlp
    turn, stream = rotary(parent.facts, parent.config, 12), F.embedding(ids, parent.embedding)
    for layer in parent.layers:
        stream = run_layer(layer, stream, turn, parent.facts)
    exact, some = torch.zeros_like(found), stream.flatten(0, 1)
    for token in some:
        jacobian = torch.autograd.functional.jacobian(lambda x: logits(parent, x), token)
        p = logits(parent, token).softmax(-1)
        exact += jacobian.T @ (p.diag() - p[:, None] * p) @ jacobian / len(some)
    assert found.trace().item() == pytest.approx(exact.trace().item(), rel=0.1)
    assert (found - exact).norm() < 0.35 * exact.norm()


def test_a_small_change_anywhere_costs_what_is_foretold(network):
    """A change of one token at a time, at random, behind the attention of the first layer."""
    parent = network.parent
    ids = torch.randint(0, 101, (40, 8), generator=torch.Generator().manual_seed(4))
    matrix = sensitivities(parent, ids)[0].attention
    turn = rotary(parent.facts, parent.config, 8)
    generator, cost, foretold = torch.Generator().manual_seed(5), 0.0, 0.0
    from dataclasses import replace

    first = parent.layers[0]
    with torch.no_grad():
        begin = run_layer(replace(first, mlp=None), F.embedding(ids, parent.embedding), turn, parent.facts)

        def answers(stream):
            stream = run_layer(replace(first, attention=None), stream, turn, parent.facts)
            for layer in parent.layers[1:]:
                stream = run_layer(layer, stream, turn, parent.facts)
            return logits(parent, stream).log_softmax(-1)

        before = answers(begin)
        for at in range(8):
            change = torch.zeros_like(begin)
            change[:, at] = 0.02 * torch.randn(40, 96, generator=generator)
            cost += float(F.kl_div(answers(begin + change), before, reduction="sum", log_target=True))
            foretold += float((change[:, at] @ matrix * change[:, at]).sum()) / 2
    assert foretold == pytest.approx(cost, rel=0.3)


def test_drawn_tokens_are_the_same_in_every_run(network, ids):
    first, second = (sensitivities(network.parent, ids) for _ in range(2))
    assert all(
        torch.equal(a.mlp, b.mlp) and torch.equal(a.attention, b.attention) for a, b in zip(first, second, strict=True)
    )


def test_the_root_of_a_matrix_squares_to_it():
    half = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    matrix = half @ half.T
    assert torch.allclose((root(matrix) @ root(matrix)).float(), matrix, atol=1e-5)


def test_losses_are_those_of_the_weights_that_are_left():
    generator = torch.Generator().manual_seed(0)
    inputs, weight = torch.randn(200, 12, generator=generator), torch.randn(5, 12, generator=generator)
    half = torch.randn(5, 5, generator=generator)
    moments, sensitivity = inputs.T @ inputs / 200, half @ half.T
    refit = Refit.of(moments, weight)
    found, moments = refit.losses(sensitivity), damped(moments, 0.1).float()
    for count in (0, 1, 7, 12):
        missing = weight.clone()
        missing[:, :count] -= refit.weights(count)
        expected = (sensitivity @ missing @ moments @ missing.T).trace() / 2
        assert found[count].item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-6)
