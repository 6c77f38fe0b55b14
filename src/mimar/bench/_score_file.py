"""Scores of single architectures in a CSV file that grows line by line, so that hours of scoring survive a stop."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mimar.bench._truth import Truth, TruthRow
from mimar.errors import InputError

COLUMNS = ("truth", "id", "size", "result", "proxy", "seed", "score")
HEADER = ",".join(COLUMNS) + "\n"


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """A line a score: truth, id, size and result of the architecture, proxy, seed, score.

    One file may hold any number of truths, proxies and seeds. Scores are those of the version that wrote them: begin
    a new file after an upgrade.
    """

    path: Path

    def known(self, truth: Truth, seed: int) -> dict[tuple[str, str], float]:
        """(id, proxy) → score of what the file holds for this truth and seed; a last line that was cut off is removed.

        InputError where something else is there.
        """
        text = self.path.read_bytes().decode("utf-8", "replace") if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if HEADER.startswith(text):
            whole = HEADER
        lines = list(csv.reader(io.StringIO(whole.removeprefix(HEADER), newline="")))
        if not whole.startswith(HEADER) or any(len(line) != len(COLUMNS) for line in lines):
            raise InputError(f"{self.path}: expected scores of ours ({', '.join(COLUMNS)}); choose another name")
        if whole != text:
            self.path.write_text(whole, encoding="utf-8", newline="")
        wanted = (truth.name, str(seed))
        return {(id_, proxy): float(score) for name, id_, _, _, proxy, of, score in lines if (name, of) == wanted}

    def add(self, truth: Truth, row: TruthRow, seed: int, scores: Mapping[str, float]) -> None:
        """Append the scores of one architecture, proxy → score."""
        told = (truth.name, row.id, row.size, row.label)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerows((*told, name, seed, repr(score)) for name, score in scores.items())
