"""Devices: profiles, memory with KV cache, roofline speed, energy, and this machine, measured.

What runs models to measure them imports torch and is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mimar.hardware._agreement import Agreement, agreement
from mimar.hardware._amounts import Amounts, Pass, Prices
from mimar.hardware._calibrate import Measurement, calibrate, predicted_cost
from mimar.hardware._limits import device_advice, restrictions, unsupported_reasons
from mimar.hardware._machine import device_here, memory_bytes
from mimar.hardware._memory import MemoryBreakdown, kv_cache_bytes, memory_breakdown
from mimar.hardware._metrics import METRIC_DIRECTIONS, LayerLatency, hardware_metrics, latency_breakdown
from mimar.hardware._peak import MemoryRow, memory_truth
from mimar.hardware._profile import (
    THIS,
    DeviceProfile,
    Power,
    Support,
    Throughput,
    profile_from_json,
    profile_to_json,
)
from mimar.hardware._published import ColumnRow, published_fits, read_published
from mimar.hardware._this import load_profile, measure_this, measured_profile, profile_names
from mimar.hardware._workload import DTYPES, WEIGHT_BYTES, Dtype, Workload

if TYPE_CHECKING:
    from mimar.hardware._measure import measured_power
    from mimar.hardware._speed_truth import SpeedTruth, speed_truth, unseen_architectures
    from mimar.hardware._timing import measured_speed

__all__ = [
    "DTYPES",
    "METRIC_DIRECTIONS",
    "THIS",
    "WEIGHT_BYTES",
    "Agreement",
    "Amounts",
    "ColumnRow",
    "DeviceProfile",
    "Dtype",
    "LayerLatency",
    "Measurement",
    "MemoryBreakdown",
    "MemoryRow",
    "Pass",
    "Power",
    "Prices",
    "SpeedTruth",
    "Support",
    "Throughput",
    "Workload",
    "agreement",
    "calibrate",
    "device_advice",
    "device_here",
    "hardware_metrics",
    "kv_cache_bytes",
    "latency_breakdown",
    "load_profile",
    "measure_this",
    "measured_power",
    "measured_profile",
    "measured_speed",
    "memory_breakdown",
    "memory_bytes",
    "memory_truth",
    "predicted_cost",
    "profile_from_json",
    "profile_names",
    "profile_to_json",
    "published_fits",
    "read_published",
    "restrictions",
    "speed_truth",
    "unseen_architectures",
    "unsupported_reasons",
]

_HOME = {
    "SpeedTruth": "_speed_truth",
    "measured_power": "_measure",
    "measured_speed": "_timing",
    "speed_truth": "_speed_truth",
    "unseen_architectures": "_speed_truth",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
