"""SynFlow: how much of the signal through the network each weight carries, no data (Tanaka et al., 2020, section 6).

    score = ln Σ_W Σ |W ∘ ∂R/∂W|,   R = sum of the final hidden states of the network with weights |W|, on ones

summed over the matrices of all blocks; embedding and head are left out. The logarithm keeps the ranking and makes the
heavy-tailed sum fit for z-scores. What the network's non-linear parts do in this pass:

- Norms divide by the root mean square, which is held constant in the backward pass, and do nothing else. A true norm
  would pass on no gradient at all for inputs of ones (and LayerNorm no signal); without any norm the signal overflows
  in deep gated networks.
- Softmax and linear attention average values that are alike for all tokens, so that queries and keys carry nothing:
  they get no score. RoPE, ALiBi and windows have no effect for the same reason.
- Activations, gates and routers see non-negative numbers and stay as they are; experts not chosen get no score.

|W| is handed to the module for one call, so that its own weights are never touched.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from mimar.proxies._contract import Score
from mimar.proxies._inputs import ProxyInputs

if TYPE_CHECKING:  # torch must not be imported before a proxy needs it
    from torch import Tensor, nn


def _synflow(inputs: ProxyInputs) -> float:
    import torch

    from mimar.proxies._hidden import hidden_states_with

    module = inputs.module
    absolute = {name: weight.detach().abs() for name, weight in module.named_parameters()}
    scored = [
        weight.requires_grad_() for name, weight in absolute.items() if name.startswith("blocks.") and weight.dim() > 1
    ]
    ones = inputs.subject.ones().to(inputs.device)
    with ExitStack() as hooks:
        for part in module.modules():
            if isinstance(part, torch.nn.RMSNorm | torch.nn.LayerNorm):
                hooks.callback(part.register_forward_hook(_rescale).remove)
        flow = hidden_states_with(module, absolute, ones).sum()
    gradients = torch.autograd.grad(flow, scored, allow_unused=True, materialize_grads=True)
    total = sum((w.detach() * g).abs().sum(dtype=torch.float64) for w, g in zip(scored, gradients, strict=True))
    # Where nothing flows (a network of cut cells), the least that single precision tells from nothing.
    return float(torch.as_tensor(total).clamp_min(torch.finfo(torch.float32).tiny).log())


def _rescale(_norm: nn.Module, arguments: tuple[Tensor, ...], _output: Tensor) -> Tensor:
    """In place of a norm's output: its input over its root mean square, the latter without gradient."""
    x = arguments[0]
    return x / x.detach().square().mean(dim=-1, keepdim=True).sqrt()


synflow = Score(
    "synflow", frozenset({"weights", "gradients"}), "backward",
    "Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, 2020", _synflow,
)  # fmt: skip
"""Natural logarithm of the synaptic flow."""
