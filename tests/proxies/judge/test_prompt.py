"""What a judge is asked, and what is made of its answer."""

import json

import pytest

from mimar.llm import schema_error
from mimar.proxies import DecoderSubject
from mimar.proxies.judge._prompt import decoder_setting, rank_call, ranking_in, salvaged, shown_in
from mimar.testing._proxy_contract import PROBE_ARCHITECTURES

LABELS = ("multi_head", "grouped_query", "moe", "no_mixer_in_one_layer", "shared_layers", "untied", "convolution")
DESCRIPTIONS = [DecoderSubject(PROBE_ARCHITECTURES[label]).description for label in LABELS]


def test_the_prompt(check_golden):
    call = rank_call(decoder_setting(512), DESCRIPTIONS, seed=7)
    told = "\n\n".join(f"[{message.role}]\n{message.content}" for message in call.messages)
    rest = {name: value for name, value in call.to_json().items() if name != "messages"}
    check_golden("rank.txt", f"{told}\n\n{json.dumps(rest, indent=1)}\n")


def test_the_list_is_read_back_from_the_prompt():
    assert shown_in(rank_call(decoder_setting(512), DESCRIPTIONS, seed=7)) == tuple(DESCRIPTIONS)


def test_an_answer_that_names_all_fits_the_schema_and_none_that_names_others():
    schema = rank_call("", DESCRIPTIONS, seed=0).schema
    assert schema_error({"ranking": [3, 1, 2, 7, 6, 5, 4]}, schema) is None
    for wrong in ([1, 2, 3], [1, 2, 3, 4, 5, 6, 8], [0, 1, 2, 3, 4, 5, 6]):
        assert schema_error({"ranking": wrong}, schema) is not None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([2, 1, 4, 3], (1, 0, 3, 2)),
        ([2, 2, 1, 2, 4], (1, 0, 3)),
        ([9, 4, 0, -1, "3", True, 2.0, None, 1], (3, 0)),
        ([3], None),
        ([3, 3, 3, 3], None),
        ([], None),
    ],
)
def test_an_answer_is_used_as_far_as_it_goes(given, expected):
    assert ranking_in({"ranking": given}, 4) == expected
    assert salvaged(f"Sure: {json.dumps({'ranking': given, 'why': 'depth'})}", 4) == expected


@pytest.mark.parametrize("text", ["", "2, 1, 3", '{"ranking": [2, 1', '{"order": [1, 2, 3, 4]}', '{"ranking": "1 2"}'])
def test_what_is_no_ranking_is_no_answer(text):
    assert salvaged(text, 4) is None
