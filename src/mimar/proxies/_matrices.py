"""The scored weights of a network: the matrices that its `NetworkShapes` list, wherever a `Subject` comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mimar.proxies._capacity import MIXER_ROLES
from mimar.proxies._inputs import ProxyInputs
from mimar.shapes import Matrix, NetworkShapes

if TYPE_CHECKING:  # torch must not be imported before a proxy needs it
    from torch import Tensor


def named_matrices(shapes: NetworkShapes) -> Iterator[tuple[str, Matrix]]:
    """Parameter name in the built module and `Matrix` of every weight of the layers; shared layers appear once."""
    for index, layer in enumerate(shapes.layers):
        for matrix in layer.matrices:
            yield f"blocks.{index}.{matrix.name}", matrix


def mixer_names(shapes: NetworkShapes) -> list[str]:
    """Names of the token mixers' weights, whatever their kind."""
    return [name for name, matrix in named_matrices(shapes) if matrix.role in MIXER_ROLES]


def feed_forward_names(shapes: NetworkShapes) -> list[str]:
    """Names of the feed-forward parts' weights, all experts and routers included."""
    return [name for name, matrix in named_matrices(shapes) if matrix.role not in MIXER_ROLES]


def scored_weights(inputs: ProxyInputs) -> list[Tensor]:
    """Every weight of the layers as the module holds it, to differentiate a loss by."""
    weights = dict(inputs.module.named_parameters())
    return [weights[name] for name, _ in named_matrices(inputs.shapes)]


def saliency(inputs: ProxyInputs, names: list[str]) -> float:
    """Σ |W ∘ ∂L/∂W| over the weights of these names, from the shared backward pass."""
    weights, gradients = dict(inputs.module.named_parameters()), inputs.gradients
    return sum((float((weights[name].detach() * gradients[name]).abs().sum()) for name in names), 0.0)
