"""Networks in one line of words and numbers, for a reader who sees nothing else of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from mimar.shapes import DecoderShapes, NetworkShapes
from mimar.space import Architecture, Block, FeedForward, Mixer


def size_words(shapes: NetworkShapes) -> str:
    """``28.42M parameters, 9.97M without embeddings``."""
    return f"{_millions(shapes.params)} parameters, {_millions(shapes.nonembedding_params)} without embeddings"


def by_layer(name: str, values: Sequence[int]) -> str:
    """``heads 8`` where all layers are alike, else ``heads by layer 8-4-8``."""
    return f"{name} {values[0]}" if len(set(values)) == 1 else f"{name} by layer {'-'.join(map(str, values))}"


def in_runs(layers: Sequence[str]) -> str:
    """Layers, first to last, equal neighbours told once: ``all: a``, or ``layers 1-4: a; layer 5: b``."""
    if len(set(layers)) == 1:
        return f"all: {layers[0]}"
    parts: list[str] = []
    start = 1
    for text, same in groupby(layers):
        end = start + len(list(same)) - 1
        parts.append(f"layer {start}: {text}" if start == end else f"layers {start}-{end}: {text}")
        start = end + 1
    return "; ".join(parts)


def describe_decoder(arch: Architecture) -> str:
    """The line of an `Architecture`."""
    position = "no position code" if arch.position == "none" else arch.position
    unusual = (
        ("attention and feed-forward in parallel", arch.topology == "parallel"),
        (f"each {arch.layer_sharing} layers in a row share weights", arch.layer_sharing > 1),
        ("output head not tied to the embedding", not arch.tied_embeddings),
    )
    parts = (
        f"{arch.num_layers} layers, hidden size {arch.hidden_size}",
        in_runs([_block(block) for block in arch.blocks]),
        f"{position}, {arch.norm} {arch.norm_placement}",
        *(words for words, there in unusual if there),
        f"vocabulary {arch.vocab_size}",
        size_words(DecoderShapes(arch)),
    )
    return ", ".join(parts)


def _block(block: Block) -> str:
    return f"{_mixer(block.mixer)} + {_feed_forward(block.feed_forward)}"


def _mixer(mixer: Mixer) -> str:
    if mixer.kind == "none":
        return "no mixer"
    if mixer.kind == "convolution":
        return f"gated convolution of {mixer.kernel_size} taps"
    window = f", window {mixer.window}" if mixer.window else ""
    heads = f"{mixer.num_heads} heads, {mixer.num_kv_heads} kv, head size {mixer.head_size}{window}"
    return f"{mixer.attention_type} ({heads})"


def _feed_forward(part: FeedForward) -> str:
    if part.kind == "none":
        return "no feed-forward"
    if part.kind == "moe":
        return f"{part.top_k} of {part.num_experts} {part.activation} experts {part.intermediate_size}"
    activation = f" {part.activation}" if part.kind == "ffn" else ""
    return f"{part.kind}{activation} {part.intermediate_size}"


def _millions(count: float) -> str:
    return f"{count / 1e6:.2f}M"
