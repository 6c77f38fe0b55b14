"""GGUF files: their keys and tensors (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3)."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from mimar.errors import InputError, MissingDependencyError

MAGIC: Final = b"GGUF"
ALIGNMENT: Final = 32
"""Of tensors, in bytes, where the key ``general.alignment`` says nothing."""

_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final[Mapping[int, str]] = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
"""Number of a type → numpy's name."""

_MOST_DIMENSIONS: Final = 4
_PLAIN: Final[Mapping[int, str]] = {0: "<f4", 1: "<f2", 30: "<u2"}
"""F32, F16 and BF16, the types with a number for each weight; all others have blocks, which the package gguf knows."""


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """Where a tensor lies. shape: as numpy has it, the longest stride first; kind: number of its type in ggml."""

    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class GGUFFile:
    """A GGUF file that was opened: `keys` as Python values, arrays of numbers as numpy arrays."""

    path: Path
    keys: Mapping[str, Any]
    tensors: Mapping[str, GGUFTensor]
    data: memoryview

    def weights(self, name: str) -> NDArray[np.float32]:
        """The tensor `name` as floats, of its shape.

        InputError: there is no such tensor, its type is unknown, it goes beyond the end of the file, or it holds
        something that is no number. MissingDependencyError: it is quantised and the package gguf is missing.
        """
        if name not in self.tensors:
            raise InputError(f"{self.path} has no tensor {name}")
        tensor = self.tensors[name]
        found = self._plain(name, tensor) if tensor.kind in _PLAIN else self._unpacked(name, tensor)
        if not np.isfinite(found).all():
            raise InputError(f"{self.path}: the tensor {name} holds values that are no finite numbers")
        return found

    def _plain(self, name: str, tensor: GGUFTensor) -> NDArray[np.float32]:
        dtype = _PLAIN[tensor.kind]
        found = np.frombuffer(self._bytes(name, tensor, math.prod(tensor.shape) * np.dtype(dtype).itemsize), dtype)
        # The upper half of a float32 is what BF16 keeps.
        wide = (found.astype(np.uint32) << 16).view(np.float32) if dtype == "<u2" else found.astype(np.float32)
        return wide.reshape(tensor.shape)

    def _unpacked(self, name: str, tensor: GGUFTensor) -> NDArray[np.float32]:
        try:
            import gguf
        except ImportError as error:
            raise MissingDependencyError(
                f"{self.path} is quantised, which the package gguf reads: pip install 'mimar[gguf]'"
            ) from error
        if tensor.kind not in {int(kind) for kind in gguf.GGML_QUANT_SIZES}:
            raise InputError(f"{self.path}: the tensor {name} is of the unknown type {tensor.kind}")
        kind = gguf.GGMLQuantizationType(tensor.kind)
        block, size = gguf.GGML_QUANT_SIZES[kind]
        if not tensor.shape or tensor.shape[-1] % block:
            raise InputError(f"{self.path}: rows of {name} must be multiples of {block}, got the shape {tensor.shape}")
        packed = np.frombuffer(self._bytes(name, tensor, math.prod(tensor.shape) // block * size), np.uint8)
        rows = packed.reshape(*tensor.shape[:-1], tensor.shape[-1] // block * size)
        try:
            with np.errstate(all="ignore"):  # of a damaged file: what comes out is looked at
                return gguf.dequantize(rows, kind)
        except NotImplementedError as error:
            raise InputError(f"{self.path}: {name} is {kind.name}, which cannot be read; use a Q8_0 file") from error

    def _bytes(self, name: str, tensor: GGUFTensor, length: int) -> memoryview:
        part = self.data[tensor.offset : tensor.offset + length]
        if len(part) < length:
            raise InputError(f"{self.path} ends within the tensor {name}: it is damaged, or was not downloaded whole")
        return part


def read_gguf(path: Path) -> GGUFFile:
    """Keys and places of tensors of the file at `path`; the weights stay on disk until they are asked for.

    InputError: no such file, no GGUF file, a version that is not read, or a damaged one.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                raise InputError(f"{path} is no GGUF file: it does not begin with {MAGIC.decode()}")
            data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    reader = _Reader(path, data)
    version = reader.number("<u4")
    if version not in (2, 3):
        raise InputError(f"{path} is of version {version} of GGUF, expected 2 or 3 with little-endian numbers")
    tensors, keys = reader.number("<u8"), reader.number("<u8")
    found = {reader.text(): reader.value(reader.number("<u4")) for _ in range(reader.fitting(keys, 12))}
    places = {reader.text(): reader.place() for _ in range(reader.fitting(tensors, 24))}
    alignment = found.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise InputError(f"{path}: general.alignment must be a whole number of at least 1, got {alignment!r}")
    start = -(-reader.at // alignment) * alignment
    placed = {name: GGUFTensor(place.shape, place.kind, start + place.offset) for name, place in places.items()}
    return GGUFFile(path, found, placed, data)


class _Reader:
    """Reads on from `at`; every length is compared with what is left before anything of that size is made."""

    def __init__(self, path: Path, data: memoryview) -> None:
        self.at = len(MAGIC)
        self._path, self._data = path, data

    def number(self, dtype: str) -> Any:
        """One number of numpy's `dtype`, as a Python value."""
        return np.frombuffer(self._take(np.dtype(dtype).itemsize), dtype)[0].item()

    def text(self) -> str:
        """A string."""
        return bytes(self._take(self.number("<u8"))).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """A value of the type `kind`."""
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            inner, count = self.number("<u4"), self.number("<u8")
            return self._array(inner, count)
        if kind not in _SCALARS:
            self._damaged(f"a key has the unknown type {kind}")
        return self.number(_SCALARS[kind])

    def place(self) -> GGUFTensor:
        """What follows the name of a tensor; its offset counts from the first tensor."""
        dimensions = self.number("<u4")
        if dimensions > _MOST_DIMENSIONS:
            self._damaged(f"a tensor has {dimensions} dimensions")
        shape = tuple(reversed([self.number("<u8") for _ in range(dimensions)]))
        if 0 in shape:
            self._damaged(f"a tensor has the shape {shape}")
        return GGUFTensor(shape, self.number("<u4"), self.number("<u8"))

    def fitting(self, count: int, least: int) -> int:
        """`count`, if so many things of at least `least` bytes can follow."""
        if count * least > len(self._data) - self.at:
            self._damaged(f"{count:,} entries are announced")
        return count

    def _array(self, kind: int, count: int) -> Any:
        if kind == _STRING:
            return self._texts(self.fitting(count, 8))
        if kind not in _SCALARS:
            self._damaged(f"an array is of the unknown type {kind}")
        return np.frombuffer(self._take(count * np.dtype(_SCALARS[kind]).itemsize), _SCALARS[kind])

    def _texts(self, count: int) -> list[str]:
        """Strings; vocabularies have many, so that this is what reading a file takes."""
        data, at, found = self._data, self.at, list[str]()
        for _ in range(count):
            if at + 8 > len(data):
                self._damaged("a list of strings is cut off")
            (length,) = struct.unpack_from("<Q", data, at)
            if length > len(data) - at - 8:
                self._damaged("a list of strings is cut off")
            found.append(bytes(data[at + 8 : at + 8 + length]).decode("utf-8", "replace"))
            at += 8 + length
        self.at = at
        return found

    def _take(self, length: int) -> memoryview:
        if length > len(self._data) - self.at:
            self._damaged("it ends too early")
        self.at += length
        return self._data[self.at - length : self.at]

    def _damaged(self, what: str) -> NoReturn:
        raise InputError(f"{self._path} is damaged, or was not downloaded whole: {what}")
