"""What every `Proxy` owes its callers, as checks to run over an implementation."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from mimar.proxies import Cost, Need, Proxy, ProxyInputs, decoder_inputs
from mimar.space import Architecture, Block, FeedForward, Mixer, illegal_reasons

if TYPE_CHECKING:  # torch must not be imported before a check needs it
    from torch import nn

_HEADS = Mixer("attention", num_heads=4, num_kv_heads=4, head_size=16)
_SWIGLU = FeedForward("swiglu", 128, "silu")
_BASE = Architecture(64, (Block(_HEADS, _SWIGLU),) * 2, vocab_size=300, context_length=32, position="none")


def _with(mixer: Mixer = _HEADS, part: FeedForward = _SWIGLU) -> Architecture:
    return replace(_BASE, blocks=(Block(mixer, part),) * 2)


PROBE_ARCHITECTURES: Mapping[str, Architecture] = {
    "multi_head": _BASE,
    "grouped_query": _with(replace(_HEADS, num_kv_heads=2)),
    "multi_query": _with(replace(_HEADS, num_kv_heads=1)),
    "linear": _with(replace(_HEADS, kind="linear", num_kv_heads=2)),
    "sliding_window": _with(replace(_HEADS, kind="sliding_window", window=4)),
    "block_sparse": _with(replace(_HEADS, kind="block_sparse", window=4)),
    "convolution": _with(Mixer("convolution", kernel_size=3)),
    "no_mixer_in_one_layer": replace(_BASE, blocks=(Block(_HEADS, _SWIGLU), Block(Mixer("none"), _SWIGLU))),
    "ffn_relu2": _with(part=FeedForward("ffn", 128, "relu2")),
    "ffn_relu": _with(part=FeedForward("ffn", 128, "relu")),
    "glu": _with(part=FeedForward("glu", 128, "sigmoid")),
    "geglu": _with(part=FeedForward("geglu", 128, "gelu")),
    "moe": _with(part=FeedForward("moe", 64, "silu", num_experts=4, top_k=2)),
    "no_feed_forward": _with(part=FeedForward("none")),
    "rope": replace(_BASE, position="rope"),
    "alibi": replace(_BASE, position="alibi"),
    "sinusoidal": replace(_BASE, position="sinusoidal"),
    "math_kernel": replace(_BASE, attention_kernel="math"),
    "layernorm": replace(_BASE, norm="layernorm"),
    "post_norm": replace(_BASE, norm_placement="post", norm="layernorm"),
    "sandwich_norm": replace(_BASE, norm_placement="sandwich"),
    "parallel": replace(_BASE, topology="parallel"),
    "parallel_sandwich": replace(_BASE, topology="parallel", norm_placement="sandwich", norm="layernorm"),
    "untied": replace(_BASE, tied_embeddings=False),
    "shared_layers": replace(_BASE, blocks=_BASE.blocks * 2, layer_sharing=2),
    "shared_moe": replace(
        _BASE, blocks=(Block(_HEADS, FeedForward("moe", 64, "silu", num_experts=4, top_k=1)),) * 4, layer_sharing=2
    ),
    "deep": replace(_BASE, blocks=_BASE.blocks * 6),
    "dropout": replace(_BASE, dropout=0.5),
    "large_vocabulary": replace(_BASE, vocab_size=32000),
    "one_token_of_context": replace(_BASE, context_length=1),
    "one_layer": replace(_BASE, blocks=_BASE.blocks[:1]),
}
"""Toy architectures that between them make every choice of the space."""


def check_proxy(proxy: Proxy, device: str = "cpu") -> None:
    """Every check below over every probe; raises AssertionError where `proxy` breaks the contract."""
    check_description(proxy)
    for label, arch in PROBE_ARCHITECTURES.items():
        assert not illegal_reasons(arch), f"{label} is no legal architecture: {illegal_reasons(arch)}"
        check_score(proxy, arch, label, device)
    check_given_batch(proxy, device)


def check_description(proxy: Proxy) -> None:
    """Name, needs, cost and source are stated, and higher is better."""
    assert re.fullmatch(r"[a-z][a-z0-9_-]*", proxy.name), f"expected a name that is a word, got {proxy.name!r}"
    assert proxy.source.strip(), f"{proxy.name}: expected a source"
    assert proxy.needs, f"{proxy.name}: expected at least one need"
    assert proxy.needs <= set(get_args(Need)), f"{proxy.name}: unknown needs {proxy.needs}"
    assert proxy.cost in get_args(Cost), f"{proxy.name}: unknown cost {proxy.cost!r}"
    assert proxy.higher_is_better is True, f"{proxy.name}: negate the score so that higher is better"


def check_score(proxy: Proxy, arch: Architecture, label: str, device: str = "cpu") -> None:
    """A finite float, the same for the same inputs; nothing beyond `needs` was made, nothing was changed."""
    where = f"{proxy.name} on {label}"
    inputs, before = _inputs(arch, device), _random_states()
    proxy.prepare([inputs.subject])
    value = proxy(inputs)
    assert _random_states() == before, f"{where} moved a global random state"
    assert type(value) is float, f"{where}: expected a float, got {type(value)}"
    assert math.isfinite(value), f"{where}: expected a finite score, got {value}"
    fresh = _inputs(arch, device)
    made = set(vars(inputs)) & {"module", "batch", "observation"}
    if proxy.needs == {"shapes"}:
        assert not made, f"{where} says it needs shapes only, but made {made}"
    assert "batch" not in made or "data" in proxy.needs, f"{where} uses data without saying so"
    assert "observation" not in made or "gradients" in proxy.needs, f"{where} uses gradients without saying so"
    if "module" in made:
        _check_untouched(inputs.module, fresh.module, where)
    again = proxy(inputs), proxy(fresh)
    assert again == (value, value), f"{where}: {value}, then {again} for the same inputs"


def _check_untouched(module: nn.Module, untouched: nn.Module, where: str) -> None:
    """`module` has the weights, modes and hooks of the `untouched` one, and no gradients."""
    import torch

    expected = untouched.state_dict()
    assert list(module.state_dict()) == list(expected), f"{where} changed the names of weights"
    for name, weight in module.named_parameters():
        assert torch.equal(weight, expected[name]), f"{where} changed {name}"
        assert weight.grad is None, f"{where} left a gradient on {name}"
        assert weight.requires_grad, f"{where} froze {name}"
    for name, part in module.named_modules():
        assert not part.training, f"{where} left {name} in training mode"
        # Torch has no public way to list hooks.
        assert not part._forward_hooks, f"{where} left a hook on {name}"


def check_given_batch(proxy: Proxy, device: str = "cpu") -> None:
    """Real token ids above the module's vocabulary are understood."""
    rows = ((31999, 7, 7, 512, 20000, 3), (1, 7, 31998, 4, 5, 6))
    arch = PROBE_ARCHITECTURES["large_vocabulary"]
    value = proxy(decoder_inputs(arch, seed=3, token_ids=rows, device=device))
    assert math.isfinite(value), f"{proxy.name}: expected a finite score of given token ids, got {value}"


def _inputs(arch: Architecture, device: str) -> ProxyInputs:
    return decoder_inputs(arch, seed=3, device=device, batch_size=3, tokens=8)


def _random_states() -> tuple[Any, ...]:
    import torch

    legacy: Any = np.random.get_state(legacy=False)["state"]
    return random.getstate(), legacy["pos"], legacy["key"].tobytes(), torch.get_rng_state().numpy().tobytes()
