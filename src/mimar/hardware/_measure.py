"""Microbenchmarks of this machine with torch, the engine that then runs the models; a few seconds.

Each figure is the fastest of several rounds, as anything else that runs on the machine can only slow one down; all
figures take their turn in each round, so that a busy moment does not fall on one of them alone. This module imports
torch, so it is imported only where something is measured.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.hardware._cost import frame_of, operators
from mimar.hardware._machine import cache_bytes, cpu_model, memory_bytes
from mimar.hardware._memory import kv_cache_bytes
from mimar.hardware._power import measure_power
from mimar.hardware._profile import THIS, DeviceProfile, Support, Throughput
from mimar.hardware._workload import WEIGHT_BYTES, Dtype, Workload
from mimar.models import build
from mimar.space import (
    Activation,
    Architecture,
    Block,
    FeedForward,
    FeedForwardKind,
    Mixer,
    MixerKind,
    Norm,
    Position,
)

SPEED_SECONDS = 3.0
STEP_SECONDS = 0.8
"""Rounds, and decoding steps of the small models, go on for this time; there is at least one."""

TORCH_DTYPES: dict[Dtype, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

LAYER_SHAPES = ((576, 576), (1536, 576), (576, 1536), (2048, 512))
"""(outputs, inputs) of the weights that are timed: layers as they occur in searched models."""
LARGE_SHAPES = ((4096, 4096), (8192, 4096), (4096, 8192))
"""The same on a GPU, which small products cannot fill; there the launch overhead stands for what small ones lose."""
TOKENS, LARGE_TOKENS = 128, 4096

SHORT, LONG = 64, 1024
"""Tokens of context between which the speed of the KV cache is measured."""

STREAM_BYTES = 128e6
"""Weights that the bandwidth test reads in turn; more where that is not four times the cache."""
SLICES = 4
"""Looks at the clock while it does."""


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
    properties = torch.cuda.get_device_properties(0) if cuda else None
    cache = cache_bytes() if properties is None else float(properties.L2_cache_size)
    bandwidth, throughput = _throughput(device, cache)
    large = torch.ones(2048, 2048, device=device)
    power = measure_power(lambda: seconds(lambda: large @ large), cuda)
    threads = torch.get_num_threads()
    where = torch.cuda.get_device_name() if cuda else f"{cpu_model()}, {threads} thread{'s' * (threads > 1)}"
    return DeviceProfile(
        name=THIS,
        description=f"this machine: {where}",
        engine=f"PyTorch {torch.__version__}, eager",
        memory_bytes=memory_bytes() if properties is None else float(properties.total_memory),
        memory_bandwidth=bandwidth,
        cache_bytes=cache,
        launch_overhead_s=launch_overhead(device),
        throughput=throughput,
        supports=everything(),
        sources=_sources(date, cache, power is not None),
        power=power,
    )


def _throughput(device: torch.device, cache: float) -> tuple[float, dict[Dtype, Throughput]]:
    """The largest bytes/s seen, and each dtype's speed."""
    products, streams = _speeds(device, cache)
    largest = max(streams.values())
    # A cache of a few megabytes may stay in the CPU's; a model's does not, and is not read faster than its weights.
    kept = {dtype: min(kv_bandwidth(device, dtype), streams[dtype]) for dtype in TORCH_DTYPES}
    found: dict[Dtype, Throughput] = {}
    for dtype in TORCH_DTYPES:
        found[dtype] = Throughput(products[dtype], 1.0, streams[dtype] / largest, kept[dtype] / largest)
    return largest, found


def _sources(date: str, cache: float, power: bool) -> dict[str, str]:
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    measured = f"measured on this machine on {date} ({load}), the fastest of repeated runs"
    system = "reported by the operating system or the driver"
    stream = f"matrix–vector products over {_stream_bytes(cache) / 1e6:.0f} MB of weights"
    found = {
        "memory_bytes": system,
        "memory_bandwidth": f"{measured}: {stream}, the fastest dtype",
        "cache_bytes": f"{system}; 0 stands for unknown",
        "launch_overhead_s": f"{measured}: time a layer adds to decoding steps of a very small model, by its operators",
        "peak_flops": f"{measured}: matrix products of layer shapes",
        "compute_efficiency": f"1, as peak_flops was {measured}",
        "bandwidth_efficiency": f"{measured}: {stream}",
        "cache_efficiency": f"{measured}: what {LONG - SHORT} more tokens of context add to a decoding step",
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
    )


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one run of `work`, all queued kernels included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _speeds(device: torch.device, cache: float) -> tuple[dict[Dtype, float], dict[Dtype, float]]:
    """FLOP/s and bytes/s for each dtype."""
    tasks = [task for dtype in TORCH_DTYPES for task in _tasks(dtype, device, _stream_bytes(cache))]
    fastest = [math.inf] * len(tasks)
    start = time.perf_counter()
    while math.inf in fastest or time.perf_counter() - start < SPEED_SECONDS:
        for index, task in enumerate(tasks):
            fastest[index] = min(fastest[index], seconds(task.run))
    timed = list(zip(tasks, fastest, strict=True))
    products, streams = {}, {}
    for dtype in TORCH_DTYPES:
        mine = [(task.amount, took) for task, took in timed if task.dtype == dtype and task.product]
        products[dtype] = sum(amount for amount, _ in mine) / sum(took for _, took in mine)
        streams[dtype] = max(task.amount / took for task, took in timed if task.dtype == dtype and not task.product)
    return products, streams


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


def launch_overhead(device: torch.device) -> float:
    """Seconds for each operator: what ten more layers add to the decoding step of a model so small that nothing else
    takes time, divided by the operators that `operators` counts in them."""
    block = Block(Mixer("attention", 4, 2, 16), FeedForward("swiglu", 64, "silu"))
    few, many = (Architecture(64, (block,) * layers, vocab_size=64) for layers in (2, 12))
    added = _difference(_step(few, device, "fp32", 16), _step(many, device, "fp32", 16))
    return added / 10 / operators(block, frame_of(few), 1)


def kv_bandwidth(device: torch.device, dtype: Dtype) -> float:
    """Bytes/s of KV cache: what a long context adds to the decoding steps of a small model, two query heads for each
    kv head, over a short one."""
    block = Block(Mixer("attention", 8, 4, 64), FeedForward("none"))
    arch = Architecture(512, (block,) * 4, vocab_size=64)
    added = _difference(_step(arch, device, dtype, SHORT), _step(arch, device, dtype, LONG))
    return kv_cache_bytes(arch, Workload(LONG - SHORT, prompt_tokens=1, dtype=dtype)) / added


def _step(arch: Architecture, device: torch.device, dtype: Dtype, tokens: int) -> Callable[[], object]:
    """A decoding step after a prompt of `tokens`; each call makes the context one token longer."""
    model = build(arch, device=device, dtype=TORCH_DTYPES[dtype]).eval()
    cache = model.new_cache()
    model(torch.zeros(1, tokens, dtype=torch.long, device=device), cache)
    return partial(model, torch.zeros(1, 1, dtype=torch.long, device=device), cache)


def _difference(short: Callable[[], object], long: Callable[[], object]) -> float:
    """Seconds that `long` takes beyond `short`, each at its fastest, taking turns; at least a hundredth of `long`, so
    that noise cannot make a figure endless."""
    start = time.perf_counter()
    pairs = [(seconds(short), seconds(long)) for _ in range(3)]
    while time.perf_counter() - start < STEP_SECONDS:
        pairs.append((seconds(short), seconds(long)))
    fast, slow = (min(took) for took in zip(*pairs, strict=True))
    return max(slow - fast, 0.01 * slow)
