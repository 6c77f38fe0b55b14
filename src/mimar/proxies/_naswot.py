"""NASWOT: how well activation patterns before training tell samples apart (Mellor et al., 2021, section 3).

    score = ln det(K + I),   K_ij = number of units that are on for both samples i and j, or off for both

A sample is one sequence; its pattern has one bit for each use of an activation, each position and each unit: whether
what enters the activation is positive. For ReLU that is the paper's pattern; for smooth activations it is the sign of
the pre-activation. An expert is off for tokens that do not choose it. The identity is ours: it changes nothing where
patterns are long, and gives equal patterns, or a network without activations, a finite score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs

if TYPE_CHECKING:  # torch must not be imported before a proxy needs it
    from torch import Tensor


def agreements(inputs: ProxyInputs) -> tuple[Tensor, int]:
    """K (samples, samples), in double precision, and the length of the patterns."""
    import torch

    from mimar.proxies._forward import forward

    seen = forward(inputs)
    samples = len(inputs.batch)
    positions = seen.states.shape[1]
    both, length = torch.zeros(samples, samples, dtype=torch.float64, device=seen.states.device), 0
    for use in seen.activations:
        on = use.input > 0
        if use.tokens is not None:
            on = on.new_zeros(samples * positions, on.shape[-1]).index_copy(0, use.tokens, on)
        pattern = on.reshape(samples, -1).float()
        common, count = (pattern @ pattern.T).double(), pattern.sum(dim=1, dtype=torch.float64)
        both += pattern.shape[1] - count[:, None] - count + 2 * common
        length += pattern.shape[1]
    return both, length


def _naswot(inputs: ProxyInputs) -> float:
    import torch

    both, _ = agreements(inputs)
    return float(torch.linalg.slogdet(both + torch.eye(len(both), dtype=both.dtype, device=both.device))[1])


naswot = Score(
    "naswot", frozenset({"weights", "data"}), "forward",
    "Mellor et al., Neural Architecture Search without Training, 2021", _naswot,
)  # fmt: skip
"""Logarithm of the determinant of the kernel of activation patterns."""
