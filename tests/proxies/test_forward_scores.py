"""Forward-only and weight scores against slow independent computations."""

import gc
from dataclasses import replace
from itertools import combinations
from math import exp, log, sqrt

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from mimar.proxies import (
    activation_distance,
    activation_outliers,
    activation_sparsity,
    attention_confidence,
    decoder_inputs,
    effective_rank,
    effective_rank_weights,
    naswot,
    quantization_int4,
    quantization_int8,
    softmax_confidence,
    spectral_spread,
    spectral_spread_weights,
    zen,
)
from mimar.proxies._forward import _FORWARDS, forward
from mimar.proxies._quantization import rounded
from mimar.proxies._weight_spectrum import expected_spectrum
from mimar.space import Block, FeedForward, Mixer
from mimar.testing._proxy_contract import PROBE_ARCHITECTURES

BASE = PROBE_ARCHITECTURES["multi_head"]
SHARED_FORWARD = [
    naswot, activation_distance, activation_sparsity, activation_outliers, attention_confidence, softmax_confidence,
    zen, quantization_int8, quantization_int4,
]  # fmt: skip


def inputs_of(label, **fields):
    return decoder_inputs(PROBE_ARCHITECTURES[label], **{"seed": 1, "batch_size": 3, "tokens": 6, **fields})


def entering(inputs, part):
    """What enters `part` (a name below each block) in each layer, (samples, tokens, hidden); by hooks of this test."""
    found = []
    module = inputs.subject.build(inputs.seed)
    for block in module.blocks:
        block.get_submodule(part).register_forward_hook(lambda _module, x, _output: found.append(x[0]))
    with torch.no_grad():
        module(inputs.batch)
    return found


def token_patterns(part, token):
    """Signs of one token's pre-activations, expert by expert where there are some: a list of bits."""
    kind = type(part).__name__
    if kind != "MixtureOfExperts":
        return ((part.up if kind == "FeedForward" else part.gate).weight @ token > 0).tolist()
    scores = (part.router.weight @ token).tolist()
    chosen = sorted(range(len(scores)), key=lambda i: -scores[i])[: part.top_k]
    width = part.experts[0].gate.out_features
    return [
        bit
        for index, expert in enumerate(part.experts)
        for bit in ((expert.gate.weight @ token > 0).tolist() if index in chosen else [False] * width)
    ]


def patterns(inputs):
    """For each sample the bits of all layers and tokens."""
    bits = [[] for _ in inputs.batch]
    parts = [block.feed_forward for block in inputs.module.blocks]
    for layer, x in enumerate(entering(inputs, "feed_forward")):
        for sample, tokens in enumerate(x):
            bits[sample] += [bit for token in tokens for bit in token_patterns(parts[layer], token)]
    return bits


@pytest.mark.parametrize("label", ["multi_head", "moe", "ffn_relu", "ffn_relu2"])
def test_activation_patterns_against_one_token_after_the_other(label):
    inputs = inputs_of(label)
    bits = patterns(inputs)
    equal = np.array([[sum(a == b for a, b in zip(x, y, strict=True)) for y in bits] for x in bits], dtype=float)
    assert naswot(inputs) == pytest.approx(np.linalg.slogdet(equal + np.eye(3))[1], rel=1e-9)
    distances = [sum(a != b for a, b in zip(x, y, strict=True)) for x, y in combinations(bits, 2)]
    assert activation_distance(inputs) == pytest.approx(np.mean(distances), rel=1e-9)


def test_equal_samples_have_no_distance_and_a_smaller_determinant():
    same = decoder_inputs(BASE, token_ids=((1, 2, 3, 4),) * 3)
    other = decoder_inputs(BASE, token_ids=((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12)))
    assert activation_distance(same) == 0
    assert activation_distance(other) > 0
    assert naswot(same) < naswot(other)


def test_without_activations_nothing_is_told_apart():
    inputs = inputs_of("no_feed_forward")
    scores = (naswot(inputs), activation_distance(inputs), activation_sparsity(inputs))
    assert scores == (pytest.approx(0), 0, 0)


def outputs_of_units(inputs):
    """Layer by layer, the activation's outputs of a plain or gated feed-forward part: (samples, tokens, units)."""
    found = []
    for layer, x in enumerate(entering(inputs, "feed_forward")):
        part = inputs.module.blocks[layer].feed_forward
        weight = part.up.weight if type(part).__name__ == "FeedForward" else part.gate.weight
        found.append(part.activation(x @ weight.T).detach().double().numpy())
    return found


@pytest.mark.parametrize("label", ["ffn_relu", "ffn_relu2", "geglu", "glu"])
def test_activation_sparsity_against_counting(label):
    inputs = inputs_of(label)
    small = total = 0
    for layer in outputs_of_units(inputs):
        level = 0.01 * sqrt(np.mean(layer**2))
        for value in layer.ravel():
            small += abs(value) < level
            total += 1
    assert activation_sparsity(inputs) == pytest.approx(small / total, abs=2 / total)


def test_relu_is_sparser_than_smooth_activations():
    relu, gelu, sigmoid = (activation_sparsity(inputs_of(label)) for label in ("ffn_relu", "geglu", "glu"))
    assert relu == pytest.approx(0.5, abs=0.05)
    assert gelu < 0.1
    assert sigmoid == 0


def test_activation_outliers_against_every_matrix_by_itself():
    inputs = inputs_of("multi_head")
    names = ["mixer.query", "mixer.key", "mixer.value", "mixer.output", *(f"feed_forward.{n}" for n in ("gate", "up"))]
    names.append("feed_forward.down")
    ratios = [
        log(max(abs(v) for v in values) / sqrt(sum(v * v for v in values) / len(values)))
        for name in names
        for values in (x.flatten().tolist() for x in entering(inputs, name))
    ]
    assert len(ratios) == 14
    assert activation_outliers(inputs) == pytest.approx(-np.mean(ratios), rel=1e-5)


def test_an_outlier_on_the_stream_is_seen():
    plain, spiked = inputs_of("multi_head"), inputs_of("multi_head")
    with torch.no_grad():
        spiked.module.embedding.weight[:, 7] *= 30
    assert activation_outliers(spiked) < activation_outliers(plain) < 0


def softmax_of(scores):
    weights = [exp(score - max(scores)) for score in scores]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("label", ["multi_head", "grouped_query", "sliding_window"])
def test_confidences_against_one_query_after_the_other(label):
    inputs = inputs_of(label)
    mixer = inputs.subject.arch.blocks[0].mixer
    window = mixer.window or 10**6
    of_softmax = of_heads = 0.0
    for layer, x in enumerate(entering(inputs, "mixer")):
        weights = {n: getattr(inputs.module.blocks[layer].mixer, n).weight for n in ("query", "key", "value")}
        found = {name: (x @ weight.T).detach().double().numpy() for name, weight in weights.items()}
        for values in found.values():
            samples, _, features = values.shape
            of_heads += np.mean([max(values[s, :, f]) for s in range(samples) for f in range(features)])
        largest = []
        for sample in range(3):
            for head in range(mixer.num_heads):
                at, kv = head * mixer.head_size, head * mixer.num_kv_heads // mixer.num_heads * mixer.head_size
                q = found["query"][sample, :, at : at + mixer.head_size]
                k = found["key"][sample, :, kv : kv + mixer.head_size]
                for t in range(6):
                    seen = range(max(0, t - window + 1), t + 1)
                    largest.append(max(softmax_of([float(q[t] @ k[s]) / sqrt(mixer.head_size) for s in seen])))
        of_softmax += np.mean(largest)
    assert softmax_confidence(inputs) == pytest.approx(of_softmax, rel=1e-5)
    assert attention_confidence(inputs) == pytest.approx(of_heads, rel=1e-5)


def test_confidence_of_other_mixers():
    linear, convolution = inputs_of("linear"), inputs_of("convolution")
    assert (softmax_confidence(linear), softmax_confidence(convolution)) == (0, 0)
    assert attention_confidence(linear) > 0
    assert attention_confidence(convolution) > 0
    half, full = inputs_of("no_mixer_in_one_layer"), inputs_of("multi_head")
    for proxy in (softmax_confidence, attention_confidence):
        assert proxy(half) == pytest.approx(proxy(full) / 2, rel=0.2)


@pytest.mark.parametrize("label", ["multi_head", "convolution", "shared_layers", "sinusoidal"])
def test_zen_against_double_precision_sample_by_sample(label):
    inputs = inputs_of(label)
    module = inputs.subject.build(1).double()
    with torch.no_grad():
        x = module.embedding(inputs.batch)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
        scale = 0.01 * sqrt(sum(v * v for v in x.flatten().tolist()) / x.numel())
        changes = [
            float((module.hidden_states((a + scale * e)[None]) - module.hidden_states(a[None])).square().sum()) ** 0.5
            for a, e in zip(x, noise, strict=True)
        ]
    assert zen(inputs) == pytest.approx(log(np.mean(changes)), abs=1e-3)


def test_zen_of_a_constant_network_is_finite():
    inputs = inputs_of("multi_head")
    with torch.no_grad():
        inputs.module.norm.weight.zero_()
    assert zen(inputs) == pytest.approx(log(1e-12))


def rounded_slowly(weight, bits):
    """Row by row, group by group, number by number."""
    result = weight.copy()
    for row in result:
        for start in range(0, len(row), 32):
            group = row[start : start + 32]
            step = max(abs(group)) / (2 ** (bits - 1) - 1)
            group[:] = [round(float(value / step)) * step for value in group]
    return result


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("size", [5, 32, 70])
def test_rounding_against_loops(bits, size):
    weight = torch.randn(3, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert rounded(weight, bits).numpy() == pytest.approx(rounded_slowly(weight.numpy(), bits), abs=1e-12)
    assert len(set((rounded(weight, bits)[0, :32] / weight[0, :32].abs().max()).tolist())) < 2**bits


def test_rounding_keeps_zeros():
    assert torch.equal(rounded(torch.zeros(2, 40), 4), torch.zeros(2, 40))


@pytest.mark.parametrize(("proxy", "bits"), [(quantization_int8, 8), (quantization_int4, 4)])
@pytest.mark.parametrize("label", ["multi_head", "convolution", "shared_layers"])
def test_quantization_against_a_model_with_rounded_weights(proxy, bits, label):
    inputs = inputs_of(label)
    exact, coarse = (inputs.subject.build(1) for _ in range(2))
    with torch.no_grad():
        for weight in coarse.blocks.parameters():
            if weight.dim() > 1:
                flat = weight.flatten(0, -2)
                flat.copy_(torch.from_numpy(rounded_slowly(flat.double().numpy(), bits)))
        states, changed = (m.hidden_states(m.embedding(inputs.batch)) for m in (exact, coarse))
    expected = -float(((changed - states).double().square().sum() / states.double().square().sum()).sqrt())
    assert proxy(inputs) == pytest.approx(expected, rel=2e-2)


def test_fewer_bits_change_more():
    inputs = inputs_of("deep")
    assert quantization_int4(inputs) < 5 * quantization_int8(inputs) < 0


def marchenko_pastur(rows, cols):
    """(effective rank, spread) by adaptive integration of the density."""
    small = min(rows, cols)
    ratio = small / max(rows, cols)
    low, high = (1 - sqrt(ratio)) ** 2, (1 + sqrt(ratio)) ** 2

    def mean(function):
        return quad(
            lambda x: function(x) * sqrt(max(0.0, (high - x) * (x - low))) / (2 * np.pi * ratio * x),
            low, high, limit=500,
        )[0]  # fmt: skip

    root = mean(sqrt)
    share = small * root
    entropy = -mean(lambda x: small * (sqrt(x) / share) * log(sqrt(x) / share) if x > 0 else 0.0)
    return exp(entropy), log(sqrt(high) / root)


@pytest.mark.parametrize(("rows", "cols"), [(64, 64), (64, 96), (512, 64), (2048, 2)])
def test_expected_spectrum_against_integration(rows, cols):
    assert expected_spectrum(rows, cols) == pytest.approx(marchenko_pastur(rows, cols), rel=1e-4)
    assert expected_spectrum(cols, rows) == expected_spectrum(rows, cols)


@pytest.mark.parametrize("label", ["grouped_query", "moe", "convolution", "shared_layers"])
def test_measured_spectrum_against_singular_values(label):
    inputs = inputs_of(label)
    ranks, spreads = [], []
    for name, weight in inputs.module.named_parameters():
        if name.startswith("blocks.") and "norm" not in name:
            singular = np.linalg.svd(weight.detach().double().flatten(1).numpy(), compute_uv=False)
            share = singular / singular.sum()
            active = sqrt(0.5) if ".experts." in name else 1.0
            ranks.append(active * exp(-np.sum(share * np.log(share))))
            spreads.append(log(singular[0] / singular.mean()))
    assert effective_rank_weights(inputs) == pytest.approx(sum(ranks), rel=1e-6)
    assert spectral_spread_weights(inputs) == pytest.approx(-np.mean(spreads), rel=1e-6)


def test_closed_forms_are_what_initial_weights_have():
    wide = replace(
        BASE, hidden_size=256, blocks=(Block(Mixer("attention", 4, 2, 64), FeedForward("swiglu", 640, "silu")),) * 2
    )
    inputs = decoder_inputs(wide)
    assert effective_rank_weights(inputs) == pytest.approx(effective_rank(inputs), rel=0.01)
    assert spectral_spread_weights(inputs) == pytest.approx(spectral_spread(inputs), rel=0.03)


def test_rank_cannot_exceed_the_smaller_side():
    assert 1 <= expected_spectrum(1, 50)[0] <= 1.001
    for small in (2, 10, 64):
        assert 1 < expected_spectrum(small, 64)[0] < small


def test_all_forward_proxies_share_one_pass():
    inputs = inputs_of("multi_head")
    uses = []
    inputs.module.embedding.register_forward_hook(lambda *_: uses.append(1))
    inputs.module.blocks[0].feed_forward.activation.register_forward_hook(lambda *_: uses.append(2))
    for proxy in SHARED_FORWARD:
        proxy(inputs)
    # One pass for all, and one each under noise, 8 and 4 bits; these three begin at the embedding again.
    assert (uses.count(1), uses.count(2)) == (4, 4)


def test_the_pass_goes_with_its_inputs():
    before = len(_FORWARDS)
    inputs = inputs_of("multi_head")
    assert forward(inputs) is forward(inputs)
    assert len(_FORWARDS) == before + 1
    del inputs
    gc.collect()
    assert len(_FORWARDS) <= before


def test_every_use_of_a_layer_is_seen_once():
    names = [use.name for use in forward(inputs_of("moe")).linears]
    assert names.count("0.feed_forward.router") == 1
    assert len(names) == len(set(names))
    shared = [use.name for use in forward(inputs_of("shared_layers")).linears]
    assert {shared.count(name) for name in shared} == {2}
