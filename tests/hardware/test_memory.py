from dataclasses import replace

import pytest

from mimar.hardware import Workload, hardware_metrics, kv_cache_bytes, load_profile, memory_breakdown
from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer

FFN = FeedForward("ffn", 128, "relu")


def one_layer(mixer, **rest):
    return Architecture(64, (Block(mixer, FFN),), vocab_size=100, context_length=512, **rest)


def test_smollm2_135m_by_hand(smollm):
    workload = Workload(context=1024, dtype="fp16")
    found = memory_breakdown(smollm, workload)
    assert found.weights == 134_515_008 * 2
    assert found.kv_cache == 2 * 30 * 3 * 64 * 1024 * 2
    # The stream and its normed copy, gate, up and product of the widest layer, one position of logits.
    assert found.activations == (1024 * (2 * 576 + 3 * 1536) + 49152) * 2
    assert found.total == found.weights + found.kv_cache + found.activations


def test_gpt2_by_hand(gpt2):
    """GPT-2 small, without its biases and learned positions."""
    blocks = 12 * (4 * 768**2 + 2 * 768 * 3072 + 2 * 2 * 768)
    weights = 50257 * 768 + blocks + 2 * 768
    found = memory_breakdown(gpt2, Workload(context=1024, batch=4, dtype="fp32"))
    assert found.weights == weights * 4
    assert found.kv_cache == 4 * 2 * 12 * 768 * 1024 * 4


@pytest.mark.parametrize(("dtype", "size"), [("fp32", 4), ("bf16", 2), ("fp16", 2), ("int8", 1), ("int4", 0.5)])
def test_bytes_of_a_dtype(smollm, dtype, size):
    workload = Workload(dtype=dtype)
    assert memory_breakdown(smollm, workload).weights == 134_515_008 * size
    assert kv_cache_bytes(smollm, workload) == 2 * 30 * 3 * 64 * 1024 * (4 if dtype == "fp32" else 2)


@pytest.mark.parametrize(
    ("mixer", "values"),
    [
        (Mixer("attention", 4, 2, 16), 2 * 2 * 16 * 300),
        (Mixer("sliding_window", 4, 2, 16, window=64), 2 * 2 * 16 * 64),
        # Token 299 sees its own block from 256 on, 44 tokens, and the 64 before.
        (Mixer("block_sparse", 4, 2, 16, window=64), 2 * 2 * 16 * (44 + 64)),
        (Mixer("linear", 4, 2, 16), 2 * 16 * 17),
        (Mixer("convolution", kernel_size=7), 64 * 6),
        (Mixer("none"), 0),
    ],
)
def test_what_each_mixer_remembers(mixer, values):
    assert kv_cache_bytes(one_layer(mixer, position="none"), Workload(300, dtype="fp16")) == values * 2


@pytest.mark.parametrize(
    "mixer", [Mixer("attention", 4, 2, 16), Mixer("linear", 4, 1, 16), Mixer("convolution", kernel_size=5)]
)
def test_the_cache_of_a_built_model_is_as_large(mixer):
    import torch

    arch = one_layer(mixer, position="none")
    model = build(arch).eval()
    cache = model.new_cache()
    with torch.inference_mode():
        model(torch.zeros(2, 48, dtype=torch.long), cache)
    assert cache.nbytes == kv_cache_bytes(arch, Workload(48, batch=2, prompt_tokens=48, dtype="fp32"))


def test_a_built_window_keeps_no_more():
    import torch

    arch = one_layer(Mixer("sliding_window", 4, 2, 16, window=16))
    model = build(arch).eval()
    cache = model.new_cache()
    with torch.inference_mode():
        model(torch.zeros(1, 48, dtype=torch.long), cache)
    limit = kv_cache_bytes(arch, Workload(48, prompt_tokens=48, dtype="fp32"))
    # Between two tokens it holds what the next one sees, without that one.
    assert cache.nbytes == limit * 15 / 16


def test_shared_layers_store_weights_once_and_each_its_own_cache(make_llama):
    alone, shared = make_llama(256, 8, 4, 4, 512), make_llama(256, 8, 4, 4, 512, layer_sharing=4)
    workload = Workload()
    block = 4 * 256**2 + 3 * 256 * 512 + 2 * 256
    assert memory_breakdown(alone, workload).weights - memory_breakdown(shared, workload).weights == 6 * block * 2
    assert kv_cache_bytes(alone, workload) == kv_cache_bytes(shared, workload)


def test_math_kernel_holds_score_matrices(make_llama):
    flash = make_llama(256, 2, 4, 4, 512)
    math = replace(flash, attention_kernel="math")
    workload = Workload(context=1024, batch=3)
    grown = memory_breakdown(math, workload).activations - memory_breakdown(flash, workload).activations
    # In the flash model the feed-forward part is the widest, 3 · 512 against 4 · 256 values.
    assert grown == 3 * 2 * (3 * 4 * 1024**2 + 1024 * (4 * 256 - 3 * 512))


def test_alibi_holds_its_bias_as_tables_even_with_the_fused_kernel(make_llama):
    plain = make_llama(256, 2, 4, 4, 512)
    biased = replace(plain, position="alibi")
    workload = Workload(context=1024, batch=3)
    grown = memory_breakdown(biased, workload).activations - memory_breakdown(plain, workload).activations
    assert grown == 3 * 2 * (2 * 4 * 1024**2 + 1024 * (4 * 256 - 3 * 512))


def test_metrics_agree_with_the_breakdown(smollm):
    workload = Workload(context=700, batch=3, dtype="int8")
    metrics = hardware_metrics(smollm, load_profile("h100"), workload)
    assert metrics["memory_bytes"] == memory_breakdown(smollm, workload).total
