"""Gradient scores against slow independent computations: one sample at a time, one weight matrix after the other."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from mimar.errors import InputError
from mimar.models import ACTIVATIONS
from mimar.proxies import (
    DecoderSubject,
    ProxyInputs,
    decoder_inputs,
    dss,
    fisher,
    grad_norm,
    grasp,
    head_importance,
    jacobian_covariance,
    lpzero,
    snip,
    synaptic_diversity,
    synaptic_saliency,
    synflow,
    zico,
)
from mimar.proxies._nuclear import nuclear_norm
from mimar.testing._proxy_contract import PROBE_ARCHITECTURES

LABELS = ["multi_head", "grouped_query", "linear", "convolution", "moe", "shared_layers", "untied", "ffn_relu2"]
FROM_ONE_PASS = [
    grad_norm, snip, fisher, synaptic_diversity, synaptic_saliency, dss, head_importance, lpzero, jacobian_covariance,
]  # fmt: skip


def inputs_of(label):
    return decoder_inputs(PROBE_ARCHITECTURES[label], seed=1, batch_size=4, tokens=6)


def loss_from(module, states, sample):
    """Mean next-token loss of one sequence, position by position; `states` (1, tokens, hidden) are the embeddings."""
    logits = module.forward_embeddings(states)[0]
    terms = [-logits[at].log_softmax(0)[sample[at + 1]] for at in range(len(sample) - 1)]
    return sum(terms) / len(terms)


def loss_of(module, batch):
    """Mean loss of a batch, sample by sample."""
    return sum(loss_from(module, module.embedding(sample[None]), sample) for sample in batch) / len(batch)


def plain_gradients(label, batch=slice(None)):
    """Matrices of the layers, name → (weight, gradient of the mean loss of part of the batch), both in numpy."""
    inputs = inputs_of(label)
    loss_of(inputs.module, inputs.batch[batch]).backward()
    return {
        name: (weight.detach().double().numpy(), weight.grad.double().numpy())
        for name, weight in inputs.module.named_parameters()
        if name.startswith("blocks.") and weight.dim() > 1
    }


@pytest.mark.parametrize("label", LABELS)
def test_scores_of_weights_and_gradients(label):
    inputs, found = inputs_of(label), plain_gradients(label)
    products = {name: np.abs(w * g).sum() for name, (w, g) in found.items()}
    diversity = sum(
        np.linalg.norm(w, "nuc") * np.linalg.norm(g, "nuc") for n, (w, g) in found.items() if ".mixer." in n
    )
    in_feed_forward = sum(product for name, product in products.items() if ".feed_forward." in name)
    softmax = [np.exp(g) / np.exp(g).sum(axis=0) for _, g in found.values()]
    expected = {
        snip: sum(products.values()),
        synaptic_diversity: diversity,
        synaptic_saliency: in_feed_forward,
        dss: diversity + in_feed_forward,
        lpzero: sum((w**2).mean() for w, _ in found.values()) + sum((s**2).sum() for s in softmax),
    }
    for proxy, value in expected.items():
        assert proxy(inputs) == pytest.approx(value, rel=1e-3 if proxy in {synaptic_diversity, dss} else 1e-4), proxy


@dataclass
class Watched:
    """Outputs of modules in one pass, and after a backward pass their gradients."""

    outputs: list[tuple[nn.Module, torch.Tensor]] = field(default_factory=list)

    def __call__(self, part, _arguments, output):
        output.retain_grad()
        self.outputs.append((part, output))


def per_sample(inputs, kinds):
    """For each sample of the batch its own backward pass: [(module, output, gradient of the sample's loss)]."""
    module = inputs_of_same(inputs).module
    for sample in inputs.batch:
        watched = Watched()
        hooks = [p.register_forward_hook(watched) for p in module.blocks.modules() if isinstance(p, kinds)]
        loss_from(module, module.embedding(sample[None]), sample).backward()
        for hook in hooks:
            hook.remove()
        yield [(part, y.detach().double().numpy(), y.grad.double().numpy()) for part, y in watched.outputs]


def inputs_of_same(inputs):
    """The same weights in a module of its own, as these tests leave gradients on it."""
    return ProxyInputs(inputs.subject, inputs.seed)


@pytest.mark.parametrize("label", ["multi_head", "convolution", "moe", "shared_layers", "ffn_relu2"])
def test_fisher_sample_by_sample(label):
    inputs = inputs_of(label)
    total = 0.0
    for uses in per_sample(inputs, (nn.SiLU, ACTIVATIONS["relu2"])):
        for _, a, g in uses:
            change = (a * g)[0].sum(axis=0) if a.ndim == 3 else a * g  # experts: each token by itself
            total += 0.5 * (change**2).sum()
    assert fisher(inputs) == pytest.approx(total / len(inputs.batch), rel=1e-4)


@pytest.mark.parametrize("label", ["multi_head", "grouped_query", "sliding_window", "shared_layers"])
def test_head_importance_from_what_heads_pass_on(label):
    """⟨P, ∂ℓ/∂P⟩, as the score has it, is ⟨PV, ∂ℓ/∂PV⟩, as the paper has it; a shared layer's every run counts."""
    inputs = inputs_of(label)
    module, mixer = inputs_of_same(inputs).module, inputs.subject.arch.blocks[0].mixer
    total = 0.0
    for sample in inputs.batch:
        contexts = []

        def keep(_part, arguments, contexts=contexts):
            arguments[0].retain_grad()
            contexts.append(arguments[0])

        hooks = [block.mixer.output.register_forward_pre_hook(keep) for block in module.blocks]
        loss_from(module, module.embedding(sample[None]), sample).backward()
        for hook in hooks:
            hook.remove()
        for context in contexts:
            heads = (context * context.grad)[0].detach().unflatten(-1, (mixer.num_heads, mixer.head_size))
            total += float(heads.sum(dim=(0, 2)).abs().sum())
    assert head_importance(inputs) == pytest.approx(total / len(inputs.batch), rel=1e-3)


@pytest.mark.parametrize("label", ["multi_head", "linear", "convolution", "moe", "shared_layers"])
def test_grasp_against_finite_differences(label):
    """wᵀHg is the slope of ½‖g‖² as all scored weights grow in proportion."""
    inputs = inputs_of(label)
    module = inputs_of_same(inputs).module.double()
    weights = {n: w for n, w in module.named_parameters() if n.startswith("blocks.") and w.dim() > 1}
    start = {name: weight.detach().clone() for name, weight in weights.items()}

    def half_square(factor):
        for name, weight in weights.items():
            weight.data = start[name] * factor
        gradients = torch.autograd.grad(loss_of(module, inputs.batch), list(weights.values()))
        return 0.5 * sum(float(g.square().sum()) for g in gradients)

    step = 1e-4
    slope = (half_square(1 + step) - half_square(1 - step)) / (2 * step)
    assert grasp(inputs) == pytest.approx(-slope, rel=1e-3)


@pytest.mark.parametrize("label", ["multi_head", "moe", "shared_layers"])
def test_zico_with_plain_statistics(label):
    first, second = plain_gradients(label, slice(0, 2)), plain_gradients(label, slice(2, 4))
    expected = 0.0
    for name in first:
        stacked = np.stack([first[name][1], second[name][1]])
        spread = stacked.std(axis=0)
        ratios = np.abs(stacked).mean(axis=0)[spread > 0] / spread[spread > 0]
        expected += np.log(ratios.sum()) if ratios.size else 0.0
    # Weights whose two gradients nearly agree dominate a sum, and rounding decides how nearly.
    assert zico(inputs_of(label)) == pytest.approx(expected, rel=2e-3)


def test_zico_needs_two_samples():
    with pytest.raises(InputError, match="at least 2"):
        zico(decoder_inputs(PROBE_ARCHITECTURES["multi_head"], batch_size=1))


@pytest.mark.parametrize("label", ["multi_head", "moe", "convolution", "shared_layers"])
def test_jacobian_covariance_sample_by_sample(label):
    inputs = inputs_of(label)
    rows = []
    for sample in inputs.batch:
        x = inputs.module.embedding(sample[None, :-1]).detach().requires_grad_()
        logits = inputs.module.forward_embeddings(x)[0]
        loss = -sum(logits[at].log_softmax(0)[sample[at + 1]] for at in range(len(logits)))
        rows.append(torch.autograd.grad(loss, x)[0].flatten().double().numpy())
    eigenvalues = np.linalg.eigvals(np.corrcoef(rows)).real + 1e-5
    assert jacobian_covariance(inputs) == pytest.approx(-(np.log(eigenvalues) + 1 / eigenvalues).sum(), rel=1e-4)


def test_jacobian_covariance_of_equal_samples_is_very_low():
    equal = decoder_inputs(PROBE_ARCHITECTURES["multi_head"], token_ids=((1, 2, 3, 4),) * 3)
    assert jacobian_covariance(equal) < -1e5


def test_parts_that_are_not_there_add_nothing():
    assert head_importance(inputs_of("linear")) == head_importance(inputs_of("convolution")) == 0
    assert fisher(inputs_of("no_feed_forward")) == synaptic_saliency(inputs_of("no_feed_forward")) == 0
    assert dss(inputs_of("no_feed_forward")) == synaptic_diversity(inputs_of("no_feed_forward")) > 0


@pytest.mark.parametrize("scale", [1.0, 1e-18])
@pytest.mark.parametrize(("rows", "cols", "rank"), [(40, 90, 40), (90, 40, 40), (64, 64, 64), (64, 96, 5)])
def test_nuclear_norm_is_the_sum_of_singular_values(rows, cols, rank, scale):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, cols, generator=generator) * scale
    expected = torch.linalg.svdvals(matrix.double()).sum()
    assert nuclear_norm(matrix) == pytest.approx(float(expected), rel=5e-4)


def test_nuclear_norm_of_nothing_is_zero():
    assert nuclear_norm(torch.zeros(4, 3)) == 0


def test_one_pass_serves_all():
    passes = defaultdict(int)

    @dataclass(frozen=True)
    class Counted(DecoderSubject):
        def loss(self, module, batch):
            passes["loss"] += 1
            return super().loss(module, batch)

    inputs = ProxyInputs(Counted(PROBE_ARCHITECTURES["multi_head"], batch_size=2, tokens=8))
    for proxy in FROM_ONE_PASS:
        proxy(inputs)
    assert passes["loss"] == 1


def test_synflow_of_a_network_that_lets_nothing_through_is_finite():
    inputs = inputs_of("multi_head")
    with torch.no_grad():
        for weight in inputs.module.blocks.parameters():
            weight.zero_()
    assert -90 < synflow(inputs) < -80
