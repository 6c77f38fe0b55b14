"""What a command that trains is given: text, tokenizer, and for a search how long and behind which gates."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from mimar.cli._output import say
from mimar.cli._quantities import count
from mimar.errors import InputError
from mimar.objectives import LOSS_PREFIX, ONE_SHOT, SCORED, TrainedLoss, loss_metric
from mimar.strategy import PREDICTED, Gate, require_distinct
from mimar.training import Fidelity, Recipe, TokenData, Tokenizer, read_texts, tokenizer_named

DEFAULT_GATES = "score:4,predictor:2,10%:3"
NO_GATES = "none"

CONTEXT = 256
"""Tokens of a sequence, where the architectures take so many."""


def step_reporter(
    steps: int, every: float, words: Callable[[Mapping[str, float]], str]
) -> Callable[[Mapping[str, float]], None]:
    """Says every so many seconds, and at the end, where a training of `steps` stands. words: of a row of its log."""
    said = [time.monotonic()]

    def report(row: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - said[0] < every and row["step"] < steps:
            return
        said[0] = now
        rate, left = row["tokens"] / row["seconds"], (steps - row["step"]) * row["seconds"] / row["step"]
        say(f"step {row['step']:,.0f} of {steps:,}: {words(row)}, {rate:,.0f} tokens/s, {left:,.0f} s left")

    return report


@dataclass(frozen=True)
class TextSource:
    """Sources of text to train on and to judge on, as they were typed, and the tokenizer."""

    data: tuple[str, ...]
    validation: tuple[str, ...]
    tokenizer: str

    @property
    def makes_tokenizer(self) -> bool:
        """Whether there is none of the user's own."""
        return self.tokenizer == "byte" or self.tokenizer.startswith("train:")

    @cached_property
    def read(self) -> tuple[Tokenizer, TokenData]:
        """The tokenizer, and the text in its tokens."""
        texts = read_texts(self.data)
        held_out = read_texts(self.validation, "validation") if self.validation else []
        tokenizer = tokenizer_named(self.tokenizer, texts)
        return tokenizer, TokenData.of(texts, held_out, tokenizer)

    @cached_property
    def sha256(self) -> str:
        """Of the text in tokens, by which another one is noticed when work goes on."""
        _, data = self.read
        return hashlib.sha256(data.train.tobytes() + data.validation.tobytes()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"data": list(self.data), "validation": list(self.validation), "tokenizer": self.tokenizer}


@dataclass(frozen=True)
class TrainingSettings:
    """How a search trains its candidates.

    sha256: of the text in tokens, so that a resumed search notices another one.
    """

    source: TextSource
    tokens: int
    context: int
    batch_tokens: int
    gates: tuple[Gate, ...]
    sha256: str

    @staticmethod
    def new(source: TextSource, tokens: int, context: int, batch_tokens: int, gates: str) -> TrainingSettings:
        """Of a new study whose architectures take `context` tokens."""
        context = min(CONTEXT, context)
        return TrainingSettings(source, tokens, context, batch_tokens, read_gates(gates), source.sha256)

    def loss(self, seed: int, device: str, kept_in: Path | None = None) -> TrainedLoss:
        """What trains, and where it keeps what gates pause; InputError where the text is not the one of the study."""
        data = self.source.read[1]
        if self.source.sha256 != self.sha256:
            raise InputError(
                f"the text of the study has changed ({', '.join(self.source.data)}): bring back the text or start a "
                "new study"
            )
        recipe = Recipe(self.tokens, self.context, self.batch_tokens, seed=seed)
        for gate in self.gates:
            _require_enough(gate, data, recipe)
        return TrainedLoss(data, recipe, device, kept_in)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> TrainingSettings:
        """Inverse of `to_json`."""
        source = data["source"]
        texts = TextSource(tuple(source["data"]), tuple(source["validation"]), source["tokenizer"])
        gates = tuple(Gate(**gate) for gate in data["gates"])
        return TrainingSettings(texts, data["tokens"], data["context"], data["batch_tokens"], gates, data["sha256"])


def loss_tokens(metric: str) -> int:
    """``loss@200k`` or ``loss@200k_tokens`` → 200,000."""
    return int(count(metric.removeprefix(LOSS_PREFIX).removesuffix("_tokens"), metric))


def objective_names(text: str) -> tuple[str, ...]:
    """``METRIC,METRIC,…`` → the metrics, none twice; a loss by its full name."""
    names = (name.strip() for name in text.split(",") if name.strip())
    return tuple(
        dict.fromkeys(loss_metric(loss_tokens(name)) if name.startswith(LOSS_PREFIX) else name for name in names)
    )


def read_gates(text: str) -> tuple[Gate, ...]:
    """``FIDELITY:FACTOR,…`` → gates, cheapest first as they are typed; ``none`` for none."""
    gates = () if text == NO_GATES else tuple(_gate(part) for part in text.split(","))
    trained = [Fidelity.named(gate.fidelity) for gate in gates if gate.fidelity not in (SCORED, PREDICTED, ONE_SHOT)]
    for earlier, later in combinations([*trained, Fidelity()], 2):
        if replace(earlier, steps=later.steps) == later and earlier.steps >= later.steps:
            raise InputError(
                f"--gates {text}: of two trainings that differ in length alone the first must be the shorter one, and "
                "each shorter than a whole one"
            )
    require_distinct(gates)
    return gates


def _gate(text: str) -> Gate:
    fidelity, _, factor = text.strip().rpartition(":")
    try:
        gate = Gate(fidelity, float(factor))
    except ValueError:
        gate = None
    if gate is None or not fidelity:
        raise InputError(f"--gates must be FIDELITY:FACTOR,… such as {DEFAULT_GATES}, or {NO_GATES}; got {text!r}")
    if fidelity not in (SCORED, PREDICTED, ONE_SHOT):
        Fidelity.named(fidelity)
    return gate


def _require_enough(gate: Gate, data: TokenData, recipe: Recipe) -> None:
    """InputError where what this gate trains on is too little text."""
    if gate.fidelity in (SCORED, PREDICTED, ONE_SHOT):
        return
    share = Fidelity.named(gate.fidelity)
    context = share.recipe(recipe).context_length
    try:
        share.text(data).require_enough(context)
    except InputError as error:
        raise InputError(f"--gates {gate.fidelity}:{gate.factor:g}: {error}") from error


def gate_rows(counts: Mapping[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Gates in their order with the candidates that came to them and passed, as plain data."""
    return [{"gate": name, "came": came, "passed": passed} for name, (came, passed) in counts.items()]


def gate_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same for people."""
    return "passed: " + ", ".join(f"{row['gate']} {row['passed']} of {row['came']}" for row in rows)
