"""The sub-networks of a parent, as a search space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, cast

import numpy as np

from mimar.elastic._subnetwork import SubNetwork
from mimar.errors import ArchitectureError, InputError
from mimar.space import Architecture, Choice, Choices

Form = Literal["U", "R", "G"]
"""How a sub-network can be written: U with sizes that are the same in all of its layers, as stock classes want them, R
with sizes of each layer in classes of this package, G the same in GGUF.
"""

PARTS: Final = ("kv_heads", "intermediate")

WIDTH_STEP: Final = 32
"""Widths are multiples of this: rows of the down projection are cut in blocks of so many numbers in GGUF."""

PATIENCE: Final = 32
"""Random changes that are tried before none is made."""

SWAPS: Final = 0.5
"""Share of mutants that give one layer what they take from another, so that their size hardly changes."""


@dataclass(frozen=True)
class ElasticSpace:
    """Which kv heads and channels of each layer of `parent` remain; both 0: the layer is dropped.

    kv_heads, intermediate: the sizes that a layer can have, by layer, the whole one among them.
    form: U has two variables for the sizes of all layers, and ``layers.3`` and so on for which are kept; R and G have
    ``layers.3.kv_heads`` and ``layers.3.intermediate``.
    """

    parent: Architecture
    kv_heads: tuple[tuple[int, ...], ...]
    intermediate: tuple[tuple[int, ...], ...]
    form: Form = "R"

    @staticmethod
    def of(parent: Architecture, form: Form = "R", *, steps: int = 8, protected: Sequence[int] = ()) -> ElasticSpace:
        """Every number of kv heads, and `steps` widths, evenly spaced, beside none at all.

        protected: numbers of layers that stay whole. InputError: no such layer, or fewer than one step.
        """
        if steps < 1:
            raise InputError(f"a layer needs at least one width, got {steps}")
        foreign = [number for number in protected if not 0 <= number < parent.num_layers]
        if foreign:
            raise InputError(f"there is no layer {foreign[0]}: the parent has {parent.num_layers}, counted from 0")
        whole, heads, widths = SubNetwork.whole(parent), list[tuple[int, ...]](), list[tuple[int, ...]]()
        for number, (kv_heads, intermediate) in enumerate(whole.sizes):
            kept = number in protected
            heads.append((kv_heads,) if kept else tuple(range(kv_heads + 1)))
            widths.append((intermediate,) if kept else _widths(intermediate, steps))
        return ElasticSpace(parent, tuple(heads), tuple(widths), form)

    @property
    def variables(self) -> Mapping[str, tuple[Choice, ...]]:
        """Name → choices, the smallest first."""
        return self._variables

    @cached_property
    def _variables(self) -> Mapping[str, tuple[Choice, ...]]:
        numbers = range(self.parent.num_layers)
        if self.form == "U":
            sizes = {"kv_heads": _common(self.kv_heads), "intermediate": _common(self.intermediate)}
            return sizes | {_layer(number): (0, 1) if self.droppable(number) else (1,) for number in numbers}
        options = {"kv_heads": self.kv_heads, "intermediate": self.intermediate}
        return {f"{_layer(number)}.{part}": options[part][number] for number in numbers for part in options}

    def sizes_of(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Kv heads and widths that layer `number` can have, the least first; in the form U those of all layers."""
        if self.form != "U":
            return self.kv_heads[number], self.intermediate[number]
        gone = (0,) if self.droppable(number) else ()
        return (*gone, *_common(self.kv_heads)), (*gone, *_common(self.intermediate))

    def droppable(self, number: int) -> bool:
        """Whether layer `number` can go as a whole."""
        return 0 in self.kv_heads[number] and 0 in self.intermediate[number]

    def to_choices(self, arch: SubNetwork) -> dict[str, Choice]:
        """Inverse of `from_choices`."""
        if self.form == "U":
            kv_heads, intermediate = arch.sizes[arch.kept_layers[0]]
            kept = {_layer(number): int(any(sizes)) for number, sizes in enumerate(arch.sizes)}
            return {"kv_heads": kv_heads, "intermediate": intermediate, **kept}
        return dict(zip(self.variables, (size for sizes in arch.sizes for size in sizes), strict=True))

    def from_choices(self, choices: Choices) -> SubNetwork:
        """The sub-network of those sizes; KeyError names a missing one."""
        numbers = range(self.parent.num_layers)
        if self.form == "U":
            kept = [_size(choices, _layer(number)) for number in numbers]
            return SubNetwork(*(tuple(_size(choices, part) * each for each in kept) for part in PARTS))
        return SubNetwork(*(tuple(_size(choices, f"{_layer(n)}.{part}") for n in numbers) for part in PARTS))

    def sample(self, rng: np.random.Generator) -> SubNetwork:
        """Of a size drawn evenly between the whole parent and next to nothing."""
        return self.sample_within(rng, rng.random())

    def sample_within(self, rng: np.random.Generator, share: float) -> SubNetwork:
        """Random sizes shrink until `share` of the parent's block parameters is met, where the space allows that."""
        choices = self.to_choices(SubNetwork.whole(self.parent))
        names = [name for name, options in self.variables.items() if len(options) > 1]
        arch = self.from_choices(choices)
        target = arch.block_params(self.parent) * share
        for _ in range(PATIENCE * len(names)):
            name = names[int(rng.integers(len(names)))]
            smaller = [option for option in self.variables[name] if cast("int", option) < cast("int", choices[name])]
            if not smaller:
                continue
            tried = {**choices, name: smaller[int(rng.integers(len(smaller)))]}
            if not self.validate(self.from_choices(tried)):
                choices, arch = tried, self.from_choices(tried)
            if arch.block_params(self.parent) <= target:
                break
        return arch

    def mutate(self, arch: SubNetwork, rng: np.random.Generator) -> SubNetwork:
        """One size changes, often another one the other way; `arch` itself where nothing legal is found."""
        choices = self.to_choices(arch)
        free = [name for name, options in self.variables.items() if len(options) > 1]
        for _ in range(PATIENCE if free else 0):
            name = free[int(rng.integers(len(free)))]
            other = free[int(rng.integers(len(free)))] if rng.random() < SWAPS else name
            changed = self._moved(choices, name, 1 if rng.random() < 0.5 else -1, rng)
            if other != name:
                grew = cast("int", changed[name]) > cast("int", choices[name])
                changed = self._moved(changed, other, -1 if grew else 1, rng)
            mutant = self.from_choices(changed)
            if mutant != arch and not self.validate(mutant):
                return mutant
        return arch

    def _moved(self, choices: Choices, name: str, direction: int, rng: np.random.Generator) -> dict[str, Choice]:
        """With another size for `name`, a larger or a smaller one where there is one; the nearest half of the time."""
        here = cast("int", choices[name])
        further = [option for option in self.variables[name] if (cast("int", option) - here) * direction > 0]
        if not further:
            return dict(choices)
        nearest = min(further, key=lambda option: abs(cast("int", option) - here))
        return {**choices, name: nearest if rng.random() < 0.5 else further[int(rng.integers(len(further)))]}

    def cross(self, a: SubNetwork, b: SubNetwork, rng: np.random.Generator) -> SubNetwork:
        """Each layer, or each variable of the form U, from one of both; `a` where that would be illegal."""
        first, second = self.to_choices(a), self.to_choices(b)
        owners = {name: name.removesuffix(".kv_heads").removesuffix(".intermediate") for name in first}
        for _ in range(PATIENCE):
            own = {owner: bool(rng.random() < 0.5) for owner in dict.fromkeys(owners.values())}
            child = self.from_choices({name: (first if own[owner] else second)[name] for name, owner in owners.items()})
            if not self.validate(child):
                return child
        return a

    def validate(self, arch: SubNetwork) -> tuple[str, ...]:
        """Sizes that are no choices, and what its form cannot hold."""
        return tuple(self._reasons(arch))

    def _reasons(self, arch: SubNetwork) -> Iterator[str]:
        if not len(arch.kv_heads) == len(arch.intermediate) == self.parent.num_layers:
            yield f"expected sizes of {self.parent.num_layers} layers, got {len(arch.kv_heads)}"
            return
        kept = arch.kept_layers
        if not any(arch.kv_heads):
            yield "at least one layer needs attention"
            return
        if self.form == "U":
            yield from self._uniform_reasons(arch)
        else:
            yield from self._foreign(arch)
        if self.form == "G" and not arch.kv_heads[kept[0]]:
            yield f"layer {kept[0]}: the first layer that is kept needs attention in GGUF"

    def _foreign(self, arch: SubNetwork) -> Iterator[str]:
        for part, sizes, options in zip(
            PARTS, (arch.kv_heads, arch.intermediate), (self.kv_heads, self.intermediate), strict=True
        ):
            for number, (size, known) in enumerate(zip(sizes, options, strict=True)):
                if size not in known:
                    yield f"layer {number}: {part} must be one of {', '.join(map(str, known))}, got {size}"

    def _uniform_reasons(self, arch: SubNetwork) -> Iterator[str]:
        sizes = {arch.sizes[number] for number in arch.kept_layers}
        if len(sizes) > 1:
            yield f"all layers that are kept must have the same sizes, got {len(sizes)} different ones"
            return
        for part, size in zip(PARTS, next(iter(sizes)), strict=True):
            if size not in self.variables[part]:
                yield f"{part} must be one of {', '.join(map(str, self.variables[part]))}, got {size}"
        for number in range(self.parent.num_layers):
            if not any(arch.sizes[number]) and not self.droppable(number):
                yield f"layer {number} cannot be dropped"

    def to_json(self, arch: SubNetwork) -> dict[str, Any]:
        """Sizes by layer."""
        return {"kv_heads": list(arch.kv_heads), "intermediate": list(arch.intermediate)}

    def from_json(self, data: Any) -> SubNetwork:
        """Inverse of `to_json`; ArchitectureError where `data` is none of this parent."""
        layers = self.parent.num_layers
        found = [data.get(part) if isinstance(data, Mapping) else None for part in PARTS]
        reasons = [
            f"{part} must be a list of {layers} whole numbers of at least 0"
            for part, sizes in zip(PARTS, found, strict=True)
            if not isinstance(sizes, list) or len(sizes) != layers or not all(map(_is_size, sizes))
        ]
        if reasons:
            raise ArchitectureError("not a sub-network of this parent", tuple(reasons))
        return SubNetwork(*(tuple(cast("list[int]", sizes)) for sizes in found))

    def schema(self) -> dict[str, Any]:
        """Two lists of a size for each layer."""
        options = {"kv_heads": self.kv_heads, "intermediate": self.intermediate}
        return {
            "type": "object",
            "properties": {
                part: {
                    "type": "array",
                    "items": {"enum": sorted({size for layer in sizes for size in layer})},
                    "minItems": len(sizes),
                    "maxItems": len(sizes),
                }
                for part, sizes in options.items()
            },
            "required": list(options),
            "additionalProperties": False,
        }


def _layer(number: int) -> str:
    return f"layers.{number}"


def _size(choices: Choices, name: str) -> int:
    return cast("int", choices[name])


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _common(options: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Sizes that all layers can have together: those of any layer, but for none at all."""
    return tuple(sorted({size for layer in options for size in layer if size}))


def _widths(intermediate: int, steps: int) -> tuple[int, ...]:
    """0, and `steps` multiples of `WIDTH_STEP` up to the whole width, which need be none."""
    grid = {round(intermediate * k / steps / WIDTH_STEP) * WIDTH_STEP for k in range(steps)}
    return tuple(sorted({width for width in grid if width < intermediate} | {0, intermediate}))
