"""The live display of a running search, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mimar import pareto
from mimar.llm import Ledger
from mimar.objectives import Objective, losses
from mimar.trial import Trial


class Progress:
    """Counts trials as they are stored and shows where the search stands; a context manager.

    past: trials that an earlier run stored; the time left is reckoned without them.
    On a terminal the display refreshes in place; elsewhere nothing is printed.
    """

    def __init__(
        self,
        target: int,
        objectives: Sequence[Objective],
        frame: pareto.Reference,
        ledger: Callable[[], Ledger],
        past: int,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self._target = target
        self._objectives = objectives
        self._ledger = ledger
        self._front = pareto.RunningFront(frame)
        self._done = 0
        self._invalid = 0
        self._partial = 0
        self._failed = 0
        self._past = past
        self._start = time.monotonic()
        console = Console(stderr=True)
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, trial: Trial[Any]) -> None:
        """Count a trial that was just stored, or read back from an earlier run."""
        if trial.status == "complete":
            self._done += 1
            self._front.add(losses([trial.metrics], self._objectives)[0])
        self._invalid += trial.status == "invalid"
        self._partial += trial.status == "partial"
        self._failed += trial.status == "failed"
        if self._seen <= self._past:
            self._start = time.monotonic()
        elif self._live:
            self._live.update(self.line())

    @property
    def _seen(self) -> int:
        return self._done + self._partial + self._invalid + self._failed

    def line(self) -> str:
        """Evaluated, at gates before that, front size, hypervolume, invalid share, LLM calls and cost, time left."""
        done, ledger = self._done, self._ledger()
        share = self._invalid / max(1, self._seen)
        now = max(1, self._seen - self._past)
        still = max(0, self._target - done) * (1 + self._partial / max(1, done))
        left = (time.monotonic() - self._start) / now * still
        gated = f" ({self._partial} at gates)" if self._partial else ""
        return (
            f"[bold]{done}[/]/{self._target} evaluated{gated} · front {len(self._front.points)} · "
            f"hypervolume {self._front.volume:.4f} · invalid {share:.0%} · "
            f"LLM {ledger.calls} calls, ${ledger.cost:.4f} · about {left:.0f} s left"
        )
