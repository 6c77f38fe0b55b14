"""Well-known models as architectures, to hold a search's results against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mimar.space._architecture import Architecture, Block, FeedForward, Mixer


def _gpt2(layers: int, hidden: int, heads: int) -> Architecture:
    """GPT-2 (Radford et al., 2019); sinusoidal stands in for its learned positions, which this space does not have."""
    block = Block(Mixer("attention", heads, heads, 64), FeedForward("ffn", 4 * hidden, "gelu"))
    return Architecture(hidden, (block,) * layers, 50257, 1024, "sinusoidal", "layernorm")


def _llama(layers: int, hidden: int, heads: tuple[int, int], intermediate: int, vocab: int) -> Architecture:
    """The LLaMA family: RoPE, RMSNorm, SwiGLU; `heads` are query heads and key-value heads of 64 features."""
    block = Block(Mixer("attention", *heads, 64), FeedForward("swiglu", intermediate, "silu"))
    return Architecture(hidden, (block,) * layers, vocab, 2048)


FAMILIAR: Final[Mapping[str, Architecture]] = {
    "GPT-2 small": _gpt2(12, 768, 12),
    "SmolLM2-135M": _llama(30, 576, (9, 3), 1536, 49152),
    "SmolLM2-360M": _llama(32, 960, (15, 5), 2560, 49152),
}
"""Name → architecture, from the models' published configurations."""
