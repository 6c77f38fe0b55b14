"""The cascade of `design` on a table of trained decoders: what it finds in each bin of equal size, at which cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mimar.bench._tiny_table import TinyRow, TinyTable
from mimar.objectives import SCORED, Objective
from mimar.pareto import Reference
from mimar.proxies import DecoderSubject, Proxy, ProxyInputs
from mimar.space import ProductSpace
from mimar.strategy import Cascade, Gate, Problem
from mimar.study import Study
from mimar.trial import FULL, Proposal, Trial

LOSS, SCORE = Objective("loss", "min"), Objective("score", "max")

Place = tuple[str | int | float, ...]
"""A row of the bin, as a candidate of a space with one variable."""


@dataclass(frozen=True, slots=True)
class CascadeRow:
    """What came of one bin.

    sizes: least and most non-embedding parameters. rank: of the best that was trained to the end, 1 for the best of the
    bin. top_tenth: whether that is in the bin's best tenth, at least the best. cost: of all trainings, as a share of
    what training the whole bin costs; scores are not counted.
    """

    architectures: int
    sizes: tuple[float, float]
    rank: int
    top_tenth: bool
    cost: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def cascade_rows(table: TinyTable, gates: Sequence[Gate], score: Proxy, bins: int, seed: int = 0) -> list[CascadeRow]:
    """One row for each of so many bins of equal size: all of the bin go in, and what passes `gates` is trained."""
    order = np.argsort([row.size for row in table.rows], kind="stable")
    return [
        _row([table.rows[int(index)] for index in part], gates, score, seed) for part in np.array_split(order, bins)
    ]


def _row(rows: Sequence[TinyRow], gates: Sequence[Gate], score: Proxy, seed: int) -> CascadeRow:
    evaluator = _Table(
        rows, {i: score(ProxyInputs(DecoderSubject(row.architecture), seed)) for i, row in enumerate(rows)}
    )
    space = ProductSpace({"row": tuple(range(len(rows)))})
    problem = Problem(
        space, (LOSS,), space.validate, lambda _: 0.0, lambda _: {}, Reference((10.0,), (0.0,))
    )  # fmt: skip
    study = Study(problem, Cascade(_All(len(rows)), problem, gates, SCORE), evaluator, batch=1)
    study.run(1)
    best = min(trial.metrics["loss"] for trial in study.trials if trial.status == "complete")
    rank = 1 + sum(row.loss < best for row in rows)
    whole = sum(row.cost for row in rows)
    sizes = [row.size for row in rows]
    tenth = max(1, len(rows) // 10)
    return CascadeRow(len(rows), (min(sizes), max(sizes)), rank, rank <= tenth, evaluator.spent / whole)


class _All:
    """Puts all rows forward at once, and nothing afterwards."""

    name = "all"

    def __init__(self, count: int) -> None:
        self._left: list[Proposal[Place]] = [Proposal((index,), "row") for index in range(count)]

    def ask(self, n: int) -> Sequence[Proposal[Place]]:
        found, self._left = self._left, []
        return found

    def tell(self, trials: Sequence[Trial[Place]]) -> None:
        """Nothing is learnt."""


class _Table:
    """What training says, read from the table; `spent` adds up costs, a training that goes on costs the rest."""

    def __init__(self, rows: Sequence[TinyRow], scores: Mapping[int, float]) -> None:
        self._rows, self._scores = rows, scores
        self._done: dict[int, float] = {}
        self.spent = 0.0

    def evaluate(self, arch: Place, fidelity: str = FULL) -> Mapping[str, float]:
        place = int(arch[0])
        row = self._rows[place]
        if fidelity == SCORED:
            return {"score": self._scores[place]}
        share = 1.0 if fidelity == FULL else float(fidelity.removesuffix("%")) / 100.0
        self.spent += row.cost * (share - self._done.get(place, 0.0))
        self._done[place] = share
        return {"score": self._scores[place], "loss": row.loss if fidelity == FULL else row.curve[fidelity]}
