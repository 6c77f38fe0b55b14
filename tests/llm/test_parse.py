from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimar.errors import ReplyError, UnknownNameError
from mimar.llm import BilledReplyError, Usage, parse_reply, read_reply, schema_error

LAYERS = {"type": "object", "properties": {"layers": {"type": "integer", "minimum": 2}}, "required": ["layers"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CONTAINERS = st.lists(JSON, max_size=4) | st.dictionaries(st.text(), JSON, max_size=4)


@given(JSON)
def test_any_json_text_parses_to_itself(value):
    assert parse_reply(json.dumps(value), {}) == value


@given(CONTAINERS)
def test_a_value_amid_prose_or_in_a_fence_is_found(value):
    text = json.dumps(value)
    assert parse_reply(f"Here you are:\n{text}\nGood luck!", {}) == value
    assert parse_reply(f"Thoughts [see below] first.\n```json\n{text}\n```\nDone.", {}) == value


@given(st.text())
def test_any_text_gives_a_value_or_a_reply_error(text):
    try:
        value = parse_reply(text, LAYERS)
    except ReplyError as error:
        value = {"layers": 2 if error.reply == text else 0}
    assert value["layers"] >= 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "an empty reply"),
        ("  \n", "an empty reply"),
        ("Twelve layers, I think.", "got 'Twelve layers"),
        ('{"layers": 12', "broken or truncated"),
        ('{"layers": 12,}', "broken or truncated"),
        ('{"layers": NaN}', "NaN is not JSON"),
        ('{"depth": 12}', r"\$: expected the fields layers"),
        ('{"layers": 1}', r"\$.layers: expected at least 2, got 1"),
        ('{"layers": true}', r"\$.layers: expected integer, got true"),
        ('{"layers": 12.0}', r"\$.layers: expected integer, got 12.0"),
        ('{"layers": "12"}', r'\$.layers: expected integer, got "12"'),
        ("[12]", r"\$: expected object, got \[12\]"),
        ("[" * 100_000, "expected JSON"),
        ("9" * 10_000, "expected JSON"),
        ("```" + "\n" * 300_000, "expected JSON"),  # in a moment, not in hours
    ],
)
def test_unusable_replies_say_what_came(text, reason):
    with pytest.raises(ReplyError, match=reason) as caught:
        parse_reply(text, LAYERS)
    assert caught.value.reply == text


def test_a_part_of_a_truncated_value_is_not_taken_for_the_whole():
    with pytest.raises(ReplyError, match="truncated"):
        parse_reply('{"items": [{"layers": 3}, {"lay', {"type": "object"})


def test_the_first_value_that_fits_is_taken():
    assert parse_reply('For example {"depth": 1}. Answer: {"layers": 4} or {"layers": 5}', LAYERS) == {"layers": 4}


def test_many_brackets_cost_little():
    with pytest.raises(ReplyError):
        parse_reply("[x " * 50_000, LAYERS)


def test_read_reply_keeps_the_usage_of_an_unusable_reply():
    usage = Usage(10, 5, 1.0, 0.25)
    with pytest.raises(BilledReplyError, match="cut at 5 tokens: raise max_tokens") as caught:
        read_reply('{"layers"', LAYERS, usage, "m", cut=True)
    assert (caught.value.usage, caught.value.model, caught.value.reply) == (usage, "m", '{"layers"')
    with pytest.raises(BilledReplyError, match="empty"):
        read_reply(" ", None, usage, "m")
    assert read_reply("hello", None, usage, "m").parsed is None


@pytest.mark.parametrize(
    ("value", "schema", "error"),
    [
        ([1, 2], {"type": "array", "items": {"type": "integer"}, "maxItems": 2}, None),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}, '$[1]: expected integer, got "x"'),
        ([1], {"type": "array", "minItems": 2}, "$: expected at least 2 items, got 1"),
        ([1, 2, 3], {"maxItems": 2}, "$: expected at most 2 items, got 3"),
        (
            {"a": 1, "b": 2},
            {"properties": {"a": {}}, "additionalProperties": False},
            '$: expected only the fields a, got "b"',
        ),
        ({"b": "x"}, {"additionalProperties": {"type": "integer"}}, '$.b: expected integer, got "x"'),
        (None, {"type": ["integer", "null"]}, None),
        ("c", {"enum": ["a", "b"]}, '$: expected one of "a", "b", got "c"'),
        (True, {"enum": [1]}, "$: expected one of 1, got true"),
        (1, {"const": 2}, "$: expected 2, got 1"),
        (2.5, {"type": "number", "maximum": 2}, "$: expected at most 2, got 2.5"),
        (100, {"type": "integer", "multipleOf": 64}, "$: expected a multiple of 64, got 100"),
        (128, {"type": "integer", "multipleOf": 64}, None),
        ("x", {"anyOf": [{"type": "integer"}, {"type": "string"}]}, None),
        ({"a": 1}, {"anyOf": [{"required": ["a"]}, {"type": "null"}]}, None),
        ("x", {"unknownKeyword": 3}, None),
    ],
)
def test_schema_subset(value, schema, error):
    assert schema_error(value, schema) == error


def test_any_of_names_every_alternative():
    error = schema_error(None, {"anyOf": [{"type": "integer"}, {"type": "string"}]})
    assert error is not None
    assert "expected integer" in error
    assert "expected string" in error


def test_a_type_that_json_does_not_have_is_refused():
    with pytest.raises(UnknownNameError, match="'foo'"):
        schema_error(1, {"type": "foo"})
