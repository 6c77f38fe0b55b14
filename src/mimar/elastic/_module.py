"""Models and super-networks whose weights learn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from mimar.elastic._checkpoint import EMBEDDING, HEAD, assemble, state_dict
from mimar.elastic._forward import logits, rotary, run_layer, run_model
from mimar.elastic._importance import Refit
from mimar.elastic._parent import Layer, Parent, both_parts
from mimar.elastic._subnetwork import SubNetwork
from mimar.elastic._supernetwork import SuperNetwork, cut_layer

FIXED: Final = (EMBEDDING, HEAD)
"""Weights that stay: most of their rows are of tokens that a short text does not have."""


class _Learning(nn.Module):
    """Owns the weights of a model as parameters; embedding and head do not learn."""

    def __init__(self, model: Parent) -> None:
        super().__init__()
        weights = state_dict(model)
        learning = {name: nn.Parameter(weight.clone()) for name, weight in weights.items() if name not in FIXED}
        for name, weight in learning.items():
            self.register_parameter(name.replace(".", "/"), weight)  # modules allow no dots in names
        self.model = assemble(model.arch, model.facts, model.config, (weights | learning).get)

    def now(self) -> Parent:
        """A copy of the weights as they are. InputError: some are no finite numbers."""
        found = {name: weight.detach().clone() for name, weight in state_dict(self.model).items()}
        return assemble(self.model.arch, self.model.facts, self.model.config, found.get)


class Trainable(nn.Module):
    """`model` as a module on the CPU: ids (batch, tokens) → logits (batch, tokens, vocab). Its weights are copied."""

    def __init__(self, model: Parent) -> None:
        super().__init__()
        self._weights = _Learning(model)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of all tokens."""
        return run_model(self._weights.model, ids)

    def trained(self) -> Parent:
        """The model with the weights as they are now. InputError: some are no finite numbers."""
        return self._weights.now()


@dataclass(frozen=True, eq=False, slots=True)
class _Following:
    """A re-fit of weights that learn."""

    factor: Tensor
    weight: Tensor

    def weights(self, count: int) -> Tensor:
        return Refit(self.factor, self.factor.T @ self.weight.T).weights(count)


class TrainableNetwork(nn.Module):
    """A super-network of which one sub-network at a time runs and learns: ids (batch, tokens) → logits.

    What makes up for heads and channels that are gone follows the weights as they change.
    """

    def __init__(self, network: SuperNetwork) -> None:
        super().__init__()
        self._weights, self._network = _Learning(network.parent), network
        self.sub = SubNetwork.whole(network.parent.arch)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of all tokens, by the sub-network `sub` while it learns, by all of it where it is judged."""
        model = self._weights.model
        if not self.training:
            return run_model(model, ids)
        turn, stream = rotary(model.facts, model.config, ids.shape[1]), F.embedding(ids, model.embedding)
        for number in self.sub.kept_layers:
            stream = run_layer(self._layer(number), stream, turn, model.facts)
        return logits(model, stream)

    def _layer(self, number: int) -> Layer:
        whole = self._weights.model.layers[number]
        attention, mlp = both_parts(whole)
        refits = (
            _Following(self._network.outputs[number].factor, attention.output),
            _Following(self._network.downs[number].factor, mlp.down),
        )
        return cut_layer(whole, self.sub.sizes[number], self._weights.model.facts.head_size, refits)

    def tuned(self) -> SuperNetwork:
        """With the weights as they are now. InputError: some are no finite numbers."""
        parent, network = self._weights.now(), self._network
        parts = [(layer.attention, layer.mlp) for layer in parent.layers]
        outputs = [_refit(refit, part.output) for refit, (part, _) in zip(network.outputs, parts, strict=True) if part]
        downs = [_refit(refit, part.down) for refit, (_, part) in zip(network.downs, parts, strict=True) if part]
        return replace(
            network, parent=parent, outputs=tuple(outputs), downs=tuple(downs), tuned_from=network.original
        )  # fmt: skip


def _refit(refit: Refit, weight: Tensor) -> Refit:
    return replace(refit, target=refit.factor.T @ weight.T)
