"""Singular values and their sums, quicker than through a decomposition. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mimar.proxies._matrices import mixer_names

if TYPE_CHECKING:  # the inputs ask for nuclear norms, not the other way round
    from mimar.proxies._inputs import ProxyInputs


def singular_values(matrix: Tensor) -> Tensor:
    """σ of a matrix (rows, columns), ascending, from the smaller Gram matrix, whose spectrum is the same: far quicker
    than a singular value decomposition. The precision of small ones is that of `nuclear_norm`.
    """
    gram = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    return torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()


def nuclear_norm(matrix: Tensor) -> float:
    """Σ σ_i of a matrix (rows, …), from the eigenvalues of its smaller Gram matrix: half the time of an SVD.

    Squaring halves the digits of small singular values: in single precision those below 0.03% of the largest are
    rounding and count as 0. The sum is off by 1e-6 for initial weights and by less than 1e-3 for gradients, whose
    spectrum falls steeply.
    """
    flat = matrix.detach().flatten(1)
    largest = flat.abs().amax().clamp_min(torch.finfo(flat.dtype).tiny)
    flat = flat / largest  # else squares of tiny gradients vanish
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    eigenvalues = torch.linalg.eigvalsh(gram)
    kept = torch.where(eigenvalues > torch.finfo(gram.dtype).eps * eigenvalues[-1], eigenvalues, 0.0)
    return float(kept.sqrt().sum() * largest)


def nuclear_norms(inputs: ProxyInputs) -> dict[str, tuple[float, float]]:
    """Name of a token mixer's weight → nuclear norms of the weight and of its gradient in the shared pass."""
    weights: Mapping[str, Tensor] = dict(inputs.module.named_parameters())
    gradients = inputs.gradients
    return {name: (nuclear_norm(weights[name]), nuclear_norm(gradients[name])) for name in mixer_names(inputs.shapes)}
