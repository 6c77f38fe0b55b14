"""Which inputs of a linear map matter, and the weights of those that stay, both in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

ORDER_DAMPING: Final = 0.01
REFIT_DAMPING: Final = 0.1
"""What is added to the second moments, in units of their mean diagonal. Weights that are used need more than an order:
with less they fit the calibration text rather than its language.
"""

AT_ONCE: Final = 1 / 64
"""Share of the groups that is eliminated at a time: of so few hardly any two stand for each other."""


def elimination_order(moments: Tensor, weight: Tensor, group: int = 1) -> Tensor:
    """Numbers of the groups of inputs, the one that would be missed most first.

    moments: (inputs, inputs), mean of x xᵀ. weight: (outputs, inputs). group: inputs that stay or go together.

    Groups are eliminated one batch after another, each time those whose loss changes the output least when all others
    make up for it: Σ wᵀ (H⁻¹)⁻¹ w over the inverse H⁻¹ of the damped moments (optimal brain surgeon, Hassibi and Stork,
    1992; for structures: Kurtic et al., "ZipLM", 2023).
    """
    inverse = torch.linalg.inv(damped(moments, ORDER_DAMPING))
    rows, left = weight.T.to(inverse), torch.arange(len(moments) // group)
    gone: list[Tensor] = []
    while len(left):
        out = _costs(inverse, rows, group).argsort()[: max(1, int(AT_ONCE * len(left)))]
        gone.append(left[out])
        stays = torch.ones(len(left), dtype=torch.bool)
        stays[out] = False
        inputs = stays.repeat_interleave(group)
        step = torch.linalg.solve(inverse[~inputs][:, ~inputs], inverse[~inputs][:, inputs])
        rows = rows[inputs] - step.T @ rows[~inputs]
        inverse = inverse[inputs][:, inputs] - inverse[inputs][:, ~inputs] @ step
        left = left[stays]
    return torch.cat([batch.flip(0) for batch in reversed(gone)])


def _costs(inverse: Tensor, rows: Tensor, group: int) -> Tensor:
    """Squared change of the output that the loss of each group would leave."""
    count = len(inverse) // group
    blocks = inverse.view(count, group, count, group).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
    own = rows.view(count, group, -1)
    return (own * torch.linalg.solve(blocks, own)).sum((1, 2))


def damped(moments: Tensor, damping: float) -> Tensor:
    """In double precision, with so much of the mean diagonal added to the diagonal; never singular."""
    wide = moments.double()
    return wide + damping_level(wide, damping) * torch.eye(len(wide), dtype=wide.dtype)


def damping_level(moments: Tensor, damping: float) -> Tensor:
    """A share of the mean second moment, and more than nothing."""
    return damping * moments.diagonal().mean().clamp_min(1e-12)


@dataclass(frozen=True, eq=False, slots=True)
class Refit:
    """The weights that the first inputs of a linear map should have when the others are gone.

    factor: (inputs, inputs), lower Cholesky factor L of the damped second moments A. target: (inputs, outputs), Lᵀ Wᵀ.

    The weights X of the first k inputs come as near to x W as ridge regression gets, drawn to the ones they had:
    A[:k, :k] Xᵀ = (A Wᵀ)[:k]. Since the factor of A[:k, :k] is a corner of L, this is one triangular system for each k.
    """

    factor: Tensor
    target: Tensor

    @staticmethod
    def of(moments: Tensor, weight: Tensor) -> Refit:
        """moments: (inputs, inputs), mean of x xᵀ, the inputs by importance. weight: (outputs, inputs)."""
        factor = torch.linalg.cholesky(damped(moments, REFIT_DAMPING))
        return Refit(factor.to(weight), (factor.T @ weight.T.to(factor)).to(weight))

    @staticmethod
    def none(weight: Tensor) -> Refit:
        """Leaves weights as they are."""
        return Refit(torch.eye(weight.shape[1], dtype=weight.dtype), weight.T)

    def losses(self, sensitivity: Tensor) -> Tensor:
        """(inputs + 1,): what it costs to keep the first 0, 1, … inputs, x D with D = W − X for those that are gone.

        sensitivity: (outputs, outputs), S in ½ E[x D S Dᵀ xᵀ]. With the damped moments it is a sum over the rows of the
        target that are left out, since the triangular system meets those that are kept exactly.
        """
        rows = ((self.target @ sensitivity.to(self.target)) * self.target).sum(1) / 2
        return F.pad(rows.flip(0).cumsum(0).flip(0), (0, 1))

    def weights(self, count: int) -> Tensor:
        """(outputs, count): of the first `count` inputs."""
        corner = self.factor[:count, :count].T
        return torch.linalg.solve_triangular(corner, self.target[:count], upper=True).T
