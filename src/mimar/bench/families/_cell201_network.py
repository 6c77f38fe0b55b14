"""The network of a NAS-Bench-201 cell. Imports torch."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimar.bench.families._cell201 import CELLS, CLASSES, EDGES, IMAGE_CHANNELS, KERNELS, STAGES


class PatchConv(nn.Module):
    """A convolution without bias, as a linear layer on k×k patches, so that all weights proxies see are linear layers'.

    x (batch, inputs, height, width) → (batch, outputs, height / stride, width / stride), zero padding (k − 1) / 2.
    The linear layer sees (batch, positions, inputs · k²).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.linear = nn.Linear(inputs * kernel**2, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x."""
        height, width = (-(-size // self.stride) for size in x.shape[-2:])
        if self.kernel == 1:
            patches = x[:, :, :: self.stride, :: self.stride].flatten(2)
        else:
            patches = F.unfold(x, self.kernel, padding=(self.kernel - 1) // 2, stride=self.stride)
        return self.linear(patches.transpose(1, 2)).transpose(1, 2).unflatten(2, (height, width))


class ConvUnit(nn.Module):
    """ReLU, convolution, batch norm, in this order."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.activation = nn.ReLU()
        self.conv = PatchConv(inputs, outputs, kernel, stride)
        self.norm = nn.BatchNorm2d(outputs, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, inputs, height, width) → (batch, outputs, height / stride, width / stride)."""
        return self.norm(self.conv(self.activation(x)))


class Zero(nn.Module):
    """The operation ``none``."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros in the shape of x; by a product, so that what follows still has a gradient, of 0."""
        return x * 0


def make_operation(name: str, channels: int) -> nn.Module:
    """The module of an operation of the benchmark, stride 1."""
    if name in KERNELS:
        return ConvUnit(channels, channels, KERNELS[name])
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return nn.Identity() if name == "skip_connect" else Zero()


class Cell(nn.Module):
    """Four nodes, one operation between any two; the last node is the output."""

    def __init__(self, operations: tuple[str, ...], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(make_operation(name, channels) for name in operations)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        nodes = [x]
        for target in (1, 2, 3):
            incoming = [edge(nodes[i]) for edge, (i, j) in zip(self.edges, EDGES, strict=True) if j == target]
            nodes.append(torch.stack(incoming).sum(dim=0))
        return nodes[-1]


class Reduction(nn.Module):
    """Residual block that halves height and width; its shortcut is a 2×2 mean and a 1×1 convolution."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.first = ConvUnit(before, channels, 3, stride=2)
        self.second = ConvUnit(channels, channels, 3)
        self.pool = nn.AvgPool2d(2)
        self.shortcut = PatchConv(before, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, before, height, width) → (batch, channels, height / 2, width / 2)."""
        return self.shortcut(self.pool(x)) + self.second(self.first(x))


class CellNetwork(nn.Module):
    """Images (batch, 3, height, width) → logits (batch, 10); `embedding` is the stem."""

    def __init__(self, operations: tuple[str, ...]) -> None:
        super().__init__()
        self.embedding = nn.Sequential(
            PatchConv(IMAGE_CHANNELS, STAGES[0], 3), nn.BatchNorm2d(STAGES[0], track_running_stats=False)
        )
        blocks: list[nn.Module] = []
        for stage, channels in enumerate(STAGES):
            if stage:
                blocks.append(Reduction(STAGES[stage - 1], channels))
            blocks += [Cell(operations, channels) for _ in range(CELLS)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.BatchNorm2d(STAGES[-1], track_running_stats=False)
        self.classifier = nn.Linear(STAGES[-1], CLASSES)

    def hidden_states(self, x: Tensor) -> Tensor:
        """Maps after the stem → (batch, positions, 64), what the mean over positions is taken of."""
        for block in self.blocks:
            x = block(x)
        return F.relu(self.norm(x)).flatten(2).transpose(1, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the ten classes."""
        return self.classifier(self.hidden_states(self.embedding(images)).mean(dim=1))


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Matrices from N(0, 2 / fan in), as suits ReLU (He et al., 2015, section 2.2); norms 1, biases 0."""
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(0.0, sqrt(2 / parameter.shape[1]), generator=generator)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
