"""Learning from a teacher's probabilities beside the text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.errors import InputError


@dataclass(frozen=True)
class Distillation:
    """(1 − weight) · cross-entropy + weight · T² · KL(teacher ‖ student), both at temperature T.

    Hinton et al., Distilling the Knowledge in a Neural Network, 2015, §2. teacher: token ids (batch, tokens) → logits
    (batch, tokens, vocab), on the student's device, never trained. Where one of the two has more tokens in its
    vocabulary than the other, only the common ones are compared.
    """

    teacher: Callable[[Tensor], Tensor]
    weight: float = 0.5
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight <= 1.0:
            raise InputError(f"the teacher's weight must be a share from 0 to 1, got {self.weight:g}")
        if not 0.0 < self.temperature < float("inf"):
            raise InputError(f"the teacher's temperature must be above 0, got {self.temperature:g}")

    def loss(self, logits: Tensor, ids: Tensor, text_loss: Tensor) -> Tensor:
        """Of the student's logits (batch, tokens, vocab) for ids (batch, tokens), whose loss on the text is given."""
        with torch.no_grad():
            wanted = self.teacher(ids).float()
        common = min(wanted.shape[-1], logits.shape[-1])
        student, teacher = (
            F.log_softmax(part[..., :common].flatten(0, 1) / self.temperature, dim=-1) for part in (logits, wanted)
        )
        apart = F.kl_div(student, teacher, reduction="batchmean", log_target=True) * self.temperature**2
        return (1.0 - self.weight) * text_loss + self.weight * apart
