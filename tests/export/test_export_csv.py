"""The table of trials: whole, readable, and harmless in a spreadsheet."""

import csv
import json

import pytest

from mimar.errors import ExportError, InputError
from mimar.export import export_csv
from mimar.trial import Proposal, Trial

TRIALS = [
    Trial(0, Proposal({"x": 1}, "mutation"), "complete", {"params": 1e6, "hpm": 0.1}),
    Trial(1, Proposal(None, "llm"), "invalid", reasons=("=HYPERLINK(evil)", 'says "no", twice\nand more')),
    Trial(2, Proposal({"x": 2}, "llm"), "complete", {"params": 2.5, "ttft_s": -1.0}),
    Trial(3, Proposal(None, "@llm"), "invalid", reasons=("  +1+cmd", "\ud800 half")),
]


def _read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_trial_and_metric_has_its_cell(tmp_path):
    result = export_csv(TRIALS, tmp_path / "all.csv", to_json=lambda arch: arch)
    rows = _read(tmp_path / "all.csv")
    assert list(rows[0]) == ["id", "status", "origin", "reasons", "params", "hpm", "ttft_s", "architecture"]
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["params"] for row in rows] == ["1000000.0", "", "2.5", ""]
    assert rows[2]["ttft_s"] == "-1.0"  # a number stays one
    assert [row["architecture"] and json.loads(row["architecture"]) for row in rows] == [{"x": 1}, "", {"x": 2}, ""]
    assert result.path == tmp_path / "all.csv"
    assert result.verdicts == {"csv": "ok: 4 trials read back"}
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]


def test_a_cell_of_any_length_is_written(tmp_path):
    """Beyond what Python's reader takes unless it is told to."""
    trial = Trial(0, Proposal(None, "llm"), "invalid", reasons=tuple(f"layer {n} is wrong" for n in range(20_000)))
    assert (
        export_csv([trial], tmp_path / "all.csv", to_json=lambda arch: arch).verdicts["csv"].startswith("ok: 1 trial")
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "  =", "\u00a0@"])
def test_text_that_looks_like_a_formula_is_defused(tmp_path, start):
    trial = Trial(0, Proposal(None, f"{start}origin"), "invalid", reasons=(f"{start}reason",))
    export_csv([trial], tmp_path / "all.csv", to_json=lambda arch: arch)
    (row,) = _read(tmp_path / "all.csv")
    assert (row["origin"], row["reasons"]) == (f"'{start}origin", f"'{start}reason")


def test_harmless_text_stays_as_it_is(tmp_path):
    export_csv(TRIALS, tmp_path / "all.csv", to_json=lambda arch: arch)
    rows = _read(tmp_path / "all.csv")
    assert rows[0]["origin"] == "mutation"
    assert rows[1]["reasons"] == '\'=HYPERLINK(evil); says "no", twice\nand more'
    assert rows[3]["reasons"] == "'  +1+cmd; ? half"


def test_an_earlier_table_is_replaced_and_nothing_else(tmp_path):
    target = tmp_path / "all.csv"
    export_csv(TRIALS, target, to_json=lambda arch: arch)
    export_csv(TRIALS[:1], target, to_json=lambda arch: arch)
    assert len(_read(target)) == 1
    target.write_text("name,grade\n")
    with pytest.raises(InputError, match="an earlier table of ours"):
        export_csv(TRIALS, target, to_json=lambda arch: arch)
    assert target.read_text() == "name,grade\n"


def test_a_failure_leaves_the_earlier_table_and_no_other_file(tmp_path):
    target = tmp_path / "all.csv"
    export_csv(TRIALS[:1], target, to_json=lambda arch: arch)
    with pytest.raises(TypeError):
        export_csv(TRIALS, target, to_json=lambda arch: object())
    with pytest.raises(ExportError, match="expected to write"):
        export_csv(TRIALS, target / "below.csv", to_json=lambda arch: arch)
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]
    assert len(_read(target)) == 1


def test_a_study_without_trials_is_a_header(tmp_path):
    export_csv([], tmp_path / "all.csv", to_json=lambda arch: arch)
    assert (tmp_path / "all.csv").read_text() == "id,status,origin,reasons,architecture\n"
