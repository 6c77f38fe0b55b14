"""A table of `make_truth`, read back: what its architectures are, how they learnt, and how far seeds differ."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimar.bench._files import read_records
from mimar.bench._make_truth import FIDELITIES
from mimar.bench._measures import size_bins
from mimar.errors import InputError
from mimar.space import Architecture, architecture_from_json

Floats = NDArray[np.float64]

CURVE = {f"loss_at_{share:.0%}": f"{share:.0%}" for share in FIDELITIES}
"""Column of an early loss → share of the training."""

BIN_SIZE = 20
"""Architectures in a bin of equal size."""


@dataclass(frozen=True, slots=True)
class TinyRow:
    """One architecture: its losses in the end, seed by seed; of the others the means over seeds.

    curve: share of the training → loss. cost: of a whole training, in the unit of the table. size: non-embedding
    parameters.
    """

    id: str
    architecture: Architecture
    losses: tuple[float, ...]
    curve: Mapping[str, float]
    cost: float
    size: float

    @property
    def loss(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.losses))


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """Variances of the loss, in nats².

    seeds: between trainings of one architecture, pooled over the `repeated` ones with several; seeds_median: of the
    middle one of these, since a few that are hard to train can make most of it. equal_size: between architectures of
    one bin of equal size, one seed each, noise of seeds included. ratio: of the latter to `seeds`; None without
    repeats.
    """

    repeated: int
    seeds: float | None
    seeds_median: float | None
    equal_size: float
    ratio: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class TinyTable:
    """Rows that were trained to the end, in order of id.

    failed: how many were not. cost_unit: the column that costs are taken from, ``training_step_ms`` where it is filled
    in, else ``seconds``.
    """

    rows: tuple[TinyRow, ...]
    failed: int
    cost_unit: str = "seconds"

    @staticmethod
    def read(path: Path) -> TinyTable:
        """InputError for a table of another kind, or with fewer than two finished rows."""
        records = read_records(path)
        needed = {"id", "seed", "validation_loss", "seconds", "nonembedding_params", "architecture", *CURVE}
        missing = sorted(needed - set(records[0])) if records else ["all rows"]
        if missing:
            raise InputError(f"{path}: expected a table of `mimar bench make-truth`, {', '.join(missing)} missing")
        by_id: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for record in records:
            if record["validation_loss"]:
                by_id[str(record["id"])].append(record)
        if len(by_id) < 2:
            raise InputError(
                f"{path}: expected at least 2 architectures that were trained to the end, got {len(by_id)}"
            )
        # Steps that were measured for it tell costs better than trainings beside which the machine did other things.
        timed = all(record.get("training_step_ms") for same in by_id.values() for record in same)
        unit = "training_step_ms" if timed else "seconds"
        try:
            rows = sorted((_row(same, unit) for same in by_id.values()), key=lambda row: int(row.id))
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: a row cannot be read ({error})") from error
        return TinyTable(tuple(rows), sum(not record["validation_loss"] for record in records), unit)

    @property
    def bins(self) -> list[NDArray[np.intp]]:
        """Row numbers by ascending size, about 20 in each."""
        return size_bins(np.asarray([row.size for row in self.rows]), BIN_SIZE)

    def noise_floor(self, better_half: bool = False) -> NoiseFloor:
        """How much more architectures differ than seeds do; better_half: among those of each bin that learn best."""
        bins = [[self.rows[int(index)] for index in part] for part in self.bins]
        if better_half:
            bins = [sorted(part, key=lambda row: row.loss)[: math.ceil(len(part) / 2)] for part in bins]
        repeated = [row.losses for part in bins for row in part if len(row.losses) > 1]
        between = _pooled([[row.losses[0] for row in part] for part in bins])
        if not repeated:
            return NoiseFloor(0, None, None, between, None)
        seeds, middle = _pooled(repeated), float(np.median([np.var(losses, ddof=1) for losses in repeated]))
        return NoiseFloor(len(repeated), seeds, middle, between, between / seeds if seeds else None)


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    """Variance within groups, by degrees of freedom."""
    squares = sum(float(np.var(group)) * len(group) for group in groups)
    return squares / max(1, sum(len(group) - 1 for group in groups))


def _row(same: Sequence[Mapping[str, Any]], unit: str) -> TinyRow:
    curve = {name: float(np.mean([float(record[column]) for record in same])) for column, name in CURVE.items()}
    return TinyRow(
        str(same[0]["id"]),
        architecture_from_json(json.loads(same[0]["architecture"]), check=False),
        tuple(float(record["validation_loss"]) for record in sorted(same, key=lambda record: int(record["seed"]))),
        curve,
        float(np.mean([float(record[unit]) for record in same])),
        float(same[0]["nonembedding_params"]),
    )
