"""Cells of NAS-Bench-201 (Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible NAS, 2020, section 2).

A cell has four nodes; node j adds up one operation on each earlier node i < j. The network is a 3×3 stem, three stages
of five cells with 16, 32 and 64 channels, a residual block of stride 2 before the second and third stage, and a linear
classifier on the mean over positions; images are 3×32×32.

`params` and `flops` equal the published counts (a multiply-add counts as two operations here and as one there). The
module is simplified: batch norms use the statistics of the batch, as nothing has been trained. Closed forms that assume
N(0, 0.02²) weights keep doing so, while the module's convolutions are drawn as ReLU needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

from mimar.errors import ArchitectureError
from mimar.shapes import LayerShapes, Matrix

if TYPE_CHECKING:  # torch must not be imported before a proxy needs a module
    from torch import Tensor, nn

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(from, to) of each operation, in the order of the architecture string."""
STAGES = (16, 32, 64)
CELLS = 5
IMAGE_SIZE = 32
IMAGE_CHANNELS = 3
CLASSES = 10
BATCH_SIZE = 16


@dataclass(frozen=True)
class Cell201:
    """A `Subject`: the CIFAR-10 network of one cell; convolutions are drawn as He et al. (2015), N(0, 2 / fan in).

    arch: ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, each op one of `OPERATIONS`; ArchitectureError for anything else.
    """

    arch: str

    def __post_init__(self) -> None:
        _ = self.operations

    @property
    def operations(self) -> tuple[str, ...]:
        """The six operations, in the order of `EDGES`."""
        return _parse(self.arch)

    @property
    def shapes(self) -> Cell201:
        """This value, which is its own `NetworkShapes`."""
        return self

    @property
    def layers(self) -> tuple[LayerShapes, ...]:
        """Seventeen layers: cells and residual blocks; a convolution is a matrix outputs × (inputs · k²)."""
        return _layers(self.operations)

    @property
    def num_layers(self) -> int:
        """Cells and residual blocks."""
        return len(STAGES) * CELLS + len(STAGES) - 1

    @property
    def layer_sharing(self) -> int:
        """No weights are shared."""
        return 1

    @property
    def hidden_size(self) -> int:
        """Channels of the last stage."""
        return STAGES[-1]

    @property
    def output_rank(self) -> int:
        """Channels of the last stage."""
        return STAGES[-1]

    @property
    def params(self) -> int:
        """All weights, those of batch norms included."""
        stem = IMAGE_CHANNELS * 9 * STAGES[0] + 2 * STAGES[0]
        return stem + self.nonembedding_params + (STAGES[-1] + 1) * CLASSES

    @property
    def nonembedding_params(self) -> int:
        """All weights but stem and classifier."""
        norms = sum(2 * m.rows for layer in self.layers for m in layer.matrices if "shortcut" not in m.name)
        return sum(m.size for layer in self.layers for m in layer.matrices) + norms + 2 * STAGES[-1]

    @property
    def flops(self) -> float:
        """Operations on one image; convolutions and classifier are counted, pooling, norms and sums are not."""
        positions = chain.from_iterable(
            [(IMAGE_SIZE >> stage) ** 2] * (CELLS + (stage > 0)) for stage in range(len(STAGES))
        )
        blocks = sum(at * m.size for at, layer in zip(positions, self.layers, strict=True) for m in layer.matrices)
        return 2.0 * (blocks + IMAGE_SIZE**2 * IMAGE_CHANNELS * 9 * STAGES[0] + STAGES[-1] * CLASSES)

    @property
    def description(self) -> str:
        """What each node sums, from the first after the input to the output, and parameters."""
        found = zip(EDGES, self.operations, strict=True)
        edges = ", ".join(f"{start} to {end} {operation}" for (start, end), operation in found)
        return f"{edges}; {self.params / 1e6:.2f}M parameters"

    @property
    def mixes_samples(self) -> bool:
        """Batch norms do."""
        return True

    def build(self, seed: int) -> nn.Module:
        """The module; see `Subject.build`."""
        import torch

        from mimar.bench.families._cell201_network import CellNetwork, initialise

        with torch.device("meta"):  # no weights are drawn from the global generator
            network = CellNetwork(self.operations)
        network.to_empty(device="cpu")
        initialise(network, torch.Generator().manual_seed(seed))
        return network.eval()

    def draw(self, seed: int) -> Tensor:
        """Images (16, 3, 32, 32) of unit normal noise, the scale that normalised images have."""
        import torch

        shape = (BATCH_SIZE, IMAGE_CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    def ones(self) -> Tensor:
        """The maps of one image after the stem, (1, 16, 32, 32)."""
        import torch

        return torch.ones(1, STAGES[0], IMAGE_SIZE, IMAGE_SIZE)

    def loss(self, module: nn.Module, batch: Tensor) -> Tensor:
        """Mean cross-entropy against random labels, always the same: noise has no true ones."""
        import torch
        from torch.nn.functional import cross_entropy

        labels = torch.randint(CLASSES, (len(batch),), generator=torch.Generator().manual_seed(0))
        return cross_entropy(module(batch), labels.to(batch.device))


@lru_cache(maxsize=65536)
def _parse(arch: str) -> tuple[str, ...]:
    nodes = [[edge.split("~") for edge in node.strip("|").split("|")] for node in arch.split("+")]
    named = [edge for node in nodes for edge in node if len(edge) == 2]
    sources = [[edge[-1] for edge in node] for node in nodes]
    operations = tuple(edge[0] for edge in named)
    if sources != [["0"], ["0", "1"], ["0", "1", "2"]] or len(named) != 6 or not set(operations) <= set(OPERATIONS):
        raise ArchitectureError(
            f"expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2| with each op one of {', '.join(OPERATIONS)}, got {arch!r}"
        )
    return operations


@lru_cache(maxsize=65536)
def _layers(operations: tuple[str, ...]) -> tuple[LayerShapes, ...]:
    first, *rest = STAGES
    layers = [_cell(operations, first)] * CELLS
    for before, channels in zip(STAGES[:-1], rest, strict=True):
        layers += [_reduction(before, channels), *[_cell(operations, channels)] * CELLS]
    return tuple(layers)


@lru_cache(maxsize=65536)
def _cell(operations: tuple[str, ...], channels: int) -> LayerShapes:
    return LayerShapes(
        tuple(
            Matrix(f"edges.{index}.conv.linear.weight", channels, channels * KERNELS[name] ** 2, "convolution")
            for index, name in enumerate(operations)
            if name in KERNELS
        )
    )


@lru_cache
def _reduction(before: int, channels: int) -> LayerShapes:
    return LayerShapes(
        (
            Matrix("first.conv.linear.weight", channels, before * 9, "convolution"),
            Matrix("second.conv.linear.weight", channels, channels * 9, "convolution"),
            Matrix("shortcut.linear.weight", channels, before, "convolution"),
        )
    )
