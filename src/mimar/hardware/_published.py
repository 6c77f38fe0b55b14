"""The calibration on published measurements: latency and energy columns of HW-GPT-Bench.

HW-GPT-Bench (Sukthanker et al., 2024) measures forward passes of GPT-like models: heads and MLP ratios differ by layer,
heads have 64 features, the MLP is gated, embedding and head are not tied. Their `macs` column is that of 8 sequences of
1024 tokens. `lat_*` are milliseconds, of CPUs seconds; energies `entrk_*` are kWh, `en_*` Wh; no unit is needed here,
since prices come out in the unit that went in.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError
from mimar.hardware._agreement import Agreement, agreement
from mimar.hardware._calibrate import Measurement, calibrate, predicted_cost
from mimar.hardware._workload import Workload
from mimar.space import Architecture, Block, FeedForward, Mixer

HEAD_SIZE, VOCABULARY = 64, 50304
USE = Workload(context=1024, batch=8, prompt_tokens=1024, dtype="fp32")
NEEDED = ("embed_dim", "n_layer", "n_head", "mlp_ratio", "bias", "params")
PREFIXES = ("lat_", "en_", "entrk_")
RIDGE = 1.0
"""Penalty of the one-hot baseline, whose features are 0 or 1 and whose target is standardised."""


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """One published column: rows fitted to, then agreement on all others of the calibrated roofline, of a constant
    times the parameters, and of ridge regression on one-hot choices."""

    column: str
    train: int
    roofline: Agreement
    parameters: Agreement
    one_hot: Agreement


def read_published(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV, gzipped or not; `InputError` when it is not one."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, strict=True))
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV table, cannot read it ({error})") from error


def published_fits(rows: Sequence[Mapping[str, str]], train: int, seed: int) -> tuple[ColumnRow, ...]:
    """Every latency and energy column of the table that has values above 0 throughout.

    `InputError` where the table is not HW-GPT-Bench's, has no more than `train` rows, or a cell holds no number.
    """
    missing = [name for name in NEEDED if not rows or name not in rows[0]]
    if missing or len(rows) < train + 2:
        raise InputError(
            f"expected a table of HW-GPT-Bench with more than {train + 1} rows and the columns {', '.join(NEEDED)}; "
            f"got {len(rows)} rows without {', '.join(missing) or 'fault'}"
        )
    try:
        archs = [architecture_of(row) for row in rows]
        features = _one_hot(rows)
        columns = {name: _column(rows, name) for name in rows[0] if name == "params" or name.startswith(PREFIXES)}
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"a row of the table cannot be read as one of HW-GPT-Bench: {error}") from error
    params = columns.pop("params")
    order = np.random.default_rng(seed).permutation(len(rows))
    found: list[ColumnRow] = []
    for column, values in columns.items():
        if (values > 0).all():
            guesses = (
                _roofline(archs, values, order[:train], order[train:]),
                np.median(values[order[:train]] / params[order[:train]]) * params[order[train:]],
                _ridge(features, values, order[:train], order[train:]),
            )
            found.append(ColumnRow(column, train, *(agreement(guess, values[order[train:]]) for guess in guesses)))
    return tuple(found)


def _column(rows: Sequence[Mapping[str, str]], name: str) -> NDArray[np.float64]:
    return np.array([float(row[name]) for row in rows])


def architecture_of(row: Mapping[str, str]) -> Architecture:
    """One model of the table, as far as its cost goes; biases, which cost next to nothing, are left out."""
    hidden, layers = int(row["embed_dim"]), int(row["n_layer"])
    heads, ratios = (tuple(map(int, row[name].split("-")))[:layers] for name in ("n_head", "mlp_ratio"))
    blocks = tuple(
        Block(Mixer("attention", count, count, HEAD_SIZE), FeedForward("geglu", ratio * hidden, "gelu"))
        for count, ratio in zip(heads, ratios, strict=True)
    )
    return Architecture(
        hidden, blocks, VOCABULARY, USE.context, position="none", norm="layernorm", tied_embeddings=False
    )


def _roofline(
    archs: Sequence[Architecture], values: NDArray[np.float64], known: NDArray[np.intp], unseen: NDArray[np.intp]
) -> NDArray[np.float64]:
    prices = calibrate([Measurement(archs[i], USE, "forward", float(values[i])) for i in known])
    return np.array([predicted_cost(Measurement(archs[i], USE, "forward", 1.0), prices) for i in unseen])


def _one_hot(rows: Sequence[Mapping[str, str]]) -> NDArray[np.float64]:
    """One 0/1 column for each choice of each variable, of every layer its own."""
    choices = [
        [(name, place, cell) for name in NEEDED[:-1] for place, cell in enumerate(_cells(row, name))] for row in rows
    ]
    index = {choice: at for at, choice in enumerate(sorted({choice for row in choices for choice in row}))}
    found = np.zeros((len(rows), len(index)))
    for line, row in zip(found, choices, strict=True):
        line[[index[choice] for choice in row]] = 1.0
    return found


def _cells(row: Mapping[str, str], name: str) -> list[str]:
    cells = row[name].split("-")
    return cells[: int(row["n_layer"])] if len(cells) > 1 else cells


def _ridge(
    features: NDArray[np.float64], values: NDArray[np.float64], known: NDArray[np.intp], unseen: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Ridge regression on the known rows, predicted for the unseen."""
    centre, mean, spread = features[known].mean(axis=0), values[known].mean(), values[known].std() or 1.0
    design, target = features[known] - centre, (values[known] - mean) / spread
    weights = np.linalg.solve(design.T @ design + RIDGE * np.eye(design.shape[1]), design.T @ target)
    return mean + spread * ((features[unseen] - centre) @ weights)
