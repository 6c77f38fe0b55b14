"""The question that a judge is asked, and what can be read from its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, cast

from mimar.errors import ReplyError
from mimar.llm import Call, JSONValue, Message, parse_reply

LEAST_SHARE = 0.5
"""A ranking of less than this share of the list counts as no answer."""

TOKENS_OF_AN_ANSWER = 100
TOKENS_PER_NETWORK = 12
_LINE = re.compile(r"^(\d+)\. (.+)$", re.MULTILINE)
_LOOSE: Mapping[str, Any] = {"type": "object", "properties": {"ranking": {"type": "array"}}, "required": ["ranking"]}


def rank_call(setting: str, shown: Sequence[str], seed: int) -> Call:
    """The call that asks for a ranking of the networks described in `shown`, numbered from 1 in that order."""
    networks = "\n".join(f"{number}. {description}" for number, description in enumerate(shown, 1))
    prompt = _prompt("rank").substitute(count=len(shown), setting=setting, networks=networks)
    return Call(
        (Message("system", _prompt("system").template), Message("user", prompt)),
        _schema(len(shown)),
        temperature=0.0,
        seed=seed,
        max_tokens=TOKENS_OF_AN_ANSWER + TOKENS_PER_NETWORK * len(shown),
    )


def decoder_setting(context: int) -> str:
    """How the candidates of a `design` study are meant to be trained and judged, for a context of so many tokens."""
    return _prompt("decoders").substitute(context=context)


def shown_in(call: Call) -> tuple[str, ...]:
    """The descriptions that a call of `rank_call` shows, in its order."""
    return tuple(description for _, description in _LINE.findall(call.messages[-1].content))


def ranking_in(parsed: JSONValue, count: int) -> tuple[int, ...] | None:
    """Places in the list (from 0), the best first; None for no answer.

    Each number counts where it comes first; what is no number of the list is dropped. Places may be missing.
    """
    given = cast("list[Any]", parsed["ranking"]) if isinstance(parsed, dict) else []
    numbers = (n for n in given if isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= count)
    places = tuple(dict.fromkeys(number - 1 for number in numbers))
    return places if len(places) >= max(2, LEAST_SHARE * count) else None


def salvaged(reply: str, count: int) -> tuple[int, ...] | None:
    """As `ranking_in`, from the text of a reply that breaks the schema."""
    try:
        return ranking_in(parse_reply(reply, _LOOSE), count)
    except ReplyError:
        return None


def _schema(count: int) -> dict[str, Any]:
    number = {"type": "integer", "minimum": 1, "maximum": count}
    ranking = {"type": "array", "items": number, "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {"ranking": ranking},
        "required": ["ranking"],
        "additionalProperties": False,
    }


def _prompt(name: str) -> Template:
    folder = files("mimar.proxies.judge") / "prompts"
    return Template((folder / f"{name}.md").read_text(encoding="utf-8").strip())
