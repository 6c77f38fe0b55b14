"""What counts as text, and what is said of everything else."""

import gzip
import json

import pytest

from mimar.errors import InputError, MissingDependencyError
from mimar.training import read_texts


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl", "a.jsonl.gz"])
def test_every_form_gives_its_texts_in_order(tmp_path, name):
    lines = ".jsonl" in name
    content = '{"text": "één"}\n\n{"text": "two\\nlines"}\n' if lines else "één\ntwo\n"
    data = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (tmp_path / "b.txt").write_text("last")
    found = read_texts([str(tmp_path / name), str(tmp_path / "b.txt")])
    assert found == (["één", "two\nlines", "last"] if lines else ["één\ntwo\n", "last"])


@pytest.mark.parametrize(("name", "data", "said"), [
    ("missing.txt", None, "no such file"),
    ("empty.txt", b"", "is empty"),
    ("blank.txt", b" \n\t\n", "is empty"),
    ("picture.txt", b"\x89PNG\r\n\xff\xfe", "not text in UTF-8 .byte 0."),
    ("zeros.txt", b"text \0\0 text", "binary data"),
    ("broken.txt.gz", gzip.compress(b"text" * 99, mtime=0)[:-12], "cannot be read"),
    ("plain.txt.gz", b"text that nobody packed", "cannot be read"),
    ("list.jsonl", b'{"text": "good"}\n["text"]\n', "line 2: expected an object"),
    ("other.jsonl", b'{"content": "no"}\n', "line 1: expected an object"),
    ("half.jsonl", b'{"text": "go', "line 1: expected an object"),
    ("surrogate.jsonl", b'{"text": "half \\ud800"}\n', "line 1: .* half of a character"),
    ("number.jsonl", b'{"text": 3}\n', "line 1: expected an object"),
    ("digits.jsonl", b'{"text": ' + b"9" * 5000 + b"}\n", "line 1: expected an object"),
    ("deep.jsonl", b'{"text": ' + b"[" * 100_000 + b"\n", "line 1: expected an object"),
])  # fmt: skip
def test_what_is_no_text_is_refused_in_a_sentence(tmp_path, name, data, said):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_texts([str(tmp_path / name)])


@pytest.mark.parametrize(("name", "content"), [("a.txt", "text"), ("a.jsonl", '{"text": "text"}')])
def test_a_byte_order_mark_is_no_text(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert read_texts([str(tmp_path / name)]) == ["text"]


def test_lines_without_any_words_are_no_text(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "  "}) + "\n")
    with pytest.raises(InputError, match="nothing but white space"):
        read_texts([str(tmp_path / "a.jsonl")])


def test_a_data_set_needs_its_package_or_loads_from_this_machine(tmp_path):
    try:
        import datasets  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match=r"mimar\[data\]"):
            read_texts(["hf:nobody/nothing"])
        return
    (tmp_path / "train.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    assert read_texts([f"hf:{tmp_path}"]) == ["one", "two"]
