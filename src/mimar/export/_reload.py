"""The check that ends every model export: a fresh process loads it and must give the reference's logits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mimar.errors import ExportError, ForeignFileError
from mimar.models import build
from mimar.space import Architecture

TOLERANCE = 1e-4
"""Largest allowed difference of two logits, relative to the largest logit; both sides compute in float32."""

SECONDS = 1800
"""Patience with the fresh process."""

_BEFORE = """
import sys

import torch
from safetensors.torch import load_file, save_file

directory, given, answer, *arguments = sys.argv[1:]
tokens = load_file(given)["tokens"]
"""

_AFTER = """
save_file({"logits": logits.float().contiguous()}, answer)
"""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an export must reproduce: tokens (1, T), their logits (1, T, vocab), and the weights (the state dict)."""

    tokens: Tensor
    logits: Tensor
    state: dict[str, Tensor]

    @classmethod
    def of(cls, arch: Architecture, seed: int, weights: Path | None = None) -> Expected:
        """The reference module of `arch` with weights from a file, else from `seed`, on tokens enough for the largest
        window to hide some. ForeignFileError: the file has other weights.
        """
        generator = torch.Generator().manual_seed(seed)
        model = build(arch, generator=generator).eval()
        if weights is not None:
            _load(model, weights)
        reach = max(block.mixer.window * (2 if block.mixer.kind == "block_sparse" else 1) for block in arch.blocks)
        length = min(arch.context_length, max(32, reach + 17))
        tokens = torch.randint(arch.vocab_size, (1, length), generator=generator)
        with torch.no_grad():
            return cls(tokens, model(tokens), model.state_dict())

    def rounded_to(self, arch: Architecture, state: Mapping[str, Tensor]) -> Expected:
        """The same of a module with the weights `state`."""
        model = build(arch).eval()
        model.load_state_dict(state)
        with torch.no_grad():
            return Expected(self.tokens, model(self.tokens), dict(state))


def _load(model: nn.Module, weights: Path) -> None:
    try:
        model.load_state_dict(load_file(weights))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ForeignFileError(f"{weights} does not hold the weights of its architecture: {error}") from error


def check_logits(load: str, directory: Path, arguments: tuple[str, ...], expected: Expected) -> str:
    """Run `load` in a fresh process and compare its `logits` with the expected ones; says how far they lie apart.

    `load` is Python that finds `directory`, `arguments`, `tokens`, `torch`, `load_file` and sets `logits`.
    `ExportError`: it fails, or the logits differ by more than `TOLERANCE`.
    """
    got = fresh_logits(load, directory, arguments, expected.tokens)
    if got.shape != expected.logits.shape:
        raise ExportError(
            f"expected logits of shape {tuple(expected.logits.shape)} after the reload, got {tuple(got.shape)}"
        )
    apart = float((got - expected.logits).abs().max())
    largest = float(expected.logits.abs().max())
    if not apart <= TOLERANCE * largest:
        raise ExportError(
            f"expected the reloaded model to give the same logits, got a difference of {apart:.1e} where the largest "
            f"logit is {largest:.1e}; nothing was exported"
        )
    return f"logits after a reload differ by at most {apart:.1e}"


def fresh_logits(load: str, directory: Path, arguments: tuple[str, ...], tokens: Tensor) -> Tensor:
    """The `logits` that `load` sets in a fresh process, as in `check_logits`. `ExportError`: it fails."""
    with TemporaryDirectory() as work:
        given, answer = f"{work}/tokens.safetensors", f"{work}/logits.safetensors"
        save_file({"tokens": tokens}, given)
        # -P: nothing is imported from the working directory; -B: no bytecode beside the exported files.
        command = [sys.executable, "-P", "-B", "-c", f"{_BEFORE}{load}{_AFTER}"]
        _run([*command, str(directory), given, answer, *arguments], work)
        return load_file(answer)["logits"]


def _run(command: list[str], work: str) -> None:
    """Run `command` in the directory `work`, without network and with its own home for code that comes with a model."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": f"{work}/modules"}
    try:
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"expected the export to reload within {SECONDS} seconds, got no answer") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ExportError(f"expected the export to load in a fresh process, got: {said[-1]}; nothing was exported")
