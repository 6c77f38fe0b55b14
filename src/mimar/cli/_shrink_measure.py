"""What a shrink run says of the models it found, was given and compares with, and the files it writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mimar.cli._output import say
from mimar.elastic import ElasticSpace, SubNetwork
from mimar.errors import ArchitectureError, BudgetError, ExportError, InputError, UnknownNameError
from mimar.export import QUANTIZATIONS, export_shrunk_gguf, export_shrunk_hf
from mimar.formats import Speed, has_llama_cpp, measured_speeds
from mimar.formats import text_loss as llama_cpp_loss
from mimar.hardware import DeviceProfile, Workload
from mimar.objectives import front_trials
from mimar.shrink import DIVERGENCE, ModelRow, Opened, ShrinkTask, sizes_of, windows
from mimar.training import read_texts
from mimar.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from mimar.elastic import Parent, SuperNetwork

BASELINES: Final = ("uniform_width", "shortgpt", "magnitude", "random")
ENGINES: Final[Mapping[str, str]] = {"hf": "transformers", "gguf": "llama.cpp"}
PLAIN: Final = "Q8_0"
"""Type of weights that speeds are measured with: llama.cpp rounds to it with hardly a loss."""

QUANTIZED_TOKENS: Final = 1024
"""That a GGUF file is judged on, one after another."""

DECODED: Final = 64
"""Tokens that are written to see how fast."""

Stage = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Plan:
    """What is to be measured and written. texts: sources to judge on, each by itself; tokens: of each.

    exports: (form, type of weights or empty). quantized: types of GGUF that are compared.
    """

    texts: tuple[str, ...]
    tokens: int
    window: int
    baselines: bool
    exports: tuple[tuple[str, str], ...]
    quantized: tuple[str, ...]
    out: Path | None

    def require_readable(self, opened: Opened) -> None:
        """InputError before anything is computed where a text is missing or too short."""
        self.ids(opened)

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


def read_exports(text: str) -> tuple[tuple[str, str], ...]:
    """``hf,gguf:Q8_0`` → forms with their types of weights; empty for none. UnknownNameError."""
    return tuple(_export(part.strip()) for part in text.split(",") if part.strip())


def _export(text: str) -> tuple[str, str]:
    form, _, kind = text.partition(":")
    if form not in ENGINES:
        raise UnknownNameError("export form", form, tuple(ENGINES))
    if form == "hf" and kind:
        raise InputError(f"--export hf takes no type of weights, got {text!r}")
    if form == "gguf":
        kind = kind or PLAIN
        if kind not in QUANTIZATIONS:
            raise UnknownNameError("type of GGUF weights", kind, tuple(QUANTIZATIONS))
    return form, kind


def read_types(text: str) -> tuple[str, ...]:
    """``Q8_0,Q4_0`` → types of GGUF weights; empty for none. UnknownNameError."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for kind in found:
        if kind not in QUANTIZATIONS:
            raise UnknownNameError("type of GGUF weights", kind, tuple(QUANTIZATIONS))
    return found


def require_out(plan: Plan) -> None:
    """InputError where there is something to write and nowhere to write it."""
    if plan.exports and plan.out is None:
        raise InputError("--export writes files: say where with --out DIR")


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with what was learnt of it, the space and the task of its search, and where it is to run."""

    opened: Opened
    network: SuperNetwork
    space: ElasticSpace
    task: ShrinkTask
    use: tuple[DeviceProfile, Workload]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A row to be filled in, and its weights."""

    row: ModelRow
    model: Parent


def measured(subject: Subject, trials: Sequence[Trial[SubNetwork]], plan: Plan, stage: Stage) -> dict[str, Any]:
    """parent, front, chosen, baselines, quantized and exports, as plain data. InputError: the search found nothing."""
    front = front_trials(trials, subject.task.problem.objectives)
    if not front:
        raise InputError("no sub-network within the budgets was judged: allow more --trials")
    best = min(front, key=lambda trial: trial.metrics[DIVERGENCE])
    ids = plan.ids(subject.opened)
    with stage("measure what was found"):
        parent, chosen = _parent(subject), _cut(subject, "chosen", best.architecture)
        compared = list(_baselines(subject, best.architecture)) if plan.baselines else []
        listed = [_judged(each, ids) for each in (parent, chosen, *compared)]
        members = [_member(subject, trial, listed[1], best, ids) for trial in front]
    with stage("write and run files"), TemporaryDirectory(prefix="mimar-") as scratch:
        exports = [_written(subject, chosen.model, export, plan) for export in plan.exports]
        listed = _timed(subject, listed, Path(scratch))
        quantized = _quantized(subject, (parent, chosen), plan, (ids, Path(scratch)))
    rows = [each.row.to_json() for each in listed]
    return {
        "parent": rows[0],
        "chosen": {"id": best.id, **rows[1]},
        "baselines": rows[2:],
        "front": members,
        "quantized": quantized,
        "exports": exports,
    }


def _parent(subject: Subject) -> _Candidate:
    parent = subject.opened.parent
    return _Candidate(sizes_of("parent", SubNetwork.whole(parent.arch), parent.arch, subject.use), parent)


def _cut(subject: Subject, kind: str, sub: SubNetwork, network: SuperNetwork | None = None) -> _Candidate:
    """network: where another order of channels than the search's is used."""
    from mimar.elastic import extract

    row = sizes_of(kind, sub, subject.opened.parent.arch, subject.use)
    return _Candidate(row, extract(network or subject.network, sub))


def _member(
    subject: Subject, trial: Trial[SubNetwork], chosen: _Candidate, best: Trial[SubNetwork], ids: Mapping[str, Tensor]
) -> dict[str, Any]:
    """A row of the front; the chosen one was judged already."""
    filled = chosen if trial.id == best.id else _judged(_cut(subject, "front", trial.architecture), ids)
    row = replace(filled.row, kind="front", expected={**filled.row.expected, **trial.metrics})
    return {"id": trial.id, "origin": trial.proposal.origin, **row.to_json()}


def _baselines(subject: Subject, chosen: SubNetwork) -> Iterator[_Candidate]:
    """Each within the block parameters of the chosen one, or less."""
    from mimar.elastic import block_influences, by_magnitude, random_within, short_gpt, uniform_width

    space, parent = subject.space, subject.opened.parent
    most = chosen.block_params(parent.arch)
    protected = _protected(subject)
    subs = {
        "uniform_width": lambda: uniform_width(parent, most, protected),
        "shortgpt": lambda: short_gpt(parent, block_influences(parent, subject.task.evaluator.ids), most),
        "magnitude": lambda: uniform_width(parent, most, protected),
        "random": lambda: random_within(space, most, np.random.default_rng(0)),
    }
    for kind, choose in subs.items():
        try:
            network = by_magnitude(parent) if kind == "magnitude" else None
            yield _cut(subject, kind, choose(), network)
        except BudgetError as error:
            say(f"no baseline {kind}: {error}")


def _protected(subject: Subject) -> tuple[int, ...]:
    """Layers that the search keeps whole; so do the baselines of one width."""
    widths = subject.space.intermediate
    return tuple(number for number, options in enumerate(widths) if len(options) == 1)


def _judged(candidate: _Candidate, ids: Mapping[str, Tensor]) -> _Candidate:
    from mimar.elastic import text_loss

    found = {text: math.exp(text_loss(candidate.model, rows)) for text, rows in ids.items()}
    return replace(candidate, row=replace(candidate.row, perplexities=found))


def _written(subject: Subject, model: Parent, export: tuple[str, str], plan: Plan) -> dict[str, Any]:
    """One export with a verdict for each engine; one that fails says why and does not end the run."""
    form, kind = export
    assert plan.out is not None
    target, tokenizer = plan.out / f"{form}{'-' if kind else ''}{kind}", subject.opened.tokenizer
    name = f"{form}:{kind}" if kind else form
    try:
        if form == "hf":
            done = export_shrunk_hf(model, target, tokenizer)
        else:
            done = export_shrunk_gguf(model, target, tokenizer, quantization=kind)
    except (ArchitectureError, ExportError) as error:
        return {"form": name, "path": None, "verdicts": {ENGINES[form]: f"failed: {error}"}}
    return {"form": name, "path": str(done.path), "verdicts": dict(done.verdicts)}


def _gguf(subject: Subject, model: Parent, folder: Path, kind: str) -> Path | None:
    """A checked file in `folder`; None where llama.cpp cannot run such a model."""
    try:
        done = export_shrunk_gguf(model, folder, subject.opened.tokenizer, quantization=kind)
    except (ArchitectureError, ExportError) as error:
        say(f"not run in llama.cpp: {error}")
        return None
    return done.path / f"model-{kind}.gguf"


def _timed(subject: Subject, listed: Sequence[_Candidate], scratch: Path) -> list[_Candidate]:
    """With the size of each file and its speed in llama.cpp, all with the same type of weights."""
    if not has_llama_cpp():
        return list(listed)
    files = [_gguf(subject, each.model, scratch / f"timed-{n}", PLAIN) for n, each in enumerate(listed)]
    present = [file for file in files if file is not None]
    speeds = dict(zip(present, _speeds(subject, present), strict=True))
    return [each if file is None else _with_speed(each, file, speeds) for each, file in zip(listed, files, strict=True)]


def _speeds(subject: Subject, files: Sequence[Path]) -> list[Speed]:
    """With the prompt of the workload, as far as the model's context leaves room for tokens after it."""
    context, prompt = subject.opened.parent.arch.context_length, subject.use[1].prompt_tokens
    tokens = max(1, min(DECODED, context // 4))
    return measured_speeds(files, prompt_tokens=max(1, min(prompt, context - tokens - 1)), tokens=tokens)


def _with_speed(candidate: _Candidate, file: Path, speeds: Mapping[Path, Speed]) -> _Candidate:
    speed = speeds[file]
    row = replace(
        candidate.row,
        bytes=file.stat().st_size,
        prefill_tokens_per_second=speed.prefill_tokens_per_second,
        decode_tokens_per_second=speed.decode_tokens_per_second,
    )
    return replace(candidate, row=row)


def _quantized(
    subject: Subject, models: Sequence[_Candidate], plan: Plan, given: tuple[Mapping[str, Tensor], Path]
) -> list[dict[str, Any]]:
    """Parent and chosen with each type of weights, as llama.cpp runs them."""
    ids, scratch = given
    if not plan.quantized or not has_llama_cpp():
        return []
    found = [
        (kind, each, file)
        for kind in plan.quantized
        for each in models
        if (file := _gguf(subject, each.model, scratch / f"{each.row.kind}-{kind}", kind)) is not None
    ]
    speeds = dict(zip(found, _speeds(subject, [file for *_, file in found]), strict=True))
    return [_quantized_row(entry, speeds[entry], ids) for entry in found]


def _quantized_row(entry: tuple[str, _Candidate, Path], speed: Speed, ids: Mapping[str, Tensor]) -> dict[str, Any]:
    kind, candidate, file = entry
    losses = {
        text: llama_cpp_loss(file, rows[: max(1, QUANTIZED_TOKENS // rows.shape[1])].tolist())
        for text, rows in ids.items()
    }
    perplexities = {text: math.exp(loss) for text, loss in losses.items()}
    timed = _with_speed(candidate, file, {file: speed})
    row = replace(timed.row, perplexities=perplexities)
    return {**row.to_json(), "kind": f"{candidate.row.kind}:{kind}"}
