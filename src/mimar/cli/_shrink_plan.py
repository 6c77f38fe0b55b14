"""What a shrink run is to measure, heal and write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mimar.errors import InputError, UnknownNameError
from mimar.export import (
    INT8,
    QUANTIZATIONS,
    require_free,
    require_gguf,
    require_int8,
    require_onnx,
    require_shrinkable_to_gguf,
)
from mimar.formats import require_llama_cpp
from mimar.shrink import TIMED_WITH, Opened, windows
from mimar.tasks import Items, read_items
from mimar.training import Precision, read_texts

if TYPE_CHECKING:
    from torch import Tensor

ENGINES: Final[Mapping[str, str]] = {"hf": "transformers", "gguf": "llama.cpp", "onnx": "onnxruntime"}


@dataclass(frozen=True)
class Recovery:
    """tokens: 0 for none. texts: to learn on, the calibration text where there are none. control: whether the parent
    learns on the same tokens, to tell recovery from getting used to the text. save_every: seconds between checkpoints,
    those of a fine-tune too.
    """

    tokens: int
    texts: tuple[str, ...]
    learning_rate: float
    teacher_weight: float
    precision: Precision
    control: bool
    save_every: float

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise InputError(f"--heal-rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.teacher_weight <= 1:
            raise InputError(f"--heal-teacher-weight must be a share from 0 to 1, got {self.teacher_weight}")


@dataclass(frozen=True)
class Plan:
    """What is to be measured and written. texts: sources to judge on, each by itself; tokens: of each.

    tasks: names, or NAME=FILE, with `items` of each, all for None. exports: (form, type of weights or empty).
    quantized: types of weights that are compared. choose: the trial to go on with, None for the best of the finals.
    """

    texts: tuple[str, ...]
    tokens: int
    window: int
    tasks: tuple[str, ...]
    items: int | None
    baselines: bool
    recovery: Recovery
    exports: tuple[tuple[str, str], ...]
    quantized: tuple[str, ...]
    out: Path | None
    choose: int | None = None

    def __post_init__(self) -> None:
        asked = [name.partition("=")[0] for name in self.tasks]
        if twice := sorted({name for name in asked if asked.count(name) > 1}):
            raise InputError(f"--tasks names {twice[0]} twice: give each task once")

    def place(self, form: str, kind: str) -> Path:
        """Where such an export is written."""
        assert self.out is not None
        return self.out / (f"{form}-{kind}" if kind else form)

    @property
    def measures(self) -> bool:
        """Whether anything beside sizes and speeds is asked for."""
        return bool(self.texts or self.tasks or self.baselines or self.quantized or self.recovery.tokens)

    def require_readable(self, opened: Opened, form: str) -> None:
        """InputError or ArchitectureError before anything is computed where something is missing or too short, or
        cannot be written of sub-networks of this form.
        """
        if any(name == "gguf" for name, _ in self.exports) or set(self.quantized) - {INT8}:
            require_shrinkable_to_gguf(opened.parent, opened.tokenizer, uniform=form == "U")
        self.ids(opened)
        _ = self.questions
        read_texts(self.recovery.texts) if self.recovery.texts else None

    def ids(self, opened: Opened) -> dict[str, Tensor]:
        """Text → its windows (sequences, tokens)."""
        import torch

        window = min(self.window, opened.parent.arch.context_length)
        count = max(1, self.tokens // window)
        return {
            text: torch.from_numpy(
                windows(read_texts([text], "validation"), opened.reader, count, window, opened.begin)
            )
            for text in self.texts
        }

    @cached_property
    def questions(self) -> tuple[Items, ...]:
        """Of each task, the same in every run."""
        return tuple(read_items(name, limit=self.items) for name in self.tasks)


def names(text: str) -> tuple[str, ...]:
    """``a, b`` → what stands between the commas, none twice."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def read_exports(text: str) -> tuple[tuple[str, str], ...]:
    """``hf,gguf:Q8_0`` → forms with their types of weights; empty for none. UnknownNameError."""
    return tuple(dict.fromkeys(map(_export, names(text))))


def _export(text: str) -> tuple[str, str]:
    form, _, kind = text.partition(":")
    if form not in ENGINES:
        raise UnknownNameError("export form", form, tuple(ENGINES))
    if form != "gguf" and kind:
        raise InputError(f"--export {form} takes no type of weights, got {text!r}")
    if form == "gguf":
        kind = kind or TIMED_WITH
        if kind not in QUANTIZATIONS:
            raise UnknownNameError("type of GGUF weights", kind, tuple(QUANTIZATIONS))
    return form, kind


def read_types(text: str) -> tuple[str, ...]:
    """``Q8_0,int8`` → types of weights; empty for none. UnknownNameError."""
    found, known = names(text), (*QUANTIZATIONS, INT8)
    for kind in found:
        if kind not in known:
            raise UnknownNameError("type of weights", kind, known)
    return found


def require_out(plan: Plan) -> None:
    """InputError where there is something to write and nowhere to write it or other files are there,
    MissingDependencyError where nothing is that could write it.
    """
    if plan.exports and plan.out is None:
        raise InputError("--export writes files: say where with --out DIR")
    forms = {form for form, _ in plan.exports}
    if "onnx" in forms:
        require_onnx()
    if "gguf" in forms:
        require_gguf()
    for form, kind in plan.exports:
        require_free(plan.place(form, kind), form)
    if INT8 in plan.quantized:
        require_int8()
    if set(plan.quantized) - {INT8}:
        require_gguf()
        require_llama_cpp()
