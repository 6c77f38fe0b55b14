"""The sub-network that block scores find best within budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Final

from mimar.elastic import ElasticSpace, SubNetwork
from mimar.hardware import DeviceProfile, Workload, hardware_metrics
from mimar.objectives import Budget
from mimar.shrink._speed import LlamaCppSpeed

if TYPE_CHECKING:
    from mimar.elastic import BlockScores

SIZE: Final = "block_params"


@dataclass(frozen=True)
class Known:
    """Metrics that cost nothing to compute, with a memory. speed: where it was timed, in place of the profile's."""

    space: ElasticSpace
    profile: DeviceProfile
    workload: Workload
    speed: LlamaCppSpeed | None = None

    def __call__(self, sub: SubNetwork) -> Mapping[str, float]:
        return self._remembered(sub)

    @cached_property
    def _remembered(self) -> Callable[[SubNetwork], Mapping[str, float]]:
        return lru_cache(maxsize=20_000)(self._computed)

    def _computed(self, sub: SubNetwork) -> Mapping[str, float]:
        arch = sub.architecture(self.space.parent)
        sizes = {SIZE: float(sub.block_params(self.space.parent))}
        timed = self.speed.metrics(sub) if self.speed else {}
        return {**sizes, **hardware_metrics(arch, self.profile, self.workload), **timed}


@dataclass(frozen=True)
class Within:
    """Finds the best sub-networks of a space within budgets on what is known of each."""

    known: Known
    budgets: tuple[Budget, ...]

    def best(self, scores: BlockScores, *more: Budget) -> SubNetwork:
        """The least sum of scores within the budgets and `more` of them; BudgetError: there is none."""
        from mimar.elastic import best_within

        return best_within(self.known.space, scores, [*self._limits, *map(self._limit, more)])

    def require_some(self) -> None:
        """BudgetError where nothing of the space keeps the budgets, which is a matter of sizes alone."""
        from mimar.elastic import BlockScores

        space = self.known.space
        sizes = [space.sizes_of(number) for number in range(space.parent.num_layers)]
        attention, mlp = (tuple(dict.fromkeys(options, 0.0) for options in part) for part in zip(*sizes, strict=True))
        self.best(BlockScores(attention, mlp, spent=0.0, naive=0.0))

    @cached_property
    def _limits(self) -> Sequence[tuple[Callable[[int, tuple[int, int]], float], float]]:
        return [self._limit(budget) for budget in self.budgets]

    def _limit(self, budget: Budget) -> tuple[Callable[[int, tuple[int, int]], float], float]:
        """A budget as a cost of layers and what their sum may be: all these metrics are sums over layers, or nearly."""
        whole = _additive(self.known(SubNetwork.whole(self.known.space.parent)), budget)
        limit = 1 / budget.limit if budget.kind == "min" else budget.limit
        return partial(self._added, budget), limit - whole

    def _added(self, budget: Budget, number: int, sizes: tuple[int, int]) -> float:
        """What changes where layer `number` of the whole parent gets these sizes."""
        whole = SubNetwork.whole(self.known.space.parent)
        kv_heads, intermediate = [*whole.kv_heads], [*whole.intermediate]
        kv_heads[number], intermediate[number] = sizes
        cut = SubNetwork(tuple(kv_heads), tuple(intermediate))
        return _additive(self.known(cut), budget) - _additive(self.known(whole), budget)


def at_most(size: float) -> Budget:
    """On block parameters."""
    return Budget(SIZE, "max", size)


def _additive(metrics: Mapping[str, float], budget: Budget) -> float:
    """Tokens a second become seconds a token."""
    value = metrics[budget.metric]
    return 1 / value if budget.kind == "min" else value
