"""Rules every architecture must keep, whatever the space; each check yields sentences a person or an LLM can act on."""

from __future__ import annotations

from collections.abc import Iterator

from mimar.space._architecture import (
    GATE_ACTIVATION,
    HEADED_MIXERS,
    SOFTMAX_MIXERS,
    Architecture,
    FeedForward,
    Mixer,
)

WIDTH_MULTIPLE = 64
"""Hidden and intermediate sizes come in multiples of this: tensor cores and quantization blocks want it."""


def illegal_reasons(arch: Architecture) -> tuple[str, ...]:
    """Every rule that `arch` breaks, as sentences; empty when it is legal. Layers are counted from 0."""
    return (*_global_reasons(arch), *_layer_reasons(arch), *_sharing_reasons(arch), *_position_reasons(arch))


def _global_reasons(arch: Architecture) -> Iterator[str]:
    if arch.hidden_size <= 0 or arch.hidden_size % WIDTH_MULTIPLE:
        yield f"hidden_size must be a positive multiple of {WIDTH_MULTIPLE}, got {arch.hidden_size}"
    if not arch.blocks:
        yield "num_layers must be at least 1, got 0"
    if arch.vocab_size < 2:
        yield f"vocab_size must be at least 2, got {arch.vocab_size}"
    if arch.context_length < 1:
        yield f"context_length must be at least 1, got {arch.context_length}"
    if not 0 <= arch.dropout < 1:
        yield f"dropout must be in [0, 1), got {arch.dropout}"
    if arch.blocks and all(block.mixer.kind == "none" for block in arch.blocks):
        yield "at least one layer needs a token mixer, got none in every layer"


def _layer_reasons(arch: Architecture) -> Iterator[str]:
    first_use = {block: index for index, block in reversed(list(enumerate(arch.blocks)))}
    for block, index in reversed(first_use.items()):
        where = "" if len(first_use) == 1 else f"layer {index}: "
        for reason in (*_mixer_reasons(block.mixer, arch), *_feed_forward_reasons(block.feed_forward)):
            yield where + reason
        if block.mixer.kind == "none" and block.feed_forward.kind == "none":
            yield f"{where}a layer needs a mixer or a feed-forward part, got neither"


def _mixer_reasons(mixer: Mixer, arch: Architecture) -> Iterator[str]:
    if mixer.kind in HEADED_MIXERS:
        yield from _head_reasons(mixer, arch)
    elif mixer.num_heads or mixer.num_kv_heads or mixer.head_size:
        yield f"a {mixer.kind} mixer has no heads, got num_heads {mixer.num_heads}"
    if mixer.kind in ("sliding_window", "block_sparse"):
        if not 1 <= mixer.window <= arch.context_length:
            yield f"window must be between 1 and the context length {arch.context_length}, got {mixer.window}"
    elif mixer.window:
        yield f"a {mixer.kind} mixer has no window, got {mixer.window}"
    if mixer.kind == "convolution":
        if mixer.kernel_size < 2:
            yield f"kernel_size must be at least 2, got {mixer.kernel_size}"
    elif mixer.kernel_size:
        yield f"a {mixer.kind} mixer has no kernel_size, got {mixer.kernel_size}"


def _head_reasons(mixer: Mixer, arch: Architecture) -> Iterator[str]:
    if mixer.num_heads < 1 or mixer.num_kv_heads < 1 or mixer.head_size < 1:
        yield (
            f"num_heads, num_kv_heads and head_size must be at least 1, "
            f"got {mixer.num_heads}, {mixer.num_kv_heads}, {mixer.head_size}"
        )
        return
    if arch.hidden_size % mixer.num_heads:
        yield f"hidden_size must be divisible by num_heads, got {arch.hidden_size} and {mixer.num_heads}"
    if mixer.num_heads % mixer.num_kv_heads:
        yield f"num_heads must be divisible by num_kv_heads, got {mixer.num_heads} and {mixer.num_kv_heads}"
    if arch.position == "rope" and mixer.kind in SOFTMAX_MIXERS and mixer.head_size % 2:
        yield f"head_size must be even for RoPE, got {mixer.head_size}"


def _feed_forward_reasons(part: FeedForward) -> Iterator[str]:
    if part.kind == "none":
        if part != FeedForward("none"):
            yield "an absent feed-forward part has no sizes"
        return
    if part.intermediate_size <= 0 or part.intermediate_size % WIDTH_MULTIPLE:
        yield f"intermediate_size must be a positive multiple of {WIDTH_MULTIPLE}, got {part.intermediate_size}"
    implied = GATE_ACTIVATION.get(part.kind)
    if implied and part.activation != implied:
        yield f"{part.kind} implies the activation {implied}, got {part.activation}"
    if not implied and part.activation not in ("relu", "gelu", "silu", "relu2"):
        yield f"activation must be relu, gelu, silu or relu2, got {part.activation}"
    if part.kind == "moe":
        if not 1 <= part.top_k < part.num_experts:
            yield f"top_k must be at least 1 and below num_experts, got {part.top_k} of {part.num_experts}"
    elif part.num_experts or part.top_k:
        yield f"{part.kind} has no experts, got num_experts {part.num_experts}"


def _sharing_reasons(arch: Architecture) -> Iterator[str]:
    group = arch.layer_sharing
    if group < 1 or arch.num_layers % group:
        yield f"num_layers must be divisible by layer_sharing, got {arch.num_layers} and {group}"
    elif any(block != arch.blocks[i - i % group] for i, block in enumerate(arch.blocks)):
        yield f"layers that share weights must be alike in each group of {group}"


def _position_reasons(arch: Architecture) -> Iterator[str]:
    if any(block.mixer.kind in SOFTMAX_MIXERS for block in arch.blocks):
        return
    if arch.position in ("rope", "alibi"):
        yield f"position {arch.position} needs a layer with softmax attention; use sinusoidal or none"
    if arch.attention_kernel != "flash":
        yield "attention_kernel math needs a layer with softmax attention; use flash"
