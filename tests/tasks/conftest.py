"""A few items of each task, a tokenizer that joins a word with the space before it, and likelihoods out of a hash."""

import gzip
import json
import re
import zlib

import pytest

from mimar.tasks import TASKS

MMLU_SUBJECTS = ("abstract_algebra", "high_school_us_history")


def rows(name, count=8):
    """Items of a task as JSON, their answers spread over the choices; texts with odd spaces and signs."""
    return [_ROWS[name](number) for number in range(count)]


def _arc(number):
    choices = ["a rock", "iron", "the long, slow cooling of melted rock", "“weather” — über alles", "sun"]
    return {
        "id": f"arc/{number}",
        "question": f"What makes crystal number {number}, as found in {'caves' * (number % 3)}?",
        "choices": choices[: 3 + number % 3],
        "answer": number % 3,
    }


def _mmlu(number):
    return {
        "id": f"mmlu/{number}",
        "subject": MMLU_SUBJECTS[number % 2],
        "question": f" Find the order of {{{{ {number} }}}}\nin Z_3. ",
        "choices": ["0", "4 ", "none of\nthese", f"{number}"],
        "answer": number % 4,
    }


def _truthfulqa(number):
    wrong = ["They are made of cheese", "No one is allowed to know", "I have no comment"]
    return {
        "id": f"truthfulqa/{number}",
        "question": f"What happens {'to you ' * number}when you look? ",
        "choices": [f"Nothing at all happens {number} times", *wrong[: 1 + number % 3]],
        "answer": 0,  # as the harness has it
    }


def _winogrande(number):
    return {
        "id": f"winogrande/{number}",
        "question": f"Sarah beat Maria at game {number} so _{' always' * (number % 2)} got the cup{'.' * (number % 3)}",
        "choices": ["Sarah", "Maria"],
        "answer": number // 2 % 2,
    }


_ROWS = {"arc_easy": _arc, "arc_challenge": _arc, "mmlu": _mmlu, "truthfulqa": _truthfulqa, "winogrande": _winogrande}


def encode(text):
    """A token for each word with the space before it, each run of other spaces, each other sign."""
    return [zlib.crc32(piece.encode()) % 50000 for piece in re.findall(r" ?\w+|\s+(?=\s)|\s|[^\w\s]", text)]


def likelihood(context, continuation):
    """A log-likelihood out of a hash, lower for longer continuations, as a model's is."""
    spread = zlib.crc32(repr((list(context), list(continuation))).encode()) / 2**32
    return -len(continuation) * (1.0 + spread)


@pytest.fixture
def make_rows():
    return rows


@pytest.fixture
def data_folder(tmp_path):
    """A data folder with `eval/`, eight items in each file, one of them not gzipped."""
    folder = tmp_path / "data" / "eval"
    folder.mkdir(parents=True)
    for name, task in TASKS.items():
        text = "".join(json.dumps(row) + "\n" for row in rows(name))
        (folder / task.file).write_bytes(gzip.compress(text.encode()))
    plain = folder / TASKS["winogrande"].file
    plain.with_suffix("").write_bytes(gzip.decompress(plain.read_bytes()))
    plain.unlink()
    return folder.parent


@pytest.fixture
def tokenizer():
    return encode


@pytest.fixture
def hashed():
    return likelihood


@pytest.fixture
def loglikelihoods():
    return lambda requests: [likelihood(request.context, request.continuation) for request in requests]
