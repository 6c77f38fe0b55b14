"""Device profiles: what the roofline needs to know of a device, and where each figure comes from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from mimar.errors import InputError, UnknownNameError
from mimar.hardware._workload import WEIGHT_BYTES, Dtype
from mimar.space import WIDTH_MULTIPLE, Activation, FeedForwardKind, MixerKind, Norm, Position

THIS = "this"
"""Name of the profile that is measured on the machine it runs on."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Throughput:
    """Speed with weights of one dtype.

    peak_flops: FLOP/s of dense matrix products, without sparsity tricks.
    compute_efficiency: share of it that large products reach.
    bandwidth_efficiency: share of the memory bandwidth that reading weights for one token reaches.
    cache_efficiency: share of it that attention over a long KV cache reaches, all that the engine does there included.
    mixing_efficiency: share of peak_flops that work between tokens reaches, as in attention over a prompt; None where
      it is not known and taken to be as fast as large products.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    peak_flops: Positive
    compute_efficiency: Share
    bandwidth_efficiency: Share
    cache_efficiency: Share
    mixing_efficiency: Share | None = None


@dataclass(frozen=True, slots=True)
class Power:
    """Watts the device draws when it does nothing, and when it is busy all the time."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    idle_w: NotNegative
    peak_w: Positive

    def __post_init__(self) -> None:
        if self.peak_w < self.idle_w:
            raise InputError(f"power: peak_w must be at least idle_w, got {self.peak_w} and {self.idle_w}")


@dataclass(frozen=True, slots=True)
class Support:
    """What the device can run; widths (hidden, intermediate, all heads together) come in multiples of
    `width_multiple`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    mixers: frozenset[MixerKind]
    feed_forwards: frozenset[FeedForwardKind]
    activations: frozenset[Activation]
    norms: frozenset[Norm]
    positions: frozenset[Position]
    width_multiple: Annotated[int, Field(ge=1)] = WIDTH_MULTIPLE


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """One device with the engine that runs models on it.

    memory_bytes: what a model may use. memory_bandwidth: bytes/s, of the datasheet or the fastest measured.
    cache_bytes: last level. launch_overhead_s: seconds that each operator costs, however small.
    throughput: speed for each dtype of weights that the engine runs.
    sources: for each of the figures where it comes from; an estimate says so, and how it was made.
    power: None where it is not known; then there are no energy figures.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: Text
    description: Text
    engine: Text
    memory_bytes: Positive
    memory_bandwidth: Positive
    cache_bytes: NotNegative
    launch_overhead_s: NotNegative
    throughput: Annotated[Mapping[Dtype, Throughput], Field(min_length=1)] = field(hash=False)
    supports: Support
    sources: Mapping[str, Text] = field(hash=False)
    power: Power | None = None

    def __post_init__(self) -> None:
        missing = [name for name in self.figures if name not in self.sources]
        if missing:
            raise InputError(f"sources must say where each figure comes from, nothing found for {', '.join(missing)}")

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that need a source."""
        top = ("memory_bytes", "memory_bandwidth", "cache_bytes", "launch_overhead_s")
        speeds = [
            part.name
            for part in fields(Throughput)
            if any(getattr(speed, part.name) is not None for speed in self.throughput.values())
        ]
        power = () if self.power is None else ("power",)
        return (*top, *speeds, "supports", *power)

    @property
    def dtypes(self) -> tuple[Dtype, ...]:
        """Dtypes of weights that it runs."""
        return tuple(self.throughput)

    @property
    def default_dtype(self) -> Dtype:
        """The unquantised dtype with the fastest matrix products; of equals the smallest."""

        def rank(dtype: Dtype) -> tuple[bool, float, float]:
            return WEIGHT_BYTES[dtype] >= 2, self.attainable_flops(dtype), -WEIGHT_BYTES[dtype]

        return max(self.dtypes, key=rank)

    def attainable_flops(self, dtype: Dtype) -> float:
        """FLOP/s that large matrix products reach; `InputError` when it does not run `dtype`."""
        speed = self._speed(dtype)
        return speed.peak_flops * speed.compute_efficiency

    def attainable_mixing_flops(self, dtype: Dtype) -> float:
        """FLOP/s that work between tokens reaches beside weights of `dtype`; `InputError` as the others."""
        speed = self._speed(dtype)
        share = speed.compute_efficiency if speed.mixing_efficiency is None else speed.mixing_efficiency
        return speed.peak_flops * share

    def attainable_bandwidth(self, dtype: Dtype) -> float:
        """Bytes/s at which weights of `dtype` are read; `InputError` when it does not run `dtype`."""
        return self.memory_bandwidth * self._speed(dtype).bandwidth_efficiency

    def attainable_cache_bandwidth(self, dtype: Dtype) -> float:
        """Bytes/s at which the KV cache beside weights of `dtype` is read; `InputError` as the others."""
        return self.memory_bandwidth * self._speed(dtype).cache_efficiency

    def _speed(self, dtype: Dtype) -> Throughput:
        if dtype not in self.throughput:
            raise InputError(f"device {self.name} does not run {dtype} weights: use {' or '.join(self.dtypes)}")
        return self.throughput[dtype]


def profile_to_json(profile: DeviceProfile) -> dict[str, Any]:
    """Plain data that `profile_from_json` reads back to an equal profile; equal profiles give equal data."""
    data: dict[str, Any] = TypeAdapter(DeviceProfile).dump_python(profile, mode="json")
    # Every process orders sets in its own way, and a journal must not change from one to the next.
    supports = {name: sorted(v) if isinstance(v, list) else v for name, v in data["supports"].items()}
    return data | {"supports": supports}


def profile_from_json(data: Any, where: str = "device profile") -> DeviceProfile:
    """Read a profile; `InputError` names each wrong field, what was expected and what came. `where` names the file."""
    try:
        return TypeAdapter(DeviceProfile).validate_python(data)
    except ValidationError as error:
        raise InputError(f"{where}: {'; '.join(_complaints(error))}") from None
    except InputError as error:  # What `__post_init__` found.
        raise InputError(f"{where}: {error}") from None


def shipped_profile_names() -> tuple[str, ...]:
    """Names of the profile files that come with the package."""
    return tuple(sorted(Path(entry.name).stem for entry in (files("mimar.hardware") / "profiles").iterdir()))


def read_profile(name_or_path: str) -> DeviceProfile:
    """The shipped profile of that name, or the one in that TOML file; `InputError` when it cannot be read."""
    if name_or_path in shipped_profile_names():
        name, text = name_or_path, (files("mimar.hardware") / "profiles" / f"{name_or_path}.toml").read_text("utf-8")
    elif name_or_path.endswith(".toml"):
        name, text = name_or_path, _read(Path(name_or_path))
    else:
        raise UnknownNameError("device", name_or_path, (THIS, *shipped_profile_names(), "the path of a .toml file"))
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: nested deeper than any real profile
        raise InputError(f"device profile {name} is not TOML: {error}") from None
    return profile_from_json(data, f"device profile {name}")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the device profile {path}: {error}") from None


def _complaints(error: ValidationError) -> list[str]:
    """One clause for each wrong field: its path, what was expected, what came."""
    found: list[str] = []
    for item in error.errors(include_url=False):
        where = ".".join(str(step) for step in item["loc"] if step != "[key]") or "profile"
        came = "nothing" if item["type"] == "missing" else repr(item["input"])[:60]
        found.append(f"{where}: expected: {item['msg']}, got {came}")
    return found
