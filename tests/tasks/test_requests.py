"""What a model is asked: exact texts, and the border between context and continuation in tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimar.errors import InputError
from mimar.tasks import TASKS, Item, Request, encoded, read_items, requests


def letters(text):
    return [ord(sign) for sign in text]


def test_prompts_are_on_record(data_folder, check_golden):
    shown = []
    for name, task in TASKS.items():
        item = read_items(name, data_folder).items[3]
        for context, continuation in task.prompts(item):
            shown.append(f"=== {name}, {item.id}\n{context}<|>{continuation}<|end|>\n")
    check_golden("prompts.txt", "".join(shown))


def test_winogrande_puts_the_option_before_and_asks_what_follows():
    item = Item("w", "The cup did not fit into the case, as the _ was too big .", ("cup", "case"), 0)
    assert TASKS["winogrande"].prompts(item) == (
        ("The cup did not fit into the case, as the cup", " was too big ."),
        ("The cup did not fit into the case, as the case", " was too big ."),
    )


def test_white_space_at_the_end_of_the_context_moves_on():
    assert encoded("So \n", "it is", letters) == Request(tuple(b"So"), tuple(b" \nit is"))


def test_the_border_is_where_the_context_alone_ends():
    """A tokenizer that joins across the border: the continuation is what is left after as many tokens."""
    pairs = {"ab": [1], "abc": [2, 3]}
    assert encoded("ab", "c", pairs.__getitem__) == Request((1,), (3,))


@given(st.text(min_size=1, max_size=12).filter(str.rstrip), st.text(min_size=1, max_size=12))
def test_no_text_is_lost(context, continuation):
    asked = encoded(context, continuation, letters)
    assert asked.context + asked.continuation == tuple(letters(context + continuation))
    assert asked.context
    assert asked.continuation


def test_an_empty_context_is_refused():
    with pytest.raises(InputError, match="expected a context, got no token"):
        encoded(" ", "yes", letters)


def test_a_tokenizer_that_starts_each_text_with_a_token_keeps_it_in_the_context():
    assert encoded("a", "b", lambda text: [0, *letters(text)]) == Request((0, 97), (98,))


def test_what_leaves_nothing_to_ask_is_named():
    item = Item("odd", "Why?", ("yes", "no"), 0)
    with pytest.raises(InputError, match=r"arc_easy, item odd: the tokenizer leaves no token of ' yes'"):
        requests(TASKS["arc_easy"], [item], lambda text: [1, 2])


def test_each_choice_is_a_request(data_folder, tokenizer):
    read = read_items("truthfulqa", data_folder)
    asked = requests(read.task, read.items, tokenizer)
    assert [len(own) for own in asked] == [len(item.choices) for item in read.items]
    for own, item in zip(asked, read.items, strict=True):
        assert len({request.context for request in own}) == 1
        assert [request.continuation for request in own] == [tuple(tokenizer(" " + text)) for text in item.choices]


def test_texts_are_encoded_once_where_choices_share_them(data_folder, tokenizer):
    seen = []
    read = read_items("mmlu", data_folder, limit=1)
    requests(read.task, read.items, lambda text: seen.append(text) or tokenizer(text))
    assert len(seen) == 5
