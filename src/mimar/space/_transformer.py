"""The Transformer space of `design`: every mixer, feed-forward kind, position code, norm and size as a variable."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from mimar.errors import InputError
from mimar.space._architecture import SOFTMAX_MIXERS, Architecture, Block
from mimar.space._json import Defaults, architecture_from_json, architecture_to_json
from mimar.space._legality import illegal_reasons
from mimar.space._protocol import Choice, Choices
from mimar.space._schema import architecture_schema
from mimar.space._variables import (
    FINAL_VARIABLES,
    LAYER_VARIABLES,
    SIZE_VARIABLES,
    Domain,
    block_from,
    choices_of,
    divides,
    layer_used,
    legal_head_counts,
    legal_layer_choices,
)

Scope = Literal["uniform", "per-layer"]

HARMLESS = frozenset({"sinusoidal", "none", "flash"})
"""Final choices that are legal without any softmax attention."""


@dataclass(frozen=True)
class TransformerSpace:
    """Decoder-only Transformers (the table in the documentation lists every variable).

    scope: ``uniform`` (all layers alike, one variable for each layer setting) or ``per-layer`` (each layer has its
      own variables, named ``layers.3.mixer`` and so on).
    defaults: vocabulary, context length, tying and dropout: given by the user, never searched.
    sizes, layer, final: the choices of each variable, in the order in which they are decided; narrow them with
      `restricted`, widen them with `including`.
    """

    scope: Scope = "uniform"
    defaults: Defaults = field(default_factory=Defaults)
    sizes: Domain = field(default_factory=lambda: dict(SIZE_VARIABLES))
    layer: Domain = field(default_factory=lambda: dict(LAYER_VARIABLES))
    final: Domain = field(default_factory=lambda: dict(FINAL_VARIABLES))

    @property
    def variables(self) -> Mapping[str, tuple[Choice, ...]]:
        """Name → choices: sizes first, then the layers, then what depends on them."""
        return self._variables

    def restricted(self, **choices: Sequence[Choice]) -> TransformerSpace:
        """The same space with fewer choices for the named variables; InputError when nothing would be left."""
        words = [name for name, options in choices.items() if isinstance(options, str)]
        if words:
            raise InputError(f"the choices of {words[0]} must be a list, got the text {choices[words[0]]!r}")
        parts = [self._narrowed(part, choices) for part in (self.sizes, self.layer, self.final)]
        unknown = set(choices) - {name for part in parts for name in part}
        if unknown:
            known = ", ".join((*self.sizes, *self.layer, *self.final))
            raise InputError(f"unknown variable {sorted(unknown)[0]!r}: expected one of {known}")
        return replace(self, sizes=parts[0], layer=parts[1], final=parts[2])

    @staticmethod
    def _narrowed(part: Domain, wanted: Mapping[str, Sequence[Choice]]) -> Domain:
        narrow = {name: tuple(c for c in options if c in wanted.get(name, options)) for name, options in part.items()}
        for name, options in narrow.items():
            if not options:
                raise InputError(f"no choice of {name} is left: expected some of {part[name]}, got {wanted[name]}")
        return narrow

    def including(self, arch: Architecture) -> TransformerSpace:
        """This space widened so that it holds `arch`, with the vocabulary, context, tying and dropout of `arch`."""
        defaults = Defaults(arch.vocab_size, arch.context_length, arch.tied_embeddings, arch.dropout)
        scope: Scope = self.scope if arch.is_uniform else "per-layer"
        widened = replace(self, defaults=defaults, scope=scope)
        layers = [choices_of(block, arch.hidden_size, self.layer) for block in arch.blocks]
        return replace(
            widened,
            sizes=_extended(self.sizes, [_global_choices(arch, self.sizes)]),
            layer=_extended(self.layer, layers),
            final=_extended(self.final, [_global_choices(arch, self.final)]),
        )

    def to_choices(self, arch: Architecture) -> dict[str, Choice]:
        """One choice for every variable; those of absent layers take the first choice."""
        found = dict(self._first_choices)
        blocks = arch.blocks[:1] if self.scope == "uniform" else arch.unique_blocks
        for prefix, block in zip(self._prefixes, blocks, strict=False):
            found |= self._named(prefix, choices_of(block, arch.hidden_size, self.layer))
        return found | _global_choices(arch, self.sizes) | _global_choices(arch, self.final)

    def from_choices(self, choices: Choices) -> Architecture:
        """The architecture those choices describe, legal or not."""
        hidden, count = cast("int", choices["hidden_size"]), cast("int", choices["num_layers"])
        sharing = cast("int", choices["layer_sharing"])
        blocks = [block_from(self._layer_of(choices, prefix), hidden) for prefix in self._prefixes_used(count, sharing)]
        repeats = count if self.scope == "uniform" else sharing
        return self._assemble(choices, tuple(block for block in blocks for _ in range(repeats))[:count])

    def sample(self, rng: np.random.Generator) -> Architecture:
        """A random legal architecture; per layer, a random share of the layers departs from a common design."""
        common = self._completed({}, rng)
        if self.scope == "uniform":
            return self.from_choices(common)
        return self.from_choices(self._completed(self._varied(common, rng), rng))

    def mutate(self, arch: Architecture, rng: np.random.Generator) -> Architecture:
        """Change one variable, more with falling probability; later ones follow only where legality forces them."""
        choices = self._extended_choices(arch)
        for _ in range(32):
            child = self.from_choices(self._mutated(choices, rng))
            if child != arch and not self.validate(child):
                return child
        return self.sample(rng)

    def cross(self, a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
        """Uniform crossover over the variables."""
        first, second = self._extended_choices(a), self._extended_choices(b)
        mixed = {name: (first if rng.random() < 0.5 else second)[name] for name in first}
        return self.from_choices(self._completed(mixed, rng))

    def validate(self, arch: Architecture) -> tuple[str, ...]:
        """Every broken rule, and every value that is not a choice of this space."""
        return (*illegal_reasons(arch), *dict.fromkeys(self._foreign(arch)))

    def to_json(self, arch: Architecture) -> dict[str, Any]:
        """Short form for uniform architectures, full form otherwise."""
        return architecture_to_json(arch)

    def from_json(self, data: Any) -> Architecture:
        """Either form; what the user decides (vocabulary, context, …) may be left out."""
        return architecture_from_json(data, self.defaults)

    def schema(self) -> dict[str, Any]:
        """JSON schema of the short form with this space's choices."""
        return architecture_schema(self.sizes, self.layer, self.final, self.defaults.context_length)

    # One mechanism for sampling, mutation and crossover: keep wanted values where legal, draw the rest.

    def _completed(self, wanted: Choices, rng: np.random.Generator, settled: Container[str] = ()) -> dict[str, Choice]:
        """settled: prefixes of layers that are known to be legal as they are wanted, at the wanted width."""
        done = dict(self._first_choices)
        for name, options in self.sizes.items():
            done[name] = _kept_or_drawn(wanted, name, self._legal_sizes(name, options, done), rng)
        hidden, count = cast("int", done["hidden_size"]), cast("int", done["num_layers"])
        prefixes = self._prefixes_used(count, cast("int", done["layer_sharing"]))
        fitting = legal_layer_choices("mixer", self.layer, {}, hidden, self.defaults.context_length)
        needed = [c for c in fitting if c in self._needed_mixers]
        head_sizes: set[Choice] = set()  # of the layers with softmax attention
        for prefix in prefixes:
            kinds = needed if prefix == prefixes[-1] else fitting
            if prefix in settled and wanted[self._names[prefix]["mixer"]] in kinds:
                layer = self._layer_of(wanted, prefix)
            else:
                layer = self._completed_layer(wanted, prefix, hidden, kinds, rng)
            head_sizes |= {layer["head_size"]} if layer["mixer"] in SOFTMAX_MIXERS else set()
            needed = fitting if layer["mixer"] in needed else needed
            done |= self._named(prefix, layer)
        for name, options in self.final.items():
            legal = [c for c in options if (head_sizes or c in HARMLESS) and (c != "rope" or _all_even(head_sizes))]
            done[name] = _kept_or_drawn(wanted, name, legal, rng)
        return done

    @cached_property
    def _needed_mixers(self) -> tuple[Choice, ...]:
        """Mixers one of which some layer must have: any, or softmax attention where the final choices require it."""
        free = all(HARMLESS & set(options) for options in self.final.values())
        return tuple(c for c in self.layer["mixer"] if (c != "none" if free else c in SOFTMAX_MIXERS))

    def _completed_layer(
        self, wanted: Choices, prefix: str, hidden: int, mixers: Sequence[Choice], rng: np.random.Generator
    ) -> dict[str, Choice]:
        layer: dict[str, Choice] = {}
        names = self._names[prefix]
        for role, options in self.layer.items():
            layer[role] = options[0]
            if layer_used(role, layer):
                legal = mixers
                if role != "mixer":
                    legal = legal_layer_choices(role, self.layer, layer, hidden, self.defaults.context_length)
                name = names[role]
                if role == "ratio" and name in wanted and _between(wanted[name], options):
                    legal = [wanted[name]]  # a width between the listed steps is inherited as it is
                layer[role] = _kept_or_drawn(wanted, name, legal, rng)
        return layer

    def _extended_choices(self, arch: Architecture) -> dict[str, Choice]:
        """`to_choices`, but absent layers repeat the last one: a child that grows, grows in its parent's kind."""
        choices = self.to_choices(arch)
        if self.scope == "uniform":
            return choices
        last = choices_of(arch.blocks[-1], arch.hidden_size, self.layer)
        for prefix in self._prefixes[len(arch.unique_blocks) :]:
            choices |= self._named(prefix, last)
        return choices

    def _legal_sizes(self, name: str, options: tuple[Choice, ...], done: Choices) -> Sequence[Choice]:
        if name == "layer_sharing":
            return [c for c in options if divides(c, done["num_layers"])]
        return self._independent_sizes.get(name, options)

    @cached_property
    def _independent_sizes(self) -> Mapping[str, Sequence[Choice]]:
        """Legal choices of the sizes that depend on no other size; found once, as every move asks for them."""
        depths, widths = self.sizes["num_layers"], self.sizes["hidden_size"]
        return {
            "num_layers": [c for c in depths if any(divides(s, c) for s in self.sizes["layer_sharing"])],
            "hidden_size": [c for c in widths if legal_head_counts(self.layer, cast("int", c))] or widths,
        }

    def _mutated(self, choices: Choices, rng: np.random.Generator) -> dict[str, Choice]:
        wanted = dict(choices)
        for _ in range(rng.geometric(0.6)):
            domain, targets = self._random_variable(wanted, rng)
            current = wanted[targets[0]]
            others = [choice for choice in domain if choice != current]
            if others:
                wanted |= dict.fromkeys(targets, _neighbour_or_any(domain, current, others, rng))
        return self._completed(wanted, rng, self._untouched(choices, wanted))

    def _untouched(self, before: Choices, after: Choices) -> set[str]:
        """Prefixes of the layers that a move left as they were: still legal where the width is the same."""
        if before["hidden_size"] != after["hidden_size"]:
            return set()
        changed = {name for name, choice in after.items() if choice != before[name]}
        return {prefix for prefix, names in self._names.items() if changed.isdisjoint(names.values())}

    def _random_variable(self, choices: Choices, rng: np.random.Generator) -> tuple[tuple[Choice, ...], list[str]]:
        """Choices of a variable that has an effect, and the names to set: one layer's, or half the time all layers'."""
        prefixes = self._prefixes_used(cast("int", choices["num_layers"]), cast("int", choices["layer_sharing"]))
        prefix = prefixes[int(rng.integers(len(prefixes)))]
        layer = self._layer_of(choices, prefix)
        names = [*self.sizes, *self.final, *(role for role in self.layer if layer_used(role, layer))]
        name = names[int(rng.integers(len(names)))]
        if name not in self.layer:
            return self.sizes.get(name) or self.final[name], [name]
        everywhere = rng.random() < 0.5
        return self.layer[name], [self._names[p][name] for p in (prefixes if everywhere else [prefix])]

    def _varied(self, common: Choices, rng: np.random.Generator) -> dict[str, Choice]:
        """`common` for every layer, but for a random share of the layer settings, which are left open."""
        share = rng.random() ** 2
        first = self._prefixes[0]
        wanted = {name: common[name] for name in (*self.sizes, *self.final)}
        for prefix in self._prefixes:
            for role in self.layer:
                if rng.random() >= share:
                    wanted[f"{prefix}{role}"] = common[f"{first}{role}"]
        return wanted

    @cached_property
    def _prefixes(self) -> tuple[str, ...]:
        if self.scope == "uniform":
            return ("",)
        return tuple(f"layers.{index}." for index in range(max(cast("tuple[int, ...]", self.sizes["num_layers"]))))

    @cached_property
    def _names(self) -> Mapping[str, Mapping[str, str]]:
        """Prefix → role → name of the variable; made once, as forming hundreds of names anew is most of a move."""
        return {prefix: {role: f"{prefix}{role}" for role in self.layer} for prefix in self._prefixes}

    @cached_property
    def _variables(self) -> Mapping[str, tuple[Choice, ...]]:
        layers = {names[role]: options for names in self._names.values() for role, options in self.layer.items()}
        return {**self.sizes, **layers, **self.final}

    @cached_property
    def _first_choices(self) -> Choices:
        return {name: options[0] for name, options in self.variables.items()}

    def _prefixes_used(self, count: int, sharing: int) -> tuple[str, ...]:
        groups = -(-count // sharing)
        return self._prefixes[:groups]

    def _layer_of(self, choices: Choices, prefix: str) -> dict[str, Choice]:
        return {role: choices[name] for role, name in self._names[prefix].items()}

    def _named(self, prefix: str, layer: Choices) -> dict[str, Choice]:
        names = self._names[prefix]
        return {names[role]: choice for role, choice in layer.items()}

    def _assemble(self, choices: Choices, blocks: tuple[Block, ...]) -> Architecture:
        settings: dict[str, Any] = {
            name: choices[name]
            for name in (
                "norm",
                "norm_placement",
                "topology",
                "layer_sharing",
                "position",
                "attention_kernel",
            )
        }
        return Architecture(
            cast("int", choices["hidden_size"]),
            blocks,
            self.defaults.vocab_size,
            self.defaults.context_length,
            tied_embeddings=self.defaults.tied_embeddings,
            dropout=self.defaults.dropout,
            **settings,
        )

    def _foreign(self, arch: Architecture) -> Iterator[str]:
        if self.scope == "uniform" and not arch.is_uniform:
            yield "all layers must be alike in this space"
            return
        given = Defaults(arch.vocab_size, arch.context_length, arch.tied_embeddings, arch.dropout)
        if given != self.defaults:
            yield f"vocabulary, context, tying and dropout are given as {self.defaults}, got {given}"
        for name, choice in (_global_choices(arch, self.sizes) | _global_choices(arch, self.final)).items():
            options = self.sizes.get(name) or self.final[name]
            if choice not in options:
                yield _not_a_choice(name, choice, options)
        for block in dict.fromkeys(arch.blocks):
            for role, choice in choices_of(block, arch.hidden_size, self.layer).items():
                options = self.layer[role]
                # Every width between the extremes belongs to the space; `ratio` lists only the steps of a search.
                fits = _between(choice, options) if role == "ratio" else choice in options
                if not fits:
                    yield _not_a_choice(role, choice, options)


def _between(choice: Choice, options: tuple[Choice, ...]) -> bool:
    numbers = cast("tuple[float, ...]", options)
    return min(numbers) <= cast("float", choice) <= max(numbers)


def _not_a_choice(name: str, choice: Choice, options: tuple[Choice, ...]) -> str:
    if isinstance(choice, int | float):
        low, high = min(cast("tuple[float, ...]", options)), max(cast("tuple[float, ...]", options))
        if name == "ratio":
            return f"intermediate_size / hidden_size must be between {low:g} and {high:g}, got {choice:.3g}"
        if len(options) > 12:
            return f"{name} must be one of {len(options)} steps from {low:g} to {high:g}, got {choice:g}"
    return f"{name} must be one of {', '.join(map(str, options))}, got {choice}"


def _all_even(sizes: set[Choice]) -> bool:
    return all(divides(2, size) for size in sizes)


def _global_choices(arch: Architecture, part: Domain) -> dict[str, Choice]:
    return {name: cast("Choice", getattr(arch, name)) for name in part}


def _extended(part: Domain, found: Sequence[Choices]) -> Domain:
    """`part` with the choices in `found` added; numbers stay sorted."""
    wider: dict[str, tuple[Choice, ...]] = {}
    for name, options in part.items():
        new = {choices[name] for choices in found} - set(options)
        numeric = all(isinstance(c, int | float) for c in options)
        wider[name] = tuple(sorted({*options, *new}, key=float)) if numeric else (*options, *sorted(new, key=str))
    return wider


def _kept_or_drawn(wanted: Choices, name: str, legal: Sequence[Choice], rng: np.random.Generator) -> Choice:
    if name in wanted and wanted[name] in legal:
        return wanted[name]
    if not legal:
        raise InputError(f"no legal choice of {name} is left in this space; allow more choices")
    return legal[int(rng.integers(len(legal)))]


def _neighbour_or_any(
    domain: tuple[Choice, ...], current: Choice, others: Sequence[Choice], rng: np.random.Generator
) -> Choice:
    """For numbers half the time the next choice up or down, else any other choice."""
    if isinstance(current, int | float) and current in domain and rng.random() < 0.5:
        index = domain.index(current) + (1 if rng.random() < 0.5 else -1)
        if 0 <= index < len(domain):
            return domain[index]
    return others[int(rng.integers(len(others)))]
