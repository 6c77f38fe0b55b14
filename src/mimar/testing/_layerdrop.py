"""Which layers to drop or thin: a synthetic two-objective problem whose exact front is known.

Each of 20 layers is dropped (option 0) or kept at one of four widths (1 to 4). Dropping neighbours hurts more than the
sum, so that layers cannot be chosen one by one. Both objectives are to be minimised and lie between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimar import pareto
from mimar.objectives import Budget, Objective
from mimar.pareto import Reference
from mimar.space import Combination, ProductSpace
from mimar.strategy import Axis, Problem
from mimar.testing._toy import Toy

LAYERS: Final = 20
COSTS: Final = (0, 7, 10, 13, 16)

SPACE: Final = ProductSpace({f"layer_{index}": tuple(range(len(COSTS))) for index in range(LAYERS)})
"""All 5^20 ways."""


@dataclass(frozen=True)
class LayerDrop:
    """The numbers of one seed.

    damage: of each option in each layer, shape (20, 5). pair: extra damage of two thinned neighbours, shape (19,).
    """

    damage: NDArray[np.float64]
    pair: NDArray[np.float64]

    @staticmethod
    def seeded(seed: int) -> LayerDrop:
        """Importance, curvature and coupling of the layers drawn from gamma and uniform distributions."""
        rng = np.random.default_rng(seed)
        importance = 0.2 + rng.gamma(1, 1, LAYERS)
        importance[[0, -1]] += 4
        power = rng.uniform(1.2, 3, LAYERS)
        return LayerDrop(importance[:, None] * _lost() ** power[:, None], rng.gamma(0.7, 0.8, LAYERS - 1))

    def losses(self, arch: Sequence[Any]) -> tuple[float, float]:
        """Relative cost and relative damage."""
        return relative_cost(arch), self._damage(np.asarray(arch)) / self._damage(np.zeros(LAYERS, dtype=np.int64))

    def front(self) -> pareto.Points:
        """The exact front, shape (n, 2), by dynamic programming over (layer, last option, cost)."""
        lost, costs = _lost(), np.asarray(COSTS)
        best = np.full((len(COSTS), LAYERS * max(COSTS) + 1), np.inf)
        best[np.arange(len(COSTS)), costs] = self.damage[0]
        for layer in range(1, LAYERS):
            step = np.full_like(best, np.inf)
            for option, cost in enumerate(COSTS):
                pair = self.pair[layer - 1] * lost * lost[option]
                reached = (best + pair[:, None]).min(axis=0) + self.damage[layer, option]
                step[option, cost:] = reached[: step.shape[1] - cost]
            best = step
        worst = self._damage(np.zeros(LAYERS, dtype=np.int64))
        points = np.stack([np.arange(best.shape[1]) / (LAYERS * max(COSTS)), best.min(axis=0) / worst], axis=1)
        points = points[np.isfinite(points[:, 1])]
        return points[pareto.front(points)]

    def _damage(self, options: NDArray[np.int64]) -> float:
        lost = _lost()[options]
        return float(self.damage[np.arange(LAYERS), options].sum() + (self.pair * lost[:-1] * lost[1:]).sum())


def relative_cost(arch: Sequence[Any]) -> float:
    """Cost of the layers that stay, as a share of the cost of all at full width."""
    return sum(COSTS[option] for option in arch) / (LAYERS * max(COSTS))


def layerdrop_problem(seed: int = 0, *, max_cost: float = 1.0) -> Toy[Combination]:
    """Low ``cost``, known beforehand and at most `max_cost`, and low ``damage`` for one seed of `LayerDrop`."""
    numbers = LayerDrop.seeded(seed)
    budget = Budget("cost", "max", max_cost)

    def known(arch: Combination) -> dict[str, float]:
        return {"cost": relative_cost(arch)}

    def check(arch: Combination) -> tuple[str, ...]:
        broken = SPACE.validate(arch) or (budget.broken(known(arch)),)
        return tuple(reason for reason in broken if reason is not None)

    problem = Problem(
        space=SPACE,
        objectives=(Objective("cost", "min"), Objective("damage", "min")),
        check=check,
        excess=lambda arch: budget.excess(known(arch)),
        known=known,
        reference=Reference(point=(1.0, 1.0), ideal=(0.0, 0.0)),
        axes=(Axis("cost", relative_cost, 6, tuple(cell / 6 for cell in range(1, 6))),),
    )
    return Toy(problem, lambda arch: dict(zip(("cost", "damage"), numbers.losses(arch), strict=True)))


def _lost() -> NDArray[np.float64]:
    """The share of a layer that each option gives up."""
    return 1.0 - np.asarray(COSTS) / max(COSTS)
