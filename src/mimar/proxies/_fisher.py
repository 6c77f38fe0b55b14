"""Fisher: the expected squared change of the loss, to second order, were a unit switched off (Theis et al., 2018).

    score = Σ_units ½ · mean over samples of (Σ_positions a · ∂ℓ/∂a)²

with a the output of an activation and ℓ the sample's own loss (Theis et al., Faster gaze prediction with dense networks
and Fisher pruning, 2018, section 2; as a score of whole networks in Turner et al., BlockSwap, 2020, section 4). All
activations of the layers count: feed-forward parts, gates of convolutions, every run of a shared layer. Experts see
tokens without their sample, so that each token counts as a sample there, in the sum as with all others. Networks
without activations score 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs

if TYPE_CHECKING:  # torch must not be imported before a proxy needs it
    from torch import Tensor


def _fisher(inputs: ProxyInputs) -> float:
    # ∂ℓ/∂a is samples × ∂L/∂a for the mean loss L; squared and averaged over samples one factor is left.
    samples = len(inputs.batch)
    return sum(
        (
            samples / 2 * float(_over_positions(use.output * use.gradient).square().sum())
            for use in inputs.observation.activations
        ),
        0.0,
    )


def _over_positions(product: Tensor) -> Tensor:
    """Sums (samples, positions, units), or feature maps (samples, units, height, width), over positions."""
    if product.dim() == 4:
        return product.sum(dim=(2, 3))
    return product.sum(dim=1) if product.dim() == 3 else product


fisher = Score(
    "fisher", frozenset({"weights", "data", "gradients"}), "backward",
    "Theis et al., Faster gaze prediction with dense networks and Fisher pruning, 2018; "
    "Turner et al., BlockSwap: Fisher-guided Block Substitution, 2020", _fisher,
)  # fmt: skip
"""Sum of the Fisher information of all units."""
