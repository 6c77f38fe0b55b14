"""A model that was cut out of a pretrained one → an ONNX file."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mimar.errors import MissingDependencyError
from mimar.export._publish import ExportResult, publish
from mimar.export._shrunk_hf import checked_tokens
from mimar.export._tokenizer import accompany, read_tokenizer

if TYPE_CHECKING:
    import torch

    from mimar.elastic import Parent

ONE_FILE: Final = 1_500_000_000
"""Bytes of weights that fit into the model's own file, whose format ends at two gigabytes."""

LOAD_ONNX: Final = """
import onnxruntime

session = onnxruntime.InferenceSession(f"{directory}/model.onnx", providers=["CPUExecutionProvider"])
for ids in (tokens[:, :1], torch.cat([tokens, tokens])):
    found = session.run(["logits"], {"input_ids": ids.numpy()})[0]
    if found.shape[:2] != tuple(ids.shape):
        raise SystemExit(f"ids of the shape {tuple(ids.shape)} gave logits of the shape {found.shape}")
logits = torch.from_numpy(found[:1])
"""


def export_shrunk_onnx(model: Parent, directory: Path, tokenizer: Path, *, card: str = "") -> ExportResult:
    """Write model.onnx: ``input_ids`` (batch, tokens), int64 → ``logits`` (batch, tokens, vocab), float32.

    It reads the whole text for each new token, without a cache; layers may have sizes of their own. Weights of more
    than `ONE_FILE` bytes lie beside it in model.onnx.data. onnxruntime loads it in a fresh process and must give the
    logits of `model`. tokenizer: a folder with the parent's. card: a README.md to go with it. MissingDependencyError:
    there is no onnxscript. ExportError: it does not reload to the same model.
    """
    require_onnx()
    read_tokenizer(tokenizer, model.arch.vocab_size)

    def write(aside: Path) -> dict[str, str]:
        from mimar.elastic import model_logits, state_dict
        from mimar.export._reload import Expected, check_logits

        _program(model).save(aside / "model.onnx", external_data=_bytes(model) > ONE_FILE)
        accompany(aside, tokenizer, card)
        if importlib.util.find_spec("onnxruntime") is None:
            return {"onnxruntime": "not tested: it is not installed"}
        tokens = checked_tokens(model.arch)
        expected = Expected(tokens, model_logits(model, tokens), state_dict(model))
        return {"onnxruntime": f"ok: {check_logits(LOAD_ONNX, aside, (), expected)}"}

    return publish(model.arch, directory, "onnx", write)


def require_onnx() -> None:
    """MissingDependencyError unless what writes such files is there."""
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise MissingDependencyError("writing ONNX needs onnxscript: pip install 'mimar[onnx]'")


def _bytes(model: Parent) -> int:
    from mimar.elastic import state_dict

    return sum(weights.numel() * weights.element_size() for weights in state_dict(model).values())


def _program(model: Parent) -> torch.onnx.ONNXProgram:
    import torch

    from mimar.elastic import Trainable

    example = torch.zeros(2, min(8, model.arch.context_length), dtype=torch.int64)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            Trainable(model).eval(), (example,), dynamo=True, verbose=False, dynamic_shapes=(free,),
            input_names=["input_ids"], output_names=["logits"],
        )  # fmt: skip
    assert program is not None
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of what else could be installed, and of what the exporter itself should no longer call."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
