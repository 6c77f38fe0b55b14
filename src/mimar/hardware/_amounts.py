"""What one pass through an architecture asks of a device: arithmetic, memory traffic, launches.

Roofline (Williams et al., "Roofline: an insightful visual performance model", 2009): an operator takes as long as the
slower of its arithmetic and its memory traffic, plus the time to launch it; only the slower side is counted here. The
traffic:

- A pass reads each weight once. Of a mixture of E experts it reads those that n tokens are expected to choose with k
  each, E·(1 − (1 − k/E)ⁿ), as if choices were even and independent.
- A layer that shares its weights with the one before reads them again: on the machine this was measured on, weights
  that the last cache could keep came no faster than others.
- A decoding step reads the layer's KV cache, which a window limits, at a speed of its own, as engines are slower there
  than with weights; or it reads and writes a recurrent state.
- Activations that fit the cache cost no traffic.
- Softmax scores are in memory with the math kernel only: written, masked, normalised (each reads and writes them) and
  read again. That kernel also computes the pairs it masks. Flash does neither.
- Linear attention reads a prompt in chunks, each compared pairwise within itself.
- Positions are negligible but for RoPE, which is two more operators.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from mimar.hardware._memory import CHUNK, inner_values, kv_values, score_tables, visible_tokens
from mimar.hardware._workload import Workload
from mimar.shapes import Matrix, block_matrices, mixing_flops
from mimar.space import HEADED_MIXERS, SOFTMAX_MIXERS, Architecture, Block

Pass = Literal["prefill", "decode", "forward"]
"""prefill: the prompt, with logits of its last token. decode: one token of each sequence at full context. forward: the
prompt, with logits of every token and their loss, as a model is trained and evaluated."""


class Amounts(NamedTuple):
    """flops: of products with weights. mixing_flops: between tokens. bytes: of weights and of activations that leave
    the cache. cache_bytes: of the KV cache, while decoding. launches: operators."""

    flops: float = 0.0
    mixing_flops: float = 0.0
    bytes: float = 0.0
    cache_bytes: float = 0.0
    launches: float = 0.0


class Prices(NamedTuple):
    """Seconds that a unit of each of the `Amounts` takes on a device, or joules, where energy is fitted."""

    flop: float
    mixing_flop: float
    byte: float
    cache_byte: float
    launch: float


class Rates(NamedTuple):
    """Device and workload as a layer feels them; flat, since it is hashed for every layer. cache: bytes."""

    prices: Prices
    cache: float
    context: int
    batch: int
    prompt: int
    weight_bytes: float
    value_bytes: float


class Frame(NamedTuple):
    """The architecture around a block, as far as it changes what the block costs; norm_size: weights of one norm."""

    hidden: int
    math_kernel: bool
    score_tables: int
    rope: bool
    parallel: bool
    sandwich: bool
    norm_size: int


class Work(NamedTuple):
    """One operator: FLOPs of a product with weights or between tokens, bytes of weights, of activations, of the KV
    cache."""

    flops: float = 0.0
    mixing_flops: float = 0.0
    weights: float = 0.0
    others: float = 0.0
    cache: float = 0.0


def rates_with(prices: Prices, cache_bytes: float, workload: Workload) -> Rates:
    """A device of those prices, with a last-level cache of that size, at the workload."""
    return Rates(
        prices,
        cache_bytes,
        workload.context,
        workload.batch,
        workload.prompt_tokens,
        workload.weight_bytes,
        workload.value_bytes,
    )


def frame_of(arch: Architecture) -> Frame:
    """The part of `arch` that every layer sees."""
    return Frame(
        arch.hidden_size,
        arch.attention_kernel == "math",
        score_tables(arch),
        arch.position == "rope",
        arch.topology == "parallel",
        arch.norm_placement == "sandwich",
        arch.hidden_size * (1 if arch.norm == "rmsnorm" else 2),
    )


def price(amounts: Amounts, prices: Prices) -> float:
    """Seconds (or joules) of all of it."""
    return sum(amount * each for amount, each in zip(amounts, prices, strict=True))


def pass_amounts(arch: Architecture, rates: Rates, kind: Pass) -> Amounts:
    """The whole of one pass, launches included; `rates` decide which side of each operator is the slower."""
    prompt = None if kind == "decode" else rates.prompt
    frame = frame_of(arch)
    rows = rates.batch * (rates.prompt if kind == "forward" else 1)
    parts = [head_amounts(arch.vocab_size, arch.hidden_size, rows, rates)]
    if kind == "forward":  # The loss reads the logits once more and writes probabilities.
        parts.append(_slower(Work(others=_spilled(2 * rows * arch.vocab_size, rates)), rates.prices))
    parts += [layer_amounts(block, frame, rates, prompt) for block in arch.blocks]
    return _total(parts)


@lru_cache(maxsize=65536)
def layer_amounts(block: Block, frame: Frame, rates: Rates, prompt: int | None) -> Amounts:
    """One layer over `prompt` tokens of each sequence, or in a decoding step where it is None."""
    rows = rates.batch * (prompt or 1)
    work = [_product(matrix, rows, rates) for matrix in block_matrices(block, frame.hidden)]
    work += _mixing(block, frame, rates, prompt)
    work.append(_element_wise(block, frame, rates, rows))
    launches = Amounts(launches=operators(block, frame, rows))
    return _total([launches, *(_slower(part, rates.prices) for part in work)])


def head_amounts(vocab: int, hidden: int, rows: int, rates: Rates) -> Amounts:
    """Logits of `rows` tokens, with embedding look-up and final norm."""
    work = Work(2.0 * vocab * hidden * rows, 0.0, vocab * hidden * rates.weight_bytes, _spilled(rows * vocab, rates))
    return _slower(work, rates.prices)._replace(launches=3.0)


def _total(parts: list[Amounts]) -> Amounts:
    return Amounts(*map(sum, zip(*parts, strict=True)))


def _slower(work: Work, prices: Prices) -> Amounts:
    """The side of the roof that the operator is under."""
    moved = work.weights + work.others
    arithmetic = work.flops * prices.flop + work.mixing_flops * prices.mixing_flop
    if arithmetic >= moved * prices.byte + work.cache * prices.cache_byte:
        return Amounts(flops=work.flops, mixing_flops=work.mixing_flops)
    return Amounts(bytes=moved, cache_bytes=work.cache)


def _product(matrix: Matrix, rows: int, rates: Rates) -> Work:
    """One weight matrix times `rows` tokens; of an expert the share of them that chooses it."""
    chosen = rows * matrix.active
    touched = 1 - (1 - matrix.active) ** rows
    return Work(
        flops=2.0 * matrix.size * chosen,
        weights=matrix.size * touched * rates.weight_bytes,
        others=_spilled(chosen * (matrix.rows + matrix.cols), rates),
    )


def _mixing(block: Block, frame: Frame, rates: Rates, prompt: int | None) -> tuple[Work, ...]:
    """Everything between tokens of one layer: scores and values, or a recurrent state."""
    mixer = block.mixer
    wide = mixer.num_heads * mixer.head_size
    if mixer.kind not in SOFTMAX_MIXERS:
        state = 2 * kv_values(mixer, frame.hidden, rates.context) * rates.batch * rates.value_bytes
        tokens = prompt or 1
        flops = mixing_flops(mixer, tokens)
        if mixer.kind == "linear":
            flops += 4.0 * wide * tokens * min(tokens, CHUNK)
        return (Work(mixing_flops=flops * rates.batch, others=state),)
    if prompt is None:
        keys = visible_tokens(mixer, rates.context)
        cache = kv_values(mixer, frame.hidden, rates.context) * rates.batch * rates.value_bytes
        return (Work(mixing_flops=4.0 * wide * keys * rates.batch, cache=cache),)
    if frame.math_kernel:
        pairs = rates.batch * prompt**2
        once = _spilled(mixer.num_heads * pairs, rates)
        product = Work(mixing_flops=2.0 * wide * pairs, others=once)
        return product, Work(others=4 * once), product
    values = rates.batch * prompt * (2 * wide + 2 * mixer.num_kv_heads * mixer.head_size)
    return (Work(mixing_flops=mixing_flops(mixer, prompt) * rates.batch, others=_spilled(values, rates)),)


def _element_wise(block: Block, frame: Frame, rates: Rates, rows: int) -> Work:
    """Norms (read, write), residual sums (two reads, a write) and the activation, all bound by memory."""
    values = frame.hidden * (2 * norms(block, frame) + 3 * _parts(block, frame)) + inner_values(block.feed_forward)
    return Work(others=_spilled(rows * values, rates))


def _spilled(values: float, rates: Rates) -> float:
    """Bytes of activation traffic: none when they fit the cache."""
    found = values * rates.value_bytes
    return found if found > rates.cache else 0.0


def operators(block: Block, frame: Frame, rows: int) -> float:
    """Operators that an engine launches for one layer; of a mixture those of the experts expected to run.

    Projections, RoPE on queries and keys, the append to the KV cache, one flash attention or four operators of the math
    kernel (scores, mask, softmax, values) or of linear attention; the activation and the gate's product; norms and
    residual sums. An expert also gathers and scatters its tokens, the router also takes a softmax and the top k.
    """
    mixer, part = block.mixer, block.feed_forward
    count: float = norms(block, frame) + _parts(block, frame)
    if mixer.kind in SOFTMAX_MIXERS:
        count += 5 + 2 * frame.rope + (4 if frame.math_kernel else 1)
    elif mixer.kind in HEADED_MIXERS:
        count += 4 + 2 + 4
    elif mixer.kind == "convolution":
        count += 3 + 4
    if part.kind == "moe":
        experts = part.num_experts * (1 - (1 - part.top_k / part.num_experts) ** rows)
        return count + 3 + 7 * experts
    return count + {"none": 0, "ffn": 3}.get(part.kind, 5)


def _parts(block: Block, frame: Frame) -> int:
    """Sums with the residual stream: a parallel block makes one of both parts."""
    return 1 if frame.parallel else (block.mixer.kind != "none") + (block.feed_forward.kind != "none")


def norms(block: Block, frame: Frame) -> int:
    """Norms of one layer."""
    return _parts(block, frame) * (2 if frame.sandwich else 1)
