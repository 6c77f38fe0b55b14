"""What one layer costs: weights, operations, memory, and roofline seconds of prefill and of one decoding step.

Roofline (Williams et al., "Roofline: an insightful visual performance model", 2009): an operator takes as long as the
slower of its arithmetic and its memory traffic, plus the time to launch it. The traffic:

- A pass reads each weight once. Of a mixture of E experts it reads those that n tokens are expected to choose with k
  each, E·(1 − (1 − k/E)ⁿ), as if choices were even and independent.
- A layer that shares its weights with the one before reads them again, unless the whole block fits the last cache;
  then only its arithmetic counts.
- A decoding step reads the layer's KV cache, which a window limits, at a speed of its own, as engines are slower there
  than with weights; or it reads and writes a recurrent state.
- Activations that fit the cache cost no traffic.
- Softmax scores are in memory with the math kernel only: written, masked, normalised (each reads and writes them) and
  read again. That kernel also computes the pairs it masks. Flash does neither.
- Positions are negligible but for RoPE, which is two more operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from mimar.hardware._memory import inner_values, kv_values, peak_values, visible_tokens
from mimar.hardware._profile import DeviceProfile
from mimar.hardware._workload import Workload
from mimar.shapes import Matrix, block_matrices, mixing_flops
from mimar.space import HEADED_MIXERS, SOFTMAX_MIXERS, Architecture, Block


class Rates(NamedTuple):
    """Device and workload as a layer feels them; a flat tuple, since it is hashed for every layer.

    flops: attainable FLOP/s. bandwidth, kv_bandwidth: attainable bytes/s of weights and of the KV cache. overhead:
    seconds for each operator. cache: bytes.
    """

    flops: float
    bandwidth: float
    kv_bandwidth: float
    overhead: float
    cache: float
    context: int
    batch: int
    prompt: int
    weight_bytes: float
    value_bytes: float


class Work(NamedTuple):
    """One operator: FLOPs, bytes of weights, bytes of anything else."""

    flops: float
    weights: float
    others: float


@dataclass(frozen=True, slots=True)
class Seconds:
    """Time of one pass. first: with weights in memory; again: with those that the cache keeps; launch: the part of
    both that is operator overhead."""

    first: float
    again: float
    launch: float


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer at one workload on one device.

    parameters: norms included. linear_flops: a token, without mixing. mixing_flops: of `context` tokens. kv_values,
    peak_values: remembered and live values of one sequence.
    """

    parameters: int
    linear_flops: float
    mixing_flops: float
    kv_values: int
    peak_values: float
    prefill: Seconds
    decode: Seconds


class Frame(NamedTuple):
    """The architecture around a block, as far as it changes what the block costs; norm_size: weights of one norm."""

    hidden: int
    math_kernel: bool
    rope: bool
    parallel: bool
    sandwich: bool
    norm_size: int


def rates_of(profile: DeviceProfile, workload: Workload) -> Rates:
    """`InputError` when the device does not run weights of the workload's dtype."""
    return Rates(
        profile.attainable_flops(workload.dtype),
        profile.attainable_bandwidth(workload.dtype),
        profile.attainable_cache_bandwidth(workload.dtype),
        profile.launch_overhead_s,
        profile.cache_bytes,
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
        arch.position == "rope",
        arch.topology == "parallel",
        arch.norm_placement == "sandwich",
        arch.hidden_size * (1 if arch.norm == "rmsnorm" else 2),
    )


@lru_cache(maxsize=65536)
def layer_cost(block: Block, frame: Frame, rates: Rates) -> LayerCost:
    """Cost of one execution of `block`."""
    found = block_matrices(block, frame.hidden)
    return LayerCost(
        parameters=sum(matrix.size for matrix in found) + _norms(block, frame) * frame.norm_size,
        linear_flops=sum(2.0 * matrix.size * matrix.active for matrix in found),
        mixing_flops=mixing_flops(block.mixer, rates.context),
        kv_values=kv_values(block.mixer, frame.hidden, rates.context),
        peak_values=peak_values(block, frame.hidden, frame.math_kernel, rates.context),
        prefill=_seconds(block, frame, rates, rates.prompt),
        decode=_seconds(block, frame, rates, None),
    )


def head_seconds(vocab: int, hidden: int, rates: Rates) -> Seconds:
    """Logits of one position of each sequence, in prefill and in decoding alike, with embedding look-up and norm."""
    work = Work(2.0 * vocab * hidden * rates.batch, vocab * hidden * rates.weight_bytes, 0.0)
    launch = 3 * rates.overhead
    time = _roofline(work, rates) + launch
    return Seconds(time, time, launch)


def _seconds(block: Block, frame: Frame, rates: Rates, prompt: int | None) -> Seconds:
    """One pass over `prompt` tokens of each sequence, or a decoding step where it is None."""
    rows = rates.batch * (prompt or 1)
    work = [_product(matrix, rows, rates) for matrix in block_matrices(block, frame.hidden)]
    work += _mixing(block, frame, rates, prompt)
    work.append(_element_wise(block, frame, rates, rows))
    launch = rates.overhead * operators(block, frame, rows)
    first = launch + sum(_roofline(part, rates) for part in work)
    again = first
    if sum(part.weights for part in work) <= rates.cache:
        again = launch + sum(_roofline(part._replace(weights=0.0), rates) for part in work)
    return Seconds(first, again, launch)


def _roofline(work: Work, rates: Rates) -> float:
    return max(work.flops / rates.flops, (work.weights + work.others) / rates.bandwidth)


def _product(matrix: Matrix, rows: int, rates: Rates) -> Work:
    """One weight matrix times `rows` tokens; of an expert the share of them that chooses it."""
    chosen = rows * matrix.active
    touched = 1 - (1 - matrix.active) ** rows
    return Work(
        2.0 * matrix.size * chosen,
        matrix.size * touched * rates.weight_bytes,
        _spilled(chosen * (matrix.rows + matrix.cols), rates),
    )


def _mixing(block: Block, frame: Frame, rates: Rates, prompt: int | None) -> tuple[Work, ...]:
    """Everything between tokens of one layer: scores and values, or a recurrent state."""
    mixer = block.mixer
    if mixer.kind not in SOFTMAX_MIXERS:
        state = 2 * kv_values(mixer, frame.hidden, rates.context) * rates.batch * rates.value_bytes
        return (Work(mixing_flops(mixer, prompt or 1) * rates.batch, 0.0, state),)
    wide = mixer.num_heads * mixer.head_size
    if prompt is None:
        keys = visible_tokens(mixer, rates.context)
        cache = kv_values(mixer, frame.hidden, rates.context) * rates.batch * rates.value_bytes
        cache *= rates.bandwidth / rates.kv_bandwidth  # As much time as so many bytes of weights.
        return (Work(4.0 * wide * keys * rates.batch, 0.0, cache),)
    if frame.math_kernel:
        pairs = rates.batch * prompt**2
        once = _spilled(mixer.num_heads * pairs, rates)
        product = Work(2.0 * wide * pairs, 0.0, once)
        return product, Work(0.0, 0.0, 4 * once), product
    tokens = rates.batch * prompt * (2 * wide + 2 * mixer.num_kv_heads * mixer.head_size)
    return (Work(mixing_flops(mixer, prompt) * rates.batch, 0.0, _spilled(tokens, rates)),)


def _element_wise(block: Block, frame: Frame, rates: Rates, rows: int) -> Work:
    """Norms (read, write), residual sums (two reads, a write) and the activation, all bound by memory."""
    values = frame.hidden * (2 * _norms(block, frame) + 3 * _parts(block, frame)) + inner_values(block.feed_forward)
    return Work(0.0, 0.0, _spilled(rows * values, rates))


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
    count: float = _norms(block, frame) + _parts(block, frame)
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


def _norms(block: Block, frame: Frame) -> int:
    return _parts(block, frame) * (2 if frame.sandwich else 1)
