"""The roofline's few constants, fitted to measurements: of this machine as of published tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.hardware._amounts import Amounts, Pass, Prices, pass_amounts, price, rates_with
from mimar.hardware._workload import Workload
from mimar.space import Architecture

FREE = Prices(0.0, 0.0, 0.0, 0.0, 0.0)
"""No amount costs anything: the least there is to say of an unknown device."""

BALANCE = 10.0
"""FLOPs in the time of one byte, with which a fit begins; a guess that the first round replaces."""

ROUNDS, REWEIGHTINGS = 6, 10

TYPICAL_ERROR = 0.02
"""Relative errors below this count as equals, so that a few exact rows do not decide the fit."""


Timed = tuple[Architecture, Workload]
"""A model and how it is used: what is timed."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one pass of `arch` at `workload` cost, in seconds (or joules, or any unit that all measurements share)."""

    arch: Architecture
    workload: Workload
    kind: Pass
    cost: float


def calibrate(
    measurements: Sequence[Measurement],
    *,
    cache_bytes: float = 0.0,
    least: Prices = FREE,
    launch: float | None = None,
) -> Prices:
    """Prices that explain the measurements, each at least its `least`; of amounts that none of them has, the least.

    The sum of absolute relative errors is minimised, so that an outlier counts no more than its size, by iteratively
    reweighted least squares with bounds (Schlossmacher, "An iterative technique for absolute deviations curve fitting",
    1973). Which side of the roof an operator is under depends on the prices, so fitting and counting take turns.

    least: prices at the peaks that the device is known to reach. launch: the price of a launch where it is known.
    Raises InputError without measurements or where one does not cost more than nothing.
    """
    costs = np.array([measured.cost for measured in measurements])
    if not len(costs) or not (np.isfinite(costs).all() and (costs > 0).all()):
        raise InputError(f"calibration needs at least one measurement, each above 0, got {costs.tolist()[:5]}")
    prices = Prices(1.0, 1.0, BALANCE, BALANCE, 0.0) if least == FREE else least
    rounds: list[tuple[float, Prices]] = []
    for _ in range(ROUNDS):
        amounts = np.array([_amounts(measured, prices, cache_bytes) for measured in measurements])
        prices = _fitted(amounts / costs[:, None], least, launch)
        found = np.array([predicted_cost(measured, prices, cache_bytes) for measured in measurements])
        rounds.append((float(abs(found / costs - 1).sum()), prices))
    return min(rounds)[1]  # Turns need not come nearer and nearer.


def predicted_cost(measured: Measurement, prices: Prices, cache_bytes: float = 0.0) -> float:
    """What the calibrated roofline says of the same pass; the cost in `measured` is not looked at."""
    return price(_amounts(measured, prices, cache_bytes), prices)


def _amounts(measured: Measurement, prices: Prices, cache_bytes: float) -> Amounts:
    return pass_amounts(measured.arch, rates_with(prices, cache_bytes, measured.workload), measured.kind)


def _fitted(shares: NDArray[np.float64], least: Prices, launch: float | None) -> Prices:
    """Prices for amounts, each row divided by its cost."""
    if launch is None:
        return Prices(*_least_deviations(shares, np.ones(len(shares)), np.array(least)))
    rest = 1 - launch * shares[:, -1]
    return Prices(*[*_least_deviations(shares[:, :-1], rest, np.array(least[:-1])), launch])


def _least_deviations(
    shares: NDArray[np.float64], target: NDArray[np.float64], low: NDArray[np.float64]
) -> list[float]:
    """Factors of the columns of shares (rows, columns), each at least its `low`, with the least
    Σ |shares · factors − target|; of columns of zeros the least."""
    from scipy.optimize import lsq_linear

    found = low.copy()
    used = shares.max(axis=0) > 0
    # Columns differ by fifteen orders of magnitude; scaled, each is at most 1.
    scale = shares[:, used].max(axis=0)
    matrix, bounds = shares[:, used] / scale, (low[used] * scale, np.inf)
    weights = np.ones(len(matrix))
    for _ in range(REWEIGHTINGS):
        found[used] = lsq_linear(matrix * weights[:, None], target * weights, bounds, method="bvls").x / scale
        weights = 1 / np.sqrt(np.maximum(abs(shares @ found - target), TYPICAL_ERROR))
    return found.tolist()
