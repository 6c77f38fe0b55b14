"""JSON schema of the short form, as an LLM is asked to write it.

One variant for each combination of fields that belong together, each with all its fields required: a model that is held
to the schema while it writes can then not leave out the window of a sparse mixer or give heads to a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mimar.space._architecture import GATE_ACTIVATION
from mimar.space._legality import WIDTH_MULTIPLE
from mimar.space._variables import Domain, intermediate_size

Fields = dict[str, dict[str, Any]]


def architecture_schema(sizes: Domain, layer: Domain, final: Domain, context: int) -> dict[str, Any]:
    """Schema of the short form for a space with these choices; vocabulary and context are left to the user.

    context: in tokens; wider windows are left out.
    """
    layer = {**layer, "window": tuple(width for width in layer["window"] if int(width) <= context)}
    first = {"num_layers": _range(sizes["num_layers"]), "hidden_size": _enum(sizes["hidden_size"])}
    names = ("norm", "norm_placement", "topology", "layer_sharing")
    last = {"position_encoding": _enum(final["position"]), **{name: _enum(sizes[name]) for name in names}}
    if "flash" not in final["attention_kernel"]:
        last["attention_kernel"] = _enum(final["attention_kernel"])
    variants = [
        {**first, **mixer, **part, **last}
        for mixer in _mixer_variants(layer)
        for part in _feed_forward_variants(layer, sizes["hidden_size"])
    ]
    return {"anyOf": [_object(fields) for fields in variants]}


def schema_fields(schema: Mapping[str, Any]) -> Fields:
    """Every field of any variant of `schema`; a field's choices are those of all its variants together."""
    merged: Fields = {}
    for variant in schema.get("anyOf", [schema]):
        for name, rule in cast("Fields", variant["properties"]).items():
            known = merged.setdefault(name, dict(rule))
            if "enum" in rule:
                known["enum"] = list(dict.fromkeys([*known["enum"], *rule["enum"]]))
    return merged


def _mixer_variants(layer: Domain) -> list[Fields]:
    kinds = cast("tuple[str, ...]", layer["mixer"])
    heads = cast("tuple[int, ...]", layer["num_heads"])
    headed = {"num_heads": _enum(heads), "head_size": _enum(layer["head_size"])}
    grouped = {**headed, "num_kv_heads": _enum(range(1, max(heads) // 2 + 1))}
    ungrouped = [*(("multi_head", "multi_query") if "attention" in kinds else ()), *(k for k in kinds if k == "linear")]
    windowed = [kind for kind in kinds if kind in ("sliding_window", "block_sparse") and layer["window"]]
    found: list[Fields] = []
    if ungrouped:
        found.append({"attention_type": _enum(ungrouped), **headed})
    if "attention" in kinds:
        found.append({"attention_type": _enum(["grouped_query"]), **grouped})
    if windowed:
        found.append({"attention_type": _enum(windowed), **grouped, "window": _enum(layer["window"])})
    if "convolution" in kinds:
        found.append({"attention_type": _enum(["convolution"]), "kernel_size": _enum(layer["kernel_size"])})
    return found


def _feed_forward_variants(layer: Domain, hidden: tuple[Any, ...]) -> list[Fields]:
    kinds = cast("tuple[str, ...]", layer["feed_forward"])
    ratios = cast("tuple[float, ...]", layer["ratio"])
    width = {
        "type": "integer",
        "minimum": intermediate_size(min(hidden), min(ratios)),
        "maximum": intermediate_size(max(hidden), max(ratios)),
        "multipleOf": WIDTH_MULTIPLE,
    }
    dense = [*(k for k in kinds if k in GATE_ACTIVATION), *(layer["activation"] if "ffn" in kinds else ())]
    found: list[Fields] = []
    if dense:
        found.append({"intermediate_size": width, "activation": _enum(dense)})
    if "moe" in kinds:
        experts = {name: _enum(layer[name]) for name in ("activation", "num_experts", "top_k")}
        found.append({"feed_forward": _enum(["moe"]), "intermediate_size": width, **experts})
    if "none" in kinds:
        found.append({"feed_forward": _enum(["none"])})
    return found


def _object(fields: Fields) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _enum(choices: Any) -> dict[str, Any]:
    return {"enum": list(choices)}


def _range(choices: tuple[Any, ...]) -> dict[str, Any]:
    return {"type": "integer", "minimum": min(choices), "maximum": max(choices)}
