"""`mimar bench search`: names become strategies, runs become tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mimar.bench import (
    BUILT_IN,
    CONTROL,
    OUTSIDERS,
    SEARCH_TRUTHS,
    GuidedSearcher,
    Searcher,
    SearchSummary,
    installed_outsiders,
    outsider,
    search_runs,
    search_truth,
    summarise,
    without_llm,
)
from mimar.cli._llm import open_llm
from mimar.cli._output import say
from mimar.cli._plugins import STRATEGIES as OTHERS
from mimar.cli._plugins import plugins
from mimar.cli._strategies import CLASSIC, GUIDED, STRATEGIES, Options, require_fitting, strategy_named
from mimar.cli._study_file import read_calls
from mimar.cli._tables import figure, markdown_figures, print_figures
from mimar.errors import InputError, UnknownNameError
from mimar.llm import LLM, UniformLLM
from mimar.objectives import TrainedLoss
from mimar.report import lines_svg
from mimar.strategy import AdaptivePortfolio, Brief, Darts, NichedEvolution, Problem, Strategy

ONE_NICHE = "one-niche"
"""The strategy ``niches`` without its partition, for comparison."""

COLUMNS = ("strategy", "budget", "share", "quartiles", "IGD+", "regret", "µs", "p")
LLM_COLUMNS = ("gain", "per call", "tokens", "rejected")
LEFT_OUT = ("quartiles", "regret", "IGD+", "p", "µs")
LEGEND = (
    "Median over seeds. share: hypervolume as a share of the exact front's. IGD+: mean distance of the exact front, "
    "regret: mean loss against it over trade-offs, both in units of the frame. µs: CPU time of ask and tell for a "
    "candidate. p: rank test against the best."
)
LLM_LEGEND = (
    " Of the LLM: gain in share over uniform random choice in its place, unique valid candidates per call, tokens for "
    "each of them, share of rejected ones."
)


def bench_search(
    truth: str,
    strategy: str,
    budgets: str,
    *,
    seeds: int,
    llm: str = "none",
    anonymise: bool = False,
    max_cost: float | None = None,
    batch: int = 8,
    problem_seed: int = 0,
    data: Path | None = None,
) -> dict[str, Any]:
    """Runs and their summary as plain data.

    Raises UnknownNameError for a problem or strategy that does not exist, InputError for budgets that are no numbers, a
    table that is missing, or a strategy that needs an LLM where none is given.
    """
    names = wanted_strategies(strategy)
    sizes = budget_numbers(budgets)
    if truth not in SEARCH_TRUTHS:
        raise UnknownNameError("search problem", truth, (*SEARCH_TRUTHS, *BUILT_IN))
    found = search_truth(truth, data, problem_seed)
    brief = Brief("none", f"a benchmark: {found.note}", anonymous=anonymise)
    searchers = entered(names, open_llm(llm, read_calls=read_calls, max_cost=max_cost), brief)
    require_able(searchers, found.toy.problem)
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
        "anonymised": anonymise,
        "batch": batch,
        "summary": [row.to_json() for row in summarise(runs)],
        "runs": [asdict(run) for run in runs],
    }


def wanted_strategies(strategy: str) -> tuple[str, ...]:
    """``NAME[:ARM],…`` and the names of groups → strategies, none twice; UnknownNameError lists all."""
    groups = {"default": (*CLASSIC, AdaptivePortfolio.name), "outside": installed_outsiders(), "guided": tuple(GUIDED)}
    groups["all"] = groups["default"] + groups["outside"]
    names: list[str] = []
    for name in (part.strip() for part in strategy.split(",")):
        single, colon, arm = name.partition(":")
        if name in groups:
            names += groups[name]
            continue
        if name not in (ONE_NICHE, *OUTSIDERS):
            _require(single if arm or not colon else name, arm, (*groups, *STRATEGIES, ONE_NICHE, *OUTSIDERS))
        names.append(name)
    if not names:
        raise InputError("none of these optimisers is installed: pip install 'mimar[bench]'")
    return tuple(dict.fromkeys(names))


def _require(strategy: str, arm: str, known: tuple[str, ...]) -> None:
    if strategy not in (*STRATEGIES, *plugins(OTHERS)):
        raise UnknownNameError("strategy", strategy, known)
    require_fitting(strategy, arm, {})


def budget_numbers(budgets: str) -> tuple[int, ...]:
    """``50,150`` → ascending numbers."""
    try:
        return tuple(sorted({int(part) for part in budgets.split(",")}))
    except ValueError as error:
        raise InputError(f"--budget must be numbers of evaluations, as 50,150; got {budgets!r}") from error


def entered(
    names: Sequence[str], llm: LLM | None, brief: Brief, training: TrainedLoss | None = None
) -> dict[str, Searcher[Any]]:
    """By the name of its row; what asks an LLM has another row with uniform choice in the LLM's place.

    training: what a strategy trains a model of its own with.
    """
    found: dict[str, Searcher[Any]] = {}
    for name in names:
        strategy, _, arm = name.partition(":")
        if name in OUTSIDERS:
            found[name] = partial(outsider, name)
        elif name == ONE_NICHE:
            found[name] = partial(NichedEvolution, partition=False)
        elif llm is None or name in CLASSIC or name == Darts.name:
            found[name] = partial(
                strategy_named, strategy, said=(None, brief), options=Options(arm=arm, training=training)
            )
        else:
            found[name] = GuidedSearcher(llm, _Guided(strategy, arm, brief))
            if llm.name != CONTROL:
                found[without_llm(name)] = GuidedSearcher(UniformLLM(), _Guided(strategy, arm, brief))
    return found


def require_able(searchers: Mapping[str, Searcher[Any]], problem: Problem[Any]) -> None:
    """Begin each: one that cannot must not spoil hours of the others."""
    for searcher in searchers.values():
        if isinstance(searcher, GuidedSearcher):
            searcher.make(problem, 0, searcher.llm)
        else:
            searcher(problem, 0)


@dataclass(frozen=True)
class _Guided:
    """A strategy that asks an LLM, but for the problem, the seed and the LLM."""

    strategy: str
    arm: str
    brief: Brief

    def __call__(self, problem: Problem[Any], seed: int, llm: LLM) -> Strategy[Any]:
        return strategy_named(self.strategy, problem, seed, (llm, self.brief), Options(arm=self.arm))


def _caption(result: Mapping[str, Any]) -> str:
    point = ", ".join(f"{value:.4g}" for value in result["reference_point"])
    ideal = ", ".join(f"{value:.4g}" for value in result["ideal_point"])
    return (
        f"{result['truth']}: low {' and low '.join(result['objectives'])}; {result['note']}; exact front of "
        f"{result['front_size']} points; frame from ({ideal}) to the reference point ({point})"
    )


def _lines(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    lines = [_line(SearchSummary(**row)) for row in result["summary"]]
    return lines if _asks(result) else [line[: len(COLUMNS)] for line in lines]


def _asks(result: Mapping[str, Any]) -> bool:
    """Whether any strategy asked an LLM."""
    return any(row["llm"] for row in result["summary"])


def _columns(result: Mapping[str, Any]) -> tuple[str, ...]:
    return (*COLUMNS, *LLM_COLUMNS) if _asks(result) else COLUMNS


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
        figure(row.p_best, ".2g"),
        figure(row.llm_gain, "+.3f"),
        figure(row.candidates_per_call, ".1f"),
        figure(row.tokens_per_candidate, ".0f"),
        figure(row.rejected_share, ".0%"),
    )


def print_search(result: Mapping[str, Any]) -> None:
    """The table on a terminal."""
    print_figures(_columns(result), _lines(result), before=_caption(result), after=_legend(result), left_out=LEFT_OUT)


def search_markdown(result: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    return "\n\n".join([_caption(result), markdown_figures(_columns(result), _lines(result)), _legend(result)]) + "\n"


def _legend(result: Mapping[str, Any]) -> str:
    return f"{LEGEND}{LLM_LEGEND if _asks(result) else ''} Public optimisers are marked ·."


def search_svg(result: Mapping[str, Any]) -> str:
    """What each strategy lacks of the exact front, over evaluations: one minus the median share."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in result["summary"]:
        lines.setdefault(row["strategy"], []).append((row["budget"], 1 - row["hv_share_median"]))
    title = f"{result['truth']}: share of the exact hypervolume that is missing, median"
    return lines_svg(title, "evaluations", "missing share", lines)
