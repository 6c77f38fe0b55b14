"""The architecture value: global settings plus one block a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MixerKind = Literal["attention", "linear", "sliding_window", "block_sparse", "convolution", "none"]
FeedForwardKind = Literal["ffn", "glu", "geglu", "swiglu", "moe", "none"]
Activation = Literal["relu", "gelu", "silu", "relu2", "sigmoid", "none"]
Position = Literal["rope", "alibi", "sinusoidal", "none"]
Norm = Literal["rmsnorm", "layernorm"]
NormPlacement = Literal["pre", "post", "sandwich"]
Topology = Literal["sequential", "parallel"]
AttentionKernel = Literal["flash", "math"]

HEADED_MIXERS: Final = frozenset({"attention", "linear", "sliding_window", "block_sparse"})
"""Mixers with query, key and value heads."""

SOFTMAX_MIXERS: Final = frozenset({"attention", "sliding_window", "block_sparse"})
"""Mixers that weigh values by a softmax over keys; only these take RoPE and ALiBi."""

GATE_ACTIVATION: Final[dict[str, Activation]] = {"glu": "sigmoid", "geglu": "gelu", "swiglu": "silu"}
"""The activation that each gated feed-forward kind implies (Shazeer, "GLU Variants Improve Transformer", 2020)."""


@dataclass(frozen=True, slots=True)
class Mixer:
    """Token mixer of one layer; fields that a kind does not use are 0.

    kind: ``attention`` (multi-head, grouped-query or multi-query, by `num_kv_heads`), ``linear`` (causal linear
      attention), ``sliding_window`` (each token sees the last `window`), ``block_sparse`` (each token sees its own
      block of `window` tokens and the block before), ``convolution`` (gated causal depthwise), ``none``.
    num_heads, num_kv_heads, head_size: of the headed kinds; head_size is in features.
    window: tokens, of the two sparse kinds.
    kernel_size: taps, of the convolution.
    """

    kind: MixerKind
    num_heads: int = 0
    num_kv_heads: int = 0
    head_size: int = 0
    window: int = 0
    kernel_size: int = 0

    @property
    def attention_type(self) -> str:
        """The field's name for this mixer: heads decide between multi-head, grouped-query and multi-query."""
        if self.kind != "attention":
            return self.kind
        if self.num_kv_heads == self.num_heads:
            return "multi_head"
        return "multi_query" if self.num_kv_heads == 1 else "grouped_query"


@dataclass(frozen=True, slots=True)
class FeedForward:
    """Feed-forward part of one layer; `none` has all other fields 0.

    kind: ``ffn`` (two matrices around `activation`), ``glu`` / ``geglu`` / ``swiglu`` (three matrices, the gate goes
      through sigmoid / gelu / silu), ``moe`` (`num_experts` gated experts, `top_k` of them for each token), ``none``.
    intermediate_size: inner width, of one expert for ``moe``.
    """

    kind: FeedForwardKind
    intermediate_size: int = 0
    activation: Activation = "none"
    num_experts: int = 0
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """One layer: a token mixer and a feed-forward part."""

    mixer: Mixer
    feed_forward: FeedForward


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder-only Transformer; immutable and hashable, so that equal architectures are equal values.

    hidden_size: width of the residual stream.
    blocks: one `Block` for each layer, first layer first.
    layer_sharing: each run of this many consecutive layers shares one set of weights (MobileLLM, 2024); 1 for none.
    attention_kernel: ``flash`` or ``math``: the same function at another memory use and speed.
    dropout: probability while training; no effect on any score.
    """

    hidden_size: int
    blocks: tuple[Block, ...]
    vocab_size: int = 32000
    context_length: int = 1024
    position: Position = "rope"
    norm: Norm = "rmsnorm"
    norm_placement: NormPlacement = "pre"
    topology: Topology = "sequential"
    tied_embeddings: bool = True
    layer_sharing: int = 1
    attention_kernel: AttentionKernel = "flash"
    dropout: float = 0.0

    def __hash__(self) -> int:
        """Of sizes and layers, each block hashed once, however many layers it is: searches look up little else."""
        hashes = {id(block): hash(block) for block in {id(block): block for block in self.blocks}.values()}
        layers = tuple([hashes[id(block)] for block in self.blocks])
        return hash(
            (
                self.hidden_size,
                layers,
                self.position,
                self.norm,
                self.norm_placement,
                self.topology,
                self.layer_sharing,
                self.attention_kernel,
                self.context_length,
            )
        )

    @property
    def num_layers(self) -> int:
        """Layers executed; with sharing there are fewer sets of weights."""
        return len(self.blocks)

    @property
    def unique_blocks(self) -> tuple[Block, ...]:
        """The blocks that own weights, first layer of each sharing group."""
        return self.blocks[:: self.layer_sharing]

    @property
    def is_uniform(self) -> bool:
        """True when all layers are alike."""
        return all(block == self.blocks[0] for block in self.blocks)
