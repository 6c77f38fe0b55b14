"""The validation loss with weights that all candidates share, as a cheap stand-in for a training of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from mimar.space import Architecture
from mimar.training import Recipe, TokenData

if TYPE_CHECKING:
    from mimar.supernet import SharedDecoder
    from mimar.training import Batch

ONE_SHOT: Final = "one-shot"
"""The fidelity at which a candidate is judged with shared weights."""

JUDGED_ON: Final = 16_384
"""Tokens of the validation text, spread over all of it."""

SHARED_TOKENS: Final = 5
"""Trainings of a candidate that the shared weights are given as tokens; a quarter of each step goes through one."""


@dataclass(frozen=True)
class InheritedLoss:
    """Trains shared weights once, when the first candidate comes, and judges each with its part of them; nats a token.

    draw: gives what the weights are made and trained for, a sample of the space; a candidate that is larger than all of
    them somewhere fails as a candidate. recipe: of one candidate's training.
    """

    draw: Callable[[], Sequence[Architecture]]
    data: TokenData
    recipe: Recipe
    device: str = "cpu"

    def __call__(self, arch: Architecture) -> float:
        """The loss; CandidateError where the shared weights are too small for it, or could not be trained."""
        return self._shared.inherited_loss(arch, self._batches)

    @cached_property
    def _shared(self) -> SharedDecoder:
        from mimar.supernet import SharedDecoder, train_shared

        archs = self.draw()
        shared = SharedDecoder(archs, seed=self.recipe.seed).to(self.device)
        recipe = replace(self.recipe, tokens=SHARED_TOKENS * self.recipe.tokens)
        train_shared(shared, self.data, recipe, lambda rng: archs[int(rng.integers(len(archs)))])
        return shared

    @cached_property
    def _batches(self) -> list[Batch]:
        return self.data.validation_batches(JUDGED_ON, self.recipe.sequences, self.recipe.context_length)
