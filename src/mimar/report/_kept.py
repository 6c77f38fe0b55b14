"""What the front keeps of each layer of a pretrained model, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from mimar.report._html import table

Sizes = tuple[int, int]
"""Kv heads and channels of a layer; both 0 where it is dropped."""


@dataclass(frozen=True, slots=True)
class KeptLayers:
    """whole: sizes of each layer of the parent. members: the same of each member of the front."""

    whole: tuple[Sizes, ...]
    members: tuple[tuple[Sizes, ...], ...]


def kept_section(kept: KeptLayers | None) -> str:
    """For each layer how often it is kept, with how many heads and channels; and how many layers members have."""
    if kept is None or not kept.members:
        return ""
    rows = [_row(number, kept) for number in range(len(kept.whole))]
    heads = ("layer", "kept", "kv heads, mean", "channels, least", "median", "most", "of", "share of channels")
    layers = table("Layers of the parent in the members of the front.", heads, rows)
    return (
        '<section aria-labelledby="kept-heading"><h2 id="kept-heading">What is kept of each layer</h2>'
        f"{layers}{_depths(kept.members)}</section>"
    )


def _row(number: int, kept: KeptLayers) -> tuple[str, ...]:
    sizes = [member[number] for member in kept.members]
    widths = [width for _, width in sizes]
    there, whole = mean(any(pair) for pair in sizes), kept.whole[number][1]
    share = mean(widths) / whole
    return (
        str(number),
        f"{there:.0%}",
        f"{mean(heads for heads, _ in sizes):.1f}",
        str(min(widths)),
        f"{median(widths):g}",
        str(max(widths)),
        str(whole),
        "█" * round(20 * share),
    )


def _depths(members: Sequence[Sequence[Sizes]]) -> str:
    counts = Counter(sum(any(pair) for pair in member) for member in members)
    rows = [(str(depth), str(count)) for depth, count in sorted(counts.items())]
    return table("Layers that members of the front have.", ("layers", "members"), rows)
