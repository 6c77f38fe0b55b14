"""`mimar bench make-truth`: text and recipe in, a table of trained decoders out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimar.bench import TruthPlan, make_truth
from mimar.cli._output import say
from mimar.cli._quantities import count
from mimar.cli._train import device_named
from mimar.cli._training import TextSource
from mimar.training import Recipe


def run_make_truth(
    out: Path, source: TextSource, tokens: str, plan: TruthPlan, how: tuple[int, str, bool]
) -> dict[str, Any]:
    """Make or extend the table; returns its path, how many rows it has, how many of them failed, and how
    many are missing since their process was killed.

    how: trainings at a time, their device, and whether to measure in the end.
    """
    processes, device, measure = how
    _, data = source.read
    recipe = Recipe(tokens=int(count(tokens, "--tokens")), batch_tokens=2048)
    rows = make_truth(
        out,
        data,
        recipe,
        plan,
        processes=processes,
        device=device_named(device),
        measure=measure,
        on_row=report_row,
    )
    missing = len({*plan.jobs} - {(int(row["id"]), int(row["seed"])) for row in rows})
    failed = sum(bool(row["failure"]) for row in rows)
    return {"path": str(out), "rows": len(rows), "failed": failed, "missing": missing}


def report_row(row: Mapping[str, Any], done: int, of_all: int) -> None:
    """Say what came of a training."""
    ended = row["failure"] or f"loss {row['validation_loss']:.4f} in {row['seconds']:.0f} s"
    say(f"{done} of {of_all}: architecture {row['id']}, seed {row['seed']}: {ended}")
