"""Items are read from the data folder or a file of one's own; what cannot be asked is named with its line."""

import gzip
import json
import os
from pathlib import Path

import pytest

from mimar.errors import InputError, UnknownNameError
from mimar.tasks import TASKS, Item, read_items, requests, score

GOOD = {"id": "a", "question": "Why?", "choices": ["yes", "no"], "answer": 1}
OFFICIAL = {"arc_easy": 2376, "arc_challenge": 1172, "mmlu": 14042, "truthfulqa": 817, "winogrande": 1267}
CHANCE = {"arc_easy": 0.25, "arc_challenge": 0.25, "mmlu": 0.25, "truthfulqa": 0.23, "winogrande": 0.5}


@pytest.fixture
def written(tmp_path):
    """Lines or bytes → the argument for an `arc_easy` file that holds them."""

    def write(content, name="own.jsonl", task="arc_easy"):
        data = content if isinstance(content, bytes) else "\n".join(content).encode()
        (tmp_path / name).write_bytes(data)
        return f"{task}={tmp_path / name}"

    return write


@pytest.mark.parametrize("name", TASKS)
def test_a_name_is_sought_in_the_data_folder(name, data_folder, make_rows, monkeypatch):
    read = read_items(name, data_folder)
    assert read.task is TASKS[name]
    assert read.available == len(read.items) == 8
    assert [item.id for item in read.items] == [row["id"] for row in make_rows(name)]
    assert read.path.parent == data_folder / "eval"
    assert read_items(name, data_folder / "eval") == read
    monkeypatch.setenv("MIMAR_DATA", str(data_folder))
    assert read_items(name) == read


def test_a_file_of_ones_own_is_read_gzipped_or_not(written):
    lines = [json.dumps(GOOD), "", json.dumps({**GOOD, "id": "b", "subject": "x", "more": 1})]
    plain = read_items(written(lines))
    packed = read_items(written(gzip.compress("\r\n".join(["\ufeff" + lines[0], *lines[1:]]).encode()), "own.jsonl.gz"))
    assert (
        plain.items == packed.items == (Item("a", "Why?", ("yes", "no"), 1), Item("b", "Why?", ("yes", "no"), 1, "x"))
    )


def test_line_separators_within_a_text_end_no_line(written):
    question = "one\u2028two\u0085three"
    line = json.dumps({**GOOD, "question": question}, ensure_ascii=False)
    assert read_items(written([line])).items[0].question == question


def test_subset_is_seeded_in_file_order_and_grows(written):
    source = written([json.dumps({**GOOD, "id": f"item {number}"}) for number in range(40)])
    whole = read_items(source).items
    few, more = read_items(source, limit=5, seed=3), read_items(source, limit=12, seed=3).items
    assert few == read_items(source, limit=5, seed=3)
    assert few.available == 40
    assert len(few.items) == 5
    assert set(few.items) < set(more)
    assert more == tuple(sorted(more, key=whole.index))
    assert few.items != read_items(source, limit=5, seed=4).items
    assert read_items(source, limit=100, seed=3).items == whole
    assert [item.id for item in few.items] == ["item 5", "item 6", "item 16", "item 25", "item 35"]


def test_subset_does_not_depend_on_the_order_of_the_file(written):
    lines = [json.dumps({**GOOD, "id": f"item {number}"}) for number in range(40)]
    forth, back = read_items(written(lines), limit=7), read_items(written(lines[::-1], "back.jsonl"), limit=7)
    assert forth.items == back.items[::-1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: expected .* got no JSON"),
        ("[" * 100_000, "line 2: .* nested too deeply"),
        ("[1]", "line 2: expected an object, .* got list"),
        (json.dumps({**GOOD, "id": 7}), 'line 2: expected "id" to be a text, got int'),
        (json.dumps({key: GOOD[key] for key in ("id", "choices", "answer")}), 'expected "question" .* got nothing'),
        (json.dumps({**GOOD, "question": " "}), 'line 2: expected a "question" with text'),
        (json.dumps({**GOOD, "choices": "yes"}), 'line 2: expected "choices" to be a list of texts, got str'),
        (json.dumps({**GOOD, "choices": ["yes", 1]}), 'line 2: expected "choices" to be a list of texts'),
        (json.dumps({**GOOD, "choices": ["yes"], "answer": 0}), 'line 2: expected at least two "choices", got 1'),
        (json.dumps({**GOOD, "choices": ["yes", "\t"]}), 'line 2: expected "choices" with text'),
        (json.dumps({**GOOD, "answer": 2}), 'line 2: expected an "answer" from 0 to 1, got 2'),
        (json.dumps({**GOOD, "answer": -1}), 'line 2: expected an "answer" from 0 to 1, got -1'),
        (json.dumps({**GOOD, "answer": "A"}), 'line 2: expected "answer" to be a whole number, got str'),
        (json.dumps({**GOOD, "answer": True}), 'line 2: expected "answer" to be a whole number, got bool'),
        (json.dumps({**GOOD, "subject": None}), 'line 2: expected "subject" to be a text, got NoneType'),
        (json.dumps({**GOOD, "choices": ["yes", "\ud83d"]}), "line 2: half of a character, a lone surrogate"),
        (json.dumps({**GOOD, "id": "first"}), "line 2: the id 'first' stands on an earlier line"),
    ],
)
def test_a_bad_line_is_named(written, line, message):
    source = written([json.dumps({**GOOD, "id": "first"}), line])
    with pytest.raises(InputError, match=message) as caught:
        read_items(source)
    assert "own.jsonl, line 2: " in str(caught.value)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("mmlu", {"subject": "law"}, "line 1: expected 4 choices, as mmlu has, got 2"),
        ("mmlu", {"choices": list("wxyz")}, 'line 1: expected a "subject"'),
        ("winogrande", {"question": "No blank here."}, 'line 1: expected a question with one "_" and text after it'),
        ("winogrande", {"question": "One _ and _ more."}, "line 1: expected a question with one"),
        ("winogrande", {"question": "It was _ "}, "line 1: expected a question with one"),
    ],
)
def test_what_a_task_cannot_ask_is_named(written, task, change, message):
    with pytest.raises(InputError, match=message):
        read_items(written([json.dumps({**GOOD, **change})], task=task))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "own.jsonl", "has no items"),
        (b"\n \n", "own.jsonl", "has no items"),
        (b"\xff\xfe\x00", "own.jsonl", r"not text in UTF-8 \(byte 0\)"),
        (b"a\0b", "own.jsonl", "binary data"),
        (b"plain", "own.jsonl.gz", "cannot be read: Not a gzipped file"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "own.jsonl.gz", "cannot be read"),
    ],
)
def test_what_is_no_text_is_named(written, content, name, message):
    with pytest.raises(InputError, match=message):
        read_items(written(content, name))


def test_what_is_missing_is_named(tmp_path, data_folder, monkeypatch):
    monkeypatch.delenv("MIMAR_DATA", raising=False)
    with pytest.raises(UnknownNameError, match=r"unknown task 'hellaswag': expected one of arc_easy, .*, TASK=FILE"):
        read_items("hellaswag")
    with pytest.raises(InputError, match=r"no data folder for mmlu: give .*, or set MIMAR_DATA"):
        read_items("mmlu")
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_items("mmlu", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"mmlu_test.jsonl.gz: no such file; give the folder that holds eval/"):
        read_items("mmlu", tmp_path)
    with pytest.raises(InputError, match=r"no such file: .*none.jsonl"):
        read_items(f"mmlu={tmp_path / 'none.jsonl'}")
    with pytest.raises(InputError, match="cannot be read"):
        read_items(f"mmlu={tmp_path}")
    with pytest.raises(InputError, match="expected TASK=FILE"):
        read_items("mmlu=")
    with pytest.raises(InputError, match="expected at least 1 item of a task, got 0"):
        read_items("mmlu", data_folder, limit=0)


@pytest.mark.parametrize("name", TASKS)
def test_the_published_files_are_read_whole(name):
    folder = Path(os.environ.get("MIMAR_DATA", ""))
    if not os.environ.get("MIMAR_DATA") or not (folder / "eval").is_dir():
        pytest.skip("MIMAR_DATA names no folder with eval/")
    read = read_items(name, folder)
    assert read.available == OFFICIAL[name]
    whole = requests(read.task, read.items, lambda text: text.encode())
    blind = score(read.task, read.items, whole, lambda asked: [0.0] * len(asked))
    assert blind.chance == pytest.approx(CHANCE[name], abs=0.01)
    some = read_items(name, folder, limit=50)
    asked = requests(some.task, some.items, lambda text: text.encode())
    assert [len(own) for own in asked] == [len(item.choices) for item in some.items]
