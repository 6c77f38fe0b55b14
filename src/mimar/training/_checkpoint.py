"""A training on disk: written aside and put in place, so that a kill at any instant leaves a whole one."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mimar.errors import ForeignFileError, StorageError, StorageFullError

NAME = "checkpoint.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A training after `step` steps.

    identity: plain data that a training must share to go on from here. model, optimizer: their state dicts. rows: of
    the log so far. seconds: spent.
    """

    identity: Mapping[str, Any]
    step: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    rows: tuple[Mapping[str, float], ...]
    seconds: float


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write ``checkpoint.pt``; StorageFullError or StorageError where the disk does not take it, the old one stays."""
    target = folder / NAME
    aside = target.with_name(f".{NAME}.new")  # what a killed training left of one goes with the next
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            torch.save(vars(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
    except (OSError, RuntimeError) as error:
        raise _unwritten(error, target) from error
    finally:
        aside.unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """What `save_checkpoint` wrote, on the CPU; None where there is none, ForeignFileError where it is damaged."""
    file = folder / NAME
    if not file.exists():
        return None
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        return Checkpoint(**found)
    except Exception as error:  # of torch and of unpickling, which have no common root
        raise ForeignFileError(f"{file} is not a checkpoint of a training, or is damaged: {error}") from error


def _unwritten(error: Exception, target: Path) -> StorageError:
    """torch reports a full disk as a RuntimeError; then the cause is asked from the disk itself."""
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if full or "No space left" in str(error) or "PytorchStreamWriter failed" in str(error):
        return StorageFullError(f"no room left to write {target}: free some space and run again with --resume")
    return StorageError(f"{target} cannot be written: {error}")
