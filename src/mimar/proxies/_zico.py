"""ZiCo: how steady the gradients are from one mini-batch to the next (Li et al., 2023, eq. 13 and released code).

    score = Σ_W ln Σ  E|g| / σ(g)

over the matrices of all layers; mean and standard deviation of each weight's gradient g over two halves of the batch,
as the paper takes two mini-batches. Weights whose gradient does not vary, such as those of idle experts, are left out
of the inner sum, and matrices without any other of the outer one.

Cost: a forward and a backward pass of each half, that is as much again as the shared pass, which does not tell the
halves apart.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from mimar.errors import InputError
from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs
from mimar.proxies._matrices import scored_weights

if TYPE_CHECKING:  # torch must not be imported before a proxy needs it
    from torch import Tensor


def _zico(inputs: ProxyInputs) -> float:
    import torch

    weights, batch = scored_weights(inputs), inputs.batch
    if len(batch) < 2:
        raise InputError(f"zico compares two halves of a batch, got {len(batch)} sample; give at least 2")
    halves = [
        torch.autograd.grad(
            inputs.subject.loss(inputs.module, half), weights, allow_unused=True, materialize_grads=True
        )
        for half in batch.tensor_split(2)
    ]
    return sum((_log_steadiness(one, other) for one, other in zip(*halves, strict=True)), 0.0)


def _log_steadiness(one: Tensor, other: Tensor) -> float:
    """ln Σ E|g| / σ(g) of two gradients: (|a| + |b|) / |a − b| wherever they differ; 0 where they nowhere do."""
    varies = one != other
    total = float(((one.abs() + other.abs()) / (one - other).abs())[varies].sum())
    return log(total) if total > 0 else 0.0


zico = Score(
    "zico", frozenset({"weights", "data", "gradients"}), "backward",
    "Li et al., ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients, 2023", _zico,
)  # fmt: skip
"""Sum over matrices of the logarithm of the summed inverse coefficients of variation."""
