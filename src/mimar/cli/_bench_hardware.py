"""`mimar bench hardware`: what the hardware models say beside what was measured, here and by others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mimar.cli._output import say
from mimar.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from mimar.hardware import Workload

PARTS = ("speed", "memory", "published")
MEASURED = ("fp32", "bf16", "fp16")
"""Types of weights that PyTorch computes with."""

MOST_PARAMETERS = 30e6
"""Largest architecture that is measured, so that a CPU does it in seconds."""


def compare_hardware(
    parts: Sequence[str],
    use: Workload,
    *,
    models: int,
    threads: int,
    seed: int,
    published: tuple[str, int, Path | None],
) -> dict[str, Any]:
    """What `parts` found, UnknownNameError for one not in `PARTS`; published: truth, rows to fit to, data folder."""
    for unknown in (name for name in parts if name not in PARTS):
        raise UnknownNameError("part", unknown, PARTS)
    if use.dtype not in MEASURED:
        raise UnknownNameError("dtype to measure with", use.dtype, MEASURED)
    found: dict[str, Any] = {"n": models, "workload": asdict(use), "threads": threads, "seed": seed}
    if "published" in parts:  # first: it takes seconds, and its table may be missing
        found |= published_part(*published, seed)
    if "speed" in parts:
        found |= speed_part(models, use, threads, seed)
    if "memory" in parts:
        found["memory"] = memory_part(min(models, 12), use, seed)
    return found


def speed_part(models: int, use: Workload, threads: int, seed: int) -> dict[str, Any]:
    """Agreement of prefill and decode, the prices that were fitted, and this machine's power."""
    import torch

    from mimar.hardware import measured_power, speed_truth, unseen_architectures

    torch.set_num_threads(threads)
    archs = unseen_architectures(models, seed, MOST_PARAMETERS, 1024)
    truth = speed_truth(archs, use, lambda done, of: say(f"timed {done} of {of}") if done % 20 == 0 else None)
    power = measured_power()
    return {
        "prefill": asdict(truth.agreement("prefill")),
        "decode": asdict(truth.agreement("decode")),
        "seconds_per_unit": truth.prices._asdict(),
        "power_w": "not available: no energy counter that may be read" if power is None else asdict(power),
    }


def memory_part(models: int, use: Workload, seed: int) -> dict[str, Any]:
    """Agreement of predicted with measured peak memory over prompts of the whole context."""
    from mimar.hardware import agreement, memory_truth, unseen_architectures

    rows = memory_truth(unseen_architectures(models, seed + 1, MOST_PARAMETERS, 1024), use)
    return asdict(agreement([row.predicted_bytes for row in rows], [row.measured_bytes for row in rows]))


def published_part(truth: str, train: int, data: Path | None, seed: int) -> dict[str, Any]:
    """Agreement for each published column; without a data folder a sentence says so."""
    from mimar.bench import tables
    from mimar.hardware import published_fits, read_published

    named = data is not None or bool(os.environ.get("MIMAR_DATA"))
    path = tables(data).get(truth) if named else None
    if path is not None:
        return {"published": [asdict(row) for row in published_fits(read_published(path), train, seed)]}
    if data is not None:
        raise InputError(f"no {truth}.csv.gz in {data} or in its truth/: give the folder that holds truth/")
    return {"published": [], "published_note": f"no {truth}: give --data DIR or set MIMAR_DATA to its folder"}


def print_tables(found: dict[str, Any]) -> None:
    """Median relative error and Spearman's ρ, a line each."""
    for name in ("prefill", "decode", "memory"):
        if name in found:
            typer.echo(f"{name:<14} {_words(found[name])}")
    if "power_w" in found:
        typer.echo(f"power          {found['power_w']}")
    if "published_note" in found:
        say(found["published_note"])
    rows: Sequence[dict[str, Any]] = found.get("published", ())
    if rows:
        typer.echo(f"{'column':<14} {'roofline':<22} {'parameters':<22} one-hot ridge")
    for row in rows:
        cells = (f"{_words(row[name]):<22}" for name in ("roofline", "parameters", "one_hot"))
        typer.echo(f"{row['column']:<14} {' '.join(cells)}".rstrip())


def _words(found: dict[str, Any]) -> str:
    return f"{found['median_error']:.2%}  ρ {found['spearman']:.4f}"
