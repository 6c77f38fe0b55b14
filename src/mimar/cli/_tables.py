"""Tables for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from mimar.cli._output import say
from mimar.errors import visible
from mimar.tasks import accuracy_words

SHOWN = 12
"""Front members printed after a search; `mimar show` prints more."""

PIPED_WIDTH = 100
"""Columns of text where no terminal says how many it has."""


def print_result(path: Path, result: Mapping[str, Any]) -> None:
    """The front, then what it cost to find."""
    from mimar.cli._report import judge_words, show_study
    from mimar.cli._training import gate_sentence

    show_study(path, as_json=False, limit=SHOWN)
    llm = result["llm"]
    say(
        f"{result['trials']} evaluated, {result['invalid']} rejected, {result['failed']} failed in "
        f"{result['seconds']:.0f} s; hypervolume {result['hypervolume']:.4f}; "
        f"LLM {llm['name']}: {llm['calls']} calls, {llm['unique_valid']} valid candidates, ${llm['cost']:.4f}"
    )
    if "judge" in llm:
        say(judge_words(llm["judge"]))
    if "gates" in result:
        say(gate_sentence(result["gates"]))
    say(f"next: mimar report {quote(str(path))} · mimar export {quote(f'{path}#ID')} --to hf DIR")


def print_figures(
    columns: Sequence[str], lines: Sequence[Sequence[str]], *, before: str, after: str, left_out: Sequence[str] = ()
) -> None:
    """Figures under their columns, the first of them names, with a sentence before and one after.

    left_out: columns that go, the first named first, where the terminal is too narrow for all; a last sentence says so.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    widths = {name: max(map(len, (name, *(line[index] for line in lines)))) + 1 for index, name in enumerate(columns)}
    full = sum(widths.values())
    console = Console(width=None if sys.stdout.isatty() else max(full, PIPED_WIDTH), highlight=False)
    gone: list[str] = []
    while full - sum(widths[name] for name in gone) > console.width and len(gone) < len(left_out):
        gone.append(left_out[len(gone)])
    shown = [index for index, name in enumerate(columns) if name not in gone]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for index in shown:
        table.add_column(columns[index], justify="right" if index else "left", no_wrap=True)
    for line in lines:
        table.add_row(*(Text(visible(line[index])) for index in shown))
    if before:
        console.print(before)
    console.print(table)
    console.print(after + (f" A wider terminal, or --json, also has {', '.join(gone)}." if gone else ""))


def markdown_figures(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The same table as Markdown, without sentences."""
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(columns)} |", "|---" + "|---:" * (len(columns) - 1) + "|", *rows])


def figure(value: float | None, form: str = ".3f") -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def short_name(text: str, texts: Collection[str]) -> str:
    """The name of a file, where no other of `texts` has it; else its path."""
    name = Path(text).name
    return name if [Path(other).name for other in texts].count(name) == 1 else text


def print_shrunk(result: Mapping[str, Any]) -> None:
    """The parent, what was chosen and what it is compared with, then what was written."""
    if "chosen" not in result:
        return
    rows = [result["parent"], result["chosen"], *result["baselines"], *result["quantized"]]
    texts, tasks = list(result["parent"]["perplexities"]), list(result["parent"]["tasks"])
    columns = ["model", "block params", "file MB", *(f"perplexity {short_name(text, texts)}" for text in texts)]
    columns += [*tasks, "prefill tokens/s", "decode tokens/s"]
    lines = [
        [
            row["kind"], f"{row['block_params'] / 1e6:.1f}M", f"{row['bytes'] / 1e6:.1f}",
            *(figure(row["perplexities"].get(text), ".2f") for text in texts),
            *(accuracy_words(row["tasks"][task]) for task in tasks),
            figure(row["prefill_tokens_per_second"], ".1f"), figure(row["decode_tokens_per_second"], ".1f"),
        ]
        for row in rows
    ]  # fmt: skip
    spent = result["layer_forwards"]
    print_figures(
        columns, lines, before="", left_out=("prefill tokens/s",),
        after=f"{result['trials']} sub-networks judged, {spent['spent']:,} layers run where one by one it would have "
        f"been {spent['naive']:,}; {result['seconds']:.0f} s.",
    )  # fmt: skip
    if healing := result["healing"]:
        before, after = healing["before"]["perplexity"], result["chosen"]["perplexity"]
        said = f"; its perplexity went from {before:.2f} to {after:.2f}" if before and after else ""
        say(f"learnt from the parent on {healing['tokens']:,} tokens in {healing['seconds']:.0f} s{said}")
    for export in result["exports"]:
        say(f"wrote {export['path']}" if export["path"] else f"not written: {export['form']}")
        for engine, verdict in export["verdicts"].items():
            say(f"  {engine}: {verdict}")


def print_devices(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line for each device, and one more for what it cannot run; a device without figures has its description."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("device", "memory GB", "GB/s", "peak TFLOP/s", "watts", "description", box=None, pad_edge=False)
    for row in rows:
        figures = ("",) * 4 if row["memory_bytes"] is None else _figures(row)
        limits = row["restrictions"] or ()
        note = Text(f"\n{'; '.join(map(visible, limits))}" if len(limits) > 1 else "", "dim")
        table.add_row(row["name"], *figures, Text(visible(row["description"])) + note)
    Console().print(table)


TRAITS = ("data_free", "hardware_aware", "reflection", "multi_round", "code_generation")
TRAITS_LEGEND = (
    "data free: no predictor is fitted to evaluated candidates. hardware aware: what the device costs steers what is "
    "proposed, beyond the budgets, which all keep. reflection: conclusions are drawn from results in words. multi "
    "round: earlier results steer what comes later. code generation: the LLM is shown candidates as generated code. "
    "llm: whether one is asked. NAME:ARM stands for --strategy NAME --arm ARM. knapsack is for mimar "
    "shrink alone, darts for mimar design."
)


def print_strategies(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, str]]) -> None:
    """One line for each strategy, ✓ for what it declares; others: of other packages, by name."""
    columns = ("strategy", *(name.replace("_", " ") for name in TRAITS), "llm")
    lines = [(row["name"], *("✓" if row[name] else "·" for name in TRAITS), row["llm"]) for row in rows]
    arms = "".join(f"\nArms of {row['name']}: {', '.join(row['arms'])}." for row in rows if row["arms"])
    arms += "".join(f"\nOf another package: {row['name']} ({row['package']})." for row in others)
    print_figures(columns, lines, before="", after=TRAITS_LEGEND + arms, left_out=("code generation",))


def _figures(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    dtype, flops = max(row["peak_flops"].items(), key=lambda item: item[1])
    return (
        f"{row['memory_bytes'] / 1e9:.1f}",
        f"{row['memory_bandwidth'] / 1e9:.0f}",
        f"{float(f'{flops / 1e12:.2g}'):g} {dtype}",
        "not known" if row["power_w"] is None else f"{row['power_w']['peak']:g}",
    )
