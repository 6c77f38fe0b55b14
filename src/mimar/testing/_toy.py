"""Small analytic problems: no model is built and no hardware described, so that searches can be tested in seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from mimar import shapes
from mimar.objectives import Budget, Objective
from mimar.pareto import Reference
from mimar.space import Architecture, TransformerSpace
from mimar.strategy import Axis, Problem
from mimar.trial import FULL

A = TypeVar("A")


@dataclass(frozen=True)
class Toy(Generic[A]):
    """A problem together with its evaluator: `measure` gives all metrics of a candidate, deterministically."""

    problem: Problem[A]
    measure: Callable[[A], Mapping[str, float]]

    def evaluate(self, arch: A, fidelity: str = FULL) -> Mapping[str, float]:
        """As `Evaluator.evaluate`; every fidelity is the same."""
        return self.measure(arch)


def toy_problem(space: TransformerSpace | None = None, *, max_params: float = 60e6) -> Toy[Architecture]:
    """High ``quality`` at few ``flops`` (of 256 tokens) within `max_params` parameters, over a Transformer space.

    quality is made up: it grows with the logarithm of the parameters and favours a width of about 48 features for each
    layer, SwiGLU, RoPE and grouped queries. ``params`` and ``flops`` are known without evaluation.
    """
    searched = space or TransformerSpace()
    budget = Budget("params", "max", max_params)

    def known(arch: Architecture) -> dict[str, float]:
        return {"params": float(shapes.parameters(arch)), "flops": shapes.flops(arch, 256)}

    def check(arch: Architecture) -> tuple[str, ...]:
        broken = searched.validate(arch) or (budget.broken(known(arch)),)
        return tuple(reason for reason in broken if reason is not None)

    problem = Problem(
        space=searched,
        objectives=(Objective("quality", "max"), Objective("flops", "min")),
        check=check,
        excess=lambda arch: budget.excess(known(arch)),
        known=known,
        reference=Reference(point=(-5.0, 60e9), ideal=(-8.0, 0.0)),
        axes=(Axis("num_layers", lambda arch: arch.num_layers), Axis("params", lambda arch: known(arch)["params"], 3)),
    )
    return Toy(problem, lambda arch: {"quality": _quality(arch), **known(arch)})


def _quality(arch: Architecture) -> float:
    mixers = [block.mixer for block in arch.blocks]
    parts = [block.feed_forward for block in arch.blocks]
    shape = math.log(arch.hidden_size / (48 * arch.num_layers))
    grouped = sum(mixer.attention_type == "grouped_query" for mixer in mixers) / arch.num_layers
    gated = sum(part.kind == "swiglu" for part in parts) / arch.num_layers
    return (
        math.log10(shapes.nonembedding_parameters(arch))
        - 0.3 * shape**2
        + 0.3 * grouped
        + 0.3 * gated
        + 0.2 * (arch.position == "rope")
    )
