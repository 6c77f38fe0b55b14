"""Quantization sensitivity: how much the final states change when the weights of all layers are rounded to few bits.

    score = −‖f(Q(W)) − f(W)‖_F / ‖f(W)‖_F

Q rounds to the nearest multiple of a step, separately for each group of 32 neighbouring inputs of one output: the step
is the group's largest magnitude over 2^(bits − 1) − 1, as in the symmetric block formats of llama.cpp (Q8_0; of its
4-bit formats Q4_0 is a close relative with one more level). Every matrix and tap of the blocks is rounded; embeddings,
head and norms stay. At initialisation this shows how depth, norms and gates amplify rounding noise; it says nothing
of outliers that training brings. Values near 0 are best.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs, Scorable

if TYPE_CHECKING:  # torch must not be imported before a proxy needs it
    from torch import Tensor

GROUP = 32
SMALLEST_STEP = 1e-30
"""Keeps a group of zeros from dividing by zero."""
SMALLEST_NORM = 1e-12
"""Keeps a network whose states are all zero finite."""


def rounded(weight: Tensor, bits: int) -> Tensor:
    """`weight` after rounding to the nearest of 2^bits − 1 levels, in groups of `GROUP` along its last axis."""
    from torch.nn.functional import pad

    size = weight.shape[-1]
    groups = pad(weight, (0, -size % GROUP)).unflatten(-1, (-1, GROUP))
    levels = 2 ** (bits - 1) - 1
    step = (groups.abs().amax(dim=-1, keepdim=True) / levels).clamp_min(SMALLEST_STEP)
    return ((groups / step).round() * step).flatten(-2)[..., :size]


def _sensitivity(inputs: ProxyInputs, *, bits: int) -> float:
    import torch

    from mimar.proxies._forward import forward
    from mimar.proxies._hidden import hidden_states_with

    module = inputs.module
    states = forward(inputs).states
    with torch.no_grad():
        weights = {
            name: rounded(weight, bits) if name.startswith("blocks.") and weight.dim() > 1 else weight
            for name, weight in module.named_parameters()
        }
        changed = hidden_states_with(module, weights, cast("Scorable", module).embedding(inputs.batch))
    return -float((changed - states).norm() / states.norm().clamp_min(SMALLEST_NORM))


SOURCE = "round to nearest in groups, as the baseline of Frantar et al., GPTQ, 2023, section 4"

quantization_int8 = Score(
    "quantization_int8", frozenset({"weights", "data"}), "forward", SOURCE, partial(_sensitivity, bits=8)
)
"""Minus the relative change of the final states under 8-bit weights."""

quantization_int4 = Score(
    "quantization_int4", frozenset({"weights", "data"}), "forward", SOURCE, partial(_sensitivity, bits=4)
)
"""Minus the relative change of the final states under 4-bit weights."""
