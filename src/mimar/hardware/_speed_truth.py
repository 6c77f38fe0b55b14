"""How near the calibrated roofline comes to what real models take on this machine; imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from mimar.hardware._agreement import Agreement, agreement
from mimar.hardware._amounts import Pass, Prices
from mimar.hardware._calibrate import Measurement, Timed, calibrate, predicted_cost
from mimar.hardware._measure import calibration_models, last_cache_bytes, peak_prices
from mimar.hardware._timing import time_passes
from mimar.hardware._workload import Workload
from mimar.shapes import parameters
from mimar.space import Architecture, Defaults, TransformerSpace

VOCABULARY = 8192
MEASURE_SECONDS = 0.5
"""Each visit to an architecture; it is visited `VISITS` times, with all others between."""
VISITS = 2
STRIDE = 7
"""Models that are timed one after the other are so far apart in the list."""


def unseen_architectures(n: int, seed: int, most_parameters: float, context: int) -> tuple[Architecture, ...]:
    """`n` random architectures of the whole per-layer search space with at most `most_parameters` parameters."""
    space = TransformerSpace("per-layer", Defaults(VOCABULARY, context))
    rng, found = np.random.default_rng(seed), []
    while len(found) < n:
        arch = space.sample(rng)
        if parameters(arch) <= most_parameters:
            found.append(arch)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class SpeedTruth:
    """Measured passes of architectures that the calibration has not seen, and the seconds it predicts for each."""

    prices: Prices
    measured: tuple[Measurement, ...]
    predicted: tuple[float, ...]

    def agreement(self, kind: Pass) -> Agreement:
        """Over the passes of one kind."""
        pairs = [(p, m.cost) for p, m in zip(self.predicted, self.measured, strict=True) if m.kind == kind]
        return agreement(*zip(*pairs, strict=True))


def speed_truth(
    archs: Sequence[Architecture], workload: Workload, progress: Callable[[int, int], object] = lambda done, of: None
) -> SpeedTruth:
    """Calibrate on the models that `measure_this` uses, and predict prefill and decoding of `archs`.

    Both are timed in turn, every model `VISITS` times with all others between, so that a machine that others use is
    equally busy for both. progress: told after each visit how many there were and will be.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cache = last_cache_bytes(device)
    least = peak_prices(device, cache, (workload.dtype,))[workload.dtype]
    known = calibration_models(device, workload.dtype)
    timed = _timed([*known, *((arch, workload) for arch in archs)], device, progress)
    prices = calibrate(timed[: 2 * len(known)], cache_bytes=cache, least=least)
    unseen = timed[2 * len(known) :]
    return SpeedTruth(prices, unseen, tuple(predicted_cost(one, prices, cache) for one in unseen))


def _timed(
    items: Sequence[Timed], device: torch.device, progress: Callable[[int, int], object]
) -> tuple[Measurement, ...]:
    """Both passes of each model, one model after the other, in the order of the items."""
    best: dict[tuple[int, Pass], Measurement] = {}
    for visit in range(VISITS):
        # Even steps through the list: models of the calibration fall between the others.
        order = sorted(range(len(items)), key=lambda index: (index % STRIDE, index))
        for done, index in enumerate(order, start=visit * len(items) + 1):
            for found in time_passes(items[index : index + 1], device, MEASURE_SECONDS):
                key = index, found.kind
                best[key] = min(found, best.get(key, found), key=lambda one: one.cost)
            progress(done, VISITS * len(items))
    return tuple(best[index, kind] for index in range(len(items)) for kind in get_args(Pass) if (index, kind) in best)
