"""Learning from the parent: a super-network before the search, a model that was cut after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mimar.elastic import ElasticSpace, SubNetwork
from mimar.training import Precision, Recipe, TokenData

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from mimar.elastic import Parent, SuperNetwork
    from mimar.training import TrainingResult


def _silent(_row: Mapping[str, float]) -> None:
    """Tells nobody."""


def _nothing(_step: int, _part: int) -> None:
    """The model is the same one in every pass."""


Choose = Callable[[int, int], None]
"""Told step and pass before each pass."""

STEP_TOKENS: Final = 2048
PASSES: Final = 4
"""Of a step of the fine-tune, each with another sub-network."""

POINTS: Final = 8
"""Validations on the way, so that it can be seen what more tokens would bring."""


SAVE_EVERY: Final = 60.0


@dataclass(frozen=True)
class Lessons:
    """How long and how. text: ids to learn on; judged: windows (windows, tokens) to see how far it got.

    teacher_weight: of the parent's probabilities, beside the tokens of the text; with 1 the text only says where to
    ask the parent, and nothing of it is learnt. save_every: seconds between checkpoints.
    """

    tokens: int
    learning_rate: float
    teacher_weight: float
    precision: Precision
    text: NDArray[np.int32]
    judged: NDArray[np.int64]
    seed: int = 0
    micro_batch: int = 0
    save_every: float = SAVE_EVERY

    def recipe(self) -> Recipe:
        """Of the project's training loop: no decay, since the weights are good ones already."""
        context = self.judged.shape[1] - 1
        return Recipe(
            self.tokens, context, max(PASSES * context, STEP_TOKENS), self.micro_batch,
            learning_rate=self.learning_rate, weight_decay=0.0, precision=self.precision, seed=self.seed,
        )  # fmt: skip


Rows = tuple[Mapping[str, float], ...]
"""Of the log; some have ``validation_loss``, nats a token."""

Report = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True, eq=False)
class Healed:
    """A model after its recovery."""

    model: Parent
    rows: Rows
    seconds: float


@dataclass(frozen=True, eq=False)
class Tuned:
    """A super-network after its fine-tune; the validation losses in `rows` are of all of it."""

    network: SuperNetwork
    rows: Rows
    seconds: float


def heal(
    model: Parent,
    teacher: Parent,
    lessons: Lessons,
    folder: Path,
    *,
    identity: Mapping[str, Any],
    on_row: Report = _silent,
) -> Healed:
    """Distil `teacher` into `model` (Hinton et al., 2015).

    folder: keeps the checkpoint, from which a recovery that was stopped goes on. Errors as of `mimar.training.train`.
    """
    from mimar.elastic import Trainable

    module = Trainable(model)
    result = _taught(module, teacher, lessons, (folder, identity, on_row, _nothing))
    return Healed(module.trained(), result.rows, result.seconds)


def tune(
    network: SuperNetwork,
    space: ElasticSpace,
    lessons: Lessons,
    folder: Path,
    *,
    identity: Mapping[str, Any],
    on_row: Report = _silent,
) -> Tuned:
    """One fine-tune of all sub-networks of `space` together, each learning from the untouched parent.

    Each step has the whole network, the least one that is drawn, and others drawn at random (the sandwich of Yu et al.,
    "BigNAS", 2020), of sizes spread evenly from half of the parent to all of it: four passes in all, up to seven by how
    windows fill a step. The rest is as in `heal`.
    """
    from mimar.elastic import TrainableNetwork

    module, whole = TrainableNetwork(network), SubNetwork.whole(space.parent)

    def choose(step: int, part: int) -> None:
        rng = np.random.default_rng([lessons.seed, step, part])
        module.sub = whole if part == 0 else drawn(space, rng, LEAST if part == 1 else rng.uniform(LEAST, 1))

    lessons = replace(lessons, micro_batch=max(1, lessons.recipe().sequences // PASSES))
    result = _taught(module, network.original, lessons, (folder, identity, on_row, choose))
    return Tuned(module.tuned(), result.rows, result.seconds)


LEAST: Final = 0.5
"""Of the parent's block parameters: what sub-networks of the fine-tune have at least, or nearly."""

DRAWS: Final = 4
"""Of which the nearest to the wanted size is taken: the last cut of each goes below it by chance."""


def drawn(space: ElasticSpace, rng: np.random.Generator, share: float) -> SubNetwork:
    """A random sub-network with nearly `share` of the parent's block parameters."""
    whole = SubNetwork.whole(space.parent).block_params(space.parent)
    found = [space.sample_within(rng, share) for _ in range(DRAWS)]
    return min(found, key=lambda sub: abs(sub.block_params(space.parent) / whole - share))


def spread(space: ElasticSpace, count: int, seed: int = 0) -> tuple[SubNetwork, ...]:
    """Random sub-networks whose block parameters go in even steps from `LEAST` of the parent's to all of them."""
    shares = LEAST + (1 - LEAST) * (np.arange(count) + 0.5) / count
    return tuple(drawn(space, np.random.default_rng([seed, number]), share) for number, share in enumerate(shares))


def _taught(
    module: nn.Module, teacher: Parent, lessons: Lessons, how: tuple[Path, Mapping[str, Any], Report, Choose]
) -> TrainingResult:
    from mimar.elastic import model_logits
    from mimar.training import Distillation, Habits, train

    folder, identity, on_row, choose = how
    recipe = lessons.recipe()
    # Rows of a validation share their ends: each is a window but for its last token, which is the next one's first.
    judged = np.append(lessons.judged[:, :-1], lessons.judged[-1, -1]).astype(np.int32)
    data = TokenData(lessons.text, judged, teacher.arch.vocab_size, 1.0)
    every = max(1, recipe.steps // POINTS)
    points = range(every, recipe.steps, every)
    habits = Habits(points, lessons.judged.size, log_every=1, save_every=lessons.save_every)
    taught = Distillation(lambda ids: model_logits(teacher, ids), lessons.teacher_weight)
    return train(
        module, data, recipe, teacher=taught, folder=folder, habits=habits, on_row=on_row, before_pass=choose,
        identity=identity,
    )  # fmt: skip
