"""`mimar bench make-truth`: text and recipe in, a table of trained decoders out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimar.bench import TruthPlan, make_truth
from mimar.cli._output import say
from mimar.cli._quantities import count
from mimar.cli._train import device_named
from mimar.training import Recipe, TokenData, read_texts, tokenizer_named

Texts = tuple[Sequence[str], Sequence[str], str]
"""Sources to train on and to judge on, and the tokenizer."""


def run_make_truth(out: Path, sources: Texts, tokens: str, plan: TruthPlan, where: tuple[int, str]) -> dict[str, Any]:
    """Make or extend the table; returns its path and how many rows it has and how many of them failed."""
    data, validation, tokenizer = sources
    processes, device = where
    texts = read_texts(data)
    held_out = read_texts(validation, "validation") if validation else []
    encoded = TokenData.of(texts, held_out, tokenizer_named(tokenizer, texts))
    recipe = Recipe(tokens=int(count(tokens, "--tokens")), batch_tokens=2048)
    rows = make_truth(out, encoded, recipe, plan, processes=processes, device=device_named(device), on_row=_report)
    return {"path": str(out), "rows": len(rows), "failed": sum(bool(row["failure"]) for row in rows)}


def _report(row: Mapping[str, Any], done: int, of_all: int) -> None:
    ended = row["failure"] or f"loss {row['validation_loss']:.4f} in {row['seconds']:.0f} s"
    say(f"{done} of {of_all}: architecture {row['id']}, seed {row['seed']}: {ended}")
