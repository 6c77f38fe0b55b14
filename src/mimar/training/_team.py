"""Processes that train one model together, each with its own part of every step, through accelerate."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

from mimar.errors import InputError, MissingDependencyError

SIZE = "WORLD_SIZE"
"""The variable by which torchrun and ``accelerate launch`` tell a process how many there are."""


def team_size() -> int:
    """Processes of this program that train together, 1 for one alone."""
    return int(os.environ.get(SIZE, "1"))


@dataclass(frozen=True)
class Team:
    """A process among `size`, counted from 0 as `rank`; alone there is nothing to agree on."""

    rank: int = 0
    size: int = 1
    accelerator: Any = None

    @property
    def device(self) -> str | None:
        """Where this process trains; None where that is for the user to say."""
        return None if self.accelerator is None else str(self.accelerator.device)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose gradients are means over all processes; parts that a pass leaves out are allowed."""
        return model if self.accelerator is None else self.accelerator.prepare_model(model)

    def own(self, sequences: int) -> slice:
        """The rows of a step that are this process's; InputError where there are fewer than processes."""
        if sequences < self.size:
            raise InputError(f"a step has {sequences} sequences for {self.size} processes: raise --batch-tokens")
        return slice(self.rank, None, self.size)

    def quiet(self, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Around every pass of a step; gradients are exchanged with the last one."""
        return nullcontext() if self.accelerator is None or last else self.accelerator.no_sync(model)

    def mean(self, value: Tensor) -> Tensor:
        """Over all processes."""
        return value if self.accelerator is None else self.accelerator.reduce(value, "mean")


@lru_cache(maxsize=1)
def team() -> Team:
    """Of this process, as it was started; MissingDependencyError where several need a package."""
    if team_size() == 1:
        return Team()
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise MissingDependencyError("several processes need accelerate: pip install 'mimar[gpu]'") from error
    cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    accelerator = Accelerator(cpu=cpu, kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    return Team(accelerator.process_index, accelerator.num_processes, accelerator)
