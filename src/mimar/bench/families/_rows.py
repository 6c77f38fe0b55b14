"""Reading rows of published CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mimar.errors import InputError


def integer(row: Mapping[str, Any], column: str) -> int:
    """The whole number in `column`; InputError when the column is missing or holds something else."""
    return per_layer(row, column, 1)[0]


def per_layer(row: Mapping[str, Any], column: str, layers: int) -> tuple[int, ...]:
    """One whole number for each of `layers` layers, from values joined by ``-``.

    A single value stands for all layers; a longer list is cut. InputError for anything else.
    """
    if row.get(column) is None:
        raise InputError(f"expected a column {column!r}, got {', '.join(row)}; is this a row of another benchmark?")
    text = str(row[column])  # a number in tables of JSON
    try:
        values = tuple(int(value) for value in text.split("-"))
    except ValueError:
        raise InputError(f"{column}: expected whole numbers joined by '-', got {text!r}") from None
    if len(values) == 1:
        return values * layers
    if len(values) < layers:
        raise InputError(f"{column}: expected one value or one a layer ({layers}), got {len(values)}: {text!r}")
    return values[:layers]
