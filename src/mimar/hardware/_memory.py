"""Bytes: weights, KV cache, activations."""

from __future__ import annotations

from dataclasses import dataclass

from mimar.hardware._workload import Workload
from mimar.shapes import attended_pairs, parameters
from mimar.space import SOFTMAX_MIXERS, Architecture, Block, FeedForward, Mixer

CHUNK = 64
"""Tokens of a chunk of linear attention, in `mimar.models` as in the usual kernels."""


@dataclass(frozen=True, slots=True)
class MemoryBreakdown:
    """Bytes that a workload needs."""

    weights: float
    kv_cache: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, in bytes."""
        return self.weights + self.kv_cache + self.activations


def memory_breakdown(arch: Architecture, workload: Workload) -> MemoryBreakdown:
    """Bytes of `arch` at the workload's context, batch and dtype; shared and tied weights once."""
    tables = score_tables(arch)
    peak = max(peak_values(block, arch.hidden_size, tables, workload.context) for block in set(arch.blocks))
    return MemoryBreakdown(
        parameters(arch) * workload.weight_bytes,
        kv_cache_bytes(arch, workload),
        activation_bytes(arch, workload, peak),
    )


def kv_cache_bytes(arch: Architecture, workload: Workload) -> float:
    """Bytes that all layers remember of `context` tokens of `batch` sequences; shared layers remember each their own.

    A full attention layer keeps 2 · kv_heads · head_size values a token (key and value), a window those of the tokens
    that the last one sees, itself included; linear attention a state of kv_heads · head_size · (head_size + 1), a
    convolution its last kernel_size − 1 values of every feature.
    """
    values = sum(kv_values(block.mixer, arch.hidden_size, workload.context) for block in arch.blocks)
    return values * workload.batch * workload.value_bytes


def kv_values(mixer: Mixer, hidden: int, context: int) -> int:
    """Values that one layer remembers of one sequence of `context` tokens."""
    if mixer.kind in SOFTMAX_MIXERS:
        return 2 * mixer.num_kv_heads * mixer.head_size * visible_tokens(mixer, context)
    if mixer.kind == "linear":
        return mixer.num_kv_heads * mixer.head_size * (mixer.head_size + 1)
    return hidden * max(0, mixer.kernel_size - 1)


def visible_tokens(mixer: Mixer, context: int) -> int:
    """Tokens that the last of `context` tokens sees, itself included; 0 without softmax attention."""
    return int(attended_pairs(mixer, context) - attended_pairs(mixer, context - 1))


def activation_bytes(arch: Architecture, workload: Workload, peak: float) -> float:
    """Live activations while a prompt of the whole context is read in one pass, the largest moment of a run.

    An estimate: the residual stream, its normed copy, what the widest layer holds (`peak` values a sequence, see
    `peak_values`) and the logits of one position. Engines that cut the prompt into chunks need less.
    """
    stream = 2 * workload.context * arch.hidden_size
    return workload.batch * (stream + peak + arch.vocab_size) * workload.value_bytes


def score_tables(arch: Architecture) -> int:
    """Tables of token by token that softmax attention over a prompt holds for every head.

    Kernel ``math``: scores, scores with the mask, probabilities. Else none, but with ALiBi two: the kernel is given the
    bias as a table, and its masked copy.
    """
    if arch.attention_kernel == "math":
        return 3
    return 2 if arch.position == "alibi" else 0


def peak_values(block: Block, hidden: int, tables: int, context: int) -> float:
    """Most values of one sequence alive inside `block`: its mixer's or its feed-forward part's, whichever is more.

    tables: as `score_tables` gives them.
    """
    return max(_mixing_values(block.mixer, hidden, tables, context), context * inner_values(block.feed_forward))


def _mixing_values(mixer: Mixer, hidden: int, tables: int, context: int) -> float:
    wide, narrow = mixer.num_heads * mixer.head_size, mixer.num_kv_heads * mixer.head_size
    if mixer.kind == "convolution":
        return 5 * context * hidden  # value, its convolution, gate, product, and a copy that kernels make
    values = context * (2 * wide + 2 * narrow)  # query, output, key, value
    if mixer.kind == "linear":  # pairs of each chunk before and after the mask; what is read nearby and of the state
        return values + context * (2 * mixer.num_heads * min(CHUNK, context) + 2 * wide)
    if mixer.kind in SOFTMAX_MIXERS and narrow < wide:
        values += 2 * context * wide  # keys and values, repeated for every query head
    if mixer.kind in SOFTMAX_MIXERS:
        values += tables * mixer.num_heads * context**2
    return values


def inner_values(part: FeedForward) -> int:
    """Inner values of one token: before and after the activation, with a gate also the other factor."""
    factors = 2 if part.kind == "ffn" else 3
    return factors * part.intermediate_size * max(1, part.top_k)
