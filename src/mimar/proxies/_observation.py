"""One forward and one backward pass, watched: what all single-backward proxies share. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from mimar.models import ACTIVATIONS

if TYPE_CHECKING:  # the inputs make observations, not the other way round
    from mimar.proxies._inputs import Scorable, Subject


@dataclass(frozen=True, eq=False)
class Use:
    """One use of a module: what went in, what came out, and the gradient of the loss with respect to the latter."""

    name: str
    input: Tensor
    output: Tensor
    gradient: Tensor


@dataclass(frozen=True, eq=False)
class Observation:
    """What one batch did to a module and the loss to its weights; tensors carry no graph.

    gradients: weight name → gradient of the mean loss; zeros where the batch never came (an idle expert).
    entry: the batch's way through the embedding; its output is what enters the first layer, samples first.
    attention: each use of a softmax of the blocks; outputs are probabilities (samples, heads, queries, keys).
    activations: each use of an activation of the blocks, inputs and outputs (samples, positions, units); experts have
      (tokens, units), feature maps (samples, units, height, width). Both in order of use.
    """

    loss: Tensor
    gradients: Mapping[str, Tensor]
    entry: Use
    attention: tuple[Use, ...]
    activations: tuple[Use, ...]


def observe(subject: Subject, module: nn.Module, batch: Tensor) -> Observation:
    """One pass of `batch` through a `Scorable` module; its weights and hooks stay as they were."""
    scorable = cast("Scorable", module)
    entries: list[tuple[str, Tensor, Tensor]] = []
    softmaxes: list[tuple[str, Tensor, Tensor]] = []
    units: list[tuple[str, Tensor, Tensor]] = []
    with ExitStack() as hooks:
        hooks.callback(scorable.embedding.register_forward_hook(partial(_record, entries, "embedding")).remove)
        for name, part in scorable.blocks.named_modules():
            if isinstance(part, nn.Softmax):
                hooks.callback(part.register_forward_hook(partial(_record, softmaxes, name)).remove)
            elif isinstance(part, tuple(ACTIVATIONS.values())):
                hooks.callback(part.register_forward_hook(partial(_record, units, name)).remove)
        loss = subject.loss(module, batch)
    weights = dict(module.named_parameters())
    watched = [entries[0], *softmaxes, *units]
    outputs = [output for _, _, output in watched]
    found = torch.autograd.grad(loss, [*weights.values(), *outputs], allow_unused=True, materialize_grads=True)
    entry, *uses = [
        Use(name, before.detach(), after.detach(), gradient)
        for (name, before, after), gradient in zip(watched, found[len(weights) :], strict=True)
    ]
    of_weights = dict(zip(weights, found[: len(weights)], strict=True))
    attention, activations = tuple(uses[: len(softmaxes)]), tuple(uses[len(softmaxes) :])
    return Observation(loss.detach(), of_weights, entry, attention, activations)


def _record(
    uses: list[tuple[str, Tensor, Tensor]], name: str, _part: nn.Module, x: tuple[Tensor, ...], output: Tensor
) -> None:
    """Forward hook: remembers what went into a module and what came out."""
    uses.append((name, x[0], output))
