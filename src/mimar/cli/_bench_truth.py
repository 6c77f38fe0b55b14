"""`mimar bench truth`: what a table of trained decoders says, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimar.bench import (
    BUILT_IN,
    CheapLoss,
    TinyTable,
    cascade_rows,
    cheap_loss,
    choice_effects,
    early_losses,
    load_truth,
    shared_losses,
    table_recipe,
)
from mimar.cli._output import say
from mimar.cli._tables import figure, markdown_figures, print_figures
from mimar.cli._training import TextSource, read_gates
from mimar.errors import InputError, UnknownNameError
from mimar.objectives import ONE_SHOT
from mimar.proxies import PROXIES


def bench_truth(truth: str, gates: str, score: str, bins: int, source: TextSource | None) -> dict[str, Any]:
    """Noise floor, what cheaper evaluations tell, which choices matter and what a cascade finds, as plain data.

    source: the text of the table, to train shared weights on, which takes as long as many of its trainings; or None.
    """
    path, proxy = table_path(truth), {each.name: each for each in PROXIES}.get(score)
    if proxy is None:
        raise UnknownNameError("score", score, tuple(each.name for each in PROXIES))
    table = TinyTable.read(path)
    allowed = [*next(iter(table.rows)).curve, "score"]
    wrong = [gate.fidelity for gate in read_gates(gates) if gate.fidelity not in allowed]
    if wrong:
        raise InputError(f"--gates: the table knows {', '.join(allowed)}, not {wrong[0]}")
    if not 1 <= bins <= len(table.rows) // 2:
        raise InputError(f"--bins must be from 1 to {len(table.rows) // 2}, got {bins}")
    cheap = early_losses(table, load_truth(str(path)))
    if source is not None:
        cheap.append(_one_shot(table, path, source))
    found = cascade_rows(table, read_gates(gates), proxy, bins)
    return {
        "truth": truth,
        "architectures": len(table.rows),
        "failed": table.failed,
        "loss": [min(row.loss for row in table.rows), max(row.loss for row in table.rows)],
        "noise": table.noise_floor().to_json(),
        "noise_of_the_better_half": table.noise_floor(better_half=True).to_json(),
        "fidelities": [row.to_json() for row in cheap],
        "choices": [effect.to_json() for effect in choice_effects(table)],
        "gates": gates,
        "cost_unit": table.cost_unit,
        "score": score,
        "cascade": [row.to_json() for row in found],
    }


def table_path(truth: str) -> Path:
    """Of a table that comes with the package, or of another; InputError where there is none."""
    path = BUILT_IN.get(truth, Path(truth).expanduser())
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a table of mimar bench make-truth, or {', '.join(BUILT_IN)}")
    return path


def _one_shot(table: TinyTable, path: Path, source: TextSource) -> CheapLoss:
    _, data = source.read
    recipe = table_recipe(path, data)
    say(f"training weights that {len(table.rows)} architectures share")
    return cheap_loss(ONE_SHOT, shared_losses(table, data, recipe), load_truth(str(path)))


def print_truth(result: Mapping[str, Any]) -> None:
    """Three tables on a terminal, a sentence before each."""
    for before, columns, lines in _parts(result):
        print_figures(columns, lines, before=before, after="")


def truth_markdown(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The same as Markdown: what cheaper evaluations tell, which choices matter, what the cascade finds."""
    return tuple(f"{before}\n\n{markdown_figures(columns, lines)}\n" for before, columns, lines in _parts(result))


def _parts(result: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    noise = result["noise"]
    low, high = result["loss"]
    repeats = (
        f"{noise['repeated']} were trained from several seeds: variance {noise['seeds']:.2g} between seeds (in the "
        f"middle {noise['seeds_median']:.2g}), {noise['ratio']:.0f} times less"
        if noise["ratio"]
        else "none was trained from several seeds yet"
    )
    better = result["noise_of_the_better_half"]
    if better["ratio"]:
        repeats += f"; in the better half of each size {better['ratio']:.0f} times less"
    fidelities = [
        (row["name"], figure(row["tau"]), figure(row["tau_iso"]), figure(row["regret_iso"], ".2f"),
         figure(row["top10_overlap"], ".2f"), figure(row["error"]), figure(row["within"], ".0%"))
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
            f"{noise['equal_size']:.2g}; {repeats}. What the loss on the way tells of the loss in the end; error: "
            "of the end that learning curves are expected to have, in 80 %: share of ends in that interval.",
            ("after", "τ", "τ size", "regret %", "top10", "error", "in 80 %"),
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
            "of the best that was trained to the end, and cost of the trainings as a share of training the whole bin, "
            f"by the column {result['cost_unit']}.",
            ("size", "in bin", "rank", "top tenth", "cost"),
            cascade,
        ),
    ]
