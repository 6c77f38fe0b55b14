"""GGUF files in llama.cpp: how fast they run and how well they foretell a text, each time in a fresh process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from mimar.errors import InputError, MissingDependencyError

SECONDS: Final = 3600
"""Patience with one process."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second: of a prompt that is read (prefill), and of text that is written after it (decode)."""

    prefill_tokens_per_second: float
    decode_tokens_per_second: float


def has_llama_cpp() -> bool:
    """Whether the package that brings llama.cpp is there."""
    return importlib.util.find_spec("xllamacpp") is not None


def require_llama_cpp() -> None:
    """MissingDependencyError unless it is."""
    if not has_llama_cpp():
        raise MissingDependencyError("measuring in llama.cpp needs xllamacpp: pip install xllamacpp")


def measured_speeds(
    files: Sequence[Path], *, prompt_tokens: int = 128, tokens: int = 64, rounds: int = 5
) -> list[Speed]:
    """Of each GGUF file, after a prompt of `prompt_tokens` arbitrary tokens; the median of three readings in each of
    `rounds`.

    The files take turns, so that what else the machine does hits all of them alike. Errors as `text_loss`.
    """
    asked = {"speed": {"prompt_tokens": prompt_tokens, "tokens": tokens, "readings": 3}}
    rows: list[list[Speed]] = [[] for _ in files]
    for _ in range(rounds):
        for row, file in zip(rows, files, strict=True):
            answer = _answer(file, asked, prompt_tokens + tokens + 8)
            row += [Speed(**reading) for reading in answer["readings"]]
    return [
        Speed(
            median(speed.prefill_tokens_per_second for speed in row),
            median(speed.decode_tokens_per_second for speed in row),
        )
        for row in rows
    ]


def text_loss(file: Path, sequences: Sequence[Sequence[int]]) -> float:
    """Mean negative log-probability, nats a token, of every token but the first of each of `sequences`.

    InputError: llama.cpp cannot load the file. MissingDependencyError: there is no llama.cpp.
    """
    longest = max(map(len, sequences))
    return float(_answer(file, {"text": [list(map(int, ids)) for ids in sequences]}, longest + 8)["loss"])


def _answer(file: Path, asked: Mapping[str, Any], context: int) -> dict[str, Any]:
    require_llama_cpp()
    given = json.dumps({**asked, "file": str(file), "context": context})
    command = [sys.executable, "-P", "-m", "mimar.formats._llama_worker"]
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"llama.cpp did not answer on {file} within {SECONDS} seconds") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise InputError(f"llama.cpp cannot run {file}: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])
