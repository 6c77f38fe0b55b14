"""The one small contract of every training-free score."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from mimar.proxies._inputs import ProxyInputs, Subject

Need = Literal["shapes", "weights", "data", "gradients"]
"""What a proxy looks at: sizes alone, initial weights, token ids, derivatives of any kind."""

Cost = Literal["closed form", "weights", "forward", "backward", "language model"]
"""The dearest step of a proxy, cheapest first."""


class Proxy(Protocol):
    """A score of an untrained architecture.

    Laws, tested for every proxy: higher is better; the same inputs give the same value; the value is finite for every
    legal architecture; weights and the global random state stay as they were; nothing beyond `needs` is computed.
    """

    @property
    def name(self) -> str:
        """The name under which users choose it."""
        ...

    @property
    def needs(self) -> frozenset[Need]:
        """What it looks at; ``{"shapes"}`` alone means that no module is ever built."""
        ...

    @property
    def cost(self) -> Cost:
        """Its dearest step."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """True by convention: measures where less is better are negated inside the proxy."""
        ...

    @property
    def source(self) -> str:
        """Where the score comes from."""
        ...

    def prepare(self, subjects: Sequence[Subject]) -> None:
        """Hear which networks come next. Most proxies have no use for it; it never changes what a score is."""
        ...

    def __call__(self, inputs: ProxyInputs) -> float:
        """The score of the network in `inputs`."""
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """A `Proxy` around one function; a module-level `function` keeps it picklable."""

    name: str
    needs: frozenset[Need]
    cost: Cost
    source: str
    function: Callable[[ProxyInputs], float]
    higher_is_better: bool = True

    def prepare(self, subjects: Sequence[Subject]) -> None:
        """Nothing: each network is scored by itself."""

    def __call__(self, inputs: ProxyInputs) -> float:
        return self.function(inputs)


def score_code(proxy: Proxy) -> str:
    """How a score is computed, as the source code of its function; of any other proxy its name and where it is from."""
    if isinstance(proxy, Score):
        function = proxy.function
        return inspect.getsource(function.func if isinstance(function, partial) else function)
    return f"# {proxy.name}: {proxy.source}"
