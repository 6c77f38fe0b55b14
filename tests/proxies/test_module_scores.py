"""Scores of built modules against slow independent computations."""

from dataclasses import replace
from math import exp

import numpy as np
import pytest
import torch

from mimar.proxies import decoder_inputs, grad_norm, ntk, spectrum, synflow
from mimar.proxies._ntk import tangent_kernel
from mimar.space import Block, FeedForward
from mimar.testing._proxy_contract import PROBE_ARCHITECTURES

BASE = PROBE_ARCHITECTURES["multi_head"]


def inputs_of(label, **fields):
    return decoder_inputs(PROBE_ARCHITECTURES[label], seed=1, batch_size=3, tokens=6, **fields)


def flow(weights, scaled, factor, scales):
    """Sum of final states for |W| and one token of ones, `scaled` multiplied by `factor`; numpy, layer by layer.

    `scales` holds the root mean squares in order: filled when empty, otherwise used, which is to hold them constant.
    """
    fill = not scales
    used = iter(scales)

    def matrix(name):
        return weights[name] * (factor if name == scaled else 1.0)

    def norm(x):
        if fill:
            scales.append(np.sqrt(np.mean(x**2)))
        return x / (scales[-1] if fill else next(used))

    x = np.ones(BASE.hidden_size)
    for layer in range(BASE.num_layers):
        mixer, part = f"blocks.{layer}.mixer", f"blocks.{layer}.feed_forward"
        x = x + matrix(f"{mixer}.output.weight") @ (matrix(f"{mixer}.value.weight") @ norm(x))
        normed = norm(x)
        gate = matrix(f"{part}.gate.weight") @ normed
        x = x + matrix(f"{part}.down.weight") @ (gate / (1 + np.exp(-gate)) * (matrix(f"{part}.up.weight") @ normed))
    return norm(x).sum()


def test_synflow_against_finite_differences():
    """With non-negative weights and gradients Σ W·∂R/∂W is the slope of R as W is scaled."""
    inputs = decoder_inputs(BASE, seed=1)
    weights = {name: w.detach().double().abs().numpy() for name, w in inputs.module.named_parameters()}
    scales: list[float] = []
    flow(weights, "", 1.0, scales)
    step = 1e-5
    names = [name for name in weights if name.startswith("blocks.") and "norm" not in name]
    slopes = [flow(weights, n, 1 + step, scales) - flow(weights, n, 1 - step, scales) for n in names]
    assert exp(synflow(inputs)) == pytest.approx(sum(slopes) / (2 * step), rel=1e-5)


def test_synflow_reaches_every_tap_and_no_embedding():
    convolution = inputs_of("convolution")
    before = synflow(convolution)
    for tap in range(3):
        inputs = inputs_of("convolution")
        with torch.no_grad():
            inputs.module.blocks[0].mixer.taps[:, tap] = 0
        assert synflow(inputs) < before
    with torch.no_grad():
        convolution.module.embedding.weight.mul_(7)
    assert synflow(convolution) == before


@pytest.mark.parametrize("kind", ["geglu", "ffn"])
def test_synflow_neither_overflows_nor_vanishes_in_deep_models(kind):
    part = FeedForward("geglu", 256, "gelu") if kind == "geglu" else FeedForward("ffn", 256, "relu2")
    deep = replace(BASE, blocks=(Block(BASE.blocks[0].mixer, part),) * 48)
    shallow = replace(deep, blocks=deep.blocks[:24])
    assert 0 < synflow(decoder_inputs(shallow)) < synflow(decoder_inputs(deep)) < 30


def test_synflow_ignores_signs():
    plain, flipped = inputs_of("grouped_query"), inputs_of("grouped_query")
    with torch.no_grad():
        flipped.module.blocks[1].mixer.value.weight.neg_()
    assert synflow(flipped) == synflow(plain)


@pytest.mark.parametrize("label", ["multi_query", "moe", "shared_moe", "convolution", "linear", "parallel"])
def test_tangent_kernel_against_explicit_gradients(label):
    inputs = inputs_of(label)
    module = inputs.module
    weights = [p.weight for p in module.blocks.modules() if isinstance(p, torch.nn.Linear)]
    head = torch.randn(64, generator=torch.Generator().manual_seed(1))
    rows = []
    for sample in inputs.batch:
        states = module.hidden_states(module.embedding(sample[None]))
        gradients = torch.autograd.grad((states[0] @ head).mean(), weights, materialize_grads=True, allow_unused=True)
        rows.append(torch.cat([g.flatten() for g in gradients]).double())
    expected = torch.stack(rows) @ torch.stack(rows).T
    torch.testing.assert_close(tangent_kernel(inputs).double(), expected, rtol=1e-4, atol=1e-6 * float(expected.max()))
    eigenvalues = np.linalg.eigvalsh(expected.numpy())
    assert ntk(inputs) == pytest.approx(-np.log(eigenvalues[-1] / eigenvalues[0]), abs=2e-3)


def test_ntk_of_equal_sequences_is_the_floor():
    inputs = decoder_inputs(BASE, token_ids=((1, 2, 3, 4),) * 3)
    assert ntk(inputs) < -13


def test_spectrum_against_singular_values():
    for batch in (2, 30):  # fewer and more rows than features
        inputs = decoder_inputs(BASE, seed=1, batch_size=batch, tokens=8)
        with torch.no_grad():
            states = inputs.module.hidden_states(inputs.module.embedding(inputs.batch)).flatten(0, 1).double().numpy()
        singular = np.linalg.svd(states - states.mean(axis=0), compute_uv=False)
        share = singular[singular > 1e-9] / singular.sum()
        assert spectrum(inputs) == pytest.approx(-np.sum(share * np.log(share)), rel=1e-5)


def test_spectrum_of_equal_tokens_is_zero():
    assert spectrum(decoder_inputs(BASE, token_ids=((5, 5, 5),) * 3)) == 0


def test_spectrum_falls_when_tokens_repeat():
    varied = decoder_inputs(BASE, token_ids=(tuple(range(8)), tuple(range(8, 16))))
    same = decoder_inputs(BASE, token_ids=((1, 2) * 4,) * 2)
    assert spectrum(same) < spectrum(varied)


@pytest.mark.parametrize("label", ["multi_head", "moe", "shared_layers", "untied"])
def test_grad_norm_against_plain_backward(label):
    inputs = inputs_of(label)
    own = inputs_of(label)  # the same weights again, as this test leaves gradients on them
    loss = torch.zeros(())
    for sample in own.batch:
        logits = own.module(sample[None])[0]
        for position in range(len(sample) - 1):
            loss = loss - logits[position].log_softmax(0)[sample[position + 1]]
    (loss / (3 * 5)).backward()
    expected = sum(float(p.grad.norm()) for n, p in own.module.named_parameters() if n.startswith("blocks."))
    assert grad_norm(inputs) == pytest.approx(expected, rel=1e-4)


def test_module_and_gradients_are_made_once():
    inputs = inputs_of("moe")
    assert inputs.module is inputs.module
    assert inputs.gradients is inputs.gradients
    assert set(inputs.gradients) == {name for name, _ in inputs.module.named_parameters()}


def test_module_has_a_small_vocabulary_and_no_dropout():
    module = inputs_of("large_vocabulary").module
    assert module.embedding.weight.shape == (512, 64)
    assert decoder_inputs(BASE).module.embedding.weight.shape == (300, 64)
    assert decoder_inputs(PROBE_ARCHITECTURES["dropout"]).module.arch.dropout == 0


def test_seed_decides_weights_and_tokens():
    first, again, other = (decoder_inputs(BASE, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.batch, again.batch)
    assert not torch.equal(first.batch, other.batch)
    assert torch.equal(first.module.embedding.weight, again.module.embedding.weight)
    assert not torch.equal(first.module.embedding.weight, other.module.embedding.weight)


def test_random_batch_is_cut_to_the_context():
    assert decoder_inputs(BASE, tokens=64).batch.shape == (8, 32)
    assert decoder_inputs(PROBE_ARCHITECTURES["one_token_of_context"]).batch.shape == (8, 2)


def test_given_tokens_are_renumbered():
    inputs = decoder_inputs(BASE, token_ids=((900, 5, 900), (31000, 5, 7)))
    assert inputs.batch.tolist() == [[2, 0, 2], [3, 0, 1]]
    many = decoder_inputs(replace(BASE, vocab_size=32000), token_ids=(tuple(range(600)),))
    assert many.module.embedding.num_embeddings == 600


def test_expert_without_tokens_has_zero_gradient():
    sixteen = FeedForward("moe", 64, "silu", num_experts=16, top_k=1)
    arch = replace(BASE, blocks=(Block(BASE.blocks[0].mixer, sixteen),))
    inputs = decoder_inputs(arch, batch_size=1, tokens=4)
    norms = [float(inputs.gradients[f"blocks.0.feed_forward.experts.{i}.up.weight"].norm()) for i in range(16)]
    assert 1 <= sum(norm > 0 for norm in norms) <= 3
