"""Zen score: how far a small change of the input moves the output (Lin et al., Zen-NAS, 2021, section 3).

    score = ln mean over samples of ‖f(x + α s ε) − f(x)‖_F,   ε ~ N(0, 1), s = rms(x), α = 0.01

The paper feeds Gaussian noise. Here x is what the embedding gives: at initialisation its rows are Gaussian too, and of
the size, relative to the layers' outputs, at which training starts. f are the final states. The paper adds the
logarithms of batch norms' deviations, to undo them; with norms inside residual branches there is no such sum, and a
final norm is part of f, so that we leave them as they are.
"""

from __future__ import annotations

from typing import cast

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs, Scorable

PERTURBATION = 0.01
SMALLEST_CHANGE = 1e-12
"""A network whose output does not depend on its input still has a finite score."""


def _zen(inputs: ProxyInputs) -> float:
    import torch

    from mimar.proxies._forward import forward

    states = forward(inputs).states
    scorable = cast("Scorable", inputs.module)
    with torch.no_grad():
        x = scorable.embedding(inputs.batch)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(inputs.seed)).to(x.device)
        moved = scorable.hidden_states(x + PERTURBATION * x.square().mean().sqrt() * noise)
    change = (moved - states).flatten(1).norm(dim=1).mean()
    return float(change.clamp_min(SMALLEST_CHANGE).log())


zen = Score(
    "zen", frozenset({"weights", "data"}), "forward",
    "Lin et al., Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, 2021", _zen,
)  # fmt: skip
"""Logarithm of the change of the final states under Gaussian noise on the embeddings."""
