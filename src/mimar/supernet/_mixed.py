"""Layers whose operations are mixed by learnt weights (DARTS), and how such weights are learnt and watched."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimar.errors import InputError
from mimar.models import DecoderLM, LayerCache, Positions, initialise, make_feed_forward, make_mixer
from mimar.space import SOFTMAX_MIXERS, Architecture, Block, FeedForward, Mixer
from mimar.training import Recipe, TokenData, train, validation_loss

ROLES: Final = ("mixer", "feed_forward")

PARAMETER_FREE: Final = "none"
"""The kind of the operation without weights."""

ARCHITECTURE_RATE: Final = 0.03
"""Of Adam on architecture parameters. Liu et al. take 3e-4 for fifty epochs of images; here there are a few hundred
steps in all."""

JUDGED_ON: Final = 8_192
"""Tokens that each epoch is judged on."""

COLLAPSED: Final = 0.5
"""Where the operation without weights is the strongest in more than this share of choices, a search has collapsed."""


@dataclass(frozen=True, slots=True)
class Operations:
    """What each layer may do: mixers and feed-forward parts, each at most once."""

    mixers: tuple[Mixer, ...]
    feed_forwards: tuple[FeedForward, ...]

    def of(self, role: str) -> tuple[Mixer, ...] | tuple[FeedForward, ...]:
        """The operations of a role in `ROLES`."""
        return self.mixers if role == "mixer" else self.feed_forwards


@dataclass(frozen=True, slots=True)
class Epoch:
    """Strengths after an epoch: role → for each layer the softmax weight of each operation.

    operations: role → their kinds, in that order. validation_loss: of the mixed model, on the half of the text that its
    architecture parameters learn from, in nats a token. collapsed: as `is_collapsed` says.
    """

    number: int
    operations: Mapping[str, tuple[str, ...]]
    strengths: Mapping[str, tuple[tuple[float, ...], ...]]
    validation_loss: float
    collapsed: bool

    def strongest(self, role: str) -> list[tuple[str, float]]:
        """The kind and strength of the strongest operation of each layer."""
        return [
            max(zip(self.operations[role], row, strict=True), key=lambda each: each[1]) for row in self.strengths[role]
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        rows = {
            role: [dict(zip(self.operations[role], row, strict=True)) for row in rows]
            for role, rows in self.strengths.items()
        }
        return {"epoch": self.number, "validation_loss": self.validation_loss, "collapsed": self.collapsed, **rows}


class MixedOperation(nn.Module):
    """Σ_k strength_k · operation_k(x); one that is None adds nothing. Strengths are asked anew at each pass."""

    def __init__(self, operations: Sequence[nn.Module | None], strength: Callable[[], Tensor]) -> None:
        super().__init__()
        self.operations = nn.ModuleList(each if each is not None else nn.Identity() for each in operations)
        self._absent = [each is None for each in operations]
        self._strength = strength

    def forward(self, x: Tensor, positions: Positions | None = None, memory: LayerCache | None = None) -> Tensor:
        """The mixture; mixers are given positions and memory, feed-forward parts are not."""
        given = {} if positions is None else {"positions": positions, "memory": memory}
        weights = self._strength()
        mixed = torch.zeros_like(x)
        for index, operation in enumerate(self.operations):
            if not self._absent[index]:
                mixed = mixed + weights[index] * operation(x, **given)
        return mixed


class MixedDecoder(nn.Module):
    """A decoder of the sizes of `template` in which every layer mixes `operations` (Liu et al., DARTS, 2019, §2.2).

    Its architecture parameters `alphas` (role → (layers, operations)) are no parameters of the module: they have an
    optimiser and data of their own. Sizes, norms and topology are the template's. InputError: mixers whose heads differ
    in size.
    """

    def __init__(
        self, template: Architecture, operations: Operations, generator: torch.Generator, device: str = "cpu"
    ) -> None:
        super().__init__()
        self.operations = operations
        self.alphas = {
            role: torch.zeros(template.num_layers, len(operations.of(role)), device=device, requires_grad=True)
            for role in ROLES
        }
        self.decoder = DecoderLM(_with_both_parts(template, operations))
        for index, block in enumerate(self.decoder.blocks):
            mixers = [make_mixer(each, template) for each in operations.mixers]
            parts = [make_feed_forward(each, template.hidden_size) for each in operations.feed_forwards]
            block.mixer = MixedOperation(mixers, self._strength("mixer", index))
            if block.feed_forward is not None:
                block.feed_forward = MixedOperation(parts, self._strength("feed_forward", index))
        initialise(self, generator)
        self.to(device)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Logits (batch, tokens, vocab)."""
        return self.decoder(token_ids)

    @torch.no_grad()
    def strengths(self) -> dict[str, tuple[tuple[float, ...], ...]]:
        """Role → for each layer the weight of each operation; they sum to 1."""
        return {
            role: tuple(tuple(row) for row in alpha.softmax(dim=-1).tolist()) for role, alpha in self.alphas.items()
        }

    def _strength(self, role: str, layer: int) -> Callable[[], Tensor]:
        return lambda: self.alphas[role][layer].softmax(dim=-1)


def search_operations(
    template: Architecture,
    operations: Operations,
    data: TokenData,
    recipe: Recipe,
    *,
    epochs: int = 10,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> tuple[Epoch, ...]:
    """Train weights on one half of the text and architecture parameters on the other, in turns, a step of each.

    The first-order approximation of Liu et al. (§2.3). In the first epoch only weights learn: operations without any
    would win while the others are raw. The search ends early with the second collapsed epoch in a row (Liang et al.,
    DARTS+, 2019, stop in the same spirit). Raises what `mimar.training.train` and
    `MixedDecoder` raise.
    """
    half = len(data.train) // 2
    weights, architecture = replace(data, train=data.train[:half]), replace(data, train=data.train[half:])
    mixed = MixedDecoder(template, operations, torch.Generator().manual_seed(recipe.seed), device)
    search = _Search(mixed, architecture, recipe, min(epochs, recipe.steps), on_epoch)
    try:
        train(mixed, weights, recipe, before_pass=search.before_pass)
    except _CollapseError:
        return tuple(search.epochs)
    search.note()
    return tuple(search.epochs)


def strongest(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch to discretise: the last before a collapse, the first of all where every one collapsed."""
    sound = [epoch for epoch in epochs if not epoch.collapsed]
    return sound[-1] if sound else epochs[0]


class _CollapseError(Exception):
    """Ends a training from inside."""


class _Search:
    """The turns of the architecture parameters, and the record of their strengths."""

    def __init__(
        self, mixed: MixedDecoder, data: TokenData, recipe: Recipe, epochs: int, on_epoch: Callable[[Epoch], None]
    ) -> None:
        self._mixed, self._data, self._recipe, self._on_epoch = mixed, data, recipe, on_epoch
        self._ends = [math.ceil(recipe.steps * number / epochs) for number in range(1, epochs + 1)]
        self._optimizer = torch.optim.Adam(mixed.alphas.values(), ARCHITECTURE_RATE, (0.5, 0.999), weight_decay=1e-3)
        self._judged = replace(data, validation=data.train).validation_batches(
            JUDGED_ON, recipe.sequences, recipe.context_length
        )
        self.epochs: list[Epoch] = []

    def before_pass(self, step: int, part: int) -> None:
        """A step of the architecture parameters before each step of the weights; a note after each epoch."""
        if part:
            return
        if step in self._ends:
            self.note()
            if len(self.epochs) > 1 and all(epoch.collapsed for epoch in self.epochs[-2:]):
                raise _CollapseError
        if step >= self._ends[0]:
            self._learn(step)

    def _learn(self, step: int) -> None:
        batch = self._data.batch(step, self._recipe.sequences, self._recipe.context_length, self._recipe.seed)
        alphas = list(self._mixed.alphas.values())
        ids = torch.from_numpy(batch).to(alphas[0].device)
        logits = self._mixed(ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        # Where the only feed-forward part is none, its strengths are in no sum.
        for alpha, gradient in zip(alphas, torch.autograd.grad(loss, alphas, allow_unused=True), strict=True):
            alpha.grad = gradient
        self._optimizer.step()

    def note(self) -> None:
        """Record the strengths now."""
        strengths, operations = self._mixed.strengths(), self._mixed.operations
        kinds = {role: tuple(each.kind for each in operations.of(role)) for role in ROLES}
        loss = validation_loss(self._mixed, self._judged)
        epoch = Epoch(len(self.epochs) + 1, kinds, strengths, loss, is_collapsed(strengths, kinds))
        self.epochs.append(epoch)
        self._on_epoch(epoch)


def is_collapsed(strengths: Mapping[str, Sequence[tuple[float, ...]]], kinds: Mapping[str, Sequence[str]]) -> bool:
    """Whether the operation without weights is the strongest in more than half of the choices that it has a part in.

    Where it is alone there is no choice.
    """
    choices = lost = 0
    for role, names in kinds.items():
        if PARAMETER_FREE not in names or len(names) == 1:
            continue
        free = names.index(PARAMETER_FREE)
        choices += len(strengths[role])
        lost += sum(row[free] > max(row[:free] + row[free + 1 :]) for row in strengths[role])
    return lost > COLLAPSED * choices


def _with_both_parts(template: Architecture, operations: Operations) -> Architecture:
    """The template with both parts in every layer, so that it has all norms and the position code's table."""
    headed = [each for each in operations.mixers if each.kind in SOFTMAX_MIXERS]
    if len({each.head_size for each in headed}) > 1:
        raise InputError("mixed softmax mixers must have heads of one size, since they share the position code's table")
    mixer = (headed or [each for each in operations.mixers if each.kind != PARAMETER_FREE])[0]
    part = next((each for each in operations.feed_forwards if each.kind != PARAMETER_FREE), FeedForward("none"))
    blocks = (Block(mixer, part),) * template.num_layers
    return replace(template, blocks=blocks, layer_sharing=1)
