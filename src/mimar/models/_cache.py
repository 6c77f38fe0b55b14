"""What generation remembers between calls, so that a new token costs one step and not the whole text."""

from __future__ import annotations

from typing import final

from torch import Tensor


@final
class LayerCache:
    """Memory of one executed layer; its mixer decides what the tensors are, and replaces them at each call.

    Softmax attention: keys and values (batch, kv heads, kept, head_size), only those that the next token can see.
    Linear attention: one state (batch, kv heads, head_size, head_size + 1). Convolution: the last kernel_size − 1
    values (batch, hidden, kernel_size − 1). Empty before the first call.
    """

    def __init__(self) -> None:
        self.tensors: tuple[Tensor, ...] = ()

    def keep(self, *tensors: Tensor) -> None:
        """Remember `tensors`; a small part of a larger tensor is copied, as it would keep all of that alive."""
        self.tensors = tuple(
            tensor.clone() if tensor.untyped_storage().nbytes() > 2 * tensor.nbytes else tensor for tensor in tensors
        )


@final
class Cache:
    """Memory of a whole model for one batch of texts; `DecoderLM.new_cache` makes an empty one.

    length: tokens seen so far.
    layers: one memory for each executed layer; layers that share weights do not share it.
    """

    def __init__(self, num_layers: int) -> None:
        self.length = 0
        self.layers = [LayerCache() for _ in range(num_layers)]

    @property
    def nbytes(self) -> int:
        """Bytes that the remembered tensors need."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer.tensors)
