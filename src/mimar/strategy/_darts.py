"""Gradient-based search: operations by differentiable mixing, sizes by drawing within the budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from mimar.errors import InputError
from mimar.space import (
    GATE_ACTIVATION,
    HEADED_MIXERS,
    SOFTMAX_MIXERS,
    WIDTH_MULTIPLE,
    Activation,
    Architecture,
    Block,
    Choice,
    FeedForward,
    FeedForwardKind,
    Mixer,
    MixerKind,
    Norm,
    NormPlacement,
    Position,
    Topology,
    TransformerSpace,
)
from mimar.strategy._feasible import draw
from mimar.strategy._protocol import Problem
from mimar.strategy._traits import Traits
from mimar.training import Recipe, TokenData
from mimar.trial import Proposal, Trial

if TYPE_CHECKING:
    from mimar.supernet import Epoch, Operations

DEPTH: Final = 3
"""Layers of the mixed model."""

SMALLEST_HEAD: Final = 16
EXPERTS: Final = 4

TRIES: Final = 200
"""Draws before a search gives up on sizes with which the operations are legal and new."""

SHARPNESS: Final = 4.0
"""Power of the strengths by which operations are drawn after the strongest ones were proposed."""


class Darts:
    """DARTS (Liu et al., 2019) over mixers and feed-forward kinds of a `TransformerSpace`.

    The first ask trains a small model of its own, in which every layer mixes all kinds; that is not evaluated. What is
    proposed has the kinds that came out strongest, then others by their strength; sizes and whatever else the space
    leaves open are drawn at random within the budgets, and the evaluator decides among them. `epochs` holds the
    strengths after each epoch, once there are any.
    """

    name = "darts"
    traits = Traits(multi_round=False)

    def __init__(
        self,
        problem: Problem[Architecture],
        seed: int,
        data: TokenData,
        recipe: Recipe,
        *,
        device: str = "cpu",
        on_epoch: Callable[[Epoch], None] = lambda _: None,
    ) -> None:
        if not isinstance(problem.space, TransformerSpace):
            raise InputError("the strategy darts searches Transformer spaces only")
        self._problem, self._space = problem, problem.space
        self._rng = np.random.default_rng(seed)
        self._data, self._recipe, self._device, self._on_epoch = data, recipe, device, on_epoch
        self._known: set[Architecture] = set()
        self._has_proposed = False
        self._strengths: dict[str, list[float]] = {}
        self._kinds: Mapping[str, tuple[str, ...]] = {}
        self.epochs: tuple[Epoch, ...] = ()

    def ask(self, n: int) -> Sequence[Proposal[Architecture]]:
        """New candidates; first those of the strongest operations."""
        if not self.epochs:
            self._search()
        found = (self._candidate() for _ in range(n))
        return [Proposal(arch, "darts") for arch in found if arch is not None]

    def tell(self, trials: Sequence[Trial[Architecture]]) -> None:
        """Nothing is learnt from evaluations, but what not to propose again: a start of the user's, for example."""
        self._known.update(trial.architecture for trial in trials if trial.proposal.architecture is not None)

    def _search(self) -> None:
        from mimar.supernet import search_operations, strongest

        template, operations = mixed_task(self._space, self._data.vocab_size, self._recipe.context_length)
        self.epochs = search_operations(
            template, operations, self._data, self._recipe, device=self._device, on_epoch=self._on_epoch
        )
        chosen = strongest(self.epochs)
        self._strengths = {role: np.mean(rows, axis=0).tolist() for role, rows in chosen.strengths.items()}
        self._kinds = chosen.operations

    def _candidate(self) -> Architecture | None:
        """One within the budgets that was not proposed before; None after many vain draws."""
        for attempt in range(TRIES):
            drawn = draw(self._problem, (), self._rng)
            if drawn is None:
                return None
            arch = self._with_operations(drawn, best=not self._has_proposed and attempt < TRIES // 2)
            if arch not in self._known and not self._problem.check(arch):
                self._known.add(arch)
                self._has_proposed = True
                return arch
        return None

    def _with_operations(self, arch: Architecture, best: bool) -> Architecture:
        choices = self._space.to_choices(arch)
        changed: dict[str, Choice] = {}
        for name in choices:
            role = name.rpartition(".")[2]
            if role in self._strengths:
                changed[name] = self._kind(role, best)
        return self._space.from_choices({**choices, **changed})

    def _kind(self, role: str, best: bool) -> str:
        strengths = np.asarray(self._strengths[role])
        if best:
            return self._kinds[role][int(np.argmax(strengths))]
        shares = strengths**SHARPNESS
        return self._kinds[role][int(self._rng.choice(len(shares), p=shares / shares.sum()))]


def mixed_task(space: TransformerSpace, vocab_size: int, context: int) -> tuple[Architecture, Operations]:
    """The model in which operations are mixed, and the operations: every kind of `space`, of about equal size.

    As narrow as the space allows, three layers deep, with the first norm, topology and position code that it lists.
    """
    from mimar.supernet import Operations

    hidden = min(cast("tuple[int, ...]", space.sizes["hidden_size"]))
    mixers = tuple(_mixer(cast("MixerKind", kind), space, hidden, context) for kind in space.layer["mixer"])
    activation = cast("Activation", space.layer["activation"][0])
    parts = tuple(_part(cast("FeedForwardKind", kind), hidden, activation) for kind in space.layer["feed_forward"])
    attends = any(mixer.kind in SOFTMAX_MIXERS for mixer in mixers)
    template = Architecture(
        hidden,
        (Block(mixers[0], parts[0]),) * DEPTH,
        vocab_size,
        context,
        position=cast("Position", space.final["position"][0] if attends else "none"),
        norm=cast("Norm", space.sizes["norm"][0]),
        norm_placement=cast("NormPlacement", space.sizes["norm_placement"][0]),
        topology=cast("Topology", space.sizes["topology"][0]),
    )
    return template, Operations(mixers, parts)


def _mixer(kind: MixerKind, space: TransformerSpace, hidden: int, context: int) -> Mixer:
    """As many heads as the space has for heads of at least 16 features; the widest window up to half of the context."""
    if kind == "convolution":
        kernels = cast("tuple[int, ...]", space.layer["kernel_size"])
        return Mixer(kind, kernel_size=kernels[len(kernels) // 2])
    if kind not in HEADED_MIXERS:
        return Mixer(kind)
    counts = cast("tuple[int, ...]", space.layer["num_heads"])
    heads = max((n for n in counts if hidden % (2 * n) == 0 and hidden // n >= SMALLEST_HEAD), default=1)
    window = 0
    if kind in ("sliding_window", "block_sparse"):
        windows = cast("tuple[int, ...]", space.layer["window"])
        window = max((n for n in windows if n <= context // 2), default=max(1, context // 2))
    return Mixer(kind, heads, heads, hidden // heads, window)


def _part(kind: FeedForwardKind, hidden: int, activation: Activation) -> FeedForward:
    """Four times the width between two matrices, as many weights between three, half as many in each expert."""
    if kind == "none":
        return FeedForward(kind)
    if kind == "ffn":
        return FeedForward(kind, 4 * hidden, activation)
    width = max(1, round(8 * hidden / 3 / WIDTH_MULTIPLE)) * WIDTH_MULTIPLE
    if kind == "moe":
        return FeedForward(kind, max(1, width // 2 // WIDTH_MULTIPLE) * WIDTH_MULTIPLE, activation, EXPERTS, 1)
    return FeedForward(kind, width, GATE_ACTIVATION[kind])
