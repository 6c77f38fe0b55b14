"""Prompts: text files beside this module, filled in with what the search knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any, TypeVar

import numpy as np

from mimar.objectives import Objective
from mimar.space import schema_fields
from mimar.trial import Trial

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Brief:
    """What an LLM is told about the task, as sentences.

    budgets: the hard limits. device: what it is and what suits it.
    """

    budgets: str
    device: str


def load(name: str) -> Template:
    """The prompt file `name`.md, its comment-free text as a template with $placeholders."""
    return Template((files("mimar.strategy") / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip())


def describe_fields(schema: Mapping[str, Any], rng: np.random.Generator) -> str:
    """One line a field with its legal values; words in random order, since LLMs favour the first."""
    lines: list[str] = []
    for name, rule in schema_fields(schema).items():
        options = rule.get("enum")
        if options is None:
            step = f" in steps of {rule['multipleOf']}" if "multipleOf" in rule else ""
            lines.append(f"- {name}: {rule['minimum']} to {rule['maximum']}{step}")
        elif all(isinstance(option, int) for option in options):
            lines.append(f"- {name}: {', '.join(map(str, options))}")
        else:
            lines.append(f"- {name}: {' | '.join(str(options[int(i)]) for i in rng.permutation(len(options)))}")
    return "\n".join(lines)


def describe_goal(objectives: Sequence[Objective]) -> str:
    """The objectives as a phrase."""
    words = {"max": "high", "min": "low"}
    return ", ".join(f"{words[objective.direction]} {objective.metric}" for objective in objectives)


def score_table(trials: Sequence[Trial[Any]], objectives: Sequence[Objective], shown: Sequence[str]) -> str:
    """A table of `trials`, one line each: its metrics, then its architecture as compact JSON from `shown`."""
    if not trials:
        return "Nothing has been evaluated yet."
    head = " | ".join(objective.metric for objective in objectives)
    rows = [
        " | ".join(f"{trial.metrics[objective.metric]:.4g}" for objective in objectives) + f" | {text}"
        for trial, text in zip(trials, shown, strict=True)
    ]
    return "\n".join([f"Best so far:\n{head} | architecture", *rows])


def rejection_list(reasons: Sequence[str]) -> str:
    """The latest reasons for rejection, each once; empty text when there are none."""
    if not reasons:
        return ""
    return "\n".join(
        ["Earlier proposals were rejected because:", *(f"- {reason}" for reason in dict.fromkeys(reasons))]
    )
