"""Writing aside, checking, putting in place."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mimar.errors import ExportError, InputError
from mimar.space import Architecture, architecture_to_json

Form = Literal["json", "code", "hf", "gguf", "onnx", "csv"]

MANIFEST = "mimar-export.json"
"""The file by which an export knows its own: form, files, verdicts and the architecture."""

_NOT_OURS_TO_COUNT = "__pycache__"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export left behind.

    path: the directory, or the file for ``csv``.
    files: names of the files in it, relative to `path`; one name for ``csv``.
    verdicts: engine → ``ok: …`` or ``not tested``. An export that fails its check raises `ExportError` instead and
      leaves nothing.
    """

    form: Form
    path: Path
    files: tuple[str, ...]
    verdicts: Mapping[str, str]


def publish(
    arch: Architecture, directory: Path, form: Form, write: Callable[[Path], Mapping[str, str]]
) -> ExportResult:
    """Let `write` fill and check a directory beside `directory`, then put it in its place.

    `write` gets the empty directory and returns the verdicts. Whatever it raises, nothing stays. `InputError`: the
    target holds something that is not an earlier export of this form. `ExportError`: the disk does not take it.
    """
    target = directory.resolve()
    _refuse_foreign(target, form)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        aside.mkdir(parents=True)
        verdicts = dict(write(aside))
        files = _files(aside)
        _write_manifest(aside, arch, {"form": form, "files": files, "verdicts": verdicts})
        _put_in_place(aside, target)
    except OSError as error:
        raise ExportError(
            f"expected to write to {target}, got {error.strerror or error}; make room or choose another directory"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)  # is gone already when all went well
    return ExportResult(form, target, (*files, MANIFEST), verdicts)


def _write_manifest(directory: Path, arch: Architecture, facts: dict[str, Any]) -> None:
    text = json.dumps(facts | {"architecture": architecture_to_json(arch)}, indent=2)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _refuse_foreign(target: Path, form: Form) -> None:
    if not target.exists():
        return
    advice = "choose a new or empty directory"
    if not target.is_dir():
        raise InputError(f"expected a directory to export to, got the file {target}; {advice}")
    known = _known_files(target, form)
    foreign = [name for name in _files(target) if name not in known]
    if foreign:
        raise InputError(
            f"expected a new or empty directory or an earlier {form} export, got {target} "
            f"with {foreign[0]} in it; {advice}"
        )


def _known_files(target: Path, form: Form) -> set[str]:
    """The files of an earlier export of this form; empty when there is none."""
    try:
        facts = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(facts, dict) or facts.get("form") != form or not isinstance(facts.get("files"), list):
        return set()
    return {MANIFEST, *map(str, facts["files"])}


def _files(directory: Path) -> list[str]:
    """Everything in `directory` that is not a plain directory, as relative names."""
    found = (path for path in directory.rglob("*") if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(directory) for path in found)
    return sorted(name.as_posix() for name in names if _NOT_OURS_TO_COUNT not in name.parts)


def _put_in_place(aside: Path, target: Path) -> None:
    """Rename `aside` to `target`; an earlier export there goes only once the new one stands."""
    if not target.exists():
        aside.rename(target)
        return
    earlier = aside.with_name(f"{aside.name}.earlier")
    target.rename(earlier)
    try:
        aside.rename(target)
    except OSError:
        earlier.rename(target)
        raise
    shutil.rmtree(earlier)
