"""How much a judge counts beside other scores: as far as it agrees with itself and with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from mimar.errors import InputError
from mimar.proxies.judge._anchors import Anchors
from mimar.proxies.judge._strength import Floats, kendall

CHANCE = 0.01
"""Agreement that chance exceeds this often counts nothing."""

STEADY = 0.5
"""Self-consistency up to which a judge counts nothing: its answers agree on at most three of four pairs."""

SHUFFLES = 999
_SEED = 0
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class JudgeWeight:
    """The weight of a judge, 0 to 1, and why.

    consistency: mean τ between its answers. agreement: τ at equal size with the `yardstick` it agrees with most. None
    where it could not be had.
    """

    weight: float
    reason: str
    consistency: float | None = None
    agreement: float | None = None
    yardstick: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> JudgeWeight:
        """Inverse of `to_json`; InputError for something else."""
        try:
            return cls(**{**data, "weight": float(data["weight"])})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"expected the weight of a judge and its reason, got {str(data)[:80]}") from error


def judge_weight(anchors: Anchors, yardsticks: Mapping[str, Sequence[float]], sizes: Sequence[float]) -> JudgeWeight:
    """Self-consistency × agreement; 0 where the first is at most .5, or chance reaches either in one of 100 cases.

    yardsticks: orders to agree with, by name: for each anchor a measured result or another score, higher is better;
      the best agreement counts. sizes: the anchors' parameters. Agreement is Kendall's partial τ with the size held
      fixed (Kendall, Partial rank correlation, 1942), so that knowing that more is better is worth nothing; plain τ
      where a yardstick orders by size alone. What chance reaches is found by shuffling the strengths.
    """
    consistency, by_chance = anchors.consistency, anchors.chance
    if consistency is None or by_chance is None:
        reason = f"usable answers: {anchors.answers}; nothing shows whether it agrees with itself"
        return JudgeWeight(0.0, reason)
    least = max(STEADY, by_chance)
    if consistency <= least:
        reason = f"its answers agree with each other by τ {consistency:.2f}, and more than {least:.2f} is needed"
        return JudgeWeight(0.0, reason, consistency)
    size = np.asarray(sizes, dtype=np.float64)
    orders = {name: np.asarray(values, dtype=np.float64) for name, values in yardsticks.items()}
    own = np.array(anchors.strengths)
    agreements = {name: _at_equal_size(own, order, size) for name, order in orders.items()}
    yardstick = max(agreements, key=lambda name: agreements[name])
    agreement = agreements[yardstick]
    level = _chance_agreement(own, list(orders.values()), size)
    told = f"it agrees with {yardstick} at equal size by τ {agreement:.2f}, and chance reaches {level:.2f}"
    if agreement <= level:
        return JudgeWeight(0.0, told, consistency, agreement, yardstick)
    reason = f"its answers agree with each other by τ {consistency:.2f}; {told}"
    return JudgeWeight(min(1.0, consistency * agreement), reason, consistency, agreement, yardstick)


def _chance_agreement(own: Floats, orders: Sequence[Floats], size: Floats) -> float:
    rng = np.random.default_rng(_SEED)
    found = [max(_at_equal_size(rng.permutation(own), order, size) for order in orders) for _ in range(SHUFFLES)]
    return float(np.quantile(found, 1 - CHANCE))


def _at_equal_size(own: Floats, order: Floats, size: Floats) -> float:
    direct, known, shared = kendall(own, order), kendall(order, size), kendall(own, size)
    if direct is None:
        return 0.0
    if known is None or shared is None or 1 - known**2 < _NOTHING:
        return direct
    rest = (1 - known**2) * (1 - shared**2)
    return (direct - known * shared) / sqrt(rest) if rest > _NOTHING else 0.0
