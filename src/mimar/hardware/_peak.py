"""Peak memory of real models on the CPU, each in a process of its own, beside what `memory_breakdown` predicts.

Linux only: the high-water mark of resident memory (VmHWM) is what the system itself counted, begins anew with each
program, and sees every allocation of torch. `python -m mimar.hardware._peak` is the measured process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mimar.errors import InputError
from mimar.hardware._memory import memory_breakdown
from mimar.hardware._workload import Dtype, Workload
from mimar.space import Architecture, Block, FeedForward, Mixer, architecture_from_json, architecture_to_json

STATUS = Path("/proc/self/status")

TINY = Architecture(
    64,
    (
        Block(Mixer("attention", 1, 1, 64), FeedForward("ffn", 64, "relu")),
        Block(Mixer("convolution", kernel_size=4), FeedForward("ffn", 64, "relu")),
    ),
    64,
    16,
)
"""What is run for the baseline: interpreter, torch, the code and buffers of its kernels, and next to no model."""


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """One architecture: bytes measured above the baseline, and predicted."""

    arch: Architecture
    measured_bytes: float
    predicted_bytes: float


def memory_truth(archs: Sequence[Architecture], workload: Workload) -> tuple[MemoryRow, ...]:
    """Peak of building each model and reading prompts of the whole context into its cache.

    One thread, as each further one keeps buffers of its own. `InputError` where the system does not tell the peak, or
    when the process fails.
    """
    if not STATUS.exists():
        raise InputError(f"peak memory is read from {STATUS}, which this system does not have; use Linux")
    baseline = _baseline_bytes(workload.dtype)
    return tuple(
        MemoryRow(arch, _peak_bytes(arch, workload) - baseline, memory_breakdown(arch, workload).total)
        for arch in archs
    )


@lru_cache
def _baseline_bytes(dtype: Dtype) -> float:
    return _peak_bytes(TINY, Workload(16, 1, 16, dtype))


def _peak_bytes(arch: Architecture, workload: Workload) -> float:
    task = {
        "architecture": architecture_to_json(arch),
        "context": workload.context,
        "batch": workload.batch,
        "dtype": workload.dtype,
    }
    command = [sys.executable, "-m", "mimar.hardware._peak"]
    # The allocator gives back what is freed at once, so that the mark is of what was alive.
    given_back = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    found = subprocess.run(
        command, input=json.dumps(task), env=os.environ | given_back, capture_output=True, text=True, check=False
    )
    if found.returncode:
        said = found.stderr.strip().splitlines() or [f"exit code {found.returncode}"]  # below 0: the signal
        raise InputError(f"the process that measures peak memory failed: {said[-1]}")
    return float(found.stdout)


def _run(task: Mapping[str, Any]) -> None:
    import torch

    from mimar.hardware._timing import TORCH_DTYPES, read_prompt
    from mimar.models import build

    torch.set_num_threads(1)
    model = build(architecture_from_json(task["architecture"]), dtype=TORCH_DTYPES[task["dtype"]]).eval()
    with torch.inference_mode():
        read_prompt(model, torch.zeros(task["batch"], task["context"], dtype=torch.long))


def _high_water_bytes() -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) * 1024  # "VmHWM:   12345 kB"


if __name__ == "__main__":
    _run(json.load(sys.stdin))
    sys.stdout.write(str(_high_water_bytes()))
