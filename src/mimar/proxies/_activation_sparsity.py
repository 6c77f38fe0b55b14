"""Activation sparsity: the share of activation outputs that are next to nothing, whose weights need not be read.

    score = share of |a| < 0.01 · rms(a) among all outputs a of all activations on one batch

with the root mean square of each use of an activation by itself. Sparse feed-forward layers can skip the columns of
their down projection (Mirzadeh et al., ReLU Strikes Back, 2023, section 3): the measure serves those who will compress
or serve the network, not its quality. Half of a ReLU's outputs are zero, next to none of GELU's or SiLU's. In gated
layers the activation's output is what counts, as a zero there silences the unit. Experts count with the tokens that
reach them. 0 without activations.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs

THRESHOLD = 0.01
"""In root mean squares; well below the step of 8-bit rounding of what enters the next matrix."""


def _activation_sparsity(inputs: ProxyInputs) -> float:
    from mimar.proxies._forward import forward

    small = total = 0
    for use in forward(inputs).activations:
        level = THRESHOLD * use.output.square().mean().sqrt()
        small += int((use.output.abs() <= level).sum())
        total += use.output.numel()
    return small / max(1, total)


activation_sparsity = Score(
    "activation_sparsity", frozenset({"weights", "data"}), "forward",
    "Mirzadeh et al., ReLU Strikes Back: Exploiting Activation Sparsity in Large Language Models, 2023",
    _activation_sparsity,
)  # fmt: skip
"""Share of activation outputs that are next to nothing, between 0 and 1."""
