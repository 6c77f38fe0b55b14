"""This machine as a profile: microbenchmarks with torch, the engine that then runs the models; about a minute.

Peaks come from single products; how much of them models reach, from small random models of the search space, to which
the roofline is fitted. This module imports torch, so it is imported only where something is measured.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.hardware._amounts import Prices
from mimar.hardware._calibrate import Timed, calibrate
from mimar.hardware._machine import cache_bytes, cpu_model, memory_bytes
from mimar.hardware._power import measure_power
from mimar.hardware._profile import THIS, DeviceProfile, Power, Support, Throughput
from mimar.hardware._timing import TORCH_DTYPES, fastest, seconds, time_passes
from mimar.hardware._workload import WEIGHT_BYTES, Dtype, Workload
from mimar.shapes import parameters
from mimar.space import Activation, Defaults, FeedForwardKind, MixerKind, Norm, Position, TransformerSpace

PEAK_SECONDS, MODEL_SECONDS = 3.0, 2.0
"""Products of all dtypes, and models of each dtype, take turns for this time."""

LAYER_SHAPES = ((576, 576), (1536, 576), (576, 1536), (2048, 512))
"""(outputs, inputs) of the weights that are timed: layers as they occur in searched models."""
LARGE_SHAPES = ((4096, 4096), (8192, 4096), (4096, 8192))
"""The same on a GPU, which small products cannot fill; there the launch overhead stands for what small ones lose."""
TOKENS, LARGE_TOKENS = 128, 4096

STREAM_BYTES = 128e6
"""Weights that the bandwidth test reads in turn; more where that is not four times the cache."""
SLICES = 4
"""Looks at the clock while it does."""

MODELS, SEED = 16, 2009
WIDTHS, LARGE_WIDTHS = (256, 320, 448, 576, 832), (256, 512, 1024, 1536, 2048)
MOST_PARAMETERS, LARGE_MOST_PARAMETERS = 18e6, 300e6
"""The models that the roofline is fitted to, on a CPU and on a GPU."""
USES = ((64, 192), (128, 512), (96, 320))
"""Tokens of prompt and of context, for one model after the other."""


@dataclass(frozen=True, slots=True)
class _Task:
    """Something to time: `amount` FLOPs of a product with many tokens, or bytes of weights that each meet one token,
    the pattern of decoding."""

    dtype: Dtype
    product: bool
    amount: float
    run: Callable[[], object]


@torch.inference_mode()
def measure_profile(date: str) -> DeviceProfile:
    """Measure the CUDA device where there is one, else the CPU with the threads torch uses now; `date` goes into the
    sources."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    cache = last_cache_bytes(device)
    bandwidth, launch, throughput = _throughput(device, cache)
    power = measured_power()
    threads = torch.get_num_threads()
    where = torch.cuda.get_device_name() if cuda else f"{cpu_model()}, {threads} thread{'s' * (threads > 1)}"
    return DeviceProfile(
        name=THIS,
        description=f"this machine: {where}",
        engine=f"PyTorch {torch.__version__}, eager",
        memory_bytes=memory_bytes(device.type),
        memory_bandwidth=bandwidth,
        cache_bytes=cache,
        launch_overhead_s=launch,
        throughput=throughput,
        supports=everything(),
        sources=_sources(date, cache, power is not None),
        power=power,
    )


def measured_power() -> Power | None:
    """Watts of this machine at rest and during matrix products; None without an energy counter that may be read."""
    cuda = torch.cuda.is_available()
    large = torch.ones(2048, 2048, device="cuda" if cuda else "cpu")
    return measure_power(lambda: seconds(lambda: large @ large), cuda)


def last_cache_bytes(device: torch.device) -> float:
    """The last level's size."""
    return float(torch.cuda.get_device_properties(device).L2_cache_size) if device.type == "cuda" else cache_bytes()


def _throughput(device: torch.device, cache: float) -> tuple[float, float, dict[Dtype, Throughput]]:
    """The largest bytes/s seen, seconds of a launch, and each dtype's speed."""
    peaks = peak_prices(device, cache, tuple(TORCH_DTYPES))
    largest = max(1 / least.byte for least in peaks.values())
    launch: float | None = None
    found: dict[Dtype, Throughput] = {}
    for dtype, least in peaks.items():
        timed = time_passes(calibration_models(device, dtype), device, MODEL_SECONDS)
        prices = calibrate(timed, cache_bytes=cache, least=least, launch=launch)
        launch = prices.launch  # What the first dtype, fp32, says of launches holds for all.
        found[dtype] = Throughput(
            1 / least.flop,
            compute_efficiency=min(1.0, least.flop / prices.flop),
            bandwidth_efficiency=min(1.0, 1 / prices.byte / largest),
            cache_efficiency=min(1.0, 1 / prices.cache_byte / largest),
            mixing_efficiency=min(1.0, least.flop / prices.mixing_flop),
        )
    assert launch is not None
    return largest, launch, found


def calibration_models(device: torch.device, dtype: Dtype) -> tuple[Timed, ...]:
    """Small random models of the search space, the same on every machine, and how each is used."""
    cuda = device.type == "cuda"
    widths, most = (LARGE_WIDTHS, LARGE_MOST_PARAMETERS) if cuda else (WIDTHS, MOST_PARAMETERS)
    space = TransformerSpace("per-layer", Defaults(vocab_size=8192, context_length=1024))
    space = space.restricted(hidden_size=widths)
    rng = np.random.default_rng(SEED)
    found: list[Timed] = []
    while len(found) < MODELS:
        arch = space.sample(rng)
        if parameters(arch) <= most:
            prompt, context = USES[len(found) % len(USES)]
            found.append((arch, Workload(context, 1, prompt, dtype)))
    return tuple(found)


def _sources(date: str, cache: float, power: bool) -> dict[str, str]:
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    measured = f"measured on this machine on {date} ({load}), the fastest of repeated runs"
    system = "reported by the operating system or the driver"
    stream = f"matrix–vector products over {_stream_bytes(cache) / 1e6:.0f} MB of weights"
    models = f"fitted to prefill and decoding of {MODELS} small models, measured on this machine on {date} ({load})"
    found = {
        "memory_bytes": system,
        "memory_bandwidth": f"{measured}: {stream}, the fastest dtype",
        "cache_bytes": f"{system}; 0 stands for unknown",
        "launch_overhead_s": models,
        "peak_flops": f"{measured}: matrix products of layer shapes",
        "compute_efficiency": models,
        "bandwidth_efficiency": models,
        "cache_efficiency": models,
        "mixing_efficiency": models,
        "supports": "everything that mimar.models builds",
    }
    return found | ({"power": f"{measured}: energy counter at rest and during matrix products"} if power else {})


def everything() -> Support:
    """Support of an engine that runs all of the space."""
    return Support(
        mixers=frozenset(get_args(MixerKind)),
        feed_forwards=frozenset(get_args(FeedForwardKind)),
        activations=frozenset(get_args(Activation)),
        norms=frozenset(get_args(Norm)),
        positions=frozenset(get_args(Position)),
        width_multiple=1,
    )


@torch.inference_mode()
def peak_prices(device: torch.device, cache: float, dtypes: Sequence[Dtype]) -> dict[Dtype, Prices]:
    """The least that each amount can cost: a FLOP in large products, a byte in streams of weights, a launch nothing."""
    tasks = [task for dtype in dtypes for task in _tasks(dtype, device, _stream_bytes(cache))]
    timed = list(zip(tasks, fastest([task.run for task in tasks], PEAK_SECONDS), strict=True))
    found: dict[Dtype, Prices] = {}
    for dtype in dtypes:
        mine = [(task.amount, took) for task, took in timed if task.dtype == dtype and task.product]
        flop = sum(took for _, took in mine) / sum(amount for amount, _ in mine)
        byte = min(took / task.amount for task, took in timed if task.dtype == dtype and not task.product)
        found[dtype] = Prices(flop, flop, byte, byte, 0.0)
    return found


def _tasks(dtype: Dtype, device: torch.device, stream: float) -> Iterator[_Task]:
    """A product for each shape, and slices of weights that together have at least `stream` bytes."""
    cuda = device.type == "cuda"
    shapes, tokens = (LARGE_SHAPES, LARGE_TOKENS) if cuda else (LAYER_SHAPES, TOKENS)
    make = partial(torch.ones, dtype=TORCH_DTYPES[dtype], device=device)
    for rows, cols in shapes:
        product = partial(F.linear, make(tokens, cols), make(rows, cols))
        yield _Task(dtype, True, 2.0 * tokens * rows * cols, product)
    each = sum(rows * cols for rows, cols in shapes) * WEIGHT_BYTES[dtype]
    repeats = math.ceil(stream / SLICES / each)
    for _ in range(SLICES):
        layers = [partial(F.linear, make(1, cols), make(rows, cols)) for rows, cols in shapes * repeats]
        yield _Task(dtype, False, each * repeats, partial(_run_all, layers))


def _run_all(layers: list[partial[Tensor]]) -> None:
    for layer in layers:
        layer()


def _stream_bytes(cache: float) -> float:
    return max(STREAM_BYTES, 4 * cache)
