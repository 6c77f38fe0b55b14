"""How a model is trained: everything that decides the result, and nothing that does not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mimar.errors import InputError

Precision = Literal["float32", "bfloat16"]


def precision_named(name: str) -> Precision:
    """``float32`` or ``bfloat16``; InputError for anything else."""
    if name not in ("float32", "bfloat16"):
        raise InputError(f"precision must be float32 or bfloat16, got {name}")
    return name


@dataclass(frozen=True, slots=True)
class Recipe:
    """AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019) with warm-up and a cosine.

    tokens: to train on, those of repeated epochs included; rounded up to whole steps. context_length: tokens of a
    sequence. batch_tokens: tokens of one step, rounded down to whole sequences. micro_batch: sequences in one pass,
    gradients of several are added up; 0 for all of a step's. learning_rate: at its height, after `warmup`, a share of
    all steps; it ends at `final_share` of that. weight_decay: of matrices; norms have none. clip: largest norm of the
    gradient. precision: of the passes; weights and moments are float32 in any case. seed: of the initial weights, the
    order of the data and dropout.
    """

    tokens: int
    context_length: int = 256
    batch_tokens: int = 4096
    micro_batch: int = 0
    learning_rate: float = 2e-3
    warmup: float = 0.05
    final_share: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tokens", "context_length", "learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} of the training must be above 0, got {getattr(self, name)}")
        for name in ("micro_batch", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} of the training must be at least 0, got {getattr(self, name)}")
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise InputError(f"betas of the training must be from 0 to below 1, got {self.betas}")
        for name in ("warmup", "final_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name} of the training must be a share from 0 to 1, got {getattr(self, name)}")
        if self.batch_tokens < self.context_length:
            raise InputError(
                f"a step must have at least one sequence of {self.context_length} tokens, got batch_tokens "
                f"{self.batch_tokens}; raise it or shorten the context"
            )

    @property
    def sequences(self) -> int:
        """In one step."""
        return self.batch_tokens // self.context_length

    @property
    def steps(self) -> int:
        """In the whole training."""
        return math.ceil(self.tokens / (self.sequences * self.context_length))

    @property
    def passes(self) -> tuple[slice, ...]:
        """The sequences of a step, pass by pass."""
        size = self.micro_batch or self.sequences
        return tuple(slice(start, start + size) for start in range(0, self.sequences, size))

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        progress = (step - warm) / max(1, self.steps - 1 - warm)
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return self.learning_rate * (self.final_share + (1.0 - self.final_share) * cosine)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"betas": list(self.betas)}
