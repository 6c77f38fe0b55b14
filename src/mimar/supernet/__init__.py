"""Models that hold many architectures at once: shared weights, and operations mixed by learnt strengths.

Torch is loaded on first use, so that importing this package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimar.supernet._mixed import (
        ROLES,
        Epoch,
        MixedDecoder,
        Operations,
        is_collapsed,
        search_operations,
        strongest,
    )
    from mimar.supernet._shared import SharedDecoder, shared_name, shared_shapes, train_shared

_HOME = {
    "ROLES": "_mixed",
    "Epoch": "_mixed",
    "MixedDecoder": "_mixed",
    "Operations": "_mixed",
    "SharedDecoder": "_shared",
    "is_collapsed": "_mixed",
    "search_operations": "_mixed",
    "shared_name": "_shared",
    "shared_shapes": "_shared",
    "strongest": "_mixed",
    "train_shared": "_shared",
}

__all__ = [
    "ROLES",
    "Epoch",
    "MixedDecoder",
    "Operations",
    "SharedDecoder",
    "is_collapsed",
    "search_operations",
    "shared_name",
    "shared_shapes",
    "strongest",
    "train_shared",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
