"""Profiles by name, and the measurement of this machine, kept in the user's cache folder."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from mimar.errors import InputError
from mimar.hardware._machine import cpu_model, gpu_names
from mimar.hardware._profile import (
    THIS,
    DeviceProfile,
    profile_from_json,
    profile_to_json,
    read_profile,
    shipped_profile_names,
)

_LOG = logging.getLogger(__name__)

METHOD = 3
"""Counts up when the way of measuring changes, so that older measurements are taken anew."""


def profile_names() -> tuple[str, ...]:
    """Names that `load_profile` knows: ``this`` and the shipped profiles."""
    return (THIS, *shipped_profile_names())


def load_profile(name_or_path: str) -> DeviceProfile:
    """The profile of that name, ``this`` being measured if need be, or of that TOML file.

    `UnknownNameError` lists the names; `InputError` says what is wrong with a file.
    """
    return measure_this() if name_or_path == THIS else read_profile(name_or_path)


def measure_this(refresh: bool = False) -> DeviceProfile:
    """The profile of this machine, measured in about a minute the first time and then kept.

    It is measured anew with `refresh`, and when CPU, GPU, cores, threads or the version of torch have changed. The
    GPU is measured where torch finds one.
    """
    kept = None if refresh else measured_profile()
    if kept is not None:
        return kept
    from mimar.hardware._measure import measure_profile

    profile = measure_profile(date.today().isoformat())
    _keep({"machine": fingerprint(), "profile": profile_to_json(profile)})
    return profile


def measured_profile() -> DeviceProfile | None:
    """The kept measurement of this machine; None when there is none or the machine has changed."""
    try:
        kept = json.loads(cache_file().read_text("utf-8"))
        if not isinstance(kept, dict) or kept.get("machine") != fingerprint():
            return None
        return profile_from_json(kept.get("profile"))
    except (OSError, ValueError, RecursionError, InputError):
        return None  # A cache may be lost, damaged or of another version; measuring anew costs seconds.


def cache_file() -> Path:
    """Where the measurement is kept; the environment variable XDG_CACHE_HOME moves it on Linux."""
    return user_cache_path("mimar") / "this.json"


def fingerprint() -> dict[str, Any]:
    """What the measurement depends on, found without importing torch."""
    return {
        "method": METHOD,
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS"),
        "gpus": gpu_names(),
        "visible_gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "torch": version("torch"),
    }


def _keep(data: dict[str, Any]) -> None:
    """Write the whole file or nothing, as another process may read it; where it cannot be kept, that is all."""
    path = cache_file()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(data, indent=1), "utf-8")
        draft.replace(path)
    except OSError as error:
        _LOG.warning("cannot keep the measurement of this machine in %s: %s; set XDG_CACHE_HOME", path, error)
        with suppress(OSError):
            draft.unlink()
