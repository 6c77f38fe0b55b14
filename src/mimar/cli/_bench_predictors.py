"""`mimar bench predictors`: names become learners, rows become a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimar.bench import load_truth, predictor_table, target
from mimar.cli._output import say
from mimar.errors import InputError, UnknownNameError
from mimar.predict import LEARNERS, Learner

COLUMNS = ("predictor", "rows", "error", "τ", "in 50 %", "in 80 %", "in 95 %", "nll", "ms")
LEGEND = (
    "rows: trained on; error: root mean square, on rows that were not; in 50 %: share of results in the interval that "
    "should hold half of them; nll: mean negative log-likelihood, lower is better; ms: to fit and to predict. Medians"
)


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
        "target": target(table)[0],
        "seeds": seeds,
        "rows": [row.to_json() for row in rows],
    }


def _learners(names: str) -> list[Learner]:
    known = {learner.name: learner for learner in LEARNERS}
    wanted = list(known) if names == "all" else [name.strip() for name in names.split(",")]
    for unknown in (name for name in wanted if name not in known):
        raise UnknownNameError("predictor", unknown, ("all", *known))
    return [known[name] for name in dict.fromkeys(wanted)]


def _sizes(train: str) -> list[int]:
    try:
        return [int(size) for size in train.split(",")]
    except ValueError as error:
        raise InputError(f"expected numbers of rows to train on, such as 50,200, got --train {train!r}") from error


def print_predictors(result: Mapping[str, Any]) -> None:
    """The table on a terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in result["rows"]:
        table.add_row(*_line(row))
    console = Console(highlight=False)
    console.print(_caption(result))
    console.print(table)
    console.print(_legend(result))


def predictors_markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    head = [f"| {' | '.join(COLUMNS)} |", "|---" + "|---:" * (len(COLUMNS) - 1) + "|"]
    rows = [f"| {' | '.join(_line(row))} |" for row in result["rows"]]
    return "\n".join([_caption(result), "", *head, *rows, "", _legend(result)]) + "\n"


def _caption(result: Mapping[str, Any]) -> str:
    tested = max(row["tested"] for row in result["rows"])
    return f"{result['truth']}: {result['n']} rows, of which {tested} at most are predicted; {result['target']}"


def _legend(result: Mapping[str, Any]) -> str:
    return f"{LEGEND} of {result['seeds']} random choices of rows."


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["predictor"],
        str(row["train"]),
        f"{row['rmse']:.3g}",
        "–" if row["tau"] is None else f"{row['tau']:.3f}",
        *(f"{row[f'within_{level}']:.0%}" for level in (50, 80, 95)),
        f"{row['nll']:.2f}",
        f"{1000 * row['seconds']:.3g}",
    )
