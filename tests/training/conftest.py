"""A model and a text small enough to learn within a second."""

import pytest

from mimar.models import build
from mimar.space import Architecture, Block, FeedForward, Mixer
from mimar.training import ByteTokenizer, TokenData

SENTENCES = ["the cat sat on the mat. ", "a dog ran after the cat. ", "the mat lay on the floor. "]


@pytest.fixture(scope="session")
def arch():
    block = Block(Mixer("attention", 2, 1, 32), FeedForward("swiglu", 128, "silu"))
    return Architecture(64, (block, block), vocab_size=256, context_length=64)


@pytest.fixture
def model(arch):
    return build(arch)


@pytest.fixture(scope="session")
def text():
    return "".join(SENTENCES[i * i % 7 % 3] for i in range(400))


@pytest.fixture(scope="session")
def data(text):
    return TokenData.of([text], [], ByteTokenizer())
