"""The other side of `ProcessExecutor`: a process that evaluates what comes through its pipe.

What comes in is pickled by the driver that started this process, and nobody else holds the other end of the pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from mimar.executor._contract import Outcome, outcome

BEGUN: Final = "begun"
"""The first answer to a candidate: it and its evaluator were read, and its time counts from now."""


def serve(pipe: Connection) -> None:
    """Answer each (evaluator, candidate) with `BEGUN`, then with an `Outcome` or the error of a broken system.

    An evaluator comes once; None then stands for the last one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group, and it is the driver that decides
    _die_before_the_driver()
    multiprocessing.current_process().daemon = False  # else an evaluator could not begin processes of its own
    inbox = _received(pipe)
    evaluate: Callable[[Any], Mapping[str, float]] | None = None
    while True:
        evaluator, candidate = inbox.get()
        try:
            evaluate = evaluate if evaluator is None else pickle.loads(evaluator)
            assert evaluate is not None, "a candidate comes with or after its evaluator"
            item = pickle.loads(candidate)
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
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return inbox


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
