"""Trials → one table that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from mimar.errors import ExportError, InputError
from mimar.export._publish import ExportResult, written_aside
from mimar.trial import Trial

A = TypeVar("A")

_FIRST = ("id", "status", "origin", "reasons")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def export_csv(trials: Iterable[Trial[A]], path: Path, to_json: Callable[[A], Any]) -> ExportResult:
    """Write a table: id, status, origin, reasons, every metric, the architecture as JSON from `to_json`.

    Metrics keep their names and units; a trial without one leaves the cell empty, and one that did not parse has no
    architecture. Text that a spreadsheet would run as a formula gets an apostrophe before it. An earlier table at
    `path` is replaced. `InputError`: something else is there. `ExportError`: the disk does not take it.
    """
    told = list(trials)
    metrics = list(dict.fromkeys(name for trial in told for name in trial.metrics))
    rows = [[*map(defused, (*_FIRST, *metrics)), "architecture"], *(_row(trial, metrics, to_json) for trial in told)]
    target = path.resolve()
    _refuse_foreign(target)
    _write(target, rows)
    return ExportResult("csv", target, (target.name,), {"csv": f"ok: {len(told)} trials read back"})


def defused(text: str) -> str:
    """`text` such that no spreadsheet takes it for a formula (OWASP, CSV injection): an apostrophe goes before it."""
    text = text.encode("utf-8", "replace").decode("utf-8")  # A reply of an LLM can hold half a character.
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


def _row(trial: Trial[A], metrics: list[str], to_json: Callable[[A], Any]) -> list[str]:
    found = trial.proposal.architecture
    return [
        str(trial.id),
        trial.status,
        defused(trial.proposal.origin),
        defused("; ".join(trial.reasons)),
        *(repr(trial.metrics[name]) if name in trial.metrics else "" for name in metrics),
        "" if found is None else json.dumps(to_json(found)),
    ]


def _refuse_foreign(target: Path) -> None:
    if not target.exists():
        return
    start = target.read_bytes()[:64] if target.is_file() else b""
    if not start.startswith(",".join(_FIRST).encode()):
        raise InputError(f"expected a new file or an earlier table of ours, got {target}; choose another name")


def _write(target: Path, rows: list[list[str]]) -> None:
    """Write beside `target`, read back, and put in its place."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows(rows)
    text = table.getvalue()
    with written_aside(target) as aside:
        aside.write_text(text, encoding="utf-8", newline="")
        with aside.open(encoding="utf-8", newline="") as file:
            if file.read() != text:
                raise ExportError(f"expected {target} to read back as it was written, got something else")
