"""`mimar bench truth`: what a table of trained decoders says, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer

from mimar.bench import BUILT_IN, TinyTable, cascade_rows, choice_effects, load_truth, measure
from mimar.cli._names import score_named
from mimar.cli._tables import figure, markdown_figures, print_figures
from mimar.cli._training import read_gates
from mimar.errors import InputError


def bench_truth(truth: str, gates: str, score: str, bins: int) -> dict[str, Any]:
    """Noise floor, what early losses tell, which choices matter, and what a cascade would have found; plain data."""
    path = BUILT_IN.get(truth, Path(truth).expanduser())
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a table of mimar bench make-truth, or {', '.join(BUILT_IN)}")
    table = TinyTable.read(path)
    allowed = [*next(iter(table.rows)).curve, "score"]
    wrong = [gate.fidelity for gate in read_gates(gates) if gate.fidelity not in allowed]
    if wrong:
        raise InputError(f"--gates: the table knows {', '.join(allowed)}, not {wrong[0]}")
    if not 1 <= bins <= len(table.rows) // 2:
        raise InputError(f"--bins must be from 1 to {len(table.rows) // 2}, got {bins}")
    found = cascade_rows(table, read_gates(gates), score_named(score, {}), bins)
    return {
        "truth": str(path),
        "architectures": len(table.rows),
        "failed": table.failed,
        "loss": [min(row.loss for row in table.rows), max(row.loss for row in table.rows)],
        "noise": table.noise_floor().to_json(),
        "fidelities": _fidelities(table, path),
        "choices": [effect.to_json() for effect in choice_effects(table)],
        "gates": gates,
        "score": score,
        "cascade": [row.to_json() for row in found],
    }


def _fidelities(table: TinyTable, path: Path) -> list[dict[str, Any]]:
    """How well the loss on the way ranks the architectures by their loss in the end."""
    truth = load_truth(str(path))
    rows = {row.id: row for row in table.rows}
    found: list[dict[str, Any]] = []
    for name in next(iter(table.rows)).curve:
        measures = measure(truth, np.asarray([-rows[row.id].curve[name] for row in truth.rows]))
        found.append(
            {
                "share": name,
                "tau": measures.tau,
                "tau_iso": measures.tau_iso,
                "regret_iso": measures.regret_iso,
                "top10_overlap": measures.top10_overlap,
            }
        )
    return found


def print_truth(result: Mapping[str, Any], markdown: bool) -> None:
    """Three tables, a sentence before each."""
    for before, columns, lines in _parts(result):
        if markdown:
            typer.echo(f"{before}\n\n{markdown_figures(columns, lines)}\n")
        else:
            print_figures(columns, lines, before=before, after="")


def _parts(result: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    noise = result["noise"]
    low, high = result["loss"]
    repeats = (
        f"{noise['repeated']} were trained from several seeds: variance {noise['seeds']:.2g} between seeds, "
        f"{noise['ratio']:.0f} times less"
        if noise["ratio"]
        else "none was trained from several seeds yet"
    )
    fidelities = [
        (row["share"], figure(row["tau"]), figure(row["tau_iso"]), figure(row["regret_iso"], ".2f"),
         figure(row["top10_overlap"], ".2f"))
        for row in result["fidelities"]
    ]  # fmt: skip
    choices = [
        (f"{row['choice']}={row['option']}", str(row["architectures"]), f"{row['effect']:+.3f}", f"{row['error']:.3f}")
        for row in result["choices"]
    ]
    cascade = [
        (f"{row['sizes'][0] / 1e6:.2f} to {row['sizes'][1] / 1e6:.2f} M", str(row["architectures"]), str(row["rank"]),
         "yes" if row["top_tenth"] else "no", f"{row['cost']:.1%}")
        for row in result["cascade"]
    ]  # fmt: skip
    return [
        (
            f"{result['truth']}: {result['architectures']} architectures, {result['failed']} trainings failed; loss "
            f"{low:.3f} to {high:.3f} nats a token. At equal size the variance between architectures is "
            f"{noise['equal_size']:.2g}; {repeats}. What the loss on the way tells of the loss in the end:",
            ("after", "τ", "τ size", "regret %", "top10"),
            fidelities,
        ),
        (
            "Which choices matter: nats a token against the average of the choice, at equal size and depth; below 0 is "
            "better.",
            ("choice", "in", "effect", "error"),
            choices,
        ),
        (
            f"What the gates {result['gates']} find in each bin of equal size ({result['score']} as the score): rank "
            "of the best that was trained to the end, and cost of the trainings as a share of training the whole bin.",
            ("size", "in bin", "rank", "top tenth", "cost"),
            cascade,
        ),
    ]
