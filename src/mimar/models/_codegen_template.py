"""The template language of code generation: text in which some lines stand under a condition.

A line that ends with ``#? a b !c`` stays when the flags a and b are set and c is not; the mark itself goes. After that
``$word`` is replaced (`string.Template`). Nothing but our own templates, whole numbers and known words goes in.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from string import Template

_MARK = "#?"


def render(template: str, flags: Set[str], words: Mapping[str, str]) -> str:
    """The lines of `template` whose conditions hold, with `words` filled in; KeyError names a missing word."""
    lines = (line.partition(_MARK) for line in template.strip("\n").splitlines())
    kept = (text.rstrip() for text, _, condition in lines if _holds(condition, flags))
    return Template("\n".join(kept)).substitute(words)


def _holds(condition: str, flags: Set[str]) -> bool:
    return all((name[1:] not in flags) if name.startswith("!") else name in flags for name in condition.split())
