"""Which layers to drop or thin: a synthetic two-objective problem whose exact front is known.

Each of 20 layers is dropped (option 0) or kept at one of four widths (1 to 4). Dropping neighbours hurts more than the
sum, so that layers cannot be chosen one by one. Both objectives are to be minimised and lie between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from mimar import pareto
from mimar.errors import ArchitectureError
from mimar.objectives import Objective
from mimar.pareto import Reference
from mimar.space import Choices
from mimar.strategy import Problem
from mimar.testing._toy import Toy

LAYERS: Final = 20
COSTS: Final = (0, 7, 10, 13, 16)
OPTIONS: Final = tuple(range(len(COSTS)))

Layers: TypeAlias = tuple[int, ...]
"""The option of each layer."""


@dataclass(frozen=True)
class LayerDropSpace:
    """All 5^20 ways; the JSON form of an architecture is its choices."""

    @property
    def variables(self) -> Mapping[str, tuple[int, ...]]:
        """``layer_0`` to ``layer_19``, each 0 to 4."""
        return {f"layer_{index}": OPTIONS for index in range(LAYERS)}

    def to_choices(self, arch: Layers) -> dict[str, Any]:
        """The option of each layer by its name."""
        return dict(zip(self.variables, arch, strict=True))

    def from_choices(self, choices: Choices) -> Layers:
        """Inverse of `to_choices`."""
        return tuple(cast("int", choices[name]) for name in self.variables)

    def sample(self, rng: np.random.Generator) -> Layers:
        """Every option of every layer equally likely."""
        return tuple(int(option) for option in rng.integers(len(OPTIONS), size=LAYERS))

    def mutate(self, arch: Layers, rng: np.random.Generator) -> Layers:
        """One layer gets another option."""
        index, step = int(rng.integers(LAYERS)), int(rng.integers(1, len(OPTIONS)))
        return (*arch[:index], (arch[index] + step) % len(OPTIONS), *arch[index + 1 :])

    def cross(self, a: Layers, b: Layers, rng: np.random.Generator) -> Layers:
        """Uniform crossover."""
        return tuple(int(option) for option in np.where(rng.random(LAYERS) < 0.5, a, b))

    def validate(self, arch: Layers) -> tuple[str, ...]:
        """Reasons about the number of layers and their options."""
        wrong = [f"layer_{i} must be 0 to 4, got {option}" for i, option in enumerate(arch) if option not in OPTIONS]
        return (*([] if len(arch) == LAYERS else [f"expected {LAYERS} layers, got {len(arch)}"]), *wrong)

    def to_json(self, arch: Layers) -> dict[str, Any]:
        """The same as `to_choices`."""
        return self.to_choices(arch)

    def from_json(self, data: Any) -> Layers:
        """Inverse of `to_json`."""
        fields = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}
        reasons = [f"{name} must be 0 to 4" for name in self.variables if not _is_option(fields.get(name))]
        reasons += [f"unknown field {str(name)[:40]!r}" for name in fields if name not in self.variables]
        if reasons:
            raise ArchitectureError("not a choice of layers", tuple(reasons))
        return self.from_choices(fields)

    def schema(self) -> dict[str, Any]:
        """One field for each layer, all of them required."""
        properties = {name: {"enum": list(options)} for name, options in self.variables.items()}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


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

    def losses(self, arch: Layers) -> tuple[float, float]:
        """Relative cost and relative damage."""
        options = np.asarray(arch)
        cost = sum(COSTS[option] for option in arch) / (LAYERS * max(COSTS))
        return cost, self._damage(options) / self._damage(np.zeros(LAYERS, dtype=np.int64))

    def front(self) -> pareto.Points:
        """The exact front, shape (n, 2), by dynamic programming over (layer, last option, cost)."""
        lost, costs = _lost(), np.asarray(COSTS)
        best = np.full((len(OPTIONS), LAYERS * max(COSTS) + 1), np.inf)
        best[OPTIONS, costs] = self.damage[0]
        for layer in range(1, LAYERS):
            step = np.full_like(best, np.inf)
            for option, cost in zip(OPTIONS, COSTS, strict=True):
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


def layerdrop_problem(seed: int = 0) -> Toy[Layers]:
    """Low ``cost`` and low ``damage`` for one seed of `LayerDrop`; no budgets, nothing known beforehand."""
    space, numbers = LayerDropSpace(), LayerDrop.seeded(seed)
    problem = Problem(
        space=space,
        objectives=(Objective("cost", "min"), Objective("damage", "min")),
        check=space.validate,
        excess=lambda arch: 0.0,
        known=lambda arch: {},
        reference=Reference(point=(1.0, 1.0), ideal=(0.0, 0.0)),
    )
    return Toy(problem, lambda arch: dict(zip(("cost", "damage"), numbers.losses(arch), strict=True)))


def _lost() -> NDArray[np.float64]:
    """The share of a layer that each option gives up."""
    return 1.0 - np.asarray(COSTS) / max(COSTS)


def _is_option(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in OPTIONS
