"""What the operating system says of this machine."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil


def cpu_model() -> str:
    """The CPU's name where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def gpu_names() -> list[str]:
    """NVIDIA devices that the Linux driver lists."""
    lines = [
        line
        for info in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        for line in info.read_text().splitlines()
    ]
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model")]


def device_here(name: str) -> str:
    """``auto`` as the GPU of this machine where torch finds one, else the CPU; any other name as it is."""
    import torch

    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def memory_bytes(device: str = "cpu") -> float:
    """Of a torch device; of the CPU physical memory, or the limit of the control group when it is lower."""
    if device != "cpu":
        import torch

        return float(torch.cuda.get_device_properties(device).total_memory)
    found = float(psutil.virtual_memory().total)
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return found if text == "max" else min(found, float(text))


def cache_bytes() -> float:
    """Size of the last-level CPU cache; 0 where the system does not say (it does on Linux)."""
    sizes = (path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    units = {"K": 2**10, "M": 2**20}
    return max((float(size[:-1]) * units[size[-1]] for size in sizes), default=0.0)
