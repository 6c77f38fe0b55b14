"""Weights as int8, one scale for each row, as torchao keeps them on a GPU."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import TYPE_CHECKING, Any, Final

from mimar.errors import MissingDependencyError

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import Parent

INT8: Final = "int8"
"""The name of this type of weights."""

PLAIN_BYTES: Final = 2
"""Of each weight that is not rounded: these stay bfloat16."""


def int8_rounded(model: Parent) -> tuple[Parent, int]:
    """`model` with the matrices of its layers as torchao's ``Int8WeightOnlyConfig`` rounds them, and the bytes that all
    weights take then; embedding, head and norms stay bfloat16. A checkpoint of ``--export hf`` is loaded that way by
    transformers' ``TorchAoConfig``. MissingDependencyError: there is no torchao.
    """
    require_int8()
    from mimar.elastic import assemble, state_dict

    logging.getLogger("torchao").setLevel(logging.ERROR)  # it tells of kernels for other machines
    weights, size = state_dict(model), 0
    for name, weight in weights.items():
        if name.startswith("model.layers.") and weight.dim() == 2:
            weights[name], taken = _rounded(weight)
            size += taken
        else:
            size += PLAIN_BYTES * weight.numel()
    return assemble(model.arch, model.facts, model.config, weights.get), size


def require_int8() -> None:
    """MissingDependencyError unless torchao is there."""
    if importlib.util.find_spec("torchao") is None:
        raise MissingDependencyError("int8 weights need torchao: pip install torchao")


def _rounded(weight: Tensor) -> tuple[Tensor, int]:
    """The matrix as it is read back, and its bytes."""
    import torch
    from torch import nn

    torchao: Any = importlib.import_module("torchao.quantization")
    holder = nn.Sequential(nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta"))
    holder[0].weight = nn.Parameter(weight, requires_grad=False)
    torchao.quantize_(holder, torchao.Int8WeightOnlyConfig())
    kept = holder[0].weight
    assert isinstance(kept, torch.Tensor)
    return kept.dequantize(), kept.numel() + weight.element_size() * weight.shape[0]
