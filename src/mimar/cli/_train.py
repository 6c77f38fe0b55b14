"""`mimar train`: one architecture, real text, a folder with what came of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimar.cli._output import say
from mimar.cli._start import read_architecture
from mimar.cli._study_file import is_study, open_study, split_reference
from mimar.cli._teacher import read_teacher, require_same_tokens
from mimar.cli._training import TextSource, step_reporter
from mimar.errors import InputError, StorageError
from mimar.export import copy_tokenizer, weights_written, written_aside
from mimar.hardware import device_here
from mimar.space import Architecture, architecture_to_json
from mimar.storage import WriterLock
from mimar.training import Recipe, TokenData, Tokenizer, read_texts

if TYPE_CHECKING:
    from torch import nn

    from mimar.training import Distillation, Habits, TrainingResult

COMPARED = 20_000
"""Characters of the text on which a teacher's tokenizer must agree."""

SAY_EVERY = 5.0
"""Seconds between two lines about where the training stands."""


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for; `reference` is ``STUDY#ID``, a JSON file, a folder that holds one, or a hub id.

    teacher: a model's folder or hub id, its weight and temperature; None to learn from the text alone.
    """

    reference: str
    source: TextSource
    recipe: Recipe
    habits: Habits
    device: str
    out: Path
    resume: bool
    teacher: tuple[str, float, float] | None = None


def run_train(request: TrainRequest) -> dict[str, Any] | None:
    """Train, write the folder, and return what `train.json` holds; None in all but the first of several processes."""
    from mimar.training import team

    tell = say if team().is_first else _silent
    _check_folder(request.out, request.resume)
    _check_teacher(request)
    reference, device = _architecture(request.reference), device_named(request.device)
    tokenizer, data = request.source.read
    arch = _fitted(reference, request, tokenizer)
    model = _model(arch, request.recipe.seed, device)
    tell(
        f"{sum(each.numel() for each in model.parameters()):,} parameters, {len(data.train):,} tokens of text, "
        f"{request.recipe.steps:,} steps"
    )
    with _alone(request.out):
        result = _trained(model, data, arch, request)
        if not team().is_first:
            return None
        return _write(request, model, tokenizer, result, _facts(arch, request, result))


@contextmanager
def _alone(out: Path) -> Generator[None]:
    """The folder, into which no other command trains meanwhile; StorageError where one does, or nothing can be put."""
    from mimar.training import team

    if not team().is_first:
        yield
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(out / "checkpoint.pt")
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error}") from error
    try:
        yield
    finally:
        lock.release()


def _trained(model: nn.Module, data: TokenData, arch: Architecture, request: TrainRequest) -> TrainingResult:
    from mimar.training import team, train

    teacher = _teacher(request) if request.teacher else None
    return train(
        model,
        data,
        request.recipe,
        teacher=teacher,
        folder=request.out,
        habits=request.habits,
        on_row=step_reporter(request.recipe.steps, SAY_EVERY, _words) if team().is_first else _silent,
        identity=_identity(arch, request),
    )


def _identity(arch: Architecture, request: TrainRequest) -> dict[str, Any]:
    """What a training that goes on must have in common with the one that began, besides its recipe."""
    return {
        "architecture": architecture_to_json(arch),
        **request.source.to_json(),
        "text": request.source.sha256,
        "validation_tokens": request.habits.validation_tokens,
        **_taught(request),
    }


def _silent(_: object) -> None:
    """What all but the first of several processes say."""


def _teacher(request: TrainRequest) -> Distillation:
    from mimar.training import Distillation

    assert request.teacher is not None
    source, weight, temperature = request.teacher
    tokenizer, _ = request.source.read
    require_same_tokens(source, tokenizer, read_texts(request.source.data[:1])[0][:COMPARED])
    return Distillation(read_teacher(source, device_named(request.device)), weight, temperature)


def _taught(request: TrainRequest) -> dict[str, Any]:
    """By whom, as plain data; nothing where there is no teacher."""
    if request.teacher is None:
        return {}
    return {"teacher": dict(zip(("model", "weight", "temperature"), request.teacher, strict=True))}


def _check_teacher(request: TrainRequest) -> None:
    """InputError for a weight or a temperature that cannot be, before a teacher is loaded."""
    from mimar.training import Distillation

    if request.teacher is not None:
        Distillation(lambda ids: ids, *request.teacher[1:])


def _check_folder(out: Path, resume: bool) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give the name of a folder")
    begun = (out / "checkpoint.pt").exists()
    if begun and not resume:
        raise InputError(f"{out} holds a training: go on with --resume, or choose another --out")
    if resume and not begun:
        raise InputError(f"{out} holds no training to go on with: run without --resume")


def _architecture(reference: str) -> Architecture:
    path, number = split_reference(reference)
    if number is not None:
        return open_study(path).trial(number).architecture
    if is_study(path):
        raise InputError(f"{path} is a study: name one of its trials, {path}#ID; mimar show lists the best")
    arch, notes = read_architecture(reference, "the architecture")
    for note in notes:
        say(f"approximated: {note}")
    return arch


def _fitted(arch: Architecture, request: TrainRequest, tokenizer: Tokenizer) -> Architecture:
    """With the vocabulary that is made here; one from a file must fit into the architecture's."""
    if request.recipe.context_length > arch.context_length:
        raise InputError(
            f"--context {request.recipe.context_length} is more than the architecture's {arch.context_length} tokens"
        )
    if request.source.makes_tokenizer and tokenizer.vocab_size != arch.vocab_size:
        say(f"the vocabulary has {tokenizer.vocab_size} tokens, not {arch.vocab_size}: {request.source.tokenizer}")
        return replace(arch, vocab_size=tokenizer.vocab_size)
    if tokenizer.vocab_size > arch.vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the architecture only {arch.vocab_size}: choose another "
            "tokenizer, or design with --vocab"
        )
    return arch


def device_named(name: str, option: str = "--device") -> str:
    """``cpu`` or ``cuda``; ``auto`` is the GPU where there is one, and the own one of several processes that train
    together. InputError for anything else.
    """
    import torch

    from mimar.training import team

    require_device_name(name, option)
    if name == "auto" and (own := team().device) is not None:
        return own
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{option} cuda: torch finds no GPU here")
    return device_here(name)


def require_device_name(name: str, option: str) -> None:
    """InputError for one that does not exist."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"{option} must be auto, cpu or cuda, got {name}")


def _model(arch: Architecture, seed: int, device: str) -> nn.Module:
    import torch

    from mimar.models import build

    return build(arch, generator=torch.Generator().manual_seed(seed), device=device)


def _words(row: Mapping[str, float]) -> str:
    judged = f", validation {row['validation_loss']:.4f}" if "validation_loss" in row else ""
    return f"loss {row['train_loss']:.4f}{judged}"


def _facts(arch: Architecture, request: TrainRequest, result: TrainingResult) -> dict[str, Any]:
    return {
        "validation_loss": result.validation_loss,
        "bits_per_byte": result.bits_per_byte,
        "tokens": result.tokens,
        "seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second,
        "recipe": request.recipe.to_json(),
        **request.source.to_json(),
        **_taught(request),
        "architecture": architecture_to_json(arch),
    }


def _write(
    request: TrainRequest, model: nn.Module, tokenizer: Tokenizer, result: TrainingResult, facts: dict[str, Any]
) -> dict[str, Any]:
    """model.safetensors, architecture.json, train.json, log.csv and the tokenizer, each whole or not at all."""
    from safetensors.torch import save_file

    out = request.out
    with written_aside(out / "model.safetensors") as aside, weights_written():
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, aside)
    for name, data in (("architecture.json", facts["architecture"]), ("train.json", facts)):
        with written_aside(out / name) as aside:
            aside.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    with written_aside(out / "log.csv") as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["step", "tokens", "seconds", "rate", "train_loss", "validation_loss"])
        writer.writeheader()
        writer.writerows(result.rows)
    if not request.source.makes_tokenizer:  # what lies beside it names its end token, and how a dialogue is written
        copy_tokenizer(Path(request.source.tokenizer).expanduser(), out)
    tokenizer.save(out)
    return {**facts, "path": str(out)}
