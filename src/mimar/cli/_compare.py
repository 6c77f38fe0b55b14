"""`mimar compare`: study files → one table, and a picture of how each got there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimar.cli._output import say
from mimar.cli._settings import DesignSettings
from mimar.cli._strategies import VARIANTS
from mimar.cli._study_file import StudyFile, is_study, open_study
from mimar.cli._tables import print_figures
from mimar.errors import InputError
from mimar.export import written_aside
from mimar.report import Comparison, Contender, compare, format_metric, lines_svg
from mimar.space import Architecture, architecture_to_json

MAKES_THE_PROBLEM = ("space", "device", "workload", "budgets", "score", "score_data", "training")
"""Settings that say what is searched for; studies that differ in them are compared, and it is said."""

SCORED_APART = (
    "its scores mean something in one study alone, since each study holds them to a sample of its own: compare what "
    "they found by another metric"
)


def compare_studies(paths: Sequence[Path], out: Path | None) -> dict[str, Any]:
    """Compare the studies at `paths`, write the picture where `out` says so; returns the comparison as plain data."""
    if out is not None and out.suffix != ".svg":
        raise InputError(f"--out is a picture: expected a name that ends in .svg, got {out}")
    if out is not None and is_study(out):
        raise InputError(f"--out {out} is a study: choose another file")
    studies = [open_study(path) for path in paths]
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"expected different studies to compare, got one twice among {', '.join(map(str, paths))}")
    found = compare([_contender(study) for study in studies])
    differing = _differing(studies)
    if differing:
        say(f"note: these studies differ in {', '.join(differing)} as well, not in how they search alone")
    if "score_data" in differing:
        say(f"note: {studies[0].settings.score}: {SCORED_APART}")
    if out is not None:
        with written_aside(out) as aside:
            aside.write_text(_picture(found), encoding="utf-8")
        say(f"wrote {out}")
    return {**found.to_json(), "differ_in": differing}


def print_comparison(result: Mapping[str, Any]) -> None:
    """A row a study, then a row a group where a group has several."""
    objectives = list(result["studies"][0]["best"])
    print_figures(
        ("study", "group", "evaluated", "hypervolume", "at its end", "of the joint front", *map(_best, objectives)),
        [
            (
                row["name"], row["group"], f"{row['evaluated']:,}", f"{row['hypervolume']:.4f}", f"{row['final']:.4f}",
                str(row["on_front"]), *(format_metric(name, row["best"][name]) for name in objectives),
            )
            for row in result["studies"]
        ],
        before="", after=f"hypervolume: after {result['evaluations']:,} evaluations each, in one frame for all.",
        left_out=("of the joint front", *map(_best, objectives)),
    )  # fmt: skip
    if len(result["groups"]) < len(result["studies"]):
        print_figures(
            ("group", "studies", "median", "least", "most", "wins", "p"),
            [
                (
                    row["group"], str(row["studies"]), *(f"{row[name]:.4f}" for name in ("median", "low", "high")),
                    _share(row["wins"]), _share(row["p_value"]),
                )
                for row in result["groups"]
            ],
            before="",
            after="wins: chance to beat a study of the best group. p: rank test against that group (Mann and Whitney), "
            "two-sided, not corrected for the number of groups; a group of one study has none.",
        )  # fmt: skip


def _contender(study: StudyFile) -> Contender:
    return Contender(str(study.path), _group(study.settings), study.objectives, study.trials)


def _group(settings: DesignSettings) -> str:
    """How it searches, whatever the seed."""
    weights = ",".join(f"{name}={weight:g}" for name, weight in settings.weights.items())
    gates = "" if settings.training is None else ",".join(map(str, settings.training.gates))
    arm = settings.arm or next(iter(VARIANTS.get(settings.strategy, ())), "")
    parts = (
        settings.strategy, arm, weights, "" if settings.llm == "none" else settings.llm,
        "anonymised" if settings.anonymise else "", f"from {_short(settings.start)}" if settings.start else "",
        f"gates {gates}" if gates else "",
    )  # fmt: skip
    return " · ".join(part for part in parts if part)


def _short(start: Architecture) -> str:
    """A name of few letters, the same wherever its file lies."""
    return hashlib.sha256(json.dumps(architecture_to_json(start), sort_keys=True).encode()).hexdigest()[:6]


def _differing(studies: Sequence[StudyFile]) -> list[str]:
    problems = [_problem(study.settings) for study in studies]
    return [name for name in MAKES_THE_PROBLEM if any(each.get(name) != problems[0].get(name) for each in problems)]


def _problem(settings: DesignSettings) -> dict[str, Any]:
    """Without what is no part of it: gates are a way to search, and a text is known by its hash wherever it lies; what
    a score compares with counts where it is an objective.
    """
    data = settings.to_json()
    if "score" not in settings.objectives:
        del data["score_data"]
    if training := data.get("training"):
        data["training"] = {name: training[name] for name in ("tokens", "context", "batch_tokens", "sha256")}
    return data


def _picture(found: Comparison) -> str:
    stems = [Path(name).stem for name in found.curves]
    lines = {
        (Path(name).stem if stems.count(Path(name).stem) == 1 else name): [
            (float(number), value) for number, value in enumerate(curve, 1)
        ]
        for name, curve in found.curves.items()
    }
    return lines_svg("Hypervolume of each study, in one frame", "evaluations", "hypervolume", lines)


def _best(metric: str) -> str:
    return f"best {metric}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
