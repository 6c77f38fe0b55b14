"""The marks that pictures are made of, as SVG; points are in pixels from the top left."""

from __future__ import annotations

from collections.abc import Iterable

from mimar.report._html import text

INK, SOFT, GRID, FAINT = "#1d2329", "#59636e", "#e3e7ea", "#9aa4ae"


def picture(title: str, size: tuple[int, int], marks: Iterable[str]) -> str:
    """A picture on its own light card, so that it reads on a light and on a dark page alike."""
    width, height = size
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{text(title)}" font-family="system-ui, sans-serif" '
            'font-size="14">',
            f"<title>{text(title)}</title>",
            f'<rect width="{width}" height="{height}" rx="12" fill="#ffffff" stroke="#d5dade"/>',
            *marks,
            "</svg>\n",
        )
    )


def label(words: str, at: tuple[float, float], fill: str, anchor: str = "start", extra: str = "") -> str:
    """Words at a point of their base line; extra: further attributes."""
    return f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" fill="{fill}" text-anchor="{anchor}" {extra}>{text(words)}</text>'


def dot(at: tuple[float, float], radius: float, fill: str, opacity: float) -> str:
    """A disc."""
    return f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}" fill="{fill}" fill-opacity="{opacity}"/>'


def line(start: tuple[float, float], end: tuple[float, float], stroke: str, dashes: str = "none") -> str:
    """A straight line."""
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'stroke="{stroke}" stroke-dasharray="{dashes}"/>'
    )


def shade(corner: tuple[float, float], opposite: tuple[float, float], fill: str) -> str:
    """A faint rectangle from its top left to its bottom right."""
    width, height = opposite[0] - corner[0], opposite[1] - corner[1]
    return (
        f'<rect x="{corner[0]:.1f}" y="{corner[1]:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{fill}" fill-opacity="0.08"/>'
    )
