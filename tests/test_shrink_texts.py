"""Windows of text: spread over all of it, none twice, and what is too short."""

import numpy as np
import pytest

from mimar.errors import InputError
from mimar.shrink import calibration_windows, learning_text, windows
from mimar.training import ByteTokenizer, TokenData, tokenizer_named

NUMBERS = " ".join(map(str, range(20_000)))


def test_windows_come_from_all_over_a_long_text():
    rows = windows([NUMBERS], ByteTokenizer(), 8, 16)
    assert rows.shape == (8, 16)
    words = [bytes(row.tolist()).split()[1] for row in rows]
    numbers = list(map(int, words))
    assert numbers == sorted(numbers)
    assert numbers[0] < 100
    assert numbers[-1] > 16_000
    assert np.diff(numbers).min() > 1000


def test_all_of_a_short_text_is_used_and_nothing_twice():
    text = NUMBERS[:1000]
    rows = windows([text], ByteTokenizer(), 10, 100)
    assert bytes(rows.flatten().tolist()) == text.encode()


def test_too_short_a_text_is_a_sentence():
    with pytest.raises(InputError, match=r"at least 1,100 tokens, got 1,000: give more text"):
        windows([NUMBERS[:1000]], ByteTokenizer(), 11, 100)


def test_what_every_text_begins_with_is_part_of_each_window():
    rows = windows([NUMBERS], ByteTokenizer(), 4, 16, begin=(1, 2))
    assert rows.shape == (4, 16)
    assert (rows[:, :2] == [1, 2]).all()
    assert (rows[:, 2:] == windows([NUMBERS], ByteTokenizer(), 4, 14)).all()


def test_pieces_begin_at_words_so_that_tokens_are_those_of_the_whole():
    tokenizer = tokenizer_named("train:300", [NUMBERS[:20_000]])
    whole = tokenizer.encode([NUMBERS]).tolist()
    for row in windows([NUMBERS], tokenizer, 5, 12).tolist():
        assert any(whole[at : at + 12] == row for at in range(len(whole)))


LETTERS = " ".join(chr(ord("a") + place % 26) * 4 for place in range(20_000))


def test_texts_share_the_windows_and_are_judged_on_their_ends():
    ordered, judged = calibration_windows([[NUMBERS], [LETTERS]], ByteTokenizer(), (5, 2), 16)
    assert [row[1:-1].max() < ord("a") for row in ordered] == [True, False, True, False, True]
    assert [row[1:-1].max() < ord("a") for row in judged] == [True, False]
    alone, _ = calibration_windows([[NUMBERS]], ByteTokenizer(), (3, 1), 16)
    assert (ordered[::2] == alone).all()
    numbers = [int(bytes(row.tolist()).split()[1]) for row in (*alone, judged[0])]
    assert numbers == sorted(numbers)


def test_a_purpose_can_have_no_windows_and_the_others_stay():
    two = calibration_windows([[NUMBERS], [LETTERS]], ByteTokenizer(), (5, 2), 16)
    *three, last = calibration_windows([[NUMBERS], [LETTERS]], ByteTokenizer(), (5, 2, 0), 16)
    assert all((a == b).all() for a, b in zip(two, three, strict=True))
    assert last.shape == (0, 16)


def test_one_text_alone_is_cut_as_windows_are():
    both = calibration_windows([[NUMBERS]], ByteTokenizer(), (6, 2), 16)
    assert (np.concatenate(both) == windows([NUMBERS], ByteTokenizer(), 8, 16)).all()


def test_more_texts_than_windows_are_a_sentence():
    with pytest.raises(InputError, match=r"2 texts need a window of 16 tokens each .* got 2, 1, 0 windows"):
        calibration_windows([[NUMBERS], [LETTERS]], ByteTokenizer(), (2, 1, 0), 16)


def test_texts_are_learnt_from_alike_and_short_ones_more_than_once():
    short = "0123456789" * 5
    ids = learning_text([[LETTERS], [short]], ByteTokenizer(), 200, 20)
    assert len(ids) >= 200
    first, second = np.split(ids, 2)
    assert first.max() >= ord("a")
    assert bytes(second.tolist()).decode() == (short * 3)[: len(second)]


def test_what_is_learnt_begins_as_the_model_is_used_to():
    ids = learning_text([[NUMBERS]], ByteTokenizer(), 200, 20, begin=(7, 8))
    data = TokenData(ids, ids, 256, 1.0)
    for step in range(8):
        rows = data.batch(step, 3, 19, seed=0)
        assert rows.shape == (3, 20)
        assert (rows[:, :2] == (7, 8)).all()
        assert (rows[:, 2:-1] >= ord(" ")).all()


def test_a_text_that_is_hardly_long_enough_is_learnt_from_all_over():
    """Too short for pieces of characters, but not for pieces of tokens."""
    text = "".join(map(str, range(10, 99))) * 10
    ids = learning_text([[text]], ByteTokenizer(), 800, 20)
    assert bytes(ids[-20:].tolist()).decode() in text[len(text) - 200 :]


def test_windows_of_a_script_without_spaces_do_not_coincide():
    text = "".join(chr(0x4E00 + number) for number in range(20_000))
    rows = windows([text], ByteTokenizer(), 20, 30)
    assert len({tuple(row) for row in rows.tolist()}) == 20
