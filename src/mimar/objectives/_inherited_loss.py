"""The validation loss with weights that all candidates share, as a cheap stand-in for a training of each."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

from mimar.errors import CandidateError, InputError, memory_explained
from mimar.hardware import device_here, memory_bytes
from mimar.space import Architecture
from mimar.training import Recipe, TokenData

if TYPE_CHECKING:
    from mimar.supernet import SharedDecoder
    from mimar.training import Batch

ONE_SHOT: Final = "one-shot"
"""The fidelity at which a candidate is judged with shared weights."""

JUDGED_ON: Final = 16_384
"""Tokens of the validation text, spread over all of it."""

SHARING: Final = "weights that all candidates share"

TRAINED_BYTES: Final = 16
"""Of a weight in training: itself, its gradient, and two moments of AdamW."""

SHARED_TOKENS: Final = 5
"""Trainings of a candidate that the shared weights are given as tokens; a quarter of each step goes through one."""


@dataclass(frozen=True)
class InheritedLoss:
    """Trains shared weights once, when the first candidate comes, and judges each with its part of them; nats a token.

    draw: gives what the weights are made and trained for, a sample of the space; of a candidate that is larger than all
    of them, what is beyond them is untrained. recipe: of one candidate's training. device: as of `device_here`.
    """

    draw: Callable[[], Sequence[Architecture]]
    data: TokenData
    recipe: Recipe
    device: str = "cpu"

    def __reduce__(self) -> tuple[object, ...]:
        """A copy in another process is sent the sample, and trains its own weights, which come out the same; all copies
        that come there are one.
        """
        return _copied, (self._key, partial(tuple, self._sample), self.data, self.recipe, self.device)

    def __call__(self, arch: Architecture) -> float:
        """The loss.

        CandidateError: the shared weights could not be trained, or memory does not suffice. InputError: they would take
        more memory than there is.
        """
        shared = self._shared
        if isinstance(shared, str):
            raise CandidateError(shared)
        with memory_explained(f"a candidate among {SHARING}"):
            return shared.inherited_loss(arch, self._batches)

    @cached_property
    def _key(self) -> str:
        """By which processes know their copies of it."""
        return uuid.uuid4().hex

    @cached_property
    def _sample(self) -> Sequence[Architecture]:
        return self.draw()

    @cached_property
    def _shared(self) -> SharedDecoder | str:
        """The weights, or why there are none; they are not trained again then."""
        try:
            with memory_explained(SHARING):
                return self._trained()
        except CandidateError as error:
            return str(error)

    def _trained(self) -> SharedDecoder:
        from mimar.supernet import SharedDecoder, shared_shapes, train_shared

        archs, device = self._sample, device_here(self.device)
        needed = TRAINED_BYTES * sum(math.prod(shape) for shape in shared_shapes(archs).values())
        if needed > memory_bytes(device):
            raise InputError(
                f"{SHARING} would take {needed / 1e9:.1f} GB to train, here are {memory_bytes(device) / 1e9:.1f}: "
                f"leave the gate {ONE_SHOT} out, or narrow the space"
            )
        shared = SharedDecoder(archs, seed=self.recipe.seed).to(device)
        recipe = replace(self.recipe, tokens=SHARED_TOKENS * self.recipe.tokens)
        train_shared(shared, self.data, recipe, lambda rng: archs[int(rng.integers(len(archs)))])
        return shared

    @cached_property
    def _batches(self) -> list[Batch]:
        return self.data.validation_batches(JUDGED_ON, self.recipe.sequences, self.recipe.context_length)


_copies: dict[str, InheritedLoss] = {}


def _copied(key: str, *parts: Any) -> InheritedLoss:
    """The copy of this process, with the weights that it has trained: one at a time, as these are large."""
    if key not in _copies:
        _copies.clear()
        _copies[key] = InheritedLoss(*parts)
    return _copies[key]
