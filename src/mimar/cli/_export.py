"""`mimar export`: one trial, or a whole study, in another form."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimar.cli._output import say
from mimar.cli._start import read_architecture
from mimar.cli._study_file import StudyFile, open_study, reading, split_reference
from mimar.errors import ForeignFileError, InputError, UnknownNameError
from mimar.export import ExportResult, export_code, export_csv, export_gguf, export_hf, export_json, export_optuna
from mimar.objectives import front_trials
from mimar.space import Architecture, architecture_to_json
from mimar.trial import Trial

WHOLE = ("csv", "optuna")
FORMS = ("json", "code", "hf", "gguf", *WHOLE)

_DATABASE = re.compile(r"sqlite(?:\+\w+)?:///(?:file:)?([^?]+)(?:\?.*)?")
"""SQLAlchemy's URL of an SQLite file, which may name a driver and options."""


@dataclass(frozen=True)
class Weights:
    """What comes with an architecture: a tokenizer, the seed of initial weights, and the type of a GGUF file's."""

    tokenizer: Path | None
    seed: int
    quantization: str | None


def export_study(reference: str, typed: str | None, form: str, weights: Weights) -> dict[str, Any]:
    """Export what `reference` (``STUDY``, ``STUDY#ID`` or the folder of a training) names; returns form, path, files
    and verdicts.

    Without an id the member of the front with the best first objective is taken, and said on standard error.
    """
    path, number = split_reference(reference)
    out = None if typed is None else Path(typed)
    if form not in FORMS:
        raise UnknownNameError("export form", form, FORMS)
    if weights.quantization is not None and form != "gguf":
        raise InputError(f"--weights is the type of the weights of --to gguf, not of --to {form}")
    if path.is_dir() and number is not None:
        raise InputError(f"{path} is the folder of one training: leave out #{number}")
    if path.is_dir():
        return _as_json(_export_training(path, out or path.with_name(f"{path.name}-{form}"), form, weights), None)
    if form in WHOLE and number is not None:
        raise InputError(f"--to {form} is of a whole study: leave out #{number}")
    study = open_study(path)
    if form == "csv":
        return _as_json(export_csv(study.trials, out or path.with_suffix(".csv"), architecture_to_json), None)
    if form == "optuna":
        url = typed or f"sqlite:///{path.with_name(f'{path.stem}-optuna.db')}"
        _require_no_study(url)
        return _as_json(export_optuna(study.trials, study.objectives, study.settings.space, url, path.stem), None)
    trial = _best(study) if number is None else study.trial(number)
    target = out or path.with_name(f"{path.stem}-{trial.id}-{form}")
    return _as_json(_export(study, trial, target, form, weights), trial.id)


def _require_no_study(url: str) -> None:
    """InputError where Optuna would write into a study of ours."""
    found = _DATABASE.fullmatch(url)
    if found is None or not (file := Path(found[1])).is_file() or not file.stat().st_size:
        return
    with suppress(ForeignFileError), reading(file):
        raise InputError(f"{url} is a study of mimar: choose another file")


def _export_training(folder: Path, target: Path, form: str, given: Weights) -> ExportResult:
    """What `mimar train` left, with its weights and its tokenizer."""
    weights = folder / "model.safetensors"
    if not (folder / "architecture.json").is_file() or not weights.is_file():
        raise InputError(
            f"{folder} is not the folder of a finished mimar train: it needs architecture.json and weights"
        )
    arch, _ = read_architecture(str(folder), "the training")
    if form == "code":
        return export_code(arch, target)
    if form not in ("hf", "gguf"):
        raise InputError(f"a training is exported --to hf, --to gguf or --to code, not {form}")
    tokenizer = given.tokenizer or (folder if (folder / "tokenizer.json").is_file() else None)
    if form == "gguf":
        return export_gguf(arch, target, quantization=given.quantization or "F16", weights=weights, tokenizer=tokenizer)
    return export_hf(arch, target, weights=weights, tokenizer=tokenizer)


def _export(study: StudyFile, trial: Trial[Architecture], target: Path, form: str, given: Weights) -> ExportResult:
    arch = trial.architecture
    if form == "code":
        return export_code(arch, target, seed=given.seed)
    if form == "hf":
        return export_hf(arch, target, seed=given.seed, tokenizer=given.tokenizer)
    if form == "gguf":
        return export_gguf(
            arch, target, quantization=given.quantization or "F16", seed=given.seed, tokenizer=given.tokenizer
        )
    metrics = dict(trial.metrics)
    if not metrics:
        raise InputError(f"trial {trial.id} was not evaluated: {'; '.join(trial.reasons)}")
    if not metrics.keys() >= {"params", "flops"} or not metrics.get("decode_tokens_per_second"):
        raise ForeignFileError(f"{study.path} is damaged: trial {trial.id} lacks its figures; restore a backup")
    estimates = {
        "params": metrics["params"],
        "flops": metrics["flops"],
        "latency_ms": 1000.0 / metrics["decode_tokens_per_second"],
    }
    name = f"{study.path.stem}-{trial.id}"
    return export_json(arch, target, model_name=name, estimated_metrics=estimates, metrics=metrics)


def _best(study: StudyFile) -> Trial[Architecture]:
    """The front's member with the best first objective."""
    front = front_trials(study.trials, study.objectives)
    if not front:
        raise InputError(f"{study.path} holds no evaluated trial yet: continue it with --resume")
    first = study.objectives[0]
    best = min(front, key=lambda trial: first.sign * trial.metrics[first.metric])
    say(f"exporting trial {best.id}, the best {first.metric} of the front; choose with STUDY#ID")
    return best


def _as_json(result: ExportResult, number: int | None) -> dict[str, Any]:
    return {
        "id": number,
        "form": result.form,
        "path": str(result.path),
        "files": list(result.files),
        "verdicts": dict(result.verdicts),
    }
