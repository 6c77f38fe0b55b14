"""`mimar bench search`: names become strategies, runs become tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mimar.bench import (
    OUTSIDERS,
    MakeSearcher,
    SearchSummary,
    SearchTruth,
    installed_outsiders,
    outsider,
    search_runs,
    search_truth,
    summarise,
)
from mimar.cli._llm import open_llm
from mimar.cli._names import CLASSIC, STRATEGIES, strategy_named
from mimar.cli._output import say
from mimar.cli._study_file import read_calls
from mimar.cli._tables import markdown_figures, print_figures
from mimar.errors import InputError, UnknownNameError
from mimar.llm import LLM
from mimar.strategy import Brief

GROUPS = ("default", "outside", "all")
COLUMNS = ("strategy", "budget", "share", "quartiles", "IGD+", "regret", "µs", "p")
LEFT_OUT = ("quartiles", "regret", "IGD+", "p")
LEGEND = (
    "Median over seeds. share: hypervolume as a share of the exact front's. IGD+: mean distance of the exact front, "
    "regret: mean loss against it over trade-offs, both in units of the frame. µs: CPU time of ask and tell for a "
    "candidate. p: rank test against the best."
)


def bench_search(
    truth: str,
    strategy: str,
    budgets: str,
    *,
    seeds: int,
    llm: str = "none",
    max_cost: float | None = None,
    batch: int = 8,
    problem_seed: int = 0,
    data: Path | None = None,
) -> dict[str, Any]:
    """Runs and their summary as plain data.

    Raises UnknownNameError for a problem or strategy that does not exist, InputError for budgets that are no numbers, a
    table that is missing, or a strategy that needs an LLM where none is given.
    """
    names = _wanted(strategy)
    sizes = _numbers(budgets)
    found = search_truth(truth, data, problem_seed)
    model = open_llm(llm, read_calls=read_calls, max_cost=max_cost)
    searchers = {name: _searcher(name, found, model) for name in names}
    for make in searchers.values():
        make(found.toy.problem, 0)  # one that cannot begin must not spoil hours of the others
    runs = search_runs(
        found, searchers, sizes, seeds, batch=batch, progress=lambda name, seed: say(f"{name}, seed {seed}")
    )
    return {
        "truth": found.name,
        "note": found.note,
        "objectives": [objective.metric for objective in found.toy.problem.objectives],
        "reference_point": list(found.reference.point),
        "ideal_point": list(found.reference.ideal),
        "front_size": len(found.front),
        "llm": llm,
        "batch": batch,
        "summary": [row.to_json() for row in summarise(runs)],
        "runs": [asdict(run) for run in runs],
    }


def _wanted(strategy: str) -> tuple[str, ...]:
    names: list[str] = []
    for name in (part.strip() for part in strategy.split(",")):
        if name in ("default", "all"):
            names += [*CLASSIC, "adaptive"]
        if name in ("outside", "all"):
            names += installed_outsiders()
        if name in (*STRATEGIES, *OUTSIDERS):
            names.append(name)
        elif name not in GROUPS:
            raise UnknownNameError("strategy", name, (*GROUPS, *STRATEGIES, *OUTSIDERS))
    if not names:
        raise InputError("none of these optimisers is installed: pip install 'mimar[bench]'")
    return tuple(dict.fromkeys(names))


def _numbers(budgets: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in budgets.split(",")}))
    except ValueError as error:
        raise InputError(f"--budget must be numbers of evaluations, as 50,150; got {budgets!r}") from error


def _searcher(name: str, truth: SearchTruth, llm: LLM | None) -> MakeSearcher:
    if name in OUTSIDERS:
        return lambda problem, seed: outsider(name, problem, seed)
    brief = Brief("none", f"a benchmark: {truth.note}")
    return lambda problem, seed: strategy_named(name, problem, seed, llm, brief)


def _caption(result: Mapping[str, Any]) -> str:
    point = ", ".join(f"{value:.4g}" for value in result["reference_point"])
    ideal = ", ".join(f"{value:.4g}" for value in result["ideal_point"])
    return (
        f"{result['truth']}: low {' and low '.join(result['objectives'])}; {result['note']}; exact front of "
        f"{result['front_size']} points; frame from ({ideal}) to the reference point ({point})"
    )


def _lines(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [_line(SearchSummary(**row)) for row in result["summary"]]


def _line(row: SearchSummary) -> tuple[str, ...]:
    low, high = row.hv_share_quartiles
    return (
        row.strategy + (" ·" if row.strategy in OUTSIDERS else ""),
        str(row.budget),
        f"{row.hv_share_median:.3f}",
        f"{low:.3f} … {high:.3f}",
        f"{row.igd_plus_median:.4f}",
        f"{row.regret_median:.4f}",
        f"{row.us_per_candidate:.0f}",
        "–" if row.p_best is None else f"{row.p_best:.2g}",
    )


def print_search(result: Mapping[str, Any]) -> None:
    """The table on a terminal."""
    print_figures(COLUMNS, _lines(result), before=_caption(result), after=LEGEND + _marked(), left_out=LEFT_OUT)


def search_markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    return "\n\n".join([_caption(result), markdown_figures(COLUMNS, _lines(result)), LEGEND + _marked()]) + "\n"


def _marked() -> str:
    return " Public optimisers are marked ·."
