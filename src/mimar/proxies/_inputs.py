"""What proxies look at: everything dear is made at most once, when first asked for, and shared by all proxies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, cast

from mimar.shapes import NetworkShapes

if TYPE_CHECKING:  # torch must not be imported before a proxy needs a module
    from torch import Tensor, nn

    from mimar.proxies._observation import Observation


class Scorable(Protocol):
    """What a module offers to proxies, beside being an ``nn.Module``.

    Weights below ``blocks`` are scored: `LayerShapes` i of the subject lists them under ``blocks.i``, all of them
    weights of ``nn.Linear`` or depthwise taps. Attention probabilities, (…, heads, queries, keys), come from
    ``nn.Softmax`` modules and activations are modules of `mimar.models.ACTIVATIONS`, so that proxies can watch both.
    """

    @property
    def embedding(self) -> nn.Module:
        """Batch → what enters the first layer; a loss runs it once."""
        ...

    @property
    def blocks(self) -> nn.Module:
        """The layers."""
        ...

    def hidden_states(self, x: Tensor) -> Tensor:
        """What `embedding` gives → final states (batch, positions, features)."""
        ...


def final_states(module: nn.Module, batch: Tensor) -> Tensor:
    """States (batch, positions, features) of a `Scorable` module for a batch of inputs."""
    scorable = cast("Scorable", module)
    return scorable.hidden_states(scorable.embedding(batch))


class Subject(Protocol):
    """A network that can be scored: a decoder of this project, or a model of a published benchmark."""

    @property
    def shapes(self) -> NetworkShapes:
        """Its weights, without building anything."""
        ...

    @property
    def description(self) -> str:
        """All that decides what it can learn, in one line for a reader; networks of one description are one network."""
        ...

    @property
    def mixes_samples(self) -> bool:
        """Whether the states of one sample depend on others of the batch (experts, batch norms)."""
        ...

    def build(self, seed: int) -> nn.Module:
        """A `Scorable` module at initialisation, in evaluation mode, on the CPU."""
        ...

    def draw(self, seed: int) -> Tensor:
        """A batch of inputs, samples first, on the CPU."""
        ...

    def ones(self) -> Tensor:
        """One sample of ones, of the shape that `embedding` gives."""
        ...

    def loss(self, module: nn.Module, batch: Tensor) -> Tensor:
        """The mean training loss of `batch`, a scalar."""
        ...


@dataclass(frozen=True, eq=False)
class ProxyInputs:
    """One network, and what proxies compute from it on demand; `decoder_inputs` makes that of an `Architecture`.

    seed: decides initial weights and random batches; equal seeds give equal scores.
    device: where the module runs, as torch names it; weights are drawn on the CPU, hence the same everywhere.
    """

    subject: Subject
    seed: int = 0
    device: str = "cpu"

    @property
    def shapes(self) -> NetworkShapes:
        """The network's weights, without building anything."""
        return self.subject.shapes

    @cached_property
    def module(self) -> nn.Module:
        """The module at initialisation, in evaluation mode, on `device`."""
        return self.subject.build(self.seed).to(self.device)

    @cached_property
    def batch(self) -> Tensor:
        """A batch of inputs on `device`."""
        return self.subject.draw(self.seed).to(self.device)

    @cached_property
    def observation(self) -> Observation:
        """One forward and backward pass of the mean training loss on `batch`, which all proxies share."""
        from mimar.proxies._observation import observe

        return observe(self.subject, self.module, self.batch)

    @property
    def gradients(self) -> Mapping[str, Tensor]:
        """Weight name → gradient of the mean training loss on `batch`; zeros for weights the batch never reaches."""
        return self.observation.gradients

    @cached_property
    def nuclear_norms(self) -> Mapping[str, tuple[float, float]]:
        """Name of a token mixer's weight → nuclear norms of the weight and of its gradient."""
        from mimar.proxies._nuclear import nuclear_norms

        return nuclear_norms(self)
