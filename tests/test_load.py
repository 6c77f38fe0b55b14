"""The measurement of large studies in a short form: `benchmarks/load.py` runs it long."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = Path(__file__).parents[1] / "benchmarks" / "load.py"


@pytest.mark.slow
def test_what_a_study_costs_is_measured_and_within_bounds(tmp_path):
    files = {"--study": tmp_path / "s.db", "--json": tmp_path / "rows.json", "--out": tmp_path / "load.svg"}
    options = [str(part) for pair in files.items() for part in pair]
    command = [sys.executable, str(LOAD), "--trials", "3000", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    few, many = json.loads(files["--json"].read_text())
    assert (few["trials"], many["trials"]) == (1000, 3000)
    assert few["file_mb"] < many["file_mb"]
    for row in (few, many):
        assert row["page_mb"] < 15
        assert row["overhead_ms"] < 3 * few["overhead_ms"]
        assert max(row["show_mb"], row["report_mb"]) < 1000
        assert 0 < row["shown_s"] < row["show_s"]
        assert row["overhead_ms"] > 0
    assert "| 3,000 |" in done.stdout
    assert "overhead a trial" in files["--out"].read_text()
