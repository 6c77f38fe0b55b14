"""Architecture → its named weight matrices, parameters and FLOPs, without building anything.

The names are the state-dict names of `mimar.models`, so that a closed-form figure and a built module can be compared
weight by weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Literal, Protocol, TypeVar

from mimar.space import HEADED_MIXERS, Architecture, Block, FeedForward, Mixer

__all__ = [
    "DecoderShapes", "LayerShapes", "Matrix", "NetworkShapes", "Role", "attention_parameters", "block_matrices",
    "embedding_parameters", "feed_forward_parameters", "flops", "matrices", "nonembedding_parameters", "parameters",
    "runs",
]  # fmt: skip

T = TypeVar("T")

Role = Literal["attention", "feed_forward", "router", "convolution", "embedding", "norm"]


@dataclass(frozen=True, slots=True)
class Matrix:
    """One weight: `rows` outputs × `cols` inputs; a norm vector has one row.

    layer: the first layer that uses it, −1 for embeddings, head and final norm.
    active: the share of tokens that pass through it (top_k / num_experts for an expert, 1 otherwise).
    """

    name: str
    rows: int
    cols: int
    role: Role
    layer: int = -1
    active: float = 1.0

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.rows * self.cols


def matrices(arch: Architecture) -> tuple[Matrix, ...]:
    """Every weight of `arch`, tied and shared ones once, in the order of the module's state dict."""
    hidden = arch.hidden_size
    found = [Matrix("embedding.weight", arch.vocab_size, hidden, "embedding")]
    for group, block in enumerate(arch.unique_blocks):
        norms = _norms(block, arch)
        found += (
            Matrix(f"blocks.{group}.{m.name}", m.rows, m.cols, m.role, group * arch.layer_sharing, m.active)
            for m in (*norms, *block_matrices(block, hidden))
        )
    if arch.norm_placement != "post":
        found += _norm("norm", arch)
    if not arch.tied_embeddings:
        found.append(Matrix("head.weight", arch.vocab_size, hidden, "embedding"))
    return tuple(found)


@lru_cache(maxsize=65536)
def block_matrices(block: Block, hidden: int) -> tuple[Matrix, ...]:
    """Weights of one block without its norms, names relative to the block."""
    return (*_mixer_matrices(block.mixer, hidden), *_feed_forward_matrices(block.feed_forward, hidden))


def _mixer_matrices(mixer: Mixer, hidden: int) -> tuple[Matrix, ...]:
    if mixer.kind in HEADED_MIXERS:
        wide, narrow = mixer.num_heads * mixer.head_size, mixer.num_kv_heads * mixer.head_size
        return (
            Matrix("mixer.query.weight", wide, hidden, "attention"),
            Matrix("mixer.key.weight", narrow, hidden, "attention"),
            Matrix("mixer.value.weight", narrow, hidden, "attention"),
            Matrix("mixer.output.weight", hidden, wide, "attention"),
        )
    if mixer.kind == "convolution":
        return (
            Matrix("mixer.gate.weight", hidden, hidden, "attention"),
            Matrix("mixer.value.weight", hidden, hidden, "attention"),
            Matrix("mixer.taps", hidden, mixer.kernel_size, "convolution"),
            Matrix("mixer.output.weight", hidden, hidden, "attention"),
        )
    return ()


def _feed_forward_matrices(part: FeedForward, hidden: int) -> tuple[Matrix, ...]:
    if part.kind == "none":
        return ()
    if part.kind == "moe":
        router = Matrix("feed_forward.router.weight", part.num_experts, hidden, "router")
        share = part.top_k / part.num_experts
        experts = (
            matrix
            for index in range(part.num_experts)
            for matrix in _projections(f"feed_forward.experts.{index}", part, hidden, share)
        )
        return (router, *experts)
    return _projections("feed_forward", part, hidden, 1.0)


def _projections(prefix: str, part: FeedForward, hidden: int, active: float) -> tuple[Matrix, ...]:
    wide = part.intermediate_size
    up = Matrix(f"{prefix}.up.weight", wide, hidden, "feed_forward", active=active)
    down = Matrix(f"{prefix}.down.weight", hidden, wide, "feed_forward", active=active)
    if part.kind == "ffn":
        return (up, down)
    return (Matrix(f"{prefix}.gate.weight", wide, hidden, "feed_forward", active=active), up, down)


def _norms(block: Block, arch: Architecture) -> list[Matrix]:
    """Norms of one block: one for each part it has, two with sandwich placement; a parallel block has one (two)."""
    present = [("mixer", block.mixer.kind != "none"), ("feed_forward", block.feed_forward.kind != "none")]
    names = [name for name, there in present if there]
    if arch.topology == "parallel":
        names = ["block"]
    ends = ("in", "out") if arch.norm_placement == "sandwich" else ("",)
    return [matrix for name in names for end in ends for matrix in _norm(f"{name}_norm{'_' * bool(end)}{end}", arch)]


def _norm(name: str, arch: Architecture) -> list[Matrix]:
    weight = Matrix(f"{name}.weight", 1, arch.hidden_size, "norm")
    if arch.norm == "rmsnorm":
        return [weight]
    return [weight, Matrix(f"{name}.bias", 1, arch.hidden_size, "norm")]


def parameters(arch: Architecture) -> int:
    """All weights, tied and shared ones once."""
    return embedding_parameters(arch) + nonembedding_parameters(arch)


def embedding_parameters(arch: Architecture) -> int:
    """Token embedding, and the output head when it is not tied to it."""
    return arch.vocab_size * arch.hidden_size * (1 if arch.tied_embeddings else 2)


def nonembedding_parameters(arch: Architecture) -> int:
    """All weights but the token embedding and the output head."""
    scale = 1 if arch.norm == "rmsnorm" else 2
    total = 0 if arch.norm_placement == "post" else scale * arch.hidden_size
    for block, count in runs(arch.unique_blocks):
        total += count * _block_parameters(block, arch.hidden_size)
        total += count * scale * arch.hidden_size * _norm_count(block, arch)
    return total


def _norm_count(block: Block, arch: Architecture) -> int:
    parts = (block.mixer.kind != "none") + (block.feed_forward.kind != "none")
    return (1 if arch.topology == "parallel" else parts) * (2 if arch.norm_placement == "sandwich" else 1)


@lru_cache(maxsize=65536)
def _block_parameters(block: Block, hidden: int) -> int:
    """Weights of one block without its norms."""
    return sum(matrix.size for matrix in block_matrices(block, hidden))


@lru_cache(maxsize=65536)
def attention_parameters(block: Block, hidden: int) -> int:
    """Weights of the block's token mixer, whatever its kind."""
    return sum(matrix.size for matrix in _mixer_matrices(block.mixer, hidden))


@lru_cache(maxsize=65536)
def feed_forward_parameters(block: Block, hidden: int) -> int:
    """Weights of the block's feed-forward part, all experts and the router included."""
    return sum(matrix.size for matrix in _feed_forward_matrices(block.feed_forward, hidden))


def flops(arch: Architecture, tokens: int) -> float:
    """Floating-point operations of one forward pass over `tokens` tokens of one sequence, logits at every position.

    A multiply-add counts as two. Matrix products and token mixing are counted, element-wise work is not. Causal
    softmax attention is counted at the pairs it needs, as a flash kernel does them.
    """
    hidden = arch.hidden_size
    layers = sum(
        count * (tokens * _linear_flops(block, hidden) + mixing_flops(block.mixer, tokens))
        for block, count in runs(arch.blocks)
    )
    return layers + 2.0 * tokens * arch.vocab_size * hidden


@lru_cache(maxsize=65536)
def _linear_flops(block: Block, hidden: int) -> float:
    """Operations of one token in the matrix products of one block."""
    return sum(2.0 * matrix.size * matrix.active for matrix in block_matrices(block, hidden))


def mixing_flops(mixer: Mixer, tokens: int) -> float:
    """Operations between tokens (scores and weighted values) of one layer over `tokens` tokens."""
    wide = mixer.num_heads * mixer.head_size
    if mixer.kind == "linear":
        # Two updates of a (head_size × head_size) state for each head and token: outer product, then read.
        return 4.0 * tokens * wide * mixer.head_size
    return 4.0 * wide * attended_pairs(mixer, tokens)


def attended_pairs(mixer: Mixer, tokens: int) -> float:
    """Query–key pairs of one softmax-attention layer over the first `tokens` positions; 0 for other mixers."""
    if mixer.kind == "attention":
        return tokens * (tokens + 1) / 2
    window = mixer.window
    if mixer.kind == "sliding_window":
        short = min(tokens, window)
        return short * (short + 1) / 2 + (tokens - short) * window
    if mixer.kind == "block_sparse":
        # Position p sees p % window + 1 tokens of its own block and the whole block before.
        blocks, rest = divmod(tokens, window)
        own = blocks * window * (window + 1) / 2 + rest * (rest + 1) / 2
        return own + max(0, tokens - window) * window
    return 0.0


@dataclass(frozen=True, eq=False)
class LayerShapes:
    """The weights of one layer without its norms, names relative to the layer.

    Compared by identity, and made once for each shape, so that what is worked out from it can be kept.
    num_heads: query heads, 0 where there are none.
    """

    matrices: tuple[Matrix, ...]
    num_heads: int = 0


class NetworkShapes(Protocol):
    """What closed-form scores see of any network: this project's decoders and those of published benchmarks."""

    @property
    def layers(self) -> tuple[LayerShapes, ...]:
        """The distinct layers, from input to output; each runs `layer_sharing` times in a row."""
        ...

    @property
    def layer_sharing(self) -> int:
        """How often each layer runs."""
        ...

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        ...

    @property
    def output_rank(self) -> int:
        """Rank of what turns hidden states into predictions: below `hidden_size` where factorised embeddings do it."""
        ...

    @property
    def params(self) -> int:
        """All weights, tied and shared ones once."""
        ...

    @property
    def nonembedding_params(self) -> int:
        """All weights but token embedding and output head."""
        ...

    @property
    def flops(self) -> float:
        """Floating-point operations of one forward pass over the context the network is meant for."""
        ...


@dataclass(frozen=True)
class DecoderShapes:
    """`NetworkShapes` of an `Architecture`; every figure is worked out when it is asked for."""

    arch: Architecture

    @property
    def layers(self) -> tuple[LayerShapes, ...]:
        """The distinct blocks."""
        hidden = self.arch.hidden_size
        return tuple(
            layer for block, count in runs(self.arch.unique_blocks) for layer in (_layer_shapes(block, hidden),) * count
        )

    @property
    def layer_sharing(self) -> int:
        """How often each block runs."""
        return self.arch.layer_sharing

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.arch.hidden_size

    @property
    def output_rank(self) -> int:
        """The hidden size: embeddings are never factorised here."""
        return self.arch.hidden_size

    @property
    def params(self) -> int:
        """As `parameters`."""
        return parameters(self.arch)

    @property
    def nonembedding_params(self) -> int:
        """As `nonembedding_parameters`."""
        return nonembedding_parameters(self.arch)

    @property
    def flops(self) -> float:
        """As `flops` over the whole context."""
        return flops(self.arch, self.arch.context_length)


@lru_cache(maxsize=65536)
def _layer_shapes(block: Block, hidden: int) -> LayerShapes:
    return LayerShapes(block_matrices(block, hidden), block.mixer.num_heads)


def runs(items: Iterable[T]) -> Iterator[tuple[T, int]]:
    """Each run of one and the same object with its length: a uniform network costs one step."""
    for _, run in groupby(items, key=id):
        same = list(run)
        yield same[0], len(same)
