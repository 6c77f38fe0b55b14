"""A language model that is only as good as its prompt: it shows whether the machinery around a model works."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import numpy as np

from mimar.llm import Message, Reply
from mimar.objectives import losses
from mimar.space import Combination
from mimar.testing._llm import ScriptedLLM
from mimar.testing._toy import Toy

Cue = Literal["table", "reflection", "rule", "instruction", "device", "rejections"]

STEPS = 20
"""Mutations that it tries, where its prompt carries all that it needs."""

STEPS_OF_A_LEVEL = 3
"""The same for each level of its instruction."""

_ROW = re.compile(r"^(-?\d+\.\d{3}) \| .* \| (\{.*\})$", re.MULTILINE)
_LEVEL = re.compile(r"level (\d+)")
_PARENT = re.compile(r"^The parent:\n(\{.*\})$", re.MULTILINE)
_NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"


@final
class PlantedLLM:
    """Proposes better candidates only where its prompt carries the cues that it `needs`; random ones elsewhere.

    It knows the problem, `toy`: with all cues it climbs from a candidate of the prompt's first table, or from the
    parent, towards a random trade-off, inside the niche that the prompt names. Cues:

    - ``table``: the first table is there and its best trade-off comes first.
    - ``reflection``: the prompt repeats what it answered to the last question for a reflection.
    - ``rule``: the same for the last question for design rules.
    - ``instruction``: the prompt opens with an instruction; a rewritten one is one level above the first that was
      listed, and each level lets it climb further.
    - ``device``: the device is described; without, every other candidate costs as much as any can.
    - ``rejections``: reasons for rejection are listed; without, every other candidate is illegal.
    """

    def __init__(self, toy: Toy[Combination], *needs: Cue) -> None:
        self._toy = toy
        self._needs = frozenset(needs)
        self._planted: dict[str, str] = {}
        self._inner = ScriptedLLM(self._answer, name="planted")

    @property
    def name(self) -> str:
        """``planted``."""
        return self._inner.name

    def complete(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        *,
        temperature: float,
        seed: int,
        max_tokens: int,
    ) -> Reply:
        """As `LLM.complete`; tokens are counted as `ScriptedLLM` counts them."""
        return self._inner.complete(messages, schema, temperature=temperature, seed=seed, max_tokens=max_tokens)

    def _answer(self, messages: Sequence[Message], schema: Mapping[str, Any] | None, seed: int) -> str:
        fields: Mapping[str, Any] = (schema or {}).get("properties", {})
        prompt = messages[-1].content
        if "candidates" in fields:
            rng = np.random.default_rng(seed)
            found = [self._candidate(prompt, index, rng) for index in range(fields["candidates"]["minItems"])]
            return json.dumps(dict.fromkeys(fields, "as planted") | {"candidates": found})
        if "instruction" in fields:
            levels = _LEVEL.findall(prompt.partition("- gain")[2].partition("- gain")[0])
            return json.dumps({"instruction": f"Design at level {int(levels[0]) + 1 if levels else 1}."})
        cue = "rule" if "positive" in fields else "reflection"
        self._planted[cue] = f"{cue} {random.Random(seed).randrange(10**9)}"
        return json.dumps({name: [self._planted[cue]] if cue == "rule" else self._planted[cue] for name in fields})

    def _candidate(self, prompt: str, index: int, rng: np.random.Generator) -> dict[str, Any]:
        space = self._toy.problem.space
        if "rejections" in self._needs and "rejected because" not in prompt and index % 2:
            return {**space.to_json(space.sample(rng)), next(iter(space.variables)): "illegal"}
        if "device" in self._needs and "Device: " not in prompt and index % 2:
            return space.to_json(self._costliest(rng))
        base = self._base(prompt, rng)
        if base is None or not self._has_cues(prompt):
            return space.to_json(space.sample(rng))
        return space.to_json(self._improved(base, prompt, rng))

    def _base(self, prompt: str, rng: np.random.Generator) -> Combination | None:
        """A row of the prompt's first table, or the parent that it shows; None where there is neither."""
        table = prompt[max(0, prompt.find("trade-off |")) :].partition("\n\n")[0]
        shown = [text for _, text in _ROW.findall(table)] or _PARENT.findall(prompt)
        return self._toy.problem.space.from_json(json.loads(shown[int(rng.integers(len(shown)))])) if shown else None

    def _has_cues(self, prompt: str) -> bool:
        first = prompt[: prompt.find("\n\n", max(0, prompt.find("trade-off |")))]
        values = [float(value) for value, _ in _ROW.findall(first)]
        ordered = "table" not in self._needs or values == sorted(values, reverse=True)
        planted = (self._planted.get(cue) for cue in ("reflection", "rule") if cue in self._needs)
        return ordered and all(words is not None and words in prompt for words in planted)

    def _improved(self, arch: Combination, prompt: str, rng: np.random.Generator) -> Combination:
        """Nearer to the niche or, inside it, better by a random trade-off; a mutant at the least."""
        steps = STEPS
        if "instruction" in self._needs:
            level = _LEVEL.search(prompt.partition("\n\n")[0])
            steps = STEPS_OF_A_LEVEL * int(level[1]) if level else 0
        space, weight = self._toy.problem.space, rng.random()
        best = space.mutate(arch, rng)
        reached = self._outside(best, prompt), self._loss(best, weight)
        for _ in range(steps):
            step = space.mutate(best, rng)
            found = self._outside(step, prompt), self._loss(step, weight)
            if found < reached:
                best, reached = step, found
        return best

    def _loss(self, arch: Combination, weight: float) -> float:
        problem = self._toy.problem
        frame = problem.reference
        point = losses([self._toy.measure(arch)], problem.objectives)[0]
        first, second = frame.scaled(point)
        return float(weight * first + (1 - weight) * second)

    def _outside(self, arch: Combination, prompt: str) -> float:
        """How far a candidate lies outside the niche that the prompt names; 0 where it names none."""
        distance = 0.0
        for axis in self._toy.problem.axes:
            low = re.search(rf"\b{re.escape(axis.name)} of at least {_NUMBER}", prompt)
            high = re.search(rf"\b{re.escape(axis.name)} (?:of at least {_NUMBER} and )?below {_NUMBER}", prompt)
            value = axis.value(arch)
            distance += max(0.0, float(low[1]) - value) if low else 0.0
            distance += max(0.0, value - float(high[2])) if high else 0.0
        return distance

    def _costliest(self, rng: np.random.Generator) -> Combination:
        """The last choice of nearly every variable."""
        space = self._toy.problem.space
        choices = {name: options[-1] for name, options in space.variables.items()}
        changed = str(rng.choice(list(choices)))
        return space.from_choices(choices | {changed: space.variables[changed][-2]})
