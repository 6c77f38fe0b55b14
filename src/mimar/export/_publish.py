"""Writing aside, checking, putting in place."""

from __future__ import annotations

import glob
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mimar.errors import ExportError, InputError
from mimar.space import Architecture, architecture_to_json

Form = Literal["json", "code", "hf", "gguf", "onnx", "csv", "optuna"]

MANIFEST = "mimar-export.json"
"""The file by which an export knows its own: form, files, verdicts and the architecture."""

_NOT_OURS_TO_COUNT = "__pycache__"
_ASIDE = ".mimar-"
_EARLIER = ".earlier"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export left behind.

    path: the directory, the file for ``csv``, the storage's URL for ``optuna``.
    files: names of the files in it, relative to `path`; one name for ``csv``, the study's for ``optuna``.
    verdicts: engine → ``ok: …`` or ``not tested``. An export that fails its check raises `ExportError` instead and
      leaves nothing.
    """

    form: Form
    path: Path | str
    files: tuple[str, ...]
    verdicts: Mapping[str, str]


def publish(
    arch: Architecture, directory: Path, form: Form, write: Callable[[Path], Mapping[str, str]]
) -> ExportResult:
    """Let `write` fill and check a directory beside `directory`, then put it in its place.

    `write` gets the empty directory and returns the verdicts. Whatever it raises, nothing stays; what a killed process
    left there, the next export removes. `InputError`: the target holds something that is not an earlier export of this
    form. `ExportError`: the disk does not take it.
    """
    target = directory.resolve()
    aside = target.with_name(f".{target.name}{_ASIDE}{uuid.uuid4().hex[:8]}")
    try:
        _clear_up(target)
        require_free(target, form)
        aside.mkdir(parents=True)
        with _claimed(aside):
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


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A path beside `target` to write one file to, which takes its place when the block ends well and is gone else. A
    link stays one; what is no file, as /dev/stdout, is written to at once.

    ExportError: the disk does not take it.
    """
    target = Path(os.path.realpath(target))
    if target.exists() and not target.is_file() and not target.is_dir():
        yield target
        return
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(
            f"expected to write {target}, got {error.strerror or error}; make room or choose another place"
        ) from error


@contextmanager
def weights_written() -> Iterator[None]:
    """Around code that writes weights: a full disk is an OSError here too, which safetensors makes its own error."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error


def _write_manifest(directory: Path, arch: Architecture, facts: dict[str, Any]) -> None:
    text = json.dumps(facts | {"architecture": architecture_to_json(arch)}, indent=2)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def require_free(target: Path, form: str) -> None:
    """InputError: `target` is there and is no empty directory nor an earlier export of this form. ExportError: none can
    be made there.
    """
    advice = "choose a new or empty directory"
    if not target.exists():
        above = next(path for path in target.absolute().parents if path.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            came = f"{above}, where nothing can be put"
            raise ExportError(f"expected to write to {target}, got {came}; make room or choose another directory")
        return
    if not target.is_dir():
        raise InputError(f"expected a directory to export to, got the file {target}; {advice}")
    known = _known_files(target, form)
    foreign = [name for name in _files(target) if name not in known]
    if foreign:
        raise InputError(
            f"expected a new or empty directory or an earlier {form} export, got {target} "
            f"with {foreign[0]} in it; {advice}"
        )


def _known_files(target: Path, form: str) -> set[str]:
    """The files of an earlier export of this form; empty when there is none."""
    try:
        facts = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
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
    earlier = aside.with_name(f"{aside.name}{_EARLIER}")
    with _claimed(target):
        target.rename(earlier)
        try:
            aside.rename(target)
        except OSError:
            earlier.rename(target)
            raise
        shutil.rmtree(earlier)


def _clear_up(target: Path) -> None:
    """Remove what killed processes left beside `target`; an export that one was about to replace comes back."""
    for left in sorted(target.parent.glob(f".{glob.escape(target.name)}{_ASIDE}*")):
        with _claimed(left) as abandoned:
            if abandoned and left.name.endswith(_EARLIER) and not target.exists():
                left.rename(target)
            elif abandoned:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _claimed(directory: Path) -> Iterator[bool]:
    """Whether nobody else has claimed `directory`, which then nobody else can until the block or this process ends.

    On Windows directories cannot be claimed; none counts as abandoned there.
    """
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:
            free = False
        yield free
    finally:
        os.close(handle)
