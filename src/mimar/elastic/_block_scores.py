"""Block scores as a value: what changes of single parts foretell of many together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimar.elastic._subnetwork import SubNetwork

_PARTS: Final = ("attention", "mlp")

Curve = Mapping[int, float]
"""Size of a part → KL(parent ‖ parent with that part cut), nats a token; 0 at its whole size."""


@dataclass(frozen=True)
class BlockScores:
    """attention, mlp: a curve for each layer over the sizes that its space allows. spent, naive: layers that were run
    over the whole text, and that running the whole model for each option would have taken.
    """

    attention: tuple[Curve, ...]
    mlp: tuple[Curve, ...]
    spent: float
    naive: float

    def foretold(self, sub: SubNetwork) -> float:
        """KL of `sub` from its parent, nats a token: the sum over its parts (Bercovich et al., "Puzzle", 2024)."""
        return sum(self.of_layer(number, *sizes) for number, sizes in enumerate(sub.sizes))

    def of_layer(self, number: int, kv_heads: int, intermediate: int) -> float:
        """What layer `number` adds at these sizes."""
        return self.attention[number][kv_heads] + self.mlp[number][intermediate]

    def evened(self, share: float) -> BlockScores:
        """Drawn to the mean over layers by `share`: with 1 all layers that can be cut have the same curve.

        Scores are measured on little text, and of one cut at a time; what is common to all layers is surer.
        """
        attention, mlp = (_drawn_together(getattr(self, part), share) for part in _PARTS)
        return replace(self, attention=attention, mlp=mlp)

    def parts(self, sub: SubNetwork) -> NDArray[np.float64]:
        """What each part adds in `sub`, (2, layers): of attention, of the feed-forward part."""
        found = ((self.attention[n][kv], self.mlp[n][inner]) for n, (kv, inner) in enumerate(sub.sizes))
        return np.asarray(list(found)).T

    def times(self, factors: NDArray[np.float64]) -> BlockScores:
        """The curve of each part times its factor, (2, layers) as of `parts`."""
        attention, mlp = (
            tuple({size: factor * score for size, score in curve.items()} for curve, factor in zip(*both, strict=True))
            for both in ((self.attention, factors[0].tolist()), (self.mlp, factors[1].tolist()))
        )
        return replace(self, attention=attention, mlp=mlp)

    def to_json(self) -> dict[str, Any]:
        """Plain data: curves as pairs of size and score."""
        curves = {part: [list(map(list, curve.items())) for curve in getattr(self, part)] for part in _PARTS}
        return {**curves, "spent": self.spent, "naive": self.naive}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> BlockScores:
        """Inverse of `to_json`."""
        attention, mlp = (tuple(dict(map(tuple, curve)) for curve in data[part]) for part in _PARTS)
        return BlockScores(attention, mlp, data["spent"], data["naive"])


def _drawn_together(curves: Sequence[Curve], share: float) -> tuple[Curve, ...]:
    cut = [curve for curve in curves if len(curve) > 1]
    sizes = {size for curve in cut for size in curve}
    means = {size: float(np.mean([curve[size] for curve in cut if size in curve])) for size in sizes}
    return tuple(
        {size: (1 - share) * score + share * means[size] for size, score in curve.items()} if len(curve) > 1 else curve
        for curve in curves
    )
