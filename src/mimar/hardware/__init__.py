"""Devices: profiles, memory with KV cache, roofline speed, energy, and this machine, measured."""

from mimar.hardware._limits import device_advice, restrictions, unsupported_reasons
from mimar.hardware._memory import MemoryBreakdown, kv_cache_bytes, memory_breakdown
from mimar.hardware._metrics import LayerLatency, hardware_metrics, latency_breakdown
from mimar.hardware._profile import (
    THIS,
    DeviceProfile,
    Power,
    Support,
    Throughput,
    profile_from_json,
    profile_to_json,
)
from mimar.hardware._this import load_profile, measure_this, measured_profile, profile_names
from mimar.hardware._workload import DTYPES, WEIGHT_BYTES, Dtype, Workload

__all__ = [
    "DTYPES",
    "THIS",
    "WEIGHT_BYTES",
    "DeviceProfile",
    "Dtype",
    "LayerLatency",
    "MemoryBreakdown",
    "Power",
    "Support",
    "Throughput",
    "Workload",
    "device_advice",
    "hardware_metrics",
    "kv_cache_bytes",
    "latency_breakdown",
    "load_profile",
    "measure_this",
    "measured_profile",
    "memory_breakdown",
    "profile_from_json",
    "profile_names",
    "profile_to_json",
    "restrictions",
    "unsupported_reasons",
]
