"""What a device cannot run, and what its figures mean for a designer, both as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import get_args

from mimar.hardware._profile import DeviceProfile
from mimar.hardware._workload import DTYPES, Workload
from mimar.space import HEADED_MIXERS, Activation, Architecture, FeedForwardKind, MixerKind, Norm, Position

LAYER_OPERATORS = 17
"""Operators of a LLaMA layer, as `mimar.hardware._amounts.operators` counts them."""
LAYER_WEIGHTS = 12
"""Weights of a layer in units of hidden²: 4 in attention, 8 in the feed-forward part (Kaplan et al., 2020, §2.1)."""


def unsupported_reasons(arch: Architecture, profile: DeviceProfile, workload: Workload) -> tuple[str, ...]:
    """Everything in `arch` that the device cannot run, as sentences; empty when it can run it."""
    can = profile.supports
    used = {
        "mixer": ({block.mixer.kind for block in arch.blocks}, can.mixers),
        "feed-forward part": ({block.feed_forward.kind for block in arch.blocks}, can.feed_forwards),
        "activation": ({block.feed_forward.activation for block in arch.blocks} - {"none"}, can.activations),
        "norm": ({arch.norm}, can.norms),
        "position encoding": ({arch.position} - {"none"}, can.positions),
        "weight dtype": ({workload.dtype}, frozenset(profile.dtypes)),
    }
    reasons = [
        f"device {profile.name} cannot run {part} {wrong}; use {' or '.join(sorted(known))}"
        for part, (names, known) in used.items()
        for wrong in sorted(names - known)
    ]
    multiple = can.width_multiple
    reasons += [
        f"device {profile.name} needs {name} in multiples of {multiple}, got {width}"
        for name, width in sorted(set(_widths(arch)))
        if width % multiple
    ]
    return tuple(reasons)


def device_advice(profile: DeviceProfile, workload: Workload) -> str:
    """What a designer should know of the device, in five plain sentences made from its figures.

    `InputError` when the device does not run weights of the workload's dtype.
    """
    sentences = (
        _identity(profile, workload),
        _decoding(profile, workload),
        _prefill(profile, workload),
        _overhead(profile, workload),
        f"Its limits: {'; '.join(restrictions(profile))}.",
    )
    return " ".join(sentences)


def _identity(profile: DeviceProfile, workload: Workload) -> str:
    return (
        f"The target is {profile.description}, running {profile.engine}; weights, KV cache and activations share "
        f"{profile.memory_bytes / 1e9:.3g} GB, and weights are stored as {workload.dtype}, "
        f"{workload.weight_bytes:g} bytes each."
    )


def _decoding(profile: DeviceProfile, workload: Workload) -> str:
    bandwidth = profile.attainable_bandwidth(workload.dtype)
    flops_per_byte = 2 * workload.batch / workload.weight_bytes
    if flops_per_byte < profile.attainable_flops(workload.dtype) / bandwidth:
        return (
            f"Decoding at batch {workload.batch} is bound by memory bandwidth: every generated token reads all active "
            f"weights and the KV cache at {_size(bandwidth)}/s, so 10 tokens/s leave {_size(bandwidth / 10)} "
            f"for both and 100 tokens/s {_size(bandwidth / 100)}; fewer kv heads, windows and linear attention cut "
            f"the cache that is read at {workload.context} tokens of context."
        )
    rate = profile.attainable_flops(workload.dtype) / workload.batch
    return (
        f"Decoding at batch {workload.batch} is bound by compute: {_flops(rate)} for each sequence, so 10 tokens/s "
        f"leave {rate / 20e6:.3g} million active weights."
    )


def _prefill(profile: DeviceProfile, workload: Workload) -> str:
    tokens, flops = workload.batch * workload.prompt_tokens, profile.attainable_flops(workload.dtype)
    arithmetic = 2e6 * tokens / flops
    reading = 1e6 * workload.weight_bytes / profile.attainable_bandwidth(workload.dtype)
    bound = "compute" if arithmetic > reading else "memory bandwidth"
    return (
        f"Reading a prompt of {workload.prompt_tokens} tokens is bound by {bound}: each million active weights adds "
        f"{_time(max(arithmetic, reading))} to the time to first token."
    )


def _overhead(profile: DeviceProfile, workload: Workload) -> str:
    launches = LAYER_OPERATORS * profile.launch_overhead_s
    weights = launches * profile.attainable_bandwidth(workload.dtype) / workload.weight_bytes
    return (
        f"Every operator costs {_time(profile.launch_overhead_s)} however small it is, so a layer of "
        f"{LAYER_OPERATORS} operators costs {_time(launches)} for each token before any arithmetic: below a hidden "
        f"size of about {sqrt(weights / LAYER_WEIGHTS):.0f} launches take longer than weights, and depth costs speed."
    )


def restrictions(profile: DeviceProfile) -> tuple[str, ...]:
    """What the device leaves out of the space, as phrases: ``no mixers linear, convolution`` …, and its width step."""
    can = profile.supports
    known = (
        ("mixers", get_args(MixerKind), can.mixers),
        ("feed-forward parts", get_args(FeedForwardKind), can.feed_forwards),
        ("activations", get_args(Activation), can.activations | {"none"}),
        ("norms", get_args(Norm), can.norms),
        ("position encodings", get_args(Position), can.positions | {"none"}),
        ("weight dtypes", DTYPES, frozenset(profile.dtypes)),
    )
    lost = ((kind, [name for name in names if name not in able]) for kind, names, able in known)
    missing = (f"no {kind} {', '.join(names)}" for kind, names in lost if names)
    return (*missing, f"widths in multiples of {can.width_multiple}")


def _widths(arch: Architecture) -> Iterator[tuple[str, int]]:
    yield "hidden_size", arch.hidden_size
    for block in arch.blocks:
        if block.mixer.kind in HEADED_MIXERS:
            yield "num_heads × head_size", block.mixer.num_heads * block.mixer.head_size
        if block.feed_forward.kind != "none":
            yield "intermediate_size", block.feed_forward.intermediate_size


def _size(number: float) -> str:
    units = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1.0))
    unit, scale = next((unit, scale) for unit, scale in units if number >= scale or scale == 1)
    return f"{number / scale:.3g} {unit}"


def _flops(rate: float) -> str:
    unit, scale = ("TFLOP/s", 1e12) if rate >= 1e12 else ("GFLOP/s", 1e9)
    return f"{rate / scale:.3g} {unit}"


def _time(seconds: float) -> str:
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, scale = next((unit, scale) for unit, scale in units if seconds >= scale or scale == 1e-6)
    return f"{seconds / scale:.3g} {unit}"
