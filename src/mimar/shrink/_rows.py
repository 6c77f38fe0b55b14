"""What is said of a model, found, given or compared with: sizes, how well it foretells texts, how fast it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mimar.elastic import SubNetwork
from mimar.shrink._within import SIZE, Known


@dataclass(frozen=True)
class ModelRow:
    """One model. kind: ``parent``, ``chosen``, ``front``, or the name of a baseline or of a type of weights.

    bytes: of its GGUF file, as foretold by two others where it was not written; of its weights where none was.
    memory_at_context: weights, KV cache and activations, in bytes. perplexities: text → e to the loss in nats a token.
    tasks: name → accuracies and standard errors. Tokens a second are measured; None where nothing was. expected:
    metrics by formula and of the search.
    """

    kind: str
    sub: SubNetwork | None
    params: int
    block_params: int
    bytes: int
    memory_at_context: int
    perplexities: Mapping[str, float] = field(default_factory=dict[str, float])
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    prefill_tokens_per_second: float | None = None
    decode_tokens_per_second: float | None = None
    expected: Mapping[str, float] = field(default_factory=dict[str, float])

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``perplexity`` is that of the first text."""
        sizes = {} if self.sub is None else {"layers": [list(pair) for pair in self.sub.sizes]}
        return {
            "kind": self.kind,
            "params": self.params,
            "block_params": self.block_params,
            "bytes": self.bytes,
            "memory_at_context": self.memory_at_context,
            "perplexity": next(iter(self.perplexities.values()), None),
            "perplexities": dict(self.perplexities),
            "tasks": {name: dict(score) for name, score in self.tasks.items()},
            "prefill_tokens_per_second": self.prefill_tokens_per_second,
            "decode_tokens_per_second": self.decode_tokens_per_second,
            "expected": dict(self.expected),
            **sizes,
        }


def sizes_of(kind: str, sub: SubNetwork, known: Known) -> ModelRow:
    """A row with what follows from the sizes alone."""
    metrics = known(sub)
    return ModelRow(
        kind,
        sub,
        round(metrics["params"]),
        round(metrics[SIZE]),
        round(metrics["params"] * known.workload.weight_bytes),
        round(metrics["memory_bytes"]),
        expected={name: metrics[name] for name in ("ttft_s", "decode_tokens_per_second")},
    )
