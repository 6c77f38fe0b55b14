"""Writes the generated pages: the command reference, the space's variables, the devices. `make docs` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from typer.main import get_command

from mimar.cli import app
from mimar.cli._devices import device_rows
from mimar.proxies import PROXIES
from mimar.space import Choice, TransformerSpace

DOCS = Path(__file__).parent


def _names(command: click.Command, above: str = "") -> Iterator[str]:
    """It, and the commands below it."""
    yield above
    for name, below in getattr(command, "commands", {}).items():
        yield from _names(below, f"{above} {name}".strip())


def commands() -> str:
    """Every command's help as it is printed."""
    parts = ["# Command reference\n\nMade from the commands' own help by `make docs`.\n"]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    for command in _names(get_command(app)):
        words = [*command.split(), "--help"]
        shown = subprocess.run(
            [sys.executable, "-m", "mimar", *words], check=True, capture_output=True, text=True, env=environment
        ).stdout
        named = shown.replace("python -m mimar", "mimar").strip("\n")
        lines = "\n".join(f"    {line.rstrip()}".rstrip() for line in named.splitlines())
        parts.append(f"## mimar {command}".rstrip() + f"\n\n{lines}\n")
    return "\n".join(parts)


def space() -> str:
    """Table of the space's variables and choices."""
    rows = [f"| `{name}` | {_choices(options)} |" for name, options in TransformerSpace().variables.items()]
    return "\n".join(["| variable | choices |", "|---|---|", *rows]) + "\n"


def _choices(options: tuple[Choice, ...]) -> str:
    if all(isinstance(option, int) for option in options) and len(options) > 20:
        low, step = int(options[0]), int(options[1]) - int(options[0])
        return f"{low} to {options[-1]}" + (f" in steps of {step}" if step > 1 else "")
    return ", ".join(f"{option:.4g}" if isinstance(option, float) else str(option) for option in options)


def devices() -> str:
    """Table of the shipped devices."""
    rows = [
        f"| `{row['name']}` | {row['description']} | {row['memory_bytes'] / 1e9:g} "
        f"| {row['memory_bandwidth'] / 1e9:g} | "
        f"{_power(row)} | {row['engine']} |"
        for row in device_rows()
        if row["name"] != "this"
    ]
    head = "| device | what it is | memory, GB | bandwidth, GB/s | power, W | engine |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows]) + "\n"


def _power(row: dict[str, object]) -> str:
    power = row["power_w"]
    return f"{power['idle']:g} to {power['peak']:g}" if isinstance(power, dict) else "not known"


def scores() -> str:
    """Table of the scores."""
    rows = [f"| `{p.name}` | {', '.join(sorted(p.needs))} | {p.cost} | {p.source} |" for p in PROXIES]
    return "\n".join(["| score | needs | cost | source |", "|---|---|---|---|", *rows]) + "\n"


def pages() -> dict[Path, str]:
    """File → its text, with the generated parts in place."""
    inserted = {"space.md": space(), "devices.md": devices(), "scores.md": scores()}
    found = {DOCS / "commands.md": commands()}
    for name, table in inserted.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        before, rest = text.split("<!-- generated -->\n", 1)
        after = rest.split("<!-- end -->", 1)[1]
        found[DOCS / name] = f"{before}<!-- generated -->\n{table}<!-- end -->{after}"
    return found


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
