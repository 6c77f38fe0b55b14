"""One set of weights for many architectures: each reads its own part of every matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from mimar.models import DecoderLM, build, initialise
from mimar.shapes import Matrix, matrices, nonembedding_parameters
from mimar.space import SOFTMAX_MIXERS, Architecture
from mimar.training import Batch, Recipe, TokenData, train, validation_loss

SANDWICH = 4
"""Architectures a step: smallest, largest and random ones (Yu and Huang, Universally Slimmable Networks, 2019)."""


class SharedDecoder(nn.Module):
    """The weights of all of `archs` in one: token ids (batch, tokens) → logits of the architecture last chosen.

    A layer of an architecture reads the first rows and columns of the matrices of that layer (of convolution taps the
    last, which meet the newest tokens); architectures of any depth share the first layers. The three kinds of softmax
    attention share weights, every other mixer and feed-forward kind has its own, and so have the placements of norms,
    since what a layer receives differs between them. Weights begin as `mimar.models.build` draws them; where an
    architecture is larger than all of `archs`, it reads such untrained weights beyond the others.
    """

    def __init__(self, archs: Sequence[Architecture], seed: int = 0) -> None:
        super().__init__()
        self._shared = nn.ParameterDict(
            {_key(name): nn.Parameter(torch.empty(shape)) for name, shape in sorted(shared_shapes(archs).items())}
        )
        initialise(self, torch.Generator().manual_seed(seed))
        self._seed = seed
        by_size = sorted(archs, key=nonembedding_parameters)
        self.smallest, self.largest = by_size[0], by_size[-1]
        self.chosen = self.largest

    def choose(self, arch: Architecture) -> None:
        """Whose logits the next passes give."""
        self.chosen = arch

    def forward(self, token_ids: Tensor) -> Tensor:
        """Logits (batch, tokens, vocab)."""
        return functional_call(_skeleton(self.chosen), self.weights(self.chosen), (token_ids,))

    def weights(self, arch: Architecture) -> dict[str, Tensor]:
        """The state dict of `arch`: views of the shared weights, copies where those are too small for it."""
        return {matrix.name: self._part(arch, matrix) for matrix in matrices(arch)}

    @torch.no_grad()
    def extract(self, arch: Architecture) -> DecoderLM:
        """A model of its own with the weights that `arch` has here."""
        model = build(arch)
        model.load_state_dict(self.weights(arch))
        return model

    def inherited_loss(self, arch: Architecture, batches: Sequence[Batch]) -> float:
        """Validation loss of `arch` with the shared weights, in nats a token."""
        self.choose(arch)
        return validation_loss(self, batches)

    def _part(self, arch: Architecture, matrix: Matrix) -> Tensor:
        name, shape = shared_name(arch, matrix), _shape(matrix)
        whole = self._shared[_key(name)] if _key(name) in self._shared else torch.empty([0] * len(shape))
        if any(part > most for part, most in zip(shape, whole.shape, strict=True)):
            whole = self._extended(name, whole, shape)
        if matrix.role == "convolution":
            return whole[: matrix.rows, whole.shape[1] - matrix.cols :]
        return whole[tuple(slice(length) for length in shape)]

    def _extended(self, name: str, whole: Tensor, shape: Sequence[int]) -> Tensor:
        """`whole` with initial weights around it, up to at least `shape`; the same ones each time."""
        fresh = nn.ParameterDict({_key(name): nn.Parameter(torch.empty([*map(max, shape, whole.shape)]))})
        initialise(fresh, torch.Generator().manual_seed(self._seed))
        larger = fresh[_key(name)].detach().to(self._shared["embedding/weight"].device)
        taps = name.endswith(".taps")  # their last columns are the ones that are shared
        columns = slice(larger.shape[-1] - whole.shape[-1], None) if taps else slice(whole.shape[-1])
        larger[(*(slice(length) for length in whole.shape[:-1]), columns)] = whole.detach()
        return larger


def train_shared(
    shared: SharedDecoder,
    data: TokenData,
    recipe: Recipe,
    sample: Callable[[np.random.Generator], Architecture],
) -> float:
    """Train with the sandwich rule; returns the validation loss of the largest architecture.

    Parts of each step's batch go through the smallest, two random ones from `sample` and the largest architecture; in
    steps of other than four parts these take turns from step to step.
    """
    recipe = replace(recipe, micro_batch=-(-recipe.sequences // min(SANDWICH, recipe.sequences)))
    parts = len(recipe.passes)

    def choose(step: int, part: int) -> None:
        left = (recipe.steps - step) * parts - part - 1
        if left % SANDWICH == 0:  # the last of all, so that the validation at the end is of the largest
            shared.choose(shared.largest)
        elif left % SANDWICH == SANDWICH - 1:
            shared.choose(shared.smallest)
        else:
            shared.choose(sample(np.random.default_rng([recipe.seed, step, part])))

    return train(shared, data, recipe, before_pass=choose).validation_loss


def shared_shapes(archs: Sequence[Architecture]) -> dict[str, tuple[int, ...]]:
    """Shared name → shape of the smallest matrix of which each of `archs` that has it can read a part."""
    shapes: dict[str, tuple[int, ...]] = {}
    for arch in archs:
        for matrix in matrices(arch):
            name = shared_name(arch, matrix)
            shapes[name] = tuple(map(max, _shape(matrix), shapes.get(name, _shape(matrix))))
    return shapes


def shared_name(arch: Architecture, matrix: Matrix) -> str:
    """The matrix of the shared model of which `arch` reads a part as `matrix`."""
    if not matrix.name.startswith("blocks."):
        return matrix.name
    group, rest = matrix.name.removeprefix("blocks.").split(".", 1)
    block = arch.unique_blocks[int(group)]
    kind = ""
    if rest.startswith("mixer."):
        kind = "softmax" if block.mixer.kind in SOFTMAX_MIXERS else block.mixer.kind
    elif rest.startswith("feed_forward."):
        kind = block.feed_forward.kind
    return ".".join(part for part in ("blocks", group, arch.norm_placement, kind, rest) if part)


def _shape(matrix: Matrix) -> tuple[int, ...]:
    """Of the tensor: norms are vectors."""
    return (matrix.cols,) if matrix.role == "norm" else (matrix.rows, matrix.cols)


def _key(name: str) -> str:
    """Names of parameters may not hold dots; `initialise` looks at their ends."""
    return name.replace(".", "/")


@lru_cache(maxsize=512)
def _skeleton(arch: Architecture) -> DecoderLM:
    """The module without weights; what is dropped out is decided by its mode, which is that of evaluation."""
    return build(arch, device="meta").eval()
