"""GGUF files written by the package gguf are read back; damaged ones are said to be so."""

import struct
from contextlib import suppress
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimar.errors import InputError
from mimar.formats import read_gguf

KINDS = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q4_1", "Q4_0")
KEYS = {"a.text": "naïve", "a.number": 7, "a.share": 0.5, "a.yes": True, "a.words": ["x", "", "née"], "a.sizes": [1, 2]}


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def whole(weights, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "a.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in KEYS.items():
        add = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
        add.get(type(value), writer.add_array)(name, value)
    for name in KINDS:
        kind = gguf.GGMLQuantizationType[name]
        writer.add_tensor(name, gguf.quantize(weights, kind), raw_dtype=kind)
    writer.add_tensor("vector", weights[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_keys_come_back_as_values(whole):
    keys = read_gguf(whole).keys
    assert keys["general.architecture"] == "llama"
    assert {name: keys[name] for name in KEYS if name != "a.sizes"} == {n: v for n, v in KEYS.items() if n != "a.sizes"}
    assert keys["a.sizes"].tolist() == KEYS["a.sizes"]


@pytest.mark.parametrize("name", KINDS)
def test_tensors_are_those_of_the_package(whole, weights, name):
    kind = gguf.GGMLQuantizationType[name]
    found = read_gguf(whole).weights(name)
    assert found.dtype == np.float32
    assert np.array_equal(found, gguf.dequantize(gguf.quantize(weights, kind), kind))


def test_a_vector_keeps_its_shape(whole, weights):
    assert np.array_equal(read_gguf(whole).weights("vector"), weights[0])


def test_a_missing_tensor_has_a_name(whole):
    with pytest.raises(InputError, match="no tensor gone"):
        read_gguf(whole).weights("gone")


def test_a_file_cut_anywhere_is_refused_in_a_sentence(whole, tmp_path):
    content = whole.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in (*range(0, len(content) - 64, 61), len(content) - 64):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"GGUF|damaged"):
            read_gguf(path).weights("vector")


def test_what_is_no_gguf_file(tmp_path):
    for path in (tmp_path, tmp_path / "gone.gguf"):
        with pytest.raises(InputError, match="cannot read"):
            read_gguf(path)


def test_a_tensor_without_weights_is_damage(whole, tmp_path):
    before, after = (struct.pack("<Q6sIQ", 6, b"vector", 1, length) for length in (64, 0))
    assert before in whole.read_bytes()
    path = tmp_path / "none.gguf"
    path.write_bytes(whole.read_bytes().replace(before, after))
    with pytest.raises(InputError, match=r"shape \(0,\)"):
        read_gguf(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changed_bytes_give_values_or_a_sentence(whole, tmp_path_factory, data):
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, 700))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    path.write_bytes(content)
    with suppress(InputError):
        file = read_gguf(path)
        for name in file.tensors:
            file.weights(name)
