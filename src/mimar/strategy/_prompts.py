"""Prompts: text files beside this module, filled in with what the search knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby, islice
from string import Template
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimar import pareto
from mimar.llm import Message
from mimar.objectives import losses
from mimar.space import schema_fields
from mimar.strategy._protocol import Problem
from mimar.strategy._view import View
from mimar.trial import Trial

A = TypeVar("A")

SHOWN = 5
"""Trials in a table."""


def _no_code(_: Any) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Brief:
    """What an LLM is told about the task, as sentences.

    budgets: the hard limits. device: what it is and what suits it. subject: what is designed, in the plural. rules: of
    legality, one a line, beyond the fields' values. code: an architecture as source code, empty where it has none.
    score: how the accuracy score is computed, as source code. budgeted: the metrics that have a limit. anonymous: show
    names of fields, choices and metrics as neutral ones, and leave out whatever would tell what is designed.
    """

    budgets: str
    device: str
    subject: str = "configurations"
    rules: str = ""
    code: Callable[[Any], str] = _no_code
    score: str = ""
    budgeted: tuple[str, ...] = ()
    anonymous: bool = False


class Prompts(Generic[A]):
    """Fills prompt files with what the search knows of a problem."""

    def __init__(self, problem: Problem[A], brief: Brief) -> None:
        self._problem = problem
        self._brief = brief
        self.view: View[A] = View(problem, anonymous=brief.anonymous)

    def messages(self, name: str, parts: Mapping[str, object]) -> tuple[Message, ...]:
        """The chat that the prompt file `name` opens, with `parts` in place of its $placeholders."""
        return (Message("system", self.fixed("system")), Message("user", self.fill(name, parts)))

    def fixed(self, name: str) -> str:
        """The text of a prompt file without placeholders; of ``NAME_anonymous`` where names are neutral."""
        return load(f"{name}_anonymous" if self._brief.anonymous else name).template

    def fill(self, name: str, parts: Mapping[str, object]) -> str:
        """The text of the prompt file `name`; what a part leaves empty takes its blank lines along."""
        subject = "configurations" if self._brief.anonymous else self._brief.subject
        text = load(name).substitute({"subject": subject, **parts})
        return "\n\n".join(part for block in text.split("\n\n") if (part := block.strip("\n")))

    def task(self, rng: np.random.Generator) -> str:
        """Goal, budgets, fields with their values in words of random order (LLMs favour the first), and rules."""
        rules = "" if self._brief.anonymous or not self._brief.rules else f"\n\nRules:\n{self._brief.rules}"
        parts = {
            "goal": self.goal(),
            "budgets": self.view.text(self._brief.budgets),
            "fields": describe_fields(self.view.schema(), rng),
            "rules": rules,
        }
        return load("task").substitute(parts)

    def goal(self) -> str:
        """The objectives as a phrase."""
        words = {"max": "high", "min": "low"}
        return ", ".join(f"{words[o.direction]} {self.view.name(o.metric)}" for o in self._problem.objectives)

    def device(self) -> str:
        """What the device is like, unless that would give away what is designed."""
        return "" if self._brief.anonymous else f"Device: {self._brief.device}"

    def table(self, trials: Sequence[Trial[A]], title: str, also: Sequence[str] = ()) -> str:
        """A table of `trials`, best trade-off first: its value (1 at the ideal), metrics, architecture as compact JSON.

        also: further metrics. Empty where there is no trial.
        """
        if not trials:
            return ""
        values = self.trade_offs(trials)
        metrics = list(dict.fromkeys([*(objective.metric for objective in self._problem.objectives), *also]))
        rows = [["trade-off", *map(self.view.name, metrics), "architecture"]]
        for i in map(int, np.argsort(-values, kind="stable")):
            figures = (f"{trials[i].metrics[name]:.4g}" for name in metrics)
            rows.append([f"{values[i]:.3f}", *figures, self.view.show(trials[i].architecture)])
        return "\n".join([f"{title}:", *(" | ".join(row) for row in rows)])

    def best(self, trials: Sequence[Trial[A]]) -> list[Trial[A]]:
        """A few of `trials`, evenly spaced, that the schema's form can say: lists of layers would fill a prompt."""
        return spread([trial for trial in trials if self.view.brief(trial.architecture) is not None], SHOWN)

    def worst(self, trials: Sequence[Trial[A]]) -> list[Trial[A]]:
        """The few poorest trade-offs among `trials` that the schema's form can say."""
        order = np.argsort(self.trade_offs(trials), kind="stable")
        said = (trials[int(i)] for i in order)
        return list(islice((trial for trial in said if self.view.brief(trial.architecture) is not None), SHOWN))

    def budgeted(self) -> tuple[str, ...]:
        """Metrics on which there is a budget."""
        return self._brief.budgeted

    def trade_offs(self, trials: Sequence[Trial[A]]) -> NDArray[np.float64]:
        """One value (n,) for all objectives together: 1 at the ideal of the frame, 0 at its reference point."""
        points = losses([trial.metrics for trial in trials], self._problem.objectives)
        return trade_off(points, self._problem.reference)


def trade_off(points: pareto.Points, frame: pareto.Reference) -> NDArray[np.float64]:
    """1 minus the mean of losses (n, m) over objectives, in units of the frame; none counts more than one beyond it."""
    return 1.0 - np.clip(frame.scaled(points), -1.0, 2.0).mean(axis=1)


def load(name: str) -> Template:
    """The prompt file `name`.md as a template with $placeholders."""
    return Template((files("mimar.strategy") / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip())


def describe_fields(schema: Mapping[str, Any], rng: np.random.Generator) -> str:
    """Fields with their legal values, those in a row that have the same ones on one line; words in random order."""
    values = {name: _values(rule, rng) for name, rule in schema_fields(schema).items()}
    grouped = groupby(values, key=lambda name: values[name])
    return "\n".join(f"- {', '.join(names)}: {text}" for text, names in grouped)


def _values(rule: Mapping[str, Any], rng: np.random.Generator) -> str:
    if rule.get("type") == "array":
        return f"a list of {rule['maxItems']}, each one of {_values(rule['items'], rng)}"
    options = rule.get("enum")
    if options is None:
        step = f" in steps of {rule['multipleOf']}" if "multipleOf" in rule else ""
        return f"{rule['minimum']} to {rule['maximum']}{step}"
    if all(isinstance(option, int) for option in options):
        return ", ".join(map(str, options))
    return " | ".join(str(options[int(i)]) for i in rng.permutation(len(options)))


def rejection_list(reasons: Sequence[str]) -> str:
    """The latest reasons for rejection; empty text when there are none."""
    return (
        "\n".join(["Earlier proposals were rejected because:", *(f"- {reason}" for reason in reasons)])
        if reasons
        else ""
    )


def bullet_list(title: str, sentences: Sequence[str]) -> str:
    """Sentences an LLM wrote, one a line under a title; empty text when there are none."""
    return "\n".join([f"{title}:", *(f"- {sentence}" for sentence in sentences)]) if sentences else ""


def spread(trials: Sequence[Trial[A]], count: int) -> list[Trial[A]]:
    """At most `count` of `trials`, evenly spaced from first to last."""
    if len(trials) <= count:
        return list(trials)
    return [trials[int(i)] for i in np.linspace(0, len(trials) - 1, count)]
