"""What a model's owners want to go along with it: licences, notices, terms of use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mimar.formats._gguf import read_gguf

NOTICES: Final = ("LICEN[CS]E*", "NOTICE*", "USE_POLICY*")
"""Names of their files."""

LICENCE_KEYS: Final = ("license", "license_name", "license_link")
"""In the front matter of a model card; in GGUF ``general.license`` and so on."""


def notices_in(folder: Path) -> list[Path]:
    """Their files in `folder`, sorted."""
    return sorted(path for pattern in NOTICES for path in folder.glob(pattern) if path.is_file())


def stated_licence(model: Path) -> dict[str, str]:
    """What a GGUF file, or the model card in a folder, says of `LICENCE_KEYS`; without those it says nothing of."""
    if model.is_file():
        keys = read_gguf(model).keys
        found = {name: keys.get(f"general.{name.replace('_', '.')}") for name in LICENCE_KEYS}
    else:
        found = _front_matter(model / "README.md")
    return {name: text for name in LICENCE_KEYS if (text := _words(found.get(name)))}


def _front_matter(card: Path) -> Mapping[str, Any]:
    """The YAML between the first two lines of dashes; nothing where there is none that can be read."""
    import yaml

    text = card.read_text(encoding="utf-8-sig", errors="replace") if card.is_file() else ""
    start, dashes, rest = text.partition("---\n")
    if start.strip() or not dashes:
        return {}
    try:
        found = yaml.safe_load(rest.partition("\n---")[0])
    except (yaml.YAMLError, ValueError, RecursionError):  # of a date that is none, of what is nested too deep
        return {}
    return found if isinstance(found, dict) else {}


def _words(value: Any) -> str:
    """A text, or several in a row."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_words, value)))
    return value.strip() if isinstance(value, str) else ""
