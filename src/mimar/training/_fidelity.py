"""Cheaper trainings that stand for a whole one: shorter, of less text, or of a narrower or shallower model."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from mimar.errors import InputError
from mimar.space import (
    SOFTMAX_MIXERS,
    WIDTH_MULTIPLE,
    Architecture,
    Block,
    FeedForward,
    Mixer,
)
from mimar.training._data import TokenData
from mimar.training._recipe import Recipe
from mimar.trial import FULL

SMALLEST_CONTEXT = 8


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Which share of a whole training is done; 1 of everything is the whole.

    steps: after this share of the steps the loss is read, on the way of the whole schedule, so that the training can
    go on from there. data: of the text, the beginning; it is repeated more often. context: of the tokens in a sequence,
    with more sequences in a step. width, depth: of the model's features and layers.
    """

    steps: float = 1.0
    data: float = 1.0
    context: float = 1.0
    width: float = 1.0
    depth: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            share = getattr(self, each.name)
            if not 0.0 < share <= 1.0:
                raise InputError(f"{each.name} of a fidelity must be a share above 0 and at most 1, got {share:g}")

    @staticmethod
    def named(text: str) -> Fidelity:
        """``full``, ``10%`` (of the steps), ``width=0.5``, or several joined by ``+``; InputError for anything else."""
        shares: dict[str, float] = {}
        for part in () if text == FULL else text.split("+"):
            name, _, value = part.partition("=") if "=" in part else ("steps", "", part)
            name = name.strip()
            if name in shares or name not in Fidelity.__dataclass_fields__:
                raise InputError(_expected(text))
            try:
                shares[name] = float(value.strip().removesuffix("%")) / (100.0 if value.strip().endswith("%") else 1.0)
            except ValueError:
                raise InputError(_expected(text)) from None
        return Fidelity(**shares)

    def last_step(self, recipe: Recipe) -> int:
        """The step after which the loss is read."""
        return max(1, round(self.steps * recipe.steps))

    def recipe(self, recipe: Recipe) -> Recipe:
        """With shorter sequences, as many tokens in a step."""
        if self.context == 1.0:
            return recipe
        return replace(recipe, context_length=max(SMALLEST_CONTEXT, round(recipe.context_length * self.context)))

    def text(self, data: TokenData) -> TokenData:
        """With less to learn from; judged on the same."""
        return data if self.data == 1.0 else replace(data, train=data.train[: max(1, int(len(data.train) * self.data))])

    def architecture(self, arch: Architecture) -> Architecture:
        """Narrower and shallower, and as legal as it was: sizes are rounded to what is allowed."""
        return narrower(shallower(arch, self.depth), self.width)


def narrower(arch: Architecture, share: float) -> Architecture:
    """`arch` with about `share` of its features in every layer; heads keep their size, ratios and kinds stay."""
    if share == 1.0:
        return arch
    hidden = _width(arch.hidden_size * share)
    blocks = tuple(Block(_fewer_heads(block.mixer, hidden, share), _slimmer(block, share)) for block in arch.blocks)
    return replace(arch, hidden_size=hidden, blocks=blocks)


def shallower(arch: Architecture, share: float) -> Architecture:
    """`arch` with about `share` of its layers, spread evenly; layers that share weights stay together.

    Where none of those would have the attention, or the mixer, that the rest needs, the first layer that does is kept.
    """
    groups = arch.unique_blocks
    count = max(1, round(len(groups) * share))
    if count == len(groups):
        return arch
    kept = [int(place) for place in np.linspace(0, len(groups) - 1, count).round()]
    for needed in (_attends, _mixes):
        first = next((index for index, block in enumerate(groups) if needed(block)), None)
        if first is not None and not any(needed(groups[index]) for index in kept):
            kept[0] = first
    blocks = tuple(groups[index] for index in sorted(kept) for _ in range(arch.layer_sharing))
    return replace(arch, blocks=blocks)


def _attends(block: Block) -> bool:
    return block.mixer.kind in SOFTMAX_MIXERS


def _mixes(block: Block) -> bool:
    return block.mixer.kind != "none"


def _width(features: float) -> int:
    return max(WIDTH_MULTIPLE, round(features / WIDTH_MULTIPLE) * WIDTH_MULTIPLE)


def _fewer_heads(mixer: Mixer, hidden: int, share: float) -> Mixer:
    """As many heads for each feature as before, as far as they divide the width and are shared out evenly."""
    if not mixer.num_heads:
        return mixer
    heads = max(n for n in range(1, max(1, round(mixer.num_heads * share)) + 1) if hidden % n == 0)
    wanted = heads * mixer.num_kv_heads / mixer.num_heads
    kv_heads = min((n for n in range(1, heads + 1) if heads % n == 0), key=lambda n: abs(n - wanted))
    return replace(mixer, num_heads=heads, num_kv_heads=kv_heads)


def _slimmer(block: Block, share: float) -> FeedForward:
    part = block.feed_forward
    return part if part.kind == "none" else replace(part, intermediate_size=_width(part.intermediate_size * share))


def _expected(text: str) -> str:
    names = ", ".join(f"{name}=0.5" for name in Fidelity.__dataclass_fields__)
    return f"a fidelity is a share of the training like 10%, one of {names}, or several joined by +; got {text!r}"
