"""The other side of `ProcessExecutor`: a process that evaluates what comes through its pipe.

What comes in is pickled by the driver that started this process, and nobody else holds the other end of the pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from mimar.errors import InputError
from mimar.executor._contract import Outcome, outcome

BEGUN: Final = "begun"
"""The first answer to a candidate: it and its evaluator were read, and its time counts from now."""


def serve(pipe: Connection) -> None:
    """Answer each (evaluator, candidate) with `BEGUN`, then with an `Outcome` or the error of a broken system.

    An evaluator comes once; None then stands for the last one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal, and it is the driver that decides
    _lead_a_group(pipe)
    _die_before_the_driver()
    multiprocessing.current_process().daemon = False  # else an evaluator could not begin processes of its own
    inbox = _received(pipe)
    evaluate: Callable[[Any], Mapping[str, float]] | None = None
    while True:
        evaluator, candidate = inbox.get()
        try:
            evaluate = evaluate if evaluator is None else _loaded(evaluator)
            assert evaluate is not None, "a candidate comes with or after its evaluator"
            item = _loaded(candidate)
            pipe.send(BEGUN)
            answer: Outcome | BaseException = outcome(evaluate, item)
        except Exception as error:
            answer = _portable(error)
        pipe.send(answer)


def _received(pipe: Connection) -> SimpleQueue[tuple[bytes | None, bytes]]:
    """What comes through `pipe`, read beside the evaluation, so that this process ends at once when the driver does."""
    inbox: SimpleQueue[tuple[bytes | None, bytes]] = SimpleQueue()

    def read() -> None:
        with suppress(EOFError, OSError):
            while True:
                inbox.put(pipe.recv())
        end_group(os.getpid())
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return inbox


def _lead_a_group(pipe: Connection) -> None:
    """So that what an evaluator begins ends with this process (`end_group`), and does not keep the pipe open, by which
    the driver knows that this process lives.
    """
    if sys.platform != "win32":
        os.setpgrp()
        os.register_at_fork(after_in_child=pipe.close)


def end_group(leader: int | None) -> None:
    """Kill a worker process, and all that evaluators have begun in it, if it came to lead a group."""
    if sys.platform != "win32" and leader is not None:
        with suppress(OSError):
            os.killpg(leader, signal.SIGKILL)


def _loaded(pickled: bytes) -> Any:
    """InputError where this process lacks something that it needs for that, as one on another machine may."""
    try:
        return pickle.loads(pickled)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"a worker process cannot load what it is sent ({error}): it needs the same versions of Python, mimar and "
            "all that evaluators need, and functions and classes at the top of a module"
        ) from error


def _die_before_the_driver() -> None:
    """Where memory runs out, Linux ends this process and not the one that keeps the study."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _portable(error: Exception) -> Exception:
    """`error` with its traceback as a note, in a form that another process can read."""
    note = f"in a worker process:\n{''.join(traceback.format_exception(error)).rstrip()}"
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(note)
    return error
