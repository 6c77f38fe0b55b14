"""Gated causal depthwise convolution: a short memory at linear cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimar.models._cache import LayerCache
from mimar.models._positions import Positions
from mimar.space import Mixer


class Convolution(nn.Module):
    """output(silu(gate(x)) · conv(value(x))), x (batch, tokens, hidden) → the same; no biases.

    conv is depthwise and causal: feature c at t is Σ_j taps[c, j] · value[c, t − kernel_size + 1 + j], zeros before
    the text, so that the last tap meets the token itself.
    """

    def __init__(self, mixer: Mixer, hidden: int) -> None:
        super().__init__()
        self.kernel_size = mixer.kernel_size
        self.activation = nn.SiLU()
        self.gate = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden, bias=False)
        self.taps = nn.Parameter(torch.empty(hidden, mixer.kernel_size))
        self.output = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor, positions: Positions, memory: LayerCache | None) -> Tensor:
        """Mix the tokens of x with the values that `memory` holds; `memory` then holds the newest."""
        value = self.value(x).transpose(1, 2)
        if memory is not None and memory.tensors:
            value = torch.cat((memory.tensors[0], value), dim=2)
        else:
            value = F.pad(value, (self.kernel_size - 1, 0))
        if memory is not None:
            memory.keep(value[:, :, 1 - self.kernel_size :])
        mixed = F.conv1d(value, self.taps.unsqueeze(1), groups=self.taps.shape[0])
        return self.output(self.activation(self.gate(x)) * mixed.transpose(1, 2))
