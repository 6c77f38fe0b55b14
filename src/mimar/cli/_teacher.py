"""`--teacher`: a trained model whose probabilities are learnt from, and whether its tokens are the student's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mimar.cli._start import read_architecture
from mimar.errors import ForeignFileError, InputError
from mimar.training import ByteTokenizer, SubwordTokenizer, Tokenizer

if TYPE_CHECKING:
    from torch import Tensor, nn

SAMPLE = (
    "The quick brown fox jumps over 13 lazy dogs; \u00e7a va? \u4f60\u597d, \u043c\u0438\u0440!\n\tdef f(x):\n"
    "In 1879, Mr. O'Neil (aged 42) wrote: \u201cIt's a well-known fact.\u201d"
)
"""Where two tokenizers agree on this, they agree on most; the texts of the training decide as well."""


def read_teacher(source: str, device: str) -> Callable[[Tensor], Tensor]:
    """The folder of a training, of an export or a model, or a hub id: token ids → logits.

    InputError: there is no model. ForeignFileError: its weights are not those of its architecture.
    """
    folder = Path(source).expanduser()
    model = _own(folder) if (folder / "architecture.json").is_file() else _of_transformers(source)
    model = model.to(device).eval().requires_grad_(False)
    return lambda ids: _logits(model(ids))


def require_same_tokens(source: str, tokenizer: Tokenizer, text: str) -> None:
    """InputError where there is no teacher, or one that reads `text` as other tokens than the student does.

    The vocabularies may differ in size: some models round theirs up.
    """
    if not Path(source).expanduser().is_dir() and source.count("/") != 1:
        raise InputError(f"--teacher {source}: no such folder; expected that of a training or a model, or a hub id")
    teacher = _tokenizer(source)
    for sample in (SAMPLE, text):
        if not np.array_equal(teacher.encode([sample]), tokenizer.encode([sample])):
            raise InputError(
                f"the teacher {source} has another tokenizer, so that its probabilities are of other tokens: train "
                f"with --tokenizer {source}"
            )


def _tokenizer(source: str) -> Tokenizer:
    folder = Path(source).expanduser()
    if (folder / "tokenizer.json").is_file():
        return SubwordTokenizer.read(folder)
    if (folder / "architecture.json").is_file():
        return ByteTokenizer()
    from transformers import AutoTokenizer

    try:
        return SubwordTokenizer(AutoTokenizer.from_pretrained(source, trust_remote_code=False).backend_tokenizer)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"the teacher {source} has no tokenizer that can be read: {_first_line(error)}") from error


def _own(folder: Path) -> nn.Module:
    """Of `mimar train`, or of `mimar export` where that wrote weights under our names."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from mimar.models import DecoderLM

    model = DecoderLM(read_architecture(str(folder), "--teacher")[0])
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ForeignFileError(f"the teacher {folder} has no weights of its architecture: {error}") from error
    return model


def _of_transformers(source: str) -> nn.Module:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    careful = {"trust_remote_code": False, "use_safetensors": True}
    try:
        return AutoModelForCausalLM.from_pretrained(source, dtype="float32", **careful)
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise InputError(
            f"--teacher {source}: expected the folder of a training or a model, or a hub id ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _logits(output: Any) -> Tensor:
    """Our models give logits; those of transformers an object that has them."""
    return getattr(output, "logits", output)
