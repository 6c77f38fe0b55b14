"""Reads typed fields from untrusted JSON and gathers every complaint, instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

LARGEST: Final = 2**53
"""Whole numbers beyond this are refused: JSON readers disagree on them (RFC 8259, section 6)."""


class FieldReader:
    """Takes fields out of a JSON object; `reasons` collects what was wrong, `leftover()` names unknown fields."""

    def __init__(self, data: Any, where: str, reasons: list[str]) -> None:
        self._where = where
        self.reasons = reasons
        self._is_object = isinstance(data, Mapping)
        self._data: Mapping[str, Any] = cast("Mapping[str, Any]", data) if self._is_object else {}
        self._seen: set[str] = set()
        if not self._is_object:
            reasons.append(f"{where}expected a JSON object, got {_kind(data)}")

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def raw(self, name: str) -> Any:
        """The field as it is, None when absent."""
        self._seen.add(name)
        return self._data.get(name)

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number; booleans and fractions are refused."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
            return self._refuse(name, "a whole number", value, 0)
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
            return self._refuse(name, "a number", value, 0.0)
        return float(value)

    def boolean(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._take(name, default)
        return value if isinstance(value, bool) else self._refuse(name, "true or false", value, default)

    def word(self, name: str, words: Sequence[str], default: str | None = None) -> str:
        """One of the `words`."""
        value = self._take(name, default)
        if value not in words:
            return self._refuse(name, f"one of {', '.join(words)}", value, words[0])
        return cast("str", value)

    def leftover(self, allowed: Iterable[str] = ()) -> None:
        """Complains about every field that was never asked for."""
        for name in self._data:
            if name not in self._seen and name not in tuple(allowed):
                self.reasons.append(f"{self._where}unknown field {str(name)[:40]!r}")

    def _take(self, name: str, default: Any) -> Any:
        self._seen.add(name)
        return self._data.get(name, default)

    def _refuse(self, name: str, expected: str, value: Any, fallback: Any) -> Any:
        if self._is_object:  # else one complaint is enough
            self.reasons.append(f"{self._where}{name} must be {expected}, got {_shown(value)}")
        return fallback


def _shown(value: Any) -> str:
    """Short text for a wrong value; containers and huge numbers by their kind, since their text has no bound."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number beyond 2^53"
    return repr(value)[:40] if isinstance(value, str | int | float) else _kind(value)


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "a text", int: "a number", float: "a number", bool: "a boolean"}
    return "nothing" if value is None else names.get(cast("type[Any]", type(value)), type(value).__name__)
