"""The one-shot model of a table: its architectures share one set of weights, and what they inherit ranks them."""

from __future__ import annotations

import math

from mimar.bench._tiny_table import TinyTable
from mimar.errors import CandidateError
from mimar.objectives import InheritedLoss
from mimar.training import Recipe, TokenData


def shared_losses(table: TinyTable, data: TokenData, recipe: Recipe) -> dict[str, float]:
    """Id → validation loss with shared weights, nan where an architecture cannot take part. The weights are trained for
    as long as `InheritedLoss` trains them in a search of this recipe.
    """
    archs = [row.architecture for row in table.rows]
    inherited = InheritedLoss(lambda: archs, data, recipe)
    found: dict[str, float] = {}
    for row in table.rows:
        try:
            found[row.id] = inherited(row.architecture)
        except CandidateError:
            found[row.id] = math.nan
    return found
