from dataclasses import replace

import pytest

from mimar.cli._devices import device_rows
from mimar.hardware import (
    Workload,
    device_advice,
    load_profile,
    profile_names,
    restrictions,
    unsupported_reasons,
)
from mimar.hardware._this import cache_file
from mimar.space import Block, FeedForward, Mixer


@pytest.fixture
def npu():
    return load_profile("phone-npu")


def test_what_the_npu_can_run(make_llama, npu):
    assert unsupported_reasons(make_llama(512, 4, 8, 2, 1024), npu, Workload(dtype="int8")) == ()


def test_every_reason_is_given(make_llama, npu):
    arch = replace(make_llama(576, 1, 9, 3, 1536), position="alibi", layer_sharing=1)
    experts = FeedForward("moe", 128, "relu2", num_experts=4, top_k=1)
    arch = replace(arch, blocks=(*arch.blocks, Block(Mixer("convolution", kernel_size=4), experts)))
    reasons = unsupported_reasons(arch, npu, Workload(dtype="fp32"))
    assert reasons == (
        "device phone-npu cannot run mixer convolution; use attention or none or sliding_window",
        "device phone-npu cannot run feed-forward part moe; use ffn or geglu or glu or none or swiglu",
        "device phone-npu cannot run activation relu2; use gelu or none or relu or sigmoid or silu",
        "device phone-npu cannot run position encoding alibi; use none or rope or sinusoidal",
        "device phone-npu cannot run weight dtype fp32; use fp16 or int8",
        "device phone-npu needs hidden_size in multiples of 128, got 576",
        "device phone-npu needs num_heads × head_size in multiples of 128, got 576",
    )


@pytest.mark.parametrize("name", profile_names()[1:])
def test_advice_is_short_and_names_the_limits(name):
    profile = load_profile(name)
    advice = device_advice(profile, Workload(dtype=profile.default_dtype))
    assert 3 <= advice.count(". ") + 1 <= 6
    assert profile.description in advice
    assert all(limit in advice for limit in restrictions(profile))
    assert "e+" not in advice


def test_advice_follows_the_figures(round_device):
    """100 GB/s: 10 GB for each token at ten a second. Arithmetic binds above 10 FLOP for each byte."""
    advice = device_advice(round_device, Workload(prompt_tokens=128, dtype="fp16"))
    assert "Decoding at batch 1 is bound by memory bandwidth" in advice
    assert "at 100 GB/s, so 10 tokens/s leave 10 GB" in advice
    assert "is bound by compute: each million active weights adds 256 µs" in advice
    assert "bound by memory bandwidth: each million active weights adds 20 µs" in device_advice(
        round_device, Workload(prompt_tokens=4, dtype="fp16")
    )
    assert "Decoding at batch 64 is bound by compute: 15.6 GFLOP/s for each sequence" in device_advice(
        round_device, Workload(batch=64, dtype="fp16")
    )
    assert "below a hidden size of about 266 launches take longer than weights" in device_advice(
        replace(round_device, launch_overhead_s=1e-6), Workload(dtype="fp16")
    )


def test_rows_of_all_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rows = device_rows()
    assert [row["name"] for row in rows] == list(profile_names())
    assert "not measured yet" in rows[0]["description"]
    assert rows[0].keys() == rows[1].keys()
    assert not cache_file().exists()
    npu = next(row for row in rows if row["name"] == "phone-npu")
    assert npu["restrictions"] == [
        "no mixers linear, block_sparse, convolution",
        "no feed-forward parts moe",
        "no activations relu2",
        "no position encodings alibi",
        "no weight dtypes fp32, bf16, int4",
        "widths in multiples of 128",
    ]
    assert npu["peak_flops"] == {"fp16": 11.25e12, "int8": 22.5e12}
    assert npu["power_w"] == {"idle": 0.5, "peak": 5.0}
    assert "estimate" in npu["sources"]["peak_flops"]
