"""What training an architecture would cost, from its FLOPs and stated assumptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mimar.errors import InputError
from mimar.shapes import flops
from mimar.space import Architecture


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What is assumed of the machine that trains.

    peak_flops: bf16 operations per second. utilisation: the share of it that training reaches, 0 to 1.
    dollars_per_hour: rent of one accelerator.
    """

    name: str
    peak_flops: float
    utilisation: float
    dollars_per_hour: float

    @property
    def sentence(self) -> str:
        """The assumption in words."""
        return (
            f"one {self.name} with {self.peak_flops / 1e12:g} TFLOP/s at {self.utilisation:.0%} utilisation, "
            f"${self.dollars_per_hour:g} an hour"
        )


A100: Final = Accelerator("NVIDIA A100", 312e12, 0.4, 2.0)
"""Dense bf16 peak from NVIDIA's A100 datasheet (2021). Utilisation is set below the 46% that PaLM reports (Chowdhery et
al., 2022, section 4.1), since small models reach less. The price is an assumption about cloud rent, not a quotation."""


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """Operations, accelerator hours and US dollars of one training run."""

    flops: float
    gpu_hours: float
    dollars: float


def training_flops_per_token(arch: Architecture) -> float:
    """Operations to train on one token at the architecture's context length.

    The backward pass does two matrix products for each one of the forward pass, hence three times the forward FLOPs
    (Kaplan et al., "Scaling Laws for Neural Language Models", 2020, section 2.1).
    """
    return 3.0 * flops(arch, arch.context_length) / arch.context_length


def training_cost(arch: Architecture, tokens: float, accelerator: Accelerator = A100) -> TrainingCost:
    """Cost of training `arch` on `tokens` tokens in sequences of its context length; InputError when tokens ≤ 0."""
    if not tokens > 0:
        raise InputError(f"training tokens must be more than 0, got {tokens:g}: for example 2e9")
    total = training_flops_per_token(arch) * tokens
    hours = total / (accelerator.peak_flops * accelerator.utilisation) / 3600
    return TrainingCost(total, hours, hours * accelerator.dollars_per_hour)
