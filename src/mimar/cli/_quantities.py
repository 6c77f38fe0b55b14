"""Numbers as people write them: 30M parameters, 80MB, 1.5GiB, 250ms."""

from __future__ import annotations

import math
import re

from mimar.errors import InputError

_COUNT = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
_BYTES = {"": 1.0, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SECONDS = {"": 1.0, "S": 1.0, "MS": 1e-3, "US": 1e-6}


def count(text: str, option: str) -> float:
    """``30M`` → 30,000,000; suffixes K, M, B (or G), T."""
    return _parse(text, option, _COUNT, "a number such as 30M")


def tokens(text: str, option: str) -> int:
    """``200k`` → 200,000; 0 for none."""
    return 0 if text.strip() == "0" else int(count(text, option))


def size(text: str, option: str) -> float:
    """``80MB`` → bytes; MB is 10⁶, MiB is 2²⁰."""
    return _parse(text, option, _BYTES, "a size such as 80MB or 2GiB")


def seconds(text: str, option: str) -> float:
    """``250ms`` → seconds."""
    return _parse(text, option, _SECONDS, "a time such as 0.5 or 250ms")


def _parse(text: str, option: str, units: dict[str, float], expected: str) -> float:
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    value = float(match[1]) * units.get(match[2].upper(), math.nan) if match else math.nan
    if not 0 < value < math.inf:
        raise InputError(f"{option} must be {expected}, got {text!r}")
    return value
