"""The one-shot model of a table: its architectures share one set of weights, and what they inherit ranks them."""

from __future__ import annotations

from mimar.bench._tiny_table import TinyTable
from mimar.objectives import InheritedLoss
from mimar.training import Recipe, TokenData


def shared_losses(table: TinyTable, data: TokenData, recipe: Recipe) -> dict[str, float]:
    """Id → validation loss with shared weights, trained for as long as `InheritedLoss` does in a search of this recipe.

    CandidateError: that training diverged. InputError: memory does not suffice.
    """
    archs = [row.architecture for row in table.rows]
    inherited = InheritedLoss(lambda: archs, data, recipe)
    return {row.id: inherited(row.architecture) for row in table.rows}
