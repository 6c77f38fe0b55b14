"""Energy counters of this machine: RAPL through Linux powercap, NVML for an NVIDIA device; nothing is ever guessed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from mimar.hardware._profile import Power

RAPL = Path("/sys/class/powercap")
IDLE_SECONDS = 0.5
BUSY_SECONDS = 1.0


def measure_power(work: Callable[[], object], cuda: bool) -> Power | None:
    """Watts at rest and while `work` is repeated; None where there is no energy counter that may be read."""
    joules = _nvml_joules() if cuda else _rapl_joules()
    if joules is None:
        return None
    idle = _watts(joules, lambda: time.sleep(0.05), IDLE_SECONDS)
    return Power(idle_w=idle, peak_w=max(idle, _watts(joules, work, BUSY_SECONDS)))


def _watts(joules: Callable[[], float], work: Callable[[], object], seconds: float) -> float:
    before, start = joules(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        work()
    return (joules() - before) / (time.perf_counter() - start)


def _rapl_joules(root: Path = RAPL) -> Callable[[], float] | None:
    """Joules of all CPU packages, ever growing."""
    zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if _is_package(zone)]
    counters = [zone / "energy_uj" for zone in zones]
    if not counters or not all(os.access(counter, os.R_OK) for counter in counters):
        return None
    ranges = [int((counter.parent / "max_energy_range_uj").read_text()) for counter in counters]
    last = [int(counter.read_text()) for counter in counters]
    total = 0

    def joules() -> float:
        nonlocal total
        for index, counter in enumerate(counters):
            now = int(counter.read_text())
            total += (now - last[index]) % (ranges[index] + 1)  # The counter wraps around.
            last[index] = now
        return total * 1e-6

    return joules


def _is_package(zone: Path) -> bool:
    """Other zones are parts of one, or the whole platform, which has all of them in it."""
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False


def _nvml_joules() -> Callable[[], float] | None:
    """Joules of the NVIDIA device that torch uses; None without nvidia-ml-py or where the device does not count."""
    if find_spec("pynvml") is None:
        return None
    import pynvml
    import torch

    try:
        pynvml.nvmlInit()
        # By identity: NVML counts all devices, torch those that CUDA_VISIBLE_DEVICES shows it.
        device = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties().uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(device)
    except pynvml.NVMLError:  # Its meaning is "no counter here"; devices before Volta have none.
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(device) * 1e-3
