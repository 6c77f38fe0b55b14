import csv
import gzip
import json
import os
from pathlib import Path

import pytest
import torch
from scipy.fft import dctn
from torch.nn import functional as F

from mimar.bench.families import FlexiBert, FlexiBertLayer
from mimar.errors import InputError


def described(kind, parameter, heads=4, width=512, stacked=1):
    return {
        "operation_type": kind, "operation_parameter": parameter, "num_operation_heads": heads,
        "feed_forward_dimension": width, "num_feed_forward": stacked,
    }  # fmt: skip


ENCODER = {
    "hidden_size": 128,
    "encoder_layers": [described("SA", "WMA", 4, 1024, 3), described("LT", "DCT", 2, 512, 3), described("DSC", 9, 2)],
}


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def mixer_of(layer, hidden=32):
    return FlexiBert(hidden, (layer,)).build(0).blocks[0].mixer.requires_grad_(False)


def test_as_trained_every_layer_is_plain_attention_at_its_own_width():
    subject = FlexiBert.from_json(ENCODER, "as_trained")
    assert subject.hidden_size == 128
    assert subject.encoder_layers == (
        FlexiBertLayer("SDP", 4, (1024, 1024, 1024)),
        FlexiBertLayer("SDP", 2, (1024, 512, 512)),
        FlexiBertLayer("SDP", 2, (1024,)),
    )


def test_as_released_operations_are_those_named_at_one_width():
    subject = FlexiBert.from_json(ENCODER, "as_released")
    assert subject.hidden_size == 256
    assert subject.encoder_layers == (
        FlexiBertLayer("WMA", 4, (1024, 1024, 1024)),
        FlexiBertLayer("DCT", 2, (1024, 1024, 1024)),
        FlexiBertLayer("DSC", 2, (1024,), 9),
    )


def test_published_parameter_count():
    layers = [
        described("SA", "WMA", 4, 1024, 3), described("LT", "DCT", 2, 512, 3), described("SA", "SDP", 4, 512, 3),
        described("SA", "SDP", 4, 1024, 1),
    ]  # fmt: skip
    encoder = {"hidden_size": 256, "encoder_layers": layers}
    assert FlexiBert.from_json(encoder, "as_released").params == 13330176


def test_every_published_parameter_count():
    folder = Path(os.environ.get("MIMAR_DATA", ""))
    found = [place for place in (folder / "truth", folder) if (place / "flexibert_500.json.gz").is_file()]
    if not found:
        pytest.skip("set MIMAR_DATA to the folder of flexibert_500.json.gz")
    with gzip.open(found[0] / "flexibert_500.json.gz") as file:
        encoders = {row["id"]: row["architecture"] for row in json.load(file)}
    with (found[0] / "flexibert_500_published_proxies.csv").open() as file:
        counts = {int(row["ID"]): int(row["Number of Parameters"]) for row in csv.DictReader(file)}
    assert {key: FlexiBert.from_json(value, "as_released").params for key, value in encoders.items()} == counts


def test_attention_is_torchs_without_a_mask():
    mixer, x = mixer_of(FlexiBertLayer("SDP", 4, (64,))), normal(2, 7, 32)
    query, key, value = (p(x).view(2, 7, 4, 8).transpose(1, 2) for p in (mixer.query, mixer.key, mixer.value))
    expected = mixer.output(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(mixer(x), expected)


def test_weighted_attention_multiplies_queries_once_more():
    mixer, x = mixer_of(FlexiBertLayer("WMA", 2, (64,))), normal(2, 7, 32) * 10
    plain = mixer_of(FlexiBertLayer("SDP", 2, (64,)))
    for name in ("key", "value", "output"):
        getattr(plain, name).weight.copy_(getattr(mixer, name).weight)
    plain.query.weight.copy_(mixer.weighting.weight @ mixer.query.weight)
    torch.testing.assert_close(mixer(x), plain(x))


def test_cosine_transform_is_scipys_over_tokens_and_head_features():
    mixer, x = mixer_of(FlexiBertLayer("DCT", 4, (64,))), normal(2, 7, 32)
    heads = mixer.input(x).view(2, 7, 4, 8)
    expected = torch.from_numpy(dctn(heads.numpy(), type=2, axes=(1, 3))).flatten(2)
    torch.testing.assert_close(mixer(x), expected, rtol=1e-4, atol=1e-4)


def test_fourier_transform_by_its_definition():
    mixer, x = mixer_of(FlexiBertLayer("DFT", 4, (64,))), normal(1, 3, 32)
    heads = mixer.input(x).view(1, 3, 4, 8)
    found = mixer(x).view(1, 3, 4, 8)
    for k in range(3):
        for j in range(8):
            angle = (torch.arange(3)[:, None] * k / 3 + torch.arange(8) * j / 8) * (2 * torch.pi)
            expected = (heads[0, :, 1] * angle.cos()).sum()
            torch.testing.assert_close(found[0, k, 1, j], expected, rtol=1e-4, atol=1e-4)


def test_span_convolution_by_loops():
    mixer, x = mixer_of(FlexiBertLayer("DSC", 4, (64,), 5)), normal(1, 6, 32)
    tokens, heads, size = 6, 2, 8
    query, span = mixer.query(x)[0], mixer.span(x)[0]
    for t in range(tokens):
        near = [s for s in range(t - 2, t + 3) if 0 <= s < tokens]
        local = sum(x[0, s] * mixer.taps[:, s - t + 2] for s in near)
        kernels = mixer.kernel(mixer.pointwise(local) * query[t]).view(heads, 5).softmax(dim=-1)
        for h in range(heads):
            expected = sum(kernels[h, s - t + 2] * span[s, h * size : (h + 1) * size] for s in near)
            torch.testing.assert_close(mixer._convolved(x, mixer.query(x))[0, t, h], expected)


def test_span_convolution_joins_attention_and_convolution_heads():
    mixer, x = mixer_of(FlexiBertLayer("DSC", 4, (64,), 5)), normal(1, 6, 32)
    assert mixer(x).shape == x.shape
    query, key, value = (p(x).view(1, 6, 2, 8).transpose(1, 2) for p in (mixer.query, mixer.key, mixer.value))
    attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
    joined = torch.cat([attended, mixer._convolved(x, mixer.query(x))], dim=2)
    torch.testing.assert_close(mixer(x), mixer.output(joined.flatten(2)))


def test_layers_of_transforms_have_no_first_residual():
    block, x = FlexiBert(32, (FlexiBertLayer("DFT", 2, (64,)),)).build(0).blocks[0], normal(1, 4, 32)
    mixed = block.mixer(x)
    torch.testing.assert_close(block(x), F.layer_norm(mixed + block.feed_forward(mixed), (32,)))


def test_flops_of_attention_by_hand():
    subject = FlexiBert(128, (FlexiBertLayer("SDP", 4, (512,)),))
    assert subject.flops == 2 * 128 * (4 * 128**2 + 2 * 128 * 512) + 4 * 128 * 128**2


def test_loss_of_a_constant_discriminator_is_ln_2():
    subject = FlexiBert(64, (FlexiBertLayer("SDP", 2, (64,)),))
    module, batch = subject.build(0), subject.draw(0)
    module.head[2].weight.requires_grad_(False).zero_()
    assert float(subject.loss(module, batch).detach()) == pytest.approx(0.6931472)


@pytest.mark.parametrize(
    ("encoder", "shapes", "message"),
    [
        ({"hidden_size": 128}, "as_trained", "encoder_layers"),
        ({"hidden_size": 128, "encoder_layers": []}, "as_trained", "at least one"),
        ({"hidden_size": 128, "encoder_layers": [described("SA", "XYZ")]}, "as_released", "unknown operation"),
        ({"hidden_size": 128, "encoder_layers": [described("DSC", 4)]}, "as_released", "odd kernel"),
        ({"hidden_size": 128, "encoder_layers": [described("SA", "SDP", 3)]}, "as_trained", "divide 128"),
        (ENCODER, "as_wished", "as_trained or as_released"),
    ],
)
def test_unreadable_architectures_say_what_is_wrong(encoder, shapes, message):
    with pytest.raises(InputError, match=message):
        FlexiBert.from_json(encoder, shapes)
