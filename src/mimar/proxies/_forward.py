"""One forward pass of the batch, watched: what all forward-only proxies share. Imports torch."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mimar.models import ACTIVATIONS, MixtureOfExperts
from mimar.proxies._inputs import ProxyInputs, Scorable, final_states


@dataclass(frozen=True, eq=False)
class Pass:
    """One use of a module of the blocks: what went in and what came out.

    tokens: None where the first axis is that of the batch; in an expert, which of the batch's tokens each row is.
    """

    name: str
    input: Tensor
    output: Tensor
    tokens: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Forward:
    """What one batch did to a module; every list is in order of use, tensors carry no graph.

    states: final states (samples, positions, features).
    attention: softmaxes; outputs are probabilities (samples, heads, queries, keys).
    activations: activations, (…, units) in and out. linears: linear layers, (…, features) in and out.
    """

    states: Tensor
    attention: tuple[Pass, ...]
    activations: tuple[Pass, ...]
    linears: tuple[Pass, ...]


_FORWARDS: WeakKeyDictionary[ProxyInputs, Forward] = WeakKeyDictionary()


def forward(inputs: ProxyInputs) -> Forward:
    """The forward pass of ``inputs.batch``, made at most once and kept as long as `inputs`."""
    if inputs not in _FORWARDS:
        _FORWARDS[inputs] = _watch(inputs.module, inputs.batch)
    return _FORWARDS[inputs]


@torch.no_grad()
def _watch(module: nn.Module, batch: Tensor) -> Forward:
    kinds = {nn.Softmax: "attention", tuple(ACTIVATIONS.values()): "activations", nn.Linear: "linears"}
    passes: dict[str, list[Pass]] = {kind: [] for kind in kinds.values()}
    routes: dict[str, Tensor] = {}

    def record(kind: str, name: str, _part: nn.Module, x: tuple[Tensor, ...], output: Tensor) -> None:
        passes[kind].append(Pass(name, x[0], output, routes.get(name.rpartition(".")[0])))

    with ExitStack() as hooks:
        for name, part in cast("Scorable", module).blocks.named_modules():
            if isinstance(part, MixtureOfExperts):
                hooks.callback(part.register_forward_pre_hook(partial(_route, routes, name)).remove)
            elif kind := next((kind for types, kind in kinds.items() if isinstance(part, types)), ""):
                hooks.callback(part.register_forward_hook(partial(record, kind, name)).remove)
        states = final_states(module, batch)
    return Forward(states, *(tuple(passes[kind]) for kind in ("attention", "activations", "linears")))


def _route(routes: dict[str, Tensor], name: str, part: nn.Module, x: tuple[Tensor, ...]) -> None:
    """Before experts run: which tokens go to each of them, as they see no others."""
    experts = cast("MixtureOfExperts", part)
    # The router's own forward, as calling it would run its hooks and count it twice.
    scores = experts.router.forward(x[0].flatten(0, -2)).softmax(dim=-1)
    chosen = scores.topk(experts.top_k, dim=-1).indices
    for index in range(len(experts.experts)):
        routes[f"{name}.experts.{index}"] = (chosen == index).any(dim=-1).nonzero().flatten()
