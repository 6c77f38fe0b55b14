"""Requests that once ended in a wrong trial, a lost study or a traceback."""

import json
import shutil
import sqlite3

import pytest

from mimar import Budget, TransformerSpace, Workload, design_task, load_profile
from mimar.cli._start import read_architecture
from mimar.cli._study_file import open_study
from mimar.errors import ArchitectureError, InputError
from mimar.space import architecture_from_json

SHORT = {
    "num_layers": 4, "hidden_size": 256, "attention_type": "multi_head", "num_heads": 4, "intermediate_size": 704,
    "activation": "swiglu", "position_encoding": "rope", "norm": "rmsnorm",
}  # fmt: skip


@pytest.fixture
def study_file(finished, tmp_path):
    return shutil.copy(finished, tmp_path / "copy.db")


def test_a_trial_is_found_by_its_id_where_ids_have_gaps(study_file):
    with sqlite3.connect(study_file) as db:
        db.execute("DELETE FROM events WHERE kind = 'trial' AND json_extract(body, '$.id') = 3")
    assert open_study(study_file).trial(5).id == 5
    with pytest.raises(InputError, match="unknown trial '3'"):
        open_study(study_file).trial(3)


def test_a_report_never_replaces_its_study(mimar, study_file):
    before = study_file.read_bytes()
    assert mimar("report", study_file, "--out", study_file).code == 2
    assert study_file.read_bytes() == before


def test_a_start_that_the_options_make_illegal_is_refused_at_once(mimar, tmp_path):
    start = tmp_path / "start.json"
    start.write_text(json.dumps(SHORT | {"attention_type": "sliding_window", "num_kv_heads": 4, "window": 512}))
    study = tmp_path / "s.db"
    done = mimar("design", "--device", "a100", "--start", start, "--ctx", "256", "--study", study)
    assert done.code == 2
    assert "window must be between 1 and the context length 256" in done.err
    assert not study.exists()


def test_a_hub_id_that_cannot_be_one_is_bad_input():
    with pytest.raises(InputError, match="check the id"):
        read_architecture("a b/c d")


@pytest.mark.parametrize(
    "contradiction",
    [
        {"feed_forward": "swiglu", "activation": "relu"},
        {"feed_forward": "swiglu", "activation": "geglu"},
        {"feed_forward": "ffn", "activation": "swiglu"},
        {"feed_forward": "moe", "activation": "swiglu", "num_experts": 4, "top_k": 1},
    ],
)
def test_contradicting_fields_are_refused_and_not_repaired(contradiction):
    with pytest.raises(ArchitectureError, match="does not go with feed_forward"):
        architecture_from_json(SHORT | contradiction)


def test_choices_that_do_not_divide_are_illegal_and_not_rounded():
    space = TransformerSpace()
    arch = architecture_from_json(SHORT | {"num_heads": 8, "head_size": 32})
    wrong = space.from_choices(space.to_choices(arch) | {"queries_per_kv": 3})
    assert any("num_kv_heads" in reason for reason in space.validate(wrong))


def test_unknown_metrics_and_too_many_objectives_are_bad_input():
    device = load_profile("a100")
    with pytest.raises(InputError, match="unknown metric 'latency' in a budget"):
        design_task(TransformerSpace(), device, Workload(), budgets=[Budget("latency", "max", 1.0)])
    many = ("score", "params", "flops", "ttft_s", "memory_bytes", "power_w")
    with pytest.raises(InputError, match="at most 5 objectives"):
        design_task(TransformerSpace(), device, Workload(), objectives=many)
