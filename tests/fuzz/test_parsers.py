"""What others hand us, damaged at random: every parser gives a value or one of our errors, and nothing else.

MIMAR_FUZZ says how many inputs each parser gets, other ones each time; `make drill` gives them 10,000.
"""

import copy
import json
import os
import sqlite3
import sys
import zlib
from contextlib import closing, suppress
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimar.cli._report import report_data, study_summary
from mimar.cli._shrink_report import shrink_report, shrink_summary
from mimar.cli._study_file import open_study
from mimar.elastic._parent import architecture_of, facts_of
from mimar.errors import MimarError, ReplyError
from mimar.formats import gguf_tokenizer, read_gguf
from mimar.hardware import load_profile
from mimar.llm import complete_items, parse_reply
from mimar.models import architecture_from_hf_config
from mimar.report import front_table, render_html
from mimar.space import TransformerSpace, architecture_from_json, architecture_to_json
from mimar.tasks import read_items

sys.path.append(str(Path(__file__).parents[2] / "drills"))
from work import write_model, write_text

fuzzed = settings(
    max_examples=int(os.environ.get("MIMAR_FUZZ", "150")),
    derandomize="MIMAR_FUZZ" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)

RNG = np.random.default_rng(0)
ARCHITECTURES = [
    architecture_to_json(TransformerSpace(scope).sample(RNG)) for scope in ("uniform", "per-layer") for _ in range(5)
]
JUNK = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.floats() | st.integers(-3, 3)
    | st.sampled_from([10**30, -(10**400), 1e308, "\ud800", "nan", "../../x", "<script>", 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


HUGE = [b"7" * 5000, b"[" * 20_000, b'{"a":' * 9000]
"""More digits and more levels than parsers take."""


def places(value, path=()):
    """Paths to everything in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@st.composite
def damaged_json(draw, base):
    """One to three parts are something else, gone, or there twice."""
    value = {"whole": copy.deepcopy(base)}
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from([path for path in places(value) if path]))
        inside = value
        for key in above:
            inside = inside[key]
        match draw(st.sampled_from(["junk", "gone", "more"])):
            case "gone" if above:
                del inside[last]
            case "more" if isinstance(inside, list):
                inside.append(inside[last])
            case "more" if isinstance(inside, dict):
                inside[draw(st.text(max_size=8))] = draw(JUNK)
            case _:
                inside[last] = draw(JUNK)
    return value.get("whole")


@st.composite
def damaged_bytes(draw, base):
    """One to five cuts, changed bytes, large numbers, insertions and repetitions."""
    data = bytearray(base)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["cut", "byte", "number", "insert", "repeat"])):
            case "cut":
                del data[at:]
            case "byte":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "number":
                data[at : at + 8] = draw(st.sampled_from([2**64 - 1, 2**63, 2**32, 2**31 - 1, 0])).to_bytes(8, "little")
            case "insert":
                data[at:at] = draw(st.binary(max_size=12) | st.sampled_from(HUGE))
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(0, 64))]
    return bytes(data)


def test_what_is_whole_is_read(gguf_bytes, study_file, tmp_path):
    """Else a parser that refuses everything would pass."""
    for data in ARCHITECTURES:
        assert architecture_to_json(architecture_from_json(data)) == data
    assert parse_reply(REPLY, SCHEMA)["candidates"] == ARCHITECTURES[:2]
    (tmp_path / "a.gguf").write_bytes(gguf_bytes)
    file = read_gguf(tmp_path / "a.gguf")
    assert gguf_tokenizer(file).encode("ab").ids
    assert all(np.isfinite(file.weights(name)).all() for name in file.tensors)
    shrunk = shrink_report(study_file)
    assert front_table(report_data(open_study(study_file)) if shrunk is None else shrunk).row_count
    (tmp_path / "a.toml").write_bytes(PROFILE)
    assert load_profile(str(tmp_path / "a.toml")).name


@fuzzed
@given(st.sampled_from(ARCHITECTURES).flatmap(damaged_json))
def test_architectures(data):
    with suppress(MimarError):
        arch = architecture_from_json(data)
        assert architecture_from_json(architecture_to_json(arch)) == arch


@fuzzed
@given(st.sampled_from(ARCHITECTURES).flatmap(damaged_json))
def test_architectures_that_are_read_as_they_were_proposed(data):
    with suppress(MimarError):
        architecture_from_json(data, check=False)


SCHEMA = {
    "type": "object",
    "properties": {"candidates": {"type": "array", "items": {"type": "object"}}},
    "required": ["candidates"],
}
REPLY = json.dumps({"candidates": ARCHITECTURES[:2]})
REPLIES = st.one_of(
    st.text(),
    damaged_bytes(REPLY.encode()).map(lambda data: data.decode("utf-8", "replace")),
    damaged_bytes(f"Here it is:\n```json\n{REPLY}\n```\nDone.".encode()).map(lambda data: data.decode("latin-1")),
    st.text(alphabet='{}[]",:0123456789 \n`', max_size=400),
    st.integers(1, 20_000).map(lambda depth: '{"candidates":' + "[" * depth),
    st.integers(1, 20_000).map(lambda count: '{"candidates": [' + "7" * count + "]}"),
)


@fuzzed
@given(REPLIES)
def test_replies_of_language_models(text):
    with suppress(ReplyError):
        assert isinstance(parse_reply(text, SCHEMA)["candidates"], list)
    assert isinstance(complete_items(text, "candidates"), list)


@pytest.fixture(scope="module")
def gguf_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "a.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_string("general.name", "naïve")
    writer.add_uint32("llama.block_count", 2)
    writer.add_string("tokenizer.ggml.model", "gpt2")
    writer.add_string("tokenizer.ggml.pre", "gpt-2")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ab", "née"])
    writer.add_array("tokenizer.ggml.merges", ["a b"])
    writer.add_array("tokenizer.ggml.token_type", [1, 1, 1, 3])
    writer.add_uint32("tokenizer.ggml.bos_token_id", 0)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    for name in ("Q8_0", "F16", "F32"):
        kind = gguf.GGMLQuantizationType[name]
        writer.add_tensor(name, gguf.quantize(np.ones((2, 32), np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@fuzzed
@given(data=st.data())
def test_gguf_files(gguf_bytes, tmp_path, data):
    path = tmp_path / "a.gguf"
    path.write_bytes(data.draw(damaged_bytes(gguf_bytes)))
    with suppress(MimarError):
        file = read_gguf(path)
        with suppress(MimarError):
            gguf_tokenizer(file)
        for name in file.tensors:
            with suppress(MimarError):
                assert np.isfinite(file.weights(name)).all()


SEARCHES = {
    "classic": ["design", "--device", "laptop-cpu", "--trials", "12"],
    "asking": ["design", "--device", "laptop-cpu", "--trials", "8", "--llm", "uniform", "--strategy", "zerolm"],
    "shrinking": [
        "shrink", "model", "--max-block-params", "0.8x", "--calibration", "text.txt", "--device", "laptop-cpu",
        "--window", "32", "--calibration-tokens", "128", "--search-tokens", "64", "--final-tokens", "0", "--trials",
        "6", "--steps", "4", "--protect", "none", "--cut", "all", "--eval-text", "text.txt", "--eval-tokens", "64",
    ],
}  # fmt: skip


@pytest.fixture(scope="module", params=SEARCHES)
def study_file(tmp_path_factory, request):
    """A finished search, its log put into the file."""
    from mimar.cli import main

    path = tmp_path_factory.mktemp("study") / "s.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        if request.param == "shrinking":
            write_model(Path("model"))
            write_text(Path("text.txt"))
        patch.setattr("sys.argv", ["mimar", *SEARCHES[request.param], "--study", str(path), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    return path


def opened(path):
    """Read and summed up; its page, which takes longer, is drawn of every tenth."""
    with suppress(MimarError):
        data = shrink_report(path)
        if data is None:
            study = open_study(path)
            study_summary(study)
            data = report_data(study)
        else:
            shrink_summary(data)
        front_table(data)
        if zlib.crc32(path.read_bytes()) % 10 == 0:
            render_html(data, training_tokens=2e9)


@fuzzed
@given(data=st.data())
def test_study_files(study_file, tmp_path, data):
    path = tmp_path / "s.db"
    path.write_bytes(data.draw(damaged_bytes(study_file.read_bytes())))
    opened(path)


@fuzzed
@given(data=st.data())
def test_what_study_files_hold(study_file, tmp_path, data):
    path = tmp_path / "s.db"
    path.write_bytes(study_file.read_bytes())
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT position, kind, body FROM events").fetchall()
        position, _, body = data.draw(st.sampled_from(rows))
        changed = data.draw(damaged_json(json.loads(body)))
        with db:
            db.execute("UPDATE events SET body = ? WHERE position = ?", (json.dumps(changed), position))
    opened(path)


PROFILE = Path("src/mimar/hardware/profiles/laptop-cpu.toml").read_bytes()


@fuzzed
@given(damaged_bytes(PROFILE))
def test_device_profiles(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_bytes(data)
    with suppress(MimarError):
        load_profile(str(path))


ITEMS = "".join(
    json.dumps({"id": str(n), "question": "Why?", "choices": ["a", "b"], "answer": 1}) + "\n" for n in range(3)
)


@fuzzed
@given(damaged_bytes(ITEMS.encode()))
def test_items_of_tasks(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    path.write_bytes(data)
    with suppress(MimarError):
        read_items(f"arc_easy={path}")


CONFIG = {
    "model_type": "llama", "hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 16, "vocab_size": 300,
    "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": True, "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "rope_scaling": None, "sliding_window": None,
}  # fmt: skip


@fuzzed
@given(damaged_json(CONFIG))
def test_configurations_of_models_to_shrink(config):
    with suppress(MimarError):
        facts_of(config, architecture_of(config))


@fuzzed
@given(damaged_json(CONFIG))
def test_configurations_of_transformers(config):
    with suppress(MimarError):
        architecture_from_hf_config(config)
