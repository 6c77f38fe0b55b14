"""A search in the space of a table of trained decoders, guided by what the table foretells or by a score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from mimar.bench._decoder_tiny import LEAST, MOST, TINY
from mimar.bench._measures import tau
from mimar.bench._options import decoder_features
from mimar.bench._tiny_table import TinyTable
from mimar.errors import InputError
from mimar.objectives import Budget, Objective
from mimar.pareto import Reference
from mimar.predict import Predictor, choose_predictor, held_out
from mimar.proxies import DecoderSubject, Proxy, ProxyInputs, adw
from mimar.shapes import nonembedding_parameters
from mimar.space import Architecture, Defaults, TransformerSpace
from mimar.strategy import Axis, Problem
from mimar.trial import FULL

EXPECTED: Final = Objective("expected_loss", "min")
SCORE: Final = Objective("score", "max")

FOLDS: Final = 5
FEWEST_JUDGED: Final = 10
SIZE: Final = "nonembedding_params"
BUDGETS: Final = (Budget(SIZE, "min", LEAST), Budget(SIZE, "max", MOST))


@dataclass(frozen=True)
class TableExpectation:
    """What a table foretells of an architecture that it does not hold.

    learner: the one of all with the least error on rows that it did not see. error, tau: how far off it is on them,
    root mean square in nats a token, and how it ranks them; of the `judged` ones that lie in the searched space, or of
    all where those are too few. The learner was chosen by all, so that these are hardly too good.
    """

    learner: str
    predictor: Predictor
    judged: int
    error: float
    tau: float

    @staticmethod
    def fit(table: TinyTable, space: TransformerSpace, seed: int = 0) -> TableExpectation:
        """InputError for a table of fewer than 10 architectures."""
        if len(table.rows) < 2 * FOLDS:
            raise InputError(f"a search needs a table of at least {2 * FOLDS} architectures, got {len(table.rows)}")
        x, y = decoder_features([row.architecture for row in table.rows]), np.asarray([row.loss for row in table.rows])
        rng = np.random.default_rng(seed)
        chosen = choose_predictor(x, y, rng, folds=FOLDS)
        mean, _ = held_out(chosen.learner, x, y, rng.permutation(np.arange(len(y)) % FOLDS), rng)
        inside = np.asarray([not space.validate(row.architecture) for row in table.rows])
        judged = inside if inside.sum() >= FEWEST_JUDGED else np.ones(len(y), dtype=bool)
        error = float(np.sqrt(np.mean((mean - y)[judged] ** 2)))
        told = tau(mean[judged], y[judged]) or 0.0
        return TableExpectation(chosen.learner.name, chosen.predictor, int(judged.sum()), error, told)

    def __call__(self, arch: Architecture) -> float:
        """Loss in nats a token."""
        return float(self.predictor.predict(decoder_features([arch]))[0][0])


@dataclass(frozen=True)
class TinySearch:
    """A problem in the space of a table, uniform and untied, with its evaluator.

    guided_by: what the strategies are told of a candidate, `EXPECTED` or `SCORE`; they know nothing of the other.
    """

    problem: Problem[Architecture]
    expectation: TableExpectation
    guided_by: Objective
    score: Proxy

    @staticmethod
    def over(table: TinyTable, zero_shot: bool, score: Proxy = adw) -> TinySearch:
        """zero_shot: guided by `score` and not by the table."""
        first = table.rows[0].architecture
        defaults = Defaults(first.vocab_size, first.context_length, tied_embeddings=False)
        space = TransformerSpace("uniform", defaults, TINY.sizes, TINY.layer, TINY.final)
        guided_by = SCORE if zero_shot else EXPECTED
        scores = [score(ProxyInputs(DecoderSubject(row.architecture))) for row in table.rows] if zero_shot else []
        losses = [-each for each in scores] or [row.loss for row in table.rows]
        problem = Problem(
            space,
            (guided_by,),
            lambda arch: space.validate(arch) or _broken(arch),
            lambda arch: sum(budget.excess(_known(arch)) for budget in BUDGETS),
            _known,
            Reference((max(losses),), (min(losses),)),
            axes=(Axis("num_layers", lambda arch: arch.num_layers), Axis(SIZE, lambda arch: _known(arch)[SIZE], 3)),
        )
        return TinySearch(problem, TableExpectation.fit(table, space), guided_by, score)

    def evaluate(self, arch: Architecture, fidelity: str = FULL) -> Mapping[str, float]:
        """As `Evaluator.evaluate`; every fidelity is the same."""
        if self.guided_by == EXPECTED:
            return {EXPECTED.metric: self.expectation(arch), **_known(arch)}
        return {SCORE.metric: self.score(ProxyInputs(DecoderSubject(arch))), **_known(arch)}


@lru_cache(maxsize=20_000)
def _known(arch: Architecture) -> Mapping[str, float]:
    return {SIZE: float(nonembedding_parameters(arch))}


def _broken(arch: Architecture) -> tuple[str, ...]:
    return tuple(reason for budget in BUDGETS if (reason := budget.broken(_known(arch))))
