"""What one layer costs: weights, operations, memory, and roofline seconds of prefill and of one decoding step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mimar.hardware._amounts import (
    Amounts,
    Frame,
    Prices,
    Rates,
    head_amounts,
    layer_amounts,
    norms,
    price,
    rates_with,
)
from mimar.hardware._memory import kv_values, peak_values
from mimar.hardware._profile import DeviceProfile
from mimar.hardware._workload import Dtype, Workload
from mimar.shapes import block_matrices, mixing_flops
from mimar.space import Block


@dataclass(frozen=True, slots=True)
class Seconds:
    """Time of one pass; launch: the part of it that is operator overhead."""

    total: float
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


def prices_of(profile: DeviceProfile, dtype: Dtype) -> Prices:
    """Seconds for a unit of each amount with weights of `dtype`; `InputError` when the device does not run them."""
    return Prices(
        1 / profile.attainable_flops(dtype),
        1 / profile.attainable_mixing_flops(dtype),
        1 / profile.attainable_bandwidth(dtype),
        1 / profile.attainable_cache_bandwidth(dtype),
        profile.launch_overhead_s,
    )


def rates_of(profile: DeviceProfile, workload: Workload) -> Rates:
    """`InputError` when the device does not run weights of the workload's dtype."""
    return rates_with(prices_of(profile, workload.dtype), profile.cache_bytes, workload)


@lru_cache(maxsize=65536)
def layer_cost(block: Block, frame: Frame, rates: Rates) -> LayerCost:
    """Cost of one execution of `block`."""
    found = block_matrices(block, frame.hidden)
    return LayerCost(
        parameters=sum(matrix.size for matrix in found) + norms(block, frame) * frame.norm_size,
        linear_flops=sum(2.0 * matrix.size * matrix.active for matrix in found),
        mixing_flops=mixing_flops(block.mixer, rates.context),
        kv_values=kv_values(block.mixer, frame.hidden, rates.context),
        peak_values=peak_values(block, frame.hidden, frame.score_tables, rates.context),
        prefill=_seconds(layer_amounts(block, frame, rates, rates.prompt), rates.prices),
        decode=_seconds(layer_amounts(block, frame, rates, None), rates.prices),
    )


def head_seconds(vocab: int, hidden: int, rates: Rates) -> Seconds:
    """Logits of one position of each sequence, in prefill and in decoding alike, with embedding look-up and norm."""
    return _seconds(head_amounts(vocab, hidden, rates.batch, rates), rates.prices)


def _seconds(amounts: Amounts, prices: Prices) -> Seconds:
    return Seconds(price(amounts, prices), amounts.launches * prices.launch)
