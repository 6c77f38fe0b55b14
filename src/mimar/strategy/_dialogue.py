from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from mimar.llm import LLM, Message, Usage
from mimar.objectives import losses
from mimar.strategy._archive import Archive
from mimar.strategy._prompts import Brief, Prompts, rejection_list
from mimar.strategy._proposer import Batch, Proposer, Request
from mimar.strategy._protocol import Problem
from mimar.strategy._traits import Traits
from mimar.trial import Proposal, Trial

A = TypeVar("A")

EXCERPT = 400
"""Characters of a reply that stay in the chat where nothing of it was understood."""

WINDOW = 12_000
"""Characters of earlier turns that go along; the opening always does."""


class Dialogue(Generic[A]):
    """One growing chat: the model proposes, hears what came out and what was wrong, and improves on it.

    start: the user's own architecture; it is evaluated first, and the chat begins from it. Turns that no longer fit the
    window are left out, oldest first; the best so far are shown in the latest turn alone.
    """

    name = "dialogue"
    traits = Traits(hardware_aware=True, llm="needed")
    initial = 0

    def __init__(self, problem: Problem[A], llm: LLM, brief: Brief, *, start: A | None = None, batch: int = 8) -> None:
        self._problem = problem
        self._prompts = Prompts(problem, brief)
        self._proposer = Proposer(problem, llm, self._prompts.view, f"llm-{self.name}")
        self._start = start
        self._started = start is None
        self._turns: list[tuple[Message, Message]] = []  # what was said, what was answered
        self._pending: list[Trial[A]] = []  # what the model has not heard of yet
        self.batch = batch

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """As `Operator.propose`: the start, then one turn of the chat."""
        if not self._started and self._start is not None and self._start not in archive:
            self._started = True
            archive.mark(self._start)
            reasons = self._problem.check(self._start)
            return Batch((Proposal(self._start, "start", reasons=reasons),), Usage())
        lasting, now = self._turn(archive, count) if self._turns else (self._opening(count, rng),) * 2
        batch = self._proposer.propose(Request(self._chat(now), count), archive, rng)
        self._turns.append((lasting, Message("assistant", self._answer(batch))))
        self._pending = []
        return batch

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """These results are what the next turn is about."""
        self._pending += trials

    def _answer(self, batch: Batch[A]) -> str:
        """What the model said, as far as it was understood, in few tokens."""
        shown = (
            self._prompts.view.show(each.architecture) for each in batch.proposals if each.architecture is not None
        )
        understood = ",".join(shown)
        return f'{{"candidates":[{understood}]}}' if understood else self._proposer.reply[:EXCERPT] or "(no answer)"

    def _chat(self, now: Message) -> tuple[Message, ...]:
        """System prompt, opening, the latest answers that fit, each with what was said to it, and what is said now."""
        opening, *said = [said for said, _ in self._turns] + [now]
        kept: list[Message] = []
        room = WINDOW
        for exchange in reversed(list(zip((answer for _, answer in self._turns), said, strict=True))):
            room -= sum(len(message.content) for message in exchange)
            if room < 0 and kept:
                break
            kept = [*exchange, *kept]
        return (Message("system", self._prompts.fixed("system")), opening, *kept)

    def _opening(self, count: int, rng: np.random.Generator) -> Message:
        begun = [trial for trial in self._pending if trial.status == "complete"]
        start = self._prompts.table(begun, "We start from my own architecture and want to improve on it")
        if self._start is not None and not begun:
            start = self._outside(self._start)
        parts = {"count": count, "task": self._prompts.task(rng), "device": self._prompts.device(), "start": start}
        return Message("user", self._prompts.fill("dialogue", parts))

    def _outside(self, start: A) -> str:
        """What to say of a start that may not be evaluated."""
        reasons = "; ".join(map(self._prompts.view.reason, self._problem.check(start))) or "its evaluation failed"
        return (
            f"We start from my own architecture, which does not do yet ({reasons}):\n{self._prompts.view.show(start)}"
        )

    def _turn(self, archive: Archive[A], count: int) -> tuple[Message, Message]:
        """What is said now: for later turns to look back on, and with the best so far, which only this turn shows."""
        done = [trial for trial in self._pending if trial.status == "complete"]
        parts = {
            "count": count,
            "results": self._prompts.table(done, "Results of your last proposals")
            or "None of them could be evaluated.",
            "remarks": self._remarks(done, archive),
            "rejections": rejection_list(self._proposer.rejections),
        }
        best = self._prompts.table(self._prompts.best(archive.front()), "Best so far")
        lasting, now = (self._prompts.fill("dialogue_turn", {**parts, "best": shown}) for shown in ("", best))
        return Message("user", lasting), Message("user", now)

    def _remarks(self, done: Sequence[Trial[A]], archive: Archive[A]) -> str:
        """What the best of the last proposals gained or lost against the best so far, objective by objective."""
        if not done:
            return ""
        best = done[int(np.argmax(self._prompts.trade_offs(done)))]
        objectives = self._problem.objectives
        front = {trial.id for trial in archive.front()}
        new = sum(trial.id in front for trial in done)
        said = [f"{new} of {len(done)} are among the best so far."]
        lows, own = archive.losses.min(axis=0), losses([best.metrics], objectives)[0]
        behind = self._problem.reference.scaled(own) - self._problem.reference.scaled(lows)
        worst = int(np.argmax(behind))
        if behind[worst] > 0:
            name = self._prompts.view.name(objectives[worst].metric)
            reached = objectives[worst].sign * lows[worst]
            value = best.metrics[objectives[worst].metric]
            said.append(
                f"Your best trade-off falls farthest behind in {name}: {value:.4g}, where {reached:.4g} was reached."
            )
        return " ".join(said)
