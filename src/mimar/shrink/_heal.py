"""Recovery: a model that was cut learns from the probabilities of the one it was cut from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mimar.training import Precision, Recipe, TokenData

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mimar.elastic import Parent

STEP_TOKENS: Final = 2048
POINTS: Final = 8
"""Validations of a recovery, so that it can be seen what more tokens would bring."""


@dataclass(frozen=True)
class Healing:
    """How long and how. text: ids to learn on; judged: windows (windows, tokens) to see how far it got.

    teacher_weight: of the parent's probabilities, beside the tokens of the text; with 1 the text only says where to
    ask the parent, and nothing of it is learnt.
    """

    tokens: int
    learning_rate: float
    teacher_weight: float
    precision: Precision
    text: NDArray[np.int32]
    judged: NDArray[np.int64]
    seed: int = 0

    def recipe(self) -> Recipe:
        """Of the project's training loop: no decay, since the weights are good ones already."""
        context = self.judged.shape[1] - 1
        return Recipe(
            self.tokens, context, max(context, STEP_TOKENS), learning_rate=self.learning_rate, weight_decay=0.0,
            precision=self.precision, seed=self.seed,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Healed:
    """A model after its recovery. rows: of the log; some have ``validation_loss``, nats a token."""

    model: Parent
    rows: tuple[Mapping[str, float], ...]
    seconds: float


def heal(
    model: Parent,
    teacher: Parent,
    healing: Healing,
    folder: Path,
    *,
    identity: Mapping[str, Any],
    on_row: Callable[[Mapping[str, float]], None] = lambda _: None,
) -> Healed:
    """Distil `teacher` into `model` (Hinton et al., 2015).

    folder: keeps the checkpoint, from which a recovery that was stopped goes on. Errors as of `mimar.training.train`.
    """
    from mimar.elastic import Trainable, model_logits
    from mimar.training import Distillation, Habits, train

    module, recipe = Trainable(model), healing.recipe()
    data = TokenData(healing.text, healing.judged.flatten().astype(np.int32), model.arch.vocab_size, 1.0)
    every = max(1, recipe.steps // POINTS)
    habits = Habits(validate_at=range(every, recipe.steps, every), validation_tokens=healing.judged.size)
    taught = Distillation(lambda ids: model_logits(teacher, ids), healing.teacher_weight)
    result = train(
        module, data, recipe, teacher=taught, folder=folder, habits=habits, on_row=on_row, identity=identity
    )  # fmt: skip
    return Healed(module.trained(), result.rows, result.seconds)
