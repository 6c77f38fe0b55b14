"""How metrics are shown to people: a label, a unit and the factor between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Display:
    """A metric's label and unit for people; shown value = value × `scale`."""

    label: str
    unit: str = ""
    scale: float = 1.0

    @property
    def title(self) -> str:
        """Label with its unit, as axes and column heads carry it."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


_DISPLAYS: Final = {
    "params": Display("parameters", "M", 1e-6),
    "nonembedding_params": Display("non-embedding parameters", "M", 1e-6),
    "flops": Display("forward pass", "GFLOP", 1e-9),
    "memory_bytes": Display("memory", "MB", 1e-6),
    "ttft_s": Display("time to first token", "ms", 1e3),
    "decode_tokens_per_second": Display("decoding speed", "tok/s"),
    "energy_j_per_token": Display("energy per token", "mJ", 1e3),
    "power_w": Display("power", "W"),
    "loss": Display("loss", "nats a token"),
    "divergence": Display("divergence", "nats a token"),
    "block_params": Display("weights of layers", "M", 1e-6),
}


def display_of(metric: str) -> Display:
    """How `metric` is shown; one without an entry keeps its name and its unit."""
    if metric.startswith("loss@"):
        return Display("validation loss", "nats a token")
    return _DISPLAYS.get(metric, Display(metric))


def format_number(value: float) -> str:
    """Four significant digits; thousands are separated, millions and more carry M, G or T."""
    for factor, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if factor <= abs(value) < 1000 * factor:
            return f"{value / factor:.4g}{suffix}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def format_metric(metric: str, value: float) -> str:
    """The value in the shown unit, without it: ``format_metric("params", 135e6)`` is ``135``."""
    return format_number(value * display_of(metric).scale)
