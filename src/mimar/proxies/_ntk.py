"""Condition number of the empirical neural tangent kernel at initialisation (TE-NAS, Chen et al., 2021, section 3.1).

    Θ_ij = ⟨∂f(x_i)/∂W, ∂f(x_j)/∂W⟩,   score = −ln(λ_max / λ_min)

A well-conditioned kernel lets gradient descent fit all samples at a similar speed, hence the sign. A sample is one
sequence; f is the mean over positions of one logit, through a random head vector of unit variance. W are all linear
weights of the blocks; embedding, head, norms and convolution taps are left out.

One backward pass to the outputs of the layers is enough for all samples: with inputs a_t and output gradients b_t of a
layer, a sample's weight gradient is Σ_t b_t a_tᵀ, and the product of two of them Σ_t Σ_s (a_t·a_s)(b_t·b_s), whichever
is cheaper. Only where experts mix the samples' tokens does each sample have its own pass.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, cast

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs, Scorable, final_states

if TYPE_CHECKING:  # torch must not be imported before a proxy needs it
    from torch import Tensor, nn


SMALLEST_EIGENVALUE = 1e-7
"""Floor of λ_min / λ_max: single precision resolves no less, and a singular kernel must still have a finite score."""


def _ntk(inputs: ProxyInputs) -> float:
    import torch

    eigenvalues = torch.linalg.eigvalsh(tangent_kernel(inputs).double())
    largest = float(eigenvalues[-1])
    if largest <= 0:
        return float(torch.log(torch.tensor(SMALLEST_EIGENVALUE)))
    return float((eigenvalues[0] / largest).clamp_min(SMALLEST_EIGENVALUE).log())


def tangent_kernel(inputs: ProxyInputs) -> Tensor:
    """Θ (batch, batch) of ``inputs.batch``."""
    import torch

    batch = inputs.batch
    generator = torch.Generator().manual_seed(inputs.seed)
    head = torch.randn(inputs.shapes.hidden_size, generator=generator).to(inputs.device)
    mixed = inputs.subject.mixes_samples
    seen: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for samples in torch.arange(len(batch), device=batch.device).split(1 if mixed else len(batch)):
        for name, a, b in _linear_passes(inputs.module, batch[samples], head):
            owner = samples.repeat_interleave(len(a) // len(samples))
            seen.setdefault(name, []).append((a, b, owner))
    kernel = torch.zeros(len(batch), len(batch), device=batch.device)
    for passes in seen.values():
        a, b, owner = (torch.cat(parts) for parts in zip(*passes, strict=True))
        kernel += _layer_kernel(a, b, torch.nn.functional.one_hot(owner, len(batch)).bool())
    return kernel


def _layer_kernel(a: Tensor, b: Tensor, member: Tensor) -> Tensor:
    """Products of the samples' weight gradients of one layer: (batch, batch).

    a (rows, in): inputs; b (rows, out): output gradients; member (rows, batch): whose row it is.
    """
    import torch

    (rows, width), height = a.shape, b.shape[1]
    if rows * (width + height) < width * height:
        share = member.to(a.dtype)
        return share.T @ ((a @ a.T) * (b @ b.T)) @ share
    gradients = torch.stack([(b[own].T @ a[own]).flatten() for own in member.T])
    return gradients @ gradients.T


def _linear_passes(module: nn.Module, batch: Tensor, head: Tensor) -> list[tuple[str, Tensor, Tensor]]:
    """Every use of a linear layer of the blocks: its name, inputs (rows, in) and output gradients (rows, out)."""
    import torch

    uses: list[tuple[str, Tensor, Tensor]] = []
    with ExitStack() as hooks:
        for name, part in cast("Scorable", module).blocks.named_modules():
            if isinstance(part, torch.nn.Linear):
                hooks.callback(part.register_forward_hook(partial(_record, uses, name)).remove)
        states = final_states(module, batch)
    outputs = [output for _, _, output in uses]
    logits = (states @ head).mean(dim=1)
    gradients = torch.autograd.grad(logits.sum(), outputs, allow_unused=True, materialize_grads=True)
    return [(name, x.flatten(0, -2), g.flatten(0, -2)) for (name, x, _), g in zip(uses, gradients, strict=True)]


def _record(
    uses: list[tuple[str, Tensor, Tensor]], name: str, _part: nn.Module, x: tuple[Tensor, ...], output: Tensor
) -> None:
    """Forward hook: remembers what went into a layer and what came out."""
    uses.append((name, x[0].detach(), output))


ntk = Score(
    "ntk", frozenset({"weights", "data", "gradients"}), "backward",
    "Chen et al., Neural Architecture Search on ImageNet in Four GPU Hours (TE-NAS), 2021", _ntk,
)  # fmt: skip
"""Minus the logarithm of the condition number of the tangent kernel, between ln 1e-7 and 0."""
