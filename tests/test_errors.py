"""What errors say can be shown anywhere."""

import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimar.errors import (
    ArchitectureError,
    CandidateError,
    InputError,
    RateLimitError,
    UnknownNameError,
    memory_explained,
    visible,
)


@given(st.text(st.characters(codec=None), max_size=40))
def test_what_is_visible_steers_no_terminal_and_is_utf8(text):
    shown = visible(text)
    assert len(shown) == len(text)
    assert visible(shown) == shown
    shown.encode()
    controls = {c for c in shown.replace("\r\n", "") if unicodedata.category(c) == "Cc"}
    assert controls <= {"\n", "\t"}


def test_plain_text_stays_as_it_is():
    text = "naïve: 8 × 512\n\tfrom a file of Windows\r\n\N{GRINNING FACE}"
    assert visible(text) == text
    assert visible("bar\rfoo \x1b[31m \x9b \ud800") == "bar\ufffdfoo \ufffd[31m \ufffd \ufffd"


@pytest.mark.parametrize(
    "error",
    [
        InputError("got \x1b[31m"),
        UnknownNameError("device", "\x1b]0;x\x07", ("\x9bphone",)),
        ArchitectureError("file", ("norm \x1b[2J",)),
        RateLimitError("wait \x1b", 3.0),
    ],
)
def test_an_error_quotes_no_control_character(error):
    assert {"\x1b", "\x07", "\x9b"}.isdisjoint(str(error))
    assert str(error) == visible(str(error))


def test_a_rate_limit_travels_between_processes():
    again = pickle.loads(pickle.dumps(RateLimitError("wait", 3.0)))
    assert (str(again), again.retry_after) == ("wait", 3.0)


@pytest.mark.parametrize(
    ("error", "costs"),
    [
        (MemoryError(), CandidateError),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), CandidateError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), CandidateError),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), RuntimeError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
    ],
)
def test_too_little_memory_costs_one_candidate_and_a_broken_device_the_run(error, costs):
    with pytest.raises(costs), memory_explained("its training"):
        raise error
