"""Parameter efficiency: how much of the weight budget becomes capacity.

    score = ln HPM / ln params

the power of the weight count that the architecture turns into capacity as `mimar.proxies.hpm` counts it. Embeddings, a
lopsided split between mixer and feed-forward, and idle experts lower it; shared layers raise it. The RZ-NAS ensemble
names this member and leaves it open; the definition is ours.
"""

from __future__ import annotations

from math import log

from mimar.proxies._contract import Score
from mimar.proxies._hpm import hpm
from mimar.proxies._inputs import ProxyInputs


def _parameter_efficiency(inputs: ProxyInputs) -> float:
    return log(hpm(inputs)) / log(inputs.shapes.params)


parameter_efficiency = Score(
    "parameter_efficiency", frozenset({"shapes"}), "closed form", "this project; place in the RZ-NAS ensemble, 2025",
    _parameter_efficiency,
)  # fmt: skip
"""Exponent of the weight count; near 1."""
