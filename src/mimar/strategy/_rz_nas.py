"""RZ-NAS (Ji et al., Enhancing LLM-guided Neural Architecture Search via Reflective Zero-Cost Strategy, 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from mimar.llm import LLM, Usage
from mimar.strategy._archive import Archive
from mimar.strategy._feasible import breed
from mimar.strategy._prompts import Brief, Prompts, bullet_list, rejection_list
from mimar.strategy._proposer import Batch, Proposer, Request, encodable, object_schema, total
from mimar.strategy._protocol import Problem
from mimar.strategy._selection import Survivors
from mimar.strategy._traits import Traits
from mimar.trial import Trial

A = TypeVar("A")

SENTENCE: Mapping[str, Any] = {"type": "string", "maxLength": 300}

POPULATION = 100
"""Trials that mutation forms draw parents from; the worst drop out. The lower end of the paper's 100 to 256."""

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of mutations, as in the paper."""


class RZNAS(Generic[A]):
    """RZ-NAS over batches: candidates, scores by code, a reflection on them, whose lessons enter the next prompt.

    A reflection looks at the best and the worst so far and answers four questions: why some score higher, which
    patterns go with that, which mistakes were made, what to change. reflection: False leaves it out.
    """

    name = "rz-nas"
    traits = Traits(reflection=True, llm="needed")
    initial = 0

    def __init__(self, problem: Problem[A], llm: LLM, brief: Brief, *, batch: int = 8, reflection: bool = True) -> None:
        self._prompts = Prompts(problem, brief)
        self._proposer = Proposer(problem, llm, self._prompts.view, f"llm-{self.name}")
        self._reflection = reflection
        self._lessons: Sequence[str] = ()
        self._news = False
        self.batch = batch

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """As `Operator.propose`: a reflection where there are new results, then the candidates."""
        spent = self._reflect(archive, rng) if self._reflection and self._news else Usage()
        parts = {
            "count": count,
            "task": self._prompts.task(rng),
            "table": self._prompts.table(self._prompts.best(archive.front()), "Best so far, not to be repeated"),
            "lessons": bullet_list("Lessons from the results so far", self._lessons),
            "rejections": rejection_list(self._proposer.rejections),
        }
        batch = self._proposer.propose(Request(self._prompts.messages("reflected", parts), count), archive, rng)
        return Batch(batch.proposals, total(spent, batch.usage))

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """New results are worth a reflection."""
        self._news = self._news or any(trial.status == "complete" for trial in trials)

    def _reflect(self, archive: Archive[A], rng: np.random.Generator) -> Usage:
        """New lessons; the old ones stay where the answer cannot be read."""
        best, worst = self._prompts.best(archive.front()), self._prompts.worst(archive.complete)
        if not best:
            return Usage()
        parts = {
            "goal": self._prompts.goal(),
            "best": self._prompts.table(best, "The best so far"),
            "worst": self._prompts.table(worst, "The poorest so far"),
            "rejections": rejection_list(self._proposer.rejections),
        }
        schema = object_schema(dict.fromkeys(("why", "patterns", "mistakes", "guidance"), SENTENCE))
        answer, usage = self._proposer.consult(self._prompts.messages("reflect", parts), schema, rng)
        if answer is not None:
            self._lessons = [str(said) for said in answer.values()]
            self._news = False
        return usage


class RZNASMutation(Generic[A]):
    """RZ-NAS as published: a random parent, one mutation by the LLM, a score by code, one suggestion from reflection.

    The prompt shows the parent as text and as code, the rules, the score's code and one worked example; the
    suggestion, drawn from (before, after, score, reasons), enters the next mutation. One candidate a call.
    """

    name = "rz-nas"
    traits = Traits(reflection=True, code_generation=True, llm="needed")
    initial = 8
    batch = 1

    def __init__(self, problem: Problem[A], llm: LLM, brief: Brief, *, reflection: bool = True) -> None:
        self._problem = problem
        self._brief = brief
        self._prompts = Prompts(problem, brief)
        self._proposer = Proposer(problem, llm, self._prompts.view, f"llm-{self.name}")
        self._reflection = reflection
        self._population: Survivors[A] = Survivors(POPULATION, len(problem.objectives))
        self._last: tuple[Trial[A], Trial[A]] | None = None  # the latest parent and child with results
        self._suggestion = ""
        self._told = 0

    def propose(self, archive: Archive[A], count: int, rng: np.random.Generator) -> Batch[A]:
        """As `Operator.propose`: a reflection on the last mutation, then the next."""
        spent = self._reflect(rng) if self._reflection else Usage()
        self._population.add(archive.complete[self._told :], archive.losses[self._told :])
        self._told = len(archive.complete)
        parent = self._population.trials[int(rng.integers(len(self._population.trials)))]
        before, after = self._example(archive)
        parts = {
            "task": self._prompts.task(rng),
            "score": self._code_of_score(),
            "example_before": before,
            "example_after": after,
            "parent": self._prompts.view.show(parent.architecture),
            "results": self._results(parent),
            "code": self._code(parent.architecture),
            "suggestion": f"Suggestion from the last change: {self._suggestion}" if self._suggestion else "",
            "rejections": rejection_list(self._proposer.rejections),
        }
        messages = self._prompts.messages("mutate", parts)
        request = Request(messages, 1, temperature=float(rng.choice(TEMPERATURES)), parents=(parent.id,), example=after)
        batch = self._proposer.propose(request, archive, rng)
        return Batch(batch.proposals, total(spent, batch.usage))

    def learn(self, trials: Sequence[Trial[A]]) -> None:
        """Keep the last mutation for the next reflection; a call without a reply brought none."""
        own = [trial for trial in trials if trial.proposal.origin == f"llm-{self.name}"]
        made = [trial for trial in own if trial.proposal.architecture is not None or trial.proposal.note]
        parents = {trial.id: trial for trial in self._population.trials}
        known = [(parents[trial.proposal.parents[0]], trial) for trial in made if trial.proposal.parents[0] in parents]
        self._last = known[-1] if known else None

    def _example(self, archive: Archive[A]) -> tuple[str, str]:
        """A worked example, as texts: a legal mutation of the oldest trial, the same in every prompt."""
        first, rng = archive.complete[0].architecture, np.random.default_rng(0)
        after = breed(self._problem, (first,), (), rng) or self._problem.space.mutate(first, rng)
        return self._prompts.view.show(first), self._prompts.view.show(after)

    def _reflect(self, rng: np.random.Generator) -> Usage:
        if self._last is None:
            return Usage()
        (parent, child), self._last = self._last, None  # once: an ask may propose again before results come
        arch = child.proposal.architecture
        parts = {
            "goal": self._prompts.goal(),
            "before": self._prompts.view.show(parent.architecture),
            "results_before": self._results(parent),
            "after": encodable(child.proposal.note) if arch is None else self._prompts.view.show(arch),
            "results_after": self._results(child),
        }
        schema = object_schema({"suggestion": SENTENCE})
        answer, usage = self._proposer.consult(self._prompts.messages("reflect_mutation", parts), schema, rng)
        self._suggestion = str(answer["suggestion"]) if answer is not None else self._suggestion
        return usage

    def _results(self, trial: Trial[A]) -> str:
        """Metrics, or why there are none."""
        view = self._prompts.view
        if trial.status != "complete":
            return "; ".join(map(view.reason, trial.reasons))
        values = [f"{view.name(o.metric)} {trial.metrics[o.metric]:.4g}" for o in self._problem.objectives]
        return ", ".join([*values, f"trade-off {self._prompts.trade_offs([trial])[0]:.3f}"])

    def _code(self, arch: A) -> str:
        code = "" if self._brief.anonymous else self._brief.code(arch)
        return f"The parent as code:\n```python\n{code}\n```" if code else ""

    def _code_of_score(self) -> str:
        known = self._brief.score and not self._brief.anonymous
        return f"The score is computed by this code:\n```python\n{self._brief.score}\n```" if known else ""
