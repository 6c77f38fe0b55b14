"""The hardware metrics of an architecture, under the names and units that the whole project uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mimar.hardware._amounts import frame_of
from mimar.hardware._cost import head_seconds, layer_cost, rates_of
from mimar.hardware._memory import activation_bytes
from mimar.hardware._profile import DeviceProfile
from mimar.hardware._workload import Workload
from mimar.shapes import embedding_parameters
from mimar.space import Architecture

METRIC_DIRECTIONS: Final[Mapping[str, Literal["min", "max"]]] = {
    "decode_tokens_per_second": "max",
    "params": "min",
    "nonembedding_params": "min",
    "flops": "min",
    "memory_bytes": "min",
    "ttft_s": "min",
    "energy_j_per_token": "min",
    "power_w": "min",
}
"""Metric of `hardware_metrics` → whether more or less of it is better."""


@dataclass(frozen=True, slots=True)
class LayerLatency:
    """Seconds of one executed layer (or the ``head``, with embedding look-up and final norm): reading the prompt, and
    one decoding step at full context. launch_s is the part of the step that is operator overhead."""

    name: str
    prefill_s: float
    decode_s: float
    launch_s: float


def hardware_metrics(arch: Architecture, profile: DeviceProfile, workload: Workload) -> dict[str, float]:
    """All metrics at once, analytic; `InputError` when the device does not run weights of the workload's dtype.

    params: all weights, tied and shared ones once. nonembedding_params: without embedding and head. flops: forward pass
    over `context` tokens of one sequence, as `mimar.shapes.flops`. memory_bytes: as `memory_breakdown`. ttft_s: seconds
    to read `batch` prompts and give each one token. decode_tokens_per_second: tokens a second that *each* sequence
    receives at full context; the device makes `batch` times as many. energy_j_per_token: joules for each token made
    while decoding. power_w: mean watts while decoding. The last two only where the profile knows the device's power.

    Energy is power times time. Power is linear in utilisation, P = idle + (peak − idle)·u (Fan et al., "Power
    provisioning for a warehouse-sized computer", 2007), where u is the share of the step that is not launch overhead.
    """
    rates, frame = rates_of(profile, workload), frame_of(arch)
    groups = [layer_cost(block, frame, rates) for block in arch.unique_blocks]
    head = head_seconds(arch.vocab_size, arch.hidden_size, rates)
    group = arch.layer_sharing
    step = head.total + group * sum(cost.decode.total for cost in groups)
    launch = head.launch + group * sum(cost.decode.launch for cost in groups)
    nonembedding = sum(cost.parameters for cost in groups)
    nonembedding += 0 if arch.norm_placement == "post" else frame.norm_size
    parameters = nonembedding + embedding_parameters(arch)
    linear = group * sum(cost.linear_flops for cost in groups) + 2.0 * arch.vocab_size * arch.hidden_size
    kept = group * sum(cost.kv_values for cost in groups) * workload.batch * workload.value_bytes
    live = activation_bytes(arch, workload, max(cost.peak_values for cost in groups))
    return {
        "params": float(parameters),
        "nonembedding_params": float(nonembedding),
        "flops": workload.context * linear + group * sum(cost.mixing_flops for cost in groups),
        "memory_bytes": parameters * workload.weight_bytes + kept + live,
        "ttft_s": head.total + group * sum(cost.prefill.total for cost in groups),
        "decode_tokens_per_second": 1 / step,
    } | _energy(profile, workload, step, launch)


def latency_breakdown(arch: Architecture, profile: DeviceProfile, workload: Workload) -> tuple[LayerLatency, ...]:
    """Every executed layer in order, then the head; the sums are `ttft_s` and the inverse of
    `decode_tokens_per_second`. `InputError` as `hardware_metrics`."""
    rates, frame = rates_of(profile, workload), frame_of(arch)
    found: list[LayerLatency] = []
    for index, block in enumerate(arch.blocks):
        cost = layer_cost(block, frame, rates)
        found.append(LayerLatency(f"layer {index}", cost.prefill.total, cost.decode.total, cost.decode.launch))
    head = head_seconds(arch.vocab_size, arch.hidden_size, rates)
    return (*found, LayerLatency("head", head.total, head.total, head.launch))


def _energy(profile: DeviceProfile, workload: Workload, step: float, launch: float) -> dict[str, float]:
    if profile.power is None:
        return {}
    busy = 1 - launch / step
    power = profile.power.idle_w + (profile.power.peak_w - profile.power.idle_w) * busy
    return {"energy_j_per_token": power * step / workload.batch, "power_w": power}
