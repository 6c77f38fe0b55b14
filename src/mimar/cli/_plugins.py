"""Scores and strategies of other packages, found by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from mimar.errors import InputError

SCORES: Final = "mimar.scores"
"""Group of entry points that are a `Proxy` each."""

STRATEGIES: Final = "mimar.strategies"
"""Group of entry points that make a `Strategy` from a problem and a seed."""


def plugins(group: str) -> Mapping[str, EntryPoint]:
    """Name → what installed packages offer in `group`; nothing of it is loaded."""
    return {point.name: point for point in entry_points(group=group)}


def plugin_rows(group: str) -> list[dict[str, str]]:
    """Name and package of each, as plain data; nothing is loaded."""
    return [{"name": name, "package": _package(point)} for name, point in plugins(group).items()]


def loaded(point: EntryPoint) -> Any:
    """The object behind an entry point; InputError says whose it is where that fails."""
    try:
        return point.load()
    except Exception as error:  # whatever the other package does when it is imported
        raise InputError(
            f"{point.name} ({point.value} of {_package(point)}) cannot be loaded: {type(error).__name__}: {error}; "
            "mend or remove that package"
        ) from error


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
