"""The sub-network whose block scores are least within a budget, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mimar.elastic._scores import BlockScores
from mimar.elastic._space import ElasticSpace
from mimar.elastic._subnetwork import SubNetwork
from mimar.errors import BudgetError

Sizes = tuple[int, int]
Cost = Callable[[int, Sizes], float]
"""Layer and its sizes → what it takes of a budget."""

Limits = Sequence[tuple[Cost, float]]
"""Costs, and what their sums over all layers must not exceed."""


def best_within(space: ElasticSpace, scores: BlockScores, limits: Limits) -> SubNetwork:
    """Of all of `space`, the one with the least sum of scores within all `limits`.

    A choice of one option for each layer, solved by HiGHS (Puzzle: Bercovich et al., 2024, §5). BudgetError: there is
    none.
    """
    found = [
        solved
        for options in _option_lists(space)
        if (solved := _solved(options, scores, limits)) is not None and not space.validate(solved[1])
    ]
    if not found:
        raise BudgetError("no sub-network of the space keeps all budgets: relax them, or allow smaller layers")
    return min(found, key=lambda each: each[0])[1]


def _option_lists(space: ElasticSpace) -> Iterator[list[list[Sizes]]]:
    """For each layer its options; in the form U a list for each pair of sizes that all layers share."""
    layers = range(space.parent.num_layers)
    if space.form == "U":
        for kv_heads in space.variables["kv_heads"]:
            for intermediate in space.variables["intermediate"]:
                sizes = (int(kv_heads), int(intermediate))
                yield [[sizes, (0, 0)] if space.droppable(number) else [sizes] for number in layers]
        return
    options = [[(k, w) for k in space.kv_heads[n] for w in space.intermediate[n]] for n in layers]
    if space.form == "G":  # the first layer that is kept needs attention: without loss of much, the first one keeps it
        options[0] = [sizes for sizes in options[0] if sizes[0]]
    yield options


def _solved(options: Sequence[Sequence[Sizes]], scores: BlockScores, limits: Limits) -> tuple[float, SubNetwork] | None:
    """Sum of scores and sub-network; None where nothing keeps the budget."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    listed = [(number, sizes) for number, layer in enumerate(options) for sizes in layer]
    score = np.asarray([scores.of_layer(number, *sizes) for number, sizes in listed])
    owner = np.asarray([number for number, _ in listed])
    one_each = csr_array((np.ones(len(listed)), (owner, np.arange(len(listed)))))
    within = [
        LinearConstraint(np.asarray([[cost(number, sizes) for number, sizes in listed]]), -np.inf, limit)
        for cost, limit in limits
    ]
    result = milp(
        score,
        constraints=[LinearConstraint(one_each, 1, 1), *within],
        integrality=np.ones(len(listed)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 1e-4},
    )
    if result.x is None:
        return None
    chosen = [sizes for (_, sizes), taken in zip(listed, result.x, strict=True) if taken > 0.5]
    return float(result.fun), SubNetwork(*map(tuple, zip(*chosen, strict=True)))
