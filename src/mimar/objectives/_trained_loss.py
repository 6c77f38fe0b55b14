"""The validation loss after a short training, as a metric of a candidate."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import numpy as np

from mimar.errors import InputError, StorageFullError, memory_explained
from mimar.hardware import device_here
from mimar.space import Architecture, architecture_to_json
from mimar.training import Fidelity, Recipe, TokenData

LOSS_PREFIX: Final = "loss@"

JUDGED_ON: Final = 65_536
"""Tokens of the validation text, spread over all of it."""

UNITS: Final = ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k"))


def loss_metric(tokens: int) -> str:
    """Name of the loss after so many tokens: ``loss@200k_tokens``."""
    for factor, unit in UNITS:
        if tokens % factor == 0:
            return f"{LOSS_PREFIX}{tokens // factor}{unit}_tokens"
    return f"{LOSS_PREFIX}{tokens}_tokens"


@dataclass(frozen=True)
class TrainedLoss:
    """Trains a candidate from fresh weights and judges it; nats a token.

    Where a fidelity ends part of the way, the training is kept and goes on when the same candidate comes again with
    more steps; the loss is the same as if it had been trained in one go.
    kept_in: the folder where copies of this object in other processes keep them as well, so that each goes on with what
    another paused; by default one that goes when the object does. Where there is no such folder (any more, or on
    another machine), or no room in it, nothing is kept, and a training that comes again begins anew. device: as of
    `device_here`.
    """

    data: TokenData
    recipe: Recipe
    device: str = "cpu"
    kept_in: Path | None = None

    def __reduce__(self) -> tuple[type[TrainedLoss], tuple[TokenData, Recipe, str, Path]]:
        return TrainedLoss, (self.data, self.recipe, self.device, self._work)

    @property
    def metric(self) -> str:
        """Its name."""
        return loss_metric(self.recipe.tokens)

    @property
    def frame(self) -> tuple[float, float]:
        """Worst and best of a plot: the entropy of token frequencies, which a model reaches that sees no context, and
        half of it.
        """
        counts = np.bincount(self.data.validation, minlength=1)
        shares = counts[counts > 0] / len(self.data.validation)
        entropy = float(-np.sum(shares * np.log(shares)))
        return entropy, entropy / 2

    def check(self, context_length: int, vocab_size: int) -> None:
        """InputError where the text is too short, or architectures of this context and vocabulary cannot be trained."""
        self.data.require_enough(self.recipe.context_length)
        if self.recipe.context_length > context_length:
            raise InputError(
                f"trainings with sequences of {self.recipe.context_length} tokens need architectures for as many, got "
                f"{context_length}"
            )
        if self.data.vocab_size > vocab_size:
            raise InputError(
                f"the text has a vocabulary of {self.data.vocab_size} tokens, the architectures only {vocab_size}"
            )

    def __call__(self, arch: Architecture, fidelity: str) -> float:
        """The loss; CandidateError where the training diverges or memory does not suffice."""
        share = Fidelity.named(fidelity)
        recipe, trained = share.recipe(self.recipe), share.architecture(arch)
        last = share.last_step(recipe)
        keeps = self.kept_in is None or self.kept_in.is_dir()
        folder = self._work / _digest(arch) / str(replace(share, steps=1.0))
        kept = folder if keeps and (last < recipe.steps or folder.exists()) else None
        with memory_explained("its training"):
            train = partial(_trained, trained, share.text(self.data), recipe, last, device=device_here(self.device))
            loss = _unless_full(partial(train, folder=kept))
            if loss is None or last == recipe.steps:
                shutil.rmtree(folder, ignore_errors=True)
            return train(folder=None) if loss is None else loss

    def keep_only(self, candidates: Collection[Architecture]) -> None:
        """Forget how far others than `candidates` were trained; if one comes again, it is trained from its start."""
        names = {_digest(arch) for arch in candidates}
        for folder in self._work.iterdir() if self._work.is_dir() else ():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    @cached_property
    def _work(self) -> Path:
        """Where trainings lie: one folder a candidate, and in it one for each model and text it is trained as."""
        if self.kept_in is not None:
            return self.kept_in
        folder = tempfile.mkdtemp(prefix="mimar-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)


def _unless_full(train: Callable[[], float]) -> float | None:
    """None where the disk has no room; what the training held is free again then."""
    with suppress(StorageFullError):
        return train()
    return None


def _trained(
    arch: Architecture, data: TokenData, recipe: Recipe, last: int, *, device: str, folder: Path | None
) -> float:
    """The loss after step `last`; in `folder` the training goes on where it was, and is kept for later."""
    import torch

    from mimar.models import build
    from mimar.training import Habits, train

    habits = Habits(validation_tokens=JUDGED_ON, save_every=math.inf, save_last=False)
    model = build(arch, generator=torch.Generator().manual_seed(recipe.seed), device=device)
    return train(model, data, recipe, folder=folder, until=last, habits=habits).validation_loss


def _digest(arch: Architecture) -> str:
    """A folder's name for the architecture."""
    return hashlib.sha256(json.dumps(architecture_to_json(arch)).encode()).hexdigest()
