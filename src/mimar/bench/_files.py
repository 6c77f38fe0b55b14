"""Where truths lie, and their rows as mappings from column to cell."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimar.errors import InputError

ENDINGS = (".csv.gz", ".csv", ".json.gz", ".json")
VARIABLE = "MIMAR_DATA"


def tables(data: Path | None) -> dict[str, Path]:
    """Name → file of everything in the data folder that may be a table.

    data: the folder that holds ``truth/``, or that folder itself; by default what MIMAR_DATA names.
    Raises InputError without a folder.
    """
    folder = truth_folder(data)
    return {stem(path): path for path in sorted(folder.iterdir()) if path.name.endswith(ENDINGS)}


def truth_folder(data: Path | None) -> Path:
    """Where tables lie; InputError where no folder is named or it does not exist."""
    given = os.environ.get(VARIABLE) if data is None else str(data)
    if not given:
        raise InputError(f"no data folder: give --data DIR or set {VARIABLE} to the folder that holds truth/")
    folder = Path(given).expanduser()
    inner = folder / "truth"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give --data DIR or set {VARIABLE} to the folder that holds truth/")
    return inner if inner.is_dir() else folder


def stem(path: Path) -> str:
    """The name without any of `ENDINGS`."""
    return next(path.name.removesuffix(ending) for ending in ENDINGS if path.name.endswith(ending))


def read_records(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV (cells as text) or JSON file, gzipped or not; results that upstream nests become columns.

    InputError where the file is not what its name says.
    """
    try:
        packed = path.read_bytes()
        text = (gzip.decompress(packed) if path.name.endswith(".gz") else packed).decode("utf-8-sig")
        if ".csv" in path.name:
            return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        return _flattened(json.loads(text))
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError, csv.Error, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected {' or '.join(ENDINGS)} as the name says, cannot read it ({error})"
        ) from error


def _flattened(data: Any) -> list[dict[str, Any]]:
    if isinstance(data, Mapping):  # NAS-Bench-201 as released with GENIUS: cell → results
        return [{"arch": key, **value} for key, value in data.items() if isinstance(value, Mapping)]
    if isinstance(data, list):
        return [_flat(entry) for entry in data if isinstance(entry, Mapping)]
    raise ValueError("a list of objects or an object of objects was expected")


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One entry with the fields of its scores and its architecture beside the others."""
    flat = {key: value for key, value in entry.items() if key == "architecture" or not isinstance(value, Mapping)}
    released = _inner(_inner(entry, "hparams"), "model_hparam_overrides")  # NAS-Bench-BERT as upstream has it
    for part in (_inner(entry, "scores"), _inner(entry, "architecture"), released, _inner(released, "nas_config")):
        flat.update(part)
    return flat


def _inner(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What the field holds, where it has fields of its own."""
    found = entry.get(name)
    return found if isinstance(found, Mapping) else {}
