"""The rows of `mimar devices`."""

from __future__ import annotations

from typing import Any

from mimar.hardware import THIS, DeviceProfile, load_profile, measured_profile, profile_names, restrictions


def device_rows() -> list[dict[str, Any]]:
    """One row a device, plain data. ``this`` is shown as it was measured before; if it never was, its other fields are
    None and its description says what to do.

    memory_bytes, memory_bandwidth (bytes/s) and peak_flops (FLOP/s by dtype) are the profile's; power_w is {idle, peak}
    or None, restrictions are words, sources is where each figure comes from.
    """
    return [_row(name) for name in profile_names()]


def _row(name: str) -> dict[str, Any]:
    profile = load_profile(name) if name != THIS else measured_profile()
    if profile is not None:
        return _describe(profile)
    return {
        "name": name,
        "description": "this machine, not measured yet: the first run with --device this does it",
        "engine": None,
        "memory_bytes": None,
        "memory_bandwidth": None,
        "peak_flops": None,
        "power_w": None,
        "restrictions": None,
        "sources": None,
    }


def _describe(profile: DeviceProfile) -> dict[str, Any]:
    power = profile.power
    return {
        "name": profile.name,
        "description": profile.description,
        "engine": profile.engine,
        "memory_bytes": profile.memory_bytes,
        "memory_bandwidth": profile.memory_bandwidth,
        "peak_flops": {dtype: speed.peak_flops for dtype, speed in profile.throughput.items()},
        "power_w": None if power is None else {"idle": power.idle_w, "peak": power.peak_w},
        "restrictions": list(restrictions(profile)),
        "sources": dict(profile.sources),
    }
