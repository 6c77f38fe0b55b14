"""Learning from a teacher's probabilities beside the text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from mimar.errors import InputError

AT_A_TIME: Final = 2**23
"""Logits whose divergence is computed together."""


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

    def loss(self, logits: Tensor, ids: Tensor, text_loss: Callable[[], Tensor]) -> Tensor:
        """Of the student's logits (batch, tokens, vocab) for ids (batch, tokens); the text is asked where it counts."""
        with torch.no_grad():
            wanted = self.teacher(ids).float()
        common = min(wanted.shape[-1], logits.shape[-1])
        student, teacher = (part[..., :common].flatten(0, 1) for part in (logits, wanted))
        apart = cast("Tensor", _Divergence.apply(student, teacher, self.temperature))
        return apart if self.weight == 1.0 else (1.0 - self.weight) * text_loss() + self.weight * apart


class _Divergence(torch.autograd.Function):
    """T² · KL(teacher ‖ student) of logits (tokens, vocab) at temperature T, the mean over tokens.

    Its gradient with respect to the student's logits is T · (softmax of theirs − of the teacher's). Both are computed
    a few tokens at a time, so that of a large vocabulary hardly more than logits and gradient is held at once.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        count, rows = len(student), max(1, AT_A_TIME // student.shape[-1])
        gradient, total = torch.empty_like(student), student.new_zeros(())
        for own, theirs, into in zip(*(part.split(rows) for part in (student, teacher, gradient)), strict=True):
            q, p = (F.log_softmax(part / temperature, dim=-1) for part in (own, theirs))
            likely = p.exp()
            total += (likely * p.sub_(q)).sum()
            torch.sub(q.exp_(), likely, out=into).mul_(temperature / count)
        ctx.save_for_backward(gradient)
        return total * (temperature**2 / count)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * above[0], None, None
