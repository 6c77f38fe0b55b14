"""The part of JSON Schema that replies are checked against.

Keywords: type (one or a list), properties, required, additionalProperties, items, minItems, maxItems, enum, const,
minimum, maximum, multipleOf, anyOf. Any other keyword is ignored. Stricter than the standard in one point: 12.0 is
no integer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from mimar.errors import UnknownNameError

from ._protocol import JSONValue

_TYPES: dict[str, Callable[[object], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def schema_error(value: JSONValue, schema: Mapping[str, Any], path: str = "$") -> str | None:
    """The first way in which `value` breaks `schema`, as "path: expected …, got …"; None when it satisfies it.

    Raises `UnknownNameError` for a schema with a type that JSON does not have.
    """
    expected = _expectation(value, schema)
    if expected is not None:
        return f"{path}: expected {expected}, got {_short(value)}"
    if isinstance(value, dict):
        return _object_error(value, schema, path)
    if isinstance(value, list):
        return _array_error(value, schema, path)
    return None


def _expectation(value: JSONValue, schema: Mapping[str, Any]) -> str | None:
    """What `schema` wants of the value itself, its parts aside, if it does not have it."""
    types = schema.get("type", [])
    types = cast("list[str]", [types] if isinstance(types, str) else types)
    if not _TYPES.keys() >= set(types):
        raise UnknownNameError("type in a JSON schema", str(schema["type"]), tuple(_TYPES))
    if types and not any(_TYPES[name](value) for name in types):
        return " or ".join(types)
    if "const" in schema and _canonical(value) != _canonical(schema["const"]):
        return json.dumps(schema["const"])
    if "enum" in schema and _canonical(value) not in map(_canonical, schema["enum"]):
        return f"one of {', '.join(map(json.dumps, schema['enum']))}"
    if _TYPES["number"](value):
        number = cast("float", value)
        if number < schema.get("minimum", number):
            return f"at least {schema['minimum']}"
        if number > schema.get("maximum", number):
            return f"at most {schema['maximum']}"
        if "multipleOf" in schema and number % schema["multipleOf"]:
            return f"a multiple of {schema['multipleOf']}"
    options = cast("list[Mapping[str, Any]]", schema.get("anyOf", []))
    reasons = [schema_error(value, option) for option in options]
    if reasons and None not in reasons:
        return f"one of {len(options)} alternatives ({'; '.join(str(reason) for reason in reasons)})"
    return None


def _object_error(value: dict[str, Any], schema: Mapping[str, Any], path: str) -> str | None:
    missing = [name for name in schema.get("required", []) if name not in value]
    if missing:
        return f"{path}: expected the fields {', '.join(missing)}, got {_short(value)}"
    properties = cast("Mapping[str, Mapping[str, Any]]", schema.get("properties", {}))
    others = schema.get("additionalProperties", True)
    for name, part in value.items():
        if name in properties:
            rule = properties[name]
        elif others is False:
            return f"{path}: expected only the fields {', '.join(properties)}, got {_short(name)}"
        else:
            rule = cast("Mapping[str, Any]", {} if others is True else others)
        error = schema_error(part, rule, f"{path}.{name}")
        if error is not None:
            return error
    return None


def _array_error(value: list[Any], schema: Mapping[str, Any], path: str) -> str | None:
    fewest, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
    if len(value) < fewest:
        return f"{path}: expected at least {fewest} items, got {len(value)}"
    if len(value) > most:
        return f"{path}: expected at most {most} items, got {len(value)}"
    rule = cast("Mapping[str, Any]", schema.get("items", {}))
    errors = (schema_error(part, rule, f"{path}[{index}]") for index, part in enumerate(value))
    return next((error for error in errors if error is not None), None)


def _canonical(value: object) -> str:
    """Equality of JSON values: Python alone would hold True equal to 1."""
    return json.dumps(value, sort_keys=True)


def _short(value: object, limit: int = 80) -> str:
    text = json.dumps(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
