"""The sub-network whose block scores are least within a budget, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mimar.elastic._block_scores import BlockScores
from mimar.elastic._space import ElasticSpace
from mimar.elastic._subnetwork import SubNetwork
from mimar.errors import BudgetError

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint

Sizes = tuple[int, int]
Cost = Callable[[int, Sizes], float]
"""Layer and its sizes → what it takes of a budget."""

Limits = Sequence[tuple[Cost, float]]
"""Costs, and what their sums over all layers must not exceed."""


GAP: Final = 1e-3
"""Share of the sum by which a solution may miss the least one. Scores err by more; proving the last ten-thousandth took
up to minutes where a budget is a sum of seconds, with which nearly all near-solutions differ."""


def best_within(space: ElasticSpace, scores: BlockScores, limits: Limits) -> SubNetwork:
    """Of all of `space`, the one with the least sum of scores within all `limits`, or one that misses it by `GAP`.

    A choice of one option for each layer, solved by HiGHS (Bercovich et al., "Puzzle", 2024). BudgetError: there is
    none.
    """
    best: tuple[float, SubNetwork] | None = None
    for options in _option_lists(space):
        least = sum(min(scores.of_layer(n, *sizes) for sizes in layer) for n, layer in enumerate(options))
        if best is not None and least >= best[0]:
            continue
        found = _solved(options, scores, limits)
        if found is not None and not space.validate(found[1]) and (best is None or found[0] < best[0]):
            best = found
    if best is None:
        raise BudgetError("no sub-network of the space keeps all budgets: relax them, or allow smaller layers")
    return best[1]


def _option_lists(space: ElasticSpace) -> Iterator[list[list[Sizes]]]:
    """For each layer its options; several such lists where what one layer may be depends on others.

    In the form U one for each pair of sizes that all layers share; in G, where the first layer that is kept needs
    attention, one for each layer that may be the first.
    """
    layers = range(space.parent.num_layers)
    if space.form == "U":
        for kv_heads in space.variables["kv_heads"]:
            for intermediate in space.variables["intermediate"]:
                sizes = (int(kv_heads), int(intermediate))
                yield [[sizes, (0, 0)] if space.droppable(number) else [sizes] for number in layers]
        return
    options = [[(k, w) for k in space.kv_heads[n] for w in space.intermediate[n]] for n in layers]
    if space.form == "R":
        yield options
        return
    for first in layers:
        attending = [sizes for sizes in options[first] if sizes[0]]
        yield [*[[(0, 0)]] * first, attending, *options[first + 1 :]]
        if not space.droppable(first):
            return


def _solved(options: Sequence[Sequence[Sizes]], scores: BlockScores, limits: Limits) -> tuple[float, SubNetwork] | None:
    """Sum of scores and sub-network; None where nothing keeps the budget."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    listed = [(number, sizes) for number, layer in enumerate(options) for sizes in layer]
    score = np.asarray([scores.of_layer(number, *sizes) for number, sizes in listed])
    owner = np.asarray([number for number, _ in listed])
    one_each = csr_array((np.ones(len(listed)), (owner, np.arange(len(listed)))))
    within = [_row([cost(number, sizes) for number, sizes in listed], limit) for cost, limit in limits]
    result = milp(
        score,
        constraints=[LinearConstraint(one_each, 1, 1), *within],
        integrality=np.ones(len(listed)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": GAP},
    )
    if result.x is None:
        return None
    chosen = [sizes for (_, sizes), taken in zip(listed, result.x, strict=True) if taken > 0.5]
    return float(result.fun), SubNetwork(*map(tuple, zip(*chosen, strict=True)))


def _row(costs: Sequence[float], limit: float) -> LinearConstraint:
    """The solver forgives 1e-6 in every row, which is nothing for parameters and much for seconds: small ones grow."""
    from scipy.optimize import LinearConstraint

    largest = np.abs(costs).max()
    scale = 1 / largest if 0 < largest < 1 else 1.0
    return LinearConstraint(scale * np.asarray([costs]), -np.inf, scale * limit)
