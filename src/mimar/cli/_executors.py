"""`--executor` and what goes with it: where candidates are evaluated."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from mimar.cli._design import BATCH
from mimar.cli._quantities import seconds, size
from mimar.errors import InputError, UnknownNameError
from mimar.executor import Executor, Limits, ProcessExecutor, RayExecutor, SerialExecutor, usable_cores

EXECUTORS: Final = ("serial", "process", "ray")


@dataclass(frozen=True)
class ExecutorRequest:
    """The options as typed; `executor` is ``NAME`` or ``ray:ADDRESS``."""

    executor: str
    workers: int | None
    candidate_time: str | None
    candidate_memory: str | None
    candidate_takes: str | None


@contextmanager
def executor_for(request: ExecutorRequest) -> Generator[Executor]:
    """What the options ask for, ended afterwards. InputError where they do not go together."""
    name, _, address = request.executor.partition(":")
    if name not in EXECUTORS or (address and name != "ray"):
        raise UnknownNameError("executor", request.executor, (*EXECUTORS, "ray:ADDRESS"))
    _require_fitting(name, request)
    limits = Limits(
        seconds(request.candidate_time, "--candidate-time") if request.candidate_time else math.inf,
        size(request.candidate_memory, "--candidate-memory") if request.candidate_memory else math.inf,
    )
    match name:
        case "process":
            with ProcessExecutor(request.workers or min(BATCH, usable_cores()), limits) as executor:
                yield executor
        case "ray":
            takes = _resources(request.candidate_takes or "CPU=1")
            with RayExecutor(address or None, resources=takes, limits=limits) as executor:
                yield executor
        case _:
            yield SerialExecutor()


def _require_fitting(name: str, request: ExecutorRequest) -> None:
    if request.workers is not None and name != "process":
        raise InputError(f"--workers is for --executor process, not for {name}")
    if request.candidate_takes is not None and name != "ray":
        raise InputError(f"--candidate-takes is for --executor ray, not for {name}")
    if (request.candidate_time or request.candidate_memory) and name == "serial":
        raise InputError("--candidate-time and --candidate-memory need --executor process or ray")


def _resources(text: str) -> Mapping[str, float]:
    """``CPU=2,GPU=0.5,NAME=1`` → amounts."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, typed = (each.strip() for each in part.partition("="))
        try:
            amount = float(typed)
        except ValueError:
            amount = math.nan
        if not name or not 0 <= amount < math.inf:
            raise InputError(f"--candidate-takes must be CPU=2,GPU=0.5,NAME=1,…; got {part!r}")
        if amount > 1 and amount % 1:
            raise InputError(f"--candidate-takes counts above 1 in whole numbers, got {part!r}")
        if name in ("memory", "object_store_memory"):
            raise InputError(f"--candidate-memory limits memory, not --candidate-takes {part}")
        found[name] = amount
    return found
