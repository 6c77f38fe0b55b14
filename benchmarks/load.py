"""What a study costs as it grows: one long search, and its file cut to smaller sizes.

    python benchmarks/load.py [--trials 100000] [--strategy nsga2] [--study FILE] [--json FILE] [--out FILE.svg]

Overhead is what the search took beyond its evaluations (asking, telling, storing, being durable), told by the file
itself: each event holds when it was written, each trial how long its evaluation took. --study: kept, and taken as it
is where it is there already.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

MIMAR = (sys.executable, "-m", "mimar")
SHOW_ONLY = """
import sys, time
from pathlib import Path
from rich.console import Console
from mimar.cli._report import report_data
from mimar.cli._study_file import open_study, uncollected
from mimar.report import front_table
with uncollected():
    study = open_study(Path(sys.argv[1]))
    begin = time.perf_counter()
    Console(file=sys.stderr).print(front_table(report_data(study), 100))
    print(time.perf_counter() - begin)
"""


@dataclass(frozen=True)
class Row:
    """What a study of `trials` costs.

    overhead_ms: a trial, over the last tenth of them. file_mb, page_mb: of the study and of its report. show_s,
    report_s: whole commands, from their start; shown_s: of the first, what comes after the file was read. show_mb,
    report_mb: memory at most.
    """

    trials: int
    overhead_ms: float
    file_mb: float
    show_s: float
    shown_s: float
    show_mb: float
    report_s: float
    report_mb: float
    page_mb: float


def measured(command: Sequence[str]) -> tuple[float, float]:
    """Seconds and megabytes of memory that a command takes."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1e3


def row(study: Path, trials: int, folder: Path) -> Row:
    """Of the first `trials` of a study."""
    part, page = folder / "part.db", folder / "part.html"
    with closing(sqlite3.connect(study)) as whole, closing(sqlite3.connect(part)) as db, db:
        whole.backup(db)
        (last,) = db.execute(
            "SELECT position FROM events WHERE kind = 'trial' ORDER BY position LIMIT 1 OFFSET ?", (trials - 1,)
        ).fetchone()
        db.execute("DELETE FROM events WHERE position > ?", (last,))
    with closing(sqlite3.connect(part)) as db:
        db.execute("VACUUM")
        overhead = overhead_of(db, trials - trials // 10, trials)
    show_s, show_mb = measured([*MIMAR, "show", str(part)])
    report_s, report_mb = measured([*MIMAR, "report", str(part), "--out", str(page)])
    told = subprocess.run([sys.executable, "-c", SHOW_ONLY, str(part)], check=True, capture_output=True, text=True)
    sizes = part.stat().st_size / 1e6, page.stat().st_size / 1e6
    return Row(
        trials, 1e3 * overhead, sizes[0], show_s, float(told.stdout), show_mb, report_s, report_mb, sizes[1]
    )  # fmt: skip


def overhead_of(db: sqlite3.Connection, first: int, end: int) -> float:
    """Seconds a trial beyond its evaluation, of the trials from `first` to before `end`."""
    rows = db.execute(
        "SELECT written_at, json_extract(body, '$.seconds') FROM events WHERE kind = 'trial' "
        "ORDER BY position LIMIT ? OFFSET ?",
        (end - first + 1, first - 1),
    ).fetchall()
    return (rows[-1][0] - rows[0][0] - sum(seconds for _, seconds in rows[1:])) / (len(rows) - 1)


MEMORY_MB = 1000.0
"""At most, of any command."""

BOUNDS = {"shown_s": 1.0, "report_s": 10.0, "page_mb": 15.0, "show_mb": MEMORY_MB, "report_mb": MEMORY_MB}
"""What a study costs at most, whatever its size."""

STEADY = 2.0
"""How much more a trial costs in one study than in another, from 3,000 trials on: the first meet every size anew."""


def broken_bounds(rows: Sequence[Row]) -> list[str]:
    """A sentence for each."""
    found = [
        f"{each.trials:,} trials: {name} is {getattr(each, name):.2f}, at most {most:g}"
        for each in rows
        for name, most in BOUNDS.items()
        if getattr(each, name) > most
    ]
    overheads = [each.overhead_ms for each in rows if each.trials >= 3000]
    if overheads and max(overheads) > STEADY * min(overheads):
        found.append(f"overhead from {min(overheads):.1f} to {max(overheads):.1f} ms a trial")
    return found


def sizes_up_to(trials: int) -> list[int]:
    """1,000, 3,000, 10,000 and so on, and all."""
    steps = [first * 10**power for power in range(3, 7) for first in (1, 3)]
    return [*(step for step in steps if step < trials), trials]


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    head = "| trials | overhead a trial | file | show | after reading | memory | report | memory | page |"
    lines = [
        f"| {each.trials:,} | {each.overhead_ms:.1f} ms | {each.file_mb:.1f} MB | {each.show_s:.1f} s | "
        f"{each.shown_s:.2f} s | {each.show_mb:.0f} MB | {each.report_s:.1f} s | {each.report_mb:.0f} MB | "
        f"{each.page_mb:.1f} MB |"
        for each in rows
    ]
    return "\n".join([head, "|" + "---:|" * 9, *lines])


def drawn(rows: Sequence[Row]) -> str:
    """All of it over the number of trials, each beside what it was for the fewest."""
    from mimar.report import lines_svg

    names = {
        "overhead_ms": "overhead a trial", "show_s": "seconds of show", "report_s": "seconds of report",
        "report_mb": "memory of report", "page_mb": "size of the page",
    }  # fmt: skip
    lines = {
        name: [(float(each.trials), getattr(each, field) / getattr(rows[0], field)) for each in rows]
        for field, name in names.items()
    }
    return lines_svg(f"What a study costs, beside one of {rows[0].trials:,} trials", "trials", "times", lines)


AGAIN = 8
"""Trials more, of a search that goes on."""


def until(trials: int, study: Path) -> list[str]:
    """Options of a search."""
    return ["--trials", str(trials), "--study", str(study)]


def main() -> None:
    """Search, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--strategy", default="nsga2")
    parser.add_argument("--study", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        study, memories = asked.study or Path(scratch, "s.db"), dict[str, float]()
        if not study.exists():
            wanted = ["--strategy", asked.strategy, "--device", "laptop-cpu", "--max-params", "60M"]
            seconds, memory = measured([*MIMAR, "design", *wanted, *until(asked.trials, study)])
            memories["the search"] = memory
            print(f"the search of {asked.trials:,} trials took {seconds:.0f} s and {memory:.0f} MB of memory")
        with closing(sqlite3.connect(study)) as db:
            (held,) = db.execute("SELECT count(*) FROM events WHERE kind = 'trial'").fetchone()
        if held < max(asked.trials, 1000):
            parser.error(f"at least 1,000 trials, and as many as the study holds: it has {held:,}")
        rows = [row(study, size, Path(scratch)) for size in sizes_up_to(asked.trials)]
        more = Path(shutil.copy(study, Path(scratch, "more.db")))
        seconds, memories["going on"] = measured([*MIMAR, "design", "--resume", *until(asked.trials + AGAIN, more)])
        print(f"going on with {AGAIN} trials took {seconds:.0f} s and {memories['going on']:.0f} MB of memory\n")
    print(table(rows))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(each) for each in rows], indent=2) + "\n")
    if asked.out:
        asked.out.write_text(drawn(rows), encoding="utf-8")
    large = [f"{name} took {memory:.0f} MB of memory" for name, memory in memories.items() if memory > MEMORY_MB]
    if broken := [*broken_bounds(rows), *large]:
        raise SystemExit("\n".join(["beyond its bounds:", *broken]))


if __name__ == "__main__":
    main()
