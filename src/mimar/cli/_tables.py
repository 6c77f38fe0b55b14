"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimar.cli._output import say

SHOWN = 12
"""Front members printed after a search; `mimar show` prints them all."""


def print_result(path: Path, result: Mapping[str, Any]) -> None:
    """The front, then what it cost to find."""
    from mimar.cli._report import show_study

    show_study(path, as_json=False, limit=SHOWN)
    llm = result["llm"]
    say(
        f"{result['trials']} evaluated, {result['invalid']} rejected, {result['failed']} failed in "
        f"{result['seconds']:.0f} s; hypervolume {result['hypervolume']:.4f}; "
        f"LLM {llm['name']}: {llm['calls']} calls, {llm['unique_valid']} valid candidates, ${llm['cost']:.4f}"
    )
    say(f"next: mimar report {path} · mimar export {path}#ID --to hf DIR")


def print_devices(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line for each device, and one more for what it cannot run; a device without figures has its description."""
    from rich.console import Console
    from rich.table import Table

    table = Table("device", "memory GB", "GB/s", "peak TFLOP/s", "watts", "description", box=None, pad_edge=False)
    for row in rows:
        figures = ("",) * 4 if row["memory_bytes"] is None else _figures(row)
        limits = row["restrictions"] or ()
        note = f"\n[dim]{'; '.join(limits)}[/]" if len(limits) > 1 else ""
        table.add_row(row["name"], *figures, row["description"] + note)
    Console().print(table)


def _figures(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    dtype, flops = max(row["peak_flops"].items(), key=lambda item: item[1])
    return (
        f"{row['memory_bytes'] / 1e9:.1f}",
        f"{row['memory_bandwidth'] / 1e9:.0f}",
        f"{float(f'{flops / 1e12:.2g}'):g} {dtype}",
        "not known" if row["power_w"] is None else f"{row['power_w']['peak']:g}",
    )
