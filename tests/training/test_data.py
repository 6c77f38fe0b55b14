"""Batches: each window once an epoch, the same for the same step, and a validation text apart."""

import numpy as np
import pytest

from mimar.errors import InputError
from mimar.training import ByteTokenizer, TokenData

CONTEXT = 10


def numbered(count):
    """Token i is i, so that a window says where it is from."""
    return TokenData(np.arange(count, dtype=np.int32), np.arange(count, dtype=np.int32), count, 1.0)


@pytest.mark.parametrize(("tokens", "sequences"), [(101, 2), (108, 5), (57, 4), (11, 3)])
def test_every_epoch_sees_every_window_once_in_another_order(tokens, sequences):
    data, windows = numbered(tokens), (tokens - 1) // CONTEXT
    steps = np.concatenate([data.batch(step, sequences, CONTEXT, 0) for step in range(3 * windows)])
    assert np.array_equal(np.diff(steps, axis=1), np.ones((len(steps), CONTEXT)))
    epochs = [steps[i * windows : (i + 1) * windows, 0] for i in range(3 * sequences)]
    for starts in epochs:
        assert np.array_equal(np.sort(starts) - starts.min(), np.arange(windows) * CONTEXT)
    if windows > 4:
        assert not np.array_equal(epochs[0] - epochs[0].min(), epochs[1] - epochs[1].min())


def test_a_batch_depends_on_step_and_seed_alone():
    data = numbered(1000)
    assert np.array_equal(data.batch(7, 4, CONTEXT, 1), numbered(1000).batch(7, 4, CONTEXT, 1))
    assert not np.array_equal(data.batch(7, 4, CONTEXT, 1), data.batch(7, 4, CONTEXT, 2))
    assert not np.array_equal(data.batch(7, 4, CONTEXT, 1), data.batch(8, 4, CONTEXT, 1))


def test_validation_windows_are_spread_over_the_text_and_do_not_overlap():
    batches = numbered(1001).validation_batches(200, 8, CONTEXT)
    starts = np.concatenate(batches)[:, 0]
    assert [len(batch) for batch in batches] == [8, 8, 4]
    assert starts[0] == 0
    assert starts[-1] == 990
    assert np.diff(starts).min() >= CONTEXT
    assert len(np.concatenate(numbered(1001).validation_batches(10**9, 8, CONTEXT))) == 100


def test_without_validation_text_the_end_of_the_text_is_held_out():
    texts = ["a" * 900, "é" * 80, "b" * 20]
    data = TokenData.of(texts, [], ByteTokenizer())
    assert bytes(data.validation.astype(np.uint8)).decode() == "é" * 30 + "\n" + "b" * 20
    assert bytes(data.train.astype(np.uint8)).decode() == "a" * 900 + "\n" + "é" * 50
    assert data.bytes_per_token == pytest.approx(80 / 81)


def test_another_text_for_validation_leaves_all_of_the_first():
    data = TokenData.of(["abc"], ["de"], ByteTokenizer())
    assert len(data.train) == 3
    assert len(data.validation) == 2


@pytest.mark.parametrize("count", [0, 1, CONTEXT])
def test_a_text_shorter_than_a_window_is_refused(count):
    with pytest.raises(InputError, match=f"the text has {count} tokens"):
        numbered(count).batch(0, 1, CONTEXT, 0)
    with pytest.raises(InputError, match=f"validation text has {count} tokens"):
        numbered(count).validation_batches(100, 1, CONTEXT)
