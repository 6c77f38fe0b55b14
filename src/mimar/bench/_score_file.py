"""Scores of single architectures in a CSV file that grows line by line, so that hours of scoring survive a stop."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimar.bench._truth import TruthRow
from mimar.errors import InputError
from mimar.proxies import Ensemble, Proxy

COLUMNS = ("id", "network", "proxy", "seed", "score")
HEADER = ",".join(COLUMNS).encode() + b"\n"

Key = tuple[str, str]
"""Digest of a network, name of a proxy."""


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """A line a score: id of the architecture in its table, digest of the network that was scored, proxy, seed, score.

    A score is found again by network, proxy and seed, so that a table may change, and one file serves any number of
    tables, one run at a time. Scores are those of the version that wrote them: begin a new file after an upgrade.
    held: what it had for `seed` when it was opened.
    """

    path: Path
    seed: int
    held: Mapping[Key, float]

    @staticmethod
    def open(path: Path, seed: int) -> ScoreFile:
        """The file at `path`, begun where there is none; a last line that was cut off is removed.

        InputError where something else is there, OSError where the file cannot be written.
        """
        content = path.read_bytes() if path.exists() else b""
        if HEADER.startswith(content):  # no file yet, or one that was stopped within its first line
            with path.open("ab") as file:
                file.write(HEADER[len(content) :])
            return ScoreFile(path, seed, {})
        whole = content[: content.rfind(b"\n") + 1]
        try:
            held = _scores_in(whole, seed)
        except (ValueError, csv.Error) as error:
            raise InputError(
                f"{path}: expected scores of ours, columns {', '.join(COLUMNS)} ({error}); choose another name"
            ) from error
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        return ScoreFile(path, seed, held)

    def scores(self, row: TruthRow, proxies: Iterable[Proxy]) -> dict[str, float]:
        """Name → score of those proxies whose score of this architecture it held."""
        network = _digest(row.subject)
        found = ((proxy.name, self.held.get((network, _name(proxy)))) for proxy in proxies)
        return {name: score for name, score in found if score is not None}

    def add(self, row: TruthRow, scores: Sequence[tuple[Proxy, float]]) -> None:
        """Append scores of one architecture."""
        if scores:
            told = (row.id, _digest(row.subject))
            with self.path.open("a", encoding="utf-8", newline="") as file:
                lines = csv.writer(file, lineterminator="\n")
                lines.writerows((*told, _name(proxy), self.seed, repr(score)) for proxy, score in scores)


def _digest(value: object) -> str:
    """Sixteen hexadecimal digits that tell frozen values, such as subjects, apart: their text says them whole."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _name(proxy: Proxy) -> str:
    """An ensemble's scores belong to the sample that it was standardised on."""
    return f"{proxy.name} {_digest(proxy.standardiser)}" if isinstance(proxy, Ensemble) else proxy.name


def _scores_in(whole: bytes, seed: int) -> dict[Key, float]:
    """Scores of `seed`; ValueError says which line is none."""
    header, *lines = csv.reader(io.StringIO(whole.decode("utf-8"), newline=""), strict=True) if whole else [[]]
    if tuple(header) != COLUMNS:
        raise ValueError("another first line")
    found: dict[Key, float] = {}
    for number, line in enumerate(lines, 2):
        if len(line) != len(COLUMNS) or not math.isfinite(float(line[-1])):
            raise ValueError(f"line {number} is none")
        _, network, proxy, of, score = line
        if of == str(seed):
            found[network, proxy] = float(score)
    return found
