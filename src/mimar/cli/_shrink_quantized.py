"""Models of a shrink run with their weights rounded to fewer bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mimar.cli._output import say
from mimar.cli._shrink_files import Candidate, Judge, Subject, saved_gguf, speeds_of, with_speed
from mimar.errors import MimarError
from mimar.export import INT8, int8_rounded
from mimar.formats import Speed
from mimar.formats import text_loss as llama_cpp_loss
from mimar.shrink import ModelRow

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import Parent

QUANTIZED_TOKENS: Final = 1024
"""That a GGUF file is judged on, one after another."""


@dataclass(frozen=True)
class _File:
    """A GGUF file, the row of what it holds, and its perplexities as `_in_llama_cpp` gives them."""

    path: Path
    row: ModelRow
    found: Mapping[str, Mapping[str, float]]


def quantized_rows(
    subject: Subject,
    models: Sequence[Candidate],
    kinds: Sequence[str],
    given: tuple[Mapping[str, Tensor], Path, Judge],
) -> list[dict[str, Any]]:
    """Each of `models` with each type of weights: judged with the weights as rounded, and run in llama.cpp.

    given: the windows of each text, a folder for the files, and who judges. Nothing here runs int8.
    """
    files = [
        file
        for kind in kinds
        if kind != INT8
        for each in models
        if (file := _written(subject, each, kind, given)) is not None
    ]
    speeds = speeds_of(subject, [file.path for file in files]) if files else []
    rows = [_told(file, speed) for file, speed in zip(files, speeds, strict=True)]
    judge = given[-1]
    return rows + [judge(_int8(subject, each)).row.to_json() for each in models if INT8 in kinds]


def rounded_rows(
    subject: Subject, candidate: Candidate, kinds: Sequence[str], given: tuple[Path, Judge]
) -> list[dict[str, Any]]:
    """One model with each type of weights, judged and weighed; its files are not run."""
    scratch, judge = given
    found = list[Candidate | None]()
    for kind in kinds:
        file = scratch / f"rounded-{kind}.gguf"
        rounded = _int8(subject, candidate) if kind == INT8 else _rounded(subject, candidate, kind, file)
        file.unlink(missing_ok=True)
        found.append(rounded and judge(rounded))
    return [each.row.to_json() for each in found if each]


def _written(
    subject: Subject, candidate: Candidate, kind: str, given: tuple[Mapping[str, Tensor], Path, Judge]
) -> _File | None:
    """None where llama.cpp cannot run such a model."""
    ids, scratch, judge = given
    path = scratch / f"{candidate.row.kind}-{kind}.gguf"
    rounded = _rounded(subject, candidate, kind, path)
    return rounded and _File(path, judge(rounded).row, _in_llama_cpp(path, rounded.model, ids))


def _rounded(subject: Subject, candidate: Candidate, kind: str, file: Path) -> Candidate | None:
    """As it is in `file`, which is written; None where that cannot be."""
    saved = saved_gguf(subject, candidate, file, kind)
    return saved and Candidate(_weighing(subject, candidate.row, kind, file.stat().st_size), saved.model)


def _int8(subject: Subject, candidate: Candidate) -> Candidate:
    model, size = int8_rounded(candidate.model)
    return Candidate(_weighing(subject, candidate.row, INT8, size), model)


def _weighing(subject: Subject, row: ModelRow, kind: str, size: int) -> ModelRow:
    """The row with weights of `size` bytes, in memory as well; what was measured of it with others is left out."""
    other = round(row.memory_at_context - row.params * subject.known.workload.weight_bytes)
    unknown = replace(row, prefill_tokens_per_second=None, decode_tokens_per_second=None)
    return replace(unknown, kind=f"{row.kind}:{kind}", bytes=size, memory_at_context=other + size)


def _in_llama_cpp(file: Path, model: Parent, ids: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """The perplexities that it finds itself, on the first tokens of each text, beside ours on these: it rounds
    activations as well. Nothing where it fails.
    """
    from mimar.elastic import text_loss

    few = {text: rows[: max(1, QUANTIZED_TOKENS // rows.shape[1])] for text, rows in ids.items()}
    try:
        theirs = {text: math.exp(llama_cpp_loss(file, rows.tolist())) for text, rows in few.items()}
    except MimarError as error:
        say(f"{file.stem} was not judged in llama.cpp: {error}")
        return {}
    return {
        "perplexities": theirs,
        "same_tokens": {text: math.exp(text_loss(model, rows)) for text, rows in few.items()},
    }


def _told(file: _File, speed: Speed | None) -> dict[str, Any]:
    return {**with_speed(file.row, speed).to_json(), "llama_cpp": file.found}
