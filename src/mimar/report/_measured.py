"""Models that a shrink run found, was given and compares with, as pictures of quality against bytes and as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mimar.report._axis import axis_over
from mimar.report._display import format_number
from mimar.report._frame import Box, Frame
from mimar.report._html import table
from mimar.report._marks import FAINT, INK, dot, label, line, picture
from mimar.report._names import diamonds

WIDTH, HEIGHT = 860, 480
INNER: Final[Box] = (78, 64, WIDTH - 24, HEIGHT - 60)

_FOUND, _GIVEN, _ROUNDED = "#0b6bb5", "#7a3e9d", "#2e7d32"

Figure = tuple[float, float]
"""A value and its standard error, 0 where it has none."""


@dataclass(frozen=True, slots=True)
class MeasuredModel:
    """name: for people. found: by the search. rounded: to fewer bits than the others. bytes: of its file. figures: text
    or task → value; of texts the perplexity, of tasks the share of right answers.
    """

    name: str
    found: bool
    rounded: bool
    bytes: float
    figures: Mapping[str, Figure]
    tokens_per_second: tuple[float, float | None] | None = None
    """Decoding, measured; and what was expected of the same engine, None where nothing was."""


@dataclass(frozen=True, slots=True)
class Measured:
    """models: in the order of the table. tasks: names of figures of which more is better."""

    models: tuple[MeasuredModel, ...]
    tasks: tuple[str, ...]


def measured_section(measured: Measured | None) -> str:
    """A picture for each text and task, and all figures in a table; empty where nothing was measured."""
    if measured is None or not measured.models:
        return ""
    names = list(dict.fromkeys(name for model in measured.models for name in model.figures))
    pictures = "".join(f"<figure>{quality_svg(measured, name)}</figure>" for name in names)
    return (
        '<section aria-labelledby="measured-heading"><h2 id="measured-heading">Measured models</h2>'
        "<p>Quality against bytes of the file, with the front of what the search found, and of all, models rounded to "
        "fewer bits among them. Bars are one standard error to each side.</p>"
        f"{pictures}{_table(measured, names)}</section>"
    )


def quality_svg(measured: Measured, name: str) -> str:
    """One text or task: every model that has the figure, and the two fronts."""
    models = [model for model in measured.models if name in model.figures]
    better = 1 if name in measured.tasks else -1
    ends = [end for model in models for end in _ends(model.figures[name])]
    frame = Frame(axis_over(model.bytes / 1e6 for model in models), axis_over(ends), INNER)

    def at(model: MeasuredModel) -> tuple[float, float]:
        return frame.point(model.bytes / 1e6, model.figures[name][0])

    found = [model for model in models if model.found]
    plain = {model.name: at(model) for model in models if not (model.found or model.rounded)}
    rounded = {model.name: at(model) for model in models if model.rounded}
    what = f"{name}, share of right answers" if better > 0 else f"perplexity of {name}"
    marks = [
        *frame.grid("file (MB)", what),
        *_stairs(found, at, better, (_FOUND, "none")),
        *(_stairs(models, at, better, (_ROUNDED, "6 4")) if rounded else ()),
        *(mark for model in models for mark in _bar(frame, model, name)),
        *(dot(at(model), 5.5, _FOUND, 1) for model in found),
        *diamonds(plain, INNER, _GIVEN),
        *diamonds(rounded, INNER, _ROUNDED),
        *_legend(bool(rounded)),
    ]
    return picture(f"{what} against the size of the file", (WIDTH, HEIGHT), marks)


def _ends(figure: Figure) -> tuple[float, float]:
    value, error = figure
    return value - error, value + error


def _bar(frame: Frame, model: MeasuredModel, name: str) -> Iterator[str]:
    if model.figures[name][1]:
        low, high = (frame.point(model.bytes / 1e6, end) for end in _ends(model.figures[name]))
        yield line(low, high, FAINT)


def _stairs(
    models: Sequence[MeasuredModel],
    at: Callable[[MeasuredModel], tuple[float, float]],
    better: int,
    stroke: tuple[str, str],
) -> Iterator[str]:
    """Through the models that no smaller one is as good as; points in pixels, where up is less."""
    best, path = float("inf"), ""
    for x, y in sorted(map(at, models), key=lambda point: (point[0], better * point[1])):
        if better * y < best:
            path += f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f},{y:.1f}"
            best = better * y
    colour, dashes = stroke
    if "H" in path:
        yield (
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-opacity="0.5" '
            f'stroke-dasharray="{dashes}"/>'
        )


def _legend(rounded: bool) -> Iterator[str]:
    y, left = 34, INNER[0]
    yield dot((left + 4, y - 5), 5.5, _FOUND, 1)
    yield label("found, and its front", (left + 16, y), INK)
    if rounded:
        yield line((left + 190, y - 5), (left + 220, y - 5), _ROUNDED, "6 4")
        yield label("front of all, fewer bits among them", (left + 228, y), INK)


def _table(measured: Measured, names: Sequence[str]) -> str:
    heads = ("model", "file, MB", *names, "decoding, tok/s", "expected")
    rows = [
        (
            model.name,
            format_number(model.bytes / 1e6),
            *(_shown(model.figures.get(name)) for name in names),
            *("" if value is None else format_number(value) for value in model.tokens_per_second or (None, None)),
        )
        for model in measured.models
    ]
    return table("Parent, found models, baselines, and both at fewer bits.", heads, rows)


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return ""
    value, error = figure
    return f"{format_number(value)} ± {format_number(error)}" if error else format_number(value)
