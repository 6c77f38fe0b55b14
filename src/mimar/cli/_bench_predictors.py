"""`mimar bench predictors`: names become learners, rows become a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimar.bench import load_truth, predicted_quantity, predictor_table
from mimar.cli._output import say
from mimar.cli._tables import figure, markdown_figures, print_figures
from mimar.errors import InputError, UnknownNameError
from mimar.predict import LEARNERS, Learner

COLUMNS = ("predictor", "rows", "tested", "error", "τ", "in 50 %", "in 80 %", "in 95 %", "nll", "ms")
LEFT_OUT = ("tested", "in 50 %", "in 95 %", "ms", "nll")


def bench_predictors(
    truth: str, predictor: str, train: str, *, seeds: int, label: str | None, data: Path | None
) -> dict[str, Any]:
    """The table as plain data. Raises UnknownNameError for a truth or predictor, InputError for what cannot be read."""
    learners, sizes = _learners(predictor), _sizes(train)
    table = load_truth(truth, data, label)
    rows = predictor_table(
        table, sizes, learners, seeds=seeds, progress=lambda name, size: say(f"fitting {name} to {size} rows")
    )
    return {
        "truth": table.name,
        "n": len(table.rows),
        "quantity": predicted_quantity(table)[0],
        "seeds": seeds,
        "rows": [row.to_json() for row in rows],
    }


def _learners(names: str) -> list[Learner]:
    known = {learner.name: learner for learner in LEARNERS}
    wanted: list[str] = []
    for name in (part.strip() for part in names.split(",")):
        if name not in ("all", *known):
            raise UnknownNameError("predictor", name, ("all", *known))
        wanted += known if name == "all" else [name]
    return [known[name] for name in dict.fromkeys(wanted)]


def _sizes(train: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(size) for size in train.split(",")))
    except ValueError as error:
        raise InputError(f"expected numbers of rows to train on, such as 50,200, got --train {train!r}") from error


def print_predictors(result: Mapping[str, Any]) -> None:
    """The table on a terminal."""
    lines = [_line(row) for row in result["rows"]]
    print_figures(COLUMNS, lines, before=_caption(result), after=_legend(result), left_out=LEFT_OUT)


def predictors_markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    lines = [_line(row) for row in result["rows"]]
    return "\n\n".join([_caption(result), markdown_figures(COLUMNS, lines), _legend(result)]) + "\n"


def _caption(result: Mapping[str, Any]) -> str:
    return f"{result['truth']}: {result['n']} rows; predicted is {result['quantity']}"


def _legend(result: Mapping[str, Any]) -> str:
    seeds = result["seeds"]
    medians = f" Medians of {seeds} random choices of rows." if seeds > 1 else ""
    return (
        "rows: trained on. tested: with networks that were not. error: root mean square. in 50 %: share of results in "
        "the interval that should hold half of them. nll: mean negative log-likelihood, lower is better. ms: to fit "
        f"and to predict.{medians}"
    )


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["predictor"],
        str(row["train"]),
        str(row["tested"]),
        figure(row["rmse"], ".3g"),
        figure(row["tau"]),
        *(figure(row[f"within_{level}"], ".0%") for level in (50, 80, 95)),
        figure(row["nll"], ".2f"),
        figure(1000 * row["seconds"], ".3g"),
    )
