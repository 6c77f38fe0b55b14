"""Files of a shrink run: what is exported, and how fast it runs in llama.cpp."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimar.cli._output import say
from mimar.cli._shrink_plan import ENGINES, Plan
from mimar.elastic import ElasticSpace
from mimar.errors import MimarError
from mimar.export import export_shrunk_gguf, export_shrunk_hf, export_shrunk_onnx, save_shrunk_gguf
from mimar.formats import Speed, has_llama_cpp
from mimar.shrink import TIMED_WITH, Known, ModelRow, Opened, Provenance, ShrinkTask, model_card, run_in_llama_cpp

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import Parent, SuperNetwork


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with what was learnt of it, and the space and the task of its search.

    study: the journal, beside which checkpoints lie. identity: what else decides the weights, as plain data.
    calibration: sources of text. finals: the text to choose among the best on, (sequences, tokens), perhaps none.
    origin: for the model card.
    """

    opened: Opened
    network: SuperNetwork
    space: ElasticSpace
    task: ShrinkTask
    study: Path
    identity: Mapping[str, Any]
    calibration: tuple[str, ...]
    finals: Tensor
    origin: Provenance

    @property
    def known(self) -> Known:
        """What is known of each sub-network where it is to run."""
        return self.task.within.known


@dataclass(frozen=True, eq=False)
class Candidate:
    """A row to be filled in, and its weights."""

    row: ModelRow
    model: Parent


Judge = Callable[[Candidate], Candidate]
"""Fills in perplexities and scores in tasks."""


def written(
    subject: Subject, models: tuple[Candidate, Candidate], wanted: tuple[str, str], plan: Plan
) -> dict[str, Any]:
    """One export with a verdict for each engine; one that fails says why and does not end the run.

    models: the parent, and what is written.
    """
    (form, kind), (parent, chosen) = wanted, models
    card = model_card(parent.row, chosen.row, subject.origin, wanted)
    target, tokenizer = plan.place(form, kind), subject.opened.tokenizer
    name = f"{form}:{kind}" if kind else form
    try:
        if form == "gguf":
            licence = subject.opened.licence
            done = export_shrunk_gguf(chosen.model, target, tokenizer, quantization=kind, card=card, licence=licence)
        else:
            export = export_shrunk_hf if form == "hf" else export_shrunk_onnx
            done = export(chosen.model, target, tokenizer, card=card)
    except MimarError as error:
        return {"form": name, "path": None, "verdicts": {ENGINES[form]: f"failed: {error}"}}
    return {"form": name, "path": str(done.path), "verdicts": dict(done.verdicts)}


def saved_gguf(subject: Subject, candidate: Candidate, file: Path, kind: str) -> Candidate | None:
    """Writes `file`, to be measured, and gives what it holds; None where llama.cpp cannot run such a model."""
    try:
        opened = subject.opened
        model = save_shrunk_gguf(candidate.model, file, opened.tokenizer, kind, licence=opened.licence)
        return replace(candidate, model=model)
    except MimarError as error:
        say(f"{candidate.row.kind} is not run in llama.cpp: {error}")
        return None


def timed(subject: Subject, listed: Sequence[Candidate], scratch: Path) -> list[Candidate]:
    """With the size of each file and its speed in llama.cpp, all with the same type of weights."""
    if not has_llama_cpp():
        return list(listed)
    named = [scratch / f"{number}-{TIMED_WITH}.gguf" for number in range(len(listed))]
    files = [
        file if saved_gguf(subject, each, file, TIMED_WITH) else None for each, file in zip(listed, named, strict=True)
    ]
    present = [file for file in files if file is not None]
    speeds = dict(zip(present, speeds_of(subject, present), strict=True))
    done = [
        each
        if file is None
        else replace(each, row=with_speed(replace(each.row, bytes=file.stat().st_size), speeds[file]))
        for each, file in zip(listed, files, strict=True)
    ]
    return [each if file else _weighed_like(done, files, each) for each, file in zip(done, files, strict=True)]


def _weighed_like(listed: Sequence[Candidate], files: Sequence[Path | None], candidate: Candidate) -> Candidate:
    """With the bytes that its parameters would take in files like those that were written, so that all compare."""
    rows = [each.row for each, file in zip(listed, files, strict=True) if file is not None]
    if not rows:
        return candidate
    row = candidate.row
    return replace(candidate, row=replace(row, bytes=round(row.params * rows[0].bytes / rows[0].params)))


def speeds_of(subject: Subject, files: Sequence[Path]) -> list[Speed] | list[None]:
    """In llama.cpp, with the prompt of the workload; of none where it fails, as it may for want of memory."""
    try:
        return run_in_llama_cpp(files, subject.opened.parent.arch.context_length, subject.known.workload.prompt_tokens)
    except MimarError as error:
        say(f"not timed: {error}")
        return [None] * len(files)


def with_speed(row: ModelRow, speed: Speed | None) -> ModelRow:
    """As measured, if it was."""
    if speed is None:
        return row
    prefill, decode = speed.prefill_tokens_per_second, speed.decode_tokens_per_second
    return replace(row, prefill_tokens_per_second=prefill, decode_tokens_per_second=decode)
