"""Activation outliers: how far the largest value that enters a matrix stands out, which is what rounding activations
to few bits suffers from (Dettmers et al., LLM.int8(), 2022, section 4; Xiao et al., SmoothQuant, 2023, section 3).

    score = −mean over uses of linear layers of ln(max |x| / rms(x)),   x: all inputs of that use

0 is the best there is: all inputs of one size. At initialisation this shows the architecture's own tendency, such as
the heavy tails of products in gated layers and of squared activations; outliers that training brings come on top.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs

SMALLEST_RMS = 1e-20
"""Keeps inputs that are all zero finite; their ratio is then 0 and the use is left out."""


def _activation_outliers(inputs: ProxyInputs) -> float:
    import torch

    from mimar.proxies._forward import forward

    ratios = [
        use.input.abs().amax() / use.input.square().mean().sqrt().clamp_min(SMALLEST_RMS)
        for use in forward(inputs).linears
        if use.input.numel()
    ]
    found = torch.stack(ratios) if ratios else torch.zeros(0)
    found = found[found > 0]
    return -float(found.log().mean()) if len(found) else 0.0


activation_outliers = Score(
    "activation_outliers", frozenset({"weights", "data"}), "forward",
    "Dettmers et al., LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale, 2022", _activation_outliers,
)  # fmt: skip
"""Minus the mean logarithm of peak over root mean square of what enters the matrices; 0 at best."""
