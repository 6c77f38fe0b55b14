"""Attention confidence: how far heads stand out on some token (Serianni and Kalita, 2023, section 4).

    score = Σ over projections into heads of the mean over samples and features of max over positions of x W

Their "head confidence". The paper writes the maximum of a head's output; its released code, which made the published
figures, reads the outputs of query, key and value projections, and so do we. What counts as such a projection in any
network: every linear layer of the token mixer but the last, which leads back to the residual stream; the only one where
there is just one. A network without any scores 0.
"""

from __future__ import annotations

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.shapes import NetworkShapes


def _attention_confidence(inputs: ProxyInputs) -> float:
    from mimar.proxies._forward import forward

    wanted = head_projections(inputs.shapes)
    outputs = [use.output for use in forward(inputs).linears if use.name in wanted]
    return sum((float(output.flatten(1, -2).amax(dim=1).mean()) for output in outputs), start=0.0)


def head_projections(shapes: NetworkShapes) -> frozenset[str]:
    """Names, below ``blocks``, of the linear layers that lead from the residual stream into heads."""
    found: list[str] = []
    for index, layer in enumerate(shapes.layers):
        names = [m.name.removesuffix(".weight") for m in layer.matrices if m.role == "attention"]
        found += [f"{index}.{name}" for name in names[:-1] or names]
    return frozenset(found)


attention_confidence = Score(
    "attention_confidence", frozenset({"weights", "data"}), "forward",
    "Serianni and Kalita, Training-free Neural Architecture Search for RNNs and Transformers, 2023",
    _attention_confidence,
)  # fmt: skip
"""Sum over the projections into heads of their mean largest output."""
