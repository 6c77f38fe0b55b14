"""Strategies in the space of a table of trained decoders, judged by training what they found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import median
from typing import Any, Final

import numpy as np

from mimar.bench._timed import Searcher, TimedStrategy, require_budgets, searched
from mimar.bench._tiny_search import TinySearch
from mimar.bench._tiny_table import TinyTable
from mimar.objectives import complete_trials
from mimar.space import Architecture, architecture_to_json
from mimar.trial import Trial

BEST_SHARE: Final = 0.1
"""Of the table's architectures: as good as these is a hit."""


@dataclass(frozen=True, slots=True)
class TinyRun:
    """One search, cut at `budget` evaluations.

    best: of what it evaluated, by what guided it. expected: the loss that the table foretells of it, nats a token.
    seconds: CPU time of ask and tell, with whatever the strategy trains for itself and a model in this process.
    llm_cost: US dollars. trained: the loss of `best` after a real training, infinite where that failed, None where
    there was none.
    """

    strategy: str
    seed: int
    budget: int
    best: Architecture
    expected: float
    seconds: float
    llm_calls: int
    llm_tokens: int
    llm_cost: float
    trained: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; `failed` where the training did, without a loss."""
        failed = self.trained == math.inf
        plain = asdict(self) | {"best": architecture_to_json(self.best), "failed": failed}
        return plain | {"trained": None} if failed else plain


@dataclass(frozen=True, slots=True)
class TinySummary:
    """All seeds of a strategy at one budget: medians; trained_range: least and most of `trained`.

    better: share of the table's architectures that are better than `trained`. hits: share of seeds whose best is as
    good as the table's best tenth once it is trained. All four are None where nothing was trained; a training that
    failed, `failed` of them, is worse than any other, and where half of them did there is no `trained`.
    """

    strategy: str
    budget: int
    seeds: int
    expected: float
    trained: float | None
    trained_range: tuple[float, float] | None
    better: float | None
    hits: float | None
    failed: int
    seconds: float
    llm_calls: float
    llm_tokens: float
    llm_cost: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def tiny_runs(
    search: TinySearch,
    searchers: Mapping[str, Searcher[Architecture]],
    budgets: Sequence[int],
    seeds: int,
    *,
    batch: int = 8,
    progress: Callable[[str, int], None] = lambda _name, _seed: None,
) -> list[TinyRun]:
    """One search for each of `searchers` and seed, as long as the largest budget, and a row for each budget.

    As `search_runs`: a search that ends before a budget counts with what it has; one that found nothing has no row.
    InputError for budgets or seeds below 1.
    """
    require_budgets(budgets, seeds)
    found: list[TinyRun] = []
    for name, make in searchers.items():
        for seed in range(seeds):
            progress(name, seed)
            trials, timed = searched((name, seed), make, search.problem, search, (max(budgets), batch))
            cut = [_run(search, (name, seed), trials, budget, timed) for budget in sorted(budgets)]
            found += [run for run in cut if run is not None]
    return found


def _run(
    search: TinySearch,
    who: tuple[str, int],
    trials: Sequence[Trial[Architecture]],
    budget: int,
    timed: TimedStrategy[Architecture],
) -> TinyRun | None:
    done = complete_trials(trials)[:budget]
    if not done:
        return None
    goal = search.guided_by
    best = min(done, key=lambda trial: goal.sign * trial.metrics[goal.metric]).architecture
    seconds, calls = timed.spent_at(budget)
    usages = [call.usage for call in calls]
    tokens = sum(usage.input_tokens + usage.output_tokens for usage in usages)
    cost = sum(usage.cost for usage in usages if not usage.cached)
    return TinyRun(*who, budget, best, search.expectation(best), seconds, len(calls), tokens, cost)


def tiny_summaries(runs: Sequence[TinyRun], table: TinyTable) -> list[TinySummary]:
    """A row for each budget and strategy, the best first: by the loss after training, then by the expected one."""
    found: list[TinySummary] = []
    for _, at_budget in groupby(sorted(runs, key=lambda run: run.budget), key=lambda run: run.budget):
        grouped: dict[str, list[TinyRun]] = {}
        for run in at_budget:
            grouped.setdefault(run.strategy, []).append(run)
        rows = [_summary(group, table) for group in grouped.values()]
        found += sorted(rows, key=lambda row: (math.inf if row.trained is None else row.trained, row.expected))
    return found


def good_loss(table: TinyTable) -> float:
    """The worst loss of the table's best tenth: what is as good is a hit."""
    losses = sorted(row.loss for row in table.rows)
    return losses[max(0, int(BEST_SHARE * len(losses)) - 1)]


def _summary(group: Sequence[TinyRun], table: TinyTable) -> TinySummary:
    trained = [run.trained for run in group if run.trained is not None]
    ended = [loss for loss in trained if loss < math.inf]
    middle = median(trained) if trained else math.inf
    losses = np.asarray([row.loss for row in table.rows])
    return TinySummary(
        group[0].strategy, group[0].budget, len(group),
        expected=median(run.expected for run in group),
        trained=middle if middle < math.inf else None,
        trained_range=(min(ended), max(ended)) if ended else None,
        better=float(np.mean(losses < middle)) if trained else None,
        hits=float(np.mean(np.asarray(trained) <= good_loss(table))) if trained else None,
        failed=len(trained) - len(ended),
        seconds=median(run.seconds for run in group),
        llm_calls=median(run.llm_calls for run in group),
        llm_tokens=median(run.llm_tokens for run in group),
        llm_cost=median(run.llm_cost for run in group),
    )  # fmt: skip
