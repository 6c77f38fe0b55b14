"""Closed forms against slow independent computations."""

from dataclasses import replace
from math import log, pi, sqrt

import numpy as np
import pytest
from scipy.integrate import quad

from mimar.proxies import (
    PROXIES,
    adw,
    decoder_inputs,
    hpm,
    hpm_plus,
    nsc_mp,
    parameter_efficiency,
    score_population,
    zerolm,
    zerolm_parts,
    zerolm_weights,
)
from mimar.proxies._nsc_mp import log_volume
from mimar.shapes import DecoderShapes
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.testing._proxy_contract import PROBE_ARCHITECTURES

SIGMA2 = 0.02**2
HIDDEN = 128
MIXED = Architecture(
    HIDDEN,
    (
        Block(Mixer("attention", 8, 2, 16), FeedForward("swiglu", 192, "silu")),
        Block(Mixer("convolution", kernel_size=5), FeedForward("ffn", 512, "gelu")),
        Block(Mixer("none"), FeedForward("moe", 64, "silu", num_experts=8, top_k=2)),
        Block(Mixer("linear", 4, 4, 32), FeedForward("none")),
    ),
    position="none",
)
"""Per-layer, with every kind of part that closed forms must tell apart."""

MIXED_MATRICES = [
    [[(128, 128), (32, 128), (32, 128), (128, 128)], [(192, 128), (192, 128), (128, 192)]],
    [[(128, 128), (128, 128), (128, 5), (128, 128)], [(512, 128), (128, 512)]],
    [[], [(8, 128)] + [(64, 128), (64, 128), (128, 64)] * 8],
    [[(128, 128)] * 4, []],
]
"""The same written out by hand: layer → (mixer, feed-forward) → (rows, columns)."""

EXPERT_WEIGHT = sqrt(2 / 8)


def weight_of(layer: int, shape: tuple[int, int]) -> float:
    return EXPERT_WEIGHT if layer == 2 and shape != (8, 128) else 1.0


def score(proxy, arch):
    return proxy(decoder_inputs(arch))


def test_hpm_of_mixed_layers():
    total = sum(
        sqrt(sum(weight_of(i, s) * s[0] * s[1] for s in part))
        for i, layer in enumerate(MIXED_MATRICES)
        for part in layer
    )
    assert score(hpm, MIXED) == pytest.approx(total**2 / 4)


def test_hpm_plus_of_mixed_layers():
    heads = [8, 1, 1, 4]
    total = 0.0
    for i, (mixer, feed_forward) in enumerate(MIXED_MATRICES):
        total += sqrt(sum(m * n for m, n in mixer) * heads[i] ** 0.1)
        total += sqrt(sum(weight_of(i, s) * s[0] * s[1] for s in feed_forward))
    assert score(hpm_plus, MIXED) == pytest.approx(total**2 / 4)


def test_adw_of_mixed_layers():
    mean = 0.0
    for i, (mixer, feed_forward) in enumerate(MIXED_MATRICES[:3]):
        mean += 0.9 * sum(m * n for m, n in mixer) ** 0.25 / 3.9
        mean += sum(weight_of(i, s) * s[0] * s[1] for s in feed_forward) ** 0.25 / 3.9
    mean += 0.9 * (4 * 128 * 128) ** 0.25 / 3.9  # the last layer has no feed-forward part
    heads = (log(2) + 0 + 0 + log(2)) / 4  # at most HIDDEN / 64 of the 8 and the 4 heads count
    assert score(adw, MIXED) == pytest.approx(0.002 * heads - (4**-0.9 + (600 / (sqrt(HIDDEN) * mean)) ** 0.4))


def test_adw_wants_feed_forward_weights_anywhere_rather_than_in_the_last_layer():
    thin, fat = (uniform(1, ratio).blocks[0] for ratio in (2, 6))
    first, last = ((fat, thin, thin), (thin, thin, fat))
    one, other = (score(adw, replace(uniform(3), blocks=blocks)) for blocks in (first, last))
    assert one > other
    assert score(adw, replace(uniform(3), blocks=(thin, fat, thin))) == pytest.approx(one)
    roots = [(ratio * 2 * HIDDEN**2) ** 0.25 for ratio in (6, 2, 2)]
    mean = (3 * 0.9 * (4 * HIDDEN**2) ** 0.25 + roots[0] + roots[1] + 0.8 * roots[2]) / 2.9
    assert one == pytest.approx(0.002 * log(2) - (3**-0.9 + (600 / (sqrt(HIDDEN) * mean)) ** 0.4))


def test_adw_settles_by_heads_what_is_otherwise_equal():
    def with_heads(heads):
        block = Block(Mixer("attention", heads, heads, 512 // heads), FeedForward("ffn", 2048, "gelu"))
        return score(adw, Architecture(512, (block,) * 6))

    one, four, eight, thirty_two = map(with_heads, (1, 4, 8, 32))
    assert one < four < eight == thirty_two
    assert eight - one < 0.01 * abs(one)


def uniform(layers, ratio=4, **fields):
    block = Block(Mixer("attention", 4, 4, 32), FeedForward("ffn", ratio * HIDDEN, "gelu"))
    return Architecture(HIDDEN, (block,) * layers, **fields)


def test_hpm_is_proportional_to_block_weights_when_layers_are_alike():
    block_weights = 12 * HIDDEN**2
    assert score(hpm, uniform(24)) == pytest.approx(2 * score(hpm, uniform(12)))
    assert score(hpm, uniform(12)) == pytest.approx(12 * block_weights * (sqrt(4 / 12) + sqrt(8 / 12)) ** 2)


def test_hpm_prefers_even_layers_at_equal_weights():
    thin, even, fat = (uniform(1, ratio).blocks[0] for ratio in (1, 4, 7))
    lopsided = replace(uniform(2), blocks=(thin, fat))
    assert score(hpm, lopsided) < score(hpm, replace(uniform(2), blocks=(even, even)))


def test_sharing_is_worth_less_than_weights_and_more_than_nothing():
    single, shared, full = uniform(6), uniform(12, layer_sharing=2), uniform(12)
    assert score(hpm, single) < score(hpm, shared) < score(hpm, full)
    assert score(hpm, shared) == pytest.approx(score(hpm, single) * 2**0.2)


def test_experts_count_between_active_and_total():
    experts = FeedForward("moe", 512, "silu", num_experts=8, top_k=2)
    moe, active, total = (
        score(hpm, replace(MIXED, blocks=(Block(MIXED.blocks[0].mixer, part),)))
        for part in (experts, FeedForward("swiglu", 1024, "silu"), FeedForward("swiglu", 4096, "silu"))
    )
    assert active < moe < total


def test_zerolm_parts_of_mixed_layers():
    attention = sum(max(shape) for layer in MIXED_MATRICES for shape in layer[0]) * SIGMA2
    feed_forward = (
        sum(weight_of(i, shape) * max(shape) for i, layer in enumerate(MIXED_MATRICES) for shape in layer[1]) * SIGMA2
    )
    assert zerolm_parts(DecoderShapes(MIXED)) == pytest.approx((attention, feed_forward))
    assert score(zerolm(0.8), MIXED) == pytest.approx(0.8 * attention + 0.2 * feed_forward)
    assert score(zerolm(-0.5), MIXED) == pytest.approx(-0.5 * attention + 1.5 * feed_forward)


def test_zerolm_weights_is_what_norms_say():
    inputs = decoder_inputs(MIXED, seed=5)
    attention = feed_forward = 0.0
    for name, weight in inputs.module.state_dict().items():
        if name.startswith("blocks.") and "norm" not in name:
            complexity = np.linalg.norm(weight.numpy(), "fro") ** 2 / min(weight.shape)
            if ".mixer." in name:
                attention += complexity
            else:
                feed_forward += complexity * (EXPERT_WEIGHT if "experts" in name else 1.0)
    assert zerolm_weights(0.3)(inputs) == pytest.approx(0.3 * attention + 0.7 * feed_forward, rel=1e-5)


def test_zerolm_weights_equals_the_closed_form_on_average():
    """Var C(W) = 2mnσ⁴ / min(m, n)²; the mean of 20 seeds lies within four standard errors."""
    seeds = range(20)
    alpha = 0.35
    values = [zerolm_weights(alpha)(decoder_inputs(MIXED, seed=seed)) for seed in seeds]
    variance = 0.0
    for i, layer in enumerate(MIXED_MATRICES):
        for share, part in zip((alpha, 1 - alpha), layer, strict=True):
            variance += sum((share * weight_of(i, s)) ** 2 * 2 * s[0] * s[1] / min(s) ** 2 for s in part) * SIGMA2**2
    error = sqrt(variance / len(seeds))
    assert abs(np.mean(values) - score(zerolm(alpha), MIXED)) < 4 * error
    assert 0.4 < np.std(values, ddof=1) / sqrt(variance) < 2
    assert error < 1e-3 * score(zerolm(alpha), MIXED), "too loose to tell the closed form from another"


@pytest.mark.parametrize("shape", [(64, 64), (256, 64), (64, 256), (2048, 512), (8, 128), (128, 5), (1000, 999)])
def test_log_volume_against_quadrature(shape):
    large, small = max(shape), min(shape)
    ratio, scale = small / large, 2 / sum(shape)
    low, high = (1 - sqrt(ratio)) ** 2, (1 + sqrt(ratio)) ** 2

    def integrand(angle):
        # x = centre + radius·cos: the density's square-root edges become smooth.
        radius = (high - low) / 2
        x = (high + low) / 2 + radius * np.cos(angle)
        density = radius * np.sin(angle) / (2 * pi * ratio * x)
        return np.log1p(large * scale * x) * density * radius * np.sin(angle)

    value, _ = quad(integrand, 0, pi, epsabs=1e-11, epsrel=1e-11)
    assert log_volume(*shape) == pytest.approx(small * value, rel=1e-8)


def test_log_volume_is_the_expected_log_determinant():
    rng = np.random.default_rng(0)
    draws = [rng.normal(0, sqrt(2 / 300), (100, 200)) for _ in range(10)]
    found = [np.linalg.slogdet(np.eye(100) + w @ w.T)[1] for w in draws]
    assert log_volume(100, 200) == pytest.approx(np.mean(found), rel=0.005)


def test_nsc_mp_of_mixed_layers():
    total = sum(
        weight_of(i, shape) * log_volume(*shape)
        for i, layer in enumerate(MIXED_MATRICES)
        for part in layer
        for shape in part
    )
    assert score(nsc_mp, MIXED) == pytest.approx(total)


def test_parameter_efficiency_is_an_exponent():
    arch = PROBE_ARCHITECTURES["multi_head"]
    weights = sum(p.numel() for p in decoder_inputs(arch).module.parameters())
    assert score(parameter_efficiency, arch) == pytest.approx(log(score(hpm, arch)) / log(weights))
    assert score(parameter_efficiency, replace(arch, vocab_size=50000)) < score(parameter_efficiency, arch)


@pytest.mark.parametrize("label", ["grouped_query", "moe", "shared_layers", "untied", "sandwich_norm"])
def test_counts_are_those_of_the_module(label):
    arch = PROBE_ARCHITECTURES[label]
    inputs = decoder_inputs(arch)
    by_name = {proxy.name: proxy(inputs) for proxy in PROXIES if proxy.cost == "closed form"}
    sizes = {name: p.numel() for name, p in inputs.module.named_parameters()}
    embeddings = sum(size for name, size in sizes.items() if name.split(".")[0] in ("embedding", "head"))
    assert by_name["params"] == sum(sizes.values())
    assert by_name["nonembedding_params"] == sum(sizes.values()) - embeddings
    assert by_name["depth_width"] == arch.num_layers * arch.hidden_size
    # Two operations a weight and token is the well-known estimate; attention adds to it, idle experts take away.
    assert 0.5 < by_name["flops"] / (2 * arch.context_length * sum(sizes.values())) < 2.5


def test_population_keeps_order():
    found = score_population(hpm, [uniform(3), MIXED, uniform(1)])
    assert found.tolist() == [score(hpm, uniform(3)), score(hpm, MIXED), score(hpm, uniform(1))]
