"""`mimar bench search --truth decoder_tiny`: strategies in the space of a table, their best trained for real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mimar.bench import (
    BUILT_IN,
    TinyRun,
    TinySearch,
    TinySummary,
    TinyTable,
    good_loss,
    table_recipe,
    tiny_runs,
    tiny_summaries,
    train_more,
)
from mimar.cli._bench_search import budget_numbers, entered, require_able, wanted_strategies
from mimar.cli._bench_truth import table_path
from mimar.cli._llm import open_llm
from mimar.cli._make_truth import report_row
from mimar.cli._output import say
from mimar.cli._study_file import read_calls
from mimar.cli._tables import figure, markdown_figures, print_figures
from mimar.cli._training import TextSource
from mimar.errors import InputError
from mimar.objectives import TrainedLoss
from mimar.strategy import Brief
from mimar.training import Recipe, TokenData

ZERO_SHOT: Final = ":zero-shot"
"""Behind the name of a table: guided by the default score alone."""

COLUMNS = (
    "strategy", "budget", "seeds", "expected", "trained", "least … most", "better", "hits", "s", "calls", "tokens", "$",
)  # fmt: skip
LEFT_OUT = ("$", "tokens", "calls", "least … most")
LEGEND = (
    "Median over seeds that found something. expected: the loss that the table foretells of the best candidate found, "
    "trained: what it is after training, in nats a token. better: share of the table's architectures that are better "
    "than that. hits: share of seeds whose best is as good as the table's best tenth. s: CPU time of the search."
)


@dataclass(frozen=True)
class Winners:
    """How the best of each search are trained: the table's text, how many at a time, where they are kept."""

    source: TextSource
    kept: Path
    processes: int

    @staticmethod
    def asked(
        text: Sequence[str],
        validation: Sequence[str] | None,
        tokenizer: str | None,
        kept: Path | None,
        processes: int | None,
    ) -> Winners:
        """As the options say, whose value is None where one was not given."""
        source = TextSource(tuple(text), tuple(validation or ()), tokenizer or "train:1024")
        return Winners(source, kept or Path("winners.csv"), processes or 1)


def is_table(truth: str) -> bool:
    """Whether `truth` is searched here."""
    name = truth.removesuffix(ZERO_SHOT)
    return name in BUILT_IN or name.endswith(".csv")


def bench_tiny(
    truth: str,
    strategy: str,
    budgets: str,
    *,
    seeds: int,
    winners: Winners | None,
    llm: str = "none",
    anonymise: bool = False,
    max_cost: float | None = None,
    batch: int = 8,
) -> dict[str, Any]:
    """Runs and their summary as plain data; winners: None to train none of what is found. Errors as `bench_search`."""
    names, sizes = wanted_strategies(strategy), budget_numbers(budgets)
    path = table_path(truth.removesuffix(ZERO_SHOT))
    table = TinyTable.read(path)
    training = None if winners is None else _training(path, winners)
    search = TinySearch.over(table, truth.endswith(ZERO_SHOT))
    brief = Brief("none", "a small decoder-only language model", anonymous=anonymise)
    searchers = entered(names, open_llm(llm, read_calls=read_calls, max_cost=max_cost), brief, training)
    require_able(searchers, search.problem)
    runs = tiny_runs(
        search, searchers, sizes, seeds, batch=batch,
        progress=lambda name, seed: say(f"{name}, seed {seed}"),
    )  # fmt: skip
    if winners is not None and training is not None:
        runs = _trained(runs, winners, training.data, training.recipe)
    losses = [row.loss for row in table.rows]
    return {
        "truth": truth,
        "guided_by": search.guided_by.metric,
        "architectures": len(losses),
        "table": {
            "best": min(losses),
            "best_tenth": good_loss(table),
            "median": float(np.median(losses)),
        },
        "learner": search.expectation.learner,
        "judged": search.expectation.judged,
        "error": search.expectation.error,
        "tau": search.expectation.tau,
        "llm": llm,
        "batch": batch,
        "summary": [row.to_json() for row in tiny_summaries(runs, table)],
        "runs": [run.to_json() for run in runs],
    }


def _training(path: Path, winners: Winners) -> TrainedLoss:
    """What the table was trained with; InputError, before hours are spent, where other trainings are kept already."""
    if winners.kept.resolve() == path.resolve():
        raise InputError(f"--kept {winners.kept} is the table that is searched: choose another file")
    _, data = winners.source.read
    recipe = table_recipe(path, data)
    train_more(winners.kept, [], data, recipe)
    return TrainedLoss(data, recipe)


def _trained(runs: Sequence[TinyRun], winners: Winners, data: TokenData, recipe: Recipe) -> list[TinyRun]:
    best = list(dict.fromkeys(run.best for run in runs))
    say(f"training {len(best)} architectures, or what {winners.kept} does not hold of them")
    losses = train_more(winners.kept, best, data, recipe, processes=winners.processes, on_row=report_row)
    if missing := len(best) - len(losses):
        say(f"{missing} could not be trained and are left out; the same command tries again")
    return [replace(run, trained=losses.get(run.best)) for run in runs]


def print_tiny(result: Mapping[str, Any]) -> None:
    """The table on a terminal."""
    print_figures(COLUMNS, _lines(result), before=_caption(result), after=LEGEND, left_out=LEFT_OUT)


def tiny_markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    return "\n\n".join([_caption(result), markdown_figures(COLUMNS, _lines(result)), LEGEND]) + "\n"


def _caption(result: Mapping[str, Any]) -> str:
    table = result["table"]
    return (
        f"{result['truth']}: strategies are guided by the {result['guided_by'].replace('_', ' ')} alone; "
        f"{result['architectures']} architectures in the table, best {table['best']:.3f}, best tenth up to "
        f"{table['best_tenth']:.3f}, median {table['median']:.3f}; what it foretells ({result['learner']}) is off by "
        f"{result['error']:.2f} on {result['judged']} of these, held out, τ {result['tau']:.2f}"
    )


def _lines(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [_line(TinySummary(**row)) for row in result["summary"]]


def _line(row: TinySummary) -> tuple[str, ...]:
    span = "" if row.trained_range is None else f"{row.trained_range[0]:.3f} … {row.trained_range[1]:.3f}"
    return (
        row.strategy,
        str(row.budget),
        str(row.seeds),
        f"{row.expected:.3f}",
        figure(row.trained),
        span,
        figure(row.better, ".0%"),
        figure(row.hits, ".0%"),
        f"{row.seconds:.1f}",
        f"{row.llm_calls:.0f}",
        f"{row.llm_tokens:.0f}",
        f"{row.llm_cost:.4f}",
    )
