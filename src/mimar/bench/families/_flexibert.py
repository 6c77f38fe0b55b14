"""FlexiBERT encoders: a BERT whose layers choose their operation, heads and feed-forward part.

Space: Tuli et al., FlexiBERT: Are Current Transformer Architectures too Homogeneous and Rigid?, 2022. Labels (GLUE of
500 trained encoders) and published training-free scores: Serianni and Kalita, Training-free Neural Architecture Search
for RNNs and Transformers, 2023. The shape trap: the two were made on different networks.

- ``as_trained``: the released TensorFlow training code compares strings with ``is``, which is false for strings read
  from JSON, so that each layer was trained as plain attention with its own number of heads; and the first feed-forward
  matrix keeps ELECTRA-small's width 1024, only further stacked ones have the width named. Use it to judge a score by
  the labels.
- ``as_released``: the released PyTorch code, on which the published scores were computed, has the operations named, but
  hidden size 256 and feed-forward width 1024 for all. Its parameter counts come out exactly so. Use it to reproduce
  published scores.

The module is an ELECTRA discriminator (Clark et al., 2020) with post-norm layers. It is simplified: linear layers have
no biases, which would be 0 at initialisation; token types are left out; the vocabulary is cut to
`mimar.proxies.PROXY_VOCABULARY`. As released, linear transforms have no residual, no norm and no output matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import log2
from typing import TYPE_CHECKING, Any, Literal, get_args

from mimar.errors import InputError
from mimar.proxies import PROXY_VOCABULARY, in_runs, size_words
from mimar.shapes import LayerShapes, Matrix

if TYPE_CHECKING:  # torch must not be imported before a proxy needs a module
    from torch import Tensor, nn

Operation = Literal["SDP", "WMA", "DFT", "DCT", "DSC"]
"""Scaled dot product, weighted multiplicative attention, Fourier and cosine transform, dynamic span convolution."""

Form = Literal["as_trained", "as_released"]

TRANSFORMS = frozenset({"DFT", "DCT"})
FIRST_WIDTH = 1024
RELEASED_HIDDEN = 256
EMBEDDING_SIZE = 128
VOCABULARY = 30522
POSITIONS = 512
TOKEN_TYPES = 2
CONTEXT = 128
"""Tokens of a sequence in pretraining."""
BATCH_SIZE = 8
TOKENS = 64
REPLACED = 0.15
"""Share of tokens that are replaced (ELECTRA, table 6)."""


@dataclass(frozen=True, slots=True)
class FlexiBertLayer:
    """One layer as it is built.

    num_heads: as named; dynamic span convolution has half as many, at least one, of the size hidden / num_heads.
    feed_forward: widths between the stacked matrices, at least one.
    kernel_size: taps of the convolution, odd; 0 for other operations.
    """

    operation: Operation
    num_heads: int
    feed_forward: tuple[int, ...]
    kernel_size: int = 0

    @property
    def attention_heads(self) -> int:
        """Heads with a softmax over keys; 0 for transforms."""
        if self.operation == "DSC":
            return max(1, self.num_heads // 2)
        return 0 if self.operation in TRANSFORMS else self.num_heads


@dataclass(frozen=True)
class FlexiBert:
    """A `Subject`: an encoder as it is built, weights from N(0, 0.02²); `from_json` reads the benchmark's files."""

    hidden_size: int
    encoder_layers: tuple[FlexiBertLayer, ...]

    def __post_init__(self) -> None:
        if not self.encoder_layers:
            raise InputError("expected at least one encoder layer, got none")
        for index, layer in enumerate(self.encoder_layers):
            if layer.num_heads < 1 or self.hidden_size % layer.num_heads or not layer.feed_forward:
                raise InputError(
                    f"layer {index}: expected heads that divide {self.hidden_size} and a feed-forward width at least, "
                    f"got {layer.num_heads} heads and widths {layer.feed_forward}"
                )
            if (layer.kernel_size % 2 == 1) != (layer.operation == "DSC"):
                raise InputError(
                    f"layer {index}: expected an odd kernel for DSC and 0 for others, got {layer.kernel_size} "
                    f"for {layer.operation}"
                )

    @classmethod
    def from_json(cls, architecture: Mapping[str, Any], shapes: Form) -> FlexiBert:
        """``{hidden_size, encoder_layers: [{operation_type, operation_parameter, num_operation_heads, …}]}``.

        The module docstring says what the two forms of `shapes` are. InputError when a field is missing or unknown.
        """
        if shapes not in get_args(Form):
            raise InputError(f"expected shapes as_trained or as_released, got {shapes!r}")
        try:
            layers = tuple(_read_layer(layer, shapes) for layer in architecture["encoder_layers"])
            hidden = RELEASED_HIDDEN if shapes == "as_released" else int(architecture["hidden_size"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"expected a FlexiBERT architecture, hidden_size and encoder_layers, got {architecture!r}: {error!r}"
            ) from error
        return cls(hidden, layers)

    @property
    def shapes(self) -> FlexiBert:
        """This value, which is its own `NetworkShapes`."""
        return self

    @property
    def layers(self) -> tuple[LayerShapes, ...]:
        """The layers; matrices are called as in the module."""
        return tuple(_shapes(layer, self.hidden_size) for layer in self.encoder_layers)

    @property
    def num_layers(self) -> int:
        """Layers executed."""
        return len(self.encoder_layers)

    @property
    def layer_sharing(self) -> int:
        """No layers are shared."""
        return 1

    @property
    def output_rank(self) -> int:
        """The hidden size: a classifier, no table of tokens, reads the states."""
        return self.hidden_size

    @property
    def params(self) -> int:
        """All weights of the published encoder without its head, biases included."""
        tables = (VOCABULARY + POSITIONS + TOKEN_TYPES + 2) * EMBEDDING_SIZE
        projection = 0 if self.hidden_size == EMBEDDING_SIZE else (EMBEDDING_SIZE + 1) * self.hidden_size
        return tables + projection + self.nonembedding_params

    @property
    def nonembedding_params(self) -> int:
        """Weights of the layers of the published encoder, biases and norms included."""
        return sum(_params(layer, self.hidden_size) for layer in self.encoder_layers)

    @property
    def flops(self) -> float:
        """Operations of one forward pass over 128 tokens, without embeddings and head; a multiply-add counts as two."""
        linear = sum(2.0 * CONTEXT * matrix.size for layer in self.layers for matrix in layer.matrices)
        return linear + sum(_mixing_flops(layer, self.hidden_size) for layer in self.encoder_layers)

    @property
    def description(self) -> str:
        """Depth, width, operation, heads and stacked feed-forward widths by layer, parameters."""
        layers = in_runs([_words(layer) for layer in self.encoder_layers])
        return f"{self.num_layers} layers, hidden size {self.hidden_size}, {layers}, {size_words(self)}"

    @property
    def mixes_samples(self) -> bool:
        """Each sample is computed by itself."""
        return False

    def build(self, seed: int) -> nn.Module:
        """The module; see `Subject.build`."""
        import torch

        from mimar.bench.families._flexibert_network import Encoder
        from mimar.models import initialise

        with torch.device("meta"):  # no weights are drawn from the global generator
            model = Encoder(self, PROXY_VOCABULARY, TOKENS)
        model.to_empty(device="cpu")
        initialise(model, torch.Generator().manual_seed(seed))
        return model.eval()

    def draw(self, seed: int) -> Tensor:
        """Token ids (8, 64)."""
        import torch

        return torch.randint(PROXY_VOCABULARY, (BATCH_SIZE, TOKENS), generator=torch.Generator().manual_seed(seed))

    def ones(self) -> Tensor:
        """One token, or as many as the longest kernel has taps, so that each tap has its own.

        One in any case before a transform: of tokens that are alike it leaves nothing but their mean.
        """
        import torch

        transforms = any(layer.operation in TRANSFORMS for layer in self.encoder_layers)
        tokens = 1 if transforms else max(1, *(layer.kernel_size for layer in self.encoder_layers))
        return torch.ones(1, tokens, self.hidden_size)

    def loss(self, module: nn.Module, batch: Tensor) -> Tensor:
        """Mean cross-entropy of telling replaced tokens from original ones, as these encoders were trained (ELECTRA).

        About 15% of the tokens, always at the same positions, give way to uniform draws in place of a generator's.
        """
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        generator = torch.Generator().manual_seed(0)
        chosen = (torch.rand(batch.shape, generator=generator) < REPLACED).to(batch.device)
        drawn = torch.randint(PROXY_VOCABULARY, batch.shape, generator=generator).to(batch.device)
        seen = torch.where(chosen, drawn, batch)
        logits = module(seen)
        return binary_cross_entropy_with_logits(logits, (seen != batch).to(logits.dtype))


OPERATION_WORDS: Mapping[Operation, str] = {
    "SDP": "attention",
    "WMA": "multiplicative attention",
    "DFT": "Fourier transform",
    "DCT": "cosine transform",
    "DSC": "dynamic span convolution",
}


def _words(layer: FlexiBertLayer) -> str:
    taps = f", {layer.kernel_size} taps" if layer.kernel_size else ""
    widths = "-".join(map(str, layer.feed_forward))
    return f"{OPERATION_WORDS[layer.operation]} ({layer.num_heads} heads{taps}) + feed-forward {widths}"


def _read_layer(layer: Mapping[str, Any], shapes: Form) -> FlexiBertLayer:
    heads, stacked = int(layer["num_operation_heads"]), int(layer["num_feed_forward"]) - 1
    if shapes == "as_trained":
        return FlexiBertLayer("SDP", heads, (FIRST_WIDTH, *(int(layer["feed_forward_dimension"]),) * stacked))
    kind, parameter = layer["operation_type"], layer["operation_parameter"]
    if kind == "DSC":
        return FlexiBertLayer("DSC", heads, (FIRST_WIDTH,) * (1 + stacked), int(parameter))
    if (kind, parameter) not in {("SA", "SDP"), ("SA", "WMA"), ("LT", "DFT"), ("LT", "DCT")}:
        raise ValueError(f"unknown operation {kind!r} {parameter!r}")
    return FlexiBertLayer(parameter, heads, (FIRST_WIDTH,) * (1 + stacked))


@lru_cache(maxsize=65536)
def _shapes(layer: FlexiBertLayer, hidden: int) -> LayerShapes:
    widths = (hidden, *layer.feed_forward)
    inner = (
        Matrix(f"feed_forward.inner.{index}.weight", after, before, "feed_forward")
        for index, (before, after) in enumerate(pairwise(widths))
    )
    last = Matrix("feed_forward.output.weight", hidden, widths[-1], "feed_forward")
    return LayerShapes((*_mixer(layer, hidden), *inner, last), layer.attention_heads)


def _mixer(layer: FlexiBertLayer, hidden: int) -> tuple[Matrix, ...]:
    if layer.operation in TRANSFORMS:
        return (Matrix("mixer.input.weight", hidden, hidden, "attention"),)
    wide = layer.attention_heads * (hidden // layer.num_heads)
    found = [Matrix(f"mixer.{name}.weight", wide, hidden, "attention") for name in ("query", "key", "value")]
    if layer.operation == "WMA":
        found.append(Matrix("mixer.weighting.weight", hidden, hidden, "attention"))
    if layer.operation == "DSC":
        taps = layer.kernel_size
        found += (
            Matrix("mixer.taps", hidden, taps, "convolution"),
            Matrix("mixer.pointwise.weight", wide, hidden, "convolution"),
            Matrix("mixer.kernel.weight", layer.attention_heads * taps, wide, "convolution"),
            Matrix("mixer.span.weight", wide, hidden, "convolution"),
        )
        wide *= 2
    found.append(Matrix("mixer.output.weight", hidden, wide, "attention"))
    return tuple(found)


@lru_cache(maxsize=65536)
def _params(layer: FlexiBertLayer, hidden: int) -> int:
    """Weights of a layer: matrices; a bias for each of their outputs but two; a norm after each residual sum."""
    matrices = _shapes(layer, hidden).matrices
    biases = sum(m.rows for m in matrices if m.name not in {"mixer.taps", "mixer.weighting.weight"})
    norms = 1 if layer.operation in TRANSFORMS else 2
    return sum(m.size for m in matrices) + biases + norms * 2 * hidden


@lru_cache(maxsize=65536)
def _mixing_flops(layer: FlexiBertLayer, hidden: int) -> float:
    """Operations between 128 tokens; a fast transform of N values counts 5 N log₂ N."""
    head_size = hidden // layer.num_heads
    if layer.operation in TRANSFORMS:
        return 5.0 * CONTEXT * hidden * log2(CONTEXT * head_size)
    wide = layer.attention_heads * head_size
    return 4.0 * wide * CONTEXT**2 + 2.0 * CONTEXT * wide * layer.kernel_size
