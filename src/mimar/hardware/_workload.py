"""What a model is asked to do on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from mimar.errors import InputError, UnknownNameError

Dtype = Literal["fp32", "bf16", "fp16", "int8", "int4"]
"""How weights are stored."""

DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)

WEIGHT_BYTES: Final[dict[Dtype, float]] = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0, "int4": 0.5}
"""Bytes of one weight. The scales of block formats are not counted: GGUF's Q8_0 adds 6%, its Q4_0 12%."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One use of a model; `InputError` when it makes no sense.

    context: tokens of prompt and answer together that the memory must hold; decoding speed is that of the last of them.
    batch: sequences at once.
    prompt_tokens: length of each prompt, at most `context`.
    dtype: of the weights. Activations and the KV cache are fp32 with fp32 weights and 16 bit wide otherwise.
    """

    context: int = 1024
    batch: int = 1
    prompt_tokens: int = 128
    dtype: Dtype = "fp16"

    def __post_init__(self) -> None:
        for name in ("context", "batch", "prompt_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.prompt_tokens > self.context:
            raise InputError(
                f"prompt_tokens must be at most the context of {self.context} tokens, got {self.prompt_tokens}: "
                "shorten the prompt or raise the context"
            )
        if self.dtype not in DTYPES:
            raise UnknownNameError("dtype", self.dtype, DTYPES)

    @property
    def weight_bytes(self) -> float:
        """Bytes of one weight."""
        return WEIGHT_BYTES[self.dtype]

    @property
    def value_bytes(self) -> float:
        """Bytes of one activation or KV-cache entry."""
        return 4.0 if self.dtype == "fp32" else 2.0
