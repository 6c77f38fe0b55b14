"""Token ids of each kind of tokenizer, and what stands between texts."""

import os

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from mimar.errors import InputError
from mimar.training import ByteTokenizer, SubwordTokenizer, tokenizer_named

TEXTS = ["the cat sat on the mat, 猫 said the cat. " * 20, "the mat lay on the floor"]


def test_bytes_are_those_of_the_text():
    tokenizer = tokenizer_named("byte", [])
    assert tokenizer.vocab_size == 256
    assert bytes(tokenizer.encode(TEXTS).astype(np.uint8)).decode() == "\n".join(TEXTS)


def test_a_trained_tokenizer_joins_what_is_frequent_and_loses_nothing(tmp_path):
    tokenizer = tokenizer_named("train:300", TEXTS)
    ids = tokenizer.encode(TEXTS)
    assert 257 < tokenizer.vocab_size <= 300
    assert ids.max() < tokenizer.vocab_size
    assert len(ids) < len(ByteTokenizer().encode(TEXTS)) / 2
    tokenizer.save(tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    end = library.token_to_id("<|endoftext|>")
    assert [library.decode(part) for part in np.split(ids, np.flatnonzero(ids == end)) if len(part) > 1] == TEXTS
    for spec in (tmp_path, tmp_path / "tokenizer.json"):
        assert np.array_equal(tokenizer_named(str(spec), []).encode(TEXTS), ids)


def test_a_trained_tokenizer_knows_bytes_it_never_saw():
    ids = SubwordTokenizer.train(["abc"], 257).encode(["žluťoučký 🐈"])
    assert len(ids) == len("žluťoučký 🐈".encode()) + 1


@pytest.mark.parametrize(
    ("template", "begin"),
    [("$A", 0), ("<s> $A", 1), ("<s> <s> $A", 2), ("$A </s>", 0), ("<s> $A </s>", 1)],
)
def test_what_stands_before_a_text_is_told_from_what_stands_behind(tmp_path, template, begin):
    tokenizer_named("train:300", TEXTS).save(tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    library.add_special_tokens(["<s>", "</s>"])
    ends = [(token, library.token_to_id(token)) for token in ("<s>", "</s>")]
    library.post_processor = TemplateProcessing(single=template, special_tokens=ends)
    library.save(str(tmp_path / "tokenizer.json"))
    assert SubwordTokenizer.read(tmp_path).begin == (ends[0][1],) * begin


def test_a_file_that_cuts_and_fills_up_texts_reads_them_whole(tmp_path):
    tokenizer = tokenizer_named("train:300", TEXTS)
    tokenizer.save(tmp_path)
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    library.enable_truncation(4)
    library.enable_padding()
    library.save(str(tmp_path / "tokenizer.json"))
    assert np.array_equal(tokenizer_named(str(tmp_path), []).encode(TEXTS), tokenizer.encode(TEXTS))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk_leaves_the_file_that_was_there(tmp_path):
    tokenizer = tokenizer_named("train:300", TEXTS)
    (tmp_path / "tokenizer.json").write_text("earlier")
    (tmp_path / ".tokenizer.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        tokenizer.save(tmp_path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("tokenizer.json", "earlier")]


@pytest.mark.parametrize("spec", ["train:100", "train:", "nowhere", "Byte"])
def test_what_is_no_tokenizer_is_refused(spec):
    with pytest.raises(InputError):
        tokenizer_named(spec, TEXTS)


@pytest.mark.parametrize("content", ["{}", "[" * 100_000, '{"version": ' + "9" * 5000 + "}"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match="not a tokenizer"):
        tokenizer_named(str(tmp_path), TEXTS)
