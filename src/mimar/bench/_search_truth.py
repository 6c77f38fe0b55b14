"""Search problems whose best trade-offs are known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimar import pareto
from mimar.bench._files import read_records, tables
from mimar.bench.families import Cell201
from mimar.errors import InputError, UnknownNameError
from mimar.objectives import Objective
from mimar.pareto import Points, Reference
from mimar.predict import Ridge
from mimar.space import Combination, ProductSpace
from mimar.strategy import Axis, Problem
from mimar.testing import LayerDrop, Toy, layerdrop_problem

Array = NDArray[np.float64]

WORST_PERCENTILE: Final = 95.0
"""Of the published values: the reference point, so that a few disasters do not stretch the frame."""


@dataclass(frozen=True)
class SearchTruth:
    """A problem with its evaluator, and its exact front (k, 2) in losses. note: where the figures come from."""

    name: str
    toy: Toy[Combination]
    front: Points
    note: str

    @property
    def reference(self) -> Reference:
        """The frame of the hypervolume."""
        return self.toy.problem.reference


def search_truth(name: str, data: Path | None = None, seed: int = 0) -> SearchTruth:
    """The problem `name`; UnknownNameError lists them.

    data: the folder that holds ``truth/``, by default what MIMAR_DATA names; `layerdrop` needs none and is drawn from
    `seed`. InputError where the table is missing, is another one, or a cell of it makes no sense.
    """
    if name not in SEARCH_TRUTHS:
        raise UnknownNameError("search problem", name, tuple(SEARCH_TRUTHS))
    try:
        return SEARCH_TRUTHS[name](data, seed)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the table {name} makes no sense as the problem of that name: {error!r}") from error


def _layerdrop(_data: Path | None, seed: int) -> SearchTruth:
    """Cost is computed for any candidate; only damage needs an evaluation."""
    toy = layerdrop_problem(seed)
    return SearchTruth("layerdrop", toy, LayerDrop.seeded(seed).front(), f"synthetic, seed {seed}; cost costs nothing")


CELL_SPACE: Final = ProductSpace(
    {f"edge_{index}": ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3") for index in range(6)}
)
"""The operation on each edge of a NAS-Bench-201 cell, in the order of the architecture string: 15,625 cells."""

CELLS: Final = math.prod(map(len, CELL_SPACE.variables.values()))

WORST_ERROR: Final = 30.0


def _nb201(data: Path | None, _seed: int) -> SearchTruth:
    """Validation error in percent and FPGA latency in ms of all cells, as published; both need an evaluation."""
    records = _records("nb201_cifar10", data, ("arch", "cifar10_val", "fpga"))
    measured = {
        Cell201(str(record["arch"])).operations: {
            "error": 100.0 - float(record["cifar10_val"]),
            "fpga": float(record["fpga"]),
        }
        for record in records
    }
    if len(measured) < CELLS:
        raise InputError(f"nb201_cifar10 has {len(measured):,} cells of {CELLS:,}, and a search may ask for any")
    points = np.asarray([list(metrics.values()) for metrics in measured.values()])
    worst = (WORST_ERROR, float(np.percentile(points[:, 1], WORST_PERCENTILE)))
    front = points[pareto.front(points)]
    convolutions = Axis[Combination]("nor_conv_3x3", lambda cell: cell.count("nor_conv_3x3"), 6, (1, 2, 3, 4, 5))
    frame = Reference(worst, _least(front))
    toy = _toy(CELL_SPACE, ("error", "fpga"), frame, lambda cell: measured[tuple(map(str, cell))], (convolutions,))
    return SearchTruth("nb201_cifar10", toy, front, f"{len(measured)} cells, published tables")


LAYERS: Final = 12
WIDTHS: Final = (192, 384, 768)
DEPTHS: Final = (10, 11, 12)
HEADS: Final = (4, 8, 12)
RATIOS: Final = (2, 3, 4)


def _with_its_layers(arch: Combination) -> Combination:
    """Layers that are not there have the first heads and ratio."""
    depth = int(arch[1])
    layers = [
        pair if index < depth else (HEADS[0], RATIOS[0])
        for index, pair in enumerate(zip(arch[3::2], arch[4::2], strict=True))
    ]
    return (*arch[:3], *(choice for pair in layers for choice in pair))


GPT_SPACE: Final = ProductSpace(
    {"embed_dim": WIDTHS, "n_layer": DEPTHS, "bias": (0, 1)}
    | {
        f"{name}_{index}": options
        for index in range(LAYERS)
        for name, options in (("n_head", HEADS), ("mlp_ratio", RATIOS))
    },
    _with_its_layers,
)
"""HW-GPT-Bench's GPT-S space: width, depth, biases, and the heads and feed-forward ratio of each layer."""


def _hwgpt(data: Path | None, seed: int) -> SearchTruth:
    """Perplexity and latency (ms, A100) of the additive surrogate, for all of the space's 10¹² models."""
    metrics = ("perplexity", "lat_a100")
    records = _records("hwgpt_s", data, ("embed_dim", "n_layer", "bias", "n_head", "mlp_ratio", *metrics))
    models = {name: _AdditiveTable.fit(records, name, seed) for name in metrics}
    points = np.asarray([[float(record[name]) for name in metrics] for record in records])
    front = _additive_front([models[name] for name in metrics])
    worst = np.percentile(points, WORST_PERCENTILE, axis=0)
    frame = Reference((float(worst[0]), float(worst[1])), _least(front))
    width = Axis[Combination]("embed_dim", lambda arch: float(arch[0]), 3, (384, 768))
    depth = Axis[Combination]("n_layer", lambda arch: float(arch[1]), 2, (12,))
    toy = _toy(
        GPT_SPACE, metrics, frame, lambda arch: {name: model(arch) for name, model in models.items()}, (width, depth)
    )
    errors = ", ".join(f"{name} {model.error:.2%}" for name, model in models.items())
    return SearchTruth("hwgpt_s", toy, front, f"surrogate of {len(records)} rows; median error held out: {errors}")


Cell = tuple[int, int]

DIGITS: Final = 10
"""Of a logarithm: sums of the same terms in another order are one point of a front, not several."""


@dataclass(frozen=True)
class _AdditiveTable:
    """A metric as exp(base + bias + Σ layers), fitted by ridge for each width and depth.

    terms: width and depth → base, what biases add, and what heads and ratio of each layer add (layers, 3, 3).
    error: median relative error on a tenth of the rows that a first fit did not see.
    """

    terms: Mapping[Cell, tuple[float, float, Array]]
    error: float

    @staticmethod
    def fit(records: Sequence[Mapping[str, Any]], metric: str, seed: int) -> _AdditiveTable:
        cells: dict[Cell, list[tuple[list[float], float]]] = {}
        for record in records:
            cell = int(record["embed_dim"]), int(record["n_layer"])
            cells.setdefault(cell, []).append((_one_hot(record), float(np.log(float(record[metric])))))
        rng = np.random.default_rng(seed)
        terms: dict[Cell, tuple[float, float, Array]] = {}
        errors: list[float] = []
        for cell, rows in cells.items():
            x, y = np.asarray([row for row, _ in rows]), np.asarray([value for _, value in rows])
            test = rng.permutation(len(rows)) % 10 == 0
            errors += list(np.abs(np.expm1(Ridge.fit(x[~test], y[~test]).predict(x[test]) - y[test])))
            terms[cell] = _as_terms(Ridge.fit(x, y), cell[1])
        for cell in product(WIDTHS, DEPTHS):
            if cell not in terms:
                raise InputError(f"hwgpt_s has no model of width and depth {cell}, and a search may ask for any")
        return _AdditiveTable(terms, float(np.median(errors)))

    def __call__(self, arch: Combination) -> float:
        width, depth, bias, *layers = (int(choice) for choice in arch)
        base, biases, added = self.terms[width, depth]
        total = base + bias * biases
        for layer in range(depth):
            heads, ratio = layers[2 * layer : 2 * layer + 2]
            total += added[layer, HEADS.index(heads), RATIOS.index(ratio)]
        return float(np.exp(total))


def _one_hot(record: Mapping[str, Any]) -> list[float]:
    """Biases, then heads and ratio of each layer."""
    heads = [int(value) for value in str(record["n_head"]).split("-")]
    ratios = [int(value) for value in str(record["mlp_ratio"]).split("-")]
    row = [float(record["bias"])]
    for head, ratio in zip(heads, ratios, strict=True):
        row += [float(head == option) for option in HEADS] + [float(ratio == option) for option in RATIOS]
    return row


def _as_terms(model: Ridge, depth: int) -> tuple[float, float, Array]:
    base = model.mean - float(model.center @ model.weights)
    layers = model.weights[1:].reshape(depth, 2, 3)
    return base, float(model.weights[0]), layers[:, 0, :, None] + layers[:, 1, None, :]


def _additive_front(models: Sequence[_AdditiveTable]) -> Points:
    """The exact front (k, m): sums of layers, of which after each layer only non-dominated ones can lead anywhere."""
    ends: list[Points] = []
    for cell, bias in product(models[0].terms, (0, 1)):
        terms = [model.terms[cell] for model in models]
        sums = np.asarray([[base + bias * biases for base, biases, _ in terms]])
        for layer in range(cell[1]):
            added = np.stack([table[layer].ravel() for _, _, table in terms], axis=1)
            sums = (sums[:, None] + added).reshape(-1, len(models))
            sums = np.asarray(np.unique(np.round(sums[pareto.front(sums)], DIGITS), axis=0), dtype=np.float64)
        ends.append(np.exp(sums))
    points = np.vstack(ends)
    return points[pareto.front(points)]


def _toy(
    space: ProductSpace,
    metrics: Sequence[str],
    frame: Reference,
    measure: Callable[[Combination], Mapping[str, float]],
    axes: tuple[Axis[Combination], ...],
) -> Toy[Combination]:
    problem = Problem(
        space=space,
        objectives=tuple(Objective(name, "min") for name in metrics),
        check=space.validate,
        excess=lambda arch: 0.0,
        known=lambda arch: {},
        reference=frame,
        axes=axes,
    )
    return Toy(problem, measure)


def _least(front: Points) -> tuple[float, ...]:
    return tuple(float(value) for value in front.min(axis=0))


def _records(name: str, data: Path | None, columns: Sequence[str]) -> list[dict[str, Any]]:
    found = tables(data)
    if name not in found:
        raise InputError(f"{name} is not in the data folder; get it with: mimar bench fetch {name} --to FOLDER")
    records = read_records(found[name])
    missing = [column for column in columns if not records or column not in records[0]]
    if missing:
        raise InputError(
            f"{found[name]}: expected columns {', '.join(columns)}, {', '.join(missing)} is missing; what mimar bench "
            "fetch brings has qualities alone, latencies were published elsewhere and have to be added"
        )
    for number, row in enumerate(records, 1):
        if any(row[column] in ("", None) for column in columns):
            raise InputError(f"{found[name]}, row {number}: a cell is empty; expected {', '.join(columns)} in each")
    return records


SEARCH_TRUTHS: Final[Mapping[str, Callable[[Path | None, int], SearchTruth]]] = {
    "layerdrop": _layerdrop,
    "nb201_cifar10": _nb201,
    "hwgpt_s": _hwgpt,
}
"""Name → from data folder and seed to the problem."""
