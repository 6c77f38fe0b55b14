"""A Transformer space as plain data, so that a study can state where it searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from mimar.space._json import Defaults
from mimar.space._protocol import Choice
from mimar.space._transformer import TransformerSpace
from mimar.space._variables import Domain


def space_to_json(space: TransformerSpace) -> dict[str, Any]:
    """Plain data that `space_from_json` reads back to an equal space."""
    domains = {"sizes": space.sizes, "layer": space.layer, "final": space.final}
    listed = {part: {name: list(options) for name, options in domain.items()} for part, domain in domains.items()}
    return {"scope": space.scope, "defaults": asdict(space.defaults), **listed}


def space_from_json(data: Mapping[str, Any]) -> TransformerSpace:
    """Inverse of `space_to_json`; KeyError or TypeError when the data is not of that form."""
    sizes, layer, final = (_domain(data[part]) for part in ("sizes", "layer", "final"))
    return TransformerSpace(data["scope"], Defaults(**data["defaults"]), sizes, layer, final)


def _domain(data: Mapping[str, Sequence[Any]]) -> Domain:
    return {name: tuple(cast("Sequence[Choice]", options)) for name, options in data.items()}
