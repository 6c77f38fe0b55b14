"""GPT-2-like decoders with heads and widths of their own in each layer: LiteTransformerSearch and HW-GPT-Bench.

- Javaheripi et al., LiteTransformerSearch: Training-free Neural Architecture Search for Efficient Language Models,
  2022; benchmark files of microsoft/archai. Learned positions, plain FFN with GELU, adaptive embeddings (Baevski and
  Auli, Adaptive Input Representations, 2019) of size `d_embed`.
- Sukthanker et al., HW-GPT-Bench: Hardware-Aware Architecture Benchmark for Language Models, 2024. RoPE, gated FFN with
  SiLU, embedding and head not tied. Heads always have 64 features, so that attention is wider or narrower than the
  stream: its published parameter counts come out exactly so, and no other way.

`params` and `nonembedding_params` equal the published counts to the last weight. The module is simplified:

- Adaptive embeddings are one table of `embedding_size` columns and a projection to the hidden size, without smaller
  columns for rare tokens: the rank of what predicts tokens is kept, the fewer weights of rare tokens are not.
- Linear layers have no biases, which would be 0 at initialisation.
- The vocabulary is cut to `mimar.proxies.PROXY_VOCABULARY`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from mimar.bench.families._rows import integer, per_layer
from mimar.errors import InputError
from mimar.proxies import PROXY_VOCABULARY, by_layer, size_words
from mimar.shapes import DecoderShapes, LayerShapes, mixing_flops
from mimar.space import Architecture, Block, FeedForward, Mixer

if TYPE_CHECKING:  # torch must not be imported before a proxy needs a module
    from torch import Tensor, nn

HWGPT_HEAD_SIZE = 64
HWGPT_VOCABULARY = 50254
HWGPT_CONTEXT = 1024
ADAPTIVE_CUTOFFS = ((200_000, (19_997, 39_997, 199_997)), (10**9, (59_997, 99_997, 639_997)))
"""Vocabulary sizes up to which each list of cluster boundaries is used upstream (WikiText-103, One Billion Words)."""
BATCH_SIZE = 8
TOKENS = 64


@dataclass(frozen=True)
class Gpt2Like:
    """A `Subject`: pre-norm decoder, LayerNorm, one tuple entry for each layer; weights are drawn from N(0, 0.02²).

    head_size: features of a head; None: hidden_size / heads, for each layer.
    gated: a gated FFN with SiLU (three matrices) instead of a plain one with GELU.
    embedding_size: columns of the embedding table, which a projection makes `hidden_size`; None: no projection.
    embedding_params: weights of embeddings, positions and head where they are not plain tables; None: they are.
    bias: whether the published model's linear layers have biases; they count in `params` and nowhere else.
    learned_positions: a table of `context_length` positions instead of RoPE.
    """

    hidden_size: int
    num_heads: tuple[int, ...]
    intermediate_sizes: tuple[int, ...]
    _: KW_ONLY
    head_size: int | None = None
    gated: bool = False
    embedding_size: int | None = None
    embedding_params: int | None = None
    vocab_size: int = 50257
    context_length: int = 1024
    tied: bool = True
    bias: bool = True
    learned_positions: bool = True

    def __post_init__(self) -> None:
        if len(self.num_heads) != len(self.intermediate_sizes) or not self.num_heads:
            raise InputError(
                f"expected heads and intermediate sizes of the same layers, at least one, got {len(self.num_heads)} "
                f"and {len(self.intermediate_sizes)}"
            )
        if self.head_size is None and any(heads < 1 or self.hidden_size % heads for heads in self.num_heads):
            raise InputError(f"expected heads that divide {self.hidden_size}, got {self.num_heads}; or give head_size")

    @classmethod
    def from_lts(cls, row: Mapping[str, str]) -> Gpt2Like:
        """A row of a LiteTransformerSearch file.

        Columns: `n_layer, d_model, d_embed, div_val, n_token, tgt_len`; `n_head, d_inner`, one value a layer.
        Transformer-XL files read as well: module and counts are then those of a GPT-2 of the same sizes.
        """
        layers, hidden = integer(row, "n_layer"), integer(row, "d_model")
        return cls(
            hidden,
            per_layer(row, "n_head", layers),
            per_layer(row, "d_inner", layers),
            embedding_size=integer(row, "d_embed"),
            embedding_params=_adaptive_params(row),
            vocab_size=integer(row, "n_token"),
            context_length=integer(row, "tgt_len"),
        )

    @classmethod
    def from_hwgpt(cls, row: Mapping[str, str]) -> Gpt2Like:
        """A row of an HW-GPT-Bench file; `n_layer, embed_dim, bias`; `n_head, mlp_ratio`, one value a layer."""
        layers, hidden = integer(row, "n_layer"), integer(row, "embed_dim")
        return cls(
            hidden,
            per_layer(row, "n_head", layers),
            tuple(ratio * hidden for ratio in per_layer(row, "mlp_ratio", layers)),
            head_size=HWGPT_HEAD_SIZE,
            gated=True,
            vocab_size=HWGPT_VOCABULARY,
            context_length=HWGPT_CONTEXT,
            tied=False,
            bias=bool(integer(row, "bias")),
            learned_positions=False,
        )

    @property
    def shapes(self) -> Gpt2Like:
        """This value, which is its own `NetworkShapes`."""
        return self

    @cached_property
    def _decoder(self) -> Architecture:
        """The decoder inside, with the vocabulary that proxies see; its widths need not be legal in the core space."""
        blocks = tuple(
            Block(Mixer("attention", heads, heads, self.head_size or self.hidden_size // heads), self._part(wide))
            for heads, wide in zip(self.num_heads, self.intermediate_sizes, strict=True)
        )
        return Architecture(
            self.hidden_size,
            blocks,
            vocab_size=min(self.vocab_size, PROXY_VOCABULARY),
            context_length=self.context_length,
            position="none" if self.learned_positions else "rope",
            norm="layernorm",
            tied_embeddings=self.tied,
            attention_kernel="math",
        )

    def _part(self, wide: int) -> FeedForward:
        return FeedForward("swiglu", wide, "silu") if self.gated else FeedForward("ffn", wide, "gelu")

    @property
    def layers(self) -> tuple[LayerShapes, ...]:
        """The layers, matrices named as in `mimar.models`."""
        return DecoderShapes(self._decoder).layers

    @property
    def num_layers(self) -> int:
        """Layers executed."""
        return len(self.num_heads)

    @property
    def layer_sharing(self) -> int:
        """No layers are shared."""
        return 1

    @property
    def output_rank(self) -> int:
        """The smaller of embedding size and hidden size."""
        return min(self.embedding_size or self.hidden_size, self.hidden_size)

    @property
    def params(self) -> int:
        """All weights of the published model, biases and positions included."""
        return self.nonembedding_params + self._embedding_params

    @property
    def nonembedding_params(self) -> int:
        """Weights of layers and norms of the published model, biases included."""
        return DecoderShapes(self._decoder).nonembedding_params + (self._biases if self.bias else 0)

    @property
    def _biases(self) -> int:
        widths = (3 * mixer.num_heads * mixer.head_size for mixer in (block.mixer for block in self._decoder.blocks))
        inner = (1 + self.gated) * sum(self.intermediate_sizes)
        return sum(widths) + inner + 2 * self.hidden_size * self.num_layers

    @property
    def _embedding_params(self) -> int:
        if self.embedding_params is not None:
            return self.embedding_params
        size = self.embedding_size or self.hidden_size
        table = self.vocab_size * size * (1 if self.tied else 2)
        projection = 0 if size == self.hidden_size else size * self.hidden_size
        return table + projection + self.learned_positions * self.context_length * self.hidden_size

    @property
    def flops(self) -> float:
        """Operations of one forward pass over `context_length` tokens, logits at each; as `mimar.shapes.flops`."""
        tokens, size = self.context_length, self.embedding_size or self.hidden_size
        head = self.vocab_size * size + (0 if size == self.hidden_size else size * self.hidden_size)
        linear = sum(matrix.size for layer in self.layers for matrix in layer.matrices)
        return 2.0 * tokens * (linear + head) + sum(mixing_flops(b.mixer, tokens) for b in self._decoder.blocks)

    @property
    def description(self) -> str:
        """Depth, width, rank of the embeddings where it is less, heads and widths by layer, parameters."""
        part = "gated feed-forward" if self.gated else "feed-forward"
        size = "" if self.head_size is None else f" (size {self.head_size})"
        rank = self.embedding_size or self.hidden_size
        parts = (
            f"{self.num_layers} layers, hidden size {self.hidden_size}",
            *([] if rank == self.hidden_size else [f"embeddings of {rank} columns, projected"]),
            by_layer(f"heads{size}", self.num_heads),
            by_layer(part, self.intermediate_sizes),
            f"vocabulary {self.vocab_size}" + ("" if self.tied else ", untied head"),
            size_words(self),
        )
        return ", ".join(parts)

    @property
    def mixes_samples(self) -> bool:
        """Each sample is computed by itself."""
        return False

    def build(self, seed: int) -> nn.Module:
        """The module; see `Subject.build`."""
        import torch

        from mimar.bench.families._embedding import TokenEmbedding
        from mimar.models import DecoderLM, initialise

        with torch.device("meta"):  # no weights are drawn from the global generator
            model = DecoderLM(self._decoder)
            size = self.embedding_size or self.hidden_size
            positions = min(self.context_length, TOKENS) if self.learned_positions else 0
            embedding = TokenEmbedding(self._decoder.vocab_size, size, self.hidden_size, positions)
            # It stands in for a plain table: called with token ids, and its `weight` is a tied head.
            model.embedding = cast("nn.Embedding", embedding)
        model.to_empty(device="cpu")
        initialise(model, torch.Generator().manual_seed(seed))
        return model.eval()

    def draw(self, seed: int) -> Tensor:
        """Token ids (8, 64), fewer where the context is shorter."""
        import torch

        shape = (BATCH_SIZE, min(TOKENS, self.context_length))
        return torch.randint(self._decoder.vocab_size, shape, generator=torch.Generator().manual_seed(seed))

    def ones(self) -> Tensor:
        """One token: identical tokens show no more."""
        import torch

        return torch.ones(1, 1, self.hidden_size)

    def loss(self, module: nn.Module, batch: Tensor) -> Tensor:
        """Mean next-token cross-entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(module(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())


def _adaptive_params(row: Mapping[str, str]) -> int:
    """Weights of adaptive embedding, positions and tied adaptive softmax, as upstream counts them.

    Cluster i of the vocabulary has columns of size d_embed / div_val^i and a projection to d_model; the softmax shares
    the tables, and owns one projection of the first cluster, a bias a token and two cluster rows.
    """
    hidden, size = integer(row, "d_model"), integer(row, "d_embed")
    vocabulary, division = integer(row, "n_token"), integer(row, "div_val")
    projected = hidden != size or division > 1
    if division == 1:
        tables = vocabulary * size + projected * size * hidden
    else:
        cutoffs = next(cutoffs for limit, cutoffs in ADAPTIVE_CUTOFFS if vocabulary <= limit or limit == 10**9)
        edges = (0, *(cut for cut in cutoffs if cut < vocabulary), vocabulary)
        clusters = (((end - start), size // division**i) for i, (start, end) in enumerate(pairwise(edges)))
        tables = sum((tokens + hidden) * columns for tokens, columns in clusters)
    return tables + integer(row, "tgt_len") * hidden + vocabulary + 2 * (size + 1) + projected * size * hidden
