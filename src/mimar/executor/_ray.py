"""Candidates as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, Self, TypeVar, final

from mimar.errors import InputError, MissingDependencyError
from mimar.executor._contract import NO_LIMITS, Limits, Outcome
from mimar.executor._process import ATTEMPTS, ProcessExecutor

T = TypeVar("T")

_log = logging.getLogger(__name__)

_NOT_LOADED: Final = "The remote function failed to import"
"""So Ray begins its message where a node does not find the module of a task."""

ONE_CORE: Final[Mapping[str, float]] = {"CPU": 1.0}


@final
class RayExecutor:
    """Candidates as tasks of a Ray cluster; a context manager that leaves it. Needs the extra ``ray``.

    address: of a running cluster, ``auto`` for the one that this machine belongs to. None: a cluster of this machine
      alone, which is started and ended with the executor; where this process is connected to one already, that is used
      and left as it is.
    resources: what one candidate takes of a node: ``CPU``, ``GPU`` or a name that nodes were given, as Ray counts them.
    limits: as of `ProcessExecutor`, in one of which each node evaluates, so that a bad candidate ends with the same
      reason.
    What ran on a node that is lost is begun anew on another, at most 3 times in all. Nodes need mimar and all that the
    evaluator needs, in the same versions.
    Raises InputError where there is no cluster at the address, where this machine alone has not what a candidate takes,
    and from `map` where a node or the process in it cannot load what it is sent.
    """

    def __init__(
        self, address: str | None = None, *, resources: Mapping[str, float] = ONE_CORE, limits: Limits = NO_LIMITS
    ) -> None:
        self._ray = _imported()
        self._limits = limits
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            self._connect(address)
        self._require_fitting(resources, alone=self._is_ours and address is None)
        cores, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
        self._threads = max(1, int(cores))
        self._task = self._ray.remote(
            num_cpus=cores,
            num_gpus=gpus,
            resources={name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")},
            max_retries=ATTEMPTS - 1,
        )(_evaluated)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._is_ours:
            self._ray.shutdown()

    def map(self, evaluate: Callable[[T], Mapping[str, float]], items: Sequence[T]) -> Iterator[tuple[int, Outcome]]:
        """(index, outcome) as candidates finish, wherever they run."""
        evaluator = self._ray.put(self._pickled(evaluate))
        task = partial(self._task.remote, limits=self._limits, threads=self._threads)
        running = {task(evaluator, self._pickled(item)): index for index, item in enumerate(items)}
        try:
            while running:
                (done,), _ = self._ray.wait(list(running), num_returns=1)
                yield running.pop(done), self._outcome(done)
        finally:  # of an error, or where the caller leaves off
            for reference in running:
                self._ray.cancel(reference, force=True)

    def _pickled(self, value: object) -> bytes:
        """Also of what a script defines in `__main__`."""
        try:
            return self._ray.cloudpickle.dumps(value)
        except Exception as error:  # whatever an object says when it is pickled
            raise InputError(f"this cannot be sent to another process ({error}): use `SerialExecutor`") from error

    def _outcome(self, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:  # a broken system: raised as it was there
            if _NOT_LOADED in str(error.cause):
                raise InputError(
                    "a node of the Ray cluster cannot load mimar: install the same versions of Python, mimar and what "
                    "evaluators need on every node"
                ) from error
            raise error.cause from None
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            return Outcome(failure=f"where it ran was lost {ATTEMPTS} times ({type(error).__name__})")

    def _connect(self, address: str | None) -> None:
        if address not in (None, "auto"):
            _require_somebody(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to others unless the user wants it
        try:
            self._ray.init(
                address=address or "local", include_dashboard=None if address else False, logging_level=logging.ERROR,
                log_to_driver=False,
            )  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError, self._ray.exceptions.RayError) as error:
            where = f"no Ray cluster at {address}" if address else "Ray cannot start on this machine"
            raise InputError(f"{where}: {error}; `ray start --head` starts one, `ray status` looks for it") from error

    def _require_fitting(self, resources: Mapping[str, float], alone: bool) -> None:
        """A warning where no node fits by now; InputError where none will ever join."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0.0) >= amount for name, amount in resources.items()) for node in nodes):
            return
        asked = " and ".join(f"{amount:g} {name}" for name, amount in resources.items())
        if not alone:
            _log.warning("no node of the Ray cluster offers %s by now: candidates wait until one does", asked)
            return
        self.close()
        here = ", ".join(f"{nodes[0].get(name, 0.0):g} {name}" for name in dict.fromkeys(("CPU", "GPU", *resources)))
        raise InputError(f"a candidate takes {asked}, and this machine has {here}: give --candidate-takes less")


def _require_somebody(address: str) -> None:
    """InputError where nobody listens: Ray itself would go on trying for minutes. Its client's addresses (``ray://``)
    are for programs outside the cluster.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(
            f"no Ray cluster at {address} ({error}): expected auto, or HOST:PORT of one that this machine belongs to"
        ) from error


def _evaluated(evaluator: bytes, candidate: bytes, *, limits: Limits, threads: int) -> Outcome:
    """What a node does for one candidate."""
    ((_, found),) = _worker(limits, threads).map_pickled(evaluator, [candidate])
    return found


@lru_cache(maxsize=1)
def _worker(limits: Limits, threads: int) -> ProcessExecutor:
    """The one process of this Ray worker; both stay for the next candidate."""
    return ProcessExecutor(1, limits, threads=threads)


def _imported() -> Any:
    try:
        import ray
        import ray.cloudpickle
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError("Ray is not installed: pip install 'mimar[ray]'") from error
    return ray
