"""Text and tables as HTML; every text passes through `text`."""

from __future__ import annotations

import html
from collections.abc import Sequence

from mimar.errors import visible


def text(value: str) -> str:
    """`value` as HTML text or as a quoted attribute's value; also fit for XML."""
    return html.escape(visible(value), quote=True)


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts in a region that scrolls by itself on a narrow screen."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    parts = f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return scrolling(caption, f"<table>{parts}</table>")


def scrolling(label: str, markup: str) -> str:
    """`markup` in a region that scrolls sideways and takes the keyboard's focus."""
    return f'<div class="scroll" role="region" aria-label="{text(label)}" tabindex="0">{markup}</div>'


def cut(shown: int, total: int, words: str) -> str:
    """A sentence that states what the page leaves out; empty when it leaves out nothing."""
    return "" if shown == total else f'<p class="cut">{shown:,} of {total:,} {words}; the study holds all.</p>'
