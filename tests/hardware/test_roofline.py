import random
import timeit
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimar.errors import InputError, UnknownNameError
from mimar.hardware import Workload, hardware_metrics, latency_breakdown, load_profile, profile_names
from mimar.shapes import flops, nonembedding_parameters, parameters
from mimar.space import Architecture, Block, FeedForward, Mixer, illegal_reasons

QUICK = settings(max_examples=50, deadline=None)
SPEED = "decode_tokens_per_second"
MIXERS = [
    Mixer("attention", 4, 4, 32),
    Mixer("attention", 8, 1, 16),
    Mixer("sliding_window", 4, 2, 32, window=64),
    Mixer("block_sparse", 4, 4, 32, window=32),
    Mixer("linear", 4, 4, 32),
    Mixer("convolution", kernel_size=5),
    Mixer("none"),
]
PARTS = [
    FeedForward("ffn", 256, "gelu"),
    FeedForward("swiglu", 384, "silu"),
    FeedForward("moe", 128, "silu", num_experts=8, top_k=2),
    FeedForward("none"),
]


@st.composite
def architectures(draw):
    blocks = [Block(draw(st.sampled_from(MIXERS[:6])), draw(st.sampled_from(PARTS)))]
    blocks += draw(st.lists(st.builds(Block, st.sampled_from(MIXERS), st.sampled_from(PARTS[:3])), max_size=4))
    group = draw(st.sampled_from([1, 1, 3]))
    return Architecture(
        128,
        tuple(block for block in blocks for _ in range(group)),
        vocab_size=draw(st.sampled_from([1000, 32000])),
        context_length=1024,
        position=draw(st.sampled_from(["sinusoidal", "none"])),
        norm=draw(st.sampled_from(["rmsnorm", "layernorm"])),
        norm_placement=draw(st.sampled_from(["pre", "post", "sandwich"])),
        topology=draw(st.sampled_from(["sequential", "parallel"])),
        tied_embeddings=draw(st.booleans()),
        layer_sharing=group,
    )


workloads = st.builds(Workload, st.integers(128, 1024), st.integers(1, 8), st.integers(1, 128), st.just("fp16"))
devices = st.sampled_from(profile_names()[1:]).map(load_profile)


@QUICK
@given(architectures(), devices, workloads)
def test_counts_agree_with_shapes(arch, device, workload):
    assert not illegal_reasons(arch)
    found = hardware_metrics(arch, device, workload)
    assert found["params"] == parameters(arch)
    assert found["nonembedding_params"] == nonembedding_parameters(arch)
    assert found["flops"] == pytest.approx(flops(arch, workload.context), rel=1e-12)


@QUICK
@given(architectures(), devices, workloads)
def test_the_breakdown_adds_up(arch, device, workload):
    found, layers = hardware_metrics(arch, device, workload), latency_breakdown(arch, device, workload)
    assert len(layers) == arch.num_layers + 1
    assert sum(layer.prefill_s for layer in layers) == pytest.approx(found["ttft_s"])
    assert 1 / sum(layer.decode_s for layer in layers) == pytest.approx(found[SPEED])
    assert all(0 <= layer.launch_s <= layer.decode_s for layer in layers)


@QUICK
@given(architectures(), devices, workloads)
def test_more_layers_cost_more(arch, device, workload):
    less, more = (hardware_metrics(a, device, workload) for a in (arch, replace(arch, blocks=arch.blocks * 2)))
    for name in ("params", "nonembedding_params", "flops", "memory_bytes", "ttft_s", "energy_j_per_token"):
        assert more[name] > less[name], name
    assert more[SPEED] < less[SPEED]


@QUICK
@given(architectures(), devices, workloads)
def test_a_longer_context_costs_no_less(arch, device, workload):
    short, long = (hardware_metrics(arch, device, replace(workload, context=c)) for c in (workload.context, 4096))
    assert long["memory_bytes"] > short["memory_bytes"]
    if not any(block.mixer.kind == "block_sparse" for block in arch.blocks):  # Its view shrinks when a block begins.
        assert long[SPEED] <= short[SPEED]
    assert long["ttft_s"] == short["ttft_s"]


@QUICK
@given(architectures(), devices, workloads)
def test_a_larger_batch_slows_each_sequence_and_serves_more(arch, device, workload):
    one, many = (hardware_metrics(arch, device, replace(workload, batch=b)) for b in (1, 16))
    assert many[SPEED] <= one[SPEED]
    assert many[SPEED] * 16 > one[SPEED]
    assert many["ttft_s"] >= one["ttft_s"]


def test_decoding_by_hand(smollm, round_device):
    """At 100 GB/s a step reads all weights that are in matrices, and the KV cache, and waits for nothing else."""
    found = hardware_metrics(smollm, round_device, Workload(context=1024, dtype="fp16"))
    matrices = 134_515_008 - 61 * 576
    step = (matrices * 2 + 2 * 30 * 3 * 64 * 1024 * 2) / 100e9
    assert found[SPEED] == pytest.approx(1 / step)
    assert found["power_w"] == 110
    assert found["energy_j_per_token"] == pytest.approx(110 * step)


def test_a_slow_kv_cache(smollm, round_device):
    """At 20 GB/s, a fifth of the speed of weights, the cache of 47 MB costs four times its time more."""
    fp16 = replace(round_device.throughput["fp16"], cache_efficiency=0.1)
    slow = replace(round_device, throughput={"fp16": fp16})
    steps = [1 / hardware_metrics(smollm, device, Workload(context=1024))[SPEED] for device in (round_device, slow)]
    cache = 2 * 30 * 3 * 64 * 1024 * 2
    assert steps[1] - steps[0] == pytest.approx(cache / 20e9 - cache / 100e9)


def test_prefill_by_hand(smollm, round_device):
    """Layers are bound by compute at 1 TFLOP/s, attention by the pairs it needs; the head reads its weights once."""
    found = hardware_metrics(smollm, replace(round_device, cache_bytes=1e9), Workload(prompt_tokens=512, dtype="fp16"))
    layer = 2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536
    pairs = 512 * 513 / 2
    compute = 30 * (2 * 512 * layer + 4 * 576 * pairs) / 1e12
    assert found["ttft_s"] == pytest.approx(compute + 49152 * 576 * 2 / 100e9)


def test_launches_by_hand(smollm, round_device):
    """17 operators a layer and 3 around the layers; at rest they leave the device idle."""
    waiting = replace(round_device, launch_overhead_s=1e-3)
    work, launches = 1 / hardware_metrics(smollm, round_device, Workload())[SPEED], (30 * 17 + 3) * 1e-3
    found = hardware_metrics(smollm, waiting, Workload())
    assert 1 / found[SPEED] == pytest.approx(work + launches)
    assert found["power_w"] == pytest.approx(10 + 100 * work / (work + launches))
    assert sum(layer.launch_s for layer in latency_breakdown(smollm, waiting, Workload())) == pytest.approx(launches)


def test_experts_are_read_as_they_are_chosen(round_device):
    part = FeedForward("moe", 512, "silu", num_experts=8, top_k=2)
    arch = Architecture(256, (Block(Mixer("none"), part), Block(Mixer("attention", 4, 4, 64), part)), vocab_size=2)
    other = hardware_metrics(
        replace(arch, blocks=tuple(replace(b, feed_forward=FeedForward("none")) for b in arch.blocks)),
        replace(round_device, launch_overhead_s=0.0),
        Workload(context=1, prompt_tokens=1),
    )
    one = hardware_metrics(arch, round_device, Workload(context=1, prompt_tokens=1))
    expert, router = 3 * 256 * 512, 8 * 256
    assert 1 / one[SPEED] - 1 / other[SPEED] == pytest.approx(2 * (2 * expert + router) * 2 / 100e9)
    steps = [
        1 / hardware_metrics(a, round_device, Workload(context=1, batch=4, prompt_tokens=1))[SPEED]
        for a in (arch, replace(arch, blocks=arch.blocks[1:]))
    ]
    distinct = 8 * (1 - (1 - 2 / 8) ** 4)
    assert steps[0] - steps[1] == pytest.approx((distinct * expert + router) * 2 / 100e9)


def test_shared_layers_are_read_again(make_llama, round_device):
    alone, shared = (make_llama(512, 8, 8, 8, 1024, vocab_size=64, layer_sharing=n) for n in (1, 4))
    found, same = (hardware_metrics(arch, round_device, Workload()) for arch in (alone, shared))
    assert same["params"] < found["params"]
    assert same[SPEED] == pytest.approx(found[SPEED])


def test_math_kernel_is_slower_for_long_prompts(make_llama, round_device):
    flash = make_llama(512, 4, 8, 8, 1024)
    workload = Workload(4096, prompt_tokens=4096)
    slow, fast = (hardware_metrics(a, round_device, workload) for a in (replace(flash, attention_kernel="math"), flash))
    # Both products compute the masked half too, bound by arithmetic; mask and softmax read and write 8 heads' scores.
    products, masked = 4 * 512 * 4096**2 / 1e12, 4 * 8 * 4096**2 * 2 / 100e9
    extra = 4 * (products + masked - 4 * 512 * 4096 * 4097 / 2 / 1e12)
    assert slow["ttft_s"] - fast["ttft_s"] == pytest.approx(extra)
    assert slow[SPEED] == fast[SPEED]


@pytest.mark.parametrize(("name", "low", "high"), [("a100", 60, 140), ("h100", 100, 200)])
def test_a_7b_model_decodes_as_fast_as_is_published(llama_7b, name, low, high):
    found = hardware_metrics(llama_7b, load_profile(name), Workload(256, dtype="fp16"))
    assert found["params"] == 6_738_415_616
    assert low < found[SPEED] < high


def test_no_power_no_energy(smollm, round_device):
    found = hardware_metrics(smollm, replace(round_device, power=None), Workload())
    assert set(found) == {"params", "nonembedding_params", "flops", "memory_bytes", "ttft_s", SPEED}


def test_a_dtype_the_device_does_not_run(smollm):
    with pytest.raises(InputError, match="phone-npu does not run fp32 weights: use fp16 or int8"):
        hardware_metrics(smollm, load_profile("phone-npu"), Workload(dtype="fp32"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context": 0}, "context must be a whole number of at least 1, got 0"),
        ({"batch": 1.5}, "batch must be a whole number of at least 1, got 1.5"),
        ({"context": 64, "prompt_tokens": 65}, "at most the context of 64 tokens, got 65"),
    ],
)
def test_senseless_workloads(fields, message):
    with pytest.raises(InputError, match=message):
        Workload(**fields)


def test_unknown_dtype():
    with pytest.raises(UnknownNameError, match="unknown dtype 'fp8': expected one of fp32, bf16"):
        Workload(dtype="fp8")


def test_a_warm_call_is_fast():
    """A search asks for thousands of candidates; about 100 µs here, the bound leaves room for a busy machine."""
    rng = random.Random(0)
    blocks = tuple(
        Block(Mixer("attention", heads, 1, 64), FeedForward("swiglu", 64 * rng.randint(8, 60), "silu"))
        for heads in rng.choices([4, 8, 16], k=32)
    )
    arch, device = Architecture(1024, blocks), load_profile("a100")
    assert len(set(blocks)) > 20
    once = min(timeit.repeat(lambda: hardware_metrics(arch, device, Workload()), number=20, repeat=20)) / 20
    assert once < 500e-6
