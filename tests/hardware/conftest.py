"""Architectures and a device with round figures, so that expectations can be worked out by hand."""

import pytest

from mimar.hardware import DeviceProfile, load_profile, profile_from_json, profile_to_json
from mimar.space import Architecture, Block, FeedForward, Mixer


def llama(hidden, layers, heads, kv_heads, inner, **rest):
    block = Block(Mixer("attention", heads, kv_heads, hidden // heads), FeedForward("swiglu", inner, "silu"))
    return Architecture(hidden, (block,) * layers, **rest)


@pytest.fixture
def smollm():
    return llama(576, 30, 9, 3, 1536, vocab_size=49152, context_length=2048)


@pytest.fixture
def gpt2():
    block = Block(Mixer("attention", 12, 12, 64), FeedForward("ffn", 3072, "gelu"))
    return Architecture(768, (block,) * 12, 50257, 1024, position="sinusoidal", norm="layernorm")


@pytest.fixture
def llama_7b():
    return llama(4096, 32, 32, 32, 11008, vocab_size=32000, context_length=4096, tied_embeddings=False)


@pytest.fixture
def make_llama():
    return llama


@pytest.fixture
def round_device() -> DeviceProfile:
    """1 TFLOP/s and 100 GB/s in fp32 and fp16, 1 MB of cache, no launch overhead, 10 to 110 W."""
    data = profile_to_json(load_profile("a100"))
    speed = {"peak_flops": 2e12, "compute_efficiency": 0.5, "bandwidth_efficiency": 0.5, "cache_efficiency": 0.5}
    data |= {"name": "round", "memory_bandwidth": 200e9, "cache_bytes": 1e6, "launch_overhead_s": 0.0}
    data |= {"throughput": {"fp32": speed, "fp16": speed}, "power": {"idle_w": 10.0, "peak_w": 110.0}}
    return profile_from_json(data)
